//! Canaries: a card number, a secret, a token and keys in everything that a caller can say, to a server
//! as it stands in production; and a look for them in everything that comes out of it, or would be
//! found on its disk.
//!
//! The ledger keeps what it is told and gives it back to whoever may read it: answers that were granted
//! are not looked through, those that refuse are. The same look at a server without encryption finds the
//! canaries in its files, so that it would find them anywhere.

use crate::figures::ask;
use crate::program::{Server, ducat, place, stdout, text, wait_for};
use crate::world::{BANK, account, transfer};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ducat_api::client::Credentials;
use ducat_api::proto;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Numbers with a card's check digit: in texts, as the id of a transfer, as that of an account.
const CARD: &str = "4929123456789015";
const CARD_ID: u64 = 5_555_555_555_554_444;
const CARD_ACCOUNT: u64 = 6_011_000_990_139_424;
/// A card number and a number that no form tells, which the configuration keeps secret as fields.
const PAN: &str = "4539578763621486";
const PASSPORT: &str = "X7731 hush 5142";
const HOLDER: u64 = 4;
const SECRET: &str = "whsec_Y2FuYXJ5LXNlY3JldC1vZi10aGUtYmFuaw";
/// A secret that no form tells: the trail could not mask it, so it goes where the trail is silent.
const PASSWORD: &str = "horse battery 7731 staple";

const ISSUER: &str = "https://bank.example";

/// What must not be found, in every form that it could be written in.
struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Canary {
    /// A text: as it is, in base64, in hexadecimal.
    fn text(name: &'static str, text: &str) -> Self {
        let encoded = BASE64_STANDARD.encode(text);
        let encoded = encoded.trim_end_matches('=').to_owned();
        Self { name, forms: vec![text.into(), encoded.into(), hex(text.as_bytes()).into()] }
    }

    /// An id: its digits, and the bytes that it is in messages and in memory.
    fn id(name: &'static str, id: u64) -> Self {
        Self { name, forms: vec![id.to_string().into(), id.to_le_bytes().to_vec()] }
    }

    /// A key that is kept in base64: so, as the bytes that it is, in hexadecimal of either case.
    fn key(name: &'static str, encoded: &str) -> Self {
        let bytes = BASE64_STANDARD.decode(encoded).expect("base64");
        let digits = hex(&bytes);
        let upper = digits.to_uppercase();
        Self { name, forms: vec![encoded.into(), bytes, digits.into(), upper.into()] }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let holds = |form: &Vec<u8>| {
            let (first, length) = (form[0], form.len());
            let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
            starts.into_iter().any(|(at, _)| bytes[at..].get(..length) == Some(form))
        };
        self.forms.iter().any(holds)
    }
}

/// A server with its certificates, keys and tokens, and what was planted.
struct World {
    dir: tempfile::TempDir,
    encrypted: bool,
    /// Some metadata is kept secret field by field, whatever the disk is.
    fields: bool,
    token: String,
    /// A sound token whose subject is a card number, and which grants nothing but reads.
    token_of_card: String,
    master_key: String,
    tls_key: String,
    canaries: Vec<Canary>,
}

impl World {
    fn new(encrypted: bool) -> Self {
        Self::with(encrypted, encrypted)
    }

    fn with(encrypted: bool, fields: bool) -> Self {
        let dir = place();
        for name in ["etc", "server", "cwd"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        let at = |name: &str| dir.path().join("etc").join(name);
        let certs = at("certs");
        let made = ["certs", "dev", "--dir", text(&certs), "--client", "spiffe://bank/desk"];
        stdout(&ducat(&made));
        let public = stdout(&ducat(&["key", "generate", "--key", text(&at("tokens.key"))]));
        fs::write(at("tokens.pub"), public).expect("writes");
        stdout(&ducat(&["keys", "generate", text(&at("master.key"))]));
        stdout(&ducat(&["keys", "generate", text(&at("fields.key"))]));
        let issue = |subject: &str, roles: &[&str]| {
            let (key, roles) = (at("tokens.key"), roles.iter().flat_map(|role| ["--role", role]));
            let line = ["token", "issue", "--key", text(&key), "--issuer", ISSUER, "--subject"];
            let line = line.into_iter().chain([subject, "--accounts", "*"]).chain(roles);
            stdout(&ducat(&line.collect::<Vec<_>>())).trim().to_owned()
        };
        let token = issue("anna", &["gateway", "operator", "auditor", "admin"]);
        let token_of_card = issue(CARD, &["reader"]);
        let master_key = fs::read_to_string(at("master.key")).expect("reads").trim().to_owned();
        let fields_key = fs::read_to_string(at("fields.key")).expect("reads").trim().to_owned();
        let pem = fs::read_to_string(at("certs/server.key")).expect("reads");
        let tls_key: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let canaries = vec![
            Canary::text("card", CARD),
            Canary::id("card as an id", CARD_ID),
            Canary::id("card as an account", CARD_ACCOUNT),
            Canary::text("secret", SECRET),
            Canary::text("password", PASSWORD),
            Canary::text("token", &token),
            Canary::text("signature of the token", signature(&token)),
            Canary::text("token of a card", &token_of_card),
            Canary::key("master key", &master_key),
            Canary::key("key of TLS", &tls_key),
            Canary::text("secret card", PAN),
            Canary::text("secret passport", PASSPORT),
            Canary::key("key of fields", &fields_key),
        ];
        let world =
            Self { dir, encrypted, fields, token, token_of_card, master_key, tls_key, canaries };
        world.configure();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self) {
        let etc = self.path("etc");
        let (profile, encryption) = if self.encrypted {
            ("production", format!("master_key_file = \"{}/master.key\"", text(&etc)))
        } else {
            ("development", String::new())
        };
        let fields = if self.fields {
            let file = format!("{}/fields.key", text(&etc));
            format!("[secret_fields]\nfields = \"pan=card,passport\"\nkey_file = \"{file}\"\n")
        } else {
            String::new()
        };
        let config = format!(
            "[server]\nprofile = \"{profile}\"\n[encryption]\n{encryption}\n[tls]\n\
             certificate_file = \"{0}/certs/server.pem\"\nkey_file = \"{0}/certs/server.key\"\n\
             client_ca_file = \"{0}/certs/ca.pem\"\n[tokens]\nkeys_file = \"{0}/tokens.pub\"\n\
             issuer = \"{ISSUER}\"\n{fields}[logs]\nformat = \"json\"\nfilter = \"debug\"\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n[audit]\ntrail = \"on\"\n\
             [[principals]]\nname = \"spiffe://bank/desk\"\naccounts = [\"*\"]\n\
             roles = [\"gateway\", \"operator\", \"auditor\", \"admin\"]\n",
            text(&etc)
        );
        fs::write(self.path("etc/ducat.toml"), config).expect("writes");
    }

    fn serve(&self) -> Server {
        let dir = self.path("server");
        let _first = fs::remove_file(dir.join("ready"));
        let (config, backup) = (self.path("etc/ducat.toml"), self.path("backup"));
        let args = ["--config", text(&config), "--segment-kib", "64"];
        let args = [&args[..], &["--archive", "off", "--backup-to", text(&backup)]].concat();
        Server::start_with_cores(&dir, &self.path("cwd"), &args)
    }

    fn credentials(&self) -> Credentials {
        let at = |name: &str| Some(self.path("etc/certs").join(name));
        Credentials {
            ca: at("ca.pem"),
            certificate: at("desk.pem"),
            key: at("desk.key"),
            token: None,
        }
    }

    /// What the command line's client says with a certificate and a token.
    fn client(&self, server: &Server, line: &[&str]) -> String {
        let (url, etc) = (format!("https://{}", server.address), self.path("etc"));
        let at = |name: &str| text(&etc.join(name)).to_owned();
        fs::write(etc.join("token"), &self.token).expect("writes");
        let (ca, pem) = (at("certs/ca.pem"), at("certs/desk.pem"));
        let (key, token) = (at("certs/desk.key"), at("token"));
        let who = ["--server", &url, "--tls-ca", &ca, "--tls-cert", &pem, "--tls-key", &key];
        stdout(&ducat(&[&who[..], &["--token-file", &token], line].concat()))
    }

    /// What a command says about the data directory of a server that has ended.
    fn offline(&self, line: &[&str]) -> String {
        let (data, key) = (self.path("server/ledger"), self.path("etc/master.key"));
        let key = ["--master-key-file", text(&key)];
        let key = if self.encrypted { &key[..] } else { &[] };
        stdout(&ducat(&[line, &["--data-dir", text(&data)], key].concat()))
    }

    /// The canaries that are in these bytes.
    fn found_in(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        self.canaries.iter().filter(|canary| canary.is_in(bytes)).map(|one| one.name).collect()
    }

    /// The canaries that are in the files below a directory.
    fn found_below(&self, root: &Path) -> BTreeSet<&'static str> {
        let paths = fs::read_dir(root).expect("lists").map(|entry| entry.expect("one").path());
        paths.fold(BTreeSet::new(), |mut found, path| {
            if path.is_dir() {
                found.extend(self.found_below(&path));
            } else {
                found.extend(self.found_in(text(&path).as_bytes()));
                found.extend(self.found_in(&fs::read(&path).expect("reads")));
            }
            found
        })
    }

    fn finds_nothing(&self, place: &str, said: &str) {
        let found = self.found_in(said.as_bytes());
        let lines = said.lines().filter(|line| !self.found_in(line.as_bytes()).is_empty());
        let lines: Vec<&str> = lines.take(5).collect();
        assert!(found.is_empty(), "{found:?} in {place}:\n{}", lines.join("\n"));
    }
}

/// What makes a token valid.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().expect("three parts")
}

/// Somebody who says what must not come out, and keeps what is said to them when they are refused.
struct Caller {
    grpc: Grpc<Channel>,
    refusals: Vec<String>,
}

impl Caller {
    async fn connect(world: &World, server: &Server) -> Self {
        let endpoint = Endpoint::from_shared(format!("https://{}", server.address));
        let agent = format!("till/{CARD} ({SECRET}; {})", world.token);
        let endpoint = endpoint.expect("an address").user_agent(agent).expect("ASCII");
        let (endpoint, _none) = world.credentials().secure(endpoint).expect("sound files");
        let grpc = Grpc::new(endpoint.connect().await.expect("listens"));
        Self { grpc, refusals: Vec::new() }
    }

    /// Calls a method with these headers.
    async fn call<Q, A>(
        &mut self,
        method: &str,
        message: Q,
        headers: &[(&'static str, &str)],
    ) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(message);
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().expect("ASCII"));
        }
        self.grpc.ready().await.expect("connected");
        let path: PathAndQuery = format!("/ducat.v1.{method}").parse().expect("a path");
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        self.grpc.unary(request, path, codec).await.map(tonic::Response::into_inner)
    }

    async fn done<Q, A>(&mut self, world: &World, method: &str, message: Q) -> A
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let bearer = format!("Bearer {}", world.token);
        let done = self.call(method, message, &[("authorization", &bearer)]).await;
        done.unwrap_or_else(|status| panic!("{method}: {status:?}"))
    }

    /// A call that is refused; keeps all that the refusal says.
    async fn refused<Q>(&mut self, method: &str, message: Q, headers: &[(&'static str, &str)])
    where
        Q: prost::Message + Send + Sync + 'static,
    {
        // An answer that could be of any kind: all its fields are passed over.
        let called = self.call::<Q, ()>(method, message, headers).await;
        let status = called.expect_err("a call that must be refused");
        let details = String::from_utf8_lossy(status.details()).into_owned();
        // Without the method, which the caller has said.
        self.refusals.push(format!("{status:?} {} {details}", status.message()));
    }

    /// Transfers that the ledger decides; keeps what it says about those that it refuses.
    async fn transfers(&mut self, world: &World, transfers: Vec<proto::TransferRequest>) -> usize {
        let batch = proto::CreateTransfersRequest { transfers, ..Default::default() };
        let method = "Ledger/CreateTransfers";
        let answer: proto::CreateTransfersResponse = self.done(world, method, batch).await;
        let refused = answer.outcomes.iter().filter(|one| one.code() != proto::Code::Posted);
        let count = refused.clone().count();
        self.refusals.extend(refused.map(|one| one.explanation.clone()));
        count
    }
}

/// What the ledger is told to keep: names of accounts, and notes of transfers.
async fn plant_what_is_kept(world: &World, caller: &mut Caller) {
    let metadata = [
        ("card", CARD),
        ("hook", SECRET),
        ("password", PASSWORD),
        ("token", &world.token),
        ("token-of-card", &world.token_of_card),
        ("key", &world.master_key),
        ("tls", &world.tls_key),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let accounts = [BANK, 2, 3, CARD_ACCOUNT].map(|id| proto::NewAccount {
        owner: CARD.to_owned(),
        label: format!("till of {CARD}, {SECRET}, {PASSWORD}"),
        metadata: metadata.clone().into(),
        ..proto::NewAccount::new(account(id), "GBP", id == BANK)
    });
    let asked = proto::CreateAccountsRequest { accounts: accounts.into(), ..Default::default() };
    let method = "Ledger/CreateAccounts";
    let opened: proto::CreateAccountsResponse = caller.done(world, method, asked).await;
    assert!(opened.results.iter().all(|result| result.code == 0), "{opened:?}");
    let texts = [CARD, SECRET, PASSWORD, &world.master_key, &world.tls_key];
    let transfers = (1..=40).zip(texts.iter().cycle()).map(|(id, said)| proto::TransferRequest {
        note: note(&said[..said.len().min(64)], &format!("paid with {said}")),
        ..transfer(id, BANK, 2, 5)
    });
    let refused = caller.transfers(world, transfers.collect()).await;
    assert_eq!(refused, 0, "{:?}", caller.refusals);
    let of_card = transfer(CARD_ID, BANK, CARD_ACCOUNT, 5);
    let (too_much, unknown) = (transfer(50, 3, 2, 5), transfer(51, 2, 404, 5));
    let noted = |of| proto::TransferRequest { note: note(SECRET, CARD), ..of };
    let refused = caller.transfers(world, vec![of_card, noted(too_much), noted(unknown)]).await;
    assert_eq!(refused, 2, "{:?}", caller.refusals);
}

/// What the ledger is told to keep secret, in every way; what it says of it.
async fn plant_what_is_secret(world: &World, caller: &mut Caller) {
    let metadata = |value: &str, other: &str| {
        [("pan", value), ("passport", other)].map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    let holder = |value: &str, other: &str| proto::CreateAccountsRequest {
        accounts: vec![proto::NewAccount {
            metadata: metadata(value, other).into(),
            ..proto::NewAccount::new(account(HOLDER), "GBP", false)
        }],
        ..Default::default()
    };
    let method = "Ledger/CreateAccounts";
    for (value, expected) in [(PAN, 0), (PAN, 1), (PASSPORT, 2)] {
        let opened: proto::CreateAccountsResponse =
            caller.done(world, method, holder(value, PASSPORT)).await;
        assert_eq!(opened.results[0].code, expected, "{opened:?}");
        caller.refusals.push(format!("{opened:?}"));
    }
    let change = |value: &str, other: &str| proto::UpdateAccountRequest {
        id: HOLDER,
        set_metadata: metadata(value, other).into(),
        ..Default::default()
    };
    let method = "Ledger/UpdateAccount";
    for (value, other) in [(PASSPORT, PAN), (PAN, PASSPORT)] {
        let changed: proto::UpdateAccountResponse =
            caller.done(world, method, change(value, other)).await;
        caller.refusals.push(format!("{changed:?}"));
    }
    let bearer = format!("Bearer {}", world.token);
    let anna = [("authorization", &*bearer)];
    for (value, other) in
        [(format!("{PAN}\u{7}"), PASSPORT.to_owned()), (PAN.repeat(200), PASSPORT.repeat(200))]
    {
        caller.refused(method, change(&value, &other), &anna).await;
        caller.refused("Ledger/CreateAccounts", holder(&value, &other), &anna).await;
    }
    let filter =
        proto::AccountFilter { metadata: metadata(PAN, PASSPORT).into(), ..Default::default() };
    let listed = proto::ListAccountsRequest { filter: Some(filter), ..Default::default() };
    caller.refused("Ledger/ListAccounts", listed, &anna).await;
    for key in [PAN, PASSPORT] {
        let asked = proto::RevealMetadataRequest { id: HOLDER, key: key.to_owned(), id_high: 0 };
        caller.refused("Ledger/RevealMetadata", asked, &anna).await;
    }
}

/// Secret fields in full and masked, by the command line, and what the trail tells of it.
fn reveal_what_is_secret(world: &World, server: &Server) {
    let reveal = |key: &str| world.client(server, &["account", "reveal", "4", key]);
    assert_eq!((reveal("pan").trim(), reveal("passport").trim()), (PAN, PASSPORT));
    let trail = world.client(server, &["audit", "list", "--account", "4", "--limit", "0"]);
    assert!(trail.contains("account 4 field passport"), "{trail}");
    world.finds_nothing("the trail of an account", &trail);
    for line in [&["account", "show", "4"][..], &["account", "history", "4", "--json"]] {
        let shown = world.client(server, line);
        assert!(shown.contains("453957******1486"), "{shown}");
        world.finds_nothing("what is shown of an account", &shown);
    }
}

fn note(reference: &str, description: &str) -> Option<Box<proto::Note>> {
    let (reference, description) = (reference.to_owned(), description.to_owned());
    Some(Box::new(proto::Note { reference, description, ..Default::default() }))
}

/// Requests that are wrong, in the places where something secret can be wrong.
async fn plant_what_is_malformed(world: &World, caller: &mut Caller) {
    let bearer = format!("Bearer {}", world.token);
    let anna = [("authorization", &*bearer)];
    for said in [CARD, SECRET, PASSWORD, &world.token, &world.master_key, &world.tls_key] {
        let plain = || transfer(60, BANK, 2, 5);
        let day = proto::Note { value_date: said.to_owned(), ..Default::default() };
        for wrong in [
            proto::TransferRequest { currency: said.to_owned(), ..plain() },
            proto::TransferRequest { amount: format!("x{said}"), amount_minor: 0, ..plain() },
            proto::TransferRequest { note: Some(Box::new(day)), ..plain() },
            proto::TransferRequest { note: note(&format!("{said}\u{7}"), ""), ..plain() },
            proto::TransferRequest { note: note(&said.repeat(5), &said.repeat(20)), ..plain() },
        ] {
            caller.refused("Ledger/Transfer", wrong, &anna).await;
        }
        let plain = || proto::NewAccount::new(account(9), "GBP", false);
        let keyed = [(format!("key {said}"), said.to_owned())];
        for wrong in [
            proto::NewAccount { currency: said.to_owned(), ..plain() },
            proto::NewAccount { overdraft_limit: said.replace(char::is_numeric, "x"), ..plain() },
            proto::NewAccount { floor: format!("x{said}"), ..plain() },
            proto::NewAccount { metadata: keyed.into(), ..plain() },
            proto::NewAccount { label: format!("{said}\u{7}"), ..plain() },
            proto::NewAccount { owner: said.repeat(20), ..plain() },
        ] {
            let asked =
                proto::CreateAccountsRequest { accounts: vec![wrong], ..Default::default() };
            caller.refused("Ledger/CreateAccounts", asked, &anna).await;
        }
        let cursor = proto::ListAccountsRequest { cursor: said.to_owned(), ..Default::default() };
        caller.refused("Ledger/ListAccounts", cursor, &anna).await;
        let asset = proto::DefineAssetRequest { code: said.to_owned(), digits: 2, dry_run: false };
        caller.refused("Ledger/DefineAsset", asset, &anna).await;
        // A message of another kind, and what is no method at all.
        let asset = proto::DefineAssetRequest { code: said.to_owned(), digits: 2, dry_run: false };
        caller.refused("Ledger/Transfer", asset, &anna).await;
        let word: String = said.chars().filter(char::is_ascii_alphanumeric).collect();
        caller.refused(&format!("Ledger/{word}"), (), &anna).await;
        caller.refused(&format!("{word}/Transfer?{word}"), (), &anna).await;
    }
}

/// Calls of those who may not: wrong tokens, sound ones that grant too little, none.
async fn plant_what_is_refused(world: &World, caller: &mut Caller) {
    let asked = || proto::TransferRequest { note: note(SECRET, CARD), ..transfer(70, BANK, 2, 5) };
    for said in [
        format!("Bearer {}x", world.token),
        format!("Bearer {}", world.token.replacen('.', ".e", 1)),
        format!("Bearer {SECRET}"),
        format!("Bearer {}", world.master_key),
        format!("Basic {}", BASE64_STANDARD.encode(format!("{CARD}:{PASSWORD}"))),
        format!("bearer{}", world.token),
        PASSWORD.to_owned(),
    ] {
        let headers = [("authorization", &*said), ("ducat-totp", CARD), ("traceparent", SECRET)];
        caller.refused("Ledger/Transfer", asked(), &headers).await;
    }
    let bearer = format!("Bearer {}", world.token_of_card);
    let headers = [("authorization", &*bearer), ("cookie", PASSWORD), ("x-card", CARD)];
    for _ in 0..3 {
        caller.refused("Ledger/Transfer", asked(), &headers).await;
        caller.refused("Operator/CreateBackup", proto::CreateBackupRequest {}, &headers).await;
    }
    let status = proto::SetAccountStatusRequest {
        id: CARD_ACCOUNT,
        status: proto::AccountStatus::Frozen.into(),
        ..Default::default()
    };
    caller.refused("Ledger/SetAccountStatus", status, &headers).await;
}

/// What is not even gRPC; the answers.
async fn plant_what_is_no_call(
    world: &World,
    server: &Server,
    figures: std::net::SocketAddr,
) -> String {
    let head =
        format!("GET /{CARD}?{SECRET} HTTP/1.1\r\nauthorization: Bearer {}\r\n\r\n", world.token);
    let mut stream = tokio::net::TcpStream::connect(&server.address).await.expect("listens");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // Closed by the server, which has understood nothing.
    let _ended = stream.read_to_end(&mut answer).await;
    let mut answers = String::from_utf8_lossy(&answer).into_owned();
    for request in [format!("GET /{CARD}"), format!("{SECRET} /metrics?{CARD}")] {
        answers += &ask(figures, &request).await.1;
    }
    answers
}

fn figures_of(world: &World) -> std::net::SocketAddr {
    let said = wait_for("the banner", || {
        let said = fs::read_to_string(world.path("server/out")).ok()?;
        said.contains("metrics:").then_some(said)
    });
    let line = said.lines().find(|line| line.contains("metrics:")).expect("a line");
    let (_, address) = line.split_once("http://").expect("an address");
    let address: String =
        address.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    address.parse().expect("an address")
}

/// Everything that can be said to this server, and a look at all that comes out of it while it runs.
async fn plant(world: &World, server: &Server) {
    let mut caller = Caller::connect(world, server).await;
    plant_what_is_kept(world, &mut caller).await;
    if world.fields {
        plant_what_is_secret(world, &mut caller).await;
        reveal_what_is_secret(world, server);
    }
    plant_what_is_malformed(world, &mut caller).await;
    plant_what_is_refused(world, &mut caller).await;
    let figures = figures_of(world);
    caller.refusals.push(plant_what_is_no_call(world, server, figures).await);
    assert!(caller.refusals.len() > 90, "{}", caller.refusals.len());
    world.finds_nothing("what callers were told", &caller.refusals.join("\n"));
    world.client(server, &["snapshot", "create"]);
    world.client(server, &["backup", "create"]);
    let (status, scrape) = ask(figures, "GET /metrics").await;
    assert!(status == 200 && scrape.contains("ducat_"), "{scrape}");
    world.finds_nothing("the figures", &scrape);
    let trail = wait_for("refused calls in the trail", || {
        let trail = world.client(server, &["audit", "export"]);
        trail.contains("SetAccountStatus").then_some(trail)
    });
    world.finds_nothing("the trail", &trail);
    world.finds_nothing("a summary", &world.client(server, &["audit", "summary"]));
}

/// The trail of a server that has ended, in every form.
fn trail_offline(world: &World) {
    let lines: [&[&str]; 4] = [
        &["audit", "export"],
        &["audit", "export", "--format", "csv"],
        &["audit", "list", "--limit", "0"],
        &["audit", "summary"],
    ];
    for line in lines {
        let said = world.offline(line);
        assert!(said.contains("anna"), "{line:?}: {said}");
        world.finds_nothing(&line.join(" "), &said);
    }
}

fn log_of(world: &World) -> String {
    let read = |name: &str| fs::read_to_string(world.path("server").join(name)).expect("reads");
    format!("{}{}", read("log"), read("out"))
}

/// Whether this system writes a core into the directory of a process that is let and ends by SIGABRT.
fn cores_are_written() -> bool {
    let dir = place();
    let script = "ulimit -c \"$(ulimit -H -c)\"; kill -ABRT $$";
    let ended = Command::new("sh").args(["-c", script]).current_dir(dir.path()).status();
    ended.expect("a shell").core_dumped()
}

/// Nothing of the process's memory is written anywhere when it crashes, or read by another process.
fn leaves_no_core(world: &World, server: &mut Server) {
    let of = |file: &str| format!("/proc/{}/{file}", server.id());
    let limits = fs::read_to_string(of("limits")).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.expect("a limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    // What of a process cannot be dumped belongs to root; to whom else if this is root, cannot be told.
    if fs::metadata("/proc/self").expect("there").uid() != 0 {
        assert_eq!(fs::metadata(of("environ")).expect("it runs").uid(), 0, "not dumpable");
        fs::read(of("environ")).expect_err("nobody looks into its memory");
    }
    let ended = server.abort();
    assert_eq!(ended.signal(), Some(libc::SIGABRT), "{ended}");
    assert!(!ended.core_dumped(), "{ended}");
    let left: Vec<_> = fs::read_dir(world.path("cwd")).expect("lists").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_come_out_nowhere_and_are_in_no_file() {
    let world = World::new(true);
    let mut server = world.serve();
    plant(&world, &server).await;
    world.finds_nothing("the log", &server.log());
    leaves_no_core(&world, &mut server);
    world.finds_nothing("the log of a server that crashed", &log_of(&world));
    // What a crash left is read again, and the server ends in peace.
    let mut server = world.serve();
    world.client(&server, &["snapshot", "create"]);
    world.client(&server, &["backup", "create"]);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    world.offline(&["archive", "run", "--keep-mib", "0", "--snapshots", "1"]);
    trail_offline(&world);
    for place in ["server", "backup", "cwd"] {
        assert_eq!(world.found_below(&world.path(place)), BTreeSet::new(), "{place}");
    }
    world.finds_nothing("the log", &log_of(&world));
}

/// Without encryption the same look finds everything that the ledger was told to keep, in its files alone.
#[tokio::test(flavor = "multi_thread")]
async fn without_encryption_canaries_are_found_in_files_and_still_nowhere_else() {
    let world = World::new(false);
    let mut server = world.serve();
    plant(&world, &server).await;
    let ended = server.abort();
    assert_eq!(ended.core_dumped(), cores_are_written(), "a core is told where one is written");
    world.finds_nothing("the log", &log_of(&world));
    trail_offline(&world);
    let kept = [
        "card",
        "card as an id",
        "card as an account",
        "secret",
        "password",
        "token",
        "signature of the token",
        "token of a card",
        "master key",
        "key of TLS",
    ];
    assert_eq!(world.found_below(&world.path("server/ledger")), kept.into());
    // Events are compressed in a backup: what it holds is found in the ledger that is made of it.
    let (backup, made) = (world.path("backup"), world.path("made"));
    assert!(!world.found_below(&backup).is_empty());
    stdout(&ducat(&["restore", "--from-backup", text(&backup), "--into", text(&made)]));
    assert_eq!(world.found_below(&made), kept.into());
}

/// Secret fields are secret on a disk that is not encrypted, and to whoever crashes the server or reads its
/// directory.
#[tokio::test(flavor = "multi_thread")]
async fn secret_fields_are_in_no_file_whatever_the_disk_is() {
    let world = World::with(false, true);
    let mut server = world.serve();
    plant(&world, &server).await;
    leaves_no_core(&world, &mut server);
    world.finds_nothing("the log of a server that crashed", &log_of(&world));
    // Read again, snapshots and backup included, and gone through without the key.
    let mut server = world.serve();
    reveal_what_is_secret(&world, &server);
    world.client(&server, &["snapshot", "create"]);
    world.client(&server, &["backup", "create"]);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let secret = ["secret card", "secret passport", "key of fields"];
    let printed = world.offline(&["replay", "--print"]);
    assert!(printed.contains("pan = 'enc:"), "{printed}");
    assert!(world.found_in(printed.as_bytes()).is_disjoint(&secret.into()), "{printed}");
    world.offline(&["verify"]);
    // The same look finds what is not secret.
    let found = world.found_below(&world.path("server"));
    assert!(found.contains("card") && found.is_disjoint(&secret.into()), "{found:?}");
    world.offline(&["archive", "run", "--keep-mib", "0", "--snapshots", "1"]);
    trail_offline(&world);
    let made = world.path("made");
    let backup = world.path("backup");
    stdout(&ducat(&["restore", "--from-backup", text(&backup), "--into", text(&made)]));
    for place in ["server", "backup", "cwd", "made"] {
        let found = world.found_below(&world.path(place));
        assert!(found.is_disjoint(&secret.into()), "{place}: {found:?}");
        // In the archive and in a backup events are compressed.
        assert!(found.contains("card") || place != "made", "it would be found");
    }
    world.finds_nothing("the log", &log_of(&world));
}
