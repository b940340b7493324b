//! Secret fields as operators, readers and auditors find them: sealed before the engine sees them, the same again
//! when they are sent again, masked in every answer, and revealed to few, who are told of.

use crate::console::{call, read};
use crate::program::{self, ducat, place, stdout, text};
use crate::world::{ISSUER, Secrets, Server, account, now_s, open, transfer};
use ducat_api::audit::{Auditor, Options};
use ducat_api::client::{Client, ClientError};
use ducat_api::identity::factor::secrets::Secret;
use ducat_api::identity::factor::{Rules, Secrets as Factors};
use ducat_api::identity::guard::Trust;
use ducat_api::identity::issue::{Claims, issue};
use ducat_api::identity::persons::Amounts;
use ducat_api::proto::approvals_client::ApprovalsClient;
use ducat_api::proto::audit_client::AuditClient;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, NewAccount, account_event::Event, account_result};
use ducat_api::secret_fields::SecretFields;
use ducat_api::server::ServerOptions;
use ducat_engine::account_event::Opening;
use ducat_engine::transfer::AccountSpec;
use ducat_persistence::vault::FieldKeys;
use ducat_persistence::vault::fields::is_sealed;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const CARD: &str = "4929123456789015";
const MASKED: &str = "492912******9015";
const OTHER: &str = "5500005555555559";
const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4=";
const HOLDER: u64 = 7;

/// A server that keeps card numbers and passports secret, and those who call it.
struct Bank {
    server: Server,
    tokens: Secrets,
    secrets: Arc<SecretFields>,
}

fn keys(text: &str) -> FieldKeys {
    FieldKeys::parse(text, "the test").expect("keys")
}

impl Bank {
    async fn new() -> Self {
        Self::with(|_| {}, Some(Auditor::new(Options::default()))).await
    }

    async fn with(change: impl FnOnce(&mut Trust), audit: Option<Arc<Auditor>>) -> Self {
        let tokens = Secrets::new();
        let mut trust = Trust { tokens: Some(tokens.token_rules()), ..Trust::default() };
        change(&mut trust);
        let fields = ["card=card", "passport"].map(|field| field.parse().expect("a field"));
        let secrets = SecretFields::new(&fields, keys(ONE)).expect("named once");
        let kept = Some(Arc::clone(&secrets));
        let options = ServerOptions { secrets: kept, audit, ..ServerOptions::default() };
        let server = Server::with_options(trust, options).await;
        Self { server, tokens, secrets }
    }

    async fn client(&self, name: &str, role: &str) -> Client {
        let token = self.tokens.token(name, &[role], &["*"], &[]);
        self.server.client(&self.tokens, None, Some(&token)).await
    }

    /// What the engine has of an account, and with it journal, snapshots, archive and backups.
    async fn kept(&self, id: u64) -> BTreeMap<String, String> {
        let at = self.server.handle().accounts(vec![account(id)]).await.expect("runs");
        let shown = at.accounts.into_iter().next().flatten().expect("there");
        shown.details.as_ref().map(|details| details.profile.metadata.clone()).unwrap_or_default()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn holder(id: u64, card: &str) -> NewAccount {
    let metadata = pairs(&[("card", card), ("branch", "7")]).into_iter().collect();
    NewAccount { metadata, ..NewAccount::new(account(id), "GBP", false) }
}

async fn opened(client: &Client, new: NewAccount) -> account_result::Code {
    let results = client.create_accounts(vec![new]).await.expect("well-formed");
    results[0].code()
}

async fn set(client: &Client, id: u64, card: &str) -> Result<proto::Account, ClientError> {
    let set_metadata = pairs(&[("card", card)]).into_iter().collect();
    client
        .update_account(proto::UpdateAccountRequest { id, set_metadata, ..Default::default() })
        .await
}

fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

async fn reveal(client: &Client, id: u64, key: &str) -> Result<String, String> {
    let request = proto::RevealMetadataRequest { id, key: key.to_owned(), ..Default::default() };
    let answer = LedgerClient::new(client.connection()).reveal_metadata(request).await;
    answer.map(|answer| answer.into_inner().value).map_err(|status| reason_of(&status))
}

/// Everything that a client with this role is told about accounts; fails where it is told nothing.
async fn told_of(client: &Client, id: u64) -> String {
    let mut ledger = LedgerClient::new(client.connection());
    let got = client.get_accounts(&[account(id)]).await.expect("granted");
    let asked = proto::ListAccountsRequest::default();
    let listed = ledger.list_accounts(asked).await.expect("granted").into_inner();
    let asked = proto::ListAccountHistoryRequest { id, ..Default::default() };
    let history = ledger.list_account_history(asked).await.expect("granted").into_inner();
    format!("{got:?} {listed:?} {history:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_has_sealed_values_and_every_answer_masked_ones() {
    let bank = Bank::new().await;
    let (olga, ann) = (bank.client("olga", "operator").await, bank.client("ann", "auditor").await);
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, account_result::Code::Opened);
    let kept = bank.kept(HOLDER).await;
    assert!(is_sealed(&kept["card"]) && !kept["card"].contains(CARD), "{kept:?}");
    assert_eq!(kept["branch"], "7");
    // A change, and its answer.
    let changed = set(&olga, HOLDER, OTHER).await.expect("granted");
    assert_eq!(changed.metadata["card"], "550000******5559");
    assert!(is_sealed(&bank.kept(HOLDER).await["card"]));
    for client in [&olga, &ann, &bank.client("root", "admin").await] {
        let told = told_of(client, HOLDER).await;
        for (shown, hidden) in [(MASKED, CARD), ("550000******5559", OTHER)] {
            assert!(told.contains(shown) && !told.contains(hidden), "{told}");
        }
        assert!(!told.contains("enc:"), "{told}");
    }
    // The feed, from the beginning.
    let ray = bank.client("ray", "reader").await;
    let mut ledger = LedgerClient::new(ray.connection());
    let asked = proto::SubscribeRequest { from_lsn: 1, ..Default::default() };
    let mut feed = ledger.subscribe(asked).await.expect("granted").into_inner();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = feed.message().await.expect("goes on").expect("an answer");
        seen.extend(batch.events.into_iter().filter_map(|event| event.account_event?.event));
    }
    let [Event::Opened(new), Event::Profile(change)] = &seen[..2] else { panic!("{seen:?}") };
    assert_eq!(new.metadata["card"], MASKED);
    assert_eq!(change.set_metadata["card"], "550000******5559");
    // The operators' page.
    let token = read(&bank.tokens.token("page", &["operator"], &["*"], &[]));
    let body = json!({ "ids": [{ "id": HOLDER.to_string() }] });
    let at = bank.server.console().await;
    let page = call(at, "Ledger/GetAccounts", &body, Some(&token)).await;
    let shown = format!("{:?}", page.json());
    assert!(shown.contains("550000******5559") && !shown.contains(OTHER), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_the_same_request_also_behind_a_rotation() {
    let bank = Bank::new().await;
    let olga = bank.client("olga", "operator").await;
    use account_result::Code::{Exists, ExistsDifferent, Opened};
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, Opened);
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, Exists);
    assert_eq!(opened(&olga, holder(HOLDER, OTHER)).await, ExistsDifferent);
    // What is set to what it is is no event.
    let before = set(&olga, HOLDER, CARD).await.expect("granted");
    assert_eq!(before.changed_lsn, 0, "{before:?}");
    let (old, stored) = (bank.secrets.current(), bank.kept(HOLDER).await);

    bank.secrets.replace(keys(&format!("{ONE}\n{TWO}")));
    assert_ne!(bank.secrets.current(), old);
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, Exists);
    assert_eq!(opened(&olga, holder(HOLDER, OTHER)).await, ExistsDifferent);
    assert_eq!(set(&olga, HOLDER, CARD).await.expect("granted").changed_lsn, 0);
    assert_eq!(bank.kept(HOLDER).await, stored, "as it was sealed");
    // Dry runs say the same.
    let request = |card: &str| proto::CreateAccountsRequest {
        accounts: vec![holder(HOLDER, card)],
        dry_run: true,
    };
    let mut ledger = LedgerClient::new(olga.connection());
    for (card, code) in [(CARD, Exists), (OTHER, ExistsDifferent)] {
        let said = ledger.create_accounts(request(card)).await.expect("granted").into_inner();
        assert_eq!(said.results[0].code(), code);
    }
    // A new value is under the new key, and what was opened is known all the same.
    assert!(set(&olga, HOLDER, OTHER).await.expect("granted").changed_lsn > 0);
    let now = bank.kept(HOLDER).await;
    assert!(now["card"].contains(&bank.secrets.current()) && !now["card"].contains(&old));
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, Exists, "whatever was changed since");
    // Both open, in one batch with new ones.
    let batch = vec![holder(HOLDER, CARD), holder(8, CARD), holder(HOLDER, OTHER)];
    let results = olga.create_accounts(batch).await.expect("well-formed");
    let codes: Vec<_> = results.iter().map(|result| result.code()).collect();
    assert_eq!(codes, [Exists, Opened, ExistsDifferent]);
    assert_eq!(reveal(&olga, HOLDER, "card").await, Ok(OTHER.to_owned()));
    assert_eq!(reveal(&olga, 8, "card").await, Ok(CARD.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_before_it_was_secret_is_masked_and_known() {
    let bank = Bank::new().await;
    let olga = bank.client("olga", "operator").await;
    let currencies = bank.server.handle().currencies();
    let currency = currencies.by_code("GBP").expect("ISO").id;
    let spec = AccountSpec { id: account(HOLDER), currency, overdraft_limit: 0, external: false };
    let mut opening = Opening::from(spec);
    opening.profile.metadata = holder(HOLDER, CARD).metadata.into_iter().collect();
    bank.server.handle().open_accounts(vec![opening]).await.expect("runs");
    assert_eq!(bank.kept(HOLDER).await["card"], CARD, "as a server without secret fields does");
    let told = told_of(&olga, HOLDER).await;
    assert!(told.contains(MASKED) && !told.contains(CARD), "{told}");
    use account_result::Code::{Exists, ExistsDifferent};
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, Exists);
    assert_eq!(opened(&olga, holder(HOLDER, OTHER)).await, ExistsDifferent);
    // Setting it seals it.
    assert_eq!(set(&olga, HOLDER, CARD).await.expect("granted").metadata["card"], MASKED);
    assert!(is_sealed(&bank.kept(HOLDER).await["card"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_and_repeats_nothing() {
    let bank = Bank::new().await;
    let olga = bank.client("olga", "operator").await;
    assert_eq!(opened(&olga, holder(HOLDER, CARD)).await, account_result::Code::Opened);
    let sealed = bank.kept(HOLDER).await["card"].clone();
    let refused = |error: ClientError| {
        let said = format!("{error} {error:?}");
        assert!(!said.contains(CARD) && !said.contains(&sealed), "{said}");
        error.reason().unwrap_or_default().to_owned()
    };
    // What looks sealed, for the same account and another, under a secret key and another.
    for id in [HOLDER, 9] {
        let error = olga.create_accounts(vec![holder(id, &sealed)]).await.expect_err("sealed");
        assert_eq!(refused(error), "METADATA_LOOKS_SEALED");
    }
    let set_metadata = pairs(&[("branch", &sealed)]).into_iter().collect();
    let moved = proto::UpdateAccountRequest { id: HOLDER, set_metadata, ..Default::default() };
    let error = olga.update_account(moved).await.expect_err("sealed");
    assert_eq!(refused(error), "METADATA_LOOKS_SEALED");
    // What fits as it is and not when it is sealed; a text that only begins so is one like any other.
    let error = set(&olga, HOLDER, &CARD.repeat(200)).await.expect_err("too large");
    assert_eq!(refused(error), "METADATA_TOO_LARGE");
    let error =
        olga.create_accounts(vec![holder(9, &CARD.repeat(200))]).await.expect_err("too large");
    assert_eq!(refused(error), "METADATA_TOO_LARGE");
    let error = set(&olga, HOLDER, "4929\n").await.expect_err("malformed");
    assert_eq!(refused(error), "METADATA_VALUE_MALFORMED");
    assert_eq!(set(&olga, HOLDER, "enc:1:AAAA").await.expect("a text").metadata["card"], "****");
    assert_eq!(reveal(&olga, HOLDER, "card").await, Ok("enc:1:AAAA".to_owned()));
    // Nobody finds out a value by trying.
    let metadata = pairs(&[("card", CARD)]).into_iter().collect();
    let filter = proto::AccountFilter { metadata, ..Default::default() };
    let asked = proto::ListAccountsRequest { filter: Some(filter), ..Default::default() };
    let status =
        LedgerClient::new(olga.connection()).list_accounts(asked).await.expect_err("secret");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::InvalidArgument, "METADATA_SECRET"));
    assert!(!format!("{status:?}").contains(CARD));
}

#[tokio::test(flavor = "multi_thread")]
async fn few_are_given_it_in_full_and_all_are_told_of() {
    let bank = Bank::new().await;
    let (olga, ann) = (bank.client("olga", "operator").await, bank.client("ann", "auditor").await);
    opened(&olga, holder(HOLDER, CARD)).await;
    opened(&olga, holder(70, OTHER)).await;
    for (role, denied) in [("reader", true), ("gateway", true), ("auditor", true), ("admin", false)]
    {
        let got = reveal(&bank.client(role, role).await, HOLDER, "card").await;
        let expected = if denied { Err("ROLE_MISSING".to_owned()) } else { Ok(CARD.to_owned()) };
        assert_eq!(got, expected, "{role}");
    }
    assert_eq!(reveal(&olga, HOLDER, "card").await, Ok(CARD.to_owned()));
    // At once: before the answer was there, it was in the trail.
    let trail = async |id: u64| {
        let entity = proto::audit_filter::Entity::Account(proto::AuditId { id, id_high: 0 });
        let filter = proto::AuditFilter {
            method: "Ledger/RevealMetadata".to_owned(),
            entity: Some(entity),
            ..Default::default()
        };
        let request =
            proto::ListAuditEventsRequest { filter: Some(filter), limit: 100, from_lsn: 0 };
        let page = AuditClient::new(ann.connection()).list_audit_events(request).await;
        page.expect("granted").into_inner().events
    };
    let told = trail(HOLDER).await;
    let who: Vec<_> =
        told.iter().map(|event| (event.principal.as_str(), event.entity.as_str())).collect();
    assert_eq!(who, [("admin", "account 7 field card"), ("olga", "account 7 field card")]);
    assert!(told.iter().all(|event| event.kind() == proto::AuditKind::Command && event.calls == 1));
    assert!(trail(70).await.is_empty(), "of another account");
    // What is not there, and what is not secret; with whatever the caller took for a key.
    for (id, key) in [(HOLDER, "branch"), (HOLDER, "passport"), (HOLDER, CARD), (70, "")] {
        assert_eq!(reveal(&olga, id, key).await, Err("SECRET_FIELD_UNKNOWN".to_owned()), "{key}");
    }
    assert_eq!(reveal(&olga, 71, "card").await, Err("ACCOUNT_UNKNOWN".to_owned()));
    let refused = trail(HOLDER).await.split_off(2);
    assert!(refused.iter().all(|event| event.entity == "account 7"), "{refused:?}");
    let said = format!("{:?} {refused:?}", trail(70).await);
    assert!(refused.len() == 3 && !said.contains(CARD), "{said}");
    // An operator of other accounts.
    let token = bank.tokens.token("shop", &["operator"], &["70"], &[]);
    let shop = bank.server.client(&bank.tokens, None, Some(&token)).await;
    assert_eq!(reveal(&shop, HOLDER, "card").await, Err("OUT_OF_SCOPE".to_owned()));
    assert_eq!(reveal(&shop, 70, "card").await, Ok(OTHER.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_revealed_where_nobody_tells_of_it() {
    let bank = Bank::with(|_| {}, None).await;
    let olga = bank.client("olga", "operator").await;
    opened(&olga, holder(HOLDER, CARD)).await;
    assert_eq!(reveal(&olga, HOLDER, "card").await, Err("REVEAL_UNTOLD".to_owned()));
}

/// Who asks for second factors, and above which amount for two persons.
fn asking(names: &[(&'static str, Secret)]) -> impl FnOnce(&mut Trust) {
    let secrets = Factors::of(names.iter().cloned());
    let amounts = Amounts::new(&["GBP=100000".parse().expect("an amount")]).expect("well-formed");
    move |trust| {
        let session = Duration::from_secs(900);
        trust.factor = Some(Rules { secrets, session, two_persons: amounts });
    }
}

async fn with_session(bank: &Bank, name: &str) -> Client {
    let claims = Claims {
        roles: Some(vec!["operator".to_owned()]),
        accounts: vec!["*".to_owned()],
        ..Claims::new(name, ISSUER, "ducat", now_s(), Duration::from_secs(1800))
    };
    let token = issue(&bank.tokens.token_key.serialize_pem(), &claims.with_second_factor());
    let file = bank.tokens.write(&format!("{name}-session.token"), &token.expect("signs"));
    bank.server.client(&bank.tokens, None, Some(&file)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_needed_and_a_second_person_sees_nothing_secret() {
    let names = ["anna", "bert"].map(|name| (name, Secret::random().expect("randomness")));
    let bank = Bank::with(asking(&names), Some(Auditor::new(Options::default()))).await;
    let (anna, bert) = (with_session(&bank, "anna").await, with_session(&bank, "bert").await);
    opened(&anna, holder(HOLDER, CARD)).await;
    let without = bank.client("anna", "operator").await;
    assert_eq!(reveal(&without, HOLDER, "card").await, Err("SECOND_FACTOR_NEEDED".to_owned()));
    assert_eq!(reveal(&anna, HOLDER, "card").await, Ok(CARD.to_owned()));
    // An account that may go far below zero is for two persons. What waits is sealed.
    let deep = || NewAccount { overdraft_limit: "5000.00".into(), ..holder(8, OTHER) };
    for _again in 0..2 {
        let error = anna.create_accounts(vec![deep()]).await.expect_err("too much for one");
        assert_eq!(error.reason(), Some("TWO_PERSONS_NEEDED"));
    }
    let mut approvals = ApprovalsClient::new(bert.connection());
    let listed = approvals.list_proposals(proto::ListProposalsRequest::default()).await;
    let listed = listed.expect("granted").into_inner().proposals;
    let [proposal] = &listed[..] else { panic!("{listed:?}") };
    let waits = String::from_utf8_lossy(&proposal.request);
    assert!(waits.contains("enc:") && !waits.contains(OTHER), "{waits}");
    let request =
        proto::ApproveRequest { id: proposal.id.clone(), digest: proposal.digest.clone() };
    approvals.approve(request).await.expect("done");
    assert_eq!(reveal(&bert, 8, "card").await, Ok(OTHER.to_owned()));
    assert_eq!(opened(&anna, holder(8, OTHER)).await, account_result::Code::ExistsDifferent);
    // A caller who was shown it cannot give it as theirs.
    let sealed = bank.kept(8).await["card"].clone();
    let error = anna.create_accounts(vec![holder(9, &sealed)]).await.expect_err("sealed");
    assert_eq!(error.reason(), Some("METADATA_LOOKS_SEALED"));
}

/// Money moves as it does; nothing of it is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_none_of_its_business() {
    let bank = Bank::new().await;
    let (olga, cards) = (bank.client("olga", "operator").await, bank.client("c", "gateway").await);
    open(&olga, 2).await;
    opened(&olga, holder(HOLDER, CARD)).await;
    let batch = vec![transfer(1, crate::world::BANK, HOLDER, 5), transfer(2, HOLDER, 2, 5)];
    let outcomes = cards.create_transfers(batch).await.expect("well-formed");
    assert!(outcomes.iter().all(|outcome| outcome.code() == proto::Code::Posted), "{outcomes:?}");
}

/// The binary: what a start refuses, what it says, keys that are added while it runs.
#[test]
fn the_program_wants_keys_and_takes_new_ones_over() {
    let dir = place();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("server")).expect("made");
    let (key, config) = (at("fields.key"), at("ducat.toml"));
    let first = stdout(&ducat(&["keys", "generate", text(&key)]));
    let write = |fields: &str, file: &str| {
        let section = format!("[secret_fields]\nfields = {fields}\nkey_file = \"{file}\"\n");
        let section = section.replace("key_file = \"\"\n", "");
        fs::write(&config, format!("[audit]\ntrail = \"on\"\n{section}")).expect("writes");
    };
    let refused = || {
        let output = ducat(&["config", "check", "--config", text(&config)]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    write("[\"card=card\"]", "");
    assert!(refused().contains("the fields card are secret, and there is no key"), "{}", refused());
    write("[\"card=visa\"]", text(&key));
    assert!(refused().contains("`secret_fields.fields`"), "{}", refused());
    write("[\"card\", \"card=card\"]", text(&key));
    assert!(refused().contains("named twice"), "{}", refused());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("opens it");
    write("[\"card=card\", \"passport\"]", text(&key));
    assert!(refused().contains("can be read by others"), "{}", refused());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("closes it");
    let says = stdout(&ducat(&["config", "check", "--config", text(&config)]));
    let named = format!("2 secret fields under key {}", first.trim());
    assert!(says.contains(&named), "{says}");
    let printed = stdout(&ducat(&["config", "print", "--config", text(&config)]));
    let line = "fields = [\"card=card\", \"passport\"]   # the file";
    assert!(printed.lines().any(|found| found == line), "{printed}");
    let inside = dir.path().join("server/ledger/fields.key");
    write("[\"card=card\"]", text(&inside));
    let output =
        ducat(&["serve", "--config", text(&config), "--data-dir", text(&at("server/ledger"))]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("lie in the data directory"), "{said}");

    write("[\"card=card\"]", text(&key));
    let server = program::Server::start(&at("server"), &["--config", text(&config)]);
    let url = format!("http://{}", server.address);
    let run = |line: &[&str]| ducat(&[&["--server", &url], line].concat());
    let create = ["account", "create", "7", "--currency", "GBP", "--meta"];
    let card = format!("card={CARD}");
    let create = [&create[..], &[&card]].concat();
    assert!(stdout(&run(&create)).contains("opened"));
    // Another key in the place of the first is a mistake; one behind it is taken over.
    let keys = fs::read_to_string(&key).expect("reads");
    fs::write(&key, TWO).expect("writes");
    server.reload("is not there any more");
    fs::write(&key, format!("{keys}{TWO}\n")).expect("writes");
    server.reload("were read again");
    assert!(stdout(&run(&create)).contains("exists"), "the same request");
    let shown = stdout(&run(&["account", "show", "7"]));
    assert!(shown.contains(MASKED) && !shown.contains(CARD), "{shown}");
    assert_eq!(stdout(&run(&["account", "reveal", "7", "card"])).trim(), CARD);
    let line = stdout(&run(&["account", "reveal", "7", "card", "--json"]));
    assert_eq!(line.trim(), format!("{{\"account\":\"7\",\"key\":\"card\",\"value\":\"{CARD}\"}}"));
    let trail = stdout(&run(&["audit", "list", "--account", "7"]));
    assert!(trail.contains("account 7 field card") && !trail.contains(CARD), "{trail}");
}
