//! Where schedules and sagas are kept: by id, with what is due, what is over and the hash of all of it
//! kept up to date; and given up for a snapshot as they were at one moment, while they go on.

use super::Fate;
use crate::codec;
use crate::ids::{Lsn, TransferId};
use crate::ledger::HashPart;
use crate::sagas::Saga;
use crate::schedules::Schedule;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// So many that are over are kept of each sort, those that ended last.
pub const FINISHED_KEPT: usize = 10_000;

/// Most schedules, and most sagas, at a time.
pub const KEPT_MAX: usize = 1_000_000;

/// Schedules or sagas in one piece of a snapshot.
pub const PIECE_DRIVEN: usize = 64;

/// Some schedules or sagas, in the order of their ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DrivenPiece {
    /// Schedules.
    Schedules(Vec<Arc<Schedule>>),
    /// Sagas, which come after all schedules.
    Sagas(Vec<Arc<Saga>>),
}

/// A state machine that the engine drives.
pub(crate) trait Drives: Serialize {
    type Id: Copy + Ord + std::fmt::Debug;

    fn id(&self) -> Self::Id;
    /// When it is to be driven on, nanoseconds since the Unix epoch; `None` while it waits for
    /// something else than time.
    fn due_ns(&self) -> Option<u64>;
    /// The id of the request whose event it waits for.
    fn awaits(&self) -> Option<TransferId>;
    /// Nothing more will happen to it.
    fn is_finished(&self) -> bool;
    /// The last event that moved it.
    fn changed_lsn(&self) -> Lsn;
    /// The request it waits for was decided by the event at `lsn`.
    fn decided(&mut self, lsn: Lsn, time_ns: u64, id: TransferId, fate: Fate);
}

#[derive(Clone, Debug)]
struct Export<V: Drives> {
    /// All up to this one were given.
    given: Option<V::Id>,
    /// As they were, of those that changed since; `None` where there was none.
    kept: BTreeMap<V::Id, Option<Arc<V>>>,
}

/// All of one sort.
#[derive(Clone, Debug)]
pub(crate) struct Store<V: Drives> {
    all: BTreeMap<V::Id, Arc<V>>,
    due: BTreeSet<(u64, V::Id)>,
    finished: BTreeSet<(Lsn, V::Id)>,
    hash: HashPart,
    export: Option<Export<V>>,
}

impl<V: Drives> Default for Store<V> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            due: BTreeSet::new(),
            finished: BTreeSet::new(),
            hash: HashPart::default(),
            export: None,
        }
    }
}

fn hash_of<V: Drives>(value: &V) -> HashPart {
    let mut bytes = Vec::new();
    codec::driven::put(value, &mut bytes);
    let mut part = HashPart::default();
    part.add_bytes(&bytes);
    part
}

impl<V: Drives> Store<V> {
    pub fn get(&self, id: V::Id) -> Option<&Arc<V>> {
        self.all.get(&id)
    }

    /// Those behind `after`, in the order of their ids.
    pub fn from(&self, after: Option<V::Id>) -> impl Iterator<Item = &Arc<V>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.all.range((from, Bound::Unbounded)).map(|(_, value)| value)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_full(&self) -> bool {
        self.all.len() - self.finished.len() >= KEPT_MAX
    }

    pub fn due_ns(&self) -> Option<u64> {
        self.due.first().map(|(due_ns, _)| *due_ns)
    }

    /// The first that is due by then.
    pub fn first_due(&self, now_ns: u64) -> Option<&Arc<V>> {
        let (_, id) = self.due.first().filter(|(due_ns, _)| *due_ns <= now_ns)?;
        self.get(*id)
    }

    /// Puts it in the place of the one with its id.
    pub fn set(&mut self, value: V) {
        let id = value.id();
        self.take_out(id);
        if let Some(due_ns) = value.due_ns() {
            self.due.insert((due_ns, id));
        }
        if value.is_finished() {
            self.finished.insert((value.changed_lsn(), id));
        }
        self.hash.merge(hash_of(&value));
        self.all.insert(id, Arc::new(value));
        while self.finished.len() > FINISHED_KEPT {
            let (_, oldest) = *self.finished.first().expect("there are some");
            self.take_out(oldest);
        }
    }

    fn take_out(&mut self, id: V::Id) {
        let before = self.all.remove(&id);
        if let Some(export) = &mut self.export
            && export.given.is_none_or(|given| id > given)
        {
            export.kept.entry(id).or_insert_with(|| before.clone());
        }
        let Some(before) = before else { return };
        self.hash.part_with(hash_of(&*before));
        if let Some(due_ns) = before.due_ns() {
            self.due.remove(&(due_ns, id));
        }
        self.finished.remove(&(before.changed_lsn(), id));
    }

    /// How many there are, and the hash of them.
    pub fn part(&self) -> (u64, HashPart) {
        (self.all.len() as u64, self.hash)
    }

    /// From now on gives up what there is at this moment.
    pub fn begin_export(&mut self) {
        self.export = Some(Export { given: None, kept: BTreeMap::new() });
    }

    /// The next, at most `most`, as they were; `None` once all are given.
    pub fn give(&mut self, most: usize) -> Option<Vec<Arc<V>>> {
        let export = self.export.as_mut()?;
        let mut piece = Vec::new();
        while piece.len() < most {
            let from = (export.given.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let now = self.all.range((from.0, from.1)).next().map(|(id, _)| *id);
            let kept = export.kept.range((from.0, from.1)).next().map(|(id, _)| *id);
            let Some(next) = now.into_iter().chain(kept).min() else { break };
            export.given = Some(next);
            let then = match export.kept.remove(&next) {
                Some(kept) => kept,
                None => self.all.get(&next).map(Arc::clone),
            };
            piece.extend(then);
        }
        if piece.is_empty() {
            self.export = None;
            return None;
        }
        Some(piece)
    }

    pub fn end_export(&mut self) {
        self.export = None;
    }
}

/// Schedules and sagas as a state's hash sees them: how many, and the sum of their hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DrivenPart {
    schedules: (u64, HashPart),
    sagas: (u64, HashPart),
}

impl DrivenPart {
    pub fn of(driven: &super::Driven) -> Self {
        Self { schedules: driven.schedules.part(), sagas: driven.sagas.part() }
    }

    pub fn add(&mut self, piece: &DrivenPiece) {
        fn add<V: Drives>(part: &mut (u64, HashPart), values: &[Arc<V>]) {
            part.0 += values.len() as u64;
            values.iter().for_each(|value| part.1.merge(hash_of(&**value)));
        }
        match piece {
            DrivenPiece::Schedules(schedules) => add(&mut self.schedules, schedules),
            DrivenPiece::Sagas(sagas) => add(&mut self.sagas, sagas),
        }
    }

    /// Adds its bytes to a hash; without any, the hash is that of a ledger that knows none.
    pub fn add_to(&self, hasher: &mut blake3::Hasher) {
        for (name, (count, hash)) in [(&b"schedules"[..], self.schedules), (b"sagas", self.sagas)] {
            if count > 0 {
                hasher.update(name);
                hasher.update(&count.to_le_bytes());
                hash.add_to(hasher);
            }
        }
    }
}

impl super::Driven {
    pub fn begin_export(&mut self) {
        self.schedules.begin_export();
        self.sagas.begin_export();
    }

    pub fn give(&mut self, most: usize) -> Option<DrivenPiece> {
        let schedules = self.schedules.give(most).map(DrivenPiece::Schedules);
        schedules.or_else(|| self.sagas.give(most).map(DrivenPiece::Sagas))
    }

    pub fn end_export(&mut self) {
        self.schedules.end_export();
        self.sagas.end_export();
    }

    pub fn restore(&mut self, piece: DrivenPiece) {
        match piece {
            DrivenPiece::Schedules(schedules) => {
                schedules.into_iter().for_each(|s| self.set_schedule(Arc::unwrap_or_clone(s)));
            }
            DrivenPiece::Sagas(sagas) => {
                sagas.into_iter().for_each(|s| self.set_saga(Arc::unwrap_or_clone(s)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SagaId;
    use crate::sagas::{Action, BackOff, SagaDefinition, SagaState, Step, Undo};

    fn saga(number: u128, note: &str) -> Saga {
        let step = Step {
            name: String::new(),
            action: Action::Wait { timeout_ns: 1 },
            undo: Undo::Nothing,
        };
        let definition = SagaDefinition {
            id: SagaId::new(number).expect("not zero"),
            label: String::new(),
            steps: vec![step],
            back_off: BackOff::default(),
        };
        let note = note.to_owned();
        Saga { note, ..Saga::started(Lsn(u64::try_from(number).expect("small")), 1, definition) }
    }

    fn notes(piece: Option<Vec<Arc<Saga>>>) -> Vec<(u128, String)> {
        let told = |saga: &Arc<Saga>| (saga.definition.id.get(), saga.note.clone());
        piece.unwrap_or_default().iter().map(told).collect()
    }

    #[test]
    fn pieces_show_one_moment_whatever_happens_meanwhile() {
        let mut store = Store::default();
        for number in [3, 5, 9] {
            store.set(saga(number, "before"));
        }
        let part = store.part();
        store.begin_export();
        assert_eq!(notes(store.give(1)), [(3, "before".to_owned())]);
        for number in [2, 3, 4, 9, 12] {
            store.set(saga(number, "once"));
            store.set(saga(number, "twice"));
        }
        let rest = [(5, "before".to_owned()), (9, "before".to_owned())];
        assert_eq!(notes(store.give(5)), rest);
        assert_eq!(store.give(5), None);
        assert_ne!(store.part(), part);
        store.begin_export();
        assert_eq!(notes(store.give(9)).len(), 6);
        let mut again = Store::default();
        store.from(None).for_each(|saga| again.set((**saga).clone()));
        assert_eq!(again.part(), store.part(), "the hash is that of what is there");
    }

    #[test]
    fn of_those_that_are_over_the_last_are_kept() {
        let mut store = Store::default();
        store.set(saga(1, "under way"));
        let many = FINISHED_KEPT as u128 + 3;
        for number in 2..many {
            let finished = Saga { state: SagaState::Completed, ..saga(number, "") };
            store.set(finished);
        }
        assert_eq!(store.len(), FINISHED_KEPT + 1);
        let id = |number| SagaId::new(number).expect("not zero");
        let there = [1, 2, 3, many - 1].map(|number| store.get(id(number)).is_some());
        assert_eq!(there, [true, false, true, true]);
        assert_eq!(store.first_due(0).map(|saga| saga.definition.id), Some(id(1)));
    }
}
