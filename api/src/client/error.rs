//! What can go wrong between a client and a server, with the server's details read out.

use crate::proto::BatchError;
use std::time::Duration;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a call did not bring its answer.
#[derive(Clone, Debug, Error)]
pub enum ClientError {
    /// The endpoint is not an address.
    #[error("`{endpoint}` is no address like 127.0.0.1:4600")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: std::sync::Arc<tonic::transport::Error>,
    },
    /// Nobody answers at the endpoint.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// As given.
        endpoint: String,
        /// Why not.
        #[source]
        source: std::sync::Arc<tonic::transport::Error>,
    },
    /// The server (or the connection to it) refused the call.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
    /// The stream was closed before this batch could be sent or answered. Whether the batches
    /// in flight took effect is told by sending them again.
    #[error("the stream has ended")]
    StreamEnded,
    /// A batching client's call was not answered within its deadline.
    #[error("{}", deadline_sentence(*sent))]
    DeadlineExceeded {
        /// Whether it was sent. If so its outcome is not known, and sending the same transfer
        /// id again gets the one final answer. If not, it never will be sent.
        sent: bool,
        /// What kept it from being answered, if that is known.
        #[source]
        cause: Option<Box<Refused>>,
    },
    /// A batching client's call was sent, and then this kept its answer away. Sending the same
    /// transfer id again gets the one final answer.
    #[error("the outcome is not known; the same id, sent again, gets the one final answer")]
    InDoubt(#[source] Box<Self>),
    /// More transfers wait than a batching client may hold.
    #[error("{limit} transfers wait for an answer, the most this client holds")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// The batching client was closed before the call was sent.
    #[error("the client is closed")]
    Closed,
    /// Another ledger answers at the endpoint now. Nothing was sent to it.
    #[error("the server's ledger is {found} now and was {known}")]
    OtherLedger {
        /// The id of the ledger that was connected to.
        known: String,
        /// The id of the one that is there now.
        found: String,
    },
    /// The ledger has lost events that it answered with. Nothing more was sent to it.
    #[error("the ledger ends at LSN {durable_lsn} and has answered with LSN {answered_lsn}")]
    LedgerForgot {
        /// The highest LSN of an answer.
        answered_lsn: u64,
        /// Where its journal ends.
        durable_lsn: u64,
    },
    /// Credentials that cannot be read, or do not go with the endpoint.
    #[error("{0}")]
    Credentials(String),
    /// Options that cannot be meant.
    #[error("{0}")]
    Options(&'static str),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
}

/// A call or batch that was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refused {
    /// The gRPC status code.
    pub code: Code,
    /// The server's stable reason, such as `ENGINE_FULL`; empty when it gave none.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The wrong fields, as far as they were listed.
    pub violations: Vec<FieldError>,
    /// How long to wait before asking again, when that helps.
    pub retry_after: Option<Duration>,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Its path, such as `transfers[17].amount`.
    pub field: String,
    /// A stable reason.
    pub reason: String,
    /// A sentence.
    pub description: String,
}

impl ClientError {
    /// The server's stable reason, if it gave one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) if !refused.reason.is_empty() => Some(&refused.reason),
            _ => None,
        }
    }

    /// The gRPC status code, if there is one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refused) => Some(refused.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, with the same transfer ids: the server is
    /// full, away or was cut off.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::StreamEnded => true,
            Self::Refused(refused) => matches!(
                refused.code,
                Code::ResourceExhausted
                    | Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::Cancelled
            ),
            Self::DeadlineExceeded { .. } | Self::InDoubt(_) | Self::Full { .. } => true,
            Self::Endpoint { .. }
            | Self::Protocol(_)
            | Self::Closed
            | Self::OtherLedger { .. }
            | Self::LedgerForgot { .. }
            | Self::Options(_)
            | Self::Credentials(_) => false,
        }
    }

    /// Whether the transfers of the call may have taken place all the same. What is not in
    /// doubt has changed nothing.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::DeadlineExceeded { sent, .. } => *sent,
            Self::InDoubt(_) | Self::StreamEnded | Self::Protocol(_) => true,
            Self::Refused(refused) => matches!(
                refused.code,
                Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::Cancelled
                    | Code::Aborted
                    | Code::Unknown
                    | Code::Internal
            ),
            Self::Endpoint { .. }
            | Self::Connect { .. }
            | Self::Full { .. }
            | Self::Closed
            | Self::OtherLedger { .. }
            | Self::LedgerForgot { .. }
            | Self::Options(_)
            | Self::Credentials(_) => false,
        }
    }
}

const fn deadline_sentence(sent: bool) -> &'static str {
    if sent {
        "no answer came within the deadline; the same id, sent again, gets the one final answer"
    } else {
        "the deadline passed before the call could be sent; it never will be"
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status.into()))
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map_or_else(Vec::new, |bad| {
            let field = |v: &tonic_types::FieldViolation| FieldError {
                field: v.field.clone(),
                reason: v.reason.clone(),
                description: v.description.clone(),
            };
            bad.field_violations.iter().map(field).collect()
        });
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            violations,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

impl From<BatchError> for Refused {
    fn from(error: BatchError) -> Self {
        let field = |v: crate::proto::FieldViolation| FieldError {
            field: v.field,
            reason: v.reason,
            description: v.description,
        };
        Self {
            code: Code::from_i32(error.grpc_code),
            reason: error.reason,
            message: error.message,
            violations: error.violations.into_iter().map(field).collect(),
            retry_after: (error.retry_after_ms > 0)
                .then(|| Duration::from_millis(error.retry_after_ms)),
        }
    }
}
