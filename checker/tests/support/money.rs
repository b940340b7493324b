//! Refunds, terms, notes, kinds and fees in honest runs.

use super::{GBP, Rng, Run, account, id, transfer};
use ducat_checker::Event;
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeRule, Rounding, Schedule, Tier};
use ducat_engine::ids::Lsn;
use ducat_engine::note::{Day, Note, Noted};
use ducat_engine::record::Record;
use ducat_engine::request::{RefundRequest, Request};
use ducat_engine::terms::{
    AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Termed, Terms,
};
use ducat_engine::transfer::TransferKind;

/// Gets the fees.
pub const FEES: u128 = 5;

/// A refund, of all that remains without an amount.
pub fn refund(this: u128, of: u128, amount: Option<u128>) -> Request {
    RefundRequest::plain(id(this), id(of), amount).into()
}

/// A transfer of what the debit account can spend, up to an amount.
pub fn balanced(this: u128, debit: u128, credit: u128, most: u128, min: u128) -> Request {
    let debit_cap = Some(DebitCap::Available);
    let balancing = Some(Balancing { min, debit: debit_cap, credit: None, source: None });
    let terms = Terms { balancing, ..Terms::default() };
    Termed::new(transfer(this, debit, credit, most), terms).expect("a transfer").into()
}

/// A transfer, if the debit account's version is this one.
pub fn if_version(this: u128, debit: u128, credit: u128, amount: u128, version: u64) -> Request {
    let debits = AccountTerms { version: Some(Lsn(version)), ..AccountTerms::default() };
    let terms = Terms { debit: debits, ..Terms::default() };
    Termed::new(transfer(this, debit, credit, amount), terms).expect("a transfer").into()
}

/// A payment of several sources, which follow one another.
pub fn sources(first: u128, debits: &[u128], credit: u128, total: u128) -> Vec<Request> {
    let one = |(at, debit): (usize, &u128)| {
        let source = Some(Source { total, last: at + 1 == debits.len() });
        let debit_cap = Some(DebitCap::Available);
        let balancing = Some(Balancing { min: 0, debit: debit_cap, credit: None, source });
        let asked = transfer(first + at as u128, *debit, credit, total);
        let terms = Terms { balancing, ..Terms::default() };
        Request::from(Termed::new(asked, terms).expect("a transfer"))
    };
    super::linked(debits.iter().enumerate().map(one).collect())
}

/// The request with a reference.
pub fn noted(request: impl Into<Request>, reference: &str) -> Request {
    let value_date = Day::new(19_000);
    let note = Note { reference: reference.to_owned(), description: String::new(), value_date };
    Noted::new(request, note).expect("it can be kept").into()
}

/// A transfer of another kind.
pub fn of_kind(kind: TransferKind, request: impl Into<Request>) -> Request {
    let mut request = request.into();
    request.set_kind(kind);
    request
}

/// A schedule whose fees account 5 gets.
pub fn schedule(name: &str, flat: u128, rate_ppm: u32) -> Schedule {
    let tiers = vec![Tier { above: 0, rate_ppm }, Tier { above: 40, rate_ppm: rate_ppm / 2 }];
    let rule = FeeRule { flat, tiers, min: 0, max: Some(9), rounding: Rounding::HalfEven };
    Schedule { name: name.to_owned(), currency: GBP, account: account(FEES), rule }
}

impl Run {
    /// Defines a schedule; nothing, if it is so already.
    pub fn define_fee(&mut self, schedule: Schedule) {
        let event = self.ledger.coordinator.define_fee(schedule).expect("it can be defined");
        self.fee_event(event);
    }

    /// Attaches the schedule of this name, or none.
    pub fn attach_fee(&mut self, target: FeeTarget, name: Option<&str>) {
        let event = self.ledger.coordinator.attach_fee(target, name).expect("it can be attached");
        self.fee_event(event);
    }

    fn fee_event(&mut self, event: Option<(Lsn, Record)>) {
        let Some((lsn, record)) = event else { return };
        let time_ns = self.ledger.coordinator.time(self.now_ns);
        self.events.push(Event { lsn, time_ns, record });
    }

    /// Does something with schedules.
    pub fn some_fee(&mut self, rng: &mut Rng) {
        let name = ["card", "wire"][rng.below(2) as usize];
        let known = self.ledger.coordinator.fees().find(name).is_some();
        if !known || rng.below(4) == 0 {
            let (flat, rate_ppm) = (rng.below(4).into(), rng.below(5) as u32 * 50_000);
            return self.define_fee(schedule(name, flat, rate_ppm));
        }
        let target = match rng.below(4) {
            1 => FeeTarget::Kind(TransferKind::Refund, GBP),
            0 => FeeTarget::Account(account(2 + u128::from(rng.below(4)))),
            _ => FeeTarget::Kind(TransferKind::ALL[rng.below(4) as usize], GBP),
        };
        self.attach_fee(target, (rng.below(3) > 0).then_some(name));
    }

    /// Gives back what some transfer moved, or pays on terms; under ids from `first` on.
    pub fn some_money(&self, rng: &mut Rng, first: u128) -> Vec<Request> {
        let accounts = |rng: &mut Rng| (u128::from(rng.below(5)) + 2, u128::from(rng.below(5)) + 2);
        let (debit, credit) = accounts(rng);
        let few = u128::from(rng.below(12));
        match rng.below(10) {
            0..5 => {
                let posted = |event: &&Event| event.record.posting().is_some();
                let all: Vec<_> = self.events.iter().filter(posted).collect();
                let event = all[rng.below(all.len() as u64) as usize];
                let of = event.record.request_id().expect("it is one of a request").get();
                // Sometimes all that it moved.
                let moved = event.record.posting().map_or(1, |posted| posted.amount.max(1));
                let few = if rng.below(4) == 0 { moved - 1 } else { few };
                let one = some_refund(rng, first, of, few, event.lsn);
                match rng.below(4) {
                    0 => super::linked(vec![one, refund(first + 1, of, Some(few + 1))]),
                    1 => vec![one, refund(first + 1, of, Some(1))],
                    _ => vec![one],
                }
            }
            5 => sources(first, &[debit, 2, 3], credit, 40 * few),
            6 => vec![balanced(first, debit, credit, 20 * few, few / 2)],
            7 => {
                let version = self.ledger.view(self.slot(debit)).expect("hosted").version;
                vec![if_version(first, debit, credit, few, version.0 + u64::from(few == 1))]
            }
            8 => {
                let kind = TransferKind::ALL[rng.below(8) as usize];
                vec![noted(of_kind(kind, transfer(first, debit, credit, few)), "invoice 7")]
            }
            _ => vec![on_terms(rng, transfer(first, debit, credit, few).into(), 0)],
        }
    }
}

fn some_refund(rng: &mut Rng, this: u128, of: u128, few: u128, lsn: Lsn) -> Request {
    let amount = (rng.below(5) > 0).then_some(few + 1);
    let mut asked = refund(this, of, amount);
    let wanted = asked.refund_mut().expect("a refund");
    wanted.allow_overdraft = rng.below(3) == 0;
    wanted.of_lsn = match rng.below(8) {
        0 => Some(lsn),
        1 => Some(Lsn(lsn.0 + 1)),
        _ => None,
    };
    if rng.below(8) == 0 { noted(asked, "returned goods") } else { asked }
}

/// The request on some terms, where it can have any; `last` is about the newest event.
pub fn on_terms(rng: &mut Rng, request: Request, last: u64) -> Request {
    let range = |rng: &mut Rng| Range {
        at_least: (rng.below(4) == 0).then(|| i128::from(rng.below(60)) - 20),
        at_most: (rng.below(5) == 0).then(|| i128::from(rng.below(200))),
    };
    let side = |rng: &mut Rng| AccountTerms {
        version: (rng.below(6) == 0).then(|| Lsn(last.saturating_sub(rng.below(4)))),
        posted: range(rng),
        available: range(rng),
    };
    let balanced = matches!(request, Request::Transfer(_)) && rng.below(3) > 0;
    let debit_cap = [None, Some(DebitCap::Available), Some(DebitCap::Balance)];
    let credit_cap = [None, Some(CreditCap::Room), Some(CreditCap::Debt)];
    let balancing = balanced.then(|| Balancing {
        min: u128::from(rng.below(4)),
        debit: debit_cap[rng.below(3) as usize],
        credit: credit_cap[rng.below(3) as usize],
        source: None,
    });
    let terms = Terms { balancing, debit: side(rng), credit: side(rng) };
    match Termed::new(request.clone(), terms) {
        Ok(termed) => termed.into(),
        Err(_) => request,
    }
}
