//! Events of a journal as people and scripts read them: accounts by the callers' ids, amounts as
//! decimal texts in the currency's digits.

mod audit;
mod driven;
mod fees;
mod holds;
mod message;
mod notes;
mod refunds;
mod watches;

use watches::TriggerLine;

use crate::exit::Failure;
use crate::output;
use ducat_actors::replay::Event;
use ducat_api::convert::watches as to_message;
use ducat_engine::account_event::{AccountEvent, Change, LimitsFrom, Opening};
use ducat_engine::fees::Target;
use ducat_engine::ids::{AccountId, Slot};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{CurrencyId, format_minor};
use ducat_engine::profile::AccountKind;
use ducat_engine::record::{FeeEvent, Party, Posted, Record, Refused};
use ducat_engine::transfer::{AccountSpec, AccountStatus};
use ducat_persistence::vault::fields::shortened;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// An event as scripts read it; a field that it does not have is left out.
#[derive(Serialize, Debug, Default, PartialEq, Eq)]
pub struct EventLine {
    /// Its place.
    pub lsn: u64,
    /// When it was decided.
    pub time: String,
    /// `posted`, `refused`, `account-opened`, `status-changed`, `profile-changed`,
    /// `limits-changed`, `asset-defined`, or of a hold: `held`, `captured`, `voided`, `extended`,
    /// `expired` or `hold-refused`; `refunded`, `reversed` or `refund-refused`; `schedule` or `saga`,
    /// of which `what` says what happened; `fee`, `fee-refused`, `fee-defined`, `fee-attached` or
    /// `fee-detached`; `audit`, of which `access` says who did what.
    pub event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    /// The most that it was asked to move, of a balanced transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<String>,
    /// Whether it was asked for on terms.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    terms: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// Posted balance of the debit account after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    debit_posted: Option<String>,
    /// Posted balance of the credit account after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_posted: Option<String>,
    /// Whether it is linked with the next event.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    linked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digits: Option<u8>,
    /// The hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    /// What was refused: of a hold `hold`, `capture`, `void` or `extend`; `refund` or `reversal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'static str>,
    /// What remains of the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<String>,
    /// Nanoseconds from this event until the hold expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ns: Option<u64>,
    /// The transfer that was refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<String>,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_lsn: Option<u64>,
    /// What was given back of it so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The transfer that a fee is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_of: Option<String>,
    /// A schedule of fees: its number, or when it is defined its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// The user's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What it is, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The day on which it counts, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_date: Option<String>,
    /// Of a transfer, where its accounts do not tell; of an account, `none` where it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    removed_metadata: BTreeSet<String>,
    /// The watch that was defined or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<String>,
    /// When it triggers.
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    /// The watches that it triggers; only a server's feed tells them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    triggered: Vec<TriggerLine>,
    /// What happened to a schedule or a saga; its `id` is the event's.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    /// The transfer or the operation that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// The run of a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    /// The step of a saga, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    /// The attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// Who did what: the texts of an audit event as `ducat audit` exports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Box<ducat_api::audit::Line>>,
    /// Whether the step is being undone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undo: bool,
}

/// A status in words.
pub const fn status_name(status: AccountStatus) -> &'static str {
    status.name()
}

/// A kind in words.
pub const fn kind_name(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Asset => "asset",
        AccountKind::Liability => "liability",
        AccountKind::Equity => "equity",
        AccountKind::Income => "income",
        AccountKind::Expense => "expense",
    }
}

/// Metadata as it is kept, with nothing of sealed values but the names of their keys: nobody reads more of them.
fn for_people(kept: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    kept.iter().map(|(key, value)| (key.clone(), shortened(value).into_owned())).collect()
}

/// Code and digits of a currency.
pub fn currency(ledger: &Ledger, id: CurrencyId) -> (String, u8) {
    let known = ledger.coordinator.currencies().by_id(id);
    known.map_or_else(|| (format!("#{}", id.0), 0), |currency| (currency.code, currency.digits))
}

fn account(ledger: &Ledger, slot: Slot) -> Option<AccountSpec> {
    ledger.view(slot).map(|view| view.spec)
}

/// The accounts an event touches, by their ids.
pub fn accounts(ledger: &Ledger, record: &Record) -> [Option<AccountId>; 2] {
    let of = |slot| account(ledger, slot).map(|spec| spec.id);
    let party = |party: &Party| match party {
        Party::Known { slot, .. } => of(*slot),
        Party::Unknown(id) => Some(*id),
    };
    match record {
        Record::Termed(termed) => accounts(ledger, &termed.record),
        Record::Noted(noted) => accounts(ledger, &noted.record),
        Record::Posted(p) | Record::PostedLinked(p) => [of(p.debit), of(p.credit)],
        Record::Refused(r) | Record::RefusedLinked(r) => [party(&r.debit), party(&r.credit)],
        Record::AccountOpened(spec) => [Some(spec.id), None],
        Record::StatusChanged { slot, .. } => [of(*slot), None],
        Record::Account(event) => match &**event {
            AccountEvent::Opened(opening) => [Some(opening.spec.id), None],
            AccountEvent::Changed { slot, .. } => [of(*slot), None],
        },
        Record::AssetDefined { .. } | Record::Driven(_) | Record::Audit(_) => [None, None],
        Record::Held(_)
        | Record::Captured(_)
        | Record::Voided(_)
        | Record::Extended(_)
        | Record::Expired(_)
        | Record::HoldRefused(_) => holds::accounts(ledger, record),
        Record::Refunded(r) => [of(r.debit), of(r.credit)],
        Record::FeeEvent(event) => match **event {
            FeeEvent::Defined { slot, .. } => [of(slot), None],
            FeeEvent::Attached { target: Target::Account(slot), .. } => [of(slot), None],
            FeeEvent::Attached { .. } => [None, None],
        },
        Record::FeeLeg(leg) => [of(leg.debit), of(leg.credit)],
        Record::RefundRefused(r) => match &r.found {
            Some(found) => [party(&found.debit), party(&found.credit)],
            None => [None, None],
        },
    }
}

impl EventLine {
    /// The event, with names from the ledger as it stands after it.
    pub fn new(ledger: &Ledger, event: &Event<'_>) -> Self {
        let line = Self {
            lsn: event.lsn.0,
            time: output::time(event.time_ns),
            linked: event.record.is_linked(),
            ..Self::default()
        };
        match event.record {
            Record::Noted(noted) => {
                Self::new(ledger, &Event { record: &noted.record, ..*event }).noted(noted)
            }
            Record::Termed(termed) => {
                let plain = Self::new(ledger, &Event { record: &termed.record, ..*event });
                let debit = accounts(ledger, &termed.record)[0];
                let listing = debit.and_then(|id| ledger.coordinator.directory().get(id));
                let digits = listing.map_or(0, |listing| currency(ledger, listing.currency).1);
                let asked = i128::try_from(termed.asked).unwrap_or(i128::MAX);
                let up_to = termed.terms.balancing.map(|_| format_minor(asked, digits));
                Self { up_to, terms: true, ..plain }
            }
            Record::Posted(posted) | Record::PostedLinked(posted) => line.posted(ledger, posted),
            Record::Refused(refused) | Record::RefusedLinked(refused) => {
                line.refused(ledger, refused, accounts(ledger, event.record))
            }
            Record::AccountOpened(spec) => line.opened(ledger, spec),
            Record::Account(event) => match &**event {
                AccountEvent::Opened(Opening { spec, bounds, profile }) => {
                    let (_, digits) = currency(ledger, spec.currency);
                    let bound = |bound: i128| format_minor(bound, digits);
                    let some = |text: &String| Some(text.clone()).filter(|t| !t.is_empty());
                    Self {
                        kind: profile.kind.map(kind_name),
                        owner: some(&profile.owner),
                        label: some(&profile.label),
                        metadata: for_people(&profile.metadata),
                        floor: bounds.floor.map(bound),
                        ceiling: bounds.ceiling.map(bound),
                        ..line.opened(ledger, spec)
                    }
                }
                AccountEvent::Changed { slot, change, .. } => {
                    let spec = account(ledger, *slot);
                    let digits = spec.as_ref().map_or(0, |s| currency(ledger, s.currency).1);
                    let account = spec.map(|spec| spec.id.to_string());
                    Self { account, ..line.changed(change, digits) }
                }
            },
            Record::StatusChanged { slot, status } => Self {
                event: "status-changed",
                account: account(ledger, *slot).map(|spec| spec.id.to_string()),
                status: Some(status_name(*status)),
                ..line
            },
            Record::Driven(event) => line.driven(event),
            Record::Audit(event) => line.audit(event),
            Record::AssetDefined { code, digits } => Self {
                event: "asset-defined",
                currency: Some(code.clone()),
                digits: Some(*digits),
                ..line
            },
            Record::Held(_)
            | Record::Captured(_)
            | Record::Voided(_)
            | Record::Extended(_)
            | Record::Expired(_)
            | Record::HoldRefused(_) => line.of_hold(ledger, event.record),
            Record::FeeEvent(event) => line.fee_event(ledger, event),
            Record::FeeLeg(leg) => line.fee_leg(ledger, leg),
            Record::Refunded(refunded) => line.refunded(ledger, refunded),
            Record::RefundRefused(refused) => {
                line.refund_refused(ledger, refused, accounts(ledger, event.record))
            }
        }
    }

    fn opened(self, ledger: &Ledger, spec: &AccountSpec) -> Self {
        let (code, digits) = currency(ledger, spec.currency);
        let limit = i128::try_from(spec.overdraft_limit).unwrap_or(i128::MAX);
        Self {
            event: "account-opened",
            account: Some(spec.id.to_string()),
            currency: Some(code),
            external: Some(spec.external),
            overdraft_limit: (limit > 0).then(|| format_minor(limit, digits)),
            ..self
        }
    }

    fn changed(self, change: &Change, digits: u8) -> Self {
        match change {
            Change::Limits(limits) | Change::LimitsFrom(LimitsFrom { limits, .. }) => {
                let overdraft = i128::try_from(limits.overdraft_limit).unwrap_or(i128::MAX);
                Self {
                    event: "limits-changed",
                    overdraft_limit: Some(format_minor(overdraft, digits)),
                    floor: limits.bounds.floor.map(|floor| format_minor(floor, digits)),
                    ceiling: limits.bounds.ceiling.map(|ceiling| format_minor(ceiling, digits)),
                    ..self
                }
            }
            Change::Watch(change) => self.of_watch(&to_message::change(change, digits)),
            Change::Status { status, reason } => Self {
                event: "status-changed",
                status: Some(status_name(*status)),
                reason: Some(reason.clone()).filter(|reason| !reason.is_empty()),
                ..self
            },
            Change::Profile(change) => Self {
                event: "profile-changed",
                kind: change.kind.map(|kind| kind.map_or("none", kind_name)),
                owner: change.owner.clone(),
                label: change.label.clone(),
                metadata: for_people(&change.set),
                removed_metadata: change.remove.clone(),
                ..self
            },
        }
    }

    /// What is said of an account beside its money, for people.
    fn profile(&self) -> String {
        let mut text = String::new();
        let mut add = |part: String| text.push_str(&format!(", {part}"));
        self.floor.iter().for_each(|floor| add(format!("floor {floor}")));
        self.ceiling.iter().for_each(|ceiling| add(format!("ceiling {ceiling}")));
        self.kind.into_iter().for_each(|kind| add(format!("kind {kind}")));
        self.owner.iter().for_each(|owner| add(format!("owner '{owner}'")));
        self.label.iter().for_each(|label| add(format!("label '{label}'")));
        self.metadata.iter().for_each(|(key, value)| add(format!("{key} = '{value}'")));
        self.removed_metadata.iter().for_each(|key| add(format!("{key} removed")));
        text
    }

    fn posted(self, ledger: &Ledger, posted: &Posted) -> Self {
        let (debit, credit) = (account(ledger, posted.debit), account(ledger, posted.credit));
        let known = debit.as_ref().map(|spec| currency(ledger, spec.currency));
        let (code, digits) = known.unwrap_or_default();
        let amount = i128::try_from(posted.amount).unwrap_or(i128::MAX);
        Self {
            event: "posted",
            id: Some(posted.id.to_string()),
            debit: debit.map(|spec| spec.id.to_string()),
            credit: credit.map(|spec| spec.id.to_string()),
            amount: Some(format_minor(amount, digits)),
            currency: Some(code),
            debit_posted: Some(format_minor(posted.debit_side.posted, digits)),
            credit_posted: Some(format_minor(posted.credit_side.posted, digits)),
            ..self
        }
    }

    fn refused(
        self,
        ledger: &Ledger,
        refused: &Refused,
        [debit, credit]: [Option<AccountId>; 2],
    ) -> Self {
        let of_account = |party: &Party| match party {
            Party::Known { slot, .. } => account(ledger, *slot).map(|spec| spec.currency),
            Party::Unknown(_) => None,
        };
        let id = refused.currency.or_else(|| of_account(&refused.debit));
        let id = id.or_else(|| of_account(&refused.credit));
        let known = id.map(|id| currency(ledger, id));
        let amount = i128::try_from(refused.amount).unwrap_or(i128::MAX);
        let digits = known.as_ref().map_or(0, |(_, digits)| *digits);
        Self {
            event: "refused",
            id: Some(refused.id.to_string()),
            code: Some(refused.rejection.code()),
            debit: debit.map(|id| id.to_string()),
            credit: credit.map(|id| id.to_string()),
            amount: Some(format_minor(amount, digits)),
            currency: known.map(|(code, _)| code),
            ..self
        }
    }

    /// One line: place, time, what, and the figures.
    pub fn text(&self) -> String {
        let none = String::new();
        let get = |text: &Option<String>| text.as_ref().unwrap_or(&none).clone();
        let what = match self.event {
            "posted" | "refused" => {
                let code = self.code.map(|code| format!(" {code}")).unwrap_or_default();
                let after = match (&self.debit_posted, &self.credit_posted) {
                    (Some(debit), Some(credit)) => format!("  now {debit} and {credit}"),
                    _ => String::new(),
                };
                let up_to = self.up_to.as_ref().filter(|_| self.code.is_none());
                let up_to = up_to.map(|most| format!(" of up to {most}")).unwrap_or_default();
                format!(
                    "{}{code} {}  {} -> {}  {} {}{up_to}{after}",
                    self.event,
                    get(&self.id),
                    get(&self.debit),
                    get(&self.credit),
                    get(&self.amount),
                    get(&self.currency),
                )
            }
            "account-opened" => {
                let external = if self.external == Some(true) { ", external" } else { "" };
                let limit = self.overdraft_limit.as_ref();
                let limit = limit.map(|limit| format!(", overdraft {limit}")).unwrap_or_default();
                let profile = self.profile();
                let (account, currency) = (get(&self.account), get(&self.currency));
                format!("opened {account}  {currency}{external}{limit}{profile}")
            }
            "status-changed" => {
                let status = self.status.unwrap_or_default();
                let reason = self.reason.as_ref().map(|reason| format!(", because: {reason}"));
                format!("account {} is {status}{}", get(&self.account), reason.unwrap_or_default())
            }
            "limits-changed" => {
                let overdraft = get(&self.overdraft_limit);
                format!(
                    "account {} has overdraft {overdraft}{}",
                    get(&self.account),
                    self.profile()
                )
            }
            "watch-added" | "watch-removed" => self.watch_text(),
            "profile-changed" => {
                format!("account {} changed{}", get(&self.account), self.profile())
            }
            "schedule" | "saga" => self.driven_text(),
            "audit" => self.audit_text(),
            _ if self.event.starts_with("fee") => self.fee_text(),
            _ if self.hold.is_some() => self.hold_text(),
            _ if self.original.is_some() => self.refund_text(),
            "asset-defined" => format!(
                "asset {} with {} digits",
                get(&self.currency),
                self.digits.unwrap_or_default()
            ),
            other => format!("{other}: a newer client may know what this is"),
        };
        let terms = if self.terms { "  on terms" } else { "" };
        let linked = if self.linked { "  linked with the next" } else { "" };
        let note = self.note_text();
        let triggered: String = self.triggered.iter().map(TriggerLine::text).collect();
        format!("{}  {}  {what}{note}{terms}{linked}{triggered}", self.lsn, self.time)
    }

    /// As text or JSON.
    pub fn print(&self, json: bool) -> Result<String, Failure> {
        if json { output::json(self) } else { Ok(self.text()) }
    }
}
