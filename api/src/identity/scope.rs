//! Which accounts somebody may touch: ranges of ids, owners, or all. Empty unless something is
//! granted.

use ducat_engine::ids::AccountId;
use std::collections::BTreeSet;
use thiserror::Error;

/// Accounts by id and by owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    all: bool,
    /// Sorted, apart from each other.
    ranges: Vec<(u128, u128)>,
    owners: BTreeSet<String>,
}

/// What cannot be meant as accounts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is neither an account's id, nor a range such as 1000..1999, nor *")]
pub struct BadAccounts(String);

impl Scope {
    /// All accounts there are and will be.
    #[must_use]
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Of texts: `7`, a UUID, `1000..1999` with both ends, or `*` for all; and of owners.
    ///
    /// # Errors
    /// [`BadAccounts`] for the first text that is none of these.
    pub fn new(accounts: &[String], owners: &[String]) -> Result<Self, BadAccounts> {
        let mut scope = Self { owners: owners.iter().cloned().collect(), ..Self::default() };
        for text in accounts {
            if text == "*" {
                scope.all = true;
                continue;
            }
            let bad = || BadAccounts(text.clone());
            let (first, last) = text.split_once("..").unwrap_or((text, text));
            let id = |text: &str| {
                text.trim().parse::<AccountId>().ok().map(AccountId::get).ok_or_else(bad)
            };
            let (first, last) = (id(first)?, id(last)?);
            if first > last {
                return Err(bad());
            }
            scope.ranges.push((first, last));
        }
        scope.ranges.sort_unstable();
        Ok(scope)
    }

    /// Whether it is all accounts.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.all
    }

    /// Whether it holds the account by its id, whoever owns it.
    #[must_use]
    pub fn has_id(&self, id: AccountId) -> bool {
        let id = id.get();
        self.all || self.ranges.iter().any(|&(first, last)| (first..=last).contains(&id))
    }

    /// Whether it holds all accounts of this owner. Nobody's accounts are in no scope.
    #[must_use]
    pub fn has_owner(&self, owner: &str) -> bool {
        self.all || !owner.is_empty() && self.owners.contains(owner)
    }

    /// Whether any owner is named.
    #[must_use]
    pub fn names_owners(&self) -> bool {
        !self.owners.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(accounts: &[&str], owners: &[&str]) -> Result<Scope, BadAccounts> {
        let texts = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Scope::new(&texts(accounts), &texts(owners))
    }

    fn id(value: u128) -> AccountId {
        AccountId::new(value).expect("not zero")
    }

    #[test]
    fn a_scope_holds_what_it_names_and_nothing_else() {
        let some = scope(&["7", "10..20", "15..30"], &["cus_1"]).expect("well-formed");
        for (value, held) in
            [(6, false), (7, true), (8, false), (10, true), (30, true), (31, false)]
        {
            assert_eq!(some.has_id(id(value)), held, "{value}");
        }
        assert!(some.has_owner("cus_1") && !some.has_owner("cus_10") && !some.has_owner(""));
        assert!(!some.is_all());
        let nothing = scope(&[], &[]).expect("well-formed");
        assert!(!nothing.has_id(id(1)) && !nothing.has_owner("") && !nothing.is_all());
        let unowned = scope(&[], &[""]).expect("well-formed");
        assert!(!unowned.has_owner(""), "accounts without an owner are nobody's");
        let all = scope(&["*"], &[]).expect("well-formed");
        assert!(all.has_id(id(u128::MAX)) && all.has_owner("anyone") && all.is_all());
    }

    #[test]
    fn what_is_no_account_is_refused() {
        for text in ["", "0", "-1", "1..", "..1", "1...3", "2..1", "**", "1-5", "a", "0..5"] {
            assert!(scope(&[text], &[]).is_err(), "{text}");
        }
    }
}
