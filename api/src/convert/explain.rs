//! The sentence that goes with a refusal: which account, which figures, of that moment.
//! Made from the request and the outcome alone, so a repeat explains itself as the first
//! answer did.

use ducat_engine::money::{Currencies, Currency, Minor};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{BalanceAfter, Outcome, TransferKind, TransferRequest};

/// Why the transfer was refused, in one sentence; empty for a posted one.
#[must_use]
pub fn explain(outcome: &Outcome, request: &TransferRequest, currencies: &Currencies) -> String {
    let Some(rejection) = outcome.rejection else { return String::new() };
    let (debit, credit) = (request.debit, request.credit);
    match rejection {
        Rejection::LinkedFailed => {
            "another transfer of its linked group was refused, so none of the group happened".into()
        }
        Rejection::AmountZero => "the amount is zero; a transfer moves at least 1 minor unit".into(),
        Rejection::AmountTooLarge => {
            format!("the amount of {} minor units is above the largest, 2^96 - 1", request.amount)
        }
        Rejection::SameAccount => {
            format!("account {debit} is named as both debit and credit account")
        }
        Rejection::DebitAccountUnknown => {
            format!("no account has the id {debit} given as debit account")
        }
        Rejection::CreditAccountUnknown => {
            format!("no account has the id {credit} given as credit account")
        }
        Rejection::AccountsDifferInCurrency => {
            let held = code(outcome, currencies);
            format!("account {debit} holds {held}, account {credit} holds another currency")
        }
        Rejection::CurrencyMismatch => {
            let named = request.currency.and_then(|id| currencies.by_id(id));
            let named = named.map_or_else(|| "another currency".to_owned(), |c| c.code);
            let held = code(outcome, currencies);
            format!("the transfer names {named}, accounts {debit} and {credit} hold {held}")
        }
        Rejection::KindMismatch => kind_mismatch(request),
        Rejection::DebitAccountClosed => format!("account {debit}, to be debited, is closed"),
        Rejection::CreditAccountClosed => format!("account {credit}, to be credited, is closed"),
        Rejection::DebitAccountFrozen => format!("account {debit}, to be debited, is frozen"),
        Rejection::CreditAccountFrozen => format!("account {credit}, to be credited, is frozen"),
        Rejection::InsufficientFunds => insufficient(outcome, request, currencies),
        Rejection::BalanceOverflow => format!(
            "moving {} from account {debit} to account {credit} would make a balance larger than \
             the ledger can hold",
            Amount::of(request.amount, currency(outcome, currencies).as_ref())
        ),
        Rejection::IdReused => format!(
            "id {} was used before, for a transfer with other content decided at LSN {}; that \
             one stands",
            request.id, outcome.lsn
        ),
    }
}

fn kind_mismatch(request: &TransferRequest) -> String {
    let (debit, credit) = (request.debit, request.credit);
    match request.kind {
        TransferKind::Transfer => format!(
            "a plain transfer touches no external account, but account {debit} or {credit} is \
             one; use a deposit or a withdrawal"
        ),
        TransferKind::Deposit => format!(
            "a deposit goes from an external account to one of the ledger, which accounts \
             {debit} and {credit} are not"
        ),
        TransferKind::Withdrawal => format!(
            "a withdrawal goes from an account of the ledger to an external one, which accounts \
             {debit} and {credit} are not"
        ),
    }
}

fn insufficient(outcome: &Outcome, request: &TransferRequest, currencies: &Currencies) -> String {
    let currency = currency(outcome, currencies);
    let currency = currency.as_ref();
    let debit = request.debit;
    let needed = Amount::of(request.amount, currency);
    let Some(BalanceAfter { posted, available }) = outcome.debit else {
        return format!("account {debit} cannot cover {needed}");
    };
    let digits = currency.map_or(0, |c| c.digits);
    let figure = |value| Minor { value, digits };
    // No hold outlives a request yet, so what is available beyond the posted balance is the
    // overdraft limit.
    let (held, limit) = (0, available.saturating_sub(posted));
    format!(
        "account {debit} has {} available, {needed} needed (posted {}, held {}, overdraft limit \
         {})",
        Amount { value: available, currency },
        figure(posted),
        figure(held),
        figure(limit),
    )
}

fn currency(outcome: &Outcome, currencies: &Currencies) -> Option<Currency> {
    currencies.by_id(outcome.currency?)
}

fn code(outcome: &Outcome, currencies: &Currencies) -> String {
    currency(outcome, currencies).map_or_else(|| "another currency".to_owned(), |c| c.code)
}

/// `12.00 GBP`, or `1200 minor units` where the currency is not known.
struct Amount<'a> {
    value: i128,
    currency: Option<&'a Currency>,
}

impl<'a> Amount<'a> {
    fn of(value: u128, currency: Option<&'a Currency>) -> Self {
        // Only an amount beyond AMOUNT_MAX could exceed i128, and that is refused by its own rule.
        Self { value: i128::try_from(value).unwrap_or(i128::MAX), currency }
    }
}

impl std::fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.currency {
            Some(c) => write!(f, "{} {}", Minor { value: self.value, digits: c.digits }, c.code),
            None => write!(f, "{} minor units", self.value),
        }
    }
}
