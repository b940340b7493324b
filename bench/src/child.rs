//! A server of our own: `ducat serve` as a child process on a data directory and a free port,
//! watched until it answers, stopped or killed at the end.

use crate::address::Address;
use crate::ledger::Ledger;
use crate::production::{Production, Profile};
use anyhow::{Context, bail};
use clap::ValueEnum;
use ducat_api::compose::Opening;
use ducat_persistence::vault::{KeyWrapper, MasterKey};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a server may take until it answers (it replays its journal first).
const START_TIMEOUT: Duration = Duration::from_secs(600);

/// How long it may take to stop when asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a starting server is asked.
const POLL: Duration = Duration::from_millis(10);

/// What an answer survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// Pulling the plug. What Ducat is for.
    PowerLoss,
    /// Nothing. For finding limits.
    None,
}

impl Durability {
    /// The name as typed and as the server says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PowerLoss => "power-loss",
            Self::None => "none",
        }
    }
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ChildOptions {
    /// The binary `ducat`; `None` looks beside our own.
    pub binary: Option<PathBuf>,
    /// Where it keeps its data.
    pub data: PathBuf,
    /// What its answers survive.
    pub durability: Durability,
    /// What is asked of its settings.
    pub profile: Profile,
    /// Whether somebody in it will attack it: then production knows a second principal.
    pub intruded: bool,
    /// Whether it encrypts its data, under a master key of its own beside them.
    pub encrypt: bool,
    /// More arguments for `ducat serve`.
    pub arguments: Vec<String>,
}

/// A running server; killed when dropped.
pub struct ServerChild {
    child: Child,
    /// Where it is, and what it is shown.
    pub address: Address,
    /// The same for who attacks it.
    pub intruders: Address,
    /// From starting the process until it answered.
    pub started_in: Duration,
}

impl ServerChild {
    /// Starts a server and waits until it answers.
    pub async fn start(options: &ChildOptions) -> anyhow::Result<Self> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => beside_ourselves()?,
        };
        let master_key = key_path(&options.data);
        if options.encrypt && !master_key.exists() {
            MasterKey::random()?.write_new(&master_key)?;
        }
        let ready = options.data.with_extension("address");
        // One of an earlier start would be believed.
        let _ = fs::remove_file(&ready);
        let log = log_path(&options.data);
        let log_file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let production = match options.profile {
            Profile::Development => None,
            Profile::Production => {
                let keys = options.data.with_extension("keys");
                Some(Production::prepare(&binary, keys, options.intruded)?)
            }
        };
        let begun = Instant::now();
        let mut command = Command::new(&binary);
        // What is measured is what is asked for here, not what the environment holds.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DUCAT_") && name != "DUCAT_LOG" {
                command.env_remove(name);
            }
        }
        let child = command
            .args(serve_arguments(options, &ready, production.as_ref()))
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().context("share the server's log")?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let (address, intruders) = (Address::default(), Address::default());
        let mut server = Self { child, address, intruders, started_in: Duration::ZERO };
        server.wait_until_it_answers(begun, &ready, &log, production.as_ref()).await?;
        server.started_in = begun.elapsed();
        Ok(server)
    }

    /// Waits for the file with the address, then for an answer.
    async fn wait_until_it_answers(
        &mut self,
        begun: Instant,
        ready: &Path,
        log: &Path,
        production: Option<&Production>,
    ) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.child.try_wait().context("watch the server")? {
                let said = fs::read_to_string(log).unwrap_or_default();
                bail!("`ducat serve` ended ({status}) before it answered. It said:\n{said}");
            }
            if let Ok(address) = fs::read_to_string(ready) {
                let address = address.trim();
                let plain = || Address::plain(&format!("http://{address}"));
                self.address = production.map_or_else(plain, |made| made.address(address));
                self.intruders =
                    production.map_or_else(plain, |made| made.intruders_address(address));
            }
            if !self.address.url.is_empty()
                && let Ok(ledger) = Ledger::connect(&self.address).await
                && ledger.status(false).await.is_ok()
            {
                return Ok(());
            }
            if begun.elapsed() > START_TIMEOUT {
                bail!("`ducat serve` did not answer within {} s", START_TIMEOUT.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("kill the server")?;
        self.child.wait().context("wait for the server's end")?;
        Ok(())
    }

    /// Asks it to drain and stop (SIGTERM) and waits; kills it when it does not.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = libc::pid_t::try_from(self.child.id()).context("the server's process id")?;
        // SAFETY: kill sends a signal to our own child, which has not been waited for.
        if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
            return Err(std::io::Error::last_os_error()).context("ask the server to stop");
        }
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait().context("watch the server")? {
                if !status.success() {
                    eprintln!("warning: the server ended with {status}");
                }
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the server did not stop within {} s and was killed", STOP_TIMEOUT.as_secs())
    }
}

impl Drop for ServerChild {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line of the server: the one place that knows its flags.
fn serve_arguments(
    options: &ChildOptions,
    ready: &Path,
    production: Option<&Production>,
) -> Vec<String> {
    let mut arguments = vec![
        "serve".to_owned(),
        "--data-dir".to_owned(),
        options.data.display().to_string(),
        "--listen".to_owned(),
        "127.0.0.1:0".to_owned(),
        "--ready-file".to_owned(),
        ready.display().to_string(),
    ];
    if options.encrypt {
        arguments.extend([
            "--master-key-file".to_owned(),
            key_path(&options.data).display().to_string(),
        ]);
    }
    if options.durability == Durability::None {
        arguments.extend(["--durability=none", "--development"].map(str::to_owned));
    }
    if let Some(production) = production {
        let file = production.configuration().display().to_string();
        arguments.extend(["--config".to_owned(), file]);
    }
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

/// The master key of a server that encrypts, beside its data directory.
fn key_path(data: &Path) -> PathBuf {
    data.with_extension("master-key")
}

/// How the journal below `data` is opened after the run: with its master key, if it has one.
pub fn opening(data: &Path) -> anyhow::Result<Opening> {
    let path = key_path(data);
    let key = path.exists().then(|| MasterKey::read(&path)).transpose()?;
    let keys = key.map(|key| Arc::new(key) as Arc<dyn KeyWrapper>);
    Ok(Opening { keys, ..Opening::default() })
}

/// The server's output, beside its data directory.
fn log_path(data: &Path) -> PathBuf {
    data.with_extension("server.log")
}

/// `ducat` in the directory of the running binary.
pub fn beside_ourselves() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find our own binary")?;
    let binary = own.with_file_name(format!("ducat{}", std::env::consts::EXE_SUFFIX));
    if !binary.is_file() {
        bail!(
            "there is no {}: build it with `cargo build --release -p ducat-api`, name one with \
             --ducat PATH, or use a running server with --server URL",
            binary.display()
        );
    }
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(binary: &str, data: &Path) -> ChildOptions {
        ChildOptions {
            binary: Some(binary.into()),
            data: data.join("data"),
            durability: Durability::None,
            profile: Profile::Development,
            intruded: false,
            encrypt: false,
            arguments: vec!["--partitions=2".into()],
        }
    }

    #[test]
    fn a_mode_without_durability_is_asked_for_in_full() {
        let arguments = serve_arguments(&options("ducat", Path::new("/d")), Path::new("/r"), None);
        let line = arguments.join(" ");
        assert!(line.starts_with("serve --data-dir /d/data --listen 127.0.0.1:0"), "{line}");
        assert!(line.ends_with("--durability=none --development --partitions=2"), "{line}");
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_reported_with_its_words() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let started = ServerChild::start(&options("/bin/echo", directory.path())).await;
        let error = started.err().expect("echo serves nothing").to_string();
        assert!(error.contains("before it answered") && error.contains("--data-dir"), "{error}");
    }
}
