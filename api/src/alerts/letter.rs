//! What a receiver is posted: JSON in the form of Alertmanager's webhook, version 4
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>).

use super::board::{Firing, News};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// When an alert ends that has not ended: what Alertmanager says for it.
const NEVER: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter<'a> {
    version: &'a str,
    group_key: &'a str,
    truncated_alerts: u32,
    status: &'a str,
    receiver: &'a str,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<Alert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

/// The body of a post. `common` are labels of all alerts.
pub(super) fn write(news: &News, common: &[(&'static str, String)]) -> Vec<u8> {
    let common: BTreeMap<&str, &str> =
        common.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let firing = news.firing.iter().map(|firing| alert(firing, None, &common));
    let over = news.resolved.iter().map(|(firing, ended)| alert(firing, Some(*ended), &common));
    let letter = Letter {
        version: "4",
        group_key: "ducat",
        truncated_alerts: 0,
        status: if news.firing.is_empty() { "resolved" } else { "firing" },
        receiver: "ducat",
        group_labels: BTreeMap::new(),
        common_labels: common.clone(),
        common_annotations: BTreeMap::new(),
        external_url: "",
        alerts: firing.chain(over).collect(),
    };
    serde_json::to_vec(&letter).expect("texts")
}

fn alert<'a>(
    firing: &'a Firing,
    ended: Option<Timestamp>,
    common: &BTreeMap<&'a str, &'a str>,
) -> Alert<'a> {
    let rule = firing.rule;
    let mut labels = common.clone();
    labels.insert("alertname", rule.name);
    labels.insert("severity", rule.severity.name());
    let fingerprint = fingerprint(&labels);
    Alert {
        status: if ended.is_some() { "resolved" } else { "firing" },
        labels,
        annotations: [("summary", rule.summary), ("description", firing.what.as_str())].into(),
        starts_at: firing.since.to_string(),
        ends_at: ended.map_or_else(|| NEVER.to_owned(), |ended| ended.to_string()),
        generator_url: "",
        fingerprint,
    }
}

/// The same for the same labels, 16 hexadecimal digits: receivers tell alerts apart by it.
fn fingerprint(labels: &BTreeMap<&str, &str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in labels {
        for text in [name, value] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::*;

    #[test]
    fn a_letter_is_what_alertmanager_would_post() {
        let since: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let firing = |at: usize| Firing { rule: &RULES[at], since, what: format!("{at} \"x\"") };
        let ended: Timestamp = "2026-01-02T03:05:00Z".parse().expect("a time");
        let news = News { firing: vec![firing(0)], resolved: vec![(firing(4), ended)] };
        let body = write(&news, &[("ledger", "abc".to_owned())]);
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(json["version"], "4");
        assert_eq!(json["status"], "firing");
        assert_eq!(json["commonLabels"]["ledger"], "abc");
        let [books, calls] = json["alerts"].as_array().expect("alerts").as_slice() else {
            panic!("{json}")
        };
        assert_eq!(books["labels"]["alertname"], "DucatBooksDiffer");
        assert_eq!(books["labels"]["severity"], "critical");
        assert_eq!(books["annotations"]["description"], "0 \"x\"");
        assert_eq!((&books["status"], &calls["status"]), (&"firing".into(), &"resolved".into()));
        assert_eq!(books["startsAt"], "2026-01-02T03:04:05Z");
        assert_eq!(books["endsAt"], NEVER);
        assert_eq!(calls["endsAt"], "2026-01-02T03:05:00Z");
        assert_ne!(books["fingerprint"], calls["fingerprint"]);
        let over = News { firing: vec![], resolved: news.resolved };
        let json: serde_json::Value = serde_json::from_slice(&write(&over, &[])).expect("JSON");
        assert_eq!(json["status"], "resolved");
    }
}
