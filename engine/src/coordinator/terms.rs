//! The coordinator's part in terms: judges what needs no account, keeps groups that ask for
//! versions apart from what changes them, and writes down what was moved.

use super::lookahead::Hashes;
use super::plain::record;
use super::{Coordinator, Done, fresh, known, refuse};
use crate::coordinator::Answer;
use crate::ids::{Lsn, Slot, TransferId};
use crate::money::AMOUNT_MAX;
use crate::partition::Leg;
use crate::plan::{Place, Plan};
use crate::record::{Record, TermedRecord};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::terms::{Balancing, Termed, TermsAfter};

impl Coordinator {
    /// Adds a request that has terms, `asked` being all of it: it may have a note.
    #[inline(never)]
    pub(super) fn add_termed(
        &mut self,
        plan: &mut Plan,
        termed: &Termed,
        asked: &Request,
        hashes: Hashes,
    ) {
        let places = plan.places.len();
        match termed.request() {
            Request::Transfer(transfer) => {
                let debit = self.directory.get_at(hashes.accounts[0], transfer.debit);
                let credit = self.directory.get_at(hashes.accounts[1], transfer.credit);
                let (next, time_ns) = (self.next_lsn, plan.time_ns);
                if let Some(lsn) = self.known.insert_at(hashes.id, transfer.id, next, time_ns) {
                    plan.places.push(known(lsn, asked.clone(), debit, credit));
                    return;
                }
                let amount = transfer.amount;
                let balancing = termed.terms().balancing;
                let refused = balancing.and_then(|balancing| refuse_balancing(amount, &balancing));
                let refused = match (refused, refuse(transfer, debit, credit)) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                self.push_fresh(plan, transfer, debit, credit, refused);
            }
            operation => self.add_operation_as(plan, operation, asked, hashes),
        }
        if let Some(Place::Fresh { item, .. }) = plan.places.get(places) {
            let at = *item;
            plan.batch.items[at as usize].termed = true;
            plan.batch.terms.push((at, *termed.terms()));
        }
    }

    /// Whether the group asks for the version of an account that something in the batch may
    /// change: then it is judged in the next one, when all of that is committed.
    pub(super) fn asks_for_changing(&self, plan: &mut Plan, group: &[Request]) -> bool {
        if plan.batch.items.is_empty() {
            return false;
        }
        let asked = group.iter().filter_map(|request| match request.unnoted() {
            Request::Termed(termed) => Some(&**termed),
            _ => None,
        });
        asked.into_iter().any(|termed| {
            let terms = termed.terms();
            let [debit, credit] = self.slots(plan, termed.request(), group);
            let debit = debit.filter(|_| terms.debit.version.is_some());
            let credit = credit.filter(|_| terms.credit.version.is_some());
            debit.into_iter().chain(credit).any(|slot| is_changing(plan, slot))
        })
    }

    /// The accounts of a request, as far as they are known; of one that speaks of a hold, those of
    /// the hold, which an earlier member of the group may place.
    fn slots(&self, plan: &Plan, request: &Request, group: &[Request]) -> [Option<Slot>; 2] {
        let placed = |id: TransferId| {
            let places =
                |member: &&Request| matches!(member.plain(), Request::Hold(_)) && member.id() == id;
            group.iter().find(places)?.accounts()
        };
        if let Some(ids) = request.accounts().or_else(|| request.hold().and_then(placed)) {
            return ids.map(|id| self.directory.get(id).map(|listing| listing.slot));
        }
        let of = |id: TransferId| self.holds.get(id).copied();
        let touched = |id| plan.touched.get(&id).and_then(|touched| touched.ok());
        let hold = request.hold().and_then(|id| of(id).or_else(|| touched(id)));
        [hold.map(|hold| hold.debit), hold.map(|hold| hold.credit)]
    }

    /// The event of a request with terms, and its answer.
    pub(super) fn conclude_termed(
        &mut self,
        done: &Done<'_>,
        termed: &Termed,
        answer: &mut Answer,
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        let lsn = done.batch.lsn(done.at);
        let item = &done.batch.items[done.at];
        let rejection = done.plan.verdicts[done.at];
        let place = answer.outcomes.len();
        let version = |leg: Option<Leg>| leg.map(|leg| leg.previous);
        let versions = match rejection {
            None => [None; 2],
            Some(_) => [version(done.legs.debit), version(done.legs.credit)],
        };
        let mut after = None;
        let mut wrap = |lsn: Lsn, inner: &Record| {
            let request = termed.request();
            let known = match inner {
                // What was assumed for the group's later members never happened.
                Record::HoldRefused(refused) => [refused.debit.is_some(), refused.credit.is_some()],
                _ => [true; 2],
            };
            let known = |side: usize| versions[side].filter(|_| known[side]);
            let versions = [known(0), known(1)];
            let wrapped = TermedRecord {
                terms: *termed.terms(),
                asked: request.transfer().map_or(0, |transfer| transfer.amount),
                versions,
                record: inner.clone(),
            };
            after = Some(wrapped.after(lsn));
            emit(lsn, &Record::Termed(Box::new(wrapped)));
        };
        match termed.request() {
            Request::Transfer(transfer) => {
                wrap(lsn, &record(transfer, item, lsn, rejection, &done.legs));
                let request = termed.request();
                let told = fresh(done.plan, request, lsn, rejection, done.currency, &done.legs);
                answer.outcomes.push(told);
            }
            operation => self.conclude_operation(done, operation, answer, &mut wrap),
        }
        answer.terms.push((place, after.expect("every request has its event")));
    }
}

/// The first rule about amounts that a balanced transfer breaks.
fn refuse_balancing(amount: u128, balancing: &Balancing) -> Option<Rejection> {
    if balancing.source.is_some_and(|source| source.total > AMOUNT_MAX) {
        return Some(Rejection::AmountTooLarge);
    }
    (balancing.min > amount).then_some(Rejection::AmountBelowMinimum)
}

/// Whether an item of the batch so far may change the account.
fn is_changing(plan: &mut Plan, slot: Slot) -> bool {
    let (slots, so_far) = &mut plan.changing;
    let new = plan.batch.items[*so_far..].iter().filter(|item| item.refused.is_none());
    slots.extend(new.flat_map(|item| [item.debit, item.credit]));
    *so_far = plan.batch.items.len();
    slots.contains(&slot)
}

/// What is told of a request with terms, as the record tells: the same for every repeat.
#[must_use]
pub fn terms_after(lsn: Lsn, record: &Record) -> Option<TermsAfter> {
    match record.unnoted() {
        Record::Termed(termed) => Some(termed.after(lsn)),
        _ => None,
    }
}
