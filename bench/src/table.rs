//! Prints a [`Report`] for people, and the ratios of two.

use crate::report::Report;
use comfy_table::{CellAlignment, Table, presets};

/// Prints the whole report on stdout.
pub fn print(report: &Report) {
    if report.server.durability != "power-loss" {
        shout(&report.server.durability);
    }
    println!("{}", facts(report));
    println!("{}", results(report));
    for check in &report.checks {
        let mark = match check.held {
            Some(true) => "ok    ",
            Some(false) => "BROKEN",
            None => "unsure",
        };
        println!("{mark}  {}  ({})", check.name, check.detail);
    }
    for warning in &report.warnings {
        println!("NOTE    {warning}");
    }
    if report.server.durability != "power-loss" {
        shout(&report.server.durability);
    }
}

fn shout(durability: &str) {
    println!(
        "**** DURABILITY {}: NOTHING HERE SURVIVES A CRASH. NOT COMPARABLE WITH DURABLE FIGURES ****",
        durability.to_uppercase()
    );
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}

/// What ran where.
fn facts(report: &Report) -> Table {
    let (setup, machine, harness) = (&report.setup, &report.machine, &report.harness);
    let mut table = plain_table();
    let load = match setup.rate {
        Some(rate) => format!("open loop, {} transfers/s offered", count(rate as u64)),
        None => "closed loop".to_owned(),
    };
    let exponent = setup.zipf_exponent.map(|e| format!(" (exponent {e})")).unwrap_or_default();
    let disk = match &machine.disk {
        Some(d) => format!(
            "{}, 4 KiB write + fdatasync p50 {:.0} µs, p99 {:.0} µs",
            d.filesystem, d.sync_p50_us, d.sync_p99_us
        ),
        None => "unknown: the server's data directory was not named".to_owned(),
    };
    let rows = [
        ("workload", format!("{}{exponent}, {} accounts", setup.workload, count(setup.accounts))),
        (
            "load",
            format!(
                "{load}, batches of {}, {} connections × {} in flight, {} client threads",
                count(setup.batch as u64),
                setup.connections,
                setup.in_flight,
                setup.client_threads
            ),
        ),
        ("mode", format!("{}, {} codec", setup.mode, setup.codec)),
        ("time", format!("{:.1} s after {:.1} s of warm-up", setup.duration_s, setup.warmup_s)),
        ("durability", report.server.durability.clone()),
        (
            "ducat",
            format!(
                "{}, commit {}, {} build, {} partitions",
                report.server.version, harness.commit, harness.profile, report.server.partitions
            ),
        ),
        (
            "machine",
            format!(
                "{} cores, {}, kernel {}, {} of memory; {}",
                machine.cores,
                machine.cpu,
                machine.kernel,
                bytes(machine.memory_bytes),
                setup.sharing
            ),
        ),
        ("disk", disk),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// What came of it.
fn results(report: &Report) -> Table {
    let (results, latency) = (&report.results, &report.latency);
    let mut rows = vec![
        ("transfers".to_owned(), count(results.total)),
        ("  posted".to_owned(), count(results.ok)),
        ("  refused".to_owned(), count(results.refused_sum())),
    ];
    for (reason, n) in &results.refused {
        rows.push((format!("    {reason}"), count(*n)));
    }
    rows.push(("  repeats".to_owned(), count(results.repeats)));
    rows.push(("  errors".to_owned(), count(results.errors_sum())));
    for (class, n) in &results.errors {
        let example = results.error_examples.get(class).map(String::as_str).unwrap_or_default();
        rows.push((format!("    {class}"), format!("{} ({example})", count(*n))));
    }
    rows.push(("error rate".to_owned(), format!("{:.4} %", results.error_rate * 100.0)));
    rows.push(("requests".to_owned(), count(results.requests)));
    if results.unanswered_requests > 0 {
        rows.push(("  never answered".to_owned(), count(results.unanswered_requests)));
    }
    rows.push(("transfers/s".to_owned(), count(results.transfers_per_s as u64)));
    if report.setup.rate.is_some() {
        rows.push(("latest sending".to_owned(), ms(results.sent_late_ms_max)));
    }
    for (name, value) in [
        ("mean", latency.mean_ms),
        ("min", latency.min_ms),
        ("p50", latency.p50_ms),
        ("p90", latency.p90_ms),
        ("p95", latency.p95_ms),
        ("p99", latency.p99_ms),
        ("p99.9", latency.p99_9_ms),
        ("max", latency.max_ms),
    ] {
        rows.push((format!("request {name}"), ms(value)));
    }
    rows.extend(costs(report));
    let mut table = plain_table();
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn costs(report: &Report) -> Vec<(String, String)> {
    let costs = &report.costs;
    let show =
        |value: Option<f64>, unit| value.map_or("?".to_owned(), |v| format!("{v:.2} {unit}"));
    let size = |value: Option<u64>| value.map_or("?".to_owned(), bytes);
    let client = if report.setup.mode == "in-process" {
        "within the server's".to_owned()
    } else {
        show(costs.client_cpu_s, "s")
    };
    [
        ("server CPU", show(costs.server_cpu_s, "s")),
        ("server CPU a transfer", show(costs.server_cpu_us_per_transfer, "µs")),
        ("client CPU", client),
        ("journal a transfer", show(costs.journal_bytes_per_transfer, "B")),
        ("disk writes a transfer", show(costs.disk_bytes_per_transfer, "B")),
        ("server memory", size(costs.server_memory_bytes)),
        ("server memory, most", size(costs.server_memory_bytes_max)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Prints the figures of `a` and `b` and how many times `a` each of `b` is.
pub fn print_comparison(a: &Report, b: &Report) {
    let mut table = plain_table();
    table.set_header(["", "a", "b", "b / a"]);
    for (name, a, b) in comparison(a, b) {
        let ratio = if a == 0.0 { "–".to_owned() } else { format!("{:.2}×", b / a) };
        table.add_row([name.to_owned(), format!("{a:.3}"), format!("{b:.3}"), ratio]);
    }
    for index in 1..=3 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    for difference in differences(a, b) {
        println!("NOTE    {difference}");
    }
}

/// The figures that are compared: name, of `a`, of `b`. What either lacks is left out.
fn comparison(a: &Report, b: &Report) -> Vec<(&'static str, f64, f64)> {
    let figures = |r: &Report| {
        [
            ("transfers/s", Some(r.results.transfers_per_s)),
            ("posted/s", Some(r.results.posted_per_s)),
            ("error rate", Some(r.results.error_rate)),
            ("mean, ms", Some(r.latency.mean_ms)),
            ("p50, ms", Some(r.latency.p50_ms)),
            ("p90, ms", Some(r.latency.p90_ms)),
            ("p95, ms", Some(r.latency.p95_ms)),
            ("p99, ms", Some(r.latency.p99_ms)),
            ("p99.9, ms", Some(r.latency.p99_9_ms)),
            ("max, ms", Some(r.latency.max_ms)),
            ("server CPU a transfer, µs", r.costs.server_cpu_us_per_transfer),
            ("client CPU, s", r.costs.client_cpu_s),
            ("journal a transfer, B", r.costs.journal_bytes_per_transfer),
            ("disk writes a transfer, B", r.costs.disk_bytes_per_transfer),
            ("server memory, B", r.costs.server_memory_bytes.map(|b| b as f64)),
        ]
    };
    let pairs = figures(a).into_iter().zip(figures(b));
    pairs.filter_map(|((name, a), (_, b))| Some((name, a?, b?))).collect()
}

/// What makes two reports unlike each other.
fn differences(a: &Report, b: &Report) -> Vec<String> {
    let facts = |r: &Report| {
        [
            ("durability", r.server.durability.clone()),
            ("workload", format!("{} {:?}", r.setup.workload, r.setup.zipf_exponent)),
            ("accounts", r.setup.accounts.to_string()),
            ("batch", r.setup.batch.to_string()),
            ("mode", format!("{}, {}", r.setup.mode, r.setup.codec)),
            ("in flight", format!("{} × {}", r.setup.connections, r.setup.in_flight)),
            ("rate", format!("{:?}", r.setup.rate)),
            ("cores", r.machine.cores.to_string()),
            ("CPU", r.machine.cpu.clone()),
            ("kernel", r.machine.kernel.clone()),
            ("build", format!("{}, {}", r.harness.profile, r.harness.commit)),
        ]
    };
    let pairs = facts(a).into_iter().zip(facts(b));
    pairs
        .filter(|((_, a), (_, b))| a != b)
        .map(|((name, a), (_, b))| format!("{name} differs: {a} and {b}"))
        .collect()
}

fn ms(value: f64) -> String {
    format!("{value:.3} ms")
}

/// A number with its thousands apart.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that suits them.
pub fn bytes(value: u64) -> String {
    match value {
        0..1_048_576 => format!("{:.1} KiB", value as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", value as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
