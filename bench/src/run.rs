//! `ducat-bench run`: start, prepare, load, examine, report.

use crate::cli::{Mode, RunArgs};
use crate::driver::{Load, Running};
use crate::facts::Machine;
use crate::html;
use crate::ledger::progress_bar;
use crate::pace::{Offer, Schedule, Step};
use crate::production::Profile;
use crate::report::{
    CsvSetup, Harness, Latency, RampStep, Reads, Report, Results, Setup, distribution, write_hgrm,
};
use crate::search;
use crate::session::{Measured, Phase, Session};
use crate::table;
use crate::tally::Tally;
use crate::target_grpc::Manner;
use crate::workload::Workload;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the progress line is drawn.
pub const PROGRESS: Duration = Duration::from_millis(250);

/// How long after the end of an open loop what was due is still sent.
const PATIENCE: Duration = Duration::from_secs(50);

/// Runs, prints, writes what was asked for, and says whether every check held.
pub async fn run(arguments: &RunArgs) -> anyhow::Result<bool> {
    let report = measure(arguments).await?;
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    show(&report, arguments.html.as_deref(), arguments.hgrm.as_deref())?;
    Ok(report.held())
}

/// Prints a report and writes the files made of it.
pub fn show(report: &Report, html: Option<&Path>, hgrm: Option<&Path>) -> anyhow::Result<()> {
    table::print(report);
    if let Some(path) = hgrm {
        write_hgrm(report, path)?;
    }
    if let Some(path) = html {
        html::write(&[report], path)?;
    }
    Ok(())
}

/// Runs without printing a report or writing files: start, prepare, load, examine, stop.
/// The way in for commands that make several runs.
pub async fn measure(arguments: &RunArgs) -> anyhow::Result<Report> {
    let mut session = Session::open(arguments).await?;
    let (measured, search) = if arguments.find_rate {
        let (measured, search) = search::find_rate(arguments, &mut session).await?;
        (measured, Some(search))
    } else {
        let phase = Phase {
            load: match schedule(arguments) {
                Some(schedule) => Load::Open { schedule, shed: false, patience: PATIENCE },
                None => Load::Closed,
            },
            warmup: Duration::from_secs_f64(arguments.warmup),
            duration: Duration::from_secs_f64(arguments.duration),
            manner: Manner::default(),
            what: "measuring",
        };
        (session.load(arguments, phase).await?, None)
    };
    let (server, checks) = session.examine().await?;
    let mut report = report(arguments, &session, &measured)?;
    report.server = server;
    report.checks = checks;
    if let Some(search) = search {
        report.setup.rate = Some(search.found_rate.unwrap_or(search.steps[0].rate));
        report.search = Some(search);
    }
    report.checks.extend(session.stop().await?);
    Ok(report)
}

/// What one load came to; the ledger has not been examined yet.
pub fn report(
    arguments: &RunArgs,
    session: &Session,
    measured: &Measured,
) -> anyhow::Result<Report> {
    let (tally, counted_s) = (&measured.tally, measured.counted_s);
    let (harness, machine) = (session.harness.clone(), session.machine.clone());
    let per_request = arguments.batch() as f64 * (1.0 - arguments.read_share());
    let transfers = |offer: &Offer| (offer.due as f64 * per_request).round() as u64;
    let offered: Vec<u64> = tally.offered.iter().map(transfers).collect();
    let mut results = Results::of(tally, counted_s);
    results.offered = arguments.is_open().then(|| offered.iter().sum());
    Ok(Report {
        setup: setup(arguments, session, counted_s),
        server: Default::default(),
        warnings: warnings(&harness, &machine, arguments, tally),
        harness,
        machine,
        results,
        latency: Latency::of(&tally.latency),
        costs: measured.costs(arguments.mode == Mode::InProcess),
        checks: Vec::new(),
        seconds: tally.series.figures(&offered),
        distribution: distribution(&tally.latency),
        reads: tally.reads.as_ref().map(|reads| Reads::of(reads, counted_s)),
        ramp: ramp_steps(arguments, tally, &offered)?,
        search: None,
    })
}

/// What an open loop offers; the warm-up at the first rate.
fn schedule(arguments: &RunArgs) -> Option<Schedule> {
    let step = |seconds: f64, rate: f64| Step {
        length: Duration::from_secs_f64(seconds),
        requests_per_s: arguments.requests_per_s(rate),
    };
    let mut steps = Vec::new();
    if let Some(ramp) = arguments.ramp {
        steps.push(step(arguments.warmup, ramp.from));
        let mut left = arguments.duration;
        for rate in ramp.rates(arguments.duration) {
            steps.push(step(left.min(f64::from(ramp.step_s)), rate));
            left -= f64::from(ramp.step_s);
        }
    } else {
        steps.push(step(arguments.warmup + arguments.duration, arguments.rate?));
    }
    Some(Schedule { steps })
}

fn ramp_steps(
    arguments: &RunArgs,
    tally: &Tally,
    offered: &[u64],
) -> anyhow::Result<Vec<RampStep>> {
    let Some(ramp) = arguments.ramp else { return Ok(Vec::new()) };
    let length = ramp.step_s as usize;
    let rates = ramp.rates(arguments.duration).into_iter().enumerate();
    rates
        .map(|(index, rate)| {
            let (from, to) = (index * length, (index + 1) * length);
            let span = tally.series.span(from, to)?;
            Ok(RampStep {
                rate,
                offered: offered.iter().take(to).skip(from).sum(),
                answered: span.answered,
                failed: span.failed.values().sum(),
                p50_ms: span.p50_ms,
                p99_ms: span.p99_ms,
                max_ms: span.max_ms,
            })
        })
        .collect()
}

/// A number no other run has: the upper half of transfer ids.
pub fn random_id() -> u64 {
    rand::random::<u64>() | 1
}

/// Shows what is answered until `end`, or until every thread has ended.
pub async fn show_progress(what: &'static str, running: &Running, end: Instant) {
    let bar = progress_bar(what, 0);
    bar.unset_length();
    let (mut last, mut at) = (running.answered(), Instant::now());
    while Instant::now() < end && !running.is_finished() {
        let left = end.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(PROGRESS)).await;
        let answered = running.answered();
        let rate = (answered - last) as f64 / at.elapsed().as_secs_f64().max(1e-9);
        (last, at) = (answered, Instant::now());
        bar.set_style(indicatif::ProgressStyle::default_spinner());
        // A run by number has no end to count down to.
        let left = match left.as_secs() {
            seconds @ 0..86_400 => format!(", {seconds} s left"),
            _ => format!(", {} made", table::count(answered)),
        };
        bar.set_message(format!("{what}: {} transfers/s{left}", table::count(rate as u64)));
        bar.tick();
    }
    bar.finish_and_clear();
}

/// What was asked for, for a reader.
pub fn setup(arguments: &RunArgs, session: &Session, counted_s: f64) -> Setup {
    let codec = match arguments.mode {
        Mode::InProcess => "no".to_owned(),
        Mode::Client => "full".to_owned(),
        _ => format!("{:?}", arguments.codec).to_lowercase(),
    };
    Setup {
        workload: arguments.workload.name().into(),
        zipf_exponent: (arguments.workload == Workload::Zipf).then_some(arguments.zipf_exponent),
        accounts: session.accounts(),
        batch: arguments.batch(),
        connections: arguments.connections,
        in_flight: arguments.in_flight(),
        client_threads: arguments.client_threads.min(arguments.connections),
        mode: arguments.mode.name().into(),
        codec,
        profile: (arguments.own.profile == Profile::Production).then(|| "production".to_owned()),
        rate: arguments.rate,
        ramp: arguments.ramp.map(|ramp| ramp.to_string()),
        read_share: (arguments.workload == Workload::Mixed).then(|| arguments.read_share()),
        hold_share: (arguments.workload == Workload::Holds).then(|| arguments.hold_share()),
        refund_share: (arguments.workload == Workload::Refunds).then(|| arguments.refund_share()),
        terms_share: (arguments.workload == Workload::Terms).then(|| arguments.terms_share()),
        read_accounts: arguments.reads().then(|| arguments.read_accounts()),
        reads_per_s: arguments.reads_per_s,
        csv: session.data.as_ref().zip(arguments.csv_files()).map(|(data, files)| {
            let name = |path: &Path| {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            };
            CsvSetup {
                file: name(&files.transfers),
                mapping: name(&files.mapping),
                rows: data.rows.len() as u64,
                skipped: data.skipped.clone(),
                repeated: arguments.csv_repeat,
            }
        }),
        duration_s: counted_s,
        warmup_s: arguments.warmup,
        amount_max: arguments.amount_max,
        linked_share: arguments.linked_share,
        linked_legs: arguments.linked_legs,
        repeat_share: arguments.repeat_share,
        seed: arguments.seed,
        sharing: session.backend.sharing().into(),
    }
}

/// What a reader must know before believing a figure.
fn warnings(
    harness: &Harness,
    machine: &Machine,
    arguments: &RunArgs,
    tally: &Tally,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if harness.profile != "release" {
        warnings.push("the harness is a debug build; its figures mean nothing".to_owned());
    }
    if machine.disk.as_ref().is_some_and(crate::facts::Disk::is_memory) {
        warnings.push("the data directory is in memory; durable writes cost nothing there".into());
    }
    if tally.whole.unanswered_requests > 0 {
        warnings.push("some requests were never answered; their latency is not counted".into());
    }
    if tally.whole.unsent_requests > 0 {
        warnings.push(format!(
            "{} requests were due and never sent: the rate was too high; their latency is not \
             counted",
            tally.whole.unsent_requests
        ));
    }
    let late_ms = tally.late_ns_max as f64 / 1e6;
    if arguments.is_open() && late_ms > 10.0 {
        warnings.push(format!(
            "the offered rate was not kept: a request was sent {late_ms:.0} ms late (counted in \
             its latency)"
        ));
    }
    if arguments.workload == Workload::Csv && !tally.by_code.contains_key(&0) {
        warnings.push(
            "no row of the file was posted: do its accounts need what they begin with \
             (--csv-accounts)?"
                .into(),
        );
    }
    if arguments.check && arguments.server.is_some() {
        warnings.push("--check needs a server of our own; balances were not compared".into());
    }
    warnings
}
