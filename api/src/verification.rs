//! The double-entry proof while serving: made at every period that is asked for, and what the last
//! one found, for status, metrics and alerts. Proofs that an operator asks for count as well.

use ducat_actors::handle::{Handle, RequestError};
use ducat_actors::history::BalancesVerified;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the last proof that came to its end found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastProof {
    /// When it ended, seconds since 1970.
    pub ended_s: u64,
    /// The last event that it took in.
    pub lsn: u64,
    /// Contradictions.
    pub differences: u64,
    /// Currencies whose accounts do not come to zero.
    pub unbalanced: u64,
    /// Accounts that are overdrawn beyond their limit.
    pub overdrawn: u64,
}

/// How the proofs do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProofFigures {
    /// Came to their end since the start, whatever they found.
    pub made: u64,
    /// Could not be made since the start.
    pub failed: u64,
    /// Why the last one could not be made; `None` once one could be again.
    pub failing: Option<String>,
    /// The last one.
    pub last: Option<LastProof>,
}

/// Remembers what proofs found.
#[derive(Debug, Default)]
pub struct Verifications(Mutex<ProofFigures>);

impl Verifications {
    /// What is known.
    #[must_use]
    pub fn figures(&self) -> ProofFigures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes one, and remembers what it found.
    ///
    /// # Errors
    /// Those of [`Handle::verify_balances`].
    pub async fn make(&self, handle: &Handle) -> Result<BalancesVerified, RequestError> {
        let found = handle.verify_balances().await;
        self.remember(&found);
        if let Ok(found) = &found
            && found.difference_count > 0
        {
            tracing::error!(
                lsn = found.lsn.0,
                differences = found.difference_count,
                "the books contradict themselves"
            );
        }
        found
    }

    fn remember(&self, found: &Result<BalancesVerified, RequestError>) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(found) => {
                figures.made += 1;
                figures.failing = None;
                let unbalanced = found.totals.iter().filter(|sum| sum.internal + sum.external != 0);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                figures.last = Some(LastProof {
                    ended_s: now.as_secs(),
                    lsn: found.lsn.0,
                    differences: found.difference_count,
                    unbalanced: unbalanced.count() as u64,
                    overdrawn: found.overdrawn,
                });
            }
            // Another one is being made, or the server ends: this one was none.
            Err(RequestError::AuditRunning | RequestError::Stopped(_)) => {}
            Err(error) => {
                figures.failed += 1;
                figures.failing = Some(error.to_string());
            }
        }
    }

    /// Makes one at every period, the first one period from now, without end.
    pub async fn every(self: Arc<Self>, handle: Handle, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Err(error) = self.make(&handle).await {
                tracing::warn!(%error, "the balances could not be verified");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_actors::handle::CurrencyTotal;
    use ducat_engine::ids::Lsn;
    use ducat_engine::money::CurrencyId;

    fn found(differences: u64, sums: &[(i128, i128)]) -> Result<BalancesVerified, RequestError> {
        let total =
            |&(internal, external)| CurrencyTotal { currency: CurrencyId(1), internal, external };
        Ok(BalancesVerified {
            lsn: Lsn(9),
            accounts: 2,
            totals: sums.iter().map(total).collect(),
            differences: Vec::new(),
            difference_count: differences,
            overdrawn: 1,
        })
    }

    #[test]
    fn the_last_proof_counts_and_one_that_was_none_does_not() {
        let verifications = Verifications::default();
        verifications.remember(&found(2, &[(5, -5), (5, -4)]));
        let last = verifications.figures().last.expect("made");
        assert_eq!((last.differences, last.unbalanced, last.overdrawn, last.lsn), (2, 1, 1, 9));
        verifications.remember(&Err(RequestError::AuditRunning));
        assert_eq!(verifications.figures().failed, 0);
        verifications.remember(&Err(RequestError::Expired));
        let figures = verifications.figures();
        assert_eq!((figures.made, figures.failed), (1, 1));
        assert!(
            figures.failing.is_some() && figures.last.is_some_and(|last| last.differences == 2)
        );
        verifications.remember(&found(0, &[]));
        let figures = verifications.figures();
        assert_eq!((figures.made, figures.failing), (2, None));
        assert_eq!(figures.last.map(|last| last.differences), Some(0));
    }
}
