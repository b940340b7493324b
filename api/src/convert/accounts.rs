//! Accounts, entries and assets between the wire and the engine.

use super::{MoneyReader, amount_text, check_count, limits, profiles};
use crate::proto;
use crate::secret_fields::{Metadata, SecretFields};
use crate::violation::{Place, Violations};
use ducat_actors::handle::{AccountShown, BATCH_MAX, CurrencyTotal, EntriesPage};
use ducat_engine::account_event::Opening;
use ducat_engine::ids::AccountId;
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::money::{Currencies, Currency, CurrencyId, format_minor};
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, AccountView,
};

/// The accounts to be opened, in the same order.
///
/// # Errors
/// Everything that is wrong with the list; nothing of it is to be opened then.
pub fn openings(
    items: &[proto::NewAccount],
    currencies: &Currencies,
) -> Result<Vec<Opening>, Violations> {
    check_count("accounts", items.len(), BATCH_MAX)?;
    let mut money = MoneyReader::new(currencies);
    let mut violations = Violations::default();
    let mut openings = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = Place::Item { list: "accounts", index };
        let limited = limited(item, &mut money, place, &mut violations);
        let profile = profiles::profile(item, place, &mut violations);
        let opening = limited.zip(profile);
        openings.extend(opening.map(|((spec, bounds), profile)| Opening { spec, bounds, profile }));
    }
    violations.into_result(openings)
}

fn limited(
    item: &proto::NewAccount,
    money: &mut MoneyReader<'_>,
    place: Place,
    violations: &mut Violations,
) -> Option<(AccountSpec, Bounds)> {
    let id = AccountId::from_halves(item.id_high, item.id).ok();
    if id.is_none() {
        violations.add(place, "id", "ACCOUNT_ID_ZERO", super::zero_id);
    }
    if item.currency.is_empty() {
        violations.add(place, "currency", "CURRENCY_MISSING", || {
            "an account holds one currency: an ISO 4217 code or a defined asset".to_owned()
        });
        return None;
    }
    let currency = money.currency(&item.currency, place, violations)?;
    let overdraft_limit = if item.overdraft_limit.is_empty() {
        0
    } else {
        amount_text(&item.overdraft_limit, currency, place, "overdraft_limit", violations)?
    };
    if item.external && overdraft_limit > 0 {
        violations.add(place, "overdraft_limit", "EXTERNAL_WITH_OVERDRAFT_LIMIT", || {
            "an external account may go below zero without limit; leave overdraft_limit empty"
                .to_owned()
        });
        return None;
    }
    let bounds = limits::bounds(item, currency, place, violations)?;
    let (currency, external) = (currency.id, item.external);
    let spec = AccountSpec { id: id?, currency, overdraft_limit, external };
    // A new account holds nothing.
    if let Err(why) = (Limits { overdraft_limit, bounds }).check(external, 0, 0) {
        let field = if bounds.floor.is_some() { "floor" } else { "ceiling" };
        violations.add(place, field, limits_reason(why), || why.to_string());
        return None;
    }
    Some((spec, bounds))
}

/// The stable reason of limits that cannot be.
#[must_use]
pub const fn limits_reason(why: AccountRejection) -> &'static str {
    match why {
        AccountRejection::ExternalWithBounds => "EXTERNAL_WITH_LIMITS",
        AccountRejection::LimitsContradict => "LIMITS_CONTRADICT",
        AccountRejection::BalanceOutside => "BALANCE_OUTSIDE_LIMITS",
        _ => "LIMITS_WRONG",
    }
}

/// What became of opening one account. `None` for a refusal that conversion rules out, which
/// would be a fault of the server.
#[must_use]
pub fn result(spec: &AccountSpec, outcome: AccountOutcome) -> Option<proto::AccountResult> {
    use proto::account_result::Code;
    let (code, lsn, explanation) = match outcome {
        AccountOutcome::Opened(lsn) => (Code::Opened, lsn.0, String::new()),
        AccountOutcome::Exists(lsn) => (Code::Exists, lsn.0, String::new()),
        AccountOutcome::Refused(AccountRejection::ExistsDifferent) => {
            (Code::ExistsDifferent, 0, format!("account {} was opened with other content", spec.id))
        }
        AccountOutcome::Refused(AccountRejection::Full) => {
            (Code::LedgerFull, 0, AccountRejection::Full.to_string())
        }
        AccountOutcome::Refused(_) => return None,
    };
    let (id, id_high) = (spec.id.low(), spec.id.high());
    Some(proto::AccountResult { id, id_high, code: code as i32, lsn, explanation })
}

/// The status asked for.
///
/// # Errors
/// One violation, reason `STATUS_UNKNOWN`.
pub fn status_from_proto(status: i32) -> Result<AccountStatus, Violations> {
    match proto::AccountStatus::try_from(status) {
        Ok(proto::AccountStatus::Active) => Ok(AccountStatus::Active),
        Ok(proto::AccountStatus::Frozen) => Ok(AccountStatus::Frozen),
        Ok(proto::AccountStatus::Closed) => Ok(AccountStatus::Closed),
        Ok(proto::AccountStatus::DebitsBlocked) => Ok(AccountStatus::DebitsBlocked),
        Ok(proto::AccountStatus::CreditsBlocked) => Ok(AccountStatus::CreditsBlocked),
        Err(_) => {
            let sentence = format!("{status} is no account status; known are 0 to 4");
            Err(Violations::one("status", "STATUS_UNKNOWN", sentence))
        }
    }
}

pub(super) const fn status_to_proto(status: AccountStatus) -> proto::AccountStatus {
    match status {
        AccountStatus::Active => proto::AccountStatus::Active,
        AccountStatus::Frozen => proto::AccountStatus::Frozen,
        AccountStatus::Closed => proto::AccountStatus::Closed,
        AccountStatus::DebitsBlocked => proto::AccountStatus::DebitsBlocked,
        AccountStatus::CreditsBlocked => proto::AccountStatus::CreditsBlocked,
    }
}

/// Turns numbers of currencies into codes and digits, looking each up once.
pub struct Writer<'a> {
    currencies: &'a Currencies,
    last: Currency,
    secrets: Option<&'a SecretFields>,
}

impl<'a> Writer<'a> {
    /// A writer over these currencies.
    #[must_use]
    pub fn new(currencies: &'a Currencies) -> Self {
        // A currency no account can hold, so the first look-up never takes it for known.
        let last = Currency { id: CurrencyId(u16::MAX), code: String::new(), digits: 0 };
        Self { currencies, last, secrets: None }
    }

    /// The same, which shows what is secret masked.
    #[must_use]
    pub fn masking(self, secrets: Option<&'a SecretFields>) -> Self {
        Self { secrets, ..self }
    }

    /// What may be seen of an account's metadata.
    pub(super) fn visible(&self, id: AccountId, mut metadata: Metadata) -> Metadata {
        if let Some(secrets) = self.secrets {
            secrets.show(id, &mut metadata);
        }
        metadata
    }

    pub(super) fn currency(&mut self, id: CurrencyId) -> &Currency {
        if self.last.id != id {
            // An id that is not known would be a fault; it shows as its number.
            self.last = self.currencies.by_id(id).unwrap_or_else(|| Currency {
                id,
                code: format!("#{}", id.0),
                digits: 0,
            });
        }
        &self.last
    }

    /// An account and what is known of it as a message.
    pub fn shown(&mut self, shown: &AccountShown) -> proto::Account {
        let mut account = self.account(&shown.view);
        if let Some(details) = &shown.details {
            profiles::describe(details, &mut account);
            let metadata = std::mem::take(&mut account.metadata);
            account.metadata = self.visible(shown.view.spec.id, metadata);
        }
        account
    }

    /// An account as a message, without what is known of it beside its money.
    pub fn account(&mut self, view: &AccountView) -> proto::Account {
        let currency = self.currency(view.spec.currency);
        let digits = currency.digits;
        let external = view.spec.external;
        proto::Account {
            id: view.spec.id.low(),
            id_high: view.spec.id.high(),
            currency: currency.code.clone(),
            digits: u32::from(digits),
            status: status_to_proto(view.status) as i32,
            external,
            posted: format_minor(view.posted, digits),
            held: format_minor(signed(view.on_hold.saturating_add(view.held)), digits),
            incoming: format_minor(signed(view.incoming), digits),
            available: if external { String::new() } else { format_minor(view.available, digits) },
            overdraft_limit: format_minor(signed(view.spec.overdraft_limit), digits),
            posted_minor: view.posted.to_string(),
            opened_lsn: view.opened_lsn.0,
            last_lsn: view.last_lsn.0,
            floor: limits::bound_text(view.bounds.floor, digits),
            ceiling: limits::bound_text(view.bounds.ceiling, digits),
            version: view.version.0,
            ..proto::Account::default()
        }
    }

    /// A page of entries as a message, with the cursor already made.
    pub fn entries(
        &mut self,
        page: &EntriesPage,
        next_cursor: String,
    ) -> proto::ListEntriesResponse {
        let currency = self.currency(page.currency);
        let digits = currency.digits;
        let entry = |entry: &ducat_actors::handle::Entry| proto::Entry {
            lsn: entry.lsn.0,
            time_ns: entry.time_ns,
            transfer_id: entry.transfer.low(),
            transfer_id_high: entry.transfer.high(),
            counterparty: entry.counterparty.low(),
            counterparty_high: entry.counterparty.high(),
            amount: format_minor(entry.amount, digits),
            balance_after: format_minor(entry.balance_after, digits),
            kind: super::transfers::kind_to_proto(entry.kind) as i32,
            value_date: crate::day::text(entry.value_date()),
            note: entry.note.as_deref().map(super::notes::to_proto),
        };
        proto::ListEntriesResponse {
            entries: page.entries.iter().map(entry).collect(),
            next_cursor,
            currency: currency.code.clone(),
        }
    }

    /// The sums of one currency as a message.
    pub fn total(&mut self, total: &CurrencyTotal) -> proto::CurrencyTotal {
        let currency = self.currency(total.currency);
        proto::CurrencyTotal {
            currency: currency.code.clone(),
            internal: format_minor(total.internal, currency.digits),
            external: format_minor(total.external, currency.digits),
        }
    }
}

/// Held and incoming sums stay far below `i128::MAX` (see `money::BALANCE_MAX`).
fn signed(value: u128) -> i128 {
    i128::try_from(value).unwrap_or(i128::MAX)
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
