//! A disk that fails: files of sectors behind a cache, names of their own, and a plug.
//!
//! ```text
//! write ─▶ cache (dirty sectors) ─ sync ─▶ durable        names: pending ─ sync_dir ─▶ durable
//!              │ failed sync: doomed, no later sync writes them
//!              ▼ power cut: each dirty or doomed sector is there, lost or torn, by itself
//! ```
//!
//! What a power cut leaves is worse than any filesystem: sectors of one write survive
//! independently of one another and of those of other files; of a directory's pending names any
//! first part survives.

use ducat_engine::testing::rng::Rng;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes that a disk writes at once, mostly.
pub const SECTOR: usize = 512;

/// What is asked of the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Op {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

/// On whose behalf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    Start,
    Append,
    Mark,
    Snapshot,
    Trim,
}

/// Once in how many operations something fails; 0 for never.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    pub sync: usize,
    pub write: usize,
    pub full: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Written since the last sync.
    dirty: BTreeMap<usize, Vec<u8>>,
    /// Written before a sync that failed: the cache shows them, and no later sync writes them.
    doomed: BTreeMap<usize, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Name {
    Link(String, u64),
    Rename(String, String, u64),
    Unlink(String),
}

/// A bit that was changed.
#[derive(Clone, Debug)]
pub struct Flipped {
    /// The file's name then.
    pub name: String,
    file: u64,
    at: usize,
    bit: u8,
}

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    pub cut: BTreeMap<(Phase, Op), u64>,
    pub failed_syncs: u64,
    pub failed_writes: u64,
    pub full: u64,
    pub torn_sectors: u64,
    pub lost_sectors: u64,
    pub kept_sectors: u64,
    pub lost_names: u64,
}

/// The disk.
#[derive(Clone, Debug)]
pub struct Disk {
    rng: Rng,
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<Name>,
    next_file: u64,
    pub rates: Rates,
    pub phase: Phase,
    /// Operations until the plug is pulled.
    fuse: Option<usize>,
    dead: bool,
    pub counts: DiskCounts,
}

/// The disk as journal, snapshots and whoever pulls the plug share it.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            rng: Rng::new(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            next_file: 0,
            rates: Rates::default(),
            phase: Phase::Start,
            fuse: None,
            dead: false,
            counts: DiskCounts::default(),
        })))
    }

    /// The disk itself.
    ///
    /// # Panics
    /// When somebody panicked while holding it.
    pub fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("nobody panics while holding the disk")
    }
}

fn dir_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = at + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(new);
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl Disk {
    /// Pulls the plug in so many operations; they and all after them fail.
    pub fn set_fuse(&mut self, operations: Option<usize>) {
        self.fuse = operations;
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    fn begin(&mut self, op: Op) -> io::Result<()> {
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.fuse = None;
                self.dead = true;
                *self.counts.cut.entry((self.phase, op)).or_default() += 1;
            } else {
                *left -= 1;
            }
        }
        if self.dead { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    fn happens(&mut self, once_in: usize) -> bool {
        once_in > 0 && self.rng.once_in(once_in)
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Creates an empty file, or empties one.
    ///
    /// # Errors
    /// As a disk does.
    pub fn create(&mut self, name: &str) -> io::Result<()> {
        self.begin(Op::Create)?;
        if self.happens(self.rates.full) {
            self.counts.full += 1;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.next_file += 1;
        self.files.insert(self.next_file, File::default());
        self.names.insert(name.to_owned(), self.next_file);
        self.pending_names.push(Name::Link(name.to_owned(), self.next_file));
        Ok(())
    }

    /// Writes into the cache. A write that fails may have happened in part.
    ///
    /// # Errors
    /// As a disk does.
    pub fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()> {
        let id = self.id(name)?;
        let cut = self.begin(Op::Write);
        let fails = self.happens(self.rates.write);
        let full = self.happens(self.rates.full);
        let whole = cut.is_ok() && !fails && !full;
        let written = if whole { bytes.len() } else { self.rng.below(bytes.len() + 1) };
        let file = self.files.get_mut(&id).expect("a name has a file");
        put(&mut file.cached, at, &bytes[..written]);
        if written > 0 {
            for sector in at / SECTOR..=(at + written - 1) / SECTOR {
                let from = sector * SECTOR;
                let to = file.cached.len().min(from + SECTOR);
                file.dirty.insert(sector, file.cached[from..to].to_vec());
                file.doomed.remove(&sector);
            }
        }
        cut?;
        if fails {
            self.counts.failed_writes += 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if full {
            self.counts.full += 1;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    /// Makes what was written durable. After a failure no later sync does.
    ///
    /// # Errors
    /// As a disk does.
    pub fn sync(&mut self, name: &str) -> io::Result<()> {
        let id = self.id(name)?;
        self.begin(Op::Sync)?;
        let fails = self.happens(self.rates.sync);
        let file = self.files.get_mut(&id).expect("a name has a file");
        if fails {
            let dirty = std::mem::take(&mut file.dirty);
            file.doomed.extend(dirty);
            self.counts.failed_syncs += 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        for (sector, bytes) in std::mem::take(&mut file.dirty) {
            put(&mut file.durable, sector * SECTOR, &bytes);
        }
        Ok(())
    }

    /// Drops from the cache what no sync has confirmed: what the disk has is shown from now on.
    ///
    /// # Errors
    /// As a disk does.
    pub fn settle(&mut self, name: &str) -> io::Result<()> {
        self.sync(name)?;
        let id = self.id(name)?;
        let file = self.files.get_mut(&id).expect("a name has a file");
        file.doomed.clear();
        file.cached.clone_from(&file.durable);
        Ok(())
    }

    /// Gives a file another name; whatever had it is gone.
    ///
    /// # Errors
    /// As a disk does.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let id = self.id(from)?;
        self.begin(Op::Rename)?;
        self.names.remove(from);
        self.names.insert(to.to_owned(), id);
        self.pending_names.push(Name::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    /// Removes a name.
    ///
    /// # Errors
    /// As a disk does.
    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        self.id(name)?;
        self.begin(Op::Remove)?;
        self.names.remove(name);
        self.pending_names.push(Name::Unlink(name.to_owned()));
        Ok(())
    }

    /// Makes a directory's names durable.
    ///
    /// # Errors
    /// As a disk does.
    pub fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        self.begin(Op::SyncDir)?;
        let pending = std::mem::take(&mut self.pending_names);
        for name in pending {
            let (Name::Link(of, _) | Name::Unlink(of) | Name::Rename(_, of, _)) = &name;
            if dir_of(of) == dir {
                self.apply(name);
            } else {
                self.pending_names.push(name);
            }
        }
        Ok(())
    }

    fn apply(&mut self, name: Name) {
        match name {
            Name::Link(name, id) => drop(self.durable_names.insert(name, id)),
            Name::Unlink(name) => drop(self.durable_names.remove(&name)),
            Name::Rename(from, to, id) => {
                self.durable_names.remove(&from);
                self.durable_names.insert(to, id);
            }
        }
    }

    /// Names in a directory, in order.
    #[must_use]
    pub fn list(&self, dir: &str) -> Vec<String> {
        let names = self.names.keys().filter(|name| dir_of(name) == dir);
        names.cloned().collect()
    }

    /// What a file shows; empty without one.
    #[must_use]
    pub fn read(&self, name: &str) -> &[u8] {
        let id = self.names.get(name);
        id.and_then(|id| self.files.get(id)).map_or(&[], |file| &file.cached)
    }

    /// Pulls the plug (if it was not yet) and puts it in again.
    pub fn power_cycle(&mut self) {
        let pending = std::mem::take(&mut self.pending_names);
        let kept = self.rng.below(pending.len() + 1);
        self.counts.lost_names += (pending.len() - kept) as u64;
        for name in pending.into_iter().take(kept) {
            self.apply(name);
        }
        self.names.clone_from(&self.durable_names);
        let (rng, counts) = (&mut self.rng, &mut self.counts);
        for file in self.files.values_mut() {
            let doomed = std::mem::take(&mut file.doomed);
            let dirty = std::mem::take(&mut file.dirty);
            // All, nothing, or each sector by itself.
            let mood = rng.below(4);
            for (sector, bytes) in doomed.into_iter().chain(dirty) {
                let fate = match mood {
                    0 => 0,
                    1 => 1,
                    _ => rng.below(5),
                };
                let keep = match fate {
                    0 | 3 => {
                        counts.kept_sectors += 1;
                        bytes.len()
                    }
                    4 => {
                        counts.torn_sectors += 1;
                        rng.below(bytes.len())
                    }
                    _ => {
                        counts.lost_sectors += 1;
                        continue;
                    }
                };
                put(&mut file.durable, sector * SECTOR, &bytes[..keep]);
            }
            file.cached.clone_from(&file.durable);
        }
        self.collect();
        self.wake();
    }

    /// The process has died, the machine has not.
    pub fn wake(&mut self) {
        self.dead = false;
        self.fuse = None;
    }

    fn collect(&mut self) {
        let live: Vec<u64> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        self.files.retain(|id, _| live.contains(id));
    }

    /// Changes a bit of a file where it lies. Gives back what undoes it.
    pub fn flip(&mut self, name: &str) -> Option<Flipped> {
        let file_id = *self.names.get(name)?;
        let file = self.files.get_mut(&file_id)?;
        if file.durable.is_empty() || !file.dirty.is_empty() || !file.doomed.is_empty() {
            return None;
        }
        let (at, bit) = (self.rng.below(file.durable.len()), 1 << self.rng.below(8));
        file.durable[at] ^= bit;
        file.cached.clone_from(&file.durable);
        Some(Flipped { name: name.to_owned(), file: file_id, at, bit })
    }

    /// Spoils the first place where these bytes lie durably: flips a bit or clears them.
    pub fn harm(&mut self, what: &[u8], flip: bool) {
        for file in self.files.values_mut() {
            let found = file.durable.windows(what.len()).position(|window| window == what);
            if let Some(at) = found {
                if flip {
                    file.durable[at + what.len() - 1] ^= 4;
                } else {
                    file.durable[at..at + what.len()].fill(0);
                }
                file.cached.clone_from(&file.durable);
                return;
            }
        }
    }

    /// Undoes [`Self::flip`], when the file is still there.
    pub fn unflip(&mut self, flipped: &Flipped) {
        let Some(file) = self.files.get_mut(&flipped.file) else { return };
        for bytes in [&mut file.durable, &mut file.cached] {
            if let Some(byte) = bytes.get_mut(flipped.at) {
                *byte ^= flipped.bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_is_there_and_the_rest_may_be() {
        let (mut lost, mut torn) = (0, 0);
        for seed in 0..200 {
            let shared = Shared::new(seed);
            let mut disk = shared.lock();
            disk.create("d/a").expect("creates");
            disk.write("d/a", 0, &[1; 1024]).expect("writes");
            disk.sync("d/a").expect("syncs");
            disk.sync_dir("d").expect("syncs");
            disk.write("d/a", 512, &[2; 1024]).expect("writes");
            disk.power_cycle();
            let read = disk.read("d/a");
            assert_eq!(read[..512], [1; 512]);
            lost += u32::from(read[512] == 1 && read.len() > 1024);
            torn += u32::from(read[512] == 2 && read[1023] == 1);
        }
        assert!(lost > 5 && torn > 5, "{lost} {torn}");
    }

    #[test]
    fn a_failed_sync_is_never_made_good() {
        for seed in 0..50 {
            let shared = Shared::new(seed);
            let mut disk = shared.lock();
            disk.create("a").expect("creates");
            disk.write("a", 0, &[1; 512]).expect("writes");
            disk.rates.sync = 1;
            disk.sync("a").expect_err("fails");
            disk.rates.sync = 0;
            disk.sync("a").expect("says yes");
            assert_eq!(disk.read("a"), [1; 512], "the cache shows it");
            disk.settle("a").expect("syncs");
            assert!(disk.read("a").is_empty(), "the disk never got it");
        }
    }

    #[test]
    fn names_need_their_directory_synced() {
        let lost = (0..50).filter(|seed| {
            let shared = Shared::new(*seed);
            let mut disk = shared.lock();
            disk.create("d/a").expect("creates");
            disk.sync("d/a").expect("syncs");
            disk.power_cycle();
            disk.list("d").is_empty()
        });
        let lost = lost.count();
        assert!((10..40).contains(&lost), "{lost}");
    }
}
