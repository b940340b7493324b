//! Events of schedules and sagas.

use super::EventLine;
use ducat_api::proto::{self, EventKind};
use ducat_engine::driven::DrivenEvent;
use ducat_engine::sagas::SagaChange;
use ducat_engine::schedules::ScheduleChange;

impl EventLine {
    /// As the journal has it.
    pub(super) fn driven(self, event: &DrivenEvent) -> Self {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        match event {
            DrivenEvent::Schedule(event) => {
                let line = Self {
                    event: "schedule",
                    id: Some(event.id.to_string()),
                    what: Some(event.what.name().to_owned()),
                    ..self
                };
                match &event.what {
                    ScheduleChange::Defined { definition, .. } => {
                        Self { label: some(&definition.label), ..line }
                    }
                    ScheduleChange::Begun { run, attempt, transfer, .. } => Self {
                        run: Some(*run),
                        attempt: Some(u32::from(*attempt)),
                        request: Some(transfer.to_string()),
                        ..line
                    },
                    _ => line,
                }
            }
            DrivenEvent::Saga(event) => {
                let line = Self {
                    event: "saga",
                    id: Some(event.id.to_string()),
                    what: Some(event.what.name().to_owned()),
                    ..self
                };
                match &event.what {
                    SagaChange::Started { definition } => {
                        Self { label: some(&definition.label), ..line }
                    }
                    SagaChange::Begun { step, undo, attempt, request } => Self {
                        step: Some(u32::from(*step)),
                        attempt: Some(u32::from(*attempt)),
                        request: Some(request.to_string()),
                        undo: *undo,
                        ..line
                    },
                    SagaChange::Waits { step, .. } | SagaChange::TimedOut { step } => {
                        Self { step: Some(u32::from(*step)), ..line }
                    }
                    SagaChange::Answered { step, answer } => {
                        let reason = some(&answer.note);
                        Self { step: Some(u32::from(*step)), reason, ..line }
                    }
                    SagaChange::Aborted { note } | SagaChange::Resolved { note, .. } => {
                        Self { reason: some(note), ..line }
                    }
                    SagaChange::IdTaken => line,
                }
            }
        }
    }

    /// As a server's feed gives it.
    pub(super) fn driven_message(self, kind: EventKind, event: &proto::DrivenEvent) -> Self {
        let id = |high, low| crate::output::transfer_id(high, low);
        let saga = kind == EventKind::Saga;
        let begun = event.what == "begun";
        let step = match &*event.what {
            "begun" | "waits" | "answered" | "timed-out" if saga => Some(event.step),
            _ => None,
        };
        let text = Some(event.text.clone()).filter(|text| !text.is_empty());
        let named = matches!(&*event.what, "defined" | "started");
        Self {
            event: if saga { "saga" } else { "schedule" },
            id: Some(id(event.id_high, event.id)),
            what: Some(event.what.clone()),
            request: begun.then(|| id(event.request_id_high, event.request_id)),
            run: (begun && !saga).then_some(event.run),
            attempt: begun.then_some(event.attempt),
            step,
            undo: event.undo,
            label: text.clone().filter(|_| named),
            reason: text.filter(|_| !named),
            ..self
        }
    }

    /// The event in one line, without its place and time.
    pub(super) fn driven_text(&self) -> String {
        let get = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut text = format!("{} {} {}", self.event, get(&self.id), get(&self.what));
        if let Some(run) = self.run {
            text += &format!(": run {run}");
        }
        if let Some(step) = self.step {
            let undo = if self.undo { "undo " } else { "" };
            text += &format!(": {undo}step {step}");
        }
        if let Some(attempt) = self.attempt.filter(|attempt| *attempt > 1) {
            text += &format!(", attempt {attempt}");
        }
        if let Some(request) = &self.request {
            text += &format!(", asks for {request}");
        }
        for words in [&self.label, &self.reason].into_iter().flatten() {
            text += &format!(" ({words})");
        }
        text
    }
}
