//! What people write about requests, on command lines and in files: operations, conditions, caps and
//! times. The bin's flags, `ducat import` and `ducat group` read them alike.

use crate::proto::{AccountTerms, Balancing, CreditCap, DebitCap, Operation, Range, Terms};
use clap::ValueEnum;
use std::str::FromStr;

/// How long, as in `7d`, `90m` or `1h30m`, in whole milliseconds, at least one; 0 for `never`.
/// A day has 24 hours and a week seven days.
///
/// # Errors
/// How to write it.
pub fn timeout_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 6] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
    ];
    let wrong = || format!("write a time as in 7d, 90m or 1h30m, or never, not `{text}`");
    if text == "never" {
        return Ok(0);
    }
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at(digits);
        let letters = behind.len() - behind.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = number.checked_mul(*ms);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = behind;
    }
    if total == 0 { Err(wrong()) } else { Ok(total) }
}

/// An operation by its name; a transfer where none is written.
///
/// # Errors
/// Which there are.
pub fn operation(text: &str) -> Result<Operation, String> {
    Ok(match text {
        "" | "transfer" => Operation::Transfer,
        "hold" => Operation::Hold,
        "capture" => Operation::Capture,
        "void" => Operation::Void,
        "extend" => Operation::Extend,
        "refund" => Operation::Refund,
        "reverse" => Operation::Reverse,
        _ => {
            return Err(format!(
                "`{text}` is no operation; there are transfer, hold, capture, void, extend, refund \
                 and reverse"
            ));
        }
    })
}

/// Yes or no; no where nothing is written.
///
/// # Errors
/// How to write it.
pub fn yes(text: &str) -> Result<bool, String> {
    match text {
        "" | "false" | "no" | "0" => Ok(false),
        "true" | "yes" | "1" => Ok(true),
        _ => Err(format!("write true or false, not `{text}`")),
    }
}

/// A cap of a balanced transfer.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// What the account that pays can spend.
    Available,
    /// What it has of its own.
    Balance,
    /// What has room below the ceiling of the account that receives.
    Room,
    /// What that one owes.
    Debt,
}

impl FromStr for Cap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
            .map_err(|_| format!("`{text}` is no cap; there are available, balance, room and debt"))
    }
}

/// A condition, as in `debit.available>=10.00` or `credit.version=17`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    side: Side,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Debit,
    Credit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Version(u64),
    Posted(End, String),
    Available(End, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    AtLeast,
    AtMost,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "`{text}` is no condition: write SIDE.FIGURE>=AMOUNT, SIDE.FIGURE<=AMOUNT or \
                 SIDE.version=LSN, with debit or credit for SIDE, posted or available for FIGURE"
            )
        };
        let (side, rest) = text.split_once('.').ok_or_else(unknown)?;
        let side = match side {
            "debit" => Side::Debit,
            "credit" => Side::Credit,
            _ => return Err(unknown()),
        };
        let split = |operator| rest.split_once(operator).map(|(name, value)| (name, value.trim()));
        let what = if let Some((name, value)) = split(">=") {
            figure(name.trim(), End::AtLeast, value)
        } else if let Some((name, value)) = split("<=") {
            figure(name.trim(), End::AtMost, value)
        } else {
            let (name, value) = split("=").ok_or_else(unknown)?;
            let version = value.parse().ok().filter(|version| *version > 0);
            version.filter(|_| name.trim() == "version").map(What::Version)
        };
        Ok(Self { side, what: what.ok_or_else(unknown)? })
    }
}

fn figure(name: &str, end: End, value: &str) -> Option<What> {
    if value.is_empty() {
        return None;
    }
    match name {
        "posted" => Some(What::Posted(end, value.to_owned())),
        "available" => Some(What::Available(end, value.to_owned())),
        _ => None,
    }
}

/// Several of one sort, with blanks or `;` between them, as a column or a text holds them.
///
/// # Errors
/// What the first one is not.
pub fn several<T: FromStr<Err = String>>(text: &str) -> Result<Vec<T>, String> {
    let parts = text.split(|c: char| c == ';' || c.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(str::parse).collect()
}

/// The terms that these caps, the least to be moved and these conditions come to; `None` for none.
#[must_use]
pub fn terms(caps: &[Cap], min: &str, require: &[Requirement]) -> Option<Box<Terms>> {
    let mut terms = Terms { balancing: balancing(caps, min), ..Terms::default() };
    for Requirement { side, what } in require {
        let side = match side {
            Side::Debit => &mut terms.debit,
            Side::Credit => &mut terms.credit,
        };
        demand(side.get_or_insert_default(), what);
    }
    (terms != Terms::default()).then(|| Box::new(terms))
}

fn demand(side: &mut AccountTerms, what: &What) {
    let set = |range: &mut Option<Range>, end: End, value: &String| {
        let range = range.get_or_insert_default();
        match end {
            End::AtLeast => range.at_least.clone_from(value),
            End::AtMost => range.at_most.clone_from(value),
        }
    };
    match what {
        What::Version(version) => side.version = *version,
        What::Posted(end, value) => set(&mut side.posted, *end, value),
        What::Available(end, value) => set(&mut side.available, *end, value),
    }
}

fn balancing(caps: &[Cap], min: &str) -> Option<Balancing> {
    if caps.is_empty() {
        return None;
    }
    let mut balancing = Balancing { min: min.to_owned(), ..Balancing::default() };
    for cap in caps {
        match cap {
            Cap::Available => balancing.set_debit(DebitCap::Available),
            Cap::Balance => balancing.set_debit(DebitCap::Balance),
            Cap::Room => balancing.set_credit(CreditCap::Room),
            Cap::Debt => balancing.set_credit(CreditCap::Debt),
        }
    }
    Some(balancing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Requirement> {
        text.parse().ok()
    }

    #[test]
    fn conditions_are_read_as_they_are_written() {
        let of = |side, what| Some(Requirement { side, what });
        let least = What::Available(End::AtLeast, "10.00".into());
        assert_eq!(parse("debit.available>=10.00"), of(Side::Debit, least));
        let most = What::Posted(End::AtMost, "-5".into());
        assert_eq!(parse("credit.posted <= -5"), of(Side::Credit, most));
        assert_eq!(parse("debit.version=17"), of(Side::Debit, What::Version(17)));
        for wrong in [
            "",
            "debit",
            "debit.",
            "debit.version",
            "debit.version=0",
            "debit.version=x",
            "debit.version>=3",
            "else.posted>=1",
            "debit.posted=1",
            "debit.posted>=",
            "debit.held>=1",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn conditions_on_one_side_come_together() {
        let require = several("debit.posted>=1; debit.posted<=2  credit.version=3");
        let caps = several("balance;room").expect("caps");
        let terms = terms(&caps, "0", &require.expect("conditions")).expect("terms");
        let range = Range { at_least: "1".into(), at_most: "2".into(), ..Default::default() };
        assert_eq!(terms.debit.as_ref().expect("set").posted, Some(range));
        assert_eq!(terms.credit.as_ref().expect("set").version, 3);
        let balancing = terms.balancing.as_ref().expect("set");
        assert_eq!((balancing.debit(), balancing.credit()), (DebitCap::Balance, CreditCap::Room));
        assert_eq!(balancing.min, "0");
        assert!(super::terms(&[], "", &[]).is_none());
        assert!(several::<Cap>("balance, room").is_err());
        assert!(several::<Requirement>("debit.posted>=1 and").is_err());
    }

    #[test]
    fn operations_and_answers_have_their_words() {
        assert_eq!(operation(""), Ok(Operation::Transfer));
        for (text, expected) in [
            ("transfer", Operation::Transfer),
            ("hold", Operation::Hold),
            ("capture", Operation::Capture),
            ("void", Operation::Void),
            ("extend", Operation::Extend),
            ("refund", Operation::Refund),
            ("reverse", Operation::Reverse),
        ] {
            assert_eq!(operation(text), Ok(expected));
        }
        assert!(operation("Hold").is_err() && operation("pay").is_err());
        assert_eq!([yes(""), yes("no"), yes("true")], [Ok(false), Ok(false), Ok(true)]);
        assert!(yes("maybe").is_err());
    }
}
