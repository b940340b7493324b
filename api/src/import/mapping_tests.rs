//! What mapping files are understood as, and what is said about wrong ones.

use super::*;

const SMALL: &str = r#"
namespace = "small"
currency = "GBP"
[transfers]
debit = { column = "from" }
credit = { column = 2, offset = 1 }
amount = { column = "value" }
"#;

fn error(text: &str) -> String {
    read("m.toml", text, &[]).expect_err("refused").message
}

#[test]
fn columns_have_names_or_numbers() {
    let mapping = read("m.toml", SMALL, &[]).expect("reads");
    let transfers = mapping.transfers.expect("there");
    assert_eq!(transfers.debit.expect("there").column, Some(ColumnRef::Name("from".into())));
    let credit = transfers.credit.expect("there");
    assert_eq!((credit.column, credit.offset), (Some(ColumnRef::Number(2)), 1));
    assert_eq!(transfers.amount.negative, Negative::Refuse);
    assert!(mapping.source.header);
}

#[test]
fn a_typo_names_the_place_and_the_nearest_key() {
    let text = error(&SMALL.replace("amount", "amuont"));
    assert!(text.contains("m.toml") && text.contains("line 7"), "{text}");
    assert!(text.contains("Did you mean `amount`?"), "{text}");
    let text = error(&format!("{SMALL}[source]\ndelimeter = ';'"));
    assert!(text.contains("Did you mean `delimiter`?"), "{text}");
}

#[test]
fn wrong_values_say_what_is_expected() {
    assert!(error(&SMALL.replace("\"value\"", "true")).contains("a column's name, or its number"));
    assert!(error(&SMALL.replace("column = 2", "column = 0")).contains("from 1 on"));
    assert!(error("currency = 'GBP'").contains("missing field `namespace`"));
    let text = error(&format!("{SMALL}[accounts]\noverdraft_limit = true"));
    assert!(text.contains("a text, or a column as in"), "{text}");
}

#[test]
fn flags_lie_over_the_file() {
    let settings: Vec<_> =
        ["transfers.amount.column=7", "source.header=false", "currency=EUR", "source.delimiter=;"]
            .iter()
            .map(|s| setting(s).expect("a setting"))
            .collect();
    let mapping = read("m.toml", SMALL, &settings).expect("reads");
    assert_eq!(mapping.transfers.expect("there").amount.column, ColumnRef::Number(7));
    assert!(!mapping.source.header);
    assert_eq!(mapping.currency.as_deref(), Some("EUR"));
    assert_eq!(mapping.source.delimiter, ";");
    assert!(setting("transfers.amount").is_err());
    let below = setting("currency.code=EUR").expect("a setting");
    assert!(read("m.toml", SMALL, &[below]).is_err());
}

#[test]
fn the_shipped_mappings_are_understood() {
    for text in [
        include_str!("../../mappings/amlsim.toml"),
        include_str!("../../mappings/berka.toml"),
        include_str!("../../mappings/uk-payments.toml"),
    ] {
        read("shipped", text, &[]).expect("reads");
    }
}
