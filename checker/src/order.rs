//! Real time: what was sent after an answer had arrived comes after what was answered.

use crate::fault::{Kind, Report};
use crate::history::Span;
use ducat_engine::ids::Lsn;

/// When a call was sent and answered, and which LSNs it brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    span: Span,
    /// The lowest LSN that was decided for it.
    decided: Lsn,
    /// The highest LSN that its answer speaks of; so much is known from then on.
    told: Lsn,
    /// The LSN of a read.
    read: Option<Lsn>,
    /// The highest LSN that was known to anyone when it was sent.
    pub floor: Lsn,
}

const NONE: Lsn = Lsn(u64::MAX);

impl Moment {
    pub fn new(span: Span) -> Self {
        Self { span, decided: NONE, told: Lsn::ZERO, read: None, floor: Lsn::ZERO }
    }

    /// The answer speaks of an event.
    pub fn tells(&mut self, lsn: Lsn) {
        self.told = self.told.max(lsn);
    }

    /// The call itself was given a place.
    pub fn decides(&mut self, lsn: Lsn) {
        self.decided = self.decided.min(lsn);
    }

    /// The call read the state of an LSN.
    pub fn reads(&mut self, lsn: Lsn) {
        self.tells(lsn);
        self.read = Some(lsn);
    }
}

/// Finds for each call what was known when it was sent, and whether its answer respects that.
pub(crate) fn check(moments: &mut [Moment], report: &mut Report) {
    let numbers = || 0..u32::try_from(moments.len()).expect("fewer calls than 2^32");
    let mut sent: Vec<(u64, u32)> =
        numbers().map(|at| (moments[at as usize].span.sent_at, at)).collect();
    let mut answered: Vec<(u64, u32)> =
        numbers().map(|at| (moments[at as usize].span.answered_at, at)).collect();
    sent.sort_unstable();
    answered.sort_unstable();
    let mut known = Lsn::ZERO;
    let mut answers = answered.into_iter().peekable();
    for (sent_at, at) in sent {
        // At the same moment is not before.
        while let Some((_, other)) = answers.next_if(|(answered_at, _)| *answered_at < sent_at) {
            known = known.max(moments[other as usize].told);
        }
        let moment = &mut moments[at as usize];
        moment.floor = known;
        if moment.decided != NONE && moment.decided <= known {
            report.add(Kind::LsnBackwards, moment.decided, || {
                format!("sent when LSN {known} had been told, and placed before it")
            });
        }
        if let Some(lsn) = moment.read.filter(|lsn| *lsn < known) {
            report.add(Kind::StaleRead, lsn, || {
                format!("read as of LSN {lsn} when LSN {known} had been told")
            });
        }
    }
}
