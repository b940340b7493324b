//! `ducat saga …`: flows of several steps, some of them outside of the ledger, through a running
//! server.

mod file;
mod print;

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::pages::Pages;
use crate::transfer::{Units, units};
use crate::{Global, net, output};
use clap::{Subcommand, ValueEnum};
use ducat_api::client::Connection;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::sagas_client::SagasClient;
use ducat_api::proto::{self, SagaResolution, saga_step::Action};
use ducat_engine::ids::{AccountId, SagaId};
use print::{saga_text, sagas_text};
use std::path::PathBuf;

/// What can be done with sagas.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
A saga does its steps in order. When one fails, what was done before is undone, the last first. For
what is wholly inside the ledger use linked transfers or `ducat pay` instead: they happen together
or not at all, and nothing has to be undone.

The file of `start` is JSON:
  {\"label\": \"a night\",
   \"steps\": [
     {\"name\": \"hold\",    \"hold\":     {\"from\": \"2\", \"to\": \"3\", \"amount\": \"100.00\", \"currency\": \"GBP\"},
                          \"expires_in\": \"7d\"},
     {\"name\": \"hotel\",   \"wait\": \"30m\"},
     {\"name\": \"capture\", \"capture\": \"hold\", \"amount\": \"90.00\", \"currency\": \"GBP\", \"last\": true},
     {\"name\": \"points\",  \"transfer\": {\"from\": \"5\", \"to\": \"2\", \"amount\": \"7.00\", \"currency\": \"GBP\"},
                          \"undo\": \"nothing\"}]}

Examples:
  ducat saga start night.json --dry-run
  ducat saga start night.json --id 9001
  ducat saga answer 9001 hotel --done --note 'booking 17'
  ducat saga list --state stuck
  ducat saga resolve 9001 skip --note 'case 812'")]
pub enum SagaCommand {
    /// Start a saga.
    Start {
        /// The file that says what it is; `-` reads it from stdin.
        file: PathBuf,
        /// The saga's id: a UUID or a whole number. A UUIDv7 is made when none is given.
        #[arg(long)]
        id: Option<SagaId>,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Give the outside's answer to the step that waits for it.
    Answer {
        /// The saga's id.
        saga: SagaId,
        /// The step: its name, or its number from 0.
        step: String,
        /// It was done.
        #[arg(long, required_unless_present = "failed", conflicts_with = "failed")]
        done: bool,
        /// It was not done, and will not be.
        #[arg(long)]
        failed: bool,
        /// What the outside calls it.
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Give a saga up that waits: what was done is undone.
    Abort {
        /// The saga's id.
        saga: SagaId,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Decide about a saga that is stuck.
    Resolve {
        /// The saga's id.
        saga: SagaId,
        /// What.
        #[arg(value_enum)]
        how: Resolution,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Show a saga and its steps.
    Show {
        /// The saga's id.
        saga: SagaId,
    },
    /// List sagas, in the order of their ids.
    List {
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// The most sagas to list; 0 for all.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
}

/// What is decided about a saga that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resolution {
    /// The compensation is tried again.
    Retry,
    /// The step was undone by hand: go on with the one before.
    Skip,
    /// The saga is closed as it is.
    Close,
}

/// A state, as it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// A step is under way.
    Running,
    /// A step waits for the outside's answer.
    Waiting,
    /// What was done is being undone.
    Compensating,
    /// A compensation was refused and is tried again.
    BackingOff,
    /// A compensation was refused as often as it may be.
    Stuck,
    /// Every step was done.
    Completed,
    /// What was done was undone.
    Compensated,
    /// It was stuck, and somebody closed it.
    Resolved,
}

impl From<State> for proto::SagaState {
    fn from(state: State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Waiting => Self::Waiting,
            State::Compensating => Self::Compensating,
            State::BackingOff => Self::BackingOff,
            State::Stuck => Self::Stuck,
            State::Completed => Self::Completed,
            State::Compensated => Self::Compensated,
            State::Resolved => Self::Resolved,
        }
    }
}

/// Runs a `saga` command.
pub async fn run(global: &Global, command: SagaCommand) -> Done {
    let connection = net::connect(global).await?;
    let mut client =
        SagasClient::new(connection.clone()).max_decoding_message_size(net::MESSAGE_BYTES_MAX);
    let dry = command.dry_run();
    let dry_run = dry.dry_run;
    let answer = match command {
        SagaCommand::List { state, limit } => {
            return list(global, &mut client, state, limit).await;
        }
        SagaCommand::Start { file, id, .. } => client.start_saga(asked(&file, id, dry)?).await,
        SagaCommand::Answer { saga, step, done, note, .. } => {
            let step = number(&mut client, saga, &step).await?;
            let (id, id_high) = (saga.low(), saga.high());
            let request = proto::AnswerSagaRequest { id, id_high, step, done, note, dry_run };
            client.answer_saga(request).await
        }
        SagaCommand::Abort { saga, note, .. } => {
            let (id, id_high) = (saga.low(), saga.high());
            client.abort_saga(proto::AbortSagaRequest { id, id_high, note, dry_run }).await
        }
        SagaCommand::Resolve { saga, how, note, .. } => {
            let resolution = match how {
                Resolution::Retry => SagaResolution::Retry,
                Resolution::Skip => SagaResolution::Skip,
                Resolution::Close => SagaResolution::Close,
            };
            let (id, id_high, resolution) = (saga.low(), saga.high(), resolution.into());
            let request = proto::ResolveSagaRequest { id, id_high, resolution, note, dry_run };
            client.resolve_saga(request).await
        }
        SagaCommand::Show { saga } => get(&mut client, saga).await,
    };
    let answer = answer.map_err(|status| net::failed(&status))?.into_inner();
    dry.check(answer.dry_run)?;
    let units = match &answer.request {
        Some(outcome) => units_of(net::ledger_on(connection), &answer, outcome).await,
        None => Units::default(),
    };
    let dry_answer = answer.dry_run.then_some((&answer, &units));
    output::print(&saga_text(&saga(answer.clone())?, dry_answer, global.json)?)?;
    dry.tell(answer.dry_run_lsn);
    Ok(Exit::Ok)
}

impl SagaCommand {
    /// Whether it is only tried.
    fn dry_run(&self) -> DryRunArg {
        match self {
            Self::Start { dry_run, .. }
            | Self::Answer { dry_run, .. }
            | Self::Abort { dry_run, .. }
            | Self::Resolve { dry_run, .. } => *dry_run,
            Self::Show { .. } | Self::List { .. } => DryRunArg { dry_run: false },
        }
    }
}

/// What the balances of the step that would begin are written in.
async fn units_of(
    mut client: LedgerClient<Connection>,
    answer: &proto::SagaResponse,
    outcome: &proto::Outcome,
) -> Units {
    let parties = answer.saga.as_ref().and_then(parties);
    match parties {
        Some((from, to)) => units(&mut client, outcome, from, to).await,
        None => Units::default(),
    }
}

/// The accounts that the request of the step at which a saga stands would debit and credit.
fn parties(saga: &proto::Saga) -> Option<(AccountId, AccountId)> {
    let definition = saga.definition.as_ref()?;
    let step = |at: u32| definition.steps.get(usize::try_from(at).ok()?);
    let of = |step: &proto::SagaStep| match &step.action {
        Some(Action::Transfer(transfer)) => Some(transfer.clone()),
        Some(Action::Hold(hold)) => hold.transfer.clone(),
        _ => None,
    };
    let at = step(saga.step)?;
    let undo = saga.state() == proto::SagaState::Compensating;
    let own = at.undo_transfer.clone().filter(|_| undo && at.undo() == proto::SagaUndo::Transfer);
    let planned = match (&own, &at.action) {
        (Some(own), _) => Some(own.clone()),
        (_, Some(Action::Capture(capture))) => step(capture.hold_step).and_then(of),
        (_, Some(Action::Void(void))) => step(void.hold_step).and_then(of),
        _ => of(at),
    }?;
    let from = AccountId::from_halves(planned.debit_account_high, planned.debit_account).ok()?;
    let to = AccountId::from_halves(planned.credit_account_high, planned.credit_account).ok()?;
    // What a transfer or a capture moved is given back the other way round.
    let back = undo && own.is_none() && !matches!(at.action, Some(Action::Hold(_)));
    Some(if back { (to, from) } else { (from, to) })
}

fn saga(answer: proto::SagaResponse) -> Result<proto::Saga, Failure> {
    answer.saga.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without a saga; see its log")
    })
}

async fn get(
    client: &mut SagasClient<Connection>,
    saga: SagaId,
) -> Result<tonic::Response<proto::SagaResponse>, tonic::Status> {
    client.get_saga(proto::GetSagaRequest { id: saga.low(), id_high: saga.high() }).await
}

fn asked(
    file: &std::path::Path,
    id: Option<SagaId>,
    dry: DryRunArg,
) -> Result<proto::StartSagaRequest, Failure> {
    let read = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    let cannot = |error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    let definition = file::definition(&read.map_err(cannot)?).map_err(Failure::usage)?;
    let id = match id {
        Some(id) => id,
        None => {
            let id = dry.id(None, "saga")?;
            SagaId::from_halves(id.high(), id.low())
                .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?
        }
    };
    let definition = proto::SagaDefinition { id: id.low(), id_high: id.high(), ..definition };
    Ok(proto::StartSagaRequest { definition: Some(definition), dry_run: dry.dry_run })
}

/// The number of a step that is named or numbered.
async fn number(
    client: &mut SagasClient<Connection>,
    id: SagaId,
    step: &str,
) -> Result<u32, Failure> {
    if let Ok(number) = step.parse() {
        return Ok(number);
    }
    let found = get(client, id).await.map_err(|status| net::failed(&status))?.into_inner();
    let steps = saga(found)?.definition.unwrap_or_default().steps;
    let at = steps.iter().position(|known| known.name == step);
    let at = at.and_then(|at| u32::try_from(at).ok());
    at.ok_or_else(|| Failure::usage(format!("saga {id} has no step called `{step}`")))
}

async fn list(
    global: &Global,
    client: &mut SagasClient<Connection>,
    state: Option<State>,
    limit: u64,
) -> Done {
    let mut pages = Pages::of(limit, 200);
    let mut all = Vec::new();
    while let Some((page_size, after)) = pages.next_page() {
        let state = state.map_or(proto::SagaState::Unspecified, Into::into).into();
        let request = proto::ListSagasRequest { state, page_size, after };
        let page = client.list_sagas(request).await.map_err(|status| net::failed(&status))?;
        let page = page.into_inner();
        pages.came(page.sagas.len(), page.next);
        all.extend(page.sagas);
    }
    output::print(&sagas_text(&all, global.json)?)?;
    if pages.follow() {
        eprintln!("ducat: more sagas may follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}
