//! `ducat account entries` and `ducat account balance`: an account's past, from a running server.

use crate::exit::{Done, Exit, Failure};
use crate::moment::At;
use crate::pages::{self, Pages};
use crate::{Global, moment, net, output};
use clap::{Args, ValueEnum};
use ducat_api::proto::get_balance_at_request as balance_request;
use ducat_api::{day, proto};
use ducat_engine::ids::AccountId;
use ducat_engine::note::Day;
use ducat_engine::transfer::TransferKind;
use serde::Serialize;

/// Options of `account entries`.
#[derive(Args, Debug)]
#[command(after_help = "\
A moment is an LSN or a time. Both bounds are part of what is listed.

Examples:
  ducat account entries 2                                   # the newest hundred
  ducat account entries 2 --from 5001 --to 9000 --limit 0   # between two LSNs
  ducat account entries 2 --from 2026-01-01T00:00:00Z --to 2026-01-31T23:59:59.999999999Z \\
        --oldest-first --limit 0 --json                     # the statement of January
  ducat account entries 2 --by value --value-from 2026-01-01 --value-to 2026-01-31 --limit 0
                                                            # January by value date")]
pub struct EntriesArgs {
    /// The account's id.
    id: AccountId,
    /// The most entries to list; 0 for all.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,
    /// From this moment on: an LSN, or a time (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = moment::at)]
    from: Option<At>,
    /// Up to this moment: an LSN, or a time (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = moment::at)]
    to: Option<At>,
    /// The oldest first instead of the newest.
    #[arg(long)]
    oldest_first: bool,
    /// In the order in which they were booked, or in that of their value dates. By value, each page
    /// reads all of the account's entries between the other bounds.
    #[arg(long, value_enum, default_value_t = Order::Booking)]
    by: Order,
    /// From this value date on, such as 2026-01-01.
    #[arg(long, value_name = "DATE", value_parser = crate::note::parse)]
    value_from: Option<Day>,
    /// Up to this value date.
    #[arg(long, value_name = "DATE", value_parser = crate::note::parse)]
    value_to: Option<Day>,
}

/// In which order entries are listed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// By the place of their decision.
    Booking,
    /// By value date.
    Value,
}

/// Options of `account balance`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ducat account balance 2                             # now
  ducat account balance 2 --at 5000                   # right after event 5000
  ducat account balance 2 --at 2026-01-31T23:59:59Z   # after the last event decided by then
  ducat account balance 2 --value-date 2026-01-31     # of the entries of that value date or before
  ducat account balance 2 --value-date 2026-01-31 --at 5000   # of those that event 5000 knew of")]
pub struct BalanceArgs {
    /// The account's id.
    id: AccountId,
    /// The moment: an LSN, or a time (RFC 3339). Now when absent.
    #[arg(long, value_name = "MOMENT", value_parser = moment::at)]
    at: Option<At>,
    /// By value date: only entries of this day or an earlier one count, as they were known at the
    /// moment.
    #[arg(long, value_name = "DATE", value_parser = crate::note::parse)]
    value_date: Option<Day>,
}

/// An entry as scripts read it.
#[derive(Serialize)]
struct EntryLine<'a> {
    account: String,
    lsn: u64,
    time: String,
    time_ns: u64,
    transfer: String,
    counterparty: String,
    amount: &'a str,
    balance_after: &'a str,
    currency: &'a str,
    kind: &'static str,
    value_date: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reference: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
}

/// A balance as scripts read it.
#[derive(Serialize)]
struct BalanceLine<'a> {
    account: String,
    lsn: u64,
    posted: String,
    currency: String,
    posted_minor: String,
    entry_lsn: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    value_date: &'a str,
}

/// Runs `account entries`.
pub async fn entries(global: &Global, args: EntriesArgs) -> Done {
    let EntriesArgs { id, limit, from, to, oldest_first, by, value_from, value_to } = args;
    if by == Order::Booking && (value_from.is_some() || value_to.is_some()) {
        return Err(Failure::usage("--value-from and --value-to need --by value"));
    }
    let (from_lsn, from_time_ns) = halves(from)?;
    let (to_lsn, to_time_ns) = halves(to)?;
    let mut request = proto::ListEntriesRequest {
        id: id.low(),
        id_high: id.high(),
        from_lsn,
        from_time_ns,
        to_lsn,
        to_time_ns,
        oldest_first,
        by_value: by == Order::Value,
        from_value_date: value_from.map(day::text).unwrap_or_default(),
        to_value_date: value_to.map(day::text).unwrap_or_default(),
        ..proto::ListEntriesRequest::default()
    };
    let mut client = net::ledger(global).await?;
    let mut pages = Pages::of(limit, 1000);
    let mut entries = Vec::new();
    while let Some((page_size, from)) = pages.next_page() {
        request.page_size = page_size;
        request.cursor = from.unwrap_or_default();
        let response = client.list_entries(request.clone()).await;
        let response = response.map_err(|s| net::failed(&s))?.into_inner();
        pages.came(response.entries.len(), pages::cursor(response.next_cursor));
        entries.extend(response.entries);
        if (global.json || pages.are_over()) && (!entries.is_empty() || !global.json) {
            let text = entries_text(id, &entries, &response.currency, by, global.json)?;
            output::print(&text)?;
            entries.clear();
        }
    }
    if pages.follow() {
        let follow = if oldest_first { "newer" } else { "older" };
        eprintln!("ducat: {follow} entries follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}

/// A bound as the request has it. Zero would be none at all there.
fn halves(bound: Option<At>) -> Result<(u64, u64), Failure> {
    match bound {
        None => Ok((0, 0)),
        Some(At::Lsn(0)) => Err(Failure::usage("the first LSN is 1; leave a bound out for none")),
        Some(At::Lsn(lsn)) => Ok((lsn, 0)),
        // Nothing was decided in the first nanosecond of 1970 either.
        Some(At::Time(time_ns)) => Ok((0, time_ns.max(1))),
    }
}

/// Runs `account balance`.
pub async fn balance(global: &Global, args: &BalanceArgs) -> Done {
    let at = match args.at {
        Some(At::Lsn(lsn)) => balance_request::At::Lsn(lsn),
        Some(At::Time(time_ns)) => balance_request::At::TimeNs(time_ns),
        // What is still to come is now.
        None => balance_request::At::TimeNs(u64::MAX),
    };
    let (id, id_high, at) = (args.id.low(), args.id.high(), Some(at));
    let value_date = args.value_date.map(day::text).unwrap_or_default();
    let request = proto::GetBalanceAtRequest { id, id_high, at, value_date };
    let mut client = net::ledger(global).await?;
    let response = client.get_balance_at(request).await.map_err(|s| net::failed(&s))?;
    let response = response.into_inner();
    check_valued(args.value_date, &response.value_date)?;
    output::print(&balance_text(&response, global.json)?)?;
    Ok(Exit::Ok)
}

/// Fails where a value date was asked for and the answer is of none: from a server of before there were
/// balances by value date.
pub fn check_valued(asked: Option<Day>, told: &str) -> Result<(), Failure> {
    if asked.is_some() && told.is_empty() {
        let text = "this server knows no balances by value date: its answer is by booking";
        return Err(Failure::new(Exit::Internal, text));
    }
    Ok(())
}

fn balance_text(balance: &proto::GetBalanceAtResponse, json: bool) -> Result<String, Failure> {
    let account = output::account_id(balance.id_high, balance.id);
    if json {
        return output::json(&BalanceLine {
            account,
            lsn: balance.lsn,
            posted: balance.posted.clone(),
            currency: balance.currency.clone(),
            posted_minor: balance.posted_minor.clone(),
            entry_lsn: balance.entry_lsn,
            value_date: &balance.value_date,
        });
    }
    let (posted, currency, lsn) = (&balance.posted, &balance.currency, balance.lsn);
    if !balance.value_date.is_empty() {
        let (day, last) = (&balance.value_date, balance.entry_lsn);
        let last = if last == 0 {
            "no entry".to_owned()
        } else {
            format!("the last booked at LSN {last}")
        };
        return Ok(format!(
            "account {account} had {posted} {currency} by value date {day}, as known at LSN {lsn}, {last}"
        ));
    }
    let last = match balance.entry_lsn {
        0 => "without entries".to_owned(),
        lsn => format!("last entry at LSN {lsn}"),
    };
    Ok(format!("account {account} had {posted} {currency} at LSN {lsn}, {last}"))
}

/// Entries as a table or as JSON lines.
fn entries_text(
    account: AccountId,
    entries: &[proto::Entry],
    currency: &str,
    by: Order,
    json: bool,
) -> Result<String, Failure> {
    let nothing = proto::Note::default();
    if json {
        let line = |e: &proto::Entry| {
            output::json(&EntryLine {
                account: account.to_string(),
                lsn: e.lsn,
                time: output::time(e.time_ns),
                time_ns: e.time_ns,
                transfer: output::transfer_id(e.transfer_id_high, e.transfer_id),
                counterparty: output::account_id(e.counterparty_high, e.counterparty),
                amount: &e.amount,
                balance_after: &e.balance_after,
                currency,
                kind: kind_name(e.kind),
                value_date: &e.value_date,
                reference: &e.note.as_ref().unwrap_or(&nothing).reference,
                description: &e.note.as_ref().unwrap_or(&nothing).description,
            })
        };
        let lines: Result<Vec<_>, _> = entries.iter().map(line).collect();
        return Ok(lines?.join("\n"));
    }
    if by == Order::Value {
        return Ok(by_value_text(entries, currency));
    }
    let header = ["lsn", "time", "amount", "balance", "counterparty", "transfer"];
    let rows = entries
        .iter()
        .map(|e| {
            vec![
                e.lsn.to_string(),
                output::time(e.time_ns),
                format!("{} {currency}", e.amount),
                e.balance_after.clone(),
                output::account_id(e.counterparty_high, e.counterparty),
                output::transfer_id(e.transfer_id_high, e.transfer_id),
            ]
        })
        .collect();
    Ok(output::table(&header, &[0, 2, 3, 4], rows))
}

/// Entries in the order of value dates, as a table.
fn by_value_text(entries: &[proto::Entry], currency: &str) -> String {
    let header =
        ["value date", "lsn", "amount", "kind", "counterparty", "reference", "description"];
    let nothing = proto::Note::default();
    let row = |e: &proto::Entry| {
        let note = e.note.as_ref().unwrap_or(&nothing);
        vec![
            e.value_date.clone(),
            e.lsn.to_string(),
            format!("{} {currency}", e.amount),
            kind_name(e.kind).to_owned(),
            output::account_id(e.counterparty_high, e.counterparty),
            note.reference.clone(),
            note.description.clone(),
        ]
    };
    output::table(&header, &[1, 2, 4], entries.iter().map(row).collect())
}

/// What an entry is for, in a word.
/// The name of a kind by its number on the wire.
pub fn kind_name(number: i32) -> &'static str {
    let kind = u8::try_from(number).ok().and_then(TransferKind::from_number);
    kind.map_or("unknown", TransferKind::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_print_both_ways() {
        let entry = proto::Entry {
            lsn: 9,
            time_ns: 1_735_689_600_000_000_000,
            transfer_id: 77,
            counterparty: 1,
            amount: "12.34".into(),
            balance_after: "12.34".into(),
            kind: 3,
            value_date: "2025-01-02".into(),
            note: Some(proto::Note { reference: "INV-1".into(), ..Default::default() }),
            ..Default::default()
        };
        let account = AccountId::new(2).expect("not zero");
        assert_eq!(
            entries_text(account, std::slice::from_ref(&entry), "GBP", Order::Booking, false)
                .expect("text"),
            "lsn  time                               amount  balance  counterparty  transfer\n  \
             9  2025-01-01T00:00:00.000000000Z  12.34 GBP    12.34             1  77"
        );
        assert_eq!(
            entries_text(account, &[entry], "GBP", Order::Booking, true).expect("text"),
            concat!(
                r#"{"account":"2","lsn":9,"time":"2025-01-01T00:00:00.000000000Z","#,
                r#""time_ns":1735689600000000000,"transfer":"77","counterparty":"1","#,
                r#""amount":"12.34","balance_after":"12.34","currency":"GBP","kind":"payment","#,
                r#""value_date":"2025-01-02","reference":"INV-1"}"#
            )
        );
    }

    #[test]
    fn a_balance_prints_both_ways() {
        let balance = proto::GetBalanceAtResponse {
            id: 2,
            id_high: 0,
            currency: "GBP".into(),
            digits: 2,
            posted: "12.34".into(),
            posted_minor: "1234".into(),
            lsn: 9,
            entry_lsn: 7,
            ..Default::default()
        };
        assert_eq!(
            balance_text(&balance, false).expect("text"),
            "account 2 had 12.34 GBP at LSN 9, last entry at LSN 7"
        );
        let value_date = "2026-01-31".to_owned();
        let valued = proto::GetBalanceAtResponse { value_date, ..balance.clone() };
        assert_eq!(
            balance_text(&valued, false).expect("text"),
            "account 2 had 12.34 GBP by value date 2026-01-31, as known at LSN 9, the last booked at LSN 7"
        );
        assert_eq!(
            balance_text(&balance, true).expect("text"),
            concat!(
                r#"{"account":"2","lsn":9,"posted":"12.34","currency":"GBP","#,
                r#""posted_minor":"1234","entry_lsn":7}"#
            )
        );
    }

    #[test]
    fn a_bound_of_zero_is_wrong_usage() {
        assert_eq!(halves(Some(At::Lsn(0))).expect_err("refused").exit, Exit::Usage);
        assert_eq!(halves(Some(At::Time(0))).expect("a time"), (0, 1));
        assert_eq!(halves(Some(At::Lsn(7))).expect("an LSN"), (7, 0));
    }
}
