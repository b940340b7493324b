//! Moments, statements, balances and sums of the past between the wire and the engine.

use super::cursor;
use crate::proto;
use crate::violation::Violations;
use ducat_actors::history::{
    BalanceAt, BalancesVerified, Moment, StatementQuery, TrialBalance, TrialRow, ValueQuery,
};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::money::{Currencies, CurrencyId, format_minor};
use ducat_engine::note::Day;

/// Which entries are asked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn statement(
    account: AccountId,
    asked: &proto::ListEntriesRequest,
) -> Result<StatementQuery, Violations> {
    no_days(asked)?;
    Ok(StatementQuery {
        from: bound("from", asked.from_lsn, asked.from_time_ns)?,
        to: bound("to", asked.to_lsn, asked.to_time_ns)?,
        oldest_first: asked.oldest_first,
        cursor: cursor::read_entries(account, asked.oldest_first, &asked.cursor)?,
        limit: super::page_size(asked.page_size, 100, 1000)?,
    })
}

/// Which entries are asked for, in the order of value dates.
///
/// # Errors
/// Everything that is wrong with it.
pub fn value_statement(
    account: AccountId,
    asked: &proto::ListEntriesRequest,
) -> Result<ValueQuery, Violations> {
    Ok(ValueQuery {
        from: bound("from", asked.from_lsn, asked.from_time_ns)?,
        to: bound("to", asked.to_lsn, asked.to_time_ns)?,
        from_day: day("from_value_date", &asked.from_value_date)?,
        to_day: day("to_value_date", &asked.to_value_date)?,
        earliest_first: asked.oldest_first,
        cursor: cursor::read_entries_by_value(account, asked.oldest_first, &asked.cursor)?,
        limit: super::page_size(asked.page_size, 100, 1000)?,
    })
}

fn day(field: &'static str, text: &str) -> Result<Option<Day>, Violations> {
    if text.is_empty() {
        return Ok(None);
    }
    let malformed = || Violations::one(field, "VALUE_DATE_MALFORMED", super::notes::not_a_date());
    crate::day::parse(text).map(Some).ok_or_else(malformed)
}

/// That bounds by value date come with the order they are of.
fn no_days(asked: &proto::ListEntriesRequest) -> Result<(), Violations> {
    for (field, text) in
        [("from_value_date", &asked.from_value_date), ("to_value_date", &asked.to_value_date)]
    {
        if !text.is_empty() {
            let sentence = "bounds by value date need `by_value`".to_owned();
            return Err(Violations::one(field, "NOT_BY_VALUE", sentence));
        }
    }
    Ok(())
}

fn bound(name: &'static str, lsn: u64, time_ns: u64) -> Result<Option<Moment>, Violations> {
    match (lsn, time_ns) {
        (0, 0) => Ok(None),
        (lsn, 0) => Ok(Some(Moment::Lsn(Lsn(lsn)))),
        (0, time_ns) => Ok(Some(Moment::Time(time_ns))),
        _ => {
            let sentence = format!("set either {name}_lsn or {name}_time_ns, not both");
            let field = if name == "from" { "from_time_ns" } else { "to_time_ns" };
            Err(Violations::one(field, "MOMENT_TWICE", sentence))
        }
    }
}

/// At what balances are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// By booking, at a moment; at that of now without one.
    Booked(Option<Moment>),
    /// By value date, at the end of a day, as it was known at a moment.
    Valued(Day, Option<Moment>),
}

impl When {
    fn new(day: Option<Day>, moment: Option<Moment>) -> Self {
        day.map_or(Self::Booked(moment), |day| Self::Valued(day, moment))
    }

    /// The value date as an answer tells it.
    fn value_date(self) -> String {
        match self {
            Self::Booked(_) => String::new(),
            Self::Valued(day, _) => crate::day::text(day),
        }
    }
}

/// At what a balance is wanted.
///
/// # Errors
/// One violation, reason `MOMENT_MISSING` or `VALUE_DATE_MALFORMED`.
pub fn balance_when(asked: &proto::GetBalanceAtRequest) -> Result<When, Violations> {
    use proto::get_balance_at_request::At;
    let day = day("value_date", &asked.value_date)?;
    let moment = asked.at.map(|at| match at {
        At::Lsn(lsn) => Moment::Lsn(Lsn(lsn)),
        At::TimeNs(time_ns) => Moment::Time(time_ns),
    });
    if day.is_none() && moment.is_none() {
        let sentence = "a balance is that of a moment: set lsn, time_ns or value_date".to_owned();
        return Err(Violations::one("at", "MOMENT_MISSING", sentence));
    }
    Ok(When::new(day, moment))
}

/// At what a trial balance is wanted.
///
/// # Errors
/// One violation, reason `VALUE_DATE_MALFORMED`.
pub fn trial_when(asked: &proto::GetTrialBalanceRequest) -> Result<When, Violations> {
    use proto::get_trial_balance_request::At;
    let moment = asked.at.map(|at| match at {
        At::Lsn(lsn) => Moment::Lsn(Lsn(lsn)),
        At::TimeNs(time_ns) => Moment::Time(time_ns),
    });
    Ok(When::new(day("value_date", &asked.value_date)?, moment))
}

/// Code and digits; one that is not known would be a fault, and shows as its number.
fn currency(currencies: &Currencies, id: CurrencyId) -> (String, u8) {
    let known = currencies.by_id(id);
    known.map_or_else(|| (format!("#{}", id.0), 0), |currency| (currency.code, currency.digits))
}

/// A balance as a message.
#[must_use]
pub fn balance(at: &BalanceAt, when: When, currencies: &Currencies) -> proto::GetBalanceAtResponse {
    let (currency, digits) = currency(currencies, at.currency);
    proto::GetBalanceAtResponse {
        id: at.account.low(),
        id_high: at.account.high(),
        currency,
        digits: u32::from(digits),
        posted: format_minor(at.posted, digits),
        posted_minor: at.posted.to_string(),
        lsn: at.lsn.0,
        entry_lsn: at.entry_lsn.0,
        value_date: when.value_date(),
    }
}

/// A row of a trial balance as a message.
#[must_use]
pub fn trial_row(row: &TrialRow, currencies: &Currencies) -> proto::TrialBalanceRow {
    let (currency, digits) = currency(currencies, row.currency);
    let text = |minor| format_minor(minor, digits);
    proto::TrialBalanceRow {
        currency,
        internal_debit: text(row.internal.debit),
        internal_credit: text(row.internal.credit),
        external_debit: text(row.external.debit),
        external_credit: text(row.external.credit),
        debit: text(row.internal.debit + row.external.debit),
        credit: text(row.internal.credit + row.external.credit),
    }
}

/// A trial balance as a message.
#[must_use]
pub fn trial_balance(
    trial: &TrialBalance,
    when: When,
    currencies: &Currencies,
) -> proto::GetTrialBalanceResponse {
    proto::GetTrialBalanceResponse {
        lsn: trial.lsn.0,
        accounts: trial.accounts,
        rows: trial.rows.iter().map(|row| trial_row(row, currencies)).collect(),
        value_date: when.value_date(),
    }
}

/// What an audit found, as a message.
#[must_use]
pub fn verified(
    found: &BalancesVerified,
    currencies: &Currencies,
) -> proto::VerifyBalancesResponse {
    let mut writer = super::accounts::Writer::new(currencies);
    let differences = found.differences.iter().map(|difference| proto::BalanceDifference {
        lsn: difference.lsn.0,
        id: difference.account.map_or(0, AccountId::low),
        id_high: difference.account.map_or(0, AccountId::high),
        what: difference.what.clone(),
    });
    proto::VerifyBalancesResponse {
        sound: found.difference_count == 0,
        lsn: found.lsn.0,
        accounts: found.accounts,
        totals: found.totals.iter().map(|total| writer.total(total)).collect(),
        differences: differences.collect(),
        difference_count: found.difference_count,
        overdrawn: found.overdrawn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_lsn_or_a_time_and_not_both() {
        let account = AccountId::new(7).expect("not zero");
        let asked = proto::ListEntriesRequest { from_lsn: 5, to_time_ns: 9, ..Default::default() };
        let query = statement(account, &asked).expect("well-formed");
        assert_eq!((query.from, query.to), (Some(Moment::Lsn(Lsn(5))), Some(Moment::Time(9))));
        assert_eq!((query.limit, query.oldest_first, query.cursor), (100, false, None));
        for (asked, field) in [
            (proto::ListEntriesRequest { from_time_ns: 1, ..asked.clone() }, "from_time_ns"),
            (proto::ListEntriesRequest { to_lsn: 1, ..asked.clone() }, "to_time_ns"),
        ] {
            let error = statement(account, &asked).expect_err("both").into_batch_error();
            assert_eq!(error.reason, "MOMENT_TWICE");
            assert_eq!(error.violations[0].field, field);
        }
        let nothing = proto::GetBalanceAtRequest::default();
        let error = balance_when(&nothing).expect_err("no moment").into_batch_error();
        assert_eq!(error.reason, "MOMENT_MISSING");
        let day = |text: &str| proto::GetBalanceAtRequest {
            value_date: text.to_owned(),
            ..nothing.clone()
        };
        let when = balance_when(&day("1970-01-02")).expect("well-formed");
        assert_eq!(when, When::Valued(Day::new(1).expect("a day"), None));
        let error = balance_when(&day("yesterday")).expect_err("no day").into_batch_error();
        assert_eq!(
            (error.reason, &*error.violations[0].field),
            ("VALUE_DATE_MALFORMED".into(), "value_date")
        );
    }
}
