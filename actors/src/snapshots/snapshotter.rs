//! The snapshotter actor: takes one snapshot at a time, on demand and on schedule. The work is
//! done by a thread ([`super::taking`]); who asks while one is running joins it.
//!
//! A snapshot that fails is said once, shown by the engine's status, and tried again on
//! schedule; the engine goes on. Only a state that cannot be stops it: a ledger whose sums are
//! wrong must not be trusted any more.

use super::SnapshotOptions;
use super::health::{SnapshotFailed, Taken};
use super::schedule::Due;
use super::taking::{Ended, Taking};
use crate::admission::Shared;
use crate::partition::PartitionMsg;
use ducat_engine::ids::Lsn;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the schedule is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Where the answer goes.
pub(crate) type SnapshotReply = oneshot::Sender<Result<Taken, SnapshotFailed>>;

/// What the snapshotter is told.
pub(crate) enum SnapshotterMsg {
    /// Take one, or join the one that is running.
    Create { reply: SnapshotReply },
    /// Time has passed.
    Tick,
    /// The thread is through.
    Ended(Box<Result<Taken, Ended>>),
}

/// The actor.
pub(crate) struct SnapshotterActor {
    pub shared: Arc<Shared>,
}

pub(crate) struct SnapshotterArgs {
    pub options: SnapshotOptions,
    pub partitions: Vec<ActorRef<PartitionMsg>>,
    pub due: Due,
}

pub(crate) struct SnapshotterState {
    options: SnapshotOptions,
    partitions: Vec<ActorRef<PartitionMsg>>,
    due: Due,
    abandon: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    waiting: Vec<SnapshotReply>,
    /// The last failure was said already.
    said: bool,
}

impl Actor for SnapshotterActor {
    type Msg = SnapshotterMsg;
    type State = SnapshotterState;
    type Arguments = SnapshotterArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<SnapshotterMsg>,
        args: SnapshotterArgs,
    ) -> Result<SnapshotterState, ActorProcessingErr> {
        // Ends by itself when the actor is gone.
        drop(myself.send_interval(TICK, || SnapshotterMsg::Tick));
        let SnapshotterArgs { options, partitions, due } = args;
        Ok(SnapshotterState {
            options,
            partitions,
            due,
            abandon: Arc::default(),
            thread: None,
            waiting: Vec::new(),
            said: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SnapshotterMsg>,
        message: SnapshotterMsg,
        state: &mut SnapshotterState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SnapshotterMsg::Create { reply } => {
                state.waiting.push(reply);
                self.begin(&myself, state);
            }
            SnapshotterMsg::Tick => {
                let (journal, last) = self.progress();
                if state.due.is_due(Instant::now(), journal, last) {
                    self.begin(&myself, state);
                }
            }
            SnapshotterMsg::Ended(result) => return self.ended(*result, state),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<SnapshotterMsg>,
        state: &mut SnapshotterState,
    ) -> Result<(), ActorProcessingErr> {
        state.abandon.store(true, Ordering::Relaxed);
        if let Some(thread) = state.thread.take() {
            // It lets go of the directory and of what it began to write there.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
        Ok(())
    }
}

impl SnapshotterActor {
    /// Bytes of journal since the start, and the last event.
    fn progress(&self) -> (u64, Lsn) {
        let counters = &self.shared.counters;
        let journal = counters.journal_bytes.load(Ordering::Relaxed);
        (journal, Lsn(counters.last_lsn.load(Ordering::Relaxed)))
    }

    /// Begins one unless one is running.
    fn begin(&self, myself: &ActorRef<SnapshotterMsg>, state: &mut SnapshotterState) {
        if state.thread.is_some() {
            return;
        }
        let (begun, (journal, _)) = (Instant::now(), self.progress());
        state.due.begun(begun, journal);
        self.shared.snapshot_health().begun();
        let taking = Taking {
            shared: Arc::clone(&self.shared),
            partitions: state.partitions.clone(),
            options: state.options.clone(),
            abandon: Arc::clone(&state.abandon),
            begun,
        };
        let tell = myself.clone();
        let work = move || {
            let result = catch_unwind(AssertUnwindSafe(|| taking.run()));
            let result = result.unwrap_or_else(|_| {
                Err(SnapshotFailed::Io("the snapshot's thread panicked".to_owned()).into())
            });
            // In vain only when the engine has stopped.
            drop(tell.cast(SnapshotterMsg::Ended(Box::new(result))));
        };
        let thread = std::thread::Builder::new().name("ducat-snapshot".to_owned()).spawn(work);
        match thread {
            Ok(thread) => state.thread = Some(thread),
            Err(error) => {
                let failed = SnapshotFailed::Io(format!("could not start a thread: {error}"));
                self.tell(Err(failed), state);
            }
        }
    }

    fn ended(
        &self,
        result: Result<Taken, Ended>,
        state: &mut SnapshotterState,
    ) -> Result<(), ActorProcessingErr> {
        // It has nothing left to do but to end.
        state.thread = None;
        match result {
            Ok(taken) => self.tell(Ok(taken), state),
            Err(Ended::Failed(failed)) => self.tell(Err(failed), state),
            Err(Ended::Unsound(why)) => {
                self.tell(Err(SnapshotFailed::Stopped), state);
                return Err(format!("the state cannot be: {why}").into());
            }
        }
        Ok(())
    }

    /// Notes the end of one and answers all who wait.
    fn tell(&self, result: Result<Taken, SnapshotFailed>, state: &mut SnapshotterState) {
        self.shared.snapshot_health().ended(&result);
        match &result {
            Ok(Taken { summary, took, new, .. }) => {
                state.due.taken(summary.header.lsn(), summary.bytes);
                state.said = false;
                let (lsn, bytes) = (summary.header.lsn().0, summary.bytes);
                let took_ms = took.as_millis();
                if *new {
                    tracing::info!(lsn, bytes, took_ms, "a snapshot was taken");
                }
            }
            Err(SnapshotFailed::Empty | SnapshotFailed::Stopped) => {}
            Err(why) => {
                state.due.failed(Instant::now());
                if !std::mem::replace(&mut state.said, true) {
                    tracing::error!(%why, "a snapshot failed; the engine goes on, and it is tried \
                        again on schedule");
                }
            }
        }
        for reply in state.waiting.drain(..) {
            // Whoever has gone needs no answer.
            let _gone = reply.send(result.clone());
        }
    }
}
