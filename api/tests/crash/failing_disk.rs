//! Disks that fail, and kills where it matters most: at every one of the first 200 syncs and
//! writes on the data directory, each on a new ledger under load. The first failed call is the
//! last one: the server ends with an exit code and a sentence, does not touch the directory
//! again, and has answered for nothing that the next start cannot show.

use crate::attack::{Attack, Depth, assert_refused, is_root, skip, tries};
use crate::faults::{Action, Class, Faults};
use crate::mounts::Mount;
use crate::server::{Ended, Launch};
use rand::seq::SliceRandom as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

/// The long form tries each call up to this one.
const CALLS: u32 = 200;

/// A new ledger makes fewer files and directories than that before anything else is slow.
const NAME_CALLS: u32 = 12;

#[test]
fn killed_at_any_sync_nothing_acknowledged_is_lost() {
    at_each(Class::Sync, Action::Kill, CALLS);
}

#[test]
fn killed_at_any_write_nothing_acknowledged_is_lost() {
    at_each(Class::Write, Action::Kill, CALLS);
}

#[test]
fn an_error_at_any_sync_is_the_last_call() {
    at_each(Class::Sync, Action::Eio, CALLS);
}

#[test]
fn an_error_at_any_write_is_the_last_call() {
    at_each(Class::Write, Action::Eio, CALLS);
}

#[test]
fn no_space_at_any_sync_is_the_last_call() {
    at_each(Class::Sync, Action::Enospc, CALLS);
}

#[test]
fn no_space_at_any_write_is_the_last_call() {
    at_each(Class::Write, Action::Enospc, CALLS);
}

#[test]
fn no_space_told_late_at_any_write_is_the_last_call() {
    at_each(Class::Write, Action::Late, CALLS);
}

#[test]
fn half_of_any_write_is_the_last_call() {
    at_each(Class::Write, Action::Torn, CALLS);
}

/// All of them in the short form too: what a start writes and syncs is little.
#[test]
fn an_error_at_any_call_of_a_start_is_the_last_call() {
    const NAME: &str = "EIO at each write and sync of a first start";
    if let Err(reason) = Faults::none() {
        return skip(NAME, &reason);
    }
    let mut attack = Attack::new(NAME);
    for class in [Class::Write, Class::Sync] {
        for nth in 1.. {
            attack.row.runs += 1;
            if !at_one(&mut attack, class, nth, Action::Eio) {
                assert!(nth > 5, "a start has more calls than that");
                break;
            }
        }
    }
    attack.finish();
}

#[test]
fn no_space_for_any_file_ends_the_start() {
    at_each(Class::Name, Action::Enospc, NAME_CALLS);
}

/// `DUCAT_SYNCS` says how many of the calls are tried; without it one, drawn at random.
fn at_each(class: Class, action: Action, calls: u32) {
    let name = format!("{} at one of the first {calls} {} calls", action.name(), class.name());
    if let Err(reason) = Faults::none() {
        return skip(&name, &reason);
    }
    let mut attack = Attack::new(&name);
    let mut numbers: Vec<u32> = (1..=calls).collect();
    numbers.shuffle(&mut attack.dice);
    numbers.truncate(tries("DUCAT_SYNCS", 1));
    numbers.sort_unstable();
    let mut starting = 0;
    for nth in numbers {
        starting += usize::from(at_one(&mut attack, class, nth, action));
        attack.row.runs += 1;
    }
    attack.row.note(format!("{starting} while starting"));
    attack.finish();
}

/// One new ledger, one fault; whether it came before the server was ready.
fn at_one(attack: &mut Attack, class: Class, nth: u32, action: Action) -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().canonicalize().expect("there").join("data");
    attack.begin_anew();
    let faults = Faults::at(class, nth, action, &data).expect("there was a library before");
    let started = faults.launch().start(&data);
    let starting = started.is_err();
    let ended = match started {
        Err(ended) => ended,
        Ok(server) => match attack.open(&server) {
            // Ends while the accounts are opened.
            Err(_) => server.wait(),
            Ok(()) => attack.load(server, |server, _| server.wait()),
        },
    };
    let what = format!("{} at {} call {nth}", action.name(), class.name());
    assert!(faults.fired(), "{what} was never reached: {ended:?}");
    judge(&ended, action, &what);
    if action != Action::Kill {
        let later = faults.later_calls();
        assert_eq!(later, 0, "{what}: {later} more calls on the data directory: {ended:?}");
    }
    let server = attack.start(&Launch::default(), &data);
    attack.check(&server, Depth::All);
    server.kill();
    starting
}

fn judge(ended: &Ended, action: Action, what: &str) {
    if action == Action::Kill {
        assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{what}: {ended:?}");
    } else {
        assert_refused(ended);
    }
}

#[test]
fn a_full_disk_ends_the_server_and_loses_nothing_acknowledged() {
    const NAME: &str = "full disk (4 MB tmpfs)";
    if !is_root() {
        return skip(NAME, "only root can mount a disk that is small enough");
    }
    let mut attack = Attack::new(NAME);
    for _ in 0..tries("DUCAT_FULL_DISKS", 1) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut disk = match Mount::memory(dir.path(), "4m") {
            Ok(disk) => disk,
            Err(reason) => return skip(NAME, &reason),
        };
        let data = disk.path().join("data");
        attack.begin_anew();
        let unguarded = Launch::with(&["--disk-reserve-mib", "0"]);
        let server = attack.start(&unguarded, &data);
        let ended = attack.load(server, |server, _| server.wait());
        assert_refused(&ended);
        // Without room it may start or say why not, but must not damage anything.
        if let Err(ended) = unguarded.start(&data) {
            assert_refused(&ended);
        }
        disk.resize("256m").expect("a memory disk can grow");
        let server = attack.start(&Launch::default(), &data);
        attack.check(&server, Depth::All);
        attack.load_for(&server, Duration::from_millis(200));
        attack.check(&server, Depth::All);
        server.kill();
        attack.row.runs += 1;
    }
    attack.finish();
}
