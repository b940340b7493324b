//! The coordinator's part in notes and kinds: it carries what was said past all rules, and writes it
//! down around the record of what happened.

use super::lookahead::Hashes;
use super::plain::record;
use super::{Answer, Coordinator, Done, known, refuse};
use crate::fees::FeeNote;
use crate::ids::Lsn;
use crate::note::{Note, Noted};
use crate::plan::Plan;
use crate::record::{NotedRecord, Record};
use crate::request::Request;
use crate::transfer::{TransferKind, TransferRequest};
use std::borrow::Cow;

/// Makes the event of a plain transfer what is written: with what is told of its fee around it, and the
/// kind of a posted transfer that its accounts do not tell. Most are written as they are.
#[inline]
pub(super) fn keep(event: &mut Record, kind: TransferKind, fee: Option<FeeNote>) {
    if !kind.follows_from_accounts() || fee.is_some() {
        *event = with_note(event.clone(), kind, None, fee);
    }
}

#[cold]
fn with_note(
    event: Record,
    kind: TransferKind,
    note: Option<&Note>,
    fee: Option<FeeNote>,
) -> Record {
    let kind = (event.plain().can_have_kind() && !kind.follows_from_accounts()).then_some(kind);
    if kind.is_none() && note.is_none() && fee.is_none() {
        return event;
    }
    let covered = note.is_some();
    let note = note.cloned().unwrap_or_default();
    Record::Noted(Box::new(NotedRecord { kind, note, fee, covered, record: event }))
}

impl Coordinator {
    /// Adds a request that has a note, `asked` being all of it.
    #[inline(never)]
    pub(super) fn add_noted(
        &mut self,
        plan: &mut Plan,
        noted: &Noted,
        asked: &Request,
        hashes: Hashes,
    ) {
        match noted.request() {
            Request::Transfer(transfer) => self.add_transfer_as(plan, transfer, asked, hashes),
            Request::Termed(termed) => self.add_termed(plan, termed, asked, hashes),
            operation => self.add_operation_as(plan, operation, asked, hashes),
        }
    }

    fn add_transfer_as(
        &mut self,
        plan: &mut Plan,
        transfer: &TransferRequest,
        asked: &Request,
        hashes: Hashes,
    ) {
        let debit = self.directory.get_at(hashes.accounts[0], transfer.debit);
        let credit = self.directory.get_at(hashes.accounts[1], transfer.credit);
        match self.known.insert_at(hashes.id, transfer.id, self.next_lsn, plan.time_ns) {
            Some(lsn) => plan.places.push(known(lsn, asked.clone(), debit, credit)),
            None => {
                let refused = refuse(transfer, debit, credit);
                self.push_fresh(plan, transfer, debit, credit, refused);
            }
        }
    }

    /// The event of a request that is no plain transfer, and its answer.
    pub(super) fn conclude_other(
        &mut self,
        done: &Done<'_>,
        request: &Request,
        answer: &mut Answer,
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        let (note, kind) = (request.note(), self.kind_of(request));
        let fee = done.plan.fee_of(done.at);
        answer.fees.extend(fee.map(|fee| (answer.outcomes.len(), fee)));
        let mut emit = |lsn: Lsn, event: &Record| {
            let plain = note.is_none() && kind.follows_from_accounts() && fee.is_none();
            let event = match plain {
                true => Cow::Borrowed(event),
                false => Cow::Owned(with_note(event.clone(), kind, note, fee)),
            };
            emit(lsn, &event);
        };
        match request.unnoted() {
            Request::Transfer(transfer) => {
                self.conclude_transfer(done, transfer, answer, &mut emit);
            }
            Request::Termed(termed) => self.conclude_termed(done, termed, answer, &mut emit),
            operation => self.conclude_operation(done, operation, answer, &mut emit),
        }
    }

    /// What a request is for; a capture is for what its hold is. Nothing is known of other
    /// operations.
    fn kind_of(&self, request: &Request) -> TransferKind {
        let kind = match request.plain() {
            Request::Transfer(transfer) => Some(transfer.kind),
            Request::Hold(hold) => Some(hold.kind),
            Request::Capture(capture) => self.holds.kind(capture.hold),
            _ => None,
        };
        kind.unwrap_or_default()
    }

    /// The event of a transfer that has a note, and its answer.
    fn conclude_transfer(
        &mut self,
        done: &Done<'_>,
        transfer: &TransferRequest,
        answer: &mut Answer,
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        let (lsn, rejection) = (done.batch.lsn(done.at), done.plan.verdicts[done.at]);
        let item = &done.batch.items[done.at];
        emit(lsn, &record(transfer, item, lsn, rejection, &done.legs));
        let request = Request::Transfer(*transfer);
        let told = super::fresh(done.plan, &request, lsn, rejection, done.currency, &done.legs);
        answer.outcomes.push(told);
    }
}
