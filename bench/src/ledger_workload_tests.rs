//! Short runs of the workloads `refunds`, `terms` and `fees`, over gRPC in every form and in this
//! process with every balance, the journal and its figures checked.

use crate::real_server_tests::{all_held, in_process, over_grpc};
use crate::report::Report;
use std::collections::BTreeSet;

/// One request at a time, so that all is answered before anything follows from it.
const SHORT: &str = "--accounts 100 --warmup 0 --in-flight 1";

/// Runs it in every way and gives the one in this process, which was checked most; long enough for
/// all of these refusals.
fn every_way(line: &str, refusals: &[&str]) -> Report {
    for mode in
        ["--batch 50", "--batch 50 --codec full", "--batch 50 --mode stream", "--mode unary"]
    {
        let report = over_grpc(&format!("{SHORT} --duration 0.5 {line} {mode}"));
        all_held(&report);
        assert_eq!((report.results.errors_sum(), report.results.ok > 0), (0, true), "{mode}");
    }
    let long_enough = [1, 4, 16, 64].iter().find_map(|seconds| {
        let report = in_process(&format!("{SHORT} --duration {seconds} {line} --batch 50"));
        all_held(&report);
        assert_eq!(report.results.errors_sum(), 0);
        refusals.iter().all(|reason| report.results.refused.contains_key(*reason)).then_some(report)
    });
    let report = long_enough.unwrap_or_else(|| panic!("not all of {refusals:?} come about"));
    for check in ["every balance is", "every answer is", "every figure is what second"] {
        assert!(report.checks.iter().any(|c| c.name.starts_with(check)), "{:?}", report.checks);
    }
    report
}

fn refused(report: &Report) -> BTreeSet<&str> {
    report.results.refused.keys().map(String::as_str).collect()
}

#[test]
fn refunds_give_back_in_parts_and_what_exceeds_the_rest_is_refused() {
    let refusals = ["ORIGINAL_REFUNDED", "REFUND_EXCEEDED"];
    let report = every_way("--workload refunds --refund-share 0.3", &refusals);
    assert_eq!(report.setup.refund_share, Some(0.3));
    // An original is answered before it is given back, so nothing else is refused.
    assert_eq!(refused(&report), BTreeSet::from(refusals));
}

#[test]
fn terms_move_what_is_there_and_refuse_what_is_not() {
    let refusals = [
        "INSUFFICIENT_FUNDS",
        "DEBIT_ACCOUNT_CONDITION",
        "CREDIT_ACCOUNT_CONDITION",
        "SOURCES_FALL_SHORT",
        "LINKED_FAILED",
    ];
    let line = "--workload terms --terms-share 0.6 --amount-max 4000";
    assert_eq!(every_way(line, &refusals).setup.terms_share, Some(0.6));
}

#[test]
fn fees_are_taken_by_kind_and_what_was_told_is_on_the_account_that_gets_them() {
    let report = every_way("--workload fees", &[]);
    assert!(refused(&report).is_empty(), "{:?}", report.results);
    let fees = report.checks.iter().find(|c| c.name == "the fees told are those taken");
    assert!(fees.is_some_and(|c| !c.detail.starts_with("0 told")), "{:?}", report.checks);
}
