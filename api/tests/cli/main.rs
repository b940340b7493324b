//! The binary `ducat` from the outside: a real server, real commands, real data.

mod accounts;
mod audit;
mod backup;
mod books;
mod driven;
mod events;
mod group;
mod holds;
mod import;
mod import_dry;
mod import_ops;
mod known;
mod ledger_doc;
mod past;
mod proof;
mod snapshots;
mod support;
