//! What an import tells at its end, as a table and as JSON.

use super::accounts::{Opened, Sum};
use super::tally::Tally;
use crate::exit::Failure;
use crate::output::{self, count};
use crate::status::TotalLine;
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole account of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// It was done on an empty ledger in memory, and nothing was sent.
    pub dry_run: bool,
    /// What became of the accounts.
    pub accounts: Opened,
    /// What became of the transfers.
    pub transfers: Tally,
    /// How long the transfers took, milliseconds.
    pub duration_ms: u64,
    /// Transfer rows per second.
    pub rows_per_second: u64,
    /// Batches decided before one ahead of them in the file; 0 unless the engine was full.
    pub batches_out_of_order: u64,
    /// Sums over the import's own accounts, external ones left out.
    pub balances: Vec<Sum>,
    /// SHA-256 over their lines `id,balance_in_minor_units`.
    pub balances_sha256: Option<String>,
    /// Accounts named by the transfers that the ledger does not know.
    pub accounts_unknown: u64,
    /// Sums over the whole ledger.
    pub totals: Vec<TotalLine>,
    /// Hash of the whole ledger's state.
    pub state_hash: Option<String>,
    /// The LSN that hash and sums are as of.
    pub state_lsn: Option<u64>,
}

impl Summary {
    /// Whether every row was posted, now or before.
    pub fn all_posted(&self) -> bool {
        let none = |t: &Tally| t.refused == 0 && t.repeats_refused == 0 && t.unconvertible == 0;
        none(&self.transfers) && none(&self.accounts.openings)
    }

    /// What is printed.
    pub fn text(&self, json: bool) -> Result<String, Failure> {
        if json {
            return output::json(self);
        }
        let mut facts: Vec<(&str, String)> = Vec::new();
        if self.dry_run {
            let text = "on an empty ledger in memory; nothing was sent, nothing is kept";
            facts.push(("dry run", text.to_owned()));
        }
        let a = &self.accounts;
        if a.opened + a.existed > 0 {
            let text = format!("{} opened, {} were open", count(a.opened), count(a.existed));
            facts.push(("accounts", text));
        }
        if a.openings.posted + a.openings.repeats + a.openings.refused > 0 {
            let text = format!(
                "{} posted, {} repeats",
                count(a.openings.posted),
                count(a.openings.repeats)
            );
            facts.push(("opening balances", text));
        }
        push_codes(&mut facts, &a.openings.refused_by_code);
        push_codes(&mut facts, &a.openings.repeats_refused_by_code);
        push_codes(&mut facts, &a.openings.unconvertible_by_code);
        let t = &self.transfers;
        facts.push(("rows read", count(t.rows)));
        facts.push(("posted", count(t.posted)));
        facts.push(("refused", count(t.refused)));
        push_codes(&mut facts, &t.refused_by_code);
        // An empty ledger knows none from before: in a dry run they are ids that come again.
        let when = if self.dry_run { "decided before" } else { "decided in an earlier run" };
        let text = format!(
            "{} {when} ({} posted, {} refused)",
            count(t.repeats),
            count(t.repeats_posted),
            count(t.repeats_refused)
        );
        facts.push(("repeats", text));
        push_codes(&mut facts, &t.repeats_refused_by_code);
        facts.push(("unconvertible", count(t.unconvertible)));
        push_codes(&mut facts, &t.unconvertible_by_code);
        let seconds = self.duration_ms as f64 / 1000.0;
        let rate = count(self.rows_per_second);
        facts.push(("took", format!("{seconds:.2} s, {rate} rows/s")));
        self.push_state(&mut facts);
        Ok(output::facts(facts))
    }

    fn push_state(&self, facts: &mut Vec<(&'static str, String)>) {
        for s in &self.balances {
            let text = format!("{} {} in {} accounts", s.sum, s.currency, count(s.accounts));
            facts.push(("sum of balances", text));
        }
        if let Some(sha) = &self.balances_sha256 {
            facts.push(("balances SHA-256", sha.clone()));
        }
        for t in &self.totals {
            let text = format!("{} {} inside, {} outside", t.internal, t.currency, t.external);
            facts.push(("whole ledger", text));
        }
        if let (Some(hash), Some(lsn)) = (&self.state_hash, self.state_lsn) {
            facts.push(("state hash", format!("{hash} at LSN {lsn}")));
        }
    }
}

/// One line for each reason.
fn push_codes(facts: &mut Vec<(&str, String)>, by_code: &BTreeMap<String, u64>) {
    for (code, number) in by_code {
        facts.push(("", format!("{} {code}", count(*number))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_prints_both_ways() {
        let mut summary = Summary {
            duration_ms: 1500,
            rows_per_second: 78_536,
            balances_sha256: Some("dfeb".into()),
            balances: vec![Sum { currency: "USD".into(), accounts: 20_000, sum: "1.00".into() }],
            state_hash: Some("ab".into()),
            state_lsn: Some(9),
            ..Summary::default()
        };
        summary.accounts.opened = 20_000;
        summary.accounts.openings.posted = 20_000;
        summary.transfers.rows = 117_805;
        summary.transfers.posted = 44_932;
        summary.transfers.refused = 72_873;
        summary.transfers.refused_by_code.insert("INSUFFICIENT_FUNDS".into(), 72_873);
        summary.transfers.repeats = 3;
        summary.transfers.repeats_refused = 3;
        summary.transfers.repeats_refused_by_code.insert("SAME_ACCOUNT".into(), 3);
        assert_eq!(
            summary.text(false).expect("text"),
            "accounts          20,000 opened, 0 were open\n\
             opening balances  20,000 posted, 0 repeats\n\
             rows read         117,805\n\
             posted            44,932\n\
             refused           72,873\n\
             \u{20}                 72,873 INSUFFICIENT_FUNDS\n\
             repeats           3 decided in an earlier run (0 posted, 3 refused)\n\
             \u{20}                 3 SAME_ACCOUNT\n\
             unconvertible     0\n\
             took              1.50 s, 78,536 rows/s\n\
             sum of balances   1.00 USD in 20,000 accounts\n\
             balances SHA-256  dfeb\n\
             state hash        ab at LSN 9"
        );
        let json: serde_json::Value =
            serde_json::from_str(&summary.text(true).expect("text")).expect("JSON");
        assert_eq!(json["transfers"]["refused_by_code"]["INSUFFICIENT_FUNDS"], 72_873);
        assert_eq!(json["balances"][0]["sum"], "1.00");
        assert!(!summary.all_posted());
        let text = Summary { dry_run: true, ..summary }.text(false).expect("text");
        assert!(text.starts_with("dry run           on an empty ledger in memory;"), "{text}");
    }
}
