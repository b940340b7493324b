//! `ducat snapshot`: takes, lists, shows, checks and removes snapshots.
//!
//! * `online`: of a running server;
//! * `offline`: on a data directory;
//! * `print`: what is printed.

mod offline;
mod online;
mod print;

use crate::Global;
use crate::exit::{Done, Failure};
use clap::{Args, Subcommand};
use ducat_engine::ids::Lsn;
use std::path::PathBuf;
use std::str::FromStr;

/// What to do with snapshots.
#[derive(Subcommand, Debug)]
pub enum SnapshotCommand {
    /// Take a snapshot of this moment while the server serves, or of a directory that none
    /// holds, as of its last event.
    Create(CreateArgs),
    /// List the snapshots, the newest first. Looks at their beginnings and ends, no more.
    List(DirArgs),
    /// Show one snapshot, having read it whole.
    Show(ShowArgs),
    /// Read snapshots whole: every checksum, every figure, sums and hash, and their place in the
    /// journal (in a directory only where no server holds it).
    Verify(VerifyArgs),
    /// Remove all but the newest. Those that are damaged do not count, and stay.
    Prune(PruneArgs),
}

/// Where the snapshots are.
#[derive(Args, Debug)]
pub struct DirArgs {
    /// Work on this data directory instead of asking the server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Options of `create`.
#[derive(Args, Debug)]
#[command(after_help = "\
On a server: answers when the snapshot is durable; transfers go on meanwhile. While one is
running, joins it. On a directory: reads the newest snapshot that can be used and the journal
behind it, checking both.

Examples:
  ducat snapshot create
  ducat snapshot create --server http://ledger:4600 --json | jq .state_hash
  ducat snapshot create --data-dir ./ledger
  ducat snapshot create --data-dir ./ledger --from-beginning")]
pub struct CreateArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// Read the whole journal, whatever snapshots there are.
    #[arg(long, requires = "data_dir")]
    from_beginning: bool,
}

/// Options of `show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The snapshot's LSN, or `newest`.
    #[arg(default_value = "newest")]
    which: Which,
    #[command(flatten)]
    dir: DirArgs,
}

/// Options of `verify`.
#[derive(Args, Debug)]
#[command(after_help = "\
Ends with 0 when all are sound, 65 when one is not (and says where), 1 when there is none.

Examples:
  ducat snapshot verify newest
  ducat snapshot verify --data-dir ./ledger
  ducat snapshot verify 5000 --data-dir ./ledger")]
pub struct VerifyArgs {
    /// The LSNs of the snapshots, or `newest`; all of them when absent.
    which: Vec<Which>,
    #[command(flatten)]
    dir: DirArgs,
}

/// Options of `prune`.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// How many of the newest stay, at least 1.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..),
          value_name = "COUNT")]
    keep: u32,
    #[command(flatten)]
    dir: DirArgs,
}

/// Which snapshot is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with the highest LSN.
    Newest,
    /// The one at this LSN.
    At(Lsn),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        let lsn = text.parse().map_err(|_| "an LSN or `newest` is expected".to_owned())?;
        Ok(Self::At(Lsn(lsn)))
    }
}

/// Runs `snapshot`, on a directory where one is named.
pub async fn run(global: &Global, command: SnapshotCommand) -> Done {
    match command {
        SnapshotCommand::Create(args) => match &args.dir.data_dir {
            Some(dir) => offline::create(global, dir, args.from_beginning),
            None => online::create(global).await,
        },
        SnapshotCommand::List(args) => match &args.data_dir {
            Some(dir) => offline::list(global, dir),
            None => online::list(global).await,
        },
        SnapshotCommand::Show(args) => match &args.dir.data_dir {
            Some(dir) => offline::show(global, args.which, dir),
            None => online::show(global, args.which).await,
        },
        SnapshotCommand::Verify(args) => match &args.dir.data_dir {
            Some(dir) => offline::verify(global, &args.which, dir),
            None => online::verify(global, &args.which).await,
        },
        SnapshotCommand::Prune(args) => match &args.dir.data_dir {
            Some(dir) => offline::prune(global, args.keep, dir),
            None => online::prune(global, args.keep).await,
        },
    }
}

/// There is no such snapshot.
fn missing(which: Which) -> Failure {
    use crate::exit::Exit;
    let text = match which {
        Which::Newest => "there is no snapshot".to_owned(),
        Which::At(lsn) => format!("there is no snapshot at LSN {lsn}"),
    };
    Failure::new(Exit::Refused, text)
}
