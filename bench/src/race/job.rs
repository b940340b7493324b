//! What measures rows: a command of `ducat-bench`, written as a person would type it, executed
//! here, its report boiled down to [`Figures`].

use super::RaceArgs;
use super::figures::{Figures, Metric};
use crate::check::Check;
use crate::cli::{Cli, Command, RunArgs, ServerArgs};
use crate::floor::Floor;
use crate::footprint::{Footprint, FootprintArgs};
use crate::overload::{OverloadArgs, OverloadReport};
use crate::peer::{Comparison, Peer, PostgresArgs};
use crate::production::Profile;
use crate::report::Report;
use crate::table::count;
use anyhow::{Context, bail};
use clap::Parser;

/// Below this many seconds a run, the overload scenario is shortened as well.
const OVERLOAD_SHORT_S: f64 = 10.0;

/// A command with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// `ducat-bench run`.
    Run(&'static str),
    /// `ducat-bench floor`.
    Floor(&'static str),
    /// `ducat-bench footprint`.
    Footprint(&'static str),
    /// `ducat-bench peer postgres`.
    Postgres(&'static str),
    /// `ducat-bench overload`.
    Overload(&'static str),
}

/// What a job found in one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The figures.
    pub figures: Figures,
    /// What a reader must know: broken checks, errors.
    pub notes: Vec<String>,
    /// A check did not hold.
    pub is_broken: bool,
}

impl Job {
    /// Whether it is measured once however many runs there are: its length is not a time.
    pub fn is_once(self) -> bool {
        !matches!(self, Self::Run(_) | Self::Floor(_))
    }

    /// The command line that repeats it.
    pub fn command(self, race: &RaceArgs) -> String {
        let mut words = vec![self.bare(race)];
        // The empty server is no server of ours.
        if !matches!(self, Self::Floor(_)) {
            words.extend(own_arguments(&race.own));
        }
        if let (Self::Postgres(_), Some(path)) = (self, &race.postgres_bin) {
            words.push(format!("--postgres-bin={}", path.display()));
        }
        words.join(" ")
    }

    /// The same without the race's own ways of starting servers.
    fn bare(self, race: &RaceArgs) -> String {
        let (verb, arguments) = match self {
            Self::Run(a) => ("run", a),
            Self::Floor(a) => ("floor", a),
            Self::Footprint(a) => ("footprint", a),
            Self::Postgres(a) => ("peer postgres", a),
            Self::Overload(a) => ("overload", a),
        };
        let mut words = vec!["ducat-bench", verb];
        let (length, warmup) = race.length();
        let timed = format!("--duration {length} --warmup {warmup}");
        let own_length = arguments.contains("--duration");
        let shortened = arguments.split(" --duration").next().unwrap_or_default();
        words.push(if race.quick { shortened } else { arguments });
        if matches!(self, Self::Run(_) | Self::Floor(_) | Self::Postgres(_))
            && (race.quick || !own_length)
        {
            words.push(&timed);
        }
        // A short race shortens this too; a long one leaves it as long as it is by itself.
        let overload =
            format!("--duration {} --peak-duration {length} --warmup {warmup}", length.ceil());
        if matches!(self, Self::Overload(_)) && length < OVERLOAD_SHORT_S {
            words.push(&overload);
        }
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    /// Why this build or machine cannot measure it, if it cannot.
    pub fn unavailable(self, race: &RaceArgs) -> Option<String> {
        match self {
            Self::Postgres(_) => crate::peer::missing(race.postgres_bin.as_deref()),
            _ => None,
        }
    }

    fn parse(self, race: &RaceArgs) -> Result<Command, clap::Error> {
        Ok(Cli::try_parse_from(self.bare(race).split_whitespace())?.command)
    }

    /// Refuses what could not run, before anything is started.
    pub fn validate(self, race: &RaceArgs) -> anyhow::Result<()> {
        if self.unavailable(race).is_some() {
            return Ok(());
        }
        match self.parse(race)? {
            Command::Run(arguments) => arguments.validate(),
            Command::Floor(arguments) => arguments.validate(),
            Command::Footprint(arguments) => arguments.validate(),
            Command::Peer { peer: Peer::Postgres(arguments) } => arguments.validate(),
            Command::Overload(arguments) => arguments.peak().map(drop),
            other => bail!("{other:?} is no job of the race"),
        }
    }

    /// Measures once.
    pub async fn measure(self, race: &RaceArgs) -> anyhow::Result<Found> {
        match self.parse(race)? {
            Command::Run(arguments) => {
                let arguments = RunArgs { own: race.own.clone(), ..*arguments };
                Ok(of_report(&crate::run::measure(&arguments).await?))
            }
            Command::Floor(arguments) => Ok(of_floor(&crate::floor::measure(&arguments).await?)),
            Command::Footprint(arguments) => {
                let arguments = FootprintArgs { own: race.own.clone(), ..arguments };
                Ok(of_footprint(&crate::footprint::measure(&arguments).await?))
            }
            Command::Peer { peer: Peer::Postgres(arguments) } => {
                let arguments = PostgresArgs {
                    own: race.own.clone(),
                    postgres_bin: race.postgres_bin.clone(),
                    ..*arguments
                };
                Ok(of_comparison(&crate::peer::measure(&arguments).await?))
            }
            Command::Overload(arguments) => {
                let arguments = OverloadArgs { own: race.own.clone(), ..*arguments };
                of_overload(&crate::overload::measure(&arguments).await?)
            }
            other => bail!("{other:?} is no job of the race"),
        }
    }
}

/// The race's own ways of starting servers, as typed.
fn own_arguments(own: &ServerArgs) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(path) = &own.ducat {
        words.push(format!("--ducat={}", path.display()));
    }
    if let Some(path) = &own.data_parent {
        words.push(format!("--data-parent={}", path.display()));
    }
    if own.profile != Profile::default() {
        words.push("--profile=production".to_owned());
    }
    words.extend(own.serve_arguments.iter().map(|a| format!("--serve-arg={a}")));
    words
}

fn broken(name: &str, checks: &[Check]) -> Vec<String> {
    let broken = checks.iter().filter(|check| check.held == Some(false));
    broken.map(|check| format!("{name}BROKEN: {} ({})", check.name, check.detail)).collect()
}

fn of_report(report: &Report) -> Found {
    let (results, latency) = (&report.results, &report.latency);
    let lost = results.unanswered_requests * report.setup.batch as u64;
    let errors = results.errors_sum() + lost;
    let mut figures = Figures::from([
        (Metric::PostedPerS, results.posted_per_s),
        (Metric::P50Ms, latency.p50_ms),
        (Metric::P99Ms, latency.p99_ms),
        (Metric::P999Ms, latency.p99_9_ms),
        (Metric::Errors, errors as f64),
    ]);
    if let Some(bytes) = report.costs.disk_bytes_per_transfer {
        figures.insert(Metric::WrittenPerTransfer, bytes);
    }
    let mut notes = broken("", &report.checks);
    let is_broken = !notes.is_empty();
    if let Some(reads) = &report.reads {
        figures.insert(Metric::ReadP50Ms, reads.latency.p50_ms);
        figures.insert(Metric::ReadP99Ms, reads.latency.p99_ms);
        let failed: u64 = reads.errors.values().sum();
        notes.push(format!(
            "{} reads, p50 {}, p99 {}, {failed} failed",
            count(reads.requests),
            Metric::ReadP50Ms.show(reads.latency.p50_ms),
            Metric::ReadP99Ms.show(reads.latency.p99_ms)
        ));
    }
    if errors > 0 {
        notes.push(format!("{errors} transfers failed: {:?}", results.error_examples));
    }
    // The offered rate counts only when it was offered.
    notes.extend(report.warnings.iter().filter(|w| w.contains("offered rate")).cloned());
    Found { figures, notes, is_broken }
}

fn of_floor(floor: &Floor) -> Found {
    let figures = Figures::from([
        (Metric::PostedPerS, floor.calls_per_s),
        (Metric::P50Ms, floor.latency.p50_ms),
        (Metric::P99Ms, floor.latency.p99_ms),
        (Metric::Errors, floor.errors as f64),
    ]);
    Found { figures, ..Found::default() }
}

fn of_footprint(footprint: &Footprint) -> Found {
    const TEN_MILLION: f64 = 1e7;
    let mut figures = Figures::from([
        (Metric::RestartS, footprint.restart_s),
        (Metric::IdsBytes, footprint.engine_bytes_per_id * TEN_MILLION),
    ]);
    if let Some(each) = footprint.resident_bytes_per_account {
        figures.insert(Metric::AccountsBytes, each * TEN_MILLION);
    }
    let mut notes = Vec::new();
    if !footprint.conserved {
        notes.push("BROKEN: money is not conserved".to_owned());
    }
    if !footprint.is_same_state() {
        notes.push("BROKEN: the restart rebuilt another state".to_owned());
    }
    Found { figures, is_broken: !notes.is_empty(), notes }
}

fn of_comparison(comparison: &Comparison) -> Found {
    let [(_, single), (_, batched), (_, mixed)] = comparison.ratios();
    let mut notes = Vec::new();
    for (name, leg) in comparison.legs() {
        notes.extend(broken(&format!("{name}: "), &leg.checks));
    }
    let is_broken = !notes.is_empty();
    let legs = comparison.legs().map(|(name, leg)| {
        let rate = Metric::PostedPerS.show(leg.results.posted_per_s);
        format!("{name} {rate} (p50 {:.2} ms)", leg.latency.p50_ms)
    });
    notes.push(legs.join(" · "));
    let figures = Figures::from([
        (Metric::RatioSingle, single),
        (Metric::RatioBatched, batched),
        (Metric::RatioMixed, mixed),
    ]);
    Found { figures, notes, is_broken }
}

/// The figures of the scenario's report.
fn of_overload(report: &OverloadReport) -> anyhow::Result<Found> {
    let mut figures = Figures::new();
    for (multiple, metric) in
        [(2.0, Metric::Goodput2), (5.0, Metric::Goodput5), (10.0, Metric::Goodput10)]
    {
        let step = report.steps.iter().find(|step| step.multiple == multiple);
        let step = step.with_context(|| format!("no goodput at {multiple}× in the report"))?;
        figures.insert(metric, step.goodput_of_peak * 100.0);
    }
    let mut notes = broken("", &report.checks);
    let is_broken = !notes.is_empty();
    match report.recovered_after_s {
        Some(seconds) => {
            figures.insert(Metric::RecoveredS, f64::from(seconds));
        }
        None => notes.push("the load after the overload was not answered again".to_owned()),
    }
    Ok(Found { figures, notes, is_broken })
}
