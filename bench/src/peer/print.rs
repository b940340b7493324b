//! Prints a [`Comparison`] for people.

use super::Comparison;
use crate::table::{bytes, count};
use comfy_table::{CellAlignment, Table, presets};

/// Prints it on stdout.
pub fn print(comparison: &Comparison) {
    println!("{}", facts(comparison));
    println!("{}", figures(comparison));
    for (what, ratio) in comparison.ratios() {
        println!("Ducat is {ratio:.1}× PostgreSQL, {what}");
    }
    for (name, leg) in comparison.legs() {
        for check in &leg.checks {
            let mark = match check.held {
                Some(true) => "ok    ",
                Some(false) => "BROKEN",
                None => "unsure",
            };
            println!("{mark}  {name}: {}  ({})", check.name, check.detail);
        }
        for (class, errors) in &leg.results.errors {
            let example = leg.results.error_examples.get(class).map_or("", String::as_str);
            println!("NOTE    {name}: {} transfers failed, {class} ({example})", count(*errors));
        }
    }
    if comparison.harness.profile != "release" {
        println!("NOTE    the harness is a debug build; its figures mean nothing");
    }
}

fn facts(comparison: &Comparison) -> Table {
    let (machine, harness) = (&comparison.machine, &comparison.harness);
    let settings: Vec<_> =
        comparison.settings.iter().map(|s| format!("{} = {}", s.name, s.value)).collect();
    let disk = machine.disk.as_ref().map_or("unknown".to_owned(), |d| {
        format!("{}, 4 KiB write + fdatasync p50 {:.0} µs", d.filesystem, d.sync_p50_us)
    });
    let whose = if comparison.own_cluster { "a cluster of our own" } else { "a running server" };
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    for (name, value) in [
        (
            "load",
            format!(
                "{}, {} accounts, {:.1} s each, one after the other",
                comparison.workload,
                count(comparison.accounts),
                comparison.duration_s
            ),
        ),
        ("PostgreSQL", format!("{whose}: {}", settings.join(", "))),
        ("Ducat", format!("commit {}, {} build, power-loss", harness.commit, harness.profile)),
        (
            "machine",
            format!(
                "{} cores, {}, kernel {}, {} of memory",
                machine.cores,
                machine.cpu,
                machine.kernel,
                bytes(machine.memory_bytes)
            ),
        ),
        ("disk", disk),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    table
}

fn figures(comparison: &Comparison) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "batch", "in flight", "posted/s", "refused/s", "p50", "p99"]);
    for (name, leg) in comparison.legs() {
        let refused = leg.results.refused_sum() as f64 / comparison.duration_s;
        table.add_row([
            name.to_owned(),
            count(leg.batch as u64),
            count(leg.in_flight as u64),
            count(leg.results.posted_per_s as u64),
            count(refused as u64),
            format!("{:.2} ms", leg.latency.p50_ms),
            format!("{:.2} ms", leg.latency.p99_ms),
        ]);
    }
    for index in 1..=6 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
