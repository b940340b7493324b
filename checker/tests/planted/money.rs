//! Lies about refunds, terms, kinds, notes and fees.

use super::support::good::{event_of, forget, forget_at};
use super::support::money::{balanced, if_version, noted, of_kind, refund, schedule, sources};
use super::support::{GBP, Run, WORLD, capture, hold, linked, transfer};
use ducat_checker::history::Beside;
use ducat_checker::{Event, Kind};
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::ids::Lsn;
use ducat_engine::note::{Note, Noted};
use ducat_engine::record::{
    FeeDid, FeeLeg, NotedRecord, Posted, PostedSide, Record, RefundRefused, Refunded,
};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::TransferKind;

/// The calls of the good run, by their numbers.
#[derive(Clone, Copy)]
pub struct Calls {
    /// A refund of 10 of id 20, which moved 30; id 21. Then one of 5, id 22.
    pub refunded: [usize; 2],
    /// 16 more, id 23: only 15 are left.
    pub too_much: usize,
    /// The reversal, id 24.
    pub reversed: usize,
    /// 1 more after it, id 25.
    pub after_it: usize,
    /// Id 21 again.
    pub again: usize,
    /// All that account 3 has, 50, up to 500; id 30.
    pub balanced: usize,
    /// 60 from accounts 4 and 2, ids 35 and 36.
    pub sources: usize,
    /// Done, since its version is right; id 38.
    pub versioned: usize,
    /// Refused, since its version is old; id 39.
    pub stale: usize,
    /// 20 and a fee of 4, id 40.
    pub paid: usize,
    /// A group whose members owe a fee of 3 each, ids 41 and 42.
    pub group: usize,
    /// Refused, since its fee cannot be taken; id 43.
    pub short: usize,
    /// A payment with a note, id 44; no fee is due for it.
    pub payment: usize,
    /// Id 40 again.
    pub paid_again: usize,
    /// A hold of 12 for a payment, id 50.
    pub held: usize,
    /// 10 of it, id 51, and a fee of 3.
    pub captured: usize,
    /// 5 of that given back, id 52, for a fee of 2.
    pub given_back: usize,
}

pub fn good() -> (Run, Calls) {
    let mut run = Run::new();
    run.submit(vec![transfer(10, WORLD, 2, 100), transfer(11, WORLD, 3, 50)]);
    run.submit(vec![transfer(20, 2, 3, 30)]);
    let refunded = [
        run.submit(vec![refund(21, 20, Some(10))]),
        run.submit(vec![noted(refund(22, 20, Some(5)), "returned goods")]),
    ];
    let too_much = run.submit(vec![refund(23, 20, Some(16))]);
    let reversed = run.submit(vec![refund(24, 20, None)]);
    let after_it = run.submit(vec![refund(25, 20, Some(1))]);
    let again = run.submit(vec![refund(21, 20, Some(10))]);
    let balanced = run.submit(vec![balanced(30, 3, 4, 500, 1)]);
    let sources = run.submit(sources(35, &[4, 2], 3, 60));
    let version = run.ledger.view(run.slot(2)).expect("hosted").version.0;
    let versioned = run.submit(vec![if_version(38, 2, 6, 10, version)]);
    let stale = run.submit(vec![if_version(39, 2, 6, 10, version)]);
    run.define_fee(schedule("card", 2, 100_000));
    run.attach_fee(FeeTarget::Kind(TransferKind::Transfer, GBP), Some("card"));
    let paid = run.submit(vec![transfer(40, 2, 4, 20)]);
    let group = run.submit(linked(vec![transfer(41, 2, 4, 10), transfer(42, 4, 2, 10)]));
    let all = run.ledger.view(run.slot(4)).expect("hosted").posted.unsigned_abs();
    let short = run.submit(vec![transfer(43, 4, 2, all)]);
    let bought = of_kind(TransferKind::Payment, transfer(44, 2, 3, 7));
    let payment = run.submit(vec![noted(bought, "invoice 7")]);
    let paid_again = run.submit(vec![transfer(40, 2, 4, 20)]);
    for kind in [TransferKind::Payment, TransferKind::Refund] {
        run.attach_fee(FeeTarget::Kind(kind, GBP), Some("card"));
    }
    let held = run.submit(vec![of_kind(TransferKind::Payment, hold(50, 2, 3, 12, 0))]);
    let captured = run.submit(vec![capture(51, 50, Some(10), true)]);
    let given_back = run.submit(vec![refund(52, 51, Some(5))]);
    run.read();
    run.read_totals();
    run.read_entries(5, 9);
    run.read_stored(refunded[1]);
    run.read_stored(sources);
    run.read_stored(paid);
    let calls = Calls {
        refunded,
        too_much,
        reversed,
        after_it,
        again,
        balanced,
        sources,
        versioned,
        stale,
        paid,
        group,
        short,
        payment,
        paid_again,
        held,
        captured,
        given_back,
    };
    (run, calls)
}

type Plant = (Kind, &'static str, fn(&mut Run, &Calls));

fn refunded(run: &mut Run, id: u128) -> &mut Refunded {
    let at = event_of(run, id);
    match inner(&mut run.events[at].record) {
        Record::Refunded(refunded) => refunded,
        other => panic!("no refund: {other:?}"),
    }
}

fn not_refunded(run: &mut Run, id: u128) -> &mut RefundRefused {
    let at = event_of(run, id);
    match inner(&mut run.events[at].record) {
        Record::RefundRefused(refused) => refused,
        other => panic!("no refusal: {other:?}"),
    }
}

/// The record within a note and terms.
fn inner(record: &mut Record) -> &mut Record {
    match record {
        Record::Noted(noted) => inner(&mut noted.record),
        Record::Termed(termed) => &mut termed.record,
        other => other,
    }
}

fn posted(run: &mut Run, id: u128) -> &mut Posted {
    let at = event_of(run, id);
    match inner(&mut run.events[at].record) {
        Record::Posted(posted) | Record::PostedLinked(posted) => posted,
        other => panic!("not posted: {other:?}"),
    }
}

fn noted_event(run: &mut Run, id: u128) -> &mut NotedRecord {
    let at = event_of(run, id);
    match &mut run.events[at].record {
        Record::Noted(noted) => noted,
        other => panic!("nothing is said of it: {other:?}"),
    }
}

/// So much more is moved, with figures that fit.
fn move_more(posted: &mut Posted, more: i128) {
    posted.amount = posted.amount.checked_add_signed(more).expect("small");
    posted.debit_side.posted -= more;
    posted.credit_side.posted += more;
}

/// The place of the leg behind the event of this id.
fn leg_at(run: &Run, id: u128) -> usize {
    let is = |event: &Event| matches!(&event.record, Record::FeeLeg(leg) if leg.of.get() == id);
    run.events.iter().position(is).expect("a fee was due")
}

fn leg(run: &mut Run, id: u128) -> &mut FeeLeg {
    let at = leg_at(run, id);
    match &mut run.events[at].record {
        Record::FeeLeg(leg) => leg,
        other => panic!("no leg: {other:?}"),
    }
}

fn beside(run: &mut Run, call: usize) -> &mut Beside {
    run.told(call)[0].1.beside.as_mut().expect("something is told")
}

/// The event once more at the end, made another by `change`.
fn once_more(run: &mut Run, at: usize, change: impl Fn(&mut Record)) {
    let lsn = Lsn(run.events.len() as u64 + 1);
    let mut event = Event { lsn, time_ns: run.now_ns, ..run.events[at].clone() };
    change(&mut event.record);
    run.events.push(event);
}

pub const PLANTS: &[Plant] = &[
    (Kind::WrongRefund, "a refund is given twice", |run, _| {
        let at = event_of(run, 21);
        once_more(run, at, |record| match record {
            Record::Refunded(refunded) => refunded.id = super::support::id(99),
            other => panic!("no refund: {other:?}"),
        });
    }),
    (Kind::DoubleEffect, "a refund is decided twice", |run, _| {
        let at = event_of(run, 21);
        once_more(run, at, |_| {});
    }),
    (Kind::WrongRefund, "more is given back than was moved", |run, _| {
        let refunded = refunded(run, 24);
        refunded.amount += 1;
        refunded.refunded += 1;
        refunded.debit_side.posted -= 1;
        refunded.credit_side.posted += 1;
    }),
    (Kind::WrongRefund, "an earlier refund does not count", |run, _| {
        refunded(run, 22).refunded = 5;
    }),
    (Kind::WrongRefund, "the original is said to have moved more", |run, _| {
        refunded(run, 21).moved = 40;
    }),
    (Kind::WrongRefund, "the money goes to someone else", |run, _| {
        let slot = run.slot(5);
        refunded(run, 21).credit = slot;
    }),
    (Kind::WrongRefund, "what remains is told too high", |run, calls| {
        beside(run, calls.refunded[0]).refund.as_mut().expect("told").refunded -= 1;
    }),
    (Kind::WrongRefund, "a refund is told to be a reversal", |run, calls| {
        beside(run, calls.refunded[1]).refund.as_mut().expect("told").reversed = true;
    }),
    (Kind::WrongRefund, "a refusal is told without its original", |run, calls| {
        run.told(calls.too_much)[0].1.beside = None;
    }),
    (Kind::WrongRefund, "a refusal counts a refund twice", |run, _| {
        not_refunded(run, 23).found.as_mut().expect("moved").state.refunded += 10;
    }),
    (Kind::WrongOutcome, "a refund is refused though enough is left", |run, calls| {
        not_refunded(run, 23).amount = Some(15);
        let (request, _) = &mut run.told(calls.too_much)[0];
        request.refund_mut().expect("a refund").amount = Some(15);
    }),
    (
        Kind::WrongOutcome,
        "a refund after the reversal is refused for another rule",
        |run, calls| {
            not_refunded(run, 25).rejection = Rejection::RefundExceeded;
            run.told(calls.after_it)[0].1.rejection = Some(Rejection::RefundExceeded);
        },
    ),
    (Kind::WrongOutcome, "another amount is given back than was asked for", |run, calls| {
        let (request, _) = &mut run.told(calls.refunded[0])[0];
        request.refund_mut().expect("a refund").amount = Some(9);
    }),
    (Kind::WrongOutcome, "a reversal is no reversal", |run, _| {
        refunded(run, 24).reversal = false;
    }),
    (Kind::ChangedOutcome, "a repeat of a refund has the sum of now", |run, calls| {
        beside(run, calls.again).refund.as_mut().expect("told").refunded = 30;
    }),
    (Kind::LostAcknowledgement, "a refund that was answered is not in the journal", |run, _| {
        forget(run, 22);
    }),
    (Kind::WrongTerms, "more is moved than was available", |run, _| {
        move_more(posted(run, 30), 1);
    }),
    (Kind::WrongTerms, "less is moved than was available", |run, _| {
        move_more(posted(run, 30), -1);
    }),
    (Kind::WrongTerms, "a source gives less than it has", |run, _| {
        move_more(posted(run, 35), -1);
        move_more(posted(run, 36), 1);
    }),
    (Kind::WrongTerms, "another amount is told", |run, calls| {
        beside(run, calls.balanced).terms.as_mut().expect("told").moved += 1;
    }),
    (Kind::WrongTerms, "another version is told", |run, calls| {
        let terms = beside(run, calls.versioned).terms.as_mut().expect("told");
        terms.debit_version = Some(Lsn(3));
    }),
    (Kind::WrongTerms, "a refusal finds a version that never was", |run, calls| {
        let at = event_of(run, 39);
        let Record::Termed(termed) = &mut run.events[at].record else { panic!() };
        termed.versions[0] = Some(Lsn(3));
        let told = beside(run, calls.stale).terms.as_mut().expect("told");
        told.debit_version = Some(Lsn(3));
    }),
    (Kind::WrongOutcome, "done in spite of another version", |run, calls| {
        let old = Lsn(3);
        let at = event_of(run, 38);
        let Record::Termed(termed) = &mut run.events[at].record else { panic!() };
        termed.terms.debit.version = Some(old);
        run.told(calls.versioned)[0].0 = if_version(38, 2, 6, 10, old.0);
    }),
    (Kind::WrongOutcome, "done on other terms than were asked for", |run, calls| {
        run.told(calls.balanced)[0].0 = balanced(30, 3, 4, 500, 2);
    }),
    (Kind::TornGroup, "the second source is missing", |run, calls| {
        forget(run, 36);
        let found = run.calls.iter().position(|(_, call)| {
            matches!(call, ducat_checker::history::Call::Stored { found, .. }
                if found.iter().any(|(request, _)| request.id().get() == 36))
        });
        run.calls.remove(found.expect("read"));
        assert!(run.told(calls.sources)[0].0.linked());
    }),
    (Kind::WrongFee, "a fee is not taken", |run, _| {
        let at = leg_at(run, 40);
        forget_at(run, at);
    }),
    (Kind::WrongFee, "the fee of a group's second member is not taken", |run, _| {
        let at = leg_at(run, 42);
        forget_at(run, at);
    }),
    (Kind::WrongFee, "the journal ends before the fee", |run, calls| {
        let at = leg_at(run, 40);
        run.events.truncate(at);
        run.calls.truncate(calls.paid + 1);
    }),
    (Kind::WrongFee, "a fee is taken twice", |run, _| {
        let at = leg_at(run, 43);
        let event = run.events[at].clone();
        run.events.insert(at + 1, event);
        for event in &mut run.events[at + 1..] {
            event.lsn.0 += 1;
        }
    }),
    (Kind::WrongFee, "a fee is taken that nobody owes", |run, _| {
        let at = leg_at(run, 40);
        once_more(run, at, |_| {});
    }),
    (Kind::WrongFee, "a fee is higher than its schedule says", |run, _| {
        let leg = leg(run, 40);
        leg.amount += 1;
        let FeeDid::Taken { debit_side, credit_side } = &mut leg.did else { panic!() };
        debit_side.posted -= 1;
        credit_side.posted += 1;
    }),
    (Kind::WrongFee, "the fee goes to someone else", |run, _| {
        let slot = run.slot(6);
        leg(run, 41).credit = slot;
    }),
    (Kind::WrongFee, "a fee is taken of what did not happen", |run, _| {
        let side = PostedSide { back: 1, posted: 0, room: 0 };
        leg(run, 43).did = FeeDid::Taken { debit_side: side, credit_side: side };
    }),
    (Kind::WrongFee, "the journal says another fee beside the transfer", |run, _| {
        let at = event_of(run, 40);
        let Record::Noted(noted) = &mut run.events[at].record else { panic!() };
        noted.fee.as_mut().expect("due").amount += 1;
    }),
    (Kind::WrongFee, "another fee is told", |run, calls| {
        beside(run, calls.paid).fee.as_mut().expect("told").amount -= 1;
    }),
    (Kind::WrongFee, "no fee is told", |run, calls| {
        run.told(calls.group)[0].1.beside = None;
    }),
    (Kind::WrongFee, "the rule that the fee broke is told wrongly", |run, calls| {
        let fee = beside(run, calls.short).fee.as_mut().expect("told");
        fee.refused = Some(Rejection::DebitAccountFrozen);
    }),
    (Kind::ChangedOutcome, "a repeat tells no fee", |run, calls| {
        run.told(calls.paid_again)[0].1.beside = None;
    }),
    (Kind::WrongOutcome, "done as another kind than was asked for", |run, calls| {
        let asked = of_kind(TransferKind::Interest, transfer(44, 2, 3, 7));
        run.told(calls.payment)[0].0 = noted(asked, "invoice 7");
    }),
    (Kind::WrongHold, "a capture is for something else than its hold", |run, _| {
        noted_event(run, 51).kind = Some(TransferKind::Interest);
    }),
    (Kind::WrongHold, "a capture forgets what its hold is for", |run, _| {
        noted_event(run, 51).kind = None;
    }),
    (Kind::WrongOutcome, "held for something else than was asked for", |run, calls| {
        run.told(calls.held)[0].0 = of_kind(TransferKind::Interest, hold(50, 2, 3, 12, 0));
    }),
    (Kind::WrongFee, "the fee of a capture is not taken", |run, _| {
        let at = leg_at(run, 51);
        forget_at(run, at);
    }),
    (Kind::WrongFee, "the fee of a capture is not told", |run, calls| {
        run.told(calls.captured)[0].1.beside = None;
    }),
    (Kind::WrongFee, "the fee of a refund is that of another amount", |run, _| {
        let leg = leg(run, 52);
        leg.amount += 1;
        let FeeDid::Taken { debit_side, credit_side } = &mut leg.did else { panic!() };
        debit_side.posted -= 1;
        credit_side.posted += 1;
    }),
    (Kind::WrongFee, "a refund says another fee than it pays", |run, _| {
        noted_event(run, 52).fee.as_mut().expect("due").amount -= 1;
    }),
    (Kind::WrongFee, "another fee is told with a refund", |run, calls| {
        beside(run, calls.given_back).fee.as_mut().expect("told").amount += 1;
    }),
    (Kind::WrongOutcome, "the note is another", |run, calls| {
        let asked = of_kind(TransferKind::Payment, transfer(44, 2, 3, 7));
        let note = Note { reference: "invoice 8".to_owned(), ..Note::default() };
        run.told(calls.payment)[0].0 = Noted::new(asked, note).expect("short").into();
    }),
    (Kind::WrongOutcome, "the note is lost", |run, calls| {
        run.told(calls.payment)[0].0 = of_kind(TransferKind::Payment, transfer(44, 2, 3, 7));
    }),
];
