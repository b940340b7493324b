//! Holds as the journal's events leave them, and the rules about them once more: what may be
//! asked of a hold, what that does, when its time is over.

use crate::books::{Book, whole};
use crate::check::Checker;
use crate::event::{Event, figures};
use crate::fault::Kind;
use crate::refunds::Given;
use ducat_engine::holds::{Closed, Hold, Standing};
use ducat_engine::ids::{Lsn, Slot, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::{Captured, Expired, Extended, Figures, Held, HoldRefused, Record};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{NEVER_NS, Request, expiry_ns};
use foldhash::fast::FixedState;
use std::collections::{BTreeSet, HashMap};

/// What is known of a hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stands {
    Open(Hold),
    /// How it ended, and the event that had placed it.
    Closed(Closed, Lsn),
    Unknown,
}

/// All holds, as of one LSN.
#[derive(Clone, Debug, Default)]
pub(crate) struct HoldBook {
    holds: HashMap<TransferId, Stands, FixedState>,
    /// Open ones by expiry and id.
    due: BTreeSet<(u64, TransferId)>,
}

/// What a request does once it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Effect {
    pub debit: Slot,
    pub credit: Slot,
    /// From the one to the other, minor units.
    pub moved: i128,
    /// How much more the debit account has on hold, minor units.
    pub on_hold: i128,
    /// The debit account may go below its overdraft limit for it.
    pub overdraft: bool,
    /// The hold, and how it stands then.
    pub hold: Option<(TransferId, Stands)>,
    /// The original of a refund, and what was given back of it then.
    pub refund: Option<(Lsn, Given)>,
}

impl HoldBook {
    /// Open holds as they stood when the journal's first event came.
    pub fn begin_with(holds: &[Hold]) -> Self {
        let mut book = Self::default();
        for hold in holds {
            book.set(hold.id, Stands::Open(*hold));
        }
        book
    }

    pub fn stands(&self, id: TransferId) -> Stands {
        self.holds.get(&id).copied().unwrap_or(Stands::Unknown)
    }

    /// Returns how it stood before.
    pub fn set(&mut self, id: TransferId, now: Stands) -> Stands {
        let before = match now {
            Stands::Unknown => self.holds.remove(&id),
            now => self.holds.insert(id, now),
        };
        let before = before.unwrap_or(Stands::Unknown);
        for (stands, is_now) in [(before, false), (now, true)] {
            let Stands::Open(Hold { expires_ns, .. }) = stands else { continue };
            if is_now && expires_ns != NEVER_NS {
                self.due.insert((expires_ns, id));
            } else {
                self.due.remove(&(expires_ns, id));
            }
        }
        before
    }
}

/// The first rule about a hold's state that the request breaks.
pub(crate) fn hold_rule(time_ns: u64, request: &Request, stands: Stands) -> Option<Rejection> {
    let hold = match (request, stands) {
        (Request::Transfer(_), _) => return None,
        (Request::Hold(_), Stands::Open(_)) => return Some(Rejection::HoldExists),
        (Request::Hold(_), _) => return None,
        (_, Stands::Open(hold)) => hold,
        (_, Stands::Closed(how, _)) => return Some(how.rejection()),
        (_, Stands::Unknown) => return Some(Rejection::HoldUnknown),
    };
    match request {
        Request::Capture(capture) => {
            let amount = capture.amount.unwrap_or(hold.remaining);
            if amount > hold.remaining.saturating_add(hold.over_capture_max) {
                return Some(Rejection::HoldExceeded);
            }
            let other = capture.currency.is_some_and(|named| named != hold.currency);
            other.then_some(Rejection::CurrencyMismatch)
        }
        Request::Extend(extend) => {
            let later = expiry_ns(time_ns, extend.timeout_ns) > hold.expires_ns;
            (!later).then_some(Rejection::HoldExtensionTooShort)
        }
        _ => None,
    }
}

/// What an operation on an open hold does.
pub(crate) fn effect_on(time_ns: u64, request: &Request, hold: &Hold) -> Effect {
    let (mut moved, mut released, mut now) = (0, 0, Stands::Open(*hold));
    match request {
        Request::Capture(capture) => {
            moved = capture.amount.unwrap_or(hold.remaining);
            released = if capture.last { hold.remaining } else { moved.min(hold.remaining) };
            now = match hold.remaining - released {
                0 => Stands::Closed(Closed::Captured, hold.placed_lsn),
                remaining => Stands::Open(Hold { remaining, ..*hold }),
            };
        }
        Request::Void(_) => {
            released = hold.remaining;
            now = Stands::Closed(Closed::Voided, hold.placed_lsn);
        }
        Request::Extend(extend) => {
            let expires_ns = expiry_ns(time_ns, extend.timeout_ns);
            now = Stands::Open(Hold { expires_ns, ..*hold });
        }
        Request::Transfer(_)
        | Request::Hold(_)
        | Request::Refund(_)
        | Request::Termed(_)
        | Request::Noted(_) => {}
    }
    Effect {
        debit: hold.debit,
        credit: hold.credit,
        moved: whole(moved),
        on_hold: -whole(released),
        overdraft: false,
        hold: Some((hold.id, now)),
        refund: None,
    }
}

impl Checker<'_> {
    /// Nothing that a request asks for is decided before what has expired by then is an event.
    pub(crate) fn nothing_is_due(&mut self, event: &Event) {
        while let Some((expires_ns, id)) = self.due_by(event.time_ns) {
            self.report.add(Kind::WrongHold, event.lsn, || {
                format!("hold {id} ended at {expires_ns} ns, and has not expired")
            });
            self.holds.due.remove(&(expires_ns, id));
        }
    }

    fn due_by(&self, time_ns: u64) -> Option<(u64, TransferId)> {
        self.holds.due.first().copied().filter(|(expires_ns, _)| *expires_ns <= time_ns)
    }

    /// Replays an event of a hold, and holds what it says against what it comes to.
    pub(crate) fn hold_event(&mut self, event: &Event) {
        let lsn = event.lsn;
        match event.record.plain() {
            Record::Held(held) => self.placed(event, held),
            Record::Captured(captured) => {
                self.captured(event, captured);
                self.post(lsn, &captured.posted());
            }
            Record::Voided(voided) => {
                let given_back = self.close(lsn, voided.hold, Closed::Voided);
                self.gives_back(lsn, voided.debit, given_back, voided.released);
                self.stands(lsn, voided.debit, &voided.debit_after);
            }
            Record::Expired(expired) => self.expired(event, expired),
            Record::Extended(extended) => self.extended(event, extended),
            Record::HoldRefused(refused) => self.refused_on(lsn, refused),
            _ => {}
        }
    }

    fn placed(&mut self, event: &Event, held: &Held) {
        let Held { id, debit, credit, amount, timeout_ns, over_capture_max, .. } = *held;
        let currency = self.books.get(debit).map(|book| book.spec.currency);
        let hold = Hold {
            id,
            amount,
            remaining: amount,
            over_capture_max,
            expires_ns: expiry_ns(event.time_ns, timeout_ns),
            placed_lsn: event.lsn,
            debit,
            credit,
            // An account that is not there is a fault of its own.
            currency: currency.unwrap_or(CurrencyId(0)),
            kind: event.record.noted_kind(),
        };
        let before = self.holds.set(id, Stands::Open(hold));
        if matches!(before, Stands::Open(_)) {
            self.report.add(Kind::WrongHold, event.lsn, || format!("{before:?} is placed again"));
        }
        self.set_aside(event.lsn, debit, whole(amount));
        self.stands(event.lsn, debit, &held.debit_after);
    }

    fn captured(&mut self, event: &Event, captured: &Captured) {
        let lsn = event.lsn;
        let Captured { hold: id, debit, credit, amount, released, remaining, all, last, .. } =
            *captured;
        self.set_aside(lsn, debit, -whole(released));
        let Stands::Open(hold) = self.holds.stands(id) else {
            return self.not_open(lsn, id);
        };
        let takes = if last { hold.remaining } else { hold.remaining.min(amount) };
        let right = (debit, credit) == (hold.debit, hold.credit)
            && event.record.noted_kind() == hold.kind
            && (!all || amount == hold.remaining)
            && amount <= hold.remaining.saturating_add(hold.over_capture_max)
            && released == takes
            && remaining == hold.remaining - takes;
        if !right {
            let what = || format!("{captured:?} is no capture of {hold:?}");
            self.report.add(Kind::WrongHold, lsn, what);
        }
        let now = match remaining {
            0 => Stands::Closed(Closed::Captured, hold.placed_lsn),
            remaining => Stands::Open(Hold { remaining, ..hold }),
        };
        self.holds.set(id, now);
    }

    fn expired(&mut self, event: &Event, expired: &Expired) {
        let next = self.due_by(event.time_ns);
        if next.is_none_or(|(_, id)| id != expired.hold) {
            self.report.add(Kind::WrongHold, event.lsn, || {
                format!("hold {} expires, due next is {next:?}", expired.hold)
            });
        }
        let given_back = self.close(event.lsn, expired.hold, Closed::Expired);
        self.gives_back(event.lsn, expired.debit, given_back, expired.released);
        self.stands(event.lsn, expired.debit, &expired.debit_after);
    }

    fn extended(&mut self, event: &Event, extended: &Extended) {
        let Extended { hold: id, debit, timeout_ns, expires_ns, remaining, .. } = *extended;
        match self.holds.stands(id) {
            Stands::Open(hold) => {
                let right = hold.debit == debit
                    && hold.remaining == remaining
                    && expires_ns > hold.expires_ns
                    && expires_ns == expiry_ns(event.time_ns, timeout_ns);
                if !right {
                    let what = || format!("{extended:?} is no extension of {hold:?}");
                    self.report.add(Kind::WrongHold, event.lsn, what);
                }
                self.holds.set(id, Stands::Open(Hold { expires_ns, ..hold }));
            }
            _ => self.not_open(event.lsn, id),
        }
        self.stands(event.lsn, debit, &extended.debit_after);
    }

    /// A refusal tells how its hold stands. The accounts' figures are looked at elsewhere.
    fn refused_on(&mut self, lsn: Lsn, refused: &HoldRefused) {
        let Some(Standing { remaining, over_capture_max, expires_ns }) = refused.standing else {
            return;
        };
        let spoken_of = crate::event::hold_of(refused);
        let now = self.holds.stands(spoken_of);
        let same = match now {
            Stands::Open(hold) => {
                (hold.remaining, hold.over_capture_max, hold.expires_ns)
                    == (remaining, over_capture_max, expires_ns)
            }
            _ => false,
        };
        if !same {
            self.report.add(Kind::WrongHold, lsn, || format!("{refused:?}, but it is {now:?}"));
        }
    }

    /// Closes a hold, and gives what remained of it.
    fn close(&mut self, lsn: Lsn, id: TransferId, how: Closed) -> Option<Hold> {
        let Stands::Open(hold) = self.holds.stands(id) else {
            self.not_open(lsn, id);
            return None;
        };
        self.holds.set(id, Stands::Closed(how, hold.placed_lsn));
        Some(hold)
    }

    fn not_open(&mut self, lsn: Lsn, id: TransferId) {
        let now = self.holds.stands(id);
        self.report.add(Kind::WrongHold, lsn, || format!("hold {id} is not open: {now:?}"));
    }

    fn gives_back(&mut self, lsn: Lsn, debit: Slot, hold: Option<Hold>, released: u128) {
        let right = hold.is_none_or(|hold| (hold.debit, hold.remaining) == (debit, released));
        if !right {
            self.report.add(Kind::WrongHold, lsn, || {
                format!("{released} come back to {debit:?} from {hold:?}")
            });
        }
        self.set_aside(lsn, debit, -whole(released));
    }

    fn set_aside(&mut self, lsn: Lsn, slot: Slot, change: i128) {
        let Some(book) = self.books.get_mut(slot) else {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{slot:?} is no account"));
            return;
        };
        book.on_hold = book.on_hold.saturating_add(change);
        book.version = lsn;
        let book = *book;
        // What is given back may leave an account outside that a refund has overdrawn.
        if book.on_hold < 0 || change > 0 && book.is_outside() {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{book:?} holds what it has not"));
        }
    }

    pub(crate) fn stands(&mut self, lsn: Lsn, slot: Slot, after: &Figures) {
        let now = self.books.get(slot).map(Book::figures);
        if now != Some(figures(after.posted, after.room)) {
            self.report.add(Kind::WrongBalance, lsn, || {
                format!("the journal has {after:?} after it, the sum is {now:?}")
            });
        }
    }
}
