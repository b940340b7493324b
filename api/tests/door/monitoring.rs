//! The files for Prometheus and Grafana ask for what the server really tells: every metric and every
//! label they name is looked for in a scrape of a server that does everything it can.

use crate::alerts::Receiver;
use crate::figures::ask;
use crate::program::{Server, ducat, place, stdout, text};
use crate::world::{BANK, open, transfer};
use ducat_api::alerts::RULES;
use ducat_api::client::Client;
use promql_parser::label::Matchers;
use promql_parser::parser::{self, AggregateExpr, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What promtool plays.
const TESTS: [&str; 2] = ["ducat.rules.test.yml", "ducat.week.test.yml"];

/// Labels by metric, of a scrape; and those that Prometheus itself adds.
type Exported = BTreeMap<String, BTreeSet<String>>;

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn deploy(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(deploy("prometheus/ducat.rules.yml")).expect("there");
    let file: RuleFile = serde_saphyr::from_str(&text).expect("rules");
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// Expressions of the dashboard, with Grafana's variables filled in, and their panels.
fn panels() -> Vec<(String, String)> {
    let text = fs::read_to_string(deploy("grafana/ducat.json")).expect("there");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let filled = expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
            found.push((title.to_owned(), filled));
        }
    }
    found
}

/// What an expression asks for that nobody exports.
struct Asks<'a> {
    exported: &'a Exported,
    wrong: Vec<String>,
    metrics: BTreeSet<String>,
}

impl Asks<'_> {
    fn selector(&mut self, selector: &VectorSelector) {
        let name = selector.name.clone().expect("metrics are named");
        let Some(labels) = self.exported.get(&name) else {
            self.wrong.push(format!("no metric {name}"));
            return;
        };
        let Matchers { matchers, .. } = &selector.matchers;
        for matcher in matchers.iter().filter(|matcher| !labels.contains(&matcher.name)) {
            self.wrong.push(format!("{name} has no label {}", matcher.name));
        }
        self.metrics.insert(name);
    }
}

impl ExprVisitor for Asks<'_> {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            Expr::Aggregate(AggregateExpr {
                modifier: Some(LabelModifier::Include(by)), ..
            }) => {
                let known: BTreeSet<&String> = self.exported.values().flatten().collect();
                let unknown = by.labels.iter().filter(|label| !known.contains(label));
                self.wrong.extend(unknown.map(|label| format!("nothing has the label {label}")));
            }
            _ => {}
        }
        Ok(true)
    }
}

/// What is wrong with an expression, and the metrics it names.
fn check(expression: &str, exported: &Exported) -> (Vec<String>, BTreeSet<String>) {
    let parsed = parser::parse(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
    let mut asks = Asks { exported, wrong: Vec::new(), metrics: BTreeSet::new() };
    walk_expr(&mut asks, &parsed).expect("it only looks");
    (asks.wrong, asks.metrics)
}

/// A scrape in the text format, as Prometheus stores it.
fn exported(scrape: &str) -> Exported {
    let by_prometheus = ["job", "instance"].map(str::to_owned);
    let mut exported = Exported::from([("up".to_owned(), by_prometheus.clone().into())]);
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name").to_owned();
        let labels = exported.entry(name).or_insert_with(|| by_prometheus.clone().into());
        let Some((_, inside)) = line.split_once('{') else { continue };
        let inside = inside.rsplit_once('}').expect("closed").0;
        let keys = inside.split("\",").filter_map(|pair| pair.split_once("=\""));
        labels.extend(keys.map(|(key, _)| key.trim().to_owned()));
    }
    exported
}

/// A scrape of a server that does everything.
async fn scrape() -> Exported {
    let (dir, receiver) = (place(), Receiver::start(&[]));
    let at = |name: &str| dir.path().join(name);
    let config = at("ducat.toml");
    let rates =
        "[[rates]]\nmethods = [\"ducat.v1.Operator/VerifyBalances\"]\nper_hour = 1\nburst = 1\n";
    fs::write(&config, rates).expect("written");
    let key = at("key");
    stdout(&ducat(&["key", "generate", "--key", text(&key)]));
    let url = receiver.url();
    let (backup, checkpoints) = (at("backup"), at("checkpoints"));
    let server = Server::start(
        dir.path(),
        &[
            &["--config", text(&config), "--metrics-listen", "127.0.0.1:0"][..],
            &["--backup-to", text(&backup), "--backup-every", "1s"],
            &["--checkpoints", text(&checkpoints), "--checkpoint-key", text(&key)],
            &["--alerts-webhook", &url, "--snapshot-every", "1s"],
        ]
        .concat(),
    );
    let client = Client::connect(&format!("http://{}", server.address)).await.expect("listens");
    open(&client, 2).await;
    let some = vec![transfer(1, BANK, 2, 500), transfer(2, 2, BANK, 501)];
    client.create_transfers(some).await.expect("answered");
    client.verify_balances().await.expect("sound");
    assert!(client.verify_balances().await.is_err(), "the rate is used up");
    let out = fs::read_to_string(at("out")).expect("a banner");
    let line = out.lines().find(|line| line.starts_with("metrics:")).expect("printed");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.and_then(|address| address.parse().ok()).expect("an address");
    let (status, scrape) = ask(address, "GET /metrics").await;
    assert_eq!(status, 200);
    exported(&scrape)
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_dashboard_ask_for_what_is_exported() {
    let exported = scrape().await;
    let rules = rules().into_iter().map(|rule| (rule.alert, rule.expr));
    let (mut wrong, mut asked) = (Vec::new(), BTreeSet::new());
    for (place, expression) in rules.chain(panels()) {
        let (found, metrics) = check(&expression, &exported);
        wrong.extend(found.into_iter().map(|what| format!("{place}: {what}")));
        asked.extend(metrics);
    }
    assert_eq!(wrong, [""; 0]);
    assert!(asked.len() > 45, "{asked:?}");
    // And this would be found.
    for (expression, says) in [
        ("ducat_ready_total", "no metric ducat_ready_total"),
        ("rate(ducat_calls_total{account=\"1\"}[1m])", "ducat_calls_total has no label account"),
        ("sum by (owner) (ducat_ready)", "nothing has the label owner"),
    ] {
        assert_eq!(check(expression, &exported).0, [says]);
    }
}

#[test]
fn the_server_and_prometheus_know_the_same_alerts() {
    // What only somebody outside can see.
    let outside = ["DucatDown", "DucatNotReady"];
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    assert_eq!(names.len(), rules.len());
    for own in &RULES {
        let twin = rules.iter().find(|rule| rule.alert == own.name).expect(own.name);
        assert_eq!(twin.labels["severity"], own.severity.name(), "{}", own.name);
        assert_eq!(twin.annotations["summary"], own.summary, "{}", own.name);
        assert!(twin.annotations["description"].len() > 20, "{}", own.name);
    }
    let own: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).chain(outside).collect();
    assert_eq!(names, own);
    let tests = TESTS.map(|file| fs::read_to_string(deploy("prometheus").join(file)));
    let tests: String = tests.map(|text| text.expect("there")).concat();
    for name in names {
        let tested = format!("alertname: {name}\n        exp_alerts:\n");
        assert!(tests.contains(&tested), "nothing makes {name} fire");
    }
}

#[test]
fn promtool_finds_the_rules_sound_and_its_tests_pass() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: there is no promtool; .ci/install-promtool installs it");
        return;
    }
    let run = |args: &[&str]| {
        let output = Command::new("promtool").args(args).current_dir(deploy("prometheus")).output();
        let output = output.expect("it runs");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    };
    for args in [
        &["check", "rules", "ducat.rules.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", TESTS[0]],
        &["test", "rules", TESTS[1]],
    ] {
        let (passed, said) = run(args);
        assert!(passed, "promtool {args:?}:\n{said}");
    }
}
