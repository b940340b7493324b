//! What a request decided at some time would find, without anything being remembered or forgotten:
//! for dry runs.

use super::KnownIds;
use crate::holds::Closed;
use crate::ids::{Lsn, TransferId};

impl KnownIds {
    /// The event that decided `id`, and how the hold with this id ended, as far as that would still
    /// be remembered once a new id was consumed at `time_ns`. Of an id that would be forgotten by
    /// then, there is nothing: the older generation goes as the first new id comes.
    pub(crate) fn at(&self, id: TransferId, time_ns: u64) -> Option<(Lsn, Option<Closed>)> {
        let bits = self.bits(id);
        let old = (!self.passes_at(time_ns)).then_some(&self.old);
        [Some(&self.young), old]
            .into_iter()
            .flatten()
            .find_map(|generation| Some((generation.get(bits, id)?, generation.closed(bits, id))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_finds_what_a_new_id_would_leave_remembered() {
        let id = |n: u64| TransferId::new(u128::from(n) + 1).expect("not zero");
        let mut known = KnownIds::new(1, 1_000);
        let mut forgotten = 0;
        for time in (0..3_000).step_by(40) {
            known.insert(id(time), Lsn(time + 1), time);
            for later in [time, time + 20, time + 40, time + 1_000_000] {
                let mut then = known.clone();
                then.insert(id(1 << 60), Lsn(1 << 40), later);
                for n in (0..=time).step_by(40) {
                    let found = known.at(id(n), later).map(|(lsn, _)| lsn);
                    assert_eq!(found, then.get(id(n)), "{n} at {later}");
                    forgotten += usize::from(known.get(id(n)).is_some() && found.is_none());
                }
            }
        }
        assert!(forgotten > 0, "some are forgotten just then");
    }
}
