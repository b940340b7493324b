//! What is printed about snapshots.

use crate::exit::Failure;
use crate::output;
use crate::status::TotalLine;
use ducat_api::proto;
use serde::Serialize;

/// A snapshot as scripts read it in a listing.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct ListLine {
    pub lsn: u64,
    pub file: String,
    pub bytes: u64,
    /// Whether nothing speaks against it at first sight.
    pub usable: bool,
    /// What speaks against it.
    pub problem: Option<String>,
    pub time_ns: Option<u64>,
    pub taken_ns: Option<u64>,
    pub accounts: Option<u64>,
    pub remembered_ids: Option<u64>,
}

/// A snapshot that was read whole, as scripts read it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct SnapshotLine {
    pub sound: bool,
    pub lsn: u64,
    pub file: String,
    pub bytes: u64,
    pub blocks: u32,
    pub time_ns: u64,
    pub taken_ns: u64,
    pub ledger_id: String,
    pub epoch: u64,
    pub anchor_lsn: u64,
    pub anchor_hash: String,
    pub accounts: u64,
    pub remembered_ids: u64,
    pub assets: u32,
    pub state_hash: String,
    pub digest: String,
    /// How it stands to the journal: `continued`, `before-journal`, or `not-looked-at`.
    pub journal: String,
    pub totals: Vec<TotalLine>,
}

/// A snapshot that is not sound, as scripts read it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct UnsoundLine {
    pub sound: bool,
    pub lsn: u64,
    pub file: String,
    pub problem: String,
}

impl From<&proto::Snapshot> for ListLine {
    fn from(s: &proto::Snapshot) -> Self {
        let usable = s.problem.is_empty();
        Self {
            lsn: s.lsn,
            file: s.file.clone(),
            bytes: s.bytes,
            usable,
            problem: (!usable).then(|| s.problem.clone()),
            time_ns: usable.then_some(s.time_ns),
            taken_ns: usable.then_some(s.taken_ns),
            accounts: usable.then_some(s.accounts),
            remembered_ids: usable.then_some(s.remembered_ids),
        }
    }
}

impl From<&proto::Snapshot> for SnapshotLine {
    fn from(s: &proto::Snapshot) -> Self {
        Self {
            sound: true,
            lsn: s.lsn,
            file: s.file.clone(),
            bytes: s.bytes,
            blocks: s.blocks,
            time_ns: s.time_ns,
            taken_ns: s.taken_ns,
            ledger_id: s.ledger_id.clone(),
            epoch: s.epoch,
            anchor_lsn: s.anchor_lsn,
            anchor_hash: s.anchor_hash.clone(),
            accounts: s.accounts,
            remembered_ids: s.remembered_ids,
            assets: s.assets,
            state_hash: s.state_hash.clone(),
            digest: s.digest.clone(),
            journal: s.journal.clone(),
            totals: s.totals.iter().map(TotalLine::from).collect(),
        }
    }
}

/// How a snapshot came about.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Nanoseconds.
    pub took_ns: u64,
    /// Whether it was written now.
    pub created: bool,
}

/// A snapshot that a server has taken, or had already.
pub fn made(line: &SnapshotLine, how: Made, json: bool) -> Result<String, Failure> {
    if json {
        #[derive(Serialize)]
        struct Line<'l> {
            #[serde(flatten)]
            snapshot: &'l SnapshotLine,
            #[serde(flatten)]
            how: Made,
        }
        return output::json(&Line { snapshot: line, how });
    }
    let how = match how.created {
        true => format!("taken in {:.1} ms", how.took_ns as f64 / 1e6),
        false => "there already: nothing has happened since".to_owned(),
    };
    Ok(output::facts(vec![
        ("snapshot", how),
        ("LSN", line.lsn.to_string()),
        ("state of", output::time(line.time_ns)),
        ("file", line.file.clone()),
        ("size", output::bytes(line.bytes)),
        ("accounts", output::count(line.accounts)),
        ("remembered ids", output::count(line.remembered_ids)),
        ("state hash", line.state_hash.clone()),
    ]))
}

/// Prints what became of reading one whole; false when it is not sound.
pub fn print_checked(
    read: Result<&SnapshotLine, &proto::Snapshot>,
    json: bool,
) -> Result<bool, Failure> {
    match read {
        Ok(line) if json => output::print(&output::json(line)?)?,
        Ok(line) => {
            let (lsn, size) = (line.lsn, output::bytes(line.bytes));
            output::print(&format!("LSN {lsn}: sound, {size}, state {}", line.state_hash))?;
        }
        Err(proto::Snapshot { lsn, file, problem, .. }) if json => {
            let (lsn, file, problem) = (*lsn, file.clone(), problem.clone());
            let line = UnsoundLine { sound: false, lsn, file, problem };
            output::print(&output::json(&line)?)?;
        }
        Err(proto::Snapshot { lsn, problem, .. }) => eprintln!("ducat: LSN {lsn}: {problem}"),
    }
    Ok(read.is_ok())
}

/// What is printed about what was removed.
pub fn print_removed(removed: &[u64], json: bool) -> Result<String, Failure> {
    if json {
        return output::json(&serde_json::json!({ "removed": removed }));
    }
    let lsns: Vec<String> = removed.iter().map(ToString::to_string).collect();
    Ok(match &lsns[..] {
        [] => "nothing to remove".to_owned(),
        lsns => format!("removed: {}", lsns.join(", ")),
    })
}

/// A listing.
pub fn listing(lines: &[ListLine], json: bool) -> Result<String, Failure> {
    if json {
        let lines: Result<Vec<String>, Failure> = lines.iter().map(output::json).collect();
        return Ok(lines?.join("\n"));
    }
    let dash = || "-".to_owned();
    let rows = lines.iter().map(|line| {
        vec![
            line.lsn.to_string(),
            line.time_ns.map_or_else(dash, output::time),
            output::bytes(line.bytes),
            line.accounts.map_or_else(dash, output::count),
            line.remembered_ids.map_or_else(dash, output::count),
            line.problem.clone().unwrap_or_else(|| "usable".to_owned()),
        ]
    });
    let header = ["LSN", "state of", "size", "accounts", "ids", "at first sight"];
    Ok(output::table(&header, &[0, 2, 3, 4], rows.collect()))
}

/// A snapshot that was read whole.
pub fn snapshot(line: &SnapshotLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(line);
    }
    let journal = match &line.journal[..] {
        "continued" => "goes on from it",
        "before-journal" => "begins later: what came between was trimmed",
        _ => "not looked at, since a server holds it",
    };
    let mut facts = vec![
        ("snapshot", "sound".to_owned()),
        ("LSN", line.lsn.to_string()),
        ("state of", output::time(line.time_ns)),
        ("taken", output::time(line.taken_ns)),
        ("ledger", format!("{}, epoch {}", line.ledger_id, line.epoch)),
        ("file", line.file.clone()),
        ("size", format!("{} in {} blocks", output::bytes(line.bytes), line.blocks)),
        ("accounts", output::count(line.accounts)),
        ("remembered ids", output::count(line.remembered_ids)),
        ("assets", line.assets.to_string()),
        ("state hash", line.state_hash.clone()),
        ("digest", line.digest.clone()),
        ("journal", journal.to_owned()),
    ];
    for t in &line.totals {
        let sums = format!("{} {} inside, {} outside", t.internal, t.currency, t.external);
        facts.push(("sum", sums));
    }
    Ok(output::facts(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_lines_up() {
        let line = ListLine {
            lsn: 5_000,
            file: "f".into(),
            bytes: 3 << 20,
            usable: true,
            problem: None,
            time_ns: Some(1_735_689_600_000_000_001),
            taken_ns: Some(1),
            accounts: Some(1_200),
            remembered_ids: Some(7),
        };
        let (time_ns, taken_ns, accounts, remembered_ids) = (None, None, None, None);
        let bad = ListLine {
            lsn: 90,
            usable: false,
            problem: Some("it is cut off".into()),
            ..ListLine { time_ns, taken_ns, accounts, remembered_ids, ..line.clone() }
        };
        assert_eq!(
            listing(&[line.clone(), bad], false).expect("text"),
            " LSN  state of                           size  accounts  ids  at first sight\n\
             5000  2025-01-01T00:00:00.000000001Z  3.0 MiB     1,200    7  usable\n  \
             90  -                               3.0 MiB         -    -  it is cut off"
        );
        let json = listing(&[line], true).expect("text");
        assert!(json.starts_with(r#"{"lsn":5000,"file":"f","bytes":3145728,"usable":true,"#));
    }
}
