//! What is granted to whom by name: the `[[principals]]` of the configuration.
//!
//! A principal's name is the one in its certificate (a SPIFFE URI or a DNS name), or the `sub` of
//! its token.

use super::roles::{ROLES, Role};
use super::scope::Scope;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a principal's table may say.
pub const PRINCIPAL_KEYS: [&str; 4] = ["name", "roles", "accounts", "owners"];

/// The longest name of a principal, bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// A principal as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Principal {
    name: String,
    roles: Vec<String>,
    #[serde(default)]
    accounts: Vec<String>,
    #[serde(default)]
    owners: Vec<String>,
}

/// What one identity is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who it is.
    pub name: String,
    /// Which calls.
    pub roles: Vec<Role>,
    /// Which accounts.
    pub scope: Scope,
}

impl Grant {
    /// Of texts, as configurations and tokens write them.
    ///
    /// # Errors
    /// A sentence about the first text that cannot be meant.
    pub fn new(
        name: &str,
        roles: &[String],
        accounts: &[String],
        owners: &[String],
    ) -> Result<Self, String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!("a principal's name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        let roles = roles.iter().map(|role| role.parse()).collect::<Result<Vec<Role>, _>>()?;
        let scope = Scope::new(accounts, owners).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), roles, scope })
    }
}

/// All principals of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    written: Vec<Principal>,
    by_name: BTreeMap<String, Arc<Grant>>,
}

impl Rights {
    /// Of the value of `principals`.
    ///
    /// # Errors
    /// A sentence about the first thing that cannot be meant.
    pub fn from_value(value: toml::Value) -> Result<Self, String> {
        let written: Vec<Principal> = value
            .try_into()
            .map_err(|error| format!("[[principals]]: {}", error.to_string().trim()))?;
        let mut by_name = BTreeMap::new();
        for principal in &written {
            let Principal { name, roles, accounts, owners } = principal;
            let of = |why: String| format!("the principal `{name}`: {why}");
            if name.contains('*') {
                return Err(of("names are whole, without wildcards".to_owned()));
            }
            if roles.is_empty() {
                return Err(of("it has no role, so it may do nothing; leave it out".to_owned()));
            }
            let grant = Grant::new(name, roles, accounts, owners).map_err(of)?;
            if by_name.insert(name.clone(), Arc::new(grant)).is_some() {
                return Err(of("it is there twice".to_owned()));
            }
        }
        Ok(Self { written, by_name })
    }

    /// What this name is granted.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Grant>> {
        self.by_name.get(name).cloned()
    }

    /// Whether nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many principals there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// As the configuration writes it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct Written<'a> {
            principals: &'a [Principal],
        }
        if self.written.is_empty() {
            return String::new();
        }
        toml::to_string(&Written { principals: &self.written }).unwrap_or_default()
    }
}

/// The JSON Schema of `principals`.
#[must_use]
pub fn schema() -> serde_json::Value {
    let texts = |description: &str| {
        serde_json::json!({
            "type": "array", "items": { "type": "string" }, "description": description,
        })
    };
    let roles: Vec<&str> = ROLES.iter().map(|role| role.name()).collect();
    serde_json::json!({
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "roles"],
            "properties": {
                "name": {
                    "type": "string",
                    "description": "A SPIFFE URI or DNS name of a certificate, or the `sub` of a token",
                },
                "roles": { "type": "array", "items": { "enum": roles }, "minItems": 1 },
                "accounts": texts("Ids, ranges such as 1000..1999, or * for all; none by default"),
                "owners": texts("Customers whose accounts these are; none by default"),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(text: &str) -> Result<Rights, String> {
        let mut table: toml::Table = text.parse().expect("TOML");
        Rights::from_value(table.remove("principals").expect("there"))
    }

    #[test]
    fn who_is_named_has_what_is_granted() {
        let some = rights(
            "[[principals]]\nname = \"spiffe://bank/cards\"\nroles = [\"gateway\"]\n\
             accounts = [\"10..19\"]\n[[principals]]\nname = \"audit\"\nroles = [\"auditor\"]\n\
             accounts = [\"*\"]\n",
        )
        .expect("well-formed");
        assert_eq!(some.len(), 2);
        let cards = some.find("spiffe://bank/cards").expect("named");
        assert_eq!(cards.roles, [Role::Gateway]);
        assert!(!cards.scope.is_all());
        assert!(some.find("audit").expect("named").scope.is_all());
        for name in ["", "spiffe://bank", "spiffe://bank/cards/", "AUDIT"] {
            assert!(some.find(name).is_none(), "{name}");
        }
        let again = rights(&some.to_toml()).expect("well-formed");
        assert_eq!(again.written, some.written);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, says) in [
            ("principals = 1", "[[principals]]"),
            ("[[principals]]\nroles = [\"admin\"]", "name"),
            ("[[principals]]\nname = \"a\"", "roles"),
            ("[[principals]]\nname = \"a\"\nroles = []", "may do nothing"),
            ("[[principals]]\nname = \"\"\nroles = [\"admin\"]", "name has"),
            ("[[principals]]\nname = \"*.b\"\nroles = [\"admin\"]", "wildcards"),
            ("[[principals]]\nname = \"a\"\nroles = [\"root\"]", "no role"),
            ("[[principals]]\nname = \"a\"\nroles = [\"reader\"]\naccounts = [\"x\"]", "neither"),
            (
                "[[principals]]\nname = \"a\"\nroles = [\"reader\"]\n[[principals]]\nname = \"a\"\n\
                 roles = [\"admin\"]",
                "twice",
            ),
        ] {
            let why = rights(text).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
