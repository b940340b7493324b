//! After a run: does the ledger agree with what it told us? Conservation always; its counters
//! when nobody else writes; with `--check` every account's balance.

use crate::generator::AccountIds;
use crate::ledger::{Ledger, Status, Total, progress_bar};
use crate::population::Population;
use crate::tally::Whole;
use anyhow::ensure;
use ducat_actors::handle::BATCH_MAX;
use serde::{Deserialize, Serialize};

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// `true` held, `false` did not, absent: could not be told.
    pub held: Option<bool>,
    /// The figures.
    pub detail: String,
}

impl Check {
    /// What was checked, and how it ended.
    pub fn new(name: &str, held: Option<bool>, detail: String) -> Self {
        Self { name: name.into(), held, detail }
    }
}

/// Internal and external sums of each currency must cancel out.
pub fn conservation(status: &Status) -> Check {
    let off: Vec<_> = status.totals.iter().filter(|t| !cancels(t)).collect();
    let show =
        |t: &Total| format!("{}: internal {} external {}", t.currency, t.internal, t.external);
    let detail = status.totals.iter().map(show).collect::<Vec<_>>().join("; ");
    let told = !status.totals.is_empty();
    Check::new("money is conserved", told.then_some(off.is_empty()), detail)
}

/// Whether one sum is the other's negative, digit for digit.
fn cancels(total: &Total) -> bool {
    let split = |text: &str| {
        let negative = text.starts_with('-');
        let digits = text.trim_start_matches('-').to_owned();
        let zero = digits.bytes().all(|b| b == b'0' || b == b'.');
        (negative && !zero, zero, digits)
    };
    let (a, b) = (split(&total.internal), split(&total.external));
    !a.2.is_empty() && a.2 == b.2 && (a.1 || a.0 != b.0)
}

/// The ledger's counters must have grown by what it answered, when this run alone wrote.
pub fn counters(before: &Status, after: &Status, whole: &Whole) -> Check {
    let name = "the ledger's counters agree with the answers";
    let grew = [
        after.posted - before.posted,
        after.refused - before.refused,
        after.remembered_ids.saturating_sub(before.remembered_ids),
    ];
    let told = [whole.posted, whole.refused, whole.posted + whole.refused];
    let detail = format!(
        "posted {} of {}, refused {} of {}, remembered {} of {}",
        grew[0], told[0], grew[1], told[1], grew[2], told[2]
    );
    // A refused reuse of an id may count as refused or not; nothing here sends any.
    let certain = whole.in_doubt == 0 && whole.unanswered_requests == 0 && whole.id_reused == 0;
    Check::new(name, certain.then_some(grew == told), detail)
}

/// Every account's balance must be what it began with and gained.
pub async fn balances(
    ledger: &Ledger,
    accounts: AccountIds,
    population: &Population,
    gains: &[i64],
    whole: &Whole,
) -> anyhow::Result<Check> {
    let name = "every balance is the sum of the outcomes";
    if whole.in_doubt > 0 || whole.unanswered_requests > 0 {
        let detail = format!("{} transfers have an unknown fate", whole.in_doubt);
        return Ok(Check::new(name, None, detail));
    }
    let bar = progress_bar("checking balances", accounts.count);
    let (mut wrong, mut first) = (0u64, None);
    for from in (0..accounts.count).step_by(BATCH_MAX) {
        let range = from..(from + BATCH_MAX as u64).min(accounts.count);
        let found = ledger.balances(accounts, range.clone()).await?;
        ensure!(found.len() as u64 == range.end - range.start, "balances are missing");
        for (index, posted) in range.zip(found) {
            let expected = population.begins(index) + i128::from(gains[index as usize]);
            if posted != expected {
                wrong += 1;
                first.get_or_insert_with(|| {
                    format!("; account {}: {posted}, not {expected}", accounts.id(index))
                });
            }
        }
        bar.set_position(from);
    }
    bar.finish_and_clear();
    let detail = format!("{wrong} of {} differ{}", accounts.count, first.unwrap_or_default());
    Ok(Check::new(name, Some(wrong == 0), detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(internal: &str, external: &str) -> Total {
        Total { currency: "GBP".into(), internal: internal.into(), external: external.into() }
    }

    #[test]
    fn sums_cancel_digit_for_digit() {
        for (internal, external, held) in [
            ("12.34", "-12.34", true),
            ("-12.34", "12.34", true),
            ("0.00", "0.00", true),
            ("0", "-0", true),
            ("12.34", "12.34", false),
            ("12.34", "-12.35", false),
            ("-1", "-1", false),
            ("", "", false),
        ] {
            let status = Status { totals: vec![total(internal, external)], ..Status::default() };
            assert_eq!(conservation(&status).held, Some(held), "{internal} {external}");
        }
        assert_eq!(conservation(&Status::default()).held, None);
    }

    #[test]
    fn counters_are_held_against_the_answers() {
        let before = Status { posted: 5, refused: 1, remembered_ids: 6, ..Status::default() };
        let after = Status { posted: 15, refused: 3, remembered_ids: 18, ..Status::default() };
        let whole = Whole { posted: 10, refused: 2, repeats: 4, ..Whole::default() };
        assert_eq!(counters(&before, &after, &whole).held, Some(true));
        let lost = Status { posted: 14, ..after.clone() };
        assert_eq!(counters(&before, &lost, &whole).held, Some(false));
        let doubt = Whole { in_doubt: 1, ..whole };
        assert_eq!(counters(&before, &after, &doubt).held, None);
    }
}
