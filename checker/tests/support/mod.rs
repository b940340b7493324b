//! Honest runs: the real rules execute what random clients send, and everyone tells the truth.
//! The tests plant lies in what comes out.

// Each test file uses another part of this.
#![allow(dead_code)]

pub mod good;
pub mod money;

use ducat_checker::history::{AccountChange, Call, Seen, SeenEntry, SeenHold, SeenMore};
use ducat_checker::{Beside, Checker, Event, History, Options, Report, Span, Told};
use ducat_engine::account_event::{AccountEvent, Change};
use ducat_engine::holds::Closed;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::CurrencyId;
use ducat_engine::record::Record;
use ducat_engine::repeat::resolve;
use ducat_engine::request::{CaptureRequest, ExtendRequest, HoldRequest, Request, VoidRequest};
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use std::convert::Infallible;

pub const GBP: CurrencyId = CurrencyId(826);
pub const EUR: CurrencyId = CurrencyId(978);
/// Stands for the outside.
pub const WORLD: u128 = 1;
/// Nobody opens it.
pub const NOBODY: u128 = 99;
/// Accounts: the world, four in pounds, one with an overdraft, one in euro.
pub const ACCOUNTS: u128 = 7;

/// How long ids are remembered here.
pub const REMEMBER_NS: u64 = 1_000_000;

pub fn account(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

pub fn spec(id: u128) -> AccountSpec {
    AccountSpec {
        id: account(id),
        currency: if id == ACCOUNTS { EUR } else { GBP },
        overdraft_limit: if id == 6 { 50 } else { 0 },
        external: id == WORLD,
    }
}

pub fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    let kind = match (debit, credit) {
        (WORLD, _) => TransferKind::Deposit,
        (_, WORLD) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    TransferRequest {
        id: TransferId::new(id).expect("not zero"),
        debit: account(debit),
        credit: account(credit),
        amount,
        currency: None,
        kind,
        linked: false,
    }
}

pub fn id(id: u128) -> TransferId {
    TransferId::new(id).expect("not zero")
}

/// A hold with a tolerance of 5.
pub fn hold(id: u128, debit: u128, credit: u128, amount: u128, timeout_ns: u64) -> Request {
    let TransferRequest { id, debit, credit, amount, currency, kind, linked } =
        transfer(id, debit, credit, amount);
    let over_capture_max = 5;
    HoldRequest { id, debit, credit, amount, currency, kind, timeout_ns, over_capture_max, linked }
        .into()
}

/// A capture, of all that remains without an amount.
pub fn capture(this: u128, hold: u128, amount: Option<u128>, last: bool) -> Request {
    let (this, hold) = (id(this), id(hold));
    CaptureRequest { id: this, hold, amount, currency: None, last, linked: false }.into()
}

pub fn void(this: u128, hold: u128) -> Request {
    VoidRequest { id: id(this), hold: id(hold), linked: false }.into()
}

pub fn extend(this: u128, hold: u128, timeout_ns: u64) -> Request {
    ExtendRequest { id: id(this), hold: id(hold), timeout_ns, linked: false }.into()
}

/// Links all but the last.
pub fn linked<R: Into<Request>>(group: Vec<R>) -> Vec<Request> {
    let mut group: Vec<Request> = group.into_iter().map(Into::into).collect();
    let last = group.len() - 1;
    group[..last].iter_mut().for_each(|request| request.set_linked(true));
    group
}

/// A request that is a transfer.
pub fn plain(request: &mut Request) -> &mut TransferRequest {
    match request {
        Request::Transfer(transfer) => transfer,
        other => panic!("no transfer: {other:?}"),
    }
}

/// What clients saw and what the journal holds.
#[derive(Clone, Debug)]
pub struct Run {
    pub ledger: Ledger,
    pub calls: Vec<(Span, Call)>,
    pub events: Vec<Event>,
    pub clock: u64,
    pub now_ns: u64,
}

impl Run {
    /// The accounts, opened.
    pub fn new() -> Self {
        let ledger = Ledger::new(4, 3, REMEMBER_NS).expect("a power of two");
        let mut run =
            Self { ledger, calls: Vec::new(), events: Vec::new(), clock: 0, now_ns: 1_000 };
        for id in 1..=ACCOUNTS {
            let (lsn, record) = run.ledger.open_account(&spec(id)).expect("new");
            run.event(lsn, record);
            let span = run.span();
            run.calls.push((span, Call::Opened { spec: spec(id), lsn }));
        }
        run
    }

    fn event(&mut self, lsn: Lsn, record: Record) {
        let time_ns = self.ledger.coordinator.time(self.now_ns);
        self.events.push(Event { lsn, time_ns, record });
    }

    /// The next two moments.
    pub fn span(&mut self) -> Span {
        self.clock += 2;
        Span { sent_at: self.clock - 1, answered_at: self.clock }
    }

    /// Calls that are on their way at the same time; those that are not answered are told so by
    /// `lost`. Gives the first one's number.
    pub fn submit_all(&mut self, submissions: &[Vec<Request>], lost: &[bool]) -> usize {
        self.now_ns += 10;
        let slices: Vec<&[Request]> = submissions.iter().map(Vec::as_slice).collect();
        let events = &self.events;
        let read = |lsn: Lsn| events[lsn.0 as usize - 1].record.clone();
        let done = self.ledger.execute_reading(self.now_ns, &slices, read).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter();
        self.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
        let sent_at = self.clock + 1;
        self.clock += 2;
        let first = self.calls.len();
        for ((requests, mut answer), lost) in submissions.iter().zip(done.answers).zip(lost) {
            let span = Span { sent_at, answered_at: self.clock };
            if *lost {
                self.calls.push((span, Call::Unanswered(requests.clone())));
                continue;
            }
            let read = |lsn: Lsn| {
                let event = &self.events[lsn.0 as usize - 1];
                Ok::<_, Infallible>((event.time_ns, event.record.clone()))
            };
            resolve(&mut answer, read).expect("at hand");
            let mut told: Vec<Told> = answer.outcomes.iter().map(Told::from).collect();
            for (place, after) in &answer.holds {
                told[*place].hold = Some(Box::new(*after));
            }
            let mut beside = vec![Beside::default(); told.len()];
            answer.refunds.iter().for_each(|(at, refund)| beside[*at].refund = Some(*refund));
            answer.terms.iter().for_each(|(at, terms)| beside[*at].terms = Some(*terms));
            answer.fees.iter().for_each(|(at, fee)| beside[*at].fee = Some(*fee));
            for (told, beside) in told.iter_mut().zip(beside) {
                told.beside = beside.boxed();
            }
            let items = requests.iter().cloned().zip(told).collect();
            self.calls.push((span, Call::Transfers(items)));
        }
        first
    }

    /// One call, answered. Gives its number.
    pub fn submit<R: Into<Request>>(&mut self, requests: Vec<R>) -> usize {
        let requests = requests.into_iter().map(Into::into).collect();
        self.submit_all(&[requests], &[false])
    }

    /// Time passes, and holds expire.
    pub fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        self.submit_all(&[], &[]);
    }

    /// Sets limits; what the balance lies outside of is refused, and no event. Gives the call's
    /// number when there is one.
    pub fn set_limits(&mut self, id: u128, change: LimitsChange) -> Option<usize> {
        let slot = self.slot(id);
        let (lsn, record) = self.ledger.change_limits(slot, &change).ok()??;
        let Record::Account(event) = &record else { panic!("a change: {record:?}") };
        let AccountEvent::Changed { change: Change::Limits(limits), .. } = **event else {
            panic!("a change of limits: {event:?}")
        };
        self.event(lsn, record);
        let change = AccountChange::Limits(limits);
        Some(self.note(Call::Changed { account: account(id), change, lsn }))
    }

    /// Reads holds by id.
    pub fn read_holds(&mut self, ids: &[u128]) -> usize {
        let mut ended: std::collections::HashMap<TransferId, Closed> = Default::default();
        for event in &self.events {
            let (hold, how) = match event.record.plain() {
                Record::Captured(c) if c.remaining == 0 => (c.hold, Closed::Captured),
                Record::Voided(voided) => (voided.hold, Closed::Voided),
                Record::Expired(expired) => (expired.hold, Closed::Expired),
                _ => continue,
            };
            ended.insert(hold, how);
        }
        let (mut seen, mut unknown) = (Vec::new(), Vec::new());
        for id in ids.iter().map(|&this| id(this)) {
            match (self.ledger.coordinator.holds().get(id), ended.get(&id)) {
                (Some(hold), _) => {
                    let (remaining, expires_ns) = (hold.remaining, hold.expires_ns);
                    seen.push(SeenHold { id, closed: None, remaining, expires_ns });
                }
                (None, Some(how)) => {
                    seen.push(SeenHold { id, closed: Some(*how), remaining: 0, expires_ns: 0 });
                }
                (None, None) => unknown.push(id),
            }
        }
        let lsn = self.last_lsn();
        self.note(Call::Holds { lsn, seen, unknown })
    }

    pub fn set_status(&mut self, id: u128, status: AccountStatus) {
        let slot = self.slot(id);
        if self.ledger.view(slot).expect("hosted").status == status {
            return;
        }
        let (lsn, record) = self.ledger.set_status(slot, status, "case 1").expect("allowed");
        self.event(lsn, record);
        let change = AccountChange::Status { status, reason: "case 1".to_owned() };
        self.note(Call::Changed { account: account(id), change, lsn });
    }

    pub fn slot(&self, id: u128) -> Slot {
        self.ledger.coordinator.directory().get(account(id)).expect("opened").slot
    }

    /// The last event.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.events.len() as u64)
    }

    /// Reads all accounts and one that is not there. Gives the call's number.
    pub fn read(&mut self) -> usize {
        let views = (1..=ACCOUNTS).map(|id| self.ledger.view(self.slot(id)).expect("hosted"));
        let seen = views.map(|view| Seen {
            account: view.spec.id,
            posted: view.posted,
            last_lsn: view.last_lsn,
            more: Some(SeenMore {
                available: (!view.spec.external).then_some(view.available),
                held: view.on_hold + view.held,
                incoming: view.incoming,
                status: view.status,
            }),
        });
        let (lsn, seen, unknown) = (self.last_lsn(), seen.collect(), vec![account(NOBODY)]);
        self.note(Call::Accounts { lsn, seen, unknown })
    }

    /// Reads the sums.
    pub fn read_totals(&mut self) -> usize {
        let totals = self.ledger.totals().into_iter();
        let sums = totals.map(|(currency, sums)| (currency, sums.internal, sums.external));
        let (lsn, sums) = (self.last_lsn(), sums.collect());
        self.note(Call::Totals { lsn, sums })
    }

    /// Reads a statement, the newest `most` entries.
    pub fn read_entries(&mut self, id: u128, most: usize) -> usize {
        let slot = self.slot(id);
        let mut posted = 0;
        let mut lines = Vec::new();
        for event in &self.events {
            let Some(p) = event.record.posting() else { continue };
            let amount = p.amount.cast_signed();
            let amount = match (p.debit == slot, p.credit == slot) {
                (true, _) => -amount,
                (_, true) => amount,
                _ => continue,
            };
            posted += amount;
            lines.push(SeenEntry { lsn: event.lsn, id: p.id, amount, after: posted });
        }
        lines.reverse();
        let oldest = lines.len() <= most;
        lines.truncate(most);
        self.note(Call::Entries { account: account(id), entries: lines, newest: true, oldest })
    }

    /// Reads a transfer that was answered by the call with this number, and an unknown one.
    pub fn read_stored(&mut self, call: usize) -> usize {
        let Call::Transfers(items) = &self.calls[call].1 else { panic!("no answered call") };
        let mut found = items.clone();
        found.retain(|(_, told)| !told.repeat);
        found.iter_mut().for_each(|(_, told)| told.repeat = true);
        let unknown = vec![TransferId::new(1 << 100).expect("not zero")];
        self.note(Call::Stored { found, unknown })
    }

    fn note(&mut self, call: Call) -> usize {
        let span = self.span();
        self.calls.push((span, call));
        self.calls.len() - 1
    }

    /// The answers of a call.
    pub fn told(&mut self, call: usize) -> &mut Vec<(Request, Told)> {
        match &mut self.calls[call].1 {
            Call::Transfers(items) | Call::Stored { found: items, .. } => items,
            other => panic!("no transfers: {other:?}"),
        }
    }

    pub fn history(&self) -> History {
        let mut history = History::new();
        self.calls.iter().for_each(|(span, call)| history.note(*span, call));
        history
    }

    pub fn check_with(&self, options: Options) -> Report {
        let history = self.history();
        let mut checker = Checker::new(&history, options).expect("a history");
        for event in &self.events {
            checker.event(event.clone()).expect("a history");
        }
        checker.finish().expect("a history")
    }

    pub fn check(&self) -> Report {
        self.check_with(Options { remember_ns: REMEMBER_NS, ..Options::default() })
    }
}

/// Numbers that look random and follow from the seed alone (SplitMix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
