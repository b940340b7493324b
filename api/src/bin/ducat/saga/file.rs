//! The file that says what a saga is.

use crate::moment;
use ducat_api::proto::{self, SagaUndo, saga_step::Action};
use ducat_engine::ids::AccountId;
use serde::Deserialize;

/// A saga.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SagaFile {
    #[serde(default)]
    label: String,
    steps: Vec<StepFile>,
    /// As in `1s`.
    back_off: Option<String>,
    /// As in `1h`.
    back_off_max: Option<String>,
    attempts_max: Option<u32>,
}

/// A step. Exactly one of `transfer`, `hold`, `capture`, `void` and `wait` says what it does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    name: String,
    transfer: Option<TransferFile>,
    hold: Option<TransferFile>,
    /// Of a hold, as in `7d`.
    expires_in: Option<String>,
    /// The name of the step that placed the hold.
    capture: Option<String>,
    amount: Option<String>,
    currency: Option<String>,
    #[serde(default)]
    last: bool,
    /// The name of the step that placed the hold.
    void: Option<String>,
    /// How long, as in `30m`.
    wait: Option<String>,
    undo: Option<UndoFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferFile {
    from: String,
    to: String,
    amount: String,
    currency: String,
    #[serde(default)]
    kind: KindFile,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum KindFile {
    #[default]
    Transfer,
    Deposit,
    Withdrawal,
}

/// `"reverse"`, `"nothing"`, or a transfer.
#[derive(Deserialize)]
#[serde(untagged)]
enum UndoFile {
    Word(UndoWord),
    Transfer(TransferFile),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum UndoWord {
    Reverse,
    Nothing,
}

/// The definition in a file, but for its id.
pub fn definition(text: &str) -> Result<proto::SagaDefinition, String> {
    let file: SagaFile =
        serde_json::from_str(text).map_err(|error| format!("the file is no saga: {error}"))?;
    let names: Vec<String> = file.steps.iter().map(|step| step.name.clone()).collect();
    let steps: Result<Vec<_>, String> = file
        .steps
        .into_iter()
        .map(|step| {
            let name = step.name.clone();
            step.step(&names).map_err(|why| format!("step `{name}`: {why}"))
        })
        .collect();
    let given = file.back_off.is_some() || file.back_off_max.is_some();
    let defaults =
        if given || file.attempts_max.is_some() { ("1s", "1h", 20) } else { ("", "", 0) };
    let time = |text: Option<String>, default: &str| match text.as_deref().unwrap_or(default) {
        "" => Ok(0),
        text => moment::timeout_ms(text),
    };
    Ok(proto::SagaDefinition {
        label: file.label,
        steps: steps?,
        back_off_ms: time(file.back_off, defaults.0)?,
        back_off_max_ms: time(file.back_off_max, defaults.1)?,
        attempts_max: file.attempts_max.unwrap_or(defaults.2),
        ..proto::SagaDefinition::default()
    })
}

impl StepFile {
    fn step(self, names: &[String]) -> Result<proto::SagaStep, String> {
        let hold_step = |name: &str| {
            let at = names.iter().position(|known| known == name);
            at.and_then(|at| u32::try_from(at).ok()).ok_or(format!("no step is called `{name}`"))
        };
        let said = [
            self.transfer.is_some(),
            self.hold.is_some(),
            self.capture.is_some(),
            self.void.is_some(),
            self.wait.is_some(),
        ];
        if said.into_iter().filter(|said| *said).count() != 1 {
            return Err("it is one of transfer, hold, capture, void and wait".to_owned());
        }
        let mut action = None;
        if let Some(transfer) = self.transfer {
            action = Some(Action::Transfer(transfer.planned()?));
        }
        if let Some(hold) = self.hold {
            let timeout = self.expires_in.as_deref().unwrap_or("never");
            action = Some(Action::Hold(proto::SagaHold {
                transfer: Some(hold.planned()?),
                timeout_ms: moment::timeout_ms(timeout)?,
            }));
        }
        if let Some(hold) = self.capture {
            action = Some(Action::Capture(proto::SagaCapture {
                hold_step: hold_step(&hold)?,
                amount: self.amount.unwrap_or_default(),
                currency: self.currency.unwrap_or_default(),
                last: self.last,
            }));
        }
        if let Some(hold) = self.void {
            action = Some(Action::Void(proto::SagaVoid { hold_step: hold_step(&hold)? }));
        }
        if let Some(wait) = self.wait {
            let timeout_ms = moment::timeout_ms(&wait)?;
            action = Some(Action::Wait(proto::SagaWait { timeout_ms }));
        }
        let (undo, undo_transfer) = match self.undo {
            None | Some(UndoFile::Word(UndoWord::Reverse)) => (SagaUndo::Reverse, None),
            Some(UndoFile::Word(UndoWord::Nothing)) => (SagaUndo::Nothing, None),
            Some(UndoFile::Transfer(transfer)) => (SagaUndo::Transfer, Some(transfer.planned()?)),
        };
        Ok(proto::SagaStep { name: self.name, action, undo: undo.into(), undo_transfer })
    }
}

impl TransferFile {
    fn planned(self) -> Result<proto::PlannedTransfer, String> {
        let account = |text: &str| text.parse::<AccountId>().map_err(|error| error.to_string());
        let (from, to) = (account(&self.from)?, account(&self.to)?);
        let kind = match self.kind {
            KindFile::Transfer => proto::TransferKind::Transfer,
            KindFile::Deposit => proto::TransferKind::Deposit,
            KindFile::Withdrawal => proto::TransferKind::Withdrawal,
        };
        Ok(proto::PlannedTransfer {
            debit_account: from.low(),
            debit_account_high: from.high(),
            credit_account: to.low(),
            credit_account_high: to.high(),
            amount: self.amount,
            currency: self.currency,
            kind: kind.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_each_step_does() {
        let text = r#"{"label": "a night", "back_off": "5s", "steps": [
            {"name": "hold", "hold": {"from": "2", "to": "3", "amount": "100.00",
             "currency": "GBP"}, "expires_in": "7d"},
            {"name": "hotel", "wait": "30m", "undo": {"from": "3", "to": "2", "amount": "1.00",
             "currency": "GBP"}},
            {"name": "capture", "capture": "hold", "last": true, "undo": "nothing"},
            {"name": "void", "void": "hold"}]}"#;
        let read = definition(text).expect("a saga");
        assert_eq!((read.steps.len(), &*read.label), (4, "a night"));
        let bounds = (read.back_off_ms, read.back_off_max_ms, read.attempts_max);
        assert_eq!(bounds, (5_000, 3_600_000, 20));
        assert_eq!(read.steps[1].undo(), SagaUndo::Transfer);
        assert_eq!(read.steps[2].undo(), SagaUndo::Nothing);
        let Some(Action::Capture(capture)) = &read.steps[2].action else { panic!("a capture") };
        assert_eq!((capture.hold_step, capture.last), (0, true));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let wrong = |text: &str| definition(text).expect_err("wrong");
        assert!(wrong("{}").contains("steps"));
        let both = r#"{"steps": [{"name": "a", "wait": "1s", "void": "b"}]}"#;
        assert_eq!(wrong(both), "step `a`: it is one of transfer, hold, capture, void and wait");
        let unknown = r#"{"steps": [{"name": "a", "void": "b"}]}"#;
        assert_eq!(wrong(unknown), "step `a`: no step is called `b`");
        assert!(wrong(r#"{"steps": [], "stesp": 1}"#).contains("stesp"));
    }
}
