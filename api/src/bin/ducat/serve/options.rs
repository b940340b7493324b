//! What the flags of `serve` come to, for the engine and for the server.

use super::ServeArgs;
use crate::exit::Failure;
use ducat_actors::handle::EngineOptions;
use ducat_api::budget::Budget;
use ducat_api::server::ServerOptions;
use ducat_api::stream::StreamOptions;
use std::time::Duration;

/// How the engine is started, but for what keeps its journal.
pub(super) fn engine_options(args: &ServeArgs) -> Result<EngineOptions, Failure> {
    let size = |value: u64, flag: &str| {
        usize::try_from(value)
            .map_err(|_| Failure::usage(format!("{flag} is larger than this machine can count")))
    };
    Ok(EngineOptions {
        partitions: args.partitions,
        in_flight_max: size(args.in_flight_max, "--in-flight-max")?,
        queue_delay_max: Duration::from_millis(args.queue_delay_max_ms),
        remembered_ids_max: size(args.remembered_ids_max, "--remembered-ids-max")?,
        subscribers_max: args.subscribers_max as usize,
        snapshots: None,
        archive: None,
        backup: None,
        disk: None,
        checkpoints: None,
    })
}

fn mebibytes(count: u32) -> Budget {
    Budget::new(count as usize * 1024 * 1024)
}

/// The bounds of the server.
pub(super) fn server_options(args: &ServeArgs) -> ServerOptions {
    ServerOptions {
        connections_max: args.connections_max as usize,
        connections_per_address_max: args.connections_per_address_max as usize,
        calls_max: args.calls_max as usize,
        calls_per_principal_max: args.calls_per_principal_max as usize,
        requests: mebibytes(args.requests_mib),
        answers: mebibytes(args.answers_mib),
        streams: StreamOptions {
            window: args.stream_window as usize,
            room_timeout: Duration::from_millis(args.room_timeout_ms),
            unread_timeout: Duration::from_millis(args.unread_timeout_ms),
        },
        drain_timeout: Duration::from_millis(args.drain_timeout_ms),
        // After the stream's own end, so that its status can still arrive.
        unread_timeout: Duration::from_millis(args.unread_timeout_ms) * 2,
        ..ServerOptions::default()
    }
}
