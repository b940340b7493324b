//! Prints an [`OverloadReport`] for people.

use crate::overload::{OverloadReport, OverloadStep};
use crate::table::{bytes, checks, count, facts_of, plain_table, shout_unless_durable};
use comfy_table::CellAlignment;

/// The classes with a column of their own: how a server says that it has too much to do.
const OVERLOAD: [(&str, &str); 3] = [
    ("RESOURCE_EXHAUSTED", "exhausted"),
    ("UNAVAILABLE", "unavailable"),
    ("DEADLINE_EXCEEDED", "too late"),
];

/// Prints the whole report on stdout.
pub fn print(report: &OverloadReport) {
    shout_unless_durable(&report.server.durability);
    println!("{}", facts_of(&report.setup, &report.machine, &report.harness, &report.server));
    println!(
        "peak {} transfers/s (closed loop); requests may take {} ms; {} on their way at most; {}",
        count(report.peak_per_s as u64),
        report.deadline_ms,
        count(report.outstanding_max as u64),
        if report.insistent {
            "clients ask on however much is refused"
        } else {
            "clients hold back what the server would refuse"
        }
    );
    if let Some(after) = report.peak_after_per_s {
        println!("peak once more, behind all of it: {} transfers/s", count(after as u64));
    }
    if let Some(mebibytes) = report.memory_ahead_mib {
        println!("the server took {} MiB of memory before its start", count(mebibytes));
    }
    println!("{}", steps(report));
    match report.recovered_after_s {
        Some(seconds) => println!(
            "at {}x of the peak, 99% of the offered was answered again within {seconds} s",
            report.steps.last().map_or(0.0, |s| s.multiple)
        ),
        None => println!("99% of the offered was NOT answered again in any second"),
    }
    checks(&report.checks, &report.warnings);
    shout_unless_durable(&report.server.durability);
}

fn steps(report: &OverloadReport) -> comfy_table::Table {
    let mut table = plain_table();
    let mut header = vec!["offered", "transfers/s", "answered/s", "of peak"];
    header.extend(OVERLOAD.map(|(_, name)| name));
    header.extend(["other errors", "not sent", "p50", "p99", "memory"]);
    let columns = header.len();
    table.set_header(header);
    for step in &report.steps {
        table.add_row(row(step));
    }
    for index in 0..columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Counts as shares of what was offered, so that steps compare.
fn row(step: &OverloadStep) -> Vec<String> {
    let share =
        |part: u64| format!("{:.1} %", part as f64 * 100.0 / (step.offered as f64).max(1.0));
    let class = |name: &str| step.failed.get(name).copied().unwrap_or(0);
    let named: u64 = OVERLOAD.iter().map(|(name, _)| class(name)).sum();
    let mut cells = vec![
        format!("{}x", step.multiple),
        count(step.offered / u64::from(step.seconds)),
        count(step.goodput_per_s as u64),
        format!("{:.1} %", step.goodput_of_peak * 100.0),
    ];
    cells.extend(OVERLOAD.map(|(name, _)| share(class(name))));
    cells.extend([
        share(step.failed.values().sum::<u64>() - named),
        share(step.not_sent),
        format!("{:.1} ms", step.p50_ms),
        format!("{:.1} ms", step.p99_ms),
        step.server_memory_bytes_max.map_or("?".to_owned(), bytes),
    ]);
    cells
}
