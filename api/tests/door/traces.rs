//! Traces as a collector sees them that speaks OTLP over gRPC, and collectors as they misbehave,
//! against the real binary.

use crate::program::{Server, ducat, place, stdout, text, wait_for};
use crate::world::{BANK, Secrets, open, transfer};
use ducat_api::client::Client;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, CreateTransfersRequest, StreamTransfersRequest, TransferRequest};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

/// What a collector does with what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    NeverAnswers,
    Refuses,
}

/// A collector that keeps what it has got.
#[derive(Clone)]
struct Collector {
    address: SocketAddr,
    seen: Arc<Seen>,
    mood: Mood,
}

#[derive(Default)]
struct Seen {
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<Resource>>,
    headers: Mutex<Vec<String>>,
    exports: AtomicUsize,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.seen.exports.fetch_add(1, Ordering::SeqCst);
        match self.mood {
            Mood::Takes => {}
            Mood::NeverAnswers => std::future::pending().await,
            Mood::Refuses => return Err(Status::unauthenticated("who are you?")),
        }
        let header = request.metadata().get("x-tenant").map(|value| value.to_str());
        let header = header.and_then(Result::ok).unwrap_or_default().to_owned();
        self.seen.headers.lock().expect("no panic").push(header);
        for of_resource in request.into_inner().resource_spans {
            self.seen.resources.lock().expect("no panic").extend(of_resource.resource);
            for of_scope in of_resource.scope_spans {
                self.seen.spans.lock().expect("no panic").extend(of_scope.spans);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(mood: Mood) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), mood).await
    }

    async fn start_at(address: SocketAddr, mood: Mood) -> Self {
        Self::serve(tonic::transport::Server::builder(), address, mood).await
    }

    /// One that shows this certificate.
    async fn start_encrypted(secrets: &Secrets) -> Self {
        let read = |name: &str| fs::read_to_string(secrets.path(name)).expect("written");
        let identity = Identity::from_pem(read("server.pem"), read("server.key"));
        let tls = ServerTlsConfig::new().identity(identity);
        let server = tonic::transport::Server::builder().tls_config(tls).expect("sound");
        Self::serve(server, "127.0.0.1:0".parse().expect("an address"), Mood::Takes).await
    }

    async fn serve(mut server: tonic::transport::Server, address: SocketAddr, mood: Mood) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let collector = Self { address, seen: Arc::default(), mood };
        let service = TraceServiceServer::new(collector.clone());
        let serving = server.add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.seen.spans.lock().expect("no panic").clone()
    }

    /// The spans of this trace, once `whole` says that they are all there.
    fn trace(&self, trace: u8, whole: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        wait_for(&format!("trace {trace} is told"), || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace_id == [trace; 16]);
            whole(&spans).then_some(spans)
        })
    }
}

/// The header by which a caller names its trace.
fn traceparent(trace: u8, sampled: bool) -> String {
    format!("00-{}-{}-0{}", format!("{trace:02x}").repeat(16), "a1".repeat(8), u8::from(sampled))
}

fn of_trace<T>(message: T, trace: u8, sampled: bool) -> Request<T> {
    let mut request = Request::new(message);
    let value = traceparent(trace, sampled).parse().expect("ASCII");
    request.metadata_mut().insert("traceparent", value);
    request
}

type Ledger = LedgerClient<Channel>;

/// A server that tells this collector at once, and a client; accounts 1, the bank, to 3.
async fn serving(dir: &Path, url: &str, more: &[&str]) -> (Server, Ledger) {
    let flags = ["--traces-endpoint", url, "--traces-every-ms", "10"];
    let server = Server::start(dir, &[&flags, more].concat());
    let endpoint = format!("http://{}", server.address);
    open(&Client::connect(&endpoint).await.expect("listens"), 3).await;
    let ledger = LedgerClient::connect(endpoint).await.expect("listens");
    (server, ledger)
}

async fn pay(ledger: &Ledger, request: Request<TransferRequest>) {
    let answer = ledger.clone().transfer(request).await.expect("answered").into_inner();
    let outcome = answer.outcome.expect("decided");
    assert_eq!(outcome.code(), proto::Code::Posted, "{outcome:?}");
}

fn deposit(id: u64) -> TransferRequest {
    transfer(id, BANK, 2, 918_273)
}

fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.unwrap_or_else(|| panic!("no {key} in {attributes:?}"));
    match value.value.as_ref().and_then(|value| value.value.as_ref()).expect("a value") {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let one = found.next().unwrap_or_else(|| panic!("no {name} in {spans:?}"));
    assert!(found.next().is_none(), "two of {name}: {spans:?}");
    one
}

const CALL: &str = "ducat.v1.Ledger/Transfer";

fn has_call(spans: &[Span]) -> bool {
    spans.iter().any(|span| span.name == CALL)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_sampled_trace_is_told_with_where_its_time_went() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let headers = dir.path().join("headers");
    fs::write(&headers, "x-tenant: bank\n").expect("writes");
    let more = ["--traces-headers", text(&headers)];
    let (server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    // Of a caller that is not sampled, and of those that say nothing, nothing is told.
    pay(&ledger, of_trace(deposit(1), 1, false)).await;
    pay(&ledger, Request::new(deposit(2))).await;
    let before = unix_ns();
    pay(&ledger, of_trace(deposit(3), 7, true)).await;
    let spans = collector.trace(7, has_call);
    let after = unix_ns();
    assert_eq!(collector.spans().len(), spans.len(), "{:?}", collector.spans());
    assert_eq!(spans.len(), 5, "{spans:?}");

    let call = named(&spans, CALL);
    assert_eq!(call.kind, SpanKind::Server as i32);
    assert_eq!(call.parent_span_id, [0xa1; 8], "the caller's span");
    assert_eq!(attribute(&call.attributes, "rpc.system.name"), "grpc");
    assert_eq!(attribute(&call.attributes, "rpc.method"), CALL);
    assert_eq!(attribute(&call.attributes, "rpc.response.status_code"), "OK");
    assert!(call.status.is_none());
    assert!(before <= call.start_time_unix_nano && call.end_time_unix_nano <= after);
    let parts = ["admit", "prepare", "commit", "append"].map(|name| named(&spans, name));
    let mut moments = vec![call.start_time_unix_nano];
    for part in parts {
        assert_eq!(part.parent_span_id, call.span_id, "{}", part.name);
        assert_eq!(part.kind, SpanKind::Internal as i32);
        assert_eq!(attribute(&part.attributes, "ducat.batch.requests"), "1");
        let first = attribute(&part.attributes, "ducat.batch.first_lsn");
        assert_eq!(first, attribute(&part.attributes, "ducat.batch.last_lsn"));
        moments.extend([part.start_time_unix_nano, part.end_time_unix_nano]);
    }
    moments.push(call.end_time_unix_nano);
    assert!(moments.is_sorted(), "one after the other: {moments:?}");
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    assert_eq!(ids.len(), spans.len(), "no two spans are one");

    let resources = collector.seen.resources.lock().expect("no panic").clone();
    assert_eq!(attribute(&resources[0].attributes, "service.name"), "ducat");
    assert_eq!(attribute(&resources[0].attributes, "service.instance.id"), server.address);
    assert_eq!(collector.seen.headers.lock().expect("no panic")[0], "bank");
    let all = format!("{spans:?}");
    assert!(!all.contains("918273"), "amounts stay here: {all}");
}

/// What tracing systems on the way say to one another goes on with all spans of the call; what is malformed, or
/// comes without a parent, does not.
#[tokio::test(flavor = "multi_thread")]
async fn the_callers_tracestate_goes_on_with_its_spans() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let more = ["--traces-own-percent", "100"];
    let (_server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    let with_state = |mut request: Request<_>, lines: &[&str]| {
        for line in lines {
            request.metadata_mut().append("tracestate", line.parse().expect("ASCII"));
        }
        request
    };
    let states = |spans: &[Span]| -> BTreeSet<String> {
        spans.iter().map(|span| span.trace_state.clone()).collect()
    };
    let sound = with_state(of_trace(deposit(1), 1, true), &["rojo=00f0", "bank@sys=a b"]);
    pay(&ledger, sound).await;
    let spans = collector.trace(1, |spans| spans.len() == 5);
    assert_eq!(states(&spans), BTreeSet::from(["rojo=00f0,bank@sys=a b".to_owned()]));
    let malformed = with_state(of_trace(deposit(2), 2, true), &["rojo=00f0", "Bank"]);
    pay(&ledger, malformed).await;
    assert_eq!(
        states(&collector.trace(2, |spans| spans.len() == 5)),
        BTreeSet::from([String::new()])
    );
    // A trace of the server's own, which begins here.
    let known = collector.spans().len();
    pay(&ledger, with_state(Request::new(deposit(3)), &["rojo=00f0"])).await;
    let own = wait_for("a trace of the server's own", || {
        let spans = collector.spans()[known..].to_vec();
        spans.iter().any(|span| span.name == CALL).then_some(spans)
    });
    assert_eq!(states(&own), BTreeSet::from([String::new()]));
}

fn unix_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.expect("later").as_nanos()).expect("before 2554")
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_repeats_and_reads_are_told_as_what_they_are() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let (_server, ledger) = serving(dir.path(), &collector.url(), &[]).await;
    let wrong = TransferRequest { currency: "no currency".to_owned(), ..deposit(1) };
    let refused = ledger.clone().transfer(of_trace(wrong, 1, true)).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let spans = collector.trace(1, has_call);
    assert_eq!(spans.len(), 1, "it came to no batch: {spans:?}");
    let code = attribute(&spans[0].attributes, "rpc.response.status_code");
    assert_eq!(code, "INVALID_ARGUMENT");
    assert!(spans[0].status.is_none(), "its caller is to blame");

    pay(&ledger, of_trace(deposit(2), 2, true)).await;
    pay(&ledger, of_trace(deposit(2), 3, true)).await;
    let repeated = collector.trace(3, has_call);
    let names: BTreeSet<&str> = repeated.iter().map(|span| span.name.as_str()).collect();
    assert!(names.contains("admit"), "{names:?}");
    let admit = named(&repeated, "admit");
    let keys: Vec<&str> = admit.attributes.iter().map(|of| of.key.as_str()).collect();
    assert_eq!(keys, ["ducat.batch.requests"], "a repeat makes no event");

    let none = proto::GetAccountsRequest::default();
    let read = ledger.clone().get_accounts(of_trace(none, 4, true)).await;
    assert!(read.is_err(), "a read of no account");
    collector.trace(4, |spans| spans.iter().any(|span| span.name.ends_with("/GetAccounts")));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_share_a_batch_share_its_moments() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let more = ["--traces-sampled-per-s-max", "100000"];
    let (_server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    let mut next = 1;
    // Mostly at the first go: a hundred calls that come at once.
    let shared = wait_for("calls share a batch", || {
        let ids = next..next + 100;
        next += 100;
        let known = collector.spans().len();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let calls = ids.map(|id| {
                    let ledger = ledger.clone();
                    tokio::spawn(async move { pay(&ledger, of_trace(deposit(id), 9, true)).await })
                });
                for call in calls.collect::<Vec<_>>() {
                    call.await.expect("no panic");
                }
            });
        });
        let spans = collector.trace(9, |spans| {
            spans[known..].iter().filter(|span| span.name == CALL).count() == 100
        });
        let mut batches: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for span in spans.into_iter().skip(known).filter(|span| span.name == "append") {
            let first = attribute(&span.attributes, "ducat.batch.first_lsn");
            batches.entry(first).or_default().push(span);
        }
        batches.into_values().find(|batch| batch.len() > 1)
    });
    let size = attribute(&shared[0].attributes, "ducat.batch.requests");
    assert_eq!(size, shared.len().to_string(), "all of them are sampled");
    let parents: BTreeSet<&[u8]> = shared.iter().map(|span| &span.parent_span_id[..]).collect();
    assert_eq!(parents.len(), shared.len(), "each in its own call");
    for span in &shared {
        let last = attribute(&span.attributes, "ducat.batch.last_lsn");
        assert_eq!(last, attribute(&shared[0].attributes, "ducat.batch.last_lsn"));
        // The wall clock is read anew for each call: to within what it may be set by meanwhile.
        let took = |span: &Span| span.end_time_unix_nano - span.start_time_unix_nano;
        assert!(took(span).abs_diff(took(&shared[0])) <= 1, "one append, told alike");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_hundred_is_one_call_and_batches_of_streams_have_their_own_spans() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let (_server, ledger) = serving(dir.path(), &collector.url(), &[]).await;
    let batch = |from: u64| (from..from + 100).map(deposit).collect::<Vec<_>>();
    let request = CreateTransfersRequest { transfers: batch(1), ..Default::default() };
    ledger.clone().create_transfers(of_trace(request, 1, true)).await.expect("answered");
    let whole = |spans: &[Span]| spans.iter().any(|span| span.name.ends_with("/CreateTransfers"));
    let spans = collector.trace(1, whole);
    assert_eq!(spans.len(), 5, "{spans:?}");
    assert_eq!(attribute(&named(&spans, "append").attributes, "ducat.batch.requests"), "100");

    let batches = [101, 201].map(|from| StreamTransfersRequest {
        tag: from,
        transfers: batch(from),
        ..Default::default()
    });
    let request = of_trace(tokio_stream::iter(batches), 2, true);
    let mut answers = ledger.clone().stream_transfers(request).await.expect("opens").into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.expect("no status") {
        assert!(answer.error.is_none(), "{answer:?}");
        answered += 1;
    }
    assert_eq!(answered, 2);
    let whole = |spans: &[Span]| spans.iter().any(|span| span.name.ends_with("/StreamTransfers"));
    let spans = collector.trace(2, whole);
    let stream = named(&spans, "ducat.v1.Ledger/StreamTransfers");
    assert_eq!(attribute(&stream.attributes, "rpc.response.status_code"), "OK");
    let batches: Vec<&Span> = spans.iter().filter(|span| span.name == "batch").collect();
    assert_eq!(batches.len(), 2, "{spans:?}");
    for batch in batches {
        assert_eq!(batch.parent_span_id, stream.span_id);
        let parts = spans.iter().filter(|span| span.parent_span_id == batch.span_id);
        assert_eq!(parts.count(), 4, "{spans:?}");
        assert!(batch.start_time_unix_nano >= stream.start_time_unix_nano);
        assert!(batch.end_time_unix_nano <= stream.end_time_unix_nano);
    }
}

/// A figure of the server's.
fn figure(dir: &Path, name: &str) -> u64 {
    let out = fs::read_to_string(dir.join("out")).expect("a banner");
    let line = out.lines().find_map(|line| line.trim().strip_prefix("metrics:"));
    let address = line.expect("metrics").trim().strip_prefix("http://").expect("an address");
    let address = address.split('/').next().expect("an address").to_owned();
    let text = tokio::task::block_in_place(|| {
        let address = address.parse().expect("an address");
        let asked = crate::figures::ask(address, "GET /metrics");
        tokio::runtime::Handle::current().block_on(asked).1
    });
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_has_more_sampled_calls_than_it_may() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let more = ["--traces-sampled-per-s-max", "2", "--metrics-listen", "127.0.0.1:0"];
    let since = Instant::now();
    let (_server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    for id in 1..=60 {
        pay(&ledger, of_trace(deposit(id), 5, true)).await;
    }
    let most = 2 + 2 * (since.elapsed().as_secs() + 1);
    let sampled = figure(dir.path(), "ducat_traces_sampled_total");
    assert!((2..=most).contains(&sampled), "{sampled} of at most {most}");
    assert_eq!(figure(dir.path(), "ducat_traces_limited_total"), 60 - sampled);
    let told = |spans: &[Span]| spans.iter().filter(|span| span.name == CALL).count() as u64;
    let spans = collector.trace(5, |spans| told(spans) == sampled);
    wait_for("all spans are counted", || {
        let exported = figure(dir.path(), "ducat_spans_exported_total");
        (exported == spans.len() as u64).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn of_callers_that_say_nothing_a_share_is_sampled_which_sighup_changes() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let file = dir.path().join("ducat.toml");
    let config = |percent: &str| format!("[traces]\nown_percent = \"{percent}\"\n");
    fs::write(&file, config("0")).expect("writes");
    let more = ["--config", text(&file)];
    let (server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    pay(&ledger, Request::new(deposit(1))).await;
    fs::write(&file, config("100")).expect("writes");
    server.reload("were read again");
    pay(&ledger, Request::new(deposit(2))).await;
    let spans = wait_for("its own trace is told", || {
        let spans = collector.spans();
        has_call(&spans).then_some(spans)
    });
    let call = named(&spans, CALL);
    assert!(call.parent_span_id.is_empty(), "it has no caller that is known");
    assert!(spans.iter().all(|span| span.trace_id == call.trace_id));
    // Who says that it is not sampled is not, whatever the share.
    pay(&ledger, of_trace(deposit(3), 1, false)).await;
    pay(&ledger, of_trace(deposit(4), 2, true)).await;
    collector.trace(2, has_call);
    assert!(collector.spans().iter().all(|span| span.trace_id != [1; 16]));
    fs::write(&file, config("101")).expect("writes");
    server.reload("everything stays as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_keeps_nobody_and_is_told_when_it_comes() {
    let dir = place();
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("bound");
    drop(port);
    let more = ["--traces-waiting-max", "3", "--breaker-failures-max", "2"];
    let more = [&more[..], &["--breaker-open-ms-min", "50", "--breaker-open-ms-max", "100"]];
    let more = [&more.concat()[..], &["--metrics-listen", "127.0.0.1:0"]].concat();
    let (server, ledger) = serving(dir.path(), &format!("http://{address}"), &more).await;
    for id in 1..=40 {
        pay(&ledger, of_trace(deposit(id), 6, true)).await;
    }
    wait_for("the breaker has opened", || {
        let opened = figure(dir.path(), "ducat_breaker_opened_total{dependency=\"traces\"}");
        (opened > 0).then_some(())
    });
    let lost = "ducat_spans_lost_total{at=\"waiting\"}";
    // What waits is bounded, and so is what one export holds.
    let mut id = 41;
    wait_for("what finds no room is counted", || {
        let paid = pay(&ledger, of_trace(deposit(id), 6, true));
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(paid));
        id += 1;
        (figure(dir.path(), lost) > 0).then_some(())
    });
    assert!(server.log().contains("traces could not be told"), "{}", server.log());
    let collector = Collector::start_at(address, Mood::Takes).await;
    collector.trace(6, has_call);
    wait_for("the log tells of it", || server.log().contains("there again").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_keeps_neither_calls_nor_the_end() {
    let (dir, collector) = (place(), Collector::start(Mood::NeverAnswers).await);
    let more = ["--breaker-call-timeout-ms", "600000"];
    let (mut server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    pay(&ledger, of_trace(deposit(1), 6, true)).await;
    wait_for("an export hangs", || {
        (collector.seen.exports.load(Ordering::SeqCst) == 1).then_some(())
    });
    for id in 2..=200 {
        pay(&ledger, of_trace(deposit(id), 6, true)).await;
    }
    assert_eq!(collector.seen.exports.load(Ordering::SeqCst), 1, "one at a time, and it hangs");
    drop(ledger);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert!(server.log().contains("the last traces could not be told in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_is_not_asked_twice() {
    let (dir, collector) = (place(), Collector::start(Mood::Refuses).await);
    let more = ["--metrics-listen", "127.0.0.1:0"];
    let (_server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    pay(&ledger, of_trace(deposit(1), 6, true)).await;
    wait_for("the spans are given up", || {
        let lost = figure(dir.path(), "ducat_spans_lost_total{at=\"exporting\"}");
        (lost == 5).then_some(())
    });
    assert_eq!(collector.seen.exports.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_when_the_server_ends_is_told() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let url = collector.url();
    let server =
        Server::start(dir.path(), &["--traces-endpoint", &url, "--traces-every-ms", "60000"]);
    let mut server = server;
    let endpoint = format!("http://{}", server.address);
    open(&Client::connect(&endpoint).await.expect("listens"), 3).await;
    let ledger = LedgerClient::connect(endpoint).await.expect("listens");
    pay(&ledger, of_trace(deposit(1), 8, true)).await;
    assert!(collector.spans().is_empty(), "they wait for others");
    drop(ledger);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert_eq!(collector.trace(8, has_call).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_log_name_the_trace_they_belong_to() {
    let (dir, collector) = (place(), Collector::start(Mood::Takes).await);
    let more = ["--log-format", "json", "--log-filter", "info,ducat_api=debug", "--audit", "on"];
    let (server, ledger) = serving(dir.path(), &collector.url(), &more).await;
    pay(&ledger, Request::new(deposit(1))).await;
    // Sampled or not.
    pay(&ledger, of_trace(deposit(2), 0x1a, false)).await;
    pay(&ledger, of_trace(deposit(3), 0x2b, true)).await;
    let lines = |trace: &str| -> Vec<Json> {
        let log = server.log();
        let lines = log.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
        lines.filter(|line| line["trace_id"] == trace).collect()
    };
    for trace in ["1a", "2b"] {
        let lines = lines(&trace.repeat(16));
        assert_eq!(lines.len(), 1, "{trace}: {}", server.log());
        assert_eq!(lines[0]["message"], "a call of a trace was answered");
    }
    assert!(!server.log().contains(&"00".repeat(16)));
    // And the audit trail names the same.
    let endpoint = format!("http://{}", server.address);
    let listed = ["--server", &endpoint, "--json", "audit", "list", "--method", "Ledger/Transfer"];
    let listed = stdout(&ducat(&listed));
    let events = listed.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
    let traces: Vec<Json> = events.map(|event| event["trace_id"].clone()).collect();
    assert_eq!(traces, [Json::Null, "1a".repeat(16).into(), "2b".repeat(16).into()], "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_travel_encrypted_to_a_collector_that_is_who_it_should_be() {
    let (dir, secrets) = (place(), Secrets::new());
    let collector = Collector::start_encrypted(&secrets).await;
    let url = format!("https://localhost:{}", collector.address.port());
    let ca = secrets.path("ca.pem");
    let (server, ledger) = serving(dir.path(), &url, &["--traces-ca", text(&ca)]).await;
    pay(&ledger, of_trace(deposit(1), 3, true)).await;
    collector.trace(3, has_call);
    assert!(!server.log().contains("could not be told"), "{}", server.log());
    // Signed by a CA that is not trusted: nothing is told.
    let (dir, other) = (place(), Secrets::new());
    let ca = other.path("ca.pem");
    let (server, ledger) = serving(dir.path(), &url, &["--traces-ca", text(&ca)]).await;
    pay(&ledger, of_trace(deposit(1), 4, true)).await;
    wait_for("it is not trusted", || {
        server.log().contains("traces could not be told").then_some(())
    });
    assert!(collector.spans().iter().all(|span| span.trace_id != [4; 16]));
}

#[test]
fn collectors_that_cannot_be_meant_are_refused_and_secrets_are_not_shown() {
    let dir = place();
    let headers = dir.path().join("headers");
    fs::write(&headers, "authorization: Bearer secret-part\n").expect("writes");
    let check = |args: &[&str]| ducat(&[&["config", "check"], args].concat());
    for (args, says) in [
        (vec!["--traces-endpoint", "http://collector.example:4317"], "must be https"),
        (vec!["--traces-endpoint", "https://collector.example/v1/traces"], "has no path"),
        (vec!["--traces-headers", text(&headers)], "--traces-endpoint"),
        (vec!["--traces-own-percent", "101"], "0 to 100"),
        (
            vec!["--traces-endpoint", "https://a.example", "--traces-ca", "/nowhere/ca.pem"],
            "/nowhere/ca.pem",
        ),
        (
            vec!["--traces-endpoint", "http://[::1]:4317", "--traces-headers", "/nowhere/h"],
            "/nowhere/h",
        ),
    ] {
        let refused = check(&args);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
    let sound = ["--traces-endpoint", "http://[::1]:4317", "--traces-headers", text(&headers)];
    let said = stdout(&check(&sound));
    assert!(said.contains("is sound"), "{said}");
    let printed = stdout(&ducat(&[&["config", "print"][..], &sound].concat()));
    assert!(printed.contains("endpoint_url = \"http://[::1]:4317\""), "{printed}");
    assert!(!printed.contains("secret-part"));
}
