//! Balance watches: a condition on an account that raises an event exactly when it becomes true.
//!
//! ```text
//! figures before an event ─ condition false ┐
//! figures after it ──────── condition true ─┴─▶ it triggers, by this very event
//! ```
//!
//! Whether a watch triggers at an event follows from the journal alone: the event's record tells the
//! figures before and after it ([`Record::figures_changes`]), and the definitions are events too. So nothing is
//! kept of what triggered, transfers know nothing of watches, and whoever reads the journal from any
//! place on finds the same triggers at the same events. A condition that holds when its watch is
//! defined has not become true; one that turned false can become true again.
//!
//! See `docs/adr/0027-watches.md`.

use crate::account_event::{AccountEvent, Change};
use crate::ids::{Lsn, Slot};
use crate::money::{AMOUNT_MAX, BALANCE_MAX};
use crate::profile::check_key;
use crate::record::{FeeDid, Figures, PostedSide, Record};
use crate::transfer::AccountRejection;
use serde::{Deserialize, Serialize};

/// Most watches that one account has at a time.
pub const WATCHES_MAX: usize = 8;

/// Watches of one account that were removed and are still known, for those who read what was decided
/// before.
pub const REMOVED_MAX: usize = 8;

/// Shortest window, nanoseconds: a second.
pub const WINDOW_NS_MIN: u64 = 1_000_000_000;

/// Longest window, nanoseconds: 366 days.
pub const WINDOW_NS_MAX: u64 = 366 * 24 * 3_600 * 1_000_000_000;

/// A figure of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Figure {
    /// Its posted balance.
    Posted,
    /// What it can spend: posted − on hold + overdraft limit.
    Available,
}

/// What of an account's entries is added up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Flow {
    /// What it paid.
    Debits,
    /// What it received.
    Credits,
    /// Either.
    Both,
}

/// What is watched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Condition {
    /// A figure lies below a bound.
    Below {
        /// Which one.
        figure: Figure,
        /// Minor units.
        bound: i128,
    },
    /// A figure lies above a bound.
    Above {
        /// Which one.
        figure: Figure,
        /// Minor units.
        bound: i128,
    },
    /// More was moved within one window than a bound. Windows follow one another from the Unix epoch
    /// on, by the time of decision: with 24 hours they are the days of UTC.
    Moved {
        /// What counts.
        flow: Flow,
        /// Minor units.
        above: u128,
        /// The length of a window, nanoseconds.
        window_ns: u64,
    },
}

/// A condition under a name, from the event that defined it to the one that removed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// The caller's, once an account: 1 to 64 letters, digits and `_-.:/`.
    pub name: String,
    /// What is watched for.
    pub condition: Condition,
    /// The event that defined it. It triggers behind that.
    pub added: Lsn,
    /// The event that removed it.
    pub removed: Option<Lsn>,
}

/// A change of an account's watches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WatchChange {
    /// Define one.
    Add {
        /// Its name.
        name: String,
        /// What is watched for.
        condition: Condition,
    },
    /// Remove the one with this name.
    Remove {
        /// Its name.
        name: String,
    },
}

/// How an account stands, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its posted balance.
    pub posted: i128,
    /// What it can spend.
    pub available: i128,
}

/// What one event does to the figures of one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FiguresChange {
    /// The account.
    pub slot: Slot,
    /// Its figures before.
    pub before: Standing,
    /// And after.
    pub after: Standing,
}

impl Condition {
    /// # Errors
    /// [`AccountRejection::WatchInvalid`] for a bound or a window out of range.
    pub fn check(&self) -> Result<(), AccountRejection> {
        let sound = match self {
            Self::Below { bound, .. } | Self::Above { bound, .. } => {
                (-BALANCE_MAX..=BALANCE_MAX).contains(bound)
            }
            Self::Moved { above, window_ns, .. } => {
                *above <= AMOUNT_MAX && (WINDOW_NS_MIN..=WINDOW_NS_MAX).contains(window_ns)
            }
        };
        sound.then_some(()).ok_or(AccountRejection::WatchInvalid)
    }

    /// Whether it holds of these figures; of what is moved within a window they tell nothing.
    #[must_use]
    pub fn holds(&self, standing: Standing) -> bool {
        let of = |figure| match figure {
            Figure::Posted => standing.posted,
            Figure::Available => standing.available,
        };
        match *self {
            Self::Below { figure, bound } => of(figure) < bound,
            Self::Above { figure, bound } => of(figure) > bound,
            Self::Moved { .. } => false,
        }
    }

    /// Whether a change of figures makes it true. `moved` is what was moved in its window before it, as
    /// far as this condition counts it.
    #[must_use]
    pub fn becomes_true(&self, change: &FiguresChange, moved: u128) -> bool {
        match self {
            Self::Moved { flow, above, .. } => {
                moved <= *above && moved + flow.part_of(change.posted()) > *above
            }
            _ => !self.holds(change.before) && self.holds(change.after),
        }
    }
}

impl Flow {
    /// How much of a change of a posted balance counts.
    #[must_use]
    pub fn part_of(self, change: i128) -> u128 {
        let counts = match self {
            Self::Debits => change < 0,
            Self::Credits => change > 0,
            Self::Both => true,
        };
        if counts { change.unsigned_abs() } else { 0 }
    }
}

impl FiguresChange {
    /// By how much the posted balance changes.
    #[must_use]
    pub fn posted(&self) -> i128 {
        self.after.posted - self.before.posted
    }
}

impl Watch {
    /// Whether it is watched at the event at `lsn`.
    #[must_use]
    pub fn watches_at(&self, lsn: Lsn) -> bool {
        self.added < lsn && self.removed.is_none_or(|removed| lsn < removed)
    }
}

impl WatchChange {
    /// The watch that it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Add { name, .. } | Self::Remove { name } => name,
        }
    }

    /// Whether it changes anything, of an account that has these watches.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn judge(&self, watches: &[Watch]) -> Result<bool, AccountRejection> {
        let there = watches.iter().filter(|watch| watch.removed.is_none());
        let named = there.clone().find(|watch| watch.name == self.name());
        match (self, named) {
            (Self::Add { condition, .. }, Some(watch)) if watch.condition == *condition => {
                Ok(false)
            }
            (Self::Add { .. }, Some(_)) => Err(AccountRejection::WatchExists),
            (Self::Add { name, condition }, None) => {
                check_key(name)?;
                condition.check()?;
                let full = there.count() >= WATCHES_MAX;
                if full { Err(AccountRejection::WatchesFull) } else { Ok(true) }
            }
            (Self::Remove { .. }, Some(_)) => Ok(true),
            (Self::Remove { .. }, None) => Err(AccountRejection::WatchUnknown),
        }
    }

    /// Takes it in, by the event at `lsn`.
    pub(crate) fn apply(&self, lsn: Lsn, watches: &mut Vec<Watch>) {
        match self {
            Self::Add { name, condition } => watches.push(Watch {
                name: name.clone(),
                condition: *condition,
                added: lsn,
                removed: None,
            }),
            Self::Remove { name } => {
                let there = |watch: &&mut Watch| watch.removed.is_none() && watch.name == *name;
                if let Some(watch) = watches.iter_mut().find(there) {
                    watch.removed = Some(lsn);
                }
                let gone = watches.iter().filter(|watch| watch.removed.is_some());
                if gone.clone().count() > REMOVED_MAX {
                    let first = gone.filter_map(|watch| watch.removed).min();
                    watches.retain(|watch| watch.removed.is_none() || watch.removed != first);
                }
            }
        }
    }
}

/// What no sequence of changes leads to.
pub(crate) fn check(watches: &[Watch], last_lsn: Lsn) -> Result<(), &'static str> {
    let there = watches.iter().filter(|watch| watch.removed.is_none());
    let gone = watches.len() - there.clone().count();
    if there.clone().count() > WATCHES_MAX || gone > REMOVED_MAX {
        return Err("it has more watches than it may");
    }
    let sound = |watch: &Watch| {
        let last = watch.removed.unwrap_or(watch.added);
        check_key(&watch.name).is_ok()
            && watch.condition.check().is_ok()
            && watch.added > Lsn::ZERO
            && watch.removed.is_none_or(|removed| removed > watch.added)
            && last <= last_lsn
    };
    if !watches.iter().all(sound) {
        return Err("one of its watches cannot be");
    }
    let twice = |(at, watch): (usize, &Watch)| {
        there.clone().skip(at + 1).any(|other| other.name == watch.name)
    };
    if there.clone().enumerate().any(twice) {
        return Err("two of its watches have one name");
    }
    Ok(())
}

impl Record {
    /// What it does to the figures of accounts: the debit account first.
    #[must_use]
    pub fn figures_changes(&self) -> [Option<FiguresChange>; 2] {
        // No amount is above AMOUNT_MAX: far below the end of the range.
        let signed = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
        let step = |slot, after: Standing, posted: i128, available: i128| {
            let before =
                Standing { posted: after.posted - posted, available: after.available - available };
            Some(FiguresChange { slot, before, after })
        };
        let moves =
            |slot, side: &PostedSide, change| step(slot, Standing::of_side(side), change, change);
        let holds =
            |slot, after: &Figures, change| step(slot, Standing::of_figures(after), 0, change);
        match self.plain() {
            Self::Posted(p) | Self::PostedLinked(p) => {
                let amount = signed(p.amount);
                [moves(p.debit, &p.debit_side, -amount), moves(p.credit, &p.credit_side, amount)]
            }
            Self::FeeLeg(leg) => match &leg.did {
                FeeDid::Taken { debit_side, credit_side } => {
                    let amount = signed(leg.amount);
                    [moves(leg.debit, debit_side, -amount), moves(leg.credit, credit_side, amount)]
                }
                FeeDid::Refused { .. } => [None, None],
            },
            Self::Refunded(r) => {
                let amount = signed(r.amount);
                [moves(r.debit, &r.debit_side, -amount), moves(r.credit, &r.credit_side, amount)]
            }
            Self::Captured(c) => {
                let (amount, released) = (signed(c.amount), signed(c.released));
                let after = Standing::of_side(&c.debit_side);
                let debit = step(c.debit, after, -amount, released - amount);
                [debit, moves(c.credit, &c.credit_side, amount)]
            }
            Self::Held(held) => [holds(held.debit, &held.debit_after, -signed(held.amount)), None],
            Self::Voided(voided) => {
                [holds(voided.debit, &voided.debit_after, signed(voided.released)), None]
            }
            Self::Expired(expired) => {
                [holds(expired.debit, &expired.debit_after, signed(expired.released)), None]
            }
            Self::Account(event) => match &**event {
                AccountEvent::Changed { slot, change: Change::LimitsFrom(changed), .. } => {
                    let after = Standing { posted: changed.posted, available: changed.after };
                    [step(*slot, after, 0, changed.after - changed.before), None]
                }
                _ => [None, None],
            },
            _ => [None, None],
        }
    }
}

impl Standing {
    fn of_side(side: &PostedSide) -> Self {
        Self { posted: side.posted, available: side.posted + side.room }
    }

    fn of_figures(figures: &Figures) -> Self {
        Self { posted: figures.posted, available: figures.posted + figures.room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: (i128, i128), after: (i128, i128)) -> FiguresChange {
        let standing = |(posted, available)| Standing { posted, available };
        FiguresChange { slot: Slot(0), before: standing(before), after: standing(after) }
    }

    #[test]
    fn a_condition_triggers_when_it_becomes_true_and_not_while_it_holds() {
        let below = Condition::Below { figure: Figure::Available, bound: 100 };
        assert!(below.becomes_true(&change((150, 100), (149, 99)), 0));
        assert!(!below.becomes_true(&change((149, 99), (140, 90)), 0));
        assert!(!below.becomes_true(&change((149, 99), (160, 110)), 0));
        assert!(!below.becomes_true(&change((150, 110), (140, 100)), 0));
        let above = Condition::Above { figure: Figure::Posted, bound: 0 };
        assert!(above.becomes_true(&change((0, 5), (1, 5)), 0));
        assert!(!above.becomes_true(&change((1, 5), (2, 5)), 0));
        let moved = Condition::Moved { flow: Flow::Debits, above: 10, window_ns: WINDOW_NS_MIN };
        assert!(moved.becomes_true(&change((5, 5), (4, 4)), 10));
        assert!(!moved.becomes_true(&change((5, 5), (4, 4)), 9));
        assert!(!moved.becomes_true(&change((5, 5), (4, 4)), 11));
        assert!(!moved.becomes_true(&change((5, 5), (6, 6)), 10), "it was paid nothing");
    }

    #[test]
    fn watches_come_and_go_under_their_names() {
        let condition = Condition::Below { figure: Figure::Posted, bound: 5 };
        let add = |name: &str| WatchChange::Add { name: name.to_owned(), condition };
        let remove = |name: &str| WatchChange::Remove { name: name.to_owned() };
        let mut watches = Vec::new();
        let mut lsn = Lsn(9);
        let mut take = |change: &WatchChange, watches: &mut Vec<Watch>| {
            assert_eq!(change.judge(watches), Ok(true), "{change:?}");
            lsn = lsn.next();
            change.apply(lsn, watches);
            assert_eq!(check(watches, lsn), Ok(()));
        };
        for at in 0..WATCHES_MAX {
            take(&add(&format!("w{at}")), &mut watches);
        }
        assert_eq!(add("more").judge(&watches), Err(AccountRejection::WatchesFull));
        assert_eq!(add("w0").judge(&watches), Ok(false));
        let other = Condition::Below { figure: Figure::Posted, bound: 6 };
        let again = WatchChange::Add { name: "w0".to_owned(), condition: other };
        assert_eq!(again.judge(&watches), Err(AccountRejection::WatchExists));
        assert_eq!(remove("w9").judge(&watches), Err(AccountRejection::WatchUnknown));
        for _ in 0..REMOVED_MAX + 2 {
            take(&remove("w0"), &mut watches);
            take(&add("w0"), &mut watches);
        }
        assert_eq!(watches.len(), WATCHES_MAX + REMOVED_MAX);
        let first = watches.iter().filter_map(|watch| watch.removed).min();
        assert!(first > Some(Lsn(10 + WATCHES_MAX as u64)), "the oldest are forgotten");
        let wide = Condition::Moved { flow: Flow::Both, above: 1, window_ns: WINDOW_NS_MAX + 1 };
        let wide = WatchChange::Add { name: "wide".to_owned(), condition: wide };
        take(&remove("w1"), &mut watches);
        assert_eq!(wide.judge(&watches), Err(AccountRejection::WatchInvalid));
    }
}
