//! The coordinator's state machine: puts transfers in order, judges what needs no account,
//! collects votes, decides, and turns decisions into records and outcomes.
//!
//! ```text
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
//! those of executing the transfers one at a time in that order.

use crate::batch::{Batch, Item, NO_SLOT};
use crate::directory::{Directory, Listing};
use crate::ids::{Lsn, Slot};
use crate::known::KnownIds;
use crate::money::{AMOUNT_MAX, Currencies, Currency, CurrencyError};
use crate::partition::{Layout, Leg, Legs};
use crate::plan::{Place, Plan};
use crate::profile::Profiles;
use crate::record::{Party, Posted, PostedSide, Record, Refused};
use crate::rejection::Rejection;
use crate::repeat::{Asked, Repeat, Standing};
use crate::transfer::{AccountRejection, AccountSpec, Outcome, TransferKind, TransferRequest};

/// Requests whose ids are brought into the cache together: few enough that what was brought is
/// still there when their turn comes.
const WARMED: usize = 128;

/// What the coordinator of a shard knows.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(crate) layout: Layout,
    pub(crate) directory: Directory,
    pub(crate) known: KnownIds,
    pub(crate) currencies: Currencies,
    pub(crate) profiles: Profiles,
    pub(crate) next_lsn: Lsn,
    pub(crate) last_time_ns: u64,
}

/// The answers to one submission.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// An outcome for each request. Those listed in `repeats` are still to be filled in.
    pub outcomes: Vec<Outcome>,
    /// The known ids among them, for [`crate::repeat::resolve`].
    pub repeats: Vec<Repeat>,
}

impl Coordinator {
    /// The coordinator of an empty ledger.
    #[must_use]
    pub fn new(layout: Layout, seed: u64, remember_ns: u64) -> Self {
        Self {
            layout,
            directory: Directory::new(seed),
            known: KnownIds::new(seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15, remember_ns),
            currencies: Currencies::new(),
            profiles: Profiles::default(),
            next_lsn: Lsn(1),
            last_time_ns: 0,
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
    /// clock does.
    #[must_use]
    pub fn begin(&mut self, now_ns: u64) -> Plan {
        Plan {
            time_ns: self.time(now_ns),
            batch: Batch { first_lsn: self.next_lsn, items: Vec::new() },
            places: Vec::new(),
            verdicts: Vec::new(),
            undecided: Default::default(),
        }
    }

    /// Adds a submission's transfers to the batch, in order. Its last one is not linked.
    pub fn add(&mut self, plan: &mut Plan, requests: &[TransferRequest]) {
        assert!(requests.last().is_some_and(|r| !r.linked), "a submission ends its last group");
        plan.places.reserve(requests.len());
        plan.batch.items.reserve(requests.len());
        let (mut at, mut warm) = (0, 0);
        while at < requests.len() {
            if at >= warm {
                warm = requests.len().min(at + WARMED);
                self.warm(&requests[at..warm]);
            }
            let mut end = at + 1;
            while requests[end - 1].linked {
                end += 1;
            }
            if end == at + 1 {
                self.add_one(plan, &requests[at]);
            } else {
                self.add_group(plan, &requests[at..end]);
            }
            at = end;
        }
    }

    fn warm(&self, requests: &[TransferRequest]) {
        self.known.warm(requests.iter().map(|request| request.id));
        self.directory.warm(requests.iter().flat_map(|request| [request.debit, request.credit]));
    }

    fn add_one(&mut self, plan: &mut Plan, request: &TransferRequest) {
        let debit = self.directory.get(request.debit);
        let credit = self.directory.get(request.credit);
        match self.known.insert(request.id, self.next_lsn, plan.time_ns) {
            Some(lsn) => plan.places.push(known(lsn, request, debit, credit)),
            None => {
                let refused = refuse(request, debit, credit);
                self.push_fresh(plan, request, debit, credit, refused);
            }
        }
    }

    /// A group is new when none of its ids is known. One that mixes known ids with new ones,
    /// or names an id twice, fails: its new ids are consumed. Its known ids, and those of a
    /// group of which all are known, are answered as [`crate::repeat`] says.
    fn add_group(&mut self, plan: &mut Plan, group: &[TransferRequest]) {
        let first_place = plan.places.len();
        let first_item = plan.batch.items.len();
        for request in group {
            self.add_one(plan, request);
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
        let item = u32::try_from(plan.batch.items.len()).expect("batches are far smaller");
        let currency = debit.or(credit).map(|listing| listing.currency);
        plan.places.push(Place::Fresh { item, currency });
        plan.batch.items.push(Item {
            amount: request.amount,
            debit: debit.map_or(NO_SLOT, |listing| listing.slot),
            credit: credit.map_or(NO_SLOT, |listing| listing.slot),
            refused,
            linked: false,
        });
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

    pub(crate) fn next_event(&mut self) -> Lsn {
        let lsn = self.next_lsn;
        self.next_lsn = lsn.next();
        lsn
    }

    /// Turns a decided batch into records, in LSN order, and into the answers to its
    /// submissions. `batch` is the plan's own, `legs` holds what each partition answered to the commit.
    pub fn conclude<'a>(
        &self,
        plan: &Plan,
        batch: &Batch,
        submissions: impl Iterator<Item = &'a [TransferRequest]>,
        legs: &[Vec<Legs>],
        mut emit: impl FnMut(Lsn, &Record),
    ) -> Vec<Answer> {
        assert!(plan.undecided.is_empty(), "only a decided batch is concluded");
        let mut places = plan.places.iter();
        submissions
            .map(|requests| {
                let mut answer = Answer::default();
                answer.outcomes.reserve_exact(requests.len());
                for request in requests {
                    let place = places.next().expect("a place for every request");
                    conclude_one(plan, batch, request, place, legs, &mut answer, &mut emit);
                }
                answer
            })
            .collect()
    }
}

fn conclude_one(
    plan: &Plan,
    batch: &Batch,
    request: &TransferRequest,
    place: &Place,
    legs: &[Vec<Legs>],
    answer: &mut Answer,
    emit: &mut impl FnMut(Lsn, &Record),
) {
    match place {
        Place::Fresh { item, currency } => {
            let at = *item as usize;
            let lsn = batch.lsn(at);
            let legs = merge(legs, at);
            let rejection = plan.verdicts[at];
            emit(lsn, &record(request, &batch.items[at], lsn, rejection, &legs));
            answer.outcomes.push(Outcome {
                id: request.id,
                lsn,
                time_ns: plan.time_ns,
                rejection,
                repeat: false,
                currency: *currency,
                debit: legs.debit.map(|leg| leg.after),
                credit: legs.credit.map(|leg| leg.after),
            });
        }
        Place::Known { lsn, asked } => {
            answer.repeats.push((answer.outcomes.len(), *lsn, asked.clone()));
            answer.outcomes.push(Outcome {
                id: request.id,
                lsn: *lsn,
                time_ns: 0,
                rejection: Some(Rejection::IdReused),
                repeat: true,
                currency: None,
                debit: None,
                credit: None,
            });
        }
    }
}

fn known(
    lsn: Lsn,
    request: &TransferRequest,
    debit: Option<Listing>,
    credit: Option<Listing>,
) -> Place {
    Place::Known { lsn, asked: Box::new(Asked::new(*request, debit, credit)) }
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

/// The kind that a transfer between these two accounts can only have.
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
    if request.amount == 0 {
        return Some(Rejection::AmountZero);
    }
    if request.amount > AMOUNT_MAX {
        return Some(Rejection::AmountTooLarge);
    }
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
    (kind_between(debit, credit) != Some(request.kind)).then_some(Rejection::KindMismatch)
}

/// What became of both accounts, whichever partitions host them.
fn merge(legs: &[Vec<Legs>], at: usize) -> Legs {
    let mut both = legs[0][at];
    for more in &legs[1..] {
        both.debit = both.debit.or(more[at].debit);
        both.credit = both.credit.or(more[at].credit);
    }
    both
}

fn record(
    request: &TransferRequest,
    item: &Item,
    lsn: Lsn,
    rejection: Option<Rejection>,
    legs: &Legs,
) -> Record {
    let Some(rejection) = rejection else {
        let side = |leg: Option<Leg>| {
            let leg = leg.expect("a posted transfer has both legs");
            PostedSide { back: leg.back(lsn), posted: leg.after.posted, room: room(leg) }
        };
        let posted = Posted {
            id: request.id,
            debit: item.debit,
            credit: item.credit,
            amount: request.amount,
            debit_side: side(legs.debit),
            credit_side: side(legs.credit),
        };
        return if request.linked { Record::PostedLinked(posted) } else { Record::Posted(posted) };
    };
    let party = |leg: Option<Leg>, slot, id| match leg {
        Some(leg) => Party::Known { slot, posted: leg.after.posted, room: room(leg) },
        None => Party::Unknown(id),
    };
    let refused = Refused {
        id: request.id,
        rejection,
        debit: party(legs.debit, item.debit, request.debit),
        credit: party(legs.credit, item.credit, request.credit),
        amount: request.amount,
        currency: request.currency,
        kind: request.kind,
    };
    if request.linked { Record::RefusedLinked(refused) } else { Record::Refused(refused) }
}

fn room(leg: Leg) -> u128 {
    (leg.after.available - leg.after.posted).unsigned_abs()
}
