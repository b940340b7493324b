//! The events of refunds in words.

use super::{Words, decimal, side};
use ducat_engine::proof::statement::{RefundDone, RefundRefused};
use serde::{Deserialize, Serialize};

/// The original of a refund in words. Amounts are decimal texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundWords {
    /// The original's id.
    pub of: String,
    /// Its place in the journal; of a refusal, as far as it was named or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// All that remained was given back, or asked back: a reversal.
    pub reversal: bool,
    /// The account that pays may go below its overdraft limit.
    pub allow_overdraft: bool,
    /// What the original moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    /// What was given back of it so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<String>,
    /// It had been reversed when this was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversed: Option<bool>,
    /// The refused request named the original's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_lsn: Option<u64>,
}

impl Words {
    pub(super) fn refunded(self, refunded: &RefundDone) -> Self {
        let digits = refunded.currency.digits();
        let amount = |minor| Some(decimal(false, minor, digits));
        Self {
            event: "refunded".to_owned(),
            id: Some(refunded.id.to_string()),
            outcome: Some("DONE".to_owned()),
            linked: Some(refunded.linked),
            amount: amount(refunded.amount),
            currency: Some(refunded.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&refunded.debit, digits)),
            credit: Some(side(&refunded.credit, digits)),
            refund: Some(RefundWords {
                of: refunded.of.to_string(),
                lsn: Some(refunded.of_lsn.0),
                reversal: refunded.reversal,
                allow_overdraft: refunded.overdraft,
                moved: amount(refunded.moved),
                refunded: amount(refunded.refunded),
                ..RefundWords::default()
            }),
            ..self
        }
    }

    pub(super) fn refund_refused(self, refused: &RefundRefused) -> Self {
        let digits = refused.currency.map_or(0, |currency| currency.digits());
        let text = |minor| decimal(false, minor, digits);
        let found = refused.found;
        Self {
            event: "refund-refused".to_owned(),
            id: Some(refused.id.to_string()),
            outcome: Some(refused.rejection.code().to_owned()),
            linked: Some(refused.linked),
            amount: refused.amount.map(text),
            currency: refused.currency.map(|currency| currency.code().to_owned()),
            digits: refused.currency.map(|currency| currency.digits()),
            debit: found.map(|found| side(&found.debit, digits)),
            credit: found.map(|found| side(&found.credit, digits)),
            refund: Some(RefundWords {
                of: refused.of.to_string(),
                lsn: found.map(|found| found.of_lsn.0),
                named_lsn: refused.of_lsn.map(|lsn| lsn.0),
                reversal: refused.amount.is_none(),
                allow_overdraft: refused.overdraft,
                moved: found.map(|found| text(found.moved)),
                refunded: found.map(|found| text(found.refunded)),
                reversed: found.map(|found| found.reversed),
            }),
            ..self
        }
    }
}
