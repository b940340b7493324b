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
