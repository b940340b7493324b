//! One event: by the rules, by its figures, and by what was told of it.

use crate::books::{Book, Books, form_rule, funds_rule, whole};
use crate::check::{Asked, Checker};
use crate::event::{Event, Side, Stored};
use crate::fault::Kind;
use crate::history::{AccountChange, BadHistory, SeenEntry, Told};
use crate::holds::{Effect, Stands, effect_on, hold_rule};
use ducat_engine::account_event::{AccountEvent, Change, LimitsFrom};
use ducat_engine::holds::Hold;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::money::AMOUNT_MAX;
use ducat_engine::record::{Posted, Record};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{Request, expiry_ns};
use ducat_engine::transfer::{AccountSpec, AccountStatus};
use std::collections::HashMap;

/// What the rules give. A hold that was closed so long ago that its id may be forgotten may be
/// called unknown too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    rule: Option<Rejection>,
    or_unknown: bool,
}

/// The member that fails, why, and whether its hold may be forgotten.
type Broken = (usize, Rejection, bool);

impl Verdict {
    fn of(rule: Option<Rejection>) -> Self {
        Self { rule, or_unknown: false }
    }

    /// Whether it is what became of the request.
    pub fn allows(self, rejection: Option<Rejection>) -> bool {
        self.rule == rejection || (self.or_unknown && rejection == Some(Rejection::HoldUnknown))
    }
}

/// The account of one side, whether or not the event says that it exists.
fn book<'b>(books: &'b Books, side: &Side, id: AccountId) -> Option<&'b Book> {
    match side.slot {
        Some(slot) => books.get(slot),
        None => books.of(id),
    }
}

impl Checker<'_> {
    /// What the rules give for a request that is not linked, now.
    pub(crate) fn judge_one(&mut self, request: &Request, stored: &Stored) -> Verdict {
        let Request::Transfer(transfer) = request else {
            return match self.first_broken(&[request], std::slice::from_ref(stored)) {
                Some((_, rule, or_unknown)) => Verdict { rule: Some(rule), or_unknown },
                None => Verdict::of(None),
            };
        };
        let debit = book(&self.books, &stored.debit, transfer.debit);
        let credit = book(&self.books, &stored.credit, transfer.credit);
        let form = form_rule(transfer, debit, credit);
        let rule = form.or_else(|| {
            let (debit, credit) = debit.zip(credit)?;
            let amount = whole(transfer.amount);
            funds_rule(debit, credit, amount, amount)
        });
        Verdict::of(rule)
    }

    /// What the rules give for the new members of a group, whose events these are. `mixed`: it
    /// has known members as well. `None` when the events are of other requests.
    pub(crate) fn judge(
        &mut self,
        requests: &[&Request],
        stored: &[Stored],
        mixed: bool,
    ) -> Option<Vec<Verdict>> {
        let same = requests.iter().zip(stored).all(|(request, stored)| stored.is(request));
        if !same || requests.len() != stored.len() {
            return None;
        }
        let failed = Verdict::of(Some(Rejection::LinkedFailed));
        if mixed {
            return Some(vec![failed; requests.len()]);
        }
        let broken = self.first_broken(requests, stored);
        let verdict = |at| match broken {
            None => Verdict::of(None),
            Some((failing, rule, or_unknown)) if failing == at => {
                Verdict { rule: Some(rule), or_unknown }
            }
            Some(_) => failed,
        };
        Some((0..requests.len()).map(verdict).collect())
    }

    /// The first member that breaks a rule which needs no balance and no status, else the first
    /// that cannot happen after those before it.
    fn first_broken(&mut self, requests: &[&Request], stored: &[Stored]) -> Option<Broken> {
        // Each finds the holds as those before it leave them.
        let mut touched: HashMap<TransferId, Stands> = HashMap::new();
        for (at, (request, stored)) in requests.iter().zip(stored).enumerate() {
            let id = request.hold();
            let known = id.and_then(|id| touched.get(&id).copied());
            let stands = known.unwrap_or_else(|| self.stands_of(request));
            if let Some(rule) = self.form_of(request, stored, stands) {
                let forgotten = matches!(stands, Stands::Closed(_, placed)
                    if !self.ids.remembers(placed, stored.lsn));
                return Some((at, rule, forgotten));
            }
            touched.extend(self.effect(request, stored, stands).and_then(|effect| effect.hold));
        }
        let broken = self.first_short(requests, stored);
        broken.map(|(at, rule)| (at, rule, false))
    }

    fn stands_of(&self, request: &Request) -> Stands {
        request.hold().map_or(Stands::Unknown, |id| self.holds.stands(id))
    }

    /// The first rule that it breaks among those that need no balance and no status.
    fn form_of(&self, request: &Request, stored: &Stored, stands: Stands) -> Option<Rejection> {
        let transfer = match request {
            Request::Transfer(transfer) => *transfer,
            Request::Hold(hold) => hold.transfer(),
            Request::Capture(capture) => match capture.amount {
                Some(0) => return Some(Rejection::AmountZero),
                Some(amount) if amount > AMOUNT_MAX => return Some(Rejection::AmountTooLarge),
                _ => return hold_rule(stored.time_ns, request, stands),
            },
            _ => return hold_rule(stored.time_ns, request, stands),
        };
        if let Request::Hold(hold) = request {
            if transfer.amount == 0 {
                return Some(Rejection::AmountZero);
            }
            if transfer.amount.max(hold.over_capture_max) > AMOUNT_MAX {
                return Some(Rejection::AmountTooLarge);
            }
            if let Some(rule) = hold_rule(stored.time_ns, request, stands) {
                return Some(rule);
            }
        }
        let debit = book(&self.books, &stored.debit, transfer.debit);
        let credit = book(&self.books, &stored.credit, transfer.credit);
        form_rule(&transfer, debit, credit)
    }

    /// What a request does that breaks none of these; `None` when the journal names accounts that
    /// are not there.
    fn effect(&self, request: &Request, stored: &Stored, stands: Stands) -> Option<Effect> {
        let Some([debit, credit]) = request.accounts() else {
            let Stands::Open(hold) = stands else { return None };
            return Some(effect_on(stored.time_ns, request, &hold));
        };
        let slot = |side: &Side, id| side.slot.or_else(|| self.books.slot(id));
        let (debit, credit) = (slot(&stored.debit, debit)?, slot(&stored.credit, credit)?);
        let nothing = Effect { debit, credit, moved: 0, on_hold: 0, hold: None };
        let hold = match request {
            Request::Hold(hold) => hold,
            Request::Transfer(transfer) => {
                return Some(Effect { moved: whole(transfer.amount), ..nothing });
            }
            _ => return None,
        };
        let now = Hold {
            id: hold.id,
            amount: hold.amount,
            remaining: hold.amount,
            over_capture_max: hold.over_capture_max,
            expires_ns: expiry_ns(stored.time_ns, hold.timeout_ns),
            placed_lsn: stored.lsn,
            debit,
            credit,
            currency: self.books.get(debit)?.spec.currency,
        };
        let placed = Some((hold.id, Stands::Open(now)));
        Some(Effect { on_hold: whole(hold.amount), hold: placed, ..nothing })
    }

    /// The first member that cannot happen after those before it, and why. Tries it out, and
    /// takes it back.
    fn first_short(
        &mut self,
        requests: &[&Request],
        stored: &[Stored],
    ) -> Option<(usize, Rejection)> {
        let mut tried: Vec<(Effect, Stands)> = Vec::with_capacity(requests.len());
        let mut broken = None;
        for (at, (request, stored)) in requests.iter().zip(stored).enumerate() {
            let stands = self.stands_of(request);
            let Some(effect) = self.effect(request, stored, stands) else { break };
            let sides = (self.books.get(effect.debit), self.books.get(effect.credit));
            let (Some(from), Some(to)) = sides else { break };
            let asks_nothing = matches!(request, Request::Void(_) | Request::Extend(_));
            let needed = effect.moved.saturating_add(effect.on_hold);
            let rule = funds_rule(from, to, effect.moved, needed);
            if let Some(rule) = rule.filter(|_| !asks_nothing) {
                broken = Some((at, rule));
                break;
            }
            self.happen(&effect, 1);
            let before = effect.hold.map(|(id, now)| self.holds.set(id, now));
            tried.push((effect, before.unwrap_or(Stands::Unknown)));
        }
        for (effect, before) in tried.into_iter().rev() {
            self.happen(&effect, -1);
            effect.hold.map(|(id, _)| self.holds.set(id, before));
        }
        broken
    }

    /// Moves the money and what is on hold; `sign` is -1 to take it back.
    fn happen(&mut self, effect: &Effect, sign: i128) {
        self.books.shift(effect.debit, effect.credit, effect.moved.wrapping_mul(sign));
        if let Some(book) = self.books.get_mut(effect.debit) {
            book.on_hold = book.on_hold.wrapping_add(effect.on_hold.wrapping_mul(sign));
        }
    }

    /// Replays one event and holds it against whatever is known of it.
    pub(crate) fn replay(&mut self, event: &Event, asked: Asked<'_>) -> Result<(), BadHistory> {
        let lsn = event.lsn;
        let stored = Stored::of(event, &self.books);
        if stored.is_some() {
            self.nothing_is_due(event);
        }
        if let (Some(stored), Some(request)) = (&stored, asked.request)
            && !stored.is(request)
        {
            self.report.add(Kind::WrongOutcome, lsn, || {
                format!("asked for was {request:?}, decided {stored:?}")
            });
        }
        if let (Some(stored), Some(verdict)) = (&stored, asked.verdict)
            && !verdict.allows(stored.rejection)
        {
            self.report.add(Kind::WrongOutcome, lsn, || {
                format!("the rules give {:?}, decided was {stored:?}", verdict.rule)
            });
        }
        match event.record.plain() {
            // Nothing has terms or notes twice.
            Record::Termed(_) | Record::Noted(_) => {}
            // They change no account.
            Record::FeeEvent(_) => {}
            Record::FeeLeg(leg) => {
                if let Some(posted) = leg.posted() {
                    self.post(lsn, &posted);
                }
            }
            Record::Posted(posted) | Record::PostedLinked(posted) => self.post(lsn, posted),
            Record::Refused(_) | Record::RefusedLinked(_) => {
                let stored = stored.as_ref().expect("it decides a transfer");
                self.refuse(stored);
            }
            Record::AccountOpened(spec) => self.open(lsn, spec, Bounds::default()),
            Record::Account(event) => match &**event {
                AccountEvent::Opened(opening) => self.open(lsn, &opening.spec, opening.bounds),
                AccountEvent::Changed {
                    slot, change: Change::Status { status, reason }, ..
                } => {
                    self.set_status(lsn, *slot, *status);
                    let (status, reason) = (*status, reason.clone());
                    self.changed(lsn, *slot, AccountChange::Status { status, reason });
                }
                AccountEvent::Changed {
                    slot,
                    change: Change::Limits(limits) | Change::LimitsFrom(LimitsFrom { limits, .. }),
                    ..
                } => {
                    self.set_limits(lsn, *slot, limits);
                    self.changed(lsn, *slot, AccountChange::Limits(*limits));
                }
                // It says nothing of money.
                AccountEvent::Changed { change: Change::Profile(_) | Change::Watch(_), .. } => {}
            },
            Record::StatusChanged { slot, status } => self.set_status(lsn, *slot, *status),
            // The requests that schedules and sagas make are events of their own.
            Record::AssetDefined { .. } | Record::Driven(_) => {}
            Record::HoldRefused(_) => {
                self.refuse(stored.as_ref().expect("it decides an operation"));
                self.hold_event(event);
            }
            Record::Held(_)
            | Record::Captured(_)
            | Record::Voided(_)
            | Record::Extended(_)
            | Record::Expired(_) => self.hold_event(event),
            Record::Refunded(_) | Record::RefundRefused(_) => {
                self.refund_event(lsn, &event.record);
            }
        }
        if let (Some(stored), Some(told)) = (&stored, asked.told) {
            self.told(stored, told);
        }
        self.repeats_at(lsn, stored);
        self.reads_at(lsn)
    }

    fn changed(&mut self, lsn: Lsn, slot: Slot, change: AccountChange) {
        if let Some(book) = self.books.get(slot) {
            self.changes.insert(lsn, (book.spec.id, change));
        }
    }

    fn set_limits(&mut self, lsn: Lsn, slot: Slot, limits: &Limits) {
        let Some(book) = self.books.get_mut(slot) else {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{slot:?} is no account"));
            return;
        };
        book.overdraft_limit = limits.overdraft_limit;
        book.bounds = limits.bounds;
        let book = *book;
        if book.is_outside() {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{book:?} lies beyond its limits"));
        }
    }

    fn open(&mut self, lsn: Lsn, spec: &AccountSpec, bounds: Bounds) {
        let id = spec.id;
        if !self.books.open(spec, bounds, lsn) {
            self.report.add(Kind::WrongOutcome, lsn, || format!("opens {id} again"));
        } else if self.listed.contains(&id) {
            self.lines.extend(self.books.slot(id).map(|slot| (slot, Vec::new())));
        }
    }

    fn set_status(&mut self, lsn: Lsn, slot: Slot, status: AccountStatus) {
        let Some(book) = self.books.get_mut(slot) else {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{slot:?} is no account"));
            return;
        };
        let empty = book.posted == 0 && book.on_hold == 0;
        let unpaid = status == AccountStatus::Closed && !empty;
        book.status = status;
        if unpaid {
            let book = *book;
            self.report.add(Kind::WrongOutcome, lsn, || format!("{book:?} cannot become so"));
        }
    }

    /// Moves the money, and holds the journal's figures against those it comes to.
    pub(crate) fn post(&mut self, lsn: Lsn, posted: &Posted) {
        let slots = [posted.debit, posted.credit];
        let [Some(from), Some(to)] = slots.map(|slot| self.books.get(slot).copied()) else {
            self.report.add(Kind::WrongOutcome, lsn, || format!("no such account: {posted:?}"));
            return;
        };
        let amount = whole(posted.amount);
        self.books.shift(posted.debit, posted.credit, amount);
        let sides = [&posted.debit_side, &posted.credit_side];
        let taken = sides[0].posted.wrapping_sub(from.posted);
        let given = sides[1].posted.wrapping_sub(to.posted);
        if taken.wrapping_add(given) != 0 {
            self.report.add(Kind::MoneyMade, lsn, || {
                format!("the debit account changes by {taken}, the credit account by {given}")
            });
        }
        for (slot, side, before) in [(posted.debit, sides[0], from), (posted.credit, sides[1], to)]
        {
            let Some(book) = self.books.get_mut(slot) else { continue };
            book.last_lsn = lsn;
            let now = *book;
            let back = if before.last_lsn == Lsn::ZERO { 0 } else { lsn.0 - before.last_lsn.0 };
            if side.posted != now.posted || side.room != now.room() || side.back != back {
                self.report.add(Kind::WrongBalance, lsn, || {
                    format!("the journal has {side:?} after it, the sum is {now:?}")
                });
            }
        }
        for (slot, amount) in [(posted.debit, amount.wrapping_neg()), (posted.credit, amount)] {
            if let Some(lines) = self.lines.get_mut(&slot) {
                let after = self.books.get(slot).map_or(0, |book| book.posted);
                lines.push(SeenEntry { lsn, id: posted.id, amount, after });
            }
        }
    }

    /// Nothing moves, and the figures told with it are those of the moment.
    fn refuse(&mut self, stored: &Stored) {
        for side in [&stored.debit, &stored.credit] {
            let now = side.slot.and_then(|slot| self.books.get(slot)).map(Book::figures);
            if side.after != now {
                self.report.add(Kind::WrongBalance, stored.lsn, || {
                    format!("the journal has {:?} after it, the sum is {now:?}", side.after)
                });
            }
        }
    }

    /// The answer to the transfer that was new with this event.
    fn told(&mut self, stored: &Stored, told: &Told) {
        let lsn = stored.lsn;
        if told.rejection != stored.rejection {
            self.report.add(Kind::ChangedOutcome, lsn, || {
                format!("told was {:?}, decided {:?}", told.rejection, stored.rejection)
            });
        }
        if told.time_ns != stored.time_ns {
            self.report.add(Kind::TimeTravel, lsn, || {
                format!("told was {} ns, decided at {} ns", told.time_ns, stored.time_ns)
            });
        }
        for (told, side) in [(told.debit, stored.debit), (told.credit, stored.credit)] {
            let now = side.slot.and_then(|slot| self.books.get(slot)).map(Book::figures);
            if told != now {
                self.report.add(Kind::WrongBalance, lsn, || {
                    format!("told was {told:?} after it, the sum is {now:?}")
                });
            }
        }
        let after = stored.on_hold.as_ref().and_then(|on_hold| on_hold.after);
        if told.hold.as_deref() != after.as_ref() {
            self.report.add(Kind::WrongHold, lsn, || {
                format!("told was {:?}, the hold stands at {after:?}", told.hold)
            });
        }
    }
}
