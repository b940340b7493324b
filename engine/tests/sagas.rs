//! Sagas on a ledger with simulated time: stopped after any event, answered twice and too late,
//! compensated in reverse order, stuck and resolved.

use ducat_engine::driven::DrivenEvent;
use ducat_engine::ids::SagaId;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::sagas::{
    Action, Answer, BackOff, Failure, Resolution, SagaChange, SagaCommand, SagaDefinition,
    SagaRejection, SagaState, Step, StepState, Undo,
};
use ducat_engine::testing::cases;
use ducat_engine::testing::driven::{DAY_NS, Driver, HOUR_NS, OUTSIDE, payment, transfer};
use proptest::prelude::*;

const NEW_YEAR_NS: u64 = 1_704_067_200_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

fn id(number: u128) -> SagaId {
    SagaId::new(number).expect("not zero")
}

fn step(name: &str, action: Action, undo: Undo) -> Step {
    Step { name: name.to_owned(), action, undo }
}

/// A hotel: the price is held, a fee is taken, the hotel is asked, the hold is captured, points are
/// given.
fn booking(number: u128) -> SagaDefinition {
    let fee_back = Undo::Transfer(payment(4, 2, 3));
    SagaDefinition {
        id: id(number),
        label: "a night".to_owned(),
        steps: vec![
            step(
                "hold",
                Action::Hold { payment: payment(2, 3, 100), timeout_ns: 0 },
                Undo::Reverse,
            ),
            step("fee", Action::Transfer(payment(2, 4, 5)), fee_back),
            step("hotel", Action::Wait { timeout_ns: 2 * HOUR_NS }, Undo::Nothing),
            step(
                "capture",
                Action::Capture { hold: 0, amount: Some(90), last: true },
                Undo::Reverse,
            ),
            step("points", Action::Transfer(payment(5, 2, 7)), Undo::Reverse),
        ],
        back_off: BackOff { first_ns: SECOND_NS, longest_ns: 60 * SECOND_NS, attempts_max: 4 },
    }
}

/// Account 2 books, 3 is the hotel, 4 takes the fee, 5 gives the points.
fn driver(points: u128) -> Driver {
    let mut driver = Driver::new(5, NEW_YEAR_NS, DAY_NS);
    driver.deposit(1, 2, 200);
    if points > 0 {
        driver.deposit(2, 5, points);
    }
    driver
}

fn answer(step: u8, done: bool) -> SagaCommand {
    SagaCommand::Answer { step, answer: Answer { done, note: "booking 17".to_owned() } }
}

fn states(driver: &Driver) -> Vec<StepState> {
    driver.saga(id(7)).steps.iter().map(|step| step.state).collect()
}

/// The steps and compensations in the order in which they were asked for, told by the journal.
fn asked(driver: &Driver) -> Vec<(u8, bool, u16)> {
    let begun = driver.events.iter().filter_map(|event| {
        let Record::Driven(driven) = &event.record else { return None };
        let DrivenEvent::Saga(event) = &**driven else { return None };
        match event.what {
            SagaChange::Begun { step, undo, attempt, .. } => Some((step, undo, attempt)),
            _ => None,
        }
    });
    begun.collect()
}

#[test]
fn every_step_is_done_and_the_saga_is_complete() {
    let mut driver = driver(10);
    driver.start(booking(7)).expect("new");
    driver.start(booking(7)).expect("the same");
    driver.drive();
    assert_eq!(driver.saga(id(7)).state.name(), "waiting");
    assert_eq!(driver.balance(2), [195, 95]);
    driver.check();
    driver.saga_command(id(7), answer(2, true)).expect("in time");
    driver.drive();
    assert_eq!(driver.saga(id(7)).state, SagaState::Completed);
    assert!(states(&driver).iter().all(|state| *state == StepState::Done));
    assert_eq!(driver.balance(2), [112, 112]);
    assert_eq!([driver.balance(3)[0], driver.balance(4)[0], driver.balance(5)[0]], [90, 5, 3]);
    assert_eq!(driver.saga(id(7)).steps[2].answer.as_ref().map(|a| &*a.note), Some("booking 17"));
    driver.check();
}

#[test]
fn what_was_done_is_undone_in_reverse_order() {
    // Nobody gives points: the last step fails.
    let mut driver = driver(0);
    driver.start(booking(7)).expect("new");
    driver.drive();
    driver.saga_command(id(7), answer(2, true)).expect("in time");
    driver.drive();
    assert_eq!(driver.saga(id(7)).state, SagaState::Compensated);
    let failed = StepState::Failed(Failure::Refused(Rejection::InsufficientFunds));
    let undone = StepState::Undone;
    let expected = [StepState::Stays, undone, StepState::Stays, undone, failed];
    assert_eq!(states(&driver), expected);
    let forwards = [(0, false, 1), (1, false, 1), (3, false, 1), (4, false, 1)];
    assert_eq!(asked(&driver), [&forwards[..], &[(3, true, 1), (1, true, 1)]].concat());
    // All came back, but for the part of the fee that is not given back.
    assert_eq!(driver.balance(2), [198, 198]);
    assert_eq!([driver.balance(3)[0], driver.balance(4)[0]], [0, 2]);
    driver.check();
}

#[test]
fn a_no_and_no_answer_at_all_undo_what_was_done() {
    for (says, failure) in [(true, Failure::Answer), (false, Failure::TimedOut)] {
        let mut driver = driver(10);
        driver.start(booking(7)).expect("new");
        driver.drive();
        if says {
            driver.saga_command(id(7), answer(2, false)).expect("in time");
        } else {
            driver.pass_until(NEW_YEAR_NS + 2 * HOUR_NS - 1);
            assert_eq!(driver.saga(id(7)).state.name(), "waiting");
            driver.pass_until(NEW_YEAR_NS + 2 * HOUR_NS);
        }
        driver.drive();
        assert_eq!(driver.saga(id(7)).state, SagaState::Compensated);
        assert_eq!(states(&driver)[2], StepState::Failed(failure));
        // The hold is voided, since nothing was captured of it.
        assert_eq!(states(&driver)[0], StepState::Undone);
        assert_eq!(driver.balance(2), [198, 198]);
        driver.check();
    }
}

#[test]
fn an_answer_counts_once_and_not_too_late() {
    let mut driver = driver(10);
    driver.start(booking(7)).expect("new");
    let early = driver.saga_command(id(7), answer(2, true));
    assert!(matches!(early, Err(SagaRejection::NotWaiting { step: 2, .. })), "{early:?}");
    driver.drive();
    let other = driver.saga_command(id(7), answer(1, true));
    assert!(matches!(other, Err(SagaRejection::NotWaiting { step: 1, .. })), "{other:?}");
    let mut late = driver.clone();
    driver.saga_command(id(7), answer(2, true)).expect("in time");
    driver.drive();
    let before = driver.events.len();
    driver.saga_command(id(7), answer(2, true)).expect("the same again");
    let otherwise = driver.saga_command(id(7), answer(2, false));
    assert_eq!(otherwise, Err(SagaRejection::AnsweredOtherwise(2)));
    assert_eq!(driver.events.len(), before);
    // The time is over, whether or not an event says so already.
    late.now_ns = NEW_YEAR_NS + 2 * HOUR_NS;
    assert_eq!(late.saga_command(id(7), answer(2, true)), Err(SagaRejection::TooLate(2)));
    late.drive();
    assert_eq!(late.saga_command(id(7), answer(2, true)), Err(SagaRejection::TooLate(2)));
    assert_eq!(late.saga(id(7)).state, SagaState::Compensated);
    assert_eq!(late.saga_command(id(8), answer(2, true)), Err(SagaRejection::Unknown));
    late.check();
}

/// A saga that fails, whose capture cannot be given back because the hotel has spent it.
fn stuck() -> Driver {
    let mut driver = driver(0);
    driver.start(booking(7)).expect("new");
    driver.drive();
    driver.saga_command(id(7), answer(2, true)).expect("in time");
    // The capture and the payout of what it brought come before the failing step.
    while driver.balance(3)[0] == 0 {
        let begun = driver.ledger.coordinator.drive(driver.now_ns, 1);
        let time_ns = begun.time_ns;
        let events = begun.events.into_iter();
        driver.events.extend(events.map(|(lsn, record)| ducat_engine::testing::book::Event {
            lsn,
            time_ns,
            record,
        }));
        driver.submit(&begun.requests);
    }
    driver.submit(&[transfer(50, 3, OUTSIDE, 90)]);
    driver
}

#[test]
fn a_compensation_that_is_refused_is_tried_again_until_somebody_has_to_look() {
    let mut driver = stuck();
    driver.drive();
    let state = driver.saga(id(7)).state;
    let failure = Failure::Refused(Rejection::InsufficientFunds);
    let until_ns = NEW_YEAR_NS + SECOND_NS;
    assert_eq!(state, SagaState::BackingOff { step: 3, attempts: 1, until_ns, failure });
    // Once money is there, it goes on by itself.
    let mut helped = driver.clone();
    helped.pass_until(NEW_YEAR_NS + 2 * SECOND_NS);
    helped.deposit(60, 3, 90);
    helped.pass_until(NEW_YEAR_NS + 4 * SECOND_NS);
    assert_eq!(helped.saga(id(7)).state, SagaState::Compensated);
    assert_eq!(helped.balance(2), [198, 198]);
    helped.check();
    // Else it is stuck after 1 + 2 + 4 seconds.
    driver.pass_until(NEW_YEAR_NS + 7 * SECOND_NS - 1);
    assert_eq!(driver.saga(id(7)).state.name(), "backing-off");
    driver.pass_until(NEW_YEAR_NS + 7 * SECOND_NS);
    assert_eq!(driver.saga(id(7)).state, SagaState::Stuck { step: 3, attempts: 4, failure });
    driver.pass_until(NEW_YEAR_NS + 99 * DAY_NS);
    assert_eq!(driver.saga(id(7)).state.name(), "stuck");
    driver.check();
    let resolve = |how| SagaCommand::Resolve { how, note: "case 812".to_owned() };
    let mut again = driver.clone();
    again.saga_command(id(7), resolve(Resolution::Retry)).expect("stuck");
    again.drive();
    assert_eq!(again.saga(id(7)).state, SagaState::Stuck { step: 3, attempts: 5, failure });
    again.deposit(60, 3, 90);
    again.saga_command(id(7), resolve(Resolution::Retry)).expect("stuck");
    again.drive();
    assert_eq!((again.saga(id(7)).state, again.balance(2)), (SagaState::Compensated, [198, 198]));
    again.check();
    let mut skipped = driver.clone();
    skipped.saga_command(id(7), resolve(Resolution::Skip)).expect("stuck");
    skipped.drive();
    assert_eq!(skipped.saga(id(7)).state, SagaState::Compensated);
    assert_eq!(states(&skipped)[3], StepState::ByHand);
    // The fee was given back, the price was not.
    assert_eq!(skipped.balance(2), [108, 108]);
    skipped.check();
    driver.saga_command(id(7), resolve(Resolution::Close)).expect("stuck");
    assert_eq!(driver.saga(id(7)).state, SagaState::Resolved);
    assert_eq!(driver.saga(id(7)).note, "case 812");
    let refused = driver.saga_command(id(7), resolve(Resolution::Retry));
    assert_eq!(refused, Err(SagaRejection::State("resolved")));
    driver.check();
}

#[test]
fn one_that_waits_can_be_given_up() {
    let mut driver = driver(10);
    driver.start(booking(7)).expect("new");
    driver.drive();
    let abort = || SagaCommand::Abort { note: "the guest called".to_owned() };
    driver.saga_command(id(7), abort()).expect("it waits");
    driver.drive();
    assert_eq!(driver.saga(id(7)).state, SagaState::Compensated);
    assert_eq!((driver.balance(2), &*driver.saga(id(7)).note), ([198, 198], "the guest called"));
    let refused = driver.saga_command(id(7), abort());
    assert_eq!(refused, Err(SagaRejection::State("compensated")));
    driver.check();
}

#[test]
fn a_hold_that_expired_or_was_reversed_by_others_needs_no_undoing() {
    let mut definition = booking(7);
    definition.steps[0].action = Action::Hold { payment: payment(2, 3, 100), timeout_ns: HOUR_NS };
    let mut driver = driver(10);
    driver.start(definition).expect("new");
    driver.pass_until(NEW_YEAR_NS + 3 * HOUR_NS);
    assert_eq!(driver.saga(id(7)).state, SagaState::Compensated);
    assert_eq!(states(&driver)[0], StepState::Undone);
    driver.check();
}

#[test]
fn what_can_never_be_is_refused() {
    let mut driver = driver(10);
    let with = |action, undo| {
        let mut definition = booking(7);
        definition.steps[1] = step("other", action, undo);
        definition
    };
    let wait = Action::Wait { timeout_ns: 1 };
    let many = vec![step("wait", wait.clone(), Undo::Nothing); 33];
    let refused = [
        with(Action::Transfer(payment(2, 4, 0)), Undo::Nothing),
        with(Action::Transfer(payment(2, 2, 1)), Undo::Nothing),
        with(Action::Capture { hold: 1, amount: None, last: false }, Undo::Nothing),
        with(Action::Capture { hold: 2, amount: None, last: false }, Undo::Nothing),
        with(Action::Void { hold: 9 }, Undo::Nothing),
        with(Action::Wait { timeout_ns: 0 }, Undo::Nothing),
        with(wait, Undo::Transfer(payment(2, 4, 0))),
        SagaDefinition { steps: Vec::new(), ..booking(7) },
        SagaDefinition { steps: many, ..booking(7) },
        SagaDefinition {
            back_off: BackOff { attempts_max: 0, ..BackOff::default() },
            ..booking(7)
        },
    ];
    let before = driver.events.len();
    for definition in refused {
        assert!(driver.start(definition.clone()).is_err(), "{definition:?}");
    }
    assert_eq!(driver.events.len(), before);
    driver.start(booking(7)).expect("it can be");
    let other = SagaDefinition { label: "another".to_owned(), ..booking(7) };
    assert_eq!(driver.start(other), Err(SagaRejection::ExistsDifferent));
}

/// What the outside does in a run of the saga, whatever stops the engine meanwhile.
fn play(driver: &mut Driver, says: Option<bool>, until_ns: u64) {
    driver.drive();
    if let Some(done) = says {
        // It answers until it is heard; one that was lost is given again.
        drop(driver.saga_command(id(7), answer(2, done)));
        driver.drive();
    }
    driver.pass_until(until_ns);
}

#[test]
fn a_crash_behind_any_event_comes_to_the_same() {
    for points in [0, 10] {
        for says in [None, Some(true), Some(false)] {
            let mut whole = driver(points);
            whole.start(booking(7)).expect("new");
            let first = whole.events.len();
            let end_ns = NEW_YEAR_NS + 5 * HOUR_NS;
            play(&mut whole, says, end_ns);
            let expected = (whole.saga(id(7)).state, states(&whole), asked(&whole));
            for crash in first..=whole.events.len() {
                let mut driver = whole.restarted(crash, whole.events[crash - 1].time_ns);
                play(&mut driver, says, end_ns);
                let came_to = (driver.saga(id(7)).state, states(&driver), asked(&driver));
                assert_eq!(came_to, expected, "{points} {says:?}, a crash behind event {crash}");
                for account in 1..=5 {
                    assert_eq!(driver.balance(account), whole.balance(account));
                }
                driver.check();
            }
        }
    }
}

#[test]
fn a_stuck_saga_is_stuck_whatever_event_a_crash_comes_behind() {
    let mut whole = stuck();
    let first = whole.events.len();
    let end_ns = NEW_YEAR_NS + HOUR_NS;
    whole.pass_until(end_ns);
    assert_eq!(whole.saga(id(7)).state.name(), "stuck");
    for crash in first..=whole.events.len() {
        let mut driver = whole.restarted(crash, whole.events[crash - 1].time_ns);
        driver.pass_until(end_ns);
        assert_eq!(driver.saga(id(7)).state, whole.saga(id(7)).state);
        assert_eq!(asked(&driver), asked(&whole));
        driver.check();
    }
}

/// What may happen to a saga.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Answer(u8, bool),
    Abort,
    Resolve(Resolution),
    Deposit(u128),
    Payout(u128),
    Crash(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let resolution =
        prop_oneof![Just(Resolution::Retry), Just(Resolution::Skip), Just(Resolution::Close)];
    let event = prop_oneof![
        3 => (1_u64..20_000).prop_map(Event::Pass),
        2 => (0_u8..5, any::<bool>()).prop_map(|(step, done)| Event::Answer(step, done)),
        1 => Just(Event::Abort),
        2 => resolution.prop_map(Event::Resolve),
        2 => (1_u128..50).prop_map(Event::Deposit),
        2 => (1_u128..90).prop_map(Event::Payout),
        2 => (0_usize..4).prop_map(Event::Crash),
    ];
    prop::collection::vec(event, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300, 25), ..ProptestConfig::default() })]

    /// Whatever happens meanwhile: replay and snapshots come to the same, no step is asked for twice
    /// in one attempt, and a saga that says it is compensated left nothing on hold.
    #[test]
    fn sagas_come_to_an_end(points in 0_u128..12, events in events()) {
        let mut driver = driver(points);
        driver.start(booking(7)).expect("new");
        let first = driver.events.len();
        let mut ids = 1 << 70;
        for event in events {
            ids += 1;
            match event {
                Event::Pass(seconds) => driver.pass_until(driver.now_ns + seconds * SECOND_NS),
                // Refusals are part of the game.
                Event::Answer(step, done) => drop(driver.saga_command(id(7), answer(step, done))),
                Event::Abort => {
                    drop(driver.saga_command(id(7), SagaCommand::Abort { note: String::new() }));
                }
                Event::Resolve(how) => {
                    let resolve = SagaCommand::Resolve { how, note: String::new() };
                    drop(driver.saga_command(id(7), resolve));
                }
                Event::Deposit(amount) => driver.deposit(ids, 3, amount),
                Event::Payout(amount) => drop(driver.submit(&[transfer(ids, 3, OUTSIDE, amount)])),
                Event::Crash(lost) => {
                    let kept = driver.events.len().saturating_sub(lost).max(first);
                    driver = driver.restarted(kept, driver.now_ns);
                }
            }
            driver.drive();
        }
        driver.pass_until(driver.now_ns + DAY_NS);
        let mut asked = asked(&driver);
        let all = asked.len();
        asked.sort_unstable();
        asked.dedup();
        prop_assert_eq!(asked.len(), all, "each attempt is made once");
        let saga = driver.saga(id(7)).clone();
        let over = ["completed", "compensated", "resolved", "stuck"];
        prop_assert!(over.contains(&saga.state.name()), "{:?}", saga.state);
        if saga.state == SagaState::Compensated {
            let [posted, available] = driver.balance(2);
            prop_assert_eq!(posted, available);
        }
        driver.check();
    }
}
