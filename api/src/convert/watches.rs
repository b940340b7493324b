//! Watches between the wire and the engine: names, conditions with decimal texts, triggers.

use super::amount_text;
use crate::proto::{self, watch_condition::When};
use crate::violation::{Place, Violations};
use ducat_actors::feed::Fired;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currency, format_minor};
use ducat_engine::profile::check_key;
use ducat_engine::watch::{Condition, Figure, Flow, Watch, WatchChange};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// The watch that is to be defined, of an account that holds this currency.
///
/// # Errors
/// Everything that is wrong with it.
pub fn addition(
    request: &proto::AddWatchRequest,
    currency: &Currency,
) -> Result<WatchChange, Violations> {
    let mut violations = Violations::default();
    check_name(&request.name, &mut violations);
    let when = request.condition.as_ref().and_then(|condition| condition.when.as_ref());
    let condition = match when {
        None => {
            violations.add(Place::Request, "condition", "CONDITION_MISSING", || {
                "a watch needs a condition".to_owned()
            });
            None
        }
        Some(when) => condition(when, currency, &mut violations),
    };
    let name = request.name.clone();
    match condition {
        Some(condition) => violations.into_result(WatchChange::Add { name, condition }),
        None => Err(violations),
    }
}

/// The removal that is asked for.
///
/// # Errors
/// What is wrong with its name.
pub fn removal(name: &str) -> Result<WatchChange, Violations> {
    let mut violations = Violations::default();
    check_name(name, &mut violations);
    violations.into_result(WatchChange::Remove { name: name.to_owned() })
}

fn check_name(name: &str, violations: &mut Violations) {
    if check_key(name).is_err() {
        violations.add(Place::Request, "name", "WATCH_NAME_INVALID", || {
            "a watch's name has 1 to 64 letters, digits and `_-.:/`".to_owned()
        });
    }
}

fn condition(when: &When, currency: &Currency, violations: &mut Violations) -> Option<Condition> {
    let mut bound = |text: &str| {
        let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
        let minor = amount_text(digits, currency, Place::Request, "condition", violations)?;
        // The largest amount is far below i128::MAX.
        Some(sign * i128::try_from(minor).unwrap_or(i128::MAX))
    };
    let (posted, available) = (Figure::Posted, Figure::Available);
    Some(match when {
        When::AvailableBelow(text) => Condition::Below { figure: available, bound: bound(text)? },
        When::AvailableAbove(text) => Condition::Above { figure: available, bound: bound(text)? },
        When::PostedBelow(text) => Condition::Below { figure: posted, bound: bound(text)? },
        When::PostedAbove(text) => Condition::Above { figure: posted, bound: bound(text)? },
        When::Moved(moved) => {
            let above = bound(&moved.above)?;
            let flow = match moved.flow() {
                proto::Flow::Both => Flow::Both,
                proto::Flow::Debits => Flow::Debits,
                proto::Flow::Credits => Flow::Credits,
            };
            let window_ns = moved.window_ms.saturating_mul(MS);
            // A bound below zero is out of range, as the rules say.
            let above = u128::try_from(above).unwrap_or(u128::MAX);
            Condition::Moved { flow, above, window_ns }
        }
    })
}

/// A watch that is there, with its amounts in these digits.
#[must_use]
pub fn watch(watch: &Watch, digits: u8) -> proto::Watch {
    proto::Watch {
        name: watch.name.clone(),
        condition: Some(condition_to_proto(&watch.condition, digits)),
        added_lsn: watch.added.0,
    }
}

/// A watch that was defined or removed.
#[must_use]
pub fn change(change: &WatchChange, digits: u8) -> proto::WatchChange {
    let condition = match change {
        WatchChange::Add { condition, .. } => Some(condition_to_proto(condition, digits)),
        WatchChange::Remove { .. } => None,
    };
    proto::WatchChange { name: change.name().to_owned(), condition }
}

/// A condition, with its amounts in these digits.
#[must_use]
pub fn condition_to_proto(condition: &Condition, digits: u8) -> proto::WatchCondition {
    let text = |minor: i128| format_minor(minor, digits);
    let when = match *condition {
        Condition::Below { figure: Figure::Available, bound } => When::AvailableBelow(text(bound)),
        Condition::Above { figure: Figure::Available, bound } => When::AvailableAbove(text(bound)),
        Condition::Below { figure: Figure::Posted, bound } => When::PostedBelow(text(bound)),
        Condition::Above { figure: Figure::Posted, bound } => When::PostedAbove(text(bound)),
        Condition::Moved { flow, above, window_ns } => {
            let flow = match flow {
                Flow::Both => proto::Flow::Both,
                Flow::Debits => proto::Flow::Debits,
                Flow::Credits => proto::Flow::Credits,
            };
            When::Moved(proto::MovedAbove {
                flow: flow as i32,
                above: text(i128::try_from(above).unwrap_or(i128::MAX)),
                window_ms: window_ns / MS,
            })
        }
    };
    proto::WatchCondition { when: Some(when) }
}

/// A watch that triggered at an event.
#[must_use]
pub fn trigger(account: AccountId, fired: &Fired, currency: &Currency) -> proto::WatchTrigger {
    let text = |minor: i128| format_minor(minor, currency.digits);
    let moved = fired.moved.map(|moved| text(i128::try_from(moved).unwrap_or(i128::MAX)));
    proto::WatchTrigger {
        account: account.low(),
        account_high: account.high(),
        name: fired.name.clone(),
        condition: Some(condition_to_proto(&fired.condition, currency.digits)),
        currency: currency.code.clone(),
        posted: text(fired.after.posted),
        available: text(fired.after.available),
        posted_before: text(fired.before.posted),
        available_before: text(fired.before.available),
        moved: moved.unwrap_or_default(),
    }
}
