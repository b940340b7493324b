//! Zipf-distributed ranks by rejection-inversion (Hörmann and Derflinger, 1996): no table,
//! any number of accounts, any exponent above 0. Used by the workload `zipf`.

use super::rng::Rng;

/// Draws ranks 0..n with probability proportional to 1 / (rank + 1)^exponent.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: f64,
    exponent: f64,
    /// Integral of the density's hat up to 1.5, minus the first rank's density.
    h_first: f64,
    /// The same up to n + 0.5.
    h_last: f64,
    /// Draws this close to their rank are accepted without looking further.
    shortcut: f64,
}

impl Zipf {
    /// Over `n` ranks (at least 1) with an exponent above 0.
    pub fn new(n: u64, exponent: f64) -> Self {
        let n = n.max(1) as f64;
        let mut zipf = Self { n, exponent, h_first: 0.0, h_last: 0.0, shortcut: 0.0 };
        zipf.h_first = zipf.h(1.5) - 1.0;
        zipf.h_last = zipf.h(n + 0.5);
        zipf.shortcut = 2.0 - zipf.h_inverse(zipf.h(2.5) - zipf.density(2.0));
        zipf
    }

    /// A rank from 0 (the most frequent) to n - 1.
    pub fn draw(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.h_last + rng.unit() * (self.h_first - self.h_last);
            let x = self.h_inverse(u);
            let k = x.round().clamp(1.0, self.n);
            if k - x <= self.shortcut || u >= self.h(k + 0.5) - self.density(k) {
                return k as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the density.
    fn h(&self, x: f64) -> f64 {
        let log = x.ln();
        log * exp_minus_one_over((1.0 - self.exponent) * log)
    }

    fn h_inverse(&self, x: f64) -> f64 {
        let t = (x * (1.0 - self.exponent)).max(-1.0);
        (x * log_one_plus_over(t)).exp()
    }
}

/// (e^x - 1) / x, also near 0.
fn exp_minus_one_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x * 0.5 * (1.0 + x / 3.0) }
}

/// ln(1 + x) / x, also near 0.
fn log_one_plus_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x / 3.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rank's share is within 5 standard deviations of what the formula says.
    #[test]
    fn shares_have_the_shape_of_the_formula() {
        for exponent in [0.5, 0.99, 1.0, 1.5, 2.0] {
            let (n, draws) = (100u64, 400_000u32);
            let zipf = Zipf::new(n, exponent);
            let mut rng = Rng::new(42, 0);
            let mut seen = vec![0u32; n as usize];
            for _ in 0..draws {
                seen[zipf.draw(&mut rng) as usize] += 1;
            }
            let norm: f64 = (1..=n).map(|k| (k as f64).powf(-exponent)).sum();
            for (rank, &count) in seen.iter().enumerate() {
                let p = (rank as f64 + 1.0).powf(-exponent) / norm;
                let expected = p * f64::from(draws);
                let deviation = (expected * (1.0 - p)).sqrt();
                assert!(
                    (f64::from(count) - expected).abs() < 5.0 * deviation,
                    "exponent {exponent}, rank {rank}: {count} instead of {expected:.0}"
                );
            }
        }
    }

    #[test]
    fn ranks_stay_in_bounds() {
        let mut rng = Rng::new(1, 0);
        for n in [1, 2, 10_000_000] {
            let zipf = Zipf::new(n, 1.1);
            assert!((0..10_000).all(|_| zipf.draw(&mut rng) < n));
        }
    }
}
