//! Snapshots and how they are doing, as messages.

use crate::convert::accounts::Writer;
use crate::proto;
use ducat_actors::handle::CurrencyTotal;
use ducat_actors::snapshots::{SnapshotHealth, Standing, Verified};
use ducat_engine::ids::Lsn;
use ducat_engine::money::Currencies;
use ducat_persistence::snapshot::{Listed, Summary};
use ducat_persistence::with_causes;
use std::path::Path;
use std::time::Duration;

/// Nanoseconds as they are told.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How snapshots are doing; `None` where none are kept.
#[must_use]
pub fn health(health: SnapshotHealth) -> Option<proto::SnapshotStatus> {
    if !health.kept {
        return None;
    }
    let last = health.last;
    let (failed_ns, failure) =
        health.failed.map_or((0, String::new()), |failed| (failed.at_ns, failed.why));
    Some(proto::SnapshotStatus {
        last_lsn: last.map_or(0, |last| last.lsn.0),
        last_taken_ns: last.map_or(0, |last| last.taken_ns),
        last_took_ns: last.and_then(|last| last.took).map_or(0, nanos),
        last_bytes: last.map_or(0, |last| last.bytes),
        running_since_ns: health.running_since_ns.unwrap_or(0),
        taken: health.taken,
        failures: health.failures,
        failure,
        failed_ns,
    })
}

/// A snapshot that was looked at.
#[must_use]
pub fn listed(listed: &Listed) -> proto::Snapshot {
    let header = listed.header.as_ref().ok();
    let state = header.map(|header| &header.state);
    proto::Snapshot {
        lsn: listed.lsn.0,
        file: listed.path.display().to_string(),
        bytes: listed.bytes,
        time_ns: state.map_or(0, |state| state.time_ns),
        taken_ns: header.map_or(0, |header| header.taken_ns),
        accounts: state.map_or(0, |state| state.accounts),
        remembered_ids: state.map_or(0, |state| state.ids.old + state.ids.young),
        problem: listed.header.as_ref().err().map(|error| with_causes(error)).unwrap_or_default(),
        ..proto::Snapshot::default()
    }
}

/// A snapshot that was written or read whole; `journal` is how it stands to the journal.
#[must_use]
pub fn read_whole(summary: &Summary, path: &Path, journal: &str) -> proto::Snapshot {
    let Summary { header, end, digest, bytes, blocks } = summary;
    let mut currencies = Currencies::new();
    for asset in &header.state.assets {
        // It was checked when the snapshot was written or read.
        let _defined = currencies.define(&asset.code, u32::from(asset.digits));
    }
    let mut writer = Writer::new(&currencies);
    let totals = end.totals.iter().map(|(currency, totals)| CurrencyTotal {
        currency: *currency,
        internal: totals.internal,
        external: totals.external,
    });
    proto::Snapshot {
        lsn: header.lsn().0,
        file: path.display().to_string(),
        bytes: *bytes,
        time_ns: header.state.time_ns,
        taken_ns: header.taken_ns,
        accounts: header.state.accounts,
        remembered_ids: header.state.ids.old + header.state.ids.young,
        problem: String::new(),
        blocks: *blocks,
        ledger_id: header.ledger.to_string(),
        epoch: header.epoch.0,
        anchor_lsn: header.anchor.lsn.0,
        anchor_hash: header.anchor.hash.to_string(),
        assets: u32::try_from(header.state.assets.len()).unwrap_or(u32::MAX),
        state_hash: blake3::Hash::from_bytes(end.state_hash).to_hex().to_string(),
        digest: blake3::Hash::from_bytes(*digest).to_hex().to_string(),
        journal: journal.to_owned(),
        totals: totals.map(|total| writer.total(&total)).collect(),
    }
}

/// A snapshot that was read whole, and nothing speaks against it.
#[must_use]
pub fn verified(read: &Verified) -> proto::VerifySnapshotResponse {
    let journal = match read.standing {
        Standing::BeforeJournal => "before-journal",
        _ => "continued",
    };
    let snapshot = Some(read_whole(&read.summary, &read.path, journal));
    proto::VerifySnapshotResponse { snapshot, sound: true }
}

/// A snapshot that cannot be used.
#[must_use]
pub fn unsound(lsn: Lsn, problem: String) -> proto::VerifySnapshotResponse {
    let snapshot = proto::Snapshot { lsn: lsn.0, problem, ..proto::Snapshot::default() };
    proto::VerifySnapshotResponse { snapshot: Some(snapshot), sound: false }
}
