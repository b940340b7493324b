//! The flags of alerts, and of the breaker before their receiver.

use crate::causes::with_causes;
use crate::exit::Failure;
use clap::Args;
use ducat_api::alerts::{AlertOptions, Alerts, Thresholds};
use ducat_api::outside::{Breaker, BreakerRules, Secret, Webhook, WebhookOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Options of alerts.
#[derive(Args, Debug)]
pub struct AlertArgs {
    /// Watch for alerts, and post them to this address in the form of Alertmanager's webhook:
    /// https, or http on this machine.
    #[arg(long, env = "DUCAT_ALERTS_WEBHOOK", value_name = "URL")]
    alerts_webhook: Option<String>,
    /// A file with the key that signs what is posted: `whsec_` and base64, as the specification
    /// Standard Webhooks has it.
    #[arg(long, env = "DUCAT_ALERTS_SECRET", value_name = "FILE")]
    pub alerts_secret: Option<PathBuf>,
    /// The CAs that sign the receiver's certificate, in PEM. By default those of the system.
    #[arg(long, env = "DUCAT_ALERTS_CA", value_name = "FILE")]
    alerts_ca: Option<PathBuf>,
    /// Time between two looks.
    #[arg(long, env = "DUCAT_ALERTS_EVERY_MS", default_value_t = 15_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    alerts_every_ms: u64,
    /// Rates, shares and latencies are those of so many seconds.
    #[arg(long, env = "DUCAT_ALERTS_WINDOW_S", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    alerts_window_s: u64,
    /// A condition that passes by itself is told of when it has held for so long.
    #[arg(long, env = "DUCAT_ALERTS_HOLD_S", default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=86_400))]
    alerts_hold_s: u64,
    /// What goes on is told again after this time.
    #[arg(long, env = "DUCAT_ALERTS_REPEAT_S", default_value_t = 14_400, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=604_800))]
    alerts_repeat_s: u64,
    /// Most calls that fail for a reason of the server's, in percent.
    #[arg(long, env = "DUCAT_ALERTS_FAILED_CALLS_PERCENT_MAX", default_value_t = 1.0,
          value_parser = percent, value_name = "PERCENT")]
    alerts_failed_calls_percent_max: f64,
    /// Most transfers that a rule of the ledger refuses, in percent.
    #[arg(long, env = "DUCAT_ALERTS_REFUSALS_PERCENT_MAX", default_value_t = 50.0,
          value_parser = percent, value_name = "PERCENT")]
    alerts_refusals_percent_max: f64,
    /// The longest p99 of a call to the ledger.
    #[arg(long, env = "DUCAT_ALERTS_LATENCY_P99_MS_MAX", default_value_t = 1_000, value_name = "MS",
          value_parser = clap::value_parser!(u32).range(1..=600_000))]
    alerts_latency_p99_ms_max: u32,
    /// The longest p99 of an append to the journal with its sync.
    #[arg(long, env = "DUCAT_ALERTS_APPEND_P99_MS_MAX", default_value_t = 250, value_name = "MS",
          value_parser = clap::value_parser!(u32).range(1..=600_000))]
    alerts_append_p99_ms_max: u32,
    /// Fewest transfers posted in a second; 0 asks for none.
    #[arg(
        long,
        env = "DUCAT_ALERTS_POSTED_PER_S_MIN",
        default_value_t = 0,
        value_name = "TRANSFERS"
    )]
    alerts_posted_per_s_min: u32,
    /// Most calls refused in a second for want of an identity or a right.
    #[arg(long, env = "DUCAT_ALERTS_DENIED_PER_S_MAX", default_value_t = 1, value_name = "CALLS")]
    alerts_denied_per_s_max: u32,
    /// The longest time that something durable may not be in the backup, where one is made.
    #[arg(long, env = "DUCAT_ALERTS_BACKUP_LAG_S_MAX", default_value_t = 600,
          value_parser = clap::value_parser!(u64).range(1..=31_536_000), value_name = "SECONDS")]
    alerts_backup_lag_s_max: u64,
    /// So many failures in a row, and a dependency outside the process is left alone for a while.
    #[arg(long, env = "DUCAT_BREAKER_FAILURES_MAX", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1_000), value_name = "COUNT")]
    breaker_failures_max: u32,
    /// For how long at first, up to twice as long by chance; then one call tries it.
    #[arg(long, env = "DUCAT_BREAKER_OPEN_MS_MIN", default_value_t = 5_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    breaker_open_ms_min: u64,
    /// For how long in the end, up to twice as long by chance, when that goes on failing.
    #[arg(long, env = "DUCAT_BREAKER_OPEN_MS_MAX", default_value_t = 60_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    breaker_open_ms_max: u64,
    /// How long a call of a dependency may take.
    #[arg(long, env = "DUCAT_BREAKER_CALL_TIMEOUT_MS", default_value_t = 10_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(10..=600_000))]
    breaker_call_timeout_ms: u64,
}

/// A number from 0 to 100.
pub fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a number from 0 to 100".to_owned()),
    }
}

impl AlertArgs {
    /// When the breaker before a dependency opens.
    pub fn breaker_rules(&self) -> Result<BreakerRules, Failure> {
        let open_min = Duration::from_millis(self.breaker_open_ms_min);
        let open_max = Duration::from_millis(self.breaker_open_ms_max);
        if open_max < open_min {
            let text = "--breaker-open-ms-max must not be less than --breaker-open-ms-min";
            return Err(Failure::usage(text));
        }
        Ok(BreakerRules { failures_max: self.breaker_failures_max, open_min, open_max })
    }

    /// How long a call of a dependency may take.
    pub const fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.breaker_call_timeout_ms)
    }

    /// The receiver, if one is named; checks everything.
    pub fn webhook(&self) -> Result<Option<Webhook>, Failure> {
        let rules = self.breaker_rules()?;
        let Some(url) = self.alerts_webhook.clone() else {
            if self.alerts_secret.is_some() || self.alerts_ca.is_some() {
                let text = "--alerts-secret and --alerts-ca are for a webhook, and none is named: \
                            add --alerts-webhook";
                return Err(Failure::usage(text));
            }
            return Ok(None);
        };
        let failed = |error| Failure::usage(with_causes(&error));
        let secret = self.alerts_secret.as_deref().map(Secret::read).transpose().map_err(failed)?;
        let timeout = self.call_timeout();
        let options = WebhookOptions { url, secret, ca: self.alerts_ca.clone(), timeout };
        let webhook = Webhook::new(options, Breaker::new("alerts-webhook", rules));
        webhook.map(Some).map_err(failed)
    }

    /// Alerts of this ledger, served at this address.
    pub fn watching(&self, webhook: Webhook, ledger: &str, address: SocketAddr) -> Arc<Alerts> {
        let seconds = |ms: u32| f64::from(ms) / 1e3;
        Alerts::new(AlertOptions {
            webhook,
            thresholds: Thresholds {
                failed_calls_percent: self.alerts_failed_calls_percent_max,
                refusals_percent: self.alerts_refusals_percent_max,
                latency_p99_s: seconds(self.alerts_latency_p99_ms_max),
                append_p99_s: seconds(self.alerts_append_p99_ms_max),
                posted_per_s: f64::from(self.alerts_posted_per_s_min),
                denied_per_s: f64::from(self.alerts_denied_per_s_max),
                backup_lag_s: self.alerts_backup_lag_s_max,
            },
            every: Duration::from_millis(self.alerts_every_ms),
            window: Duration::from_secs(self.alerts_window_s),
            hold: Duration::from_secs(self.alerts_hold_s),
            repeat: Duration::from_secs(self.alerts_repeat_s),
            labels: vec![("ledger", ledger.to_owned()), ("instance", address.to_string())],
        })
    }
}
