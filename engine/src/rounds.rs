//! Submissions taken up in rounds: mostly one, for all of them.
//!
//! A batch ends in front of a group that speaks of a hold which the batch changes already, or refunds
//! what it refunds already, and one full of expiries takes no request at all ([`Coordinator::add`]).
//! What is left over comes in the next round, decided at the same time; the answers are put together
//! again.
//!
//! A group that refunds what was not read yet is given back to whoever carries the requests, with
//! all that follows it in its submission ([`Rounds::answers`]); with [`Rounds::in_order`] instead the
//! rounds wait for it ([`Rounds::unread`]).
//!
//! ```text
//! begin ─▶ Rounds::fill ─▶ prepare, decide, commit ─▶ conclude ─▶ Rounds::collect
//!   ▲                                                                │
//!   └────────────────────────── until done ──────────────────────────┘
//! ```

use crate::coordinator::{Answer, Coordinator};
use crate::plan::Plan;
use crate::request::Request;
use std::ops::Range;

/// Where some submissions stand.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// The first submission that is not taken up whole, and how much of it is.
    next: (usize, usize),
    /// What this round took up of which submission.
    parts: Vec<(usize, Range<usize>)>,
    answers: Vec<Answer>,
    /// From where on nothing of a submission was taken up, having to be read first.
    left: Vec<Option<usize>>,
    in_order: bool,
    unread: bool,
    over: bool,
}

impl Rounds {
    /// For so many submissions.
    #[must_use]
    pub fn of(submissions: usize) -> Self {
        let (answers, left) = (vec![Answer::default(); submissions], vec![None; submissions]);
        Self { answers, left, ..Self::default() }
    }

    /// For so many submissions, all of which are taken up in order: where something has to be read
    /// first, nothing behind it is taken up before.
    #[must_use]
    pub fn in_order(submissions: usize) -> Self {
        Self { in_order: true, ..Self::of(submissions) }
    }

    /// The submission and the place in it at which something has to be read before the next
    /// [`Self::fill`].
    #[must_use]
    pub fn unread(&self) -> Option<(usize, usize)> {
        self.unread.then_some(self.next)
    }

    /// Adds what the next batch can hold; `requests` gives the requests of a submission, of
    /// which none is empty.
    pub fn fill<'a>(
        &mut self,
        rules: &mut Coordinator,
        plan: &mut Plan,
        requests: impl Fn(usize) -> &'a [Request],
    ) {
        self.parts.clear();
        self.unread = false;
        while self.next.0 < self.answers.len() {
            let (submission, from) = self.next;
            let all = requests(submission);
            let to = from + rules.add(plan, &all[from..]);
            if to > from {
                self.parts.push((submission, from..to));
            }
            if to < all.len() {
                self.unread = plan.take_unread();
                if self.in_order || !self.unread {
                    self.next.1 = to;
                    return;
                }
                self.left[submission] = Some(to);
            }
            self.next = (submission + 1, 0);
        }
        self.over = !plan.is_full();
    }

    /// What the batch took up, in order.
    pub fn parts<'a>(
        &self,
        requests: impl Fn(usize) -> &'a [Request],
    ) -> impl Iterator<Item = &'a [Request]> {
        self.parts.iter().map(move |(submission, part)| &requests(*submission)[part.clone()])
    }

    /// Takes the answers to what the batch took up.
    pub fn collect(&mut self, answers: Vec<Answer>) {
        assert_eq!(answers.len(), self.parts.len(), "an answer to every part");
        for ((submission, _), answer) in self.parts.iter().zip(answers) {
            self.answers[*submission].append(answer);
        }
    }

    /// Whether nothing is left over.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.over
    }

    /// The answers, one for each submission, and the place from which on nothing of it was taken up
    /// because something has to be read first ([`Coordinator::unread`] says what).
    ///
    /// # Panics
    /// Before the rounds are over.
    #[must_use]
    pub fn answers(self) -> Vec<(Answer, Option<usize>)> {
        assert!(self.over, "every request is answered, or given back");
        self.answers.into_iter().zip(self.left).collect()
    }
}
