//! Scopes at work: whose money may be moved, captured, given back, and what of the answers is
//! shown.

use crate::world::{BANK, Secrets, Server, account, open, rights, transfer, transfer_id};
use ducat_api::client::{BatchingOptions, Client, ClientError};
use ducat_api::identity::guard::Trust;
use ducat_api::proto::{self, Code, TransferRequest};
use ducat_api::tls::Clients;
use tonic::Code as Grpc;

const OWN: u64 = 2;
const FOREIGN: u64 = 3;

/// A ledger with money on both accounts, somebody who may do everything, and a gateway with one of
/// the accounts.
struct Ledger {
    secrets: Secrets,
    server: Server,
    root: Client,
    gateway: Client,
}

impl Ledger {
    async fn new(accounts: &[&str], owners: &[&str]) -> Self {
        let secrets = Secrets::new();
        let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
        let server = Server::start(None, Some(trust)).await;
        let root = secrets.token("root", &["admin"], &["*"], &[]);
        let root = server.client(&secrets, None, Some(&root)).await;
        open(&root, FOREIGN).await;
        let money = vec![transfer(1, BANK, OWN, 1_000), transfer(2, BANK, FOREIGN, 1_000)];
        root.create_transfers(money).await.expect("well-formed");
        let gateway = secrets.token("cards", &["gateway"], accounts, owners);
        let gateway = server.client(&secrets, None, Some(&gateway)).await;
        Self { secrets, server, root, gateway }
    }

    /// What stands on an account, in minor units.
    async fn balance(&self, id: u64) -> i64 {
        let found = self.root.get_accounts(&[account(id)]).await.expect("answered");
        found.accounts[0].posted_minor.parse().expect("a number")
    }
}

fn refused(result: Result<proto::Outcome, ClientError>) -> Grpc {
    match result {
        Err(ClientError::Refused(refused)) => {
            assert_eq!(refused.reason, "OUT_OF_SCOPE", "{}", refused.message);
            refused.code
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_leaves_only_accounts_of_the_caller() {
    let ledger = Ledger::new(&["2"], &[]).await;
    let (root, gateway) = (&ledger.root, &ledger.gateway);
    let hold = |id, debit, credit| {
        TransferRequest::hold(transfer_id(id), account(debit), account(credit), 100, None)
    };
    assert_eq!(root.transfer(hold(10, FOREIGN, OWN)).await.expect("held").code(), Code::Posted);
    let moved = root.transfer(transfer(11, OWN, FOREIGN, 50)).await.expect("answered");
    assert_eq!(moved.code(), Code::Posted);

    // A refund is paid by the account that got the money: of 11 that is the foreign one.
    for denied in [
        transfer(20, FOREIGN, OWN, 5),
        transfer(21, BANK, OWN, 5),
        hold(22, FOREIGN, OWN),
        TransferRequest::capture(transfer_id(23), transfer_id(10), None),
        TransferRequest::void(transfer_id(24), transfer_id(10)),
        TransferRequest::extend(transfer_id(25), transfer_id(10), None),
        TransferRequest::refund(transfer_id(26), transfer_id(11), 10),
        TransferRequest::reverse(transfer_id(27), transfer_id(11)),
        TransferRequest::capture(transfer_id(28), transfer_id(999), None),
        TransferRequest::refund(transfer_id(29), transfer_id(999), 1),
        // Refused by the id alone, whether the account exists or not.
        transfer(30, 77, OWN, 5),
    ] {
        let what = format!("{denied:?}");
        assert_eq!(refused(gateway.transfer(denied).await), Grpc::PermissionDenied, "{what}");
    }
    assert_eq!((ledger.balance(OWN).await, ledger.balance(FOREIGN).await), (950, 1_050));

    let own = gateway.transfer(transfer(40, OWN, FOREIGN, 5)).await.expect("answered");
    assert_eq!(own.code(), Code::Posted);
    assert_eq!(own.debit.expect("the own account").posted_minor, 945);
    assert!(own.credit.is_none(), "another's figures are not shown");
    let held = gateway.transfer(hold(41, OWN, FOREIGN)).await.expect("answered");
    assert_eq!(held.code(), Code::Posted);
    let capture = TransferRequest::capture(transfer_id(42), transfer_id(41), None);
    let captured = gateway.transfer(capture.clone()).await.expect("answered");
    assert_eq!(captured.code(), Code::Posted);
    let again = gateway.transfer(capture).await.expect("a closed hold's capture is repeated");
    assert!(again.repeat && again.credit.is_none());
    // What came to the own account may be given back.
    let refund = TransferRequest::refund(transfer_id(43), transfer_id(1), 10);
    assert_eq!(gateway.transfer(refund).await.expect("answered").code(), Code::Posted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_given_back_only_by_whom_all_of_its_receivers_belong_to() {
    let ledger = Ledger::new(&["2"], &[]).await;
    let linked = |request| TransferRequest { linked: true, ..request };
    let own = vec![linked(transfer(10, FOREIGN, OWN, 5)), transfer(11, BANK, OWN, 5)];
    let mixed = vec![linked(transfer(20, FOREIGN, OWN, 5)), transfer(21, OWN, FOREIGN, 5)];
    for group in [own, mixed] {
        let posted = ledger.root.create_transfers(group).await.expect("well-formed");
        assert!(posted.iter().all(proto::Outcome::is_posted), "{posted:?}");
    }
    let refund = TransferRequest::refund(transfer_id(30), transfer_id(20), 1);
    assert!(ledger.gateway.transfer(refund).await.expect("answered").is_posted());
    let reverse = async |id, of| {
        let asked = proto::ReverseGroupRequest::new(transfer_id(id), transfer_id(of));
        ledger.gateway.reverse_group(asked).await
    };
    let mut said = Vec::new();
    // A foreign member, asked for by either; a refund that the foreign account got; nothing at all.
    for of in [20, 21, 30, 999] {
        match reverse(40, of).await {
            Err(ClientError::Refused(refused)) => {
                assert_eq!(
                    (refused.code, &*refused.reason),
                    (Grpc::PermissionDenied, "OUT_OF_SCOPE")
                );
                said.push(refused.message.replace(&of.to_string(), "…"));
            }
            other => panic!("{other:?}"),
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "nothing tells one from the other: {said:?}");
    assert_eq!((ledger.balance(OWN).await, ledger.balance(FOREIGN).await), (1_009, 996));
    let done = reverse(41, 10).await.expect("all of it is paid by the own account");
    let outcomes: Vec<_> = done.iter().filter_map(|refund| refund.outcome.as_ref()).collect();
    assert!(outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome.is_posted()));
    assert!(outcomes.iter().all(|outcome| outcome.debit.is_some() && outcome.credit.is_none()));
    assert_eq!((ledger.balance(OWN).await, ledger.balance(FOREIGN).await), (999, 1_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_something_foreign_does_nothing() {
    let ledger = Ledger::new(&["2"], &[]).await;
    let batch = vec![transfer(10, OWN, FOREIGN, 5), transfer(11, FOREIGN, OWN, 5)];
    let error = ledger.gateway.create_transfers(batch.clone()).await.expect_err("denied");
    assert_eq!(error.code(), Some(Grpc::PermissionDenied));
    assert_eq!(error.reason(), Some("OUT_OF_SCOPE"));
    let (mut sender, mut answers) = ledger.gateway.stream(4).await.expect("opens");
    for batch in [batch, vec![transfer(12, OWN, FOREIGN, 7)]] {
        sender.send(batch).await.expect("sent");
    }
    drop(sender);
    let denied = answers.next().await.expect("answered").expect("there").result;
    let denied = denied.expect_err("denied as a whole");
    assert_eq!(denied.code, Grpc::PermissionDenied);
    assert_eq!(denied.violations[0].field, "transfers[1].debit_account");
    let done = answers.next().await.expect("answered").expect("there").result;
    let done = done.expect("the stream goes on");
    assert_eq!(done[0].code(), Code::Posted);
    assert!(done[0].credit.is_none());
    assert_eq!(ledger.balance(OWN).await, 993, "of the denied batch nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_places_is_not_captured_by_it() {
    // Under the id of the hold anything may stand by then.
    let ledger = Ledger::new(&["2"], &[]).await;
    let hold = TransferRequest::hold(transfer_id(10), account(OWN), account(FOREIGN), 5, None);
    let capture = TransferRequest::capture(transfer_id(11), transfer_id(10), None);
    let error = ledger.gateway.create_transfers(vec![hold.clone(), capture.clone()]).await;
    assert_eq!(error.expect_err("denied").code(), Some(Grpc::PermissionDenied));
    assert_eq!(ledger.gateway.transfer(hold).await.expect("answered").code(), Code::Posted);
    assert_eq!(ledger.gateway.transfer(capture).await.expect("answered").code(), Code::Posted);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_ask_nothing_of_foreign_accounts() {
    let ledger = Ledger::new(&["2"], &[]).await;
    let least = |minor| proto::AccountTerms {
        posted: Some(proto::Range { at_least_minor: Some(minor), ..proto::Range::default() }),
        ..proto::AccountTerms::default()
    };
    let with = |id, terms| TransferRequest {
        terms: Some(Box::new(terms)),
        ..transfer(id, OWN, FOREIGN, 1)
    };
    let of_receiver = proto::Terms { credit: Some(least(100)), ..proto::Terms::default() };
    let denied = ledger.gateway.transfer(with(10, of_receiver)).await;
    assert_eq!(refused(denied), Grpc::PermissionDenied);
    let of_payer = proto::Terms { debit: Some(least(100)), ..proto::Terms::default() };
    let done = ledger.gateway.transfer(with(11, of_payer)).await.expect("answered");
    assert_eq!(done.code(), Code::Posted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_owns_an_account_decides_from_the_change_on() {
    let ledger = Ledger::new(&[], &["cus_2"]).await;
    let gateway = &ledger.gateway;
    let own = gateway.transfer(transfer(10, OWN, FOREIGN, 5)).await.expect("answered");
    assert_eq!(own.code(), Code::Posted);
    assert_eq!(
        refused(gateway.transfer(transfer(11, FOREIGN, OWN, 5)).await),
        Grpc::PermissionDenied
    );
    let give = |id, owner: &str| proto::UpdateAccountRequest {
        id,
        owner: Some(owner.to_owned()),
        ..proto::UpdateAccountRequest::default()
    };
    ledger.root.update_account(give(FOREIGN, "cus_2")).await.expect("changed");
    ledger.root.update_account(give(OWN, "cus_9")).await.expect("changed");
    let now = gateway.transfer(transfer(11, FOREIGN, OWN, 5)).await.expect("answered");
    assert_eq!(now.code(), Code::Posted);
    assert_eq!(
        refused(gateway.transfer(transfer(12, OWN, FOREIGN, 5)).await),
        Grpc::PermissionDenied
    );
    // An account without an owner is nobody's.
    ledger.root.update_account(give(FOREIGN, "")).await.expect("changed");
    assert_eq!(
        refused(gateway.transfer(transfer(13, FOREIGN, OWN, 5)).await),
        Grpc::PermissionDenied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_no_account_away() {
    let ledger = Ledger::new(&[], &[]).await;
    let token = ledger.secrets.token("branch", &["operator"], &[], &["cus_2"]);
    let operator = ledger.server.client(&ledger.secrets, None, Some(&token)).await;
    let give = |owner: &str| proto::UpdateAccountRequest {
        id: OWN,
        owner: Some(owner.to_owned()),
        ..proto::UpdateAccountRequest::default()
    };
    let denied = operator.update_account(give("cus_9")).await.expect_err("denied");
    assert_eq!(denied.code(), Some(Grpc::PermissionDenied));
    operator.update_account(give("cus_2")).await.expect("its own");
    let new = |id, owner: &str| proto::NewAccount {
        owner: owner.to_owned(),
        ..proto::NewAccount::new(account(id), "GBP", false)
    };
    let denied = operator.create_accounts(vec![new(50, "cus_2"), new(51, "cus_9")]).await;
    assert_eq!(denied.expect_err("denied").code(), Some(Grpc::PermissionDenied));
    let opened = operator.create_accounts(vec![new(50, "cus_2")]).await.expect("opened");
    assert_eq!(opened.len(), 1);
    let whole = ledger.server.client(&ledger.secrets, None, Some(&token)).await;
    assert!(whole.list_accounts(10, "").await.is_err(), "not all accounts are cus_2's");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_gateways_batches_only_the_foreign_call_fails() {
    let ledger = Ledger::new(&["2"], &[]).await;
    let batching = ledger.gateway.batching(BatchingOptions::default()).await.expect("opens");
    let mut calls = tokio::task::JoinSet::new();
    for id in 100..200_u64 {
        let batching = batching.clone();
        let debit = if id % 10 == 0 { FOREIGN } else { OWN };
        let credit = if debit == OWN { FOREIGN } else { OWN };
        calls
            .spawn(async move { (debit, batching.transfer(transfer(id, debit, credit, 1)).await) });
    }
    let (mut posted, mut denied) = (0, 0);
    while let Some(done) = calls.join_next().await {
        match done.expect("no panic") {
            (OWN, Ok(outcome)) if outcome.is_posted() => posted += 1,
            (FOREIGN, Err(error)) if error.code() == Some(Grpc::PermissionDenied) => denied += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((posted, denied), (90, 10));
    assert_eq!(ledger.balance(OWN).await, 910);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_identities_may_do_what_both_may() {
    let secrets = Secrets::new();
    for name in ["spiffe://bank/cards", "spiffe://bank/proxy"] {
        let short = name.rsplit('/').next().expect("a name");
        secrets.write_pair(short, &secrets.ca.client(name).expect("made"));
    }
    let trust = Trust {
        rights: rights(
            "[[principals]]\nname = \"spiffe://bank/cards\"\nroles = [\"gateway\", \"operator\"]\n\
             accounts = [\"1..2\"]",
        ),
        tokens: Some(secrets.token_rules()),
        ..Trust::default()
    };
    let server = Server::start(Some(secrets.tls(Clients::Required)), Some(trust)).await;
    let token = secrets.token("all", &["gateway", "operator"], &["1", "2", "3"], &[]);
    let cards = server.client(&secrets, Some("cards"), None).await;
    let both = server.client(&secrets, Some("cards"), Some(&token)).await;
    // The proxy's certificate is trusted and grants nothing: the token alone decides.
    let by_token = server.client(&secrets, Some("proxy"), Some(&token)).await;
    let neither = server.client(&secrets, Some("proxy"), None).await;
    open(&by_token, FOREIGN).await;
    let money = vec![transfer(1, BANK, OWN, 100), transfer(2, BANK, FOREIGN, 100)];
    by_token.create_transfers(money).await.expect("both are the token's");
    assert!(cards.transfer(transfer(10, OWN, FOREIGN, 1)).await.is_ok());
    assert!(both.transfer(transfer(11, OWN, FOREIGN, 1)).await.is_ok());
    assert!(by_token.transfer(transfer(12, FOREIGN, OWN, 1)).await.is_ok());
    assert_eq!(refused(both.transfer(transfer(13, FOREIGN, OWN, 1)).await), Grpc::PermissionDenied);
    assert_eq!(
        refused(cards.transfer(transfer(14, FOREIGN, OWN, 1)).await),
        Grpc::PermissionDenied
    );
    let nobody = neither.transfer(transfer(15, OWN, FOREIGN, 1)).await.expect_err("nobody");
    assert_eq!(nobody.code(), Some(Grpc::Unauthenticated));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_ends_streams_and_is_asked_with_every_call() {
    let ledger = Ledger::new(&["2"], &[]).await;
    let (mut sender, mut answers) = ledger.gateway.stream(4).await.expect("opens");
    sender.send(vec![transfer(10, OWN, FOREIGN, 1)]).await.expect("sent");
    assert!(answers.next().await.expect("answered").expect("there").result.is_ok());
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("random");
    let mut rules = ledger.secrets.token_rules();
    rules.keys = ducat_api::identity::keys::TokenKeys::parse(&other.public_key_pem()).expect("key");
    let guard = ledger.server.guard.as_ref().expect("guarded");
    guard.replace(Trust { tokens: Some(rules), ..Trust::default() });
    // Already on its way or not: it is not done.
    let _sent = sender.send(vec![transfer(11, OWN, FOREIGN, 1)]).await;
    let ended = answers.next().await.expect_err("the stream has ended");
    assert_eq!(ended.reason(), Some("CREDENTIALS_OVER"));
    let next = ledger.gateway.transfer(transfer(12, OWN, FOREIGN, 1)).await.expect_err("refused");
    assert_eq!(next.code(), Some(Grpc::Unauthenticated));
    guard.replace(Trust { tokens: Some(ledger.secrets.token_rules()), ..Trust::default() });
    assert_eq!(ledger.balance(OWN).await, 999, "only the first was done");
}
