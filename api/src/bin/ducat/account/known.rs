//! What is known of accounts beside their money: `ducat account set`, `status` and `history`,
//! and the options by which `list` finds accounts.

use super::print::{accounts_text, details_text, kind_name, status_name};
use crate::Global;
use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::pages::{self, Pages};
use crate::watch::condition_text;
use crate::{net, output};
use clap::Args;
use ducat_api::proto::{self, account_event::Event};
use ducat_engine::ids::AccountId;
use serde::Serialize;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What an account is opened with.
#[derive(Args, Debug)]
pub struct ProfileArgs {
    /// What it is in bookkeeping: asset, liability, equity, income or expense.
    #[arg(long, value_parser = kind)]
    pub kind: Option<proto::AccountKind>,
    /// Whose it is: your id of a customer.
    #[arg(long, value_name = "TEXT")]
    pub owner: Option<String>,
    /// What people call it.
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// A key of its metadata and its value; may be given again.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub meta: Vec<(String, String)>,
}

/// Options of `account set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The account's id.
    id: AccountId,
    /// asset, liability, equity, income or expense; none takes it away.
    #[arg(long, value_parser = kind_or_none)]
    kind: Option<proto::AccountKind>,
    /// Whose it is; an empty text takes it away.
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// What people call it; an empty text takes it away.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// A key of its metadata and its new value; may be given again.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// A key of its metadata that goes; may be given again.
    #[arg(long, value_name = "KEY")]
    remove_meta: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Options of `account status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The account's id.
    id: AccountId,
    /// active, debits-blocked, credits-blocked, frozen or closed.
    #[arg(value_parser = account_status)]
    status: proto::AccountStatus,
    /// Why; kept with the account and in its history.
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Options of `account history`.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The account's id.
    id: AccountId,
    /// The most events to list; 0 for all.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,
}

/// Options of `account limits`.
#[derive(Args, Debug)]
pub struct LimitsArgs {
    /// The account's id.
    id: AccountId,
    /// How far below zero it may go; none for not at all.
    #[arg(long, value_name = "AMOUNT")]
    overdraft: Option<String>,
    /// The lowest balance it may have; none takes it away.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    floor: Option<String>,
    /// The highest balance it may have; none takes it away.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    ceiling: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Which accounts are listed.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// Of this owner; an empty text for nobody's.
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Of this kind; none for accounts without one.
    #[arg(long, value_parser = kind_or_none)]
    kind: Option<proto::AccountKind>,
    /// In this currency.
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Of this status.
    #[arg(long, value_parser = account_status)]
    status: Option<proto::AccountStatus>,
    /// Standing for the world outside (true), or not (false).
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    external: Option<bool>,
    /// With a label that begins so.
    #[arg(long, value_name = "TEXT")]
    label_prefix: Option<String>,
    /// With this value under this key of the metadata; may be given again.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
}

impl FilterArgs {
    /// The filter to send; `None` for all accounts.
    pub fn into_filter(self) -> Option<proto::AccountFilter> {
        let filter = proto::AccountFilter {
            owner: self.owner,
            kind: self.kind.map(|kind| kind as i32),
            currency: self.currency.unwrap_or_default(),
            status: self.status.map(|status| status as i32),
            external: self.external,
            label_prefix: self.label_prefix.unwrap_or_default(),
            metadata: self.meta.into_iter().collect(),
        };
        (filter != proto::AccountFilter::default()).then_some(filter)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "a key of metadata and its value are written KEY=VALUE".to_owned())
}

const KINDS: [proto::AccountKind; 5] = [
    proto::AccountKind::Asset,
    proto::AccountKind::Liability,
    proto::AccountKind::Equity,
    proto::AccountKind::Income,
    proto::AccountKind::Expense,
];

fn kind(text: &str) -> Result<proto::AccountKind, String> {
    let known = KINDS.into_iter().find(|kind| kind_name(*kind) == Some(text));
    known.ok_or_else(|| "kinds are asset, liability, equity, income and expense".to_owned())
}

fn kind_or_none(text: &str) -> Result<proto::AccountKind, String> {
    if text == "none" { Ok(proto::AccountKind::Unspecified) } else { kind(text) }
}

fn account_status(text: &str) -> Result<proto::AccountStatus, String> {
    let known = (0..).map_while(|number| proto::AccountStatus::try_from(number).ok());
    let status = known.into_iter().find(|status| status_name(*status) == text);
    status.ok_or_else(|| {
        "statuses are active, debits-blocked, credits-blocked, frozen and closed".to_owned()
    })
}

/// Prints an account as it is after a change, or as it would be.
fn print_changed(
    global: &Global,
    account: Option<proto::Account>,
    dry: DryRunArg,
    dry_run_lsn: u64,
) -> Done {
    dry.check(dry_run_lsn > 0)?;
    let account = account.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an account; see its log")
    })?;
    output::print(&accounts_text(std::slice::from_ref(&account), global.json)?)?;
    if !global.json {
        details_text(&account).map_or(Ok(()), |text| output::print(&text))?;
    }
    dry.tell(dry_run_lsn);
    Ok(Exit::Ok)
}

/// Runs `account set`.
pub async fn set(global: &Global, args: SetArgs) -> Done {
    let request = proto::UpdateAccountRequest {
        id: args.id.low(),
        id_high: args.id.high(),
        kind: args.kind.map(|kind| kind as i32),
        owner: args.owner,
        label: args.label,
        set_metadata: args.meta.into_iter().collect(),
        remove_metadata: args.remove_meta,
        dry_run: args.dry_run.dry_run,
    };
    let mut client = net::ledger(global).await?;
    let response = client.update_account(request).await.map_err(|s| net::failed(&s))?;
    let response = response.into_inner();
    print_changed(global, response.account, args.dry_run, response.dry_run_lsn)
}

/// Runs `account status`.
pub async fn status(global: &Global, args: StatusArgs) -> Done {
    give(global, args.id, args.status, args.reason, args.dry_run).await
}

/// Gives an account a status.
pub async fn give(
    global: &Global,
    id: AccountId,
    status: proto::AccountStatus,
    reason: String,
    dry: DryRunArg,
) -> Done {
    let request = proto::SetAccountStatusRequest {
        id: id.low(),
        id_high: id.high(),
        status: status as i32,
        reason,
        dry_run: dry.dry_run,
    };
    let mut client = net::ledger(global).await?;
    let response = client.set_account_status(request).await.map_err(|s| net::failed(&s))?;
    let response = response.into_inner();
    print_changed(global, response.account, dry, response.dry_run_lsn)
}

/// Runs `account limits`.
pub async fn limits(global: &Global, args: LimitsArgs) -> Done {
    let text = |text: Option<String>| text.map(|t| if t == "none" { String::new() } else { t });
    let request = proto::SetAccountLimitsRequest {
        id: args.id.low(),
        id_high: args.id.high(),
        overdraft_limit: text(args.overdraft),
        floor: text(args.floor),
        ceiling: text(args.ceiling),
        dry_run: args.dry_run.dry_run,
    };
    let mut client = net::ledger(global).await?;
    let response = client.set_account_limits(request).await.map_err(|s| net::failed(&s))?;
    let response = response.into_inner();
    print_changed(global, response.account, args.dry_run, response.dry_run_lsn)
}

/// Runs `account history`.
pub async fn history(global: &Global, args: HistoryArgs) -> Done {
    let HistoryArgs { id, limit } = args;
    let mut client = net::ledger(global).await?;
    let mut pages = Pages::of(limit, 1000);
    let mut events = Vec::new();
    while let Some((page_size, from)) = pages.next_page() {
        let cursor = from.unwrap_or_default();
        let (low, high) = (id.low(), id.high());
        let request =
            proto::ListAccountHistoryRequest { id: low, id_high: high, page_size, cursor };
        let response = client.list_account_history(request).await;
        let response = response.map_err(|s| net::failed(&s))?.into_inner();
        pages.came(response.events.len(), pages::cursor(response.next_cursor));
        events.extend(response.events);
        if (global.json || pages.are_over()) && (!events.is_empty() || !global.json) {
            output::print(&history_text(id, &events, global.json)?)?;
            events.clear();
        }
    }
    if pages.follow() {
        eprintln!("ducat: older events follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}

/// A secret value as scripts read it.
#[derive(Serialize)]
struct RevealedLine<'a> {
    account: String,
    key: &'a str,
    value: &'a str,
}

/// Prints a secret value, alone, so that it can be piped on.
pub async fn reveal(global: &Global, id: AccountId, key: String) -> Done {
    let mut client = net::ledger(global).await?;
    let request =
        proto::RevealMetadataRequest { id: id.low(), id_high: id.high(), key: key.clone() };
    let response = client.reveal_metadata(request).await.map_err(|s| net::failed(&s))?;
    let value = Zeroizing::new(response.into_inner().value);
    if global.json {
        let line = RevealedLine { account: id.to_string(), key: &key, value: &value };
        output::print(&Zeroizing::new(output::json(&line)?))?;
    } else {
        output::print(&value)?;
    }
    Ok(Exit::Ok)
}

/// An event of a history as scripts read it; what it did not change is left out.
#[derive(Serialize, Default)]
struct HistoryLine<'a> {
    account: String,
    lsn: u64,
    time: String,
    time_ns: u64,
    /// `opened`, `status`, `profile`, `limits`, `watch-added` or `watch-removed`.
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft_limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// `none` where it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    removed_metadata: &'a [String],
    /// The watch that was defined or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl<'a> HistoryLine<'a> {
    fn new(account: AccountId, event: &'a proto::AccountEvent) -> Self {
        let line = Self {
            account: account.to_string(),
            lsn: event.lsn,
            time: output::time(event.time_ns),
            time_ns: event.time_ns,
            ..Self::default()
        };
        match &event.event {
            Some(Event::Opened(opened)) => Self {
                event: "opened",
                currency: Some(&opened.currency),
                external: Some(opened.external),
                overdraft_limit: some(&opened.overdraft_limit),
                floor: some(&opened.floor),
                ceiling: some(&opened.ceiling),
                kind: kind_name(opened.kind()),
                owner: some(&opened.owner),
                label: some(&opened.label),
                metadata: Some(&opened.metadata).filter(|metadata| !metadata.is_empty()),
                ..line
            },
            Some(Event::Status(change)) => Self {
                event: "status",
                status: Some(status_name(change.status())),
                reason: some(&change.reason),
                ..line
            },
            Some(Event::Profile(change)) => Self {
                event: "profile",
                kind: change.kind.map(|_| kind_name(change.kind()).unwrap_or("none")),
                owner: change.owner.as_deref(),
                label: change.label.as_deref(),
                metadata: Some(&change.set_metadata).filter(|metadata| !metadata.is_empty()),
                removed_metadata: &change.removed_metadata,
                ..line
            },
            Some(Event::Limits(limits)) => Self {
                event: "limits",
                overdraft_limit: some(&limits.overdraft_limit),
                floor: some(&limits.floor),
                ceiling: some(&limits.ceiling),
                ..line
            },
            Some(Event::Watch(change)) => {
                let condition = change.condition.as_ref();
                Self {
                    event: if condition.is_some() { "watch-added" } else { "watch-removed" },
                    watch: some(&change.name),
                    condition: condition.map(|condition| condition_text(Some(condition))),
                    ..line
                }
            }
            // Of a server that knows more than this build.
            None => Self { event: "unknown", ..line },
        }
    }

    /// What happened, for people.
    fn text(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.currency.map(str::to_owned));
        parts.extend(self.external.filter(|external| *external).map(|_| "external".to_owned()));
        parts.extend(self.overdraft_limit.map(|limit| format!("overdraft {limit}")));
        parts.extend(self.floor.map(|floor| format!("floor {floor}")));
        parts.extend(self.ceiling.map(|ceiling| format!("ceiling {ceiling}")));
        parts.extend(self.status.map(str::to_owned));
        parts.extend(self.watch.map(str::to_owned));
        parts.extend(self.condition.clone());
        parts.extend(self.reason.map(|reason| format!("because: {reason}")));
        parts.extend(self.kind.map(|kind| format!("kind {kind}")));
        parts.extend(self.owner.map(|owner| format!("owner '{owner}'")));
        parts.extend(self.label.map(|label| format!("label '{label}'")));
        let metadata = self.metadata.into_iter().flatten();
        parts.extend(metadata.map(|(key, value)| format!("{key} = '{value}'")));
        parts.extend(self.removed_metadata.iter().map(|key| format!("{key} removed")));
        parts.join(", ")
    }
}

/// A history as a table or as JSON lines.
fn history_text(
    account: AccountId,
    events: &[proto::AccountEvent],
    json: bool,
) -> Result<String, Failure> {
    let lines: Vec<_> = events.iter().map(|event| HistoryLine::new(account, event)).collect();
    if json {
        let lines: Result<Vec<_>, _> = lines.iter().map(output::json).collect();
        return Ok(lines?.join("\n"));
    }
    let row = |line: HistoryLine<'_>| {
        vec![line.lsn.to_string(), line.time.clone(), line.event.to_owned(), line.text()]
    };
    let rows = lines.into_iter().map(row).collect();
    Ok(output::table(&["lsn", "time", "event", "what"], &[0], rows))
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
