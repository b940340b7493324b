//! Ducat's door: the gRPC services, what they convert and refuse, and the Rust client.
//!
//! ```text
//! client ─gRPC─▶ server ▸ ledger_service / operator_service ▸ convert ─▶ Handle ─▶ engine
//!                             └ stream (many batches in flight)
//! ```
//!
//! No module here decides about money: what is well-formed goes to the engine, what is not
//! is refused by [`convert`] with every wrong field named.

#![warn(missing_docs)]

pub mod alerts;
pub mod allocator;
mod approvals_service;
pub mod audit;
pub mod budget;
mod by_name;
pub mod certs;
pub mod client;
pub mod compose;
pub mod connections;
pub mod console;
pub mod convert;
pub mod day;
pub mod deadline;
pub mod driven_service;
mod feed_stream;
pub mod gate;
pub mod identity;
pub mod import;
pub mod intake;
pub mod ledger_service;
mod login_service;
pub mod metrics;
pub mod operator_service;
pub mod outside;
pub mod payments;
pub mod rates;
pub mod receipt;
mod refusal_pace;
mod reversal_service;
pub mod secret_fields;
pub mod server;
mod services;
mod serving;
mod shares;
mod small_codec;
pub mod status;
pub mod stream;
pub mod texts;
pub mod tls;
pub mod traces;
mod unary;
pub mod unread;
pub mod verification;
pub mod violation;
mod watch_service;
pub mod wire;
pub mod wire_json;
pub mod wire_requests;

/// The generated messages and clients of package `ducat.v1`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod proto {
    tonic::include_proto!("ducat.v1");

    /// The encoded descriptor set, for the reflection service.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/ducat.v1.bin"));
}

/// The generated servers; their two large answers arrive encoded, see [`wire`].
#[allow(clippy::all, clippy::pedantic, missing_docs)]
mod servers {
    include!(concat!(env!("OUT_DIR"), "/servers/ducat.v1.rs"));
}

/// The generated servers with plain messages, for tests of clients against a server of their
/// own making.
#[cfg(feature = "testing")]
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod plain_servers {
    include!(concat!(env!("OUT_DIR"), "/plain-servers/ducat.v1.rs"));
}
