//! Alerts by the server itself, for those who run no Prometheus: conditions on its own figures,
//! told to a webhook when they begin and when they end.
//!
//! ```text
//! every period: figures ▸ Sample ▸ rules ▸ Board (pending ▸ firing ▸ resolved)
//!                                            └ Courier ▸ Webhook ─▶ receiver
//! ```
//!
//! The rules are those of `deploy/prometheus/ducat.rules.yml`, under the same names; what a
//! receiver gets has the form of Alertmanager's webhook, so that receivers written for that work
//! ([decision 37](../../../docs/adr/0037-alerts.md)).

mod board;
mod courier;
mod letter;
mod rules;
mod sample;

pub use board::{Board, Firing};
pub use rules::{RULES, Rule, Severity, Thresholds};
pub use sample::Sample;

use crate::metrics::Metrics;
use crate::outside::{Breaker, Webhook};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How alerts are watched for and told.
#[derive(Debug)]
pub struct AlertOptions {
    /// Where they are told.
    pub webhook: Webhook,
    /// When there is something to tell.
    pub thresholds: Thresholds,
    /// Time between two looks.
    pub every: Duration,
    /// Rates and shares are those of so long.
    pub window: Duration,
    /// A condition fires when it has held for so long; what cannot pass by itself fires at once.
    pub hold: Duration,
    /// An alert that goes on firing is told again after this time.
    pub repeat: Duration,
    /// Who tells: labels of every alert, such as `ledger` and `instance`.
    pub labels: Vec<(&'static str, String)>,
}

/// Watches for alerts and tells them.
#[derive(Debug)]
pub struct Alerts {
    options: AlertOptions,
    board: Mutex<Board>,
    changed: Notify,
}

impl Alerts {
    /// Watches for nothing before [`Self::run`].
    #[must_use]
    pub fn new(options: AlertOptions) -> Arc<Self> {
        Arc::new(Self { options, board: Mutex::default(), changed: Notify::new() })
    }

    /// Those that fire now.
    #[must_use]
    pub fn firing(&self) -> Vec<Firing> {
        self.board().firing().collect()
    }

    /// The breaker before the receiver.
    #[must_use]
    pub const fn breaker(&self) -> &Arc<Breaker> {
        self.options.webhook.breaker()
    }

    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches these figures and tells what there is to tell, without end.
    pub async fn run(self: Arc<Self>, metrics: Arc<Metrics>) {
        // Both end when this is dropped.
        let mut both = JoinSet::new();
        both.spawn(Arc::clone(&self).watch(metrics));
        both.spawn(courier::run(self));
        while both.join_next().await.is_some() {}
    }

    async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(self.options.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: VecDeque<Sample> = VecDeque::new();
        loop {
            ticks.tick().await;
            let Some(now) = Sample::take(&metrics, begun.elapsed()) else { continue };
            // The oldest one is as old as the window, or the first there is.
            while before.get(1).is_some_and(|second| second.at + self.options.window <= now.at) {
                before.pop_front();
            }
            before.push_back(now.clone());
            let conditions = rules::judge(&before[0], &now, &self.options.thresholds);
            let system = jiff::Timestamp::now();
            if self.board().look(&conditions, now.at, self.options.hold, system) {
                self.changed.notify_one();
            }
        }
    }
}
