//! Power cuts: the data directory is on a filesystem of its own, which is shut down so that
//! everything not yet synced is gone; then it is mounted again and the server started. Half of
//! the cuts come at any moment under load, half exactly at one sync, some of them while the
//! directory is being made.

use crate::attack::{Attack, Depth, assert_refused, is_root, skip, tries};
use crate::faults::{Action, Class, Faults};
use crate::mounts::{Kind, Mount};
use crate::server::Launch;
use rand::RngExt as _;
use std::path::Path;
use std::sync::Arc;

/// xfs is never smaller than 300 MB. Images are sparse.
const DISK_BYTES: u64 = 1 << 30;

/// A disk and its ledger serve for so many cuts, so that neither grows too large.
const CUTS_PER_DISK: usize = 20;

/// Making a ledger takes about so many syncs, and the following ones come under load.
const SYNCS_OF_CREATION: u32 = 12;
const SYNCS: u32 = 200;

#[test]
fn a_power_cut_on_ext4_loses_nothing_acknowledged() {
    power_cuts(Kind::Ext4);
}

#[test]
fn a_power_cut_on_xfs_loses_nothing_acknowledged() {
    power_cuts(Kind::Xfs);
}

fn power_cuts(kind: Kind) {
    let name = format!("power cut on {}", kind.name());
    if !is_root() {
        return skip(&name, "only root can mount a filesystem to be cut off");
    }
    let mut left = tries("DUCAT_POWER_CUTS", 3);
    let mut attack = Attack::new(&name);
    let mut exact = 0;
    while left > 0 {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().canonicalize().expect("there");
        let disk = match Mount::fresh(kind, &home, DISK_BYTES) {
            Ok(disk) => disk,
            Err(reason) => return skip(&name, &format!("no {} to cut: {reason}", kind.name())),
        };
        let cuts = left.min(CUTS_PER_DISK);
        exact += one_disk(&mut attack, disk, cuts);
        attack.row.runs += cuts;
        left -= cuts;
    }
    attack.row.note(format!("{exact} exactly at a sync"));
    attack.finish();
}

/// A new ledger on a new disk, cut off a few times. Returns how many cuts came at a sync.
fn one_disk(attack: &mut Attack, mut disk: Mount, cuts: usize) -> usize {
    let data = disk.path().join("data");
    attack.begin_anew();
    let mut exact = 0;
    for cut in 0..cuts {
        let most = if cut == 0 { SYNCS_OF_CREATION } else { SYNCS };
        let nth = attack.dice.random_range(1..=most);
        match Faults::at(Class::Sync, nth, Action::Cut, &data) {
            Ok(faults) if cut % 2 == 0 => {
                cut_at_sync(attack, &faults.cutting(disk.path()), &data);
                exact += 1;
            }
            _ => cut_any_time(attack, &disk, &data),
        }
        disk.unmount().expect("nobody uses it");
        disk.mount().expect("the filesystem recovers");
        let server = attack.start(&Launch::default(), &data);
        attack.check(&server, Depth::New);
        server.terminate();
        assert_eq!(server.wait().status.code(), Some(0));
    }
    let server = attack.start(&Launch::default(), &data);
    attack.check(&server, Depth::All);
    server.kill();
    exact
}

/// Without power the server notices at its next sync, and ends.
fn cut_at_sync(attack: &mut Attack, faults: &Faults, data: &Path) {
    let ended = match faults.launch().start(data) {
        Err(ended) => ended,
        Ok(server) => match attack.open(&server) {
            Err(_) => server.wait(),
            Ok(()) => attack.load(server, |server, _| server.wait()),
        },
    };
    assert!(faults.fired(), "the sync was never reached: {ended:?}");
    assert!(!ended.stderr.contains("the power stays"), "{ended:?}");
    assert_refused(&ended);
}

fn cut_any_time(attack: &mut Attack, disk: &Mount, data: &Path) {
    let server = attack.start(&Launch::default(), data);
    let history = Arc::clone(&attack.history);
    let before = history.acknowledged();
    attack.load(server, |server, dice| {
        history.await_answers(before);
        Attack::pause(dice, 600);
        disk.cut_power().expect("it can be shut down");
        // What is answered now claims to be durable, and is held to it.
        Attack::pause(dice, 30);
        server.kill();
    });
}
