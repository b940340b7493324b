//! `ducat serve`: opens the journal, starts the engine, serves gRPC until told to stop.
//!
//! ```text
//! check flags ▸ take the address ▸ open the journal ▸ replay ▸ listen ▸ say where ▸ serve
//!   ▸ signal ▸ drain the server ▸ stop the engine ▸ exit 0, or 76 if connections were cut
//! ```
//!
//! The address is taken before the replay, so that one in use is told at once, but nobody
//! can connect until the state is there.

mod alerts;
mod audit;
mod banner;
mod console;
mod encryption;
mod failures;
mod logs;
mod memory;
mod options;
mod ready_file;
mod reload;
pub(crate) mod replay_bar;
mod secret_fields;
mod security;
mod signals;
mod snapshots;
mod systemd;
mod traces;
mod upkeep;

use crate::causes::with_causes;
use crate::config::File;
use crate::exit::{Done, Exit, Failure};
use crate::witness::SignArgs;
use clap::{Args, ValueEnum};
use ducat_actors::handle::{BATCH_MAX, EngineOptions};
use ducat_actors::start::Engine;
use ducat_api::compose::{self, OpenJournal, Opening};
use ducat_api::identity::Guard;
use ducat_api::metrics::Metrics;
use ducat_api::rates::Limits;
use ducat_api::server::{Drained, Durability, ServerInfo, ServerOptions, serve};
use ducat_persistence::Vault;
use encryption::Rotation;
use failures::{internal, open_failure, start_failure, unavailable};
use options::{engine_options, server_options};
use ready_file::ReadyFile;
use signals::Signals;
use snapshots::SnapshotArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Options of `serve`. Every one can also be set by the environment variable it names, and but for
/// `--config` in the file that names.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The configuration file, in TOML; `ducat config print` prints one. Variables are
    /// stronger than it, and flags stronger than these. SIGHUP has principals, rates, masks, keys,
    /// certificates and how much is traced read again.
    #[arg(long, env = "DUCAT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory that holds the ledger; created when it is not there.
    #[arg(long, env = "DUCAT_DATA_DIR", default_value = "./ducat-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "DUCAT_LISTEN", default_value = "127.0.0.1:4600", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Listen on an address that other machines reach although nothing is encrypted.
    #[arg(long, env = "DUCAT_INSECURE_LISTEN")]
    insecure_listen: bool,
    /// Which failure an answer survives.
    #[arg(long, env = "DUCAT_DURABILITY", value_enum, default_value = "power-loss")]
    durability: DurabilityArg,
    /// Allow what no ledger of real money should do, such as `--durability none`.
    #[arg(long, env = "DUCAT_DEVELOPMENT")]
    development: bool,
    #[command(flatten)]
    encryption: encryption::EncryptionArgs,
    #[command(flatten)]
    secret_fields: secret_fields::SecretFieldArgs,
    #[command(flatten)]
    snapshots: SnapshotArgs,
    #[command(flatten)]
    sign: SignArgs,
    /// Partitions that host the account actors: 1, 2, 4, 8, 16, 32 or 64.
    #[arg(long, env = "DUCAT_PARTITIONS", default_value_t = 1,
          value_parser = partitions, value_name = "COUNT")]
    partitions: usize,
    /// Threads that speak with clients: 1 to 256. By default one for every two cores, since
    /// deciding and writing have threads of their own.
    #[arg(long, env = "DUCAT_THREADS", value_parser = clap::value_parser!(u32).range(1..=256),
          value_name = "COUNT")]
    threads: Option<u32>,
    /// Memory taken from the system before the ledger is opened and kept for good, in MiB, so that no
    /// transfer waits for pages: accounts, remembered ids and what is worked on find it there. More is
    /// taken as it is needed. 0 takes none ahead.
    #[arg(long, env = "DUCAT_MEMORY_AHEAD_MIB", default_value_t = 0, value_name = "MIB")]
    memory_ahead_mib: u32,
    /// Most transfers admitted and not yet answered; beyond it clients are told to wait.
    #[arg(long, env = "DUCAT_IN_FLIGHT_MAX", default_value_t = 262_144,
          value_parser = clap::value_parser!(u64).range(BATCH_MAX as u64..=500_000_000),
          value_name = "TRANSFERS")]
    in_flight_max: u64,
    /// Longest time a transfer may be expected to wait before it is looked at. A call that
    /// would wait longer, or longer than half of what its deadline leaves, is refused before
    /// it is read; a stream is held back.
    #[arg(long, env = "DUCAT_QUEUE_DELAY_MAX_MS", default_value_t = 250,
          value_parser = clap::value_parser!(u64).range(1..=60_000), value_name = "MS")]
    queue_delay_max_ms: u64,
    /// Most calls at a time over all connections, open streams included; more are refused.
    #[arg(long, env = "DUCAT_CALLS_MAX", default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "COUNT")]
    calls_max: u32,
    /// Most calls at a time of one principal, open streams included; more are refused. Where nobody is
    /// asked who they are, of one address.
    #[arg(long, env = "DUCAT_CALLS_PER_PRINCIPAL_MAX", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "COUNT")]
    calls_per_principal_max: u32,
    /// Memory for requests being read and worked on, in MiB; calls that find none are refused,
    /// streams wait. A request takes 8 times its bytes.
    #[arg(long, env = "DUCAT_REQUESTS_MIB", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(16..=1_048_576), value_name = "MIB")]
    requests_mib: u32,
    /// Memory for answers being made and not yet sent, in MiB; what finds none in the time
    /// that --room-timeout-ms sets is refused.
    #[arg(long, env = "DUCAT_ANSWERS_MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(16..=1_048_576), value_name = "MIB")]
    answers_mib: u32,
    /// Most transfer ids remembered for repeats (at most 64 bytes of memory each).
    #[arg(long, env = "DUCAT_REMEMBERED_IDS_MAX", default_value_t = 100_000_000,
          value_parser = clap::value_parser!(u64).range(BATCH_MAX as u64..=4_000_000_000),
          value_name = "IDS")]
    remembered_ids_max: u64,
    /// Most subscribers to the feed of events at a time; more are refused.
    #[arg(long, env = "DUCAT_SUBSCRIBERS_MAX", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "COUNT")]
    subscribers_max: u32,
    /// Most connections at a time.
    #[arg(long, env = "DUCAT_CONNECTIONS_MAX", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "COUNT")]
    connections_max: u32,
    /// Most connections at a time from one address; more are closed before anything is read of them.
    /// Where all clients come through one balancer, as many as --connections-max.
    #[arg(long, env = "DUCAT_CONNECTIONS_PER_ADDRESS_MAX", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "COUNT")]
    connections_per_address_max: u32,
    /// Most batches of one stream that are admitted and not yet answered.
    #[arg(long, env = "DUCAT_STREAM_WINDOW", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=1024), value_name = "BATCHES")]
    stream_window: u32,
    /// How long a stream's batch waits for room in a full engine before it is refused.
    #[arg(long, env = "DUCAT_ROOM_TIMEOUT_MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=600_000), value_name = "MS")]
    room_timeout_ms: u64,
    /// How long a stream may be blocked by answers its client does not read, before it is
    /// ended. A connection twice as far behind is cut.
    #[arg(long, env = "DUCAT_UNREAD_TIMEOUT_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u64).range(1..=3_600_000), value_name = "MS")]
    unread_timeout_ms: u64,
    /// How long the end may take before connections that are still open are cut; the command then
    /// ends with 76. A second signal ends it at once.
    #[arg(long, env = "DUCAT_DRAIN_TIMEOUT_MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(0..=600_000), value_name = "MS")]
    drain_timeout_ms: u64,
    /// Write the address here once clients can connect, for scripts that wait for it. Removed
    /// at the end.
    #[arg(long, env = "DUCAT_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    upkeep: upkeep::UpkeepArgs,
    #[command(flatten)]
    security: security::SecurityArgs,
    /// Serve figures for Prometheus (/metrics) and probes (/livez, /readyz) on this address, over
    /// plain HTTP. None of them tells of an account.
    #[arg(long, env = "DUCAT_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Serve the operators' page on this address, behind the same certificate, tokens and roles as the
    /// calls.
    #[arg(long, env = "DUCAT_CONSOLE_LISTEN", value_name = "ADDRESS")]
    console_listen: Option<SocketAddr>,
    /// Time between two verifications of all balances against the journal, such as 1h, while
    /// transfers go on. Each reads the whole journal, archive included.
    #[arg(long, env = "DUCAT_VERIFY_EVERY", default_value = "off", value_parser = snapshots::every,
          value_name = "TIME")]
    verify_every: snapshots::Every,
    #[command(flatten)]
    audit: audit::AuditArgs,
    #[command(flatten)]
    alerts: alerts::AlertArgs,
    #[command(flatten)]
    pub traces: traces::TraceArgs,
    #[command(flatten)]
    logs: logs::LogArgs,
}

impl ServeArgs {
    /// The configuration file, read.
    pub fn file(&self) -> Result<Option<File>, Failure> {
        self.config.as_deref().map(crate::config::read_again).transpose()
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(|| (cores() / 2).max(1), |threads| threads as usize)
    }
}

/// Durability modes, named by the failure they survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DurabilityArg {
    /// Every answer survives a loss of power.
    PowerLoss,
    /// Nothing survives the end of the process. Only with `--development`.
    None,
}

/// Runs the server until it is told to stop.
pub fn run(args: ServeArgs) -> Done {
    let file = args.file()?;
    check(&args, file.as_ref())?;
    args.logs.start()?;
    args.encryption.choose();
    if args.secret_fields.has_keys() {
        encryption::leave_no_cores();
    }
    let mut runtime = match args.threads() {
        // Without a second thread nothing is handed from one to the other, which small calls
        // feel.
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .worker_threads(args.threads())
        .enable_all()
        .thread_name("ducat-serve")
        .build()
        .map_err(|error| internal("start the runtime", &error))?;
    let done = runtime.block_on(run_async(args, file));
    // Connections that outlived the drain are cut here instead of being waited for.
    runtime.shutdown_background();
    done
}

/// A power of two up to 64.
fn partitions(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count.is_power_of_two() && count <= 64 => Ok(count),
        _ => Err("use 1, 2, 4, 8, 16, 32 or 64".to_owned()),
    }
}

/// Checks everything that a start would, but for the data: what there is to say about it.
pub fn check_all(args: &ServeArgs) -> Result<String, Failure> {
    let file = args.file()?;
    check(args, file.as_ref())?;
    args.logs.check()?;
    args.encryption.check_key()?;
    let secrets = args.secret_fields.secrets()?;
    args.alerts.webhook()?;
    args.traces.collector(&args.alerts)?;
    args.audit.auditor(args.security.profile, file.as_ref())?;
    let tls = args.security.tls()?;
    let trust = args.security.trust(file.as_ref())?;
    let transport = match &tls {
        None => "plain text".to_owned(),
        Some(tls) => format!("TLS 1.3, client certificates {:?}", tls.clients()).to_lowercase(),
    };
    let tokens = trust.tokens.as_ref().map_or(0, |tokens| tokens.keys.len());
    let factors = trust
        .factor
        .as_ref()
        .map_or_else(String::new, |rules| format!(", {} second factors", rules.secrets.len()));
    let secrets = secrets.map_or_else(String::new, |secrets| {
        let (fields, key) = (args.secret_fields.secret_fields.len(), secrets.current());
        format!(", {fields} secret fields under key {key}")
    });
    if let Some(advice) = security::advice(args) {
        eprintln!("warning: {advice}");
    }
    Ok(format!(
        "the configuration is sound: {} on {}, {} principals, {tokens} keys of tokens, {} \
         rates{factors}{secrets}",
        transport,
        args.listen,
        trust.rights.len(),
        file.map_or(0, |file| file.rates.len())
    ))
}

/// What the types of the flags cannot say.
fn check(args: &ServeArgs, file: Option<&File>) -> Result<(), Failure> {
    if args.durability == DurabilityArg::None && !args.development {
        return Err(Failure::usage(
            "--durability none keeps the journal in memory: every account and every transfer is \
             gone when the process ends. Add --development if that is what you want",
        ));
    }
    if args.durability == DurabilityArg::None && args.upkeep.backup_to.is_some() {
        return Err(Failure::usage(
            "--durability none keeps the journal in memory: there is nothing to back up. Leave \
             --backup-to out",
        ));
    }
    if let Some(to) = &args.upkeep.backup_to {
        let inside = ducat_persistence::backup::refuse_inside(to, &args.data_dir);
        inside.map_err(|error| Failure::usage(with_causes(&error)))?;
    }
    args.encryption.check(&args.data_dir)?;
    args.secret_fields.check(&args.data_dir)?;
    if args.sign.lacks_key() {
        return Err(Failure::usage(
            "checkpoints are to be signed, and no key is named: add --checkpoint-key",
        ));
    }
    security::check(args, file)
}

async fn run_async(args: ServeArgs, file: Option<File>) -> Done {
    if let Some(advice) = security::advice(&args) {
        tracing::warn!("{advice}");
    }
    let tls = args.security.tls()?;
    let trust = args.security.trust(file.as_ref())?;
    let guard = args.security.asks_who(file.as_ref()).then(|| Guard::new(trust));
    let ready_file = args.ready_file.clone().map(ReadyFile::check).transpose()?;
    let webhook = args.alerts.webhook()?;
    let collector = args.traces.collector(&args.alerts)?;
    let trail = args.audit.auditor(args.security.profile, file.as_ref())?;
    let secrets = args.secret_fields.secrets()?;
    let socket = take_address(args.listen)?;
    let (metrics, figures_at) = args.metrics_listen.map(serve_metrics).transpose()?.unzip();
    let (console, console_at) = console::serve(args.console_listen, tls.as_ref())?.unzip();
    let durable = args.durability == DurabilityArg::PowerLoss;
    let signing = args.sign.prepare(&args.data_dir, durable)?;
    memory::take_ahead(args.memory_ahead_mib)?;
    let (opened, durability) = open_journal(&args)?;
    if let Some(guard) = guard.as_ref().filter(|_| durable) {
        let kept = guard.keep_used_codes(&args.data_dir);
        kept.map_err(|error| Failure::usage(with_causes(&error)))?;
    }
    let started = Instant::now();
    let owner = format!("ducat serve, pid {}", std::process::id());
    let options = EngineOptions {
        backup: args.upkeep.backing_up(
            &args.data_dir,
            opened.ledger,
            &opened.origins,
            opened.vault.as_ref(),
        ),
        snapshots: opened.snapshots.map(|store| args.snapshots.options(store)),
        disk: match durability {
            Durability::PowerLoss => args.upkeep.disk(&args.data_dir)?,
            Durability::None => None,
        },
        archive: args.upkeep.archiving(opened.archive),
        checkpoints: signing.map(|signing| signing.options(opened.ledger)),
        ..engine_options(&args)?
    };
    let progress = systemd::replaying(replay_bar::progress());
    let engine = Engine::start(options, opened.journal, &owner, progress)
        .await
        .map_err(|error| start_failure(&error, &args.data_dir))?;
    let listener =
        socket.listen(BACKLOG).map_err(|error| unavailable("listen on", args.listen, &error))?;
    let address =
        listener.local_addr().map_err(|error| unavailable("listen on", args.listen, &error))?;
    let ledger = opened.ledger.to_string();
    let info = ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ledger_id: ledger.clone(),
        origins: crate::restore::descent(&opened.origins),
        durability,
        started,
    };
    // Before anyone is told that the server is there: who sees the file may send a signal.
    let signals = Signals::listen();
    // Gone again when this function ends.
    let _written = ready_file.map(|file| file.write(address)).transpose()?;
    let (encrypted, guarded) = (tls.is_some(), guard.is_some());
    let ledger_key = opened.vault.as_ref().map(Vault::current);
    let door =
        banner::Door { encrypted, guarded, ledger_key, metrics: figures_at, console: console_at };
    banner::print(address, &args.data_dir, &info, &engine.handle().status(), door);
    let options =
        ServerOptions { tls: tls.clone(), guard: guard.clone(), metrics, ..server_options(&args) };
    let limits = Limits::new(&file.as_ref().map(|file| file.rates.clone()).unwrap_or_default());
    let alerts = webhook.map(|webhook| args.alerts.watching(webhook, &ledger, address));
    let traces = collector.map(|collector| args.traces.telling(collector, &ledger, address));
    let breakers = alerts.iter().map(|alerts| alerts.breaker());
    let breakers = breakers.chain(traces.iter().map(|traces| traces.breaker()));
    let options = ServerOptions {
        limits: Some(Arc::clone(&limits)),
        audit: trail.clone(),
        secrets: secrets.clone(),
        breakers: breakers.map(Arc::clone).collect(),
        traces: traces.clone(),
        // Alerts and the console go by what is counted, whoever else looks at it.
        metrics: options
            .metrics
            .or_else(|| (alerts.is_some() || console.is_some()).then(Metrics::new)),
        alerts,
        console,
        verify_every: args.verify_every,
        ..options
    };
    let keys = &args.encryption;
    let rotation = opened.vault.map(|vault| Rotation::new(keys, &args.data_dir, vault));
    let reloader = reload::Reloader {
        config: args.config,
        at_start: file,
        security: args.security,
        tls,
        guard,
        limits,
        audit: args.audit,
        auditor: trail,
        traces,
        rotation,
        secret_fields: args.secret_fields,
        secrets,
    };
    reloader.listen();
    systemd::ready(address);
    systemd::feed_watchdog(engine.handle());
    serve_until_stopped(engine, listener, info, options, signals).await
}

/// Serves until a signal comes or the engine fails, then stops what is still running.
async fn serve_until_stopped(
    engine: Engine,
    listener: TcpListener,
    info: ServerInfo,
    options: ServerOptions,
    mut signals: Signals,
) -> Done {
    let (tell, told) = tokio::sync::oneshot::channel();
    let stop = async {
        let failure = tokio::select! {
            () = signals.next() => None,
            reason = engine.failed() => Some(reason),
        };
        signals.exit_at_once_on_the_next();
        systemd::stopping();
        match &failure {
            None => tracing::info!("stopping: answering what was begun"),
            Some(reason) => tracing::error!(reason, "the engine has failed"),
        }
        // The other end is there until serving has ended.
        let _unheard = tell.send(failure);
    };
    let served = serve(listener, engine.handle(), info, options, stop).await;
    let drained = served.map_err(|error| internal("serve", &error))?;
    if let Ok(Some(reason)) = told.await {
        return Err(Failure::new(
            Exit::Internal,
            format!(
                "the engine has stopped: {reason}. What was acknowledged is in the journal; find \
                 the cause, then start the server again"
            ),
        ));
    }
    engine.shutdown().await.map_err(|error| internal("stop the engine", &error))?;
    match drained {
        Drained::Completely => {
            tracing::info!("stopped; nothing is left undone");
            Ok(Exit::Ok)
        }
        Drained::TimedOut => Err(Failure::new(
            Exit::Cut,
            "stopped; connections that were still open at the end of --drain-timeout-ms were cut. \
             What was acknowledged is in the journal",
        )),
    }
}

/// Answers probes from before the replay on, until the process ends.
fn serve_metrics(address: SocketAddr) -> Result<(Arc<Metrics>, SocketAddr), Failure> {
    let (listener, address) = listen_at(address)?;
    let metrics = Metrics::new();
    tokio::spawn(ducat_api::metrics::listener::serve(listener, Arc::clone(&metrics)));
    Ok((metrics, address))
}

/// Listens, and says where.
fn listen_at(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let socket = take_address(address)?;
    let listen = || {
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let listened: std::io::Result<(TcpListener, SocketAddr)> = listen();
    listened.map_err(|error| unavailable("listen on", address, &error))
}

/// Binds the address without listening on it yet.
fn take_address(address: SocketAddr) -> Result<TcpSocket, Failure> {
    let take = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A server that was just stopped leaves its address in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    take().map_err(|error: std::io::Error| unavailable("bind", address, &error))
}

fn open_journal(args: &ServeArgs) -> Result<(OpenJournal, Durability), Failure> {
    match args.durability {
        DurabilityArg::None => {
            let opened = compose::in_memory().map_err(|error| internal("draw an id", &error))?;
            Ok((opened, Durability::None))
        }
        DurabilityArg::PowerLoss => {
            let opening = Opening {
                segment_bytes_max: Some(args.upkeep.segment_bytes()),
                archive_dir: args.upkeep.archive_dir.clone(),
                keys: crate::vault::given()?,
            };
            let opened = compose::create_or_open_with(&args.data_dir, opening)
                .map_err(|error| open_failure(&error, &args.data_dir))?;
            Ok((opened, Durability::PowerLoss))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn parse(flags: &[&str]) -> Result<ServeArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("serve").chain(flags.iter().copied())).map(|c| c.args)
    }

    #[test]
    fn the_defaults_are_safe() {
        let args = parse(&[]).expect("nothing is required");
        assert!(check(&args, None).is_ok());
        assert!(args.listen.ip().is_loopback());
        assert_eq!(args.durability, DurabilityArg::PowerLoss);
    }

    #[test]
    fn what_is_dangerous_must_be_asked_for_twice() {
        for (flags, allowed) in [
            (vec!["--durability", "none"], false),
            (vec!["--durability", "none", "--development"], true),
            (vec!["--listen", "0.0.0.0:4600"], false),
            (vec!["--listen", "[::]:4600"], false),
            (vec!["--listen", "0.0.0.0:4600", "--insecure-listen"], true),
            (vec!["--listen", "[::1]:0"], true),
            (vec!["--console-listen", "0.0.0.0:4680"], false),
            (vec!["--console-listen", "0.0.0.0:4680", "--insecure-listen"], true),
            (vec!["--console-listen", "127.0.0.1:4680"], true),
        ] {
            let result = check(&parse(&flags).expect("parses"), None);
            assert_eq!(result.is_ok(), allowed, "{flags:?}");
            if let Err(failure) = result {
                assert_eq!(failure.exit, Exit::Usage);
            }
        }
    }

    #[test]
    fn ranges_are_checked() {
        for flags in [
            ["--partitions", "0"],
            ["--partitions", "3"],
            ["--partitions", "128"],
            ["--in-flight-max", "9999"],
            ["--queue-delay-max-ms", "0"],
            ["--queue-delay-max-ms", "60001"],
            ["--calls-max", "0"],
            ["--requests-mib", "15"],
            ["--answers-mib", "15"],
            ["--remembered-ids-max", "1"],
            ["--stream-window", "0"],
            ["--listen", "localhost"],
            ["--durability", "maybe"],
            ["--snapshot-every", "10"],
            ["--snapshot-every", "100ms"],
            ["--snapshot-every", "-5m"],
            ["--snapshot-every", "often"],
            ["--snapshot-keep", "0"],
            ["--snapshot-journal-mib", "-1"],
        ] {
            assert_eq!(parse(&flags).expect_err("refused").exit_code(), 2, "{flags:?}");
        }
    }
}
