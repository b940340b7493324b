//! What the rules give for a request, or for a linked group of them, as everything stands: written
//! down once more, one after the other.

use crate::books::{Book, Books, form_rule, funds_rule, whole};
use crate::check::Checker;
use crate::event::{Side, Stored, kind_of, said_kind};
use crate::fault::Kind;
use crate::fees::{Leg, fee_of};
use crate::holds::{Effect, Stands, effect_on, hold_rule};
use crate::refunds::Given;
use crate::terms::{balance, balancing, broken, terms_rule};
use ducat_engine::fees::{FeeNote, FeeRule};
use ducat_engine::holds::Hold;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::money::AMOUNT_MAX;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{Request, expiry_ns};
use std::collections::HashMap;

/// What the rules give. A hold that was closed so long ago that its id may be forgotten may be
/// called unknown too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    rule: Option<Rejection>,
    or_unknown: bool,
    /// What a balanced transfer moves that is done, minor units.
    moves: Option<u128>,
    /// What is told of its fee.
    fee: Option<FeeNote>,
}

/// The member that fails, and why.
struct Broken {
    at: usize,
    rule: Rejection,
    /// Its hold may be forgotten.
    forgotten: bool,
    /// The rule that its fee breaks, where that is why.
    of_fee: Option<Rejection>,
}

impl Broken {
    fn new(at: usize, rule: Rejection) -> Self {
        Self { at, rule, forgotten: false, of_fee: None }
    }
}

impl Verdict {
    fn of(rule: Option<Rejection>) -> Self {
        Self { rule, or_unknown: false, moves: None, fee: None }
    }

    /// Which promise is broken if this became of the request; `None` when it is what had to.
    pub fn broken_by(self, stored: &Stored) -> Option<Kind> {
        let unknown = self.or_unknown && stored.rejection == Some(Rejection::HoldUnknown);
        if self.rule != stored.rejection && !unknown {
            return Some(Kind::WrongOutcome);
        }
        if self.moves.is_some_and(|moves| moves != stored.amount) {
            return Some(Kind::WrongTerms);
        }
        let fee = stored.beside().and_then(|beside| beside.fee);
        (self.fee != fee).then_some(Kind::WrongFee)
    }
}

/// The account of one side, whether or not the event says that it exists.
fn book<'b>(books: &'b Books, side: &Side, id: AccountId) -> Option<&'b Book> {
    match side.slot {
        Some(slot) => books.get(slot),
        None => books.of(id),
    }
}

/// What earlier members of a group have done to holds and originals.
#[derive(Default)]
struct Touched {
    holds: HashMap<TransferId, Stands>,
    refunds: HashMap<Lsn, Given>,
}

impl Checker<'_> {
    /// What the rules give for a request that is not linked, now, and the fees that follow it.
    pub(crate) fn judge_one(&mut self, request: &Request, stored: &Stored) -> (Verdict, Vec<Leg>) {
        if let (Request::Transfer(transfer), true) = (request, self.fees.is_free()) {
            // By far the most.
            let debit = book(&self.books, &stored.debit, transfer.debit);
            let credit = book(&self.books, &stored.credit, transfer.credit);
            let form = form_rule(transfer, debit, credit);
            let rule = form.or_else(|| {
                let (debit, credit) = debit.zip(credit)?;
                let amount = whole(transfer.amount);
                funds_rule(debit, credit, amount, amount, false)
            });
            return (Verdict::of(rule), Vec::new());
        }
        let (verdicts, legs) = self.judge_group(&[request], std::slice::from_ref(stored));
        (verdicts[0], legs)
    }

    /// What the rules give for the new members of a group, whose events these are, and the fees
    /// that follow them. `mixed`: it has known members as well. `None` when the events are of
    /// other requests.
    pub(crate) fn judge(
        &mut self,
        requests: &[&Request],
        stored: &[Stored],
        mixed: bool,
    ) -> Option<(Vec<Verdict>, Vec<Leg>)> {
        let same = requests.iter().zip(stored).all(|(request, stored)| stored.is(request));
        if !same || requests.len() != stored.len() {
            return None;
        }
        if mixed {
            let failed = Verdict::of(Some(Rejection::LinkedFailed));
            return Some((vec![failed; requests.len()], Vec::new()));
        }
        Some(self.judge_group(requests, stored))
    }

    fn judge_group(
        &mut self,
        requests: &[&Request],
        stored: &[Stored],
    ) -> (Vec<Verdict>, Vec<Leg>) {
        let mut legs = Vec::new();
        let mut moves = vec![None; requests.len()];
        let mut broken = self.first_malformed(requests, stored);
        if broken.is_none() && !self.fees.is_free() {
            match self.due(requests, stored) {
                Ok(due) => legs = due,
                Err(at) => broken = Some(Broken::new(at, Rejection::FeeOnBalanced)),
            }
        }
        let broken = broken.or_else(|| self.first_short(requests, stored, &legs, &mut moves));
        if let Some(broken) = &broken {
            for leg in &mut legs {
                let own = broken.of_fee.filter(|_| broken.at == leg.at);
                leg.refused = own.or(Some(Rejection::LinkedFailed));
            }
        }
        let verdict = |(at, moves): (usize, Option<u128>)| {
            let note = legs.iter().find(|leg| leg.at == at).map(Leg::note);
            match &broken {
                None => Verdict { moves, fee: note, ..Verdict::of(None) },
                Some(broken) if broken.at == at => Verdict {
                    or_unknown: broken.forgotten,
                    fee: note.filter(|_| broken.of_fee.is_some()),
                    ..Verdict::of(Some(broken.rule))
                },
                Some(_) => Verdict::of(Some(Rejection::LinkedFailed)),
            }
        };
        (moves.into_iter().enumerate().map(verdict).collect(), legs)
    }

    /// The first member that breaks a rule which needs no balance and no status.
    fn first_malformed(&self, requests: &[&Request], stored: &[Stored]) -> Option<Broken> {
        // Each finds the holds and the originals as those before it leave them.
        let mut touched = Touched::default();
        for (at, (request, stored)) in requests.iter().zip(stored).enumerate() {
            let id = request.hold();
            let known = id.and_then(|id| touched.holds.get(&id).copied());
            let stands = known.unwrap_or_else(|| self.stands_of(request));
            if let Some(rule) = self.form_of(request, stored, stands, &touched) {
                let forgotten = matches!(stands, Stands::Closed(_, placed)
                    if !self.ids.remembers(placed, stored.lsn));
                return Some(Broken { forgotten, ..Broken::new(at, rule) });
            }
            if let Some(effect) = self.effect(request, stored, stands, &touched) {
                touched.holds.extend(effect.hold);
                touched.refunds.extend(effect.refund);
            }
        }
        None
    }

    fn stands_of(&self, request: &Request) -> Stands {
        request.hold().map_or(Stands::Unknown, |id| self.holds.stands(id))
    }

    fn given(&self, original: Lsn, touched: &Touched) -> Given {
        let before = || self.refunded.get(&original).copied();
        touched.refunds.get(&original).copied().or_else(before).unwrap_or_default()
    }

    /// The first rule that it breaks among those that need no balance and no status.
    fn form_of(
        &self,
        request: &Request,
        stored: &Stored,
        stands: Stands,
        touched: &Touched,
    ) -> Option<Rejection> {
        let rule = self.form_of_plain(request.plain(), stored, stands, touched);
        [rule, terms_rule(request)].into_iter().flatten().min()
    }

    fn form_of_plain(
        &self,
        request: &Request,
        stored: &Stored,
        stands: Stands,
        touched: &Touched,
    ) -> Option<Rejection> {
        let transfer = match request {
            Request::Transfer(transfer) => *transfer,
            Request::Hold(hold) => hold.transfer(),
            Request::Refund(refund) => {
                let found = self.original(refund, stored);
                let given = found.map_or(Given::default(), |(lsn, _)| self.given(lsn, touched));
                return self.refund_rule(refund, found, given);
            }
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
    /// are not there. A balanced transfer is taken for one of its whole amount.
    fn effect(
        &self,
        request: &Request,
        stored: &Stored,
        stands: Stands,
        touched: &Touched,
    ) -> Option<Effect> {
        let request = request.plain();
        if let Request::Refund(refund) = request {
            let found = self.original(refund, stored);
            let given = found.map_or(Given::default(), |(lsn, _)| self.given(lsn, touched));
            return Self::refund_effect(refund, found, given);
        }
        let Some([debit, credit]) = request.accounts() else {
            let Stands::Open(hold) = stands else { return None };
            return Some(effect_on(stored.time_ns, request, &hold));
        };
        let slot = |side: &Side, id| side.slot.or_else(|| self.books.slot(id));
        let (debit, credit) = (slot(&stored.debit, debit)?, slot(&stored.credit, credit)?);
        let (overdraft, refund) = (false, None);
        let nothing = Effect { debit, credit, moved: 0, on_hold: 0, overdraft, hold: None, refund };
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
            kind: said_kind(hold.kind),
        };
        let placed = Some((hold.id, Stands::Open(now)));
        Some(Effect { on_hold: whole(hold.amount), hold: placed, ..nothing })
    }

    /// The fees that members owe who break no rule so far, to be taken in this order; or the
    /// member of which nobody can say it.
    fn due(&self, requests: &[&Request], stored: &[Stored]) -> Result<Vec<Leg>, usize> {
        let mut legs = Vec::new();
        let mut touched = Touched::default();
        for (at, (request, stored)) in requests.iter().zip(stored).enumerate() {
            let id = request.hold();
            let known = id.and_then(|id| touched.holds.get(&id).copied());
            let stands = known.unwrap_or_else(|| self.stands_of(request));
            let Some(effect) = self.effect(request, stored, stands, &touched) else { continue };
            touched.holds.extend(effect.hold);
            touched.refunds.extend(effect.refund);
            let Some((schedule, rule, credit)) = self.schedule_of(request, stands, &effect) else {
                continue;
            };
            if balancing(request).is_some() {
                return Err(at);
            }
            let amount = fee_of(rule, effect.moved.unsigned_abs());
            if amount > 0 {
                let (of, debit, refused) = (request.id(), effect.debit, None);
                legs.push(Leg { at, of, schedule, debit, credit, amount, refused });
            }
        }
        Ok(legs)
    }

    /// The schedule for what a request moves: by its kind, or by that of the hold it captures; a
    /// refund has that of its kind alone.
    fn schedule_of(
        &self,
        request: &Request,
        stands: Stands,
        effect: &Effect,
    ) -> Option<(u32, &FeeRule, Slot)> {
        let (from, to) = (self.books.get(effect.debit)?, self.books.get(effect.credit)?);
        let held_in = from.spec.currency;
        let kind = match (request.plain(), stands) {
            (Request::Transfer(transfer), _) => transfer.kind,
            (Request::Capture(_), Stands::Open(hold)) => {
                hold.kind.or_else(|| kind_of(from.spec.external, to.spec.external))?
            }
            (Request::Refund(_), _) => return self.fees.of_refund(effect.debit, held_in),
            _ => return None,
        };
        self.fees.schedule(kind, effect.debit, held_in)
    }

    /// The first member that cannot happen after those before it, and why; then the first whose
    /// fee cannot be taken. Tries it out, and takes it back. What balanced members move is added
    /// to `moves`.
    fn first_short(
        &mut self,
        requests: &[&Request],
        stored: &[Stored],
        legs: &[Leg],
        moves: &mut [Option<u128>],
    ) -> Option<Broken> {
        let mut tried: Vec<(Effect, Stands, Option<Given>)> = Vec::with_capacity(requests.len());
        let mut given = 0;
        let mut broken = None;
        for (at, (request, stored)) in requests.iter().zip(stored).enumerate() {
            let stands = self.stands_of(request);
            let effect = self.effect(request, stored, stands, &Touched::default());
            let Some(mut effect) = effect else { break };
            let Some(rules) = self.short_of(request, &mut effect, &mut given) else { break };
            if let Some(rule) = rules.into_iter().min() {
                broken = Some(Broken::new(at, rule));
                break;
            }
            moves[at] = balancing(request).map(|_| effect.moved.unsigned_abs());
            tried.push(self.try_out(effect));
        }
        let whole_group = broken.is_none() && tried.len() == requests.len();
        for leg in legs.iter().filter(|_| whole_group) {
            let (debit, credit) = (leg.debit, leg.credit);
            let sides = (self.books.get(debit), self.books.get(credit));
            let (Some(from), Some(to)) = sides else { break };
            let moved = whole(leg.amount);
            let of_fee = funds_rule(from, to, moved, moved, false);
            if of_fee.is_some() {
                broken = Some(Broken { of_fee, ..Broken::new(leg.at, Rejection::FeeRefused) });
                break;
            }
            let (overdraft, hold, refund) = (false, None, None);
            let effect = Effect { debit, credit, moved, on_hold: 0, overdraft, hold, refund };
            tried.push(self.try_out(effect));
        }
        tried.into_iter().rev().for_each(|tried| self.take_back(tried));
        broken
    }

    /// The rules that keep a member from happening now; a balanced one's effect becomes that of
    /// what it moves. `given` is what the sources before it moved. `None` when the journal names
    /// accounts that are not there.
    fn short_of(
        &self,
        request: &Request,
        effect: &mut Effect,
        given: &mut i128,
    ) -> Option<Vec<Rejection>> {
        let (from, to) = (self.books.get(effect.debit)?, self.books.get(effect.credit)?);
        let mut rules = Vec::new();
        let source = balancing(request).and_then(|balancing| balancing.source);
        if source.is_none() {
            *given = 0;
        }
        if let Some(balancing) = balancing(request) {
            (effect.moved, rules) = balance(&balancing, effect.moved, *given, from, to);
        }
        if source.is_some_and(|source| !source.last) {
            *given += effect.moved;
        } else {
            *given = 0;
        }
        let needed = effect.moved.saturating_add(effect.on_hold);
        if !matches!(request.plain(), Request::Void(_) | Request::Extend(_)) {
            rules.extend(funds_rule(from, to, effect.moved, needed, effect.overdraft));
        }
        if let Some(terms) = request.terms() {
            let posted = from.posted.saturating_sub(effect.moved);
            let on_hold = from.on_hold.saturating_add(effect.on_hold);
            let paid = Book { posted, on_hold, ..*from };
            let received = Book { posted: to.posted.saturating_add(effect.moved), ..*to };
            rules.extend(broken(terms, [from, to], [paid, received]));
        }
        Some(rules)
    }

    /// Moves the money and what is on hold, and gives what takes that back.
    fn try_out(&mut self, effect: Effect) -> (Effect, Stands, Option<Given>) {
        self.happen(&effect, 1);
        let before = effect.hold.map(|(id, now)| self.holds.set(id, now));
        let given = effect.refund.and_then(|(lsn, now)| self.refunded.insert(lsn, now));
        (effect, before.unwrap_or(Stands::Unknown), given)
    }

    fn take_back(&mut self, (effect, before, given): (Effect, Stands, Option<Given>)) {
        self.happen(&effect, -1);
        effect.hold.map(|(id, _)| self.holds.set(id, before));
        if let Some((lsn, _)) = effect.refund {
            match given {
                Some(given) => self.refunded.insert(lsn, given),
                None => self.refunded.remove(&lsn),
            };
        }
    }

    /// Moves the money and what is on hold; `sign` is -1 to take it back.
    fn happen(&mut self, effect: &Effect, sign: i128) {
        self.books.shift(effect.debit, effect.credit, effect.moved.wrapping_mul(sign));
        if let Some(book) = self.books.get_mut(effect.debit) {
            book.on_hold = book.on_hold.wrapping_add(effect.on_hold.wrapping_mul(sign));
        }
    }
}
