//! Calls that leave the process: every dependency outside it stands behind a breaker of its own.
//!
//! ```text
//! alerts ▸ Webhook::post     ▸ Breaker ▸ HTTPS ─▶ somebody else's machine
//! traces ▸ Connected::export ▸ Breaker ▸ gRPC  ─▶ a collector of OpenTelemetry
//!                                └ status, metrics
//! ```
//!
//! Nothing on the path of a transfer waits for what is outside
//! ([decision 37](../../../docs/adr/0037-alerts.md)).

mod address;
pub mod breaker;
pub mod collector;
pub mod webhook;

pub use breaker::{Breaker, BreakerFigures, BreakerRules, BreakerState};
pub use collector::{Collector, CollectorError, CollectorOptions};
pub use webhook::{Secret, Webhook, WebhookError, WebhookOptions};
