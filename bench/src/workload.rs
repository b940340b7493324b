//! The workloads: who pays whom. Each is named, described by one line, and picks pairs of
//! account indexes; [`crate::generator`] makes transfers of them.

use crate::rng::Rng;
use crate::zipf::Zipf;
use clap::ValueEnum;

/// Sampled Zipf ranks kept per generator; drawing one costs 50 ns, reading one costs 1.
const ZIPF_RING: usize = 1 << 20;

/// What each account that pays from its own pocket starts with, minor units.
const FUNDING: u64 = 10_000_000_000;

/// What an account starts with in the workload `terms`, minor units: little enough that some run
/// dry, so that terms decide something.
const FUNDING_TERMS: u64 = 10_000;

/// What an account starts with that pays for everybody (a hub), minor units.
const FUNDING_HUB: u64 = 10_000_000_000_000_000;

/// A named way of choosing payer and payee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Payer and payee drawn evenly from all accounts.
    Uniform,
    /// Both drawn by Zipf's law.
    Zipf,
    /// One account is a party to every transfer.
    Hot,
    /// Few payers, many payees.
    Hub,
    /// Everyone pays the next.
    Ring,
    /// As uniform, and a share of the requests reads accounts.
    Mixed,
    /// About half of the transfers break a rule.
    RefusalHeavy,
    /// As uniform, and a share of the transfers is made in two steps, by holds.
    Holds,
    /// As uniform, and parts of some transfers are given back.
    Refunds,
    /// As uniform, and a share of the transfers is on terms.
    Terms,
    /// As uniform, of the kinds a payment business has, with fees attached to them.
    Fees,
    /// The rows of a file.
    Csv,
}

impl Workload {
    /// All of them, in the order of `list`.
    pub const ALL: [Self; 12] = [
        Self::Uniform,
        Self::Zipf,
        Self::Hot,
        Self::Hub,
        Self::Ring,
        Self::Mixed,
        Self::RefusalHeavy,
        Self::Holds,
        Self::Refunds,
        Self::Terms,
        Self::Fees,
        Self::Csv,
    ];

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::Hot => "hot",
            Self::Hub => "hub",
            Self::Ring => "ring",
            Self::Mixed => "mixed",
            Self::RefusalHeavy => "refusal-heavy",
            Self::Holds => "holds",
            Self::Refunds => "refunds",
            Self::Terms => "terms",
            Self::Fees => "fees",
            Self::Csv => "csv",
        }
    }

    /// One line on it.
    pub fn description(self) -> &'static str {
        match self {
            Self::Uniform => "payer and payee drawn evenly from all accounts",
            Self::Zipf => "payer and payee drawn by Zipf's law (--zipf-exponent), spread over all",
            Self::Hot => "one account is payer or payee of every transfer, the other is drawn",
            Self::Hub => "up to 8 payers pay everybody else, as in payroll or payouts",
            Self::Ring => "every account pays the next one, round and round",
            Self::Mixed => {
                "as uniform, and half of the requests (--read-share) read accounts, told apart"
            }
            Self::Holds => {
                "as uniform, and 30 of 100 transfers (--hold-share) are held first, then captured or \
                 voided"
            }
            Self::Refunds => {
                "as uniform, and 10 of 100 transfers (--refund-share) are given back in thirds, some \
                 once more, beyond what remains"
            }
            Self::Terms => {
                "as uniform, and 30 of 100 draws (--terms-share) are balanced, on conditions, of \
                 ordered sources or in shares, the last two as groups"
            }
            Self::Fees => {
                "as uniform, 75 of 100 payments, the rest payouts, transfers, top-ups; fees by kind: \
                 percentage, flat, tiers"
            }
            Self::Csv => {
                "the rows of a file as `ducat import` reads it (--csv FILE --mapping FILE.toml)"
            }
            Self::RefusalHeavy => {
                "a fifth exceeds the funds, a fifth names an unknown account, a tenth pays itself"
            }
        }
    }

    /// How many of `accounts` pay in the workload `hub`.
    fn hubs(accounts: u64) -> u64 {
        (accounts / 2).clamp(1, 8)
    }

    /// What account number `index` of `accounts` is given before the run, minor units.
    pub fn funding(self, index: u64, accounts: u64) -> u64 {
        let hub = match self {
            Self::Hub => index < Self::hubs(accounts),
            Self::Hot => index == 0,
            _ => false,
        };
        match self {
            _ if hub => FUNDING_HUB,
            Self::Terms => FUNDING_TERMS,
            _ => FUNDING,
        }
    }

    /// Whether `--check` adds the journal up once more, in books of its own.
    pub fn is_added_up_again(self) -> bool {
        matches!(self, Self::Refunds | Self::Terms | Self::Fees)
    }
}

/// Which transfer to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index of the account that pays.
    pub debit: u64,
    /// Index of the account that receives; the number of accounts or more names none.
    pub credit: u64,
    /// More than any account owns.
    pub excessive: bool,
}

/// Picks pairs for one worker; owns what the workload needs.
pub struct Picker {
    workload: Workload,
    accounts: u64,
    next_in_ring: u64,
    ranks: Vec<u32>,
    cursors: [usize; 2],
}

impl Picker {
    /// A picker over `accounts` (at least 2) accounts. `start` in 0..accounts sets where a
    /// ring begins, so that several workers do not walk in step.
    pub fn new(
        workload: Workload,
        accounts: u64,
        exponent: f64,
        start: u64,
        rng: &mut Rng,
    ) -> Self {
        let ranks = match workload {
            Workload::Zipf => sample_ranks(accounts, exponent, rng),
            _ => Vec::new(),
        };
        let cursors = [0, ranks.len() / 2];
        Self { workload, accounts, next_in_ring: start % accounts, ranks, cursors }
    }

    /// The next pair; debit and credit differ except where the workload wants them equal.
    #[inline]
    pub fn pick(&mut self, rng: &mut Rng) -> Pick {
        match self.workload {
            // A replay takes its pairs from its file and never asks.
            Workload::Uniform
            | Workload::Mixed
            | Workload::Holds
            | Workload::Refunds
            | Workload::Terms
            | Workload::Fees
            | Workload::Csv => self.uniform(rng),
            Workload::Zipf => self.zipf(rng),
            Workload::Hot => self.hot(rng),
            Workload::Hub => self.hub(rng),
            Workload::Ring => self.ring(),
            Workload::RefusalHeavy => self.refusal_heavy(rng),
        }
    }

    #[inline]
    fn uniform(&self, rng: &mut Rng) -> Pick {
        let debit = rng.below(self.accounts);
        Pick::plain(debit, other_than(debit, self.accounts, rng))
    }

    fn zipf(&mut self, rng: &mut Rng) -> Pick {
        let debit = self.rank(0, rng);
        for _ in 0..16 {
            let credit = self.rank(1, rng);
            if credit != debit {
                return Pick::plain(debit, credit);
            }
        }
        Pick::plain(debit, other_than(debit, self.accounts, rng))
    }

    /// The next sampled account of one of the two cursors. Each pass begins anywhere, so that
    /// the pairs do not come round again.
    #[inline]
    fn rank(&mut self, side: usize, rng: &mut Rng) -> u64 {
        let at = self.cursors[side];
        self.cursors[side] = if at + 1 < self.ranks.len() {
            at + 1
        } else {
            rng.below(self.ranks.len() as u64 / 2) as usize
        };
        u64::from(self.ranks[at])
    }

    fn hot(&self, rng: &mut Rng) -> Pick {
        let other = 1 + rng.below(self.accounts - 1);
        if rng.next() & 1 == 0 { Pick::plain(0, other) } else { Pick::plain(other, 0) }
    }

    fn hub(&self, rng: &mut Rng) -> Pick {
        let hubs = Workload::hubs(self.accounts);
        Pick::plain(rng.below(hubs), hubs + rng.below(self.accounts - hubs))
    }

    fn ring(&mut self) -> Pick {
        let debit = self.next_in_ring;
        self.next_in_ring = if debit + 1 == self.accounts { 0 } else { debit + 1 };
        Pick::plain(debit, self.next_in_ring)
    }

    fn refusal_heavy(&self, rng: &mut Rng) -> Pick {
        let mut pick = self.uniform(rng);
        match rng.below(10) {
            0 | 1 => pick.excessive = true,
            2 | 3 => pick.credit = self.accounts + rng.below(1_000_000),
            4 => pick.credit = pick.debit,
            _ => {}
        }
        pick
    }
}

impl Pick {
    const fn plain(debit: u64, credit: u64) -> Self {
        Self { debit, credit, excessive: false }
    }
}

/// An index other than `taken`, evenly.
#[inline]
fn other_than(taken: u64, accounts: u64, rng: &mut Rng) -> u64 {
    let index = rng.below(accounts - 1);
    if index >= taken { index + 1 } else { index }
}

/// Samples accounts by Zipf's law; ranks are spread over the accounts, as in life, where the
/// busiest accounts were not all opened first.
fn sample_ranks(accounts: u64, exponent: f64, rng: &mut Rng) -> Vec<u32> {
    let zipf = Zipf::new(accounts, exponent);
    let stride = spreading_stride(accounts);
    (0..ZIPF_RING)
        .map(|_| ((u128::from(zipf.draw(rng)) * u128::from(stride)) % u128::from(accounts)) as u32)
        .collect()
}

/// A stride near the golden section that visits every account once.
fn spreading_stride(accounts: u64) -> u64 {
    let golden = (accounts as f64 * 0.618_033_988_75) as u64;
    (golden.max(1)..).find(|&s| gcd(s, accounts) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn picks(workload: Workload, accounts: u64, count: usize) -> Vec<Pick> {
        let mut rng = Rng::new(11, 3);
        let mut picker = Picker::new(workload, accounts, 1.0, 0, &mut rng);
        (0..count).map(|_| picker.pick(&mut rng)).collect()
    }

    #[test]
    fn names_are_those_typed() {
        for workload in Workload::ALL {
            assert_eq!(Workload::from_str(workload.name(), false), Ok(workload));
        }
        assert_eq!(Workload::ALL.len(), Workload::value_variants().len());
    }

    #[test]
    fn all_but_refusal_heavy_name_two_different_accounts() {
        for workload in Workload::ALL.into_iter().filter(|w| *w != Workload::RefusalHeavy) {
            for accounts in [2, 3, 10, 1000] {
                for pick in picks(workload, accounts, 5000) {
                    assert_ne!(pick.debit, pick.credit, "{workload:?}");
                    assert!(pick.debit < accounts && pick.credit < accounts, "{workload:?}");
                    assert!(!pick.excessive);
                }
            }
        }
    }

    #[test]
    fn uniform_uses_every_account_evenly() {
        let mut seen = [0u32; 20];
        for pick in picks(Workload::Uniform, 20, 100_000) {
            seen[pick.debit as usize] += 1;
            seen[pick.credit as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (9500..10_500).contains(&n)), "{seen:?}");
    }

    #[test]
    fn the_busiest_account_of_zipf_has_its_share() {
        let mut seen: HashMap<u64, u32> = HashMap::new();
        for pick in picks(Workload::Zipf, 1000, 200_000) {
            *seen.entry(pick.debit).or_default() += 1;
        }
        let busiest = seen.values().max().copied().unwrap_or_default();
        // 1 / H(1000) = 13.4% of 200,000.
        assert!((25_500..28_000).contains(&busiest), "{busiest}");
    }

    #[test]
    fn the_hot_account_is_in_every_transfer_on_either_side() {
        let all = picks(Workload::Hot, 1000, 10_000);
        assert!(all.iter().all(|p| p.debit == 0 || p.credit == 0));
        let pays = all.iter().filter(|p| p.debit == 0).count();
        assert!((4700..5300).contains(&pays), "{pays}");
    }

    #[test]
    fn hubs_pay_and_others_receive() {
        let all = picks(Workload::Hub, 1000, 10_000);
        assert!(all.iter().all(|p| p.debit < 8 && p.credit >= 8));
    }

    #[test]
    fn the_ring_closes() {
        let all = picks(Workload::Ring, 3, 4);
        let pairs: Vec<_> = all.iter().map(|p| (p.debit, p.credit)).collect();
        assert_eq!(pairs, [(0, 1), (1, 2), (2, 0), (0, 1)]);
    }

    #[test]
    fn half_of_refusal_heavy_breaks_a_rule() {
        let all = picks(Workload::RefusalHeavy, 1000, 100_000);
        let broken =
            all.iter().filter(|p| p.excessive || p.credit >= 1000 || p.credit == p.debit).count();
        assert!((48_500..51_500).contains(&broken), "{broken}");
    }

    #[test]
    fn strides_visit_every_account() {
        for accounts in [2, 3, 10, 97, 1000] {
            let stride = spreading_stride(accounts);
            let mut seen: Vec<u64> = (0..accounts).map(|r| r * stride % accounts).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..accounts).collect::<Vec<_>>());
        }
    }
}
