//! Holds one report against another: the ratio of every figure, and what makes the two unlike
//! each other.

use crate::report::{Latency, Report};
use crate::table::{latency_figures, plain_table, shout};
use comfy_table::CellAlignment;
use std::collections::BTreeSet;

/// Prints the figures of `a` and `b` and how many times `a` each of `b` is.
pub fn print(a: &Report, b: &Report) {
    let shouts = shouts(a, b);
    for text in &shouts {
        println!("**** {text} ****");
    }
    let mut table = plain_table();
    table.set_header(["", "a", "b", "b / a"]);
    for figure in comparison(a, b) {
        let [one, two] = figure.values.map(|v| v.map_or("–".to_owned(), |v| format!("{v:.3}")));
        table.add_row([figure.name.clone(), one, two, figure.ratio()]);
    }
    for index in 1..=3 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    for difference in differences(a, b) {
        println!("NOTE    {difference}");
    }
    for text in &shouts {
        println!("**** {text} ****");
    }
}

/// What to shout: answers of either that survive nothing.
pub fn shouts(a: &Report, b: &Report) -> Vec<String> {
    let of = |name: &str, r: &Report| shout(&r.server.durability).map(|t| format!("{name}: {t}"));
    [of("a", a), of("b", b)].into_iter().flatten().collect()
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// With its unit.
    pub name: String,
    /// Of `a` and of `b`, where they have it.
    pub values: [Option<f64>; 2],
}

impl Figure {
    /// How many times `a` it is in `b`.
    pub fn ratio(&self) -> String {
        match self.values {
            [Some(a), Some(b)] if a != 0.0 => format!("{:.2}×", b / a),
            [Some(a), Some(b)] if a == b => "1.00×".to_owned(),
            _ => "–".to_owned(),
        }
    }
}

/// The figures that are compared. What neither has is left out.
pub fn comparison(a: &Report, b: &Report) -> Vec<Figure> {
    let mut all = Vec::new();
    let mut add = |name: &str, of: &dyn Fn(&Report) -> Option<f64>| {
        let values = [of(a), of(b)];
        if values != [None, None] {
            all.push(Figure { name: name.to_owned(), values });
        }
    };
    let number = |value: u64| Some(value as f64);
    add("transfers/s", &|r| Some(r.results.transfers_per_s));
    add("posted/s", &|r| Some(r.results.posted_per_s));
    add("found rate, transfers/s", &|r| r.search.as_ref()?.found_rate);
    add("total", &|r| number(r.results.total));
    add("ok", &|r| number(r.results.ok));
    add("refused", &|r| number(r.results.refused_sum()));
    add("repeats", &|r| number(r.results.repeats));
    add("errors", &|r| number(r.results.errors_sum()));
    add("error rate", &|r| Some(r.results.error_rate));
    add("requests", &|r| number(r.results.requests));
    for (index, (name, _)) in latency_figures(&a.latency).into_iter().enumerate() {
        let at = |l: &Latency| latency_figures(l)[index].1;
        add(&format!("{name}, ms"), &|r| Some(at(&r.latency)));
    }
    add("reads/s", &|r| Some(r.reads.as_ref()?.requests_per_s));
    add("accounts read/s", &|r| Some(r.reads.as_ref()?.accounts_per_s));
    for (index, (name, _)) in latency_figures(&a.latency).into_iter().enumerate() {
        let at = |l: &Latency| latency_figures(l)[index].1;
        add(&format!("read {name}, ms"), &|r| Some(at(&r.reads.as_ref()?.latency)));
    }
    add("server CPU, s", &|r| r.costs.server_cpu_s);
    add("server CPU a transfer, µs", &|r| r.costs.server_cpu_us_per_transfer);
    add("client CPU, s", &|r| r.costs.client_cpu_s);
    add("journal a transfer, B", &|r| r.costs.journal_bytes_per_transfer);
    add("disk writes a transfer, B", &|r| r.costs.disk_bytes_per_transfer);
    add("server memory, B", &|r| number(r.costs.server_memory_bytes?));
    add("server memory, most, B", &|r| number(r.costs.server_memory_bytes_max?));
    add("disk sync p50, µs", &|r| Some(r.machine.disk.as_ref()?.sync_p50_us));
    add("disk sync p99, µs", &|r| Some(r.machine.disk.as_ref()?.sync_p99_us));
    add("BLAKE3 of a MB, µs", &|r| Some(r.machine.yardstick?.blake3_us_per_mb));
    add("a read of memory, ns", &|r| Some(r.machine.yardstick?.memory_ns));
    add("fresh memory, µs a MB", &|r| r.machine.yardstick?.fresh_us_per_mb);
    all
}

/// What makes two reports unlike each other: everything of setup, machine, server and harness
/// that is not the same, but for when they ran and how fast disk and core happened to be.
pub fn differences(a: &Report, b: &Report) -> Vec<String> {
    let mut found = Vec::new();
    for (what, of) in PARTS {
        let (one, two) = (flat(of(a)), flat(of(b)));
        let names: BTreeSet<_> = one.keys().chain(two.keys()).cloned().collect();
        for name in names.into_iter().filter(|name| !name.starts_with("started_unix_s")) {
            let show = |of: &std::collections::BTreeMap<String, String>| {
                of.get(&name).cloned().unwrap_or_else(|| "none".to_owned())
            };
            let (x, y) = (show(&one), show(&two));
            let is_speed = name.contains("sync_p") || name.starts_with("yardstick");
            if x != y && !is_speed && name != "duration_s" {
                found.push(format!("{what} differs: {name} {x} and {y}"));
            }
        }
    }
    let (x, y) = (a.setup.duration_s, b.setup.duration_s);
    if (x - y).abs() > 0.05 * x.max(y) {
        found.push(format!("setup differs: duration_s {x:.1} and {y:.1}"));
    }
    // What makes figures not comparable at all comes first.
    found.sort_by_key(|text| !text.contains("durability"));
    for (name, r) in [("a", a), ("b", b)] {
        if !r.held() {
            found.insert(0, format!("a check of {name} did not hold"));
        }
    }
    found
}

/// A part of a report as JSON.
type Part = fn(&Report) -> serde_json::Result<serde_json::Value>;

const PARTS: [(&str, Part); 4] = [
    ("server", |r| serde_json::to_value(&r.server)),
    ("setup", |r| serde_json::to_value(&r.setup)),
    ("machine", |r| serde_json::to_value(&r.machine)),
    ("harness", |r| serde_json::to_value(&r.harness)),
];

/// The leaves of a JSON value by their paths; what is null is absent.
fn flat(
    value: serde_json::Result<serde_json::Value>,
) -> std::collections::BTreeMap<String, String> {
    fn walk(
        path: &str,
        value: serde_json::Value,
        into: &mut std::collections::BTreeMap<String, String>,
    ) {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                    walk(&path, member, into);
                }
            }
            serde_json::Value::String(text) => drop(into.insert(path.to_owned(), text)),
            other => drop(into.insert(path.to_owned(), other.to_string())),
        }
    }
    let mut all = std::collections::BTreeMap::new();
    if let Ok(value) = value {
        walk("", value, &mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::report;

    #[test]
    fn a_comparison_gives_both_figures_and_their_ratio() {
        let (a, mut b) = (report(), report());
        b.results.transfers_per_s *= 2.0;
        b.results.errors.clear();
        b.costs.server_cpu_s = None;
        let figures = comparison(&a, &b);
        assert_eq!(figures[0].values, [Some(1_000_000.5), Some(2_000_001.0)]);
        assert_eq!(figures[0].ratio(), "2.00×");
        let of = |name: &str| figures.iter().find(|f| f.name == name);
        assert_eq!(of("errors").map(Figure::ratio), Some("0.00×".into()));
        assert_eq!(of("server CPU, s").map(Figure::ratio), Some("–".into()));
        // Neither saw the disk, and neither reads.
        assert!(of("disk writes a transfer, B").is_none() && of("reads/s").is_none());
    }

    #[test]
    fn what_differs_is_said_durability_first() {
        let (a, mut b) = (report(), report());
        b.harness.started_unix_s += 100;
        assert!(differences(&a, &b).is_empty());
        b.setup.in_flight = 5;
        b.machine.kernel = "6.2".into();
        b.server.durability = "none".into();
        assert_eq!(
            differences(&a, &b),
            [
                "server differs: durability power-loss and none",
                "setup differs: in_flight 4 and 5",
                "machine differs: kernel 6.1 and 6.2",
            ]
        );
        assert!(shouts(&a, &b)[0].starts_with("b: DURABILITY NONE"));
        assert!(shouts(&a, &a).is_empty());
    }
}
