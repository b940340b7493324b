//! `ducat-bench race`: every figure Ducat is held to, measured, beside what it is held to.
//!
//! ```text
//! rows ─▶ jobs (a command line each) ─▶ found, run by run ─▶ medians ─▶ verdicts ─▶ table
//!                                          └─▶ --json after every run
//! ```
//! Rows are interleaved: the first run of all, then the second of all, so that a machine's
//! slow spell hits all rows alike.

mod figures;
mod job;
mod print;
mod rows;

use crate::backend::temporary;
use crate::child::Durability;
use crate::cli::ServerArgs;
use crate::facts::Machine;
use crate::report::Harness;
use anyhow::{Context, bail, ensure};
use clap::Args;
use figures::{Figures, Limit, Metric, Verdict, medians, spread};
use job::{Found, Job};
use rows::{Row, rows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Seconds that count of a run with `--quick`, and those before them.
const QUICK_S: (f64, f64) = (5.0, 1.0);

/// Arguments of `race`.
#[derive(Args, Debug, Clone)]
pub struct RaceArgs {
    /// Only these rows, separated by commas; an unknown name prints all names.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub rows: Vec<String>,
    /// Runs of each row; the median counts. What is not timed (footprint, overload,
    /// PostgreSQL) is measured once.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Seconds that count, of each run.
    #[arg(long, default_value_t = 15.0)]
    pub duration: f64,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 3.0)]
    pub warmup: f64,
    /// One run of 5 s each; rows that cannot be so short only when named by --rows, and then
    /// the overload scenario in steps of 5 s.
    #[arg(long, conflicts_with_all = ["runs", "duration", "warmup"])]
    pub quick: bool,
    /// Write everything as JSON, after every run, so that an interrupted race leaves its
    /// results.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the table as Markdown.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// The directory with PostgreSQL's `initdb` and `postgres`. Default: the path, then
    /// Debian's places.
    #[arg(long, value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// How to start servers.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl RaceArgs {
    /// Seconds that count and seconds before them, of each run.
    fn length(&self) -> (f64, f64) {
        if self.quick { QUICK_S } else { (self.duration, self.warmup) }
    }

    fn runs(&self) -> usize {
        if self.quick { 1 } else { self.runs }
    }

    /// The rows asked for, in the table's order.
    fn chosen(&self) -> anyhow::Result<Vec<Row>> {
        let all = rows();
        for name in &self.rows {
            if !all.iter().any(|row| row.name == name) {
                let names: Vec<_> = all.iter().map(|row| row.name).collect();
                bail!("there is no row `{name}`; the rows are {}", names.join(", "));
            }
        }
        let is_chosen = |row: &Row| {
            if self.rows.is_empty() {
                let timed = matches!(row.job, Job::Run(_) | Job::Floor(_) | Job::Postgres(_));
                timed || !self.quick
            } else {
                self.rows.iter().any(|name| name == row.name)
            }
        };
        Ok(all.into_iter().filter(is_chosen).collect())
    }

    /// Refuses what cannot be run, before anything is started.
    fn validate(&self) -> anyhow::Result<Vec<Row>> {
        ensure!((1..=1000).contains(&self.runs), "--runs must be 1 to 1000");
        ensure!(
            self.own.durability == Durability::PowerLoss,
            "the race is for durable answers; see `ducat-bench run --durability none` for limits"
        );
        let rows = self.chosen()?;
        for row in &rows {
            row.job.validate(self).with_context(|| format!("row `{}`", row.name))?;
        }
        Ok(rows)
    }
}

/// The race as written to JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceReport {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// Runs of each timed row.
    pub runs: usize,
    /// Whether all of them were made.
    pub is_complete: bool,
    /// The rows.
    pub rows: Vec<RowReport>,
}

/// What a row came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowReport {
    /// The name for `--rows`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// The command line that repeats one run of it.
    pub command: String,
    /// The figure in the middle.
    pub main: Metric,
    /// To be held.
    pub hold: Vec<Limit>,
    /// To be reached.
    pub aim: Vec<Limit>,
    /// TigerBeetle's figure of the main metric, from a machine of this kind, not from this run.
    pub peer: Option<f64>,
    /// Its p50 and p99, milliseconds.
    pub peer_latency_ms: Option<(f64, f64)>,
    /// Each run's figures.
    pub runs: Vec<Figures>,
    /// Their medians.
    pub medians: Figures,
    /// The least and the most of the main metric.
    pub spread: Option<(f64, f64)>,
    /// How many times the peer.
    pub times_peer: Option<f64>,
    /// Whether it holds; absent when it was not measured.
    pub held: Option<Verdict>,
    /// Whether the aim is reached; absent without one.
    pub reached: Option<Verdict>,
    /// Broken checks, errors, why it was not measured.
    pub notes: Vec<String>,
}

/// One job of the race and what its runs found.
struct Lane {
    job: Job,
    names: Vec<&'static str>,
    found: Vec<Found>,
    /// Why it is not measured, or what went wrong.
    problems: Vec<String>,
    is_open: bool,
}

/// Measures everything, prints the table, and says whether every check held.
pub async fn race(arguments: &RaceArgs) -> anyhow::Result<bool> {
    let rows = arguments.validate()?;
    let probe = temporary(&arguments.own)?;
    let machine = Machine::measure(Some(probe.path()))?;
    drop(probe);
    let harness = Harness::now();
    let mut lanes = lanes(&rows, arguments);
    let report = |lanes: &[Lane], is_complete| RaceReport {
        harness: harness.clone(),
        machine: machine.clone(),
        runs: arguments.runs(),
        is_complete,
        rows: rows.iter().map(|row| row_report(row, lanes, arguments)).collect(),
    };
    let mut failed = 0;
    for run in 0..arguments.runs() {
        for at in 0..lanes.len() {
            let lane = &mut lanes[at];
            if !lane.is_open || (run > 0 && lane.job.is_once()) {
                continue;
            }
            eprintln!("run {} of {}: {}", run + 1, arguments.runs(), lane.job.command(arguments));
            match lane.job.measure(arguments).await {
                Ok(found) => lane.found.push(found),
                Err(e) => {
                    failed += 1;
                    lane.problems.push(format!("run {} failed: {e:#}", run + 1));
                }
            }
            print::progress(&lane.names, lane.found.last(), lane.problems.last(), &rows);
            write_json(arguments, &report(&lanes, false))?;
        }
    }
    let report = report(&lanes, true);
    write_json(arguments, &report)?;
    print::print(&report);
    if let Some(path) = &arguments.markdown {
        std::fs::write(path, print::markdown(&report))
            .with_context(|| format!("write {}", path.display()))?;
    }
    ensure!(failed == 0, "{failed} runs failed; see the notes above");
    Ok(!lanes.iter().flat_map(|lane| &lane.found).any(|found| found.is_broken))
}

/// The jobs behind the rows, each once.
fn lanes(rows: &[Row], arguments: &RaceArgs) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    for row in rows {
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.job == row.job) {
            lane.names.push(row.name);
            continue;
        }
        let problem = row.job.unavailable(arguments);
        lanes.push(Lane {
            job: row.job,
            names: vec![row.name],
            found: Vec::new(),
            is_open: problem.is_none(),
            problems: problem.into_iter().collect(),
        });
    }
    lanes
}

fn row_report(row: &Row, lanes: &[Lane], arguments: &RaceArgs) -> RowReport {
    let lane = lanes.iter().find(|lane| lane.job == row.job);
    let found = lane.map_or(&[][..], |lane| &lane.found);
    let runs: Vec<Figures> = found.iter().map(|found| found.figures.clone()).collect();
    let medians = medians(&runs);
    let mut notes: Vec<String> = lane.map_or(Vec::new(), |lane| lane.problems.clone());
    for (run, found) in found.iter().enumerate() {
        notes.extend(found.notes.iter().map(|note| format!("run {}: {note}", run + 1)));
    }
    let ours = medians.get(&row.main);
    RowReport {
        name: row.name.into(),
        title: row.title.into(),
        command: row.job.command(arguments),
        main: row.main,
        hold: row.hold.clone(),
        aim: row.aim.clone(),
        peer: row.peer.map(|peer| peer.main),
        peer_latency_ms: row.peer.and_then(|peer| peer.latency_ms),
        spread: spread(&runs, row.main),
        times_peer: row.peer.zip(ours).map(|(peer, ours)| row.main.ratio(*ours, peer.main)),
        held: (!runs.is_empty()).then(|| Verdict::of(&medians, &row.hold)),
        reached: (!runs.is_empty() && !row.aim.is_empty()).then(|| Verdict::of(&medians, &row.aim)),
        runs,
        medians,
        notes,
    }
}

fn write_json(arguments: &RaceArgs, report: &RaceReport) -> anyhow::Result<()> {
    let Some(path) = &arguments.json else { return Ok(()) };
    // Whole or not at all: an interruption may come at any moment.
    let beside = path.with_extension("json.part");
    std::fs::write(&beside, serde_json::to_string_pretty(report)? + "\n")
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
