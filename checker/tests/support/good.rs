//! A run in which everything happens once, and ways to tamper with it.

use super::{Run, WORLD, capture, extend, hold, linked, transfer, void};
use ducat_checker::history::{Call, Seen, SeenHold};
use ducat_engine::ids::Lsn;
use ducat_engine::limits::LimitsChange;
use ducat_engine::record::Record;

/// The calls of the good run, by their numbers.
#[derive(Clone, Copy)]
pub struct Calls {
    /// Two deposits, to accounts 2 and 3.
    pub deposits: usize,
    /// A transfer of 30 from account 2 to 3, id 20.
    pub paid: usize,
    /// A linked group, ids 30 and 31.
    pub group: usize,
    /// A refusal, id 40.
    pub refused: usize,
    /// Id 20 again.
    pub again: usize,
    /// Id 20 with another amount.
    pub reused: usize,
    /// The group of ids 30 and 31 again.
    pub group_again: usize,
    /// A hold of 20 from account 2 to 3, id 80.
    pub held: usize,
    /// A capture of 5 of it, id 81; 15 remain.
    pub captured: usize,
    /// A hold of 3, id 83, voided under id 84.
    pub voided: usize,
    /// An extension of hold 80 that is refused, id 85: it never expires.
    pub not_extended: usize,
    /// A group that places hold 86 and captures all of it, id 87.
    pub held_and_captured: usize,
    /// Id 81 again.
    pub captured_again: usize,
    /// Account 6 gets a ceiling.
    pub limits: usize,
    /// A group that was refused, ids 50 and 51.
    pub failed_group: usize,
    /// All accounts, after all of this.
    pub read: usize,
    pub totals: usize,
    pub entries: usize,
    pub stored: usize,
    pub stored_void: usize,
    /// Holds 80, 82, which expired, and 83.
    pub holds: usize,
    /// A transfer after all reads, id 60.
    pub last: usize,
}

pub fn good() -> (Run, Calls) {
    let mut run = Run::new();
    let deposits = run.submit(vec![transfer(10, WORLD, 2, 100), transfer(11, WORLD, 3, 50)]);
    let paid = run.submit(vec![transfer(20, 2, 3, 30)]);
    let change = LimitsChange { ceiling: Some(Some(1_000)), ..LimitsChange::default() };
    let place_two = |run: &mut Run| {
        run.submit(vec![hold(82, 3, 4, 7, 50), hold(83, 2, 4, 3, 0)]);
        run.submit(vec![void(84, 83)])
    };
    let expire = |run: &mut Run| {
        run.pass(100);
        run.submit(linked(vec![hold(86, 2, 5, 4, 0), capture(87, 86, None, false)]))
    };
    let calls = Calls {
        deposits,
        paid,
        group: run.submit(linked(vec![transfer(30, 3, 4, 40), transfer(31, 4, 5, 10)])),
        refused: run.submit(vec![transfer(40, 5, 2, 1_000)]),
        again: run.submit(vec![transfer(20, 2, 3, 30)]),
        reused: run.submit(vec![transfer(20, 2, 3, 31)]),
        group_again: run.submit(linked(vec![transfer(30, 3, 4, 40), transfer(31, 4, 5, 10)])),
        held: run.submit(vec![hold(80, 2, 3, 20, 0)]),
        captured: run.submit(vec![capture(81, 80, Some(5), false)]),
        voided: place_two(&mut run),
        not_extended: run.submit(vec![extend(85, 80, 10)]),
        held_and_captured: expire(&mut run),
        captured_again: run.submit(vec![capture(81, 80, Some(5), false)]),
        limits: run.set_limits(6, change).expect("it changes something"),
        failed_group: run.submit(linked(vec![transfer(50, 2, 3, 1), transfer(51, 5, 5, 1)])),
        read: run.read(),
        totals: run.read_totals(),
        entries: run.read_entries(3, 2),
        stored: run.read_stored(paid),
        stored_void: 0,
        holds: run.read_holds(&[80, 82, 83]),
        last: run.submit(vec![transfer(60, 2, 6, 5)]),
    };
    let stored_void = run.read_stored(calls.voided);
    (run, Calls { stored_void, ..calls })
}

/// The place of the event that decided this id.
pub fn event_of(run: &Run, id: u128) -> usize {
    let of = |record: &Record| record.transfer_id().is_some_and(|found| found.get() == id);
    run.events.iter().position(|event| of(&event.record)).expect("decided")
}

pub fn posted(run: &mut Run, id: u128) -> &mut ducat_engine::record::Posted {
    let at = event_of(run, id);
    match &mut run.events[at].record {
        Record::Posted(posted) | Record::PostedLinked(posted) => posted,
        other => panic!("not posted: {other:?}"),
    }
}

/// Takes an event out of the journal as if it had never been; those behind it close up, and so
/// do the answers.
pub fn forget(run: &mut Run, id: u128) {
    let at = event_of(run, id);
    forget_at(run, at);
}

pub fn forget_at(run: &mut Run, at: usize) {
    let gone = run.events.remove(at).lsn;
    for event in &mut run.events[at..] {
        event.lsn.0 -= 1;
    }
    let closes_up = |lsn: &mut Lsn| lsn.0 -= u64::from(*lsn > gone);
    for (_, call) in &mut run.calls {
        match call {
            Call::Transfers(items) => items.iter_mut().for_each(|(_, t)| closes_up(&mut t.lsn)),
            Call::Stored { found, .. } => found.iter_mut().for_each(|(_, t)| closes_up(&mut t.lsn)),
            Call::Accounts { lsn, .. }
            | Call::Totals { lsn, .. }
            | Call::Holds { lsn, .. }
            | Call::Changed { lsn, .. } => closes_up(lsn),
            _ => {}
        }
    }
}

pub fn seen(run: &mut Run, call: usize, id: u128) -> &mut Seen {
    match &mut run.calls[call].1 {
        Call::Accounts { seen, .. } => {
            seen.iter_mut().find(|seen| seen.account.get() == id).expect("read")
        }
        other => panic!("no accounts: {other:?}"),
    }
}

/// The read shows the accounts as they stood after the deposits.
pub fn read_before(run: &mut Run, calls: &Calls) {
    let mut then = Run::new();
    then.submit(vec![transfer(10, WORLD, 2, 100), transfer(11, WORLD, 3, 50)]);
    let read = then.read();
    run.calls[calls.read].1 = then.calls[read].1.clone();
}

/// The place of the only expiry.
pub fn expiry(run: &Run) -> usize {
    let is = |record: &Record| matches!(record, Record::Expired(_));
    run.events.iter().position(|event| is(&event.record)).expect("one expired")
}

/// The hold with this id as it was read.
pub fn seen_hold<'r>(run: &'r mut Run, calls: &Calls, id: u128) -> &'r mut SeenHold {
    let Call::Holds { seen, .. } = &mut run.calls[calls.holds].1 else { panic!() };
    seen.iter_mut().find(|seen| seen.id.get() == id).expect("read")
}
