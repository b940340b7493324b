//! Reports survive JSON and are compared figure by figure.

use super::*;
use crate::check::Check;
use crate::facts::{Disk, Machine};
use crate::report::{Costs, Harness, Latency, Percentile, Results, Server, Setup};
use crate::series::SecondFigures;
use std::collections::BTreeMap;

fn second(n: u64) -> SecondFigures {
    let slow = if n == 17 { 40.0 } else { 1.0 };
    SecondFigures {
        answered: 900_000 + 10_000 * (n % 7),
        offered: None,
        failed: 0,
        requests: 110,
        p50_ms: 4.0 * slow,
        p99_ms: 9.0 * slow,
        max_ms: 12.0 * slow,
    }
}

fn percentile(n: u32) -> Percentile {
    Percentile {
        percentile: 100.0 - 100.0 / f64::from(1u32 << n),
        latency_ms: 2.0 + f64::from(n * n),
        count: 110 - 110 / (1 << n),
    }
}

/// A report with figures of every kind.
pub fn report() -> Report {
    let setup = Setup {
        workload: "zipf".into(),
        zipf_exponent: Some(0.99),
        accounts: 10_000,
        batch: 8192,
        connections: 1,
        in_flight: 4,
        client_threads: 1,
        mode: "batch".into(),
        codec: "lean".into(),
        rate: None,
        ramp: None,
        read_share: None,
        hold_share: None,
        refund_share: None,
        terms_share: None,
        read_accounts: None,
        profile: None,
        reads_per_s: None,
        csv: None,
        duration_s: 15.0,
        warmup_s: 2.0,
        amount_max: 1000,
        linked_share: 0.0,
        linked_legs: 2,
        repeat_share: 0.1,
        seed: 1,
        sharing: "client and server on the same machine".into(),
    };
    let disk = Disk { filesystem: "ext4".into(), sync_p50_us: 140.5, sync_p99_us: 900.25 };
    Report {
        harness: Harness::now(),
        setup,
        server: Server { version: "0.1.0".into(), durability: "power-loss".into(), partitions: 1 },
        machine: Machine {
            cores: 2,
            cpu: "some".into(),
            kernel: "6.1".into(),
            memory_bytes: 1 << 33,
            yardstick: None,
            disk: Some(disk),
        },
        results: Results {
            total: 110,
            ok: 90,
            refused: BTreeMap::from([("INSUFFICIENT_FUNDS".into(), 10)]),
            errors: BTreeMap::from([("UNAVAILABLE".into(), 10)]),
            transfers_per_s: 1_000_000.5,
            ..Results::default()
        },
        latency: Latency { count: 7, p50_ms: 4.25, p99_ms: 30.0, ..Latency::default() },
        costs: Costs { server_cpu_s: Some(12.25), ..Costs::default() },
        checks: vec![Check { name: "x".into(), held: None, detail: String::new() }],
        warnings: vec!["beware".into()],
        seconds: (1..30).map(second).collect(),
        distribution: (0..10).map(percentile).collect(),
        reads: None,
        ramp: Vec::new(),
        search: None,
    }
}

#[test]
fn a_report_reads_back_from_json_as_it_was_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.json");
    // One report: each names the second it was begun in.
    let report = report();
    report.write(&path).expect("written");
    assert_eq!(Report::read(&path).expect("readable"), report);
    std::fs::write(&path, "{}").expect("written");
    assert!(Report::read(&path).is_err());
}

#[test]
fn tables_hold_the_figures() {
    let text = format!("{}{}", facts(&report()), results(&report()));
    for part in ["zipf (exponent 0.99)", "8,192", "INSUFFICIENT_FUNDS", "UNAVAILABLE", "1,000,000"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn numbers_are_readable() {
    assert_eq!(count(0), "0");
    assert_eq!(count(999), "999");
    assert_eq!(count(1000), "1,000");
    assert_eq!(count(12_345_678), "12,345,678");
    assert_eq!(bytes(1536), "1.5 KiB");
    assert_eq!(bytes(3 << 30), "3.00 GiB");
}
