//! Clocks that jump: the server's is set 400 days ahead and back, under load and between two
//! starts. What was acknowledged before a jump is a repeat after it.

use crate::attack::{Attack, Depth, skip, tries};
use crate::faults::Faults;
use rand::RngExt as _;
use std::time::Duration;

const DAYS_400_S: i64 = 400 * 24 * 3_600;

#[test]
fn a_clock_that_jumps_doubles_nothing() {
    const NAME: &str = "clock jumps of ±400 days";
    let faults = match Faults::none() {
        Ok(faults) => faults,
        Err(reason) => return skip(NAME, &reason),
    };
    let mut attack = Attack::new(NAME);
    attack.on_ledgers(tries("DUCAT_JUMPS", 5), |attack, nth, data| {
        // Far ahead of all before, once at first; then anywhere, from any to any.
        let offset = match nth % 10 {
            0 => DAYS_400_S,
            1 => -DAYS_400_S,
            _ => attack.dice.random_range(-DAYS_400_S..=DAYS_400_S),
        };
        let server = attack.start(&faults.launch(), data);
        attack.check(&server, Depth::New);
        attack.load(server, |server, dice| {
            Attack::pause(dice, 100);
            // Ids live in two generations, which one jump alone could not make pass. Repeats of
            // what was acknowledged before are in the load.
            for offset in [offset / 2, offset] {
                faults.set_clock(offset);
                std::thread::sleep(Duration::from_millis(75));
                Attack::pause(dice, 100);
            }
            if nth % 2 == 1 {
                return server.kill();
            }
            server.terminate();
            assert_eq!(server.wait().status.code(), Some(0));
        });
    });
    attack.finish();
}
