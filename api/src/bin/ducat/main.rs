//! The binary `ducat`: one program that serves the ledger and speaks to it.
//!
//! `serve` runs the engine behind gRPC. `account`, `asset`, `transfer`, `pay`, `split`, `hold`, `import`, `events` and
//! `status` are clients of a running server. `verify`, `replay`, `diff`, `restore`, `fork` and `doctor`
//! read a data directory, beside a running server or without one. This file reads the command line and hands over; each command has a module of its
//! own. Data goes to stdout, everything else to stderr, and [`exit`] says how it ended.

mod account;
mod archive;
mod asset;
mod audit;
mod backup;
mod balances;
mod books;
mod causes;
mod certs;
mod checks;
mod config;
mod diff;
mod doctor;
mod dry_run;
mod event_line;
mod events;
mod exit;
mod explain;
mod fee;
mod figures;
mod group;
mod hold;
mod import;
mod key;
mod moment;
mod net;
mod note;
mod offline;
mod output;
mod pages;
mod pay;
mod printer;
mod receipt;
mod refund;
mod replay;
mod restore;
mod reverse_group;
mod saga;
mod schedule;
mod serve;
mod snapshot;
mod statement;
mod status;
mod terms;
#[cfg(test)]
mod testing;
mod token;
mod transfer;
mod transfers;
mod verify;
mod verify_ids;
mod watch;
mod witness;

use clap::{ArgMatches, Args, Parser, Subcommand};
use exit::{Done, Exit, Failure};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Moves money between accounts in memory, durably, over gRPC.
#[derive(Parser, Debug)]
#[command(name = "ducat", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command understands.
#[derive(Args, Debug, Clone)]
pub struct Global {
    /// The server to speak to.
    #[arg(
        long,
        global = true,
        env = "DUCAT_SERVER",
        default_value = "http://127.0.0.1:4600",
        value_name = "URL"
    )]
    pub server: String,
    /// Print JSON for scripts: one object to a line, with stable field names.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub credentials: net::CredentialArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the ledger: replay the data directory, then serve gRPC until stopped.
    Serve(Box<serve::ServeArgs>),
    /// Open, show, list, freeze, unfreeze and close accounts.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Define assets that ISO 4217 does not list.
    #[command(subcommand)]
    Asset(asset::AssetCommand),
    /// Define schedules of fees, attach them to accounts and kinds of transfers, quote what is due.
    #[command(subcommand)]
    Fee(Box<fee::FeeCommand>),
    /// Make one transfer and wait until it is durable.
    Transfer(transfer::TransferArgs),
    /// Pay one account out of several sources, in order: all of it or nothing.
    Pay(pay::PayArgs),
    /// Pay several accounts their shares of one amount, exact to the minor unit.
    Split(pay::SplitArgs),
    /// Place, capture, void, extend, show and list holds: money set aside for later.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Give back a part of what a transfer or a capture moved.
    Refund(refund::RefundArgs),
    /// Give back all that was not refunded yet, once.
    Reverse(refund::ReverseArgs),
    /// List the refunds of a transfer, and how much was given back in all.
    Refunds(refund::RefundsArgs),
    /// Do legs of any kind out of a file together, or none of them.
    Group(group::GroupArgs),
    /// Show how transfers, operations on holds and refunds stand by now.
    Transfers(transfers::TransfersArgs),
    /// Tell what became of a request and why, with the figures of that moment.
    Explain(explain::ExplainArgs),
    /// Watch accounts for conditions that raise an event when they become true.
    #[command(subcommand)]
    Watch(watch::WatchCommand),
    /// Define, list, show, pause, resume, cancel and run transfers that recur by a calendar.
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Start, answer, list, show, abort and resolve flows of several steps, some of them outside.
    #[command(subcommand)]
    Saga(saga::SagaCommand),
    /// Import accounts and transfers from CSV files.
    Import(Box<import::ImportArgs>),
    /// Print what was decided, from any moment on, and follow what is being decided.
    Events(events::EventsArgs),
    /// Show the sums of all accounts at any moment, debits and credits apart.
    TrialBalance(books::TrialBalanceArgs),
    /// Check, on a running server, that every balance is what the journal's entries come to.
    #[command(after_help = "\
Reads the whole journal while transfers go on, at a low priority. Ends with 65 when anything is
wrong. `ducat verify --data-dir DIR` checks the files, beside a server or without one.")]
    VerifyBalances,
    /// Tell who did what: list, show, export and sum up the audit trail.
    #[command(subcommand)]
    Audit(Box<audit::AuditCommand>),
    /// Show what the engine is doing and how far its journal has come.
    Status(status::StatusArgs),
    /// Take, list, show, check and remove snapshots, from which a start is quick.
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Archive the journal's oldest part, list and check what is archived.
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// Back a ledger up to another disk, show and check a backup.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Prove to a third party that a transfer happened as it did, and check such a proof.
    Receipt(Box<receipt::ReceiptArgs>),
    /// Make the keys that sign checkpoints, and print the public ones.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Show, check and describe the configuration of `serve`.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make certificates for development.
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Issue bearer tokens, for development and for operators.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Check a data directory: frames, chain, gaps, figures, sums, ids.
    Verify(verify::VerifyArgs),
    /// Rebuild the balances of any past moment from a data directory, or print its events.
    Replay(replay::ReplayArgs),
    /// Show what changed between two moments.
    Diff(diff::DiffArgs),
    /// Make a new ledger of another's events up to a moment, or of a backup.
    Restore(restore::RestoreArgs),
    /// Make a marked copy of a ledger as of a moment, for trying something.
    Fork(restore::ForkArgs),
    /// Explain why no server starts on a data directory, and the ways out.
    Doctor(doctor::DoctorArgs),
}

const EXAMPLES: &str = "\
Examples:
  ducat serve --data-dir ./ledger
  ducat account create 1 --currency GBP --external
  ducat account create 2 --currency GBP
  ducat transfer --from 1 --to 2 --amount 100.00 --currency GBP --kind deposit
  ducat account entries 2
  ducat status --with-state-hash

Exit codes:
  0   done
  1   refused, or a negative answer
  2   wrong usage
  65  data is damaged
  69  the server cannot be reached, is full, or cannot listen
  70  an internal failure
  73  a file or directory cannot be created
  75  the data directory is held by a server
  130 interrupted";

fn main() -> ExitCode {
    ducat_api::allocator::keep_freed_memory();
    let run = || {
        let (cli, matches) = config::parse(std::env::args_os())?;
        run(cli, &matches)
    };
    match run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("ducat: {failure}");
            failure.exit.into()
        }
    }
}

/// Hands over to the command's module.
fn run(cli: Cli, matches: &ArgMatches) -> Done {
    let global = cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Account(command) => block_on(account::run(&global, command)),
        Command::Asset(command) => block_on(asset::run(&global, command)),
        Command::Fee(command) => block_on(fee::run(&global, *command)),
        Command::Transfer(args) => block_on(transfer::run(&global, args)),
        Command::Pay(args) => block_on(pay::pay(&global, args)),
        Command::Split(args) => block_on(pay::split(&global, args)),
        Command::Group(args) => block_on(group::run(&global, args)),
        Command::Hold(command) => block_on(hold::run(&global, command)),
        Command::Refund(args) => block_on(refund::refund(&global, args)),
        Command::Reverse(args) => block_on(refund::reverse(&global, args)),
        Command::Refunds(args) => block_on(refund::refunds(&global, args)),
        Command::Transfers(args) => block_on(transfers::run(&global, args)),
        Command::Explain(args) => block_on(explain::run(&global, args)),
        Command::Watch(command) => block_on(watch::run(&global, command)),
        Command::Schedule(command) => block_on(schedule::run(&global, command)),
        Command::Saga(command) => block_on(saga::run(&global, command)),
        Command::Import(args) => block_on(import::run(&global, *args)),
        Command::Events(args) => block_on(events::run(&global, args)),
        Command::TrialBalance(args) => books::trial_balance(&global, &args),
        Command::VerifyBalances => block_on(books::verify_balances(&global)),
        Command::Audit(command) => block_on(audit::run(&global, *command)),
        Command::Status(args) => block_on(status::run(&global, args)),
        Command::Snapshot(command) => block_on(snapshot::run(&global, command)),
        Command::Archive(command) => archive::run(&global, &command),
        Command::Backup(command) => block_on(backup::run(&global, &command)),
        Command::Receipt(args) => receipt::run(&global, *args),
        Command::Key(command) => key::run(&command),
        Command::Config(command) => config::run(command, matches),
        Command::Certs(command) => certs::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Verify(args) => verify::run(&global, &args),
        Command::Replay(args) => replay::run(&global, &args),
        Command::Diff(args) => diff::run(&global, &args),
        Command::Restore(args) => restore::restore(&global, &args),
        Command::Fork(args) => restore::fork(&global, &args),
        Command::Doctor(args) => doctor::run(&global, &args),
    }
}

/// Runs a client command on a runtime of its own.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .map_err(|e| Failure::new(Exit::Internal, format!("cannot start a runtime: {e}")))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_server_may_be_named_before_or_after_the_command() {
        for line in [
            vec!["ducat", "--server", "http://a:1", "status", "--json"],
            vec!["ducat", "status", "--json", "--server", "http://a:1"],
        ] {
            let cli = Cli::try_parse_from(line).expect("parses");
            assert_eq!(cli.global.server, "http://a:1");
            assert!(cli.global.json);
        }
    }

    #[test]
    fn wrong_usage_ends_with_2() {
        for line in [
            vec!["ducat"],
            vec!["ducat", "transfer"],
            vec!["ducat", "account", "show"],
            vec!["ducat", "account", "show", "zero"],
            vec!["ducat", "verify"],
            vec![
                "ducat",
                "transfer",
                "--from",
                "0",
                "--to",
                "1",
                "--amount",
                "1",
                "--currency",
                "GBP",
            ],
        ] {
            let error = Cli::try_parse_from(&line).expect_err("refused");
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }
}
