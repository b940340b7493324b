//! One event: by the rules, by its figures, and by what was told of it.

use crate::books::{Book, whole};
use crate::check::{Asked, Checker};
use crate::event::{Event, Stored};
use crate::fault::Kind;
use crate::history::{AccountChange, BadHistory, Beside, SeenEntry, Told};
use ducat_engine::account_event::{AccountEvent, Change, LimitsFrom};
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::record::{Posted, Record};
use ducat_engine::transfer::{AccountSpec, AccountStatus};

impl Checker<'_> {
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
            && let Some(kind) = verdict.broken_by(stored)
        {
            self.report.add(kind, lsn, || format!("the rules give {verdict:?}, not {stored:?}"));
        }
        self.legs_before(event);
        match event.record.plain() {
            // Nothing has terms or notes twice.
            Record::Termed(_) | Record::Noted(_) => {}
            Record::FeeEvent(event) => self.fees.take(event),
            Record::FeeLeg(leg) => self.fee_leg(lsn, leg),
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
            Record::AssetDefined { .. } | Record::Driven(_) | Record::Audit(_) => {}
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
                self.refund_event(lsn, event.record.plain(), stored.as_ref());
            }
        }
        if let Some(stored) = &stored {
            self.note_original(event, stored);
            self.versions_then(stored);
            if let Some(told) = asked.told {
                self.told(stored, told);
            }
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
        book.version = lsn;
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
        book.version = lsn;
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
            book.version = lsn;
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
    pub(crate) fn refuse(&mut self, stored: &Stored) {
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
        self.told_beside(stored, told);
    }

    fn told_beside(&mut self, stored: &Stored, told: &Told) {
        if told.beside.as_deref() == stored.beside() {
            return;
        }
        let was = told.beside.as_deref().copied().unwrap_or_default();
        let Beside { refund, terms, fee } = stored.beside().copied().unwrap_or_default();
        for (same, kind) in [
            (was.refund == refund, Kind::WrongRefund),
            (was.terms == terms, Kind::WrongTerms),
            (was.fee == fee, Kind::WrongFee),
        ] {
            if !same {
                self.report.add(kind, stored.lsn, || {
                    format!("told was {:?} beside {stored:?}", told.beside)
                });
            }
        }
    }
}
