//! A ledger for tests: the plain serial model behind the real gRPC interface. It judges one
//! transfer after the other in the order of arrival and keeps nothing durable. With it the
//! client commands are tested over a real connection, with faults the real server seldom has.

use ducat_api::proto;
use ducat_engine::money::{Currencies, format_minor, parse_amount};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// An account of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelAccount {
    spec: (String, String, bool),
    digits: u8,
    limit: i128,
    /// Posted balance in minor units.
    pub posted: i128,
}

/// Faults to make.
#[derive(Default, Debug, Clone)]
pub struct Faults {
    /// Answer "full" to these batches of a stream, counted from 1 over all streams.
    pub full_batches: Vec<u64>,
    /// Break the stream instead of answering this batch (after its transfers were decided).
    pub break_at_batch: Option<u64>,
    /// From this batch of a stream on, the memory for ids is full.
    pub ids_full_from: Option<u64>,
}

/// The serial model.
#[derive(Default)]
pub struct Model {
    /// Accounts by id.
    pub accounts: HashMap<u128, ModelAccount>,
    decided: HashMap<u128, (proto::TransferRequest, proto::Outcome)>,
    /// Transfer ids in the order in which they were decided.
    pub order: Vec<u128>,
    /// Faults to make.
    pub faults: Faults,
    batches: u64,
    streams_open: usize,
}

fn wide(high: u64, low: u64) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

impl Model {
    fn open(&mut self, a: &proto::NewAccount) -> proto::account_result::Code {
        use proto::account_result::Code;
        let spec = (a.currency.clone(), a.overdraft_limit.clone(), a.external);
        let id = wide(a.id_high, a.id);
        if let Some(known) = self.accounts.get(&id) {
            return if known.spec == spec { Code::Exists } else { Code::ExistsDifferent };
        }
        let currency = Currencies::new().by_code(&a.currency).expect("a currency");
        let limit = match a.overdraft_limit.as_str() {
            "" => 0,
            text => parse_amount(text, &currency).expect("a limit") as i128,
        };
        let account = ModelAccount { spec, digits: currency.digits, limit, posted: 0 };
        self.accounts.insert(id, account);
        Code::Opened
    }

    fn decide(&mut self, t: &proto::TransferRequest) -> proto::Outcome {
        let id = wide(t.id_high, t.id);
        if let Some((first, outcome)) = self.decided.get(&id) {
            let mut outcome = outcome.clone();
            outcome.repeat = first == t;
            if first != t {
                outcome.code = proto::Code::IdReused as i32;
            }
            return outcome;
        }
        let code = self.judge(t);
        self.order.push(id);
        let outcome = proto::Outcome {
            id: t.id,
            id_high: t.id_high,
            lsn: self.order.len() as u64,
            code: code as i32,
            explanation: if code == proto::Code::Posted { String::new() } else { "no".into() },
            ..Default::default()
        };
        self.decided.insert(id, (t.clone(), outcome.clone()));
        outcome
    }

    fn judge(&mut self, t: &proto::TransferRequest) -> proto::Code {
        let debit = wide(t.debit_account_high, t.debit_account);
        let credit = wide(t.credit_account_high, t.credit_account);
        let currency = Currencies::new().by_code(&t.currency).expect("a currency");
        let amount = match t.amount_minor {
            0 => parse_amount(&t.amount, &currency).expect("an amount") as i128,
            minor => i128::from(minor),
        };
        if amount == 0 {
            return proto::Code::AmountZero;
        }
        if debit == credit {
            return proto::Code::SameAccount;
        }
        let Some(from) = self.accounts.get(&debit) else {
            return proto::Code::DebitAccountUnknown;
        };
        let Some(to) = self.accounts.get(&credit) else {
            return proto::Code::CreditAccountUnknown;
        };
        let kind = match (from.spec.2, to.spec.2) {
            (false, false) => proto::TransferKind::Transfer,
            (true, false) => proto::TransferKind::Deposit,
            (false, true) => proto::TransferKind::Withdrawal,
            (true, true) => return proto::Code::KindMismatch,
        };
        if t.kind != kind as i32 {
            return proto::Code::KindMismatch;
        }
        if !from.spec.2 && from.posted + from.limit < amount {
            return proto::Code::InsufficientFunds;
        }
        self.accounts.get_mut(&debit).expect("known").posted -= amount;
        self.accounts.get_mut(&credit).expect("known").posted += amount;
        proto::Code::Posted
    }

    fn batch(
        &mut self,
        request: &proto::StreamTransfersRequest,
    ) -> Result<proto::StreamTransfersResponse, Status> {
        self.batches += 1;
        let mut response =
            proto::StreamTransfersResponse { tag: request.tag, ..Default::default() };
        let ids_full = self.faults.ids_full_from.is_some_and(|from| from <= self.batches);
        if ids_full || self.faults.full_batches.contains(&self.batches) {
            response.error = Some(proto::BatchError {
                grpc_code: tonic::Code::ResourceExhausted as i32,
                reason: if ids_full { "IDS_FULL" } else { "ENGINE_FULL" }.into(),
                message: "full".into(),
                violations: vec![],
                retry_after_ms: 0,
            });
            return Ok(response);
        }
        response.outcomes = request.transfers.iter().map(|t| self.decide(t)).collect();
        if self.faults.break_at_batch == Some(self.batches) {
            return Err(Status::unavailable("pulled the plug"));
        }
        Ok(response)
    }

    fn account(&self, id: u128) -> Option<proto::Account> {
        let known = self.accounts.get(&id)?;
        Some(proto::Account {
            id: id as u64,
            id_high: (id >> 64) as u64,
            currency: known.spec.0.clone(),
            posted: format_minor(known.posted, known.digits),
            posted_minor: known.posted.to_string(),
            external: known.spec.2,
            ..Default::default()
        })
    }
}

/// The model as a server.
#[derive(Clone, Default)]
pub struct TestLedger(pub Arc<Mutex<Model>>);

/// One gRPC service of the test server, told apart by its name.
#[derive(Clone)]
struct Served<const OPERATOR: bool>(TestLedger);

impl NamedService for Served<false> {
    const NAME: &'static str = "ducat.v1.Ledger";
}
impl NamedService for Served<true> {
    const NAME: &'static str = "ducat.v1.Operator";
}

impl TestLedger {
    /// Starts serving and returns the address.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder()
            .add_service(Served::<false>(self.clone()))
            .add_service(Served::<true>(self.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        format!("http://{address}")
    }

    /// Waits until the streams of clients that have gone are closed. What such a client left on
    /// its way is still decided, as by the real server, so faults are changed only after this.
    pub async fn streams_closed(&self) {
        let started = Instant::now();
        while self.with(|model| model.streams_open) > 0 {
            assert!(started.elapsed() < Duration::from_secs(60), "a stream stays open");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        look(&mut self.0.lock().expect("not poisoned"))
    }

    /// Answers one call by its path.
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        match path.rsplit('/').next().unwrap_or_default() {
            "CreateAccounts" => unary(request, move |q| self.create_accounts(&q)).await,
            "GetAccounts" => unary(request, move |q| self.get_accounts(q)).await,
            "CreateTransfers" => unary(request, move |q| self.create_transfers(&q)).await,
            "GetStatus" => {
                let status = |_: proto::GetStatusRequest| proto::GetStatusResponse {
                    state_hash: "model".to_owned(),
                    ..Default::default()
                };
                unary(request, status).await
            }
            "StreamTransfers" => {
                Grpc::new(ProstCodec::default()).streaming(Streamed(self), request).await
            }
            _ => Status::unimplemented("the model does not do this").into_http(),
        }
    }

    fn create_accounts(&self, q: &proto::CreateAccountsRequest) -> proto::CreateAccountsResponse {
        let open = |model: &mut Model, a: &proto::NewAccount| proto::AccountResult {
            id: a.id,
            id_high: a.id_high,
            code: model.open(a) as i32,
            ..Default::default()
        };
        let results = self.with(|model| q.accounts.iter().map(|a| open(model, a)).collect());
        proto::CreateAccountsResponse { results, dry_run_lsn: 0 }
    }

    fn get_accounts(&self, q: proto::GetAccountsRequest) -> proto::GetAccountsResponse {
        let mut response = proto::GetAccountsResponse::default();
        for id in q.ids {
            match self.with(|model| model.account(wide(id.id_high, id.id))) {
                Some(account) => response.accounts.push(account),
                None => response.unknown.push(id),
            }
        }
        response
    }

    fn create_transfers(
        &self,
        q: &proto::CreateTransfersRequest,
    ) -> proto::CreateTransfersResponse {
        let outcomes = self.with(|model| q.transfers.iter().map(|t| model.decide(t)).collect());
        proto::CreateTransfersResponse { outcomes }
    }
}

impl<const OPERATOR: bool> Service<http::Request<Body>> for Served<OPERATOR> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let ledger = self.0.clone();
        Box::pin(async move { Ok(ledger.answer(request).await) })
    }
}

/// A unary method made of a function.
struct Unary<F>(F);

impl<Q, A, F: FnMut(Q) -> A> UnaryService<Q> for Unary<F> {
    type Response = A;
    type Future = Ready<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        ready(Ok(Response::new((self.0)(request.into_inner()))))
    }
}

async fn unary<Q, A>(
    request: http::Request<Body>,
    answer: impl FnMut(Q) -> A,
) -> http::Response<Body>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).unary(Unary(answer), request).await
}

/// The streaming method.
struct Streamed(TestLedger);

/// A stream that counts as open as long as this lives.
struct OpenStream(TestLedger);

impl OpenStream {
    fn of(ledger: &TestLedger) -> OpenStream {
        ledger.with(|model| model.streams_open += 1);
        OpenStream(ledger.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.with(|model| model.streams_open -= 1);
    }
}

impl StreamingService<proto::StreamTransfersRequest> for Streamed {
    type Response = proto::StreamTransfersResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Self::Response, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(
        &mut self,
        request: Request<tonic::Streaming<proto::StreamTransfersRequest>>,
    ) -> Self::Future {
        let open = OpenStream::of(&self.0);
        let mut broken = false;
        let responses = request.into_inner().map_while(move |request| {
            let request = request.ok().filter(|_| !broken)?;
            let response = open.0.with(|model| model.batch(&request));
            broken = response.is_err();
            Some(response)
        });
        ready(Ok(Response::new(Box::pin(responses) as Self::ResponseStream)))
    }
}
