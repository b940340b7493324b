//! Alerts as their receiver sees them, and receivers as they misbehave, against the real server.

use crate::program::{Server, ducat, place, stdout, text, wait_for};
use crate::world::{BANK, Secrets, open, transfer};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ducat_api::client::Client;
use ducat_api::outside::webhook::PostError;
use ducat_api::outside::{Breaker, BreakerRules, Secret, Webhook, WebhookOptions};
use ducat_api::tls::Clients;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEY: &[u8; 32] = &[7; 32];

/// A post as it came.
#[derive(Clone, Debug)]
struct Post {
    head: String,
    body: Vec<u8>,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The alerts in it, by name.
    fn alert(&self, name: &str) -> Option<Value> {
        let json = self.json();
        let alerts = json["alerts"].as_array().expect("alerts");
        alerts.iter().find(|alert| alert["labels"]["alertname"] == name).cloned()
    }
}

/// A receiver that answers the first posts with these heads, and all later ones with 204.
pub struct Receiver {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Receiver {
    pub fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let seen = Arc::clone(&posts);
        let mut answers: Vec<String> = answers.iter().rev().map(|&text| text.to_owned()).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                let Some(post) = read(&mut stream) else { continue };
                seen.lock().expect("no panic").push(post);
                let answer = answers.pop().unwrap_or_else(|| "204 No Content".to_owned());
                let head = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n");
                let _gone = stream.write_all(head.as_bytes());
            }
        });
        Self { address, posts }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/alerts?room=7", self.address)
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no panic").clone()
    }

    /// The first post that says this of the alert.
    fn wait(&self, alert: &str, status: &str) -> Post {
        wait_for(&format!("{alert} is {status}"), || {
            let says = |post: &Post| post.alert(alert).is_some_and(|a| a["status"] == status);
            self.posts().into_iter().find(says)
        })
    }
}

fn read(stream: &mut TcpStream) -> Option<Post> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).ok()?;
    let mut post = Post { head, body: Vec::new() };
    let length = post.header("content-length").parse().ok()?;
    post.body.resize(length, 0);
    stream.read_exact(&mut post.body).ok()?;
    Some(post)
}

fn secret(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("webhook-secret");
    fs::write(&path, format!("whsec_{}\n", BASE64_STANDARD.encode(KEY))).expect("written");
    path
}

/// The flags of a server that looks often and holds nothing back.
fn watching<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let flags = ["--alerts-webhook", url, "--alerts-every-ms", "20", "--alerts-hold-s", "0"];
    [&flags, more].concat()
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&printed(server, &["--json", "status"])).expect("JSON")
}

/// What the command prints about this server.
fn printed(server: &Server, args: &[&str]) -> String {
    let endpoint = format!("http://{}", server.address);
    stdout(&ducat(&[&["--server", &endpoint], args].concat()))
}

/// A client of this server, and accounts 1, the bank, and 2, which has nothing.
async fn opened(server: &Server) -> Client {
    let endpoint = format!("http://{}", server.address);
    let client = Client::connect(&endpoint).await.expect("listens");
    open(&client, 2).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_and_what_ends_is_posted_and_signed() {
    let (dir, receiver) = (place(), Receiver::start(&[]));
    let (url, secret) = (receiver.url(), secret(dir.path()));
    let more = ["--alerts-secret", text(&secret), "--alerts-window-s", "1"];
    let server = Server::start(dir.path(), &watching(&url, &more));
    let client = opened(&server).await;
    let refusals = |post: &Post| post.alert("DucatRefusalsHigh").is_some();
    assert!(!receiver.posts().iter().any(refusals), "nothing was refused yet");
    // Refused by the rules: twenty at least within one window.
    let mut id = 0;
    let began = loop {
        let refused = (0..30).map(|more| transfer(1 + id + more, 2, BANK, 5)).collect();
        id += 30;
        client.create_transfers(refused).await.expect("answered");
        let told = receiver.posts();
        if let Some(post) = told.into_iter().find(refusals) {
            break post;
        }
        assert!(id < 1_000_000, "nobody is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let alert = began.alert("DucatRefusalsHigh").expect("found");
    assert_eq!(alert["status"], "firing");
    assert_eq!(alert["labels"]["severity"], "warning");
    assert_eq!(alert["labels"]["ledger"], status(&server)["ledger_id"]);
    assert_eq!(alert["labels"]["instance"], server.address);
    let says = alert["annotations"]["description"].as_str().expect("a sentence");
    assert!(says.contains("transfers were refused, 100.0%"), "{says}");
    assert!(began.head.starts_with("POST /hooks/alerts?room=7 HTTP/1.1\r\n"), "{}", began.head);
    // Nothing is refused any more.
    let ended = receiver.wait("DucatRefusalsHigh", "resolved");
    for post in [&began, &ended] {
        let (id, time) = (post.header("webhook-id"), post.header("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("a key");
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(&post.body);
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(post.header("webhook-signature"), format!("v1,{signature}"));
    }
    assert_ne!(began.header("webhook-id"), ended.header("webhook-id"));
}

#[test]
fn a_receiver_that_fails_is_left_alone_for_a_while_and_hears_of_it_later() {
    let (dir, receiver) = (place(), Receiver::start(&["500 No", "503 No", "429 No"]));
    let url = receiver.url();
    let breaker = ["--breaker-failures-max", "2", "--breaker-open-ms-min", "100"];
    let more = [&breaker[..], &["--alerts-posted-per-s-min", "1000000"]].concat();
    let server = Server::start(dir.path(), &watching(&url, &more));
    // It takes the fourth.
    let told = wait_for("it is told", || {
        let dependency = status(&server)["dependencies"][0].clone();
        (dependency["succeeded"].as_u64() > Some(0)).then_some(dependency)
    });
    assert_eq!((&told["name"], &told["state"]), (&"alerts-webhook".into(), &"closed".into()));
    assert_eq!(told["failed"], 3);
    assert!(told["opened"].as_u64() >= Some(1), "{told}");
    assert!(receiver.posts().len() >= 4);
    assert!(receiver.posts()[3].alert("DucatThroughputLow").is_some());
    let status = status(&server);
    // Others may have begun on a slow machine.
    let alerts = status["alerts"].as_array().expect("a list");
    let alert =
        alerts.iter().find(|alert| alert["name"] == "DucatThroughputLow").expect("it goes on");
    assert_eq!(alert["severity"], "warning");
    let people = printed(&server, &["status"]);
    assert!(people.contains("DucatThroughputLow (warning) since "), "{people}");
    assert!(people.contains("alerts-webhook: breaker closed, "), "{people}");
}

fn breaker() -> Arc<Breaker> {
    let long = Duration::from_secs(3600);
    Breaker::new("a test", BreakerRules { failures_max: 100, open_min: long, open_max: long })
}

fn webhook(url: String, ca: Option<&Path>, timeout: Duration) -> Webhook {
    let options = WebhookOptions { url, secret: None, ca: ca.map(Path::to_owned), timeout };
    Webhook::new(options, breaker()).expect("well-formed")
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_who_its_certificate_says() {
    let (secrets, strangers) = (Secrets::new(), Secrets::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let tls = secrets.tls(Clients::Off);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let (stream, _) = listener.accept().await.expect("accepted");
            let Ok((mut stream, _peer)) = tls.accept(stream).await else { continue };
            let mut seen = Vec::new();
            while !seen.ends_with(b"{}") {
                seen.push(stream.read_u8().await.expect("a request"));
            }
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.expect("written");
            let _gone = stream.shutdown().await;
        }
    });
    let url = format!("https://localhost:{port}/");
    let post = async |ca: Option<&Path>| {
        webhook(url.clone(), ca, LONG).post("an id", 1, b"{}".to_vec()).await
    };
    assert_eq!(post(Some(&secrets.path("ca.pem"))).await, Ok(()));
    for ca in [Some(strangers.path("ca.pem")), None] {
        match post(ca.as_deref()).await {
            Err(PostError::Connection(why)) => assert!(why.contains("certificate"), "{why}"),
            other => panic!("{ca:?}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_misbehave_are_failures_and_no_more() {
    let elsewhere = Receiver::start(&[]);
    let moved = format!("302 Found\r\nlocation: {}", elsewhere.url());
    let receiver = Receiver::start(&[&moved, "404 Not Found", "no HTTP at all\r\n\u{1}"]);
    let hook = webhook(receiver.url(), None, LONG);
    let post = async |hook: &Webhook| hook.post("an id", 1, b"{}".to_vec()).await;
    assert_eq!(post(&hook).await, Err(PostError::Status(302)));
    assert!(elsewhere.posts().is_empty(), "redirects are not followed");
    assert_eq!(post(&hook).await, Err(PostError::Status(404)));
    assert!(matches!(post(&hook).await, Err(PostError::Connection(_))));
    assert_eq!(post(&hook).await, Ok(()));
    // One that takes the post and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", silent.local_addr().expect("bound"));
    let short = Duration::from_millis(50);
    assert_eq!(post(&webhook(url, None, short)).await, Err(PostError::Timeout(short)));
    // Nobody.
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let nobody = webhook(format!("http://{gone}/"), None, LONG);
    assert!(matches!(post(&nobody).await, Err(PostError::Connection(_))));
}

#[test]
fn balances_are_verified_on_a_schedule_and_the_end_is_seen() {
    let dir = place();
    let server = Server::start(dir.path(), &["--verify-every", "1s"]);
    let verified = wait_for("a verification", || {
        let status = status(&server);
        Some(status["verification"].clone()).filter(|v| v["made"].as_u64() >= Some(1))
    });
    assert_eq!((&verified["differences"], &verified["failed"]), (&0.into(), &0.into()));
    let people = printed(&server, &["status"]);
    assert!(people.contains("verified up to LSN "), "{people}");
}

#[test]
fn mistakes_about_alerts_are_told_before_anything_is_started() {
    let dir = place();
    let bad = dir.path().join("bad");
    fs::write(&bad, "my-canary-secret").expect("written");
    let good = secret(dir.path());
    for (args, says) in [
        (
            &["--alerts-webhook", "http://example.com/canary"][..],
            "beyond this machine it must be https",
        ),
        (&["--alerts-secret", text(&good)], "none is named: add --alerts-webhook"),
        (
            &["--alerts-webhook", "https://example.com/", "--alerts-secret", text(&bad)],
            "does not begin with `whsec_`",
        ),
        (
            &["--alerts-webhook", "https://example.com/", "--alerts-ca", text(&bad)],
            "no certificate in it",
        ),
        (&["--breaker-open-ms-min", "9", "--breaker-open-ms-max", "8"], "must not be less"),
        (&["--alerts-refusals-percent-max", "101"], "a number from 0 to 100"),
    ] {
        let output = ducat(&[&["config", "check"], args].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{args:?}: {error}");
        assert!(!error.contains("canary"), "a secret is shown: {error}");
    }
    let check = ["config", "check", "--alerts-webhook", "https://example.com/", "--alerts-secret"];
    stdout(&ducat(&[&check[..], &[text(&good)]].concat()));
    assert!(Secret::read(&good).is_ok());
}
