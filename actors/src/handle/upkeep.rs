//! The upkeep through the door: how it does, and what can be asked of it while the engine serves.

use super::Handle;
use crate::upkeep::Health;
use crate::upkeep::backing_up::{BackupFailed, BackupHealth};
use tokio::sync::oneshot;

impl Handle {
    /// How archive, backup and disk do; cheap.
    #[must_use]
    pub fn health(&self) -> Health {
        let options = &self.shared.options;
        Health {
            archive: options.archive.as_ref().map(|_| self.shared.archiver.health()),
            backup: options.backup.as_ref().map(|_| self.shared.backing_up.health()),
            disk: options.disk.as_ref().map(|disk| self.shared.disk.health(disk)),
        }
    }

    /// Lets the archive be looked at soon: a snapshot was made. Never waits.
    pub fn wake_archiver(&self) {
        self.shared.archiver.wake();
    }

    /// Backs up all that is durable now, without stopping transfers; answers when it is in the
    /// backup. Those who ask during a run wait for the next one together.
    ///
    /// # Errors
    /// [`BackupFailed`]; the engine goes on.
    pub async fn create_backup(&self) -> Result<BackupHealth, BackupFailed> {
        if self.shared.options.backup.is_none() {
            return Err(BackupFailed::NotKept);
        }
        let (tell, told) = oneshot::channel();
        self.shared.backing_up.ask(tell)?;
        told.await.map_err(|_| BackupFailed::Stopped)?
    }
}
