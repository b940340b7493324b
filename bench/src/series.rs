//! A run second by second: what was answered, what failed and how long it took, so that a
//! stall is seen and not averaged away.

use crate::tally::nanos;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Latencies of a second are kept with 2 digits from 1 µs up, growing as needed: a few KB.
const LATENCY_NS_MIN: u64 = 1_000;

/// One second of a run while it is counted.
#[derive(Clone)]
struct Second {
    /// Transfers (or accounts read) answered in this second.
    answered: u64,
    /// Of those whose request belongs to this second, whenever answered: with open loop those
    /// due in it, else those answered in it.
    belonging: u64,
    /// Transfers failed by class, of requests that belong to this second.
    failed: BTreeMap<String, u64>,
    /// Latency of the requests that belong to this second, nanoseconds.
    latency: Histogram<u32>,
}

impl Second {
    fn new() -> anyhow::Result<Self> {
        let mut latency = Histogram::new_with_bounds(LATENCY_NS_MIN, 2 * LATENCY_NS_MIN, 2)?;
        latency.auto(true);
        Ok(Self { answered: 0, belonging: 0, failed: BTreeMap::new(), latency })
    }
}

/// The seconds of a run.
#[derive(Clone, Default)]
pub struct Series {
    seconds: Vec<Second>,
}

/// One second as reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondFigures {
    /// Transfers (of reads: accounts) answered in this second.
    pub answered: u64,
    /// Transfers that were due in this second; open loop only.
    pub offered: Option<u64>,
    /// Transfers that failed.
    pub failed: u64,
    /// Requests measured: with open loop those due in this second, else those answered in it.
    pub requests: u64,
    /// Their median, milliseconds.
    pub p50_ms: f64,
    /// Their 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Their maximum, milliseconds.
    pub max_ms: f64,
}

/// Several seconds together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// Transfers answered, of requests that belong to these seconds.
    pub answered: u64,
    /// Transfers failed by class.
    pub failed: BTreeMap<String, u64>,
    /// Requests answered.
    pub requests: u64,
    /// Their median, milliseconds.
    pub p50_ms: f64,
    /// Their 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Their maximum, milliseconds.
    pub max_ms: f64,
}

impl Series {
    fn at(&mut self, after: Duration) -> anyhow::Result<&mut Second> {
        let index = after.as_secs() as usize;
        while self.seconds.len() <= index {
            self.seconds.push(Second::new()?);
        }
        Ok(&mut self.seconds[index])
    }

    /// Counts transfers answered `after` the beginning.
    pub fn answered(&mut self, after: Duration, transfers: u64) -> anyhow::Result<()> {
        self.at(after)?.answered += transfers;
        Ok(())
    }

    /// Counts a request's latency in the second it belongs to.
    pub fn took(&mut self, after: Duration, took: Duration, transfers: u64) -> anyhow::Result<()> {
        let second = self.at(after)?;
        second.belonging += transfers;
        second.latency.record(nanos(took).max(LATENCY_NS_MIN))?;
        Ok(())
    }

    /// Counts a failure in the second its request belongs to.
    pub fn failed(&mut self, after: Duration, class: &str, transfers: u64) -> anyhow::Result<()> {
        let failed = &mut self.at(after)?.failed;
        match failed.get_mut(class) {
            Some(count) => *count += transfers,
            None => drop(failed.insert(class.to_owned(), transfers)),
        }
        Ok(())
    }

    /// Adds another thread's seconds.
    pub fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        for (index, second) in other.seconds.iter().enumerate() {
            let own = self.at(Duration::from_secs(index as u64))?;
            own.answered += second.answered;
            own.belonging += second.belonging;
            own.latency.add(&second.latency)?;
            for (class, count) in &second.failed {
                *own.failed.entry(class.clone()).or_default() += count;
            }
        }
        Ok(())
    }

    /// The figures of each second; `offered` in transfers, empty for the closed loop.
    pub fn figures(&self, offered: &[u64]) -> Vec<SecondFigures> {
        let seconds = self.seconds.len().max(offered.len());
        let figures = |index: usize| {
            let offered = (!offered.is_empty()).then(|| offered.get(index).copied().unwrap_or(0));
            let Some(second) = self.seconds.get(index) else {
                return SecondFigures { offered, ..SecondFigures::default() };
            };
            let (p50_ms, p99_ms, max_ms) = percentiles(&second.latency);
            SecondFigures {
                answered: second.answered,
                offered,
                failed: second.failed.values().sum(),
                requests: second.latency.len(),
                p50_ms,
                p99_ms,
                max_ms,
            }
        };
        (0..seconds).map(figures).collect()
    }

    /// Seconds `from..to` together.
    pub fn span(&self, from: usize, to: usize) -> anyhow::Result<Span> {
        let (mut span, mut latency) = (Span::default(), Second::new()?.latency);
        for second in self.seconds.iter().take(to).skip(from) {
            span.answered += second.belonging;
            latency.add(&second.latency)?;
            for (class, count) in &second.failed {
                *span.failed.entry(class.clone()).or_default() += count;
            }
        }
        (span.p50_ms, span.p99_ms, span.max_ms) = percentiles(&latency);
        span.requests = latency.len();
        Ok(span)
    }
}

fn percentiles(latency: &Histogram<u32>) -> (f64, f64, f64) {
    if latency.is_empty() {
        return (0.0, 0.0, 0.0);
    }
    let ms = |ns: u64| ns as f64 / 1e6;
    let at = |quantile| ms(latency.value_at_quantile(quantile));
    (at(0.5), at(0.99), ms(latency.max()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_stall_shows_in_its_second_only() {
        let (mut a, mut b) = (Series::default(), Series::default());
        for at in 0..300 {
            let took = if (100..200).contains(&at) { ms(900) } else { ms(2) };
            let series = if at % 2 == 0 { &mut a } else { &mut b };
            series.answered(ms(at * 10), 7).expect("counted");
            series.took(ms(at * 10), took, 7).expect("counted");
        }
        b.failed(ms(1500), "UNAVAILABLE", 3).expect("counted");
        a.merge(&b).expect("merged");
        let figures = a.figures(&[700, 700, 700, 5]);
        assert_eq!(figures.iter().map(|s| s.answered).collect::<Vec<_>>(), [700, 700, 700, 0]);
        assert_eq!(figures.iter().map(|s| s.failed).collect::<Vec<_>>(), [0, 3, 0, 0]);
        assert_eq!((figures[3].offered, figures[3].requests), (Some(5), 0));
        assert!(figures[0].max_ms < 3.0 && figures[2].p99_ms < 3.0, "{figures:?}");
        assert!((890.0..=910.0).contains(&figures[1].p50_ms), "{figures:?}");

        let span = a.span(1, 3).expect("spanned");
        assert_eq!((span.answered, span.requests, span.failed["UNAVAILABLE"]), (1400, 200, 3));
        assert!(span.p50_ms < 3.0 && span.p99_ms > 890.0, "{span:?}");
    }
}
