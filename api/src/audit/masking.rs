//! What is sensitive, taken out of texts before they are written down.
//!
//! Rules are found from first to last, and what one has masked no other looks at. Card numbers are told by
//! their check digit, tokens by their form, e-mail addresses, phone and ID numbers by patterns; more are
//! added by the configuration (`[[masks]]`). With a key, a masked value is followed by the first bytes of
//! its keyed hash, so that two that are equal can be told to be, by whoever has the trail, and no value be
//! found out by trying, by whoever has not the key.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

/// What a mask's table may say.
pub const MASK_KEYS: [&str; 5] = ["name", "pattern", "show", "first", "last"];

/// Most rules of a configuration.
const RULES_MAX: usize = 64;

/// The longest pattern, bytes, and what its compiled form may take.
const PATTERN_BYTES_MAX: usize = 1024;
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// The most characters of a value that a rule may show at an end.
const SHOWN_MAX: usize = 8;

/// What is left of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Show {
    /// Some characters at its ends.
    Ends,
    /// Its hash alone; without a key nothing.
    Hash,
    /// The rule's name alone.
    Nothing,
}

/// A rule as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    pattern: String,
    #[serde(default = "nothing")]
    show: Show,
    #[serde(default)]
    first: usize,
    #[serde(default)]
    last: usize,
}

const fn nothing() -> Show {
    Show::Nothing
}

/// How a value is told from other text, beside its pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    None,
    /// 13 to 19 digits whose last is Luhn's.
    Card,
}

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    pattern: Regex,
    check: Check,
    show: Show,
    first: usize,
    last: usize,
    /// Names of principals are looked through too: people's are often their e-mail addresses.
    names_too: bool,
}

/// The rules at work.
#[derive(Clone)]
pub struct Masks {
    rules: Vec<Rule>,
    key: Option<[u8; 32]>,
}

impl fmt::Debug for Masks {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.rules.iter().map(|rule| &*rule.name).collect();
        f.debug_struct("Masks").field("rules", &names).field("keyed", &self.key.is_some()).finish()
    }
}

/// A built-in rule: name, pattern, check, what is shown, how much at each end, principals too.
type BuiltIn = (&'static str, &'static str, Check, Show, [usize; 2], bool);

/// Built in, in this order: what is certain goes before what is likely.
const BUILT_IN: [BuiltIn; 7] = [
    (
        "token",
        r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",
        Check::None,
        Show::Nothing,
        [0, 0],
        true,
    ),
    (
        "secret",
        r"(?i)(?:\bwhsec_[A-Za-z0-9+/=_-]{8,}|\bbearer\s+[A-Za-z0-9._~+/=-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*)",
        Check::None,
        Show::Nothing,
        [0, 0],
        true,
    ),
    ("card", r"[0-9](?:[ -]?[0-9]){12,}", Check::Card, Show::Ends, [6, 4], true),
    (
        "email",
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
        Check::None,
        Show::Ends,
        [1, 0],
        false,
    ),
    // Nine digits as they are written in the United States, and the eighteen of China.
    ("id", r"\b(?:\d{3}-\d{2}-\d{4}|\d{17}[\dXx])\b", Check::None, Show::Ends, [0, 4], false),
    (
        "iban",
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
        Check::None,
        Show::Ends,
        [4, 4],
        false,
    ),
    ("phone", r"(?:\+|\b00)\d(?:[ ()./-]{0,2}\d){7,14}\b", Check::None, Show::Ends, [0, 2], false),
];

impl Default for Masks {
    /// The built-in rules, without a key.
    fn default() -> Self {
        let rule = |(name, pattern, check, show, [first, last], names_too): BuiltIn| Rule {
            name: name.to_owned(),
            pattern: Regex::new(pattern).expect("a test builds them"),
            check,
            show,
            first,
            last,
            names_too,
        };
        Self { rules: BUILT_IN.into_iter().map(rule).collect(), key: None }
    }
}

/// The rules of a configuration, beside the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskRules(Vec<Written>);

impl MaskRules {
    /// Of the value of `masks`.
    ///
    /// # Errors
    /// A sentence about the first thing that cannot be meant.
    pub fn from_value(value: toml::Value) -> Result<Self, String> {
        let written: Vec<Written> =
            value.try_into().map_err(|error| format!("[[masks]]: {}", error.to_string().trim()))?;
        if written.len() > RULES_MAX {
            return Err(format!("[[masks]]: at most {RULES_MAX} rules"));
        }
        for rule in &written {
            compiled(rule).map_err(|why| format!("the mask `{}`: {why}", rule.name))?;
        }
        Ok(Self(written))
    }

    /// As the configuration writes them.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct All<'a> {
            masks: &'a [Written],
        }
        if self.0.is_empty() {
            return String::new();
        }
        toml::to_string(&All { masks: &self.0 }).unwrap_or_default()
    }
}

fn compiled(written: &Written) -> Result<Rule, String> {
    let name = &written.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        return Err("a name has 1 to 32 letters, digits, - and _".to_owned());
    }
    if written.pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes"));
    }
    if written.first.max(written.last) > SHOWN_MAX {
        return Err(format!("at most {SHOWN_MAX} characters are shown at an end"));
    }
    let pattern = RegexBuilder::new(&written.pattern).size_limit(COMPILED_BYTES_MAX).build();
    let pattern = pattern.map_err(|error| error.to_string())?;
    if pattern.is_match("") {
        return Err("the pattern matches nothing at all, too".to_owned());
    }
    let (show, first, last) = (written.show, written.first, written.last);
    Ok(Rule { name: name.clone(), pattern, check: Check::None, show, first, last, names_too: true })
}

impl Masks {
    /// The built-in rules alone, made once.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static BUILT: LazyLock<Masks> = LazyLock::new(Masks::default);
        &BUILT
    }

    /// The configuration's rules, then the built-in ones; with `key`, hashes are added.
    #[must_use]
    pub fn new(rules: &MaskRules, key: Option<[u8; 32]>) -> Self {
        let own = rules.0.iter().filter_map(|written| compiled(written).ok());
        Self { rules: own.chain(Self::default().rules).collect(), key }
    }

    /// The text with everything sensitive masked, in one line.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.mask(text, |_| true)
    }

    /// The name of a principal, of which less is taken out: it says who.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        self.mask(name, |rule| rule.names_too)
    }

    /// A value as the rule of this name shows it; `None` when it is not through and through what the rule
    /// is for, or there is no such rule.
    #[must_use]
    pub fn whole(&self, name: &str, value: &str) -> Option<String> {
        let rule = self.rules.iter().find(|rule| rule.name == name)?;
        let all = 0..value.len();
        let is_all = match rule.check {
            Check::None => rule.pattern.find_iter(value).any(|found| found.range() == all),
            Check::Card => {
                rule.pattern.find_iter(value).any(|found| found.range() == all)
                    && cards_of(value, all.clone()) == [all]
            }
        };
        is_all.then(|| self.shown(rule, value))
    }

    fn mask(&self, text: &str, uses: impl Fn(&Rule) -> bool) -> String {
        let text = text.replace(|c: char| c.is_control(), " ");
        let mut parts = vec![Part::Plain(text)];
        for rule in self.rules.iter().filter(|rule| uses(rule)) {
            parts = parts.into_iter().flat_map(|part| self.split(rule, part)).collect();
        }
        parts
            .into_iter()
            .map(|part| match part {
                Part::Plain(text) | Part::Masked(text) => text,
            })
            .collect()
    }

    /// A part of a text, with what the rule finds in it masked.
    fn split(&self, rule: &Rule, part: Part) -> Vec<Part> {
        let Part::Plain(text) = &part else { return vec![part] };
        let mut parts = Vec::new();
        let mut behind = 0;
        for found in rule.pattern.find_iter(text) {
            let values = match rule.check {
                Check::None => vec![found.range()],
                Check::Card => cards_of(text, found.range()),
            };
            for value in values {
                parts.push(Part::Plain(text[behind..value.start].to_owned()));
                parts.push(Part::Masked(self.shown(rule, &text[value.clone()])));
                behind = value.end;
            }
        }
        if parts.is_empty() {
            return vec![part];
        }
        parts.push(Part::Plain(text[behind..].to_owned()));
        parts
    }

    fn shown(&self, rule: &Rule, value: &str) -> String {
        let hash = self.key.as_ref().map(|key| hash_of(key, value));
        let hash = hash.map(|hash| format!("#{hash}")).unwrap_or_default();
        match rule.show {
            Show::Nothing => format!("[{}]", rule.name),
            Show::Hash => format!("[{}{hash}]", rule.name),
            Show::Ends => {
                let chars: Vec<char> = match rule.check {
                    Check::Card => value.chars().filter(char::is_ascii_digit).collect(),
                    Check::None => value.chars().collect(),
                };
                let (first, last) = (rule.first, rule.last);
                // Of a short value half stays hidden.
                if (first + last) * 2 > chars.len() && rule.check == Check::None {
                    return format!("[{}{hash}]", rule.name);
                }
                let hidden = chars.len().saturating_sub(first + last);
                let begin: String = chars.iter().take(first).collect();
                let end: String = chars.iter().skip(chars.len() - last).collect();
                format!("{begin}{}{end}{hash}", "*".repeat(hidden.min(16)))
            }
        }
    }
}

/// A part of a text.
enum Part {
    /// Nothing was found in it so far.
    Plain(String),
    /// Nobody looks at it any more.
    Masked(String),
}

/// The first eight bytes of the keyed hash, in hexadecimal. Separators do not count, so that a card
/// number is the same however it is written.
fn hash_of(key: &[u8; 32], value: &str) -> String {
    let plain: String = value.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let hash = blake3::keyed_hash(key, plain.as_bytes());
    hash.as_bytes().iter().take(8).fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// The card numbers in a run of groups of digits: whatever begins and ends with a group and has a card's
/// length and check digit. Those that overlap are one.
fn cards_of(text: &str, run: Range<usize>) -> Vec<Range<usize>> {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let begins = |at: &usize| is_digit(*at) && (*at == 0 || !is_digit(at - 1));
    let ends = |at: &usize| is_digit(at - 1) && !is_digit(*at);
    let mut cards: Vec<Range<usize>> = Vec::new();
    for start in run.clone().filter(begins) {
        // Longer than any card, whatever separates its digits.
        let last = run.end.min(start + 2 * CARD_DIGITS_MAX);
        for end in (start + 1..=last).filter(ends) {
            if !is_card(&text[start..end]) {
                continue;
            }
            match cards.last_mut() {
                Some(before) if start < before.end => before.end = before.end.max(end),
                _ => cards.push(start..end),
            }
        }
    }
    cards
}

/// Digits of the longest card number.
const CARD_DIGITS_MAX: usize = 19;

/// Whether the last digit is the check digit of those before it, as on cards.
fn is_card(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let digits: Vec<u32> = digits.collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    (13..=CARD_DIGITS_MAX).contains(&digits.len()) && sum.is_multiple_of(10)
}

/// The JSON Schema of `masks`.
#[must_use]
pub fn schema() -> serde_json::Value {
    serde_json::json!({
        "type": "array",
        "description": "What is masked in the audit trail, beside card numbers, tokens, e-mail \
                        addresses, phone and ID numbers.",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "pattern"],
            "properties": {
                "name": { "type": "string", "description": "What stands in its place." },
                "pattern": { "type": "string", "description": "A regular expression." },
                "show": { "enum": ["nothing", "hash", "ends"] },
                "first": { "type": "integer", "minimum": 0, "maximum": SHOWN_MAX },
                "last": { "type": "integer", "minimum": 0, "maximum": SHOWN_MAX }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks(text: &str) -> Result<Masks, String> {
        let mut table: toml::Table = text.parse().expect("TOML");
        let rules = MaskRules::from_value(table.remove("masks").expect("there"))?;
        Ok(Masks::new(&rules, None))
    }

    #[test]
    fn what_is_sensitive_is_masked_and_the_rest_is_not() {
        let masks = Masks::default();
        for (text, expected) in [
            ("card 4111111111111111 declined", "card 411111******1111 declined"),
            ("4111 1111 1111 1111", "411111******1111"),
            ("4111-1111-1111-1111,5500005555555559", "411111******1111,550000******5559"),
            ("378282246310005", "378282*****0005"),
            ("12 4111111111111111 13", "12 411111******1111 13"),
            // Another check digit: no card.
            ("order 4111111111111112", "order 4111111111111112"),
            ("account 17 has 250.00", "account 17 has 250.00"),
            ("write to jane.doe@example.com now", "write to j**************** now"),
            ("call +44 20 7946 0958", "call **************58"),
            ("call 0044 20 7946 0958.", "call ***************58."),
            ("ssn 078-05-1120", "ssn *******1120"),
            ("id 11010519491231002X", "id **************002X"),
            ("iban GB82 WEST 1234 5698 7654 32", "iban GB82****************4 32"),
            ("Bearer abcdefgh12345678", "[secret]"),
            ("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln", "[token]"),
            ("two\nlines\u{7}", "two lines "),
            ("", ""),
        ] {
            assert_eq!(masks.text(text), expected, "{text}");
        }
    }

    #[test]
    fn a_principal_stays_who_it_is() {
        let masks = Masks::default();
        assert_eq!(masks.name("jane@bank.example"), "jane@bank.example");
        assert_eq!(masks.name("spiffe://bank.example/gateway"), "spiffe://bank.example/gateway");
        assert_eq!(masks.name("4111111111111111"), "411111******1111");
    }

    #[test]
    fn a_key_tells_equal_values_and_nothing_else() {
        let keyed = |key| Masks::new(&MaskRules::default(), Some([key; 32]));
        let of = |key, text: &str| keyed(key).text(text);
        let one = of(1, "4111111111111111");
        assert!(one.starts_with("411111******1111#") && one.len() == 17 + 16, "{one}");
        assert_eq!(one, of(1, "4111 1111 1111 1111"));
        assert_ne!(one, of(2, "4111111111111111"));
        assert_ne!(of(1, "a@b.cd"), of(1, "a@b.ce"));
        assert!(!format!("{:?}", keyed(7)).contains("7, 7"));
    }

    #[test]
    fn rules_of_the_configuration_come_first() {
        let text = "[[masks]]\nname = \"customer\"\npattern = 'cus_\\d+'\nshow = \"ends\"\n\
                    first = 4\n[[masks]]\nname = \"all\"\npattern = 'top \\w+'\n";
        let masks = masks(text).expect("well-formed");
        assert_eq!(masks.text("cus_123456 top secret"), "cus_****** [all]");
        for (text, says) in [
            ("[[masks]]\nname = \"a b\"\npattern = 'x'", "a name has"),
            ("[[masks]]\nname = \"a\"\npattern = '('", "regex"),
            ("[[masks]]\nname = \"a\"\npattern = 'x*'", "nothing at all"),
            ("[[masks]]\nname = \"a\"\npattern = 'x'\nlast = 9", "at most 8"),
            ("[[masks]]\nname = \"a\"\npattern = 'x'\nshow = \"all\"", "unknown variant"),
            ("[[masks]]\nname = \"a\"\npattern = '\\w{1000}{1000}'", "size limit"),
        ] {
            let why = self::masks(text).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    proptest! {
        /// Wherever a card number stands, its middle is gone.
        #[test]
        fn no_card_number_comes_through(
            before in "[ -~]{0,20}", body in "[1-9][0-9]{14}", after in "[ -~]{0,20}",
        ) {
            let check = (0..10).map(|digit| format!("{body}{digit}")).find(|text| is_card(text));
            let card = check.expect("one digit fits");
            let text = format!("{before} {card} {after}");
            let got = Masks::default().text(&text);
            prop_assert!(!got.contains(&card), "{text}: {got}");
        }
    }
}
