//! Faults on purpose: a true history passes, and each lie planted in it, or in the journal, is
//! found and called by its name. `--nocapture` prints the table.

#[path = "planted/money.rs"]
mod money;
mod support;

use ducat_checker::history::{AccountChange, Call};
use ducat_checker::{Kind, Options, Report};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::AccountStatus;
use std::collections::BTreeSet;
use support::good::{
    Calls, event_of, expiry, forget, forget_at, good, posted, read_before, seen, seen_hold,
};
use support::{REMEMBER_NS, Run, plain, transfer, void};

type Plant = (Kind, &'static str, fn(&mut Run, &Calls));

const PLANTS: &[Plant] = &[
    (Kind::LostAcknowledgement, "the journal ends before the last answer", |run, _| {
        run.events.pop();
    }),
    (Kind::LostAcknowledgement, "an answered refusal is not in the journal", |run, _| {
        forget(run, 40);
    }),
    (Kind::LostAcknowledgement, "an opened account is not there", |run, _| {
        let last = run.calls.len() - 1;
        let (span, _) = run.calls[last];
        let spec = support::spec(8);
        run.calls.push((span, Call::Opened { spec, lsn: Lsn(3) }));
    }),
    (Kind::DoubleEffect, "a transfer is decided twice", |run, _| {
        let mut event = run.events[event_of(run, 20)].clone();
        event.lsn = Lsn(run.events.len() as u64 + 1);
        event.time_ns = run.now_ns;
        run.events.push(event);
    }),
    (Kind::DoubleEffect, "a repeat is called new", |run, calls| {
        run.told(calls.again)[0].1.repeat = false;
    }),
    (Kind::StaleRead, "a read is as of a moment before an answer", read_before),
    (Kind::StaleRead, "a read has an old balance under a new LSN", |run, calls| {
        let seen = seen(run, calls.read, 4);
        (seen.posted, seen.last_lsn) = (0, Lsn::ZERO);
        if let Some(more) = &mut seen.more {
            more.available = Some(0);
        }
    }),
    (Kind::StaleRead, "a statement leaves out its newest entry", |run, calls| {
        let Call::Entries { entries, .. } = &mut run.calls[calls.entries].1 else { panic!() };
        entries.remove(0);
    }),
    (Kind::StaleRead, "a transfer that was answered is unknown", |run, calls| {
        let Call::Stored { unknown, .. } = &mut run.calls[calls.stored].1 else { panic!() };
        unknown.push(TransferId::new(20).expect("not zero"));
    }),
    (Kind::StaleRead, "an account that was opened is unknown", |run, calls| {
        let Call::Accounts { unknown, .. } = &mut run.calls[calls.read].1 else { panic!() };
        unknown.push(support::account(2));
    }),
    (Kind::WrongBalance, "another balance after it is told", |run, calls| {
        run.told(calls.paid)[0].1.debit.as_mut().expect("told").posted += 1;
    }),
    (Kind::WrongBalance, "more is available than there is", |run, calls| {
        run.told(calls.paid)[0].1.credit.as_mut().expect("told").available += 1;
    }),
    (Kind::WrongBalance, "a read shows another balance", |run, calls| {
        seen(run, calls.read, 3).posted += 1;
    }),
    (Kind::WrongBalance, "an account that was closed is read as open", |run, calls| {
        let seen = seen(run, calls.read, 3);
        seen.more.as_mut().expect("looked at").status = AccountStatus::Frozen;
    }),
    (Kind::WrongBalance, "a statement has another balance", |run, calls| {
        let Call::Entries { entries, .. } = &mut run.calls[calls.entries].1 else { panic!() };
        entries[1].after += 1;
    }),
    (Kind::WrongBalance, "a statement skips an entry", |run, calls| {
        let Call::Entries { entries, .. } = &mut run.calls[calls.entries].1 else { panic!() };
        let (mut whole, _) = good();
        let all = whole.read_entries(3, 9);
        let Call::Entries { entries: all, .. } = &whole.calls[all].1 else { panic!() };
        *entries = all.clone();
        entries.remove(1);
    }),
    (Kind::WrongBalance, "the journal's chain of entries is wrong", |run, _| {
        posted(run, 31).debit_side.back += 1;
    }),
    (Kind::WrongBalance, "a refusal is explained with another balance", |run, _| {
        let at = event_of(run, 40);
        let Record::Refused(refused) = &mut run.events[at].record else { panic!() };
        let ducat_engine::record::Party::Known { posted, .. } = &mut refused.debit else {
            panic!()
        };
        *posted += 1;
    }),
    (Kind::ChangedOutcome, "a repeat of a posting is refused", |run, calls| {
        run.told(calls.again)[0].1.rejection = Some(Rejection::InsufficientFunds);
    }),
    (Kind::ChangedOutcome, "a repeat has other balances", |run, calls| {
        run.told(calls.again)[0].1.debit.as_mut().expect("told").posted -= 1;
    }),
    (Kind::ChangedOutcome, "an id used again is taken as a repeat", |run, calls| {
        run.told(calls.reused)[0].1 = run.told(calls.again)[0].1.clone();
    }),
    (Kind::ChangedOutcome, "a repeat is taken for an id used again", |run, calls| {
        run.told(calls.again)[0].1 = run.told(calls.reused)[0].1.clone();
    }),
    (Kind::ChangedOutcome, "a group again is refused", |run, calls| {
        run.told(calls.group_again)[1].1.rejection = Some(Rejection::IdReused);
    }),
    (Kind::ChangedOutcome, "another group is taken for the one that was posted", |run, calls| {
        run.told(calls.group_again).remove(0);
        run.told(calls.group_again)[0].0.set_linked(true);
        let more = run.told(calls.again)[0].clone();
        run.told(calls.group_again).push(more);
    }),
    (Kind::ChangedOutcome, "an answer is not what was decided", |run, calls| {
        run.told(calls.refused)[0].1.rejection = None;
    }),
    (Kind::ChangedOutcome, "a stored transfer has another amount", |run, calls| {
        plain(&mut run.told(calls.stored)[0].0).amount += 1;
    }),
    (Kind::ChangedOutcome, "everyone is told that it is a repeat", |run, calls| {
        run.told(calls.paid)[0].1.repeat = true;
    }),
    (Kind::LsnBackwards, "placed before what had been answered", |run, calls| {
        let end = run.clock + 100;
        let span = &mut run.calls[calls.refused].0;
        (span.sent_at, span.answered_at) = (end, end + 1);
    }),
    (Kind::TornGroup, "another event between the members", |run, calls| {
        let at = event_of(run, 31);
        let (one, two) = (run.events[at].lsn, run.events[at + 1].lsn);
        run.events.swap(at, at + 1);
        (run.events[at].lsn, run.events[at + 1].lsn) = (one, two);
        run.told(calls.group)[1].1.lsn = two;
        run.told(calls.refused)[0].1.lsn = one;
        run.told(calls.group_again)[1].1.lsn = two;
    }),
    (Kind::TornGroup, "only the first member happened", |run, calls| {
        forget(run, 31);
        run.told(calls.group_again).truncate(1);
    }),
    (Kind::TornGroup, "the journal ends within a group", |run, calls| {
        let at = event_of(run, 51);
        run.events.truncate(at);
        run.calls.truncate(calls.read);
    }),
    (Kind::MoneyMade, "a credit larger than the debit", |run, _| {
        posted(run, 60).credit_side.posted += 1;
    }),
    (Kind::MoneyMade, "the sums read are not zero", |run, calls| {
        let Call::Totals { sums, .. } = &mut run.calls[calls.totals].1 else { panic!() };
        sums[0].1 += 1;
    }),
    (Kind::ReplyWithoutEvent, "an answer names another event", |run, calls| {
        run.told(calls.paid)[0].1.lsn.0 -= 1;
    }),
    (Kind::ReplyWithoutEvent, "a read is as of an LSN to come", |run, calls| {
        let Call::Accounts { lsn, .. } = &mut run.calls[calls.read].1 else { panic!() };
        lsn.0 += 50;
    }),
    (Kind::ReplyWithoutEvent, "a repeat names an event that opened an account", |run, calls| {
        run.told(calls.again)[0].1.lsn = Lsn(2);
    }),
    (Kind::UnknownId, "a transfer that nobody sent", |run, calls| {
        run.calls.remove(calls.last);
    }),
    (Kind::UnknownId, "it is decided before it is sent", |run, calls| {
        let (_, call) = run.calls.remove(calls.refused);
        let Call::Transfers(items) = call else { panic!() };
        let requests = items.into_iter().map(|(request, _)| request).collect();
        let span = run.span();
        run.calls.push((span, Call::Unanswered(requests)));
    }),
    (Kind::TimeTravel, "decisions go back in time", |run, _| {
        let at = event_of(run, 40);
        run.events[at].time_ns -= 11;
    }),
    (Kind::TimeTravel, "another time is told than was decided", |run, calls| {
        run.told(calls.paid)[0].1.time_ns += 1;
    }),
    (Kind::WrongOutcome, "posted without funds", |run, calls| {
        plain(&mut run.told(calls.paid)[0].0).amount = 3_000;
        let posted = posted(run, 20);
        posted.amount = 3_000;
        posted.debit_side.posted -= 2_970;
        posted.credit_side.posted += 2_970;
    }),
    (Kind::WrongOutcome, "refused in spite of funds", |run, calls| {
        let at = event_of(run, 40);
        let Record::Refused(refused) = &mut run.events[at].record else { panic!() };
        refused.amount = 1;
        plain(&mut run.told(calls.refused)[0].0).amount = 1;
    }),
    (Kind::WrongOutcome, "refused for another rule", |run, calls| {
        let at = event_of(run, 40);
        let Record::Refused(refused) = &mut run.events[at].record else { panic!() };
        refused.rejection = Rejection::DebitAccountFrozen;
        run.told(calls.refused)[0].1.rejection = Some(Rejection::DebitAccountFrozen);
    }),
    (Kind::WrongOutcome, "the wrong member of a group is blamed", |run, calls| {
        for (id, at, rule) in
            [(50, 0, Rejection::InsufficientFunds), (51, 1, Rejection::LinkedFailed)]
        {
            let event = event_of(run, id);
            let (Record::Refused(refused) | Record::RefusedLinked(refused)) =
                &mut run.events[event].record
            else {
                panic!()
            };
            refused.rejection = rule;
            run.told(calls.failed_group)[at].1.rejection = Some(rule);
        }
    }),
    (Kind::WrongOutcome, "something else is done than was asked for", |run, calls| {
        plain(&mut run.told(calls.paid)[0].0).credit = support::account(4);
    }),
    (Kind::WrongOutcome, "an account is opened twice", |run, _| {
        let lsn = Lsn(run.events.len() as u64 + 1);
        let event = ducat_checker::Event { lsn, ..run.events[1].clone() };
        run.events.push(ducat_checker::Event { time_ns: run.now_ns, ..event });
    }),
    (Kind::WrongOutcome, "an account with a balance is closed", |run, _| {
        let lsn = Lsn(run.events.len() as u64 + 1);
        let record = Record::StatusChanged { slot: run.slot(2), status: AccountStatus::Closed };
        run.events.push(ducat_checker::Event { lsn, time_ns: run.now_ns, record });
    }),
    (Kind::Gap, "an LSN is missing", |run, _| {
        run.events.iter_mut().last().expect("events").lsn.0 += 1;
    }),
    (Kind::LostAcknowledgement, "a hold that was answered is not in the journal", |run, _| {
        forget(run, 80);
    }),
    (Kind::LostAcknowledgement, "a void that was answered is not in the journal", |run, _| {
        forget(run, 84);
    }),
    (Kind::LostAcknowledgement, "a change of limits is forgotten", |run, calls| {
        let Call::Changed { lsn, .. } = run.calls[calls.limits].1 else { panic!() };
        forget_at(run, lsn.0 as usize - 1);
    }),
    (Kind::ChangedOutcome, "limits are others than were told", |run, calls| {
        let Call::Changed { change: AccountChange::Limits(limits), .. } =
            &mut run.calls[calls.limits].1
        else {
            panic!()
        };
        limits.bounds.ceiling = Some(999);
    }),
    (Kind::ReplyWithoutEvent, "a change was told to be another event", |run, calls| {
        let Call::Changed { lsn, .. } = &mut run.calls[calls.limits].1 else { panic!() };
        lsn.0 += 1;
    }),
    (Kind::DoubleEffect, "a capture is decided twice", |run, _| {
        let event = run.events[event_of(run, 81)].clone();
        let lsn = Lsn(run.events.len() as u64 + 1);
        run.events.push(ducat_checker::Event { lsn, time_ns: run.now_ns, ..event });
    }),
    (Kind::DoubleEffect, "a repeat of a capture is called new", |run, calls| {
        run.told(calls.captured_again)[0].1.repeat = false;
    }),
    (Kind::StaleRead, "holds are read as of a moment before an answer", |run, calls| {
        let Call::Holds { lsn, .. } = &mut run.calls[calls.holds].1 else { panic!() };
        lsn.0 -= 3;
    }),
    (Kind::LsnBackwards, "a void placed before what had been answered", |run, calls| {
        let end = run.clock + 100;
        let span = &mut run.calls[calls.voided].0;
        (span.sent_at, span.answered_at) = (end, end + 1);
    }),
    (Kind::WrongBalance, "what is available does not count the hold", |run, calls| {
        run.told(calls.held)[0].1.debit.as_mut().expect("told").available += 20;
    }),
    (Kind::WrongBalance, "the journal's figures do not count the hold", |run, _| {
        let at = event_of(run, 80);
        let Record::Held(held) = &mut run.events[at].record else { panic!() };
        held.debit_after.room += 20;
    }),
    (Kind::ChangedOutcome, "a repeat of a capture has another remainder", |run, calls| {
        run.told(calls.captured_again)[0].1.hold.as_mut().expect("told").remaining = 20;
    }),
    (Kind::ChangedOutcome, "a repeat of a capture is refused", |run, calls| {
        run.told(calls.captured_again)[0].1.rejection = Some(Rejection::HoldVoided);
    }),
    (Kind::ChangedOutcome, "a stored void is of another hold", |run, calls| {
        run.told(calls.stored_void)[0].0 = void(84, 80);
    }),
    (Kind::WrongHold, "a hold is lost", |run, calls| {
        let Call::Holds { seen, unknown, .. } = &mut run.calls[calls.holds].1 else { panic!() };
        unknown.push(seen.remove(0).id);
    }),
    (Kind::WrongHold, "a hold comes back after its void", |run, calls| {
        let seen = seen_hold(run, calls, 83);
        (seen.closed, seen.remaining, seen.expires_ns) = (None, 3, u64::MAX);
    }),
    (Kind::WrongHold, "a hold comes back after its time", |run, calls| {
        seen_hold(run, calls, 82).closed = None;
    }),
    (Kind::WrongHold, "another amount remains", |run, calls| {
        seen_hold(run, calls, 80).remaining += 5;
    }),
    (Kind::WrongHold, "a hold ends at another time", |run, calls| {
        seen_hold(run, calls, 80).expires_ns -= 1;
    }),
    (Kind::WrongHold, "a capture is told with another remainder", |run, calls| {
        run.told(calls.captured)[0].1.hold.as_mut().expect("told").remaining -= 1;
    }),
    (Kind::WrongHold, "a refusal is told with another remainder", |run, calls| {
        run.told(calls.not_extended)[0].1.hold.as_mut().expect("told").remaining = 20;
    }),
    (Kind::WrongHold, "the journal takes too little off the hold", |run, _| {
        let at = event_of(run, 81);
        let Record::Captured(captured) = &mut run.events[at].record else { panic!() };
        (captured.released, captured.remaining) = (4, 16);
    }),
    (Kind::WrongHold, "the journal gives back more than remained", |run, _| {
        let at = event_of(run, 84);
        let Record::Voided(voided) = &mut run.events[at].record else { panic!() };
        voided.released += 1;
    }),
    (Kind::WrongHold, "a hold expires before its time", |run, _| {
        let at = expiry(run);
        run.events[at].time_ns = run.events[at - 1].time_ns;
    }),
    (Kind::WrongHold, "a hold does not expire", |run, _| {
        let at = expiry(run);
        forget_at(run, at);
    }),
    (Kind::WrongHold, "a hold that is closed expires", |run, _| {
        let at = expiry(run);
        let Record::Expired(expired) = &mut run.events[at].record else { panic!() };
        expired.hold = support::id(83);
    }),
    (Kind::TornGroup, "a hold without the capture in its group", |run, _| {
        forget(run, 87);
    }),
    (Kind::WrongOutcome, "an extension is refused for another rule", |run, calls| {
        let at = event_of(run, 85);
        let Record::HoldRefused(refused) = &mut run.events[at].record else { panic!() };
        refused.rejection = Rejection::HoldVoided;
        run.told(calls.not_extended)[0].1.rejection = Some(Rejection::HoldVoided);
    }),
    (Kind::WrongOutcome, "another hold is voided than was asked for", |run, calls| {
        run.told(calls.voided)[0].0 = void(84, 80);
    }),
    (Kind::HoldLeftBehind, "what is on hold is read as free", |run, calls| {
        seen(run, calls.read, 2).more.as_mut().expect("looked at").held = 0;
    }),
    (Kind::HoldLeftBehind, "more is held than holds set aside", |run, calls| {
        seen(run, calls.read, 2).more.as_mut().expect("looked at").held = 1;
    }),
    (Kind::HoldLeftBehind, "something on its way in", |run, calls| {
        seen(run, calls.read, 2).more.as_mut().expect("looked at").incoming = 1;
    }),
    (Kind::Unanswered, "a call is never answered", |run, _| {
        let span = run.span();
        run.calls.push((span, Call::Unanswered(vec![transfer(70, 2, 3, 1).into()])));
    }),
];

fn check(run: &Run) -> Report {
    let strict = Options { remember_ns: REMEMBER_NS, all_answered: true, ..Options::default() };
    run.check_with(strict)
}

#[test]
fn the_good_run_is_good() {
    let (run, calls) = good();
    let report = check(&run);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.answered, report.repeats), (22, 5));
    let mut whole = run.clone();
    assert_eq!(whole.told(calls.stored).len(), 1, "the read of stored transfers finds some");
    assert_eq!(whole.told(calls.deposits).len(), 2);
    let told: Vec<_> =
        whole.told(calls.held_and_captured).iter().map(|(_, t)| t.rejection).collect();
    assert_eq!(told, [None, None]);
}

#[test]
fn every_planted_fault_is_found_and_named() {
    let mut found = BTreeSet::new();
    for (kind, name, plant) in PLANTS {
        let (mut run, calls) = good();
        plant(&mut run, &calls);
        let report = check(&run);
        assert!(report.has(*kind), "{kind}: {name}: {report}");
        println!("| {kind} | {name} | found |");
        found.insert(*kind);
    }
    for (kind, name, plant) in money::PLANTS {
        let (mut run, calls) = money::good();
        plant(&mut run, &calls);
        let report = check(&run);
        assert!(report.has(*kind), "{kind}: {name}: {report}");
        println!("| {kind} | {name} | found |");
        found.insert(*kind);
    }
    let all: BTreeSet<Kind> = Kind::ALL.into_iter().collect();
    assert_eq!(found, all, "every kind of fault is planted");
    let planted = PLANTS.len() + money::PLANTS.len();
    println!("{planted} of {planted} planted faults found, {} kinds", found.len());
}

#[test]
fn the_good_run_with_refunds_terms_and_fees_is_good() {
    let (mut run, calls) = money::good();
    let report = check(&run);
    assert!(report.is_clean(), "{report}");
    let codes: Vec<_> = [
        calls.too_much,
        calls.reversed,
        calls.after_it,
        calls.stale,
        calls.group,
        calls.short,
        calls.payment,
    ]
    .map(|call| run.told(call)[0].1.rejection)
    .to_vec();
    let expected = [
        Some(Rejection::RefundExceeded),
        None,
        Some(Rejection::OriginalReversed),
        Some(Rejection::DebitAccountVersion),
        None,
        Some(Rejection::FeeRefused),
        None,
    ];
    assert_eq!(codes, expected);
    let moved = |run: &mut Run, call: usize| {
        let told = run.told(call).iter();
        let beside = told.map(|(_, told)| told.beside.as_ref()?.terms);
        beside.map(|terms| terms.map_or(0, |terms| terms.moved)).collect::<Vec<_>>()
    };
    assert_eq!(moved(&mut run, calls.balanced), [50]);
    assert_eq!(moved(&mut run, calls.sources), [50, 10]);
}

#[test]
fn claims_that_a_history_does_not_make_are_not_held_against_it() {
    let (mut run, calls) = good();
    run.calls.remove(calls.last);
    run.calls.push((run.calls[0].0, Call::Unanswered(vec![transfer(70, 2, 3, 1).into()])));
    let options = Options { remember_ns: REMEMBER_NS, complete: false, ..Options::default() };
    let report = run.check_with(options);
    assert!(report.is_clean(), "{report}");
    let (mut run, calls) = good();
    run.told(calls.paid)[0].1.repeat = true;
    let options = Options { remember_ns: REMEMBER_NS, hidden_retries: true, ..Options::default() };
    let report = run.check_with(options);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn an_id_that_was_forgotten_may_come_again() {
    let (mut run, _) = good();
    // A pause counts as a 24th of a life at most: it takes many.
    for id in 0..72 {
        run.now_ns += REMEMBER_NS;
        run.submit(vec![transfer(1_000 + id, 2, 3, 1)]);
    }
    let again = run.submit(vec![transfer(20, 2, 3, 30)]);
    assert!(!run.told(again)[0].1.repeat, "it was forgotten");
    let report = check(&run);
    assert!(report.is_clean(), "{report}");
    // Remembered for longer than that, it must not.
    let report = run.check_with(Options { remember_ns: 99 * REMEMBER_NS, ..Options::default() });
    assert!(report.has(Kind::DoubleEffect), "{report}");
}
