//! `ducat status`: what the engine is doing, how far its journal has come, and on request the
//! hash and the sums of the whole state.

mod alerts;
pub mod health;

use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use alerts::{AlertLine, DependencyLine, VerificationLine};
use clap::Args;
use ducat_api::proto;
use health::{ArchiveLine, BackupLine, DiskLine};
use serde::Serialize;

/// Options of `status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ducat status
  ducat status --with-state-hash --json | jq -r .state_hash")]
pub struct StatusArgs {
    /// Also compute the state hash and the sums by currency, which looks at every account.
    #[arg(long)]
    with_state_hash: bool,
}

/// The status as scripts read it.
#[derive(Serialize)]
struct StatusLine<'a> {
    version: &'a str,
    ledger_id: &'a str,
    origins: &'a [String],
    durability: &'a str,
    epoch: u64,
    uptime_ns: u64,
    partitions: u32,
    accounts: u64,
    accounts_bytes: u64,
    remembered_ids: u64,
    remembered_ids_bytes: u64,
    open_holds: u64,
    open_holds_bytes: u64,
    memory_bytes: u64,
    last_lsn: u64,
    durable_lsn: u64,
    in_flight: u64,
    in_flight_max: u64,
    posted: u64,
    refused: u64,
    repeats: u64,
    overloaded: u64,
    expired: u64,
    abandoned: u64,
    queue_delay_us: u64,
    requests_bytes: u64,
    requests_bytes_max: u64,
    answers_bytes: u64,
    answers_bytes_max: u64,
    journal_bytes: u64,
    /// Absent where none are kept.
    snapshots: Option<SnapshotsLine<'a>>,
    archive: Option<ArchiveLine<'a>>,
    backup: Option<BackupLine<'a>>,
    disk: Option<DiskLine>,
    checkpoints: Option<CheckpointLine<'a>>,
    verification: Option<VerificationLine<'a>>,
    dependencies: Vec<DependencyLine<'a>>,
    alerts: Vec<AlertLine<'a>>,
    state_hash: Option<&'a str>,
    state_lsn: Option<u64>,
    totals: Option<Vec<TotalLine>>,
}

/// How snapshots are doing, as scripts read it.
#[derive(Serialize)]
struct SnapshotsLine<'a> {
    last_lsn: Option<u64>,
    last_taken_ns: Option<u64>,
    last_took_ns: Option<u64>,
    last_bytes: Option<u64>,
    running_since_ns: Option<u64>,
    taken: u64,
    failures: u64,
    failure: Option<&'a str>,
    failed_ns: Option<u64>,
}

impl<'a> From<&'a proto::SnapshotStatus> for SnapshotsLine<'a> {
    fn from(s: &'a proto::SnapshotStatus) -> Self {
        let there = |value: u64| (value > 0).then_some(value);
        let of_last = |value: u64| there(s.last_lsn).map(|_| value);
        Self {
            last_lsn: there(s.last_lsn),
            last_taken_ns: of_last(s.last_taken_ns),
            last_took_ns: there(s.last_took_ns),
            last_bytes: of_last(s.last_bytes),
            running_since_ns: there(s.running_since_ns),
            taken: s.taken,
            failures: s.failures,
            failure: there(s.failed_ns).map(|_| s.failure.as_str()),
            failed_ns: there(s.failed_ns),
        }
    }
}

/// How the signing of checkpoints goes, as scripts read it.
#[derive(Serialize)]
struct CheckpointLine<'a> {
    number: u64,
    lsn: u64,
    signed_ns: u64,
    lag: u64,
    failure: Option<&'a str>,
}

impl<'a> From<&'a proto::CheckpointStatus> for CheckpointLine<'a> {
    fn from(status: &'a proto::CheckpointStatus) -> Self {
        Self {
            number: status.number,
            lsn: status.lsn,
            signed_ns: status.signed_ns,
            lag: status.lag,
            failure: Some(status.failure.as_str()).filter(|failure| !failure.is_empty()),
        }
    }
}

/// The lines about snapshots.
fn snapshot_facts(s: &proto::SnapshotStatus) -> Vec<(&'static str, String)> {
    let mut last = match s.last_lsn {
        0 => "none yet".to_owned(),
        lsn => {
            let (taken, bytes) = (output::time(s.last_taken_ns), output::bytes(s.last_bytes));
            format!("LSN {lsn}, taken {taken}, {bytes}")
        }
    };
    if s.last_took_ns > 0 {
        last.push_str(&format!(" in {:.1} ms", s.last_took_ns as f64 / 1e6));
    }
    let mut facts = vec![("last snapshot", last)];
    if s.running_since_ns > 0 {
        facts.push(("snapshot", format!("running since {}", output::time(s.running_since_ns))));
    }
    if s.failed_ns > 0 {
        let (failures, at) = (output::count(s.failures), output::time(s.failed_ns));
        facts.push((
            "snapshot failed",
            format!("at {at}, {failures} times since the start: {}", s.failure),
        ));
    }
    facts
}

/// The signing of checkpoints in words.
fn checkpoint_text(status: &proto::CheckpointStatus) -> String {
    let newest = if status.number == 0 {
        "none signed yet".to_owned()
    } else {
        let (number, lsn) = (status.number, status.lsn);
        format!("number {number} up to LSN {lsn}, {}", output::time(status.signed_ns))
    };
    let lag = format!("{newest}; {} events since", output::count(status.lag));
    if status.failure.is_empty() { lag } else { format!("{lag}; FAILED: {}", status.failure) }
}

/// The sums of one currency as scripts read them.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct TotalLine {
    /// The currency.
    pub currency: String,
    /// Over the accounts that are not external.
    pub internal: String,
    /// Over the external accounts.
    pub external: String,
}

impl From<&proto::CurrencyTotal> for TotalLine {
    fn from(total: &proto::CurrencyTotal) -> Self {
        Self {
            currency: total.currency.clone(),
            internal: total.internal.clone(),
            external: total.external.clone(),
        }
    }
}

/// Runs `status`.
pub async fn run(global: &Global, args: StatusArgs) -> Done {
    let mut client = net::operator_on(net::connect(global).await?);
    let request = proto::GetStatusRequest { with_state_hash: args.with_state_hash };
    let response = client.get_status(request).await.map_err(|s| net::failed(&s))?;
    output::print(&text(&response.into_inner(), global.json)?)?;
    Ok(Exit::Ok)
}

/// What is printed about a status.
fn text(s: &proto::GetStatusResponse, json: bool) -> Result<String, Failure> {
    let hashed = !s.state_hash.is_empty();
    if json {
        return output::json(&StatusLine {
            version: &s.version,
            ledger_id: &s.ledger_id,
            origins: &s.origins,
            durability: &s.durability,
            epoch: s.epoch,
            uptime_ns: s.uptime_ns,
            partitions: s.partitions,
            accounts: s.accounts,
            accounts_bytes: s.accounts_bytes,
            remembered_ids: s.remembered_ids,
            remembered_ids_bytes: s.remembered_ids_bytes,
            open_holds: s.open_holds,
            open_holds_bytes: s.open_holds_bytes,
            memory_bytes: s.memory_bytes,
            last_lsn: s.last_lsn,
            durable_lsn: s.durable_lsn,
            in_flight: s.in_flight,
            in_flight_max: s.in_flight_max,
            posted: s.posted,
            refused: s.refused,
            repeats: s.repeats,
            overloaded: s.overloaded,
            expired: s.expired,
            abandoned: s.abandoned,
            queue_delay_us: s.queue_delay_us,
            requests_bytes: s.requests_bytes,
            requests_bytes_max: s.requests_bytes_max,
            answers_bytes: s.answers_bytes,
            answers_bytes_max: s.answers_bytes_max,
            journal_bytes: s.journal_bytes,
            snapshots: s.snapshots.as_ref().map(SnapshotsLine::from),
            archive: s.archive.as_ref().map(|archive| ArchiveLine::new(archive, s.durable_lsn)),
            backup: s.backup.as_ref().map(BackupLine::from),
            disk: s.disk.as_ref().map(DiskLine::from),
            checkpoints: s.checkpoints.as_ref().map(CheckpointLine::from),
            verification: s.verification.as_ref().map(VerificationLine::from),
            dependencies: s.dependencies.iter().map(DependencyLine::from).collect(),
            alerts: s.alerts.iter().map(AlertLine::from).collect(),
            state_hash: hashed.then_some(s.state_hash.as_str()),
            state_lsn: hashed.then_some(s.state_lsn),
            totals: hashed.then(|| s.totals.iter().map(TotalLine::from).collect()),
        });
    }
    let (count, mebibytes) = (output::count, output::bytes);
    let since = "since the start";
    let of = |now, max| format!("{} of at most {}", mebibytes(now), mebibytes(max));
    let mut facts = vec![("ledger", s.ledger_id.clone())];
    facts.extend(s.origins.iter().map(|origin| ("made from", origin.clone())));
    facts.extend([
        ("version", s.version.clone()),
        ("durability", s.durability.clone()),
        ("up for", format!("{} s, epoch {}", s.uptime_ns / 1_000_000_000, s.epoch)),
        ("accounts", format!("{} in {}", count(s.accounts), mebibytes(s.accounts_bytes))),
        (
            "remembered ids",
            format!("{} in {}", count(s.remembered_ids), mebibytes(s.remembered_ids_bytes)),
        ),
        ("open holds", format!("{} in {}", count(s.open_holds), mebibytes(s.open_holds_bytes))),
        ("memory", mebibytes(s.memory_bytes)),
        ("journal", format!("LSN {}, durable up to {}", s.last_lsn, s.durable_lsn)),
        ("written", format!("{} {since}", mebibytes(s.journal_bytes))),
        ("in flight", format!("{} of at most {}", count(s.in_flight), count(s.in_flight_max))),
        ("queue delay", format!("{:.1} ms", s.queue_delay_us as f64 / 1000.0)),
        ("request memory", of(s.requests_bytes, s.requests_bytes_max)),
        ("answer memory", of(s.answers_bytes, s.answers_bytes_max)),
        ("overloaded", format!("{} requests refused {since}", count(s.overloaded))),
        ("expired", format!("{} requests dropped {since}", count(s.expired))),
        ("abandoned", format!("{} requests dropped {since}", count(s.abandoned))),
        ("posted", format!("{} {since}", count(s.posted))),
        ("refused", format!("{} {since}", count(s.refused))),
        ("repeats", format!("{} {since}", count(s.repeats))),
        ("partitions", s.partitions.to_string()),
    ]);
    if let Some(snapshots) = &s.snapshots {
        facts.extend(snapshot_facts(snapshots));
    }
    facts.extend(health::facts(s));
    if let Some(status) = &s.checkpoints {
        facts.push(("checkpoints", checkpoint_text(status)));
    }
    facts.extend(alerts::facts(s));
    if hashed {
        facts.push(("state hash", format!("{} at LSN {}", s.state_hash, s.state_lsn)));
        for t in &s.totals {
            let sums = format!("{} {} inside, {} outside", t.internal, t.currency, t.external);
            facts.push(("sum", sums));
        }
    }
    Ok(output::facts(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> proto::GetStatusResponse {
        proto::GetStatusResponse {
            version: "0.1.0".into(),
            ledger_id: "L".into(),
            durability: "power-loss".into(),
            accounts: 20_001,
            accounts_bytes: 3 << 20,
            last_lsn: 9,
            durable_lsn: 9,
            epoch: 2,
            partitions: 1,
            in_flight_max: 262_144,
            posted: 44_932,
            overloaded: 1_200,
            expired: 3,
            queue_delay_us: 12_345,
            requests_bytes_max: 512 << 20,
            answers_bytes_max: 256 << 20,
            uptime_ns: 61_000_000_000,
            ..Default::default()
        }
    }

    #[test]
    fn a_status_prints_as_a_table() {
        let mut status = status();
        status.state_hash = "abcd".into();
        status.state_lsn = 9;
        status.totals = vec![proto::CurrencyTotal {
            currency: "GBP".into(),
            internal: "1.00".into(),
            external: "-1.00".into(),
        }];
        assert_eq!(
            text(&status, false).expect("text"),
            "ledger          L\n\
             version         0.1.0\n\
             durability      power-loss\n\
             up for          61 s, epoch 2\n\
             accounts        20,001 in 3.0 MiB\n\
             remembered ids  0 in 0.0 KiB\n\
             open holds      0 in 0.0 KiB\n\
             memory          0.0 KiB\n\
             journal         LSN 9, durable up to 9\n\
             written         0.0 KiB since the start\n\
             in flight       0 of at most 262,144\n\
             queue delay     12.3 ms\n\
             request memory  0.0 KiB of at most 512.0 MiB\n\
             answer memory   0.0 KiB of at most 256.0 MiB\n\
             overloaded      1,200 requests refused since the start\n\
             expired         3 requests dropped since the start\n\
             abandoned       0 requests dropped since the start\n\
             posted          44,932 since the start\n\
             refused         0 since the start\n\
             repeats         0 since the start\n\
             partitions      1\n\
             state hash      abcd at LSN 9\n\
             sum             1.00 GBP inside, -1.00 outside"
        );
    }

    #[test]
    fn snapshots_print_as_they_are_doing() {
        let text = |s: &proto::SnapshotStatus| {
            let lines = snapshot_facts(s).into_iter().map(|(name, text)| format!("{name}: {text}"));
            lines.collect::<Vec<_>>()
        };
        let mut s = proto::SnapshotStatus::default();
        assert_eq!(text(&s), ["last snapshot: none yet"]);
        (s.last_lsn, s.last_bytes, s.last_took_ns) = (7, 3 << 20, 12_345_678);
        (s.last_taken_ns, s.running_since_ns) =
            (1_735_689_600_000_000_001, 1_735_689_600_000_000_002);
        (s.failures, s.failed_ns, s.failure) = (2, 1_735_689_600_000_000_003, "no space".into());
        assert_eq!(
            text(&s),
            [
                "last snapshot: LSN 7, taken 2025-01-01T00:00:00.000000001Z, 3.0 MiB in 12.3 ms",
                "snapshot: running since 2025-01-01T00:00:00.000000002Z",
                "snapshot failed: at 2025-01-01T00:00:00.000000003Z, 2 times since the start: no \
                 space",
            ]
        );
        let status = proto::GetStatusResponse { snapshots: Some(s), ..status() };
        let json: serde_json::Value =
            serde_json::from_str(&super::text(&status, true).expect("text")).expect("JSON");
        assert_eq!(json["snapshots"]["last_lsn"], 7);
        assert_eq!(json["snapshots"]["failure"], "no space");
    }

    #[test]
    fn how_the_signing_goes_is_told() {
        let mut status = status();
        let none = proto::CheckpointStatus { lag: 1_200, ..Default::default() };
        assert_eq!(checkpoint_text(&none), "none signed yet; 1,200 events since");
        status.checkpoints = Some(proto::CheckpointStatus {
            number: 7,
            lsn: 9,
            failure: "no space".into(),
            ..Default::default()
        });
        let told = "checkpoints     number 7 up to LSN 9, 1970-01-01T00:00:00.000000000Z; \
                    0 events since; FAILED: no space";
        assert!(text(&status, false).expect("text").contains(told));
        let json = text(&status, true).expect("text");
        assert!(json.contains(r#""number":7,"lsn":9"#), "{json}");
    }

    #[test]
    fn a_status_prints_as_json() {
        let text = text(&status(), true).expect("text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["posted"], 44_932);
        assert_eq!(value["state_hash"], serde_json::Value::Null);
        assert!(!text.contains('\n'));
    }
}
