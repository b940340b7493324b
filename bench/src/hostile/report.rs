//! What attacks came to, as written to JSON; [`super::table`] prints it for people.

use super::HostileArgs;
use super::attack::Spent;
use super::newcomers::Seen;
use crate::check::Check;
use crate::facts::Machine;
use crate::report::{Harness, Server, Setup};
use crate::tally::Tally;
use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a 99th percentile may be beside an attack, in multiples of that alone.
const RATIO_MAX: f64 = 2.0;

/// The run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostileReport {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// The load of single transfers.
    pub setup: Setup,
    /// The ledger.
    pub server: Server,
    /// Transfers in a batch of the load beside it.
    pub batch: usize,
    /// Transfers a second in those.
    pub batch_rate: f64,
    /// How often each attack was made.
    pub rounds: u32,
    /// Threads of attackers, of the lowest priority.
    pub attack_threads: u8,
    /// Attempts a second at most; absent: as many as they could.
    pub tries_per_s_max: Option<u32>,
    /// The server's memory before the first attack, bytes.
    pub memory_bytes_at_first: Option<u64>,
    /// Each attack.
    pub rows: Vec<HostileRow>,
    /// What was held to something.
    pub checks: Vec<Check>,
    /// What a reader must know before believing a figure.
    pub warnings: Vec<String>,
}

impl HostileReport {
    /// Whether every check held.
    pub fn held(&self) -> bool {
        self.checks.iter().all(|check| check.held != Some(false))
    }
}

/// One attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostileRow {
    /// Its name.
    pub attack: String,
    /// Connections, frames, streams or calls, whatever it is made of, a second.
    pub tries_per_s: f64,
    /// Connections of it that ended in an error.
    pub turned_away: u64,
    /// What the attackers took of a core, 1 for all of one; absent where the system does not tell.
    pub attackers_cores: Option<f64>,
    /// The same of the server, alone.
    pub server_cores_alone: Option<f64>,
    /// The same beside the attack.
    pub server_cores_beside: Option<f64>,
    /// Single transfers.
    pub single: Pair,
    /// Batches.
    pub batched: Pair,
    /// Requests of the measured clients, beside the attack, that were refused, failed or never
    /// answered, by class.
    pub errors: BTreeMap<String, u64>,
    /// The first of each class, in words.
    pub error_examples: BTreeMap<String, String>,
    /// The same alone.
    pub errors_alone: u64,
    /// Clients that connected during the attack.
    pub newcomers: u64,
    /// Of them answered within ten seconds.
    pub newcomers_answered: u64,
    /// How long the slowest of them waited for its first answer, milliseconds.
    pub newcomer_slowest_ms: f64,
    /// The server's memory before, bytes.
    pub memory_bytes_before: Option<u64>,
    /// The most it was during the attack, bytes.
    pub memory_bytes_max: Option<u64>,
    /// Whether somebody new was answered after the attack.
    pub alive: bool,
}

/// One load, alone and beside an attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Alone.
    pub alone: Times,
    /// Beside the attack.
    pub beside: Times,
    /// 99th percentile beside, in multiples of that alone.
    pub p99_ratio: f64,
}

/// How long requests took from the moment they were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Requests.
    pub requests: u64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// The longest, milliseconds.
    pub max_ms: f64,
}

impl Times {
    fn of(latency: &Histogram<u64>) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        Self {
            requests: latency.len(),
            p50_ms: ms(latency.value_at_quantile(0.5)),
            p99_ms: ms(latency.value_at_quantile(0.99)),
            max_ms: ms(latency.max()),
        }
    }
}

/// All rounds' halves of one kind.
#[derive(Default)]
pub struct Sum {
    single: Option<Histogram<u64>>,
    batched: Option<Histogram<u64>>,
    errors: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
    cpu_s: Option<f64>,
    seconds: f64,
}

impl Sum {
    /// Adds a round's.
    pub fn add(
        &mut self,
        single: &Tally,
        batched: &Tally,
        cpu_s: Option<f64>,
        seconds: f64,
    ) -> anyhow::Result<()> {
        for (sum, tally) in [(&mut self.single, single), (&mut self.batched, batched)] {
            match sum {
                Some(sum) => sum.add(&tally.latency)?,
                None => *sum = Some(tally.latency.clone()),
            }
            for (class, error) in &tally.errors {
                *self.errors.entry(class.clone()).or_default() += error.requests;
                self.examples.entry(class.clone()).or_insert_with(|| error.example.clone());
            }
            let lost = [
                ("never answered", tally.whole.unanswered_requests),
                ("never sent", tally.whole.unsent_requests),
            ];
            for (class, count) in lost.into_iter().filter(|(_, count)| *count > 0) {
                *self.errors.entry(class.to_owned()).or_default() += count;
            }
        }
        self.cpu_s = cpu_s.map(|cpu_s| self.cpu_s.unwrap_or(0.0) + cpu_s);
        self.seconds += seconds;
        Ok(())
    }

    fn cores(&self) -> Option<f64> {
        self.cpu_s.map(|cpu_s| cpu_s / self.seconds.max(1e-9))
    }
}

impl HostileRow {
    /// The figures of both halves of one attack.
    pub fn of(
        attack: String,
        [alone, beside]: [&Sum; 2],
        spent: Spent,
        newcomers: Seen,
        memory_bytes_before: Option<u64>,
        alive: bool,
    ) -> anyhow::Result<Self> {
        let pair = |alone: &Option<Histogram<u64>>, beside: &Option<Histogram<u64>>| {
            let times = |latency: &Option<Histogram<u64>>| {
                latency.as_ref().map(Times::of).context("nothing was measured")
            };
            let (alone, beside) = (times(alone)?, times(beside)?);
            anyhow::Ok(Pair { alone, beside, p99_ratio: beside.p99_ms / alone.p99_ms.max(1e-6) })
        };
        Ok(Self {
            attack,
            tries_per_s: spent.tried as f64 / spent.seconds.max(1e-9),
            turned_away: spent.turned_away,
            attackers_cores: spent.cpu_s.map(|cpu_s| cpu_s / spent.seconds.max(1e-9)),
            server_cores_alone: alone.cores(),
            server_cores_beside: beside.cores(),
            single: pair(&alone.single, &beside.single)?,
            batched: pair(&alone.batched, &beside.batched)?,
            errors: beside.errors.clone(),
            error_examples: beside.examples.clone(),
            errors_alone: alone.errors.values().sum(),
            newcomers: newcomers.came,
            newcomers_answered: newcomers.answered,
            newcomer_slowest_ms: newcomers.slowest_ms,
            memory_bytes_before,
            memory_bytes_max: newcomers.memory_bytes_max,
            alive,
        })
    }

    /// Requests that were not answered as they should, beside the attack.
    pub fn errors_sum(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The larger of its two ratios.
    pub fn p99_ratio(&self) -> f64 {
        self.single.p99_ratio.max(self.batched.p99_ratio)
    }
}

/// What attacks are held to.
pub fn checks(
    arguments: &HostileArgs,
    rows: &[HostileRow],
    memory_at_first: Option<u64>,
) -> Vec<Check> {
    let of = |what: &str, wrong: Vec<String>| {
        let detail = if wrong.is_empty() { "all".to_owned() } else { wrong.join("; ") };
        Check::new(what, Some(wrong.is_empty()), detail)
    };
    let named = |wrong: &dyn Fn(&HostileRow) -> Option<String>| -> Vec<String> {
        let named = |row: &HostileRow| wrong(row).map(|wrong| format!("{}: {wrong}", row.attack));
        rows.iter().filter_map(named).collect()
    };
    let errors = named(&|row| {
        let classes: Vec<_> = row
            .errors
            .iter()
            .map(|(class, count)| match row.error_examples.get(class) {
                Some(example) => format!("{count} {class} ({example})"),
                None => format!("{count} {class}"),
            })
            .collect();
        (!classes.is_empty()).then(|| classes.join(", "))
    });
    let newcomers = named(&|row| {
        let missing = row.newcomers - row.newcomers_answered;
        (missing > 0).then(|| format!("{missing} of {} were not", row.newcomers))
    });
    let dead = named(&|row| (!row.alive).then(|| "it answers nobody".to_owned()));
    let most = rows.iter().filter_map(|row| row.memory_bytes_max).max();
    let grown = most.zip(memory_at_first).map(|(most, first)| most.saturating_sub(first) >> 20);
    let mut checks = vec![
        of("the server lives", dead),
        of("every request of the measured clients was answered", errors),
        of("who connected during an attack was answered", newcomers),
        Check::new(
            "memory stayed under its bound",
            grown.map(|grown| grown <= arguments.memory_mib_max),
            match grown {
                Some(grown) => format!("{grown} of {} MiB more", arguments.memory_mib_max),
                None => "the server's process is not known".to_owned(),
            },
        ),
    ];
    if arguments.judge {
        let slow = named(&|row| {
            let ratio = row.p99_ratio();
            (ratio > RATIO_MAX).then(|| format!("{ratio:.2}"))
        });
        checks.push(of("p99 beside an attack is at most twice that alone", slow));
    }
    checks
}

/// What a reader must know before believing a figure.
pub fn warnings(harness: &Harness, machine: &Machine) -> Vec<String> {
    let mut warnings = vec![
        "attackers, clients and server share this machine; the attackers' threads have the lowest \
         priority (nice 19), so that the figures are of what the server does and not of who gets \
         the cores"
            .to_owned(),
    ];
    if harness.profile != "release" {
        warnings.push("the harness is a debug build; its figures mean nothing".to_owned());
    }
    if machine.disk.as_ref().is_some_and(crate::facts::Disk::is_memory) {
        warnings.push("the data directory is in memory; durable writes cost nothing there".into());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn row() -> HostileRow {
        let times = Times { requests: 10, p50_ms: 1.0, p99_ms: 2.0, max_ms: 3.0 };
        let pair = Pair { alone: times, beside: times, p99_ratio: 1.0 };
        HostileRow {
            attack: "garbage".into(),
            tries_per_s: 1.0,
            turned_away: 0,
            attackers_cores: None,
            server_cores_alone: None,
            server_cores_beside: None,
            single: pair,
            batched: pair,
            errors: BTreeMap::new(),
            error_examples: BTreeMap::new(),
            errors_alone: 0,
            newcomers: 3,
            newcomers_answered: 3,
            newcomer_slowest_ms: 1.0,
            memory_bytes_before: Some(0),
            memory_bytes_max: Some(100 << 20),
            alive: true,
        }
    }

    fn held(line: &str, row: HostileRow) -> bool {
        let words = ["ducat-bench", "hostile"].into_iter().chain(line.split_whitespace());
        let Command::Hostile(arguments) = Cli::try_parse_from(words).expect("parses").command
        else {
            panic!("another command")
        };
        checks(&arguments, &[row], Some(0)).iter().all(|check| check.held == Some(true))
    }

    #[test]
    fn every_way_to_fail_fails() {
        assert!(held("", row()) && held("--judge", row()));
        assert!(!held("", HostileRow { alive: false, ..row() }));
        assert!(!held("", HostileRow { newcomers_answered: 2, ..row() }));
        assert!(!held("", HostileRow { errors: [("UNAVAILABLE".into(), 1)].into(), ..row() }));
        assert!(!held("--memory-mib-max 99", row()));
        let slow = HostileRow { batched: Pair { p99_ratio: 2.1, ..row().batched }, ..row() };
        assert!(held("", slow.clone()), "times are judged where that is asked for");
        assert!(!held("--judge", slow));
    }
}
