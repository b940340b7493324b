//! The events of holds: histories know of transfers only, so what clients were told of holds is
//! not looked at; what the journal says of them is followed, since it decides what accounts can
//! spend.

use crate::books::{Book, whole};
use crate::check::Checker;
use crate::event::figures;
use crate::fault::Kind;
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::record::{Figures, Party, Record};

impl Checker<'_> {
    /// Replays an event of a hold, and holds its figures against those it comes to.
    pub(crate) fn hold_event(&mut self, lsn: Lsn, record: &Record) {
        match record {
            Record::Held(held) => {
                self.set_aside(lsn, held.debit, whole(held.amount));
                self.stands(lsn, held.debit, &held.debit_after);
            }
            Record::Captured(captured) => {
                self.set_aside(lsn, captured.debit, -whole(captured.released));
                self.post(lsn, &captured.posted());
            }
            Record::Voided(voided) => {
                self.set_aside(lsn, voided.debit, -whole(voided.released));
                self.stands(lsn, voided.debit, &voided.debit_after);
            }
            Record::Expired(expired) => {
                self.set_aside(lsn, expired.debit, -whole(expired.released));
                self.stands(lsn, expired.debit, &expired.debit_after);
            }
            Record::Extended(extended) => {
                self.stands(lsn, extended.debit, &extended.debit_after);
            }
            Record::HoldRefused(refused) => {
                for party in refused.debit.into_iter().chain(refused.credit) {
                    if let Party::Known { slot, posted, room } = party {
                        self.stands(lsn, slot, &Figures { posted, room });
                    }
                }
            }
            _ => {}
        }
    }

    fn set_aside(&mut self, lsn: Lsn, slot: Slot, change: i128) {
        let Some(book) = self.books.get_mut(slot) else {
            self.report.add(Kind::WrongOutcome, lsn, || format!("{slot:?} is no account"));
            return;
        };
        book.on_hold = book.on_hold.saturating_add(change);
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
