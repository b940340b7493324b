//! The file of a linked group: a leg to a line, as JSON or CSV with the same names.

use crate::note;
use clap::ValueEnum as _;
use ducat_api::day;
use ducat_api::import::Kind;
use ducat_api::proto::{self, Operation, TransferRequest};
use ducat_api::texts::{self, several, timeout_ms};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::terms::leg_id;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;

/// A leg as it is written; all of it texts, empty where nothing is.
#[derive(Deserialize, Debug, Default, Clone, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Leg {
    op: Text,
    id: Text,
    from: Text,
    to: Text,
    amount: Text,
    currency: Text,
    kind: Text,
    hold: Text,
    last: Text,
    expires_in: Text,
    over_capture_max: Text,
    original: Text,
    original_lsn: Text,
    allow_overdraft: Text,
    up_to: Text,
    min: Text,
    require: Text,
    reference: Text,
    description: Text,
    value_date: Text,
}

/// A text, or a JSON value that is as good as one. Numbers with a point are not: amounts never become
/// floats.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsText;
        impl Visitor<'_> for AsText {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text, a whole number, true or false; amounts are texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.trim().to_owned()))
            }
            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Text, E> {
                Ok(Text(yes.to_string()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(AsText)
    }
}

/// The legs of a file, in order, each with its line. JSON where the first of it is a `{`, else CSV.
pub fn legs(text: &str) -> Result<Vec<(u64, Leg)>, String> {
    if text.trim_start().starts_with('{') { of_json(text) } else { of_csv(text) }
}

fn of_json(text: &str) -> Result<Vec<(u64, Leg)>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let leg = |(number, line): (u64, &str)| {
        let leg = serde_json::from_str(line).map_err(|why| format!("line {number}: {why}"))?;
        Ok((number, leg))
    };
    lines.map(leg).collect()
}

fn of_csv(text: &str) -> Result<Vec<(u64, Leg)>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let names = reader.headers().map_err(|why| why.to_string())?.clone();
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().map(str::trim).find(|name| !seen.insert(*name)) {
        return Err(format!("the column `{name}` is there twice"));
    }
    let mut legs = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|why| match why.position() {
            Some(at) => format!("line {}: {why}", at.line()),
            None => why.to_string(),
        })?;
        let number = record.position().map_or(0, csv::Position::line);
        let fields = names.iter().zip(&record);
        let fields = fields.map(|(name, text)| (name.trim().to_owned(), Value::from(text)));
        let leg = serde_json::from_value(Value::Object(fields.collect()));
        legs.push((number, leg.map_err(|why| format!("line {number}: {why}"))?));
    }
    Ok(legs)
}

/// The group of these legs under this id. Amounts whose legs name no currency are in `currency`.
pub fn requests(
    legs: Vec<(u64, Leg)>,
    id: TransferId,
    currency: Option<&str>,
) -> Result<Vec<TransferRequest>, String> {
    let last = legs.len().saturating_sub(1);
    let request = |(at, (line, leg)): (usize, (u64, Leg))| {
        let own = leg_id(id, u32::try_from(at).unwrap_or(u32::MAX));
        let request = leg.request(own, currency).map_err(|why| format!("line {line}: {why}"))?;
        Ok(TransferRequest { linked: at < last, ..request })
    };
    legs.into_iter().enumerate().map(request).collect()
}

impl Leg {
    /// The request; what does not belong to its operation is sent as well, for the server to refuse.
    fn request(self, own: TransferId, currency: Option<&str>) -> Result<TransferRequest, String> {
        let operation = texts::operation(&self.op.0)?;
        let id = if self.id.0.is_empty() { own } else { transfer("id", &self.id)? };
        let (from, to) = (account("from", &self.from)?, account("to", &self.to)?);
        let hold = optional("hold", &self.hold)?;
        let original = optional("original", &self.original)?;
        let lsn = match self.original_lsn.0.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| format!("original_lsn: `{text}` is no LSN"))?,
        };
        let timeout_ms = match self.expires_in.0.as_str() {
            "" => 0,
            text => timeout_ms(text).map_err(|why| format!("expires_in: {why}"))?,
        };
        let kind = match self.kind.0.as_str() {
            "" => Kind::default(),
            text => Kind::from_str(text, false).map_err(|_| format!("kind: `{text}` is none"))?,
        };
        let caps = several(&self.up_to.0).map_err(|why| format!("up_to: {why}"))?;
        let require = several(&self.require.0).map_err(|why| format!("require: {why}"))?;
        let terms = texts::terms(&caps, &self.min.0, &require);
        let in_texts = !self.amount.0.is_empty() || terms.is_some();
        let needs = in_texts && !matches!(operation, Operation::Void | Operation::Extend);
        let currency = match self.currency.0.is_empty() && needs {
            true => currency.unwrap_or_default().to_owned(),
            false => self.currency.0,
        };
        let yes =
            |name: &str, text: &Text| texts::yes(&text.0).map_err(|why| format!("{name}: {why}"));
        let (last, allow_overdraft) =
            (yes("last", &self.last)?, yes("allow_overdraft", &self.allow_overdraft)?);
        let value_date = match self.value_date.0.as_str() {
            "" => String::new(),
            text => day::text(note::parse(text).map_err(|why| format!("value_date: {why}"))?),
        };
        let note = proto::Note {
            reference: self.reference.0,
            description: self.description.0,
            value_date,
        };
        Ok(TransferRequest {
            id: id.low(),
            id_high: id.high(),
            debit_account: from.map_or(0, AccountId::low),
            debit_account_high: from.map_or(0, AccountId::high),
            credit_account: to.map_or(0, AccountId::low),
            credit_account_high: to.map_or(0, AccountId::high),
            amount: self.amount.0,
            currency,
            kind: kind.wire(),
            operation: operation.into(),
            hold_id: hold.map_or(0, TransferId::low),
            hold_id_high: hold.map_or(0, TransferId::high),
            timeout_ms,
            over_capture_max: self.over_capture_max.0,
            last,
            original_id: original.map_or(0, TransferId::low),
            original_id_high: original.map_or(0, TransferId::high),
            original_lsn: lsn,
            allow_overdraft,
            terms,
            note: (note != proto::Note::default()).then(|| Box::new(note)),
            ..TransferRequest::default()
        })
    }
}

fn account(name: &str, text: &Text) -> Result<Option<AccountId>, String> {
    if text.0.is_empty() {
        return Ok(None);
    }
    text.0.parse().map(Some).map_err(|why| format!("{name}: {why}"))
}

fn transfer(name: &str, text: &Text) -> Result<TransferId, String> {
    text.0.parse().map_err(|why| format!("{name}: {why}"))
}

fn optional(name: &str, text: &Text) -> Result<Option<TransferId>, String> {
    if text.0.is_empty() { Ok(None) } else { transfer(name, text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"
{"from": 2, "to": "3", "amount": "10.00", "kind": "payment", "reference": "INV-1", "require": "debit.posted>=0.00"}

{"op": "capture", "hold": 20, "last": true, "id": "77"}
{"op": "hold", "from": 3, "to": 4, "amount": "1.00", "currency": "EUR", "expires_in": "7d"}
"#;

    const CSV: &str = "op,id,from,to,amount,currency,kind,hold,last,expires_in,reference,require\n\
                       ,,2,3,10.00,,payment,,,,INV-1,debit.posted>=0.00\n\
                       capture,77,,,,,,20,true,,,\n\
                       hold,,3,4,1.00,EUR,,,,7d,,\n";

    fn group(text: &str) -> Result<Vec<TransferRequest>, String> {
        requests(legs(text)?, TransferId::new(9).expect("not zero"), Some("GBP"))
    }

    #[test]
    fn a_column_that_is_there_twice_is_refused() {
        let why = legs("from,to,amount,currency, amount\n1,2,3.00,GBP,4.00\n").expect_err("twice");
        assert_eq!(why, "the column `amount` is there twice");
    }

    #[test]
    fn both_forms_are_the_same_group() {
        let read = group(JSON).expect("three legs");
        assert_eq!(group(CSV).expect("three legs"), read);
        let [pay, capture, hold] = &read[..] else { panic!("{read:?}") };
        assert_eq!((pay.id, &*pay.amount, &*pay.currency, pay.linked), (9, "10.00", "GBP", true));
        assert_eq!((pay.debit_account, pay.credit_account), (2, 3));
        assert_eq!(pay.kind(), proto::TransferKind::Payment);
        assert!(pay.terms.is_some() && pay.note.as_ref().is_some_and(|n| n.reference == "INV-1"));
        assert_eq!(
            (capture.operation(), capture.id, capture.hold_id),
            (Operation::Capture, 77, 20)
        );
        assert_eq!((capture.last, &*capture.currency), (true, ""));
        assert_eq!((hold.operation(), hold.timeout_ms), (Operation::Hold, 604_800_000));
        assert_eq!((&*hold.currency, hold.linked), ("EUR", false));
        assert_ne!((hold.id, hold.id_high), (9, 0), "its id follows from the group's");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, what) in [
            ("{\"from\": 2}\n{\"form\": 3}", 2, "form"),
            ("{\"amount\": 10.5}", 1, "amounts are texts"),
            ("{\"op\": \"pay\"}", 1, "no operation"),
            ("{\"require\": \"debit.held>=1\"}", 1, "require: "),
            ("{\"up_to\": \"all\"}", 1, "up_to: "),
            ("{\"kind\": \"gift\"}", 1, "kind: "),
            ("{\"expires_in\": \"soon\"}", 1, "expires_in: "),
            ("{\"last\": \"maybe\"}", 1, "last: "),
            ("{\"hold\": \"x\"}", 1, "hold: "),
            ("{\"value_date\": \"31.1.\"}", 1, "value_date: "),
            ("from,to\n2,3\n2,3,4\n", 3, "line"),
            ("from,two\n2,3\n", 2, "two"),
        ] {
            let why = group(text).expect_err(text);
            assert!(why.contains(&format!("line {line}")) && why.contains(what), "{text}: {why}");
        }
        assert_eq!(group(""), Ok(Vec::new()));
    }
}
