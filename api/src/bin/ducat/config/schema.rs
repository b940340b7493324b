//! The JSON Schema of the configuration file, made of the flags.

use super::settings::{SETTINGS, sections};
use super::{is_list, is_switch};
use clap::{Arg, CommandFactory as _};
use ducat_api::audit::masking;
use ducat_api::identity::rights;
use ducat_api::rates::rules;
use serde_json::{Map, Value, json};

/// The schema.
pub fn schema() -> Value {
    let cli = crate::Cli::command();
    let serve = cli.find_subcommand("serve").expect("there is one");
    let mut properties = Map::new();
    for section in sections() {
        let mut keys = Map::new();
        for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
            let arg = serve.get_arguments().find(|arg| arg.get_id().as_str() == setting.flag);
            keys.insert(setting.key.to_owned(), property(arg.expect("a test holds them together")));
        }
        properties.insert(
            section.to_owned(),
            json!({ "type": "object", "additionalProperties": false, "properties": keys }),
        );
    }
    properties.insert("principals".to_owned(), rights::schema());
    properties.insert("rates".to_owned(), rules::schema());
    properties.insert("masks".to_owned(), masking::schema());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of `ducat serve`",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(arg: &Arg) -> Value {
    let id = arg.get_id().as_str();
    let mut property = Map::new();
    if is_switch(id) {
        property.insert("type".into(), json!("boolean"));
    } else if is_list(id) {
        property.insert("type".into(), json!(["array", "string"]));
        property.insert("items".into(), json!({ "type": "string" }));
    } else {
        property.insert("type".into(), json!(["string", "integer"]));
        let values: Vec<String> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if !values.is_empty() {
            property.insert("enum".into(), json!(values));
        }
    }
    let help = arg.get_long_help().or_else(|| arg.get_help());
    if let Some(help) = help {
        property.insert("description".into(), json!(help.to_string()));
    }
    if let Some(name) = arg.get_env() {
        let text = format!("Also {} and --{}", name.to_string_lossy(), id.replace('_', "-"));
        property.insert("$comment".into(), json!(text));
    }
    if let Some(default) = arg.get_default_values().first() {
        property.insert("default".into(), json!(default.to_string_lossy()));
    }
    Value::Object(property)
}
