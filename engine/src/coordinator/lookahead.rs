//! Looking ahead while requests are put in order: their ids are hashed once, some requests
//! before their turn, and the memory in which they will be looked for is asked for then.
//!
//! ```text
//! turn │ AHEAD: entries of the accounts │ 2 × AHEAD: pages of all ids │
//! ```

use super::Coordinator;
use crate::id_table::Bits;
use crate::prefetch::{AHEAD, Ahead};
use crate::request::Request;

/// Requests whose hashes are kept: as many as pages are asked for in advance.
const KEPT: usize = 4 * AHEAD;

/// By which a request's ids are found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hashes {
    /// Its own id, in the memory of ids.
    pub id: Bits,
    /// The debit and the credit account that it names, in the directory.
    pub accounts: [Bits; 2],
}

/// Walks through a submission, in front of the coordinator.
pub(super) struct Lookahead<'a> {
    requests: &'a [Request],
    pages: Ahead,
    entries: Ahead,
    kept: [Hashes; KEPT],
}

impl<'a> Lookahead<'a> {
    pub fn over(requests: &'a [Request]) -> Self {
        Self {
            requests,
            pages: Ahead::new(requests.len(), 2 * AHEAD),
            entries: Ahead::new(requests.len(), AHEAD),
            kept: [Hashes::default(); KEPT],
        }
    }

    /// The hashes of the request at `at`, whose turn it is. Every request has its turn, in
    /// order.
    #[inline]
    pub fn at(&mut self, at: usize, coordinator: &Coordinator) -> Hashes {
        let (known, directory) = (&coordinator.known, &coordinator.directory);
        for next in self.pages.at(at) {
            let request = &self.requests[next];
            let hashes = &mut self.kept[next % KEPT];
            hashes.id = known.bits(request.id());
            known.prefetch(hashes.id);
            if let Some(accounts) = request.accounts() {
                hashes.accounts = accounts.map(|account| directory.bits(account));
                hashes.accounts.iter().for_each(|account| directory.prefetch(*account));
            }
        }
        for next in self.entries.at(at) {
            if self.requests[next].accounts().is_some() {
                let accounts = &self.kept[next % KEPT].accounts;
                accounts.iter().for_each(|account| directory.prefetch_entry(*account));
            }
        }
        self.kept[at % KEPT]
    }
}
