//! Every role × every call × own and foreign account: what is not granted is denied.

use crate::world::{BANK, Secrets, Server, account, open, transfer, transfer_id};
use ducat_api::client::{Client, ClientError};
use ducat_api::identity::guard::Trust;
use ducat_api::identity::roles::CALLS;
use ducat_api::proto::approvals_client::ApprovalsClient;
use ducat_api::proto::audit_client::AuditClient;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::login_client::LoginClient;
use ducat_api::proto::operator_client::OperatorClient;
use ducat_api::proto::sagas_client::SagasClient;
use ducat_api::proto::schedules_client::SchedulesClient;
use ducat_api::proto::{self, TransferRequest};
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};

const OWN: u64 = 2;
const FOREIGN: u64 = 3;

/// An id that no proposal has.
const NO_PROPOSAL: &str = "00000000-0000-7000-8000-000000000000";

/// What a call may be answered with, by somebody with the role and some accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Whatever account it names.
    Any,
    /// Only where it names an account of theirs.
    Own,
    /// Never: it is about all accounts.
    Never,
    /// It answers, but does not show what is foreign.
    Hides,
}

/// Written down once more, by letters of roles: what this test holds the server to.
fn expected() -> BTreeMap<&'static str, (&'static str, Reach)> {
    use Reach::{Any, Hides, Never, Own};
    BTreeMap::from([
        ("Ledger/Transfer", ("g", Own)),
        ("Ledger/CreateTransfers", ("g", Own)),
        ("Ledger/StreamTransfers", ("g", Own)),
        ("Ledger/ReverseGroup", ("g", Own)),
        ("Ledger/GetAccounts", ("groa", Own)),
        ("Ledger/ListAccounts", ("roa", Own)),
        ("Ledger/GetTransfers", ("gra", Hides)),
        ("Ledger/GetReceipt", ("gra", Never)),
        ("Ledger/ListEntries", ("gra", Own)),
        ("Ledger/ListAccountHistory", ("roa", Own)),
        ("Ledger/RevealMetadata", ("o", Own)),
        ("Ledger/GetBalanceAt", ("gra", Own)),
        ("Ledger/GetHolds", ("gra", Hides)),
        ("Ledger/ListHolds", ("gra", Own)),
        ("Ledger/ListRefunds", ("gra", Hides)),
        ("Ledger/Subscribe", ("gra", Never)),
        ("Ledger/GetTrialBalance", ("a", Never)),
        ("Ledger/DefineAsset", ("o", Never)),
        ("Ledger/CreateAccounts", ("o", Own)),
        ("Ledger/SetAccountStatus", ("o", Own)),
        ("Ledger/UpdateAccount", ("o", Own)),
        ("Ledger/SetAccountLimits", ("o", Own)),
        ("Ledger/Explain", ("gra", Never)),
        ("Ledger/AddWatch", ("go", Own)),
        ("Ledger/RemoveWatch", ("go", Own)),
        ("Ledger/ListWatches", ("groa", Own)),
        ("Schedules/CreateSchedule", ("g", Never)),
        ("Schedules/GetSchedule", ("groa", Never)),
        ("Schedules/ListSchedules", ("groa", Never)),
        ("Schedules/PauseSchedule", ("go", Never)),
        ("Schedules/ResumeSchedule", ("g", Never)),
        ("Schedules/CancelSchedule", ("go", Never)),
        ("Schedules/RunSchedule", ("g", Never)),
        ("Sagas/StartSaga", ("g", Never)),
        ("Sagas/AnswerSaga", ("g", Never)),
        ("Sagas/AbortSaga", ("go", Never)),
        ("Sagas/ResolveSaga", ("o", Never)),
        ("Sagas/GetSaga", ("groa", Never)),
        ("Sagas/ListSagas", ("groa", Never)),
        ("Operator/DefineFee", ("o", Never)),
        ("Operator/AttachFee", ("o", Never)),
        ("Operator/ListFees", ("groa", Never)),
        ("Operator/QuoteFee", ("groa", Never)),
        ("Operator/GetStatus", ("groa", Any)),
        ("Operator/CreateSnapshot", ("o", Never)),
        ("Operator/ListSnapshots", ("oa", Never)),
        ("Operator/VerifySnapshot", ("oa", Never)),
        ("Operator/PruneSnapshots", ("o", Never)),
        ("Operator/CreateBackup", ("o", Never)),
        ("Operator/VerifyBalances", ("a", Never)),
        ("Approvals/ListProposals", ("goa", Never)),
        ("Approvals/Approve", ("go", Never)),
        ("Approvals/Reject", ("go", Never)),
        // Where nobody logs in they are calls like others, and say so.
        ("Login/LogIn", ("groa", Any)),
        ("Login/Refresh", ("groa", Any)),
        ("Login/LogOut", ("groa", Any)),
        ("Audit/ListAuditEvents", ("a", Never)),
        ("Audit/GetAuditSummary", ("a", Never)),
    ])
}

const ROLES: [(char, &str); 5] =
    [('g', "gateway"), ('r', "reader"), ('o', "operator"), ('a', "auditor"), ('*', "admin")];

/// Makes the call about an account; the ids of what was decided before follow from it.
pub async fn ask(client: &Client, call: &str, about: u64) -> Result<bool, Status> {
    let mut ledger = LedgerClient::new(client.connection());
    let mut operator = OperatorClient::new(client.connection());
    let (id, id_high) = (about, 0);
    let ids = vec![proto::Id { id, id_high }];
    // Decided for this account by those who prepared the ledger.
    let (decided, hold) = (1000 + about, 2000 + about);
    let of = |id| vec![proto::Id { id, id_high: 0 }];
    let again = transfer(decided, about, BANK, 1);
    Ok(match call {
        "Ledger/Transfer" => ledger.transfer(again).await.map(|_| true)?,
        "Ledger/CreateTransfers" => {
            let request = proto::CreateTransfersRequest { transfers: vec![again], dry_run: false };
            ledger.create_transfers(request).await.map(|_| true)?
        }
        "Ledger/StreamTransfers" => stream(client, again).await?,
        // What entered the account: it would pay. Only tried, so that it stays to be tried.
        "Ledger/ReverseGroup" => {
            let (id, original_id, dry_run) = (9_000 + about, about, true);
            let request =
                proto::ReverseGroupRequest { id, original_id, dry_run, ..Default::default() };
            ledger.reverse_group(request).await.map(|_| true)?
        }
        "Ledger/GetAccounts" => {
            ledger.get_accounts(proto::GetAccountsRequest { ids }).await.map(|_| true)?
        }
        "Ledger/ListAccounts" => {
            let owner = Some(format!("cus_{about}"));
            let filter = Some(proto::AccountFilter { owner, ..Default::default() });
            let request = proto::ListAccountsRequest { filter, ..Default::default() };
            ledger.list_accounts(request).await.map(|_| true)?
        }
        "Ledger/GetTransfers" => {
            let request = proto::GetTransfersRequest { ids: of(decided) };
            !ledger.get_transfers(request).await?.into_inner().transfers.is_empty()
        }
        "Ledger/GetReceipt" => {
            let request = proto::GetReceiptRequest { id: decided, ..Default::default() };
            ledger.get_receipt(request).await.map(|_| true)?
        }
        "Ledger/ListEntries" => {
            let request = proto::ListEntriesRequest { id, ..Default::default() };
            ledger.list_entries(request).await.map(|_| true)?
        }
        "Ledger/ListAccountHistory" => {
            let request = proto::ListAccountHistoryRequest { id, ..Default::default() };
            ledger.list_account_history(request).await.map(|_| true)?
        }
        "Ledger/GetBalanceAt" => {
            let request = proto::GetBalanceAtRequest { id, ..Default::default() };
            ledger.get_balance_at(request).await.map(|_| true)?
        }
        "Ledger/GetHolds" => {
            let request = proto::GetHoldsRequest { ids: of(hold) };
            !ledger.get_holds(request).await?.into_inner().holds.is_empty()
        }
        "Ledger/ListHolds" => {
            let request = proto::ListHoldsRequest { id, ..Default::default() };
            ledger.list_holds(request).await.map(|_| true)?
        }
        "Ledger/ListRefunds" => {
            let request = proto::ListRefundsRequest { id: decided, ..Default::default() };
            match ledger.list_refunds(request).await {
                Ok(_) => true,
                Err(status) if status.code() == Code::NotFound => false,
                Err(status) => return Err(status),
            }
        }
        "Ledger/Subscribe" => {
            let accounts = vec![proto::Id { id, id_high }];
            let request = proto::SubscribeRequest { accounts, from_lsn: 1, ..Default::default() };
            ledger.subscribe(request).await.map(|_| true)?
        }
        "Ledger/GetTrialBalance" => ledger
            .get_trial_balance(proto::GetTrialBalanceRequest::default())
            .await
            .map(|_| true)?,
        "Ledger/DefineAsset" => {
            let request =
                proto::DefineAssetRequest { code: "POINTS".into(), digits: 0, dry_run: false };
            ledger.define_asset(request).await.map(|_| true)?
        }
        "Ledger/CreateAccounts" => {
            let owner = format!("cus_{about}");
            let same =
                proto::NewAccount { owner, ..proto::NewAccount::new(account(id), "GBP", false) };
            let request = proto::CreateAccountsRequest { accounts: vec![same], dry_run: false };
            ledger.create_accounts(request).await.map(|_| true)?
        }
        "Ledger/SetAccountStatus" => {
            let status = proto::AccountStatus::Active.into();
            let request = proto::SetAccountStatusRequest { id, status, ..Default::default() };
            ledger.set_account_status(request).await.map(|_| true)?
        }
        "Ledger/UpdateAccount" => {
            let label = Some("a label".to_owned());
            let request = proto::UpdateAccountRequest { id, label, ..Default::default() };
            ledger.update_account(request).await.map(|_| true)?
        }
        "Ledger/SetAccountLimits" => {
            let request = proto::SetAccountLimitsRequest { id, ..Default::default() };
            ledger.set_account_limits(request).await.map(|_| true)?
        }
        "Ledger/RevealMetadata" => {
            let key = "card".to_owned();
            let request = proto::RevealMetadataRequest { id, key, ..Default::default() };
            ledger.reveal_metadata(request).await.map(|_| true)?
        }
        "Operator/GetStatus" => {
            operator.get_status(proto::GetStatusRequest::default()).await.map(|_| true)?
        }
        "Operator/CreateSnapshot" => {
            operator.create_snapshot(proto::CreateSnapshotRequest {}).await.map(|_| true)?
        }
        "Operator/ListSnapshots" => {
            operator.list_snapshots(proto::ListSnapshotsRequest {}).await.map(|_| true)?
        }
        "Operator/VerifySnapshot" => {
            let request = proto::VerifySnapshotRequest::default();
            operator.verify_snapshot(request).await.map(|_| true)?
        }
        "Operator/PruneSnapshots" => {
            let request = proto::PruneSnapshotsRequest { keep: 1000 };
            operator.prune_snapshots(request).await.map(|_| true)?
        }
        "Operator/CreateBackup" => {
            operator.create_backup(proto::CreateBackupRequest {}).await.map(|_| true)?
        }
        "Operator/VerifyBalances" => {
            operator.verify_balances(proto::VerifyBalancesRequest::default()).await.map(|_| true)?
        }
        "Ledger/Explain" => {
            let request = proto::ExplainRequest { id: decided, ..Default::default() };
            ledger.explain(request).await.map(|_| true)?
        }
        "Ledger/AddWatch" => {
            let name = "no bound".to_owned();
            let request = proto::AddWatchRequest { id, name, ..Default::default() };
            ledger.add_watch(request).await.map(|_| true)?
        }
        "Ledger/RemoveWatch" => {
            let name = "not there".to_owned();
            let request = proto::RemoveWatchRequest { id, name, ..Default::default() };
            ledger.remove_watch(request).await.map(|_| true)?
        }
        "Ledger/ListWatches" => {
            let request = proto::ListWatchesRequest { id, ..Default::default() };
            ledger.list_watches(request).await.map(|_| true)?
        }
        "Operator/DefineFee" => {
            operator.define_fee(proto::DefineFeeRequest::default()).await.map(|_| true)?
        }
        "Operator/AttachFee" => {
            operator.attach_fee(proto::AttachFeeRequest::default()).await.map(|_| true)?
        }
        "Operator/ListFees" => {
            operator.list_fees(proto::ListFeesRequest::default()).await.map(|_| true)?
        }
        "Operator/QuoteFee" => {
            operator.quote_fee(proto::QuoteFeeRequest::default()).await.map(|_| true)?
        }
        "Approvals/ListProposals" => {
            let mut approvals = ApprovalsClient::new(client.connection());
            approvals.list_proposals(proto::ListProposalsRequest::default()).await.map(|_| true)?
        }
        "Approvals/Approve" => {
            let request = proto::ApproveRequest { id: NO_PROPOSAL.into(), digest: vec![] };
            ApprovalsClient::new(client.connection()).approve(request).await.map(|_| true)?
        }
        "Approvals/Reject" => {
            let request = proto::RejectRequest { id: NO_PROPOSAL.into() };
            ApprovalsClient::new(client.connection()).reject(request).await.map(|_| true)?
        }
        "Login/LogIn" => {
            let request = proto::LogInRequest::default();
            LoginClient::new(client.connection()).log_in(request).await.map(|_| true)?
        }
        "Login/Refresh" => {
            let request = proto::RefreshRequest::default();
            LoginClient::new(client.connection()).refresh(request).await.map(|_| true)?
        }
        "Login/LogOut" => {
            let request = proto::LogOutRequest::default();
            LoginClient::new(client.connection()).log_out(request).await.map(|_| true)?
        }
        "Audit/ListAuditEvents" => {
            let request = proto::ListAuditEventsRequest::default();
            AuditClient::new(client.connection()).list_audit_events(request).await.map(|_| true)?
        }
        "Audit/GetAuditSummary" => {
            let request = proto::GetAuditSummaryRequest::default();
            AuditClient::new(client.connection()).get_audit_summary(request).await.map(|_| true)?
        }
        driven => ask_driven(client, driven).await?,
    })
}

/// The same for calls about what the engine does by itself; what they ask for is not there.
async fn ask_driven(client: &Client, call: &str) -> Result<bool, Status> {
    let mut schedules = SchedulesClient::new(client.connection());
    let mut sagas = SagasClient::new(client.connection());
    let change = proto::ChangeScheduleRequest { id: 4711, ..Default::default() };
    let any = |response: tonic::Response<proto::ScheduleResponse>| {
        response.into_inner().schedule.is_some()
    };
    Ok(match call {
        "Schedules/CreateSchedule" => {
            schedules.create_schedule(proto::CreateScheduleRequest::default()).await.map(any)?
        }
        "Schedules/GetSchedule" => {
            let request = proto::GetScheduleRequest { id: 4711, ..Default::default() };
            schedules.get_schedule(request).await.map(any)?
        }
        "Schedules/ListSchedules" => {
            let request = proto::ListSchedulesRequest::default();
            schedules.list_schedules(request).await.map(|_| true)?
        }
        "Schedules/PauseSchedule" => schedules.pause_schedule(change).await.map(any)?,
        "Schedules/ResumeSchedule" => schedules.resume_schedule(change).await.map(any)?,
        "Schedules/CancelSchedule" => schedules.cancel_schedule(change).await.map(any)?,
        "Schedules/RunSchedule" => {
            let request = proto::RunScheduleRequest { id: 4711, ..Default::default() };
            schedules.run_schedule(request).await.map(any)?
        }
        "Sagas/StartSaga" => {
            sagas.start_saga(proto::StartSagaRequest::default()).await.map(|_| true)?
        }
        "Sagas/AnswerSaga" => {
            sagas.answer_saga(proto::AnswerSagaRequest::default()).await.map(|_| true)?
        }
        "Sagas/AbortSaga" => {
            sagas.abort_saga(proto::AbortSagaRequest::default()).await.map(|_| true)?
        }
        "Sagas/ResolveSaga" => {
            sagas.resolve_saga(proto::ResolveSagaRequest::default()).await.map(|_| true)?
        }
        "Sagas/GetSaga" => {
            let request = proto::GetSagaRequest { id: 4711, ..Default::default() };
            sagas.get_saga(request).await.map(|_| true)?
        }
        "Sagas/ListSagas" => {
            sagas.list_sagas(proto::ListSagasRequest::default()).await.map(|_| true)?
        }
        other => panic!("{other} is new: say here how it is made, and what is expected of it"),
    })
}

/// One batch on a stream; a batch that is denied is an answer, not the end of the stream.
async fn stream(client: &Client, transfer: TransferRequest) -> Result<bool, Status> {
    let status = |error: ClientError| match error {
        ClientError::Refused(refused) => Status::new(refused.code, refused.message),
        other => panic!("{other}"),
    };
    let (mut sender, mut answers) = client.stream(1).await.map_err(status)?;
    sender.send(vec![transfer]).await.map_err(status)?;
    drop(sender);
    let answer = answers.next().await.map_err(status)?.expect("an answer");
    match answer.result {
        Ok(_) => Ok(true),
        Err(refused) => Err(Status::new(refused.code, refused.message)),
    }
}

/// Whether somebody was let in: everything but a denial. A call that fails for another reason was
/// let in.
fn let_in(result: &Result<bool, Status>) -> bool {
    match result {
        Ok(shown) => *shown,
        Err(status) => !matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated),
    }
}

/// Accounts, a transfer and a hold of each of them.
async fn prepare(client: &Client) {
    open(client, FOREIGN).await;
    for id in [OWN, FOREIGN] {
        let asked = vec![
            transfer(id, BANK, id, 1_000),
            transfer(1000 + id, id, BANK, 1),
            TransferRequest {
                operation: proto::Operation::Hold.into(),
                ..transfer(2000 + id, id, BANK, 5)
            },
        ];
        let outcomes = client.create_transfers(asked).await.expect("well-formed");
        assert!(
            outcomes.iter().all(|outcome| outcome.code() == proto::Code::Posted),
            "{outcomes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_denied() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let server = Server::start(None, Some(trust)).await;
    let root = secrets.token("root", &["admin"], &["*"], &[]);
    prepare(&server.client(&secrets, None, Some(&root)).await).await;
    let expected = expected();
    let listed: BTreeSet<&str> =
        CALLS.iter().filter_map(|call| call.path.strip_prefix("/ducat.v1.")).collect();
    assert_eq!(listed, expected.keys().copied().collect(), "every call is held to something");

    let mut cells = 0;
    for (letter, role) in ROLES {
        for whole in [false, true] {
            let (accounts, owners): (&[&str], &[&str]) =
                if whole { (&["*"], &[]) } else { (&["2"], &["cus_2"]) };
            let name = format!("{role}-{whole}");
            let token = secrets.token(&name, &[role], accounts, owners);
            let client = server.client(&secrets, None, Some(&token)).await;
            for (call, (letters, reach)) in &expected {
                for about in [OWN, FOREIGN] {
                    let role_fits = letter == '*' || letters.contains(letter);
                    let scope_fits = whole
                        || match reach {
                            Reach::Any => true,
                            Reach::Own | Reach::Hides => about == OWN,
                            Reach::Never => false,
                        };
                    let got = ask(&client, call, about).await;
                    let why = format!("{name} asks {call} about {about}: {got:?}");
                    assert_eq!(let_in(&got), role_fits && scope_fits, "{why}");
                    if !role_fits {
                        let code = got.err().map(|status| status.code());
                        assert_eq!(code, Some(Code::PermissionDenied), "{why}");
                    }
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 5 * 2 * expected.len() * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_may_do_nothing() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let server = Server::start(None, Some(trust)).await;
    let without = server.client(&secrets, None, None).await;
    let empty = secrets.token("empty", &[], &["*"], &[]);
    let with_nothing = server.client(&secrets, None, Some(&empty)).await;
    for call in expected().keys() {
        let code = ask(&without, call, OWN).await.expect_err(call).code();
        assert_eq!(code, Code::Unauthenticated, "{call}");
        let code = ask(&with_nothing, call, OWN).await.expect_err(call).code();
        assert_eq!(code, Code::PermissionDenied, "{call}");
    }
    let (unauthenticated, denied) = server.guard.as_ref().expect("guarded").refused();
    assert!(unauthenticated >= 27 && denied >= 27, "{unauthenticated}, {denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_roles_give_what_either_gives_and_no_more() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let server = Server::start(None, Some(trust)).await;
    let both = secrets.token("both", &["reader", "operator"], &["*"], &[]);
    let client = server.client(&secrets, None, Some(&both)).await;
    open(&client, OWN).await;
    assert!(let_in(&ask(&client, "Ledger/GetAccounts", OWN).await));
    assert!(!let_in(&ask(&client, "Ledger/Transfer", OWN).await));
    assert!(!let_in(&ask(&client, "Operator/VerifyBalances", OWN).await));
    let id = transfer_id(9);
    assert!(client.get_transfers(&[id]).await.is_ok());
}
