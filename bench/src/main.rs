//! `ducat-bench`, Ducat's load harness.
//!
//! ```text
//! cli ─▶ run ─▶ backend (own server, running server, engine in process)
//!         ├──▶ session  one prepared ledger, one load after another
//!         ├──▶ ledger   opens and funds accounts, status, balances
//!         ├──▶ driver   threads ▸ workers: pace ▸ generator ▸ target (port) ▸ tally
//!         ├──▶ check    conservation, counters, balances; history against the journal
//!         └──▶ report ▸ table, html, compare
//! floor ─▶ the same calls to an empty handler
//! hostile ─▶ session's load, alone and beside attacks on the port
//! peer ─▶ the same load on PostgreSQL          race ─▶ run, footprint, peer, row by row
//! ```

mod address;
mod backend;
mod chart;
mod check;
mod child;
mod cli;
mod codec;
mod compare;
mod csv_data;
mod driver;
mod facts;
mod fees;
mod floor;
mod footprint;
mod generator;
mod h2_calls;
mod history;
mod hostile;
mod html;
mod html_charts;
mod inprocess;
mod item_terms;
mod ledger;
mod overload;
mod overload_table;
mod pace;
mod peer;
mod population;
mod procfs;
mod production;
mod race;
mod readers;
mod report;
mod rng;
mod run;
mod search;
mod second_books;
mod series;
mod session;
mod snapshots;
mod table;
mod tally;
mod target;
mod target_client;
mod target_grpc;
mod target_inprocess;
mod target_postgres;
mod trim;
mod wire;
mod workload;
mod yardstick;
mod zipf;

#[cfg(test)]
mod end_to_end_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod ledger_workload_tests;
#[cfg(test)]
mod real_server_tests;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A check did not hold.
const EXIT_CHECK_FAILED: u8 = 3;

fn main() -> ExitCode {
    ducat_api::allocator::keep_freed_memory();
    match execute(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: a check did not hold; see above");
            ExitCode::from(EXIT_CHECK_FAILED)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; false when a check did not hold.
fn execute(cli: Cli) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Command::Run(arguments) => runtime.block_on(run::run(&arguments)),
        Command::Footprint(arguments) => runtime.block_on(footprint::footprint(&arguments)),
        Command::Trim(arguments) => runtime.block_on(trim::trim(&arguments)),
        Command::Peer { peer } => runtime.block_on(peer::compare(&peer)),
        Command::Floor(arguments) => runtime.block_on(floor::floor(&arguments)),
        Command::Race(arguments) => runtime.block_on(race::race(&arguments)),
        Command::List => {
            for workload in workload::Workload::ALL {
                println!("{:14} {}", workload.name(), workload.description());
            }
            Ok(true)
        }
        Command::Report { file, html, hgrm } => {
            let report = report::Report::read(&file)?;
            run::show(&report, html.as_deref(), hgrm.as_deref())?;
            Ok(report.held())
        }
        Command::Snapshots(arguments) => runtime.block_on(snapshots::snapshots(&arguments)),
        Command::Hostile(arguments) => runtime.block_on(hostile::hostile(&arguments)),
        Command::Overload(arguments) => runtime.block_on(overload::overload(&arguments)),
        Command::Compare { a, b, html } => {
            let (a, b) = (report::Report::read(&a)?, report::Report::read(&b)?);
            compare::print(&a, &b);
            if let Some(path) = html {
                html::write(&[&a, &b], &path)?;
            }
            Ok(true)
        }
    }
}
