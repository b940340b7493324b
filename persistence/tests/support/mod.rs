//! What the journal's tests share: the implementations under test, and ways to
//! harm files.
#![allow(dead_code)]

pub mod child;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{Harm, SHARD, Subject};
use ducat_persistence::contract::{Journal, JournalError};
use ducat_persistence::memory::{Failure, MemoryJournal};
use ducat_persistence::vault::{KeyWrapper, MasterKey};
use ducat_persistence::{
    ArchiveStore, ArchivedJournal, DataDir, Frame, LedgerId, SledJournal, SledOptions, Syncer,
};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A sync that counts and fails on command.
#[derive(Debug, Default)]
pub struct TestSync {
    pub fail_next: AtomicBool,
    pub calls: AtomicU64,
}

impl Syncer for TestSync {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.fail_next.swap(false, Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        file.sync_data()
    }
}

/// Small segments, so that tests have many.
pub fn small_options() -> SledOptions {
    SledOptions {
        segment_bytes_max: 128 << 10,
        cache_bytes: 1 << 20,
        open_segments_max: 2,
        ..SledOptions::default()
    }
}

/// Opens (or creates) the journal at a path.
pub fn open_journal(root: &Path, options: SledOptions) -> SledJournal {
    let dir = DataDir::create_or_open(root).expect("opens the data directory");
    SledJournal::open(Arc::new(dir), options).expect("opens the journal")
}

/// The sled journal in a temporary directory.
pub struct SledSubject {
    pub root: tempfile::TempDir,
    pub sync: Arc<TestSync>,
    master: Option<MasterKey>,
    journal: Option<SledJournal>,
}

impl SledSubject {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut subject = Self { root, sync: Arc::default(), master: None, journal: None };
        subject.restart();
        subject
    }

    /// The same, encrypted.
    pub fn sealed() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let master = Some(MasterKey::random().expect("random"));
        let mut subject = Self { root, sync: Arc::default(), master, journal: None };
        subject.restart();
        subject
    }

    fn open(&self) -> SledJournal {
        let by = self.master.as_ref().map(|master| master as &dyn KeyWrapper);
        let dir = DataDir::create_or_open_with(self.root.path(), by).expect("opens");
        SledJournal::open(Arc::new(dir), self.options()).expect("opens the journal")
    }

    fn options(&self) -> SledOptions {
        SledOptions { syncer: self.sync.clone(), ..small_options() }
    }
}

impl Subject for SledSubject {
    fn journal(&self) -> &dyn Journal {
        self.journal.as_ref().expect("open between restarts")
    }

    fn restart(&mut self) {
        self.journal = None;
        if self.root.path().join("FORMAT").exists() {
            // A poisoned database is leaked, and its lock with it: the copy is what
            // another process would find.
            let copy = tempfile::tempdir().expect("a temporary directory");
            copy_tree(self.root.path(), copy.path());
            self.root = copy;
        }
        self.journal = Some(self.open());
    }

    fn fail_next_append(&mut self) {
        self.sync.fail_next.store(true, Ordering::SeqCst);
    }

    fn restart_damaged(&mut self, lsn: Lsn, how: Harm) {
        self.journal = None;
        harm_frame(self.root.path(), lsn, how);
        self.journal = Some(self.open());
    }
}

/// The sled journal with its archive. Every restart first archives and drops all that can be.
pub struct ArchivedSubject {
    sled: SledSubject,
    view: Option<ArchivedJournal>,
}

impl ArchivedSubject {
    pub fn new() -> Self {
        Self::over(SledSubject::new())
    }

    /// The same, encrypted.
    pub fn sealed() -> Self {
        Self::over(SledSubject::sealed())
    }

    fn over(sled: SledSubject) -> Self {
        let mut subject = Self { sled, view: None };
        subject.open();
        subject
    }

    fn open(&mut self) {
        let journal = self.sled.journal.take().expect("open between restarts");
        let archive = ArchiveStore::of(journal.data_dir(), SHARD).map(Arc::new);
        self.view = Some(ArchivedJournal::new(Arc::new(journal), archive));
    }

    /// Archives and drops what can be.
    pub fn trim(&self) {
        let view = self.view.as_ref().expect("open between restarts");
        let archive = view.archive().expect("it can be read");
        // A journal that an append has poisoned trims nothing.
        let Ok(pieces) = view.pieces(SHARD) else { return };
        for piece in pieces.iter().filter(|piece| piece.is_droppable) {
            let from = archive.end().lsn.next();
            let frames = view.journal().read(SHARD, from).expect("reads");
            let upto = |frame: &Result<Frame, JournalError>| {
                frame.as_ref().map_or(true, |frame| frame.last_lsn() <= piece.last)
            };
            archive.append(frames.take_while(upto)).expect("archives");
            if view.trim(SHARD, piece.last).is_err() {
                return;
            }
        }
    }
}

impl Subject for ArchivedSubject {
    fn journal(&self) -> &dyn Journal {
        self.view.as_ref().expect("open between restarts")
    }

    fn restart(&mut self) {
        self.trim();
        self.view = None;
        self.sled.restart();
        self.open();
    }

    fn fail_next_append(&mut self) {
        self.sled.fail_next_append();
    }

    fn restart_damaged(&mut self, lsn: Lsn, how: Harm) {
        self.view = None;
        self.sled.restart_damaged(lsn, how);
        self.open();
    }
}

/// The segments' directories, in order.
pub fn segments(root: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(root.join("shard-0/journal")).expect("lists");
    let mut paths: Vec<_> = listed.map(|entry| entry.expect("lists").path()).collect();
    paths.sort();
    paths
}

/// A segment that no journal has open, through sled itself.
pub fn open_sled(segment: &Path) -> sled::Db {
    let config = sled::Config::new().path(segment).segment_size(4 << 20).flush_every_ms(None);
    (0..1000)
        .find_map(|_| {
            let opened = config.open().ok();
            if opened.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            opened
        })
        .expect("sled opens what was closed a moment ago")
}

/// Changes a frame behind the journal's back, through sled itself, so that only the
/// journal's own checks can notice.
pub fn harm_frame(root: &Path, lsn: Lsn, how: Harm) {
    let segments = segments(root);
    let first = |path: &Path| -> u64 {
        path.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("digits")
    };
    let db = open_sled(segments.iter().rfind(|path| first(path) <= lsn.0).expect("a segment"));
    let mut back = db.range(..(lsn.0 + 1).to_be_bytes()).rev().map(|entry| entry.expect("reads"));
    // Past the fences, whose keys are longer.
    let (key, value) = back.find(|(key, _)| key.len() == 8).expect("a frame is there");
    match how {
        Harm::Lose => drop(db.remove(&key).expect("removes")),
        Harm::Flip => {
            let mut bytes = value.to_vec();
            // In the payload of the first frame of the block.
            bytes[100] ^= 4;
            db.insert(&key, bytes).expect("inserts");
        }
    }
    db.flush().expect("flushes");
}

/// The journal in memory.
pub struct MemorySubject {
    journal: MemoryJournal,
    kept: usize,
    appends: u64,
}

impl MemorySubject {
    /// A failed append leaves so many frames behind; `None` refuses it outright.
    pub fn new(kept: usize) -> Self {
        let journal = MemoryJournal::new(LedgerId::from_bytes([3; 16]));
        Self { journal, kept, appends: 0 }
    }
}

impl Subject for MemorySubject {
    fn journal(&self) -> &dyn Journal {
        &self.journal
    }

    fn restart(&mut self) {
        self.journal = self.journal.reopen();
    }

    fn fail_next_append(&mut self) {
        // The suite fails the second append of the process.
        self.appends += 2;
        self.journal.fail_append(self.appends, Failure::InDoubt { frames_kept: self.kept });
    }

    fn restart_damaged(&mut self, lsn: Lsn, how: Harm) {
        let frames = self.journal.read(ducat_persistence::conformance::SHARD, Lsn(1));
        let index = frames
            .expect("reads")
            .position(|frame| frame.expect("intact").last_lsn() >= lsn)
            .expect("it is there");
        match how {
            // Only a frame with a valid checksum can be put back; the chain notices.
            Harm::Flip => self.journal.forge_frame(index),
            Harm::Lose => self.journal.lose_frame(index),
        }
        self.restart();
    }
}

/// Copies a directory with everything in it.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("creates");
    for entry in std::fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}
