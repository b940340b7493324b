//! What replies and reads say of holds and of changes of accounts, as bytes and back.

use super::{In, Out};
use crate::history::{AccountChange, STATUSES, SeenHold};
use ducat_engine::holds::{Closed, HoldAfter};
use ducat_engine::ids::TransferId;
use ducat_engine::limits::{Bounds, Limits};

impl Out {
    pub(super) fn hold_after(&mut self, hold: &HoldAfter) {
        self.number(hold.hold.get());
        self.byte(hold.closed.map_or(0, Closed::number));
        for minor in [hold.captured, hold.released, hold.remaining] {
            self.number(minor);
        }
        self.maybe(hold.over_capture_max);
        self.maybe(hold.expires_ns.map(u128::from));
    }

    pub(super) fn maybe(&mut self, value: Option<u128>) {
        self.byte(u8::from(value.is_some()));
        value.into_iter().for_each(|value| self.number(value));
    }

    pub fn seen_hold(&mut self, seen: &SeenHold) {
        self.number(seen.id.get());
        self.byte(seen.closed.map_or(0, Closed::number));
        self.number(seen.remaining);
        self.number(seen.expires_ns.into());
    }

    pub fn change(&mut self, change: &AccountChange) {
        match change {
            AccountChange::Status { status, reason } => {
                let status = STATUSES.iter().position(|known| known == status).expect("listed");
                self.byte(status as u8);
                self.list(reason.bytes(), Self::byte);
            }
            AccountChange::Limits(Limits { overdraft_limit, bounds }) => {
                self.byte(u8::MAX);
                self.number(*overdraft_limit);
                for bound in [bounds.floor, bounds.ceiling] {
                    self.byte(u8::from(bound.is_some()));
                    bound.into_iter().for_each(|bound| self.signed(bound));
                }
            }
        }
    }
}

impl In<'_> {
    pub(super) fn hold_after(&mut self) -> Option<HoldAfter> {
        Some(HoldAfter {
            hold: TransferId::new(self.number()?).ok()?,
            closed: self.closed()?,
            captured: self.number()?,
            released: self.number()?,
            remaining: self.number()?,
            over_capture_max: self.maybe(Self::number)?,
            expires_ns: self.maybe(Self::small)?,
        })
    }

    fn closed(&mut self) -> Option<Option<Closed>> {
        match self.byte()? {
            0 => Some(None),
            number => Some(Some(Closed::from_number(number)?)),
        }
    }

    pub(super) fn maybe<T>(&mut self, value: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            _ => Some(Some(value(self)?)),
        }
    }

    pub(super) fn seen_hold(&mut self) -> Option<SeenHold> {
        let (id, closed) = (TransferId::new(self.number()?).ok()?, self.closed()?);
        Some(SeenHold { id, closed, remaining: self.number()?, expires_ns: self.small()? })
    }

    pub(super) fn change(&mut self) -> Option<AccountChange> {
        let status = self.byte()?;
        if status == u8::MAX {
            let overdraft_limit = self.number()?;
            let (floor, ceiling) = (self.maybe(Self::signed)?, self.maybe(Self::signed)?);
            let bounds = Bounds { floor, ceiling };
            return Some(AccountChange::Limits(Limits { overdraft_limit, bounds }));
        }
        let status = *STATUSES.get(usize::from(status))?;
        let reason = String::from_utf8(self.list(Self::byte)?).ok()?;
        Some(AccountChange::Status { status, reason })
    }
}
