//! The race's table for people, as text and as Markdown.

use super::figures::{Limit, Metric, Verdict};
use super::job::Found;
use super::rows::Row;
use super::{RaceReport, RowReport};
use crate::facts::Machine;
use crate::table::bytes;
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt::Write as _;

/// The columns.
const HEADER: [&str; 8] = [
    "row",
    "hold at least",
    "aim",
    "TigerBeetle*, p50 · p99",
    "median (least–most)",
    "p50 · p99",
    "times*",
    "verdict",
];

const FOOTNOTE: &str = "* TigerBeetle 0.17.8, published figures taken on a 2-core machine of \
                        this kind, not in the same run";

/// Says on stderr what a run found, at once.
pub fn progress(names: &[&str], found: Option<&Found>, problem: Option<&String>, rows: &[Row]) {
    for row in rows.iter().filter(|row| names.contains(&row.name)) {
        let figure = found.and_then(|found| found.figures.get(&row.main));
        let figure = figure.map_or("–".to_owned(), |value| row.main.show(*value));
        let latency = found.map_or(String::new(), |found| {
            latency(found.figures.get(&Metric::P50Ms), found.figures.get(&Metric::P99Ms))
        });
        eprintln!("    {:18} {figure}  {latency}", row.name);
    }
    for note in found.into_iter().flat_map(|found| &found.notes).chain(problem) {
        eprintln!("    {note}");
    }
}

/// Prints the whole race on stdout.
pub fn print(report: &RaceReport) {
    for line in header(report) {
        println!("{line}");
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(HEADER);
    for row in &report.rows {
        table.add_row(cells(row));
    }
    println!("{table}");
    println!("{FOOTNOTE}\n");
    println!("One run of a row:");
    for (names, command) in commands(report) {
        println!("  {names}: {command}");
    }
    for note in notes(report) {
        println!("NOTE    {note}");
    }
}

/// The same for a README.
pub fn markdown(report: &RaceReport) -> String {
    let mut text = String::new();
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&header(report).join("\n"));
    text.push_str("\n\n");
    text.push_str(&line(&HEADER.map(|name| name.replace('*', "\\*"))));
    text.push_str(&"|---".repeat(HEADER.len()));
    text.push_str("|\n");
    for row in &report.rows {
        text.push_str(&line(&cells(row)));
    }
    let _ = write!(text, "\n\\{FOOTNOTE}.\n\n```sh\n");
    for (names, command) in commands(report) {
        let _ = writeln!(text, "{command}    # {names}");
    }
    text.push_str("```\n");
    for note in notes(report) {
        let _ = writeln!(text, "\n- {note}");
    }
    text
}

/// Where and how, in a few lines.
fn header(report: &RaceReport) -> Vec<String> {
    let (machine, harness) = (&report.machine, &report.harness);
    let mut lines = vec![
        format!(
            "{} cores, {}, kernel {}, {} of memory, {}, {}",
            machine.cores,
            machine.cpu,
            machine.kernel,
            bytes(machine.memory_bytes),
            machine.speed(),
            disk(machine)
        ),
        format!(
            "ducat {}, commit {}, {} build; client and server share the machine; every answer \
             durable through power loss; medians of {} runs, rows taking turns",
            harness.version, harness.commit, harness.profile, report.runs
        ),
    ];
    if harness.profile != "release" {
        lines.push("**** A DEBUG BUILD: ITS FIGURES MEAN NOTHING ****".into());
    }
    lines
}

fn disk(machine: &Machine) -> String {
    machine.disk.as_ref().map_or("unknown disk".to_owned(), |disk| {
        let memory = if disk.is_memory() { " (IN MEMORY: SYNCS COST NOTHING)" } else { "" };
        format!(
            "{}{memory}, 4 KiB write + fdatasync p50 {:.0} µs, p99 {:.0} µs",
            disk.filesystem, disk.sync_p50_us, disk.sync_p99_us
        )
    })
}

fn cells(row: &RowReport) -> [String; 8] {
    let limits = |limits: &[Limit]| match limits {
        [] => "–".to_owned(),
        all => all.iter().map(|limit| limit.show()).collect::<Vec<_>>().join(", "),
    };
    let peer = row.peer.map_or("–".to_owned(), |value| {
        let latency = row.peer_latency_ms.map(|(p50, p99)| latency(Some(&p50), Some(&p99)));
        [Some(row.main.show(value)), latency].into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    let median = row.medians.get(&row.main).map_or("–".to_owned(), |value| {
        let spread = row
            .spread
            .filter(|_| row.runs.len() > 1)
            .map(|(least, most)| format!(" ({} – {})", row.main.show(least), row.main.show(most)));
        row.main.show(*value) + &spread.unwrap_or_default()
    });
    [
        format!("{} ({})", row.title, row.name),
        limits(&row.hold),
        limits(&row.aim),
        peer,
        median,
        latency(row.medians.get(&Metric::P50Ms), row.medians.get(&Metric::P99Ms)),
        row.times_peer.map_or("–".to_owned(), |times| format!("{times:.1}×")),
        verdict(row),
    ]
}

fn latency(p50: Option<&f64>, p99: Option<&f64>) -> String {
    match (p50, p99) {
        (Some(p50), Some(p99)) => format!("{p50:.1} · {p99:.1} ms"),
        _ => "–".to_owned(),
    }
}

/// `pass`, or short by how much; and the aim.
fn verdict(row: &RowReport) -> String {
    if row.notes.iter().any(|note| note.contains("BROKEN")) {
        return "BROKEN CHECK".to_owned();
    }
    match (&row.held, &row.reached) {
        // It was not measured, and a note says why.
        (None, _) => row.notes.first().cloned().unwrap_or_else(|| "not yet".to_owned()),
        (Some(Verdict::Short(missed)), _) => format!("SHORT: {}", missed.join(", ")),
        // Rows to hold others against.
        (Some(Verdict::Pass), None) if row.hold.is_empty() => "a yardstick".to_owned(),
        (Some(Verdict::Pass), None) => "pass".to_owned(),
        (Some(Verdict::Pass), Some(Verdict::Pass)) => "pass, aim reached".to_owned(),
        (Some(Verdict::Pass), Some(Verdict::Short(missed))) => {
            format!("pass; aim: {}", missed.join(", "))
        }
    }
}

/// Each command line once, with the rows it measures.
fn commands(report: &RaceReport) -> Vec<(String, &str)> {
    let mut commands: Vec<(String, &str)> = Vec::new();
    for row in &report.rows {
        match commands.iter_mut().find(|(_, command)| *command == row.command) {
            Some((names, _)) => {
                names.push_str(", ");
                names.push_str(&row.name);
            }
            None => commands.push((row.name.clone(), &row.command)),
        }
    }
    commands
}

/// What was noted, once for rows that share it.
fn notes(report: &RaceReport) -> Vec<String> {
    let mut seen = Vec::new();
    for row in &report.rows {
        for note in &row.notes {
            if !seen.iter().any(|(command, known, _)| *command == &row.command && *known == note) {
                seen.push((&row.command, note, format!("{}: {note}", row.name)));
            }
        }
    }
    seen.into_iter().map(|(_, _, text)| text).collect()
}
