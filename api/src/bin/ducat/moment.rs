//! Moments of a ledger's past on the command line: an LSN or a time.

use crate::exit::{Exit, Failure};
use ducat_actors::replay::Until;
pub use ducat_api::texts::timeout_ms;
use ducat_engine::ids::Lsn;
use ducat_engine::ledger::Ledger;

/// A time as RFC 3339 writes it, as nanoseconds since 1970.
pub fn time_ns(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error| {
        format!("write a time as in 2026-01-31T12:00:00Z or 2026-01-31T12:00:00.5+01:00: {error}")
    })?;
    u64::try_from(time.as_nanosecond()).map_err(|_| "the time lies before 1970".to_owned())
}

/// A moment: after an event, or after the last one decided at a time or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// An LSN.
    Lsn(u64),
    /// Nanoseconds since 1970.
    Time(u64),
}

/// A moment as an LSN or as RFC 3339 writes a time.
pub fn at(text: &str) -> Result<At, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(At::Lsn).map_err(|_| format!("`{text}` is too large for an LSN"));
    }
    time_ns(text).map(At::Time).map_err(|why| format!("neither an LSN nor a time: {why}"))
}

/// The current time, nanoseconds since 1970.
pub fn now_ns() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0)
}

/// The moment after this event, or after the last one decided at this time or before.
pub const fn until(lsn: Option<u64>, time_ns: Option<u64>) -> Until {
    Until { lsn: if let Some(lsn) = lsn { Some(Lsn(lsn)) } else { None }, time_ns }
}

/// The last event of a ledger.
pub fn last_lsn(ledger: &Ledger) -> Lsn {
    Lsn(ledger.coordinator.next_lsn().0.saturating_sub(1))
}

/// An LSN that was asked for must be there.
pub fn check_reached(ledger: &Ledger, until: Until) -> Result<(), Failure> {
    let last = last_lsn(ledger);
    match until.lsn {
        Some(asked) if asked > last && until.time_ns.is_none() => {
            let text = format!("there is no LSN {asked} yet: the journal ends at LSN {last}");
            Err(Failure::new(Exit::Refused, text))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_units() {
        for (text, ms) in [
            ("never", 0),
            ("1ms", 1),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(timeout_ms(text), Ok(ms), "{text}");
        }
        for bad in
            ["", "7", "0d", "-1d", "1.5h", "1y", "d", "7d ", "Never", "1ä", "99999999999999999999s"]
        {
            assert!(timeout_ms(bad).is_err(), "{bad}");
        }
        assert!(timeout_ms("18446744073709551615w").is_err());
    }

    #[test]
    fn times_are_rfc_3339() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-12-31T23:59:59Z", 1_735_689_599),
            ("2025-01-01T00:59:59+01:00", 1_735_689_599),
        ] {
            assert_eq!(time_ns(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        assert_eq!(time_ns("2024-12-31T23:59:59.000000001Z"), Ok(1_735_689_599_000_000_001));
        for bad in ["", "yesterday", "2024-12-31", "2024-12-31T23:59:59", "1969-12-31T00:00:00Z"] {
            assert!(time_ns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_lsns_or_times() {
        assert_eq!(at("5000"), Ok(At::Lsn(5000)));
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(At::Time(1_000_000_000)));
        for bad in ["", "-1", "12x", "18446744073709551616", "2024-12-31"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
