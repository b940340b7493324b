//! Two servers on one directory: one of them serves, every other one is refused with a code of
//! its own, whether it comes later or at the same moment, and by whatever path it comes.

use crate::attack::{Attack, Depth, assert_refused, tries};
use crate::server::{Ended, Launch, Server};
use std::path::Path;
use std::time::Duration;

/// The exit code for a directory that a server holds.
const HELD: i32 = 75;

/// Servers that start at the same moment.
const AT_ONCE: usize = 3;

#[test]
fn two_servers_on_one_directory_are_one() {
    let mut attack = Attack::new("two servers on one directory");
    attack.on_ledgers(tries("DUCAT_TWO_SERVERS", 3), |attack, nth, data| {
        let other_way = data.with_extension("link");
        if !other_way.is_symlink() {
            std::os::unix::fs::symlink(data, &other_way).expect("a link");
        }
        // The first race is for a directory that is not there yet.
        let server = race(if nth % 2 == 0 { data } else { &other_way });
        attack.open(&server).expect("the accounts open");
        attack.check(&server, Depth::New);
        attack.load(server, |server, dice| {
            Attack::pause(dice, 100);
            for path in [&*other_way, data] {
                let Err(ended) = Launch::default().start(path) else { panic!("both serve") };
                assert_held(&ended);
            }
            std::thread::sleep(Duration::from_millis(50));
            server.kill();
        });
    });
    attack.finish();
}

/// Starts several at the same moment and returns the one that serves.
fn race(data: &Path) -> Server {
    let starting: Vec<_> = (0..AT_ONCE).map(|_| Launch::default().spawn(data)).collect();
    let mut serving = None;
    for start in starting {
        match start.ready() {
            Ok(server) => assert!(serving.replace(server).is_none(), "two serve"),
            Err(ended) => assert_held(&ended),
        }
    }
    serving.expect("one of them serves")
}

fn assert_held(ended: &Ended) {
    assert_refused(ended);
    assert_eq!(ended.status.code(), Some(HELD), "{ended:?}");
}
