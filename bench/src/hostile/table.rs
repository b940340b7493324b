//! Prints a [`HostileReport`] for people.

use super::report::{HostileReport, HostileRow, Pair};
use crate::table::{bytes, checks, count, facts_of, plain_table, shout_unless_durable};
use comfy_table::{CellAlignment, Table};

/// Prints the whole report on stdout.
pub fn print(report: &HostileReport) {
    shout_unless_durable(&report.server.durability);
    println!("{}", facts_of(&report.setup, &report.machine, &report.harness, &report.server));
    println!(
        "beside it {} transfers/s in batches of {}; {} s alone and {} s attacked, {} times",
        count(report.batch_rate as u64),
        count(report.batch as u64),
        report.setup.duration_s,
        report.setup.duration_s,
        report.rounds
    );
    let bound = match report.tries_per_s_max {
        Some(most) => format!("{} attempts/s at most", count(u64::from(most))),
        None => "as fast as they can".to_owned(),
    };
    println!("attackers: {} thread(s) of the lowest priority, {bound}", report.attack_threads);
    println!("{}", rows(&report.rows));
    checks(&report.checks, &report.warnings);
    shout_unless_durable(&report.server.durability);
}

fn rows(rows: &[HostileRow]) -> Table {
    let header = [
        "attack",
        "tries/s",
        "their cores",
        "server's",
        "1: p50",
        "p99",
        "ratio",
        "batch: p50",
        "p99",
        "ratio",
        "errors",
        "newcomers",
        "slowest",
        "memory",
        "alive",
    ];
    let mut table = plain_table();
    table.set_header(header);
    for row in rows {
        table.add_row(cells(row));
    }
    for index in 1..header.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn cells(row: &HostileRow) -> Vec<String> {
    let cores = |cores: Option<f64>| cores.map_or("?".to_owned(), |cores| format!("{cores:.2}"));
    let memory = |memory: Option<u64>| memory.map_or("?".to_owned(), bytes);
    let mut cells = vec![
        row.attack.clone(),
        count(row.tries_per_s as u64),
        cores(row.attackers_cores),
        format!("{} → {}", cores(row.server_cores_alone), cores(row.server_cores_beside)),
    ];
    for Pair { alone, beside, p99_ratio } in [&row.single, &row.batched] {
        cells.extend([
            format!("{:.1} → {:.1} ms", alone.p50_ms, beside.p50_ms),
            format!("{:.1} → {:.1} ms", alone.p99_ms, beside.p99_ms),
            format!("{p99_ratio:.2}"),
        ]);
    }
    cells.extend([
        count(row.errors_sum()),
        format!("{} of {}", row.newcomers_answered, row.newcomers),
        format!("{:.0} ms", row.newcomer_slowest_ms),
        format!("{} → {}", memory(row.memory_bytes_before), memory(row.memory_bytes_max)),
        if row.alive { "yes" } else { "NO" }.to_owned(),
    ]);
    cells
}
