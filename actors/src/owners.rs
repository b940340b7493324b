//! Whose accounts a submission was let through for, held against whose they are when it is taken.
//!
//! Owners change between two batches only, and a submission is taken where a batch begins: what
//! is found unchanged there is so when the requests are decided.

use ducat_engine::coordinator::Coordinator;
use ducat_engine::ids::AccountId;
use std::sync::Arc;

/// Owners of accounts as somebody saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnersSeen(Arc<[(AccountId, String)]>);

impl OwnersSeen {
    /// These; `None` where there are none to hold anything against.
    #[must_use]
    pub fn new(seen: Vec<(AccountId, String)>) -> Option<Self> {
        (!seen.is_empty()).then(|| Self(seen.into()))
    }

    /// The first account that has another owner by now.
    pub(crate) fn changed(&self, rules: &Coordinator) -> Option<AccountId> {
        let owner = |account: AccountId| {
            let details = rules.profiles().get(rules.directory().get(account)?.slot)?;
            Some(details.profile.owner.as_str())
        };
        let changed = |(account, seen): &&(AccountId, String)| {
            owner(*account).unwrap_or_default() != seen.as_str()
        };
        self.0.iter().find(changed).map(|(account, _)| *account)
    }
}
