//! Connections and the calls on them: HTTP/2 by hyper, every call through the gate.
//!
//! tonic's own server puts half a dozen layers around a service (a timeout, a limit, load
//! shedding, a span, two boxes), used or not; for a call of one transfer they cost more than
//! its decision. What is wanted of them is in the gate.

use crate::connections::bounded::{Bounded, Origin};
use crate::connections::greeting::Greeting;
use crate::connections::{Connection, Connections};
use crate::gate::{Gate, Gated};
use crate::metrics::Metrics;
use crate::server::ServerOptions;
use crate::services::Services;
use crate::tls::Tls;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Bytes a client may send on one call before the server has read them: one full batch.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// The same for all calls of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Largest HTTP/2 frame taken; the default of 16 KiB cuts a batch into fifty.
const FRAME_BYTES_MAX: u32 = 256 * 1024;

/// A peer that is silent is asked for a sign of life after this time, ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// ... and cut off when none comes within this one.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves calls until `ended` resolves, then waits until every connection has ended by itself:
/// its calls are answered, new ones refused.
pub(crate) async fn serve(
    connections: Connections,
    gate: Gate,
    services: Services,
    options: &ServerOptions,
    ended: impl Future<Output = ()>,
) {
    let http = http(options);
    let graceful = GracefulShutdown::new();
    tokio::pin!(ended);
    loop {
        let connection: Connection = tokio::select! {
            () = &mut ended => break,
            connection = connections.next() => connection,
        };
        let calls = Gated::new(gate.clone(), services.clone(), connection.unread());
        let calls = calls.from_address(connection.peer().map(|address| address.ip()));
        if let Some(tls) = &options.tls {
            let (tls, http, watcher) = (Arc::clone(tls), http.clone(), graceful.watcher());
            let (metrics, audit) = (options.metrics.clone(), options.audit.clone());
            let address = connection.peer().map(|address| address.ip());
            tokio::spawn(async move {
                let _open = metrics.as_ref().map(Metrics::connection);
                let served = serve_encrypted(connection, tls, http, calls, watcher).await;
                let Err(error) = served else { return };
                if let Some(metrics) = metrics {
                    metrics.handshake_failed();
                }
                if let Some(audit) = audit {
                    audit.handshake_failed(address, &error.to_string());
                }
            });
            continue;
        }
        let origin = connection.origin();
        let serving = graceful.watch(http.serve_connection(io(connection, origin), calls));
        let open = options.metrics.as_ref().map(Metrics::connection);
        tokio::spawn(async move {
            let _open = open;
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a connection has ended");
            }
        });
    }
    // The listener is closed, so that who comes now is told at once.
    drop(connections);
    graceful.shutdown().await;
}

/// The handshake, then as without one; the calls know whose certificate was shown.
async fn serve_encrypted(
    connection: Connection,
    tls: Arc<Tls>,
    http: http2::Builder<TokioExecutor>,
    calls: Gated,
    watcher: Watcher,
) -> std::io::Result<()> {
    let (address, origin) = (connection.peer(), connection.origin());
    let (stream, peer) = match tls.accept(connection).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(%error, ?address, "a handshake has failed");
            return Err(error);
        }
    };
    let calls = calls.of_peer(peer);
    if let Err(error) = watcher.watch(http.serve_connection(io(stream, origin), calls)).await {
        tracing::debug!(%error, "a connection has ended");
    }
    Ok(())
}

/// What HTTP/2 is spoken over: whoever does not begin to is not waited for, and whoever sends frames
/// without end that ask for nothing is not listened to.
fn io<S>(stream: S, origin: Origin) -> TokioIo<Bounded<Greeting<S>>> {
    TokioIo::new(Bounded::new(Greeting::new(stream), origin))
}

fn http(options: &ServerOptions) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(options.calls_per_connection_max)
        .keep_alive_interval(Some(KEEPALIVE_INTERVAL))
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http
}
