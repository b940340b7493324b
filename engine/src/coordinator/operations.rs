//! The coordinator's part in holds: judges what is asked of them, lets them expire, and follows
//! what was decided.
//!
//! ```text
//! begin ─▶ what is due expires        add ─▶ judge, on the holds as the batch began and as the
//!                                            members before in the same group leave them
//! conclude ─▶ record ─▶ follow, as in replay
//! ```
//!
//! Partitions see amounts only: what is frozen, moved and given back.

use super::lookahead::Hashes;
use super::{Coordinator, Done, fresh, known, refuse_amount, refuse_parties, room};
use crate::account::Impossible;
use crate::batch::{Batch, Item, NO_SLOT, NO_STEP, Op, Step};
use crate::coordinator::Answer;
use crate::directory::Listing;
use crate::holds::{Closed, Hold, HoldAfter};
use crate::ids::{Lsn, TransferId};
use crate::money::{AMOUNT_MAX, CurrencyId};
use crate::partition::{Leg, Legs, merge};
use crate::plan::Plan;
use crate::record::{
    Captured, Expired, Extended, Figures, Held, HoldRefused, Operation, Party, PostedSide, Record,
    Voided,
};
use crate::rejection::Rejection;
use crate::request::{CaptureRequest, ExtendRequest, HoldRequest, Request, expiry_ns};
use crate::transfer::TransferKind;

/// Holds that expire in one batch. With more, requests wait for the next one, so that no batch
/// takes long.
const EXPIRIES_MAX: usize = 4_096;

/// What was judged of an operation.
struct Judged {
    item: Item,
    /// How the hold stands once it has happened.
    after: Option<(Step, Result<Hold, Closed>)>,
    currency: Option<CurrencyId>,
}

/// An item that stands for an operation on a hold which it finds nothing of.
pub(super) const NOTHING: Item = Item {
    amount: 0,
    debit: NO_SLOT,
    credit: NO_SLOT,
    step: NO_STEP,
    op: Op::Extend,
    refused: None,
    linked: false,
    termed: false,
};

impl Coordinator {
    /// Puts the holds that have expired in front of the batch.
    pub(super) fn add_expiries(&mut self, plan: &mut Plan) {
        let mut due = self.holds.due(plan.time_ns);
        for hold in due.by_ref().take(EXPIRIES_MAX) {
            let step = Step {
                hold: hold.id,
                released: hold.remaining,
                remaining: 0,
                expires_ns: hold.expires_ns,
            };
            let item = Item {
                amount: hold.remaining,
                debit: hold.debit,
                credit: hold.debit,
                op: Op::Expire,
                step: add_step(&mut plan.batch, step),
                ..NOTHING
            };
            plan.batch.items.push(item);
        }
        plan.full = due.next().is_some();
        plan.expired = plan.batch.items.len();
        self.next_lsn = self.next_lsn.plus(plan.expired as u64);
    }

    /// Adds an operation. No earlier group of the batch changes its hold.
    pub(super) fn add_operation(&mut self, plan: &mut Plan, request: &Request, hashes: Hashes) {
        self.add_operation_as(plan, request, request, hashes);
    }

    /// The same, `asked` being what was asked for: the operation, or it with its terms.
    pub(super) fn add_operation_as(
        &mut self,
        plan: &mut Plan,
        request: &Request,
        asked: &Request,
        hashes: Hashes,
    ) {
        let listing = |(hash, id)| self.directory.get_at(hash, id);
        let [debit, credit] = request.accounts().map_or([None; 2], |[debit, credit]| {
            [(hashes.accounts[0], debit), (hashes.accounts[1], credit)].map(listing)
        });
        let lsn = self.next_lsn;
        if let Some(lsn) = self.known.insert_at(hashes.id, request.id(), lsn, plan.time_ns) {
            plan.places.push(known(lsn, asked.clone(), debit, credit));
            return;
        }
        if let Request::Refund(refund) = request {
            let (item, currency) = self.judge_refund(plan, refund);
            return self.push(plan, item, currency);
        }
        let Judged { mut item, after, currency } = match request {
            Request::Hold(hold) => self.judge_hold(plan, hold, debit, credit),
            Request::Capture(capture) => self.judge_capture(plan, capture),
            Request::Void(void) => self.judge_open(plan, void.hold, Op::Void, |hold| {
                Ok((hold.remaining, hold.remaining, Err(Closed::Voided)))
            }),
            Request::Extend(extend) => self.judge_extend(plan, extend),
            Request::Transfer(_) | Request::Refund(_) | Request::Termed(_) | Request::Noted(_) => {
                unreachable!("no operation on a hold")
            }
        };
        if let Some((step, now)) = after {
            item.step = add_step(&mut plan.batch, step);
            plan.touched.insert(step.hold, now);
        }
        self.push(plan, item, currency);
    }

    /// The hold as the operation finds it, or the rule that it breaks by asking for it.
    fn standing(&self, plan: &Plan, id: TransferId) -> Result<Hold, Rejection> {
        if let Some(touched) = plan.touched.get(&id) {
            return touched.map_err(Closed::rejection);
        }
        if let Some(hold) = self.holds.get(id) {
            if !hold.has_expired(plan.time_ns) {
                return Ok(*hold);
            }
            // It expires with this batch.
            let remembered = self.known.get(id) == Some(hold.placed_lsn);
            let rejection =
                if remembered { Rejection::HoldExpired } else { Rejection::HoldUnknown };
            return Err(rejection);
        }
        Err(self.known.closed(id).map_or(Rejection::HoldUnknown, Closed::rejection))
    }

    fn judge_hold(
        &self,
        plan: &Plan,
        request: &HoldRequest,
        debit: Option<Listing>,
        credit: Option<Listing>,
    ) -> Judged {
        let HoldRequest { id, amount, over_capture_max, .. } = *request;
        let too_large = (over_capture_max > AMOUNT_MAX).then_some(Rejection::AmountTooLarge);
        let exists = || self.standing(plan, id).is_ok().then_some(Rejection::HoldExists);
        let refused = refuse_amount(amount)
            .or(too_large)
            .or_else(exists)
            .or_else(|| refuse_parties(&request.transfer(), debit, credit));
        let currency = debit.or(credit).map(|listing| listing.currency);
        let slot = |listing: Option<Listing>| listing.map_or(NO_SLOT, |listing| listing.slot);
        let (debit, credit) = (slot(debit), slot(credit));
        let item = Item { amount, debit, credit, op: Op::Hold, refused, ..NOTHING };
        let expires_ns = expiry_ns(plan.time_ns, request.timeout_ns);
        let after = refused.is_none().then(|| {
            let step = Step { hold: id, released: 0, remaining: amount, expires_ns };
            let hold = Hold {
                id,
                amount,
                remaining: amount,
                over_capture_max,
                expires_ns,
                placed_lsn: self.next_lsn,
                debit,
                credit,
                currency: currency.expect("judged"),
                kind: request.kind.unless_it_follows(),
            };
            (step, Ok(hold))
        });
        Judged { item, after, currency }
    }

    fn judge_capture(&self, plan: &Plan, request: &CaptureRequest) -> Judged {
        if let Some(refused) = request.amount.and_then(refuse_amount) {
            return self.refuse_operation(request.hold, Op::Capture, refused);
        }
        self.judge_open(plan, request.hold, Op::Capture, |hold| {
            let amount = request.amount.unwrap_or(hold.remaining);
            if amount > hold.remaining + hold.over_capture_max {
                return Err(Rejection::HoldExceeded);
            }
            if request.currency.is_some_and(|named| named != hold.currency) {
                return Err(Rejection::CurrencyMismatch);
            }
            let released = if request.last { hold.remaining } else { hold.remaining.min(amount) };
            let remaining = hold.remaining - released;
            let now = if remaining == 0 {
                Err(Closed::Captured)
            } else {
                Ok(Hold { remaining, ..*hold })
            };
            Ok((amount, released, now))
        })
    }

    fn judge_extend(&self, plan: &Plan, request: &ExtendRequest) -> Judged {
        self.judge_open(plan, request.hold, Op::Extend, |hold| {
            let expires_ns = expiry_ns(plan.time_ns, request.timeout_ns);
            if expires_ns <= hold.expires_ns {
                return Err(Rejection::HoldExtensionTooShort);
            }
            Ok((0, 0, Ok(Hold { expires_ns, ..*hold })))
        })
    }

    /// Judges what is asked of an open hold: `change` says the item's amount, how much less is
    /// on hold then, and how the hold stands.
    fn judge_open(
        &self,
        plan: &Plan,
        id: TransferId,
        op: Op,
        change: impl FnOnce(&Hold) -> Result<(u128, u128, Result<Hold, Closed>), Rejection>,
    ) -> Judged {
        let judged = self.standing(plan, id).and_then(|hold| Ok((hold, change(&hold)?)));
        let (hold, (amount, released, now)) = match judged {
            Ok(judged) => judged,
            Err(refused) => return self.refuse_operation(id, op, refused),
        };
        let expires_ns = now.map_or(hold.expires_ns, |hold| hold.expires_ns);
        let step = Step { hold: id, released, remaining: hold.remaining - released, expires_ns };
        let item = Item { amount, ..on(&hold, op) };
        Judged { item, after: Some((step, now)), currency: Some(hold.currency) }
    }

    /// What is refused for the state of its hold; explained with the accounts of one that is
    /// open.
    fn refuse_operation(&self, id: TransferId, op: Op, refused: Rejection) -> Judged {
        let hold = self.holds.get(id);
        let item = hold.map_or(NOTHING, |hold| on(hold, op));
        let currency = hold.map(|hold| hold.currency);
        Judged { item: Item { op, refused: Some(refused), ..item }, after: None, currency }
    }

    /// The events of the holds that have expired, in front of all others.
    pub(super) fn conclude_expiries(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        legs: &[Vec<Legs>],
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        for (at, item) in batch.items[..plan.expired].iter().enumerate() {
            assert_eq!(plan.verdicts[at], None, "nothing keeps a hold from expiring");
            let expired = Record::Expired(Expired {
                hold: batch.step(item).expect("an expiry has a step").hold,
                debit: item.debit,
                released: item.amount,
                debit_after: figures(&merge(legs, at)),
            });
            let lsn = batch.lsn(at);
            self.follow(lsn, plan.time_ns, &expired).expect("what is due was open");
            emit(lsn, &expired);
        }
    }

    /// The event of one operation, and its answer.
    pub(super) fn conclude_operation(
        &mut self,
        done: &Done<'_>,
        request: &Request,
        answer: &mut Answer,
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        if matches!(request, Request::Refund(_)) {
            return self.conclude_refund(done, request, answer, emit);
        }
        let (lsn, time_ns) = (done.batch.lsn(done.at), done.plan.time_ns);
        let rejection = done.plan.verdicts[done.at];
        let record = match rejection {
            None => done.record(request),
            Some(rejection) => Record::HoldRefused(self.refused(done, request, rejection)),
        };
        let mut told = fresh(done.plan, request, lsn, rejection, done.currency, &done.legs);
        match &record {
            Record::Held(held) => {
                let kind = match request {
                    Request::Hold(asked) => asked.kind.unless_it_follows(),
                    _ => None,
                };
                let opened = self.open_hold(lsn, time_ns, held, done.held_in(), kind);
                opened.expect("judged when it was added");
            }
            Record::HoldRefused(refused) => {
                // What was assumed for the group's later members never happened.
                told.debit = told.debit.filter(|_| refused.debit.is_some());
                told.credit = told.credit.filter(|_| refused.credit.is_some());
                told.currency = refused.held_in;
            }
            other => self.follow(lsn, time_ns, other).expect("judged when it was added"),
        }
        emit(lsn, &record);
        answer.holds.extend(hold_after(time_ns, &record).map(|h| (answer.outcomes.len(), h)));
        answer.outcomes.push(told);
    }

    fn refused(&self, done: &Done<'_>, request: &Request, rejection: Rejection) -> HoldRefused {
        let item = &done.batch.items[done.at];
        let party =
            |leg: Leg, slot| Party::Known { slot, posted: leg.after.posted, room: room(leg) };
        let id = request.hold().expect("every operation speaks of a hold");
        let open = self.holds.get(id);
        let (debit, credit) = match request {
            Request::Hold(hold) => {
                let known = |leg: Option<Leg>, slot, id| {
                    Some(leg.map_or(Party::Unknown(id), |leg| party(leg, slot)))
                };
                let debit = known(done.legs.debit, item.debit, hold.debit);
                (debit, known(done.legs.credit, item.credit, hold.credit))
            }
            _ if open.is_some_and(|hold| hold.debit == item.debit) => (
                done.legs.debit.map(|leg| party(leg, item.debit)),
                done.legs.credit.map(|leg| party(leg, item.credit)),
            ),
            _ => (None, None),
        };
        HoldRefused {
            id: request.id(),
            linked: request.linked(),
            rejection,
            asked: asked(request),
            held_in: done.currency.filter(|_| debit.is_some()),
            debit,
            credit,
            standing: open.map(Hold::standing),
        }
    }

    /// Takes in that a hold was placed; `kind` where it does not follow from the accounts.
    ///
    /// # Errors
    /// [`Impossible`] when no sequence of decided events leads here; nothing changed then.
    pub(crate) fn open_hold(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        held: &Held,
        currency: CurrencyId,
        kind: Option<TransferKind>,
    ) -> Result<(), Impossible> {
        let Held { id, debit, credit, amount, timeout_ns, over_capture_max, .. } = *held;
        let opened = self.holds.insert(Hold {
            id,
            amount,
            remaining: amount,
            over_capture_max,
            expires_ns: expiry_ns(time_ns, timeout_ns),
            placed_lsn: lsn,
            debit,
            credit,
            currency,
            kind,
        });
        let what = || format!("hold {id} is open already");
        opened.then_some(()).ok_or_else(|| Impossible::Differs { lsn, what: what() })
    }

    /// Takes in what became of an open hold.
    ///
    /// # Errors
    /// [`Impossible`] when no sequence of decided events leads here; nothing changed then.
    pub(crate) fn follow(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        record: &Record,
    ) -> Result<(), Impossible> {
        let (id, debit, currency) = match record {
            Record::Captured(c) => (c.hold, c.debit, Some(c.currency)),
            Record::Voided(voided) => (voided.hold, voided.debit, Some(voided.currency)),
            Record::Extended(extended) => (extended.hold, extended.debit, Some(extended.currency)),
            Record::Expired(expired) => (expired.hold, expired.debit, None),
            _ => return Ok(()),
        };
        let differs =
            |what: &str| Err(Impossible::Differs { lsn, what: format!("hold {id}: {what}") });
        let Some(hold) = self.holds.get(id).copied() else { return differs("it is not open") };
        if hold.debit != debit || currency.is_some_and(|currency| currency != hold.currency) {
            return differs("another account pays for it, or in another currency");
        }
        if hold.has_expired(time_ns) != matches!(record, Record::Expired(_)) {
            return differs("its time is over, or not yet");
        }
        let closed = match record {
            Record::Captured(captured) => {
                if !is_captured_so(&hold, captured) {
                    return differs("it is not captured so");
                }
                Closed::Captured
            }
            Record::Voided(Voided { released, .. }) if *released == hold.remaining => {
                Closed::Voided
            }
            Record::Expired(Expired { released, .. }) if *released == hold.remaining => {
                Closed::Expired
            }
            Record::Extended(extended) => {
                let Extended { timeout_ns, expires_ns, remaining, .. } = *extended;
                let later = expires_ns > hold.expires_ns;
                let right = expires_ns == expiry_ns(time_ns, timeout_ns);
                if !later || !right || remaining != hold.remaining {
                    return differs("it is not extended so");
                }
                self.holds.set_expiry(id, expires_ns);
                return Ok(());
            }
            _ => return differs("not all that remains is given back"),
        };
        let remaining = match record {
            Record::Captured(captured) => captured.remaining,
            _ => 0,
        };
        self.holds.set_remaining(id, remaining);
        if remaining == 0 {
            self.known.close(id, hold.placed_lsn, closed);
        }
        Ok(())
    }
}

/// Whether a capture of this hold comes to these figures.
fn is_captured_so(hold: &Hold, captured: &Captured) -> bool {
    let Captured { all, last, credit, amount, released, remaining, .. } = *captured;
    let most = hold.remaining + hold.over_capture_max;
    let expected = if last { hold.remaining } else { hold.remaining.min(amount) };
    credit == hold.credit
        && (1..=most).contains(&amount)
        && (!all || amount == hold.remaining)
        && released == expected
        && remaining == hold.remaining - released
}

fn add_step(batch: &mut Batch, step: Step) -> u32 {
    batch.steps.push(step);
    u32::try_from(batch.steps.len() - 1).expect("batches are far smaller")
}

/// An item that does something to a hold.
fn on(hold: &Hold, op: Op) -> Item {
    let credit = if op.credits() { hold.credit } else { hold.debit };
    Item { debit: hold.debit, credit, op, ..NOTHING }
}

fn figures(legs: &Legs) -> Figures {
    let leg = legs.debit.expect("what is done has a debit account");
    Figures { posted: leg.after.posted, room: room(leg) }
}

impl Done<'_> {
    /// What the accounts of an operation that was done hold.
    fn held_in(&self) -> CurrencyId {
        self.currency.expect("what is done has accounts")
    }

    /// The record of an operation that was done.
    fn record(&self, request: &Request) -> Record {
        let item = &self.batch.items[self.at];
        let step = self.batch.step(item).expect("what is done has a step");
        let (id, linked, hold) = (request.id(), request.linked(), step.hold);
        let (debit, credit) = (item.debit, item.credit);
        match request {
            Request::Hold(request) => Record::Held(Held {
                id,
                linked,
                debit,
                credit,
                amount: item.amount,
                timeout_ns: request.timeout_ns,
                over_capture_max: request.over_capture_max,
                debit_after: figures(&self.legs),
            }),
            Request::Capture(request) => {
                let side = |leg: Option<Leg>| {
                    let leg = leg.expect("a capture has both legs");
                    let back = leg.back(self.batch.lsn(self.at));
                    PostedSide { back, posted: leg.after.posted, room: room(leg) }
                };
                Record::Captured(Captured {
                    id,
                    linked,
                    hold,
                    currency: self.held_in(),
                    all: request.amount.is_none(),
                    last: request.last,
                    debit,
                    credit,
                    amount: item.amount,
                    released: step.released,
                    remaining: step.remaining,
                    debit_side: side(self.legs.debit),
                    credit_side: side(self.legs.credit),
                })
            }
            Request::Void(_) => Record::Voided(Voided {
                id,
                linked,
                hold,
                currency: self.held_in(),
                debit,
                released: step.released,
                debit_after: figures(&self.legs),
            }),
            Request::Extend(request) => Record::Extended(Extended {
                id,
                linked,
                hold,
                currency: self.held_in(),
                debit,
                timeout_ns: request.timeout_ns,
                expires_ns: step.expires_ns,
                remaining: step.remaining,
                debit_after: figures(&self.legs),
            }),
            Request::Transfer(_) | Request::Refund(_) | Request::Termed(_) | Request::Noted(_) => {
                unreachable!("no operation on a hold")
            }
        }
    }
}

fn asked(request: &Request) -> Operation {
    match request {
        Request::Hold(request) => {
            let HoldRequest { amount, currency, kind, timeout_ns, over_capture_max, .. } =
                **request;
            Operation::Hold { amount, currency, kind, timeout_ns, over_capture_max }
        }
        Request::Capture(request) => {
            let CaptureRequest { hold, amount, currency, last, .. } = **request;
            Operation::Capture { hold, amount, currency, last }
        }
        Request::Void(request) => Operation::Void { hold: request.hold },
        Request::Extend(request) => {
            Operation::Extend { hold: request.hold, timeout_ns: request.timeout_ns }
        }
        Request::Transfer(_) | Request::Refund(_) | Request::Termed(_) | Request::Noted(_) => {
            unreachable!("no operation on a hold")
        }
    }
}

/// How the hold stands after the event, as the record tells: the same for every repeat.
/// `time_ns` is the event's. `None` for events of no hold, and for refusals that found none.
#[must_use]
pub fn hold_after(time_ns: u64, record: &Record) -> Option<HoldAfter> {
    let nothing = |hold| HoldAfter {
        hold,
        closed: None,
        captured: 0,
        released: 0,
        remaining: 0,
        over_capture_max: None,
        expires_ns: None,
    };
    Some(match record.plain() {
        Record::Held(held) => HoldAfter {
            remaining: held.amount,
            expires_ns: Some(expiry_ns(time_ns, held.timeout_ns)),
            ..nothing(held.id)
        },
        Record::Captured(captured) => HoldAfter {
            closed: (captured.remaining == 0).then_some(Closed::Captured),
            captured: captured.amount,
            released: captured.released,
            remaining: captured.remaining,
            ..nothing(captured.hold)
        },
        Record::Voided(voided) => HoldAfter {
            closed: Some(Closed::Voided),
            released: voided.released,
            ..nothing(voided.hold)
        },
        Record::Expired(expired) => HoldAfter {
            closed: Some(Closed::Expired),
            released: expired.released,
            ..nothing(expired.hold)
        },
        Record::Extended(extended) => HoldAfter {
            remaining: extended.remaining,
            expires_ns: Some(extended.expires_ns),
            ..nothing(extended.hold)
        },
        Record::HoldRefused(refused) => {
            let hold = match refused.asked {
                Operation::Hold { .. } => refused.id,
                Operation::Capture { hold, .. }
                | Operation::Void { hold }
                | Operation::Extend { hold, .. } => hold,
            };
            let standing = refused.standing?;
            HoldAfter {
                remaining: standing.remaining,
                over_capture_max: Some(standing.over_capture_max),
                expires_ns: Some(standing.expires_ns),
                ..nothing(hold)
            }
        }
        _ => return None,
    })
}
