//! Prints a [`Report`] for people.

use crate::check::Check;
use crate::facts::Machine;
use crate::report::{Harness, Latency, RampStep, Reads, Report, Search, SearchStep, Server, Setup};
use comfy_table::{CellAlignment, Table, presets};

/// Prints the whole report on stdout.
pub fn print(report: &Report) {
    shout_unless_durable(&report.server.durability);
    println!("{}", facts(report));
    if let Some(search) = &report.search {
        println!("{}", search_steps(search));
        match search.found_rate {
            Some(rate) => println!(
                "found: {} transfers/s with p99 within {} ms; the figures below are those of its step",
                count(rate as u64),
                search.p99_limit_ms
            ),
            None => println!("found: no rate held p99 within {} ms", search.p99_limit_ms),
        }
    }
    if !report.ramp.is_empty() {
        println!("{}", ramp_steps(&report.ramp));
    }
    println!("{}", results(report));
    if let Some(reads) = &report.reads {
        println!("{}", reads_table(reads));
    }
    checks(&report.checks, &report.warnings);
    shout_unless_durable(&report.server.durability);
}

/// Prints the checks and warnings.
pub fn checks(checks: &[Check], warnings: &[String]) {
    for check in checks {
        let mark = match check.held {
            Some(true) => "ok    ",
            Some(false) => "BROKEN",
            None => "unsure",
        };
        println!("{mark}  {}  ({})", check.name, check.detail);
    }
    for warning in warnings {
        println!("NOTE    {warning}");
    }
}

/// What to shout about answers that survive nothing; `None` for durable ones.
pub fn shout(durability: &str) -> Option<String> {
    (durability != "power-loss").then(|| {
        format!(
            "DURABILITY {}: NOTHING HERE SURVIVES A CRASH. NOT COMPARABLE WITH DURABLE FIGURES",
            durability.to_uppercase()
        )
    })
}

/// Prints that.
pub fn shout_unless_durable(durability: &str) {
    if let Some(text) = shout(durability) {
        println!("**** {text} ****");
    }
}

/// A table with borders only around it.
pub fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}

/// What ran where.
fn facts(report: &Report) -> Table {
    facts_of(&report.setup, &report.machine, &report.harness, &report.server)
}

/// What ran where.
pub fn facts_of(setup: &Setup, machine: &Machine, harness: &Harness, server: &Server) -> Table {
    let mut table = plain_table();
    for (name, value) in fact_rows(setup, machine, harness, server) {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// What was offered, in words.
fn load(setup: &Setup) -> String {
    match (&setup.ramp, setup.rate) {
        (Some(ramp), _) => format!("open loop, ramp {ramp} transfers/s offered"),
        (None, Some(rate)) => {
            format!("open loop, {} transfers/s offered", count(rate as u64))
        }
        (None, None) => "closed loop".to_owned(),
    }
}

/// The workload, in words.
fn workload(setup: &Setup) -> String {
    let accounts = format!("{} accounts", count(setup.accounts));
    if let Some(csv) = &setup.csv {
        let skipped: u64 = csv.skipped.values().sum();
        let again = if csv.repeated { ", again and again" } else { "" };
        return format!(
            "{} rows of {} by {}{again} ({} rows not sent), {accounts}",
            count(csv.rows),
            csv.file,
            csv.mapping,
            count(skipped)
        );
    }
    let exponent = setup.zipf_exponent.map(|e| format!(" (exponent {e})")).unwrap_or_default();
    let reads = setup.read_share.zip(setup.read_accounts).map(|(share, n)| {
        format!(" ({:.0}% of requests read {} accounts)", share * 100.0, count(n as u64))
    });
    let beside = setup.reads_per_s.zip(setup.read_accounts).map(|(rate, n)| {
        format!(", beside it {} reads/s of {} accounts", count(rate as u64), count(n as u64))
    });
    let beside = beside.unwrap_or_default();
    let holds = setup.hold_share.map(|share| {
        format!(" ({:.0}% of transfers in two steps, each an operation)", share * 100.0)
    });
    let refunds = setup.refund_share.map(|share| {
        format!(" ({:.0}% of transfers given back in parts, each an operation)", share * 100.0)
    });
    let terms =
        setup.terms_share.map(|share| format!(" ({:.0}% of draws on terms)", share * 100.0));
    let linked = match setup.linked_legs {
        0 | 2 => "linked".to_owned(),
        legs => format!("linked by {legs}"),
    };
    let shares = [(&linked[..], setup.linked_share), ("repeated", setup.repeat_share)];
    let shares = shares.iter().filter(|(_, share)| *share > 0.0);
    let shares: String =
        shares.map(|(name, share)| format!(", {:.0}% {name}", share * 100.0)).collect();
    let more = reads.or(holds).or(refunds).or(terms).unwrap_or_default();
    format!("{}{exponent}{more}, {accounts}{shares}{beside}", setup.workload)
}

/// What production adds, where it was asked for.
fn profile(setup: &Setup) -> &'static str {
    match setup.profile.as_deref() {
        Some(_) => {
            ", production: mutual TLS 1.3, a token with every call, audit trail, figures, encryption at rest"
        }
        None => "",
    }
}

/// What ran where, by name.
pub fn fact_rows(
    setup: &Setup,
    machine: &Machine,
    harness: &Harness,
    server: &Server,
) -> Vec<(&'static str, String)> {
    let disk = match &machine.disk {
        Some(d) => format!(
            "{}, 4 KiB write + fdatasync p50 {:.0} µs, p99 {:.0} µs",
            d.filesystem, d.sync_p50_us, d.sync_p99_us
        ),
        None => "unknown: the server's data directory was not named (--server-data-dir)".to_owned(),
    };
    vec![
        ("workload", workload(setup)),
        (
            "load",
            format!(
                "{}, batches of {}, {} connections × {} in flight, {} client threads",
                load(setup),
                count(setup.batch as u64),
                setup.connections,
                setup.in_flight,
                setup.client_threads
            ),
        ),
        ("mode", format!("{}, {} codec{}", setup.mode, setup.codec, profile(setup))),
        ("time", format!("{:.1} s after {:.1} s of warm-up", setup.duration_s, setup.warmup_s)),
        ("durability", server.durability.clone()),
        (
            "ducat",
            format!(
                "{}, commit {}, {} build, {} partitions",
                server.version, harness.commit, harness.profile, server.partitions
            ),
        ),
        (
            "machine",
            format!(
                "{} cores, {}, kernel {}, {} of memory, {}; {}",
                machine.cores,
                machine.cpu,
                machine.kernel,
                bytes(machine.memory_bytes),
                machine.speed(),
                setup.sharing
            ),
        ),
        ("disk", disk),
    ]
}

/// A table with a header and figures to the right.
fn figures_table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = plain_table();
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for index in 0..header.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn search_steps(search: &Search) -> Table {
    let row = |s: &SearchStep| {
        let verdict = if s.broken.is_empty() { "held" } else { s.broken.as_str() };
        let mut row = vec![count(s.rate as u64), count(s.offered), count(s.answered)];
        row.extend([ms(s.p50_ms), ms(s.p99_ms), ms(s.max_ms), verdict.to_owned()]);
        row
    };
    let header = ["tried, transfers/s", "offered", "answered", "p50", "p99", "max", ""];
    figures_table(&header, search.steps.iter().map(row))
}

fn ramp_steps(steps: &[RampStep]) -> Table {
    let row = |s: &RampStep| {
        let mut row = vec![count(s.rate as u64), count(s.offered), count(s.answered)];
        row.extend([count(s.failed), ms(s.p50_ms), ms(s.p99_ms), ms(s.max_ms)]);
        row
    };
    let header = ["step, transfers/s", "offered", "answered", "errors", "p50", "p99", "max"];
    figures_table(&header, steps.iter().map(row))
}

fn reads_table(reads: &Reads) -> Table {
    let mut rows = vec![
        ("read requests".to_owned(), count(reads.requests)),
        ("accounts read".to_owned(), count(reads.accounts)),
        ("read requests/s".to_owned(), count(reads.requests_per_s as u64)),
        ("accounts read/s".to_owned(), count(reads.accounts_per_s as u64)),
        ("read errors".to_owned(), count(reads.errors.values().sum())),
    ];
    for (class, n) in &reads.errors {
        let example = reads.error_examples.get(class).map(String::as_str).unwrap_or_default();
        rows.push((format!("    {class}"), format!("{} ({example})", count(*n))));
    }
    rows.extend(latency_rows("read", &reads.latency));
    name_value_table(rows)
}

fn latency_rows(what: &str, latency: &Latency) -> Vec<(String, String)> {
    let row = |(name, value): (&str, f64)| (format!("{what} {name}"), ms(value));
    latency_figures(latency).into_iter().map(row).collect()
}

/// The figures of a latency distribution, by name.
pub fn latency_figures(latency: &Latency) -> [(&'static str, f64); 8] {
    [
        ("mean", latency.mean_ms),
        ("min", latency.min_ms),
        ("p50", latency.p50_ms),
        ("p90", latency.p90_ms),
        ("p95", latency.p95_ms),
        ("p99", latency.p99_ms),
        ("p99.9", latency.p99_9_ms),
        ("max", latency.max_ms),
    ]
}

fn name_value_table(rows: Vec<(String, String)>) -> Table {
    let mut table = plain_table();
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What came of it.
fn results(report: &Report) -> Table {
    let mut rows = result_rows(report);
    rows.extend(latency_rows("request", &report.latency));
    rows.extend(costs(report));
    name_value_table(rows)
}

/// How much was done, by name.
pub fn result_rows(report: &Report) -> Vec<(String, String)> {
    let results = &report.results;
    let mut rows = vec![
        ("total".to_owned(), count(results.total)),
        ("  ok (posted)".to_owned(), count(results.ok)),
        ("  refused".to_owned(), count(results.refused_sum())),
    ];
    for (reason, n) in &results.refused {
        rows.push((format!("    {reason}"), count(*n)));
    }
    rows.push(("  repeats".to_owned(), count(results.repeats)));
    rows.push(("  errors".to_owned(), count(results.errors_sum())));
    for (class, n) in &results.errors {
        let example = results.error_examples.get(class).map(String::as_str).unwrap_or_default();
        rows.push((format!("    {class}"), format!("{} ({example})", count(*n))));
    }
    rows.push(("error rate".to_owned(), format!("{:.4} %", results.error_rate * 100.0)));
    rows.push(("requests".to_owned(), count(results.requests)));
    if results.unanswered_requests > 0 {
        rows.push(("  never answered".to_owned(), count(results.unanswered_requests)));
    }
    if results.unsent_requests > 0 {
        rows.push(("  due and never sent".to_owned(), count(results.unsent_requests)));
    }
    rows.push(("transfers/s".to_owned(), count(results.transfers_per_s as u64)));
    if let Some(offered) = results.offered {
        rows.push(("offered".to_owned(), count(offered)));
        rows.push(("latest sending".to_owned(), ms(results.sent_late_ms_max)));
    }
    rows
}

/// What it took, by name.
pub fn costs(report: &Report) -> Vec<(String, String)> {
    let costs = &report.costs;
    let show =
        |value: Option<f64>, unit| value.map_or("?".to_owned(), |v| format!("{v:.2} {unit}"));
    let size = |value: Option<u64>| value.map_or("?".to_owned(), bytes);
    let client = if report.setup.mode == "in-process" {
        "within the server's".to_owned()
    } else {
        show(costs.client_cpu_s, "s")
    };
    [
        ("server CPU", show(costs.server_cpu_s, "s")),
        ("server CPU a transfer", show(costs.server_cpu_us_per_transfer, "µs")),
        ("client CPU", client),
        ("journal a transfer", show(costs.journal_bytes_per_transfer, "B")),
        ("disk writes a transfer", show(costs.disk_bytes_per_transfer, "B")),
        ("server memory", size(costs.server_memory_bytes)),
        ("server memory, most", size(costs.server_memory_bytes_max)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Milliseconds.
pub fn ms(value: f64) -> String {
    format!("{value:.3} ms")
}

/// A number with its thousands apart.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that suits them.
pub fn bytes(value: u64) -> String {
    match value {
        0..1_048_576 => format!("{:.1} KiB", value as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", value as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
pub mod tests;
