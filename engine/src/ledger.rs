//! A whole shard's state in one place: what replay builds, and what the actors take apart to
//! run on.
//!
//! [`Ledger::apply`] is replay's only step. It moves accounts through the same
//! [`crate::account::Account::debit`] and [`crate::account::Account::credit`] as the live
//! commit, and holds every figure it comes to against the one the live run journalled.

mod fees;
mod holds;
mod noted;
mod refunds;

pub use holds::{HoldsDiffer, check_holds};

use crate::account::{Account, Impossible};
use crate::batch::Batch;
use crate::codec;
use crate::coordinator::{Answer, Coordinator};
use crate::driven::DrivenPart;
use crate::fees::Fees;
use crate::holds::Holds;
use crate::ids::{Lsn, Slot};
use crate::limits::Bounds;
use crate::money::{AMOUNT_MAX, BALANCE_MAX, Currency, CurrencyId};
use crate::partition::{Layout, Leg, Legs, Partition};
use crate::plan::Plan;
use crate::profile::ProfilesHash;
use crate::record::{Party, Posted, PostedSide, Record, Refused};
use crate::refunds::{RefundState, Refunds};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::rounds::Rounds;
use crate::transfer::{AccountRejection, AccountSpec, AccountView};
use std::collections::BTreeMap;

/// The coordinator and the partitions of a shard.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Order, directory, ids.
    pub coordinator: Coordinator,
    /// The accounts.
    pub partitions: Vec<Partition>,
}

/// What [`Ledger::execute`] did.
#[derive(Clone, Debug)]
pub struct Executed {
    /// When it was decided, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The events, in order.
    pub records: Vec<(Lsn, Record)>,
    /// The answers, one per submission.
    pub answers: Vec<Answer>,
}

/// Sums of one currency over all accounts, minor units. They add up to zero, always: money
/// enters and leaves only through external accounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Over accounts that are not external.
    pub internal: i128,
    /// Over external accounts.
    pub external: i128,
}

impl Totals {
    pub(crate) fn add(&mut self, account: &Account) {
        let side = if account.is_external() { &mut self.external } else { &mut self.internal };
        *side += account.posted();
    }

    /// Adds the sums of other accounts.
    pub fn merge(&mut self, other: Self) {
        self.internal += other.internal;
        self.external += other.external;
    }
}

/// Adds the sums of other accounts, currency by currency.
pub fn merge_totals(
    totals: &mut BTreeMap<CurrencyId, Totals>,
    others: impl IntoIterator<Item = (CurrencyId, Totals)>,
) {
    for (currency, sums) in others {
        totals.entry(currency).or_default().merge(sums);
    }
}

/// A part of the state's hash: the sum of its accounts' hashes. Sums of parts make the
/// whole, so partitions hash by themselves and their number does not matter. It tells
/// damage and divergence; against forgery stands the journal's hash chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HashPart([u64; 4]);

impl HashPart {
    /// Adds the account in `slot`.
    pub fn add(&mut self, slot: Slot, account: &Account, scratch: &mut Vec<u8>) {
        scratch.clear();
        scratch.extend_from_slice(&slot.0.to_le_bytes());
        account.canonical(scratch);
        self.add_bytes(scratch);
    }

    /// Adds an open hold.
    pub(crate) fn add_hold(&mut self, hold: &crate::holds::Hold, scratch: &mut Vec<u8>) {
        scratch.clear();
        hold.canonical(scratch);
        self.add_bytes(scratch);
    }

    /// Adds whatever has these canonical bytes.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        let hash = blake3::hash(bytes);
        for (word, bytes) in self.0.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let bytes = bytes.try_into().expect("chunks of eight");
            *word = word.wrapping_add(u64::from_le_bytes(bytes));
        }
    }

    /// Takes a part away that was added.
    pub(crate) fn part_with(&mut self, other: Self) {
        for (word, less) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_sub(less);
        }
    }

    /// Adds its bytes to a hash.
    pub(crate) fn add_to(self, hasher: &mut blake3::Hasher) {
        for word in self.0 {
            hasher.update(&word.to_le_bytes());
        }
    }

    /// Adds another part.
    pub fn merge(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_add(more);
        }
    }
}

/// Open holds as a state's hash sees them: how many, and the sum of their hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HoldsPart {
    pub count: u64,
    pub hash: HashPart,
}

impl HoldsPart {
    fn of(holds: &Holds) -> Self {
        let mut part = Self { count: holds.len() as u64, hash: HashPart::default() };
        let mut scratch = Vec::with_capacity(128);
        holds.iter().for_each(|hold| part.hash.add_hold(hold, &mut scratch));
        part
    }
}

/// Refunded transfers as a state's hash sees them, likewise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RefundsPart {
    pub count: u64,
    pub hash: HashPart,
}

impl RefundsPart {
    fn of(refunds: &Refunds) -> Self {
        let mut part = Self::default();
        let mut scratch = Vec::with_capacity(64);
        refunds.iter().for_each(|(lsn, state)| part.add(lsn, state, &mut scratch));
        part
    }

    pub fn add(&mut self, original: Lsn, state: &RefundState, scratch: &mut Vec<u8>) {
        scratch.clear();
        state.canonical(original, scratch);
        self.hash.add_bytes(scratch);
        self.count += 1;
    }
}

/// The hash of a state: its accounts, what is known of them, open holds, refunds, assets, schedules of
/// fees and place in the journal.
#[must_use]
pub fn state_hash(accounts: HashPart, coordinator: &Coordinator) -> [u8; 32] {
    let count = coordinator.directory.len() as u64;
    let holds = HoldsPart::of(&coordinator.holds);
    let (assets, profiles) = (coordinator.currencies.own(), coordinator.profiles.hash());
    let refunds = RefundsPart::of(&coordinator.refunds);
    let driven = DrivenPart::of(&coordinator.driven);
    let known =
        Known { next_lsn: coordinator.next_lsn, assets, fees: &coordinator.fees, driven: &driven };
    hash_of_state(accounts, count, holds, &refunds, &known, profiles)
}

/// What a state's hash holds beside sums.
pub(crate) struct Known<'s> {
    pub next_lsn: Lsn,
    pub assets: &'s [Currency],
    pub fees: &'s Fees,
    pub driven: &'s DrivenPart,
}

pub(crate) fn hash_of_state(
    accounts: HashPart,
    count: u64,
    holds: HoldsPart,
    refunds: &RefundsPart,
    known: &Known<'_>,
    profiles: &ProfilesHash,
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"ducat state 1");
    accounts.add_to(&mut hasher);
    hasher.update(&count.to_le_bytes());
    hasher.update(&known.next_lsn.0.to_le_bytes());
    for asset in known.assets {
        hasher.update(&asset.id.0.to_le_bytes());
        hasher.update(&[asset.digits, u8::try_from(asset.code.len()).unwrap_or(u8::MAX)]);
        hasher.update(asset.code.as_bytes());
    }
    // Without holds the hash is that of a ledger that knows none.
    if holds.count > 0 {
        hasher.update(b"holds");
        hasher.update(&holds.count.to_le_bytes());
        holds.hash.add_to(&mut hasher);
    }
    // The same with refunds.
    if refunds.count > 0 {
        hasher.update(b"refunds");
        hasher.update(&refunds.count.to_le_bytes());
        refunds.hash.add_to(&mut hasher);
    }
    // The same with fees.
    if !known.fees.is_empty() {
        hasher.update(b"fees");
        hasher.update(&codec::fees_bytes(known.fees));
    }
    known.driven.add_to(&mut hasher);
    profiles.add_to(&mut hasher);
    *hasher.finalize().as_bytes()
}

/// What one partition's accounts add up to.
#[derive(Clone, Debug, Default)]
pub struct PartitionSummary {
    /// Its part of the state's hash.
    pub hash: HashPart,
    /// Its sums by currency.
    pub totals: BTreeMap<CurrencyId, Totals>,
    /// The accounts that have something on hold, and how much: for [`check_holds`].
    pub on_hold: Vec<(Slot, u128)>,
}

/// Hash and sums of one partition.
#[must_use]
pub fn summarize(partition: &Partition) -> PartitionSummary {
    let mut summary = PartitionSummary::default();
    let mut scratch = Vec::with_capacity(128);
    for (slot, account) in partition.accounts() {
        summary.hash.add(slot, account, &mut scratch);
        summary.totals.entry(account.currency()).or_default().add(account);
        if account.on_hold() > 0 {
            summary.on_hold.push((slot, account.on_hold()));
        }
    }
    summary
}

impl Ledger {
    /// An empty ledger of `partitions` (a power of two, at most
    /// [`crate::partition::PARTITIONS_MAX`]); `None` for another number.
    #[must_use]
    pub fn new(partitions: usize, seed: u64, remember_ns: u64) -> Option<Self> {
        let layout = Layout::new(partitions)?;
        Some(Self {
            coordinator: Coordinator::new(layout, seed, remember_ns),
            partitions: (0..partitions).map(|index| Partition::new(index, layout)).collect(),
        })
    }

    /// How the account in `slot` stands.
    #[must_use]
    pub fn view(&self, slot: Slot) -> Option<AccountView> {
        self.host(slot).view(slot)
    }

    pub(crate) fn host(&self, slot: Slot) -> &Partition {
        &self.partitions[self.coordinator.layout.partition_of(slot)]
    }

    pub(crate) fn host_mut(&mut self, slot: Slot) -> &mut Partition {
        &mut self.partitions[self.coordinator.layout.partition_of(slot)]
    }

    /// Hash and sums of the whole state.
    #[must_use]
    pub fn summary(&self) -> ([u8; 32], BTreeMap<CurrencyId, Totals>) {
        let mut hash = HashPart::default();
        let mut totals: BTreeMap<CurrencyId, Totals> = BTreeMap::new();
        for partition in &self.partitions {
            let summary = summarize(partition);
            hash.merge(summary.hash);
            merge_totals(&mut totals, summary.totals);
        }
        (state_hash(hash, &self.coordinator), totals)
    }

    /// Sums by currency, without the hash.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<CurrencyId, Totals> {
        let mut totals: BTreeMap<CurrencyId, Totals> = BTreeMap::new();
        for (_, account) in self.partitions.iter().flat_map(Partition::accounts) {
            totals.entry(account.currency()).or_default().add(account);
        }
        totals
    }

    /// Applies the event at `lsn`, decided at `time_ns`.
    ///
    /// # Errors
    /// [`Impossible`] when the event cannot follow the ones before it, or when it came to
    /// other figures live. The ledger must not be used then.
    pub fn apply(&mut self, lsn: Lsn, time_ns: u64, record: &Record) -> Result<(), Impossible> {
        let differs = |what: String| Err(Impossible::Differs { lsn, what });
        if lsn != self.coordinator.next_lsn {
            return differs(format!("event {} was to come next", self.coordinator.next_lsn));
        }
        if time_ns < self.coordinator.last_time_ns {
            return differs("its time lies before that of the event before it".to_owned());
        }
        self.coordinator.last_time_ns = time_ns;
        let due = self.coordinator.holds.next_expiry_ns().is_some_and(|due| due <= time_ns);
        if due && record.transfer_id().is_some() {
            return differs("a hold that has expired by then was to be closed before".to_owned());
        }
        if let Some(id) = record.transfer_id()
            && let Some(before) = self.coordinator.known.insert(id, lsn, time_ns)
        {
            return differs(format!("transfer {id} was decided before, by event {before}"));
        }
        if let Record::Noted(noted) = record {
            self.check_noted(lsn, noted)?;
        }
        if let Record::Termed(termed) = record.unnoted()
            && !termed.is_sound()
        {
            return differs("it moved other than its terms allow".to_owned());
        }
        match record.plain() {
            Record::Posted(posted) | Record::PostedLinked(posted) => {
                self.apply_posted(lsn, posted)?;
            }
            Record::Held(_)
            | Record::Captured(_)
            | Record::Voided(_)
            | Record::Extended(_)
            | Record::Expired(_)
            | Record::HoldRefused(_) => {
                self.apply_hold(lsn, time_ns, record.plain(), record.noted_kind())?;
            }
            Record::Refused(refused) | Record::RefusedLinked(refused) => {
                self.apply_refused(lsn, refused)?;
            }
            Record::Refunded(refunded) => self.apply_refunded(lsn, refunded)?,
            Record::RefundRefused(refused) => self.apply_refund_refused(lsn, refused)?,
            Record::Termed(_) | Record::Noted(_) => {
                return differs("terms or notes within their like".to_owned());
            }
            Record::FeeEvent(event) => self.coordinator.take_fee_event(lsn, event)?,
            Record::FeeLeg(leg) => self.apply_fee_leg(lsn, leg)?,
            Record::AccountOpened(spec) => {
                self.apply_opened(lsn, spec, Bounds::default())?;
            }
            Record::Account(event) => self.apply_account(lsn, event)?,
            Record::Driven(event) => self.coordinator.follow_driven(lsn, time_ns, event)?,
            // It tells of what others did.
            Record::Audit(_) => {}
            Record::StatusChanged { slot, status } => {
                self.check_slot(lsn, *slot)?;
                self.host_mut(*slot).set_status(*slot, lsn, *status)?;
            }
            Record::AssetDefined { code, digits } => {
                let currencies = &mut self.coordinator.currencies;
                let before = currencies.own().len();
                if let Err(why) = currencies.define(code, u32::from(*digits)) {
                    return differs(format!("asset {code} cannot be defined: {why}"));
                }
                if currencies.own().len() == before {
                    return differs(format!("asset {code} was defined before"));
                }
            }
        }
        self.coordinator.next_lsn = lsn.next();
        self.coordinator.follow_decided(lsn, time_ns, record);
        Ok(())
    }

    /// Runs submissions through the whole protocol, alone and at once: order, prepare, as many
    /// rounds of votes as it takes, commit; and that in as many batches as it takes. The actors
    /// do the same with messages; tests, models and simulations use this.
    ///
    /// # Errors
    /// [`Impossible`] when a decision contradicts the accounts.
    pub fn execute<R: Clone + Into<Request>>(
        &mut self,
        now_ns: u64,
        submissions: &[&[R]],
    ) -> Result<Executed, Impossible> {
        self.execute_reading(now_ns, submissions, |lsn| panic!("event {lsn} is not at hand"))
    }

    /// The same where requests refund what was decided in earlier calls: `read` gives an event's
    /// record.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn execute_reading<R: Clone + Into<Request>>(
        &mut self,
        now_ns: u64,
        submissions: &[&[R]],
        read: impl Fn(Lsn) -> Record,
    ) -> Result<Executed, Impossible> {
        let requests = |all: &&[R]| all.iter().cloned().map(Into::into).collect();
        let mut submissions: Vec<Vec<Request>> = submissions.iter().map(requests).collect();
        let mut rounds = Rounds::in_order(submissions.len());
        let mut records = Vec::new();
        let mut time_ns = 0;
        while !rounds.are_over() {
            if let Some((submission, from)) = rounds.unread() {
                self.read_originals(&mut submissions[submission][from..], &records, &read);
            }
            let requests = |submission: usize| &submissions[submission][..];
            let mut plan = self.coordinator.begin(now_ns);
            time_ns = plan.time_ns();
            rounds.fill(&mut self.coordinator, &mut plan, requests);
            let mut batch = plan.take_batch();
            let legs = self.decide(&mut plan, &mut batch)?;
            let answers = self.coordinator.conclude(
                &plan,
                &batch,
                rounds.parts(requests),
                &legs,
                |lsn, record| records.push((lsn, record.clone())),
            );
            rounds.collect(answers);
        }
        let answers = rounds.answers().into_iter().map(|(answer, left)| {
            assert_eq!(left, None, "taken up in order");
            answer
        });
        Ok(Executed { time_ns, records, answers: answers.collect() })
    }

    /// Both phases of one batch at all partitions.
    fn decide(&mut self, plan: &mut Plan, batch: &mut Batch) -> Result<Vec<Vec<Legs>>, Impossible> {
        let mut votes = vec![Vec::new(); self.partitions.len()];
        for (partition, votes) in self.partitions.iter_mut().zip(&mut votes) {
            partition.prepare(batch, votes);
            plan.hear(partition.tell());
        }
        let mut changed = Vec::new();
        loop {
            let (decided, all) = plan.decide(batch, &votes, &changed);
            if all {
                break;
            }
            changed.clear();
            for (partition, votes) in self.partitions.iter_mut().zip(&mut votes) {
                partition.resolve(&decided, |item, vote| {
                    votes[item] = vote;
                    changed.push(item);
                });
                plan.hear(partition.tell());
            }
        }
        plan.fix(batch);
        let mut legs = vec![Vec::new(); self.partitions.len()];
        let mut net = 0;
        for (partition, legs) in self.partitions.iter_mut().zip(&mut legs) {
            net += partition.commit(batch, plan.verdicts(), legs)?;
        }
        assert_eq!(net, 0, "what is debited is credited");
        Ok(legs)
    }

    /// Opens an account, as [`Coordinator::open_account`] and the partition do together.
    ///
    /// # Errors
    /// Why the account is not opened.
    pub fn open_account(&mut self, spec: &AccountSpec) -> Result<(Lsn, Record), AccountRejection> {
        let (slot, lsn, record) = self.coordinator.open_account(spec)?;
        self.host_mut(slot).open(slot, spec, lsn).expect("the directory gives slots in order");
        Ok((lsn, record))
    }

    pub(crate) fn apply_opened(
        &mut self,
        lsn: Lsn,
        spec: &AccountSpec,
        bounds: Bounds,
    ) -> Result<Slot, Impossible> {
        check_range(lsn, spec.overdraft_limit)?;
        let coordinator = &mut self.coordinator;
        let slot = coordinator.directory.list(spec.id, spec.currency, spec.external);
        let Some(slot) = slot else {
            let what = format!("account {} was opened before", spec.id);
            return Err(Impossible::Differs { lsn, what });
        };
        self.host_mut(slot).open_within(slot, spec, bounds, lsn)?;
        Ok(slot)
    }

    pub(crate) fn check_slot(&self, lsn: Lsn, slot: Slot) -> Result<(), Impossible> {
        if self.host(slot).account(slot).is_some() {
            return Ok(());
        }
        Err(Impossible::Differs { lsn, what: format!("no account is in slot {}", slot.0) })
    }

    fn apply_posted(&mut self, lsn: Lsn, posted: &Posted) -> Result<(), Impossible> {
        check_posted(lsn, posted)?;
        self.check_slot(lsn, posted.debit)?;
        self.check_slot(lsn, posted.credit)?;
        let currency = |slot| self.host(slot).at(slot).currency();
        if posted.debit == posted.credit || currency(posted.debit) != currency(posted.credit) {
            let what = "its accounts are the same or differ in currency".to_owned();
            return Err(Impossible::Differs { lsn, what });
        }
        let debit = self.host_mut(posted.debit).apply_debit(posted.debit, lsn, posted.amount)?;
        let credit =
            self.host_mut(posted.credit).apply_credit(posted.credit, lsn, posted.amount)?;
        check_side(lsn, &posted.debit_side, debit)?;
        check_side(lsn, &posted.credit_side, credit)
    }

    fn apply_refused(&mut self, lsn: Lsn, refused: &Refused) -> Result<(), Impossible> {
        self.check_refusal(lsn, refused.rejection, [refused.debit, refused.credit])
    }

    /// A refusal moves nothing; what it was explained with must be so.
    fn check_refusal(
        &self,
        lsn: Lsn,
        rejection: Rejection,
        parties: impl IntoIterator<Item = Party>,
    ) -> Result<(), Impossible> {
        let differs = |what: String| Err(Impossible::Differs { lsn, what });
        if rejection == Rejection::IdReused {
            return differs("an id that is used again is no event".to_owned());
        }
        for party in parties {
            let (slot, posted, room) = match party {
                Party::Known { slot, posted, room } => (slot, posted, room),
                Party::Unknown(id) if self.coordinator.directory.get(id).is_some() => {
                    return differs(format!("account {id} exists, yet it was unknown"));
                }
                Party::Unknown(_) => continue,
            };
            self.check_slot(lsn, slot)?;
            check_figures(lsn, posted, room)?;
            let now = self.host(slot).at(slot).figures();
            if now.posted != posted || now.available != posted + room {
                return differs(format!("slot {} stood elsewhere when it was refused", slot.0));
            }
        }
        Ok(())
    }
}

/// No amount, limit or room is larger; sums of them stay far from the ends of `i128`.
pub(crate) fn check_range(lsn: Lsn, minor: u128) -> Result<(), Impossible> {
    if minor <= AMOUNT_MAX {
        return Ok(());
    }
    Err(Impossible::Differs { lsn, what: format!("{minor} minor units are out of range") })
}

/// No figures of an account lie further out; sums of them stay far from the ends of `i128`.
fn check_figures(lsn: Lsn, posted: i128, room: i128) -> Result<(), Impossible> {
    let range = -4 * BALANCE_MAX..=4 * BALANCE_MAX;
    if range.contains(&posted) && range.contains(&room) {
        return Ok(());
    }
    Err(Impossible::Differs { lsn, what: format!("{posted} or {room} is out of range") })
}

fn check_posted(lsn: Lsn, posted: &Posted) -> Result<(), Impossible> {
    check_range(lsn, posted.amount)?;
    [posted.debit_side, posted.credit_side]
        .into_iter()
        .try_for_each(|side| check_figures(lsn, side.posted, side.room))
}

fn check_side(lsn: Lsn, side: &PostedSide, leg: Leg) -> Result<(), Impossible> {
    let same = side.posted == leg.after.posted
        && side.posted + side.room == leg.after.available
        && side.back == leg.back(lsn);
    if same {
        return Ok(());
    }
    let what = format!("the journal says {side:?}, the accounts come to {leg:?}");
    Err(Impossible::Differs { lsn, what })
}
