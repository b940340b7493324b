//! The binary `ducat` from the outside: a real server, real commands, real data.

mod accounts;
mod backup;
mod holds;
mod import;
mod past;
mod proof;
mod snapshots;
mod support;
