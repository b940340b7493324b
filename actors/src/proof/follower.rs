//! The thread that follows the durable journal, keeps the tree, and signs checkpoints.
//!
//! It goes on from the newest checkpoint: the tree's hashes are read from their file, or made
//! anew from the whole journal, and count only when they come to the root that was signed. So
//! no checkpoint is ever signed that does not continue the one before. A failure is noted in
//! the status and tried again at the next turn; transfers go on.

use super::receipt::{Receipt, Source};
use super::standing::check_standing;
use super::{CheckpointOptions, CheckpointStatus, ProofError};
use crate::admission::Shared;
use crate::handle::RequestError;
use crate::replay::FrameRefused;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ducat_engine::codec::decode_all;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::proof::merkle::TILE;
use ducat_engine::proof::{Names, Tree, Whose};
use ducat_persistence::frame::FrameHash;
use ducat_persistence::with_causes;
use ducat_persistence::witness::{Checkpoint, SignedCheckpoint, TreeFile};
use ducat_persistence::{Frame, Journal};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How often it looks for what is new.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Checkpoints that receipts ask for are at least so far apart.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// How long a receipt waits for the checkpoint that covers it.
const RECEIPT_WAIT: Duration = Duration::from_secs(60);

/// An orderly stop signs once more, unless so many events would have to be read for it.
const LAST_EVENTS_MAX: u64 = 2_000_000;

/// What receipts need; the follower alone changes it.
struct State {
    names: Names,
    tree: Tree,
}

/// The way to a follower. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Following {
    state: Arc<RwLock<State>>,
    status: watch::Receiver<CheckpointStatus>,
    newest: watch::Receiver<Option<SignedCheckpoint>>,
    wake: Sender<()>,
    stop: Arc<AtomicBool>,
    whose: Whose,
}

/// The running thread. Dropping it tells it to end at once.
pub(crate) struct Follower {
    following: Following,
    /// Signs once more before it ends.
    orderly: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts the thread. `names` are those of the state at `known`.
    pub fn start(
        options: CheckpointOptions,
        names: Names,
        known: Lsn,
        shared: &Shared,
    ) -> io::Result<Self> {
        let whose = Whose { ledger: options.ledger.to_bytes(), shard: shared.shard };
        let state = Arc::new(RwLock::new(State { names, tree: Tree::new() }));
        let (status, show_status) = watch::channel(CheckpointStatus::default());
        let (newest, show_newest) = watch::channel(None);
        let (wake, woken) = bounded(1);
        let (stop, orderly) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let following = Following {
            state: Arc::clone(&state),
            status: show_status,
            newest: show_newest,
            wake,
            stop: Arc::clone(&stop),
            whose,
        };
        let worker = Worker {
            options,
            journal: Arc::clone(&shared.journal),
            shard: shared.shard,
            durable: shared.durable.subscribe(),
            whose,
            known,
            state,
            end: (FrameHash::default(), 0),
            file: None,
            resumed: false,
            status,
            newest,
            stop,
            orderly: Arc::clone(&orderly),
        };
        let thread = std::thread::Builder::new()
            .name("ducat-witness".to_owned())
            .spawn(move || worker.run(&woken))?;
        Ok(Self { following, orderly, thread: Some(thread) })
    }

    pub fn following(&self) -> Following {
        self.following.clone()
    }

    /// Signs what is there, and ends. Blocks.
    pub fn finish(mut self) {
        self.orderly.store(true, Ordering::SeqCst);
        self.end();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }

    fn end(&self) {
        self.following.stop.store(true, Ordering::SeqCst);
        // Full: it is woken already.
        let _full = self.following.wake.try_send(());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end();
    }
}

impl Following {
    /// How it goes.
    pub fn status(&self) -> CheckpointStatus {
        self.status.borrow().clone()
    }

    /// The receipt of the durable event at `lsn`; waits for the checkpoint that covers it.
    pub async fn receipt(&self, shared: &Arc<Shared>, lsn: Lsn) -> Result<Receipt, RequestError> {
        let covers = |signed: &Option<SignedCheckpoint>| {
            signed.as_ref().is_some_and(|signed| signed.checkpoint.lsn >= lsn)
        };
        if !covers(&self.newest.borrow()) {
            let _full = self.wake.try_send(());
        }
        let mut newest = self.newest.clone();
        let mut status = self.status.clone();
        let signed = tokio::select! {
            biased;
            signed = newest.wait_for(covers) => signed.ok().and_then(|signed| (*signed).clone()),
            _ = status.wait_for(|status| status.failure.is_some()) => None,
            () = tokio::time::sleep(RECEIPT_WAIT) => None,
        };
        let Some(signed) = signed else {
            let why = self.status().failure;
            let why = why.unwrap_or_else(|| "the checkpoints are behind".to_owned());
            return Err(RequestError::NotSigned(why));
        };
        let walks = Arc::clone(&shared.walks);
        let place = walks.acquire_owned().await.map_err(|e| shared.stopped(&e))?;
        let (state, whose, shared) = (Arc::clone(&self.state), self.whose, Arc::clone(shared));
        let proved = tokio::task::spawn_blocking(move || {
            let _place = place;
            let state = state.read().unwrap_or_else(PoisonError::into_inner);
            let (journal, shard, names) = (&*shared.journal, shared.shard, &state.names);
            Source { journal, shard, whose, names }.prove(&state.tree, lsn, signed)
        });
        let proved = proved.await.map_err(|e| RequestError::ReadFailed(e.to_string()))?;
        proved.map_err(|error| {
            tracing::error!(error = with_causes(&error), "a receipt could not be made");
            RequestError::ReadFailed(with_causes(&error))
        })
    }
}

struct Worker {
    options: CheckpointOptions,
    journal: Arc<dyn Journal>,
    shard: ShardId,
    durable: watch::Receiver<Lsn>,
    whose: Whose,
    /// The names cover every event up to here.
    known: Lsn,
    state: Arc<RwLock<State>>,
    /// Hash and time of the last frame taken.
    end: (FrameHash, u64),
    file: Option<TreeFile>,
    /// Whether the tree continues the newest checkpoint.
    resumed: bool,
    status: watch::Sender<CheckpointStatus>,
    newest: watch::Sender<Option<SignedCheckpoint>>,
    stop: Arc<AtomicBool>,
    orderly: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, woken: &Receiver<()>) {
        let mut due = Instant::now() + self.options.every;
        let mut signed = None;
        let mut asked = false;
        loop {
            let now = Instant::now();
            let may = signed.is_none_or(|at| now >= at + ASKED_EVERY);
            let sign = now >= due || (asked && may);
            if sign {
                (due, asked, signed) = (now + self.options.every, false, Some(now));
            }
            let turned = self.turn(sign);
            self.note(turned);
            match woken.recv_timeout(FOLLOW_EVERY.min(self.options.every)) {
                Ok(()) => asked = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
        }
        let behind = self.durable.borrow().0 - self.size().0.min(self.durable.borrow().0);
        if self.orderly.load(Ordering::SeqCst) && self.resumed && behind <= LAST_EVENTS_MAX {
            self.stop.store(false, Ordering::SeqCst);
            let turned = self.turn(true);
            self.note(turned);
        }
    }

    fn note(&self, turned: Result<(), ProofError>) {
        let failure = match turned {
            Ok(()) => None,
            Err(ProofError::Stopped) => return,
            Err(error) => Some(with_causes(&error)),
        };
        let followed = self.size();
        self.status.send_modify(|status| {
            if failure.is_some() && failure != status.failure {
                tracing::error!(error = failure, "no checkpoint can be signed; tried again");
            }
            status.followed = followed;
            status.failure = failure;
        });
    }

    fn size(&self) -> Lsn {
        Lsn(self.state.read().unwrap_or_else(PoisonError::into_inner).tree.size())
    }

    fn turn(&mut self, sign: bool) -> Result<(), ProofError> {
        if !self.resumed {
            self.resume()?;
            self.resumed = true;
        }
        let durable = *self.durable.borrow();
        self.follow(durable)?;
        self.keep();
        let last = self.newest.borrow().as_ref().map_or(Lsn::ZERO, |last| last.checkpoint.lsn);
        if !sign || durable <= last {
            return Ok(());
        }
        // A failed write may have written: the next turn looks.
        self.resumed = false;
        self.sign(durable)?;
        self.resumed = true;
        Ok(())
    }

    /// Brings the tree to where the newest checkpoint stands, and holds it against that.
    fn resume(&mut self) -> Result<(), ProofError> {
        let written = match &self.options.tree_file {
            Some(path) => TreeFile::newest_written(path, self.options.ledger).unwrap_or(0),
            None => 0,
        };
        let newest = check_standing(
            &*self.journal,
            self.shard,
            self.options.ledger,
            &self.options.store,
            &self.options.key.public(),
            written,
        )?;
        let Some(signed) = newest else {
            self.reset(Tree::new());
            drop(self.open_file(0));
            return Ok(());
        };
        let (lsn, root) = (signed.checkpoint.lsn, signed.checkpoint.root);
        let tiles = self.open_file(lsn.0 / TILE);
        if tiles.len() as u64 == lsn.0 / TILE {
            self.reset(Tree::of_tiles(tiles));
            self.follow(lsn)?;
        }
        if self.size() != lsn || self.root() != root {
            tracing::info!("reading the whole journal to go on with the checkpoints");
            self.reset(Tree::new());
            if let Some(file) = &mut self.file {
                file.clear();
            }
            self.follow(lsn)?;
        }
        if self.root() != root {
            return Err(ProofError::OtherRoot(lsn));
        }
        self.show(signed);
        Ok(())
    }

    fn open_file(&mut self, tiles_max: u64) -> Vec<[u8; 32]> {
        let Some(path) = &self.options.tree_file else { return Vec::new() };
        match TreeFile::open(path, self.options.ledger, tiles_max) {
            Ok((file, tiles)) => {
                self.file = Some(file);
                tiles
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the tree's hashes are not kept");
                Vec::new()
            }
        }
    }

    fn reset(&mut self, tree: Tree) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).tree = tree;
    }

    fn root(&self) -> [u8; 32] {
        self.state.read().unwrap_or_else(PoisonError::into_inner).tree.root()
    }

    /// Takes in events up to `to`, where a frame ends.
    fn follow(&mut self, to: Lsn) -> Result<(), ProofError> {
        let mut next = self.size().next();
        if next > to {
            return Ok(());
        }
        for frame in self.journal.read(self.shard, next)? {
            let frame = frame?;
            if self.stop.load(Ordering::SeqCst) {
                return Err(ProofError::Stopped);
            }
            if frame.last_lsn() > to {
                return Err(ProofError::Short(to));
            }
            self.take(&frame, next)?;
            next = frame.last_lsn().next();
            if next > to {
                self.end = (frame.hash(), frame.header().time_ns);
                return Ok(());
            }
        }
        Err(ProofError::Short(to))
    }

    /// Takes in the events of a frame from `from` on: all or, by an error, none.
    fn take(&mut self, frame: &Frame, from: Lsn) -> Result<(), ProofError> {
        let (first, header) = (frame.first_lsn(), frame.header());
        let mut records = Vec::with_capacity(header.record_count as usize);
        for record in decode_all(frame.payload()) {
            let at = first.plus(records.len() as u64);
            records.push(record.map_err(|source| FrameRefused::Decode { at, source })?);
        }
        if records.len() as u64 != u64::from(header.record_count) {
            let (said, held) = (header.record_count, records.len() as u64);
            return Err(FrameRefused::Count { said, held }.into());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = Vec::new();
        let mut leaves = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            let lsn = first.plus(at as u64);
            if lsn > self.known {
                state.names.learn(record);
                self.known = lsn;
            }
            if lsn >= from {
                let statement = state.names.statement(self.whose, lsn, header.time_ns, record)?;
                leaves.push(statement.leaf(&mut scratch));
            }
        }
        leaves.into_iter().for_each(|leaf| state.tree.push(leaf));
        Ok(())
    }

    /// Keeps the whole tiles. A file that takes none costs time at the next start, no more.
    fn keep(&mut self) {
        let Some(file) = &mut self.file else { return };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.put(state.tree.tiles()) {
            tracing::warn!(%error, "the tree's hashes are not kept");
            self.file = None;
        }
    }

    fn sign(&mut self, lsn: Lsn) -> Result<(), ProofError> {
        let before = self.newest.borrow().clone();
        let (journal, time_ns) = self.end;
        let checkpoint = Checkpoint {
            ledger: self.options.ledger,
            shard: self.shard,
            lsn,
            root: self.root(),
            number: before.as_ref().map_or(1, |before| before.checkpoint.number + 1),
            journal,
            time_ns,
            signed_ns: now_ns(),
            previous: before.as_ref().map(SignedCheckpoint::hash),
        };
        let signed = checkpoint.sign(&self.options.key);
        self.options.store.write(&signed)?;
        if let Some(file) = &mut self.file
            && let Err(error) = file.note(signed.checkpoint.number)
        {
            tracing::warn!(%error, "the checkpoint's number is not kept");
        }
        self.show(signed);
        Ok(())
    }

    fn show(&self, signed: SignedCheckpoint) {
        let followed = self.size();
        let checkpoint = &signed.checkpoint;
        self.status.send_replace(CheckpointStatus {
            number: checkpoint.number,
            lsn: checkpoint.lsn,
            signed_ns: checkpoint.signed_ns,
            followed,
            failure: None,
        });
        self.newest.send_replace(Some(signed));
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
