//! Records of who did what: the audit trail, as it stands in the journal among the money's events.
//!
//! ```text
//! submissions of one batch ─▶ Tally ─┐
//! changes, reads, refused calls ─────┴▶ AuditEvent ─▶ Record::Audit, with an LSN of its own
//! ```
//!
//! An audit event changes no state: replay counts it and goes on. It is in the chain of hashes, in
//! checkpoints, in archives and backups because it is a record like all others. Texts were masked
//! before they came here ([decision 38](../../docs/adr/0038-audit.md)).

use crate::ids::Lsn;
use crate::rejection::Rejection;
use crate::transfer::Outcome;
use serde::{Deserialize, Serialize};

/// Longest principal, in bytes.
pub const PRINCIPAL_BYTES_MAX: usize = 256;

/// Longest address, user agent, method, entity and reason, in bytes.
pub const WORD_BYTES_MAX: usize = 128;

/// Longest sentence of detail, in bytes.
pub const DETAIL_BYTES_MAX: usize = 512;

/// Most runs of events that one audit event names.
pub const RUNS_MAX: usize = 128;

/// What sort of access it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum AuditKind {
    /// Something was written, or was to be.
    Write = 1,
    /// Somebody with power over the ledger read.
    Read = 2,
    /// Nobody that is known called, or a handshake failed.
    Login = 3,
    /// Somebody known called what they may not.
    Denied = 4,
    /// An operator's command that writes no event: snapshots, backups, checks.
    Command = 5,
}

/// Every kind.
pub const AUDIT_KINDS: [AuditKind; 5] =
    [AuditKind::Write, AuditKind::Read, AuditKind::Login, AuditKind::Denied, AuditKind::Command];

impl AuditKind {
    /// As command lines and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Login => "login",
            Self::Denied => "denied",
            Self::Command => "command",
        }
    }
}

/// How much it matters. The larger matters more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Severity {
    /// As it should be.
    Info = 1,
    /// Worth a look: an operator's change, a request that was wrong.
    Notice = 2,
    /// Somebody was refused.
    Warning = 3,
    /// The server itself failed.
    Error = 4,
}

/// Every severity, from the least.
pub const SEVERITIES: [Severity; 4] =
    [Severity::Info, Severity::Notice, Severity::Warning, Severity::Error];

impl Severity {
    /// As command lines and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum AuditOutcome {
    /// It was decided, or answered. What became of each request, `rejections` tell.
    Done = 1,
    /// It was refused, and nothing was done.
    Refused = 2,
    /// It failed; whether it took effect is told by asking again.
    Failed = 3,
}

/// Every outcome.
pub const AUDIT_OUTCOMES: [AuditOutcome; 3] =
    [AuditOutcome::Done, AuditOutcome::Refused, AuditOutcome::Failed];

impl AuditOutcome {
    /// As command lines and exports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Events that one call made, from the first to the last. What expired or was charged in between
/// lies in it too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The first.
    pub first: Lsn,
    /// The last.
    pub last: Lsn,
}

/// One access, or several alike that came so close that they are told as one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditEvent {
    /// What sort of access.
    pub kind: AuditKind,
    /// How much it matters.
    pub severity: Severity,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// Who, by the names of everything that granted it; empty where nobody is known.
    pub principal: String,
    /// From which address, without its port; empty where none is known.
    pub address: String,
    /// What the client says it is.
    pub agent: String,
    /// The call, `Service/Method`.
    pub method: String,
    /// What it was about, `account 7`; empty where its events tell, or nothing does.
    pub entity: String,
    /// Why it was refused, in capitals; empty where it was not.
    pub reason: String,
    /// The sentence that was told.
    pub detail: String,
    /// How many calls are told of.
    pub calls: u64,
    /// Requests in them: transfers, operations, accounts.
    pub requests: u64,
    /// Of these, those done.
    pub done: u64,
    /// Of these, those that were decided before, which did nothing.
    pub repeats: u64,
    /// Of these, those refused, by rule, in the order of [`Rejection::code`]'s numbers.
    pub rejections: Vec<(Rejection, u64)>,
    /// The events that the calls made, in order.
    pub runs: Vec<Run>,
    /// How long it took until it was decided or answered; the longest of several, nanoseconds.
    pub duration_ns: u64,
    /// Over how long several calls came, nanoseconds; 0 for one, and for those of one batch.
    pub window_ns: u64,
    /// The caller's W3C trace id.
    pub trace: Option<[u8; 16]>,
}

impl AuditEvent {
    /// One call to `method`, of which nothing more is known.
    #[must_use]
    pub fn new(kind: AuditKind, method: &str) -> Self {
        Self {
            kind,
            severity: Severity::Info,
            outcome: AuditOutcome::Done,
            principal: String::new(),
            address: String::new(),
            agent: String::new(),
            method: method.to_owned(),
            entity: String::new(),
            reason: String::new(),
            detail: String::new(),
            calls: 1,
            requests: 0,
            done: 0,
            repeats: 0,
            rejections: Vec::new(),
            runs: Vec::new(),
            duration_ns: 0,
            window_ns: 0,
            trace: None,
        }
    }

    /// The same, with every text and list cut to its bound, so that its record fits.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        cut(&mut self.principal, PRINCIPAL_BYTES_MAX);
        cut(&mut self.detail, DETAIL_BYTES_MAX);
        let words = [&mut self.address, &mut self.agent, &mut self.method, &mut self.entity];
        words.into_iter().for_each(|word| cut(word, WORD_BYTES_MAX));
        cut(&mut self.reason, WORD_BYTES_MAX);
        self.rejections.truncate(usize::from(u8::MAX));
        while self.runs.len() > RUNS_MAX {
            // One run over both is true, if less exact.
            let last = self.runs.pop().expect("more than none").last;
            self.runs.last_mut().expect("more than one").last = last;
        }
        self
    }

    /// Whether one of its calls made the event at `lsn`.
    #[must_use]
    pub fn made(&self, lsn: Lsn) -> bool {
        let behind = self.runs.partition_point(|run| run.last < lsn);
        self.runs.get(behind).is_some_and(|run| run.first <= lsn)
    }

    /// Adds the outcomes of one call's requests. `begins` where no part of it was told before.
    pub fn tally(&mut self, outcomes: &[Outcome], begins: bool) {
        self.calls += u64::from(begins);
        self.requests += outcomes.len() as u64;
        let mut run: Option<Run> = None;
        for outcome in outcomes {
            if outcome.repeat {
                self.repeats += 1;
                continue;
            }
            let first = run.map_or(outcome.lsn, |run| run.first);
            run = Some(Run { first, last: outcome.lsn });
            match outcome.rejection {
                None => self.done += 1,
                Some(rule) => self.refused(rule),
            }
        }
        let Some(run) = run else { return };
        match self.runs.last_mut() {
            Some(before) if before.last.next() == run.first => before.last = run.last,
            _ => self.runs.push(run),
        }
    }

    fn refused(&mut self, rule: Rejection) {
        let place = self.rejections.binary_search_by_key(&(rule as u8), |(rule, _)| *rule as u8);
        match place {
            Ok(at) => self.rejections[at].1 += 1,
            Err(at) => self.rejections.insert(at, (rule, 1)),
        }
    }
}

/// Shortens a text at a character's end.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TransferId;

    fn outcome(lsn: u64, rejection: Option<Rejection>, repeat: bool) -> Outcome {
        Outcome {
            id: TransferId::new(9).expect("not zero"),
            lsn: Lsn(lsn),
            time_ns: 0,
            rejection,
            repeat,
            currency: None,
            debit: None,
            credit: None,
        }
    }

    #[test]
    fn calls_are_counted_by_what_became_of_their_requests() {
        let mut event = AuditEvent { calls: 0, ..AuditEvent::new(AuditKind::Write, "a") };
        let (funds, zero) = (Some(Rejection::InsufficientFunds), Some(Rejection::AmountZero));
        let first = [outcome(7, None, false), outcome(8, funds, false), outcome(9, zero, false)];
        event.tally(&first, true);
        // A known id has its first event's number, which this call did not make.
        event.tally(&[outcome(3, funds, true), outcome(12, funds, false)], true);
        event.tally(&[outcome(7, None, true)], true);
        event.tally(&[outcome(13, None, false)], false);
        let counts = (event.calls, event.requests, event.done, event.repeats);
        assert_eq!(counts, (3, 7, 2, 2));
        let rules = [(Rejection::AmountZero, 1), (Rejection::InsufficientFunds, 2)];
        assert_eq!(event.rejections, rules);
        let run = |first, last| Run { first: Lsn(first), last: Lsn(last) };
        assert_eq!(event.runs, [run(7, 9), run(12, 13)], "neighbours are one");
        let made: Vec<u64> = (0..20).filter(|lsn| event.made(Lsn(*lsn))).collect();
        assert_eq!(made, [7, 8, 9, 12, 13]);
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character_and_runs_are_joined() {
        let mut event = AuditEvent::new(AuditKind::Denied, &"m".repeat(500));
        event.principal = format!("{}é", "p".repeat(PRINCIPAL_BYTES_MAX - 1));
        let run = |at| Run { first: Lsn(at), last: Lsn(at) };
        event.runs = (1..=200).map(|at| run(2 * at)).collect();
        let event = event.bounded();
        assert_eq!(event.principal.len(), PRINCIPAL_BYTES_MAX - 1);
        assert_eq!(event.method.len(), WORD_BYTES_MAX);
        assert_eq!(event.runs.len(), RUNS_MAX);
        assert!(event.made(Lsn(2)) && event.made(Lsn(400)) && !event.made(Lsn(3)));
    }
}
