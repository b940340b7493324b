//! The flags of the log, which goes to stderr, and the trace ids in it.
//!
//! A line that is written while a call is worked on ends with the id of the trace that the call belongs
//! to: where traces are told or an audit trail is kept, and the caller named one.

use crate::exit::Failure;
use clap::{Args, ValueEnum};
use ducat_actors::{audit, trace};
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

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
            LogFormat::Text => {
                log.map_event_format(|of| WithTrace { of, as_json: false }).try_init()
            }
            LogFormat::Json => {
                let log = log.json().flatten_event(true);
                log.map_event_format(|of| WithTrace { of, as_json: true }).try_init()
            }
        };
        Ok(())
    }
}

/// Lines of another format, each with the id of the trace that it belongs to, if it does.
struct WithTrace<F> {
    of: F,
    as_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = trace::id().or_else(|| audit::current()?.trace()) else {
            return self.of.format_event(context, writer, event);
        };
        let mut line = String::new();
        let line_writer = Writer::new(&mut line);
        self.of.format_event(context, line_writer, event)?;
        writer.write_str(&with_trace(&line, id, self.as_json))
    }
}

/// The line with the trace's id at its end.
fn with_trace(line: &str, id: [u8; 16], as_json: bool) -> String {
    let mut digits = String::with_capacity(32);
    for byte in id {
        // Writing to a text does not fail.
        let _written = write!(digits, "{byte:02x}");
    }
    let line = line.trim_end_matches('\n');
    match line.strip_suffix('}').filter(|_| as_json) {
        Some(object) => format!("{object},\"trace_id\":\"{digits}\"}}\n"),
        None => format!("{line} trace_id={digits}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_line_ends_with_the_trace_it_belongs_to() {
        let digits = "0a".repeat(16);
        let line = with_trace("WARN something\n", [10; 16], false);
        assert_eq!(line, format!("WARN something trace_id={digits}\n"));
        let line = with_trace("{\"level\":\"WARN\",\"of\":{\"a\":\"}\"}}\n", [10; 16], true);
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&read["level"], &read["of"]["a"]), (&"WARN".into(), &"}".into()));
        assert_eq!(read["trace_id"], digits.as_str());
    }
}
