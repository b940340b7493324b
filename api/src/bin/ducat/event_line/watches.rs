//! Watches in events: one that was defined or removed, and those that an event triggers.

use super::EventLine;
use crate::output;
use crate::watch::condition_text;
use ducat_api::proto;
use serde::Serialize;

/// A watch that an event triggers, as scripts read it.
#[derive(Serialize, Debug, PartialEq, Eq)]
pub struct TriggerLine {
    account: String,
    watch: String,
    condition: String,
    currency: String,
    posted: String,
    available: String,
    posted_before: String,
    available_before: String,
    /// What was moved in the window, where that is the condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<String>,
}

impl TriggerLine {
    /// As a server's feed tells it.
    pub fn new(trigger: &proto::WatchTrigger) -> Self {
        Self {
            account: output::account_id(trigger.account_high, trigger.account),
            watch: trigger.name.clone(),
            condition: condition_text(trigger.condition.as_ref()),
            currency: trigger.currency.clone(),
            posted: trigger.posted.clone(),
            available: trigger.available.clone(),
            posted_before: trigger.posted_before.clone(),
            available_before: trigger.available_before.clone(),
            moved: Some(trigger.moved.clone()).filter(|moved| !moved.is_empty()),
        }
    }

    /// `  watch low of account 2: available below 100.00`.
    pub fn text(&self) -> String {
        format!("  watch {} of account {}: {}", self.watch, self.account, self.condition)
    }
}

impl EventLine {
    pub(super) fn of_watch(self, change: &proto::WatchChange) -> Self {
        let condition = change.condition.as_ref();
        Self {
            event: if condition.is_some() { "watch-added" } else { "watch-removed" },
            watch: Some(change.name.clone()),
            condition: condition.map(|condition| condition_text(Some(condition))),
            ..self
        }
    }

    pub(super) fn watch_text(&self) -> String {
        let get = |text: &Option<String>| text.clone().unwrap_or_default();
        let (account, watch) = (get(&self.account), get(&self.watch));
        match &self.condition {
            Some(condition) => format!("account {account} has watch {watch}: {condition}"),
            None => format!("account {account} has no watch {watch} any more"),
        }
    }
}
