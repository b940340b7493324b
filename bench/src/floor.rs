//! `ducat-bench floor`: what this machine does without Ducat. Unary calls of the very messages, by
//! the very client, to a server of tonic whose handler does nothing: whatever stands behind such
//! calls cannot be faster here, and figures of other machines can be told apart from it.
//!
//! ```text
//! floor ─▶ a process of its own: `ducat-bench floor --serve` ─▶ its address, on a line
//!       ─▶ driver, the mode `unary` ─▶ calls a second, latency
//! ```

mod server;

use crate::address::Address;
use crate::cli::{Cli, Command, RunArgs};
use crate::driver::{Connector, Extent, Load, Plan, Running};
use crate::generator::AccountIds;
use crate::report::Latency;
use crate::run::{random_id, show_progress};
use crate::table::count;
use crate::target_grpc::Manner;
use anyhow::{Context, bail};
use clap::{Args, Parser};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

/// Arguments of `floor`.
#[derive(Args, Debug, Clone)]
pub struct FloorArgs {
    /// Calls in flight.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0)]
    pub duration: f64,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Be the server: print its address on a line, serve until the input ends.
    #[arg(long, hide = true)]
    pub serve: bool,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Calls answered a second.
    pub calls_per_s: f64,
    /// Their latency.
    pub latency: Latency,
    /// Calls that failed.
    pub errors: u64,
}

impl FloorArgs {
    /// A run in the mode `unary` with these figures.
    fn as_run(&self) -> anyhow::Result<RunArgs> {
        let Self { in_flight, duration, warmup, .. } = self;
        let words = format!(
            "ducat-bench run --mode unary --in-flight {in_flight} --duration {duration} \
             --warmup {warmup}"
        );
        match Cli::try_parse_from(words.split_whitespace())?.command {
            Command::Run(arguments) => Ok(*arguments),
            other => bail!("{other:?} is no run"),
        }
    }

    /// Refuses what cannot be run, before anything is started.
    pub fn validate(&self) -> anyhow::Result<()> {
        self.as_run()?.validate()
    }
}

/// The process that serves; ended when dropped.
struct ServerProcess {
    child: Child,
    url: String,
}

impl ServerProcess {
    fn start() -> anyhow::Result<Self> {
        let ourselves = std::env::current_exe().context("find this program")?;
        let mut child = Process::new(ourselves)
            .args(["floor", "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the empty server")?;
        let said = child.stdout.take().context("read the empty server's address")?;
        let mut address = String::new();
        BufReader::new(said).read_line(&mut address).context("read the empty server's address")?;
        Ok(Self { child, url: format!("http://{}", address.trim()) })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures and prints, or serves.
pub async fn floor(arguments: &FloorArgs) -> anyhow::Result<bool> {
    if arguments.serve {
        server::serve().await?;
        return Ok(true);
    }
    let Floor { calls_per_s, latency, errors } = measure(arguments).await?;
    println!(
        "tonic alone, an empty handler, {} unary calls in flight: {}/s, p50 {:.1} ms, p99 {:.1} ms, \
         {errors} errors",
        arguments.in_flight,
        count(calls_per_s.round() as u64),
        latency.p50_ms,
        latency.p99_ms
    );
    Ok(errors == 0)
}

/// Measures once.
pub async fn measure(arguments: &FloorArgs) -> anyhow::Result<Floor> {
    let run = arguments.as_run()?;
    run.validate()?;
    let server = ServerProcess::start()?;
    let (to, codec) = (Address::plain(&server.url), run.codec);
    let plan = Plan {
        connector: Connector::Unary { to, codec, single: true, manner: Manner::default() },
        shape: run.shape(),
        replay: None,
        accounts: AccountIds::random(run.accounts),
        run_id: random_id(),
        threads: run.client_threads,
        connections: run.connections,
        in_flight: run.in_flight(),
        load: Load::Closed,
        extent: Extent::Time {
            warmup: Duration::from_secs_f64(run.warmup),
            duration: Duration::from_secs_f64(run.duration),
        },
        per_account: false,
        reads_per_s: 0.0,
    };
    let running = Running::start(&plan).await?;
    show_progress("tonic alone", &running, running.window.to).await;
    let tally = running.finish().await?;
    drop(server);
    let errors = tally.errors.values().map(|error| error.requests).sum::<u64>();
    Ok(Floor {
        calls_per_s: tally.requests as f64 / run.duration,
        latency: Latency::of(&tally.latency),
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::CodecKind;
    use crate::generator::{Batch, Generator};
    use crate::target::Port;
    use crate::target_grpc::UnaryPort;
    use std::sync::Arc;

    const ASKED: FloorArgs = FloorArgs { in_flight: 256, duration: 2.0, warmup: 0.5, serve: false };

    #[test]
    fn its_load_is_that_of_a_unary_run() {
        let run = ASKED.as_run().expect("a run");
        assert_eq!((run.in_flight(), run.batch(), run.connections), (256, 1, 1));
        assert!(FloorArgs { in_flight: 0, ..ASKED }.validate().is_err());
    }

    #[tokio::test]
    async fn an_empty_server_answers_what_the_client_checks() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let served = tokio::spawn(server::serve_on(listener));
        let port =
            UnaryPort::connect(&Address::plain(&url), CodecKind::Lean, true, 1, Manner::default())
                .await;
        let port = Port::Unary(Box::new(port.expect("it listens")));
        let shape = ASKED.as_run().expect("a run").shape();
        let mut generator = Generator::new(shape, AccountIds::random(10), 1, 0, None);
        let mut batch = Batch::default();
        generator.fill(&mut batch, 1);
        // The id comes back, or the port would call it a wrong answer.
        let reply = port.call(&Arc::new(batch)).await.expect("an answer");
        assert_eq!(reply.answers.len(), 1);
        served.abort();
    }
}
