//! What a run sends to: a [`Port`] is one connection's way of sending a batch and getting
//! its [`Reply`], over gRPC or straight into an engine in this process. The drivers know
//! nothing else.

use crate::generator::{Batch, Item};
use crate::target_client::ClientPort;
use crate::target_grpc::{StreamPort, UnaryPort};
use crate::target_inprocess::HandlePort;
use crate::target_postgres::PostgresPort;
use ducat_api::client::ConcurrencyLimit;
use std::sync::Arc;

/// The bit of an answer that says the id was known before.
pub const REPEAT: u8 = 0x80;

/// What came back for one batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The tag, on a stream.
    pub tag: u64,
    /// One for each transfer, in order: the code, with [`REPEAT`] set for a repeat.
    pub answers: Vec<u8>,
    /// [`hash_id`] over the ids answered, to hold against those sent.
    pub ids_hash: u64,
    /// What is told besides of transfers on terms or with a fee due, in order.
    pub told: Vec<Told>,
    /// Set when a stream refused the batch as a whole.
    pub failure: Option<Failure>,
}

/// What an outcome tells beside its code, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which of the batch.
    pub at: usize,
    /// What one on terms moved.
    pub moved: Option<u64>,
    /// The fee that was due, and taken where it was posted.
    pub fee: Option<u64>,
}

/// Why a request got no outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted under, such as `RESOURCE_EXHAUSTED`.
    pub class: String,
    /// Whether transfers of it may have happened all the same.
    pub in_doubt: bool,
    /// A sentence.
    pub message: String,
}

/// Folds one more id into the hash of a batch's ids; the order counts.
#[inline]
pub fn hash_id(hash: u64, id: u64) -> u64 {
    (hash.rotate_left(5) ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The hash of the ids sent.
pub fn hash_ids(items: &[Item]) -> u64 {
    items.iter().fold(0, |hash, item| hash_id(hash, item.id))
}

/// One connection's way to the ledger.
#[derive(Clone)]
pub enum Port {
    /// gRPC, a call for each batch (or for each transfer).
    Unary(Box<UnaryPort>),
    /// gRPC, one stream for all batches.
    Stream(StreamPort),
    /// The Rust client that batches by itself, a call for each transfer.
    Client(ClientPort),
    /// The engine's own handle.
    InProcess(HandlePort),
    /// PostgreSQL, for comparison.
    Postgres(PostgresPort),
}

impl Port {
    /// Reads accounts; all of them must be found, in the order asked.
    pub async fn read(&self, ids: &[u64]) -> Result<(), Failure> {
        let hash = match self {
            Self::Unary(port) => port.read(ids).await?,
            Self::Stream(port) => port.read(ids).await?,
            Self::InProcess(port) => port.read(ids).await?,
            Self::Client(_) | Self::Postgres(_) => {
                unreachable!("the command line refuses reads over a port without them")
            }
        };
        if hash == ids.iter().fold(0, |hash, id| hash_id(hash, *id)) {
            return Ok(());
        }
        Err(Failure {
            class: "WRONG_ANSWER".into(),
            in_doubt: false,
            message: "other accounts than asked for".into(),
        })
    }

    /// How much it has on its way at most, where it holds back for a server that is overloaded.
    pub fn limit(&self) -> Option<&Arc<ConcurrencyLimit>> {
        match self {
            Self::Unary(port) => port.limit(),
            Self::Stream(_) | Self::Client(_) | Self::InProcess(_) | Self::Postgres(_) => None,
        }
    }

    /// Whether a batch would be sent now, and not held back.
    pub fn has_room(&self) -> bool {
        self.limit().is_none_or(|limit| limit.has_room())
    }

    /// Sends a batch and waits for its outcomes, which are final and, with durability on,
    /// durable. Checks that there is an answer for each transfer, in order.
    pub async fn call(&self, batch: &Arc<Batch>) -> Result<Reply, Failure> {
        let reply = match self {
            Self::Unary(port) => port.call(batch).await?,
            Self::Stream(port) => port.call(batch).await?,
            Self::Client(port) => port.call(batch).await?,
            Self::InProcess(port) => port.call(batch).await?,
            Self::Postgres(port) => port.call(batch).await?,
        };
        if let Some(failure) = reply.failure {
            return Err(failure);
        }
        let answered = reply.answers.len() == batch.items.len();
        if !answered || reply.ids_hash != hash_ids(&batch.items) {
            return Err(Failure {
                class: "WRONG_ANSWER".into(),
                in_doubt: true,
                message: format!(
                    "{} outcomes for {} transfers, or of other ids than asked",
                    reply.answers.len(),
                    batch.items.len()
                ),
            });
        }
        Ok(reply)
    }
}
