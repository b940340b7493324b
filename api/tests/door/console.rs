//! The operators' page over HTTP: what is served to whom, and how bad requests are answered. In a
//! browser: `browser`.

use crate::program;
use crate::world::{BANK, Secrets, Server, account, open, rights, transfer, transfer_id};
use ducat_api::console::{self, CALLS, Console};
use ducat_api::identity::guard::Trust;
use ducat_api::proto::{NewAccount, TransferRequest};
use ducat_api::tls::Clients;
use ducat_engine::ids::AccountId;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const OWN: u64 = 2;
const FOREIGN: u64 = 3;

/// An answer as it came.
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub fn reason(&self) -> String {
        self.json()["error"]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends the lines of a request and reads the answer to its end.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    lines: &[&str],
    body: &str,
) -> Answer {
    let mut text = lines.join("\r\n");
    text.push_str(&format!(
        "\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    // A server that refuses by the head may close before it has read all.
    let _refused = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Sends the lines of a request with a body, and reads what comes.
pub async fn ask(at: SocketAddr, lines: &[&str], body: &str) -> Answer {
    exchange(TcpStream::connect(at).await.expect("listens"), lines, body).await
}

/// What lies under a path.
pub async fn get(at: SocketAddr, path: &str) -> Answer {
    ask(at, &[&format!("GET {path} HTTP/1.1"), "host: localhost"], "").await
}

/// What lies under a path, for whoever has this token.
pub async fn get_as(at: SocketAddr, path: &str, token: &str) -> Answer {
    let (first, bearer) =
        (format!("GET {path} HTTP/1.1"), format!("authorization: Bearer {token}"));
    ask(at, &[&first, "host: localhost", &bearer], "").await
}

/// A call of the page with a token.
pub async fn call(at: SocketAddr, name: &str, body: &Value, token: Option<&str>) -> Answer {
    let first = format!("POST /api/{name} HTTP/1.1");
    let bearer = token.map(|token| format!("authorization: Bearer {token}"));
    let mut lines = vec![first.as_str(), "host: localhost", "content-type: application/json"];
    lines.extend(bearer.as_deref());
    ask(at, &lines, &body.to_string()).await
}

pub fn read(token: &Path) -> String {
    std::fs::read_to_string(token).expect("written").trim().to_owned()
}

fn trust(secrets: &Secrets) -> Option<Trust> {
    Some(Trust { tokens: Some(secrets.token_rules()), ..Trust::default() })
}

/// A request of each call about an account; transfer 1000 + n was decided for account n.
fn about(name: &str, id: u64) -> Value {
    let decided = (1000 + id).to_string();
    let id_text = id.to_string();
    match name {
        "Ledger/GetAccounts" => json!({ "ids": [{ "id": id_text }] }),
        "Ledger/ListAccounts" => json!({ "filter": { "owner": format!("cus_{id}") } }),
        "Ledger/GetTransfers" | "Ledger/GetHolds" => json!({ "ids": [{ "id": decided }] }),
        "Ledger/ListRefunds" | "Ledger/Explain" => json!({ "id": decided }),
        "Operator/GetStatus" | "Operator/ListSnapshots" | "Audit/ListAuditEvents" => json!({}),
        "Ledger/GetBalanceAt" => json!({ "id": id_text, "lsn": "5" }),
        _ => json!({ "id": id_text }),
    }
}

/// A server with accounts 1 to 3 and a deposit into each of 2 and 3, and where its page is.
async fn prepared(secrets: &Secrets) -> (Server, SocketAddr) {
    let server = Server::start(None, trust(secrets)).await;
    let admin = secrets.token("prepares", &["admin"], &["*"], &[]);
    let client = server.client(secrets, None, Some(&admin)).await;
    open(&client, FOREIGN).await;
    let batch = [OWN, FOREIGN].map(|id| transfer(1000 + id, BANK, id, 5_000));
    client.create_transfers(batch.to_vec()).await.expect("answered");
    let at = server.console().await;
    (server, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_with_headers_that_bind_the_browser() {
    let server = Server::start(None, None).await;
    let at = server.console().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/js/app.js", "text/javascript; charset=utf-8"),
        ("/i18n/ja.json", "application/json; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/nothing", "application/json"),
        ("/api/access", "application/json"),
        ("/api/Ledger/GetAccounts", "application/json"),
    ] {
        let answer = get(at, path).await;
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        let policy = answer.header("content-security-policy").expect(path);
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|found| found == part), "{path}: {part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_pages_files_is_found() {
    let server = Server::start(None, None).await;
    let at = server.console().await;
    for path in [
        "/../Cargo.toml",
        "/js/../../Cargo.toml",
        "/js/../index.html",
        "/./index.html",
        "//index.html",
        "/%2e%2e/Cargo.toml",
        "/..%2fCargo.toml",
        "/js/..%5c..%5cCargo.toml",
        "/index.html%00.css",
        "/INDEX.HTML",
        "/js",
        "/js/",
        "/etc/passwd",
        "//etc/passwd",
        "/file:///etc/passwd",
        "/i18n/xx.json",
        "/api",
        "/console/index.html",
    ] {
        let answer = get(at, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.reason(), "PAGE_UNKNOWN", "{path}");
    }
    for path in ["/api/", "/api/../index.html", "/api/Ledger/../Operator/GetStatus"] {
        let json =
            [&format!("POST {path} HTTP/1.1"), "host: localhost", "content-type: application/json"];
        let answer = ask(at, &json, "{}").await;
        assert_eq!((answer.status, answer.reason().as_str()), (404, "CALL_UNKNOWN"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_answered_without_a_sound_token() {
    let secrets = Secrets::new();
    let (server, at) = prepared(&secrets).await;
    let sound = read(&secrets.token("sound", &["admin"], &["*"], &[]));
    let half = &sound[..sound.len() / 2];
    let tokens = [None, Some(""), Some("x"), Some(half), Some("a.b.c")];
    for name in CALLS {
        for token in tokens {
            let answer = call(at, name, &about(name, OWN), token).await;
            assert_eq!(answer.status, 401, "{name} {token:?}");
            assert_eq!(answer.reason(), "UNAUTHENTICATED", "{name}");
            assert!(!answer.body.contains("GBP"), "{name}: {}", answer.body);
        }
    }
    let (unauthenticated, _denied) = server.guard.as_ref().expect("guarded").refused();
    assert_eq!(unauthenticated, (CALLS.len() * tokens.len()) as u64, "each is counted");
    assert_eq!(get(at, "/api/access").await.status, 401);
    let bearer = format!("authorization: Bearer {sound}");
    let first = "POST /api/Operator/GetStatus HTTP/1.1";
    let lines = [first, "host: localhost", "content-type: application/json", &bearer];
    assert_eq!(ask(at, &lines, "{}").await.status, 200);
    let twice = [first, "host: localhost", "content-type: application/json", &bearer, &bearer];
    assert_eq!(ask(at, &twice, "{}").await.status, 401, "which of them was meant?");
    let cookie = format!("cookie: token={sound}; authorization=Bearer {sound}");
    let lines = [first, "host: localhost", "content-type: application/json", &cookie];
    assert_eq!(ask(at, &lines, "{}").await.status, 401, "cookies are nothing here");
    let query = format!("POST /api/Operator/GetStatus?access_token={sound} HTTP/1.1");
    let lines = [query.as_str(), "host: localhost", "content-type: application/json"];
    assert_eq!(ask(at, &lines, "{}").await.status, 401, "nor is what stands in addresses");
}

/// Written down once more: the roles of each call by letters, and what somebody with some accounts
/// gets: `o`nly of their own, `h`idden where foreign, `n`ever, `a`lways.
const EXPECTED: &[(&str, &str, char)] = &[
    ("Ledger/GetAccounts", "groa", 'o'),
    ("Ledger/ListAccounts", "roa", 'o'),
    ("Ledger/GetTransfers", "gra", 'h'),
    ("Ledger/ListEntries", "gra", 'o'),
    ("Ledger/ListAccountHistory", "roa", 'o'),
    ("Ledger/GetBalanceAt", "gra", 'o'),
    ("Ledger/GetHolds", "gra", 'h'),
    ("Ledger/ListHolds", "gra", 'o'),
    ("Ledger/ListRefunds", "gra", 'h'),
    ("Ledger/ListWatches", "groa", 'o'),
    ("Ledger/Explain", "gra", 'n'),
    ("Operator/GetStatus", "groa", 'a'),
    ("Operator/ListSnapshots", "oa", 'n'),
    ("Audit/ListAuditEvents", "a", 'n'),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_role_gets_what_it_may_and_nothing_of_foreign_accounts() {
    let secrets = Secrets::new();
    let (_server, at) = prepared(&secrets).await;
    assert_eq!(EXPECTED.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), CALLS);
    let roles =
        [('g', "gateway"), ('r', "reader"), ('o', "operator"), ('a', "auditor"), ('*', "admin")];
    for (letter, role) in roles {
        let all = read(&secrets.token(&format!("all-{role}"), &[role], &["*"], &[]));
        let some = read(&secrets.token(&format!("some-{role}"), &[role], &["2"], &["cus_2"]));
        let nothing = read(&secrets.token(&format!("none-{role}"), &[role], &[], &[]));
        for (name, letters, reach) in EXPECTED {
            let has_role = letter == '*' || letters.contains(letter);
            let answer = call(at, name, &about(name, OWN), Some(&all)).await;
            match (has_role, *name) {
                (false, _) => {
                    assert_eq!((answer.status, answer.reason().as_str()), (403, "ROLE_MISSING"));
                }
                // The journal of this server is in memory.
                (true, "Operator/ListSnapshots") => {
                    assert_eq!(answer.reason(), "SNAPSHOTS_NOT_KEPT")
                }
                (true, _) => assert_eq!(answer.status, 200, "{role} {name}: {}", answer.body),
            }
            let own = call(at, name, &about(name, OWN), Some(&some)).await;
            let foreign = call(at, name, &about(name, FOREIGN), Some(&some)).await;
            let nobodys = call(at, name, &about(name, OWN), Some(&nothing)).await;
            let fine = |answer: &Answer| answer.status == 200;
            let shown =
                |answer: &Answer| answer.body.contains("50.00") || answer.body.contains("5000");
            match (has_role, reach) {
                (false, _) | (_, 'n') => {
                    assert!(
                        [&own, &foreign, &nobodys].iter().all(|a| a.status == 403),
                        "{role} {name}"
                    );
                }
                (true, 'a') => assert!(fine(&own) && fine(&nobodys), "{role} {name}"),
                (true, 'o') => {
                    assert!(fine(&own), "{role} {name}: {}", own.body);
                    assert_eq!(foreign.status, 403, "{role} {name}: {}", foreign.body);
                    assert_eq!(nobodys.status, 403, "{role} {name}: {}", nobodys.body);
                }
                (true, _) => {
                    assert!(
                        !shown(&foreign) && !shown(&nobodys),
                        "{role} {name}: {}",
                        foreign.body
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_told_what_is_granted() {
    let secrets = Secrets::new();
    let (server, at) = prepared(&secrets).await;
    let access = async |token: &str| {
        let bearer = format!("authorization: Bearer {token}");
        ask(at, &["GET /api/access HTTP/1.1", "host: localhost", &bearer], "").await.json()
    };
    let operator = access(&read(&secrets.token("op", &["operator"], &["*"], &[]))).await;
    assert_eq!((&operator["all"], &operator["asked"]), (&json!(true), &json!(true)));
    let calls = operator["calls"].as_array().expect("a list");
    assert!(calls.contains(&json!("Operator/ListSnapshots")));
    assert!(
        !calls.contains(&json!("Ledger/ListEntries")) && !calls.contains(&json!("Ledger/Explain"))
    );
    let reader = access(&read(&secrets.token("re", &["reader"], &["2"], &[]))).await;
    let calls = reader["calls"].as_array().expect("a list");
    assert!(calls.contains(&json!("Ledger/ListEntries")), "{reader}");
    assert!(!calls.contains(&json!("Ledger/Explain")), "it is about all accounts");
    assert_eq!(server.guard.as_ref().expect("guarded").refused().1, 0, "asking is no attempt");
    let open = Server::start(None, None).await;
    let anyone = get(open.console().await, "/api/access").await.json();
    assert_eq!(anyone["asked"], json!(false));
    assert_eq!(anyone["calls"].as_array().map(Vec::len), Some(CALLS.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_answered_by_what_is_wrong() {
    let server = Server::start(None, None).await;
    let at = server.console().await;
    let cases = [
        ("Ledger/GetAccounts", json!({ "ids": [] }), 400, "BATCH_SIZE"),
        ("Ledger/GetAccounts", json!({ "ids": [{ "id": "0" }] }), 400, "ACCOUNT_ID_ZERO"),
        ("Ledger/GetAccounts", json!({ "ids": [{ "id": "-1" }] }), 400, "REQUEST_MALFORMED"),
        ("Ledger/GetAccounts", json!({ "ids": [{ "id": "1e400" }] }), 400, "REQUEST_MALFORMED"),
        ("Ledger/GetAccounts", json!({ "nobody": 1 }), 400, "REQUEST_MALFORMED"),
        ("Ledger/GetAccounts", json!([]), 400, "REQUEST_MALFORMED"),
        ("Ledger/ListAccounts", json!({ "pageSize": 10_001 }), 400, "PAGE_SIZE"),
        ("Ledger/ListAccounts", json!({ "cursor": "../../x" }), 400, "CURSOR_INVALID"),
        (
            "Ledger/ListAccounts",
            json!({ "filter": { "currency": "XXQ" } }),
            400,
            "CURRENCY_UNKNOWN",
        ),
        ("Ledger/ListEntries", json!({ "id": "7" }), 404, "ACCOUNT_UNKNOWN"),
        ("Ledger/Explain", json!({ "id": "7" }), 404, "REQUEST_UNKNOWN"),
        ("Ledger/Transfer", json!({}), 404, "CALL_UNKNOWN"),
        ("Operator/CreateSnapshot", json!({}), 404, "CALL_UNKNOWN"),
        ("Ledger/NoSuchCall", json!({}), 404, "CALL_UNKNOWN"),
    ];
    for (name, body, status, reason) in cases {
        let answer = call(at, name, &body, None).await;
        assert_eq!(answer.status, status, "{name} {body}: {}", answer.body);
        let error = answer.json();
        let violated = error["error"]["violations"][0]["message"].is_string();
        assert!(answer.body.contains(reason) || violated, "{name} {body}: {}", answer.body);
    }
    let path = "POST /api/Operator/GetStatus HTTP/1.1";
    let json = "content-type: application/json";
    for (lines, body, status, reason) in [
        (vec![path, "host: localhost"], "{}", 415, "CONTENT_TYPE"),
        (vec![path, "host: localhost", "content-type: text/plain"], "{}", 415, "CONTENT_TYPE"),
        (
            vec![path, "host: localhost", json, "sec-fetch-site: cross-site"],
            "{}",
            403,
            "ORIGIN_FOREIGN",
        ),
        (vec![path, "host: rebound.example", json], "{}", 421, "HOST_FOREIGN"),
        (vec![path, json], "{}", 421, "HOST_FOREIGN"),
        (vec![path, "host: localhost", json], "", 400, "REQUEST_MALFORMED"),
        (vec![path, "host: localhost", json], "{} {}", 400, "REQUEST_MALFORMED"),
        (
            vec!["PUT /api/Operator/GetStatus HTTP/1.1", "host: localhost", json],
            "{}",
            405,
            "METHOD",
        ),
        (vec!["POST / HTTP/1.1", "host: localhost", json], "{}", 405, "METHOD"),
        (vec!["GET / HTTP/1.1", "host: rebound.example"], "", 421, "HOST_FOREIGN"),
    ] {
        let answer = ask(at, &lines, body).await;
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{lines:?}");
    }
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    let answer = ask(at, &[path, "host: localhost", json], &large).await;
    assert_eq!((answer.status, answer.reason().as_str()), (413, "REQUEST_SIZE"));
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(ask(at, &[path, "host: localhost", json], &deep).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_money_lose_no_digit() {
    let secrets = Secrets::new();
    let server = Server::start(None, None).await;
    let client = server.client(&secrets, None, None).await;
    let wide = AccountId::new((7 << 100) + 9_007_199_254_740_993).expect("not zero");
    let accounts =
        vec![NewAccount::new(account(BANK), "JPY", true), NewAccount::new(wide, "JPY", false)];
    client.create_accounts(accounts).await.expect("well-formed");
    let amount = "79228162514264337593543950335";
    let deposit = TransferRequest {
        amount_minor: 0,
        amount: amount.to_owned(),
        currency: "JPY".to_owned(),
        ..transfer(1, BANK, 2, 0)
    };
    let deposit =
        TransferRequest { credit_account: wide.low(), credit_account_high: wide.high(), ..deposit };
    client.create_transfers(vec![deposit]).await.expect("answered");
    let at = server.console().await;
    let id = json!({ "id": wide.low().to_string(), "idHigh": wide.high().to_string() });
    let answer = call(at, "Ledger/GetAccounts", &json!({ "ids": [id] }), None).await.json();
    let found = &answer["accounts"][0];
    assert_eq!(found["posted"], amount);
    assert_eq!(found["id"], "9007199254740993", "2^53 + 1 is there");
    assert_eq!(found["idHigh"], (7_u64 << 36).to_string());
    let entries = call(at, "Ledger/ListEntries", &id, None).await.json();
    assert_eq!(entries["entries"][0]["balanceAfter"], amount);
    assert_eq!(entries["entries"][0]["kind"], "TRANSFER_KIND_DEPOSIT");
    let explained = call(at, "Ledger/Explain", &json!({ "id": "1" }), None).await.json();
    assert_eq!(explained["record"]["outcome"]["code"], "CODE_POSTED");
    assert_eq!(explained["credit"]["posted"], amount);
    assert_eq!(transfer_id(1).to_string(), explained["record"]["transfer"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_those_of_the_server() {
    let secrets = Secrets::new();
    let (server, at) = prepared(&secrets).await;
    let admin = secrets.token("counts", &["admin"], &["*"], &[]);
    let client = server.client(&secrets, None, Some(&admin)).await;
    let refused: Vec<_> = (1..=200).map(|id| transfer(id, OWN, FOREIGN, 1_000_000)).collect();
    client.create_transfers(refused).await.expect("answered");
    let answer = call(at, "Operator/GetStatus", &json!({}), Some(&read(&admin))).await.json();
    assert_eq!(answer["posted"], "2");
    assert_eq!(answer["refusals"], json!([{ "reason": "INSUFFICIENT_FUNDS", "count": "200" }]));
    assert_eq!(answer["lastLsn"], answer["durableLsn"]);
    let sum = |of: &Value| {
        let counts = of["counts"].as_array().expect("a list");
        let of = counts.iter().map(|each| each.as_str().and_then(|each| each.parse::<u64>().ok()));
        of.map(|each| each.expect("a number")).sum::<u64>()
    };
    // Openings and two batches; the page's own calls of the ledger would be counted as well.
    assert_eq!(sum(&answer["callsTook"]), 3);
    assert!(sum(&answer["appendsTook"]) >= 3, "{answer}");
    let hot: Vec<&str> = answer["hotAccounts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|each| each["id"].as_str())
        .collect();
    assert!(hot.contains(&"2") && hot.contains(&"3"), "{answer}");
    let reader = read(&secrets.token("looks", &["reader"], &["2"], &[]));
    let limited = call(at, "Operator/GetStatus", &json!({}), Some(&reader)).await.json();
    assert_eq!(limited["hotAccounts"], json!([]), "accounts are for those who see all");
    assert_eq!(limited["posted"], "2");
}

/// The program itself, whose snapshots lie on a disk.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_serves_the_page_where_it_is_told_to() {
    let dir = program::place();
    let server = program::Server::start(dir.path(), &["--console-listen", "127.0.0.1:0"]);
    let at: SocketAddr = program::wait_for("the banner says where", || {
        let out = std::fs::read_to_string(dir.path().join("out")).ok()?;
        let line = out.lines().find_map(|line| line.strip_prefix("console:"))?;
        line.trim().strip_prefix("http://")?.strip_suffix('/')?.parse().ok()
    });
    assert_eq!(get(at, "/").await.status, 200);
    let at_server = format!("http://{}", server.address);
    let of = |args: &[&str]| {
        program::stdout(&program::ducat(&[&["--server", &at_server], args].concat()))
    };
    of(&["account", "create", "1", "--currency", "GBP", "--external"]);
    of(&["snapshot", "create"]);
    let listed = call(at, "Operator/ListSnapshots", &json!({}), None).await.json();
    assert_eq!(listed["snapshots"][0]["lsn"], "1", "{listed}");
    assert_eq!(listed["snapshots"][0]["accounts"], "1");
    let status = call(at, "Operator/GetStatus", &json!({}), None).await.json();
    assert_eq!(status["durability"], "power-loss");
    assert_eq!(status["snapshots"]["lastLsn"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_serves_the_page_and_says_so_to_its_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(console::listener::serve(listener, Console::new(), None));
    assert_eq!(get(at, "/").await.status, 200);
    for answer in
        [get(at, "/api/access").await, call(at, "Operator/GetStatus", &json!({}), None).await]
    {
        assert_eq!((answer.status, answer.reason().as_str()), (503, "STARTING"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_asked_for_as_the_calls_ask_for_them() {
    let secrets = Secrets::new();
    let pair = secrets.ca.client("spiffe://bank/reads").expect("made");
    secrets.write_pair("reads", &pair);
    let granted =
        "[[principals]]\nname = \"spiffe://bank/reads\"\nroles = [\"reader\"]\naccounts = [\"*\"]";
    let tokens = Some(secrets.token_rules());
    let trust = Trust { rights: rights(granted), tokens, ..Trust::default() };
    let server = Server::start(Some(secrets.tls(Clients::Required)), Some(trust)).await;
    let at = server.console().await;
    let status = "POST /api/Operator/GetStatus HTTP/1.1";
    let lines = [status, "host: localhost", "content-type: application/json"];
    // Plain text, and TLS without a certificate, get no answer.
    assert_eq!(ask(at, &lines, "{}").await.status, 0);
    assert_eq!(encrypted(&secrets, at, None, &lines).await.status, 0);
    let answer = encrypted(&secrets, at, Some("reads"), &lines).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let snapshots = ["POST /api/Operator/ListSnapshots HTTP/1.1", lines[1], lines[2]];
    assert_eq!(encrypted(&secrets, at, Some("reads"), &snapshots).await.reason(), "ROLE_MISSING");
    // A token beside the certificate: what both may.
    let operator =
        format!("authorization: Bearer {}", read(&secrets.token("o", &["operator"], &["*"], &[])));
    let both = [snapshots[0], lines[1], lines[2], &operator];
    assert_eq!(encrypted(&secrets, at, Some("reads"), &both).await.reason(), "ROLE_MISSING");
    assert_eq!(
        encrypted(&secrets, at, Some("reads"), &[status, lines[1], lines[2], &operator])
            .await
            .status,
        200
    );
}

/// The same as [`ask`], over TLS with this certificate.
async fn encrypted(
    secrets: &Secrets,
    at: SocketAddr,
    certificate: Option<&str>,
    lines: &[&str],
) -> Answer {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let of = |name: &str| CertificateDer::from_pem_file(secrets.path(name)).expect("PEM");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(of("ca.pem")).expect("a CA");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known")
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key =
                PrivateKeyDer::from_pem_file(secrets.path(&format!("{name}.key"))).expect("PEM");
            builder.with_client_auth_cert(vec![of(&format!("{name}.pem"))], key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(at).await.expect("listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    match connector.connect(name, stream).await {
        Ok(stream) => exchange(stream, lines, "{}").await,
        Err(_refused) => Answer { status: 0, head: String::new(), body: String::new() },
    }
}
