//! The events of holds in words.

use super::{HoldWords, Words, decimal, kind_word, side, time};
use ducat_engine::proof::statement::{
    HoldAsked, HoldCaptured, HoldExpired, HoldExtended, HoldPlaced, HoldRefused, HoldVoided,
};
use ducat_engine::request::NEVER_NS;

const DONE: &str = "DONE";

impl Words {
    pub(super) fn hold_placed(self, placed: &HoldPlaced) -> Self {
        let digits = placed.currency.digits();
        Self {
            event: "hold-placed".to_owned(),
            id: Some(placed.id.to_string()),
            kind: Some(kind_word(placed.kind).to_owned()),
            outcome: Some(DONE.to_owned()),
            linked: Some(placed.linked),
            amount: Some(decimal(false, placed.amount, digits)),
            currency: Some(placed.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&placed.debit, digits)),
            account: Some(placed.credit.to_string()),
            hold: Some(HoldWords {
                id: placed.id.to_string(),
                timeout_ns: Some(placed.timeout_ns),
                over_capture_max: Some(decimal(false, placed.over_capture_max, digits)),
                ..HoldWords::default()
            }),
            ..self
        }
    }

    pub(super) fn hold_captured(self, captured: &HoldCaptured) -> Self {
        let digits = captured.currency.digits();
        let amount = |minor| Some(decimal(false, minor, digits));
        Self {
            event: "hold-captured".to_owned(),
            id: Some(captured.id.to_string()),
            outcome: Some(DONE.to_owned()),
            linked: Some(captured.linked),
            amount: amount(captured.amount),
            currency: Some(captured.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&captured.debit, digits)),
            credit: Some(side(&captured.credit, digits)),
            hold: Some(HoldWords {
                id: captured.hold.to_string(),
                all: Some(captured.all),
                last: Some(captured.last),
                released: amount(captured.released),
                remaining: amount(captured.remaining),
                ..HoldWords::default()
            }),
            ..self
        }
    }

    pub(super) fn hold_voided(self, voided: &HoldVoided) -> Self {
        let digits = voided.currency.digits();
        Self {
            event: "hold-voided".to_owned(),
            id: Some(voided.id.to_string()),
            outcome: Some(DONE.to_owned()),
            linked: Some(voided.linked),
            currency: Some(voided.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&voided.debit, digits)),
            hold: Some(HoldWords {
                id: voided.hold.to_string(),
                released: Some(decimal(false, voided.released, digits)),
                ..HoldWords::default()
            }),
            ..self
        }
    }

    pub(super) fn hold_extended(self, extended: &HoldExtended) -> Self {
        let digits = extended.currency.digits();
        Self {
            event: "hold-extended".to_owned(),
            id: Some(extended.id.to_string()),
            outcome: Some(DONE.to_owned()),
            linked: Some(extended.linked),
            currency: Some(extended.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&extended.debit, digits)),
            hold: Some(HoldWords {
                id: extended.hold.to_string(),
                timeout_ns: Some(extended.timeout_ns),
                expires: Some(expiry(extended.expires_ns)),
                remaining: Some(decimal(false, extended.remaining, digits)),
                ..HoldWords::default()
            }),
            ..self
        }
    }

    pub(super) fn hold_expired(self, expired: &HoldExpired) -> Self {
        let digits = expired.currency.digits();
        Self {
            event: "hold-expired".to_owned(),
            currency: Some(expired.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&expired.debit, digits)),
            hold: Some(HoldWords {
                id: expired.hold.to_string(),
                released: Some(decimal(false, expired.released, digits)),
                ..HoldWords::default()
            }),
            ..self
        }
    }

    pub(super) fn hold_refused(self, refused: &HoldRefused) -> Self {
        let digits = refused.currency.map_or(0, |currency| currency.digits());
        let text = |minor| decimal(false, minor, digits);
        let hold = match refused.asked {
            HoldAsked::Place { timeout_ns, over_capture_max, .. } => HoldWords {
                id: refused.id.to_string(),
                asked: Some("place".to_owned()),
                timeout_ns: Some(timeout_ns),
                over_capture_max: Some(text(over_capture_max)),
                ..HoldWords::default()
            },
            HoldAsked::Capture { hold, amount, last } => HoldWords {
                id: hold.to_string(),
                asked: Some("capture".to_owned()),
                all: Some(amount.is_none()),
                last: Some(last),
                ..HoldWords::default()
            },
            HoldAsked::Void { hold } => HoldWords {
                id: hold.to_string(),
                asked: Some("void".to_owned()),
                ..HoldWords::default()
            },
            HoldAsked::Extend { hold, timeout_ns } => HoldWords {
                id: hold.to_string(),
                asked: Some("extend".to_owned()),
                timeout_ns: Some(timeout_ns),
                ..HoldWords::default()
            },
        };
        let hold = match refused.standing {
            None => hold,
            Some(standing) => HoldWords {
                remaining: Some(text(standing.remaining)),
                open_tolerance: Some(text(standing.over_capture_max)),
                expires: Some(expiry(standing.expires_ns)),
                ..hold
            },
        };
        let (kind, amount) = match refused.asked {
            HoldAsked::Place { kind, amount, .. } => (Some(kind_word(kind)), Some(amount)),
            HoldAsked::Capture { amount, .. } => (None, amount),
            HoldAsked::Void { .. } | HoldAsked::Extend { .. } => (None, None),
        };
        Self {
            event: "hold-refused".to_owned(),
            id: Some(refused.id.to_string()),
            kind: kind.map(str::to_owned),
            outcome: Some(refused.rejection.code().to_owned()),
            linked: Some(refused.linked),
            amount: amount.map(text),
            currency: refused.currency.map(|currency| currency.code().to_owned()),
            digits: refused.currency.map(|currency| currency.digits()),
            debit: refused.debit.as_ref().map(|debit| side(debit, digits)),
            credit: refused.credit.as_ref().map(|credit| side(credit, digits)),
            hold: Some(hold),
            ..self
        }
    }
}

/// A time, or `never`.
fn expiry(expires_ns: u64) -> String {
    if expires_ns == NEVER_NS { "never".to_owned() } else { time(expires_ns) }
}
