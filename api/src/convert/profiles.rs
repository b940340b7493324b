//! What is known of accounts beside their money, between the wire and the engine: profiles,
//! changes of them, reasons, filters, histories.

use super::accounts::{Writer, status_from_proto, status_to_proto};
use super::{MoneyReader, limits, watches};
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_actors::handle::{HistoryEntry, HistoryEvent, HistoryPage};
use ducat_engine::account_event::{Change, LimitsFrom, Opening};
use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currencies, CurrencyId, format_minor};
use ducat_engine::profile::{
    AccountKind, Details, Filter, KEYS_MAX, METADATA_BYTES_MAX, NormalSide, Profile, ProfileChange,
    TextFault, check_key, check_label, check_owner, check_reason, check_value,
};
use std::collections::BTreeMap;

/// The stable reason of a text that does not fit.
#[must_use]
pub const fn text_reason(fault: TextFault) -> &'static str {
    match fault {
        TextFault::Owner => "OWNER_MALFORMED",
        TextFault::Label => "LABEL_MALFORMED",
        TextFault::Reason => "REASON_MALFORMED",
        TextFault::Key => "METADATA_KEY_MALFORMED",
        TextFault::Value => "METADATA_VALUE_MALFORMED",
        TextFault::Keys => "METADATA_TOO_MANY_KEYS",
        TextFault::Metadata => "METADATA_TOO_LARGE",
    }
}

fn add(
    checked: Result<(), TextFault>,
    place: Place,
    field: &str,
    violations: &mut Violations,
) -> bool {
    if let Err(fault) = &checked {
        violations.add(place, field, text_reason(*fault), || fault.to_string());
    }
    checked.is_ok()
}

/// Whether a map can be metadata, or be set as metadata: what else is there is not looked at.
fn check_metadata(
    metadata: &BTreeMap<String, String>,
    place: Place,
    field: &str,
    violations: &mut Violations,
) -> bool {
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    let bounded = if metadata.len() > KEYS_MAX {
        Err(TextFault::Keys)
    } else if bytes > METADATA_BYTES_MAX {
        Err(TextFault::Metadata)
    } else {
        Ok(())
    };
    let each = metadata.iter().try_for_each(|(key, value)| {
        check_key(key)?;
        check_value(value)
    });
    add(bounded.and(each), place, field, violations)
}

fn kind_from(
    number: i32,
    place: Place,
    violations: &mut Violations,
) -> Option<Option<AccountKind>> {
    let kind = match proto::AccountKind::try_from(number) {
        Ok(proto::AccountKind::Unspecified) => None,
        Ok(proto::AccountKind::Asset) => Some(AccountKind::Asset),
        Ok(proto::AccountKind::Liability) => Some(AccountKind::Liability),
        Ok(proto::AccountKind::Equity) => Some(AccountKind::Equity),
        Ok(proto::AccountKind::Income) => Some(AccountKind::Income),
        Ok(proto::AccountKind::Expense) => Some(AccountKind::Expense),
        Err(_) => {
            violations.add(place, "kind", "KIND_UNKNOWN", || {
                format!("{number} is no kind of an account; known are 0 to 5")
            });
            return None;
        }
    };
    Some(kind)
}

const fn kind_to(kind: Option<AccountKind>) -> proto::AccountKind {
    match kind {
        None => proto::AccountKind::Unspecified,
        Some(AccountKind::Asset) => proto::AccountKind::Asset,
        Some(AccountKind::Liability) => proto::AccountKind::Liability,
        Some(AccountKind::Equity) => proto::AccountKind::Equity,
        Some(AccountKind::Income) => proto::AccountKind::Income,
        Some(AccountKind::Expense) => proto::AccountKind::Expense,
    }
}

const fn side_to(kind: Option<AccountKind>) -> proto::NormalSide {
    match kind {
        None => proto::NormalSide::Unspecified,
        Some(kind) => match kind.normal_side() {
            NormalSide::Debit => proto::NormalSide::Debit,
            NormalSide::Credit => proto::NormalSide::Credit,
        },
    }
}

/// The profile of an account to be opened; `None` after a violation.
pub(super) fn profile(
    item: &proto::NewAccount,
    place: Place,
    violations: &mut Violations,
) -> Option<Profile> {
    let kind = kind_from(item.kind, place, violations);
    let sound = add(check_owner(&item.owner), place, "owner", violations)
        & add(check_label(&item.label), place, "label", violations)
        & check_metadata(&item.metadata, place, "metadata", violations);
    let profile = Profile {
        kind: kind?,
        owner: item.owner.clone(),
        label: item.label.clone(),
        metadata: item.metadata.clone(),
    };
    sound.then_some(profile)
}

/// The reason of a status.
///
/// # Errors
/// One violation, reason `REASON_MALFORMED`.
pub fn reason(text: String) -> Result<String, Violations> {
    match check_reason(&text) {
        Ok(()) => Ok(text),
        Err(fault) => Err(Violations::one("reason", text_reason(fault), fault.to_string())),
    }
}

/// The change asked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn change(request: proto::UpdateAccountRequest) -> Result<ProfileChange, Violations> {
    let mut violations = Violations::default();
    let place = Place::Request;
    let kind = request.kind.map(|kind| kind_from(kind, place, &mut violations));
    if let Some(owner) = &request.owner {
        add(check_owner(owner), place, "owner", &mut violations);
    }
    if let Some(label) = &request.label {
        add(check_label(label), place, "label", &mut violations);
    }
    check_metadata(&request.set_metadata, place, "set_metadata", &mut violations);
    for (index, key) in request.remove_metadata.iter().enumerate() {
        let place = Place::Item { list: "remove_metadata", index };
        add(check_key(key), place, "", &mut violations);
    }
    if let Some(key) =
        request.remove_metadata.iter().find(|key| request.set_metadata.contains_key(*key))
    {
        violations.add(place, "remove_metadata", "METADATA_SET_AND_REMOVED", || {
            format!("the key {key} is both set and removed")
        });
    }
    violations.into_result(ProfileChange {
        kind: kind.flatten(),
        owner: request.owner,
        label: request.label,
        set: request.set_metadata,
        remove: request.remove_metadata.into_iter().collect(),
    })
}

/// The filter asked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn filter(
    asked: Option<proto::AccountFilter>,
    currencies: &Currencies,
) -> Result<Filter, Violations> {
    let Some(asked) = asked else { return Ok(Filter::default()) };
    let mut violations = Violations::default();
    let place = Place::Request;
    let mut money = MoneyReader::new(currencies);
    if let Some(owner) = &asked.owner {
        add(check_owner(owner), place, "filter.owner", &mut violations);
    }
    add(check_label(&asked.label_prefix), place, "filter.label_prefix", &mut violations);
    check_metadata(&asked.metadata, place, "filter.metadata", &mut violations);
    let kind = asked.kind.and_then(|kind| kind_from(kind, place, &mut violations));
    let currency = Some(&asked.currency).filter(|code| !code.is_empty());
    let currency = currency.and_then(|code| money.currency(code, place, &mut violations));
    let status = asked.status.map(status_from_proto).transpose()?;
    let currency = currency.map(|currency| currency.id);
    violations.into_result(Filter {
        owner: asked.owner,
        kind,
        label_prefix: asked.label_prefix,
        metadata: asked.metadata,
        currency,
        status,
        external: asked.external,
    })
}

/// Writes what is known of an account into its message.
pub(super) fn describe(details: &Details, account: &mut proto::Account) {
    let Profile { kind, owner, label, metadata } = &details.profile;
    account.kind = kind_to(*kind) as i32;
    account.normal_side = side_to(*kind) as i32;
    account.owner.clone_from(owner);
    account.label.clone_from(label);
    account.metadata.clone_from(metadata);
    account.changed_lsn = details.last_lsn.0;
    if let Some(note) = &details.note {
        account.status_lsn = note.lsn.0;
        account.status_reason.clone_from(&note.reason);
    }
}

impl Writer<'_> {
    /// A page of an account's history as a message, with the cursor already made.
    pub fn history(
        &mut self,
        id: AccountId,
        page: HistoryPage,
        next_cursor: String,
    ) -> proto::ListAccountHistoryResponse {
        let currency = page.currency;
        let entries = page.entries.into_iter();
        let events = entries.map(|entry| self.history_event(id, currency, entry)).collect();
        proto::ListAccountHistoryResponse { events, next_cursor }
    }

    /// What happened beside transfers to an account that holds this currency.
    pub(super) fn history_event(
        &mut self,
        id: AccountId,
        currency: CurrencyId,
        entry: HistoryEntry,
    ) -> proto::AccountEvent {
        use proto::account_event::Event;
        let digits = self.currency(currency).digits;
        let event = match entry.event {
            HistoryEvent::Opened(opening) => Event::Opened(self.opening(opening)),
            HistoryEvent::Changed(Change::Status { status, reason }) => {
                let status = status_to_proto(status) as i32;
                Event::Status(proto::StatusChange { status, reason })
            }
            HistoryEvent::Changed(
                Change::Limits(changed) | Change::LimitsFrom(LimitsFrom { limits: changed, .. }),
            ) => Event::Limits(limits::limits(&changed, digits)),
            HistoryEvent::Changed(Change::Watch(change)) => {
                Event::Watch(watches::change(&change, digits))
            }
            HistoryEvent::Changed(Change::Profile(change)) => {
                Event::Profile(proto::ProfileChange {
                    kind: change.kind.map(|kind| kind_to(kind) as i32),
                    owner: change.owner,
                    label: change.label,
                    set_metadata: self.visible(id, change.set),
                    removed_metadata: change.remove.into_iter().collect(),
                })
            }
        };
        proto::AccountEvent { lsn: entry.lsn.0, time_ns: entry.time_ns, event: Some(event) }
    }

    fn opening(&mut self, opening: Opening) -> proto::NewAccount {
        let Opening { spec, bounds, profile } = opening;
        let metadata = self.visible(spec.id, profile.metadata);
        let currency = self.currency(spec.currency);
        let limit = i128::try_from(spec.overdraft_limit).unwrap_or(i128::MAX);
        proto::NewAccount {
            id: spec.id.low(),
            id_high: spec.id.high(),
            currency: currency.code.clone(),
            overdraft_limit: match limit {
                0 => String::new(),
                limit => format_minor(limit, currency.digits),
            },
            external: spec.external,
            kind: kind_to(profile.kind) as i32,
            owner: profile.owner,
            label: profile.label,
            metadata,
            floor: limits::bound_text(bounds.floor, currency.digits),
            ceiling: limits::bound_text(bounds.ceiling, currency.digits),
        }
    }
}

#[cfg(test)]
#[path = "profiles_tests.rs"]
mod tests;
