//! The statements of holds.

use super::{Names, Unnamed, figures, kind_of};
use crate::ids::{Lsn, Slot};
use crate::proof::statement::{
    Event, HoldAsked, HoldCaptured, HoldExpired, HoldExtended, HoldPlaced, HoldRefused, HoldVoided,
    Side,
};
use crate::record::{self, Figures, Operation, PostedSide, Record};
use crate::transfer::TransferKind;

impl Names {
    /// What happened, by a record of a hold.
    pub(super) fn hold_event(&self, lsn: Lsn, record: &Record) -> Result<Event, Unnamed> {
        Ok(match record {
            Record::Held(held) => Event::HoldPlaced(self.placed(lsn, held)?),
            Record::Captured(captured) => Event::HoldCaptured(self.captured(lsn, captured)?),
            Record::Voided(voided) => Event::HoldVoided(HoldVoided {
                id: voided.id,
                linked: voided.linked,
                hold: voided.hold,
                released: voided.released,
                currency: self.currency(lsn, voided.currency)?,
                debit: self.side_after(lsn, voided.debit, &voided.debit_after)?,
            }),
            Record::Extended(extended) => Event::HoldExtended(HoldExtended {
                id: extended.id,
                linked: extended.linked,
                hold: extended.hold,
                timeout_ns: extended.timeout_ns,
                expires_ns: extended.expires_ns,
                remaining: extended.remaining,
                currency: self.currency(lsn, extended.currency)?,
                debit: self.side_after(lsn, extended.debit, &extended.debit_after)?,
            }),
            Record::Expired(expired) => {
                let (_, account) = self.account(lsn, expired.debit)?;
                Event::HoldExpired(HoldExpired {
                    hold: expired.hold,
                    released: expired.released,
                    currency: self.currency(lsn, account.currency)?,
                    debit: self.side_after(lsn, expired.debit, &expired.debit_after)?,
                })
            }
            Record::HoldRefused(refused) => Event::HoldRefused(self.hold_refused(lsn, refused)?),
            other => unreachable!("{other:?} is no event of a hold"),
        })
    }

    fn placed(&self, lsn: Lsn, held: &record::Held) -> Result<HoldPlaced, Unnamed> {
        let (_, payer) = self.account(lsn, held.debit)?;
        let (credit, receiver) = self.account(lsn, held.credit)?;
        Ok(HoldPlaced {
            id: held.id,
            kind: kind_of(payer, receiver),
            linked: held.linked,
            amount: held.amount,
            currency: self.currency(lsn, payer.currency)?,
            timeout_ns: held.timeout_ns,
            over_capture_max: held.over_capture_max,
            debit: self.side_after(lsn, held.debit, &held.debit_after)?,
            credit,
        })
    }

    fn captured(&self, lsn: Lsn, captured: &record::Captured) -> Result<HoldCaptured, Unnamed> {
        let side = |slot, side: &PostedSide| {
            self.side_after(lsn, slot, &Figures { posted: side.posted, room: side.room })
        };
        Ok(HoldCaptured {
            id: captured.id,
            linked: captured.linked,
            hold: captured.hold,
            all: captured.all,
            last: captured.last,
            amount: captured.amount,
            released: captured.released,
            remaining: captured.remaining,
            currency: self.currency(lsn, captured.currency)?,
            debit: side(captured.debit, &captured.debit_side)?,
            credit: side(captured.credit, &captured.credit_side)?,
        })
    }

    fn hold_refused(
        &self,
        lsn: Lsn,
        refused: &record::HoldRefused,
    ) -> Result<HoldRefused, Unnamed> {
        let side = |party| self.party(lsn, party).map(|(side, _)| side);
        let (asked, named) = match refused.asked {
            Operation::Hold { amount, currency, kind, timeout_ns, over_capture_max } => {
                (HoldAsked::Place { kind, amount, timeout_ns, over_capture_max }, currency)
            }
            Operation::Capture { hold, amount, currency, last } => {
                (HoldAsked::Capture { hold, amount, last }, currency)
            }
            Operation::Void { hold } => (HoldAsked::Void { hold }, None),
            Operation::Extend { hold, timeout_ns } => {
                (HoldAsked::Extend { hold, timeout_ns }, None)
            }
        };
        let currency = named.or(refused.held_in);
        Ok(HoldRefused {
            id: refused.id,
            linked: refused.linked,
            rejection: refused.rejection,
            asked,
            currency: currency.map(|id| self.currency(lsn, id)).transpose()?,
            debit: refused.debit.map(side).transpose()?,
            credit: refused.credit.map(side).transpose()?,
            standing: refused.standing,
        })
    }

    pub(super) fn side_after(
        &self,
        lsn: Lsn,
        slot: Slot,
        after: &Figures,
    ) -> Result<Side, Unnamed> {
        let (account, _) = self.account(lsn, slot)?;
        Ok(Side { account, after: figures(after.posted, after.room) })
    }
}

/// The event with the kind that stands around a hold's record.
pub(super) fn kind_said(event: Event, said: Option<TransferKind>) -> Event {
    match event {
        Event::HoldPlaced(placed) => {
            Event::HoldPlaced(HoldPlaced { kind: said.unwrap_or(placed.kind), ..placed })
        }
        other => other,
    }
}
