//! Ducat's actors: partitions that host the account actors, the coordinator that runs
//! two-phase commit between them, the journal writer, and the supervisor.

pub mod handle;
