//! Snapshots through the door: taken, listed, read, removed while the engine serves.

use super::Handle;
use crate::snapshots::snapshotter::SnapshotterMsg;
use crate::snapshots::{
    SnapshotFailed, SnapshotHealth, SnapshotOptions, Standing, Taken, Verified, standing,
};
use crate::threads::lower_priority;
use ducat_engine::ids::Lsn;
use ducat_persistence::snapshot::{Listed, SnapshotError};
use ducat_persistence::with_causes;
use tokio::sync::oneshot;

impl Handle {
    /// Takes a snapshot of this moment, without stopping transfers; durable when it returns.
    /// While one is running, joins it and gets the same answer. A sound one of this very
    /// moment that is there already is not written again.
    ///
    /// # Errors
    /// [`SnapshotFailed`]; the engine goes on.
    pub async fn create_snapshot(&self) -> Result<Taken, SnapshotFailed> {
        self.snapshot_options()?;
        let snapshotter = self.shared.snapshotter.get().ok_or(SnapshotFailed::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let sent = snapshotter.cast(SnapshotterMsg::Create { reply });
        sent.map_err(|_| SnapshotFailed::Stopped)?;
        answer.await.map_err(|_| SnapshotFailed::Stopped)?
    }

    /// All snapshots, the newest first; their beginnings and ends are looked at, no more.
    ///
    /// # Errors
    /// [`SnapshotFailed`].
    pub async fn list_snapshots(&self) -> Result<Vec<Listed>, SnapshotFailed> {
        self.beside(|_, options| Ok(options.store.list()?)).await
    }

    /// Reads the snapshot at `lsn` whole, or the newest, and looks for its place in the
    /// journal. One such reading is in work at a time.
    ///
    /// # Errors
    /// [`SnapshotFailed`], among them [`SnapshotFailed::Damaged`].
    pub async fn verify_snapshot(&self, lsn: Option<Lsn>) -> Result<Verified, SnapshotFailed> {
        self.beside(move |handle, options| {
            let newest = || options.store.list().map(|l| l.first().map_or(Lsn::ZERO, |l| l.lsn));
            let lsn = lsn.map_or_else(newest, Ok)?;
            let damaged = |why: String| SnapshotFailed::Damaged { lsn, why };
            let summary = options.store.verify(lsn).map_err(|error| match &error {
                SnapshotError::Missing(_) => SnapshotFailed::Missing(lsn),
                error if error.is_damage() => damaged(with_causes(error)),
                _ => error.into(),
            })?;
            let shared = &handle.shared;
            match standing(&*shared.journal, shared.shard, &summary.header) {
                Ok(Standing::OtherHistory) => {
                    Err(damaged("the journal has another frame at its LSN".to_owned()))
                }
                Ok(Standing::BeyondJournal) => {
                    Err(damaged("the journal ends before it".to_owned()))
                }
                Ok(standing) => {
                    Ok(Verified { summary, path: options.store.path_of(lsn), standing })
                }
                Err(error) => Err(SnapshotFailed::Io(with_causes(&error))),
            }
        })
        .await
    }

    /// Removes all snapshots but the newest `keep` (at least one) that can be used, having read
    /// those that stay. Returns what was removed.
    ///
    /// # Errors
    /// [`SnapshotFailed`].
    pub async fn prune_snapshots(&self, keep: usize) -> Result<Vec<Lsn>, SnapshotFailed> {
        self.beside(move |handle, options| Ok(handle.shared.prune_snapshots(options, keep)?)).await
    }

    /// How snapshots are doing; cheap.
    #[must_use]
    pub fn snapshot_health(&self) -> SnapshotHealth {
        self.shared.snapshot_health().clone()
    }

    fn snapshot_options(&self) -> Result<&SnapshotOptions, SnapshotFailed> {
        self.shared.options.snapshots.as_ref().ok_or(SnapshotFailed::NotKept)
    }

    /// Does something with files on a thread of its own, which gives way to transfers.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &SnapshotOptions) -> Result<T, SnapshotFailed> + Send + 'static,
    ) -> Result<T, SnapshotFailed> {
        let options = self.snapshot_options()?.clone();
        let turn = self.shared.snapshot_turns.acquire().await;
        let _turn = turn.map_err(|_| SnapshotFailed::Stopped)?;
        let (tell, told) = oneshot::channel();
        let handle = self.clone();
        let thread = std::thread::Builder::new().name("ducat-snapshots".to_owned());
        let spawned = thread.spawn(move || {
            lower_priority();
            // Whoever has gone needs no answer.
            let _gone = tell.send(work(&handle, &options));
        });
        spawned.map_err(|e| SnapshotFailed::Io(format!("could not start a thread: {e}")))?;
        told.await.map_err(|_| SnapshotFailed::Io("the thread has panicked".to_owned()))?
    }
}

impl From<SnapshotError> for SnapshotFailed {
    fn from(error: SnapshotError) -> Self {
        Self::Io(with_causes(&error))
    }
}
