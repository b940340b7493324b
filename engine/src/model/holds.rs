//! Holds in the plainest possible way: a map of those that are open, and how the others ended.

use crate::holds::{Closed, HoldAfter};
use crate::ids::{AccountId, Lsn, TransferId};
use crate::money::{AMOUNT_MAX, CurrencyId};
use crate::rejection::Rejection;
use crate::request::{HoldRequest, Request};
use std::collections::{BTreeMap, HashMap};

/// An open hold: as it was placed, and what happened since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OpenHold {
    pub asked: HoldRequest,
    pub placed: Lsn,
    pub captured: u128,
    /// `None` for never.
    pub expires_ns: Option<u64>,
}

impl OpenHold {
    pub fn remaining(&self) -> u128 {
        self.asked.amount - self.captured
    }
}

/// What an operation does to accounts: from the debit account's balance to the credit
/// account's, and off (or onto) what is on hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Move {
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount: u128,
    pub set_aside: u128,
    pub given_back: u128,
    /// It may take the debit account below its overdraft limit.
    pub overdraft: bool,
}

/// All holds.
#[derive(Clone, Debug, Default)]
pub(super) struct HoldBook {
    pub open: BTreeMap<TransferId, OpenHold>,
    pub closed: HashMap<TransferId, Closed>,
    /// Those that closed just now, and the events that had placed them.
    pub just_closed: HashMap<TransferId, (Lsn, Closed)>,
}

impl HoldBook {
    /// What the open holds set aside on this account.
    pub fn on_hold(&self, account: AccountId) -> u128 {
        let of_account = self.open.values().filter(|hold| hold.asked.debit == account);
        of_account.map(OpenHold::remaining).sum()
    }

    /// The first rule about amounts and holds that the request breaks. `knows` tells whether an
    /// id is known, `held_in` what the accounts of a hold hold.
    pub fn rule(
        &self,
        time_ns: u64,
        request: &Request,
        knows: impl Fn(TransferId) -> bool,
        held_in: impl Fn(&HoldRequest) -> CurrencyId,
    ) -> Option<Rejection> {
        let named = match request {
            Request::Transfer(transfer) => Some(transfer.amount),
            Request::Hold(hold) => Some(hold.amount),
            Request::Capture(capture) => capture.amount,
            Request::Void(_) | Request::Extend(_) | Request::Refund(_) => None,
            Request::Termed(_) | Request::Noted(_) => unreachable!("terms are apart"),
        };
        if named == Some(0) {
            return Some(Rejection::AmountZero);
        }
        let tolerance = match request {
            Request::Hold(hold) => hold.over_capture_max,
            _ => 0,
        };
        if named.is_some_and(|amount| amount > AMOUNT_MAX) || tolerance > AMOUNT_MAX {
            return Some(Rejection::AmountTooLarge);
        }
        let id = match request {
            Request::Transfer(_) | Request::Refund(_) | Request::Termed(_) | Request::Noted(_) => {
                return None;
            }
            Request::Hold(hold) => {
                return self.open.contains_key(&hold.id).then_some(Rejection::HoldExists);
            }
            Request::Capture(capture) => capture.hold,
            Request::Void(void) => void.hold,
            Request::Extend(extend) => extend.hold,
        };
        let Some(hold) = self.open.get(&id) else {
            let ended = self.just_closed.get(&id).map(|(_, how)| how);
            let ended = ended.or_else(|| self.closed.get(&id).filter(|_| knows(id)));
            return Some(match ended {
                None => Rejection::HoldUnknown,
                Some(Closed::Voided) => Rejection::HoldVoided,
                Some(Closed::Expired) => Rejection::HoldExpired,
                Some(Closed::Captured) => Rejection::HoldCaptured,
            });
        };
        match request {
            Request::Capture(capture) => {
                let in_all = hold.captured + capture.amount.unwrap_or(hold.remaining());
                let most = hold.asked.amount + hold.asked.over_capture_max;
                if in_all > most {
                    return Some(Rejection::HoldExceeded);
                }
                let other = capture.currency.is_some_and(|named| named != held_in(&hold.asked));
                other.then_some(Rejection::CurrencyMismatch)
            }
            Request::Extend(extend) => {
                let later = match (hold.expires_ns, extend.timeout_ns) {
                    (None, _) => false,
                    (Some(_), 0) => true,
                    (Some(before), timeout_ns) => {
                        time_ns.checked_add(timeout_ns).is_none_or(|after| after > before)
                    }
                };
                (!later).then_some(Rejection::HoldExtensionTooShort)
            }
            _ => None,
        }
    }

    /// What the request, which breaks no rule about holds, will do to accounts. Nothing for an
    /// extension.
    pub fn movement(&self, request: &Request) -> Option<Move> {
        let of = |id: &TransferId| {
            let hold = self.open[id];
            let HoldRequest { debit, credit, .. } = hold.asked;
            let (set_aside, given_back) = (0, 0);
            let nothing =
                Move { debit, credit, amount: 0, set_aside, given_back, overdraft: false };
            (hold, nothing)
        };
        Some(match request {
            Request::Transfer(t) => Move {
                debit: t.debit,
                credit: t.credit,
                amount: t.amount,
                set_aside: 0,
                given_back: 0,
                overdraft: false,
            },
            Request::Hold(h) => Move {
                debit: h.debit,
                credit: h.credit,
                amount: 0,
                set_aside: h.amount,
                given_back: 0,
                overdraft: false,
            },
            Request::Capture(capture) => {
                let (hold, nothing) = of(&capture.hold);
                let amount = capture.amount.unwrap_or(hold.remaining());
                let all = capture.last || amount > hold.remaining();
                let given_back = if all { hold.remaining() } else { amount };
                Move { amount, given_back, ..nothing }
            }
            Request::Void(void) => {
                let (hold, nothing) = of(&void.hold);
                Move { given_back: hold.remaining(), ..nothing }
            }
            Request::Extend(_) | Request::Refund(_) | Request::Termed(_) | Request::Noted(_) => {
                return None;
            }
        })
    }

    /// The request happens. Tells how its hold stands then.
    pub fn happen(&mut self, time_ns: u64, lsn: Lsn, request: &Request) -> Option<HoldAfter> {
        let moved = self.movement(request);
        let (captured, released) = moved.map_or((0, 0), |moved| (moved.amount, moved.given_back));
        let id = match request {
            Request::Transfer(_) | Request::Refund(_) | Request::Termed(_) | Request::Noted(_) => {
                return None;
            }
            Request::Hold(asked) => {
                let hold = OpenHold {
                    asked: **asked,
                    placed: lsn,
                    captured: 0,
                    expires_ns: end(time_ns, asked.timeout_ns),
                };
                self.open.insert(asked.id, hold);
                self.just_closed.remove(&asked.id);
                asked.id
            }
            Request::Capture(capture) => {
                let hold = self.open.get_mut(&capture.hold).expect("open");
                let over = capture.last || captured >= hold.remaining();
                // What exceeds it came from elsewhere; of the hold nothing remains then.
                hold.captured += captured.min(hold.remaining());
                if over {
                    self.close(capture.hold, Closed::Captured);
                }
                capture.hold
            }
            Request::Void(void) => {
                self.close(void.hold, Closed::Voided);
                void.hold
            }
            Request::Extend(extend) => {
                let hold = self.open.get_mut(&extend.hold).expect("open");
                hold.expires_ns = end(time_ns, extend.timeout_ns);
                extend.hold
            }
        };
        let now = self.open.get(&id);
        let told = matches!(request, Request::Hold(_) | Request::Extend(_));
        Some(HoldAfter {
            hold: id,
            closed: self.just_closed.get(&id).map(|(_, how)| *how),
            captured,
            released,
            remaining: now.map_or(0, OpenHold::remaining),
            over_capture_max: None,
            expires_ns: now.filter(|_| told).map(|hold| hold.expires_ns.unwrap_or(u64::MAX)),
        })
    }

    /// The hold ends.
    pub fn close(&mut self, id: TransferId, how: Closed) {
        let hold = self.open.remove(&id).expect("open");
        self.just_closed.insert(id, (hold.placed, how));
    }

    /// Those whose time is over, in the order in which they expire.
    pub fn due(&self, time_ns: u64) -> Vec<TransferId> {
        let expires = |hold: &OpenHold| hold.expires_ns.filter(|at| *at <= time_ns);
        let due = self.open.iter().filter_map(|(id, hold)| Some((expires(hold)?, *id)));
        let mut due: Vec<(u64, TransferId)> = due.collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// What a refused operation on an open hold is told.
    pub fn standing(&self, request: &Request) -> Option<HoldAfter> {
        let id = request.hold()?;
        self.open.get(&id).map(|hold| HoldAfter {
            hold: id,
            closed: None,
            captured: 0,
            released: 0,
            remaining: hold.remaining(),
            over_capture_max: Some(hold.asked.over_capture_max),
            expires_ns: Some(hold.expires_ns.unwrap_or(u64::MAX)),
        })
    }
}

/// When something that begins now ends; `None` for never, and for beyond all time.
fn end(time_ns: u64, timeout_ns: u64) -> Option<u64> {
    if timeout_ns == 0 {
        return None;
    }
    time_ns.checked_add(timeout_ns).filter(|end| *end < u64::MAX)
}
