//! The door as gateways, auditors and attackers find it: identity, roles and scopes call by call,
//! certificates and handshakes that must not be let in, configuration, figures, alerts,
//! traces, and who did what.

mod alerts;
mod audit;
mod browser;
mod console;
mod deployment;
mod figures;
mod floods;
mod handshakes;
mod login;
mod matrix;
mod monitoring;
mod program;
mod rates;
mod scopes;
mod second;
mod traces;
mod webdriver;
mod world;
