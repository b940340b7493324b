//! Starting and stopping an engine: replay, then the actors, then the door; and back.

use crate::admission::Shared;
use crate::answers::{AnswersActor, AnswersMsg};
use crate::coordinator::{CoordinatorActor, CoordinatorArgs, CoordinatorMsg};
use crate::decided::pools;
use crate::handle::{BATCH_MAX, EngineOptions, Handle, RequestError};
use crate::journal::{JournalActor, JournalArgs, JournalMsg};
use crate::partition::{PartitionActor, PartitionMsg};
use crate::proof::{Contradiction, Follower, check_standing};
use crate::replay::{Progress, ReplayFailed};
use crate::snapshots::SnapshotOptions;
use crate::snapshots::health::LastSnapshot;
use crate::snapshots::rebuild::{self, Making, RebuildError, Rebuilt, Rejected};
use crate::snapshots::schedule::Due;
use crate::snapshots::snapshotter::{SnapshotterActor, SnapshotterArgs, SnapshotterMsg};
use crate::supervisor::Supervisor;
use crate::threads::EngineThreads;
use crate::upkeep::Upkeep;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::ledger::Ledger;
use ducat_engine::proof::Names;
use ducat_persistence::snapshot::Summary;
use ducat_persistence::{Journal, Tail, Writer};
use ractor::{Actor, ActorRef, SpawnErr};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long shutting down waits for what was admitted.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Why the engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An option is out of range.
    #[error("{0}")]
    Options(String),
    /// The journal cannot be opened, is damaged, or does not make a ledger.
    #[error(transparent)]
    Replay(#[from] ReplayFailed),
    /// No snapshot can be used, and the journal does not begin at the beginning.
    #[error(transparent)]
    Snapshots(RebuildError),
    /// The journal is not the one that was signed, or the checkpoints cannot be relied on.
    #[error(transparent)]
    Checkpoints(#[from] Contradiction),
    /// An actor could not be started.
    #[error("could not start an actor")]
    Spawn(#[from] SpawnErr),
    /// The engine's threads could not be started.
    #[error("could not start the engine's threads")]
    Threads(#[from] std::io::Error),
    /// The replay's thread is gone.
    #[error("the replay was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl From<RebuildError> for StartError {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Replay(error) => Self::Replay(error),
            RebuildError::Partitions(_) => Self::Options(error.to_string()),
            other => Self::Snapshots(other),
        }
    }
}

/// What an engine was built from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The snapshot it began with; `None` for the whole journal.
    pub snapshot: Option<Summary>,
    /// Newer snapshots that could not be used.
    pub rejected: Vec<Rejected>,
}

/// A running engine.
pub struct Engine {
    /// Where its actors run; ends when it is dropped.
    threads: EngineThreads,
    shared: Arc<Shared>,
    supervisor: ActorRef<()>,
    coordinator: ActorRef<CoordinatorMsg>,
    partitions: Vec<ActorRef<PartitionMsg>>,
    journal: ActorRef<JournalMsg>,
    snapshotter: Option<ActorRef<SnapshotterMsg>>,
    answers: ActorRef<AnswersMsg>,
    follower: Option<Follower>,
    tail: Tail,
    origin: Origin,
    upkeep: Upkeep,
}

/// What the replay gave.
struct Built {
    ledger: Ledger,
    writer: Box<dyn Writer>,
    tail: Tail,
    origin: Origin,
}

impl Engine {
    /// Opens the journal for writing as `owner`, replays it, and starts the actors. Must be
    /// called on a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(
        options: EngineOptions,
        journal: Arc<dyn Journal>,
        owner: &str,
        progress: Progress,
    ) -> Result<Self, StartError> {
        check(&options)?;
        let shard = ShardId(0);
        // Scatters ids in memory in a way that callers cannot guess.
        let seed = RandomState::new().hash_one(0u8);
        let making = Making { partitions: options.partitions, seed };
        let (owner, opener) = (owner.to_owned(), Arc::clone(&journal));
        let store = options.snapshots.as_ref().filter(|snapshots| snapshots.start_from);
        let store = store.map(|snapshots| snapshots.store.clone());
        let checkpoints = options.checkpoints.clone();
        let rebuilt = tokio::task::spawn_blocking(move || {
            if let Some(given) = checkpoints {
                // Before anything is written.
                let (ledger, key) = (given.ledger, given.key.public());
                check_standing(&*opener, shard, ledger, &given.store, &key, 0)?;
            }
            let rebuilt = rebuild::open(&*opener, shard, &owner, store.as_ref(), making, progress)?;
            Ok::<_, StartError>(rebuilt)
        });
        let Rebuilt { ledger, journal: (writer, tail), from, rejected } = rebuilt.await??;
        let durable = Lsn(tail.next_lsn.0 - 1);
        let threads = EngineThreads::start(options.partitions)?;
        let checkpoints = options.checkpoints.clone();
        let shared = Arc::new(Shared::new(options, shard, writer.epoch(), journal, durable));
        let follower =
            checkpoints.map(|given| Follower::start(given, Names::of(&ledger), durable, &shared));
        let follower = follower.transpose()?;
        if let Some(follower) = &follower {
            drop(shared.proof.set(follower.following()));
        }
        let (supervisor, _) =
            Actor::spawn(None, Supervisor { shared: Arc::clone(&shared) }, ()).await?;
        // Here, with those who ask.
        let actor = AnswersActor { shared: Arc::clone(&shared) };
        let (answers, _) = Actor::spawn_linked(None, actor, (), supervisor.get_cell()).await?;
        let inside = threads.handle().clone();
        let origin = Origin { snapshot: from, rejected };
        let built = Built { ledger, writer, tail, origin };
        let engine =
            inside.spawn(Self::spawn(threads, shared, supervisor, answers, built)).await??;
        Ok(Self { follower, ..engine })
    }

    async fn spawn(
        threads: EngineThreads,
        shared: Arc<Shared>,
        supervisor: ActorRef<()>,
        answers: ActorRef<AnswersMsg>,
        Built { ledger, writer, tail, origin }: Built,
    ) -> Result<Self, StartError> {
        let mut partitions = Vec::new();
        for partition in ledger.partitions {
            let link = supervisor.get_cell();
            let (actor, _) = Actor::spawn_linked(None, PartitionActor, partition, link).await?;
            partitions.push(actor);
        }
        let (used, reused) = pools();
        let durable = Lsn(tail.next_lsn.0 - 1);
        let args = JournalArgs { writer, durable, used, answers: answers.clone() };
        let actor = JournalActor { shared: Arc::clone(&shared) };
        let (journal, _) = Actor::spawn_linked(None, actor, args, supervisor.get_cell()).await?;
        if let Ok(mut known) = shared.currencies.write() {
            *known = Arc::new(ledger.coordinator.currencies().clone());
        }
        shared.watched.learn(ledger.coordinator.profiles());
        let args = CoordinatorArgs {
            rules: ledger.coordinator,
            partitions: partitions.clone(),
            journal: journal.clone(),
            reused,
        };
        let actor = CoordinatorActor { shared: Arc::clone(&shared) };
        let (coordinator, _) =
            Actor::spawn_linked(None, actor, args, supervisor.get_cell()).await?;
        shared.connect(coordinator.clone());
        // One that has failed already is its supervisor's to tell.
        drop(coordinator.cast(CoordinatorMsg::Begin));
        let snapshotter = match &shared.options.snapshots {
            Some(options) => {
                let due = remember(&shared, options, &origin, &tail);
                let (options, partitions) = (options.clone(), partitions.clone());
                let args = SnapshotterArgs { options, partitions, due };
                let actor = SnapshotterActor { shared: Arc::clone(&shared) };
                let link = supervisor.get_cell();
                let (actor, _) = Actor::spawn_linked(None, actor, args, link).await?;
                // Set here and nowhere else.
                let _set = shared.snapshotter.set(actor.clone());
                Some(actor)
            }
            None => None,
        };
        let upkeep = Upkeep::start(&shared)?;
        Ok(Self {
            threads,
            shared,
            supervisor,
            coordinator,
            partitions,
            journal,
            snapshotter,
            answers,
            follower: None,
            tail,
            origin,
            upkeep,
        })
    }

    /// The door.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// What the journal ended in when the engine started.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// What the engine was built from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Resolves when the engine has stopped because something failed; the text says what.
    /// The process must end then. Never resolves on an engine that is shut down.
    pub async fn failed(&self) -> String {
        let mut stopped = self.shared.stopped.subscribe();
        // Cloned at once: the guard must not live across the wait below.
        let why = stopped.wait_for(Option::is_some).await.map(|why| why.clone());
        match why {
            Ok(why) => why.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes no more requests, answers the transfers admitted, makes everything durable,
    /// stops. Reads that still wait are dropped. Takes 30 seconds and a sync at most.
    ///
    /// # Errors
    /// [`RequestError::Stopped`] when the engine had failed before, or did not drain in time.
    pub async fn shutdown(self) -> Result<(), RequestError> {
        self.shared.reads.close();
        self.shared.long_reads.close();
        self.shared.feeds.close();
        self.shared.clear_reads();
        let all = u32::try_from(self.shared.options.in_flight_max).unwrap_or(u32::MAX);
        // Kept until the door is closed: nothing is admitted in between.
        let room = tokio::select! {
            room = tokio::time::timeout(DRAIN_MAX, self.shared.room.acquire_many(all)) => {
                room.ok().and_then(Result::ok)
            }
            _ = self.failed() => None,
        };
        let drained = room.is_some();
        self.shared.room.close();
        drop(room);
        self.shared.walks.close();
        self.shared.begin_stopping();
        if let Some(snapshotter) = &self.snapshotter {
            // First: what it has begun needs the others to be ended well.
            drop(snapshotter.stop_and_wait(None, None).await);
        }
        self.upkeep.end().await;
        drop(self.coordinator.stop_and_wait(None, None).await);
        for partition in &self.partitions {
            drop(partition.stop_and_wait(None, None).await);
        }
        drop(self.journal.stop_and_wait(None, None).await);
        drop(self.answers.stop_and_wait(None, None).await);
        drop(self.supervisor.stop_and_wait(None, None).await);
        if let Some(follower) = self.follower {
            drop(tokio::task::spawn_blocking(move || follower.finish()).await);
        }
        let failed = self.shared.stopped.borrow().clone();
        self.shared.stop("it was shut down".to_owned());
        drop(self.threads);
        match failed {
            Some(why) => Err(RequestError::Stopped(why)),
            None if drained => Ok(()),
            None => Err(RequestError::Stopped("it did not drain".to_owned())),
        }
    }
}

/// Notes the last snapshot there is, removes what an interrupted one left behind, and says from
/// where on the next is due.
fn remember(shared: &Shared, options: &SnapshotOptions, origin: &Origin, tail: &Tail) -> Due {
    if let Err(error) = options.store.remove_leftovers() {
        tracing::warn!(%error, "what an unfinished snapshot left behind cannot be removed");
    }
    let began_with = origin.snapshot.as_ref();
    let last = began_with.map(|from| LastSnapshot {
        lsn: from.header.lsn(),
        taken_ns: from.header.taken_ns,
        took: None,
        bytes: from.bytes,
    });
    let mut health = shared.snapshot_health();
    (health.kept, health.last) = (true, last);
    let (covered, bytes) = last.map_or((Lsn::ZERO, 0), |last| (last.lsn, last.bytes));
    Due::new(options.schedule.clone(), Instant::now(), covered, bytes, tail.bytes)
}

fn check(options: &EngineOptions) -> Result<(), StartError> {
    let most = u32::MAX as usize >> 3;
    if !(BATCH_MAX..=most).contains(&options.in_flight_max) {
        let given = options.in_flight_max;
        return Err(StartError::Options(format!(
            "in_flight_max must lie between {BATCH_MAX} and {most}, not be {given}"
        )));
    }
    if !(1..=65_536).contains(&options.subscribers_max) {
        let given = options.subscribers_max;
        return Err(StartError::Options(format!(
            "subscribers_max must lie between 1 and 65536, not be {given}"
        )));
    }
    if options.remembered_ids_max < BATCH_MAX {
        let given = options.remembered_ids_max;
        return Err(StartError::Options(format!(
            "remembered_ids_max must be at least {BATCH_MAX}, not {given}"
        )));
    }
    Ok(())
}
