//! The journal writer actor: group commit with one append in flight.
//!
//! ```text
//! coordinator ─ Append(records, answers) ─▶ waiting ─▶ in flight ─▶ thread: Writer::append
//!                                                          ▲              │ Done
//!     callers ◀─ answers, once their LSN is durable ───────┴──────────────┘
//! ```
//!
//! The append itself blocks (it ends in a sync of the disk), so it runs on a thread of its
//! own. Whatever arrives meanwhile becomes the next append, without timers: a lone transfer
//! is not held back and a flood makes large appends by itself. The first failed append ends
//! the actor, and with it the process; nobody is told of an outcome that is not durable.

use crate::admission::Shared;
use crate::answers::{AnswersMsg, Release};
use crossbeam::channel;
use ducat_engine::ids::Lsn;
use ducat_persistence::{AppendBuffer, AppendError, Writer};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

/// An append of fewer bytes waits until the answers of the one before have left, and with it
/// what callers ask next: it would cost as much as a larger one. More than that is worth an
/// append by itself.
const FEW_BYTES: usize = 4 * 1024;

/// What the journal writer is told.
pub(crate) enum JournalMsg {
    /// Records in LSN order, following those of the message before, and the answers that
    /// wait for them. No records: the answers wait for what is on its way.
    Append { records: AppendBuffer, releases: Vec<Release> },
    /// The thread that appends has panicked.
    Died,
    /// The answers sent off last have left.
    Released,
    /// The append in flight ended.
    Done { records: AppendBuffer, result: Result<Lsn, AppendError> },
}

/// The actor.
pub(crate) struct JournalActor {
    pub shared: Arc<Shared>,
}

type Done = Result<(), ActorProcessingErr>;

/// Where buffers go to be used again.
pub(crate) type BufferPool = channel::Sender<AppendBuffer>;

pub(crate) struct JournalArgs {
    pub writer: Box<dyn Writer>,
    pub durable: Lsn,
    pub pool: BufferPool,
    pub answers: ActorRef<AnswersMsg>,
}

pub(crate) struct JournalState {
    to_thread: channel::Sender<(AppendBuffer, Lsn)>,
    thread: Option<JoinHandle<()>>,
    pool: BufferPool,
    answers: ActorRef<AnswersMsg>,
    durable: Lsn,
    flying: Option<Vec<Release>>,
    /// Answers of the last append are on their way to those who asked.
    leaving: bool,
    waiting: AppendBuffer,
    waiting_releases: Vec<Release>,
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
        let (to_thread, from_actor) = channel::bounded(1);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("ducat-journal".to_owned())
            .spawn(move || append_all(args.writer, &from_actor, &myself, &shared))?;
        Ok(JournalState {
            to_thread,
            thread: Some(thread),
            pool: args.pool,
            answers: args.answers,
            durable: args.durable,
            flying: None,
            leaving: false,
            waiting: AppendBuffer::new(),
            waiting_releases: Vec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<JournalMsg>,
        message: JournalMsg,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            JournalMsg::Append { records, mut releases } => {
                state.waiting_releases.append(&mut releases);
                state.take(records);
            }
            JournalMsg::Released => state.leaving = false,
            JournalMsg::Died => return Err("the journal's thread panicked".into()),
            JournalMsg::Done { mut records, result } => {
                let lsn = result?;
                let bytes = records.byte_len() as u64;
                self.shared.counters.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
                state.durable = lsn;
                self.shared.durable.send_replace(lsn);
                let released = state.flying.take().unwrap_or_default();
                records.clear();
                drop(state.pool.try_send(records));
                state.leaving = !released.is_empty();
                self.release(&myself, state, released)?;
            }
        }
        self.go_on(&myself, state)
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<JournalMsg>,
        state: &mut JournalState,
    ) -> Result<(), ActorProcessingErr> {
        // Dropping the sender ends the thread, and the writer with it, before anyone may
        // open the journal again.
        let (closed, _) = channel::bounded(0);
        state.to_thread = closed;
        if let Some(thread) = state.thread.take() {
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
        Ok(())
    }
}

impl JournalActor {
    fn go_on(&self, myself: &ActorRef<JournalMsg>, state: &mut JournalState) -> Done {
        let few = state.waiting.byte_len() < FEW_BYTES;
        if state.flying.is_some() || (state.leaving && few && !state.waiting.is_empty()) {
            return Ok(());
        }
        let releases = std::mem::take(&mut state.waiting_releases);
        if state.waiting.is_empty() {
            // Repeats and refusals at the door wait for nothing that is not durable now.
            return self.release(myself, state, releases);
        }
        let records = std::mem::take(&mut state.waiting);
        state.flying = Some(releases);
        state.to_thread.send((records, state.durable.next()))?;
        Ok(())
    }

    fn release(
        &self,
        myself: &ActorRef<JournalMsg>,
        state: &JournalState,
        releases: Vec<Release>,
    ) -> Done {
        if !releases.is_empty() {
            state.answers.cast(AnswersMsg::Release { releases, tell: myself.clone() })?;
        }
        Ok(())
    }
}

impl JournalState {
    fn take(&mut self, records: AppendBuffer) {
        if self.waiting.is_empty() {
            let empty = std::mem::replace(&mut self.waiting, records);
            drop(self.pool.try_send(empty));
        } else if !records.is_empty() {
            self.waiting.append_all(&records);
            let mut used = records;
            used.clear();
            drop(self.pool.try_send(used));
        }
    }
}

/// The thread: one append at a time, until the actor is gone or an append fails.
fn append_all(
    mut writer: Box<dyn Writer>,
    from_actor: &channel::Receiver<(AppendBuffer, Lsn)>,
    actor: &ActorRef<JournalMsg>,
    shared: &Shared,
) {
    while let Ok((mut records, expected)) = from_actor.recv() {
        let begun = Instant::now();
        let append = catch_unwind(AssertUnwindSafe(|| writer.append(expected, &mut records)));
        let Ok(result) = append else {
            // Without a word from here everyone would wait for ever.
            drop(actor.cast(JournalMsg::Died));
            return;
        };
        shared.counters.appends.observe(begun.elapsed());
        let failed = result.is_err();
        if actor.cast(JournalMsg::Done { records, result }).is_err() || failed {
            return;
        }
    }
}
