//! Disks that fail: a sync that returns an error, a process killed at a sync, no space left.
//! The server must end with an exit code and a sentence, and answer for nothing that the next
//! start cannot show.

use crate::attack::{Attack, Depth, assert_refused, dice, is_root, say, skip, tries};
use crate::mounts::Mount;
use crate::server::Launch;
use rand::RngExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

/// A launch in which the `nth` sync of a thread ends so, or why that cannot be done.
fn at_sync(how: &str, nth: u32) -> Launch {
    let inject = format!("inject=fdatasync,fsync:{how}:when={nth}");
    let words =
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject];
    Launch { wrapper: words.map(str::to_owned).to_vec(), arguments: Vec::new() }
}

/// Whether system calls can be injected here.
fn tracer() -> Result<(), String> {
    let tried = std::process::Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=9", "true"])
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("strace cannot trace: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(_) => Err("strace is not installed".to_owned()),
    }
}

#[test]
fn a_failing_sync_ends_the_server_and_loses_nothing_acknowledged() {
    at_syncs("a failing sync", "error=EIO", 3, assert_refused);
}

#[test]
fn killed_at_a_sync_nothing_acknowledged_is_lost() {
    at_syncs("a kill at a sync", "signal=KILL", 3, |ended| {
        assert_eq!(ended.status.signal(), Some(libc::SIGKILL), "{ended:?}");
    });
}

fn at_syncs(test: &str, how: &str, short: usize, judge: impl Fn(&crate::server::Ended)) {
    if let Err(reason) = tracer() {
        return skip(test, &reason);
    }
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().join("data");
    let mut attack = Attack::new(dice(test));
    let (mut before_ready, tries) = (0, tries("DUCAT_SYNCS", short));
    for number in 0..tries {
        let server = attack.start(&Launch::default(), &data);
        attack.check(&server, Depth::New);
        server.terminate();
        assert_eq!(server.wait().status.code(), Some(0));
        // The very first syncs are those of the start; the later ones come under load.
        let nth = if number == 0 { 1 } else { attack.dice.random_range(1..60) };
        match at_sync(how, nth).start(&data) {
            Ok(server) => {
                let ended = attack.load(server, |server, _| server.wait());
                judge(&ended);
            }
            Err(ended) => {
                judge(&ended);
                before_ready += 1;
            }
        }
    }
    let server = attack.start(&Launch::default(), &data);
    attack.check(&server, Depth::All);
    say(&attack.report(&format!("{tries} times {test}, {before_ready} of them while starting")));
}

#[test]
fn a_full_disk_ends_the_server_and_loses_nothing_acknowledged() {
    const TEST: &str = "full disk";
    if !is_root() {
        return skip(TEST, "only root can mount a disk that is small enough");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut disk = match Mount::memory(dir.path(), "4m") {
        Ok(disk) => disk,
        Err(reason) => return skip(TEST, &reason),
    };
    let data = disk.path().join("data");
    let mut attack = Attack::new(dice(TEST));
    let server = attack.start(&Launch::default(), &data);
    let ended = attack.load(server, |server, _| server.wait());
    assert_refused(&ended);
    // Without room it may start or say why not, but must not damage anything.
    if let Err(ended) = Launch::default().start(&data) {
        assert_refused(&ended);
    }
    disk.resize("256m").expect("a memory disk can grow");
    let server = attack.start(&Launch::default(), &data);
    attack.check(&server, Depth::All);
    attack.load_for(&server, Duration::from_millis(200));
    attack.check(&server, Depth::All);
    server.kill();
    say(&attack.report(TEST));
}
