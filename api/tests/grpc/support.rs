//! A server over the real engine and the in-memory journal, and what tests ask of it.

use ducat_actors::handle::{EngineOptions, Handle};
use ducat_actors::start::Engine;
use ducat_api::client::Client;
use ducat_api::compose;
use ducat_api::proto::{self, NewAccount, TransferKind, TransferRequest};
use ducat_api::server::{Drained, Durability, ServeError, ServerInfo, ServerOptions, serve};
use ducat_engine::ids::{AccountId, TransferId};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// The external account that money comes from.
pub const BANK: u64 = 1;

/// A running server. Dropping it leaves it to the end of the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    pub client: Client,
    pub handle: Handle,
    engine: Engine,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<Drained, ServeError>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(EngineOptions::default(), ServerOptions::default()).await
    }

    pub async fn with(engine: EngineOptions, options: ServerOptions) -> Self {
        let opened = compose::in_memory().expect("randomness");
        let started = Instant::now();
        let engine = Engine::start(engine, opened.journal, "test", Box::new(|_| {}));
        let engine = engine.await.expect("starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let info = ServerInfo {
            version: "test".into(),
            ledger_id: opened.ledger.to_string(),
            origins: vec![],
            durability: Durability::None,
            started,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = engine.handle();
        let serving = tokio::spawn(serve(listener, handle.clone(), info, options, async move {
            let _either_way = stopped.await;
        }));
        let client = Client::connect(&address.to_string()).await.expect("listens");
        Self { address, client, handle, engine, stop, serving }
    }

    /// A plain channel, for what the client does not offer.
    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("a URI");
        endpoint.connect().await.expect("listens")
    }

    /// Opens the bank and accounts 2 to `last`, all in GBP.
    pub async fn open(&self, last: u64) {
        let accounts = (BANK..=last).map(|id| NewAccount::new(account(id), "GBP", id == BANK));
        let results = self.client.create_accounts(accounts.collect()).await.expect("well-formed");
        assert!(results.iter().all(|r| r.code == 0), "{results:?}");
    }

    /// A server with accounts 1 (the bank) to `last`, of which the second has 10.00.
    pub async fn funded(last: u64) -> Self {
        let server = Self::start().await;
        server.open(last).await;
        let deposit = server.client.transfer(transfer(1, BANK, 2, 1_000)).await.expect("answered");
        assert!(deposit.is_posted());
        server
    }

    /// Tells the server to stop and waits for it, then for the engine.
    pub async fn stop(self) -> Drained {
        drop(self.stop);
        let end = tokio::time::timeout(Duration::from_secs(30), self.serving).await;
        let drained = end.expect("in time").expect("no panic").expect("no error");
        self.engine.shutdown().await.expect("nothing failed");
        drained
    }
}

pub fn account(id: u64) -> AccountId {
    AccountId::new(id.into()).expect("not zero")
}

pub fn transfer_id(id: u64) -> TransferId {
    TransferId::new(id.into()).expect("not zero")
}

/// A transfer of `minor` whose kind follows from whether the bank takes part.
pub fn transfer(id: u64, debit: u64, credit: u64, minor: u64) -> TransferRequest {
    let kind = match (debit, credit) {
        (BANK, _) => TransferKind::Deposit,
        (_, BANK) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    let plain = TransferRequest::plain(transfer_id(id), account(debit), account(credit), minor);
    TransferRequest { kind: kind as i32, ..plain }
}

/// Deposits of 1 with ids from `first` on.
pub fn deposits(first: u64, count: u64) -> Vec<TransferRequest> {
    (first..first + count).map(|id| transfer(id, BANK, 2, 1)).collect()
}

pub fn codes(outcomes: &[proto::Outcome]) -> Vec<proto::Code> {
    outcomes.iter().map(proto::Outcome::code).collect()
}
