//! The events of requests with terms: what happened is a record of the plain kind, which says
//! what was moved; around it stands what was asked.

use super::Record;
use crate::ids::Lsn;
use crate::terms::{Terms, TermsAfter};
use serde::{Deserialize, Serialize};

/// An event of a request that has terms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TermedRecord {
    /// On which terms.
    pub terms: Terms,
    /// The amount that a transfer named, minor units: the most that a balanced one moves. 0 of
    /// other requests, whose records say what was asked.
    pub asked: u128,
    /// Of a refusal: the versions of debit and credit account at that moment, where they are
    /// known and have a part in it.
    pub versions: [Option<Lsn>; 2],
    /// What happened; never with terms of its own.
    pub record: Record,
}

impl TermedRecord {
    /// What is told of it, being the event at `lsn`.
    #[must_use]
    pub fn after(&self, lsn: Lsn) -> TermsAfter {
        let [debit, credit] = self.versions;
        let now = Some(lsn);
        match &self.record {
            Record::Posted(posted) | Record::PostedLinked(posted) => {
                TermsAfter { moved: posted.amount, debit_version: now, credit_version: now }
            }
            Record::Captured(captured) => {
                TermsAfter { moved: captured.amount, debit_version: now, credit_version: now }
            }
            Record::Held(held) => {
                TermsAfter { moved: held.amount, debit_version: now, credit_version: None }
            }
            _ => TermsAfter { moved: 0, debit_version: debit, credit_version: credit },
        }
    }
}

impl TermedRecord {
    /// Whether what was moved is what the terms allow, as far as the record alone tells.
    pub(crate) fn is_sound(&self) -> bool {
        let (asked, balancing) = (self.asked, self.terms.balancing);
        match (&self.record, balancing) {
            (Record::Posted(posted) | Record::PostedLinked(posted), Some(balancing)) => {
                let least = if balancing.source.is_some() { 0 } else { balancing.min };
                (least..=asked).contains(&posted.amount)
            }
            (Record::Posted(posted) | Record::PostedLinked(posted), None) => posted.amount == asked,
            (Record::Refused(refused) | Record::RefusedLinked(refused), _) => {
                refused.amount == asked
            }
            (Record::Held(_) | Record::Captured(_) | Record::HoldRefused(_), None) => asked == 0,
            _ => false,
        }
    }
}

impl Record {
    /// What happened, apart from the terms on which it was asked for and from what was said about
    /// it.
    #[must_use]
    pub fn plain(&self) -> &Self {
        match self.unnoted() {
            Self::Termed(termed) => &termed.record,
            plain => plain,
        }
    }
}
