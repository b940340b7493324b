//! Terms on the command line: `--up-to`, `--min` and `--require`.

use clap::{Args, ValueEnum};
use ducat_api::proto::{self, AccountTerms, Balancing, CreditCap, DebitCap, Range, Terms};
use std::str::FromStr;

/// How much a transfer moves.
#[derive(Args, Debug, Default)]
pub struct BalancingArgs {
    /// Move at most --amount: as much as the account that pays can spend (available) or has of its
    /// own (balance), as much as has room below the ceiling of the one that receives (room), or as
    /// much as that one owes (debt). May be given for both sides.
    #[arg(long, value_enum, value_name = "WHAT")]
    up_to: Vec<Cap>,
    /// The least to move, as a decimal number; 1 minor unit when absent. With 0 a transfer that
    /// finds nothing to move is posted all the same.
    #[arg(long, value_name = "AMOUNT", requires = "up_to")]
    min: Option<String>,
}

/// What must be so.
#[derive(Args, Debug, Default)]
pub struct RequireArgs {
    /// Do it only if this is so, as in debit.available>=10.00, credit.posted<=500 or
    /// debit.version=17. Figures are those right after it; a version is the one before, as
    /// `account show --json` tells it. May be given several times.
    #[arg(long, value_name = "CONDITION")]
    require: Vec<Requirement>,
}

/// A cap of a balanced transfer.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Cap {
    Available,
    Balance,
    Room,
    Debt,
}

/// A condition as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
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

/// The terms that the command line stands for; `None` for none.
pub fn terms(balancing: &BalancingArgs, require: &RequireArgs) -> Option<Box<Terms>> {
    let mut terms = Terms { balancing: balancing.message(), ..Terms::default() };
    for Requirement { side, what } in &require.require {
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

impl BalancingArgs {
    fn message(&self) -> Option<Balancing> {
        if self.up_to.is_empty() {
            return None;
        }
        let mut balancing =
            Balancing { min: self.min.clone().unwrap_or_default(), ..{ Balancing::default() } };
        for cap in &self.up_to {
            match cap {
                Cap::Available => balancing.set_debit(DebitCap::Available),
                Cap::Balance => balancing.set_debit(DebitCap::Balance),
                Cap::Room => balancing.set_credit(CreditCap::Room),
                Cap::Debt => balancing.set_credit(CreditCap::Debt),
            }
        }
        Some(balancing)
    }
}

/// What was moved, in minor units, as the outcome of a request with terms tells it.
pub fn moved_minor(told: &proto::TermsOutcome) -> String {
    if told.moved_wide.is_empty() { told.moved_minor.to_string() } else { told.moved_wide.clone() }
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
        let require = ["debit.posted>=1", "debit.posted<=2", "credit.version=3"];
        let require = RequireArgs { require: require.map(|r| parse(r).expect("one")).to_vec() };
        let both = BalancingArgs { up_to: vec![Cap::Balance, Cap::Room], min: Some("0".into()) };
        let terms = terms(&both, &require).expect("terms");
        let range = Range { at_least: "1".into(), at_most: "2".into(), ..Default::default() };
        assert_eq!(terms.debit.as_ref().expect("set").posted, Some(range));
        assert_eq!(terms.credit.as_ref().expect("set").version, 3);
        let balancing = terms.balancing.as_ref().expect("set");
        assert_eq!((balancing.debit(), balancing.credit()), (DebitCap::Balance, CreditCap::Room));
        assert!(super::terms(&BalancingArgs::default(), &RequireArgs::default()).is_none());
    }
}
