//! The harness against a ledger of a few lines behind real gRPC: every mode, both loops, and
//! a ledger that lies, which the checks must notice.

use crate::cli::{Cli, Command, RunArgs};
use crate::report::Report;
use clap::Parser;
use ducat_api::plain_servers::{ledger_server, operator_server};
use ducat_api::proto;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

#[derive(Default)]
struct Books {
    balances: HashMap<u64, i128>,
    external: HashSet<u64>,
    outcomes: HashMap<(u64, u64), proto::Outcome>,
    posted: u64,
    refused: u64,
    repeats: u64,
    batches: u64,
    /// Leaves every credit out.
    lying: bool,
    /// Answers every third batch with "full".
    full_at_times: bool,
}

impl Books {
    fn transfer(&mut self, t: &proto::TransferRequest) -> proto::Outcome {
        if let Some(known) = self.outcomes.get(&(t.id_high, t.id)) {
            self.repeats += 1;
            return proto::Outcome { repeat: true, ..known.clone() };
        }
        let amount = i128::from(t.amount_minor);
        let code = if t.debit_account == t.credit_account {
            proto::Code::SameAccount
        } else if !self.balances.contains_key(&t.credit_account) {
            proto::Code::CreditAccountUnknown
        } else if !self.external.contains(&t.debit_account)
            && self.balances[&t.debit_account] < amount
        {
            proto::Code::InsufficientFunds
        } else {
            *self.balances.entry(t.debit_account).or_default() -= amount;
            let credit = if self.lying && t.kind == 0 { 0 } else { amount };
            *self.balances.entry(t.credit_account).or_default() += credit;
            proto::Code::Posted
        };
        if code == proto::Code::Posted {
            self.posted += 1
        } else {
            self.refused += 1
        }
        let outcome = proto::Outcome {
            id: t.id,
            id_high: t.id_high,
            code: code.into(),
            ..Default::default()
        };
        self.outcomes.insert((t.id_high, t.id), outcome.clone());
        outcome
    }

    fn batch(&mut self, all: &[proto::TransferRequest]) -> Result<Vec<proto::Outcome>, Status> {
        self.batches += 1;
        if self.full_at_times && self.batches.is_multiple_of(3) && all[0].kind == 0 {
            return Err(Status::resource_exhausted("full"));
        }
        Ok(all.iter().map(|t| self.transfer(t)).collect())
    }
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Books>>);

type Answer<T> = Result<Response<T>, Status>;

impl Fake {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().expect("no test panics while holding it")
    }
}

#[tonic::async_trait]
impl ledger_server::Ledger for Fake {
    type StreamTransfersStream =
        Pin<Box<dyn Stream<Item = Result<proto::StreamTransfersResponse, Status>> + Send>>;

    async fn define_asset(
        &self,
        _: Request<proto::DefineAssetRequest>,
    ) -> Answer<proto::DefineAssetResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn create_accounts(
        &self,
        request: Request<proto::CreateAccountsRequest>,
    ) -> Answer<proto::CreateAccountsResponse> {
        let mut books = self.books();
        for account in &request.get_ref().accounts {
            books.balances.insert(account.id, 0);
            if account.external {
                books.external.insert(account.id);
            }
        }
        let result =
            |a: &proto::NewAccount| proto::AccountResult { id: a.id, ..Default::default() };
        let results = request.get_ref().accounts.iter().map(result).collect();
        Ok(Response::new(proto::CreateAccountsResponse { results, dry_run_lsn: 0 }))
    }

    async fn get_accounts(
        &self,
        request: Request<proto::GetAccountsRequest>,
    ) -> Answer<proto::GetAccountsResponse> {
        let books = self.books();
        let account = |id: &proto::Id| proto::Account {
            id: id.id,
            posted_minor: books.balances[&id.id].to_string(),
            ..Default::default()
        };
        let accounts = request.get_ref().ids.iter().map(account).collect();
        Ok(Response::new(proto::GetAccountsResponse { accounts, ..Default::default() }))
    }

    async fn reveal_metadata(
        &self,
        _: Request<proto::RevealMetadataRequest>,
    ) -> Answer<proto::RevealMetadataResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_accounts(
        &self,
        _: Request<proto::ListAccountsRequest>,
    ) -> Answer<proto::ListAccountsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn update_account(
        &self,
        _: Request<proto::UpdateAccountRequest>,
    ) -> Answer<proto::UpdateAccountResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn set_account_limits(
        &self,
        _: Request<proto::SetAccountLimitsRequest>,
    ) -> Answer<proto::SetAccountLimitsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_account_history(
        &self,
        _: Request<proto::ListAccountHistoryRequest>,
    ) -> Answer<proto::ListAccountHistoryResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn set_account_status(
        &self,
        _: Request<proto::SetAccountStatusRequest>,
    ) -> Answer<proto::SetAccountStatusResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn transfer(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Answer<proto::TransferResponse> {
        let outcome = self.books().transfer(request.get_ref());
        Ok(Response::new(proto::TransferResponse { outcome: Some(outcome) }))
    }

    async fn create_transfers(
        &self,
        request: Request<proto::CreateTransfersRequest>,
    ) -> Answer<proto::CreateTransfersResponse> {
        let outcomes = self.books().batch(&request.get_ref().transfers)?;
        Ok(Response::new(proto::CreateTransfersResponse { outcomes }))
    }

    async fn stream_transfers(
        &self,
        request: Request<Streaming<proto::StreamTransfersRequest>>,
    ) -> Answer<Self::StreamTransfersStream> {
        let fake = self.clone();
        let answers = request.into_inner().map(move |batch| {
            let batch = batch?;
            let tag = batch.tag;
            Ok(match fake.books().batch(&batch.transfers) {
                Ok(outcomes) => proto::StreamTransfersResponse { tag, outcomes, error: None },
                Err(status) => proto::StreamTransfersResponse {
                    tag,
                    error: Some(proto::BatchError {
                        grpc_code: status.code().into(),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_transfers(
        &self,
        _: Request<proto::GetTransfersRequest>,
    ) -> Answer<proto::GetTransfersResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn get_receipt(
        &self,
        _: Request<proto::GetReceiptRequest>,
    ) -> Answer<proto::GetReceiptResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn get_holds(
        &self,
        _: Request<proto::GetHoldsRequest>,
    ) -> Answer<proto::GetHoldsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_holds(
        &self,
        _: Request<proto::ListHoldsRequest>,
    ) -> Answer<proto::ListHoldsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_refunds(
        &self,
        _: Request<proto::ListRefundsRequest>,
    ) -> Answer<proto::ListRefundsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn reverse_group(
        &self,
        _: Request<proto::ReverseGroupRequest>,
    ) -> Answer<proto::ReverseGroupResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn explain(&self, _: Request<proto::ExplainRequest>) -> Answer<proto::ExplainResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn add_watch(
        &self,
        _: Request<proto::AddWatchRequest>,
    ) -> Answer<proto::AddWatchResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn remove_watch(
        &self,
        _: Request<proto::RemoveWatchRequest>,
    ) -> Answer<proto::RemoveWatchResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_watches(
        &self,
        _: Request<proto::ListWatchesRequest>,
    ) -> Answer<proto::ListWatchesResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_entries(
        &self,
        _: Request<proto::ListEntriesRequest>,
    ) -> Answer<proto::ListEntriesResponse> {
        Err(Status::unimplemented("fake"))
    }

    type SubscribeStream =
        Pin<Box<dyn Stream<Item = Result<proto::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        _: Request<proto::SubscribeRequest>,
    ) -> Answer<Self::SubscribeStream> {
        Err(Status::unimplemented("fake"))
    }

    async fn get_balance_at(
        &self,
        _: Request<proto::GetBalanceAtRequest>,
    ) -> Answer<proto::GetBalanceAtResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn get_trial_balance(
        &self,
        _: Request<proto::GetTrialBalanceRequest>,
    ) -> Answer<proto::GetTrialBalanceResponse> {
        Err(Status::unimplemented("fake"))
    }
}

#[tonic::async_trait]
impl operator_server::Operator for Fake {
    async fn define_fee(
        &self,
        _: tonic::Request<ducat_api::proto::DefineFeeRequest>,
    ) -> Result<tonic::Response<ducat_api::proto::DefineFeeResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("no fees here"))
    }

    async fn attach_fee(
        &self,
        _: tonic::Request<ducat_api::proto::AttachFeeRequest>,
    ) -> Result<tonic::Response<ducat_api::proto::AttachFeeResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("no fees here"))
    }

    async fn list_fees(
        &self,
        _: tonic::Request<ducat_api::proto::ListFeesRequest>,
    ) -> Result<tonic::Response<ducat_api::proto::ListFeesResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("no fees here"))
    }

    async fn quote_fee(
        &self,
        _: tonic::Request<ducat_api::proto::QuoteFeeRequest>,
    ) -> Result<tonic::Response<ducat_api::proto::QuoteFeeResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("no fees here"))
    }

    async fn verify_balances(
        &self,
        _: Request<proto::VerifyBalancesRequest>,
    ) -> Answer<proto::VerifyBalancesResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn get_status(
        &self,
        _: Request<proto::GetStatusRequest>,
    ) -> Answer<proto::GetStatusResponse> {
        let books = self.books();
        let sum = |external| {
            let all =
                books.balances.iter().filter(|(id, _)| books.external.contains(id) == external);
            all.map(|(_, posted)| posted).sum::<i128>().to_string()
        };
        Ok(Response::new(proto::GetStatusResponse {
            durability: "none".into(),
            posted: books.posted,
            refused: books.refused,
            repeats: books.repeats,
            remembered_ids: books.outcomes.len() as u64,
            totals: vec![proto::CurrencyTotal {
                currency: "GBP".into(),
                internal: sum(false),
                external: sum(true),
            }],
            ..Default::default()
        }))
    }

    async fn create_snapshot(
        &self,
        _: Request<proto::CreateSnapshotRequest>,
    ) -> Answer<proto::CreateSnapshotResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn list_snapshots(
        &self,
        _: Request<proto::ListSnapshotsRequest>,
    ) -> Answer<proto::ListSnapshotsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn verify_snapshot(
        &self,
        _: Request<proto::VerifySnapshotRequest>,
    ) -> Answer<proto::VerifySnapshotResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn prune_snapshots(
        &self,
        _: Request<proto::PruneSnapshotsRequest>,
    ) -> Answer<proto::PruneSnapshotsResponse> {
        Err(Status::unimplemented("fake"))
    }

    async fn create_backup(
        &self,
        _: Request<proto::CreateBackupRequest>,
    ) -> Answer<proto::CreateBackupResponse> {
        Err(Status::unimplemented("fake"))
    }
}

/// Serves a fake ledger.
async fn serve(books: Books) -> (String, tokio::task::JoinHandle<()>) {
    let fake = Fake(Arc::new(Mutex::new(books)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tonic::transport::Server::builder()
        .add_service(ledger_server::LedgerServer::new(fake.clone()))
        .add_service(operator_server::OperatorServer::new(fake))
        .serve_with_incoming(TcpListenerStream::new(listener));
    (url, tokio::spawn(async move { server.await.expect("serves") }))
}

/// Runs the harness against a fake ledger and gives back what it reported.
fn report(books: Books, arguments: &str) -> (bool, Report) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let json = directory.path().join("report.json");
    let held = runtime.block_on(async {
        let (url, server) = serve(books).await;
        let line = format!(
            "ducat-bench run --server {url} --warmup 0.1 --json {} {arguments}",
            json.display()
        );
        let held = crate::run::run(&run_arguments(&line)).await.expect("runs");
        server.abort();
        held
    });
    (held, Report::read(&json).expect("written"))
}

fn run_arguments(line: &str) -> RunArgs {
    match Cli::parse_from(line.split_whitespace()).command {
        Command::Run(arguments) => RunArgs { duration: arguments.duration.min(1.0), ..*arguments },
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_mode_and_codec_gets_its_outcomes() {
    for arguments in [
        "--mode unary --in-flight 8",
        "--mode unary --codec full",
        "--batch 50 --connections 2 --client-threads 2",
        "--batch 50 --codec full",
        "--batch 50 --mode stream --connections 2",
        "--batch 50 --mode stream --codec full",
        "--mode client --in-flight 100 --connections 2",
    ] {
        let (held, report) = report(Books::default(), &format!("--accounts 100 {arguments}"));
        let results = &report.results;
        assert!(held && results.ok > 0, "{arguments}: {results:?}");
        assert_eq!(
            (results.refused_sum(), results.errors_sum(), results.unanswered_requests),
            (0, 0, 0)
        );
        assert_eq!(results.ok, report.seconds.iter().map(|s| s.answered).sum::<u64>());
        assert_eq!(report.latency.count, results.requests, "{arguments}");
        assert_eq!(results.requests * report.setup.batch as u64, results.total, "{arguments}");
    }
}

#[test]
fn an_open_loop_offers_its_rate() {
    let (held, report) = report(Books::default(), "--accounts 100 --batch 10 --rate 10000");
    assert!(held);
    // 1,000 requests are due in the second that counts.
    assert!((990..=1010).contains(&report.latency.count), "{:?}", report.latency);
    assert!(report.latency.min_ms >= 0.0 && report.latency.max_ms >= report.latency.p50_ms);
}

#[test]
fn refusals_repeats_and_errors_are_told_apart() {
    let (_, report) = report(
        Books { full_at_times: true, ..Books::default() },
        "--workload refusal-heavy --accounts 100 --batch 50 --repeat-share 0.2 --mode stream",
    );
    let results = &report.results;
    for reason in ["INSUFFICIENT_FUNDS", "CREDIT_ACCOUNT_UNKNOWN", "SAME_ACCOUNT"] {
        assert!(results.refused.contains_key(reason), "{results:?}");
    }
    assert!(results.repeats > 0 && results.errors.contains_key("RESOURCE_EXHAUSTED"));
    assert!((0.2..0.45).contains(&results.error_rate), "{results:?}");
}

#[test]
fn a_ledger_that_drops_credits_is_found_out() {
    let (held, report) =
        report(Books { lying: true, ..Books::default() }, "--accounts 100 --batch 50");
    assert!(!held);
    assert_eq!(report.checks[0].held, Some(false), "{:?}", report.checks);
}

#[test]
fn an_overloaded_ledger_is_reported_by_what_it_refused() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let report = runtime.block_on(async {
        let books = Books { full_at_times: true, ..Books::default() };
        let (url, server) = serve(books).await;
        let line = format!(
            "ducat-bench overload --server {url} --accounts 100 --batch 10 --connections 2 \
             --peak-duration 0.5 --warmup 0.1 --duration 1 --offer 0.5,3 --then 0.2"
        );
        let Command::Overload(arguments) = Cli::parse_from(line.split_whitespace()).command else {
            panic!("{line}");
        };
        let report = crate::overload::measure(&arguments).await.expect("measured");
        server.abort();
        report
    });
    assert_eq!(report.steps.iter().map(|s| s.multiple).collect::<Vec<_>>(), [0.5, 3.0, 0.2]);
    assert_eq!(report.seconds.len(), 3);
    for step in &report.steps {
        let failed: u64 = step.failed.values().sum();
        // Every due request is answered, refused, too late or was not sent.
        assert_eq!(step.offered, step.answered + failed + step.not_sent, "{step:?}");
        assert!(step.answered > 0 && step.failed["RESOURCE_EXHAUSTED"] > 0, "{step:?}");
    }
    // A third of the batches is refused for ever.
    assert_eq!(report.recovered_after_s, None);
    assert_eq!(report.checks[0].held, Some(true), "{:?}", report.checks);
}
