//! The journal of a run held against the rules of the ledger, written down once more in
//! [`ducat_checker`]: what was given back is never more than what was moved, balanced transfers
//! move what their accounts have, fees are what their schedules say. What clients were told is
//! held against the journal by [`crate::history`].

use crate::check::Check;
use anyhow::Context;
use ducat_api::compose;
use ducat_checker::{History, Options, Report, check_journal};
use ducat_engine::ids::ShardId;
use std::path::Path;

/// Reads the journal below `data`, which no server holds any more.
pub fn check(data: &Path) -> anyhow::Result<Check> {
    let opened = compose::open_existing(data).context("open the journal after the run")?;
    // Nobody's requests are given: events are judged as far as they say themselves what was asked.
    let options = Options { complete: false, ..Options::default() };
    let report = check_journal(&History::new(), &*opened.journal, ShardId(0), options)
        .context("hold the journal against the rules")?;
    Ok(verdict(&report))
}

fn verdict(report: &Report) -> Check {
    let fault = report.faults.first().map(|fault| format!("; {fault}")).unwrap_or_default();
    Check {
        name: "every event is what the rules give".into(),
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

    /// Two empty accounts, and one of them pays what it does not have.
    #[test]
    fn what_no_rule_gives_is_found() {
        let open = |id| {
            Record::AccountOpened(AccountSpec {
                id: AccountId::new(id).expect("not zero"),
                currency: CurrencyId(826),
                overdraft_limit: 0,
                external: false,
            })
        };
        let side = |posted| PostedSide { back: 0, posted, room: 0 };
        let posted = Record::Posted(Posted {
            id: TransferId::new(9).expect("not zero"),
            debit: Slot(0),
            credit: Slot(1),
            amount: 5,
            debit_side: side(-5),
            credit_side: side(5),
        });
        for (events, held) in
            [(vec![open(1), open(2)], true), (vec![open(1), open(2), posted], false)]
        {
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
