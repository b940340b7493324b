//! The memory of transfer ids, at several sizes: looking an id up, and remembering one. The
//! growth of the tables is part of remembering.

use super::batch::short;
use super::{BATCH, Meter, NOW_NS, Part, SEED};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::known::{KnownIds, REMEMBER_NS};

/// All parts.
pub fn parts() -> Vec<Part> {
    [100_000, 10_000_000].into_iter().flat_map(parts_at).collect()
}

/// Those of which instructions are counted.
pub fn counted() -> Vec<Part> {
    parts_at(100_000).into()
}

fn parts_at(size: u64) -> [Part; 3] {
    let part = |name, make: fn(u64) -> super::Repeat| {
        Part::new(("dedupe", name), short(size), BATCH, move || make(size))
    };
    [
        part("get known", |size| Box::new(get(size, 0))),
        part("get new", |size| Box::new(get(size, size))),
        part("insert new", |size| Box::new(insert(size))),
    ]
}

fn id(number: u64) -> TransferId {
    let low = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    TransferId::from_halves(0x0192_f3a4_5b6c_7d8e, low).expect("not zero")
}

fn remembered(size: u64) -> KnownIds {
    let mut known = KnownIds::new(SEED, REMEMBER_NS);
    for number in 0..size {
        assert_eq!(known.insert(id(number), Lsn(number + 1), NOW_NS), None);
    }
    known
}

/// Looks up a batch of ids, those with numbers from `from` on, spread over `size`.
fn get(size: u64, from: u64) -> impl FnMut(&mut Meter) {
    let known = remembered(size);
    let mut number = 0;
    move |meter| {
        let ids: Vec<_> = (0..BATCH)
            .map(|_| {
                // A step without a common divisor with the sizes: every id has its turn.
                number = (number + 7_368_787) % size;
                id(from + number)
            })
            .collect();
        let found = meter.measure(|| ids.iter().filter(|id| known.get(**id).is_some()).count());
        assert_eq!(found, if from < size { BATCH } else { 0 });
    }
}

/// Remembers a batch of new ids; begins anew when a quarter has been added.
fn insert(size: u64) -> impl FnMut(&mut Meter) {
    let begun = remembered(size);
    let mut known = begun.clone();
    let mut next = size;
    move |meter| {
        if next > size + size / 4 {
            known = begun.clone();
            next = size;
        }
        let ids: Vec<_> = (next..next + BATCH as u64).map(|n| (id(n), Lsn(n + 1))).collect();
        next += BATCH as u64;
        let before = meter
            .measure(|| ids.iter().filter_map(|(id, lsn)| known.insert(*id, *lsn, NOW_NS)).count());
        assert_eq!(before, 0, "all were new");
    }
}
