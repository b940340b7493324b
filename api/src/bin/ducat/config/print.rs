//! `ducat config print`: what `serve` would start with, as a file that starts it so again.

use super::settings::{SETTINGS, Setting, sections};
use super::{File, is_list, is_switch};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory as _};
use std::fmt::Write as _;
use toml::Value;

/// The text. `matches` are those of the flags of `serve`, `file` what they were read over.
pub fn print(matches: &ArgMatches, file: Option<&File>) -> String {
    let cli = crate::Cli::command();
    let serve = cli.find_subcommand("serve").expect("there is one");
    let mut text = String::new();
    for section in sections() {
        writeln!(text, "[{section}]").expect("writing to a String never fails");
        for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
            let arg = serve.get_arguments().find(|arg| arg.get_id().as_str() == setting.flag);
            let arg = arg.expect("a test holds the settings against the flags");
            text.push_str(&line(setting, arg, matches, file));
        }
        text.push('\n');
    }
    if let Some(file) = file {
        text.push_str(&file.rights.to_toml());
        text.push_str(&file.rates.to_toml());
        text.push_str(&file.masks.to_toml());
    }
    text
}

fn line(setting: &Setting, arg: &Arg, matches: &ArgMatches, file: Option<&File>) -> String {
    let Setting { key, flag, .. } = setting;
    let Some(value) = value(flag, matches) else {
        return format!("# {key} =   # not set\n");
    };
    let from = match matches.value_source(flag) {
        Some(ValueSource::CommandLine) => format!("--{}", flag.replace('_', "-")),
        Some(ValueSource::EnvVariable) => {
            arg.get_env().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        }
        _ if file.is_some_and(|file| file.values.contains_key(flag)) => "the file".to_owned(),
        _ => "default".to_owned(),
    };
    format!("{key} = {value}   # {from}\n")
}

fn value(flag: &str, matches: &ArgMatches) -> Option<Value> {
    if is_switch(flag) {
        return Some(Value::Boolean(matches.get_flag(flag)));
    }
    let mut raw = matches.get_raw(flag)?.map(|raw| raw.to_string_lossy().into_owned());
    if is_list(flag) {
        return Some(Value::Array(raw.map(Value::String).collect()));
    }
    let text = raw.next()?;
    // Whole numbers without quotes, as people write them.
    let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    Some(number.map_or(Value::String(text), Value::Integer))
}
