//! Logging in at the operators' page, as its form does it over HTTP: what it gives, how it refuses, and that it
//! is the login of gRPC. In a browser: `browser`.

use crate::console::{Answer, ask, call, get};
use crate::login::{Bank, PASSWORD, reason};
use crate::world::{account, open};
use ducat_api::client::Client;
use ducat_api::identity::login::FAILED_MAX;
use ducat_api::proto::{
    AccountStatus, AuditEvent, AuditFilter, ListAuditEventsRequest, LogInResponse,
};
use ducat_api::rates::Rates;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn asked(name: &str, password: &str, code: &str) -> Value {
    json!({ "name": name, "password": password, "code": code })
}

async fn log_in(at: SocketAddr, name: &str, password: &str, code: &str) -> Answer {
    call(at, "Login/LogIn", &asked(name, password, code), None).await
}

fn given(answer: &Answer) -> LogInResponse {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    let text = |field: &str| json[field].as_str().expect(field).to_owned();
    LogInResponse {
        token: text("token"),
        expires_ns: text("expiresNs").parse().expect("a number as a text"),
        refresh_token: text("refreshToken"),
    }
}

async fn accounts(at: SocketAddr, token: &str) -> Answer {
    call(at, "Ledger/GetAccounts", &json!({ "ids": [{ "id": "2" }] }), Some(token)).await
}

/// The server, its page, and a client of somebody who may do everything with a second factor.
async fn prepared() -> (Bank, SocketAddr, Client) {
    let bank = Bank::new().await;
    let dora = bank.log_in("dora", PASSWORD, &bank.code("dora", 0)).await.expect("given");
    let dora = bank.client(&dora).await;
    open(&dora, 2).await;
    let at = bank.server.console().await;
    (bank, at, dora)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_logs_in_at_the_page_sees_what_their_name_may() {
    let (bank, at, _dora) = prepared().await;
    let ways = get(at, "/api/sign-in").await;
    assert_eq!((ways.status, ways.json()), (200, json!({ "password": true, "token": true })));
    let answer = log_in(at, "anna", PASSWORD, &bank.code("anna", 0)).await;
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let first = given(&answer);
    assert_eq!(accounts(at, &first.token).await.json()["accounts"][0]["owner"], "cus_2");
    let denied = call(at, "Ledger/Explain", &json!({ "id": "7" }), Some(&first.token)).await;
    assert_eq!(denied.reason(), "ROLE_MISSING", "an operator's token is an operator's");
    let refresh = async |token: &str| {
        call(at, "Login/Refresh", &json!({ "refreshToken": token }), None).await
    };
    let second = given(&refresh(&first.refresh_token).await);
    assert_eq!(accounts(at, &second.token).await.status, 200);
    // Signed out, nothing comes of what was given any more.
    let out = json!({ "refreshToken": second.refresh_token });
    assert_eq!(call(at, "Login/LogOut", &out, None).await.status, 200);
    let over = refresh(&second.refresh_token).await;
    assert_eq!((over.status, over.reason().as_str()), (401, "REFRESH_REFUSED"));
}

/// Who takes a token out of the page finds the dangerous calls closed: it brings no second factor along, nor do
/// those that it is exchanged for, wherever that is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_is_given_brings_no_second_factor() {
    let (bank, at, _dora) = prepared().await;
    let page = given(&log_in(at, "anna", PASSWORD, &bank.code("anna", 0)).await);
    let again = bank.refresh(&page.refresh_token).await.expect("the next");
    for stolen in [&page, &again] {
        let thief = bank.client(stolen).await;
        thief.get_accounts(&[account(2)]).await.expect("it is a token of hers");
        let refused = thief.set_account_status(account(2), AccountStatus::Frozen).await;
        let refused = refused.expect_err("dangerous");
        assert_eq!(refused.reason(), Some("SECOND_FACTOR_NEEDED"));
    }
    let program = bank.log_in("bert", PASSWORD, &bank.code("bert", 0)).await.expect("given");
    let bert = bank.client(&program).await;
    bert.set_account_status(account(2), AccountStatus::Frozen).await.expect("with its factor");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_told_nothing_of_what_was_right() {
    let (bank, at, _dora) = prepared().await;
    let code = bank.code("anna", 0);
    let mut said = Vec::new();
    for (name, password, code) in [
        ("anna", "otter lantern quarry velveT", code.as_str()),
        ("anna", PASSWORD, "000000"),
        ("nobody", PASSWORD, code.as_str()),
        ("", PASSWORD, code.as_str()),
        ("carl", PASSWORD, bank.code("carl", 0).as_str()),
    ] {
        let answer = log_in(at, name, password, code).await;
        assert_eq!((answer.status, answer.reason().as_str()), (401, "LOGIN_REFUSED"), "{name}");
        said.push(answer.body);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    // Without a code the form is told to ask for one, whatever the name, and nothing is tried.
    for name in ["anna", "nobody"] {
        for _ in 0..=FAILED_MAX {
            let answer = log_in(at, name, PASSWORD, "").await;
            assert_eq!((answer.status, answer.reason().as_str()), (401, "SECOND_FACTOR_NEEDED"));
        }
    }
    given(&log_in(at, "anna", PASSWORD, &code).await);
    let replay = log_in(at, "anna", PASSWORD, &code).await;
    assert_eq!(replay.reason(), "LOGIN_REFUSED", "a code is good once");
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_at_the_page_and_by_grpc_are_counted_together() {
    let (bank, at, _dora) = prepared().await;
    for name in ["anna", "nobody"] {
        for n in 0..FAILED_MAX {
            let wrong = format!("otter lantern quarry {n}");
            let refused = if n % 2 == 0 {
                log_in(at, name, &wrong, "000000").await.reason()
            } else {
                reason(bank.log_in(name, &wrong, "000000").await)
            };
            assert_eq!(refused, "LOGIN_REFUSED", "{name}");
        }
        let locked = log_in(at, name, PASSWORD, &bank.code("anna", 0)).await;
        assert_eq!((locked.status, locked.reason().as_str()), (401, "LOGIN_LOCKED"), "{name}");
        let wait = locked.json()["error"]["retryAfterMs"].as_str().and_then(|ms| ms.parse().ok());
        assert!(wait.is_some_and(|ms: u64| ms > 0), "{}", locked.body);
    }
    let grpc = bank.log_in("anna", PASSWORD, &bank.code("anna", 0)).await;
    assert_eq!(reason(grpc), "LOGIN_LOCKED", "although right");
    given(&log_in(at, "bert", PASSWORD, &bank.code("bert", 0)).await);
}

/// Logins of whoever has no identity yet have one rate, whichever door they come to.
#[tokio::test(flavor = "multi_thread")]
async fn rates_of_logins_hold_at_the_page_as_by_grpc() {
    let (bank, at, _dora) = prepared().await;
    let rule = "[[rates]]\nmethods = [\"ducat.v1.Login/LogIn\"]\nper_hour = 1\nburst = 2\n";
    let mut table: toml::Table = rule.parse().expect("TOML");
    let rates = Rates::from_value(table.remove("rates").expect("there")).expect("well-formed");
    bank.server.limits.replace(&rates);
    assert_eq!(log_in(at, "nobody", PASSWORD, "000000").await.reason(), "LOGIN_REFUSED");
    assert_eq!(reason(bank.log_in("nobody", PASSWORD, "000000").await), "LOGIN_REFUSED");
    let limited = log_in(at, "anna", PASSWORD, &bank.code("anna", 0)).await;
    assert_eq!((limited.status, limited.reason().as_str()), (429, "RATE_LIMITED"));
    let limited = bank.log_in("anna", PASSWORD, &bank.code("anna", 0)).await.expect_err("limited");
    assert_eq!(limited.code(), tonic::Code::ResourceExhausted);
    // What is refused so has used up neither the code nor a try.
    bank.server.limits.replace(&Rates::default());
    given(&log_in(at, "anna", PASSWORD, &bank.code("anna", 0)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_comes_from_the_page_itself_and_is_small() {
    let (bank, at, _dora) = prepared().await;
    let path = "POST /api/Login/LogIn HTTP/1.1";
    let (host, kind) = ("host: localhost", "content-type: application/json");
    let right = asked("anna", PASSWORD, &bank.code("anna", 0)).to_string();
    let large = asked("anna", &"x".repeat(70_000), "000000").to_string();
    let long = asked("anna", &"x".repeat(20_000), "000000").to_string();
    for (lines, body, status, reason) in [
        (vec![path, host, kind, "sec-fetch-site: cross-site"], &right, 403, "ORIGIN_FOREIGN"),
        (vec![path, host, kind, "sec-fetch-site: same-site"], &right, 403, "ORIGIN_FOREIGN"),
        (vec![path, host, kind, "origin: https://evil.example"], &right, 403, "ORIGIN_FOREIGN"),
        (vec![path, host, kind, "origin: null"], &right, 403, "ORIGIN_FOREIGN"),
        (vec![path, "host: evil.example", kind], &right, 421, "HOST_FOREIGN"),
        (vec![path, host, "content-type: text/plain"], &right, 415, "CONTENT_TYPE"),
        (vec!["GET /api/Login/LogIn HTTP/1.1", host], &right, 405, "METHOD"),
        (vec!["POST /api/sign-in HTTP/1.1", host, kind], &right, 405, "METHOD"),
        (vec![path, host, kind], &large, 413, "REQUEST_SIZE"),
        (vec![path, host, kind], &long, 400, ""),
        (vec![path, host, kind], &"[]".to_owned(), 400, "REQUEST_MALFORMED"),
        (vec![path, host, kind], &"{\"name\":7}".to_owned(), 400, "REQUEST_MALFORMED"),
    ] {
        let answer = ask(at, &lines, body).await;
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{lines:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // A password in a wrong place is not repeated.
    for body in [
        "{\"hunter2\":\"x\"}",
        "{\"password\":[\"hunter2\"",
        "hunter2",
        "{\"name\":{\"hunter2\":1}}",
    ] {
        let answer = ask(at, &[path, host, kind], body).await;
        assert_eq!((answer.status, answer.reason().as_str()), (400, "REQUEST_MALFORMED"), "{body}");
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    // None of these was a try, and none has used the code up.
    let own = [path, host, kind, "sec-fetch-site: same-origin"];
    given(&ask(at, &own, &right).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_logs_in_the_page_is_told_so() {
    let secrets = crate::world::Secrets::new();
    let tokens = Some(secrets.token_rules());
    let trust = ducat_api::identity::guard::Trust { tokens, ..Default::default() };
    let server = crate::world::Server::start(None, Some(trust)).await;
    let at = server.console().await;
    let ways = get(at, "/api/sign-in").await.json();
    assert_eq!(ways, json!({ "password": false, "token": true }));
    assert_eq!(log_in(at, "anna", PASSWORD, "123456").await.reason(), "UNAUTHENTICATED");
    let open = crate::world::Server::start(None, None).await;
    let at = open.console().await;
    let ways = get(at, "/api/sign-in").await.json();
    assert_eq!(ways, json!({ "password": false, "token": false }));
    assert_eq!(log_in(at, "anna", PASSWORD, "123456").await.reason(), "LOGIN_OFF");
}

async fn events(of: &Client, entity: &str, at_least: usize) -> Vec<AuditEvent> {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let text = ducat_api::proto::audit_filter::Entity::Text(entity.to_owned());
        let filter = Some(AuditFilter { entity: Some(text), ..Default::default() });
        let request = ListAuditEventsRequest { filter, limit: 100, from_lsn: 0 };
        let found = of.list_audit_events(request).await.expect("granted").events;
        if found.len() >= at_least {
            return found;
        }
        assert!(Instant::now() < end, "{found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What the trail says of a login is the same from both doors, but for the program that was used.
#[tokio::test(flavor = "multi_thread")]
async fn logins_at_the_page_are_in_the_audit_trail_as_those_by_grpc_are() {
    let (bank, at, dora) = prepared().await;
    let told = |event: &AuditEvent| {
        let AuditEvent { kind, severity, outcome, address, method, reason, detail, .. } =
            event.clone();
        (kind, severity, outcome, address, method, reason, detail)
    };
    log_in(at, "anna", "otter lantern quarry velveT", "000000").await;
    reason(bank.log_in("bert", "otter lantern quarry velveT", "000000").await);
    given(&log_in(at, "anna", PASSWORD, &bank.code("anna", 0)).await);
    bank.log_in("bert", PASSWORD, &bank.code("bert", 0)).await.expect("given");
    let (page, grpc) =
        (events(&dora, "login of anna", 2).await, events(&dora, "login of bert", 2).await);
    assert_eq!(page.len(), 2, "{page:?}");
    assert_eq!(page[0].reason, "LOGIN_REFUSED");
    assert_eq!(page[1].method, "Login/LogIn");
    assert_eq!(
        page.iter().map(told).collect::<Vec<_>>(),
        grpc.iter().map(told).collect::<Vec<_>>()
    );
    let whole = format!("{page:?}");
    assert!(!whole.contains("velve") && !whole.contains("eyJ"), "{whole}");
}
