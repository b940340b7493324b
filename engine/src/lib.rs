//! Ducat's rules, pure: no clock, no thread, no socket, no file.
//!
//! Everything that decides about money lives here, as state machines that take
//! messages and return effects. The other rooms carry the messages about, make
//! the effects durable and talk to the world.

pub mod ids;
pub mod money;
pub mod rejection;
pub mod transfer;
