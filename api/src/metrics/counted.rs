//! What was counted, as `GetStatus` tells it.

use super::Metrics;
use crate::proto;
use crate::wire_requests::WireRequest;
use ducat_actors::latency::{BOUNDS_US, LatencyFigures};
use std::sync::PoisonError;

impl Metrics {
    /// Looks at some of a batch's requests for the accounts that most of them concern.
    pub(crate) fn sample(&self, batch: &[WireRequest]) {
        self.hot.look(batch);
    }

    /// Puts what was counted into the answer; the accounts only where its caller sees all.
    pub(crate) fn tell(&self, answer: &mut proto::GetStatusResponse, sees_all: bool) {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        answer.refusals = refusals
            .iter()
            .map(|(reason, count)| proto::RefusalCount {
                reason: (*reason).to_owned(),
                count: *count,
            })
            .collect();
        drop(refusals);
        let totals = self.call_totals();
        let counts = totals.latency.iter().map(|&(_, count)| count);
        answer.calls_took = Some(durations(counts.collect(), totals.took_s));
        if let Some(sources) = self.sources() {
            let LatencyFigures { buckets, sum_s, .. } = sources.handle.append_latency();
            let counts = buckets.iter().map(|&(_, count)| count);
            answer.appends_took = Some(durations(counts.collect(), sum_s));
        }
        if sees_all {
            let hot = self.hot.busiest().into_iter();
            answer.hot_accounts = hot
                .map(|(id, share_permille)| proto::HotAccount {
                    id: id.low(),
                    id_high: id.high(),
                    share_permille,
                })
                .collect();
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn durations(counts: Vec<u64>, sum_s: f64) -> proto::Durations {
    proto::Durations { bounds_us: BOUNDS_US.to_vec(), counts, sum_ns: (sum_s * 1e9) as u64 }
}
