//! Reading a configuration file: its settings as the flags take them, and the rights and rates of
//! principals, which no flag can hold. Whatever is not known is refused, with the nearest name
//! that is.

use super::settings::{self, SETTINGS, Setting};
use crate::exit::Failure;
use ducat_api::audit::masking::{MASK_KEYS, MaskRules};
use ducat_api::identity::rights::{PRINCIPAL_KEYS, Rights};
use ducat_api::rates::Rates;
use ducat_api::rates::rules::RATE_KEYS;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The array of tables that says who may do what.
const PRINCIPALS: &str = "principals";

/// The array of tables that says who may ask for how much.
const RATES: &str = "rates";

/// The array of tables that says what is masked in the audit trail.
const MASKS: &str = "masks";

/// More than any configuration has.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file that was read.
#[derive(Debug, Default)]
pub struct File {
    /// Where it was read from.
    pub path: PathBuf,
    /// Values by the flag's id, as the flag would take them.
    pub values: BTreeMap<&'static str, String>,
    /// Who may do what.
    pub rights: Rights,
    /// Who may ask for how much.
    pub rates: Rates,
    /// What is masked in the audit trail.
    pub masks: MaskRules,
}

impl File {
    /// Reads and checks it. What a value means is for the flag to say.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::usage(format!("could not read the configuration {}: {why}", path.display()))
        };
        let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
        if length > BYTES_MAX {
            return Err(failed(&format!("it has {length} bytes, at most {BYTES_MAX} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        Self::parse(path, &text)
            .map_err(|why| Failure::usage(format!("the configuration {}: {why}", path.display())))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        for (section, value) in table {
            if section == PRINCIPALS {
                check_keys(PRINCIPALS, &PRINCIPAL_KEYS, &value)?;
                file.rights = Rights::from_value(value)?;
                continue;
            }
            if section == RATES {
                check_keys(RATES, &RATE_KEYS, &value)?;
                file.rates = Rates::from_value(value)?;
                continue;
            }
            if section == MASKS {
                check_keys(MASKS, &MASK_KEYS, &value)?;
                file.masks = MaskRules::from_value(value)?;
                continue;
            }
            let known = settings::sections();
            if !known.contains(&section.as_str()) {
                let names = known.into_iter().chain([PRINCIPALS, RATES, MASKS]);
                return Err(unknown("table", &section, names));
            }
            let Value::Table(keys) = value else {
                return Err(format!("`{section}` is a table: write [{section}]"));
            };
            file.take_section(&section, keys)?;
        }
        Ok(file)
    }

    fn take_section(&mut self, section: &str, keys: Table) -> Result<(), String> {
        for (key, value) in keys {
            let Some(setting) = settings::find(section, &key) else {
                let here = SETTINGS.iter().filter(|setting| setting.section == section);
                return Err(unknown(
                    &format!("key in [{section}]"),
                    &key,
                    here.map(|setting| setting.key),
                ));
            };
            self.values.insert(setting.flag, text_of(setting, &value)?);
        }
        Ok(())
    }
}

/// A value as its flag takes it.
fn text_of(setting: &Setting, value: &Value) -> Result<String, String> {
    let path = setting.path();
    if super::is_switch(setting.flag) {
        return match value {
            Value::Boolean(on) => Ok(on.to_string()),
            other => Err(format!("`{path}` is true or false, not {other}")),
        };
    }
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Array(items) if super::is_list(setting.flag) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            let texts = texts.ok_or_else(|| format!("`{path}` is a list of texts"))?;
            Ok(texts.join(","))
        }
        other => Err(format!("`{path}` is a text or a whole number, not {other}")),
    }
}

/// Refuses keys of an array of tables that are not known.
fn check_keys(array: &str, known: &[&str], value: &Value) -> Result<(), String> {
    let tables = value.as_array().into_iter().flatten().filter_map(Value::as_table);
    for key in tables.flat_map(Table::keys) {
        if !known.contains(&key.as_str()) {
            return Err(unknown(&format!("key in [[{array}]]"), key, known.iter().copied()));
        }
    }
    Ok(())
}

/// A sentence about a name that is not known, with the nearest that is.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_by_key(|known| strsim::damerau_levenshtein(known, name));
    match known.first() {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.7 => {
            format!("unknown {what}: `{name}`; did you mean `{nearest}`?")
        }
        _ => {
            known.sort_unstable();
            format!("unknown {what}: `{name}`; known are {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("ducat.toml"), text)
    }

    #[test]
    fn values_go_to_their_flags() {
        let file = parse(
            "[server]\nlisten = \"127.0.0.1:1\"\ndevelopment = true\n[limits]\ncalls_max = 7\n\
             [tokens]\nalgorithms = [\"EdDSA\", \"ES256\"]\n",
        )
        .expect("known");
        let value = |flag: &str| file.values.get(flag).map(String::as_str);
        assert_eq!(value("listen"), Some("127.0.0.1:1"));
        assert_eq!(value("development"), Some("true"));
        assert_eq!(value("calls_max"), Some("7"));
        assert_eq!(value("token_algorithms"), Some("EdDSA,ES256"));
        assert_eq!(value("data_dir"), None);
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_nearest_that_is() {
        for (text, says) in [
            ("[server]\nlistn = \"a\"", "unknown key in [server]: `listn`; did you mean `listen`?"),
            ("[sever]\n", "unknown table: `sever`; did you mean `server`?"),
            ("[limits]\ncall_max = 1", "did you mean `calls_max`?"),
            ("[disk]\nzzz = 1", "known are every_ms, reserve_mib, resume_mib"),
            ("[[principals]]\nnam = \"a\"", "[[principals]]: `nam`; did you mean `name`?"),
            ("[[rates]]\nbrust = 1", "[[rates]]: `brust`; did you mean `burst`?"),
            ("[[rates]]\nburst = 1", "exactly one of per_second"),
            ("[[masks]]\npatern = 'x'", "[[masks]]: `patern`; did you mean `pattern`?"),
            ("[[masks]]\nname = \"a\"\npattern = '('", "the mask `a`"),
            ("listen = \"a\"", "unknown table: `listen`"),
            ("server = 1", "`server` is a table"),
            ("[server]\ndevelopment = \"yes\"", "`server.development` is true or false"),
            ("[server]\nlisten = 1.5", "`server.listen` is a text or a whole number"),
            ("[server]\nlisten = [\"a\"]", "`server.listen` is a text or a whole number"),
            ("[server]\nlisten = \"a\"\nlisten = \"b\"", "duplicate key"),
            ("[server", "TOML"),
        ] {
            let why = parse(text).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
