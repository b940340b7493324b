//! Calendar dates as texts: `2026-01-31`.

use ducat_engine::note::Day;
use jiff::civil::{Date, date};
use jiff::{Span, Unit};

const EPOCH: Date = date(1970, 1, 1);

/// The day that a text such as `2026-01-31` names; `None` for any other text, and for days outside
/// of the years 0001 to 9999.
#[must_use]
pub fn parse(text: &str) -> Option<Day> {
    // One way to write a date: year, month and day, and nothing behind.
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let date: Date = text.parse().ok()?;
    let days = EPOCH.until((Unit::Day, date)).ok()?.get_days();
    Day::new(days)
}

/// The day as such a text.
#[must_use]
pub fn text(day: Day) -> String {
    let date = Span::new().try_days(day.days()).ok().and_then(|span| EPOCH.checked_add(span).ok());
    // Every day of these years is one of the calendar's.
    date.map(|date| date.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_and_read_back() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2026-01-31", 20_484),
            ("0001-01-01", Day::MIN.days()),
            ("9999-12-31", Day::MAX.days()),
        ] {
            let day = Day::new(days).expect("in range");
            assert_eq!(parse(text), Some(day), "{text}");
            assert_eq!(super::text(day), text);
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-1-31",
            "20260131",
            "2026-01-31T00:00",
            "0000-12-31",
            "-026-01-01",
            "2026/01/31",
            "2026-01-3x",
            "\u{ff12}026-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
