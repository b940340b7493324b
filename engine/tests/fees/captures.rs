//! Fees of captures and of refunds: by whose kind, of how much, paid by whom.

use super::{ALICE, Bank, HOUSE, SHOP, account, payments, replay, schedule, taken};
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeNote, FeeRule, Schedule};
use ducat_engine::ids::TransferId;
use ducat_engine::record::Record;
use ducat_engine::refunds::{Did, Original};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::testing::workload::GBP;
use ducat_engine::transfer::{Outcome, TransferKind};

fn id(number: u128) -> TransferId {
    TransferId::new(number).expect("not zero")
}

fn hold(number: u128, amount: u128, kind: TransferKind) -> Request {
    HoldRequest {
        id: id(number),
        debit: account(ALICE),
        credit: account(SHOP),
        amount,
        currency: None,
        kind,
        linked: false,
        timeout_ns: 0,
        over_capture_max: 10,
    }
    .into()
}

fn capture(number: u128, hold: u128, amount: Option<u128>, last: bool) -> Request {
    CaptureRequest { id: id(number), hold: id(hold), amount, currency: None, linked: false, last }
        .into()
}

fn linked(mut request: Request) -> Request {
    request.set_linked(true);
    request
}

/// A refund of what the shop was paid by this transfer.
fn refund(number: u128, of: u128, bank: &Bank, amount: Option<u128>) -> Request {
    let found = bank.events.iter().find(|event| event.record.transfer_id() == Some(id(of)));
    let found = found.expect("it was decided");
    let Record::Posted(posted) = found.record.plain() else { panic!("{:?}", found.record) };
    let did = Did::Moved { debit: posted.debit, credit: posted.credit, amount: posted.amount };
    let original = Some(Original { lsn: found.lsn, id: Some(id(of)), did });
    RefundRequest { original, ..RefundRequest::plain(id(number), id(of), amount) }.into()
}

fn fees(answers: &[(Outcome, Option<FeeNote>)]) -> Vec<Option<FeeNote>> {
    answers.iter().map(|(_, fee)| *fee).collect()
}

fn replays(bank: &Bank) {
    for partitions in [1, 4] {
        let replayed = replay(partitions, &bank.events).expect("what ran live replays");
        assert_eq!(replayed.summary(), bank.ledger.summary());
    }
}

#[test]
fn each_capture_pays_by_what_it_captures_and_a_hold_pays_nothing() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        assert_eq!(fees(&bank.ask(&[hold(10, 50, TransferKind::Payment)])), [None]);
        let first = bank.ask(&[capture(11, 10, Some(20), false)]);
        assert_eq!(fees(&first), [taken(3)], "1 and a tenth of 20");
        assert_eq!(bank.balances(), [77, 20, 3]);
        let last = bank.ask(&[capture(12, 10, None, true)]);
        assert_eq!(fees(&last), [taken(4)], "1 and a tenth of 30");
        assert_eq!(bank.balances(), [43, 50, 7]);
        let again = bank.ask(&[capture(11, 10, Some(20), false)]);
        assert_eq!(again[0], (Outcome { repeat: true, ..first[0].0 }, taken(3)));
        let legs = bank.events.iter().filter_map(|event| match &event.record {
            Record::FeeLeg(leg) => Some((leg.of, leg.amount)),
            _ => None,
        });
        assert_eq!(legs.collect::<Vec<_>>(), [(id(11), 3), (id(12), 4)]);
        // One whose kind is free costs nothing, nor does a void.
        bank.ask(&[hold(20, 5, TransferKind::Transfer)]);
        assert_eq!(fees(&bank.ask(&[capture(21, 20, Some(2), false)])), [None]);
        let void = VoidRequest { id: id(22), hold: id(20), linked: false };
        assert_eq!(fees(&bank.ask(&[Request::from(void)])), [None]);
        replays(&bank);
    }
}

#[test]
fn a_capture_in_its_holds_own_group_pays_by_that_holds_kind() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let group = [
            linked(hold(10, 50, TransferKind::Payment)),
            linked(capture(11, 10, Some(20), false)),
            capture(12, 10, None, false),
        ];
        assert_eq!(fees(&bank.ask(&group)), [None, taken(3), taken(4)]);
        assert_eq!(bank.balances(), [43, 50, 7]);
        assert_eq!(fees(&bank.ask(&group)), [None, taken(3), taken(4)]);
        assert_eq!(bank.balances(), [43, 50, 7]);
        replays(&bank);
    }
}

/// The fee is not part of what was set aside: all of it happens or nothing.
#[test]
fn a_capture_that_cannot_pay_its_fee_does_not_happen() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        bank.ask(&[hold(10, 95, TransferKind::Payment)]);
        let (outcome, fee) = bank.ask(&[capture(11, 10, None, true)])[0];
        let refused = Some(Rejection::InsufficientFunds);
        assert_eq!(outcome.rejection, Some(Rejection::FeeRefused));
        assert_eq!(fee, Some(FeeNote { schedule: 0, amount: 11, refused }));
        assert_eq!(bank.balances(), [100, 0, 0]);
        assert_eq!(bank.ledger.coordinator.holds().get(id(10)).map(|h| h.remaining), Some(95));
        let said = bank.events.iter().rev().find_map(|event| event.record.noted_kind());
        assert_eq!(said, Some(TransferKind::Payment), "a refused capture says what it was for");
        let (again, told) = bank.ask(&[capture(11, 10, None, true)])[0];
        assert_eq!((again, told), (Outcome { repeat: true, ..outcome }, fee));
        // What of it can pay does.
        assert_eq!(fees(&bank.ask(&[capture(12, 10, Some(80), true)])), [taken(9)]);
        assert_eq!(bank.balances(), [11, 80, 9]);
        replays(&bank);
    }
}

#[test]
fn who_pays_a_capture_may_have_a_schedule_of_its_own() {
    let mut bank = Bank::new(2);
    bank.define(Schedule { rule: FeeRule::default(), ..schedule("free") });
    bank.attach(FeeTarget::Account(account(ALICE)), Some("free"));
    bank.ask(&[hold(10, 50, TransferKind::Payment)]);
    assert_eq!(fees(&bank.ask(&[capture(11, 10, Some(20), false)])), [None]);
    bank.attach(FeeTarget::Account(account(ALICE)), None);
    assert_eq!(fees(&bank.ask(&[capture(12, 10, Some(20), false)])), [taken(3)]);
    // A hold that says nothing is of the kind that its accounts tell.
    bank.attach(payments(), None);
    bank.attach(FeeTarget::Kind(TransferKind::Transfer, GBP), Some("card"));
    bank.ask(&[hold(20, 20, TransferKind::Transfer)]);
    assert_eq!(fees(&bank.ask(&[capture(21, 20, None, false)])), [taken(3)]);
    replays(&bank);
}

/// A refund costs what is attached to the kind `refund`, paid by who gives back; the fee of the
/// original stays where it was paid.
#[test]
fn a_refund_has_the_fee_of_its_own_kind_and_no_other() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        bank.ask(&[super::transfer(10, ALICE, SHOP, 50)]);
        assert_eq!(bank.balances(), [44, 50, 6]);
        bank.attach(FeeTarget::Account(account(SHOP)), Some("card"));
        let free = refund(11, 10, &bank, Some(10));
        assert_eq!(fees(&bank.ask(&[free])), [None], "what the shop pays for is not this");
        assert_eq!(bank.balances(), [54, 40, 6]);
        bank.attach(FeeTarget::Kind(TransferKind::Refund, GBP), Some("card"));
        let paid = refund(12, 10, &bank, Some(20));
        assert_eq!(fees(&bank.ask(std::slice::from_ref(&paid))), [taken(3)]);
        assert_eq!(bank.balances(), [74, 17, 9]);
        assert_eq!(fees(&bank.ask(&[paid])), [taken(3)], "told again");
        // All that remains cannot be given back once its fee is due too.
        bank.ask(&[super::transfer(13, ALICE, SHOP, 3)]);
        assert_eq!(bank.balances(), [70, 20, 10]);
        let rest = refund(14, 10, &bank, None);
        let (outcome, fee) = bank.ask(&[rest])[0];
        assert_eq!(outcome.rejection, Some(Rejection::FeeRefused));
        assert_eq!(fee.and_then(|fee| fee.refused), Some(Rejection::InsufficientFunds));
        assert_eq!(bank.balances(), [70, 20, 10]);
        let part = refund(15, 10, &bank, Some(10));
        assert_eq!(fees(&bank.ask(&[part])), [taken(2)]);
        assert_eq!(bank.posted(HOUSE), 12);
        replays(&bank);
    }
}
