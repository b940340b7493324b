//! Rates at work: what passes, what is refused and until when, and whom that leaves alone. The
//! buckets fill so slowly that nothing comes back during a test.

use crate::figures::{ask, listen};
use crate::program::{self, ducat, place, stdout, text};
use crate::world::{BANK, Secrets, Server, account, open, rights, transfer, transfer_id};
use ducat_api::client::{Client, ClientError, Refused};
use ducat_api::identity::guard::Trust;
use ducat_api::proto::{Code, ReverseGroupRequest, TransferRequest};
use ducat_api::rates::Rates;
use ducat_api::tls::Clients;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code as Grpc;

/// No token comes back within this.
const HOUR: Duration = Duration::from_secs(3600);

fn rates(text: &str) -> Rates {
    let mut table: toml::Table = text.parse().expect("TOML");
    Rates::from_value(table.remove("rates").expect("there")).expect("well-formed")
}

/// A rule for these methods of everybody, of one token an hour.
fn rule(methods: &[&str], burst: u32) -> String {
    let methods: Vec<String> = methods.iter().map(|m| format!("ducat.v1.Ledger/{m}")).collect();
    format!("[[rates]]\nmethods = {methods:?}\nper_hour = 1\nburst = {burst}\n")
}

/// A ledger that asks who is calling, with money on account 2, and two gateways.
struct Ledger {
    server: Server,
    root: Client,
    cards: Client,
    salaries: Client,
}

impl Ledger {
    async fn new(text: &str) -> Self {
        let secrets = Secrets::new();
        let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
        let server = Server::limited(None, Some(trust), &rates(text)).await;
        let mut clients = Vec::new();
        for (name, role) in [("root", "admin"), ("cards", "gateway"), ("salaries", "gateway")] {
            let token = secrets.token(name, &[role], &["*"], &[]);
            clients.push(server.client(&secrets, None, Some(&token)).await);
        }
        let [root, cards, salaries] = clients.try_into().expect("three");
        open(&root, 3).await;
        let money = transfer(1, BANK, 2, 100_000);
        assert_eq!(root.transfer(money).await.expect("answered").code(), Code::Posted);
        Self { server, root, cards, salaries }
    }

    async fn moved(&self) -> String {
        let found = self.root.get_accounts(&[account(3)]).await.expect("answered");
        found.accounts[0].posted_minor.clone()
    }
}

fn batch(first_id: u64, count: u64) -> Vec<TransferRequest> {
    (first_id..first_id + count).map(|id| transfer(id, 2, 3, 1)).collect()
}

/// What a call was refused with because of its rate.
fn limited<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Refused {
    let Err(ClientError::Refused(refused)) = result else { panic!("{result:?}") };
    rate_used_up(&refused);
    *refused
}

fn rate_used_up(refused: &Refused) {
    assert_eq!(refused.code, Grpc::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.reason, "RATE_LIMITED");
    let wait = refused.retry_after.expect("it says when to come back");
    assert!(wait > Duration::ZERO && wait <= 10 * HOUR, "{wait:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_passes_and_the_next_call_is_refused_and_nobody_elses() {
    let ledger = Ledger::new(&rule(&["Transfer"], 3)).await;
    for id in 10..13 {
        let done = ledger.cards.transfer(transfer(id, 2, 3, 1)).await.expect("in the burst");
        assert_eq!(done.code(), Code::Posted);
    }
    for id in 13..15 {
        let refused = limited(ledger.cards.transfer(transfer(id, 2, 3, 1)).await);
        assert!(refused.retry_after.expect("told") <= HOUR + Duration::from_millis(1));
    }
    assert_eq!(ledger.moved().await, "3", "what is refused is not done");
    // A repeat is a call too.
    limited(ledger.cards.transfer(transfer(10, 2, 3, 1)).await);
    let other_method = ledger.cards.create_transfers(batch(20, 5)).await.expect("another method");
    assert!(other_method.iter().all(|outcome| outcome.code() == Code::Posted));
    ledger.cards.get_accounts(&[account(2)]).await.expect("reads are not limited here");
    let other = ledger.salaries.transfer(transfer(30, 2, 3, 1)).await.expect("another principal");
    assert_eq!(other.code(), Code::Posted);
    assert_eq!(ledger.moved().await, "9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_counts_its_transfers() {
    let methods = ["Transfer", "CreateTransfers"];
    let ledger = Ledger::new(&rule(&methods, 10)).await;
    let above = ledger.cards.create_transfers(batch(10, 11)).await.expect_err("never");
    assert_eq!(above.code(), Some(Grpc::InvalidArgument));
    assert_eq!(above.reason(), Some("BATCH_ABOVE_BURST"));
    assert!(above.to_string().contains("11 at once can never pass"), "{above}");
    assert!(above.to_string().contains("at most 10"), "{above}");
    assert!(!above.is_retryable());
    ledger.cards.create_transfers(batch(10, 7)).await.expect("7 of 10");
    let refused = limited(ledger.cards.create_transfers(batch(20, 5)).await);
    let wait = refused.retry_after.expect("told");
    assert!(wait > HOUR && wait <= 2 * HOUR + Duration::from_millis(1), "2 are missing: {wait:?}");
    ledger.cards.create_transfers(batch(20, 2)).await.expect("9 of 10");
    ledger.cards.transfer(transfer(30, 2, 3, 1)).await.expect("10 of 10: they share a bucket");
    limited(ledger.cards.transfer(transfer(31, 2, 3, 1)).await);
    assert_eq!(ledger.moved().await, "10", "refused batches did nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_batches_count_their_transfers_and_it_goes_on() {
    let ledger = Ledger::new(&rule(&["StreamTransfers"], 10)).await;
    let (mut sender, mut answers) = ledger.cards.stream(8).await.expect("opens");
    for (first, count) in [(10, 6), (20, 5), (30, 11), (40, 4), (50, 1)] {
        sender.send(batch(first, count)).await.expect("sent");
    }
    drop(sender);
    let mut next = async || answers.next().await.expect("answered").expect("there").result;
    assert_eq!(next().await.expect("6 of 10").len(), 6);
    rate_used_up(&next().await.expect_err("4 are left"));
    let above = next().await.expect_err("never");
    assert_eq!((above.code, above.reason.as_str()), (Grpc::InvalidArgument, "BATCH_ABOVE_BURST"));
    assert_eq!(above.retry_after, None);
    assert_eq!(next().await.expect("10 of 10").len(), 4);
    rate_used_up(&next().await.expect_err("none is left"));
    assert_eq!(ledger.moved().await, "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principals_own_rate_goes_before_everybodys() {
    let own = "[[rates]]\nprincipal = \"cards\"\nper_hour = 1\nburst = 2\n";
    let ledger = Ledger::new(&(rule(&["Transfer"], 1) + own)).await;
    ledger.cards.transfer(transfer(10, 2, 3, 1)).await.expect("1 of its 2");
    ledger.cards.get_accounts(&[account(2)]).await.expect("2 of 2: all its calls share them");
    limited(ledger.cards.transfer(transfer(11, 2, 3, 1)).await);
    limited(ledger.cards.get_accounts(&[account(2)]).await);
    ledger.salaries.transfer(transfer(12, 2, 3, 1)).await.expect("1 of everybody's 1");
    limited(ledger.salaries.transfer(transfer(13, 2, 3, 1)).await);
    ledger.salaries.get_accounts(&[account(2)]).await.expect("no rate for that");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_two_identities_takes_from_both() {
    let secrets = Secrets::new();
    let name = "spiffe://bank/cards";
    secrets.write_pair("cards", &secrets.ca.client(name).expect("made"));
    let trust = Trust {
        rights: rights(&format!(
            "[[principals]]\nname = \"{name}\"\nroles = [\"admin\"]\naccounts = [\"*\"]"
        )),
        tokens: Some(secrets.token_rules()),
        ..Trust::default()
    };
    let tls = secrets.tls(Clients::Required);
    let server = Server::limited(Some(tls), Some(trust), &rates(&rule(&["GetAccounts"], 2))).await;
    let mut clients = Vec::new();
    for person in ["anna", "bert"] {
        let token = secrets.token(person, &["admin"], &["*"], &[]);
        clients.push(server.client(&secrets, Some("cards"), Some(&token)).await);
    }
    let alone = server.client(&secrets, Some("cards"), None).await;
    clients[0].get_accounts(&[account(2)]).await.expect("1 of the 2 of cards, 1 of anna's");
    clients[1].get_accounts(&[account(2)]).await.expect("2 of the 2 of cards, 1 of bert's");
    limited(clients[0].get_accounts(&[account(2)]).await);
    limited(alone.get_accounts(&[account(2)]).await);
    server.limits.replace(&rates("[[rates]]\nprincipal = \"anna\"\nper_hour = 1\nburst = 1"));
    clients[0].get_accounts(&[account(2)]).await.expect("1 of anna's 1");
    limited(clients[0].get_accounts(&[account(2)]).await);
    clients[1].get_accounts(&[account(2)]).await.expect("no rate is about these two");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_asked_everybody_is_one_caller() {
    let secrets = Secrets::new();
    let server = Server::limited(None, None, &rates(&rule(&["GetAccounts"], 2))).await;
    let (one, two) =
        (server.client(&secrets, None, None).await, server.client(&secrets, None, None).await);
    open(&one, 2).await;
    one.get_accounts(&[account(2)]).await.expect("1 of 2");
    two.get_accounts(&[account(2)]).await.expect("2 of 2");
    limited(one.get_accounts(&[account(2)]).await);
    server.limits.replace(&Rates::default());
    one.get_accounts(&[account(2)]).await.expect("not limited any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_given_back_counts_by_its_legs() {
    let ledger = Ledger::new(&rule(&["ReverseGroup"], 3)).await;
    let mut group = batch(10, 2);
    group[0].linked = true;
    ledger.cards.create_transfers(group).await.expect("not limited");
    let reverse = |id| ReverseGroupRequest {
        dry_run: true,
        ..ReverseGroupRequest::new(transfer_id(id), transfer_id(10))
    };
    assert_eq!(ledger.cards.reverse_group(reverse(20)).await.expect("2 of 3").len(), 2);
    limited(ledger.cards.reverse_group(reverse(21)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_which_rates_were_used_up_and_not_by_whom() {
    let ledger = Ledger::new(&rule(&["Transfer", "CreateTransfers"], 2)).await;
    ledger.cards.transfer(transfer(10, 2, 3, 1)).await.expect("1 of 2");
    limited(ledger.cards.create_transfers(batch(20, 2)).await);
    ledger.cards.create_transfers(batch(20, 3)).await.expect_err("above the burst");
    ledger.cards.transfer(transfer(11, 2, 3, 1)).await.expect("2 of 2");
    limited(ledger.cards.transfer(transfer(12, 2, 3, 1)).await);
    let address = listen(Arc::clone(&ledger.server.metrics)).await;
    let (_, text) = ask(address, "GET /metrics").await;
    for line in [
        "ducat_limits_rules 1",
        // Root moved the first money.
        "ducat_limits_buckets 2",
        "ducat_limits_refused_total{method=\"ducat.v1.Ledger/Transfer\"} 1",
        "ducat_limits_refused_total{method=\"ducat.v1.Ledger/CreateTransfers\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    assert!(!text.contains("cards"), "{text}");
}

#[test]
fn the_configurations_rates_are_read_again() {
    let dir = place();
    let file = dir.path().join("ducat.toml");
    let config = |rates: &str| std::fs::write(&file, rates).expect("writes");
    let reads = ["GetAccounts"];
    config(&rule(&reads, 1));
    let sound = stdout(&ducat(&["config", "check", "--config", text(&file)]));
    assert!(sound.contains("1 rates"), "{sound}");
    let printed = stdout(&ducat(&["config", "print", "--config", text(&file)]));
    assert!(printed.contains("[[rates]]\nprincipal = \"*\""), "{printed}");
    let server = program::Server::start(dir.path(), &["--config", text(&file)]);
    let url = format!("http://{}", server.address);
    stdout(&ducat(&["--server", &url, "account", "create", "2", "--currency", "GBP"]));
    let show = || ducat(&["--server", &url, "account", "show", "2"]);
    let used_up = || {
        let shown = show();
        assert!(!shown.status.success(), "{shown:?}");
        let error = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert!(error.contains("ducat: the rate of GetAccounts is used up"), "{error}");
        assert!(!error.contains("shortly"), "{error}");
    };
    stdout(&show());
    used_up();
    // As it was: what was taken stays taken.
    server.reload("were read again");
    used_up();
    config(&rule(&reads, 2));
    server.reload("were read again");
    stdout(&show());
    stdout(&show());
    used_up();
    config(&rule(&["GetAcounts"], 100));
    server.reload("everything stays as it was");
    used_up();
    config("");
    server.reload("were read again");
    for _ in 0..4 {
        stdout(&show());
    }
    // From nothing to something, without a restart.
    config(&rule(&reads, 1));
    server.reload("were read again");
    stdout(&show());
    used_up();
}
