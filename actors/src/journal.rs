//! The journal writer actor: the engine's door to the thread that appends.
//!
//! ```text
//! coordinator ─ Append(decided, answers) ─▶ JournalActor ─▶ thread: committer
//!     callers ◀─ AnswersActor ◀─ answers, once their LSN is durable ─┘
//! ```
//!
//! The first failed append ends the actor, and with it the process; nobody is told of an outcome
//! that is not durable.

mod committer;

use crate::admission::Shared;
use crate::answers::AnswersMsg;
use crate::decided::{Decided, Used};
pub(crate) use committer::ReleasedTo;
use committer::{Committer, Told, Waiting};
use crossbeam::channel;
use ducat_engine::ids::Lsn;
use ducat_persistence::{Writer, with_causes};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the journal writer is told.
pub(crate) enum JournalMsg {
    /// What was decided behind the message before.
    Append(Decided),
    /// The thread has ended for this reason.
    Failed(String),
}

/// The actor.
pub(crate) struct JournalActor {
    pub shared: Arc<Shared>,
}

pub(crate) struct JournalArgs {
    pub writer: Box<dyn Writer>,
    pub durable: Lsn,
    pub used: Used,
    pub answers: ActorRef<AnswersMsg>,
}

/// The thread. Dropping it has it end after what it was told before.
pub(crate) struct JournalState {
    to_thread: channel::Sender<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for JournalState {
    fn drop(&mut self) {
        drop(self.to_thread.send(Told::End));
    }
}

impl Actor for JournalActor {
    type Msg = JournalMsg;
    type State = JournalState;
    type Arguments = JournalArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<JournalMsg>,
        args: JournalArgs,
    ) -> Result<JournalState, ActorProcessingErr> {
        let JournalArgs { writer, durable, used, answers } = args;
        // Holds no more than was admitted, and so do the messages in it.
        let (to_thread, inbox) = channel::unbounded();
        let committer = Committer {
            shared: Arc::clone(&self.shared),
            writer,
            durable,
            used,
            answers,
            inbox,
            released: to_thread.clone(),
            next: Waiting::default(),
        };
        let thread = std::thread::Builder::new()
            .name("ducat-journal".to_owned())
            .spawn(move || append_all(committer, &myself))?;
        Ok(JournalState { to_thread, thread: Some(thread) })
    }

    async fn handle(
        &self,
        _myself: ActorRef<JournalMsg>,
        message: JournalMsg,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            JournalMsg::Append(decided) => {
                // A thread that has ended has said why, or is about to.
                drop(state.to_thread.send(Told::Append(decided)));
                Ok(())
            }
            JournalMsg::Failed(why) => Err(why.into()),
        }
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<JournalMsg>,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        // The thread's end is the writer's too, before anyone may open the journal again.
        drop(state.to_thread.send(Told::End));
        if let Some(thread) = state.thread.take() {
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
        Ok(())
    }
}

/// The thread's body. Without a word of its end everyone would wait for ever.
fn append_all(committer: Committer, actor: &ActorRef<JournalMsg>) {
    let why = match catch_unwind(AssertUnwindSafe(|| committer.run())) {
        Ok(Ok(())) => return,
        Ok(Err(stopped)) => with_causes(&stopped),
        Err(_panic) => "the journal's thread panicked".to_owned(),
    };
    drop(actor.cast(JournalMsg::Failed(why)));
}
