//! Who is calling, and what they may do.
//!
//! ```text
//! certificate ─┐                    roles: which calls        (roles::CALLS, one table)
//!              ├─▶ Guard ▸ Caller ─┤
//! token ───────┘                    scope: which accounts     (checks, in the services)
//!                                   factor, persons: dangerous calls (danger)
//! ```
//!
//! A call comes through the gate with what its connection's certificate says and the token in its
//! headers. The [`guard::Guard`] makes a [`Caller`] of both, or refuses; what is not granted is
//! denied, a call that no table names included. Which accounts a call concerns is known only once it
//! is read, so the services ask [`checks`]. A server without identities has no guard, and every
//! caller may do everything; such a server listens on loopback alone, or was told that its network
//! is trusted ([decision 31](../../../docs/adr/0031-identity-and-roles.md)).

pub mod checks;
pub mod danger;
pub mod factor;
pub mod guard;
pub mod issue;
pub mod keys;
pub mod login;
pub mod passwords;
pub mod persons;
pub mod rights;
pub mod roles;
pub mod scope;
pub mod tokens;

pub use guard::{Caller, Guard};
pub use roles::Role;
pub use scope::Scope;
