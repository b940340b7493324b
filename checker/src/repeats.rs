//! Known ids: a repeat gets the first answer, other content is refused, and so is a posted
//! transfer in another linked group than the one that was posted.

use crate::check::Checker;
use crate::event::Stored;
use crate::fault::Kind;
use crate::history::Told;
use crate::index::Again;
use ducat_engine::ids::Lsn;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;

impl Checker<'_> {
    /// Notes which events the repeats of groups speak of.
    pub(crate) fn expect_groups(&mut self) {
        for group in &self.index.groups {
            for (_, told) in group.iter().filter(|(_, told)| told.repeat) {
                self.needed.insert(told.lsn, None);
            }
            // Whether the group begins there, the event before it says.
            let (_, first) = &group[0];
            if first.repeat && first.lsn.0 > 1 {
                self.needed.insert(Lsn(first.lsn.0 - 1), None);
            }
        }
    }

    /// What was told of the event at `lsn` as a repeat.
    pub(crate) fn repeats_at(&mut self, lsn: Lsn, stored: Option<Stored>) {
        if let Some(needed) = self.needed.get_mut(&lsn) {
            needed.clone_from(&stored);
        }
        while let Some(again) = self.index.again.get(self.again_at).cloned() {
            if again.told.lsn > lsn {
                return;
            }
            self.again_at += 1;
            match stored.as_ref().filter(|stored| stored.lsn == again.told.lsn) {
                Some(stored) if stored.id == again.told.id && again.request.id() == stored.id => {
                    self.again(stored, &again);
                }
                _ => self.orphans.push((again.request, again.told)),
            }
        }
    }

    fn again(&mut self, stored: &Stored, again: &Again) {
        let same = stored.is(&again.request);
        if again.read && !same {
            let request = &again.request;
            self.report.add(Kind::ChangedOutcome, stored.lsn, || {
                format!("read was {request:?}, decided {stored:?}")
            });
        }
        self.told_again(stored, &again.told, same || again.read);
    }

    /// `stands`: the first answer is given again, else the id was used for something else.
    fn told_again(&mut self, stored: &Stored, told: &Told, stands: bool) {
        let lsn = stored.lsn;
        let expected = match stands {
            true => (stored.rejection, stored.debit.after, stored.credit.after),
            false => (Some(Rejection::IdReused), None, None),
        };
        let after = stored.on_hold.as_ref().and_then(|on_hold| on_hold.after);
        let same_hold = told.hold.as_deref() == after.as_ref().filter(|_| stands);
        let same_beside = told.beside.as_deref() == stored.beside().filter(|_| stands);
        let same = (told.rejection, told.debit, told.credit) == expected;
        if !same || !same_hold || !same_beside {
            self.report.add(Kind::ChangedOutcome, lsn, || {
                format!("{told:?} is told of {stored:?}, it should be {expected:?}")
            });
        }
        if told.time_ns != stored.time_ns {
            self.report.add(Kind::TimeTravel, lsn, || {
                format!("told was {} ns, decided at {} ns", told.time_ns, stored.time_ns)
            });
        }
    }

    /// Judges the linked groups with known ids in them, and what is left over.
    pub(crate) fn end_repeats(&mut self) {
        let again = self.index.again.split_off(self.again_at);
        self.orphans.extend(again.into_iter().map(|again| (again.request, again.told)));
        for group in std::mem::take(&mut self.index.groups) {
            let whole = self.is_the_posted_one(&group);
            for (request, told) in group.iter().filter(|(_, told)| told.repeat) {
                let stored = self.needed.get(&told.lsn).cloned().flatten();
                match stored.filter(|s| s.id == told.id && s.id == request.id()) {
                    Some(stored) => {
                        let posted = stored.rejection.is_none();
                        let stands = stored.is(request) && (whole || !posted);
                        self.told_again(&stored, told, stands);
                    }
                    None => self.orphans.push((request.clone(), told.clone())),
                }
            }
        }
    }

    /// Whether this very group was posted: its members are the events of one whole group, in
    /// order, each with the same content.
    fn is_the_posted_one(&self, group: &[(Request, Told)]) -> bool {
        let (_, first) = &group[0];
        let before = first.lsn.0.checked_sub(1).map(Lsn);
        let before = before.and_then(|lsn| self.needed.get(&lsn)?.as_ref());
        let begins = before.is_none_or(|before| !before.linked || before.rejection.is_some());
        begins
            && (0u64..).zip(group).all(|(at, (request, told))| {
                let stored = self.needed.get(&told.lsn).and_then(Option::as_ref);
                told.repeat
                    && told.lsn.0 == first.lsn.0.wrapping_add(at)
                    && stored.is_some_and(|s| s.rejection.is_none() && s.is(request))
            })
    }

    /// Ids over the whole journal: none took effect twice, and nothing that was answered is
    /// missing.
    pub(crate) fn end_ids(&mut self) {
        let doubles: Vec<_> = self.ids.doubles().collect();
        for (id, first, second) in doubles {
            self.report.add(Kind::DoubleEffect, second, || {
                format!("transfer {id} was decided by event {first} already")
            });
        }
        for (request, told) in std::mem::take(&mut self.orphans) {
            let found: Vec<Lsn> = self.ids.of(request.id()).collect();
            let kind = match found.is_empty() {
                true => Kind::LostAcknowledgement,
                false => Kind::ReplyWithoutEvent,
            };
            self.report.add(kind, told.lsn, || {
                format!("{told:?} was told of {request:?}, which events {found:?} decide")
            });
        }
        for (request, lsn) in std::mem::take(&mut self.known) {
            if self.ids.of(request.id()).next().is_none_or(|first| first >= lsn) {
                self.report.add(Kind::TornGroup, lsn, || {
                    format!("the rest of its group has no event here: {request:?}")
                });
            }
        }
    }
}
