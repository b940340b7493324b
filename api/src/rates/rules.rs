//! The `[[rates]]` of the configuration: who may make how many calls in which time.
//!
//! A rule is one bucket for each principal it is about, shared by the methods it lists. Of several
//! rules that fit a call the closest counts: those that name the principal go before those for
//! everybody, and then those that name the method before those that name none.

use crate::identity::rights::NAME_BYTES_MAX;
use crate::identity::roles::CALLS;
use governor::Quota;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

/// What a rate's table may say.
pub const RATE_KEYS: [&str; 6] =
    ["principal", "methods", "per_second", "per_minute", "per_hour", "burst"];

/// Stands for every principal, each with a bucket of its own.
const EVERYBODY: &str = "*";

/// Most tokens a second, and most in a bucket.
const TOKENS_MAX: u32 = 10_000_000;

/// The longest time in which an empty bucket may fill.
const FILL_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The calls that a rule without methods is about: health and reflection are limited by name only.
const OWN_CALLS: &str = "/ducat.v1.";

/// A rule as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "everybody")]
    principal: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_hour: Option<u32>,
    burst: u32,
}

fn everybody() -> String {
    EVERYBODY.to_owned()
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    written: Written,
    /// Positions in [`CALLS`]; none for all of Ducat's own calls.
    methods: Vec<usize>,
    quota: Quota,
}

impl Rate {
    fn new(written: Written) -> Result<Self, String> {
        let name = &written.principal;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!("a principal's name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if name != EVERYBODY && name.contains('*') {
            return Err("names are whole, without wildcards; `*` alone is everybody".to_owned());
        }
        let methods = written.methods.iter().map(|method| position(method));
        let methods = methods.collect::<Result<_, _>>()?;
        let quota = quota(&written)?;
        Ok(Self { written, methods, quota })
    }

    /// Whom it is about; `None` for everybody.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        Some(self.written.principal.as_str()).filter(|name| *name != EVERYBODY)
    }

    /// The calls it is about, as positions in [`CALLS`].
    pub fn methods(&self) -> impl Iterator<Item = usize> {
        let own = || (0..CALLS.len()).filter(|&at| CALLS[at].path.starts_with(OWN_CALLS));
        let all = self.names_none().then(own);
        self.methods.iter().copied().chain(all.into_iter().flatten())
    }

    /// Whether it is about whatever no closer rule is about.
    #[must_use]
    pub fn names_none(&self) -> bool {
        self.methods.is_empty()
    }

    /// How fast its buckets fill, and how much they hold.
    #[must_use]
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// In words: `5 per second, bursts of 10`.
    #[must_use]
    pub fn words(&self) -> String {
        let Written { per_second, per_minute, per_hour, burst, .. } = &self.written;
        let (tokens, unit) = match (per_second, per_minute, per_hour) {
            (Some(tokens), _, _) => (tokens, "second"),
            (_, Some(tokens), _) => (tokens, "minute"),
            (_, _, tokens) => (tokens.as_ref().unwrap_or(&0), "hour"),
        };
        format!("{tokens} per {unit}, bursts of {burst}")
    }
}

fn quota(written: &Written) -> Result<Quota, String> {
    let rates = [(written.per_second, 1), (written.per_minute, 60), (written.per_hour, 3600)];
    let mut given = rates.into_iter().filter_map(|(tokens, s)| Some((tokens?, s)));
    let (Some((tokens, seconds)), None) = (given.next(), given.next()) else {
        return Err("exactly one of per_second, per_minute and per_hour is needed".to_owned());
    };
    let in_range = |tokens: &u32| (1..=TOKENS_MAX).contains(tokens);
    let (true, true, Some(burst)) =
        (in_range(&tokens), in_range(&written.burst), NonZeroU32::new(written.burst))
    else {
        return Err(format!("rates and bursts are 1 to {TOKENS_MAX}"));
    };
    let each = Duration::from_secs(seconds) / tokens;
    let quota = Quota::with_period(each).ok_or("the rate is too high")?.allow_burst(burst);
    if each.checked_mul(burst.get()).is_none_or(|fill| fill > FILL_MAX) {
        return Err("an empty bucket would take more than a year to fill".to_owned());
    }
    Ok(quota)
}

/// The names of methods: `ducat.v1.Ledger/Transfer`.
fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|call| call.path.trim_start_matches('/'))
}

fn position(method: &str) -> Result<usize, String> {
    names().position(|name| name == method).ok_or_else(|| {
        let nearest = names().min_by_key(|name| strsim::damerau_levenshtein(name, method));
        let nearest = nearest.unwrap_or_default();
        format!("there is no method `{method}`; did you mean `{nearest}`?")
    })
}

/// All rates of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(Vec<Rate>);

impl Rates {
    /// Of the value of `rates`.
    ///
    /// # Errors
    /// A sentence about the first thing that cannot be meant.
    pub fn from_value(value: toml::Value) -> Result<Self, String> {
        let written: Vec<Written> =
            value.try_into().map_err(|error| format!("[[rates]]: {}", error.to_string().trim()))?;
        let mut seen = HashSet::new();
        let mut rates = Vec::with_capacity(written.len());
        for (index, written) in written.into_iter().enumerate() {
            let of = |why: String| format!("[[rates]], number {}: {why}", index + 1);
            let rate = Rate::new(written).map_err(of)?;
            let methods = rate.methods.iter().copied().map(Some);
            for method in methods.chain(rate.names_none().then_some(None)) {
                if !seen.insert((rate.written.principal.clone(), method)) {
                    let what = method.map_or("all methods", |at| CALLS[at].path);
                    let whom = &rate.written.principal;
                    return Err(of(format!("there are two rates for `{whom}` and {what}")));
                }
            }
            rates.push(rate);
        }
        Ok(Self(rates))
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rate] {
        &self.0
    }

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rules there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// As the configuration writes it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct All<'a> {
            rates: Vec<&'a Written>,
        }
        if self.is_empty() {
            return String::new();
        }
        let rates = self.0.iter().map(|rate| &rate.written).collect();
        toml::to_string(&All { rates }).unwrap_or_default()
    }
}

/// The JSON Schema of `rates`.
#[must_use]
pub fn schema() -> serde_json::Value {
    let tokens = |description: &str| {
        serde_json::json!({
            "type": "integer", "minimum": 1, "maximum": TOKENS_MAX, "description": description,
        })
    };
    let methods: Vec<&str> = names().collect();
    serde_json::json!({
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["burst"],
            "properties": {
                "principal": {
                    "type": "string",
                    "description": "Whom it is about; `*`, the default, is everybody, each apart",
                },
                "methods": {
                    "type": "array",
                    "items": { "enum": methods },
                    "description": "Calls that share the bucket; by default all that no closer \
                                    rate is about, health and reflection excepted",
                },
                "per_second": tokens("Calls a second; of batches and streams, transfers"),
                "per_minute": tokens("The same, a minute; one of the three is given"),
                "per_hour": tokens("The same, an hour"),
                "burst": tokens("Most at once, after a time without any"),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Result<Rates, String> {
        let mut table: toml::Table = text.parse().expect("TOML");
        Rates::from_value(table.remove("rates").expect("there"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let some = rates(
            "[[rates]]\nper_second = 5\nburst = 10\n[[rates]]\nprincipal = \"spiffe://bank/a\"\n\
             methods = [\"ducat.v1.Ledger/Transfer\", \"ducat.v1.Ledger/CreateTransfers\"]\n\
             per_hour = 1\nburst = 3\n",
        )
        .expect("well-formed");
        assert_eq!(some.len(), 2);
        let [all, one] = some.rules() else { panic!("two") };
        assert_eq!((all.principal(), one.principal()), (None, Some("spiffe://bank/a")));
        assert_eq!(
            one.methods().map(|at| CALLS[at].path).collect::<Vec<_>>(),
            ["/ducat.v1.Ledger/Transfer", "/ducat.v1.Ledger/CreateTransfers"]
        );
        assert!(all.methods().all(|at| CALLS[at].path.starts_with("/ducat.v1.")));
        assert_eq!(all.words(), "5 per second, bursts of 10");
        assert_eq!(one.quota().replenish_interval(), Duration::from_secs(3600));
        assert_eq!(rates(&some.to_toml()).expect("well-formed"), some);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let transfer = "methods = [\"ducat.v1.Ledger/Transfer\"]";
        let ok = "per_second = 1\nburst = 1";
        for (text, says) in [
            ("rates = 1".to_owned(), "[[rates]]"),
            ("[[rates]]\nper_second = 1".to_owned(), "burst"),
            ("[[rates]]\nburst = 1".to_owned(), "exactly one"),
            ("[[rates]]\nburst = 1\nper_second = 1\nper_hour = 1".to_owned(), "exactly one"),
            ("[[rates]]\nburst = 0\nper_second = 1".to_owned(), "are 1 to"),
            ("[[rates]]\nburst = 1\nper_second = 0".to_owned(), "are 1 to"),
            ("[[rates]]\nburst = 1\nper_second = -1".to_owned(), "[[rates]]"),
            ("[[rates]]\nburst = 1\nper_second = 10000001".to_owned(), "are 1 to"),
            ("[[rates]]\nburst = 10000\nper_hour = 1".to_owned(), "more than a year"),
            (format!("[[rates]]\nprincipal = \"a*\"\n{ok}"), "wildcards"),
            (format!("[[rates]]\nprincipal = \"\"\n{ok}"), "name has"),
            (
                format!("[[rates]]\nmethods = [\"ducat.v1.Ledger/Transfr\"]\n{ok}"),
                "did you mean `ducat.v1.Ledger/Transfer`?",
            ),
            (format!("[[rates]]\n{ok}\n[[rates]]\n{ok}"), "number 2: there are two"),
            (
                format!("[[rates]]\n{transfer}\n{ok}\n[[rates]]\n{transfer}\n{ok}"),
                "two rates for `*` and /ducat.v1.Ledger/Transfer",
            ),
        ] {
            let why = rates(&text).expect_err(&text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
