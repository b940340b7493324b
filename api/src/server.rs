//! The gRPC server: `Ledger`, `Operator`, health and reflection on one listener, every queue
//! bounded, and an end that answers what was begun.
//!
//! ```text
//! listener ─▶ connections (bounded) ─▶ HTTP/2 streams (bounded) ─▶ gate (calls, queue delay,
//!     bytes of requests: bounded) ─▶ services ─▶ room for the answer (bytes, bounded) ─▶ Handle
//! ```
//!
//! A drain goes: health says `NOT_SERVING`, new calls are refused as `DRAINING` with the time to come
//! back after, then no new connection is taken, open connections are told to go away, `StreamTransfers` stops reading and answers what is in flight, and after
//! a bounded time whatever is still open is cut.

use crate::alerts::Alerts;
use crate::approvals_service::{ApprovalsService, Door};
use crate::audit::{AuditService, Auditor};
use crate::budget::Budget;
use crate::connections::Connections;
use crate::console::Console;
use crate::driven_service::DrivenService;
use crate::gate::{Gate, Gated};
use crate::identity::Guard;
use crate::ledger_service::LedgerService;
use crate::login_service::LoginService;
use crate::metrics::{Metrics, Sources};
use crate::operator_service::OperatorService;
use crate::outside::Breaker;
use crate::proto;
use crate::rates::Limits;
use crate::rates::places::Places;
use crate::secret_fields::SecretFields;
use crate::servers::approvals_server::ApprovalsServer;
use crate::servers::audit_server::AuditServer;
use crate::servers::ledger_server::LedgerServer;
use crate::servers::login_server::LoginServer;
use crate::servers::operator_server::OperatorServer;
use crate::servers::sagas_server::SagasServer;
use crate::servers::schedules_server::SchedulesServer;
use crate::services::Services;
use crate::serving;
use crate::stream::{Draining, StreamOptions};
use crate::tls::Tls;
use crate::traces::Traces;
use crate::unread::Watch;
use crate::verification::Verifications;
use ducat_actors::handle::Handle;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

pub use crate::operator_service::{Durability, ServerInfo};

/// The largest message taken from a client. A batch of 10,000 transfers with every field set
/// to its longest takes 1.5 MB; what is larger is refused before it is decoded.
pub const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest message a client should be ready to take: 10,000 refusals, explained.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Memory for requests, if nothing else is said.
const REQUESTS_BYTES: usize = 512 * 1024 * 1024;

/// How long the end waits for the collector to take the last traces, which are worth less than an end
/// in time.
const TRACES_TIMEOUT: Duration = Duration::from_secs(3);

/// How the server is bounded.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Most connections at a time; more wait in the listener's backlog. Default 1,024.
    pub connections_max: usize,
    /// Most connections at a time from one address (of IPv6: from one network of 64 bits); more are
    /// closed before anything is read of them. Default 512.
    pub connections_per_address_max: usize,
    /// Most calls at a time on one connection; more wait at the client. Default 256.
    pub calls_per_connection_max: u32,
    /// Most calls at a time over all connections, open streams included; more are refused
    /// with `CALLS_FULL`. Default 8,192.
    pub calls_max: usize,
    /// Memory for requests being read and worked on; what finds none is refused with
    /// `REQUESTS_FULL`, or read later if it comes on a stream. Default 512 MiB.
    pub requests: Budget,
    /// Memory for answers being made and not yet sent, streams' batches in flight included;
    /// what finds none in [`StreamOptions::room_timeout`] is refused with `ANSWERS_FULL`.
    /// Default 256 MiB.
    pub answers: Budget,
    /// How long a piece of an answer (64 KiB) may wait for the client to take it before the
    /// connection is cut. Longer than [`StreamOptions::unread_timeout`], so that a stream
    /// whose client comes back is told. Default 60 s.
    pub unread_timeout: Duration,
    /// Bounds of `StreamTransfers`.
    pub streams: StreamOptions,
    /// How long a drain that has begun refuses new calls in words, before connections are told to go
    /// away and nobody can connect any more. Default 100 ms.
    pub drain_notice: Duration,
    /// How long a drain may take after that before connections are cut. Default 10 s.
    pub drain_timeout: Duration,
    /// Encrypts every connection. Default `None`: plain text.
    pub tls: Option<Arc<Tls>>,
    /// Asks who is calling. Default `None`: everybody may do everything.
    pub guard: Option<Arc<Guard>>,
    /// Most calls at a time of one principal, streams included; more are refused with
    /// `PRINCIPAL_CALLS_FULL`. As many of one address where nobody has a name, with `ADDRESS_CALLS_FULL`. Default
    /// 4,096.
    pub calls_per_principal_max: usize,
    /// How much each caller may ask for. Default `None`: whatever the bounds of all leave.
    pub limits: Option<Arc<Limits>>,
    /// Tells who did what. Default `None`: nobody does.
    pub audit: Option<Arc<Auditor>>,
    /// Counts calls and batches. Default `None`: nothing is counted.
    pub metrics: Option<Arc<Metrics>>,
    /// Watches for alerts in what `metrics` counts, and tells them. Default `None`.
    pub alerts: Option<Arc<Alerts>>,
    /// The operators' page, whose calls go through this server's gate. Default `None`.
    pub console: Option<Arc<Console>>,
    /// Samples calls, and tells where their time went. Default `None`: nobody does.
    pub traces: Option<Arc<Traces>>,
    /// The breakers before what is called outside, for status and metrics. Default: none.
    pub breakers: Vec<Arc<Breaker>>,
    /// Metadata whose values are sealed, and shown masked. Default `None`: no field is secret.
    pub secrets: Option<Arc<SecretFields>>,
    /// Time between two verifications of all balances. Default `None`: only when asked for.
    pub verify_every: Option<Duration>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_address_max: 512,
            calls_per_connection_max: 256,
            calls_max: 8192,
            requests: Budget::new(REQUESTS_BYTES),
            answers: Budget::default(),
            unread_timeout: Duration::from_secs(60),
            streams: StreamOptions::default(),
            drain_notice: Duration::from_millis(100),
            drain_timeout: Duration::from_secs(10),
            tls: None,
            guard: None,
            calls_per_principal_max: 4096,
            limits: None,
            audit: None,
            metrics: None,
            alerts: None,
            console: None,
            traces: None,
            breakers: Vec::new(),
            secrets: None,
            verify_every: None,
        }
    }
}

/// The largest request of somebody who has no identity yet.
const LOGIN_BYTES_MAX: usize = 8 * 1024;

/// Why the server did not serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The descriptor set could not be offered for reflection; a fault of the build.
    #[error("prepare the reflection service")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// How serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call was answered and every connection closed.
    Completely,
    /// The drain's time ran out with connections still open.
    TimedOut,
}

/// Serves on `listener` until `shutdown` resolves and the drain that follows is over. The
/// engine behind `handle` keeps running; stop it afterwards.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    handle: Handle,
    info: ServerInfo,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<Drained, ServeError> {
    let (switch, draining) = Draining::new();
    let (engine, started) = (handle.clone(), info.started);
    let telling = handle.clone();
    let (health, health_service) = tonic_health::server::health_reporter();
    let (streams, answers) = (options.streams.clone(), options.answers.clone());
    let guarded = options.guard.is_some();
    let ledger = LedgerService::new(handle.clone(), streams, draining.clone(), answers);
    let ledger = ledger.guarded(guarded).limited_by(options.limits.clone());
    let ledger = ledger.measured_by(options.metrics.clone());
    let ledger = ledger.keeping_secret(options.secrets.clone());
    let ledger = LedgerServer::new(ledger)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    let (requests, answers) = (options.requests.clone(), options.answers.clone());
    let places = Places::of_principals(options.calls_per_principal_max);
    let nameless = Places::of_addresses(options.calls_per_principal_max);
    let closed = Arc::<AtomicBool>::default();
    let gate = Gate::new(options.calls_max, handle.clone(), requests.clone(), answers.clone())
        .closed_by(Arc::clone(&closed))
        .guarded_by(options.guard.clone())
        .limited_by(options.limits.clone())
        .with_places(Arc::clone(&places), Arc::clone(&nameless))
        .measured_by(options.metrics.clone())
        .audited_by(options.audit.clone())
        .traced_by(options.traces.clone());
    let verifications = Arc::<Verifications>::default();
    let driven = DrivenService::new(handle.clone(), answers.clone(), options.streams.room_timeout);
    let trail = AuditService::new(handle.clone(), options.audit.as_ref().map(|a| a.keep()));
    let operator = OperatorService::new(handle, info, requests, answers.clone(), draining.clone())
        .verifying_with(Arc::clone(&verifications))
        .calling(options.breakers.clone(), options.alerts.clone())
        .telling(options.metrics.clone());
    let operator =
        OperatorServer::new(operator.guarded(guarded)).max_decoding_message_size(REQUEST_BYTES_MAX);
    health.set_serving::<LedgerServer<LedgerService>>().await;
    health.set_serving::<OperatorServer<OperatorService>>().await;
    health.set_serving::<SchedulesServer<DrivenService>>().await;
    health.set_serving::<SagasServer<DrivenService>>().await;
    health.set_serving::<AuditServer<AuditService>>().await;
    health.set_serving::<ApprovalsServer<ApprovalsService>>().await;
    health.set_serving::<LoginServer<LoginService>>().await;

    let mut routes = Routes::builder();
    routes.add_service(operator).add_service(health_service);
    let schedules = SchedulesServer::new(driven.clone());
    routes.add_service(schedules.max_decoding_message_size(REQUEST_BYTES_MAX));
    routes.add_service(SagasServer::new(driven).max_decoding_message_size(REQUEST_BYTES_MAX));
    let trail = AuditServer::new(trail).max_decoding_message_size(REQUEST_BYTES_MAX);
    routes.add_service(trail);
    let door = Door::default();
    let approvals = ApprovalsService::new(
        options.guard.clone(),
        engine.clone(),
        door.clone(),
        answers,
        options.streams.room_timeout,
    );
    routes
        .add_service(ApprovalsServer::new(approvals).max_decoding_message_size(REQUEST_BYTES_MAX));
    let login = LoginService::new(options.guard.clone());
    routes.add_service(LoginServer::new(login).max_decoding_message_size(LOGIN_BYTES_MAX));
    add_reflection(&mut routes)?;
    let services = Services::new(ledger, routes.routes());
    // Kept here until the end: a service that kept all services would keep itself.
    let approved = Arc::new(services.clone());
    door.ready(&approved);
    // Aborted as soon as serving ends, however it ends.
    let mut watching = JoinSet::new();
    if let Some(period) = options.verify_every {
        watching.spawn(Arc::clone(&verifications).every(engine.clone(), period));
    }
    if let Some(metrics) = &options.metrics {
        metrics.ready(Sources {
            handle: engine,
            guard: options.guard.clone(),
            limits: options.limits.clone(),
            places,
            nameless,
            requests: options.requests.clone(),
            answers: options.answers.clone(),
            verifications,
            breakers: options.breakers.clone(),
            alerts: options.alerts.clone(),
            traces: options.traces.clone(),
            started,
        });
        if let Some(alerts) = &options.alerts {
            watching.spawn(Arc::clone(alerts).run(Arc::clone(metrics)));
        }
    }
    if let Some(audit) = &options.audit {
        watching.spawn(Arc::clone(audit).run(telling.clone()));
    }
    if let Some(traces) = &options.traces {
        watching.spawn(Arc::clone(traces).run());
    }
    let watch = Watch::new(options.unread_timeout);
    if let Some(console) = &options.console {
        console.ready(Gated::new(gate.clone(), services.clone(), watch.connection()));
    }
    let counted = options.metrics.as_ref().map(|metrics| metrics.connections_closed());
    let connections = Connections::new(listener, options.connections_max, watch.clone())
        .of_each_address(options.connections_per_address_max)
        .counted_in(counted.unwrap_or_default());
    watching.spawn(watch.run());
    let mut ended = draining.clone();
    let serving = serving::serve(connections, gate, services, &options, async move {
        ended.begun().await;
    });
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(Drained::Completely),
        () = shutdown => {}
    }
    if let Some(metrics) = &options.metrics {
        metrics.draining();
    }
    let notice = begin_drain(&switch, health, &closed, options.drain_notice);
    let all_left = tokio::select! {
        () = notice => false,
        () = &mut serving => true,
    };
    let drained = if all_left || tokio::time::timeout(options.drain_timeout, serving).await.is_ok()
    {
        Drained::Completely
    } else {
        Drained::TimedOut
    };
    if let Some(audit) = &options.audit {
        // What waits is told now; a disk that answers nobody does not keep the process.
        let told = tokio::time::timeout(options.drain_timeout, audit.finish(&telling)).await;
        if told.is_err() {
            tracing::warn!("the end of the audit trail could not be written in time");
        }
    }
    if let Some(traces) = &options.traces {
        let told = tokio::time::timeout(TRACES_TIMEOUT.min(options.drain_timeout), traces.finish());
        if told.await.is_err() {
            tracing::warn!("the last traces could not be told in time");
        }
    }
    Ok(drained)
}

/// Reflection in both versions: older tools ask only for v1alpha.
fn add_reflection(routes: &mut tonic::service::RoutesBuilder) -> Result<(), ServeError> {
    let configured = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(configured().build_v1()?).add_service(configured().build_v1alpha()?);
    Ok(())
}

/// Tells everyone. Those who watch the health are told first and then let go, because an open
/// watch would keep its connection open.
async fn begin_drain(
    switch: &watch::Sender<bool>,
    mut health: HealthReporter,
    closed: &AtomicBool,
    notice: Duration,
) {
    let services = [
        "",
        "ducat.v1.Ledger",
        "ducat.v1.Operator",
        "ducat.v1.Schedules",
        "ducat.v1.Sagas",
        "ducat.v1.Audit",
        "ducat.v1.Approvals",
        "ducat.v1.Login",
    ];
    for service in services {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    closed.store(true, Ordering::Relaxed);
    tokio::time::sleep(notice).await;
    switch.send_replace(true);
    for service in services {
        health.clear_service_status(service).await;
    }
}
