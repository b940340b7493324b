//! The batching client against the real server: over the in-memory journal behind a network
//! that can be cut and stopped, and as a process that is killed in the middle.

mod bounds;
mod calls;
mod events;
mod holds;
mod network;
mod process;
mod restarts;
#[path = "../grpc/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the interface")]
mod support;
mod terms;

use ducat_api::client::{BatchingClient, BatchingOptions, Client};
use std::time::Duration;

/// A batching client with quick retries.
async fn batching(address: &str, options: BatchingOptions) -> BatchingClient {
    let client = Client::connect(address).await.expect("listens");
    client.batching(options).await.expect("opens")
}

/// Options for tests: deadlines no frozen machine misses.
fn patient() -> BatchingOptions {
    BatchingOptions { deadline: Duration::from_secs(300), ..BatchingOptions::default() }
}
