//! Figures and probes as those see them who watch.

use crate::world::{BANK, Secrets, Server, open, transfer};
use ducat_api::identity::guard::Trust;
use ducat_api::metrics::{Metrics, listener};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub async fn listen(metrics: Arc<Metrics>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(listener::serve(listener, metrics));
    address
}

/// Status and body.
pub async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("listens");
    let text = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_lives_before_it_is_ready_and_is_not_ready_while_it_drains() {
    let starting = listen(Metrics::new()).await;
    assert_eq!(ask(starting, "GET /livez").await.0, 200);
    assert_eq!(ask(starting, "GET /readyz").await.0, 503);
    let (status, body) = ask(starting, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("\nducat_ready 0\n"), "{body}");
    let server = Server::start(None, None).await;
    let secrets = Secrets::new();
    // Once a call was answered it is ready.
    server.client(&secrets, None, None).await.list_accounts(1, "").await.expect("answered");
    let serving = listen(Arc::clone(&server.metrics)).await;
    assert_eq!(ask(serving, "GET /readyz").await.0, 200);
    server.metrics.draining();
    assert_eq!(ask(serving, "GET /readyz").await.0, 503);
    assert_eq!(ask(serving, "GET /livez").await.0, 200);
    assert_eq!(ask(serving, "POST /metrics").await.0, 405);
    assert_eq!(ask(serving, "GET /").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_what_happened_and_of_no_account() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let server = Server::start(None, Some(trust)).await;
    let token = secrets.token("somebody-special", &["admin"], &["*"], &[]);
    let client = server.client(&secrets, None, Some(&token)).await;
    let special = 918_273_645;
    open(&client, 3).await;
    let batch = vec![transfer(special, BANK, 2, 777_318_264_905), transfer(special + 1, 3, 2, 1)];
    client.create_transfers(batch.clone()).await.expect("answered");
    client.create_transfers(batch).await.expect("repeated");
    let (mut sender, mut answers) = client.stream(1).await.expect("opens");
    sender.send(vec![transfer(special + 2, 3, 2, 1)]).await.expect("sent");
    drop(sender);
    answers.next().await.expect("answered").expect("there").result.expect("decided");
    let nobody = server.client(&secrets, None, None).await;
    assert!(nobody.list_accounts(1, "").await.is_err());

    let address = listen(Arc::clone(&server.metrics)).await;
    let (_, text) = ask(address, "GET /metrics").await;
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    has("ducat_ready 1");
    has("ducat_transfers_posted_total 1");
    has("ducat_transfers_refused_total 2");
    has("ducat_transfers_refused_by_reason_total{reason=\"INSUFFICIENT_FUNDS\"} 2");
    has("ducat_batch_transfers_count 3");
    has("ducat_batch_transfers_sum 5.0");
    has("ducat_accounts 3");
    has("ducat_calls_unauthenticated_total 1");
    has("ducat_connections_closed_total{reason=\"address_full\"} 0");
    has("ducat_connections_closed_total{reason=\"control_frames\"} 0");
    has("ducat_calls_total{method=\"ducat.v1.Ledger/CreateTransfers\",code=\"Ok\"} 2");
    has("ducat_calls_total{method=\"ducat.v1.Ledger/ListAccounts\",code=\"Unauthenticated\"} 1");
    assert!(text.contains("ducat_journal_append_seconds_bucket{le=\"0.0001\"}"), "{text}");
    for secret in ["918273645", "somebody", "cus_2", "127.0.0.1", "7773182649"] {
        assert!(!text.contains(secret), "{secret} is shown:\n{text}");
    }
    keeps_to_the_rules(&text);
}

/// What `promtool check metrics` looks at, as far as it needs no promtool: every family described
/// once, in one piece, counters ending in _total, units as base units.
fn keeps_to_the_rules(text: &str) {
    let mut families = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().expect("a name").to_owned();
            assert!(families.insert(current.clone()), "{current} is described twice");
            assert!(rest.len() > current.len() + 5, "{current} has no help");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        } else if !line.starts_with("# UNIT ") {
            assert!(line.starts_with(&current), "{line} stands in {current}");
            assert!(current.starts_with("ducat_"), "{current}");
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            assert!(value.is_some(), "{line}");
        }
        assert!(!current.contains("_ms") && !current.contains("_us") && !current.contains("_kib"));
    }
    assert!(families.len() > 30, "{families:?}");
}
