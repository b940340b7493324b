//! Holds, by the mistakes that other ledgers are known for, each by its name.

use ducat_engine::holds::{Closed, HoldAfter};
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{AMOUNT_MAX, CurrencyId};
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{
    CaptureRequest, ExtendRequest, HoldRequest, NEVER_NS, Request, VoidRequest,
};
use ducat_engine::testing::book::{Event, filled_in_full};
use ducat_engine::transfer::{
    AccountRejection, AccountSpec, AccountStatus, BalanceAfter, Outcome, TransferKind,
    TransferRequest,
};

const GBP: CurrencyId = CurrencyId(826);
const OUTSIDE: u128 = 1;
const ALICE: u128 = 2;
const SHOP: u128 = 3;

/// A ledger of three accounts on some partitions, of which Alice has 100, and its journal.
struct Bank {
    ledger: Ledger,
    events: Vec<Event>,
    now_ns: u64,
    remember_ns: u64,
    ids: u128,
}

impl Bank {
    fn new(partitions: usize) -> Self {
        Self::remembering(partitions, u64::MAX)
    }

    fn remembering(partitions: usize, remember_ns: u64) -> Self {
        let ledger = Ledger::new(partitions, 5, remember_ns).expect("a power of two");
        let mut bank =
            Self { ledger, events: Vec::new(), now_ns: 1_000, remember_ns, ids: 1 << 64 };
        for number in [OUTSIDE, ALICE, SHOP] {
            let (id, external) = (account(number), number == OUTSIDE);
            let spec = AccountSpec { id, currency: GBP, overdraft_limit: 0, external };
            let (lsn, record) = bank.ledger.open_account(&spec).expect("new");
            bank.events.push(Event { lsn, time_ns: 0, record });
        }
        let deposit = TransferRequest {
            kind: TransferKind::Deposit,
            ..transfer(1 << 63, OUTSIDE, ALICE, 100)
        };
        assert_eq!(bank.ask(&[deposit.into()])[0].0.rejection, None);
        bank
    }

    fn ask(&mut self, requests: &[Request]) -> Vec<(Outcome, Option<HoldAfter>)> {
        let done = self.ledger.execute(self.now_ns, &[requests]).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter();
        self.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
        let answer = done.answers.into_iter().next().expect("one submission");
        self.ledger.check_holds().expect("accounts and holds agree");
        let full = filled_in_full(answer, &self.events);
        full.into_iter().map(|(outcome, hold, ..)| (outcome, hold)).collect()
    }

    /// What becomes of one request.
    fn one(&mut self, request: impl Into<Request>) -> Result<HoldAfter, Rejection> {
        let (outcome, hold) = self.ask(&[request.into()])[0];
        match outcome.rejection {
            None => Ok(hold.expect("an operation on a hold")),
            Some(rejection) => Err(rejection),
        }
    }

    fn next_id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    fn capture(&mut self, hold: u128, amount: Option<u128>) -> Result<HoldAfter, Rejection> {
        let id = self.next_id();
        self.one(capture(id, hold, amount))
    }

    fn void(&mut self, hold: u128) -> Result<HoldAfter, Rejection> {
        let id = self.next_id();
        self.one(void(id, hold))
    }

    fn extend(&mut self, hold: u128, timeout_ns: u64) -> Result<HoldAfter, Rejection> {
        let (id, hold, linked) = (id(self.next_id()), id(hold), false);
        self.one(ExtendRequest { id, hold, timeout_ns, linked })
    }

    /// Posted and available of an account.
    fn figures(&self, number: u128) -> (i128, i128) {
        let slot = self.ledger.coordinator.directory().get(account(number)).expect("listed").slot;
        let view = self.ledger.view(slot).expect("hosted");
        (view.posted, view.available)
    }

    fn set_status(&mut self, number: u128, status: AccountStatus) -> Result<(), AccountRejection> {
        let slot = self.ledger.coordinator.directory().get(account(number)).expect("listed").slot;
        let (lsn, record) = self.ledger.set_status(slot, status, "")?;
        self.events.push(Event { lsn, time_ns: self.now_ns, record });
        Ok(())
    }

    /// The same ledger, built again from its journal on so many partitions.
    fn restarted(&self, partitions: usize) -> Self {
        let mut ledger = Ledger::new(partitions, 9, self.remember_ns).expect("a power of two");
        for event in &self.events {
            let applied = ledger.apply(event.lsn, event.time_ns, &event.record);
            applied.expect("what ran live replays");
        }
        assert_eq!(ledger.summary(), self.ledger.summary());
        let Self { events, now_ns, remember_ns, ids, .. } = self;
        let (events, now_ns, remember_ns, ids) = (events.clone(), *now_ns, *remember_ns, *ids);
        Self { ledger, events, now_ns, remember_ns, ids }
    }
}

fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not zero")
}

fn id(number: u128) -> TransferId {
    TransferId::new(number).expect("not zero")
}

fn transfer(number: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    TransferRequest {
        id: id(number),
        debit: account(debit),
        credit: account(credit),
        amount,
        currency: None,
        kind: TransferKind::Transfer,
        linked: false,
    }
}

/// From Alice to the shop, for ever.
fn hold(number: u128, amount: u128) -> HoldRequest {
    HoldRequest {
        id: id(number),
        debit: account(ALICE),
        credit: account(SHOP),
        amount,
        currency: None,
        kind: TransferKind::Transfer,
        timeout_ns: 0,
        over_capture_max: 0,
        linked: false,
    }
}

fn capture(number: u128, hold: u128, amount: Option<u128>) -> CaptureRequest {
    let (id, hold) = (id(number), id(hold));
    CaptureRequest { id, hold, amount, currency: None, last: false, linked: false }
}

fn void(number: u128, hold: u128) -> VoidRequest {
    VoidRequest { id: id(number), hold: id(hold), linked: false }
}

fn linked(requests: impl IntoIterator<Item = Request>) -> Vec<Request> {
    let mut group: Vec<Request> = requests.into_iter().collect();
    group.iter_mut().for_each(|request| request.set_linked(true));
    group.last_mut().expect("members").set_linked(false);
    group
}

#[test]
fn a_hold_captured_above_its_amount() {
    for partitions in [1, 4] {
        let mut bank = Bank::new(partitions);
        bank.one(hold(10, 40)).expect("placed");
        assert_eq!(bank.capture(10, Some(41)), Err(Rejection::HoldExceeded));
        assert_eq!(bank.capture(10, Some(30)).expect("a part").remaining, 10);
        assert_eq!(bank.capture(10, Some(11)), Err(Rejection::HoldExceeded));
        let done = bank.capture(10, None).expect("the rest");
        assert_eq!((done.captured, done.closed), (10, Some(Closed::Captured)));
        assert_eq!(bank.capture(10, Some(1)), Err(Rejection::HoldCaptured));
        assert_eq!(bank.figures(SHOP), (40, 40));
        // By an explicit tolerance only, over all captures together, and of what is there.
        bank.one(HoldRequest { over_capture_max: 5, ..hold(11, 50) }).expect("placed");
        assert_eq!(bank.capture(11, Some(56)), Err(Rejection::HoldExceeded));
        bank.capture(11, Some(20)).expect("a part");
        assert_eq!(bank.capture(11, Some(36)), Err(Rejection::HoldExceeded));
        assert_eq!(bank.figures(ALICE), (40, 10));
        let done = bank.capture(11, Some(35)).expect("the rest and five more");
        assert_eq!((done.captured, done.released, done.remaining), (35, 30, 0));
        assert_eq!(bank.figures(ALICE), (5, 5));
        bank.one(HoldRequest { over_capture_max: 5, ..hold(12, 5) }).expect("placed");
        assert_eq!(bank.capture(12, Some(6)), Err(Rejection::InsufficientFunds));
        assert_eq!(bank.capture(12, None).expect("what is set aside").captured, 5);
        bank.restarted(2);
    }
}

#[test]
fn a_voided_hold_revived() {
    let mut bank = Bank::new(2);
    bank.one(hold(10, 40)).expect("placed");
    bank.capture(10, Some(15)).expect("a part");
    let done = bank.void(10).expect("open");
    assert_eq!((done.released, done.closed), (25, Some(Closed::Voided)));
    for bank in [&mut bank.restarted(4), &mut bank] {
        assert_eq!(bank.capture(10, None), Err(Rejection::HoldVoided));
        assert_eq!(bank.capture(10, Some(1)), Err(Rejection::HoldVoided));
        assert_eq!(bank.extend(10, 0), Err(Rejection::HoldVoided));
        assert_eq!(bank.void(10), Err(Rejection::HoldVoided));
        // Nor by asking for it again: that is answered as the first time.
        let again = bank.ask(&[hold(10, 40).into()])[0];
        assert_eq!((again.0.repeat, again.0.rejection), (true, None));
        assert_eq!(bank.void(10), Err(Rejection::HoldVoided));
        assert_eq!(bank.figures(ALICE), (85, 85));
    }
}

#[test]
fn a_bulk_of_holds_captured_in_one_linked_group() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let places = (0..100).map(|n| hold(1_000 + n, 1).into());
        let placed = bank.ask(&linked(places));
        assert!(placed.iter().all(|(outcome, _)| outcome.rejection.is_none()));
        assert_eq!(bank.figures(ALICE), (100, 0));
        let captures = (0..100).map(|n| capture(2_000 + n, 1_000 + n, None).into());
        let done = bank.ask(&linked(captures));
        assert!(done.iter().all(|(outcome, _)| outcome.rejection.is_none()), "it commits");
        assert_eq!((bank.figures(ALICE), bank.figures(SHOP)), ((0, 0), (100, 100)));
        assert!(bank.ledger.coordinator.holds().is_empty());
        // One of them that cannot be keeps all of them from happening.
        bank.ask(&[transfer(3, SHOP, ALICE, 50).into()]);
        bank.one(hold(20, 10)).expect("placed");
        bank.one(hold(21, 10)).expect("placed");
        let group = linked([
            capture(22, 20, None).into(),
            void(23, 21).into(),
            capture(24, 21, Some(1)).into(),
        ]);
        let refused: Vec<_> = bank.ask(&group).iter().map(|(o, _)| o.rejection).collect();
        let failed = Some(Rejection::LinkedFailed);
        assert_eq!(refused, [failed, failed, Some(Rejection::HoldVoided)]);
        assert_eq!(bank.figures(ALICE), (50, 30));
        assert_eq!(bank.capture(21, None).expect("it is as it was").captured, 10);
        bank.restarted(2);
    }
}

#[test]
fn holds_ignored_in_available_funds() {
    for partitions in [1, 2, 4] {
        let mut bank = Bank::new(partitions);
        let (outcome, _) = bank.ask(&[hold(10, 70).into()])[0];
        assert_eq!(outcome.debit, Some(BalanceAfter { posted: 100, available: 30 }));
        // In the same submission, whichever comes first.
        let outcomes = bank.ask(&[
            transfer(11, ALICE, SHOP, 31).into(),
            hold(12, 31).into(),
            hold(13, 30).into(),
            transfer(14, ALICE, SHOP, 1).into(),
            void(15, 10).into(),
            transfer(16, ALICE, SHOP, 70).into(),
            transfer(17, ALICE, SHOP, 1).into(),
        ]);
        let short = Some(Rejection::InsufficientFunds);
        let rejections: Vec<_> = outcomes.iter().map(|(o, _)| o.rejection).collect();
        assert_eq!(rejections, [short, short, None, short, None, None, short]);
        assert_eq!(bank.figures(ALICE), (30, 0));
        assert_eq!(bank.set_status(SHOP, AccountStatus::Closed), Err(AccountRejection::NotEmpty));
        bank.restarted(2);
    }
}

#[test]
fn an_account_with_holds_is_not_closed_and_a_frozen_one_gives_back() {
    let mut bank = Bank::new(2);
    bank.one(hold(10, 100)).expect("placed");
    bank.one(HoldRequest {
        debit: account(OUTSIDE),
        credit: account(ALICE),
        kind: TransferKind::Deposit,
        ..hold(11, 5)
    })
    .expect("the outside holds as well");
    assert_eq!(bank.figures(OUTSIDE), (-100, -105));
    assert_eq!(bank.set_status(OUTSIDE, AccountStatus::Closed), Err(AccountRejection::NotEmpty));
    bank.set_status(ALICE, AccountStatus::Frozen).expect("allowed");
    assert_eq!(bank.capture(10, None), Err(Rejection::DebitAccountFrozen));
    assert_eq!(bank.capture(11, None), Err(Rejection::CreditAccountFrozen));
    assert_eq!(bank.one(hold(12, 1)), Err(Rejection::DebitAccountFrozen));
    assert_eq!(bank.extend(10, 0), Err(Rejection::HoldExtensionTooShort));
    assert_eq!(bank.void(10).expect("it only gives back").released, 100);
    bank.void(11).expect("it only gives back");
    bank.restarted(4);
}

#[test]
fn the_same_id_twice_in_one_batch() {
    for partitions in [1, 4] {
        let mut bank = Bank::new(partitions);
        let outcomes = bank.ask(&[
            hold(10, 40).into(),
            hold(10, 40).into(),
            hold(10, 41).into(),
            transfer(10, ALICE, SHOP, 40).into(),
            capture(11, 10, Some(5)).into(),
            capture(11, 10, Some(5)).into(),
            capture(11, 10, None).into(),
            void(11, 10).into(),
            void(12, 10).into(),
            void(12, 10).into(),
        ]);
        let reused = Some(Rejection::IdReused);
        let rejections: Vec<_> = outcomes.iter().map(|(o, _)| o.rejection).collect();
        let expected = [None, None, reused, reused, None, None, reused, reused, None, None];
        assert_eq!(rejections, expected);
        let repeats: Vec<_> = outcomes.iter().map(|(outcome, _)| outcome.repeat).collect();
        assert_eq!(repeats, [false, true, true, true, false, true, true, true, false, true]);
        // A repeat says of the hold what the first answer said.
        for (first, again) in [(0, 1), (4, 5), (8, 9)] {
            assert_eq!(outcomes[first].1, outcomes[again].1);
        }
        assert_eq!(bank.figures(ALICE), (95, 95));
        bank.restarted(2);
    }
}

#[test]
fn an_expired_hold_captured_at_the_very_nanosecond() {
    for partitions in [1, 4] {
        let mut bank = Bank::new(partitions);
        let placed = bank.one(HoldRequest { timeout_ns: 50, ..hold(10, 40) }).expect("placed");
        assert_eq!(placed.expires_ns, Some(1_050));
        bank.one(HoldRequest { timeout_ns: 50, ..hold(9, 20) }).expect("placed");
        bank.now_ns = 1_049;
        bank.capture(10, Some(1)).expect("its last nanosecond");
        bank.now_ns = 1_050;
        assert_eq!(bank.capture(10, Some(1)), Err(Rejection::HoldExpired));
        // Both expired in front of it, by expiry and then by id, and gave back what remained.
        let expired = &bank.events[bank.events.len() - 3..];
        let ended = |event: &Event| match &event.record {
            Record::Expired(expired) => Some((expired.hold, expired.released)),
            _ => None,
        };
        let ended: Vec<_> = expired.iter().map(ended).collect();
        assert_eq!(ended, [Some((id(9), 20)), Some((id(10), 39)), None]);
        assert_eq!(bank.figures(ALICE), (99, 99));
        for mut bank in [bank.restarted(2), bank] {
            assert_eq!(bank.void(10), Err(Rejection::HoldExpired));
            assert_eq!(bank.extend(10, 1_000), Err(Rejection::HoldExpired));
        }
    }
}

#[test]
fn expiries_come_without_requests_and_many_of_them_in_batches_of_their_own() {
    let mut bank = Bank::new(2);
    let many = 9_000;
    let places = (0..many).map(|n| {
        HoldRequest {
            debit: account(OUTSIDE),
            credit: account(ALICE),
            kind: TransferKind::Deposit,
            timeout_ns: 7,
            ..hold(10_000 + n, 1)
        }
        .into()
    });
    bank.ask(&places.collect::<Vec<Request>>());
    assert_eq!(bank.ledger.coordinator.holds().next_expiry_ns(), Some(1_007));
    bank.now_ns = 1_007;
    let before = bank.events.len();
    let (outcome, _) = bank.ask(&[transfer(5, ALICE, SHOP, 1).into()])[0];
    assert_eq!(outcome.rejection, None);
    assert_eq!(bank.events.len() - before, 9_001);
    assert_eq!(outcome.lsn, Lsn(before as u64 + 9_001), "it waited for all of them");
    bank.one(HoldRequest { timeout_ns: 1, ..hold(10, 40) }).expect("placed");
    bank.now_ns += 1;
    let done = bank.ledger.execute::<Request>(bank.now_ns, &[]).expect("possible");
    assert!(matches!(done.records[..], [(_, Record::Expired(_))]));
    assert_eq!(bank.figures(ALICE), (99, 99));
    assert_eq!(bank.ledger.coordinator.holds().next_expiry_ns(), None);
}

#[test]
fn an_extension_counts_from_its_own_decision_and_must_be_later() {
    let mut bank = Bank::new(2);
    bank.one(HoldRequest { timeout_ns: 50, ..hold(10, 40) }).expect("placed");
    bank.now_ns = 1_020;
    assert_eq!(bank.extend(10, 30), Err(Rejection::HoldExtensionTooShort));
    let after = bank.extend(10, 31).expect("one later");
    assert_eq!((after.expires_ns, after.remaining), (Some(1_051), 40));
    bank.now_ns = 1_050;
    assert_eq!(bank.extend(10, 0).expect("for ever").expires_ns, Some(NEVER_NS));
    assert_eq!(bank.extend(10, u64::MAX), Err(Rejection::HoldExtensionTooShort));
    bank.now_ns = u64::MAX;
    bank.capture(10, None).expect("it never expires");
    bank.restarted(1);
}

#[test]
fn a_hold_lives_longer_than_its_id_is_remembered_and_a_closed_one_as_long() {
    let mut bank = Bank::remembering(2, 24);
    bank.one(hold(10, 40)).expect("placed");
    bank.one(hold(11, 10)).expect("placed");
    bank.void(11).expect("open");
    assert_eq!(bank.void(11), Err(Rejection::HoldVoided));
    // Every nanosecond counts a 24th at most: two generations of ids pass.
    for _ in 0..49 {
        bank.now_ns += 1;
        let id = bank.next_id();
        bank.ask(&[transfer(id, ALICE, SHOP, AMOUNT_MAX).into()]);
    }
    for mut bank in [bank.restarted(4), bank] {
        assert_eq!(bank.void(11), Err(Rejection::HoldUnknown));
        assert_eq!(bank.one(hold(10, 40)), Err(Rejection::HoldExists));
        assert_eq!(bank.capture(10, Some(15)).expect("it is open").remaining, 25);
        assert_eq!(bank.void(10).expect("it is open").released, 25);
        // The place that was refused under its id is what the id stands for now.
        assert_eq!(bank.void(10), Err(Rejection::HoldUnknown));
        bank.one(hold(11, 5)).expect("the id is free again");
        bank.restarted(1);
    }
}

#[test]
fn what_no_hold_has_is_unknown() {
    let mut bank = Bank::new(2);
    assert_eq!(bank.capture(77, None), Err(Rejection::HoldUnknown));
    let refused = bank.ask(&[hold(10, 101).into()])[0];
    assert_eq!(refused.0.rejection, Some(Rejection::InsufficientFunds));
    assert_eq!(refused.0.credit, Some(BalanceAfter::default()));
    assert_eq!(bank.capture(10, None), Err(Rejection::HoldUnknown));
    // A transfer is no hold.
    assert_eq!(bank.void(1 << 63), Err(Rejection::HoldUnknown));
    assert_eq!(bank.capture(77, Some(0)), Err(Rejection::AmountZero));
    assert_eq!(bank.capture(77, Some(AMOUNT_MAX + 1)), Err(Rejection::AmountTooLarge));
    let tolerant = HoldRequest { over_capture_max: AMOUNT_MAX + 1, ..hold(12, 1) };
    assert_eq!(bank.one(tolerant), Err(Rejection::AmountTooLarge));
    assert_eq!(
        bank.one(HoldRequest { credit: account(ALICE), ..hold(13, 1) }),
        Err(Rejection::SameAccount)
    );
    bank.restarted(4);
}

#[test]
fn a_group_sees_its_own_holds() {
    for partitions in [1, 4] {
        let mut bank = Bank::new(partitions);
        let group = linked([
            hold(10, 100).into(),
            capture(11, 10, Some(60)).into(),
            transfer(12, SHOP, ALICE, 60).into(),
            hold(13, 60).into(),
            CaptureRequest { last: true, ..capture(14, 10, Some(10)) }.into(),
        ]);
        let done = bank.ask(&group);
        let rejections: Vec<_> = done.iter().map(|(outcome, _)| outcome.rejection).collect();
        assert_eq!(rejections, [None; 5]);
        let last = done[4].1.expect("of a hold");
        assert_eq!((last.captured, last.released, last.remaining), (10, 40, 0));
        assert_eq!(bank.figures(ALICE), (90, 30));
        bank.restarted(2);
    }
}
