//! `ducat events`: the ledger's decided events from a running server, as `ducat replay --print`
//! prints them from its files.

use crate::event_line::EventLine;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, net};
use clap::{Args, ValueEnum};
use ducat_api::client::{Client, ClientError, EventFilter};
use ducat_api::import::Kind as TransferKind;
use ducat_api::proto;
use ducat_engine::ids::AccountId;
use std::io::{self, BufWriter};

/// Options of `events`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each event once, in the order in which they were decided, and only durable ones. With --follow it
goes on over broken connections and restarted servers. To go on later without missing one, begin
with the LSN behind the last event that was dealt with.

Examples:
  ducat events                                     # all there are
  ducat events --from 5001 --follow --json         # from LSN 5001 on, for ever
  ducat events --from 0 --follow --account 17      # what happens to account 17 from now on
  ducat events --kind refused                      # transfers that were refused
  ducat events --transfer-kind refund --follow     # money given back, and refunds that were refused")]
pub struct EventsArgs {
    /// The first event: 1 for the first there is, 0 for those decided from now on.
    #[arg(long, value_name = "LSN", default_value_t = 1)]
    from: u64,
    /// Go on with the events as they are decided, until interrupted.
    #[arg(long)]
    follow: bool,
    /// Only events that touch this account; may be given more than once.
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<AccountId>,
    /// Only events of this kind; may be given more than once.
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only events about money that is for this: transfers, holds placed, captures, refunds, fees, done
    /// or refused; may be given more than once.
    #[arg(long = "transfer-kind", value_enum, value_name = "KIND")]
    transfer_kinds: Vec<TransferKind>,
}

/// A kind of event, named as in what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Money that moved: transfers that were posted, captures of holds.
    Posted,
    /// Transfers and operations on holds that were refused.
    Refused,
    /// Accounts that were opened.
    AccountOpened,
    /// Accounts whose status was changed.
    StatusChanged,
    /// Assets that were defined.
    AssetDefined,
    /// Holds that were placed, voided, extended, or expired.
    Hold,
    /// Accounts of which something else was changed: what is known of them, their limits.
    AccountChanged,
    /// Events of any kind that trigger a watch.
    WatchTriggered,
    /// Schedules that were defined, paused, resumed or cancelled, and runs of them that began.
    Schedule,
    /// Sagas that were started, answered or resolved, and steps of them that began.
    Saga,
}

impl From<Kind> for proto::EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Posted => Self::Posted,
            Kind::Refused => Self::Refused,
            Kind::AccountOpened => Self::AccountOpened,
            Kind::StatusChanged => Self::StatusChanged,
            Kind::AssetDefined => Self::AssetDefined,
            Kind::Hold => Self::Hold,
            Kind::AccountChanged => Self::AccountChanged,
            Kind::WatchTriggered => Self::WatchTriggered,
            Kind::Schedule => Self::Schedule,
            Kind::Saga => Self::Saga,
        }
    }
}

/// Runs `events`.
pub async fn run(global: &Global, args: EventsArgs) -> Done {
    let client = Client::over(net::connect(global).await?);
    let filter = EventFilter {
        accounts: args.accounts,
        kinds: args.kinds.into_iter().map(Into::into).collect(),
        transfer_kinds: args
            .transfer_kinds
            .into_iter()
            .filter_map(|kind| proto::TransferKind::try_from(kind.wire()).ok())
            .collect(),
    };
    let mut events = client.subscribe(args.from, &filter).await.map_err(|e| failed(&e))?;
    let mut out = BufWriter::new(io::stdout());
    loop {
        let answer = events.next().await.map_err(|e| failed(&e))?;
        match print(&mut out, &answer.events, global.json) {
            Ok(()) => {}
            // A reader that went away (`| head`) is no error.
            Err(Unprinted::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(Exit::Ok);
            }
            Err(Unprinted::Io(error)) => {
                let text = format!("cannot write to stdout: {error}");
                return Err(Failure::new(Exit::CannotCreate, text));
            }
            Err(Unprinted::Failure(failure)) => return Err(failure),
        }
        if answer.caught_up && !args.follow {
            return Ok(Exit::Ok);
        }
    }
}

/// Why events were not printed.
enum Unprinted {
    Io(io::Error),
    Failure(Failure),
}

fn print(out: &mut impl io::Write, events: &[proto::Event], json: bool) -> Result<(), Unprinted> {
    for event in events {
        let line = EventLine::of_message(event).print(json).map_err(Unprinted::Failure)?;
        writeln!(out, "{line}").map_err(Unprinted::Io)?;
    }
    out.flush().map_err(Unprinted::Io)
}

/// How a feed that ended ends the command.
fn failed(error: &ClientError) -> Failure {
    match error {
        ClientError::Refused(refused) => {
            Failure::new(net::exit_of(refused.code), refused.message.clone())
        }
        other => Failure::new(Exit::Unavailable, crate::causes::with_causes(other)),
    }
}
