//! A browser without a window, led by WebDriver (the protocol of the W3C, JSON over HTTP), as far as
//! the tests of the page need it. The client crates for it bring fifty others.

use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tonic::codegen::http::Request;

/// Only against hanging for ever: what is waited for is a condition.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the protocol calls an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// More places where the focus may stop than any view of the page has, twice.
const STOPS_MAX: usize = 160;

/// Drivers that are tried before none starts.
const STARTS_MAX: usize = 8;

pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";

/// The running driver; ended with its browsers when it is dropped.
pub struct Driver {
    process: Child,
    endpoint: String,
}

impl Driver {
    /// Starts it on a port of its own choosing; `None`, and a word about it, where there is no browser.
    pub fn start() -> Option<Self> {
        let version = Command::new("chromium").arg("--version").output();
        let found = version.is_ok_and(|output| output.status.success());
        let known = Command::new("chromedriver").arg("--version").output();
        if !found || !known.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "skipped: chromium and chromedriver are not both here (.ci/install-chromium)"
            );
            return None;
        }
        // The port that it draws has to be free in IPv4 and in IPv6, and may be in use in one of them: then it
        // ends, and another one draws another port.
        let started = (0..STARTS_MAX).find_map(|_| Self::start_once());
        Some(started.expect("it says which port it took"))
    }

    fn start_once() -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn();
        let mut process = started.expect("it has told its version");
        let said = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = said.lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let Some(port) = port else {
            let _ended = process.wait();
            return None;
        };
        // It says more; somebody has to listen.
        std::thread::spawn(move || lines.for_each(drop));
        let endpoint = format!("http://127.0.0.1:{port}");
        Some(Self { process, endpoint })
    }

    /// A new browser with this window; `phone` has the page told that it is one.
    pub async fn browser(&self, width: u32, height: u32, phone: bool) -> Browser {
        // Without its sandbox, which Chromium does not have for root: the page is the test's own.
        let size = format!("--window-size={width},{height}");
        let mut options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     "--hide-scrollbars", "--lang=en-GB", size],
        });
        if phone {
            let metrics = json!({ "width": width, "height": height, "pixelRatio": 2.0 });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let http = Client::builder(TokioExecutor::new()).build_http();
        let mut browser = Browser { http, session: format!("{}/session", self.endpoint) };
        let begun = browser.post("", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        let begun = begun.expect("a browser starts");
        browser.session =
            format!("{}/{}", browser.session, begun["sessionId"].as_str().expect("an id"));
        browser
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Asked to end, it ends its browsers as well; killed, it would leave them.
        let pid = libc::pid_t::try_from(self.process.id()).expect("a process");
        // SAFETY: a signal to a child that was not waited for yet, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let _ended = self.process.wait();
    }
}

/// One browser.
pub struct Browser {
    http: Client<HttpConnector, Full<Bytes>>,
    session: String,
}

impl Browser {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Value, String> {
        let answer = self.http.request(request).await.map_err(|error| error.to_string())?;
        let sound = answer.status().is_success();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        let json: Value =
            serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())?;
        if sound { Ok(json["value"].clone()) } else { Err(json["value"]["message"].to_string()) }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        let request = Request::post(format!("{}{path}", self.session))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())));
        self.send(request.expect("well-formed")).await
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let request = Request::get(format!("{}{path}", self.session)).body(Full::default());
        self.send(request.expect("well-formed")).await
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await.expect(url);
    }

    pub async fn reload(&self) {
        self.post("/refresh", json!({})).await.expect("reloads");
    }

    /// Runs a script in the page: what it returns.
    pub async fn run(&self, script: &str) -> Result<Value, String> {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// What an expression is in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression};")).await.expect(expression)
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&self, condition: &str) {
        let script = format!("return Boolean({condition});");
        let waiting = async {
            // An error is a page that is just being replaced.
            while self.run(&script).await != Ok(json!(true)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!(
                "never came: {condition}\n{:?}",
                self.run("return document.body.innerText").await
            );
        }
    }

    /// The texts of all that this finds.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let all =
            format!("[...document.querySelectorAll('{selector}')].map((each) => each.textContent)");
        serde_json::from_value(self.value(&all).await).expect("texts")
    }

    async fn find(&self, selector: &str) -> String {
        let asked = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", asked).await.expect(selector);
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), json!({})).await.expect(selector);
    }

    /// Types into a field, in place of what is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/clear"), json!({})).await.expect(selector);
        let typed = self.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
        typed.expect(selector);
    }

    /// Takes the option with this value from a list.
    pub async fn choose(&self, selector: &str, value: &str) {
        self.click(&format!("{selector} option[value='{value}']")).await;
    }

    /// Types where the focus is.
    pub async fn press(&self, keys: &str) {
        let active = self.get("/element/active").await.expect("there is one");
        let element = active[ELEMENT].as_str().expect("an element");
        let typed = self.post(&format!("/element/{element}/value"), json!({ "text": keys })).await;
        typed.expect("typed");
    }

    /// Types on the keyboard, whatever has the focus: one key after the other, down and up.
    pub async fn strike(&self, keys: &str) {
        let each =
            |key: char| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let strokes: Vec<Value> = keys.chars().flat_map(each).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("/actions", json!({ "actions": [keyboard] })).await.expect("typed");
    }

    /// Goes on by Tab until an expression is true of `it`, what has the focus.
    pub async fn tab_to(&self, condition: &str) {
        let reached = format!("((it) => Boolean({condition}))(document.activeElement)");
        for _ in 0..STOPS_MAX {
            if self.value(&reached).await == json!(true) {
                return;
            }
            self.strike(TAB).await;
        }
        panic!("not reached by Tab: {condition}");
    }

    /// A picture of the window, PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        use base64::Engine as _;
        let text = self.get("/screenshot").await.expect("taken");
        let text = text.as_str().expect("base64");
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }
}
