//! A ledger for a rehearsal: the real engine and the real server, with a journal in memory, for this
//! process alone. An import into it tells what an import into an empty ledger would, refusals included; when
//! it is over nothing of it is left.

use crate::exit::{Exit, Failure};
use ducat_actors::handle::EngineOptions;
use ducat_actors::start::Engine;
use ducat_api::client::Connection;
use ducat_api::compose;
use ducat_api::server::{Drained, Durability, ServeError, ServerInfo, ServerOptions, serve};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

/// The ledger, and the server in front of it, on a free port that only this machine reaches.
pub struct Rehearsal {
    engine: Engine,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<Drained, ServeError>>,
}

impl Rehearsal {
    /// An empty ledger, and the way to it.
    pub async fn start() -> Result<(Self, Connection), Failure> {
        let opened = compose::in_memory().map_err(|e| failed(&e))?;
        let started = Instant::now();
        let engine =
            Engine::start(EngineOptions::default(), opened.journal, "rehearsal", Box::new(|_| {}));
        let engine = engine.await.map_err(|e| failed(&e))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| failed(&e))?;
        let address = listener.local_addr().map_err(|e| failed(&e))?;
        let info = ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ledger_id: opened.ledger.to_string(),
            origins: Vec::new(),
            durability: Durability::None,
            started,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve(listener, engine.handle(), info, ServerOptions::default(), async {
            // Stopped, or forgotten: either way it is over.
            drop(stopped.await);
        });
        let serving = tokio::spawn(serving);
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).map_err(|e| failed(&e))?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|e| failed(&e))?;
        Ok((Self { engine, stop, serving }, Connection::new(channel, None)))
    }

    /// Ends it. All connections to it must be gone by then, or are waited for.
    pub async fn end(self) -> Result<(), Failure> {
        drop(self.stop);
        self.serving.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        self.engine.shutdown().await.map_err(|e| failed(&e))
    }
}

fn failed(error: &impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Internal, format!("the rehearsal's own ledger failed: {error}"))
}
