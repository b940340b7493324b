//! Schedules and sagas in the model: it knows nothing of them but that their events take LSNs and time.
//! What they ask for comes to it as any request does.

use super::SerialLedger;
use crate::ids::Lsn;

impl SerialLedger {
    /// An event of a schedule or a saga, decided at `now_ns`: it moves nothing.
    pub fn driven(&mut self, now_ns: u64) -> Lsn {
        self.time(now_ns);
        self.next_event()
    }
}
