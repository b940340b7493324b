//! The journal of a run added up once more, in the books of [`ducat_checker`], which were written
//! apart from the ledger: every figure that an event tells must be what the events before it come to,
//! those of refunds, balanced transfers and fees too. Which of them a rule should have refused is not
//! asked: the checker knows that only of requests that it is given. What clients were told is held
//! against the journal by [`crate::history`].

use crate::check::Check;
use anyhow::Context;
use ducat_api::compose;
use ducat_checker::{History, Options, Report, check_journal};
use ducat_engine::ids::ShardId;
use std::path::Path;

/// Reads the journal below `data`, which no server holds any more.
pub fn check(data: &Path) -> anyhow::Result<Check> {
    let opened = compose::open_existing_with(data, crate::child::opening(data)?);
    let opened = opened.context("open the journal after the run")?;
    // Nobody's requests are given.
    let options = Options { complete: false, ..Options::default() };
    let report = check_journal(&History::new(), &*opened.journal, ShardId(0), options)
        .context("add the journal up once more")?;
    Ok(verdict(&report))
}

fn verdict(report: &Report) -> Check {
    let fault = report.faults.first().map(|fault| format!("; {fault}")).unwrap_or_default();
    Check {
        name: "every figure is what second books come to".into(),
        held: Some(report.is_clean()),
        detail: format!("{} events{fault}", report.events),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_checker::{Checker, Event};
    use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
    use ducat_engine::money::CurrencyId;
    use ducat_engine::record::{Posted, PostedSide, Record};
    use ducat_engine::transfer::AccountSpec;

    /// Of two payments between the same accounts, the second tells figures as if the first had not been.
    #[test]
    fn figures_that_do_not_add_up_are_found() {
        let open = |id| {
            Record::AccountOpened(AccountSpec {
                id: AccountId::new(id).expect("not zero"),
                currency: CurrencyId(826),
                overdraft_limit: 0,
                external: id == 1,
            })
        };
        let posted = |id: u128, back: u64, total: i128| {
            let side = |posted: i128| PostedSide { back, posted, room: 0 };
            Record::Posted(Posted {
                id: TransferId::new(id).expect("not zero"),
                debit: Slot(0),
                credit: Slot(1),
                amount: 5,
                debit_side: side(-total),
                credit_side: side(total),
            })
        };
        for (second, held) in [(posted(10, 1, 10), true), (posted(10, 1, 5), false)] {
            let events = [open(1), open(2), posted(9, 0, 5), second];
            let (history, options) =
                (History::new(), Options { complete: false, ..Options::default() });
            let mut checker = Checker::new(&history, options).expect("nothing to read");
            for (record, lsn) in events.into_iter().zip(1..) {
                checker.event(Event { lsn: Lsn(lsn), time_ns: lsn, record }).expect("taken");
            }
            let check = verdict(&checker.finish().expect("taken"));
            assert_eq!(check.held, Some(held), "{}", check.detail);
        }
    }
}
