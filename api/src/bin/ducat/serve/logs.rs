//! The flags of the log, which goes to stderr.

use crate::exit::Failure;
use clap::{Args, ValueEnum};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object to a line.
    Json,
}

/// Options of the log.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// How a line of the log looks.
    #[arg(long, env = "DUCAT_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged: levels by module, such as info or ducat_actors=debug,warn.
    // The actors' library opens a span for every message, which nobody reads.
    #[arg(long, env = "DUCAT_LOG", default_value = "info,ractor=warn", value_name = "FILTER")]
    log_filter: String,
}

impl LogArgs {
    /// Refuses a filter that cannot be meant.
    pub fn check(&self) -> Result<(), Failure> {
        self.filter().map(|_| ())
    }

    fn filter(&self) -> Result<EnvFilter, Failure> {
        EnvFilter::try_new(&self.log_filter).map_err(|error| {
            Failure::usage(format!("--log-filter `{}` cannot be read: {error}", self.log_filter))
        })
    }

    /// Logs from now on.
    pub fn start(&self) -> Result<(), Failure> {
        let log = tracing_subscriber::fmt()
            .with_env_filter(self.filter()?)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        // Fails only when a subscriber is there already, which then is the one to keep.
        let _installed = match self.log_format {
            LogFormat::Text => log.try_init(),
            LogFormat::Json => log.json().flatten_event(true).try_init(),
        };
        Ok(())
    }
}
