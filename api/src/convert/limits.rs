//! Limits of accounts between the wire and the engine: overdraft limit, floor and ceiling as
//! decimal texts.

use super::amount_text;
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_actors::handle::AccountShown;
use ducat_engine::limits::{Bounds, Limits, LimitsChange};
use ducat_engine::money::{Currencies, Currency, format_minor};

/// A bound as minor units, which may be negative; `Some(None)` for an empty text, `None` after a
/// violation.
fn bound(
    text: &str,
    currency: &Currency,
    place: Place,
    field: &str,
    violations: &mut Violations,
) -> Option<Option<i128>> {
    if text.is_empty() {
        return Some(None);
    }
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
    let minor = amount_text(digits, currency, place, field, violations)?;
    // The largest amount is far below i128::MAX.
    Some(Some(sign * i128::try_from(minor).unwrap_or(i128::MAX)))
}

/// The bounds of an account to be opened; `None` after a violation.
pub(super) fn bounds(
    item: &proto::NewAccount,
    currency: &Currency,
    place: Place,
    violations: &mut Violations,
) -> Option<Bounds> {
    let floor = bound(&item.floor, currency, place, "floor", violations);
    let ceiling = bound(&item.ceiling, currency, place, "ceiling", violations);
    Some(Bounds { floor: floor?, ceiling: ceiling? })
}

/// The change of limits asked for, of an account that holds this currency.
///
/// # Errors
/// Everything that is wrong with it.
pub fn change(
    request: &proto::SetAccountLimitsRequest,
    currency: &Currency,
) -> Result<LimitsChange, Violations> {
    let mut violations = Violations::default();
    let place = Place::Request;
    let overdraft_limit = match request.overdraft_limit.as_deref() {
        None => None,
        Some("") => Some(0),
        Some(text) => amount_text(text, currency, place, "overdraft_limit", &mut violations),
    };
    let mut read = |text: &Option<String>, field| {
        text.as_deref().and_then(|text| bound(text, currency, place, field, &mut violations))
    };
    let floor = read(&request.floor, "floor");
    let ceiling = read(&request.ceiling, "ceiling");
    violations.into_result(LimitsChange { overdraft_limit, floor, ceiling })
}

/// What an account holds; its currency is known, since it exists.
#[must_use]
pub fn currency_of(shown: &AccountShown, currencies: &Currencies) -> Option<Currency> {
    currencies.by_id(shown.view.spec.currency)
}

/// A floor or a ceiling as a text; empty for none.
pub(super) fn bound_text(bound: Option<i128>, digits: u8) -> String {
    bound.map(|bound| format_minor(bound, digits)).unwrap_or_default()
}

/// Limits as a message.
pub(super) fn limits(limits: &Limits, digits: u8) -> proto::LimitsChange {
    let overdraft = i128::try_from(limits.overdraft_limit).unwrap_or(i128::MAX);
    proto::LimitsChange {
        overdraft_limit: format_minor(overdraft, digits),
        floor: bound_text(limits.bounds.floor, digits),
        ceiling: bound_text(limits.bounds.ceiling, digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_exactly_or_refused() {
        let gbp = Currencies::new().by_code("GBP").expect("ISO");
        let some = |text: &str| Some(text.to_owned());
        let request = proto::SetAccountLimitsRequest {
            overdraft_limit: some("5.00"),
            floor: some("-4.99"),
            ceiling: some(""),
            ..Default::default()
        };
        let expected = LimitsChange {
            overdraft_limit: Some(500),
            floor: Some(Some(-499)),
            ceiling: Some(None),
        };
        assert_eq!(change(&request, &gbp), Ok(expected));
        assert_eq!(change(&Default::default(), &gbp), Ok(LimitsChange::default()));
        for (field, text, reason) in [
            ("overdraft_limit", "-1", "AMOUNT_NEGATIVE"),
            ("floor", "1.001", "AMOUNT_TOO_MANY_DECIMALS"),
            ("floor", "--1", "AMOUNT_NEGATIVE"),
            ("ceiling", "much", "AMOUNT_MALFORMED"),
        ] {
            let mut wrong = proto::SetAccountLimitsRequest::default();
            let set = match field {
                "overdraft_limit" => &mut wrong.overdraft_limit,
                "floor" => &mut wrong.floor,
                _ => &mut wrong.ceiling,
            };
            *set = some(text);
            let violations = change(&wrong, &gbp).expect_err(reason);
            assert_eq!((violations.total(), violations.reason()), (1, reason));
            assert_eq!(violations.listed()[0].field, field);
        }
    }
}
