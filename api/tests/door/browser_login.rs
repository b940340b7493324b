//! Logging in at the operators' page in a browser: by the keyboard alone, in words of each language, and for as
//! long as somebody is there. Skips and says so where there is no browser.

use crate::browser::open_page;
use crate::login::{Bank, PASSWORD};
use crate::webdriver::{Browser, Driver, ENTER, TAB};
use crate::world::open;
use ducat_api::identity::login::FAILED_MAX;
use serde_json::{Value, json};
use std::net::SocketAddr;

const LANGUAGES: [&str; 5] = ["en", "ja", "ko", "zh-Hans", "zh-Hant"];

/// So many minutes later, for the page.
async fn later(browser: &Browser, minutes: u32) {
    let script =
        format!("const real = Date.now; Date.now = () => real.call(Date) + {minutes} * 60000;");
    browser.run(&script).await.expect("later");
}

async fn prepared() -> (Bank, SocketAddr) {
    let bank = Bank::new().await;
    let dora = bank.log_in("bert", PASSWORD, &bank.code("bert", 0)).await.expect("given");
    open(&bank.client(&dora).await, 2).await;
    let at = bank.server.console().await;
    (bank, at)
}

/// The words of a language's file, with `{minutes}` cut off and what follows.
fn words(language: &str, key: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("console/i18n");
    let text = std::fs::read_to_string(dir.join(format!("{language}.json"))).expect("there");
    let texts: Value = serde_json::from_str(&text).expect("JSON");
    let words = texts[key].as_str().unwrap_or_else(|| panic!("{language}: {key}"));
    words.split('{').next().expect("the first").trim().to_owned()
}

async fn says(browser: &Browser, words: &str) {
    let said = format!("document.querySelector('#status').textContent.includes({})", json!(words));
    browser.until(&said).await;
}

async fn form(browser: &Browser) {
    browser
        .until("document.querySelector('#log-in') && document.activeElement.id === 'name'")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_logs_in_and_searches_by_the_keyboard_alone() {
    let Some(driver) = Driver::start() else { return };
    let (bank, at) = prepared().await;
    let browser = driver.browser(1280, 1000, false).await;
    open_page(&browser, at).await;
    form(&browser).await;
    browser.strike("dora").await;
    browser.strike(TAB).await;
    browser.strike(PASSWORD).await;
    browser.strike(ENTER).await;
    // The second factor is asked for, where the next key goes.
    says(&browser, &words("en", "reason.SECOND_FACTOR_NEEDED")).await;
    browser.until("document.activeElement.id === 'code'").await;
    assert_eq!(browser.value("document.querySelector('#password').value").await, json!(PASSWORD));
    let code = bank.code("dora", 0);
    browser.strike(&format!("{} {}", &code[..3], &code[3..])).await;
    browser.strike(ENTER).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
    finds_accounts(&browser).await;
    searches_the_trail(&browser).await;
    // Signed out, nothing is left of it.
    browser.tab_to("it.id === 'sign-out'").await;
    browser.strike(ENTER).await;
    form(&browser).await;
    let left = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, \
                document.documentElement.outerHTML, \
                [...document.querySelectorAll('input')].map((each) => each.value)])";
    let left = browser.value(left).await;
    let left = left.as_str().expect("a text");
    assert!(!left.contains("eyJ") && !left.contains("velvet") && !left.contains(&code), "{left}");
    browser.until(&made("Login/LogOut", 1)).await;
}

/// An account by its owner, then all of it.
async fn finds_accounts(browser: &Browser) {
    browser.tab_to("it.textContent === 'Accounts'").await;
    browser.strike(ENTER).await;
    browser.until("document.querySelector('#search-accounts')").await;
    browser.tab_to("it.name === 'owner'").await;
    browser.strike("cus_2").await;
    browser.strike(ENTER).await;
    browser.until("document.querySelectorAll('#accounts-found tbody tr').length === 1").await;
    browser.tab_to("it.matches('#accounts-found tbody a')").await;
    browser.strike(ENTER).await;
    browser.until("document.querySelector('#posted')").await;
}

/// Who was refused at the login, by the name that was tried, a kind and a severity.
async fn searches_the_trail(browser: &Browser) {
    browser.tab_to("it.textContent === 'Audit trail'").await;
    browser.strike(ENTER).await;
    browser.until("document.querySelectorAll('#audit-found tbody tr').length > 1").await;
    browser.tab_to("it.name === 'principal'").await;
    browser.strike("bert").await;
    browser.tab_to("it.name === 'entity'").await;
    browser.strike("2").await;
    browser.tab_to("it.name === 'kind'").await;
    // A list goes to the option that begins so.
    browser.strike("Wr").await;
    browser.until("document.activeElement.value === 'WRITE'").await;
    browser.tab_to("it.matches('#search-audit button')").await;
    browser.strike(ENTER).await;
    browser.until("document.querySelectorAll('#audit-found tbody tr').length === 1").await;
    let row = browser.texts("#audit-found tbody tr").await;
    assert!(row[0].contains("bert") && row[0].contains("Ledger/CreateAccounts"), "{row:?}");
    // The table is reached, so that it can be scrolled.
    browser.tab_to("it.matches('#audit-found .scroll')").await;
}

/// Whether so many calls of this name were made by the page.
fn made(call: &str, times: usize) -> String {
    format!(
        "performance.getEntriesByType('resource')\
         .filter((each) => each.name.endsWith('/api/{call}')).length >= {times}"
    )
}

async fn tries(browser: &Browser, name: &str, password: &str, code: &str) {
    browser.until("document.querySelector('#log-in button')?.disabled === false").await;
    browser.fill("#name", name).await;
    browser.fill("#password", password).await;
    browser.fill("#code", code).await;
    browser.click("#log-in button").await;
}

/// In each language, on a phone: what is missing, what is wrong, and a lock.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_login_is_told_in_each_language_and_fits_a_phone() {
    let Some(driver) = Driver::start() else { return };
    let (bank, at) = prepared().await;
    let browser = driver.browser(360, 740, true).await;
    open_page(&browser, at).await;
    assert_eq!(FAILED_MAX, LANGUAGES.len(), "a try in each, then it is locked");
    for (reason, code) in
        [("SECOND_FACTOR_NEEDED", ""), ("LOGIN_REFUSED", "000000"), ("LOGIN_LOCKED", "000000")]
    {
        for language in LANGUAGES {
            browser.choose("#language", language).await;
            browser.until(&format!("document.documentElement.lang === '{language}'")).await;
            let heading = json!(words(language, "signIn.password"));
            browser
                .until(&format!("document.querySelector('h2')?.textContent === {heading}"))
                .await;
            tries(&browser, "nobody", "otter lantern quarry velveT", code).await;
            says(&browser, &words(language, &format!("reason.{reason}"))).await;
            let said = browser.texts("#status").await;
            assert!(!said[0].contains('{') && !said[0].contains('_'), "{said:?}");
            let over = "document.documentElement.scrollWidth - window.innerWidth";
            let over = browser.value(over).await.as_f64().expect("a width");
            assert!(over <= 0.0, "the form in {language} is {over} too wide");
        }
    }
    // A token is taken beside it, and others' names are not locked.
    assert_eq!(browser.value("document.querySelectorAll('#use-token').length").await, json!(1));
    tries(&browser, "anna", PASSWORD, &bank.code("anna", 0)).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
}

/// A login goes on for as long as somebody touches the page, and ends when nobody does.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_lasts_while_somebody_is_there() {
    let Some(driver) = Driver::start() else { return };
    let (bank, at) = prepared().await;
    let browser = driver.browser(1280, 1000, false).await;
    open_page(&browser, at).await;
    form(&browser).await;
    tries(&browser, "dora", PASSWORD, &bank.code("dora", 0)).await;
    browser.until("document.querySelectorAll('.tile').length === 8").await;
    later(&browser, 9).await;
    browser.strike(TAB).await;
    later(&browser, 3).await;
    // The overview looks every two seconds: with a token that will not do for long any more.
    browser.until(&made("Login/Refresh", 1)).await;
    let calls = "performance.getEntriesByType('resource').length";
    let before = browser.value(calls).await.as_u64().expect("a count");
    browser.until(&format!("{calls} > {before}")).await;
    assert_eq!(browser.value("document.querySelectorAll('.tile').length").await, json!(8));
    later(&browser, 13).await;
    form(&browser).await;
    says(&browser, &words("en", "reason.LEFT_ALONE")).await;
    browser.until(&made("Login/LogOut", 1)).await;
    assert_eq!(browser.value(&made("Login/Refresh", 2)).await, json!(false), "nobody was there");
    assert_eq!(browser.texts("nav:not([hidden]) a").await, Vec::<String>::new());
}
