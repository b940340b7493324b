//! What is printed: tables for people, one JSON object to a line for scripts, and the small
//! conversions that both need. Printing functions return text, so that tests can hold them
//! to the letter; [`print`] alone touches stdout.

use crate::exit::{Exit, Failure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use ducat_api::proto;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::rejection::Rejection;
use serde::Serialize;
use std::io::{ErrorKind, Write as _};

/// Writes `text` and a newline to stdout. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::CannotCreate, format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}

/// One JSON object on one line.
pub fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|e| Failure::new(Exit::Internal, format!("cannot write JSON: {e}")))
}

/// A plain table: columns of text, those in `right` flushed right, no frame.
pub fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !header.is_empty() {
        table.set_header(header.to_vec());
    }
    let width = header.len().max(rows.first().map_or(0, Vec::len));
    for row in rows {
        table.add_row(row);
    }
    for column in 0..width {
        if let Some(column_of_table) = table.column_mut(column) {
            column_of_table.set_padding((0, 2));
            if right.contains(&column) {
                column_of_table.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    trim_lines(&table.to_string())
}

/// Without blanks at the ends of lines.
fn trim_lines(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A table of two columns: what, and how much.
pub fn facts(rows: Vec<(&str, String)>) -> String {
    table(&[], &[], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect())
}

/// A count with separators between the thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in a unit people read.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1 << 20 {
        return format!("{:.1} KiB", bytes as f64 / 1024.0);
    }
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// An account's id from its halves; `0` should a server send nothing.
pub fn account_id(high: u64, low: u64) -> String {
    AccountId::from_halves(high, low).map_or_else(|_| "0".to_owned(), |id| id.to_string())
}

/// A transfer's id from its halves; `0` should a server send nothing.
pub fn transfer_id(high: u64, low: u64) -> String {
    TransferId::from_halves(high, low).map_or_else(|_| "0".to_owned(), |id| id.to_string())
}

/// The stable name of an outcome's code.
pub fn code_name(code: i32) -> &'static str {
    if code == proto::Code::Posted as i32 {
        return "POSTED";
    }
    u8::try_from(code).ok().and_then(Rejection::from_number).map_or("UNKNOWN", Rejection::code)
}

/// Nanoseconds since 1970 as `2026-01-31T23:59:59.123456789Z`.
pub fn time(time_ns: u64) -> String {
    let (seconds, nanos) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01 in eras of 400 years; the year begins in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["1".into(), "10.00".into()], vec!["200".into(), "-3.50".into()]];
        assert_eq!(
            table(&["id", "posted"], &[0, 1], rows),
            " id  posted\n  1   10.00\n200   -3.50"
        );
    }

    #[test]
    fn counts_have_separators() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(time(seconds * 1_000_000_000), text);
        }
        assert_eq!(time(1_735_689_600_000_000_001), "2025-01-01T00:00:00.000000001Z");
    }

    #[test]
    fn codes_have_their_names() {
        assert_eq!(code_name(0), "POSTED");
        assert_eq!(code_name(14), "INSUFFICIENT_FUNDS");
        assert_eq!(code_name(99), "UNKNOWN");
    }
}
