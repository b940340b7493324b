//! Snapshots while the machines work, and starts from them: pieces, the real encoder and reader,
//! and files on the simulated disk.
//!
//! ```text
//! marker ─▶ Taking: pieces ─ all there, LSN durable ─▶ bytes ─▶ write … ▸ sync ▸ rename ▸ sync dir
//! ```

use crate::disk::{Phase, Shared};
use crate::faults::Fault;
use crate::journal::SHARD;
use ducat_engine::account::Account;
use ducat_engine::holds::Hold;
use ducat_engine::ids::{Epoch, Lsn};
use ducat_engine::ledger::Ledger;
use ducat_engine::snapshot::{
    DrivenPiece, Head, IdsPiece, ProfilesPiece, RefundsPiece, Restore, interleave,
};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::snapshot::{Encoder, Part, Reader, SnapshotHeader, Summary};
use ducat_persistence::{Frame, LedgerId};
use std::io;
use std::path::Path;

/// Where snapshots lie.
pub const DIR: &str = "snapshots";
const UNFINISHED: &str = "snapshots/new";

/// A snapshot being taken.
#[derive(Clone, Debug)]
pub struct Taking {
    /// What it began with.
    pub head: Head,
    /// By partition and piece.
    pub accounts: Vec<Vec<Vec<Account>>>,
    /// By piece.
    pub holds: Vec<Vec<Hold>>,
    /// By piece.
    pub profiles: Vec<ProfilesPiece>,
    /// By piece.
    pub refunds: Vec<RefundsPiece>,
    /// By piece.
    pub driven: Vec<DrivenPiece>,
    /// By piece.
    pub ids: Vec<IdsPiece>,
    /// Which partitions have given all.
    pub given: Vec<bool>,
    /// Whether all open holds were given.
    pub holds_given: bool,
    /// Whether all that is known of accounts was given.
    pub profiles_given: bool,
    /// Whether all that is known of refunds was given.
    pub refunds_given: bool,
    /// Whether all schedules and sagas were given.
    pub driven_given: bool,
    /// Whether all ids were given.
    pub ids_given: bool,
}

impl Taking {
    /// Nothing was given yet. `with_refunds`: there may be refunds and sagas to be given.
    #[must_use]
    pub fn new(head: Head, partitions: usize, with_refunds: bool) -> Self {
        let accounts = vec![Vec::new(); partitions];
        Self {
            head,
            accounts,
            holds: Vec::new(),
            profiles: Vec::new(),
            refunds: Vec::new(),
            driven: Vec::new(),
            ids: Vec::new(),
            given: vec![false; partitions],
            holds_given: false,
            profiles_given: false,
            refunds_given: !with_refunds,
            driven_given: !with_refunds,
            ids_given: false,
        }
    }

    /// Whether every piece is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let parts = [
            self.holds_given,
            self.profiles_given,
            self.refunds_given,
            self.driven_given,
            self.ids_given,
        ];
        parts.iter().chain(&self.given).all(|given| *given)
    }

    /// The bytes of the whole snapshot. `frame` is the one at whose end it stands.
    ///
    /// # Errors
    /// What does not add up.
    pub fn encode(
        mut self,
        ledger: LedgerId,
        frame: &Frame,
        fault: Fault,
    ) -> Result<(Lsn, Vec<u8>), String> {
        // The coordinator's time may have gone on without an event; the journal's is replay's.
        self.head.time_ns = frame.header().time_ns;
        match fault {
            Fault::SnapshotWithoutIds => {
                (self.head.ids.old, self.head.ids.young) = (0, 0);
                self.ids.clear();
            }
            Fault::SnapshotWithoutRefunds => self.refunds.clear(),
            Fault::SnapshotWithoutSagas => self.driven.clear(),
            Fault::SnapshotWithoutSchedules => {
                self.driven.retain(|piece| !matches!(piece, DrivenPiece::Schedules(_)));
            }
            Fault::CountPausesInFull => self.head.ids.young_age_ns = self.head.ids.remember_ns,
            Fault::SnapshotOfWrongLsn => self.head.lsn = frame.last_lsn(),
            _ => {}
        }
        let lsn = self.head.lsn;
        let header = SnapshotHeader {
            ledger,
            shard: SHARD,
            epoch: Epoch(frame.header().epoch.0),
            anchor: ChainPoint { lsn: frame.last_lsn(), hash: frame.hash() },
            taken_ns: 0,
            state: self.head,
        };
        let wrong = |error: &dyn std::error::Error| format!("the snapshot at {lsn}: {error}");
        let mut encoder = Encoder::new(Vec::new(), header).map_err(|e| wrong(&e))?;
        let most = self.accounts.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..most {
            let of = |given: &Vec<Vec<Account>>| given.get(number).cloned().unwrap_or_default();
            let piece = interleave(self.accounts.iter().map(of).collect());
            encoder.accounts(&piece).map_err(|e| wrong(&e))?;
        }
        for piece in &self.holds {
            encoder.holds(piece).map_err(|e| wrong(&e))?;
        }
        for piece in &self.profiles {
            encoder.profiles(piece).map_err(|e| wrong(&e))?;
        }
        for piece in &self.refunds {
            encoder.refunds(piece).map_err(|e| wrong(&e))?;
        }
        for piece in &self.driven {
            encoder.driven(piece).map_err(|e| wrong(&e))?;
        }
        for piece in &self.ids {
            encoder.ids(piece).map_err(|e| wrong(&e))?;
        }
        let (bytes, _) = encoder.finish().map_err(|e| wrong(&e))?;
        Ok((lsn, bytes))
    }
}

/// A snapshot on its way to the disk.
#[derive(Clone, Debug)]
pub struct Writing {
    /// Its LSN.
    pub lsn: Lsn,
    bytes: Vec<u8>,
    at: Option<usize>,
    synced: bool,
}

/// The name of the snapshot at an LSN.
#[must_use]
pub fn name(lsn: Lsn) -> String {
    format!("{DIR}/{:020}.snap", lsn.0)
}

impl Writing {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(lsn: Lsn, bytes: Vec<u8>) -> Self {
        Self { lsn, bytes, at: None, synced: false }
    }

    /// The next step; true when it is durable under its name.
    ///
    /// # Errors
    /// As the disk does.
    pub fn step(&mut self, disk: &Shared, fault: Fault) -> io::Result<bool> {
        let mut disk = disk.lock();
        disk.phase = Phase::Snapshot;
        let Some(at) = self.at else {
            disk.create(UNFINISHED)?;
            self.at = Some(0);
            return Ok(false);
        };
        if at < self.bytes.len() {
            let end = self.bytes.len().min(at + 700);
            disk.write(UNFINISHED, at, &self.bytes[at..end])?;
            self.at = Some(end);
            return Ok(false);
        }
        if !self.synced {
            if fault != Fault::SnapshotUnsynced {
                disk.sync(UNFINISHED)?;
            }
            self.synced = true;
            return Ok(false);
        }
        disk.rename(UNFINISHED, &name(self.lsn))?;
        disk.sync_dir(DIR)?;
        Ok(true)
    }
}

/// LSNs of the snapshots there are, the newest first.
#[must_use]
pub fn list(disk: &Shared) -> Vec<Lsn> {
    let names = disk.lock().list(DIR);
    let parse = |name: &String| {
        let digits = name.strip_prefix(DIR)?.strip_prefix('/')?.strip_suffix(".snap")?;
        digits.parse().ok().map(Lsn)
    };
    names.iter().rev().filter_map(parse).collect()
}

/// Removes what was begun and never finished.
///
/// # Errors
/// As the disk does.
pub fn remove_leftovers(disk: &Shared) -> io::Result<()> {
    let mut disk = disk.lock();
    match disk.remove(UNFINISHED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A ledger from the snapshot at an LSN, checked whole.
///
/// # Errors
/// Why it cannot be used.
pub fn load(
    disk: &Shared,
    ledger: LedgerId,
    lsn: Lsn,
    (partitions, seed, remember_ns): (usize, u64, u64),
) -> Result<(Ledger, Summary), String> {
    let name = name(lsn);
    let bytes = disk.lock().read(&name).to_vec();
    let path = Path::new(&name);
    let text = |error: ducat_persistence::snapshot::SnapshotError| format!("{error:?}");
    let summary = Reader::new(&bytes[..], path).map_err(text)?.verify().map_err(text)?;
    let header = &summary.header;
    if header.ledger != ledger || header.lsn() != lsn {
        return Err("it does not belong here".to_owned());
    }
    let restore = Restore::new(&header.state, partitions, seed, remember_ns);
    let mut restore = restore.map_err(|error| error.to_string())?;
    let mut reader = Reader::new(&bytes[..], path).map_err(text)?;
    while let Some(part) = reader.part().map_err(text)? {
        let put = match part {
            Part::Accounts(accounts) => restore.accounts.put(accounts),
            Part::Holds(holds) => restore.accounts.put_holds(&holds),
            Part::Profiles(piece) => restore.accounts.put_profiles(piece),
            Part::Refunds(piece) => restore.accounts.put_refunds(&piece),
            Part::Driven(piece) => restore.accounts.put_driven(piece),
            Part::Ids(piece) => restore.ids.put(&piece),
        };
        put.map_err(|error| error.to_string())?;
    }
    let built = restore.finish(&summary.end).map_err(|error| error.to_string())?;
    Ok((built, summary))
}
