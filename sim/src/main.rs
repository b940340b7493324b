//! `ducat-sim`: plays seeds, many or one, and prints what they reached.
#![allow(clippy::print_stdout, reason = "this is a program")]

use anyhow::{Context, Result, bail};
use clap::Parser;
use ducat_sim::faults::Fault;
use ducat_sim::plan::Plan;
use ducat_sim::run::{attempt, explain, run, with_steps};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

/// Plays runs of the simulator. Data on stdout, progress on stderr; exits 1 when a seed fails.
#[derive(Parser)]
#[command(name = "ducat-sim", version)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Threads, each with seeds of its own.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// One seed alone, with its trace.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these steps of the seed's script, as a failure names them.
    #[arg(long, requires = "seed")]
    keep: Option<String>,
    /// A planted bug, by its name.
    #[arg(long)]
    fault: Option<String>,
    /// In how many seeds each planted bug is found, as a table.
    #[arg(long, conflicts_with_all = ["seed", "fault"])]
    planted: bool,
}

fn fault_of(name: Option<&str>) -> Result<Fault> {
    let Some(name) = name else { return Ok(Fault::None) };
    let found = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
    found.with_context(|| format!("no planted bug is called `{name}`; there are {:?}", Fault::ALL))
}

fn one(seed: u64, keep: Option<&str>, fault: Fault) -> Result<()> {
    let mut plan = Plan { fault, ..Plan::new(seed) };
    if let Some(keep) = keep {
        let steps = keep.split(',').filter(|at| !at.is_empty()).map(str::parse);
        let steps: Vec<usize> = steps.collect::<Result<_, _>>().context("--keep wants numbers")?;
        plan = with_steps(&plan, &steps);
    }
    match attempt(&plan, true) {
        Ok(report) => {
            println!("{}\n{report}", ducat_sim::world::last_trace().join("\n"));
            Ok(())
        }
        Err(failure) => {
            println!("{}", failure.trace.join("\n"));
            bail!("seed {seed}: {}", failure.why)
        }
    }
}

fn main() -> ExitCode {
    match play(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &Arguments) -> Result<()> {
    let fault = fault_of(arguments.fault.as_deref())?;
    // A failing seed's own assertion is told with the seed.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = arguments.seed {
        return one(seed, arguments.keep.as_deref(), fault);
    }
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    if arguments.planted {
        println!("| planted bug | found by seed | how it shows |\n|---|---|---|");
        for fault in Fault::ALL {
            let (found, how) = match run(seeds.clone(), 1, fault, &|_| {}) {
                Ok(_) => ("not found".to_owned(), String::new()),
                Err(failed) => ((failed.seed + 1).to_string(), failed.why),
            };
            let how: String = how.lines().next().unwrap_or_default().chars().take(90).collect();
            println!("| `{fault:?}` | {found} | {} |", how.replace('|', "/"));
        }
        return Ok(());
    }
    let begun = Instant::now();
    let shown = std::io::stderr().is_terminal();
    let progress = |done: u64| {
        if shown && done.is_multiple_of(1_000) {
            eprint!("\r{done} of {} seeds", arguments.seeds);
        }
    };
    let played = run(seeds, arguments.threads, fault, &progress);
    if shown {
        eprint!("\r");
    }
    match played {
        Ok(report) => {
            let rate = report.seeds as f64 / begun.elapsed().as_secs_f64();
            println!("{report}\n{rate:.0} seeds/s on {} threads", arguments.threads);
            Ok(())
        }
        Err(failed) => {
            println!("{}", explain(failed.seed, fault));
            bail!("seed {}: {}", failed.seed, failed.why)
        }
    }
}
