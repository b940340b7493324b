//! The events of holds as bytes: those of every hold's life by hand, as postings are.
//!
//! ```text
//! Held:     id 16 · debit · credit · amount · timeout · tolerance · figures
//! Captured: id 16 · hold 16 · flags 1 · currency · debit · credit · amount · (released) ·
//!           remaining · side · side
//! Voided:   id 16 · hold 16 · currency · debit · released · figures
//! Expired:  hold 16 · debit · released · figures
//! figures:  posted, room     side: back, posted, room     (rooms and balances of either sign)
//! ```

use super::{
    Malformed, Scratch, decode, take, take_array, take_i128, take_id, take_signed_side, take_u128,
    zigzag,
};
use crate::ids::Slot;
use crate::money::CurrencyId;
use crate::record::{Captured, Expired, Figures, Held, PostedSide, Voided};

/// A capture's flags: no amount was named, it was the last, it takes off what it moves.
const ALL: u8 = 1;
const LAST: u8 = 2;
const EVEN: u8 = 4;

impl<const N: usize> Scratch<N> {
    fn put_figures(&mut self, figures: &Figures) {
        self.put(zigzag(figures.posted));
        self.put(zigzag(figures.room));
    }

    pub(super) fn put_signed_side(&mut self, side: &PostedSide) {
        self.put_u64(side.back);
        self.put(zigzag(side.posted));
        self.put(zigzag(side.room));
    }
}

pub(super) fn put_held<const N: usize>(scratch: &mut Scratch<N>, held: &Held) {
    scratch.put_bytes(&held.id.get().to_le_bytes());
    scratch.put_u64(held.debit.0.into());
    scratch.put_u64(held.credit.0.into());
    scratch.put(held.amount);
    scratch.put_u64(held.timeout_ns);
    scratch.put(held.over_capture_max);
    scratch.put_figures(&held.debit_after);
}

pub(super) fn take_held(rest: &mut &[u8], linked: bool) -> Result<Held, Malformed> {
    Ok(Held {
        id: take_id(rest)?,
        linked,
        debit: take_slot(rest)?,
        credit: take_slot(rest)?,
        amount: take_u128(rest)?,
        timeout_ns: take(rest, decode::u64)?,
        over_capture_max: take_u128(rest)?,
        debit_after: take_figures(rest)?,
    })
}

pub(super) fn put_captured<const N: usize>(scratch: &mut Scratch<N>, captured: &Captured) {
    let even = captured.released == captured.amount;
    let flag = |is, flag| if is { flag } else { 0 };
    scratch.put_bytes(&captured.id.get().to_le_bytes());
    scratch.put_bytes(&captured.hold.get().to_le_bytes());
    scratch.put_bytes(&[flag(captured.all, ALL) | flag(captured.last, LAST) | flag(even, EVEN)]);
    scratch.put_u64(captured.currency.0.into());
    scratch.put_u64(captured.debit.0.into());
    scratch.put_u64(captured.credit.0.into());
    scratch.put(captured.amount);
    if !even {
        scratch.put(captured.released);
    }
    scratch.put(captured.remaining);
    scratch.put_signed_side(&captured.debit_side);
    scratch.put_signed_side(&captured.credit_side);
}

pub(super) fn take_captured(rest: &mut &[u8], linked: bool) -> Result<Captured, Malformed> {
    let (id, hold) = (take_id(rest)?, take_id(rest)?);
    let [flags] = take_array(rest)?;
    if flags > ALL | LAST | EVEN {
        return Err(Malformed::Field("flags of a capture"));
    }
    let currency = take_currency(rest)?;
    let (debit, credit) = (take_slot(rest)?, take_slot(rest)?);
    let amount = take_u128(rest)?;
    let even = flags & EVEN != 0;
    let released = if even { amount } else { take_u128(rest)? };
    if !even && released == amount {
        // There is one way to write it.
        return Err(Malformed::Field("flags of a capture"));
    }
    Ok(Captured {
        id,
        linked,
        hold,
        currency,
        all: flags & ALL != 0,
        last: flags & LAST != 0,
        debit,
        credit,
        amount,
        released,
        remaining: take_u128(rest)?,
        debit_side: take_signed_side(rest)?,
        credit_side: take_signed_side(rest)?,
    })
}

pub(super) fn put_voided<const N: usize>(scratch: &mut Scratch<N>, voided: &Voided) {
    scratch.put_bytes(&voided.id.get().to_le_bytes());
    scratch.put_bytes(&voided.hold.get().to_le_bytes());
    scratch.put_u64(voided.currency.0.into());
    scratch.put_u64(voided.debit.0.into());
    scratch.put(voided.released);
    scratch.put_figures(&voided.debit_after);
}

pub(super) fn take_voided(rest: &mut &[u8], linked: bool) -> Result<Voided, Malformed> {
    Ok(Voided {
        id: take_id(rest)?,
        linked,
        hold: take_id(rest)?,
        currency: take_currency(rest)?,
        debit: take_slot(rest)?,
        released: take_u128(rest)?,
        debit_after: take_figures(rest)?,
    })
}

pub(super) fn put_expired<const N: usize>(scratch: &mut Scratch<N>, expired: &Expired) {
    scratch.put_bytes(&expired.hold.get().to_le_bytes());
    scratch.put_u64(expired.debit.0.into());
    scratch.put(expired.released);
    scratch.put_figures(&expired.debit_after);
}

pub(super) fn take_expired(rest: &mut &[u8]) -> Result<Expired, Malformed> {
    Ok(Expired {
        hold: take_id(rest)?,
        debit: take_slot(rest)?,
        released: take_u128(rest)?,
        debit_after: take_figures(rest)?,
    })
}

fn take_slot(rest: &mut &[u8]) -> Result<Slot, Malformed> {
    take(rest, decode::u32).map(Slot)
}

fn take_currency(rest: &mut &[u8]) -> Result<CurrencyId, Malformed> {
    take(rest, decode::u16).map(CurrencyId)
}

fn take_figures(rest: &mut &[u8]) -> Result<Figures, Malformed> {
    Ok(Figures { posted: take_i128(rest)?, room: take_i128(rest)? })
}
