//! What a run measures: a server of our own, a running one, or an engine in this process;
//! where its data is, whose process it is, and how it ends.

use crate::address::Address;
use crate::child::{ChildOptions, Durability, ServerChild};
use crate::cli::{Mode, RunArgs, ServerArgs};
use crate::driver::Connector;
use crate::ledger::Ledger;
use crate::procfs::Usage;
use crate::production::Profile;
use crate::target_grpc::Manner;
use anyhow::Context;
use ducat_actors::handle::EngineOptions;
use ducat_actors::start::Engine;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The thing under test.
pub struct Backend {
    kind: Kind,
    ledger: Ledger,
    /// Holds the data of what we started; removed at the end.
    temporary: Option<TempDir>,
}

enum Kind {
    Child(ServerChild),
    Remote { to: Address, pid: Option<u32>, data: Option<PathBuf> },
    InProcess(Box<Engine>),
}

impl Backend {
    /// Starts or connects to what `arguments` name.
    pub async fn start(arguments: &RunArgs) -> anyhow::Result<Self> {
        if let Some(url) = &arguments.server {
            let (pid, data) = (arguments.server_pid, arguments.server_data_dir.clone());
            let to = Address { url: url.clone(), credentials: arguments.shown.credentials() };
            let ledger = Ledger::connect(&to).await?;
            return Ok(Self { kind: Kind::Remote { to, pid, data }, ledger, temporary: None });
        }
        let temporary = temporary(&arguments.own)?;
        let durability = arguments.own.durability;
        let (kind, ledger) = if arguments.mode == Mode::InProcess {
            let data = temporary.path().join("data");
            let engine =
                crate::inprocess::start(EngineOptions::default(), &data, durability).await?;
            let handle = engine.handle();
            (
                Kind::InProcess(Box::new(engine)),
                Ledger::InProcess { handle, durability: durability.name() },
            )
        } else {
            let child =
                ServerChild::start(&child_options(&arguments.own, temporary.path())).await?;
            let ledger = Ledger::connect(&child.address).await?;
            (Kind::Child(child), ledger)
        };
        Ok(Self { kind, ledger, temporary: Some(temporary) })
    }

    /// The way to the ledger beside the load.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The directory whose disk is written to, where it is known.
    pub fn data_directory(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Remote { data, .. } => data.as_deref(),
            _ => self.temporary.as_ref().map(TempDir::path),
        }
    }

    /// The server's address and what its clients show to it, then the same for who attacks it; `None`
    /// for an engine in this process.
    pub fn addresses(&self) -> Option<(&Address, &Address)> {
        match &self.kind {
            Kind::Child(child) => Some((&child.address, &child.intruders)),
            Kind::Remote { to, .. } => Some((to, to)),
            Kind::InProcess(_) => None,
        }
    }

    /// The way of the load. Only calls have a manner; streams and the handle have none.
    pub fn connector(&self, arguments: &RunArgs, manner: Manner) -> Connector {
        let to = match &self.kind {
            Kind::Child(child) => child.address.clone(),
            Kind::Remote { to, .. } => to.clone(),
            Kind::InProcess(engine) => return Connector::InProcess(engine.handle()),
        };
        let codec = arguments.codec;
        match arguments.mode {
            Mode::Stream => Connector::Stream { to, codec },
            Mode::Client => Connector::Client { to },
            mode => Connector::Unary { to, codec, single: mode == Mode::Unary, manner },
        }
    }

    /// The ledger's process now; empty where it cannot be seen.
    pub fn usage(&self) -> Usage {
        self.pid().map(Usage::of).unwrap_or_default()
    }

    /// The ledger's process, where it is on this machine and known.
    pub fn pid(&self) -> Option<u32> {
        match &self.kind {
            Kind::Child(child) => Some(child.pid()),
            Kind::Remote { pid, .. } => *pid,
            Kind::InProcess(_) => Some(std::process::id()),
        }
    }

    /// Whether this run alone writes to the ledger.
    pub fn is_ours_alone(&self) -> bool {
        !matches!(self.kind, Kind::Remote { .. })
    }

    /// How client and server share the machine.
    pub fn sharing(&self) -> &'static str {
        match &self.kind {
            Kind::Child(_) => "client and server share the machine",
            Kind::InProcess(_) => "client and engine are one process",
            Kind::Remote { to, .. } if is_loopback(&to.url) => {
                "client and server share the machine"
            }
            Kind::Remote { .. } => "server at another address; the facts are the client's",
        }
    }

    /// Stops what we started; gives the directory with its data, removed when dropped.
    pub async fn stop(self) -> anyhow::Result<Option<TempDir>> {
        // It holds the engine's handle too.
        drop(self.ledger);
        match self.kind {
            Kind::Child(child) => child.stop().await?,
            Kind::Remote { .. } => {}
            Kind::InProcess(engine) => {
                engine.shutdown().await.context("the engine did not stop in order")?;
            }
        }
        Ok(self.temporary)
    }
}

/// A directory for the data of what we start.
pub fn temporary(own: &ServerArgs) -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("ducat-bench-");
    match &own.data_parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    }
    .context("make a temporary data directory (name another place with --data-parent)")
}

/// How to start our own server with its data below `directory`.
pub fn child_options(own: &ServerArgs, directory: &Path) -> ChildOptions {
    if own.durability == Durability::None {
        eprintln!("**** DURABILITY NONE: nothing this server answers survives a crash ****");
    }
    ChildOptions {
        binary: own.ducat.clone(),
        data: directory.join("data"),
        durability: own.durability,
        profile: own.profile,
        intruded: own.intruded,
        encrypt: own.encrypt || own.profile == Profile::Production,
        arguments: own.serve_arguments.clone(),
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|loopback| host.starts_with(loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_share_the_machine() {
        assert!(is_loopback("http://127.0.0.1:7117") && is_loopback("http://localhost:1"));
        assert!(is_loopback("http://[::1]:80") && !is_loopback("http://10.0.0.1:80"));
    }
}
