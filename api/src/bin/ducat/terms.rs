//! Terms on the command line: `--up-to`, `--min` and `--require`.

use clap::Args;
use ducat_api::proto::{self, Terms};
use ducat_api::texts::{self, Cap, Requirement};

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

/// The terms that the command line stands for; `None` for none.
pub fn terms(balancing: &BalancingArgs, require: &RequireArgs) -> Option<Box<Terms>> {
    let min = balancing.min.as_deref().unwrap_or_default();
    texts::terms(&balancing.up_to, min, &require.require)
}

/// What was moved, in minor units, as the outcome of a request with terms tells it.
pub fn moved_minor(told: &proto::TermsOutcome) -> String {
    if told.moved_wide.is_empty() { told.moved_minor.to_string() } else { told.moved_wide.clone() }
}
