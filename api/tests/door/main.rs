//! The door as gateways, auditors and attackers find it: identity, roles and scopes call by call,
//! certificates and handshakes that must not be let in, configuration, figures, alerts,
//! traces, who did what, and that what is secret comes out nowhere.

mod alerts;
mod audit;
mod browser;
mod browser_login;
mod canary;
mod console;
mod console_login;
mod deployment;
mod figures;
mod floods;
mod handshakes;
mod login;
mod matrix;
mod monitoring;
mod program;
mod proposals;
mod rates;
mod scopes;
mod second;
mod secret_fields;
mod shares;
mod traces;
mod webdriver;
mod world;
