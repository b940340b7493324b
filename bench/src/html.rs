//! A report, or two beside each other, as one HTML page that needs nothing else: no network,
//! no script. Light and dark as the reader's system has it.

use crate::chart::escape;
use crate::compare;
use crate::html_charts::charts;
use crate::report::Report;
use crate::table::{self, count, fact_rows, shout};
use anyhow::Context;
use std::fmt::Write as _;
use std::path::Path;

/// The page's style sheet.
const STYLE: &str = include_str!("page.css");

/// The colour classes of the reports' lines.
pub const CLASSES: [&str; 2] = ["c0", "c1"];

/// Writes one report, or two compared.
pub fn write(reports: &[&Report], path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, page(reports)).with_context(|| format!("write {}", path.display()))
}

/// The page.
fn page(reports: &[&Report]) -> String {
    let title = match reports {
        [one] => format!("Ducat · {}", one.setup.workload),
        _ => "Ducat · two runs compared".to_owned(),
    };
    let mut out = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width,initial-scale=1\"><meta name=color-scheme \
         content=\"light dark\"><title>{}</title><style>{STYLE}</style></head><body><main>",
        escape(&title)
    );
    for (index, report) in reports.iter().enumerate() {
        if let Some(text) = shout(&report.server.durability) {
            let _ = write!(out, "<p class=shout>{}{}</p>", prefix(reports, index), escape(&text));
        }
    }
    header(&mut out, reports);
    if let [one] = reports {
        tiles(&mut out, one);
    }
    for chart in charts(reports) {
        out.push_str(&chart.figure());
    }
    match reports {
        [one] => single(&mut out, one),
        [a, b, ..] => compared(&mut out, a, b),
        [] => {}
    }
    out.push_str("</main></body></html>\n");
    out
}

/// `a: ` or `b: ` where there are two.
pub fn prefix(reports: &[&Report], index: usize) -> &'static str {
    match (reports.len(), index) {
        (1, _) => "",
        (_, 0) => "a: ",
        _ => "b: ",
    }
}

fn header(out: &mut String, reports: &[&Report]) {
    let line = |r: &Report| {
        let facts = fact_rows(&r.setup, &r.machine, &r.harness, &r.server);
        let of = |name: &str| {
            facts.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value.as_str())
        };
        escape(&format!("{} · {} · {}", of("workload"), of("load"), of("mode")))
    };
    match reports {
        [one] => {
            let _ = write!(out, "<header><h1>Ducat under load</h1><p>{}</p></header>", line(one));
        }
        _ => {
            out.push_str("<header><h1>Two runs of Ducat under load</h1>");
            for (index, report) in reports.iter().enumerate() {
                let _ = write!(
                    out,
                    "<p><i class=\"key {}\"></i><b>{}</b>{}</p>",
                    CLASSES[index.min(1)],
                    prefix(reports, index),
                    line(report)
                );
            }
            out.push_str("</header>");
        }
    }
}

/// The figures that are asked for first.
fn tiles(out: &mut String, report: &Report) {
    let (results, latency) = (&report.results, &report.latency);
    let bad = if results.errors_sum() > 0 { "bad" } else { "" };
    let broken = report.checks.iter().filter(|c| c.held == Some(false)).count();
    let sure = report.checks.iter().filter(|c| c.held == Some(true)).count();
    let checks = match (broken, report.checks.len()) {
        (0, all) => format!("{sure} of {all} held"),
        (broken, _) => format!("{broken} BROKEN"),
    };
    let mut all = vec![
        ("transfers/s", count(results.transfers_per_s as u64), ""),
        ("p50 of a request", millis(latency.p50_ms), ""),
        ("p99", millis(latency.p99_ms), ""),
        ("p99.9", millis(latency.p99_9_ms), ""),
        ("errors", count(results.errors_sum()), bad),
        ("durability", report.server.durability.clone(), durability_class(report)),
        ("checks", checks, if broken > 0 { "bad" } else { "" }),
    ];
    if let Some(search) = &report.search {
        let found = search.found_rate.map_or("none".to_owned(), |rate| count(rate as u64));
        all.insert(0, ("highest rate within the limit", found, ""));
    }
    if let Some(reads) = &report.reads {
        all.insert(1, ("read requests/s", count(reads.requests_per_s as u64), ""));
        all.insert(2, ("p99 of a read", millis(reads.latency.p99_ms), ""));
    }
    out.push_str("<section class=tiles>");
    for (name, value, class) in all {
        let value = escape(&value);
        let _ =
            write!(out, "<div><span>{name}</span><strong class=\"{class}\">{value}</strong></div>");
    }
    out.push_str("</section>");
}

fn durability_class(report: &Report) -> &'static str {
    if shout(&report.server.durability).is_some() { "bad" } else { "" }
}

/// Milliseconds with as many digits as say something.
pub fn millis(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{v:.3} ms"),
        v if v < 100.0 => format!("{v:.2} ms"),
        v => format!("{v:.0} ms"),
    }
}

/// The tables of one report.
fn single(out: &mut String, report: &Report) {
    out.push_str("<section class=columns>");
    card(out, "Results", table::result_rows(report));
    let latency = table::latency_figures(&report.latency);
    let rows = latency.map(|(name, value)| (name.to_owned(), table::ms(value)));
    card(out, "Latency of a request", rows.to_vec());
    if let Some(reads) = &report.reads {
        let mut rows = vec![
            ("requests".to_owned(), count(reads.requests)),
            ("accounts".to_owned(), count(reads.accounts)),
            ("errors".to_owned(), count(reads.errors.values().sum())),
        ];
        let latency = table::latency_figures(&reads.latency);
        rows.extend(latency.map(|(name, value)| (name.to_owned(), table::ms(value))));
        card(out, "Reads", rows);
    }
    card(out, "Costs", table::costs(report));
    out.push_str("</section>");
    checks(out, &[report]);
    notes(out, &report.warnings);
    facts(out, report, "Setup and machine");
}

/// The tables of two reports.
fn compared(out: &mut String, a: &Report, b: &Report) {
    out.push_str(
        "<section class=card><h2>Figures</h2><div class=scroll><table class=figures><tr><th><th>a\
         <th>b<th>b / a",
    );
    for figure in compare::comparison(a, b) {
        let [one, two] = figure.values.map(|v| v.map_or("–".to_owned(), decimal));
        let (name, ratio) = (escape(&figure.name), figure.ratio());
        let _ = write!(out, "<tr><th>{name}<td>{one}<td>{two}<td>{ratio}");
    }
    out.push_str("</table></div></section>");
    notes(out, &compare::differences(a, b));
    checks(out, &[a, b]);
    notes(out, &a.warnings.iter().map(|w| format!("a: {w}")).collect::<Vec<_>>());
    notes(out, &b.warnings.iter().map(|w| format!("b: {w}")).collect::<Vec<_>>());
    facts(out, a, "Setup and machine of a");
    facts(out, b, "Setup and machine of b");
}

/// Large figures whole, small ones with decimals.
fn decimal(value: f64) -> String {
    match value {
        v if v.fract() == 0.0 || v >= 1000.0 => count(v.round() as u64),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}

fn card(out: &mut String, title: &str, rows: Vec<(String, String)>) {
    let _ = write!(out, "<section class=card><h2>{title}</h2><table>");
    for (name, value) in rows {
        let indent = (name.len() - name.trim_start().len()) / 2;
        let (name, value) = (escape(name.trim_start()), escape(&value));
        let _ = write!(out, "<tr><th class=i{indent}>{name}<td>{value}");
    }
    out.push_str("</table></section>");
}

fn checks(out: &mut String, reports: &[&Report]) {
    out.push_str("<section class=card><h2>Checked afterwards</h2><ul class=checks>");
    for (index, report) in reports.iter().enumerate() {
        for check in &report.checks {
            let (class, mark) = match check.held {
                Some(true) => ("ok", "held"),
                Some(false) => ("bad", "BROKEN"),
                None => ("unsure", "unsure"),
            };
            let (name, detail) = (escape(&check.name), escape(&check.detail));
            let of = prefix(reports, index);
            let _ = write!(
                out,
                "<li><b class={class}>{mark}</b><span>{of}{name} <small>{detail}</small></span>"
            );
        }
    }
    out.push_str("</ul></section>");
}

fn notes(out: &mut String, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    out.push_str("<section class=\"card notes\"><h2>Mind</h2><ul>");
    for warning in warnings {
        let _ = write!(out, "<li>{}", escape(warning));
    }
    out.push_str("</ul></section>");
}

fn facts(out: &mut String, report: &Report, title: &str) {
    let mut rows: Vec<(String, String)> =
        fact_rows(&report.setup, &report.machine, &report.harness, &report.server)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
    rows.push(("began".to_owned(), utc(report.harness.started_unix_s)));
    let _ = write!(out, "<section class=\"card facts\"><h2>{title}</h2><table>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><th>{}<td>{}", escape(&name), escape(&value));
    }
    out.push_str("</table></section>");
}

/// A moment as `2025-01-31 12:00 UTC` (civil from days, after Howard Hinnant).
fn utc(unix_s: u64) -> String {
    let (days, seconds) = ((unix_s / 86_400) as i64 + 719_468, unix_s % 86_400);
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (seconds / 3600, seconds % 3600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Search, SearchStep};
    use crate::table::tests::report;

    #[test]
    fn a_page_holds_figures_setup_machine_checks_and_warnings_and_needs_nothing_else() {
        let page = page(&[&report()]);
        for part in [
            "Throughput over time",
            "Latency by percentile",
            "1,000,000",
            "INSUFFICIENT_FUNDS",
            "ext4, 4 KiB write + fdatasync p50",
            "kernel 6.1",
            "unsure",
            "beware",
            "power-loss",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("DURABILITY"));
    }

    #[test]
    fn what_is_not_durable_is_shouted_on_both_kinds_of_page() {
        let (a, mut b) = (report(), report());
        b.server.durability = "none".into();
        assert!(page(&[&b]).contains("DURABILITY NONE"));
        let both = page(&[&a, &b]);
        assert!(both.contains("b: DURABILITY NONE") && both.contains("1.00×"));
        assert!(both.contains("durability power-loss and none"));
    }

    #[test]
    fn texts_from_reports_are_only_text() {
        let mut report = report();
        report.setup.workload = "<script>alert(1)</script>".into();
        report.warnings.push("<img>".into());
        let page = page(&[&report]);
        assert!(!page.contains("<script") && !page.contains("<img"));
    }

    #[test]
    fn a_search_is_drawn_with_its_limit() {
        let step = |rate, p99_ms| SearchStep {
            rate,
            offered: 10,
            answered: 10,
            errors: 0,
            p50_ms: 1.0,
            p99_ms,
            max_ms: 90.0,
            broken: String::new(),
        };
        let search = Search {
            p99_limit_ms: 10.0,
            found_rate: Some(2000.0),
            steps: vec![step(1000.0, 5.0), step(4000.0, 50.0), step(2000.0, 8.0)],
        };
        let page = page(&[&Report { search: Some(search), ..report() }]);
        assert!(page.contains("Latency by offered rate") && page.contains("limit for p99: 10 ms"));
    }

    #[test]
    fn moments_are_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59 UTC");
    }
}
