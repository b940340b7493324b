//! The serial model: a ledger so plain that it is obviously right, to hold the real one
//! against.
//!
//! It executes one submission after the other, one request after the other, in hash maps:
//! no batches, no slots, no partitions, no freezes, no votes, no records. Property tests, the
//! simulator and history checkers compare every outcome and every account with what it says.
//! Nothing in the running product calls it, and it shares no rule with
//! [`crate::coordinator`] or [`crate::account`]: where both agree, two readings of the same
//! documentation agree.
//!
//! ```text
//! requests ─▶ SerialLedger::submit ─▶ outcomes        the real ledger ─▶ outcomes
//!                                        └──────────── equal? ──────────────┘
//! ```

mod driven;
mod fees;
mod holds;
mod known;
mod refunds;
mod terms;

pub use known::Known;

use crate::account_event::Opening;
use crate::fees::FeeNote;
use crate::holds::{Closed, HoldAfter};
use crate::ids::{AccountId, Lsn, TransferId};
use crate::limits::{Bounds, LimitsChange};
use crate::money::{AMOUNT_MAX, BALANCE_MAX, Currencies, Currency, CurrencyError, CurrencyId};
use crate::profile::{Filter, Profile, ProfileChange};
use crate::refunds::RefundAfter;
use crate::rejection::Rejection;
use crate::request::{HoldRequest, Request};
use crate::terms::{Terms, TermsAfter};
use crate::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, AccountView, BalanceAfter,
    Outcome, TransferKind, TransferRequest,
};
use fees::{Due, FeeBook};
use holds::{HoldBook, Move};
use refunds::{Found, RefundBook};
use std::collections::{BTreeMap, HashMap};

/// An account of the model: what it is and what it has, and nothing that is only on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Book {
    spec: AccountSpec,
    bounds: Bounds,
    status: AccountStatus,
    posted: i128,
    opened_lsn: Lsn,
    last_lsn: Lsn,
    /// The last event that changed it, of any kind.
    version: Lsn,
}

/// The answer to a request, how the hold of an operation stands after it, how the original of a
/// refund does, and what is told of its terms and of its fee.
pub type Answered =
    (Outcome, Option<HoldAfter>, Option<RefundAfter>, Option<TermsAfter>, Option<FeeNote>);

/// An id that was consumed: what was asked first and what was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Consumed {
    asked: Request,
    answered: Answered,
    generation: u64,
}

/// When ids are forgotten: ids come in generations, and only the youngest two are known. A
/// generation ends when it has lived `remember_ns`, of which a pause between two new ids
/// counts for a 24th at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Forgetting {
    /// Never, without.
    remember_ns: Option<u64>,
    generation: u64,
    age_ns: u64,
    newest_ns: Option<u64>,
}

impl Forgetting {
    /// How old the youngest generation would be with a new id at `time_ns`.
    fn age_at(&self, time_ns: u64) -> u64 {
        let pause_ns = self.newest_ns.map_or(0, |newest_ns| time_ns - newest_ns);
        let longest_ns = self.remember_ns.unwrap_or(0) / 24;
        self.age_ns + pause_ns.min(longest_ns)
    }

    /// The oldest generation that is known at `time_ns`.
    fn oldest_known(&self, time_ns: u64) -> u64 {
        let ends = self.remember_ns.is_some_and(|lived_ns| self.age_at(time_ns) >= lived_ns);
        if ends { self.generation } else { self.generation.saturating_sub(1) }
    }

    /// A new id comes at `time_ns`; true when a generation ends with it.
    fn comes(&mut self, time_ns: u64) -> bool {
        let Some(lived_ns) = self.remember_ns else { return false };
        let age_ns = self.age_at(time_ns);
        let ends = age_ns >= lived_ns;
        self.age_ns = if ends { 0 } else { age_ns };
        self.generation += u64::from(ends);
        self.newest_ns = Some(time_ns);
        ends
    }
}

/// A ledger that does one thing at a time.
#[derive(Clone, Debug, Default)]
pub struct SerialLedger {
    accounts: HashMap<AccountId, Book>,
    known: HashMap<AccountId, Known>,
    consumed: HashMap<TransferId, Consumed>,
    holds: HoldBook,
    refunds: RefundBook,
    fees: FeeBook,
    forgetting: Forgetting,
    /// The linked groups that were done, by the id of their first member.
    done_groups: HashMap<TransferId, Vec<TransferId>>,
    currencies: Currencies,
    last_lsn: Lsn,
    last_time_ns: u64,
}

impl SerialLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty ledger that forgets ids as a ledger of this `remember_ns` does.
    #[must_use]
    pub fn forgetting(remember_ns: u64) -> Self {
        let forgetting = Forgetting { remember_ns: Some(remember_ns), ..Forgetting::default() };
        Self { forgetting, ..Self::default() }
    }

    /// How many ids are known.
    #[must_use]
    pub fn known_ids(&self) -> usize {
        self.consumed.len()
    }

    /// Whether an id is known at `time_ns`.
    fn knows(&self, id: TransferId, time_ns: u64) -> bool {
        let oldest = self.forgetting.oldest_known(time_ns);
        self.consumed.get(&id).is_some_and(|consumed| consumed.generation >= oldest)
    }

    /// The LSN of the last event; [`Lsn::ZERO`] for none.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    fn next_event(&mut self) -> Lsn {
        self.last_lsn = self.last_lsn.next();
        self.last_lsn
    }

    /// How the account stands.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<AccountView> {
        self.accounts.get(&id).map(|book| AccountView {
            spec: book.spec,
            status: book.status,
            posted: book.posted,
            on_hold: self.holds.on_hold(id),
            held: 0,
            incoming: 0,
            available: self.figures(id).map_or(0, |figures| figures.available),
            bounds: book.bounds,
            opened_lsn: book.opened_lsn,
            last_lsn: book.last_lsn,
            version: book.version,
        })
    }

    /// The ids of all accounts, in no order.
    pub fn account_ids(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.accounts.keys().copied()
    }

    /// The sum of all balances of each currency, minor units; zero each.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<CurrencyId, i128> {
        let mut totals = BTreeMap::new();
        for book in self.accounts.values() {
            *totals.entry(book.spec.currency).or_default() += book.posted;
        }
        totals
    }

    /// Opens an account of which nothing is known beside its money.
    pub fn open_account(&mut self, spec: &AccountSpec) -> AccountOutcome {
        self.open_with(&Opening::from(*spec))
    }

    /// Opens an account. Only an opening that succeeds is an event.
    pub fn open_with(&mut self, opening: &Opening) -> AccountOutcome {
        let spec = &opening.spec;
        if let Err(fault) = known::check_profile(&opening.profile) {
            return AccountOutcome::Refused(AccountRejection::Text(fault));
        }
        if spec.overdraft_limit > AMOUNT_MAX {
            return AccountOutcome::Refused(AccountRejection::LimitTooLarge);
        }
        if let Err(why) = known::check_limits(spec, opening.bounds, 0, 0) {
            return AccountOutcome::Refused(why);
        }
        if self.currencies.by_id(spec.currency).is_none() {
            return AccountOutcome::Refused(AccountRejection::CurrencyUnknown);
        }
        if let Some(there) = self.accounts.get(&spec.id) {
            return if self.known[&spec.id].opening == *opening {
                AccountOutcome::Exists(there.opened_lsn)
            } else {
                AccountOutcome::Refused(AccountRejection::ExistsDifferent)
            };
        }
        let opened_lsn = self.next_event();
        let book = Book {
            spec: *spec,
            bounds: opening.bounds,
            status: AccountStatus::Active,
            posted: 0,
            opened_lsn,
            last_lsn: Lsn::ZERO,
            version: opened_lsn,
        };
        self.accounts.insert(spec.id, book);
        self.known.insert(spec.id, Known::new(opening, opened_lsn));
        AccountOutcome::Opened(opened_lsn)
    }

    /// Changes an account's status. Setting the status it has is an event too.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn set_status(
        &mut self,
        id: AccountId,
        status: AccountStatus,
        reason: &str,
    ) -> Result<Lsn, AccountRejection> {
        let book = self.accounts.get_mut(&id).ok_or(AccountRejection::Unknown)?;
        let empty = book.posted == 0 && self.holds.on_hold(id) == 0;
        if status == AccountStatus::Closed && !empty {
            return Err(AccountRejection::NotEmpty);
        }
        known::check_reason(reason)?;
        book.status = status;
        let lsn = self.next_event();
        self.move_on(id, lsn);
        let known = self.known.get_mut(&id).expect("every account is known");
        known.reason = Some((lsn, reason.to_owned()));
        known.history.push(lsn);
        Ok(lsn)
    }

    /// Changes what is known of an account. What changes nothing is no event.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn change_profile(
        &mut self,
        id: AccountId,
        change: &ProfileChange,
    ) -> Result<Option<Lsn>, AccountRejection> {
        let known = self.known.get(&id).ok_or(AccountRejection::Unknown)?;
        let profile = known::after(&known.profile, change);
        if profile == known.profile {
            return Ok(None);
        }
        known::check_profile(&profile)?;
        let lsn = self.next_event();
        let known = self.known.get_mut(&id).expect("looked up above");
        known.profile = profile;
        known.history.push(lsn);
        Ok(Some(lsn))
    }

    /// Changes an account's limits, from the next event on. What changes nothing is no event.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn change_limits(
        &mut self,
        id: AccountId,
        change: &LimitsChange,
    ) -> Result<Option<Lsn>, AccountRejection> {
        let before = *self.accounts.get(&id).ok_or(AccountRejection::Unknown)?;
        let mut after = before;
        if let Some(limit) = change.overdraft_limit {
            after.spec.overdraft_limit = limit;
        }
        if let Some(floor) = change.floor {
            after.bounds.floor = floor;
        }
        if let Some(ceiling) = change.ceiling {
            after.bounds.ceiling = ceiling;
        }
        if after == before {
            return Ok(None);
        }
        known::check_limits(&after.spec, after.bounds, before.posted, self.holds.on_hold(id))?;
        let lsn = self.next_event();
        self.accounts.insert(id, after);
        self.move_on(id, lsn);
        self.known.get_mut(&id).expect("every account is known").history.push(lsn);
        Ok(Some(lsn))
    }

    /// What is known of an account beside its money.
    #[must_use]
    pub fn known(&self, id: AccountId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// The accounts that a filter asks for, in the order of their opening.
    #[must_use]
    pub fn find(&self, filter: &Filter) -> Vec<AccountId> {
        let fits = |(id, book): &(&AccountId, &Book)| {
            let Profile { kind, owner, label, metadata } = &self.known[*id].profile;
            let (spec, status) = (book.spec, book.status);
            let Filter { metadata: asked, label_prefix, .. } = filter;
            [
                filter.owner.as_ref().is_none_or(|asked| asked == owner),
                filter.kind.is_none_or(|asked| asked == *kind),
                label.get(..label_prefix.len()) == Some(label_prefix),
                asked.iter().all(|pair| metadata.iter().any(|there| there == pair)),
                filter.currency.is_none_or(|asked| asked == spec.currency),
                filter.status.is_none_or(|asked| asked == status),
                filter.external.is_none_or(|asked| asked == spec.external),
            ]
            .into_iter()
            .all(|holds| holds)
        };
        let mut found: Vec<_> = self.accounts.iter().filter(fits).collect();
        found.sort_unstable_by_key(|(_, book)| book.opened_lsn);
        found.into_iter().map(|(id, _)| *id).collect()
    }

    /// Defines an asset. Defining the same one again is no event.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn define_asset(
        &mut self,
        code: &str,
        digits: u32,
    ) -> Result<(Currency, Option<Lsn>), CurrencyError> {
        let known = self.currencies.own().iter().any(|asset| asset.code == code);
        let asset = self.currencies.define(code, digits)?;
        Ok((asset, (!known).then(|| self.next_event())))
    }

    /// Does something with fees.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    #[cfg(any(test, feature = "testing"))]
    pub fn fee(
        &mut self,
        step: &crate::testing::fees::FeeStep,
    ) -> Result<Option<Lsn>, crate::fees::FeeFault> {
        use crate::testing::fees::FeeStep;
        match step {
            FeeStep::Define(schedule) => self.define_fee(schedule),
            FeeStep::Attach(target, name) => self.attach_fee(*target, *name),
        }
    }

    /// Notes that an event was decided at `now_ns` and gives its journalled time, which never
    /// goes back.
    pub fn time(&mut self, now_ns: u64) -> u64 {
        self.last_time_ns = self.last_time_ns.max(now_ns);
        self.last_time_ns
    }

    /// Moves an amount that no single transfer could, as if by the event at `lsn`, asking no
    /// rule. Balances near [`BALANCE_MAX`] are 2^24 transfers away otherwise.
    ///
    /// # Panics
    /// When one of the accounts does not exist.
    pub fn force(&mut self, lsn: Lsn, debit: AccountId, credit: AccountId, amount: i128) {
        for (id, change) in [(debit, -amount), (credit, amount)] {
            let book = self.accounts.get_mut(&id).expect("an account of the model");
            book.posted += change;
            book.last_lsn = lsn;
            book.version = lsn;
        }
    }

    /// An event changes the account.
    fn move_on(&mut self, id: AccountId, lsn: Lsn) {
        self.accounts.get_mut(&id).expect("an account of the model").version = lsn;
    }

    /// How many holds are open.
    #[must_use]
    pub fn open_holds(&self) -> usize {
        self.holds.open.len()
    }

    /// Lets the holds expire whose time is over by `now_ns`: an event each.
    pub fn expire(&mut self, now_ns: u64) -> u64 {
        let time_ns = self.time(now_ns);
        for id in self.holds.due(time_ns) {
            let lsn = self.next_event();
            self.move_on(self.holds.open[&id].asked.debit, lsn);
            self.holds.close(id, Closed::Expired);
            self.note_closed();
        }
        time_ns
    }

    /// How a hold ended is remembered as long as the id of the request that placed it.
    fn note_closed(&mut self) {
        for (id, (placed, how)) in std::mem::take(&mut self.holds.just_closed) {
            if self.consumed.get(&id).is_some_and(|consumed| consumed.answered.0.lsn == placed) {
                self.holds.closed.insert(id, how);
            }
        }
    }

    /// Executes one submission, its requests one after the other, at `now_ns`. A request
    /// that is linked forms a group with the next one.
    pub fn submit<R: Clone + Into<Request>>(
        &mut self,
        now_ns: u64,
        requests: &[R],
    ) -> Vec<Outcome> {
        let answers = self.submit_in_full(now_ns, requests);
        answers.into_iter().map(|(outcome, ..)| outcome).collect()
    }

    /// The same, how the hold of each operation and the original of each refund stand, and what is
    /// told of terms.
    pub fn submit_in_full<R: Clone + Into<Request>>(
        &mut self,
        now_ns: u64,
        requests: &[R],
    ) -> Vec<Answered> {
        let time_ns = self.expire(now_ns);
        let requests: Vec<Request> = requests.iter().cloned().map(Into::into).collect();
        let groups = requests.chunk_by(|before, _| before.linked());
        groups.flat_map(|group| self.execute_group(time_ns, group)).collect()
    }

    /// A request that is not linked is a group of one.
    fn execute_group(&mut self, time_ns: u64, group: &[Request]) -> Vec<Answered> {
        // What refunds name was decided before this group.
        let found: Vec<Found> =
            group.iter().map(|request| self.original(time_ns, request)).collect();
        // Known before this group, or earlier in it.
        let known: Vec<bool> = group
            .iter()
            .enumerate()
            .map(|(at, request)| {
                self.knows(request.id(), time_ns)
                    || group[..at].iter().any(|earlier| earlier.id() == request.id())
            })
            .collect();
        if known.contains(&true) {
            // First the new ones: an id that the group names twice is new where it comes first.
            let new = group.iter().zip(&found).zip(&known).map(|((request, found), known)| {
                let failed = Rejection::LinkedFailed;
                (!known).then(|| self.consume(time_ns, request, *found, Err(failed), None))
            });
            let new: Vec<Option<Answered>> = new.collect();
            let done_so = group.len() == 1 || self.was_done(group);
            let answers = group.iter().zip(new);
            return answers
                .map(|(request, new)| new.unwrap_or_else(|| self.answer_again(request, done_so)))
                .collect();
        }
        let due = match self.first_static(time_ns, group, &found) {
            None => self.due(time_ns, group, &found),
            Some(broken) => Err(broken),
        };
        let (moved, fees, rule_of_fee) = match due {
            Err(broken) => (Err(broken), vec![None; group.len()], None),
            Ok(fees) => match self.try_out(time_ns, group, &found, &fees) {
                Ok(moved) => (Ok(moved), fees, None),
                Err((failing, rule, of_fee)) => (Err((failing, rule)), fees, of_fee),
            },
        };
        // What was due is told where it was taken, and where it is why nothing happened.
        let note = |at: usize| {
            let told = fees[at].map(|due: Due| due.note);
            match (&moved, rule_of_fee) {
                (Ok(_), _) => told,
                (Err((failing, _)), Some(rule)) if *failing == at => {
                    told.map(|note| FeeNote { refused: Some(rule), ..note })
                }
                _ => None,
            }
        };
        let answer = |(at, request): (usize, &Request)| {
            let judged = match &moved {
                Ok(moved) => Ok(moved[at]),
                Err((failing, rule)) if *failing == at => Err(*rule),
                Err(_) => Err(Rejection::LinkedFailed),
            };
            self.consume(time_ns, request, found[at], judged, note(at))
        };
        let answers = group.iter().enumerate().map(answer).collect();
        // Each fee is an event behind the group, taken or not.
        for due in fees.iter().flatten() {
            let lsn = self.next_event();
            if moved.is_ok() {
                self.force(lsn, due.debit, due.to, whole(due.note.amount));
            }
        }
        if group.len() > 1 && moved.is_ok() {
            let ids = group.iter().map(Request::id).collect();
            self.done_groups.insert(group[0].id(), ids);
        }
        answers
    }

    /// Whether this very group was done: the same members, no more and no fewer, each with
    /// the same content.
    fn was_done(&self, group: &[Request]) -> bool {
        let ids: Vec<TransferId> = group.iter().map(Request::id).collect();
        self.done_groups.get(&ids[0]) == Some(&ids)
            && group.iter().all(|request| self.is_same(request))
    }

    /// The first member that breaks a rule which needs no balance and no status, and the rule.
    /// Each finds the holds as those before it leave them.
    fn first_static(
        &self,
        time_ns: u64,
        group: &[Request],
        found: &[Found],
    ) -> Option<(usize, Rejection)> {
        let mut holds = self.holds.clone();
        let mut refunds = self.refunds.clone();
        group.iter().enumerate().find_map(|(at, asked)| {
            let request = asked.plain();
            let held_in = |hold: &HoldRequest| self.accounts[&hold.debit].spec.currency;
            let about_holds = holds.rule(time_ns, request, |id| self.knows(id, time_ns), held_in);
            let about_holds = about_holds.or_else(|| terms::static_rule(asked));
            let rule = about_holds.or_else(|| match request {
                Request::Termed(_) | Request::Noted(_) => unreachable!("terms are apart"),
                Request::Transfer(transfer) => self.static_rule(transfer),
                Request::Hold(hold) => self.static_rule(&hold.transfer()),
                Request::Refund(refund) => {
                    let held_in = |account| self.accounts[&account].spec.currency;
                    refunds.rule(refund, found[at], held_in)
                }
                Request::Capture(_) | Request::Void(_) | Request::Extend(_) => None,
            });
            if rule.is_none() {
                holds.happen(time_ns, Lsn::ZERO, request);
                if let Request::Refund(refund) = request {
                    refunds.happen(refund, found[at]);
                }
            }
            rule.map(|rule| (at, rule))
        })
    }

    /// Tries the members in order, on a copy, so that nothing remains of it: what each moves or
    /// sets aside; or the first that fails, and the rule.
    fn try_out(
        &self,
        time_ns: u64,
        group: &[Request],
        found: &[Found],
        fees: &[Option<Due>],
    ) -> Result<Vec<u128>, (usize, Rejection, Option<Rejection>)> {
        let mut trial = self.accounts.clone();
        let mut holds = self.holds.clone();
        let mut refunds = self.refunds.clone();
        let mut given = 0;
        let mut all = Vec::with_capacity(group.len());
        for (at, asked) in group.iter().enumerate() {
            let request = asked.plain();
            let mut told = 0;
            if let Some(mut moved) = movement(&holds, &refunds, request, found[at]) {
                let debit = trial[&moved.debit];
                let credit = trial[&moved.credit];
                let on_hold = holds.on_hold(moved.debit);
                let mut rules = Vec::new();
                if let Some(balancing) = terms::balancing(asked) {
                    if balancing.source.is_none() {
                        given = 0;
                    }
                    let side = (&debit, whole(on_hold));
                    let most = moved.amount;
                    (moved.amount, rules) = terms::balance(&balancing, most, given, side, &credit);
                    let ends = balancing.source.is_none_or(|source| source.last);
                    given = if ends { 0 } else { given + moved.amount };
                } else {
                    given = 0;
                }
                if !matches!(request, Request::Void(_)) {
                    rules.extend(dynamic_rule(&debit, &credit, on_hold, moved));
                }
                if let Some(terms) = terms::of(asked) {
                    rules.extend(self.broken_terms(terms, (&debit, &credit), &holds, moved));
                }
                if let Some(rule) = rules.into_iter().min() {
                    return Err((at, rule, None));
                }
                told = moved.amount + moved.set_aside;
                let amount = whole(moved.amount);
                trial.insert(moved.debit, Book { posted: debit.posted - amount, ..debit });
                let credit = trial[&moved.credit];
                trial.insert(moved.credit, Book { posted: credit.posted + amount, ..credit });
            }
            holds.happen(time_ns, Lsn::ZERO, request);
            if let Request::Refund(refund) = request {
                refunds.happen(refund, found[at]);
            }
            all.push(told);
        }
        for (at, due) in fees.iter().enumerate() {
            let Some(Due { debit, to, note }) = *due else { continue };
            let (from, credit, amount) = (trial[&debit], trial[&to], note.amount);
            let (set_aside, given_back, overdraft) = (0, 0, false);
            let moved = Move { debit, credit: to, amount, set_aside, given_back, overdraft };
            if let Some(rule) = dynamic_rule(&from, &credit, holds.on_hold(debit), moved) {
                return Err((at, Rejection::FeeRefused, Some(rule)));
            }
            trial.insert(debit, Book { posted: from.posted - whole(amount), ..from });
            trial.insert(to, Book { posted: credit.posted + whole(amount), ..credit });
        }
        Ok(all)
    }

    /// The conditions that do not hold: on versions as they were before the group, on figures as
    /// they are once this is done.
    fn broken_terms(
        &self,
        terms: &Terms,
        (debit, credit): (&Book, &Book),
        holds: &HoldBook,
        moved: Move,
    ) -> Vec<Rejection> {
        let version = |book: &Book| self.accounts[&book.spec.id].version;
        let figures = |book: &Book, posted: i128, on_hold: i128| {
            let after = Book { posted, ..*book };
            let overdraft = after.available(0) - posted;
            (posted, posted - on_hold + overdraft)
        };
        let amount = whole(moved.amount);
        let held = whole(holds.on_hold(moved.debit)) + whole(moved.set_aside);
        let paid = figures(debit, debit.posted - amount, held - whole(moved.given_back));
        let held = whole(holds.on_hold(moved.credit));
        let received = figures(credit, credit.posted + amount, held);
        let of_debit = [Rejection::DebitAccountVersion, Rejection::DebitAccountCondition];
        let of_credit = [Rejection::CreditAccountVersion, Rejection::CreditAccountCondition];
        let mut rules = terms::broken(&terms.debit, version(debit), paid, of_debit);
        rules.extend(terms::broken(&terms.credit, version(credit), received, of_credit));
        rules
    }

    fn static_rule(&self, request: &TransferRequest) -> Option<Rejection> {
        let debit = self.accounts.get(&request.debit).map(|book| book.spec);
        let credit = self.accounts.get(&request.credit).map(|book| book.spec);
        let currencies = (debit.map(|d| d.currency), credit.map(|c| c.currency));
        let rules = [
            (Rejection::SameAccount, request.debit == request.credit),
            (Rejection::DebitAccountUnknown, debit.is_none()),
            (Rejection::CreditAccountUnknown, credit.is_none()),
            (Rejection::AccountsDifferInCurrency, currencies.0 != currencies.1),
            (
                Rejection::CurrencyMismatch,
                request.currency.is_some() && request.currency != currencies.0,
            ),
            (
                Rejection::KindMismatch,
                match request.kind {
                    TransferKind::Transfer => external(debit) || external(credit),
                    TransferKind::Deposit => !external(debit) || external(credit),
                    TransferKind::Withdrawal => external(debit) || !external(credit),
                    TransferKind::Payment => external(debit) || external(credit),
                    _ => external(debit) && external(credit),
                },
            ),
        ];
        rules.into_iter().find(|(_, broken)| *broken).map(|(rule, _)| rule)
    }

    /// A new id: one event, whatever becomes of it.
    fn consume(
        &mut self,
        time_ns: u64,
        asked: &Request,
        found: Found,
        judged: Result<u128, Rejection>,
        fee: Option<FeeNote>,
    ) -> Answered {
        let request = asked.plain();
        let lsn = self.next_event();
        let parties = self.parties(request, found);
        let mut hold = None;
        let mut moved = None;
        let rejection = judged.err();
        if let Ok(told) = judged {
            moved = movement(&self.holds, &self.refunds, request, found);
            if let Some(moved) = &mut moved {
                if !matches!(request, Request::Hold(_) | Request::Void(_)) {
                    moved.amount = told;
                    self.force(lsn, moved.debit, moved.credit, whole(told));
                }
                self.move_on(moved.debit, lsn);
            }
            hold = self.holds.happen(time_ns, lsn, request);
            if let Request::Refund(refund) = request {
                self.refunds.happen(refund, found);
            }
        }
        self.refunds.note(lsn, request, rejection.is_some(), moved);
        let hold = hold.or_else(|| self.holds.standing(request));
        let hold = hold.filter(|_| !matches!(request, Request::Transfer(_)));
        let figures = |id: Option<AccountId>| id.and_then(|id| self.figures(id));
        let version =
            |id: Option<AccountId>| id.and_then(|id| Some(self.accounts.get(&id)?.version));
        let (debit, credit) = parties.unzip();
        // The credit account of a hold has no part in it before it is captured.
        let has_part = match request {
            Request::Transfer(_) | Request::Capture(_) | Request::Refund(_) => true,
            Request::Hold(_) => rejection.is_some(),
            Request::Void(_) | Request::Extend(_) => false,
            Request::Termed(_) | Request::Noted(_) => unreachable!("terms are apart"),
        };
        let answered = Outcome {
            id: request.id(),
            lsn,
            time_ns,
            rejection,
            repeat: false,
            currency: parties.and_then(|parties| self.currency_of_accounts(parties)),
            debit: figures(debit),
            credit: figures(credit.filter(|_| has_part)),
        };
        let amount = moved.map_or(0, |moved| moved.amount);
        let refund = self.refunds.told(request, found, amount);
        let versions = [version(debit), version(credit)];
        let told = terms::of(asked).map(|_| terms::after(lsn, asked, judged.ok(), versions));
        let answered = (answered, hold, refund, told, fee);
        if self.forgetting.comes(time_ns) {
            let oldest = self.forgetting.oldest_known(time_ns);
            self.consumed.retain(|_, consumed| consumed.generation >= oldest);
            let consumed = &self.consumed;
            self.done_groups.retain(|first, _| consumed.contains_key(first));
            self.holds.closed.retain(|id, _| consumed.contains_key(id));
        }
        let generation = self.forgetting.generation;
        let asked = asked.clone();
        self.consumed.insert(request.id(), Consumed { asked, answered, generation });
        self.note_closed();
        answered
    }

    /// Debit and credit account, where the request names them or its hold, being open, does.
    fn parties(&self, request: &Request, found: Found) -> Option<(AccountId, AccountId)> {
        let of = |id| self.holds.open.get(&id).map(|hold| (hold.asked.debit, hold.asked.credit));
        match request {
            Request::Transfer(transfer) => Some((transfer.debit, transfer.credit)),
            Request::Hold(hold) => Some((hold.debit, hold.credit)),
            Request::Capture(capture) => of(capture.hold),
            Request::Void(void) => of(void.hold),
            Request::Extend(extend) => of(extend.hold),
            Request::Refund(refund) => RefundBook::parties(refund, found),
            Request::Termed(_) | Request::Noted(_) => unreachable!("terms are apart"),
        }
    }

    /// What a refund names.
    fn original(&self, time_ns: u64, request: &Request) -> Found {
        let refund = request.refund()?;
        let known = self.knows(refund.of, time_ns);
        let known = known.then(|| self.consumed[&refund.of].answered.0.lsn);
        self.refunds.find(refund, known)
    }

    /// Whether the content is that of the first request under the id.
    fn is_same(&self, request: &Request) -> bool {
        let Consumed { asked, answered, .. } = &self.consumed[&request.id()];
        // Leaving the currency out means that of the accounts.
        let meant = |request: &Request| {
            let mut request = request.plain().clone();
            match &mut request {
                Request::Termed(_) | Request::Noted(_) => unreachable!("terms are apart"),
                Request::Transfer(transfer) => {
                    transfer.currency = transfer.currency.or(answered.0.currency);
                }
                Request::Hold(hold) => hold.currency = hold.currency.or(answered.0.currency),
                Request::Capture(capture) => {
                    capture.currency = capture.currency.or(answered.0.currency);
                }
                Request::Refund(refund) => {
                    refund.currency = refund.currency.or(answered.0.currency);
                    refund.original = None;
                }
                Request::Void(_) | Request::Extend(_) => {}
            }
            request
        };
        meant(request) == meant(asked)
            && terms::of(request) == terms::of(asked)
            && request.note() == asked.note()
    }

    /// A known id: the first answer again if the content is the same; but what was done only
    /// where it was `done_so`, alone or in this very group.
    fn answer_again(&self, request: &Request, done_so: bool) -> Answered {
        let (first, hold, refund, told, fee) = self.consumed[&request.id()].answered;
        if self.is_same(request) && (done_so || first.rejection.is_some()) {
            return (Outcome { repeat: true, ..first }, hold, refund, told, fee);
        }
        let reused = Outcome {
            id: request.id(),
            lsn: first.lsn,
            time_ns: first.time_ns,
            rejection: Some(Rejection::IdReused),
            repeat: true,
            currency: None,
            debit: None,
            credit: None,
        };
        (reused, None, None, None, None)
    }

    /// The debit account's currency, or the credit account's where that is unknown.
    fn currency_of_accounts(&self, parties: (AccountId, AccountId)) -> Option<CurrencyId> {
        let book = self.accounts.get(&parties.0).or(self.accounts.get(&parties.1));
        book.map(|book| book.spec.currency)
    }

    fn figures(&self, id: AccountId) -> Option<BalanceAfter> {
        let book = self.accounts.get(&id)?;
        let available = book.available(self.holds.on_hold(id));
        Some(BalanceAfter { posted: book.posted, available })
    }
}

impl Book {
    fn available(&self, on_hold: u128) -> i128 {
        let overdraft = if self.spec.external { 0 } else { whole(self.spec.overdraft_limit) };
        self.posted - whole(on_hold) + overdraft
    }
}

/// What the request, which breaks no other rule, will do to accounts.
fn movement(
    holds: &HoldBook,
    refunds: &RefundBook,
    request: &Request,
    found: Found,
) -> Option<Move> {
    match request {
        Request::Refund(refund) => refunds.movement(refund, found),
        request => holds.movement(request),
    }
}

/// The first rule that depends on how the accounts stand.
fn dynamic_rule(debit: &Book, credit: &Book, on_hold: u128, moved: Move) -> Option<Rejection> {
    let amount = whole(moved.amount);
    let needed = amount + whole(moved.set_aside) - whole(moved.given_back);
    let closed = AccountStatus::Closed;
    let frozen = AccountStatus::Frozen;
    let (no_debits, no_credits) = (AccountStatus::DebitsBlocked, AccountStatus::CreditsBlocked);
    // A capture takes nothing away, even from an account that a refund has overdrawn.
    let free = debit.spec.external || moved.overdraft || needed <= 0;
    let covered = free || needed <= debit.available(on_hold);
    let in_range = debit.posted - whole(on_hold) - needed >= -BALANCE_MAX
        && credit.posted + amount <= BALANCE_MAX;
    let rules = [
        (Rejection::DebitAccountClosed, debit.status == closed),
        (Rejection::CreditAccountClosed, credit.status == closed),
        (Rejection::DebitAccountFrozen, debit.status == frozen),
        (Rejection::CreditAccountFrozen, credit.status == frozen),
        (Rejection::DebitAccountBlocked, debit.status == no_debits),
        (Rejection::CreditAccountBlocked, credit.status == no_credits),
        (
            Rejection::DebitAccountFloor,
            debit.bounds.floor.is_some_and(|f| debit.posted - whole(on_hold) - needed < f),
        ),
        (Rejection::InsufficientFunds, !covered),
        (
            Rejection::CreditAccountCeiling,
            credit.bounds.ceiling.is_some_and(|c| credit.posted + amount > c),
        ),
        (Rejection::BalanceOverflow, !in_range),
    ];
    rules.into_iter().find(|(_, broken)| *broken).map(|(rule, _)| rule)
}

fn external(spec: Option<AccountSpec>) -> bool {
    spec.is_some_and(|spec| spec.external)
}

/// Amounts and limits that passed the rules are far below `i128::MAX`.
fn whole(minor: u128) -> i128 {
    i128::try_from(minor).expect("an amount that passed the rules")
}
