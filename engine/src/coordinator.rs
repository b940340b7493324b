//! The coordinator's state machine: puts requests in order, judges what needs no account,
//! collects votes, decides, and turns decisions into records and outcomes.
//!
//! ```text
//! begin: expiries
//! add(requests)* ─▶ Plan ─ batch ─▶ partitions: prepare
//!     known id ▸ repeat                  │ votes
//!     new id   ▸ item with an LSN        ▼
//!                             Plan::decide ─ decided ─▶ partitions: resolve ─ votes ─┐
//!                                  ▲────────────────────────────────────────────────┘
//!                             all decided ─ verdicts ─▶ partitions: commit ─ legs
//!                                                                             ▼
//!                                            Coordinator::conclude ─▶ records, outcomes
//! ```
//!
//! Every new id gets exactly one LSN, in the order of arrival, whether it ends in a posting
//! or in a refusal; so the order of the journal is the order of arrival, and outcomes equal
//! those of executing the requests one at a time in that order.
//!
//! Holds are its own ([`crate::holds`]), and so is how much of which transfer was refunded
//! ([`crate::refunds`]). What it judges about one is exact, so [`Coordinator::add`]
//! stops in front of a group that speaks of a hold which an earlier group of the batch changes,
//! refunds what one of them refunds, or asks for the version of an account that one may change: the
//! rest belongs into the next batch, once this one is concluded ([`crate::rounds`]).

mod fees;
mod lookahead;
mod noted;
mod operations;
mod plain;
mod refunds;
mod terms;

pub(crate) use fees::FeeItem;
pub use fees::{DryFee, FeeChanged, FeeQuote, FeeTarget, fee_after};
pub use operations::hold_after;
pub use plain::conclude_plain;
pub use terms::terms_after;

use crate::batch::{Batch, Item, NO_SLOT, NO_STEP, Op};
use crate::directory::{Directory, Listing};
use crate::driven::{Awaited, Driven};
use crate::fees::{FeeNote, Fees};
use crate::holds::{HoldAfter, Holds};
use crate::ids::{Lsn, Slot};
use crate::known::KnownIds;
use crate::money::{AMOUNT_MAX, Currencies, Currency, CurrencyError, CurrencyId};
use crate::partition::{Layout, Leg, Legs, merge};
use crate::plan::{Place, Plan};
use crate::profile::Profiles;
use crate::record::Record;
use crate::refunds::{RefundAfter, Refunds};
use crate::rejection::Rejection;
use crate::repeat::{Asked, Repeat, Standing};
use crate::request::Request;
use crate::terms::TermsAfter;
use crate::transfer::{AccountRejection, AccountSpec, Outcome, TransferKind, TransferRequest};
use lookahead::{Hashes, Lookahead};

/// What the coordinator of a shard knows.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(crate) layout: Layout,
    pub(crate) directory: Directory,
    pub(crate) known: KnownIds,
    pub(crate) holds: Holds,
    pub(crate) refunds: Refunds,
    pub(crate) fees: Fees,
    pub(crate) currencies: Currencies,
    pub(crate) profiles: Profiles,
    pub(crate) driven: Driven,
    pub(crate) next_lsn: Lsn,
    pub(crate) last_time_ns: u64,
    /// Scatters the ids of holds that a batch changes.
    seed: u64,
}

/// The answers to one submission.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// An outcome for each request. Those listed in `repeats` are still to be filled in.
    pub outcomes: Vec<Outcome>,
    /// The known ids among them, for [`crate::repeat::resolve`].
    pub repeats: Vec<Repeat>,
    /// How the holds of operations stand after them, by place among the outcomes, in order.
    pub holds: Vec<(usize, HoldAfter)>,
    /// How the originals of refunds stand after them, likewise.
    pub refunds: Vec<(usize, RefundAfter)>,
    /// What is told of requests with terms besides, by place among the outcomes, in order.
    pub terms: Vec<(usize, TermsAfter)>,
    /// What is told of the fees of transfers for which one was due, likewise.
    pub fees: Vec<(usize, FeeNote)>,
}

impl Answer {
    /// Adds the answer to the requests that follow.
    pub fn append(&mut self, more: Self) {
        let before = self.outcomes.len();
        if before == 0 {
            *self = more;
            return;
        }
        self.outcomes.extend(more.outcomes);
        let repeats = more.repeats.into_iter();
        self.repeats.extend(repeats.map(|(at, lsn, asked)| (before + at, lsn, asked)));
        self.holds.extend(more.holds.into_iter().map(|(at, hold)| (before + at, hold)));
        let refunds = more.refunds.into_iter();
        self.refunds.extend(refunds.map(|(at, refund)| (before + at, refund)));
        self.terms.extend(more.terms.into_iter().map(|(at, terms)| (before + at, terms)));
        self.fees.extend(more.fees.into_iter().map(|(at, fee)| (before + at, fee)));
    }
}

impl Coordinator {
    /// The coordinator of an empty ledger.
    #[must_use]
    pub fn new(layout: Layout, seed: u64, remember_ns: u64) -> Self {
        Self {
            layout,
            directory: Directory::new(seed),
            known: KnownIds::new(seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15, remember_ns),
            holds: Holds::new(seed.rotate_left(16) ^ 0xd1b5_4a32_d192_ed03),
            refunds: Refunds::default(),
            fees: Fees::default(),
            currencies: Currencies::new(),
            profiles: Profiles::default(),
            driven: Driven::default(),
            next_lsn: Lsn(1),
            last_time_ns: 0,
            seed: seed.rotate_left(48) ^ 0xaef1_7502_108e_f2d9,
        }
    }

    /// Which partition hosts which slot.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Account ids and slots.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Remembered ids.
    #[must_use]
    pub fn known(&self) -> &KnownIds {
        &self.known
    }

    /// Open holds.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What is known of accounts beside their money.
    #[must_use]
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// Known currencies.
    #[must_use]
    pub fn currencies(&self) -> &Currencies {
        &self.currencies
    }

    /// The LSN of the next event.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The decision time of the last event, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn last_time_ns(&self) -> u64 {
        self.last_time_ns
    }

    /// Begins a batch decided at `now_ns`; journalled time never goes back, whatever the
    /// clock does. In front of everything stand the holds that have expired by then.
    #[must_use]
    pub fn begin(&mut self, now_ns: u64) -> Plan {
        let time_ns = self.time(now_ns);
        let mut plan = Plan::new(self.next_lsn, time_ns, self.seed);
        // Whatever decides an id that a schedule or a saga awaits moves them on here.
        plan.mixed = !self.driven.awaits_nothing();
        if !self.holds.is_empty() {
            self.add_expiries(&mut plan);
        }
        plan
    }

    /// Adds a submission's requests to the batch, in order, or as many as it can hold: returns
    /// how many, which are whole groups. The rest belongs into the next batch, as the beginning
    /// of it; where [`Plan::take_unread`] says so, once it was read what its first group refunds. The last
    /// request is not linked.
    #[must_use]
    pub fn add(&mut self, plan: &mut Plan, requests: &[Request]) -> usize {
        assert!(requests.last().is_some_and(|r| !r.linked()), "a submission ends its last group");
        if plan.full {
            return 0;
        }
        plan.places.reserve(requests.len());
        plan.batch.items.reserve(requests.len());
        let mut lookahead = Lookahead::over(requests);
        let mut at = 0;
        while at < requests.len() {
            let mut end = at + 1;
            while requests[end - 1].linked() {
                end += 1;
            }
            let first = plan.batch.items.len();
            match &requests[at..end] {
                [Request::Transfer(transfer)] => {
                    let hashes = lookahead.at(at, self);
                    self.add_transfer(plan, transfer, hashes);
                }
                group if plan.changes_something() && touches_again(plan, group) => return at,
                group if self.is_unread(group) => {
                    plan.unread = true;
                    plan.mixed = true;
                    return at;
                }
                group if has_terms(group) && self.asks_for_changing(plan, group) => return at,
                group => {
                    plan.group_lsn = self.next_lsn;
                    match group {
                        [single] => {
                            let hashes = lookahead.at(at, self);
                            self.add_one(plan, single, hashes);
                        }
                        group => self.add_group(plan, group, at, &mut lookahead),
                    }
                }
            }
            if self.fees.are_attached() {
                self.add_fees(plan, &requests[at..end], first);
            }
            at = end;
        }
        at
    }

    fn add_one(&mut self, plan: &mut Plan, request: &Request, hashes: Hashes) {
        match request {
            Request::Transfer(transfer) => self.add_transfer(plan, transfer, hashes),
            Request::Termed(termed) => {
                plan.mixed = true;
                self.add_termed(plan, termed, request, hashes);
            }
            Request::Noted(noted) => {
                plan.mixed = true;
                self.add_noted(plan, noted, request, hashes);
            }
            operation => {
                plan.mixed = true;
                self.add_operation(plan, operation, hashes);
            }
        }
    }

    fn add_transfer(&mut self, plan: &mut Plan, request: &TransferRequest, hashes: Hashes) {
        let debit = self.directory.get_at(hashes.accounts[0], request.debit);
        let credit = self.directory.get_at(hashes.accounts[1], request.credit);
        match self.known.insert_at(hashes.id, request.id, self.next_lsn, plan.time_ns) {
            Some(lsn) => plan.places.push(known(lsn, (*request).into(), debit, credit)),
            None => {
                let refused = refuse(request, debit, credit);
                self.push_fresh(plan, request, debit, credit, refused);
            }
        }
    }

    /// A group is new when none of its ids is known. One that mixes known ids with new ones,
    /// or names an id twice, fails: its new ids are consumed. Its known ids, and those of a
    /// group of which all are known, are answered as [`crate::repeat`] says.
    fn add_group(
        &mut self,
        plan: &mut Plan,
        group: &[Request],
        at: usize,
        lookahead: &mut Lookahead<'_>,
    ) {
        let first_place = plan.places.len();
        let first_item = plan.batch.items.len();
        for (offset, request) in group.iter().enumerate() {
            let hashes = lookahead.at(at + offset, self);
            self.add_one(plan, request, hashes);
        }
        let fresh = plan.batch.items.len() - first_item;
        let mixed = fresh > 0 && fresh < group.len();
        if fresh < group.len() {
            stand(&mut plan.places[first_place..]);
        }
        let items = &mut plan.batch.items[first_item..];
        let failing = if mixed { None } else { items.iter().position(|i| i.refused.is_some()) };
        if mixed || failing.is_some() {
            for (at, item) in items.iter_mut().enumerate() {
                if failing != Some(at) {
                    item.refused = Some(Rejection::LinkedFailed);
                }
            }
        }
        if let Some((last, before)) = items.split_last_mut() {
            before.iter_mut().for_each(|item| item.linked = true);
            last.linked = false;
        }
    }

    fn push_fresh(
        &mut self,
        plan: &mut Plan,
        request: &TransferRequest,
        debit: Option<Listing>,
        credit: Option<Listing>,
        refused: Option<Rejection>,
    ) {
        let currency = debit.or(credit).map(|listing| listing.currency);
        let item = Item {
            amount: request.amount,
            debit: debit.map_or(NO_SLOT, |listing| listing.slot),
            credit: credit.map_or(NO_SLOT, |listing| listing.slot),
            step: NO_STEP,
            op: Op::Transfer,
            refused,
            linked: false,
            termed: false,
        };
        self.push(plan, item, currency);
    }

    /// Gives a new request its LSN.
    fn push(&mut self, plan: &mut Plan, item: Item, currency: Option<CurrencyId>) {
        let at = u32::try_from(plan.batch.items.len()).expect("batches are far smaller");
        plan.places.push(Place::Fresh { item: at, currency });
        plan.batch.items.push(item);
        self.next_event();
    }

    /// Lists a new account and gives its opening an LSN.
    ///
    /// # Errors
    /// [`AccountRejection`]; whether an account that exists is the same one, its partition
    /// tells. Nothing changed then.
    pub fn open_account(
        &mut self,
        spec: &AccountSpec,
    ) -> Result<(Slot, Lsn, Record), AccountRejection> {
        if spec.overdraft_limit > AMOUNT_MAX {
            return Err(AccountRejection::LimitTooLarge);
        }
        if self.currencies.by_id(spec.currency).is_none() {
            return Err(AccountRejection::CurrencyUnknown);
        }
        if self.directory.get(spec.id).is_some() {
            return Err(AccountRejection::ExistsDifferent);
        }
        let slot = self
            .directory
            .list(spec.id, spec.currency, spec.external)
            .ok_or(AccountRejection::Full)?;
        Ok((slot, self.next_event(), Record::AccountOpened(*spec)))
    }

    /// Defines an asset. The event is `None` when it was defined before.
    ///
    /// # Errors
    /// [`CurrencyError`]; nothing changed then.
    pub fn define_asset(
        &mut self,
        code: &str,
        digits: u32,
    ) -> Result<(Currency, Option<(Lsn, Record)>), CurrencyError> {
        let before = self.currencies.own().len();
        let asset = self.currencies.define(code, digits)?;
        if self.currencies.own().len() == before {
            return Ok((asset, None));
        }
        let record = Record::AssetDefined { code: asset.code.clone(), digits: asset.digits };
        Ok((asset, Some((self.next_event(), record))))
    }

    /// Journalled time for an event decided at `now_ns`; it never goes back.
    pub fn time(&mut self, now_ns: u64) -> u64 {
        self.last_time_ns = self.last_time_ns.max(now_ns);
        self.last_time_ns
    }

    /// Gives an audit event its LSN, which is all that it changes.
    pub fn audit_lsn(&mut self) -> Lsn {
        self.next_event()
    }

    pub(crate) fn next_event(&mut self) -> Lsn {
        let lsn = self.next_lsn;
        self.next_lsn = lsn.next();
        lsn
    }

    /// Turns a decided batch into records, in LSN order, and into the answers to its
    /// submissions; `submissions` are what was added of each, in order. `batch` is the plan's
    /// own, `legs` holds what each partition answered to the commit.
    pub fn conclude<'a>(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        submissions: impl Iterator<Item = &'a [Request]>,
        legs: &[Vec<Legs>],
        mut emit: impl FnMut(Lsn, &Record),
    ) -> Vec<Answer> {
        if self.driven.awaits_nothing() {
            return self.conclude_all(plan, batch, submissions, legs, emit);
        }
        let awaited = self.driven.take_awaited();
        let mut decided = Vec::new();
        let notice = |lsn, record: &Record| {
            if is_awaited(&awaited, record) {
                decided.push((lsn, record.clone()));
            }
            emit(lsn, record);
        };
        let answers = self.conclude_all(plan, batch, submissions, legs, notice);
        self.driven.put_awaited(awaited);
        for (lsn, record) in decided {
            self.follow_decided(lsn, plan.time_ns, &record);
        }
        answers
    }

    fn conclude_all<'a>(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        submissions: impl Iterator<Item = &'a [Request]>,
        legs: &[Vec<Legs>],
        mut emit: impl FnMut(Lsn, &Record),
    ) -> Vec<Answer> {
        assert!(plan.undecided.is_empty(), "only a decided batch is concluded");
        self.conclude_expiries(plan, batch, legs, &mut emit);
        let mut places = plan.places.iter();
        let mut fees = plan.fees.iter().peekable();
        submissions
            .map(|requests| {
                let mut answer = Answer::default();
                answer.outcomes.reserve_exact(requests.len());
                for request in requests {
                    let place = places.next().expect("a place for every request");
                    match (place, request) {
                        (_, Request::Transfer(_)) | (Place::Known { .. }, _) => {
                            let put = plain::Plain { plan, batch, legs };
                            put.conclude(place, request, &mut answer, &mut emit);
                        }
                        (Place::Fresh { item, currency }, request) => {
                            let at = *item as usize;
                            let legs = merge(legs, at);
                            let done = Done { plan, batch, at, legs, currency: *currency };
                            self.conclude_other(&done, request, &mut answer, &mut emit);
                        }
                    }
                    if let (Some(fee), Place::Fresh { item, .. }) = (fees.peek(), place)
                        && fee.item == item + 1
                    {
                        let mut next = fee.item;
                        while let Some(fee) = fees.next_if(|fee| fee.item == next) {
                            let at = fee.item as usize;
                            let leg = fees::fee_leg(plan, batch, fee, &merge(legs, at));
                            emit(batch.lsn(at), &leg);
                            next += 1;
                        }
                    }
                }
                answer
            })
            .collect()
    }
}

fn is_awaited(awaited: &Awaited, record: &Record) -> bool {
    record.transfer_id().is_some_and(|id| awaited.contains_key(&id))
}

/// A new request whose decision is known.
struct Done<'p> {
    plan: &'p Plan,
    batch: &'p Batch,
    /// Its item.
    at: usize,
    legs: Legs,
    /// Of its accounts, where they are known.
    currency: Option<CurrencyId>,
}

fn fresh(
    plan: &Plan,
    request: &Request,
    lsn: Lsn,
    rejection: Option<Rejection>,
    currency: Option<CurrencyId>,
    legs: &Legs,
) -> Outcome {
    Outcome {
        id: request.id(),
        lsn,
        time_ns: plan.time_ns,
        rejection,
        repeat: false,
        currency,
        debit: legs.debit.map(|leg| leg.after),
        credit: legs.credit.map(|leg| leg.after),
    }
}

/// Whether the group speaks of a hold that the batch changes already, or refunds what it refunds.
fn touches_again(plan: &Plan, group: &[Request]) -> bool {
    let original = |request: &Request| Some(request.refund()?.original?.lsn);
    group.iter().filter_map(Request::hold).any(|hold| plan.touched.contains_key(&hold))
        || group.iter().filter_map(original).any(|lsn| plan.refunded.contains_key(&lsn))
}

fn has_terms(group: &[Request]) -> bool {
    group.iter().any(|request| matches!(request.unnoted(), Request::Termed(_)))
}

fn known(lsn: Lsn, request: Request, debit: Option<Listing>, credit: Option<Listing>) -> Place {
    Place::Known { lsn, asked: Box::new(Asked::new(request, debit, credit)) }
}

/// Notes how the known ids of a linked group stand in it.
fn stand(places: &mut [Place]) {
    let lsn = |place: &Place| match place {
        Place::Known { lsn, .. } => Some(*lsn),
        Place::Fresh { .. } => None,
    };
    let in_a_row = places
        .windows(2)
        .all(|pair| lsn(&pair[0]).is_some_and(|before| lsn(&pair[1]) == Some(before.next())));
    for (at, place) in places.iter_mut().enumerate() {
        if let Place::Known { asked, .. } = place {
            asked.standing = match at {
                _ if !in_a_row => Standing::Stray,
                0 => Standing::First,
                _ => Standing::Behind,
            };
        }
    }
}

/// The kind of a transfer between these two accounts that names no other.
pub(crate) fn kind_between(debit: Listing, credit: Listing) -> Option<TransferKind> {
    match (debit.external, credit.external) {
        (false, false) => Some(TransferKind::Transfer),
        (true, false) => Some(TransferKind::Deposit),
        (false, true) => Some(TransferKind::Withdrawal),
        (true, true) => None,
    }
}

/// The first rule the transfer breaks, among those that need no account's state.
fn refuse(
    request: &TransferRequest,
    debit: Option<Listing>,
    credit: Option<Listing>,
) -> Option<Rejection> {
    refuse_amount(request.amount).or_else(|| refuse_parties(request, debit, credit))
}

/// The first rule that the amount breaks.
fn refuse_amount(amount: u128) -> Option<Rejection> {
    match amount {
        0 => Some(Rejection::AmountZero),
        1..=AMOUNT_MAX => None,
        _ => Some(Rejection::AmountTooLarge),
    }
}

/// The first rule that the accounts break, among those that need no account's state.
fn refuse_parties(
    request: &TransferRequest,
    debit: Option<Listing>,
    credit: Option<Listing>,
) -> Option<Rejection> {
    if request.debit == request.credit {
        return Some(Rejection::SameAccount);
    }
    let Some(debit) = debit else { return Some(Rejection::DebitAccountUnknown) };
    let Some(credit) = credit else { return Some(Rejection::CreditAccountUnknown) };
    if debit.currency != credit.currency {
        return Some(Rejection::AccountsDifferInCurrency);
    }
    if request.currency.is_some_and(|named| named != debit.currency) {
        return Some(Rejection::CurrencyMismatch);
    }
    let allowed = request.kind.allows(debit.external, credit.external);
    (!allowed).then_some(Rejection::KindMismatch)
}

fn room(leg: Leg) -> i128 {
    leg.after.available - leg.after.posted
}
