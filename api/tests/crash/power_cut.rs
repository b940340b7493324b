//! Power cuts: the data directory is on an ext4 of its own, which is shut down under load so
//! that everything not yet synced is gone; then it is mounted again and the server started.

use crate::attack::{Attack, Depth, is_root, skip, tries};
use crate::mounts::Mount;
use crate::server::Launch;
use std::time::Duration;

/// Room for everything that the long form writes.
const DISK_BYTES: u64 = 1 << 30;

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    const TEST: &str = "power cut on ext4";
    if !is_root() {
        return skip(TEST, "only root can mount a filesystem to be cut off");
    }
    let cuts = tries("DUCAT_POWER_CUTS", 2);
    let dir = tempfile::tempdir().expect("a directory");
    let mut disk = match Mount::ext4(dir.path(), DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => return skip(TEST, &format!("no ext4 of its own: {reason}")),
    };
    let data = disk.path().join("data");
    let mut attack = Attack::new(TEST);
    for _ in 0..cuts {
        let server = attack.start(&Launch::default(), &data);
        attack.check(&server, Depth::New);
        let before = attack.history.acknowledged();
        attack.load(server, |server, dice| {
            std::thread::sleep(Duration::from_millis(50));
            Attack::pause(dice, 600);
            disk.cut_power().expect("ext4 can be shut down");
            // What is answered now claims to be durable, and is held to it.
            Attack::pause(dice, 30);
            server.kill();
        });
        assert!(attack.history.acknowledged() > before, "the load came to nothing");
        disk.unmount().expect("nobody uses it");
        disk.mount().expect("ext4 recovers");
    }
    let server = attack.start(&Launch::default(), &data);
    attack.check(&server, Depth::All);
    server.kill();
    attack.row.runs = cuts;
    attack.finish();
}
