//! The load of [money](crate::money): clients that refund, pay on terms and for other kinds, at once or
//! by a hold and its captures, and an operator who changes fees; and what they saw.

use crate::ledger::{COLD, HOT, WORLD_GBP, account};
use crate::money::currencies;
use ducat_api::client::{Client, ClientError};
use ducat_api::convert::transfers::to_proto;
use ducat_api::proto::{self, FeeSchedule, FeeTarget, FeeTier, Outcome};
use ducat_checker::history::{Beside, Call};
use ducat_checker::{History, Span, Told};
use ducat_engine::fees::FeeNote;
use ducat_engine::holds::{Closed, HoldAfter};
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::note::{Note, Noted};
use ducat_engine::refunds::RefundAfter;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request};
use ducat_engine::terms::{
    AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Termed, Terms, TermsAfter,
};
use ducat_engine::transfer::{BalanceAfter, TransferKind, TransferRequest};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

/// A batch as it was sent, and what came back; one clock stamps both.
struct Sent {
    sent_at: u64,
    requests: Vec<Request>,
    answer: Option<(u64, Vec<Told>)>,
}

/// What all clients saw together.
#[derive(Default)]
pub struct Seen {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    clock: u64,
    calls: Vec<Sent>,
    reads: Vec<(Span, Call)>,
    /// Ids that were sent, refusals and refunds too, newest last.
    ids: Vec<TransferId>,
    /// Accounts' versions as they were told.
    versions: Vec<(AccountId, Lsn)>,
}

impl Seen {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding it")
    }

    /// The next moment.
    pub fn now(&self) -> u64 {
        let mut inner = self.lock();
        inner.clock += 1;
        inner.clock
    }

    /// Writes down a read that has just been answered.
    pub fn note(&self, sent_at: u64, call: Call) {
        let answered_at = self.now();
        self.lock().reads.push((Span { sent_at, answered_at }, call));
    }

    fn sent(&self, requests: Vec<Request>) -> usize {
        let sent_at = self.now();
        let mut inner = self.lock();
        inner.ids.extend(requests.iter().map(Request::id));
        inner.calls.push(Sent { sent_at, requests, answer: None });
        inner.calls.len() - 1
    }

    fn answered(&self, call: usize, outcomes: &[Outcome]) {
        let now = self.now();
        let mut inner = self.lock();
        let told: Vec<Told> = outcomes.iter().map(told).collect();
        let sent = &mut inner.calls[call];
        assert_eq!(told.len(), sent.requests.len(), "an outcome for each request");
        let mut versions = Vec::new();
        for (request, told) in sent.requests.iter().zip(&told) {
            let terms = told.beside.as_ref().and_then(|beside| beside.terms);
            let debit = request.accounts().map(|[debit, _]| debit);
            versions.extend(debit.zip(terms.and_then(|terms| terms.debit_version)));
        }
        sent.answer = Some((now, told));
        inner.versions.extend(versions);
    }

    /// Transfers answered so far.
    pub fn answered_so_far(&self) -> usize {
        let inner = self.lock();
        inner.calls.iter().filter(|call| call.answer.is_some()).map(|c| c.requests.len()).sum()
    }

    /// Waits until so many transfers have been answered; a while, not for ever.
    pub fn await_answers(&self, many: usize) {
        for _ in 0..60_000 {
            if self.answered_so_far() >= many {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the load comes to nothing");
    }

    /// Sends once more what was not answered.
    pub async fn resend(&self, client: &Client) -> Result<(), ClientError> {
        let open: Vec<(usize, Vec<Request>)> = {
            let inner = self.lock();
            let calls = inner.calls.iter().enumerate();
            let open = calls.filter(|(_, call)| call.answer.is_none());
            open.map(|(at, call)| (at, call.requests.clone())).collect()
        };
        for (at, requests) in open {
            self.answered(at, &client.create_transfers(messages(&requests)).await?);
        }
        Ok(())
    }

    /// All of it, for the checker.
    pub fn history(&self) -> History {
        let mut history = History::new();
        let inner = self.lock();
        for Sent { sent_at, requests, answer } in &inner.calls {
            let Some((answered_at, told)) = answer else {
                history.unanswered(*sent_at, requests.iter().cloned());
                continue;
            };
            let span = Span { sent_at: *sent_at, answered_at: *answered_at };
            history.transfers(span, requests.iter().cloned().zip(told.iter().cloned()));
        }
        inner.reads.iter().for_each(|(span, call)| history.note(*span, call));
        history
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for call in &self.lock().calls {
            let Some((_, told)) = &call.answer else { continue };
            for (request, told) in call.requests.iter().zip(told) {
                counts.add(request, told);
            }
        }
        counts
    }
}

/// What the load came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    refunds: usize,
    refunds_refused: usize,
    balanced: usize,
    conditions_failed: usize,
    kinds: usize,
    fees: usize,
    captures: usize,
}

impl Counts {
    fn add(&mut self, request: &Request, told: &Told) {
        let done = told.rejection.is_none();
        let beside = told.beside.as_deref().copied().unwrap_or_default();
        let has_terms = request.terms().is_some();
        self.refunds += usize::from(done && request.refund().is_some());
        self.refunds_refused += usize::from(!done && beside.refund.is_some());
        let most = request.transfer().map_or(0, |transfer| transfer.amount);
        self.balanced += usize::from(done && beside.terms.is_some_and(|t| t.moved < most));
        self.conditions_failed += usize::from(!done && has_terms);
        let kind = request.transfer().map_or(0, |transfer| transfer.kind.number());
        self.kinds += usize::from(done && kind > 2);
        self.fees += usize::from(done && beside.fee.is_some());
        let is_capture = matches!(request.plain(), Request::Capture(_));
        self.captures += usize::from(done && is_capture);
    }

    /// Whether all of it happened.
    pub fn all_happened(&self) -> bool {
        let Self { refunds, refunds_refused, balanced, conditions_failed, kinds, fees, captures } =
            *self;
        [refunds, refunds_refused, balanced, conditions_failed, kinds, fees, captures]
            .iter()
            .all(|n| *n > 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refunds, refunds_refused, balanced, conditions_failed, kinds, fees, captures } =
            self;
        write!(
            f,
            "{refunds} refunds ({refunds_refused} more refused), {balanced} balanced to less, \
             {conditions_failed} terms refused, {kinds} of other kinds, {captures} captures, {fees} fees"
        )
    }
}

fn messages(requests: &[Request]) -> Vec<proto::TransferRequest> {
    requests.iter().map(|request| to_proto(request, &currencies())).collect()
}

/// What an outcome says. The figures of the tests fit into 64 bits.
fn told(outcome: &Outcome) -> Told {
    let rejection = |code: i32| Rejection::from_number(u8::try_from(code).expect("a byte"));
    let id = |low, high| TransferId::from_halves(high, low).expect("not zero");
    let figures = |balance: &proto::Balance| BalanceAfter {
        posted: balance.posted_minor.into(),
        available: balance.available_minor.into(),
    };
    let refund = outcome.refund.as_ref().map(|refund| RefundAfter {
        of: id(refund.original_id, refund.original_id_high),
        of_lsn: Lsn(refund.original_lsn),
        amount: refund.amount_minor.into(),
        moved: refund.moved_minor.into(),
        refunded: refund.refunded_minor.into(),
        reversed: refund.reversed,
    });
    let version = |version: u64| (version > 0).then_some(Lsn(version));
    let terms = outcome.terms.as_ref().map(|terms| TermsAfter {
        moved: terms.moved_minor.into(),
        debit_version: version(terms.debit_version),
        credit_version: version(terms.credit_version),
    });
    let fee = outcome.fee.as_ref().map(|fee| FeeNote {
        schedule: fee.schedule,
        amount: fee.amount_minor.into(),
        refused: rejection(fee.code),
    });
    Told {
        id: id(outcome.id, outcome.id_high),
        lsn: Lsn(outcome.lsn),
        time_ns: outcome.time_ns,
        rejection: rejection(outcome.code),
        repeat: outcome.repeat,
        debit: outcome.debit.as_ref().map(figures),
        credit: outcome.credit.as_ref().map(figures),
        hold: outcome.hold.as_ref().map(|hold| Box::new(hold_told(hold, outcome.code))),
        beside: Beside { refund, terms, fee }.boxed(),
    }
}

/// By how much captures may exceed every hold of this load.
const TOLERANCE: u128 = 40;

/// How a hold stands, as an outcome of this code says.
fn hold_told(hold: &proto::HoldOutcome, code: i32) -> HoldAfter {
    let is_refused = Rejection::from_number(u8::try_from(code).expect("a byte")).is_some();
    HoldAfter {
        hold: TransferId::from_halves(hold.id_high, hold.id).expect("not zero"),
        closed: match hold.state() {
            proto::HoldState::Captured => Some(Closed::Captured),
            proto::HoldState::Voided => Some(Closed::Voided),
            proto::HoldState::Expired => Some(Closed::Expired),
            proto::HoldState::Open | proto::HoldState::Unspecified => None,
        },
        captured: hold.captured_minor.into(),
        released: hold.released_minor.into(),
        remaining: hold.remaining_minor.into(),
        // Not told on the wire.
        over_capture_max: is_refused.then_some(TOLERANCE),
        expires_ns: (hold.expires_ns > 0).then_some(hold.expires_ns),
    }
}

/// Sends batches until the server is gone.
pub async fn load(address: &str, seen: &Seen, seed: u64) -> Result<(), ClientError> {
    let client = Client::connect(address).await?;
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(1..12) {
            some(&mut rng, seen, &mut batch);
        }
        if batch.is_empty() {
            continue;
        }
        let messages = messages(&batch);
        let call = seen.sent(batch);
        seen.answered(call, &client.create_transfers(messages).await?);
    }
}

/// Changes schedules of fees, and what they are attached to, until the server is gone.
pub async fn operate(address: &str, seed: u64) -> Result<(), ClientError> {
    let client = Client::connect(address).await?;
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let schedule = FeeSchedule {
            name: "card".to_owned(),
            currency: "GBP".to_owned(),
            account: HOT.start,
            flat: format!("0.{:02}", rng.random_range(0..30)),
            tiers: vec![FeeTier { rate_ppm: rng.random_range(0..30_000), ..FeeTier::default() }],
            ..FeeSchedule::default()
        };
        client.define_fee(schedule).await?;
        let kinds = [
            proto::TransferKind::Transfer,
            proto::TransferKind::Payment,
            proto::TransferKind::Refund,
        ];
        let target = match rng.random_range(0..4) {
            0 => FeeTarget { account: rng.random_range(COLD), ..FeeTarget::default() },
            nth => FeeTarget {
                kind: kinds[nth - 1] as i32,
                currency: "GBP".to_owned(),
                ..FeeTarget::default()
            },
        };
        let name = if rng.random_bool(0.6) { "card" } else { "" };
        client.attach_fee(target, name).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn new_id(rng: &mut StdRng) -> TransferId {
    TransferId::new(rng.random_range(1..=u128::MAX)).expect("not zero")
}

/// Few accounts, so that they meet.
fn any_account(rng: &mut StdRng) -> AccountId {
    let hot = rng.random_bool(0.5);
    account(if hot { rng.random_range(HOT) } else { rng.random_range(COLD.start..COLD.start + 8) })
}

fn transfer(rng: &mut StdRng, kind: TransferKind) -> TransferRequest {
    let world = account(WORLD_GBP);
    let (mut debit, mut credit) = (any_account(rng), any_account(rng));
    match kind {
        TransferKind::Deposit => debit = world,
        TransferKind::Withdrawal => credit = world,
        _ => {}
    }
    let amount = rng.random_range(1..3_000);
    let id = new_id(rng);
    TransferRequest { id, debit, credit, amount, currency: None, kind, linked: false }
}

/// Adds a request, or a linked group of them.
fn some(rng: &mut StdRng, seen: &Seen, batch: &mut Vec<Request>) {
    match rng.random_range(0..24) {
        0..4 => batch.push(transfer(rng, TransferKind::Deposit).into()),
        4..8 => {
            let kind = TransferKind::ALL[rng.random_range(0..8)];
            let asked = transfer(rng, kind);
            batch.push(with_note(rng, asked.into()));
        }
        8..13 => batch.extend(refund(rng, seen)),
        13..16 => batch.push(on_terms(rng, seen)),
        16 => sources(rng, batch),
        19 => {
            let hold = held(rng);
            batch.push(with_note(rng, hold.into()));
            // Mostly in a batch of its own, later.
            if rng.random_bool(0.2) {
                batch.push(capture(rng, hold.id));
            }
        }
        20 | 21 => batch.extend(capture_some(rng, seen)),
        17 => {
            let first = batch.len();
            batch.extend(refund(rng, seen));
            batch.push(transfer(rng, TransferKind::Transfer).into());
            batch.push(on_terms(rng, seen));
            let last = batch.len() - 1;
            batch[first..last].iter_mut().for_each(|request| request.set_linked(true));
        }
        18 => {
            // The same once more, to the letter.
            let inner = seen.lock();
            let back = rng.random_range(1..=20);
            let again = inner.calls.len().checked_sub(back).map(|at| &inner.calls[at].requests);
            batch.extend(again.into_iter().flatten().cloned());
        }
        _ => batch.push(transfer(rng, TransferKind::Transfer).into()),
    }
}

/// A hold for something that its accounts do not tell, or for what they do.
fn held(rng: &mut StdRng) -> HoldRequest {
    let kind = [TransferKind::Payment, TransferKind::Transfer, TransferKind::Interest]
        [rng.random_range(0..3)];
    let TransferRequest { id, debit, credit, amount, currency, kind, linked } = transfer(rng, kind);
    let over_capture_max = TOLERANCE;
    HoldRequest {
        id,
        debit,
        credit,
        amount,
        currency,
        kind,
        timeout_ns: 0,
        over_capture_max,
        linked,
    }
}

fn capture(rng: &mut StdRng, hold: TransferId) -> Request {
    let amount = rng.random_bool(0.8).then(|| rng.random_range(1..1_500));
    let (id, last) = (new_id(rng), rng.random_bool(0.3));
    CaptureRequest { id, hold, amount, currency: None, last, linked: false }.into()
}

/// A capture of a hold that was placed lately.
fn capture_some(rng: &mut StdRng, seen: &Seen) -> Option<Request> {
    let hold = {
        let inner = seen.lock();
        let back = rng.random_range(1..=40);
        let call = &inner.calls[inner.calls.len().checked_sub(back)?];
        let mut holds = call.requests.iter().filter_map(|request| match request.plain() {
            Request::Hold(hold) => Some(hold.id),
            _ => None,
        });
        holds.next()?
    };
    Some(capture(rng, hold))
}

fn with_note(rng: &mut StdRng, request: Request) -> Request {
    if rng.random_bool(0.5) {
        return request;
    }
    let reference = format!("invoice {}", rng.random_range(0..1_000));
    let note = Note { reference, ..Note::default() };
    Noted::new(request, note).expect("it can be kept").into()
}

/// A refund of something that was sent lately, in part or whole.
fn refund(rng: &mut StdRng, seen: &Seen) -> Option<Request> {
    let of = {
        let ids = &seen.lock().ids;
        let back = rng.random_range(1..=100);
        *ids.get(ids.len().checked_sub(back)?)?
    };
    let refund = RefundRequest {
        id: new_id(rng),
        of,
        of_lsn: None,
        amount: rng.random_bool(0.8).then(|| rng.random_range(1..1_500)),
        currency: None,
        allow_overdraft: rng.random_bool(0.2),
        linked: false,
        original: None,
    };
    Some(with_note(rng, refund.into()))
}

fn on_terms(rng: &mut StdRng, seen: &Seen) -> Request {
    let mut asked = transfer(rng, TransferKind::Payment);
    let mut terms = Terms::default();
    match rng.random_range(0..4) {
        0 => {
            // Mostly an old one.
            let known = seen.lock().versions.last().copied();
            let (debit, version) = known.unwrap_or((asked.debit, Lsn(1)));
            asked.debit = debit;
            terms.debit = AccountTerms { version: Some(version), ..AccountTerms::default() };
        }
        1 => terms.credit.posted = Range { at_least: Some(0), at_most: Some(20_000) },
        _ => {
            asked.amount *= 50;
            terms.balancing = Some(Balancing {
                min: rng.random_range(0..20),
                debit: [Some(DebitCap::Available), Some(DebitCap::Balance)][rng.random_range(0..2)],
                credit: [None, Some(CreditCap::Room)][rng.random_range(0..2)],
                source: None,
            });
        }
    }
    Termed::new(asked, terms).expect("a transfer").into()
}

/// A payment of two or three sources.
fn sources(rng: &mut StdRng, batch: &mut Vec<Request>) {
    let many = rng.random_range(2..4);
    let (credit, total) = (any_account(rng), rng.random_range(1..5_000));
    for at in 0..many {
        let last = at + 1 == many;
        let source = Some(Source { total, last });
        let debit = Some(DebitCap::Available);
        let balancing = Some(Balancing { min: 0, debit, credit: None, source });
        let one = transfer(rng, TransferKind::Payment);
        let one = TransferRequest { credit, amount: total, linked: !last, ..one };
        let terms = Terms { balancing, ..Terms::default() };
        batch.push(Termed::new(one, terms).expect("a transfer").into());
    }
}
