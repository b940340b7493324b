//! The service `Operator`: what the engine is doing, for those who run it.

use crate::alerts::Alerts;
use crate::budget::Budget;
use crate::convert::accounts::Writer;
use crate::convert::{self, cursor, fees, health, past, snapshots, upkeep};
use crate::identity::{Caller, checks};
use crate::metrics::Metrics;
use crate::outside::Breaker;
use crate::proto::{
    self, CheckpointStatus, CreateBackupRequest, CreateBackupResponse, CreateSnapshotRequest,
    CreateSnapshotResponse, GetStatusRequest, GetStatusResponse, ListSnapshotsRequest,
    ListSnapshotsResponse, PruneSnapshotsRequest, PruneSnapshotsResponse, VerifySnapshotRequest,
    VerifySnapshotResponse,
};
use crate::servers::operator_server::Operator;
use crate::status::{self, Refusal};
use crate::stream::Draining;
use crate::verification::Verifications;
use crate::violation::Violations;
use ducat_actors::handle::Handle;
use ducat_actors::snapshots::SnapshotFailed;
use ducat_engine::fees::FeeFault;
use ducat_engine::ids::Lsn;
use ducat_engine::money::format_minor;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tonic::{Request, Response, Status};

/// Which failure an answer survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every answer survives a loss of power.
    PowerLoss,
    /// Nothing survives the end of the process.
    None,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerLoss => "power-loss",
            Self::None => "none",
        })
    }
}

/// What a server knows about itself and the engine does not.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The version of the binary.
    pub version: String,
    /// The ledger's own id, from its data directory.
    pub ledger_id: String,
    /// What the ledger was made from, in words, the newest step first; empty for one that was
    /// begun empty.
    pub origins: Vec<String>,
    /// Which failure an answer survives.
    pub durability: Durability,
    /// When the engine was started.
    pub started: Instant,
}

/// The service over one engine.
#[derive(Clone)]
pub struct OperatorService {
    handle: Handle,
    info: ServerInfo,
    requests: Budget,
    answers: Budget,
    draining: Draining,
    guarded: bool,
    verifications: Arc<Verifications>,
    breakers: Vec<Arc<Breaker>>,
    alerts: Option<Arc<Alerts>>,
    metrics: Option<Arc<Metrics>>,
}

impl OperatorService {
    /// The service over this engine; the budgets are those of the server. What takes long is
    /// given up when `draining` says so.
    #[must_use]
    pub fn new(
        handle: Handle,
        info: ServerInfo,
        requests: Budget,
        answers: Budget,
        draining: Draining,
    ) -> Self {
        Self {
            handle,
            info,
            requests,
            answers,
            draining,
            guarded: false,
            verifications: Arc::default(),
            breakers: Vec::new(),
            alerts: None,
            metrics: None,
        }
    }

    /// The same, which tells what is counted here.
    #[must_use]
    pub fn telling(self, metrics: Option<Arc<Metrics>>) -> Self {
        Self { metrics, ..self }
    }

    /// The same, whose proofs are remembered here.
    #[must_use]
    pub fn verifying_with(self, verifications: Arc<Verifications>) -> Self {
        Self { verifications, ..self }
    }

    /// The same, in a server that calls these outside itself and watches for alerts.
    #[must_use]
    pub fn calling(self, breakers: Vec<Arc<Breaker>>, alerts: Option<Arc<Alerts>>) -> Self {
        Self { breakers, alerts, ..self }
    }

    /// The same, behind a guard that says of every call who makes it.
    #[must_use]
    pub fn guarded(self, guarded: bool) -> Self {
        Self { guarded, ..self }
    }

    /// Waits for snapshots' work, but not beyond the server's end.
    async fn unless_draining<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        let mut draining = self.draining.clone();
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = draining.begun() => Err(Refusal::draining().into()),
        }
    }
}

#[tonic::async_trait]
impl Operator for OperatorService {
    async fn define_fee(
        &self,
        request: Request<proto::DefineFeeRequest>,
    ) -> Result<Response<proto::DefineFeeResponse>, Status> {
        let asked = request.into_inner();
        let currencies = self.handle.currencies();
        let schedule = fees::schedule(asked.schedule.as_ref(), &currencies)?;
        if asked.dry_run {
            let example = fees::example(&asked.example_amount, &schedule, &currencies)?;
            let judged = self.handle.dry_run_fee(schedule).await.map_err(status::request)?;
            let (dry, as_of) = (judged.what.map_err(status::fee)?, judged.as_of);
            return Ok(Response::new(fees::dry_definition(&dry, example, as_of, &currencies)));
        }
        let defined = self.handle.define_fee(schedule).await.map_err(status::request)?;
        let lsn = defined.map_err(status::fee)?.map_or(0, |lsn| lsn.0);
        Ok(Response::new(proto::DefineFeeResponse { lsn, ..Default::default() }))
    }

    async fn attach_fee(
        &self,
        request: Request<proto::AttachFeeRequest>,
    ) -> Result<Response<proto::AttachFeeResponse>, Status> {
        let asked = request.into_inner();
        let target = fees::target(asked.target.as_ref(), &self.handle.currencies())?;
        let name = Some(asked.name).filter(|name| !name.is_empty());
        if asked.dry_run {
            let judged = self.handle.dry_run_attached_fee(target, name).await;
            let judged = judged.map_err(status::request)?;
            let (dry, as_of) = (judged.what.map_err(status::fee)?, judged.as_of);
            return Ok(Response::new(fees::dry_attachment(&dry, as_of)));
        }
        let attached = self.handle.attach_fee(target, name).await.map_err(status::request)?;
        let lsn = attached.map_err(status::fee)?.map_or(0, |lsn| lsn.0);
        Ok(Response::new(proto::AttachFeeResponse { lsn, ..Default::default() }))
    }

    async fn list_fees(
        &self,
        request: Request<proto::ListFeesRequest>,
    ) -> Result<Response<proto::ListFeesResponse>, Status> {
        let asked = request.into_inner();
        let limit = convert::page_size(asked.page_size, 100, 1000)?;
        let from = cursor::read_fees(&asked.cursor)?;
        let page = self.handle.fees(from, limit).await.map_err(status::request)?;
        let next = page.next.map(cursor::fees).unwrap_or_default();
        Ok(Response::new(fees::page(&page, next, &self.handle.currencies())))
    }

    async fn quote_fee(
        &self,
        request: Request<proto::QuoteFeeRequest>,
    ) -> Result<Response<proto::QuoteFeeResponse>, Status> {
        let currencies = self.handle.currencies();
        let (kind, debit, amount, named) = fees::quoted(&request.into_inner(), &currencies)?;
        let quote = self.handle.quote_fee(kind, debit, amount).await.map_err(status::request)?;
        let mut answer =
            proto::QuoteFeeResponse { currency: named.code.clone(), ..Default::default() };
        if let Some((quote, schedule)) = quote.map_err(status::fee)? {
            if quote.currency != named.id {
                return Err(status::fee(FeeFault::AccountCurrency));
            }
            let minor = i128::try_from(quote.amount).unwrap_or(i128::MAX);
            answer.amount = format_minor(minor, named.digits);
            answer.name = schedule.name;
        }
        Ok(Response::new(answer))
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let caller = Caller::of(&request, self.guarded)?;
        let summary = if request.into_inner().with_state_hash {
            checks::whole(&caller, "the hash of the whole state")?;
            Some(self.handle.summary().await.map_err(status::request)?)
        } else {
            None
        };
        let now = self.handle.status_with_memory().await.map_err(status::request)?;
        let mut answer = GetStatusResponse {
            version: self.info.version.clone(),
            ledger_id: self.info.ledger_id.clone(),
            origins: self.info.origins.clone(),
            durability: self.info.durability.to_string(),
            accounts: now.accounts,
            remembered_ids: now.remembered_ids,
            remembered_ids_bytes: now.remembered_ids_bytes,
            open_holds: now.open_holds,
            open_holds_bytes: now.open_holds_bytes,
            last_lsn: now.last_lsn.0,
            durable_lsn: now.durable_lsn.0,
            epoch: now.epoch.0,
            partitions: now.partitions,
            in_flight: now.in_flight,
            in_flight_max: now.in_flight_max,
            posted: now.posted,
            refused: now.refused,
            repeats: now.repeats,
            uptime_ns: u64::try_from(self.info.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            journal_bytes: now.journal_bytes,
            memory_bytes: memory_bytes(),
            accounts_bytes: now.accounts_bytes,
            overloaded: now.overloaded,
            expired: now.expired,
            abandoned: now.abandoned,
            queue_delay_us: u64::try_from(now.queue_delay.as_micros()).unwrap_or(u64::MAX),
            requests_bytes: self.requests.taken() as u64,
            requests_bytes_max: self.requests.limit() as u64,
            answers_bytes: self.answers.taken() as u64,
            answers_bytes_max: self.answers.limit() as u64,
            snapshots: snapshots::health(self.handle.snapshot_health()),
            checkpoints: self.handle.checkpoint_status().map(|status| CheckpointStatus {
                number: status.number,
                lsn: status.lsn.0,
                signed_ns: status.signed_ns,
                lag: now.durable_lsn.0.saturating_sub(status.lsn.0),
                failure: status.failure.unwrap_or_default(),
            }),
            ..GetStatusResponse::default()
        };
        let upkept = self.handle.health();
        answer.archive = upkept.archive.map(upkeep::archive_health);
        answer.backup =
            upkept.backup.map(|backup| upkeep::backup_health(backup, answer.durable_lsn));
        answer.disk = upkept.disk.map(upkeep::disk_health);
        answer.verification = health::verification_health(self.verifications.figures());
        answer.dependencies = self.breakers.iter().map(|b| health::dependency(b)).collect();
        let firing = self.alerts.iter().flat_map(|alerts| alerts.firing());
        answer.alerts = firing.map(health::firing).collect();
        if let Some(metrics) = &self.metrics {
            metrics.tell(&mut answer, caller.sees_all());
        }
        if let Some(summary) = summary {
            let currencies = self.handle.currencies();
            let mut writer = Writer::new(&currencies);
            answer.state_hash = blake3::Hash::from_bytes(summary.hash).to_hex().to_string();
            answer.state_lsn = summary.lsn.0;
            answer.totals = summary.totals.iter().map(|total| writer.total(total)).collect();
        }
        Ok(Response::new(answer))
    }

    async fn create_snapshot(
        &self,
        _request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let taken = self.unless_draining(self.handle.create_snapshot()).await?;
        let taken = taken.map_err(status::snapshot)?;
        Ok(Response::new(CreateSnapshotResponse {
            snapshot: Some(snapshots::read_whole(&taken.summary, &taken.path, "continued")),
            took_ns: snapshots::nanos(taken.took),
            created: taken.new,
        }))
    }

    async fn list_snapshots(
        &self,
        _request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let listed = self.handle.list_snapshots().await.map_err(status::snapshot)?;
        let snapshots = listed.iter().map(snapshots::listed).collect();
        Ok(Response::new(ListSnapshotsResponse { snapshots }))
    }

    async fn verify_snapshot(
        &self,
        request: Request<VerifySnapshotRequest>,
    ) -> Result<Response<VerifySnapshotResponse>, Status> {
        let lsn = request.into_inner().lsn;
        let asked = (lsn > 0).then_some(Lsn(lsn));
        let answer = match self.unless_draining(self.handle.verify_snapshot(asked)).await? {
            Ok(read) => snapshots::verified(&read),
            Err(SnapshotFailed::Damaged { lsn, why }) => snapshots::unsound(lsn, why),
            Err(failed) => return Err(status::snapshot(failed)),
        };
        Ok(Response::new(answer))
    }

    async fn prune_snapshots(
        &self,
        request: Request<PruneSnapshotsRequest>,
    ) -> Result<Response<PruneSnapshotsResponse>, Status> {
        let keep = request.into_inner().keep;
        if keep == 0 {
            let sentence = "at least one snapshot stays".to_owned();
            return Err(Violations::one("keep", "KEEP_ZERO", sentence).into());
        }
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let removed = self.unless_draining(self.handle.prune_snapshots(keep)).await?;
        let removed = removed.map_err(status::snapshot)?;
        let removed = removed.iter().map(|lsn| lsn.0).collect();
        Ok(Response::new(PruneSnapshotsResponse { removed }))
    }

    async fn verify_balances(
        &self,
        _request: Request<proto::VerifyBalancesRequest>,
    ) -> Result<Response<proto::VerifyBalancesResponse>, Status> {
        let found = self.unless_draining(self.verifications.make(&self.handle)).await?;
        let found = found.map_err(status::request)?;
        Ok(Response::new(past::verified(&found, &self.handle.currencies())))
    }

    async fn create_backup(
        &self,
        _request: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        let made = self.unless_draining(self.handle.create_backup()).await?;
        let made = made.map_err(status::backup)?;
        let durable_lsn = self.handle.status().durable_lsn.0;
        let backup = Some(upkeep::backup_health(made, durable_lsn));
        Ok(Response::new(CreateBackupResponse { backup }))
    }
}

/// The process's resident set in bytes; 0 where `/proc` does not tell.
#[must_use]
pub fn memory_bytes() -> u64 {
    // `statm` counts in pages, whose size differs between machines; VmRSS is in kB everywhere.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_takes_some_memory() {
        assert!(super::memory_bytes() > 100_000);
    }
}
