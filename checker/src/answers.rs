//! One event: by the rules, by its figures, and by what was told of it.

use crate::books::{Book, Books, form_rule, funds_rule, whole};
use crate::check::{Asked, Checker};
use crate::event::{Event, Side, Stored};
use crate::fault::Kind;
use crate::history::{BadHistory, SeenEntry, Told};
use ducat_engine::account_event::{AccountEvent, Change};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::record::{Posted, Record};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferRequest};

/// What the rules give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict(pub Option<Rejection>);

impl Verdict {
    /// Whether it is what became of the transfer.
    pub fn allows(self, rejection: Option<Rejection>) -> bool {
        self.0 == rejection
    }
}

/// The account of one side, whether or not the event says that it exists.
fn book<'b>(books: &'b Books, side: &Side, id: AccountId) -> Option<&'b Book> {
    match side.slot {
        Some(slot) => books.get(slot),
        None => books.of(id),
    }
}

impl Checker<'_> {
    /// What the rules give for a transfer that is not linked, now.
    pub(crate) fn judge_one(&self, request: &TransferRequest, stored: &Stored) -> Verdict {
        let debit = book(&self.books, &stored.debit, request.debit);
        let credit = book(&self.books, &stored.credit, request.credit);
        let form = form_rule(request, debit, credit);
        let rule = form.or_else(|| {
            let (debit, credit) = debit.zip(credit)?;
            funds_rule(debit, credit, request.amount)
        });
        Verdict(rule)
    }

    /// What the rules give for the new members of a group, whose events these are. `mixed`: it
    /// has known members as well. `None` when the events are of other transfers.
    pub(crate) fn judge(
        &mut self,
        requests: &[&TransferRequest],
        stored: &[Stored],
        mixed: bool,
    ) -> Option<Vec<Verdict>> {
        let same = requests.iter().zip(stored).all(|(request, stored)| stored.is(request));
        if !same || requests.len() != stored.len() {
            return None;
        }
        let failed = Verdict(Some(Rejection::LinkedFailed));
        if mixed {
            return Some(vec![failed; requests.len()]);
        }
        let members = || requests.iter().zip(stored).enumerate();
        let form = members().find_map(|(at, (request, stored))| {
            let debit = book(&self.books, &stored.debit, request.debit);
            let credit = book(&self.books, &stored.credit, request.credit);
            form_rule(request, debit, credit).map(|rule| (at, rule))
        });
        let broken = form.or_else(|| self.first_short(requests, stored));
        let verdict = |at| match broken {
            None => Verdict(None),
            Some((failing, rule)) if failing == at => Verdict(Some(rule)),
            Some(_) => failed,
        };
        Some((0..requests.len()).map(verdict).collect())
    }

    /// The first member that cannot happen after those before it, and why. Tries it out, and
    /// takes it back.
    fn first_short(
        &mut self,
        requests: &[&TransferRequest],
        stored: &[Stored],
    ) -> Option<(usize, Rejection)> {
        let mut tried: Vec<(Slot, Slot, i128)> = Vec::with_capacity(requests.len());
        let mut broken = None;
        for (at, (request, stored)) in requests.iter().zip(stored).enumerate() {
            let slot = |side: &Side, id| side.slot.or_else(|| self.books.slot(id));
            let debit = slot(&stored.debit, request.debit);
            let credit = slot(&stored.credit, request.credit);
            let (Some(debit), Some(credit)) = (debit, credit) else { break };
            let (Some(from), Some(to)) = (self.books.get(debit), self.books.get(credit)) else {
                break;
            };
            if let Some(rule) = funds_rule(from, to, request.amount) {
                broken = Some((at, rule));
                break;
            }
            let amount = whole(request.amount);
            self.books.shift(debit, credit, amount);
            tried.push((debit, credit, amount));
        }
        for (debit, credit, amount) in tried.into_iter().rev() {
            self.books.shift(credit, debit, amount);
        }
        broken
    }

    /// Replays one event and holds it against whatever is known of it.
    pub(crate) fn replay(&mut self, event: &Event, asked: Asked<'_>) -> Result<(), BadHistory> {
        let lsn = event.lsn;
        let stored = Stored::of(event, &self.books);
        if let (Some(stored), Some(request)) = (&stored, asked.request)
            && !stored.is(request)
        {
            self.report.add(Kind::WrongOutcome, lsn, || {
                format!("asked for was {request:?}, decided {stored:?}")
            });
        }
        if let (Some(stored), Some(verdict)) = (&stored, asked.verdict)
            && !verdict.allows(stored.rejection)
        {
            self.report.add(Kind::WrongOutcome, lsn, || {
                format!("the rules give {:?}, decided was {stored:?}", verdict.0)
            });
        }
        match event.record.plain() {
            // Nothing has terms twice.
            Record::Termed(_) => {}
            Record::Posted(posted) | Record::PostedLinked(posted) => self.post(lsn, posted),
            Record::Refused(_) | Record::RefusedLinked(_) => {
                let stored = stored.as_ref().expect("it decides a transfer");
                self.refuse(stored);
            }
            Record::AccountOpened(spec) => self.open(lsn, spec, Bounds::default()),
            Record::Account(event) => match &**event {
                AccountEvent::Opened(opening) => self.open(lsn, &opening.spec, opening.bounds),
                AccountEvent::Changed { slot, change: Change::Status { status, .. }, .. } => {
                    self.set_status(lsn, *slot, *status);
                }
                AccountEvent::Changed { slot, change: Change::Limits(limits), .. } => {
                    self.set_limits(lsn, *slot, limits);
                }
                // It says nothing of money.
                AccountEvent::Changed { change: Change::Profile(_), .. } => {}
            },
            Record::StatusChanged { slot, status } => self.set_status(lsn, *slot, *status),
            Record::AssetDefined { .. } => {}
            Record::Held(_)
            | Record::Captured(_)
            | Record::Voided(_)
            | Record::Extended(_)
            | Record::Expired(_)
            | Record::HoldRefused(_) => self.hold_event(lsn, event.record.plain()),
        }
        if let (Some(stored), Some(told)) = (&stored, asked.told) {
            self.told(stored, told);
        }
        self.repeats_at(lsn, stored);
        self.reads_at(lsn)
    }

    fn set_limits(&mut self, lsn: Lsn, slot: Slot, limits: &Limits) {
        let Some(book) = self.books.get_mut(slot) else {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{slot:?} is no account"));
            return;
        };
        book.overdraft_limit = limits.overdraft_limit;
        book.bounds = limits.bounds;
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
    fn refuse(&mut self, stored: &Stored) {
        for side in [stored.debit, stored.credit] {
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
    }
}
