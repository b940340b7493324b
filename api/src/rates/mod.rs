//! How much one caller may ask of the server: a token bucket for each principal and rule.
//!
//! ```text
//! gate: one call ─▶ 1 token ┐
//! CreateTransfers ─▶ its transfers ├─▶ Limits: closest rule ▸ the principal's bucket ▸ on, or RATE_LIMITED
//! stream: one batch ─▶ its transfers ┘
//! ```
//!
//! Calls are counted at the gate, before anything of them is read; batches where their transfers
//! are known, by their number. What is refused has taken nothing from its bucket, and nothing of it is done.
//! Rules come from the configuration and are replaced when it is read again; the buckets of rules
//! that stay as they were stay too ([decision 35](../../../docs/adr/0035-rates.md)).

mod bucket;
pub mod places;
pub mod rules;

pub use rules::Rates;

use crate::identity::Caller;
use crate::identity::roles::CALLS;
use crate::status::Refusal;
use bucket::{Refused, Rule};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tonic::Code;

/// The batch call: its service counts its transfers.
pub(crate) const BATCH: &str = "/ducat.v1.Ledger/CreateTransfers";

/// Groups given back, which take a token for each leg: the first with the call.
pub(crate) const REVERSAL: &str = "/ducat.v1.Ledger/ReverseGroup";

/// The stream of batches: every batch counts its transfers, and opening it counts nothing.
pub(crate) const STREAM: &str = "/ducat.v1.Ledger/StreamTransfers";

/// Whom a caller without an identity is counted as: no principal has this name.
const ANYONE: &str = "";

/// The rates that hold, and what is left of them for everybody.
#[derive(Debug)]
pub struct Limits {
    /// Whether there are any rules: all that a call costs without.
    on: AtomicBool,
    table: RwLock<Arc<Table>>,
    /// By position in [`CALLS`].
    refused: Vec<AtomicU64>,
}

impl Limits {
    /// With these rates; none of them limit nothing.
    #[must_use]
    pub fn new(rates: &Rates) -> Arc<Self> {
        Arc::new(Self {
            on: AtomicBool::new(!rates.is_empty()),
            table: RwLock::new(Arc::new(Table::new(rates, &[]))),
            refused: CALLS.iter().map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Goes by these from now on. Rules that are as they were keep what was taken from their
    /// buckets; others begin with full ones.
    pub fn replace(&self, rates: &Rates) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Arc::new(Table::new(rates, &table.rules));
        self.on.store(!rates.is_empty(), Ordering::Release);
    }

    /// Counts `count` calls or transfers, of which each takes a token; an empty batch takes one.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` with the time after which there is room, or `INVALID_ARGUMENT` for more than
    /// any bucket holds.
    pub fn take(&self, caller: Option<&Caller>, path: &str, count: usize) -> Result<(), Refusal> {
        if !self.on.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(method) = CALLS.iter().position(|call| call.path == path) else { return Ok(()) };
        let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let grants = caller.map_or(&[][..], Caller::grants);
        // Who has two identities may do what both may.
        let names = grants.iter().map(|grant| grant.name.as_str());
        let names = names.chain(grants.is_empty().then_some(ANYONE));
        for name in names {
            let Some(rule) = table.find(name, method) else { continue };
            if let Err(refused) = rule.take(name, count) {
                self.refused[method].fetch_add(1, Ordering::Relaxed);
                return Err(refusal(refused, rule, method, count));
            }
        }
        Ok(())
    }

    /// Calls and batches refused since the start, by method; those with none are left out.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        let names = CALLS.iter().map(|call| call.path.trim_start_matches('/'));
        names.zip(counts).filter(|(_, count)| *count > 0)
    }

    /// How many rules hold, and how many buckets are kept.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
        (table.rules.len(), table.rules.iter().map(|rule| rule.buckets()).sum())
    }
}

fn refusal(refused: Refused, rule: &Rule, method: usize, count: NonZeroU32) -> Refusal {
    let method = CALLS[method].path.rsplit('/').next().unwrap_or_default();
    let words = rule.rate().words();
    match refused {
        Refused::Later(wait) => {
            // Told in whole milliseconds: never too early.
            let wait = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
                + Duration::from_millis(1);
            let sentence = format!(
                "the rate of {method} is used up ({words}); nothing was done; there is room in {} ms",
                wait.as_millis()
            );
            let refusal = Refusal::new(Code::ResourceExhausted, "RATE_LIMITED", sentence);
            Refusal { retry: Some(wait), ..refusal }
        }
        Refused::Never => {
            let most = rule.rate().quota().burst_size();
            let sentence = format!(
                "{count} at once can never pass {method} ({words}); send at most {most} at a time"
            );
            Refusal::new(Code::InvalidArgument, "BATCH_ABOVE_BURST", sentence)
        }
    }
}

/// Rules by whom and what they are about.
#[derive(Debug)]
struct Table {
    rules: Vec<Arc<Rule>>,
    /// For who is not named, by position in [`CALLS`]: a position in `rules`.
    others: Vec<Option<usize>>,
    named: HashMap<String, Vec<Option<usize>>>,
}

impl Table {
    /// Takes over those of `before` that are as they were.
    fn new(rates: &Rates, before: &[Arc<Rule>]) -> Self {
        let rule = |rate| {
            let same = before.iter().find(|rule| rule.rate() == rate);
            same.map_or_else(|| Arc::new(Rule::new(rate)), Arc::clone)
        };
        let rules: Vec<Arc<Rule>> = rates.rules().iter().map(rule).collect();
        let mut others = vec![None; CALLS.len()];
        fill(&mut others, &rules, None);
        let mut named = HashMap::new();
        for name in rates.rules().iter().filter_map(rules::Rate::principal) {
            named.entry(name.to_owned()).or_insert_with(|| {
                let mut own = others.clone();
                fill(&mut own, &rules, Some(name));
                own
            });
        }
        Self { rules, others, named }
    }

    fn find(&self, name: &str, method: usize) -> Option<&Rule> {
        let by_method = self.named.get(name).unwrap_or(&self.others);
        by_method[method].map(|at| &*self.rules[at])
    }
}

/// Enters the rules about this principal, the closer ones over the wider one.
fn fill(by_method: &mut [Option<usize>], rules: &[Arc<Rule>], principal: Option<&str>) {
    for wide in [true, false] {
        for (at, rule) in rules.iter().enumerate() {
            let rate = rule.rate();
            if rate.principal() == principal && rate.names_none() == wide {
                rate.methods().for_each(|method| by_method[method] = Some(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSFER: &str = "/ducat.v1.Ledger/Transfer";
    const ACCOUNTS: &str = "/ducat.v1.Ledger/GetAccounts";

    fn rates(text: &str) -> Rates {
        let mut table: toml::Table = text.parse().expect("TOML");
        Rates::from_value(table.remove("rates").expect("there")).expect("well-formed")
    }

    fn reason(limits: &Limits, path: &str, count: usize) -> Option<&'static str> {
        limits.take(None, path, count).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn a_burst_passes_whole_and_not_one_more() {
        let limits = Limits::new(&rates("[[rates]]\nper_hour = 1\nburst = 10"));
        assert_eq!(reason(&limits, BATCH, 11), Some("BATCH_ABOVE_BURST"));
        assert_eq!(reason(&limits, BATCH, 4), None);
        assert_eq!(reason(&limits, BATCH, 7), Some("RATE_LIMITED"), "6 are left");
        assert_eq!(reason(&limits, TRANSFER, 1), None, "what is refused takes nothing");
        assert_eq!(reason(&limits, BATCH, 5), None);
        let refused = limits.take(None, ACCOUNTS, 1).expect_err("shared by all methods");
        let wait = refused.retry.expect("known");
        assert!(wait <= Duration::from_millis(3_600_001), "{wait:?}");
        assert!(refused.message.contains("1 per hour, bursts of 10"), "{}", refused.message);
        assert_eq!(reason(&limits, "/grpc.health.v1.Health/Check", 1), None, "named only");
        let counts: Vec<_> = limits.refused().collect();
        assert_eq!(
            counts,
            [("ducat.v1.Ledger/CreateTransfers", 2), ("ducat.v1.Ledger/GetAccounts", 1)]
        );
    }

    #[test]
    fn the_closest_rule_counts() {
        let limits = Limits::new(&rates(
            "[[rates]]\nper_hour = 1\nburst = 1\n\
             [[rates]]\nmethods = [\"ducat.v1.Ledger/Transfer\"]\nper_hour = 1\nburst = 2\n\
             [[rates]]\nprincipal = \"a\"\nper_hour = 1\nburst = 3\n",
        ));
        let table = Arc::clone(&limits.table.read().expect("whole"));
        let burst = |name: &str, path: &str| {
            let method = CALLS.iter().position(|call| call.path == path).expect("a call");
            table.find(name, method).map(|rule| rule.rate().quota().burst_size().get())
        };
        assert_eq!(burst("b", ACCOUNTS), Some(1));
        assert_eq!(burst("b", TRANSFER), Some(2));
        assert_eq!(burst("a", TRANSFER), Some(3), "who is named goes first");
        assert_eq!(burst("a", "/grpc.health.v1.Health/Check"), None);
    }

    #[test]
    fn rules_that_stay_keep_their_buckets() {
        let stays =
            "[[rates]]\nmethods = [\"ducat.v1.Ledger/Transfer\"]\nper_hour = 1\nburst = 1\n";
        let other = |burst| format!("{stays}[[rates]]\nper_hour = 1\nburst = {burst}\n");
        let limits = Limits::new(&rates(&other(1)));
        for path in [TRANSFER, ACCOUNTS] {
            assert_eq!(reason(&limits, path, 1), None);
            assert_eq!(reason(&limits, path, 1), Some("RATE_LIMITED"));
        }
        limits.replace(&rates(&other(2)));
        assert_eq!(reason(&limits, TRANSFER, 1), Some("RATE_LIMITED"));
        assert_eq!(reason(&limits, ACCOUNTS, 2), None);
        limits.replace(&Rates::default());
        assert_eq!(reason(&limits, TRANSFER, 1_000), None);
        assert_eq!(limits.kept(), (0, 0));
    }
}
