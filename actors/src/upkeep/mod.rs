//! What is done beside the transfers, on threads of its own and at its own pace: moving the
//! journal's oldest part into the archive, backing up, and watching the disk. None of it is ever
//! waited for by a transfer.
//!
//! * [`archiving`]: after snapshots;
//! * [`backing_up`]: to another disk, at an interval;
//! * [`disk`]: whether new transfers are taken.

pub mod archiving;
pub mod backing_up;
pub mod disk;
mod pace;

use crate::admission::Shared;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// So many can wait for the next backup at a time.
const ASKS_MAX: usize = 256;

/// How the engine is kept.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The archive; `None` when the engine has none.
    pub archive: Option<archiving::ArchiveHealth>,
    /// The backup; `None` when none is made.
    pub backup: Option<backing_up::BackupHealth>,
    /// The disk; `None` when nobody watches it.
    pub disk: Option<disk::DiskHealth>,
}

/// The threads of an engine's upkeep. They end when this is dropped; [`Self::end`] waits for it.
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
    /// Dropped, the disk is no longer watched.
    stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Upkeep {
    /// Starts what the options ask for.
    pub fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let mut upkeep = Self { shared: Arc::clone(shared), stop: None, threads: Vec::new() };
        if let Some(options) = shared.options.archive.clone() {
            let (wake, woken) = bounded(1);
            shared.archiver.connect(wake);
            let shared = Arc::clone(shared);
            upkeep.run("ducat-archive", move || archiving::run(&shared, &options, &woken))?;
        }
        if let Some(options) = shared.options.backup.clone() {
            let (ask, asked) = bounded(ASKS_MAX);
            shared.backing_up.connect(ask);
            let shared = Arc::clone(shared);
            upkeep.run("ducat-backup", move || backing_up::run(&shared, &options, &asked))?;
        }
        if let Some(options) = shared.options.disk.clone() {
            let (stop, stopped): (_, Receiver<()>) = bounded(0);
            upkeep.stop = Some(stop);
            // Known before the first transfer comes.
            shared.disk.look(&options);
            let shared = Arc::clone(shared);
            upkeep.run("ducat-disk", move || disk::run(&shared, &options, &stopped))?;
        }
        Ok(upkeep)
    }

    fn run(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(body)?);
        Ok(())
    }

    /// Ends the threads and waits until they have: nobody uses the journal any more then.
    pub async fn end(mut self) {
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        drop(joined.await);
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.shared.archiver.disconnect();
        self.shared.backing_up.disconnect();
        self.stop = None;
    }
}
