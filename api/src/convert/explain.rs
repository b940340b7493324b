//! The sentence that goes with a refusal: which account or hold, which figures, of that moment.
//! Made from the request and the outcome alone, so a repeat explains itself as the first
//! answer did.

mod refunds;
mod terms;

use ducat_engine::fees::FeeNote;
use terms::{Needed, Side};

use ducat_engine::holds::HoldAfter;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currencies, Currency, CurrencyId, Minor};
use ducat_engine::refunds::RefundAfter;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{NEVER_NS, Request, expiry_ns};
use ducat_engine::terms::{Terms, TermsAfter};
use ducat_engine::transfer::{BalanceAfter, Outcome, TransferKind};
use std::fmt::{self, Write as _};

/// What is told of a request beside its outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// The hold of an operation; one that was refused found it so, if it was open.
    pub hold: Option<&'a HoldAfter>,
    /// The original of a refund; one that was refused found it so, if it moved money.
    pub refund: Option<&'a RefundAfter>,
    /// What is told of terms.
    pub terms: Option<&'a TermsAfter>,
    /// What is told of a transfer's fee.
    pub fee: Option<&'a FeeNote>,
}

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

    /// Appends why the request was refused, in one sentence; nothing for one that was done.
    pub fn explain(
        &mut self,
        outcome: &Outcome,
        told: Told<'_>,
        request: &Request,
        to: &mut String,
    ) {
        let Some(rejection) = outcome.rejection else { return };
        let terms = match request.unnoted() {
            Request::Termed(termed) => Some(termed.terms()),
            _ => None,
        };
        let request = request.plain();
        let named = match request {
            Request::Transfer(transfer) => transfer.currency,
            Request::Hold(hold) => hold.currency,
            Request::Capture(capture) => capture.currency,
            Request::Refund(refund) => refund.currency,
            Request::Void(_) | Request::Extend(_) | Request::Termed(_) | Request::Noted(_) => None,
        };
        let named = named.and_then(|id| self.currencies.by_id(id));
        let currency = self.currency(outcome.currency);
        let (hold, refund, named) = (told.hold, told.refund, named.as_ref());
        let fee = told.fee;
        let asked = Asked { outcome, hold, refund, request, terms, fee, currency, named };
        if terms::is_of_terms(rejection) {
            let terms = terms.copied().unwrap_or_default();
            let sides = terms::Sides { terms: &terms, told: told.terms };
            return asked.write_of_terms(&sides, rejection, to).expect("as below");
        }
        asked.write_sentence(rejection, to).expect("writing to a String never fails");
    }

    fn currency(&mut self, id: Option<CurrencyId>) -> Option<&Currency> {
        let id = id?;
        if self.last.as_ref().is_none_or(|last| last.id != id) {
            self.last = self.currencies.by_id(id);
        }
        self.last.as_ref()
    }
}

/// What was asked and what became of it.
struct Asked<'a> {
    outcome: &'a Outcome,
    /// The hold as it stood, if it was open.
    hold: Option<&'a HoldAfter>,
    /// The original of a refund as it stood, if it moved money.
    refund: Option<&'a RefundAfter>,
    /// Without its terms.
    request: &'a Request,
    terms: Option<&'a Terms>,
    /// What is told of its fee.
    fee: Option<&'a FeeNote>,
    /// That of the accounts.
    currency: Option<&'a Currency>,
    /// The one that the request names.
    named: Option<&'a Currency>,
}

impl Asked<'_> {
    fn write_sentence(&self, rejection: Rejection, to: &mut String) -> fmt::Result {
        if let Request::Refund(refund) = self.request {
            return self.write_of_refund(refund, rejection, to);
        }
        let Some([debit, credit]) = self.request.accounts() else {
            return self.write_of_hold(rejection, to);
        };
        let held = Code(self.currency);
        match rejection {
            Rejection::LinkedFailed => to.write_str(LINKED_FAILED),
            Rejection::AmountZero => {
                to.write_str("the amount is zero; a transfer moves at least 1 minor unit")
            }
            Rejection::AmountTooLarge => match self.request {
                Request::Hold(hold) if hold.over_capture_max > self.amount() => write!(
                    to,
                    "the tolerance of {} minor units is above the largest amount, 2^96 - 1",
                    hold.over_capture_max
                ),
                _ => write!(
                    to,
                    "the amount of {} minor units is above the largest, 2^96 - 1",
                    self.total().max(self.amount())
                ),
            },
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
                Code(self.named)
            ),
            Rejection::KindMismatch => self.kind_mismatch(debit, credit, to),
            Rejection::DebitAccountClosed => {
                write!(to, "account {debit}, to be debited, is closed")
            }
            Rejection::CreditAccountClosed => {
                write!(to, "account {credit}, to be credited, is closed")
            }
            Rejection::DebitAccountFrozen => {
                write!(to, "account {debit}, to be debited, is frozen")
            }
            Rejection::CreditAccountFrozen => {
                write!(to, "account {credit}, to be credited, is frozen")
            }
            Rejection::DebitAccountBlocked => write!(to, "debits of account {debit} are blocked"),
            Rejection::CreditAccountBlocked => {
                write!(to, "credits of account {credit} are blocked")
            }
            Rejection::DebitAccountFloor => {
                let needed = self.needed(Side::Debit);
                write!(to, "taking {needed} would leave account {debit}, which holds ")?;
                posted(to, self.outcome.debit.as_ref(), self.currency)?;
                to.write_str(", with less than its floor")
            }
            Rejection::CreditAccountCeiling => {
                let more = self.needed(Side::Credit);
                write!(to, "{more} more would take account {credit}, which holds ")?;
                posted(to, self.outcome.credit.as_ref(), self.currency)?;
                to.write_str(", above its ceiling")
            }
            Rejection::InsufficientFunds => {
                let needed = self.needed(Side::Debit);
                insufficient(to, debit, self.outcome.debit.as_ref(), &needed)
            }
            Rejection::BalanceOverflow => write!(
                to,
                "moving {} from account {debit} to account {credit} would make a balance larger \
                 than the ledger can hold",
                self.needed(Side::Either)
            ),
            Rejection::FeeRefused => self.fee_refused(to),
            Rejection::FeeOnBalanced => write!(
                to,
                "a fee is due for what account {debit} pays, and a balanced transfer does not say how \
                 much that is; name the amount"
            ),
            Rejection::IdReused => self.id_reused(to),
            Rejection::HoldExists
            | Rejection::HoldUnknown
            | Rejection::HoldVoided
            | Rejection::HoldExpired
            | Rejection::HoldCaptured
            | Rejection::HoldExceeded
            | Rejection::HoldExtensionTooShort => self.write_of_hold(rejection, to),
            Rejection::DebitAccountVersion
            | Rejection::CreditAccountVersion
            | Rejection::DebitAccountCondition
            | Rejection::CreditAccountCondition
            | Rejection::CreditAccountOwesLess
            | Rejection::SourcesFallShort
            | Rejection::AmountBelowMinimum => to.write_str(rejection.code()),
            other => self.of_refunds_only(other, to),
        }
    }

    /// What is asked of a hold names no accounts.
    fn write_of_hold(&self, rejection: Rejection, to: &mut String) -> fmt::Result {
        let id = Hold(self.request);
        match rejection {
            Rejection::FeeRefused => self.fee_refused(to),
            Rejection::LinkedFailed => to.write_str(LINKED_FAILED),
            Rejection::AmountZero => {
                to.write_str("the amount is zero; a capture moves at least 1 minor unit")
            }
            Rejection::AmountTooLarge => write!(
                to,
                "the amount of {} minor units is above the largest, 2^96 - 1",
                self.amount()
            ),
            Rejection::HoldExists => write!(
                to,
                "hold {id} is open, placed so long ago that its request is not remembered{}",
                self.remaining()
            ),
            Rejection::HoldUnknown => write!(
                to,
                "no hold has the id {id}, or it was closed so long ago that it is not remembered"
            ),
            Rejection::HoldVoided => write!(to, "hold {id} was voided; nothing of it remains"),
            Rejection::HoldExpired => write!(to, "hold {id} has expired; nothing of it remains"),
            Rejection::HoldCaptured => {
                write!(to, "hold {id} was captured to its end; nothing of it remains")
            }
            Rejection::DebitAccountBlocked => {
                write!(to, "debits of the account that pays for hold {id} are blocked")
            }
            Rejection::CreditAccountBlocked => {
                write!(to, "credits of the account that receives hold {id} are blocked")
            }
            Rejection::DebitAccountFloor => {
                write!(
                    to,
                    "capturing more than is on hold would leave the debit account of hold {id} with less than its floor"
                )
            }
            Rejection::CreditAccountCeiling => {
                write!(to, "capturing hold {id} would take its credit account above its ceiling")
            }
            Rejection::HoldExceeded => self.exceeded(to),
            Rejection::HoldExtensionTooShort => self.too_short(to),
            Rejection::CurrencyMismatch => write!(
                to,
                "the capture names {}, hold {id} is in {}",
                Code(self.named),
                Code(self.currency)
            ),
            Rejection::InsufficientFunds => {
                let needed = Amount::of(self.amount(), self.currency);
                write!(to, "capturing {needed} of hold {id} takes more than what is on hold: ")?;
                let Some(after) = self.outcome.debit.as_ref() else {
                    return to.write_str("the debit account cannot cover it");
                };
                write!(
                    to,
                    "the debit account has {} available beside it{}",
                    Amount { value: after.available, currency: self.currency },
                    self.remaining()
                )
            }
            Rejection::BalanceOverflow => write!(
                to,
                "capturing hold {id} would make a balance larger than the ledger can hold"
            ),
            Rejection::DebitAccountClosed => {
                write!(to, "the debit account of hold {id} is closed")
            }
            Rejection::CreditAccountClosed => {
                write!(to, "the credit account of hold {id} is closed")
            }
            Rejection::DebitAccountFrozen => {
                write!(to, "the debit account of hold {id} is frozen")
            }
            Rejection::CreditAccountFrozen => {
                write!(to, "the credit account of hold {id} is frozen")
            }
            Rejection::IdReused => self.id_reused(to),
            Rejection::DebitAccountVersion
            | Rejection::CreditAccountVersion
            | Rejection::DebitAccountCondition
            | Rejection::CreditAccountCondition
            | Rejection::CreditAccountOwesLess
            | Rejection::SourcesFallShort
            | Rejection::AmountBelowMinimum => to.write_str(rejection.code()),
            // Judged when a hold is placed; its accounts are what they were.
            Rejection::SameAccount
            | Rejection::DebitAccountUnknown
            | Rejection::CreditAccountUnknown
            | Rejection::AccountsDifferInCurrency
            | Rejection::KindMismatch => {
                write!(to, "the accounts of hold {id} do not fit: {}", rejection.code())
            }
            other => self.of_refunds_only(other, to),
        }
    }

    /// What was asked for: of a balanced transfer the most that it moves.
    fn amount(&self) -> u128 {
        match self.request {
            Request::Transfer(transfer) => transfer.amount,
            Request::Hold(hold) => hold.amount,
            Request::Capture(capture) => {
                capture.amount.or(self.hold.map(|hold| hold.remaining)).unwrap_or(0)
            }
            Request::Refund(refund) => {
                let remaining = self.refund.map(|after| after.moved - after.refunded);
                refund.amount.or(remaining).unwrap_or(0)
            }
            Request::Void(_) | Request::Extend(_) | Request::Termed(_) | Request::Noted(_) => 0,
        }
    }

    /// What remains of the hold and when it expires, where that is known.
    fn remaining(&self) -> String {
        let Some(hold) = self.hold else { return String::new() };
        let remaining = Amount::of(hold.remaining, self.currency);
        let expires = Expiry(hold.expires_ns.unwrap_or(NEVER_NS));
        format!(" ({remaining} of it remain, it expires {expires})")
    }

    fn exceeded(&self, to: &mut String) -> fmt::Result {
        let id = Hold(self.request);
        let wanted = Amount::of(self.amount(), self.currency);
        let Some(hold) = self.hold else {
            return write!(
                to,
                "{wanted} is more than what remains of hold {id} and its tolerance together"
            );
        };
        let tolerance = hold.over_capture_max.unwrap_or(0);
        write!(
            to,
            "{wanted} is more than what may be captured of hold {id}: at most {}, of which {} \
             remain and {} are its tolerance",
            Amount::of(hold.remaining.saturating_add(tolerance), self.currency),
            Amount::of(hold.remaining, self.currency),
            Amount::of(tolerance, self.currency),
        )
    }

    fn too_short(&self, to: &mut String) -> fmt::Result {
        let id = Hold(self.request);
        let asked = match self.request {
            Request::Extend(extend) => expiry_ns(self.outcome.time_ns, extend.timeout_ns),
            _ => NEVER_NS,
        };
        let before = self.hold.and_then(|hold| hold.expires_ns);
        let Some(before) = before else {
            return write!(to, "hold {id} would not expire later than it does anyway");
        };
        write!(
            to,
            "hold {id} expires {} anyway, and would expire {}",
            Expiry(before),
            Expiry(asked)
        )
    }

    /// A transfer, a capture or a refund did not happen since its fee could not be taken.
    fn fee_refused(&self, to: &mut String) -> fmt::Result {
        let what = match self.request {
            Request::Capture(capture) => format!("capturing hold {}", capture.hold),
            Request::Refund(refund) => format!("refunding transfer {}", refund.of),
            _ => format!("moving {}", Amount::of(self.amount(), self.currency)),
        };
        let Some(FeeNote { schedule, amount, refused }) = self.fee else {
            return write!(to, "the fee of {what} could not be taken");
        };
        let fee = Amount::of(*amount, self.currency);
        let rule = refused.map_or("", Rejection::code);
        write!(to, "{what} costs {fee} more by schedule {schedule}, refused for {rule}")?;
        let Some(after) = &self.outcome.debit else { return Ok(()) };
        let available = Amount { value: after.available, currency: self.currency };
        match self.request.accounts() {
            Some([debit, _]) => write!(to, "; account {debit} has {available} available"),
            None => write!(to, "; the account that pays has {available} available"),
        }
    }

    fn id_reused(&self, to: &mut String) -> fmt::Result {
        write!(
            to,
            "id {} was used before, for a request with other content or in another group, decided \
             at LSN {}; that one stands",
            self.request.id(),
            self.outcome.lsn
        )
    }

    fn kind_mismatch(&self, debit: AccountId, credit: AccountId, to: &mut String) -> fmt::Result {
        let kind = match self.request {
            Request::Hold(hold) => hold.kind,
            Request::Transfer(transfer) => transfer.kind,
            _ => TransferKind::Transfer,
        };
        match kind {
            TransferKind::Payment => write!(
                to,
                "a payment touches no external account, but account {debit} or {credit} is one; \
                 use a deposit or a withdrawal"
            ),
            TransferKind::Refund
            | TransferKind::Fee
            | TransferKind::Adjustment
            | TransferKind::Interest => write!(
                to,
                "accounts {debit} and {credit} are both external; nothing of the ledger's would move"
            ),
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
                "a withdrawal goes from an account of the ledger to an external one, which \
                 accounts {debit} and {credit} are not"
            ),
        }
    }
}

const LINKED_FAILED: &str =
    "another request of its linked group was refused, so none of the group happened";

fn posted(
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
    needed: &Needed<'_>,
) -> fmt::Result {
    let Some(&BalanceAfter { posted, available }) = after else {
        return write!(to, "account {debit} cannot cover {needed}");
    };
    let currency = needed.amount.currency;
    let figure = |value| Figure { value, digits: currency.map_or(0, |c| c.digits) };
    write!(
        to,
        "account {debit} has {} available, {needed} needed (posted {}, overdraft limit less what \
         is on hold {})",
        Amount { value: available, currency },
        figure(posted),
        figure(available.saturating_sub(posted)),
    )
}

/// The id of the hold that a request speaks of.
struct Hold<'a>(&'a Request);

impl fmt::Display for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hold().unwrap_or(self.0.id()).fmt(f)
    }
}

/// A moment, `at 2026-01-31T12:00:00Z`, or `never`.
struct Expiry(u64);

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == NEVER_NS {
            return f.write_str("never");
        }
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "at {time}"),
            Err(_) => write!(f, "{} ns after 1970", self.0),
        }
    }
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
