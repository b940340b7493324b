//! Calls of one batch that are alike, told as one.

use super::Seed;
use crate::tasks::Submission;
use ducat_engine::audit::{AuditEvent, AuditKind, RUNS_MAX};
use ducat_engine::coordinator::Answer;
use ducat_engine::ids::Lsn;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Submissions of one batch that one audit event tells of: of the same caller, to the same method, in
/// the same trace or in none.
pub(crate) struct Group {
    /// The event's place, behind all that the batch did.
    pub lsn: Lsn,
    /// By place in the batch.
    members: Vec<usize>,
}

/// What calls have in common that are told as one.
#[derive(PartialEq, Eq, Hash)]
struct Alike {
    who: usize,
    method: &'static str,
    trace: Option<[u8; 16]>,
}

impl Alike {
    fn of(seed: &Seed) -> Self {
        let who = Arc::as_ptr(&seed.who).addr();
        Self { who, method: seed.method, trace: seed.trace }
    }
}

/// Puts submissions into groups, each with its LSN. Those that nobody asked to be told of are in none.
pub(crate) fn group(submissions: &[Submission], mut lsn: impl FnMut() -> Lsn) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // Mostly there is one large batch, and nothing to look up.
    let mut open: HashMap<Alike, usize> = HashMap::new();
    for (at, submission) in submissions.iter().enumerate() {
        let Some(seed) = &submission.audit else { continue };
        let alike = Alike::of(seed);
        match open.get(&alike) {
            Some(found) if groups[*found].members.len() < RUNS_MAX => {
                groups[*found].members.push(at);
            }
            _ => {
                open.insert(alike, groups.len());
                groups.push(Group { lsn: lsn(), members: vec![at] });
            }
        }
    }
    groups
}

/// The event of a group, now that its submissions are decided.
pub(crate) fn told(
    group: &Group,
    submissions: &[Submission],
    answers: &[(Answer, Option<usize>)],
) -> Box<AuditEvent> {
    let mut event: Option<AuditEvent> = None;
    for (submission, (answer, _)) in
        group.members.iter().map(|at| (&submissions[*at], &answers[*at]))
    {
        let Some(seed) = &submission.audit else { continue };
        seed.told.store(true, Ordering::Release);
        let own = seed.event(AuditKind::Write);
        let event = event.get_or_insert_with(|| AuditEvent { calls: 0, ..own.clone() });
        event.duration_ns = event.duration_ns.max(own.duration_ns);
        event.tally(&answer.outcomes, !submission.goes_on);
    }
    Box::new(event.expect("a group has members that are told of"))
}
