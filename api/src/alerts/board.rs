//! Which alerts are pending, firing, or over and not yet told: one state machine for each name.
//!
//! ```text
//! holds ─▶ pending ─ held long enough ─▶ firing ─ holds no more ─▶ resolved ─ told ─▶ gone
//!             └ holds no more ─▶ gone      ▲───────── holds again ────┘
//! ```

use super::rules::{Condition, Rule};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// An alert that fires.
#[derive(Clone, Debug)]
pub struct Firing {
    /// Which.
    pub rule: &'static Rule,
    /// Since when.
    pub since: Timestamp,
    /// A sentence with the figures, as of the last look.
    pub what: String,
}

#[derive(Clone, Debug)]
enum State {
    /// Since this time of the watch.
    Pending(Duration),
    Firing(Firing),
    /// Told as firing, over since then, and not yet told as over.
    Resolved(Firing, Timestamp),
}

/// What is to be told, as one message.
#[derive(Clone, Debug)]
pub struct News {
    /// Those that fire.
    pub firing: Vec<Firing>,
    /// Those that are over, and since when.
    pub resolved: Vec<(Firing, Timestamp)>,
}

/// All alerts that are not at rest.
#[derive(Debug, Default)]
pub struct Board {
    alerts: BTreeMap<&'static str, State>,
}

impl Board {
    /// Takes in the conditions of a look at this time of the watch. Returns whether there is
    /// something new to tell.
    pub fn look(
        &mut self,
        conditions: &[Condition],
        at: Duration,
        hold: Duration,
        now: Timestamp,
    ) -> bool {
        let mut news = false;
        for Condition { rule, what } in conditions {
            let begun = match self.alerts.get_mut(rule.name) {
                Some(State::Firing(firing)) => {
                    firing.what.clone_from(what);
                    continue;
                }
                Some(State::Pending(begun)) => *begun,
                // Nobody was told that it was over: it goes on.
                Some(State::Resolved(before, _)) => {
                    let firing = Firing { what: what.clone(), ..before.clone() };
                    self.alerts.insert(rule.name, State::Firing(firing));
                    news = true;
                    continue;
                }
                None => at,
            };
            let fires = rule.at_once || at.saturating_sub(begun) >= hold;
            let state = if fires {
                State::Firing(Firing { rule, since: now, what: what.clone() })
            } else {
                State::Pending(begun)
            };
            self.alerts.insert(rule.name, state);
            news |= fires;
        }
        let holds = |name: &str| conditions.iter().any(|condition| condition.rule.name == name);
        self.alerts.retain(|name, state| !matches!(state, State::Pending(_)) || holds(name));
        for (name, state) in &mut self.alerts {
            if let State::Firing(firing) = state
                && !holds(name)
            {
                *state = State::Resolved(firing.clone(), now);
                news = true;
            }
        }
        news
    }

    /// Those that fire.
    pub fn firing(&self) -> impl Iterator<Item = Firing> {
        self.alerts.values().filter_map(|state| match state {
            State::Firing(firing) => Some(firing.clone()),
            _ => None,
        })
    }

    /// What is to be told now; `None` when there is nothing.
    pub fn news(&self) -> Option<News> {
        let firing: Vec<Firing> = self.firing().collect();
        let resolved: Vec<_> = self
            .alerts
            .values()
            .filter_map(|state| match state {
                State::Resolved(firing, ended) => Some((firing.clone(), *ended)),
                _ => None,
            })
            .collect();
        (!firing.is_empty() || !resolved.is_empty()).then_some(News { firing, resolved })
    }

    /// These news have arrived: those that were over need no more be told. Returns whether there
    /// are other news meanwhile.
    pub fn told(&mut self, news: &News) -> bool {
        self.alerts.retain(|name, state| match state {
            State::Resolved(_, ended) => {
                !news.resolved.iter().any(|(told, at)| told.rule.name == *name && at == ended)
            }
            _ => true,
        });
        let told = |firing: &Firing| {
            let same =
                |told: &Firing| told.rule.name == firing.rule.name && told.since == firing.since;
            news.firing.iter().any(same)
        };
        self.alerts.values().any(|state| match state {
            State::Firing(firing) => !told(firing),
            State::Resolved(..) => true,
            State::Pending(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn condition(at_once: bool, what: &str) -> Condition {
        let rule = RULES.iter().find(|rule| rule.at_once == at_once).expect("there is one");
        Condition { rule, what: what.to_owned() }
    }

    fn at(seconds: i64) -> (Duration, Timestamp) {
        let time = Timestamp::from_second(1_000_000 + seconds).expect("in range");
        (Duration::from_secs(seconds.unsigned_abs()), time)
    }

    fn look(board: &mut Board, conditions: &[Condition], seconds: i64) -> bool {
        let (at, now) = at(seconds);
        board.look(conditions, at, HOLD, now)
    }

    #[test]
    fn a_condition_fires_when_it_has_held_and_is_told_when_it_is_over() {
        let (mut board, slow) = (Board::default(), [condition(false, "slow")]);
        assert!(!look(&mut board, &slow, 0));
        assert!(!look(&mut board, &slow, 9));
        assert!(board.news().is_none());
        // It did not hold without a break.
        assert!(!look(&mut board, &[], 10));
        assert!(!look(&mut board, &slow, 11));
        assert!(look(&mut board, &slow, 21));
        assert!(!look(&mut board, &[condition(false, "slower")], 22), "told already");
        let news = board.news().expect("it fires");
        assert_eq!((news.firing[0].what.as_str(), news.firing[0].since), ("slower", at(21).1));
        assert!(!board.told(&news));
        assert!(look(&mut board, &[], 30));
        let news = board.news().expect("it is over");
        assert_eq!((news.firing.len(), news.resolved[0].1), (0, at(30).1));
        assert!(!board.told(&news));
        assert!(board.news().is_none());
    }

    #[test]
    fn what_does_not_pass_by_itself_fires_at_once() {
        let mut board = Board::default();
        assert!(look(&mut board, &[condition(true, "books")], 0));
        assert_eq!(board.firing().count(), 1);
    }

    #[test]
    fn what_happens_while_news_are_on_their_way_is_told_next() {
        let (mut board, books) = (Board::default(), [condition(true, "books")]);
        look(&mut board, &books, 0);
        let news = board.news().expect("it fires");
        // Over before the receiver had the news, which then says that it fires.
        look(&mut board, &[], 1);
        assert!(board.told(&news), "that it is over is news");
        let over = board.news().expect("over");
        // It begins again before that is told: it never was over for the receiver.
        assert!(look(&mut board, &books, 2));
        let again = board.news().expect("fires");
        assert_eq!(again.firing[0].since, at(0).1);
        // The old news arrives: the receiver takes it for over, and must be told again.
        assert!(board.told(&over));
        assert_eq!(board.firing().count(), 1);
    }
}
