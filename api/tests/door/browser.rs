//! The operators' page in a browser: Chromium without a window, led by WebDriver. Skips and says so where
//! there is none (`.ci/install-chromium`).

use crate::webdriver::{Browser, Driver, ENTER, TAB};
use crate::world::{BANK, Secrets, Server, account, open, transfer};
use ducat_api::audit::{Auditor, Options};
use ducat_api::client::Client as Ledger;
use ducat_api::identity::guard::Trust;
use ducat_api::proto::NewAccount;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// The screenshot for the README goes here, if anywhere.
const SCREENSHOT: &str = "DUCAT_CONSOLE_SCREENSHOT";

/// A text that a browser would run, if it ever took it for markup.
const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\">";

/// Shows a view of the page that is open.
async fn goto(browser: &Browser, fragment: &str) {
    browser.run(&format!("location.hash = '{fragment}'")).await.expect("moves");
}

/// Opens the page.
pub async fn open_page(browser: &Browser, at: SocketAddr) {
    browser.open(&format!("http://{at}/")).await;
    browser.until("document.documentElement.dataset.ready === 'yes'").await;
}

async fn sign_in(browser: &Browser, token: &str) {
    browser.until("document.querySelector('#token')").await;
    browser.fill("#token", token).await;
    browser.click(".sign-in button").await;
}

/// A guarded server: account 2 has 120 entries, one of its payments was refused; account 3 has a hostile label.
async fn prepared(secrets: &Secrets) -> (Server, Ledger, SocketAddr) {
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let auditor = Auditor::new(Options::default());
    let server = Server::audited(None, trust, &auditor).await;
    let admin = secrets.token("prepares", &["admin"], &["*"], &[]);
    let client = server.client(secrets, None, Some(&admin)).await;
    open(&client, 2).await;
    let labelled = NewAccount {
        label: HOSTILE.to_owned(),
        owner: "cus_3".to_owned(),
        ..NewAccount::new(account(3), "GBP", false)
    };
    client.create_accounts(vec![labelled]).await.expect("well-formed");
    let batch: Vec<_> = (1..=120).map(|id| transfer(1000 + id, BANK, 2, 1_234_567)).collect();
    client.create_transfers(batch).await.expect("answered");
    client.create_transfers(vec![transfer(7, 2, 3, 999_999_999_999)]).await.expect("answered");
    // Each of them an event of the audit trail: more than a page.
    for id in 0..60 {
        client.create_transfers(vec![transfer(3000 + id, BANK, 3, 1)]).await.expect("answered");
    }
    let at = server.console().await;
    (server, client, at)
}

fn token(secrets: &Secrets, role: &str) -> String {
    let path = secrets.token(role, &[role], &["*"], &[]);
    std::fs::read_to_string(path).expect("written").trim().to_owned()
}

/// Small transfers without end, so that there is something to see.
async fn traffic(client: Ledger) {
    for round in 0_u64.. {
        let batch = (0..50).map(|n| transfer(1_000_000 + round * 50 + n, BANK, 2 + n % 2, 100 + n));
        let mut batch: Vec<_> = batch.collect();
        batch.push(transfer(2_000_000_000 + round, 3, 2, 888_888_888_888));
        client.create_transfers(batch).await.expect("answered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_what_happened_in_a_browser() {
    let Some(driver) = Driver::start() else { return };
    let secrets = Secrets::new();
    let (_server, client, at) = prepared(&secrets).await;
    let browser = driver.browser(1280, 1000, false).await;
    open_page(&browser, at).await;
    sign_in(&browser, "no.such.token").await;
    browser.until("document.querySelector('#status.bad').textContent.includes('token')").await;
    sign_in(&browser, &token(&secrets, "admin")).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
    assert_eq!(browser.texts("nav a").await.len(), 5);
    let busy = tokio::spawn(traffic(client));
    browser
        .until("parseFloat(document.querySelector('.tile b').textContent.replaceAll(',', '')) > 1")
        .await;
    browser.until("document.querySelectorAll('.chart .first')[0].points.length > 2").await;
    browser.until("document.body.textContent.includes('Insufficient funds')").await;
    if let Some(path) = std::env::var_os(SCREENSHOT) {
        browser.until("document.querySelectorAll('.chart .first')[0].points.length > 20").await;
        browser.until("document.querySelectorAll('.chart .second')[1].points.length > 15").await;
        std::fs::write(path, browser.screenshot().await).expect("writes");
    }
    busy.abort();
    finds_accounts(&browser).await;
    finds_transfers(&browser).await;
    finds_who_did_it(&browser).await;
    keeps_texts_texts(&browser).await;
    keeps_no_token(&browser).await;
}

async fn finds_accounts(browser: &Browser) {
    goto(browser, "#/accounts").await;
    browser.fill("#search-accounts input[name=owner]", "cus_2").await;
    browser.click("#search-accounts button").await;
    browser.until("document.querySelectorAll('#accounts-found tbody tr').length === 1").await;
    browser.fill("#find-account input", "not an id").await;
    browser.click("#find-account button").await;
    browser.until("document.querySelector('#status.bad').textContent.includes('UUID')").await;
    browser.fill("#find-account input", "2").await;
    browser.click("#find-account button").await;
    // In pages, the newest first, each once.
    browser.until("document.querySelectorAll('#entries tbody tr').length === 50").await;
    let posted = browser.texts("#posted").await;
    assert!(posted[0].contains(',') && posted[0].ends_with(" GBP"), "{posted:?}");
    let before = browser.texts("#entries tbody tr td:last-child").await;
    browser.click("#more-entries").await;
    browser.until("document.querySelectorAll('#entries tbody tr').length === 100").await;
    let lsns = browser.texts("#entries tbody tr td:last-child").await;
    assert_eq!(lsns[..50], before[..]);
    let lsns: Vec<u64> =
        lsns.iter().map(|lsn| lsn.replace(',', "").parse().expect("an LSN")).collect();
    assert!(lsns.is_sorted_by(|newer, older| newer > older), "{lsns:?}");
}

async fn finds_transfers(browser: &Browser) {
    goto(browser, "#/transfers").await;
    browser.until("document.querySelector('#find-transfer')").await;
    browser.fill("#find-transfer input", "7").await;
    browser.click("#find-transfer button").await;
    browser.until("document.querySelector('#outcome')").await;
    assert_eq!(browser.texts("#outcome").await, ["Insufficient funds"]);
    let text = browser.value("document.querySelector('main').textContent").await;
    let text = text.as_str().expect("a text");
    assert!(text.contains("9,999,999,999.99 GBP"), "as the currency writes it: {text}");
    // How the account stood when it was refused, not how it stands.
    assert!(text.contains("1,481,480.40 GBP"), "{text}");
    goto(browser, "#/transfers/424242").await;
    browser.until("document.querySelector('#status.bad').textContent.includes('unknown')").await;
}

/// The trail tells who made the transfers, by account, kind and outcome, in pages.
async fn finds_who_did_it(browser: &Browser) {
    goto(browser, "#/audit").await;
    browser.until("document.querySelectorAll('#audit-found tbody tr').length > 1").await;
    let search = "#search-audit button";
    browser.fill("#search-audit input[name=principal]", "prepares").await;
    browser.fill("#search-audit input[name=entity]", "3").await;
    browser.choose("#search-audit select[name=kind]", "WRITE").await;
    browser.click(search).await;
    let row = "document.querySelector('#audit-found tbody tr')?.textContent ?? ''";
    browser.until(&format!("({row}).includes('Ledger/CreateAccounts')")).await;
    let rows = browser.texts("#audit-found tbody tr").await;
    assert!(rows.iter().all(|row| row.contains("prepares") && row.contains("Write")), "{rows:?}");
    // The refused token that was tried first is told of, with its severity.
    browser.fill("#search-audit input[name=principal]", "").await;
    browser.fill("#search-audit input[name=entity]", "").await;
    browser.choose("#search-audit select[name=kind]", "LOGIN").await;
    browser.choose("#search-audit select[name=severity]", "WARNING").await;
    browser.click(search).await;
    browser.until(&format!("({row}).includes('Failed sign-in')")).await;
    let marked = "document.querySelectorAll('#audit-found td .warn').length > 0";
    browser.until(marked).await;
    // Traffic left one event a call: more than a page of them, each once.
    browser.choose("#search-audit select[name=kind]", "WRITE").await;
    browser.choose("#search-audit select[name=severity]", "").await;
    browser.click(search).await;
    browser.until("document.querySelectorAll('#audit-found tbody tr').length === 50").await;
    browser.click("#more-audit").await;
    browser.until("document.querySelectorAll('#audit-found tbody tr').length > 50").await;
    let lsns = browser.texts("#audit-found tbody tr td:last-child").await;
    let lsns: Vec<u64> =
        lsns.iter().map(|lsn| lsn.replace(',', "").parse().expect("an LSN")).collect();
    assert!(lsns.is_sorted_by(|older, newer| older < newer), "{lsns:?}");
    // A day in which nothing was done, and an id that is none.
    browser.fill("#search-audit input[name=entity]", "no id").await;
    browser.click(search).await;
    browser.until("document.querySelector('#status.bad').textContent.includes('UUID')").await;
    browser.fill("#search-audit input[name=entity]", "").await;
    let past = "(() => { const to = document.querySelector('#search-audit input[name=to]'); \
                to.value = '2001-01-01T00:00'; return true; })()";
    browser.value(past).await;
    browser.click(search).await;
    browser.until("document.querySelector('#status').textContent === '0 listed'").await;
}

/// What somebody has called an account is never markup, and nothing runs that is not the page's own.
async fn keeps_texts_texts(browser: &Browser) {
    goto(browser, "#/accounts/3").await;
    browser.until("document.querySelector('main').textContent.includes('onerror')").await;
    assert_eq!(browser.value("document.querySelectorAll('main img').length").await, json!(0));
    assert_ne!(browser.value("document.title").await, json!("taken"));
    let tried = "(() => { const script = document.createElement('script'); \
                 try { script.textContent = 'window.taken = 1'; document.head.append(script); } \
                 catch (refused) { return 'refused'; } return String(window.taken); })()";
    let tried = browser.value(tried).await;
    assert!(tried == json!("refused") || tried == json!("undefined"), "{tried}");
    let markup = "(() => { try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); \
                  return 'taken'; } catch (refused) { return refused.name; } })()";
    assert_eq!(browser.value(markup).await, json!("TypeError"), "texts never become markup");
}

/// The token is nowhere but in the page's memory: gone with a reload.
async fn keeps_no_token(browser: &Browser) {
    let kept =
        "JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage}) + document.cookie";
    let kept = browser.value(kept).await;
    assert!(!kept.as_str().expect("a text").contains("eyJ"), "{kept}");
    browser.reload().await;
    browser.until("document.querySelector('#token')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn languages_themes_and_the_keyboard_work() {
    let Some(driver) = Driver::start() else { return };
    let secrets = Secrets::new();
    let (_server, _client, at) = prepared(&secrets).await;
    let browser = driver.browser(1280, 1000, false).await;
    open_page(&browser, at).await;
    sign_in(&browser, &token(&secrets, "auditor")).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
    for (code, overview) in [
        ("ja", "概要"),
        ("ko", "개요"),
        ("zh-Hans", "概览"),
        ("zh-Hant", "總覽"),
        ("en", "Overview"),
    ] {
        browser.choose("#language", code).await;
        let heading = format!(
            "document.documentElement.lang === '{code}' \
             && document.querySelector('h1')?.textContent === '{overview}'"
        );
        browser.until(&heading).await;
        browser.until("document.querySelectorAll('.tile').length === 8").await;
    }
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.choose("#theme", "light").await;
    let light = browser.value(ground).await;
    browser.choose("#theme", "dark").await;
    assert_ne!(browser.value(ground).await, light);
    // Settings outlive a reload, the token does not.
    browser.choose("#language", "ko").await;
    browser.until("document.documentElement.lang === 'ko'").await;
    browser.reload().await;
    browser.until("document.querySelector('#token')").await;
    assert_eq!(browser.value("document.documentElement.lang").await, json!("ko"));
    assert_ne!(browser.value(ground).await, light);
    keyboard(&browser, &token(&secrets, "operator")).await;
}

/// Everything is reached by Tab in the order it is seen, visibly, and nothing else is needed.
async fn keyboard(browser: &Browser, token: &str) {
    browser.choose("#language", "en").await;
    browser
        .until("document.documentElement.lang === 'en' && document.activeElement.id === 'token'")
        .await;
    browser.press(token).await;
    browser.press(ENTER).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
    // An operator looks at no money.
    assert_eq!(browser.texts("nav a").await, ["Overview", "Accounts", "Snapshots and backup"]);
    goto(browser, "#/accounts").await;
    browser.until("document.activeElement.id === 'main'").await;
    let skip = "document.querySelector('body > :first-child').focus()";
    browser.value(skip).await;
    let mut reached: Vec<String> = Vec::new();
    let focused = "(() => { const it = document.activeElement; \
                   const name = it.id || it.name || it.textContent.trim(); \
                   return [name, getComputedStyle(it).outlineStyle, it.getBoundingClientRect().width]; })()";
    for step in 0..18 {
        if step > 0 {
            browser.press(TAB).await;
        }
        let at = browser.value(focused).await;
        // The first one was not reached by a key, so the browser need not show it.
        assert!(step == 0 || at[1] == json!("solid"), "the focus is seen: {at}");
        assert!(at[2].as_f64().is_some_and(|width| width > 0.0), "{at}");
        reached.push(at[0].as_str().expect("a name").to_owned());
    }
    let order = [
        "skip",
        "Overview",
        "Accounts",
        "Snapshots and backup",
        "language",
        "theme",
        "sign-out",
        "id",
        "Show",
        "owner",
        "label",
        "currency",
        "kind",
        "status",
        "external",
        "metadataKey",
        "metadataValue",
        "Search",
    ];
    assert_eq!(reached, order);
    browser.value(skip).await;
    browser.press(ENTER).await;
    browser.until("document.activeElement.id === 'main'").await;
    // Each field has a name for those who do not see it.
    let unnamed = "[...document.querySelectorAll('input, select, button')]\
                   .filter((each) => !each.textContent.trim() && !each.labels?.length).length";
    assert_eq!(browser.value(unnamed).await, json!(0));
    assert_eq!(browser.value("document.querySelector('#status').ariaLive").await, json!("polite"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_fits_a_phone() {
    let Some(driver) = Driver::start() else { return };
    let secrets = Secrets::new();
    let (_server, _client, at) = prepared(&secrets).await;
    let browser = driver.browser(360, 740, true).await;
    open_page(&browser, at).await;
    sign_in(&browser, &token(&secrets, "admin")).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
    assert_eq!(browser.value("window.innerWidth").await, json!(360));
    let views = [
        ("#/overview", "document.querySelectorAll('.tile').length === 8"),
        ("#/accounts", "document.querySelector('#search-accounts')"),
        ("#/accounts/2", "document.querySelectorAll('#entries tbody tr').length === 50"),
        ("#/transfers/7", "document.querySelector('#outcome')"),
        ("#/storage", "document.querySelectorAll('section.card').length >= 2"),
        ("#/audit", "document.querySelectorAll('#audit-found tbody tr').length > 0"),
    ];
    for language in ["en", "zh-Hans", "zh-Hant", "ja", "ko"] {
        browser.choose("#language", language).await;
        browser.until(&format!("document.documentElement.lang === '{language}'")).await;
        for (fragment, shown) in views {
            goto(&browser, fragment).await;
            browser.until(shown).await;
            let over = "document.documentElement.scrollWidth - window.innerWidth";
            let over = browser.value(over).await.as_f64().expect("a width");
            assert!(over <= 0.0, "{fragment} in {language} is {over} too wide");
        }
    }
}
