//! What statements say of watches: as of metadata under `watch/NAME`, so that whoever checks receipts
//! needs to know nothing of them.

use crate::profile::ProfileChange;
use crate::watch::{Condition, Figure, Flow, WatchChange};

/// The change of a watch as statements tell it.
pub(super) fn stated(change: &WatchChange) -> ProfileChange {
    let key = format!("watch/{}", change.name());
    let mut stated = ProfileChange::default();
    match change {
        WatchChange::Add { condition, .. } => {
            stated.set.insert(key, text(condition));
        }
        WatchChange::Remove { .. } => {
            stated.remove.insert(key);
        }
    }
    stated
}

/// A condition in words; amounts in minor units.
fn text(condition: &Condition) -> String {
    let figure = |figure| match figure {
        Figure::Posted => "posted",
        Figure::Available => "available",
    };
    match condition {
        Condition::Below { figure: of, bound } => format!("{} below {bound}", figure(*of)),
        Condition::Above { figure: of, bound } => format!("{} above {bound}", figure(*of)),
        Condition::Moved { flow, above, window_ns } => {
            let flow = match flow {
                Flow::Debits => "debits",
                Flow::Credits => "credits",
                Flow::Both => "moved",
            };
            format!("{flow} above {above} within {window_ns} ns")
        }
    }
}
