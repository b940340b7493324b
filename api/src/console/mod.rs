//! The operators' page: a listener of its own that serves the files of `api/console/`, which are
//! part of the binary, and answers the calls that these make.
//!
//! ```text
//! browser ─GET─▶ files: page, styles, modules, translations       (nothing of the ledger)
//!         ─POST /api/Ledger/GetAccounts, JSON─▶ message ▸ gate ▸ service ▸ message ─JSON─▶
//! ```
//!
//! A call goes through the same [gate](crate::gate) as one over gRPC: the same guard, roles, scopes, rates
//! and bounds, into the same services. What is listed in [`CALLS`] are reads: the page changes
//! nothing. A token lives in the page's memory and travels in the header of each call, so there is no
//! cookie that another site could have sent along ([decision 39](../../../docs/adr/0039-console.md)). Whoever has
//! none logs in with the calls of [`LOGINS`], and what the page is given then brings no second factor along
//! ([decision 48](../../../docs/adr/0048-login-at-the-page.md)).

mod calls;
mod failure;
mod files;
pub mod listener;

use crate::gate::Gated;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The calls that the page may make, behind `/api/`. Reads only. A view that needs another one names
/// it here; whose it is says [`crate::identity::roles::CALLS`].
pub const CALLS: &[&str] = &[
    "Ledger/GetAccounts",
    "Ledger/ListAccounts",
    "Ledger/GetTransfers",
    "Ledger/ListEntries",
    "Ledger/ListAccountHistory",
    "Ledger/GetBalanceAt",
    "Ledger/GetHolds",
    "Ledger/ListHolds",
    "Ledger/ListRefunds",
    "Ledger/ListWatches",
    "Ledger/Explain",
    "Operator/GetStatus",
    "Operator/ListSnapshots",
    "Audit/ListAuditEvents",
];

/// The calls by which somebody becomes known to the page, and is forgotten. They change nothing of the ledger.
pub const LOGINS: &[&str] = &["Login/LogIn", "Login/Refresh", "Login/LogOut"];

/// What the page's calls are put to: nothing before the server takes calls.
#[derive(Default)]
pub struct Console {
    door: OnceLock<Gated>,
}

impl Console {
    /// One that answers its calls with `STARTING` until the server is ready.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether the server takes calls.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.door.get().is_some()
    }

    /// Calls go through this from now on.
    pub(crate) fn ready(&self, door: Gated) {
        // A server begins once.
        let _already = self.door.set(door);
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("ready", &self.is_ready()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;
    use crate::identity::roles::Call;

    #[test]
    fn the_page_can_ask_and_not_change() {
        for call in CALLS {
            let known = Call::find(&format!("/ducat.v1.{call}")).expect(call);
            // What an auditor may do changes nothing.
            assert!(known.allows(Role::Auditor), "{call}");
            let method = call.rsplit('/').next().expect("a method");
            assert!(["Get", "List", "Explain"].iter().any(|read| method.starts_with(read)));
        }
        for login in LOGINS {
            let known = Call::find(&format!("/ducat.v1.{login}")).expect(login);
            assert!(
                known.path.starts_with("/ducat.v1.Login/") && !CALLS.contains(login),
                "{login}"
            );
        }
    }
}
