//! The history of a run held against the journal: after the server has stopped, every answer
//! that clients got must be in the journal, once, and say the same; and what the journal holds
//! must replay into a ledger whose figures and sums are right. Finds lost acknowledgements,
//! double effects and answers that were never decided so.

use crate::check::Check;
use crate::generator::Batch;
use crate::tally::ID_REUSED;
use crate::target::{REPEAT, Reply};
use anyhow::Context;
use ducat_actors::replay::{Until, replay_offline};
use ducat_api::compose::{self, OpenJournal};
use ducat_engine::codec::decode_all;
use ducat_engine::ids::{ShardId, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::rejection::Rejection;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The only shard there is.
const SHARD: ShardId = ShardId(0);

/// How long to wait until nobody holds the journal any more.
const LET_GO: Duration = Duration::from_secs(30);

/// No answer came for this id.
const UNANSWERED: u8 = 0xff;

/// Set once the journal has shown the id.
const SEEN: u8 = 0x80;

/// The bits of an id that count a client thread's transfers.
const COUNTED_BITS: u32 = 48;

/// The answer to every id, a byte each.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// By the run and the thread in the ids, then by the count in them.
    ids: BTreeMap<(u64, u64), Vec<u8>>,
    /// Repeats that were answered otherwise than before.
    conflicts: u64,
}

impl Answers {
    /// Notes the answers to a batch; calls `note` with the place of each in the batch and
    /// whether it is the first one to its id. A client that sends again what was not answered is told of a repeat where its
    /// first sending took effect: the call is one, from its first sending to its answer, and
    /// that answer is its first, whatever its mark.
    pub fn record(&mut self, batch: &Batch, reply: &Reply, mut note: impl FnMut(usize, u8, bool)) {
        for (at, (item, answer)) in batch.items.iter().zip(&reply.answers).enumerate() {
            let code = answer & !REPEAT;
            if code == ID_REUSED {
                continue;
            }
            let key = (batch.id_high, item.id >> COUNTED_BITS);
            note(at, *answer, self.note(key, counted(item.id), code));
        }
    }

    /// Whether this is the first answer to the id.
    fn note(&mut self, key: (u64, u64), at: usize, code: u8) -> bool {
        let codes = self.ids.entry(key).or_default();
        if codes.len() <= at {
            codes.resize(at + 1, UNANSWERED);
        }
        let first = codes[at] == UNANSWERED;
        if first {
            codes[at] = code;
        } else if codes[at] != code {
            self.conflicts += 1;
        }
        first
    }

    /// Adds another thread's answers.
    pub fn merge(&mut self, other: &Self) {
        self.conflicts += other.conflicts;
        for (key, codes) in &other.ids {
            for (at, code) in codes.iter().enumerate().filter(|(_, code)| **code != UNANSWERED) {
                self.note(*key, at, *code);
            }
        }
    }

    /// Whether `id` belongs to these runs, with its answer.
    fn of(&mut self, id: TransferId) -> Option<&mut u8> {
        let (low, key) = (id.low(), (id.high(), id.low() >> COUNTED_BITS));
        self.ids.get_mut(&key)?.get_mut(counted(low))
    }
}

fn counted(id: u64) -> usize {
    (id & ((1 << COUNTED_BITS) - 1)) as usize
}

/// What holding answers against decisions found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    same: u64,
    other: u64,
    twice: u64,
    untold: u64,
    lost: u64,
}

impl Findings {
    /// Takes one decision of the journal.
    fn decided(&mut self, answers: &mut Answers, id: TransferId, code: u8) {
        let Some(answer) = answers.of(id) else { return };
        if *answer == UNANSWERED {
            self.untold += 1;
        } else if *answer & SEEN != 0 {
            self.twice += 1;
        } else if *answer == code {
            self.same += 1;
            *answer |= SEEN;
        } else {
            self.other += 1;
            *answer |= SEEN;
        }
    }

    /// Counts what was answered and never decided.
    fn end(&mut self, answers: &Answers) {
        let all = answers.ids.values().flatten();
        self.lost = all.filter(|answer| *answer & SEEN == 0).count() as u64;
    }
}

/// Opens the journal. An engine of this process lets go of it a moment after its shutdown.
fn open(data: &Path) -> anyhow::Result<OpenJournal> {
    let begun = Instant::now();
    loop {
        match compose::open_existing_with(data, crate::child::opening(data)?) {
            Err(error) if error.is_in_use() && begun.elapsed() < LET_GO => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.context("open the journal after the run"),
        }
    }
}

/// Reads the journal below `data`, which no server holds any more. `certain` says that every
/// request was answered, so that no decision may be unknown.
pub fn check(data: &Path, answers: &mut Answers, certain: bool) -> anyhow::Result<Vec<Check>> {
    let opened = open(data)?;
    let mut ledger =
        Ledger::new(1, 0, REMEMBER_NS).context("a ledger of one partition was refused")?;
    let replayed = replay_offline(
        &*opened.journal,
        SHARD,
        &mut ledger,
        Until::default(),
        &mut (),
        Box::new(|_| {}),
    );
    let held = replayed.is_ok();
    let whole = match replayed {
        Ok(tail) => format!("{} events in {} frames", tail.records, tail.frames),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    let whole = Check {
        name: "the journal is whole and replays to sums of zero".into(),
        held: Some(held),
        detail: whole,
    };
    drop(ledger);
    let mut findings = Findings::default();
    let mut unreadable = 0u64;
    opened.journal.scan(SHARD, &mut |frame, _| {
        for record in decode_all(frame.payload()) {
            match record {
                Ok(record) => {
                    let number = record.rejection().map_or(0, Rejection::number);
                    if let Some(id) = record.transfer_id() {
                        findings.decided(answers, id, number);
                    }
                }
                Err(_) => unreadable += 1,
            }
        }
        Ok(())
    })?;
    findings.end(answers);
    Ok(vec![whole, verdict(&findings, answers.conflicts, unreadable, certain)])
}

fn verdict(found: &Findings, conflicts: u64, unreadable: u64, certain: bool) -> Check {
    let Findings { same, other, twice, untold, lost } = found;
    let wrong = other + twice + lost + conflicts + unreadable;
    let unknown = if certain { *untold } else { 0 };
    Check {
        name: "every answer is in the journal, once, and says the same".into(),
        held: Some(wrong + unknown == 0),
        detail: format!(
            "{same} the same, {lost} lost, {other} otherwise, {twice} twice, {conflicts} repeats \
             otherwise, {untold} decided and not told"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Item;

    fn answers(codes: &[(u64, u8)]) -> Answers {
        let items = codes.iter().map(|(id, _)| Item { id: *id, ..Item::default() }).collect();
        let reply =
            Reply { answers: codes.iter().map(|(_, code)| *code).collect(), ..Reply::default() };
        let mut answers = Answers::default();
        answers.record(&Batch { id_high: 7, items }, &reply, |_, _, _| {});
        answers
    }

    /// Holds answers against decisions, given as lower halves of ids and codes.
    fn held(mut answers: Answers, decided: &[(u64, u8)]) -> (Findings, Option<bool>) {
        let mut findings = Findings::default();
        for (low, code) in decided {
            let id = TransferId::from_halves(7, *low).expect("not zero");
            findings.decided(&mut answers, id, *code);
        }
        findings.end(&answers);
        let verdict = verdict(&findings, answers.conflicts, 0, true);
        (findings, verdict.held)
    }

    const SECOND_THREAD: u64 = 1 << COUNTED_BITS;

    #[test]
    fn a_true_history_holds() {
        let mut all = answers(&[(1, 0), (2, 14), (1, REPEAT), (2, 14 | REPEAT)]);
        all.merge(&answers(&[(SECOND_THREAD + 1, 0)]));
        let (found, held) = held(all, &[(2, 14), (SECOND_THREAD + 1, 0), (1, 0)]);
        assert_eq!((found.same, held), (3, Some(true)));
    }

    #[test]
    fn every_planted_fault_is_found() {
        let truth = || answers(&[(1, 0), (2, 14)]);
        for (what, answers, decided) in [
            ("a lost acknowledgement", truth(), vec![(2, 14)]),
            ("another outcome", truth(), vec![(1, 0), (2, 0)]),
            ("a double effect", truth(), vec![(1, 0), (1, 0), (2, 14)]),
            (
                "a decision nobody was told of",
                answers(&[(1, 0), (3, 0)]),
                vec![(1, 0), (2, 0), (3, 0)],
            ),
            ("a repeat answered otherwise", answers(&[(1, 0), (1, 6 | REPEAT)]), vec![(1, 0)]),
        ] {
            assert_eq!(held(answers, &decided).1, Some(false), "{what}");
        }
    }
}
