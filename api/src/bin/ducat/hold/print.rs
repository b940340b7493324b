//! Holds as they are printed: tables and facts for people, JSON lines for scripts.

use crate::exit::Failure;
use crate::output;
use crate::statement::kind_name;
use crate::transfer::Unit;
use ducat_api::proto::{self, HoldState};
use ducat_engine::money::format_minor;
use ducat_engine::request::NEVER_NS;
use serde::Serialize;

/// A hold as scripts read it.
#[derive(Serialize)]
struct HoldLine<'a> {
    id: String,
    state: &'static str,
    debit: String,
    credit: String,
    currency: &'a str,
    amount: &'a str,
    remaining: &'a str,
    over_capture_max: &'a str,
    remaining_minor: &'a str,
    kind: &'static str,
    /// Absent of one that is closed.
    expires: Option<String>,
    /// 2^64 - 1 for never.
    expires_ns: Option<u64>,
    placed_lsn: u64,
}

/// How a hold stands after an operation, as scripts read it: minor units, and decimals where
/// the accounts' digits could be asked for.
#[derive(Serialize)]
pub struct HoldAfterLine<'a> {
    id: String,
    state: &'static str,
    captured_minor: String,
    released_minor: String,
    remaining_minor: String,
    captured: Option<String>,
    released: Option<String>,
    remaining: Option<String>,
    currency: Option<&'a str>,
    expires: Option<String>,
}

impl<'a> HoldAfterLine<'a> {
    /// Of an outcome.
    pub fn new(hold: &proto::HoldOutcome, unit: Option<&'a Unit>) -> Self {
        let [captured, released, remaining] = match &hold.wide {
            Some(wide) => [&wide.captured_minor, &wide.released_minor, &wide.remaining_minor]
                .map(String::clone),
            None => [hold.captured_minor, hold.released_minor, hold.remaining_minor]
                .map(|minor| minor.to_string()),
        };
        let decimal = |minor: &str| Some(format_minor(minor.parse().ok()?, unit?.digits));
        Self {
            id: output::transfer_id(hold.id_high, hold.id),
            state: state_name(hold.state()),
            captured: decimal(&captured),
            released: decimal(&released),
            remaining: decimal(&remaining),
            captured_minor: captured,
            released_minor: released,
            remaining_minor: remaining,
            currency: unit.map(|unit| unit.currency.as_str()),
            expires: expiry(hold.expires_ns),
        }
    }

    /// The same for people.
    pub fn facts(self) -> Vec<(&'static str, String)> {
        let money = |decimal: &Option<String>, minor: &str| match (decimal, self.currency) {
            (Some(amount), Some(currency)) => format!("{amount} {currency}"),
            _ => format!("{minor} minor units"),
        };
        let mut figures = Vec::new();
        if self.captured_minor != "0" {
            let captured = money(&self.captured, &self.captured_minor);
            figures.push(format!("{captured} captured"));
        }
        if self.released_minor != "0" && self.released_minor != self.captured_minor {
            let released = money(&self.released, &self.released_minor);
            figures.push(format!("{released} taken off"));
        }
        figures.push(format!("{} remain", money(&self.remaining, &self.remaining_minor)));
        let hold = format!("{} is {}: {}", self.id, self.state, figures.join(", "));
        let expires = self.expires.map(|when| ("expires", when));
        [("hold", hold)].into_iter().chain(expires).collect()
    }
}

/// When, or `never`; nothing for a time that is not told.
fn expiry(expires_ns: u64) -> Option<String> {
    match expires_ns {
        0 => None,
        NEVER_NS => Some("never".to_owned()),
        time_ns => Some(output::time(time_ns)),
    }
}

const fn state_name(state: HoldState) -> &'static str {
    match state {
        HoldState::Unspecified => "unknown",
        HoldState::Open => "open",
        HoldState::Captured => "captured",
        HoldState::Voided => "voided",
        HoldState::Expired => "expired",
    }
}

/// Holds as a table or as JSON lines.
pub fn holds_text(holds: &[proto::Hold], json: bool) -> Result<String, Failure> {
    if json {
        let lines: Result<Vec<_>, _> =
            holds.iter().map(|hold| output::json(&hold_line(hold))).collect();
        return Ok(lines?.join("\n"));
    }
    let header = ["hold", "state", "from", "to", "amount", "remaining", "over", "kind", "expires"];
    let rows = holds
        .iter()
        .map(|hold| {
            let line = hold_line(hold);
            vec![
                line.id,
                line.state.to_owned(),
                line.debit,
                line.credit,
                format!("{} {}", line.amount, line.currency),
                line.remaining.to_owned(),
                line.over_capture_max.to_owned(),
                line.kind.to_owned(),
                line.expires.unwrap_or_default(),
            ]
        })
        .collect();
    Ok(output::table(&header, &[4, 5, 6], rows))
}

fn hold_line(hold: &proto::Hold) -> HoldLine<'_> {
    HoldLine {
        id: output::transfer_id(hold.id_high, hold.id),
        state: state_name(hold.state()),
        debit: output::account_id(hold.debit_account_high, hold.debit_account),
        credit: output::account_id(hold.credit_account_high, hold.credit_account),
        currency: &hold.currency,
        amount: &hold.amount,
        remaining: &hold.remaining,
        over_capture_max: &hold.over_capture_max,
        remaining_minor: &hold.remaining_minor,
        kind: kind_name(hold.kind),
        expires: expiry(hold.expires_ns),
        expires_ns: (hold.expires_ns > 0).then_some(hold.expires_ns),
        placed_lsn: hold.placed_lsn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{Units, text};

    fn hold() -> proto::Hold {
        proto::Hold {
            id: 10,
            state: HoldState::Open.into(),
            debit_account: 2,
            credit_account: 3,
            currency: "GBP".into(),
            digits: 2,
            amount: "60.00".into(),
            remaining: "15.00".into(),
            over_capture_max: "0.00".into(),
            expires_ns: 1_735_689_600_000_000_000,
            placed_lsn: 12,
            remaining_minor: "1500".into(),
            kind: 3,
            ..Default::default()
        }
    }

    #[test]
    fn holds_print_as_a_table_and_as_json() {
        let voided = proto::Hold {
            id: 9,
            state: HoldState::Voided.into(),
            expires_ns: 0,
            remaining: "0.00".into(),
            kind: 0,
            ..hold()
        };
        assert_eq!(
            holds_text(&[hold(), voided], false).expect("text"),
            "hold  state   from  to     amount  remaining  over  kind      expires\n\
             10    open    2     3   60.00 GBP      15.00  0.00  payment   2025-01-01T00:00:00.000000000Z\n\
             9     voided  2     3   60.00 GBP       0.00  0.00  transfer"
        );
        assert_eq!(
            holds_text(&[hold()], true).expect("text"),
            concat!(
                r#"{"id":"10","state":"open","debit":"2","credit":"3","currency":"GBP","#,
                r#""amount":"60.00","remaining":"15.00","over_capture_max":"0.00","#,
                r#""remaining_minor":"1500","kind":"payment","expires":"2025-01-01T00:00:00.000000000Z","#,
                r#""expires_ns":1735689600000000000,"placed_lsn":12}"#
            )
        );
    }

    #[test]
    fn an_outcome_says_how_the_hold_stands() {
        let outcome = proto::Outcome {
            id: 11,
            lsn: 13,
            time_ns: 1_735_689_600_000_000_000,
            hold: Some(Box::new(proto::HoldOutcome {
                id: 10,
                state: HoldState::Captured.into(),
                captured_minor: 4_500,
                released_minor: 6_000,
                ..Default::default()
            })),
            ..Default::default()
        };
        assert_eq!(
            text(&outcome, &Units::default(), Some("CAPTURED"), false).expect("text"),
            "request  11\n\
             outcome  CAPTURED\n\
             decided  2025-01-01T00:00:00.000000000Z at LSN 13\n\
             hold     10 is captured: 4500 minor units captured, 6000 minor units taken off, 0 \
             minor units remain"
        );
        let json = text(&outcome, &Units::default(), Some("CAPTURED"), true).expect("text");
        assert!(json.contains(r#""hold":{"id":"10","state":"captured","captured_minor":"4500""#));
    }
}
