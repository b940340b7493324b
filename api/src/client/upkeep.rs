//! Snapshots, backups and the audit trail, for whoever runs a server.

use super::{Client, ClientError};
use crate::proto::audit_client::AuditClient;
use crate::proto::{self, BackupHealth, SnapshotStatus};
use ducat_engine::ids::Lsn;

const NO_BACKUP: ClientError = ClientError::Protocol("an answer came without its backup");

impl Client {
    /// Takes a snapshot, or joins the one that is running; durable when it returns.
    ///
    /// # Errors
    /// [`ClientError`]: `FailedPrecondition` where none are kept or nothing has happened yet,
    /// `Aborted` for one that could not be written.
    pub async fn create_snapshot(&self) -> Result<proto::CreateSnapshotResponse, ClientError> {
        let request = proto::CreateSnapshotRequest {};
        Ok(self.operator.clone().create_snapshot(request).await?.into_inner())
    }

    /// The snapshots, the newest first; their beginnings and ends are looked at, no more.
    ///
    /// # Errors
    /// [`ClientError`]: `FailedPrecondition` where none are kept.
    pub async fn list_snapshots(&self) -> Result<Vec<proto::Snapshot>, ClientError> {
        let request = proto::ListSnapshotsRequest {};
        Ok(self.operator.clone().list_snapshots(request).await?.into_inner().snapshots)
    }

    /// Has a snapshot read whole and its place in the journal looked for; the newest without an LSN.
    /// One that is not sound is an answer.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for one that is not there.
    pub async fn verify_snapshot(
        &self,
        lsn: Option<Lsn>,
    ) -> Result<proto::VerifySnapshotResponse, ClientError> {
        let request = proto::VerifySnapshotRequest { lsn: lsn.map_or(0, |lsn| lsn.0) };
        Ok(self.operator.clone().verify_snapshot(request).await?.into_inner())
    }

    /// One snapshot, read whole; the newest without an LSN. `None` for one that is not sound.
    ///
    /// # Errors
    /// As [`Self::verify_snapshot`].
    pub async fn show_snapshot(
        &self,
        lsn: Option<Lsn>,
    ) -> Result<Option<proto::Snapshot>, ClientError> {
        let answer = self.verify_snapshot(lsn).await?;
        Ok(answer.snapshot.filter(|_| answer.sound))
    }

    /// Removes all but so many of the newest snapshots that can be used, at least 1; the LSNs of those
    /// removed, the newest first.
    ///
    /// # Errors
    /// [`ClientError`]: `InvalidArgument` for none to be kept.
    pub async fn prune_snapshots(&self, keep: u32) -> Result<Vec<Lsn>, ClientError> {
        let request = proto::PruneSnapshotsRequest { keep };
        let removed = self.operator.clone().prune_snapshots(request).await?.into_inner().removed;
        Ok(removed.into_iter().map(Lsn).collect())
    }

    /// How snapshots are doing; `None` of a server that keeps none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshot_status(&self) -> Result<Option<SnapshotStatus>, ClientError> {
        Ok(self.get_status(false).await?.snapshots)
    }

    /// Copies what is durable now into the server's backup; it is there when this returns, with how
    /// backing up does.
    ///
    /// # Errors
    /// [`ClientError`]: `FailedPrecondition` of a server that makes no backups, `Aborted` for one that
    /// could not be written.
    pub async fn create_backup(&self) -> Result<BackupHealth, ClientError> {
        let answer = self.operator.clone().create_backup(proto::CreateBackupRequest {}).await?;
        answer.into_inner().backup.ok_or(NO_BACKUP)
    }

    /// How backing up does; `None` of a server that makes no backups.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backup_status(&self) -> Result<Option<BackupHealth>, ClientError> {
        Ok(self.get_status(false).await?.backup)
    }

    /// A page of the audit trail: who did what, in the order of the journal.
    ///
    /// # Errors
    /// [`ClientError`]: `PermissionDenied` for whoever is no auditor of the whole ledger.
    pub async fn list_audit_events(
        &self,
        request: proto::ListAuditEventsRequest,
    ) -> Result<proto::ListAuditEventsResponse, ClientError> {
        let mut client = AuditClient::new(self.channel.clone());
        Ok(client.list_audit_events(request).await?.into_inner())
    }

    /// What happened in a period, in figures, and what looks like an attack.
    ///
    /// # Errors
    /// As [`Self::list_audit_events`].
    pub async fn get_audit_summary(
        &self,
        request: proto::GetAuditSummaryRequest,
    ) -> Result<proto::GetAuditSummaryResponse, ClientError> {
        let mut client = AuditClient::new(self.channel.clone());
        Ok(client.get_audit_summary(request).await?.into_inner())
    }
}
