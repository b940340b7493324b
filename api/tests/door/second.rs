//! Second factors and second persons, as operators and those who have stolen a token find them: what is
//! dangerous needs a code, every code is worth one call, and what is too much for one person waits for
//! another.

use crate::matrix;
use crate::program::{Server as ProgramServer, ducat, place, stdout, text};
use crate::world::{BANK, ISSUER, Secrets, Server, account, now_s, open, rights, transfer};
use ducat_api::audit::{Auditor, Options};
use ducat_api::client::{Client, ClientError};
use ducat_api::identity::factor::secrets::Secret;
use ducat_api::identity::factor::{Rules, STEP_S, Secrets as Factors, WRONG_MAX};
use ducat_api::identity::guard::Trust;
use ducat_api::identity::issue::{Claims, issue};
use ducat_api::identity::persons::Amounts;
use ducat_api::identity::roles::{CALLS, Call, Danger, ROLES};
use ducat_api::proto::approvals_client::ApprovalsClient;
use ducat_api::proto::audit_client::AuditClient;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::sagas_client::SagasClient;
use ducat_api::proto::schedules_client::SchedulesClient;
use ducat_api::proto::{self, AccountStatus, NewAccount, TransferKind, TransferRequest};
use ducat_api::tls::Clients;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Above which amounts two persons are needed, where they are.
const AMOUNTS: [&str; 2] = ["GBP=100000", "JPY=5"];

const SESSION: Duration = Duration::from_secs(900);

/// A server that asks for second factors, and those who have some.
pub struct Bank {
    server: Server,
    secrets: Secrets,
    names: Vec<(&'static str, Secret)>,
}

impl Bank {
    async fn new(amounts: &[&str]) -> Self {
        Self::with(amounts, Some(&Auditor::new(Options::default()))).await
    }

    async fn with(amounts: &[&str], auditor: Option<&Arc<Auditor>>) -> Self {
        let secrets = Secrets::new();
        let names: Vec<(&'static str, Secret)> = ["anna", "bert", "carl", "root", "cards"]
            .map(|name| (name, Secret::random().expect("randomness")))
            .into();
        let trust = Self::trust(&secrets, &names, amounts);
        let server = match auditor {
            Some(auditor) => Server::audited(None, trust, auditor).await,
            None => Server::start(None, Some(trust)).await,
        };
        let bank = Self { server, secrets, names };
        // Somebody whose token has a second factor, so that no code is used up. What is above an amount is
        // opened in a server without amounts.
        open(&bank.with_session("root", &["admin"]).await, 4).await;
        bank
    }

    fn trust(secrets: &Secrets, names: &[(&'static str, Secret)], amounts: &[&str]) -> Trust {
        let amounts: Vec<_> = amounts.iter().map(|text| text.parse().expect("amounts")).collect();
        let factor = Rules {
            secrets: Factors::of(names.iter().cloned()),
            session: SESSION,
            two_persons: Amounts::new(&amounts).expect("well-formed"),
        };
        let tokens = Some(secrets.token_rules());
        Trust { tokens, factor: Some(factor), ..Trust::default() }
    }

    /// From now on amounts need two persons.
    pub async fn with_two_persons() -> Self {
        let bank = Self::new(&[]).await;
        bank.ask_two_persons();
        bank
    }

    fn ask_two_persons(&self) {
        let trust = Self::trust(&self.secrets, &self.names, &AMOUNTS);
        self.server.guard.as_ref().expect("guarded").replace(trust);
    }

    fn code(&self, name: &str, steps: i64) -> String {
        let (_, secret) = self.names.iter().find(|(known, _)| *known == name).expect("enrolled");
        secret.code(now_s().saturating_add_signed(steps * STEP_S.cast_signed()))
    }

    /// With a token that has no second factor.
    pub async fn client(&self, name: &str, roles: &[&str]) -> Client {
        let token = self.secrets.token(name, roles, &["*"], &[]);
        self.server.client(&self.secrets, None, Some(&token)).await
    }

    /// The same, with a code beside it.
    async fn with_code(&self, name: &str, roles: &[&str], code: &str) -> Client {
        sending(&self.client(name, roles).await, code)
    }

    /// With a token that was given for a second factor, so many seconds ago.
    async fn with_claims(&self, name: &str, roles: &[&str], change: fn(&mut Claims)) -> Client {
        let mut claims = Claims {
            roles: Some(roles.iter().map(|&role| role.to_owned()).collect()),
            accounts: vec!["*".to_owned()],
            ..Claims::new(name, ISSUER, "ducat", now_s(), Duration::from_secs(1800))
        };
        claims = claims.with_second_factor();
        change(&mut claims);
        let token = issue(&self.secrets.token_key.serialize_pem(), &claims).expect("signs");
        let file = self.secrets.write(&format!("{name}-session.token"), &token);
        self.server.client(&self.secrets, None, Some(&file)).await
    }

    pub async fn with_session(&self, name: &str, roles: &[&str]) -> Client {
        self.with_claims(name, roles, |_| {}).await
    }

    async fn overdraft(&self, id: u64) -> String {
        let client = self.client("ann", &["auditor"]).await;
        let found = client.get_accounts(&[account(id)]).await.expect("granted");
        found.accounts[0].overdraft_limit.clone()
    }

    async fn proposals(&self) -> Vec<proto::Proposal> {
        let client = self.client("ann", &["auditor"]).await;
        let mut client = ApprovalsClient::new(client.connection());
        let listed = client.list_proposals(proto::ListProposalsRequest::default()).await;
        listed.expect("granted").into_inner().proposals
    }
}

fn sending(client: &Client, code: &str) -> Client {
    let uri = "http://127.0.0.1:1".parse().expect("loopback");
    Client::over(client.connection().with_code(code, &uri).expect("a header"))
}

/// The reason of a refusal, or nothing.
fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => error.reason().map_or_else(|| error.to_string(), str::to_owned),
    }
}

fn asked<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    result.map_or_else(|status| reason_of(&status), |_| "done".to_owned())
}

async fn freeze(client: &Client) -> String {
    reason(client.set_account_status(account(2), AccountStatus::Frozen).await)
}

async fn set_overdraft(client: &Client, id: u64, limit: &str) -> String {
    let request = proto::SetAccountLimitsRequest {
        id,
        overdraft_limit: Some(limit.to_owned()),
        ..Default::default()
    };
    asked(LedgerClient::new(client.connection()).set_account_limits(request).await)
}

pub fn adjustment(id: u64, minor: u64) -> TransferRequest {
    let kind = TransferKind::Adjustment.into();
    TransferRequest { kind, ..transfer(id, BANK, 2, minor) }
}

async fn approve(client: &Client, proposal: &proto::Proposal) -> Result<(), Status> {
    let request =
        proto::ApproveRequest { id: proposal.id.clone(), digest: proposal.digest.clone() };
    ApprovalsClient::new(client.connection()).approve(request).await.map(|_| ())
}

/// A schedule of corrections, there from the beginning.
const CORRECTIONS: u64 = 909;

fn correction() -> proto::PlannedTransfer {
    proto::PlannedTransfer {
        debit_account: BANK,
        credit_account: 2,
        amount: "1.00".into(),
        currency: "GBP".into(),
        kind: TransferKind::Adjustment.into(),
        ..Default::default()
    }
}

/// A schedule of them.
fn corrections(id: u64) -> proto::CreateScheduleRequest {
    let definition = proto::ScheduleDefinition {
        id,
        transfer: Some(correction()),
        calendar: Some(proto::ScheduleCalendar::default()),
        ..Default::default()
    };
    proto::CreateScheduleRequest { definition: Some(definition), dry_run: false }
}

/// What is dangerous by its content, each in a way that would be done by somebody with the role.
async fn by_content(client: &Client, what: &str) -> String {
    let mut ledger = LedgerClient::new(client.connection());
    let mut schedules = SchedulesClient::new(client.connection());
    match what {
        "Transfer" => asked(ledger.transfer(adjustment(900, 1)).await),
        "CreateTransfers" => {
            let transfers = vec![transfer(901, BANK, 2, 1), adjustment(902, 1)];
            reason(client.create_transfers(transfers).await)
        }
        "StreamTransfers" => {
            let refused = |error: ClientError| error.reason().unwrap_or_default().to_owned();
            let (mut sender, mut answers) = match client.stream(1).await {
                Ok(opened) => opened,
                Err(error) => return refused(error),
            };
            if let Err(error) = sender.send(vec![adjustment(903, 1)]).await {
                return refused(error);
            }
            match answers.next().await.map(|answer| answer.expect("one").result) {
                Ok(Ok(_)) => "done".to_owned(),
                Ok(Err(refused)) => refused.reason,
                Err(error) => refused(error),
            }
        }
        "ReverseGroup" => {
            let (id, original_id, allow_overdraft) = (904, 800, true);
            let request = proto::ReverseGroupRequest {
                id,
                original_id,
                allow_overdraft,
                ..Default::default()
            };
            asked(ledger.reverse_group(request).await)
        }
        "refund" => {
            let refund = TransferRequest {
                id: 905,
                operation: proto::Operation::Refund.into(),
                original_id: 801,
                amount_minor: 1,
                allow_overdraft: true,
                ..Default::default()
            };
            asked(ledger.transfer(refund).await)
        }
        "CreateAccounts" => {
            let bank = NewAccount::new(account(905), "GBP", true);
            reason(client.create_accounts(vec![bank]).await)
        }
        "overdraft" => {
            let overdraft_limit = "1.00".to_owned();
            let deep =
                NewAccount { overdraft_limit, ..NewAccount::new(account(906), "GBP", false) };
            reason(client.create_accounts(vec![deep]).await)
        }
        "UpdateAccount" => {
            let owner = Some("cus_9".to_owned());
            let request = proto::UpdateAccountRequest { id: 3, owner, ..Default::default() };
            asked(ledger.update_account(request).await)
        }
        "CreateSchedule" => asked(schedules.create_schedule(corrections(907)).await),
        "ResumeSchedule" => {
            let request = proto::ChangeScheduleRequest { id: CORRECTIONS, ..Default::default() };
            asked(schedules.resume_schedule(request).await)
        }
        "RunSchedule" => {
            let request = proto::RunScheduleRequest { id: CORRECTIONS, ..Default::default() };
            asked(schedules.run_schedule(request).await)
        }
        "StartSaga" => {
            let action = Some(proto::saga_step::Action::Transfer(correction()));
            let step = proto::SagaStep { name: "correct".into(), action, ..Default::default() };
            let definition =
                proto::SagaDefinition { id: 908, steps: vec![step], ..Default::default() };
            let request = proto::StartSagaRequest { definition: Some(definition), dry_run: false };
            asked(SagasClient::new(client.connection()).start_saga(request).await)
        }
        other => panic!("{other} is new: say here how it is dangerous"),
    }
}

/// Which call stands behind each of them.
const BY_CONTENT: [(&str, &str); 12] = [
    ("Transfer", "Ledger/Transfer"),
    ("CreateTransfers", "Ledger/CreateTransfers"),
    ("StreamTransfers", "Ledger/StreamTransfers"),
    ("ReverseGroup", "Ledger/ReverseGroup"),
    ("refund", "Ledger/Transfer"),
    ("CreateAccounts", "Ledger/CreateAccounts"),
    ("overdraft", "Ledger/CreateAccounts"),
    ("UpdateAccount", "Ledger/UpdateAccount"),
    ("CreateSchedule", "Schedules/CreateSchedule"),
    ("ResumeSchedule", "Schedules/ResumeSchedule"),
    ("RunSchedule", "Schedules/RunSchedule"),
    ("StartSaga", "Sagas/StartSaga"),
];

/// What is to be given back, deposits of 800 and 801, and what is to be run, a schedule of corrections that waits.
async fn deposit(bank: &Bank) {
    plan_corrections(bank).await;
    let gateway = bank.client("cards", &["gateway"]).await;
    let deposits = [800, 801].map(|id| transfer(id, BANK, 2, 5)).to_vec();
    let done = gateway.create_transfers(deposits).await.expect("an everyday call");
    assert!(done.iter().all(|outcome| outcome.code() == proto::Code::Posted), "{done:?}");
}

async fn plan_corrections(bank: &Bank) {
    let root = bank.with_session("root", &["admin"]).await;
    let mut schedules = SchedulesClient::new(root.connection());
    let mut request = corrections(CORRECTIONS);
    // In a hundred years.
    if let Some(definition) = &mut request.definition {
        definition.start_ns = 4_900_000_000_000_000_000;
    }
    schedules.create_schedule(request).await.expect("with a second factor");
    let request = proto::ChangeScheduleRequest { id: CORRECTIONS, ..Default::default() };
    schedules.pause_schedule(request).await.expect("an everyday call");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_factor_nothing_dangerous_is_done_by_any_role() {
    // Without a trail, so that the state tells of nothing but what was done.
    let bank = Bank::with(&[], None).await;
    deposit(&bank).await;
    let mut always: Vec<&Call> =
        CALLS.iter().filter(|call| call.danger == Danger::Always).collect();
    always.sort_by_key(|call| call.path);
    let by_content: Vec<&str> = CALLS
        .iter()
        .filter(|call| call.danger == Danger::ByContent)
        .filter_map(|call| call.path.strip_prefix("/ducat.v1."))
        .collect();
    for call in &by_content {
        assert!(BY_CONTENT.iter().any(|(_, known)| known == call), "{call} is held to nothing");
    }
    let before = bank.server.handle().summary().await.expect("runs").hash;
    let mut denied = 0;
    for role in ROLES {
        // One who is enrolled, and one who is not; neither has a code.
        for name in ["carl", "nina"] {
            let client = bank.client(name, &[role.name()]).await;
            let needed = ["SECOND_FACTOR_NEEDED", "SECOND_FACTOR_NOT_ENROLLED"];
            for call in &always {
                let method = call.path.strip_prefix("/ducat.v1.").expect("ours");
                let status = matrix::ask(&client, method, 2).await.expect_err(method);
                let why = format!("{role} {name} {method}: {status:?}");
                assert_eq!(status.code(), Code::PermissionDenied, "{why}");
                let reason = reason_of(&status);
                let fits = if call.allows(role) { &needed[..] } else { &["ROLE_MISSING"] };
                assert!(fits.contains(&reason.as_str()), "{why}");
                denied += 1;
            }
            for (what, call) in BY_CONTENT {
                let path = format!("/ducat.v1.{call}");
                let allows = Call::find(&path).expect("listed").allows(role);
                let reason = self::by_content(&client, what).await;
                let fits = if allows { &needed[..] } else { &["ROLE_MISSING"] };
                assert!(fits.contains(&reason.as_str()), "{role} {name} {what}: {reason}");
                denied += 1;
            }
        }
    }
    assert_eq!(denied, 5 * 2 * (always.len() + BY_CONTENT.len()));
    let after = bank.server.handle().summary().await.expect("runs").hash;
    assert_eq!(before, after, "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_second_factor_all_of_it_is_done() {
    let bank = Bank::new(&[]).await;
    deposit(&bank).await;
    let root = bank.with_session("root", &["admin"]).await;
    for (what, _) in BY_CONTENT {
        assert_eq!(by_content(&root, what).await, "done", "{what}");
    }
    for call in CALLS.iter().filter(|call| call.danger == Danger::Always) {
        let method = call.path.strip_prefix("/ducat.v1.").expect("ours");
        if let Err(status) = matrix::ask(&root, method, 2).await {
            assert_ne!(status.code(), Code::PermissionDenied, "{method}: {status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_worth_one_call_and_only_a_dangerous_one() {
    let bank = Bank::new(&[]).await;
    let code = bank.code("anna", 0);
    let anna = bank.with_code("anna", &["operator"], &code).await;
    // Neither of these needs it.
    anna.get_accounts(&[account(2)]).await.expect("granted");
    let plain = NewAccount::new(account(9), "GBP", false);
    assert_eq!(reason(anna.create_accounts(vec![plain]).await), "done");
    assert_eq!(freeze(&anna).await, "done");
    assert_eq!(freeze(&anna).await, "SECOND_FACTOR_WRONG", "a replay");
    // The same code on another connection, and by a call whose content decides.
    let again = bank.with_code("anna", &["admin"], &code).await;
    assert_eq!(by_content(&again, "Transfer").await, "SECOND_FACTOR_WRONG");
    let next = bank.with_code("anna", &["operator"], &bank.code("anna", 1)).await;
    assert_eq!(freeze(&next).await, "done");
    assert_eq!(bank.server.guard.as_ref().expect("guarded").codes_refused(), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_another_time_or_person_are_wrong_and_several_lock() {
    let bank = Bank::new(&[]).await;
    let other = bank.code("bert", 0);
    let wrong = [bank.code("anna", -3), bank.code("anna", 3), other, String::new(), "12345".into()];
    assert_eq!(wrong.len(), WRONG_MAX);
    for code in &wrong {
        let anna = bank.with_code("anna", &["operator"], code).await;
        assert_eq!(freeze(&anna).await, "SECOND_FACTOR_WRONG", "{code}");
    }
    let right = bank.with_code("anna", &["operator"], &bank.code("anna", 0)).await;
    let refused = right.set_account_status(account(2), AccountStatus::Frozen).await;
    let refused = refused.expect_err("locked");
    assert_eq!(refused.reason(), Some("SECOND_FACTOR_LOCKED"));
    let ClientError::Refused(refused) = refused else { panic!("{refused}") };
    assert!(refused.retry_after.is_some_and(|after| after > Duration::from_secs(60)));
    let bert = bank.with_code("bert", &["operator"], &bank.code("bert", 0)).await;
    assert_eq!(freeze(&bert).await, "done", "nobody else is locked");
    assert_eq!(bank.server.guard.as_ref().expect("guarded").codes_refused(), (5, 1));
    // All of it is in the trail.
    let told = denied(&bank, 6).await;
    let count = |reason: &str| -> u64 {
        told.iter().filter(|event| event.reason == reason).map(|event| event.calls).sum()
    };
    assert_eq!((count("SECOND_FACTOR_WRONG"), count("SECOND_FACTOR_LOCKED")), (5, 1), "{told:?}");
    assert!(told.iter().all(|event| event.principal == "anna"), "{told:?}");
}

/// The calls that were denied, once so many are told of.
async fn denied(bank: &Bank, calls: u64) -> Vec<proto::AuditEvent> {
    let client = bank.client("ann", &["auditor"]).await;
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let kinds = vec![proto::AuditKind::Denied.into()];
        let filter = Some(proto::AuditFilter { kinds, ..Default::default() });
        let request = proto::ListAuditEventsRequest { filter, limit: 1_000, from_lsn: 0 };
        let page = AuditClient::new(client.connection()).list_audit_events(request).await;
        let found = page.expect("granted").into_inner().events;
        if found.iter().map(|event| event.calls).sum::<u64>() >= calls {
            return found;
        }
        assert!(Instant::now() < end, "{found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_second_factor_counts_for_its_time() {
    let bank = Bank::new(&[]).await;
    let operator = &["operator"];
    assert_eq!(freeze(&bank.with_session("nina", operator).await).await, "done", "by its issuer");
    let old: fn(&mut Claims) = |claims| claims.auth_time = Some(now_s() - SESSION.as_secs() - 60);
    let early: fn(&mut Claims) = |claims| claims.auth_time = Some(now_s() + 3600);
    let without: fn(&mut Claims) = |claims| claims.auth_time = None;
    let password: fn(&mut Claims) = |claims| claims.amr = vec!["pwd".to_owned()];
    for (what, change) in
        [("old", old), ("early", early), ("no time", without), ("another way", password)]
    {
        let client = bank.with_claims("anna", operator, change).await;
        assert_eq!(freeze(&client).await, "SECOND_FACTOR_NEEDED", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_needs_a_code_as_a_token_does() {
    let secrets = Secrets::new();
    let name = "spiffe://bank/olga";
    secrets.write_pair("olga", &secrets.ca.client(name).expect("made"));
    let secret = Secret::random().expect("randomness");
    let factor = Rules {
        secrets: Factors::of([(name, secret.clone())]),
        session: SESSION,
        two_persons: None,
    };
    let granted =
        format!("[[principals]]\nname = \"{name}\"\nroles = [\"operator\"]\naccounts = [\"*\"]");
    let trust = Trust { rights: rights(&granted), factor: Some(factor), ..Trust::default() };
    let server = Server::start(Some(secrets.tls(Clients::Required)), Some(trust)).await;
    let olga = server.client(&secrets, Some("olga"), None).await;
    let plain = NewAccount::new(account(2), "GBP", false);
    assert_eq!(reason(olga.create_accounts(vec![plain]).await), "done");
    assert_eq!(freeze(&olga).await, "SECOND_FACTOR_NEEDED");
    assert_eq!(freeze(&sending(&olga, &secret.code(now_s()))).await, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_amount_a_second_person_is_needed_and_is_another_one() {
    let bank = Bank::with_two_persons().await;
    let anna = bank.with_session("anna", &["operator"]).await;
    assert_eq!(set_overdraft(&anna, 2, "1000.00").await, "done", "as much as one person may");
    assert_eq!(set_overdraft(&anna, 2, "1000.01").await, "TWO_PERSONS_NEEDED");
    assert_eq!(set_overdraft(&anna, 2, "1000.01").await, "TWO_PERSONS_NEEDED", "asked again");
    assert_eq!(bank.overdraft(2).await, "1000.00", "nothing was done");
    let kept = bank.proposals().await;
    let [proposal] = &kept[..] else { panic!("one, however often it is asked for: {kept:?}") };
    assert_eq!((&*proposal.proposed_by, &*proposal.method), ("anna", "Ledger/SetAccountLimits"));
    assert_eq!(proposal.state(), proto::ProposalState::Open);

    // The same person, under another role and with a fresh code; no second factor; no role for it.
    let same = bank.with_code("anna", &["admin"], &bank.code("anna", 0)).await;
    assert_eq!(asked(approve(&same, proposal).await), "SAME_PERSON");
    let without = bank.client("bert", &["operator"]).await;
    assert_eq!(asked(approve(&without, proposal).await), "SECOND_FACTOR_NEEDED");
    let gateway = bank.with_session("cards", &["gateway"]).await;
    assert_eq!(asked(approve(&gateway, proposal).await), "ROLE_MISSING");
    let reader = bank.with_session("carl", &["reader"]).await;
    assert_eq!(asked(approve(&reader, proposal).await), "ROLE_MISSING");
    // Something else than what was looked at.
    let bert = bank.with_code("bert", &["operator"], &bank.code("bert", 0)).await;
    let mut changed = proposal.clone();
    changed.digest[7] ^= 1;
    assert_eq!(asked(approve(&bert, &changed).await), "PROPOSAL_OTHER");
    assert_eq!(asked(approve(&bert, proposal).await), "SECOND_FACTOR_WRONG", "a code is for one");
    assert_eq!(bank.overdraft(2).await, "1000.00", "still nothing");

    let bert = sending(&bert, &bank.code("bert", 1));
    assert_eq!(asked(approve(&bert, proposal).await), "done");
    assert_eq!(bank.overdraft(2).await, "1000.01");
    let carl = bank.with_session("carl", &["operator"]).await;
    assert_eq!(set_overdraft(&carl, 2, "1.00").await, "done");
    assert_eq!(asked(approve(&carl, proposal).await), "PROPOSAL_DONE");
    assert_eq!(bank.overdraft(2).await, "1.00", "it was done once");
    let done = bank.proposals().await;
    assert_eq!(done[0].state(), proto::ProposalState::Done);
    assert_eq!(done[0].approved_by, "bert");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_persons_are_in_the_trail() {
    let bank = Bank::with_two_persons().await;
    let anna = bank.with_session("anna", &["operator"]).await;
    let bert = bank.with_session("bert", &["operator"]).await;
    assert_eq!(set_overdraft(&anna, 3, "2000.00").await, "TWO_PERSONS_NEEDED");
    let proposal = bank.proposals().await.remove(0);
    assert_eq!(asked(approve(&bert, &proposal).await), "done");
    let proposed = denied(&bank, 1).await;
    assert_eq!((&*proposed[0].principal, &*proposed[0].reason), ("anna", "TWO_PERSONS_NEEDED"));
    assert!(proposed[0].detail.contains(&proposal.id), "{proposed:?}");
    let auditor = bank.client("ann", &["auditor"]).await;
    let told = async |method: &str| {
        let filter = Some(proto::AuditFilter { method: method.into(), ..Default::default() });
        let request = proto::ListAuditEventsRequest { filter, limit: 1_000, from_lsn: 0 };
        let page = AuditClient::new(auditor.connection()).list_audit_events(request).await;
        page.expect("granted").into_inner().events
    };
    // At once, both: what it did is in one append with who did it, and the approval waits for its event.
    let changed = told("Ledger/SetAccountLimits").await;
    let changed: Vec<_> = changed.iter().filter(|event| event.done > 0).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0].principal, "anna with bert");
    let approved = told("Approvals/Approve").await;
    assert_eq!((approved.len(), &*approved[0].principal), (1, "bert"), "{approved:?}");
    let about = format!("proposal {} of anna: Ledger/SetAccountLimits", proposal.id);
    assert_eq!(approved[0].entity, about);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrections_are_weighed_in_their_own_currency_and_all_together() {
    let bank = Bank::with_two_persons().await;
    let root = bank.with_session("root", &["admin"]).await;
    let outcome = root.transfer(adjustment(1, 100_000)).await.expect("as much as one may");
    assert_eq!(outcome.code(), proto::Code::Posted);
    assert_eq!(reason(root.transfer(adjustment(2, 100_001)).await), "TWO_PERSONS_NEEDED");
    // Halves of it in one batch are no less; in words of the currency, and on a stream, neither.
    let halves = vec![adjustment(3, 60_000), transfer(4, BANK, 2, 7), adjustment(5, 60_000)];
    assert_eq!(reason(root.create_transfers(halves).await), "TWO_PERSONS_NEEDED");
    let text = TransferRequest {
        amount_minor: 0,
        amount: "1000.01".into(),
        currency: "GBP".into(),
        ..adjustment(6, 0)
    };
    assert_eq!(reason(root.transfer(text).await), "TWO_PERSONS_NEEDED");
    let (mut sender, mut answers) = root.stream(1).await.expect("opened");
    sender.send(vec![adjustment(7, 100_001)]).await.expect("sent");
    let answer = answers.next().await.expect("answered").expect("one");
    assert_eq!(answer.result.expect_err("refused").reason, "TWO_PERSONS_NEEDED");
    // Only tried, it frees nothing.
    let tried = TransferRequest { dry_run: true, ..adjustment(8, 100_001) };
    assert_eq!(asked(LedgerClient::new(root.connection()).transfer(tried).await), "done");
    // What every day brings is no correction, however large.
    assert_eq!(reason(root.transfer(transfer(9, BANK, 2, 5_000_000)).await), "done");

    let kept = bank.proposals().await;
    assert_eq!(kept.len(), 3, "a stream keeps none: {kept:?}");
    let carl = bank.with_session("carl", &["admin"]).await;
    let before = balance(&bank).await;
    assert_eq!(asked(approve(&carl, &kept[1]).await), "done");
    assert_eq!(balance(&bank).await - before, 120_007, "the batch, whole");
    assert_eq!(asked(approve(&carl, &kept[1]).await), "PROPOSAL_DONE");
    assert_eq!(balance(&bank).await - before, 120_007, "once");
    let mut client = ApprovalsClient::new(carl.connection());
    let id = kept[0].id.clone();
    client.reject(proto::RejectRequest { id }).await.expect("open");
    assert_eq!(asked(approve(&carl, &kept[0]).await), "PROPOSAL_UNKNOWN");
    assert_eq!(bank.proposals().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_limits_at_once_are_judged_one_by_one() {
    let bank = Bank::with_two_persons().await;
    let root = bank.with_session("root", &["admin"]).await;
    let ids = 100..140;
    let accounts = ids.clone().map(|id| NewAccount::new(account(id), "GBP", false));
    assert_eq!(reason(root.create_accounts(accounts.collect()).await), "done");
    let change = async |id, overdraft: Option<&str>, floor: Option<&str>| {
        let (overdraft_limit, floor) = (overdraft.map(str::to_owned), floor.map(str::to_owned));
        let request =
            proto::SetAccountLimitsRequest { id, overdraft_limit, floor, ..Default::default() };
        asked(LedgerClient::new(root.connection()).set_account_limits(request).await)
    };
    for id in ids {
        assert_eq!(change(id, None, Some("0")).await, "done");
        // Each alone frees nothing: behind the floor, or without an overdraft.
        let (up, off) = (change(id, Some("5000.00"), None), change(id, None, Some("")));
        let mut both: [String; 2] = tokio::join!(up, off).into();
        both.sort();
        assert_eq!(both, ["TWO_PERSONS_NEEDED", "done"], "account {id}");
    }
}

/// A reversal of this transfer that may overdraw whoever pays it.
fn deep_reversal(id: u64, original_id: u64) -> TransferRequest {
    TransferRequest {
        id,
        operation: proto::Operation::Reverse.into(),
        original_id,
        allow_overdraft: true,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_batch_itself_makes_known_needs_two_always() {
    let bank = Bank::with_two_persons().await;
    let root = bank.with_session("root", &["admin"]).await;
    // What is refunded is in the same batch, and gone from whoever pays it back before it is.
    let whole = |first| {
        let on = transfer(first + 1, 2, 3, 9_000_000);
        vec![transfer(first, BANK, 2, 9_000_000), on, deep_reversal(first + 2, first)]
    };
    let before = balance(&bank).await;
    assert_eq!(reason(root.create_transfers(whole(10)).await), "TWO_PERSONS_NEEDED");
    assert_eq!(balance(&bank).await, before, "nothing was done");
    let part = TransferRequest {
        amount_minor: 1,
        operation: proto::Operation::Refund.into(),
        ..deep_reversal(22, 20)
    };
    let batch = vec![transfer(20, BANK, 2, 9_000_000), part];
    assert_eq!(reason(root.create_transfers(batch).await), "TWO_PERSONS_NEEDED");
    let (mut sender, mut answers) = root.stream(1).await.expect("opened");
    sender.send(whole(30)).await.expect("sent");
    let answer = answers.next().await.expect("answered").expect("one");
    assert_eq!(answer.result.expect_err("refused").reason, "TWO_PERSONS_NEEDED");
    // Nor is it known what an account will hold that is not there yet.
    let to_come = TransferRequest { debit_account: 77, ..adjustment(40, 1) };
    assert_eq!(reason(root.transfer(to_come).await), "TWO_PERSONS_NEEDED");
    // What was moved before is as much as it was.
    assert_eq!(reason(root.transfer(transfer(50, BANK, 2, 100_000)).await), "done");
    let outcome = root.transfer(deep_reversal(51, 50)).await.expect("as much as one may");
    assert_eq!(outcome.code(), proto::Code::Posted);
    assert_eq!(reason(root.transfer(transfer(52, BANK, 2, 100_001)).await), "done");
    assert_eq!(reason(root.transfer(deep_reversal(53, 52)).await), "TWO_PERSONS_NEEDED");
}

async fn balance(bank: &Bank) -> i64 {
    let client = bank.client("ann", &["auditor"]).await;
    let found = client.get_accounts(&[account(2)]).await.expect("granted");
    found.accounts[0].posted_minor.parse().expect("small")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_amount_or_no_named_currency_needs_two_always() {
    let bank = Bank::new(&[]).await;
    plan_corrections(&bank).await;
    bank.ask_two_persons();
    let root = bank.with_session("root", &["admin"]).await;
    for what in ["CreateAccounts", "CreateSchedule", "ResumeSchedule", "RunSchedule"] {
        assert_eq!(by_content(&root, what).await, "TWO_PERSONS_NEEDED", "{what}");
    }
    assert_eq!(by_content(&root, "StartSaga").await, "done", "a pound is not too much");
    let euros = NewAccount::new(account(50), "EUR", false);
    assert_eq!(reason(root.create_accounts(vec![euros]).await), "done");
    assert_eq!(set_overdraft(&root, 50, "0.01").await, "TWO_PERSONS_NEEDED", "EUR is not named");
    assert_eq!(set_overdraft(&root, 50, "0").await, "done", "which frees nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_ends_with_what_was_granted_to_whoever_made_it() {
    let bank = Bank::with_two_persons().await;
    let anna = bank.with_session("anna", &["operator"]).await;
    assert_eq!(set_overdraft(&anna, 2, "5000.00").await, "TWO_PERSONS_NEEDED");
    let proposal = bank.proposals().await.remove(0);
    let trust = Bank::trust(&bank.secrets, &bank.names, &AMOUNTS);
    bank.server.guard.as_ref().expect("guarded").replace(trust);
    let bert = bank.with_session("bert", &["operator"]).await;
    assert_eq!(asked(approve(&bert, &proposal).await), "PROPOSAL_OVER");
    assert_eq!(bank.overdraft(2).await, "0.00");
}

/// Keys that tokens are signed and checked with, of the program's own making: `tokens.key` and `tokens.pub`.
fn keys_for_tokens(dir: &Path) {
    let public = stdout(&ducat(&["key", "generate", "--key", text(&dir.join("tokens.key"))]));
    fs::write(dir.join("tokens.pub"), public).expect("writes");
}

/// A token of the program's own making, in a file.
fn issued(dir: &Path, name: &str, more: &[&str]) -> PathBuf {
    let (key, token) = (dir.join("tokens.key"), dir.join(format!("{name}.token")));
    let issue = ["token", "issue", "--key", text(&key), "--issuer", "me", "--subject", name];
    let grant = ["--role", "operator", "--accounts", "*"];
    fs::write(&token, stdout(&ducat(&[&issue[..], &grant, more].concat()))).expect("writes");
    token
}

/// The code that an authenticator shows for what `ducat operator enrol` has printed.
fn shown(uri: &str) -> String {
    let secret = uri.split("secret=").nth(1).and_then(|rest| rest.split('&').next());
    Secret::parse(secret.expect("a secret")).expect("base 32").code(now_s())
}

#[test]
fn the_program_enrols_asks_keeps_and_approves() {
    let dir = place();
    let path = |name: &str| dir.path().join(name);
    keys_for_tokens(dir.path());
    let (factors, public) = (path("factors.toml"), path("tokens.pub"));
    let enrol = |name: &str| ducat(&["operator", "enrol", name, "--secrets-file", text(&factors)]);
    let (anna, bert) = (stdout(&enrol("anna")), stdout(&enrol("bert")));
    let again = enrol("anna");
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let mode = fs::metadata(&factors).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(
        path("ducat.toml"),
        format!(
            "[tokens]\nkeys_file = \"{}\"\nissuer = \"me\"\n[second_factor]\nsecrets_file = \
             \"{}\"\n[two_persons]\nabove_minor = [\"GBP=100000\", \"*=0\"]\n",
            text(&public),
            text(&factors)
        ),
    )
    .expect("writes");
    let checked = stdout(&ducat(&["config", "check", "--config", text(&path("ducat.toml"))]));
    assert!(checked.contains("2 second factors"), "{checked}");
    let server = ProgramServer::start(dir.path(), &["--config", text(&path("ducat.toml"))]);
    let url = format!("http://{}", server.address);
    let ask = |token: &Path, args: &[&str]| {
        ducat(&[&["--server", &url, "--token-file", text(token)], args].concat())
    };
    let refused = |output: &std::process::Output, says: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains(says), "{said}");
        said
    };
    let token = issued(dir.path(), "anna", &[]);
    stdout(&ask(&token, &["account", "create", "7", "--currency", "GBP"]));
    let limits = ["account", "limits", "7", "--overdraft", "2000.00"];
    refused(&ask(&token, &limits), "needs a second factor of anna");
    let wrong = ask(&token, &[&["--totp", "000"], &limits[..]].concat());
    refused(&wrong, "is not the one that anna has now");
    // A token with a second factor, and what is too much for one person.
    let session = ["--secrets-file", text(&factors), "--totp", &shown(&anna)];
    let token = issued(dir.path(), "anna", &session);
    let said = refused(&ask(&token, &limits), "kept as proposal");
    let id = said.trim().rsplit(' ').next().expect("its id");
    let listed = stdout(&ask(&token, &["proposals"]));
    let what =
        "Ledger/SetAccountLimits {\"id\":\"7\",\"overdraftLimit\":\"2000.00\"}, proposed by anna";
    assert!(listed.contains(&format!("open {id}: {what}")), "{listed}");
    let own = ask(&token, &["approve", id, "--yes"]);
    refused(&own, "somebody else approves it");
    let other = issued(dir.path(), "bert", &[]);
    let code = shown(&bert);
    // Whoever does not say yes does nothing.
    refused(&ask(&other, &["--totp", &code, "approve", id]), "nothing was done");
    let done = stdout(&ask(&other, &["--totp", &code, "approve", id, "--yes"]));
    assert!(done.contains("approved by bert"), "{done}");
    let shown = stdout(&ask(&other, &["--json", "account", "show", "7"]));
    assert!(shown.contains("2000.00"), "{shown}");
}

/// Of the program, since it is what must say where codes are kept.
#[test]
fn a_code_that_was_used_before_a_kill_is_used_after_it() {
    let dir = place();
    let path = |name: &str| dir.path().join(name);
    keys_for_tokens(dir.path());
    let factors = path("factors.toml");
    let anna = stdout(&ducat(&["operator", "enrol", "anna", "--secrets-file", text(&factors)]));
    let token = issued(dir.path(), "anna", &[]);
    let public = path("tokens.pub");
    let options =
        ["--token-keys", text(&public), "--token-issuer", "me", "--second-factor-secrets"];
    let options = [&options[..], &[text(&factors)]].concat();
    let asked = |server: &ProgramServer, args: &[&str]| {
        let url = format!("http://{}", server.address);
        ducat(&[&["--server", &url, "--token-file", text(&token)], args].concat())
    };
    let limits = ["account", "limits", "7", "--overdraft", "20.00"];
    let mut server = ProgramServer::start(dir.path(), &options);
    stdout(&asked(&server, &["account", "create", "7", "--currency", "GBP"]));
    let code = shown(&anna);
    stdout(&asked(&server, &[&["--totp", &code], &limits[..]].concat()));
    server.abort();
    fs::remove_file(path("ready")).expect("removed");
    let server = ProgramServer::start(dir.path(), &options);
    let again = asked(&server, &[&["--totp", &code], &limits[..]].concat());
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(said.contains("or it was used already"), "{said}");
}

#[test]
fn settings_that_ask_nobody_are_refused_and_production_is_told_what_it_lacks() {
    let dir = place();
    let factors = dir.path().join("factors.toml");
    stdout(&ducat(&["operator", "enrol", "anna", "--secrets-file", text(&factors)]));
    for (args, says) in [
        (vec!["--two-persons-above", "GBP=1"], "--second-factor-secrets"),
        (vec!["--second-factor-secrets", text(&factors)], "nobody is asked who they are"),
        (vec!["--two-persons-above", "GBP"], "GBP=1000000"),
    ] {
        let refused = ducat(&[&["config", "check"], &args[..]].concat());
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(says), "{args:?}: {said}");
    }
    let keys = dir.path().join("tokens.pub");
    let key = dir.path().join("tokens.key");
    fs::write(&keys, stdout(&ducat(&["key", "generate", "--key", text(&key)]))).expect("writes");
    let production = ["config", "check", "--profile", "production", "--token-issuer", "me"];
    let more = ["--token-keys", text(&keys), "--encryption", "disk"];
    let production = [&production[..], &more].concat();
    let checked = ducat(&production);
    stdout(&checked);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("operators have no second factor"), "{said}");
    let with = [&production[..], &["--second-factor-secrets", text(&factors)]].concat();
    let checked = ducat(&with);
    stdout(&checked);
    assert!(!String::from_utf8_lossy(&checked.stderr).contains("no second factor"), "{checked:?}");
    fs::set_permissions(&factors, fs::Permissions::from_mode(0o644)).expect("changed");
    let open = ducat(&with);
    assert!(String::from_utf8_lossy(&open.stderr).contains("others than its owner"), "{open:?}");
}
