//! Balances and sums by value date against what was asked for and done, added up by hand: transfers,
//! captures, refunds and fees on days in any order, as known at any moment.

use crate::support::{BANK, GBP, account, capture, hold, journal, open, refund, start, transfer};
use ducat_actors::handle::{Handle, RequestError};
use ducat_actors::history::{Moment, TrialRow};
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeRule, Schedule};
use ducat_engine::ids::Lsn;
use ducat_engine::note::{Day, Note, Noted};
use ducat_engine::request::Request;
use ducat_engine::testing::rng::Rng;
use ducat_engine::transfer::{TransferKind, TransferRequest};

/// Accounts, of which the last gets the fees.
const ACCOUNTS: u128 = 5;

/// Money that moved.
struct Moved {
    lsn: Lsn,
    day: Day,
    debit: u128,
    credit: u128,
    amount: i128,
}

/// A ledger's history as whoever asked for it knows it.
struct Asked {
    rng: Rng,
    moved: Vec<Moved>,
    /// Open holds and the transfers so far, by their ids and accounts.
    holds: Vec<(u128, u128, u128)>,
    transfers: Vec<(u128, u128, u128)>,
}

/// So many days after the one of the last decision, which is about today.
fn days_from(today: Day) -> Vec<Day> {
    let around = [-400, -30, -1, 0, 1, 2, 365].map(|days| Day::new(today.days() + days));
    around.into_iter().flatten().collect()
}

impl Asked {
    fn pair(&mut self) -> (u128, u128) {
        let debit = 1 + self.rng.below(4) as u128;
        let credit = 1 + (debit + self.rng.below(3) as u128) % 4;
        (debit, credit)
    }

    /// The next request, and which accounts it debits and credits.
    fn next(&mut self, id: u128) -> (Request, u128, u128) {
        let amount = 1 + self.rng.below(60) as u128;
        let (debit, credit) = self.pair();
        match self.rng.below(8) {
            0 => {
                self.holds.push((id, debit, credit));
                (hold(id, debit, credit, amount).into(), debit, credit)
            }
            1 if !self.holds.is_empty() => {
                let at = self.rng.below(self.holds.len());
                let (of, debit, credit) = self.holds[at];
                let amount = (!self.rng.once_in(3)).then_some(1 + amount / 3);
                (capture(id, of, amount).into(), debit, credit)
            }
            2 if !self.transfers.is_empty() => {
                let at = self.rng.below(self.transfers.len());
                let (of, debit, credit) = self.transfers[at];
                let amount = (!self.rng.once_in(4)).then_some(1 + amount / 5);
                (refund(id, of, amount).into(), credit, debit)
            }
            _ => {
                self.transfers.push((id, debit, credit));
                let plain = transfer(id, debit, credit, amount);
                let pays = plain.kind == TransferKind::Transfer && self.rng.once_in(3);
                let kind = if pays { TransferKind::Payment } else { plain.kind };
                (TransferRequest { kind, ..plain }.into(), debit, credit)
            }
        }
    }

    /// Has one request decided, on some day, and notes what it moved.
    async fn one(&mut self, handle: &Handle, id: u128, days: &[Day]) {
        let (request, debit, credit) = self.next(id);
        let said = (!self.rng.once_in(3)).then(|| days[self.rng.below(days.len())]);
        let is_hold = matches!(request, Request::Hold(_));
        let plain = match request.plain() {
            Request::Transfer(transfer) => Some(transfer.amount),
            _ => None,
        };
        let note = Note { value_date: said, ..Note::default() };
        let request = match said {
            Some(_) => Noted::new(request, note).expect("it can be kept").into(),
            None => request,
        };
        let answers = handle.submit(vec![request]).expect("room").answers().await.expect("up");
        let outcome = &answers.outcomes[0];
        if outcome.rejection.is_some() || is_hold {
            return;
        }
        let refunded = answers.refund(0).map(|refund| refund.amount);
        let captured = answers.hold(0).map(|hold| hold.captured);
        let amount = plain.or(refunded).or(captured).expect("something moved");
        let amount = i128::try_from(amount).expect("small");
        let (lsn, decided) = (outcome.lsn, Day::of_time(outcome.time_ns));
        self.moved.push(Moved { lsn, day: said.unwrap_or(decided), debit, credit, amount });
        // A fee counts when it was taken, whatever the transfer says.
        if let Some(fee) = answers.fee(0) {
            let amount = i128::try_from(fee.amount).expect("small");
            let (lsn, day, credit) = (lsn.next(), decided, ACCOUNTS);
            self.moved.push(Moved { lsn, day, debit, credit, amount });
        }
    }

    /// What an account's balance is by value date, and its last entry of those that count.
    fn balance(&self, id: u128, lsn: Lsn, day: Day) -> (i128, Lsn) {
        let counts = |moved: &&Moved| moved.lsn <= lsn && moved.day <= day;
        let touches = |moved: &&Moved| moved.debit == id || moved.credit == id;
        self.moved.iter().filter(counts).filter(touches).fold(
            (0, Lsn::ZERO),
            |(sum, last), moved| {
                let change = if moved.debit == id { -moved.amount } else { moved.amount };
                (sum + change, last.max(moved.lsn))
            },
        )
    }
}

async fn attach_fee(handle: &Handle) {
    let rule = FeeRule { flat: 1, ..FeeRule::default() };
    let card = Schedule { name: "card".into(), currency: GBP, account: account(ACCOUNTS), rule };
    handle.define_fee(card).await.expect("up").expect("allowed");
    let kind = FeeTarget::Kind(TransferKind::Payment, GBP);
    handle.attach_fee(kind, Some("card".into())).await.expect("up").expect("allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_by_value_date_are_the_sums_of_what_was_done() {
    for seed in 0..6 {
        let kept = journal();
        let engine = start(&kept, [1, 2, 4][seed as usize % 3]).await;
        let handle = engine.handle();
        open(&handle, ACCOUNTS).await;
        attach_fee(&handle).await;
        let seeded = handle.submit(vec![transfer(1, BANK, 2, 1)]).expect("room");
        let seeded = seeded.outcomes().await.expect("up")[0];
        let days = days_from(Day::of_time(seeded.time_ns));
        let first = Moved { lsn: seeded.lsn, day: days[3], debit: BANK, credit: 2, amount: 1 };
        let (moved, holds, transfers) = (vec![first], Vec::new(), Vec::new());
        let mut asked = Asked { rng: Rng::new(seed), moved, holds, transfers };
        for id in 2..150 {
            asked.one(&handle, id, &days).await;
        }
        let fees = asked.moved.iter().filter(|moved| moved.credit == ACCOUNTS).count();
        assert!(asked.moved.len() > 60 && fees > 3, "{} with {fees} fees", asked.moved.len());
        let last = handle.status().durable_lsn;
        let bounds = [Day::MIN, Day::MAX];
        for lsn in (8..=last.0).step_by(29).chain([last.0]).map(Lsn) {
            for day in days.iter().copied().chain(bounds) {
                check(&handle, &asked, lsn, day).await;
            }
        }
        for id in 1..=ACCOUNTS {
            let now = handle.balance_at(account(id), Moment::Lsn(last)).await.expect("reads");
            let valued = handle.balance_by_value(account(id), Day::MAX, None).await.expect("reads");
            assert_eq!(now, valued, "at the end of all days it is the balance");
        }
        engine.shutdown().await.expect("drains");
    }
}

async fn check(handle: &Handle, asked: &Asked, lsn: Lsn, day: Day) {
    let mut expected = Vec::new();
    for id in 1..=ACCOUNTS {
        let found = handle.balance_by_value(account(id), day, Some(Moment::Lsn(lsn))).await;
        let found = found.expect("reads").expect("known");
        let (posted, entry_lsn) = asked.balance(id, lsn, day);
        assert_eq!((found.posted, found.entry_lsn), (posted, entry_lsn), "{id} {lsn} {day:?}");
        assert_eq!((found.account, found.lsn, found.currency), (account(id), lsn, GBP));
        expected.push((GBP, id == BANK, posted));
    }
    let made = handle.trial_balance_by_value(day, Some(Moment::Lsn(lsn))).await.expect("reads");
    assert_eq!(made.rows, TrialRow::of(expected.into_iter()), "{lsn} {day:?}");
    assert_eq!((made.lsn, made.accounts, made.began_with), (lsn, 5, Lsn::ZERO));
    assert!(made.rows[0].is_balanced());
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_of_balances_by_value_date_are_bounded_as_by_booking() {
    let kept = journal();
    let engine = start(&kept, 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    let last = handle.status().durable_lsn;
    let balance = async |id, lsn| {
        handle.balance_by_value(account(id), Day::MAX, Some(Moment::Lsn(lsn))).await
    };
    assert_eq!(balance(9, last).await, Ok(None));
    let opened = RequestError::NotOpened { account: account(3), opened: Lsn(3), lsn: Lsn(2) };
    assert_eq!(balance(3, Lsn(2)).await, Err(opened));
    let beyond = RequestError::NotReached { asked: last.next(), last };
    assert_eq!(balance(3, last.next()).await, Err(beyond.clone()));
    let trial = handle.trial_balance_by_value(Day::MAX, Some(Moment::Lsn(last.next()))).await;
    assert_eq!(trial, Err(beyond));
    let untouched = balance(3, last).await.expect("reads").expect("known");
    assert_eq!((untouched.posted, untouched.entry_lsn), (0, Lsn::ZERO));
    engine.shutdown().await.expect("drains");
}
