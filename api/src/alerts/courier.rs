//! Brings news to the receiver: at once when there are any, again after growing pauses while they do
//! not arrive, and again after the repeat time while something fires.
//!
//! What is sent is always the whole of what is known at that moment, so nothing queues up while
//! a receiver is away, and nothing that was told as firing goes untold when it is over.

use super::{Alerts, letter};
use crate::outside::webhook::{PostError, may_change};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The first pause behind a post that did not arrive, at most twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest, at most twice as long.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Runs without end.
pub(super) async fn run(alerts: Arc<Alerts>) {
    loop {
        let firing = !alerts.firing().is_empty();
        tokio::select! {
            () = alerts.changed.notified() => {}
            () = tokio::time::sleep(alerts.options.repeat), if firing => {}
        }
        bring(&alerts).await;
    }
}

/// Tries until everything is told.
async fn bring(alerts: &Alerts) {
    let mut pauses = pauses();
    let mut failures = 0_u32;
    loop {
        let Some(news) = alerts.board().news() else { return };
        let body = letter::write(&news, &alerts.options.labels);
        // Another id for other words; receivers drop what they have seen by it.
        let id = format!("ducat_{}", Uuid::now_v7().simple());
        let seconds = jiff::Timestamp::now().as_second().unsigned_abs();
        match alerts.options.webhook.post(&id, seconds, body).await {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(failures, "the receiver of alerts is there again");
                }
                (pauses, failures) = (self::pauses(), 0);
                if !alerts.board().told(&news) {
                    return;
                }
            }
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    let host = alerts.options.webhook.host();
                    tracing::warn!(%error, host, failures, "alerts could not be told");
                }
                tokio::time::sleep(match error {
                    // Nothing was called: the breaker sets the pace.
                    PostError::BreakerOpen => PAUSE_MIN,
                    PostError::Status(status) if !may_change(status) => PAUSE_MAX,
                    _ => pauses.next().unwrap_or(PAUSE_MAX),
                })
                .await;
            }
        }
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}
