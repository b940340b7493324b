//! What reads showed: accounts, holds and sums as of an LSN, statements, stored transfers; and
//! openings and changes of accounts.

use crate::books::whole;
use crate::check::Checker;
use crate::fault::Kind;
use crate::history::{AccountChange, BadHistory, Call, Seen, SeenEntry, SeenHold, SeenMore};
use crate::holds::Stands;
use ducat_engine::ids::{AccountId, Lsn, TransferId};

impl Checker<'_> {
    /// Notes of which accounts statements were read.
    pub(crate) fn expect_entries(&mut self) -> Result<(), BadHistory> {
        for (offset, _) in &self.index.late {
            if let (_, Call::Entries { account, .. }) = self.history.at(*offset)? {
                self.listed.insert(account);
            }
        }
        let books = &self.books;
        self.lines = self.listed.iter().filter_map(|id| Some((books.slot(*id)?, vec![]))).collect();
        Ok(())
    }

    /// Reads as of a moment before the event at `first`.
    pub(crate) fn reads_before(&mut self, first: Lsn) -> Result<(), BadHistory> {
        match first.0.checked_sub(1) {
            Some(lsn) => self.reads_at(Lsn(lsn)),
            None => Ok(()),
        }
    }

    /// Reads as of `lsn`, the books standing there.
    pub(crate) fn reads_at(&mut self, lsn: Lsn) -> Result<(), BadHistory> {
        while let Some((as_of, offset)) = self.index.reads.get(self.reads_at).copied() {
            if as_of > lsn {
                break;
            }
            self.reads_at += 1;
            if as_of < lsn {
                self.report.add(Kind::ReplyWithoutEvent, as_of, || {
                    "a read is as of this LSN, which the journal has not".to_owned()
                });
                continue;
            }
            match self.history.at(offset)?.1 {
                Call::Accounts { seen, unknown, .. } => {
                    seen.iter().for_each(|seen| self.seen(lsn, seen));
                    unknown.iter().for_each(|id| self.unseen(lsn, *id));
                }
                Call::Holds { seen, unknown, .. } => {
                    seen.iter().for_each(|seen| self.seen_hold(lsn, seen));
                    unknown.iter().for_each(|id| self.unseen_hold(lsn, *id));
                }
                Call::Totals { sums, .. } => {
                    let totals = self.books.totals();
                    for (currency, internal, external) in sums {
                        let now = totals.get(&currency).copied().unwrap_or_default();
                        if internal.wrapping_add(external) != 0 {
                            self.report.add(Kind::MoneyMade, lsn, || {
                                format!("the sums read are {internal} and {external}")
                            });
                        }
                        if (internal, external) != now {
                            self.report.add(Kind::WrongBalance, lsn, || {
                                format!("the sums read are {internal} and {external}, not {now:?}")
                            });
                        }
                    }
                }
                _ => return Err(BadHistory::Call(offset)),
            }
        }
        Ok(())
    }

    fn seen(&mut self, lsn: Lsn, seen: &Seen) {
        let Some(book) = self.books.of(seen.account).copied() else {
            self.report.add(Kind::WrongBalance, lsn, || format!("no such account: {seen:?}"));
            return;
        };
        let figures = book.figures();
        let more = seen.more.is_none_or(|more| {
            more.status == book.status
                && more.available.is_none_or(|available| available == figures.available)
        });
        let at_rest = |more: &SeenMore| whole(more.held) == book.on_hold && more.incoming == 0;
        if let Some(more) = seen.more.filter(|more| !at_rest(more)) {
            self.report.add(Kind::HoldLeftBehind, lsn, || format!("{more:?} of {book:?}"));
        } else if seen.posted != figures.posted || seen.last_lsn != book.last_lsn || !more {
            let stale = seen.last_lsn < book.last_lsn;
            let kind = if stale { Kind::StaleRead } else { Kind::WrongBalance };
            self.report.add(kind, lsn, || format!("read was {seen:?}, it stands at {book:?}"));
        }
    }

    fn seen_hold(&mut self, lsn: Lsn, seen: &SeenHold) {
        let now = self.holds.stands(seen.id);
        let should = match now {
            Stands::Open(hold) => Some((None, hold.remaining, hold.expires_ns)),
            Stands::Closed(how, _) => Some((Some(how), 0, 0)),
            Stands::Unknown => None,
        };
        if should != Some((seen.closed, seen.remaining, seen.expires_ns)) {
            self.report.add(Kind::WrongHold, lsn, || format!("read was {seen:?}, it is {now:?}"));
        }
    }

    fn unseen_hold(&mut self, lsn: Lsn, id: TransferId) {
        let now = self.holds.stands(id);
        let known = match now {
            Stands::Open(_) => true,
            Stands::Closed(_, placed) => self.ids.remembers(placed, lsn),
            Stands::Unknown => false,
        };
        if known {
            self.report.add(Kind::WrongHold, lsn, || format!("hold {id} is unknown: {now:?}"));
        }
    }

    /// A change of an account that was answered is the event that it was told to be.
    fn change(&mut self, lsn: Lsn, account: AccountId, change: &AccountChange) {
        let asked = (account, change.clone());
        let found = self.changes.get(&lsn);
        if found == Some(&asked) {
            return;
        }
        let kind = match found {
            Some(_) => Kind::ChangedOutcome,
            None if self.changes.values().any(|other| *other == asked) => Kind::ReplyWithoutEvent,
            None => Kind::LostAcknowledgement,
        };
        let what = format!("account {account} was changed so: {change:?}, the event is {found:?}");
        self.report.add(kind, lsn, || what);
    }

    fn unseen(&mut self, lsn: Lsn, id: AccountId) {
        if let Some(book) = self.books.of(id).copied() {
            self.report.add(Kind::StaleRead, lsn, || format!("read as unknown: {book:?}"));
        }
    }

    /// Reads of which only the moment is known, now that the whole journal is.
    pub(crate) fn end_reads(&mut self) -> Result<(), BadHistory> {
        let end = self.next_lsn();
        for (lsn, _) in &self.index.reads[self.reads_at..] {
            self.report.add(Kind::ReplyWithoutEvent, *lsn, || {
                format!("a read is as of this LSN, the journal ends before {end}")
            });
        }
        for (offset, moment) in std::mem::take(&mut self.index.late) {
            let floor = self.index.moments[moment].floor;
            match self.history.at(offset)?.1 {
                Call::Stored { unknown, .. } => {
                    unknown.into_iter().for_each(|id| self.not_stored(id, floor));
                }
                Call::Entries { account, entries, newest, oldest } => {
                    self.entries(account, &entries, newest.then_some(floor), oldest);
                }
                Call::Opened { spec, lsn } => {
                    let book = self.books.of(spec.id).copied();
                    let kind = match book {
                        None => Kind::LostAcknowledgement,
                        Some(_) => Kind::ReplyWithoutEvent,
                    };
                    if !book.is_some_and(|book| book.spec == spec && book.opened_lsn == lsn) {
                        self.report.add(kind, lsn, || format!("{spec:?} was opened: {book:?}"));
                    }
                }
                Call::Changed { account, change, lsn } => self.change(lsn, account, &change),
                _ => return Err(BadHistory::Call(offset)),
            }
        }
        Ok(())
    }

    /// An id that was read as unknown when everything up to `floor` had been told.
    fn not_stored(&mut self, id: TransferId, floor: Lsn) {
        let told = |lsn: &Lsn| *lsn <= floor && self.ids.remembers(*lsn, floor);
        let remembered = self.ids.of(id).find(told);
        if let Some(lsn) = remembered {
            self.report.add(Kind::StaleRead, lsn, || {
                format!("transfer {id} was read as unknown when LSN {floor} had been told")
            });
        }
    }

    /// A part of a statement: neighbours, complete at the ends that were reached.
    fn entries(
        &mut self,
        account: AccountId,
        entries: &[SeenEntry],
        newest_after: Option<Lsn>,
        oldest: bool,
    ) {
        let slot = self.books.slot(account);
        let lines = slot.and_then(|slot| self.lines.get(&slot)).map_or(&[][..], Vec::as_slice);
        // What came before the journal begins is not known.
        let known = entries.partition_point(|entry| entry.lsn >= self.options.first_lsn);
        let oldest = oldest && known == entries.len();
        let entries = &entries[..known];
        let place = |lsn: Lsn| lines.binary_search_by_key(&lsn, |line| line.lsn).ok();
        let places: Option<Vec<usize>> = entries.iter().map(|entry| place(entry.lsn)).collect();
        let wrong = match places {
            None => Some("has entries that are not in the journal"),
            Some(places) => {
                let same = places.iter().zip(entries).all(|(at, entry)| lines[*at] == *entry);
                let next_to = places.windows(2).all(|pair| pair[0] == pair[1] + 1);
                let from_first = !oldest || places.last().is_none_or(|last| *last == 0);
                (!same || !next_to || !from_first).then_some("is not the sum of the events")
            }
        };
        if let Some(wrong) = wrong {
            let lsn = entries.first().map_or(Lsn::ZERO, |entry| entry.lsn);
            self.report.add(Kind::WrongBalance, lsn, || {
                format!("the statement of account {account} {wrong}: {entries:?}")
            });
        }
        let missed = newest_after.and_then(|floor| {
            let shown = entries.first().map_or(Lsn::ZERO, |entry| entry.lsn);
            lines.iter().find(|line| line.lsn > shown && line.lsn <= floor).copied()
        });
        if let Some(line) = missed {
            self.report.add(Kind::StaleRead, line.lsn, || {
                format!("the statement of account {account} leaves out {line:?}")
            });
        }
    }
}
