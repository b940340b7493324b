//! From the engine's refusals to gRPC statuses, each with an `ErrorInfo` (domain `ducat.v1`,
//! a stable reason) and, where waiting helps, a `RetryInfo`.

use crate::proto;
use crate::violation::ERROR_DOMAIN;
use ducat_actors::handle::RequestError;
use ducat_actors::snapshots::SnapshotFailed;
use ducat_actors::upkeep::backing_up::BackupFailed;
use ducat_engine::fees::FeeFault;
use ducat_engine::ids::AccountId;
use ducat_engine::money::CurrencyError;
use ducat_engine::transfer::AccountRejection;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How long to wait before asking a full engine again: some commits of its journal.
const RETRY_BUSY: Duration = Duration::from_millis(25);

/// The longest time a client is told to stay away from an engine that is behind.
const RETRY_OVERLOADED_MAX: Duration = Duration::from_secs(1);

/// How long to wait before asking again when one's own calls take all the places that one has.
const RETRY_PRINCIPAL_FULL: Duration = Duration::from_secs(1);

/// How long to wait before asking again when unread answers fill their memory.
const RETRY_ANSWERS_FULL: Duration = Duration::from_secs(1);

/// How long to wait before asking again when remembered ids fill their memory; they leave
/// it a day after they came.
const RETRY_IDS_FULL: Duration = Duration::from_secs(60);

/// How long to wait before asking again when the disk is nearly full: somebody must make room.
const RETRY_DISK_FULL: Duration = Duration::from_secs(5);

/// How long to wait before asking again for a place among the subscribers.
const RETRY_SUBSCRIBERS_FULL: Duration = Duration::from_secs(5);

/// How long to wait before asking again when the server ends: its successor has to replay.
const RETRY_DRAINING: Duration = Duration::from_secs(1);

/// How long to wait before asking again while the whole ledger is being looked at.
const RETRY_AUDIT_RUNNING: Duration = Duration::from_secs(1);

/// A refusal as a whole: what a status or a `BatchError` is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub code: Code,
    /// A stable reason in capitals.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// When asking again may help.
    pub retry: Option<Duration>,
}

impl Refusal {
    /// A refusal that asking again does not help.
    #[must_use]
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), retry: None }
    }

    /// The engine found no room for a stream's batch in time.
    #[must_use]
    pub fn no_room(waited: Duration) -> Self {
        Self {
            retry: Some(RETRY_BUSY),
            ..Self::new(
                Code::ResourceExhausted,
                "ENGINE_FULL",
                format!("the engine had no room for the batch within {} ms", waited.as_millis()),
            )
        }
    }

    /// No memory, and no place of its caller's, came free for the answer in time: others lie unread.
    #[must_use]
    pub fn no_answer_room(waited: Duration) -> Self {
        Self {
            retry: Some(RETRY_ANSWERS_FULL),
            ..Self::new(
                Code::ResourceExhausted,
                "ANSWERS_FULL",
                format!(
                    "unread answers left no room for this one within {} ms; nothing was done",
                    waited.as_millis()
                ),
            )
        }
    }

    /// What waits would make the request wait too long. Said before the request is read, so
    /// often that it is made once; hence without figures of the moment.
    #[must_use]
    pub fn overloaded(queue_delay_max: Duration) -> Self {
        Self {
            retry: Some(queue_delay_max.clamp(RETRY_BUSY, RETRY_OVERLOADED_MAX)),
            ..Self::new(
                Code::ResourceExhausted,
                "OVERLOADED",
                format!(
                    "overloaded: what waits would make it wait longer than {} ms, or than half \
                     of what its deadline leaves; nothing was done",
                    queue_delay_max.as_millis()
                ),
            )
        }
    }

    /// The caller has as many calls open as one principal may.
    #[must_use]
    pub fn principal_calls_full(each: usize) -> Self {
        Self {
            retry: Some(RETRY_PRINCIPAL_FULL),
            ..Self::new(
                Code::ResourceExhausted,
                "PRINCIPAL_CALLS_FULL",
                format!("a principal has at most {each} calls open at a time, streams included"),
            )
        }
    }

    /// Calls from an address that has as many open as it may, of somebody who has no name.
    #[must_use]
    pub fn address_calls_full(each: usize) -> Self {
        Self {
            retry: Some(RETRY_PRINCIPAL_FULL),
            ..Self::new(
                Code::ResourceExhausted,
                "ADDRESS_CALLS_FULL",
                format!(
                    "an address has at most {each} calls open at a time where nobody has a name, \
                     streams included"
                ),
            )
        }
    }

    /// The requests being read fill the memory there is for them.
    #[must_use]
    pub fn requests_full(limit_bytes: usize) -> Self {
        let limit_mib = limit_bytes >> 20;
        Self {
            retry: Some(RETRY_BUSY),
            ..Self::new(
                Code::ResourceExhausted,
                "REQUESTS_FULL",
                format!("requests being read fill their memory of {limit_mib} MiB"),
            )
        }
    }

    /// As many calls are being served as the server takes at a time.
    #[must_use]
    pub fn calls_full(max: usize) -> Self {
        Self {
            retry: Some(RETRY_BUSY),
            ..Self::new(
                Code::ResourceExhausted,
                "CALLS_FULL",
                format!("the server is busy with {max} calls, the most it takes at a time"),
            )
        }
    }

    /// The server is ending; what was not answered is to be asked again elsewhere or later.
    #[must_use]
    pub fn draining() -> Self {
        let refusal = Self::new(Code::Unavailable, "DRAINING", "the server is shutting down");
        Self { retry: Some(RETRY_DRAINING), ..refusal }
    }

    /// The refusal in a stream's answer.
    #[must_use]
    pub fn into_batch_error(self) -> proto::BatchError {
        let retry_ms = self.retry.map_or(0, |delay| delay.as_millis());
        proto::BatchError {
            grpc_code: self.code as i32,
            reason: self.reason.to_owned(),
            message: self.message,
            violations: Vec::new(),
            retry_after_ms: u64::try_from(retry_ms).unwrap_or(u64::MAX),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details =
            ErrorDetails::with_error_info(refusal.reason, ERROR_DOMAIN, HashMap::new());
        if let Some(delay) = refusal.retry {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(refusal.code, refusal.message, details)
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let (code, reason, retry) = match &error {
            RequestError::Busy { .. } => (Code::ResourceExhausted, "ENGINE_FULL", Some(RETRY_BUSY)),
            RequestError::Overloaded { delay, .. } => (
                Code::ResourceExhausted,
                "OVERLOADED",
                Some((*delay).clamp(RETRY_BUSY, RETRY_OVERLOADED_MAX)),
            ),
            RequestError::Expired => (Code::DeadlineExceeded, "EXPIRED", None),
            RequestError::IdsFull { .. } => {
                (Code::ResourceExhausted, "IDS_FULL", Some(RETRY_IDS_FULL))
            }
            RequestError::DiskFull { .. } => {
                (Code::ResourceExhausted, "DISK_FULL", Some(RETRY_DISK_FULL))
            }
            RequestError::OwnerChanged(_) => (Code::Unavailable, "OWNER_CHANGED", Some(RETRY_BUSY)),
            RequestError::BatchSize(_) => (Code::InvalidArgument, "BATCH_SIZE", None),
            RequestError::OpenGroup => (Code::InvalidArgument, "LAST_LINKED", None),
            RequestError::BadCursor(_) => (Code::InvalidArgument, "CURSOR_INVALID", None),
            RequestError::Trimmed { .. } => (Code::FailedPrecondition, "EVENTS_TRIMMED", None),
            RequestError::NotReached { .. } => (Code::FailedPrecondition, "LSN_NOT_REACHED", None),
            RequestError::NotOpened { .. } => (Code::NotFound, "ACCOUNT_NOT_OPENED", None),
            RequestError::AuditRunning => {
                (Code::ResourceExhausted, "AUDIT_RUNNING", Some(RETRY_AUDIT_RUNNING))
            }
            RequestError::SubscribersFull { .. } => {
                (Code::ResourceExhausted, "SUBSCRIBERS_FULL", Some(RETRY_SUBSCRIBERS_FULL))
            }
            RequestError::ReadFailed(_) => (Code::Internal, "JOURNAL_READ_FAILED", None),
            RequestError::Contradiction(_) => (Code::Internal, "DRY_RUN_FAILED", None),
            RequestError::NoCheckpoints => (Code::FailedPrecondition, "NO_CHECKPOINTS", None),
            RequestError::NotSigned(_) => (Code::Unavailable, "NOT_SIGNED", None),
            RequestError::Stopped(_) => (Code::Unavailable, "ENGINE_STOPPED", None),
        };
        Self { code, reason, message: error.to_string(), retry }
    }
}

/// The status of an account that could not be changed; the sentence names it.
#[must_use]
pub fn account(id: AccountId, rejection: AccountRejection) -> Status {
    let (code, reason, sentence) = match rejection {
        AccountRejection::Unknown => {
            (Code::NotFound, "ACCOUNT_UNKNOWN", format!("no account has the id {id}"))
        }
        AccountRejection::ExternalWithBounds
        | AccountRejection::LimitsContradict
        | AccountRejection::BalanceOutside => (
            Code::FailedPrecondition,
            crate::convert::accounts::limits_reason(rejection),
            format!("account {id}: {rejection}"),
        ),
        // The request alone was sound: it is what is there already that leaves no room.
        AccountRejection::Text(fault) => (
            Code::FailedPrecondition,
            crate::convert::profiles::text_reason(fault),
            format!("account {id}: {fault}"),
        ),
        AccountRejection::WatchExists => {
            (Code::AlreadyExists, "WATCH_EXISTS", format!("account {id}: {rejection}"))
        }
        AccountRejection::WatchUnknown => {
            (Code::NotFound, "WATCH_UNKNOWN", format!("account {id}: {rejection}"))
        }
        AccountRejection::WatchesFull => {
            (Code::FailedPrecondition, "WATCHES_FULL", format!("account {id}: {rejection}"))
        }
        AccountRejection::WatchInvalid => {
            (Code::InvalidArgument, "WATCH_INVALID", format!("account {id}: {rejection}"))
        }
        AccountRejection::NotEmpty => (
            Code::FailedPrecondition,
            "ACCOUNT_NOT_EMPTY",
            format!(
                "account {id} is not empty; an account is closed only when its balance is zero \
                 and nothing is held"
            ),
        ),
        AccountRejection::ExistsDifferent => (
            Code::AlreadyExists,
            "EXISTS_DIFFERENT",
            format!("account {id} exists with other content"),
        ),
        AccountRejection::Full => (Code::ResourceExhausted, "LEDGER_FULL", rejection.to_string()),
        AccountRejection::LimitTooLarge => {
            (Code::InvalidArgument, "AMOUNT_TOO_LARGE", format!("account {id}: {rejection}"))
        }
        AccountRejection::CurrencyUnknown => {
            (Code::InvalidArgument, "CURRENCY_UNKNOWN", format!("account {id}: {rejection}"))
        }
    };
    Refusal::new(code, reason, sentence).into()
}

/// The status of an asset that could not be defined.
#[must_use]
pub fn asset(error: &CurrencyError) -> Status {
    use crate::violation::Violations;
    let malformed = |field, reason| Status::from(Violations::one(field, reason, error.to_string()));
    match error {
        CurrencyError::BadCode(_) | CurrencyError::Unknown(_) => {
            malformed("code", "ASSET_CODE_MALFORMED")
        }
        CurrencyError::IsIso(_) | CurrencyError::NoMinorUnit(_) => {
            malformed("code", "ASSET_IS_ISO")
        }
        CurrencyError::BadDigits(_) => malformed("digits", "ASSET_DIGITS"),
        CurrencyError::Exists { .. } => {
            Refusal::new(Code::AlreadyExists, "ASSET_EXISTS_DIFFERENT", error.to_string()).into()
        }
        CurrencyError::Full => {
            Refusal::new(Code::FailedPrecondition, "ASSETS_FULL", error.to_string()).into()
        }
    }
}

/// The status of a snapshot that was not taken, or cannot be shown.
#[must_use]
pub fn snapshot(failed: SnapshotFailed) -> Status {
    let (code, reason) = match &failed {
        SnapshotFailed::NotKept => (Code::FailedPrecondition, "SNAPSHOTS_NOT_KEPT"),
        SnapshotFailed::Empty => (Code::FailedPrecondition, "NOTHING_TO_SNAPSHOT"),
        SnapshotFailed::Missing(_) => (Code::NotFound, "SNAPSHOT_UNKNOWN"),
        SnapshotFailed::Damaged { .. } => (Code::DataLoss, "SNAPSHOT_DAMAGED"),
        SnapshotFailed::Io(_) => (Code::Aborted, "SNAPSHOT_FAILED"),
        SnapshotFailed::Stopped => (Code::Unavailable, "ENGINE_STOPPED"),
    };
    Refusal::new(code, reason, failed.to_string()).into()
}

/// The status of a backup that was not made.
#[must_use]
pub fn backup(failed: BackupFailed) -> Status {
    let (code, reason) = match &failed {
        BackupFailed::NotKept => (Code::FailedPrecondition, "BACKUPS_NOT_KEPT"),
        BackupFailed::Busy => (Code::ResourceExhausted, "BACKUPS_BUSY"),
        BackupFailed::Failed(_) => (Code::Aborted, "BACKUP_FAILED"),
        BackupFailed::Stopped => (Code::Unavailable, "ENGINE_STOPPED"),
    };
    Refusal::new(code, reason, failed.to_string()).into()
}

/// Why a schedule of fees was not defined, attached or quoted: a reason for each fault of the ledger's
/// own knowledge.
#[must_use]
pub fn fee(fault: FeeFault) -> Status {
    let code = match fault {
        FeeFault::AccountUnknown | FeeFault::ScheduleUnknown => Code::NotFound,
        _ => Code::FailedPrecondition,
    };
    let reason = match fault {
        FeeFault::AccountUnknown => "ACCOUNT_UNKNOWN",
        FeeFault::ScheduleUnknown => "SCHEDULE_UNKNOWN",
        _ => "FEE_NOT_ALLOWED",
    };
    Refusal::new(code, reason, fault.to_string()).into()
}

/// The status of a request error.
#[must_use]
pub fn request(error: RequestError) -> Status {
    Refusal::from(error).into()
}

/// A fault of the server's own: logged where it is found, told without figures.
#[must_use]
pub fn internal(what: &str) -> Status {
    tracing::error!(what, "a fault of the server");
    Refusal::new(Code::Internal, "INTERNAL", format!("a fault of the server: {what}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::profile::TextFault;

    #[test]
    fn a_full_engine_says_when_to_come_back() {
        let status = request(RequestError::Busy { in_flight: 9, limit: 9 });
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().expect("present").reason, "ENGINE_FULL");
        assert_eq!(details.retry_info().expect("present").retry_delay, Some(RETRY_BUSY));
    }

    #[test]
    fn refusals_keep_their_kind() {
        let id = AccountId::new(7).expect("not zero");
        assert!(account(id, AccountRejection::Unknown).message().contains(" 7"));
        for (status, code) in [
            (request(RequestError::IdsFull { limit: 1 }), Code::ResourceExhausted),
            (request(RequestError::DiskFull { free_bytes: 1 }), Code::ResourceExhausted),
            (request(RequestError::Stopped("x".into())), Code::Unavailable),
            (account(id, AccountRejection::Unknown), Code::NotFound),
            (account(id, AccountRejection::NotEmpty), Code::FailedPrecondition),
            (account(id, AccountRejection::Text(TextFault::Keys)), Code::FailedPrecondition),
            (asset(&CurrencyError::BadDigits(19)), Code::InvalidArgument),
            (asset(&CurrencyError::IsIso("GBP".into())), Code::InvalidArgument),
            (asset(&CurrencyError::Exists { code: "X".into(), digits: 2 }), Code::AlreadyExists),
        ] {
            assert_eq!(status.code(), code);
            let details = status.get_error_details();
            assert_eq!(details.error_info().expect("always present").domain, ERROR_DOMAIN);
        }
    }
}
