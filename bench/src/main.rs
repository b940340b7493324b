//! `ducat-bench`, Ducat's load harness.
//!
//! ```text
//! cli ─▶ run ─▶ backend (own server, running server, engine in process)
//!         ├──▶ ledger   opens and funds accounts, status, balances
//!         ├──▶ driver   threads ▸ workers: pace ▸ generator ▸ target (port) ▸ tally
//!         ├──▶ check    conservation, counters, balances
//!         └──▶ report ▸ table
//! ```

mod backend;
mod check;
mod child;
mod cli;
mod codec;
mod driver;
mod facts;
mod footprint;
mod generator;
mod inprocess;
mod ledger;
mod pace;
mod procfs;
mod report;
mod rng;
mod run;
mod table;
mod tally;
mod target;
mod target_client;
mod target_grpc;
mod target_inprocess;
mod wire;
mod workload;
mod zipf;

#[cfg(test)]
mod end_to_end_tests;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A check did not hold.
const EXIT_CHECK_FAILED: u8 = 3;

fn main() -> ExitCode {
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
        Command::List => {
            for workload in workload::Workload::ALL {
                println!("{:14} {}", workload.name(), workload.description());
            }
            Ok(true)
        }
        Command::Compare { a, b } => {
            table::print_comparison(&report::Report::read(&a)?, &report::Report::read(&b)?);
            Ok(true)
        }
    }
}
