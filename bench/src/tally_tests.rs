//! What is counted, where, and that threads add up.

use super::*;
use crate::generator::Item;
use crate::target::Told;

fn window() -> Window {
    let from = Instant::now();
    Window { from, to: from + Duration::from_secs(10) }
}

fn accounts() -> AccountIds {
    AccountIds { base: 1000, count: 3 }
}

fn moments(window: Window, done_ms: u64, took_ms: u64) -> Moments {
    let done = window.from + Duration::from_millis(done_ms);
    let from = done.checked_sub(Duration::from_millis(took_ms)).expect("after boot");
    Moments { from, sent: from, done, counts_at: done }
}

/// The `nth` batch; its third transfer repeats the first.
fn batch(nth: u64) -> Batch {
    let item = |at, debit, credit, amount| Item {
        id: nth * 10 + at,
        debit: accounts().id(debit),
        credit: accounts().id(credit),
        amount,
        ..Item::default()
    };
    let items = vec![item(1, 0, 1, 10), item(2, 1, 2, 4), item(1, 2, 0, 1), item(3, 0, 9, 5)];
    Batch { id_high: 1, items }
}

fn reply() -> Reply {
    Reply { answers: vec![0, 14, REPEAT, 6], ..Reply::default() }
}

fn tally(window: Window) -> Tally {
    Tally::new(window, accounts(), true, false).expect("bounds are valid")
}

#[test]
fn outcomes_refusals_repeats_and_errors_are_counted_apart() {
    let window = window();
    let mut tally = tally(window);
    tally.record(&batch(0), &Ok(reply()), moments(window, 1500, 1)).expect("counted");
    let failure = Failure { class: "UNAVAILABLE".into(), in_doubt: true, message: "gone".into() };
    tally.record(&batch(1), &Err(failure), moments(window, 1600, 1)).expect("counted");
    // After the window: part of the whole only.
    tally.record(&batch(2), &Ok(reply()), moments(window, 11_000, 1)).expect("counted");

    assert_eq!(tally.by_code, BTreeMap::from([(0, 1), (6, 1), (14, 1)]));
    assert_eq!((tally.repeats, tally.requests, tally.answered()), (1, 1, 4));
    let answered: Vec<_> = tally.series.figures(&[]).iter().map(|s| s.answered).collect();
    assert_eq!(answered, [0, 4]);
    assert_eq!(tally.errors["UNAVAILABLE"].transfers, 4);
    let whole = Whole { posted: 2, refused: 4, repeats: 2, in_doubt: 4, ..Whole::default() };
    assert_eq!(tally.whole, whole);
    assert_eq!(tally.gains, Some(vec![-20, 20, 0]));
}

#[test]
fn what_was_sent_again_counts_once_whatever_its_answer_is_marked_as() {
    let window = window();
    let one = |answer| {
        let Batch { id_high, mut items } = batch(0);
        items.truncate(1);
        let reply = Reply { answers: vec![answer], ..Reply::default() };
        (Batch { id_high, items }, Ok(reply))
    };
    // The first answer was lost with its connection; then a repeat that overtakes the first.
    for (answers, repeats) in [(&[REPEAT][..], 0), (&[REPEAT, 0], 1), (&[0, REPEAT], 1)] {
        let mut tally = tally(window);
        for answer in answers {
            let (batch, reply) = one(*answer);
            tally.record(&batch, &reply, moments(window, 1500, 1)).expect("counted");
        }
        assert_eq!(tally.whole, Whole { posted: 1, repeats, ..Whole::default() }, "{answers:?}");
        assert_eq!(tally.gains, Some(vec![-10, 10, 0]), "{answers:?}");
    }
}

#[test]
fn what_was_moved_on_terms_and_fees_are_what_is_told() {
    let window = window();
    let mut tally = tally(window);
    let told = |at, moved, fee| Told { at, moved, fee };
    // The first moved 7 of 10 and was repeated; the second was refused with a fee due.
    let told = vec![told(0, Some(7), None), told(1, None, Some(2)), told(2, Some(7), None)];
    let reply = Reply { told, ..reply() };
    tally.record(&batch(0), &Ok(reply), moments(window, 1500, 1)).expect("counted");
    assert_eq!((tally.gains.clone(), tally.whole.fees), (Some(vec![-7, 7, 0]), 0));
    let told = vec![Told { at: 0, moved: None, fee: Some(3) }];
    let reply = Reply { told, answers: vec![0, 0, REPEAT, 6], ..Reply::default() };
    tally.record(&batch(1), &Ok(reply), moments(window, 1600, 1)).expect("counted");
    assert_eq!((tally.gains, tally.whole.fees), (Some(vec![-20, 13, 4]), 3));
}

#[test]
fn merging_equals_recording_everything_in_one() {
    let window = window();
    let (mut one, mut a, mut b) = (tally(window), tally(window), tally(window));
    for ms in 0..2000u64 {
        let moments = moments(window, ms * 3, 1 + ms % 50);
        one.record(&batch(ms), &Ok(reply()), moments).expect("counted");
        let half = if ms % 3 == 0 { &mut a } else { &mut b };
        half.record(&batch(ms), &Ok(reply()), moments).expect("counted");
    }
    a.merge(&b).expect("same bounds");
    assert_eq!(a.latency, one.latency);
    assert_eq!(a.latency.len(), 2000);
    assert_eq!(a.series.figures(&[]), one.series.figures(&[]));
    assert_eq!((a.by_code, a.gains), (one.by_code, one.gains));
    assert_eq!(a.whole, one.whole);
}

#[test]
fn open_loop_counts_by_the_intended_moment() {
    let window = window();
    let mut tally = tally(window);
    let due = window.from + Duration::from_millis(9900);
    let late = Moments {
        from: due,
        sent: due + Duration::from_millis(500),
        done: due + Duration::from_millis(700),
        counts_at: due,
    };
    tally.record(&batch(0), &Ok(reply()), late).expect("counted");
    assert_eq!((tally.latency.len(), tally.requests), (1, 0));
    assert!(tally.latency.max() >= 700_000_000);
    assert_eq!(tally.late_ns_max, 500_000_000);
}
