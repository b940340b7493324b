//! The port through the Rust client: every request is one transfer, and the client makes
//! batches of those in flight. What a gateway written in Rust would see.

use crate::address::Address;
use crate::codec::{full_transfer, told};
use crate::generator::Batch;
use crate::target::{Failure, REPEAT, Reply, hash_id};
use anyhow::Context;
use ducat_api::client::{BatchingClient, BatchingOptions, Client, ClientError};
use std::sync::Arc;

/// A clone of a batching client.
#[derive(Clone)]
pub struct ClientPort {
    client: BatchingClient,
}

impl ClientPort {
    /// Connects on the current runtime.
    pub async fn connect(to: &Address) -> anyhow::Result<Self> {
        let client = Client::connect_with(&to.url, &to.credentials).await?;
        let client = client.batching(BatchingOptions::default()).await;
        let client = client.context("open the client's stream")?;
        Ok(Self { client })
    }

    /// Sends the one transfer of `batch`.
    pub async fn call(&self, batch: &Arc<Batch>) -> Result<Reply, Failure> {
        let [item] = batch.items[..] else {
            return Err(Failure {
                class: "INVALID_ARGUMENT".into(),
                in_doubt: false,
                message: format!("{} transfers in a single call", batch.items.len()),
            });
        };
        let outcome = self.client.transfer(full_transfer(batch.id_high, &item)).await;
        let outcome = outcome.map_err(|error| failure(&error))?;
        let code = u8::try_from(outcome.code).unwrap_or(REPEAT - 1) & (REPEAT - 1);
        Ok(Reply {
            answers: vec![if outcome.repeat { code | REPEAT } else { code }],
            ids_hash: hash_id(0, outcome.id),
            told: told(0, &outcome).into_iter().collect(),
            ..Reply::default()
        })
    }
}

fn failure(error: &ClientError) -> Failure {
    let class = match error {
        ClientError::DeadlineExceeded { .. } => "DEADLINE_EXCEEDED",
        ClientError::InDoubt(_) => "IN_DOUBT",
        _ => error.code().map_or("CLIENT", crate::codec::code_name),
    };
    Failure { class: class.into(), in_doubt: error.is_in_doubt(), message: error.to_string() }
}
