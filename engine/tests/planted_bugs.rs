//! Bugs on purpose: the tests that hold the ledger against the model must find each of them,
//! and soon. A [`Fault`] is planted between the machines, not in the product.

mod harness;

use harness::scenario::{Case, play};
use harness::seeds::case;
use harness::shell::Fault;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many seeds a bug may survive.
const SEEDS_MAX: u64 = 100;

/// How many seeds it takes until the fault is seen, and how it shows.
fn seeds_until_found(fault: Fault) -> Option<(u64, String)> {
    (0..SEEDS_MAX).find_map(|seed| {
        let case = Case { fault, ..case(seed) };
        match catch_unwind(AssertUnwindSafe(|| play(&case))) {
            Ok(Ok(_)) => None,
            Ok(Err(why)) => Some((seed + 1, why)),
            Err(_) => Some((seed + 1, "an assertion of the engine".to_owned())),
        }
    })
}

fn must_be_found(fault: Fault) {
    let found = seeds_until_found(fault);
    let (seeds, how) = found.unwrap_or_else(|| panic!("{fault:?} survives {SEEDS_MAX} seeds"));
    println!("{fault:?} found by seed {seeds} of {SEEDS_MAX}: {how}");
}

#[test]
fn without_a_fault_the_same_seeds_pass() {
    assert_eq!(seeds_until_found(Fault::None), None);
}

#[test]
fn skipping_the_dedupe_is_found() {
    must_be_found(Fault::SkipDedupe);
}

#[test]
fn forgetting_ids_at_a_restart_is_found() {
    must_be_found(Fault::ForgetIdsAtRestart);
}

#[test]
fn applying_before_the_votes_is_found() {
    must_be_found(Fault::ApplyBeforeVotes);
}

#[test]
fn taking_a_waiting_vote_for_a_yes_is_found() {
    must_be_found(Fault::WaitIsYes);
}

#[test]
fn taking_a_waiting_vote_for_a_no_is_found() {
    must_be_found(Fault::WaitIsNo);
}

#[test]
fn dropping_a_credit_is_found() {
    must_be_found(Fault::DropCredit);
}

#[test]
fn answering_before_it_is_durable_is_found() {
    must_be_found(Fault::AnswerBeforeDurable);
}
