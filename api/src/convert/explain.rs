//! The sentence that goes with a refusal: which account, which figures, of that moment.
//! Made from the request and the outcome alone, so a repeat explains itself as the first
//! answer did.

use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currencies, Currency, CurrencyId, Minor};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{BalanceAfter, Outcome, TransferKind, TransferRequest};
use std::fmt::{self, Write as _};

/// Writes the sentences of a batch, looking its currency up once.
pub struct Explainer<'a> {
    currencies: &'a Currencies,
    last: Option<Currency>,
}

impl<'a> Explainer<'a> {
    /// One that knows these currencies.
    #[must_use]
    pub const fn new(currencies: &'a Currencies) -> Self {
        Self { currencies, last: None }
    }

    /// Appends why the transfer was refused, in one sentence; nothing for a posted one.
    pub fn explain(&mut self, outcome: &Outcome, request: &TransferRequest, to: &mut String) {
        let Some(rejection) = outcome.rejection else { return };
        let named = request.currency.and_then(|id| self.currencies.by_id(id));
        let currency = self.currency(outcome.currency);
        write_sentence(to, rejection, outcome, request, currency, named.as_ref())
            .expect("writing to a String never fails");
    }

    fn currency(&mut self, id: Option<CurrencyId>) -> Option<&Currency> {
        let id = id?;
        if self.last.as_ref().is_none_or(|last| last.id != id) {
            self.last = self.currencies.by_id(id);
        }
        self.last.as_ref()
    }
}

/// `currency` is that of the accounts, `named` the one the request names.
fn write_sentence(
    to: &mut String,
    rejection: Rejection,
    outcome: &Outcome,
    request: &TransferRequest,
    currency: Option<&Currency>,
    named: Option<&Currency>,
) -> fmt::Result {
    let (debit, credit) = (request.debit, request.credit);
    let held = Code(currency);
    match rejection {
        Rejection::LinkedFailed => to.write_str(
            "another transfer of its linked group was refused, so none of the group happened",
        ),
        Rejection::AmountZero => {
            to.write_str("the amount is zero; a transfer moves at least 1 minor unit")
        }
        Rejection::AmountTooLarge => write!(
            to,
            "the amount of {} minor units is above the largest, 2^96 - 1",
            request.amount
        ),
        Rejection::SameAccount => {
            write!(to, "account {debit} is named as both debit and credit account")
        }
        Rejection::DebitAccountUnknown => {
            write!(to, "no account has the id {debit} given as debit account")
        }
        Rejection::CreditAccountUnknown => {
            write!(to, "no account has the id {credit} given as credit account")
        }
        Rejection::AccountsDifferInCurrency => {
            write!(to, "account {debit} holds {held}, account {credit} holds another currency")
        }
        Rejection::CurrencyMismatch => write!(
            to,
            "the transfer names {}, accounts {debit} and {credit} hold {held}",
            Code(named)
        ),
        Rejection::KindMismatch => kind_mismatch(to, request),
        Rejection::DebitAccountClosed => write!(to, "account {debit}, to be debited, is closed"),
        Rejection::CreditAccountClosed => write!(to, "account {credit}, to be credited, is closed"),
        Rejection::DebitAccountFrozen => write!(to, "account {debit}, to be debited, is frozen"),
        Rejection::CreditAccountFrozen => write!(to, "account {credit}, to be credited, is frozen"),
        Rejection::DebitAccountBlocked => {
            write!(to, "debits of account {debit} are blocked")
        }
        Rejection::CreditAccountBlocked => {
            write!(to, "credits of account {credit} are blocked")
        }
        Rejection::DebitAccountFloor => {
            let needed = Amount::of(request.amount, currency);
            write!(to, "taking {needed} would leave account {debit}, which holds ")?;
            holds(to, outcome.debit.as_ref(), currency)?;
            to.write_str(", with less than its floor")
        }
        Rejection::CreditAccountCeiling => {
            let more = Amount::of(request.amount, currency);
            write!(to, "{more} more would take account {credit}, which holds ")?;
            holds(to, outcome.credit.as_ref(), currency)?;
            to.write_str(", above its ceiling")
        }
        Rejection::InsufficientFunds => {
            let needed = Amount::of(request.amount, currency);
            insufficient(to, debit, outcome.debit.as_ref(), &needed)
        }
        Rejection::BalanceOverflow => write!(
            to,
            "moving {} from account {debit} to account {credit} would make a balance larger than \
             the ledger can hold",
            Amount::of(request.amount, currency)
        ),
        Rejection::HoldExists => {
            write!(
                to,
                "an open hold has the id {}, though its request is not remembered",
                request.id
            )
        }
        Rejection::HoldUnknown => to.write_str("no hold with this id is open or remembered"),
        Rejection::HoldVoided => to.write_str("the hold was voided"),
        Rejection::HoldExpired => to.write_str("the hold has expired"),
        Rejection::HoldCaptured => to.write_str("the hold was captured to its end"),
        Rejection::HoldExceeded => {
            to.write_str("more than what remains of the hold and its tolerance together")
        }
        Rejection::HoldExtensionTooShort => {
            to.write_str("the hold would not expire later than it does anyway")
        }
        Rejection::IdReused => write!(
            to,
            "id {} was used before, for a transfer with other content or in another group, decided at LSN {}; that \
             one stands",
            request.id, outcome.lsn
        ),
    }
}

fn kind_mismatch(to: &mut String, request: &TransferRequest) -> fmt::Result {
    let (debit, credit) = (request.debit, request.credit);
    match request.kind {
        TransferKind::Transfer => write!(
            to,
            "a plain transfer touches no external account, but account {debit} or {credit} is \
             one; use a deposit or a withdrawal"
        ),
        TransferKind::Deposit => write!(
            to,
            "a deposit goes from an external account to one of the ledger, which accounts \
             {debit} and {credit} are not"
        ),
        TransferKind::Withdrawal => write!(
            to,
            "a withdrawal goes from an account of the ledger to an external one, which accounts \
             {debit} and {credit} are not"
        ),
    }
}

fn holds(
    to: &mut String,
    after: Option<&BalanceAfter>,
    currency: Option<&Currency>,
) -> fmt::Result {
    write!(to, "{}", Amount { value: after.map_or(0, |after| after.posted), currency })
}

fn insufficient(
    to: &mut String,
    debit: AccountId,
    after: Option<&BalanceAfter>,
    needed: &Amount<'_>,
) -> fmt::Result {
    let Some(&BalanceAfter { posted, available }) = after else {
        return write!(to, "account {debit} cannot cover {needed}");
    };
    let figure = |value| Figure { value, digits: needed.currency.map_or(0, |c| c.digits) };
    // No hold outlives a request yet, so what is available beyond the posted balance is the
    // overdraft limit.
    let (held, limit) = (0, available.saturating_sub(posted));
    write!(
        to,
        "account {debit} has {} available, {needed} needed (posted {}, held {}, overdraft limit \
         {})",
        Amount { value: available, currency: needed.currency },
        figure(posted),
        figure(held),
        figure(limit),
    )
}

/// A currency's code, or words where it is not known.
struct Code<'a>(Option<&'a Currency>);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("another currency", |c| &c.code))
    }
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

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.currency {
            Some(c) => write!(f, "{} {}", Figure { value: self.value, digits: c.digits }, c.code),
            None => write!(f, "{} minor units", self.value),
        }
    }
}

/// Minor units with their decimal point, as [`Minor`] shows them, but dividing in 64 bits
/// where they fit, which is several times as fast: a batch may hold thousands of refusals.
struct Figure {
    value: i128,
    digits: u8,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(value) = u64::try_from(self.value) else {
            return Minor { value: self.value, digits: self.digits }.fmt(f);
        };
        if self.digits == 0 {
            return value.fmt(f);
        }
        let unit = 10u64.pow(u32::from(self.digits));
        let width = usize::from(self.digits);
        write!(f, "{}.{:0width$}", value / unit, value % unit)
    }
}
