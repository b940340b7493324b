//! Who did what, as auditors find it: writes with what they did, refused and powerful calls, floods,
//! and nothing of what is secret.

use crate::console::{call, get_as, read};
use crate::figures::{ask, listen};
use crate::program::{self, ducat, place, stdout, text};
use crate::world::{BANK, ISSUER, Secrets, Server, account, now_s, open, transfer, transfer_id};
use ducat_api::audit::{Auditor, Line, Options};
use ducat_api::client::Client;
use ducat_api::identity::guard::Trust;
use ducat_api::identity::issue::{Claims, issue};
use ducat_api::proto::audit_client::AuditClient;
use ducat_api::proto::{
    self, AuditEvent, AuditFilter, AuditId, AuditKind, AuditOutcome, AuditSeverity, Code,
    GetAuditSummaryRequest, ListAuditEventsRequest, audit_filter,
};
use ducat_api::tls::Clients;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server with a trail, and those who call it.
struct Bank {
    server: Server,
    secrets: Secrets,
    auditor: Client,
    gateway: Client,
    operator: Client,
}

impl Bank {
    async fn new() -> Self {
        let secrets = Secrets::new();
        let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
        let server = Server::audited(None, trust, &Auditor::new(Options::default())).await;
        let mut clients = Vec::new();
        for (name, role) in [("ann", "auditor"), ("cards", "gateway"), ("olga", "operator")] {
            let token = secrets.token(name, &[role], &["*"], &[]);
            clients.push(server.client(&secrets, None, Some(&token)).await);
        }
        let [auditor, gateway, operator] = clients.try_into().expect("three");
        open(&operator, 3).await;
        Self { server, secrets, auditor, gateway, operator }
    }

    async fn page(&self, filter: AuditFilter) -> Vec<AuditEvent> {
        let request = ListAuditEventsRequest { filter: Some(filter), limit: 1_000, from_lsn: 0 };
        let mut client = AuditClient::new(self.auditor.connection());
        let page = client.list_audit_events(request).await.expect("granted").into_inner();
        assert_eq!(page.next_lsn, 0, "all of it fits a page");
        page.events
    }

    /// Waits until so many calls of this kind are told of: what wrote nothing is journalled soon.
    async fn told(&self, kind: AuditKind, calls: u64) -> Vec<AuditEvent> {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let found =
                self.page(AuditFilter { kinds: vec![kind.into()], ..Default::default() }).await;
            if found.iter().map(|event| event.calls).sum::<u64>() >= calls {
                return found;
            }
            assert!(Instant::now() < end, "{found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn method(name: &str) -> AuditFilter {
    AuditFilter { method: name.to_owned(), ..AuditFilter::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_told_when_it_is_answered_with_who_and_what() {
    let bank = Bank::new().await;
    let batch: Vec<_> = (1..=40).map(|id| transfer(id, BANK, 2, 1)).collect();
    let batch = [batch, vec![transfer(41, 3, 2, 1)]].concat();
    bank.gateway.create_transfers(batch).await.expect("answered");
    bank.gateway.transfer(transfer(50, BANK, 3, 5)).await.expect("answered");
    // At once: what is answered is durable, and so is who asked for it.
    let told = bank.page(method("Ledger/CreateTransfers")).await;
    let [event] = &told[..] else { panic!("{told:?}") };
    assert_eq!((event.principal.as_str(), event.address.as_str()), ("cards", "127.0.0.1"));
    assert!(!event.agent.is_empty() && event.duration_ns > 0);
    assert_eq!((event.calls, event.requests, event.done), (1, 41, 40));
    assert_eq!(event.rejections[0].code, "INSUFFICIENT_FUNDS");
    let run = event.runs[0];
    assert_eq!(run.last_lsn - run.first_lsn, 40);
    assert_eq!(event.lsn, run.last_lsn + 1, "right behind what it did");
    assert_eq!((event.kind(), event.severity()), (AuditKind::Write, AuditSeverity::Info));
    // By account and by transfer, of which the event itself says nothing.
    let account = |id| Some(audit_filter::Entity::Account(AuditId { id, id_high: 0 }));
    let about =
        |entity| AuditFilter { entity, kinds: vec![AuditKind::Write.into()], ..Default::default() };
    let methods = |events: Vec<AuditEvent>| -> Vec<String> {
        events.into_iter().map(|event| event.method).collect()
    };
    let of_two = methods(bank.page(about(account(2))).await);
    assert_eq!(of_two, ["Ledger/CreateAccounts", "Ledger/CreateTransfers"]);
    let one = Some(audit_filter::Entity::Transfer(AuditId { id: 50, id_high: 0 }));
    assert_eq!(methods(bank.page(about(one)).await), ["Ledger/Transfer"]);
    // An operator's change weighs more.
    let opened = bank.page(method("Ledger/CreateAccounts")).await;
    assert_eq!((opened[0].severity(), &*opened[0].principal), (AuditSeverity::Notice, "olga"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_of_a_stream_is_told_of() {
    let bank = Bank::new().await;
    let (mut sender, mut answers) = bank.gateway.stream(4).await.expect("opened");
    for first in [1, 100] {
        let batch = (first..first + 10).map(|id| transfer(id, BANK, 2, 1)).collect();
        sender.send(batch).await.expect("sent");
        answers.next().await.expect("answered").expect("one").result.expect("decided");
    }
    drop(sender);
    assert!(answers.next().await.expect("ended well").is_none());
    let told = bank.page(method("Ledger/StreamTransfers")).await;
    let batches: Vec<u64> =
        told.iter().filter(|event| event.requests > 0).map(|event| event.done).collect();
    assert_eq!(batches, [10, 10], "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_and_who_reads_with_power_is_told_of() {
    let bank = Bank::new().await;
    // A gateway that may not, somebody with too few accounts, and nobody at all.
    bank.gateway
        .set_account_status(account(2), proto::AccountStatus::Frozen)
        .await
        .expect_err("no");
    let token = bank.secrets.token("shop", &["gateway"], &["2"], &[]);
    let shop = bank.server.client(&bank.secrets, None, Some(&token)).await;
    shop.get_accounts(&[account(3)]).await.expect_err("foreign");
    let denied = bank.told(AuditKind::Denied, 2).await;
    let found = |reason: &str| denied.iter().find(|event| event.reason == reason).expect(reason);
    let role = found("ROLE_MISSING");
    assert_eq!((&*role.principal, &*role.method), ("cards", "Ledger/SetAccountStatus"));
    let scope = found("OUT_OF_SCOPE");
    assert_eq!((&*scope.principal, &*scope.entity), ("shop", "account 3"));
    assert_eq!(
        (scope.severity(), scope.outcome()),
        (AuditSeverity::Warning, AuditOutcome::Refused)
    );
    let nobody = bank.server.client(&bank.secrets, None, None).await;
    nobody.get_accounts(&[account(2)]).await.expect_err("nobody");
    let logins = bank.told(AuditKind::Login, 1).await;
    assert_eq!((&*logins[0].reason, &*logins[0].principal), ("UNAUTHENTICATED", ""));
    assert_eq!(logins[0].address, "127.0.0.1");
    // Reads of an operator are told of, a gateway's are not; nor is whoever asks for health.
    bank.operator.get_accounts(&[account(2)]).await.expect("granted");
    bank.gateway.get_accounts(&[account(2)]).await.expect("granted");
    let reads = bank.told(AuditKind::Read, 2).await;
    assert!(reads.iter().any(|event| event.principal == "olga" && event.entity == "account 2"));
    assert!(reads.iter().all(|event| event.principal != "cards"), "{reads:?}");
    // A write that is wrong is told of although it did nothing.
    let without_id = proto::TransferRequest { id: 0, ..transfer(9, BANK, 2, 1) };
    bank.gateway.transfer(without_id).await.expect_err("no id");
    let wrong = bank.told(AuditKind::Write, 2).await;
    let wrong = wrong.iter().find(|event| event.outcome() == AuditOutcome::Refused).expect("it");
    assert_eq!((wrong.requests, wrong.runs.len(), &*wrong.method), (0, 0, "Ledger/Transfer"));
}

/// The operators' page is no way around the trail.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_on_the_page_is_told_of() {
    let bank = Bank::new().await;
    let page = bank.server.console().await;
    let asked = serde_json::json!({ "ids": [{ "id": "2" }] });
    for (name, role, status) in [("otto", "operator", 200), ("gert", "gateway", 403)] {
        let token = read(&bank.secrets.token(name, &[role], &["*"], &[]));
        let body = if status == 200 { asked.clone() } else { serde_json::json!({}) };
        let call_name = if status == 200 { "Ledger/GetAccounts" } else { "Operator/ListSnapshots" };
        assert_eq!(call(page, call_name, &body, Some(&token)).await.status, status, "{name}");
    }
    let reads = bank.told(AuditKind::Read, 1).await;
    let of_page = reads.iter().find(|event| event.principal == "otto").expect("told of");
    assert_eq!((&*of_page.entity, &*of_page.address), ("account 2", "127.0.0.1"));
    let denied = bank.told(AuditKind::Denied, 1).await;
    assert_eq!((&*denied[0].principal, &*denied[0].method), ("gert", "Operator/ListSnapshots"));
    // Whoever tries tokens there is told of too.
    assert_eq!(get_as(page, "/api/access", "stolen").await.status, 401);
    let logins = bank.told(AuditKind::Login, 1).await;
    assert_eq!((&*logins[0].reason, &*logins[0].address), ("UNAUTHENTICATED", "127.0.0.1"));
}

/// Nobody fills the journal by being refused, and every call is counted in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_calls_is_a_few_events() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let auditor = Auditor::new(Options::default());
    let server = Server::audited(None, trust, &auditor).await;
    let token = secrets.token("mallory", &["reader"], &["*"], &[]);
    let mallory = server.client(&secrets, None, Some(&token)).await;
    for id in 1..=500 {
        mallory.transfer(transfer(id, BANK, 2, 1)).await.expect_err("no role");
    }
    auditor.finish(&server.handle()).await;
    let query = ducat_actors::audit::AuditQuery { limit: 1_000, ..Default::default() };
    let page = server.handle().audit_page(query).await.expect("readable");
    let calls: u64 = page.events.iter().map(|one| one.event.calls).sum();
    assert_eq!(calls, 500);
    assert!(page.events.len() <= 12, "{} events", page.events.len());
    assert!(page.events.iter().any(|one| one.event.window_ns > 0), "counted over a time");
    assert_eq!(auditor.lost(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_counts_and_names_what_looks_like_an_attack() {
    let bank = Bank::new().await;
    bank.gateway.transfer(transfer(1, BANK, 2, 5)).await.expect("answered");
    for id in 0..7 {
        let frozen = proto::AccountStatus::Frozen;
        bank.gateway.set_account_status(account(2 + id), frozen).await.expect_err("no role");
    }
    bank.told(AuditKind::Denied, 5).await;
    let mut client = AuditClient::new(bank.auditor.connection());
    let asked = GetAuditSummaryRequest::default();
    let told = client.get_audit_summary(asked).await.expect("granted").into_inner();
    assert!(told.denied_calls >= 5 && told.writes == 2, "{told:?}");
    assert_eq!((told.requests, told.done), (4, 4), "three accounts and a transfer");
    let whose: Vec<&str> = told.patterns.iter().map(|pattern| &*pattern.of).collect();
    assert_eq!(whose, ["address 127.0.0.1", "principal cards"]);
    // A period before all of it is empty.
    let before = GetAuditSummaryRequest { from_ns: 0, until_ns: 1 };
    let told = client.get_audit_summary(before).await.expect("granted").into_inner();
    assert_eq!((told.events, told.patterns.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handshake_is_told_of() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let auditor = Auditor::new(Options::default());
    let server = Server::audited(Some(secrets.tls(Clients::Required)), trust, &auditor).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("listens");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    let mut rest = Vec::new();
    // Closed by the server, which has understood nothing.
    let _ended = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    let end = Instant::now() + Duration::from_secs(120);
    let event = loop {
        let query = ducat_actors::audit::AuditQuery { limit: 10, ..Default::default() };
        let page = server.handle().audit_page(query).await.expect("readable");
        if let Some(one) = page.events.into_iter().next() {
            break one.event;
        }
        assert!(Instant::now() < end, "not told of");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((&*event.reason, &*event.address), ("HANDSHAKE_FAILED", "127.0.0.1"));
}

/// A card number, a secret and a token in whatever a caller may say: of the trail, of answers that
/// refuse and of figures they are no part.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_secret_is_nowhere_in_the_trail() {
    const CARD: &str = "4111111111111111";
    const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0";
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let auditor = Auditor::new(Options::default());
    let server = Server::audited(None, trust, &auditor).await;
    // A token whose subject is a card number, and one that is not ours.
    let claims = Claims {
        roles: Some(vec!["operator".into(), "gateway".into()]),
        accounts: vec!["*".into()],
        ..Claims::new(CARD, ISSUER, "ducat", now_s(), Duration::from_secs(1800))
    };
    let token = issue(&secrets.token_key.serialize_pem(), &claims).expect("signs");
    let path = secrets.write("card.token", &token);
    let client = server.client(&secrets, None, Some(&path)).await;
    open(&client, 3).await;
    let note = |text: &str| {
        Some(Box::new(proto::Note { reference: text.to_owned(), ..Default::default() }))
    };
    for (id, text) in [(1, CARD), (2, SECRET), (3, &token[..40])] {
        let asked = proto::TransferRequest { note: note(text), ..transfer(id, BANK, 2, 1) };
        assert_eq!(client.transfer(asked).await.expect("answered").code(), Code::Posted);
        let wrong =
            proto::TransferRequest { currency: text.to_owned(), ..transfer(id, BANK, 2, 1) };
        let _refused = client.transfer(wrong).await;
    }
    let foreign = secrets.write("foreign.token", &format!("{}x", token));
    let nobody = server.client(&secrets, None, Some(&foreign)).await;
    nobody.get_transfers(&[transfer_id(1)]).await.expect_err("not taken");
    auditor.finish(&server.handle()).await;
    let query = ducat_actors::audit::AuditQuery { limit: 1_000, ..Default::default() };
    let page = server.handle().audit_page(query).await.expect("readable");
    assert!(page.events.len() >= 5, "{}", page.events.len());
    let mut trail = String::new();
    for one in &page.events {
        trail += &format!("{:?}\n{}\n", one, Line::of(&one.event).text());
        trail += &Line::of(&one.event).fields().join(",");
    }
    let figures = listen(Arc::clone(&server.metrics)).await;
    trail += &ask(figures, "GET /metrics").await.1;
    for canary in [CARD, SECRET, &token, &token[..40]] {
        assert!(!trail.contains(canary), "{canary} in\n{trail}");
    }
    assert!(trail.contains("411111******1111"), "the caller is told of by what may be shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_are_read_again_and_a_wrong_one_changes_nothing() {
    let dir = place();
    let file = dir.path().join("ducat.toml");
    let config = |masks: &str| format!("[audit]\ntrail = \"on\"\n{masks}");
    fs::write(&file, config("")).expect("writes");
    let server = program::Server::start(dir.path(), &["--config", text(&file)]);
    let url = format!("http://{}", server.address);
    let endpoint = tonic::transport::Endpoint::from_shared(url.clone()).expect("an address");
    let endpoint = endpoint.user_agent("desk_4711").expect("ASCII");
    let client =
        proto::ledger_client::LedgerClient::new(endpoint.connect().await.expect("listens"));
    // Nobody has opened the accounts: decided, and told of.
    let ask = async |id| client.clone().transfer(transfer(id, BANK, 2, 1)).await.expect("decided");
    let agents = || -> Vec<String> {
        let listed = stdout(&ducat(&["--server", &url, "--json", "audit", "list"]));
        let events = listed.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        events.map(|event: Value| event["agent"].as_str().expect("a text").to_owned()).collect()
    };
    ask(1).await;
    let mask = "[[masks]]\nname = \"desk\"\npattern = 'desk_\\d+'\nshow = \"nothing\"\n";
    fs::write(&file, config(mask)).expect("writes");
    server.reload("masks, keys and certificates were read again");
    ask(2).await;
    fs::write(&file, config("[[masks]]\nname = \"desk\"\npattern = '('\n")).expect("writes");
    server.reload("everything stays as it was");
    ask(3).await;
    let agents = agents();
    let masked: Vec<bool> = agents.iter().map(|agent| !agent.contains("desk_4711")).collect();
    assert_eq!(masked, [false, true, true], "{agents:?}");
}
