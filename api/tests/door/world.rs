//! A server that asks who is calling, and the credentials of everybody who calls it.

use ducat_actors::handle::{EngineOptions, Handle};
use ducat_actors::start::Engine;
use ducat_api::audit::Auditor;
use ducat_api::certs::{Authority, Pair};
use ducat_api::client::{Client, Credentials};
use ducat_api::compose;
use ducat_api::console::{self, Console};
use ducat_api::identity::Guard;
use ducat_api::identity::guard::Trust;
use ducat_api::identity::issue::{Claims, issue};
use ducat_api::identity::keys::{TokenKeys, algorithm};
use ducat_api::identity::rights::Rights;
use ducat_api::identity::tokens::TokenRules;
use ducat_api::metrics::Metrics;
use ducat_api::proto::{NewAccount, TransferKind, TransferRequest};
use ducat_api::rates::{Limits, Rates};
use ducat_api::server::{Durability, ServerInfo, ServerOptions, serve};
use ducat_api::tls::{Clients, Tls, TlsFiles};
use ducat_engine::ids::{AccountId, TransferId};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

pub const ISSUER: &str = "https://bank.example";
pub const BANK: u64 = 1;

/// Keys, certificates and the files they lie in.
pub struct Secrets {
    pub dir: tempfile::TempDir,
    pub ca: Authority,
    pub token_key: rcgen::KeyPair,
}

impl Secrets {
    pub fn new() -> Self {
        let secrets = Self {
            dir: tempfile::tempdir().expect("a place for tests"),
            ca: Authority::new("test CA").expect("made"),
            token_key: rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("random"),
        };
        secrets.write("ca.pem", &secrets.ca.certificate);
        let server = secrets.ca.server(&["localhost".to_owned(), "127.0.0.1".to_owned()]);
        secrets.write_pair("server", &server.expect("made"));
        secrets
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("writes");
        path
    }

    pub fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.pem"), &pair.certificate);
        self.write(&format!("{name}.key"), &pair.key);
    }

    pub fn tls(&self, clients: Clients) -> Arc<Tls> {
        let client_ca = (clients != Clients::Off).then(|| self.path("ca.pem"));
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        Tls::load(TlsFiles { certificate, key, client_ca, clients }).expect("sound files")
    }

    pub fn token_rules(&self) -> TokenRules {
        TokenRules {
            keys: TokenKeys::parse(&self.token_key.public_key_pem()).expect("well-formed"),
            algorithms: vec![algorithm("EdDSA").expect("known")],
            issuer: ISSUER.to_owned(),
            audience: "ducat".to_owned(),
            lifetime_max: Duration::from_secs(3600),
        }
    }

    /// A token that grants this, in a file.
    pub fn token(&self, name: &str, roles: &[&str], accounts: &[&str], owners: &[&str]) -> PathBuf {
        let texts = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let claims = Claims {
            roles: Some(texts(roles)),
            accounts: texts(accounts),
            owners: texts(owners),
            ..Claims::new(name, ISSUER, "ducat", now_s(), Duration::from_secs(1800))
        };
        let token = issue(&self.token_key.serialize_pem(), &claims).expect("signs");
        self.write(&format!("{name}.token"), &token)
    }
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_secs()
}

/// Principals as the configuration writes them.
pub fn rights(text: &str) -> Rights {
    let mut table: toml::Table = text.parse().expect("TOML");
    match table.remove("principals") {
        Some(principals) => Rights::from_value(principals).expect("well-formed"),
        None => Rights::default(),
    }
}

/// A running server, left to the end of the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    pub guard: Option<Arc<Guard>>,
    pub limits: Arc<Limits>,
    pub metrics: Arc<Metrics>,
    console: Arc<Console>,
    tls: Option<Arc<Tls>>,
    encrypted: bool,
    engine: Engine,
}

impl Server {
    pub async fn start(tls: Option<Arc<Tls>>, trust: Option<Trust>) -> Self {
        Self::limited(tls, trust, &Rates::default()).await
    }

    /// The same, where callers may ask for so much.
    pub async fn limited(tls: Option<Arc<Tls>>, trust: Option<Trust>, rates: &Rates) -> Self {
        Self::with(tls, trust, rates, ServerOptions::default()).await
    }

    /// One where a principal has so many calls open at most.
    pub async fn with_places(trust: Trust, calls_per_principal_max: usize) -> Self {
        let options = ServerOptions { calls_per_principal_max, ..ServerOptions::default() };
        Self::with(None, Some(trust), &Rates::default(), options).await
    }

    /// One that keeps an audit trail.
    pub async fn audited(tls: Option<Arc<Tls>>, trust: Trust, auditor: &Arc<Auditor>) -> Self {
        let audit = Some(Arc::clone(auditor));
        let options = ServerOptions { audit, ..ServerOptions::default() };
        Self::with(tls, Some(trust), &Rates::default(), options).await
    }

    /// One with these options.
    pub async fn with_options(trust: Trust, options: ServerOptions) -> Self {
        Self::with(None, Some(trust), &Rates::default(), options).await
    }

    async fn with(
        tls: Option<Arc<Tls>>,
        trust: Option<Trust>,
        rates: &Rates,
        bounds: ServerOptions,
    ) -> Self {
        let opened = compose::in_memory().expect("randomness");
        let options = EngineOptions::default();
        let engine = Engine::start(options, opened.journal, "test", Box::new(|_| {}));
        let engine = engine.await.expect("starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let info = ServerInfo {
            version: "test".into(),
            ledger_id: opened.ledger.to_string(),
            origins: vec![],
            durability: Durability::None,
            started: Instant::now(),
        };
        let (guard, metrics) = (trust.map(Guard::new), Metrics::new());
        let limits = Limits::new(rates);
        let (encrypted, console, shared) = (tls.is_some(), Console::new(), tls.clone());
        let counted = Some(Arc::clone(&metrics));
        let options = ServerOptions {
            tls,
            guard: guard.clone(),
            limits: Some(Arc::clone(&limits)),
            metrics: counted,
            console: Some(Arc::clone(&console)),
            ..bounds
        };
        tokio::spawn(serve(listener, engine.handle(), info, options, std::future::pending()));
        Self { address, guard, limits, metrics, console, tls: shared, encrypted, engine }
    }

    /// The engine's own door.
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Serves the operators' page of this server, over its TLS, once it takes calls; says where.
    pub async fn console(&self) -> SocketAddr {
        while !self.console.is_ready() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (console, tls) = (Arc::clone(&self.console), self.tls.clone());
        tokio::spawn(console::listener::serve(listener, console, tls));
        address
    }

    /// A client with these credentials; the CA is added where it is needed.
    pub async fn client(
        &self,
        secrets: &Secrets,
        cert: Option<&str>,
        token: Option<&Path>,
    ) -> Client {
        let credentials = Credentials {
            ca: self.encrypted.then(|| secrets.path("ca.pem")),
            certificate: cert.map(|name| secrets.path(&format!("{name}.pem"))),
            key: cert.map(|name| secrets.path(&format!("{name}.key"))),
            token: token.map(Path::to_owned),
        };
        let scheme = if self.encrypted { "https" } else { "http" };
        let endpoint = format!("{scheme}://localhost:{}", self.address.port());
        // The name may mean ::1, where nobody listens.
        let endpoint = if self.encrypted { endpoint } else { format!("http://{}", self.address) };
        Client::connect_with(&endpoint, &credentials).await.expect("listens")
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

/// Opens the bank and accounts 2 to `last` in GBP; the owner of account n is `cus_n`.
pub async fn open(client: &Client, last: u64) {
    let accounts = (BANK..=last).map(|id| NewAccount {
        owner: if id == BANK { String::new() } else { format!("cus_{id}") },
        ..NewAccount::new(account(id), "GBP", id == BANK)
    });
    let results = client.create_accounts(accounts.collect()).await.expect("well-formed");
    assert!(results.iter().all(|result| result.code == 0), "{results:?}");
}
