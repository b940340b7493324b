//! Accounts as they are printed.

use crate::exit::Failure;
use crate::output;
use ducat_api::proto;
use serde::Serialize;
use std::collections::BTreeMap;

/// An account as scripts read it. What is known of it beside its money is left out where nothing
/// is.
#[derive(Serialize)]
struct AccountLine<'a> {
    id: String,
    currency: &'a str,
    status: &'static str,
    external: bool,
    posted: &'a str,
    held: &'a str,
    incoming: &'a str,
    available: Option<&'a str>,
    overdraft_limit: &'a str,
    posted_minor: &'a str,
    opened_lsn: u64,
    last_lsn: u64,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normal_side: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    status_reason: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    status_lsn: u64,
    #[serde(skip_serializing_if = "is_zero")]
    changed_lsn: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    floor: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ceiling: &'a str,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Accounts as a table or as JSON lines. Owner and label are columns where an account has one.
pub fn accounts_text(accounts: &[proto::Account], json: bool) -> Result<String, Failure> {
    if json {
        let lines: Result<Vec<_>, _> =
            accounts.iter().map(|a| output::json(&account_line(a))).collect();
        return Ok(lines?.join("\n"));
    }
    let mut header = vec!["id", "currency", "status", "posted", "held", "available", "overdraft"];
    let (owner, label) = (
        accounts.iter().any(|a| !a.owner.is_empty()),
        accounts.iter().any(|a| !a.label.is_empty()),
    );
    header.extend(owner.then_some("owner"));
    header.extend(label.then_some("label"));
    let rows = accounts
        .iter()
        .map(|a| {
            let status = if a.external { "external" } else { status_name(a.status()) };
            let mut row = vec![
                output::account_id(a.id_high, a.id),
                a.currency.clone(),
                status.to_owned(),
                a.posted.clone(),
                a.held.clone(),
                if a.external { "no limit".to_owned() } else { a.available.clone() },
                if a.external { String::new() } else { a.overdraft_limit.clone() },
            ];
            row.extend(owner.then(|| a.owner.clone()));
            row.extend(label.then(|| a.label.clone()));
            row
        })
        .collect();
    Ok(output::table(&header, &[0, 3, 4, 5, 6], rows))
}

fn account_line(a: &proto::Account) -> AccountLine<'_> {
    AccountLine {
        id: output::account_id(a.id_high, a.id),
        currency: &a.currency,
        status: status_name(a.status()),
        external: a.external,
        posted: &a.posted,
        held: &a.held,
        incoming: &a.incoming,
        available: (!a.external).then_some(a.available.as_str()),
        overdraft_limit: &a.overdraft_limit,
        posted_minor: &a.posted_minor,
        opened_lsn: a.opened_lsn,
        last_lsn: a.last_lsn,
        version: a.version,
        kind: kind_name(a.kind()),
        normal_side: side_name(a.normal_side()),
        owner: &a.owner,
        label: &a.label,
        metadata: &a.metadata,
        status_reason: &a.status_reason,
        status_lsn: a.status_lsn,
        changed_lsn: a.changed_lsn,
        floor: &a.floor,
        ceiling: &a.ceiling,
    }
}

/// What is known of an account beside its money, for people; `None` where nothing is.
pub fn details_text(a: &proto::Account) -> Option<String> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    if a.status_lsn > 0 {
        let reason = if a.status_reason.is_empty() { "no reason given" } else { &a.status_reason };
        row("status", format!("{} since LSN {}: {reason}", status_name(a.status()), a.status_lsn));
    }
    if !a.floor.is_empty() {
        row("floor", a.floor.clone());
    }
    if !a.ceiling.is_empty() {
        row("ceiling", a.ceiling.clone());
    }
    if let (Some(kind), Some(side)) = (kind_name(a.kind()), side_name(a.normal_side())) {
        row("kind", format!("{kind}, grows by {side}s"));
    }
    if !a.owner.is_empty() {
        row("owner", a.owner.clone());
    }
    if !a.label.is_empty() {
        row("label", a.label.clone());
    }
    for (key, value) in &a.metadata {
        row(&format!("meta {key}"), value.clone());
    }
    if rows.is_empty() {
        return None;
    }
    let facts = output::facts(rows.iter().map(|(name, value)| (&**name, value.clone())).collect());
    Some(format!("\naccount {}\n{facts}", output::account_id(a.id_high, a.id)))
}

/// The status as it is printed.
pub fn status_name(status: proto::AccountStatus) -> &'static str {
    match status {
        proto::AccountStatus::Active => "active",
        proto::AccountStatus::Frozen => "frozen",
        proto::AccountStatus::Closed => "closed",
        proto::AccountStatus::DebitsBlocked => "debits-blocked",
        proto::AccountStatus::CreditsBlocked => "credits-blocked",
    }
}

/// The kind as it is printed; `None` where an account has none.
pub fn kind_name(kind: proto::AccountKind) -> Option<&'static str> {
    match kind {
        proto::AccountKind::Unspecified => None,
        proto::AccountKind::Asset => Some("asset"),
        proto::AccountKind::Liability => Some("liability"),
        proto::AccountKind::Equity => Some("equity"),
        proto::AccountKind::Income => Some("income"),
        proto::AccountKind::Expense => Some("expense"),
    }
}

fn side_name(side: proto::NormalSide) -> Option<&'static str> {
    match side {
        proto::NormalSide::Unspecified => None,
        proto::NormalSide::Debit => Some("debit"),
        proto::NormalSide::Credit => Some("credit"),
    }
}
