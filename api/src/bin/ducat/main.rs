//! The binary `ducat`: one program that serves the ledger and speaks to it.

mod exit;
mod serve;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Moves money between accounts in memory, durably, over gRPC.
#[derive(Parser, Debug)]
#[command(name = "ducat", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the ledger: replay the data directory, then serve gRPC until stopped.
    Serve(serve::ServeArgs),
}

fn main() -> ExitCode {
    let Command::Serve(args) = Cli::parse().command;
    match serve::run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("ducat: {failure}");
            failure.exit.into()
        }
    }
}
