//! Schedules and sagas between the wire and the engine: what they share, and their events.

mod sagas;
mod schedules;

pub use sagas::{answer, dry_saga, resolution, saga_state, saga_to_proto, start};
pub use schedules::{dry_schedule, schedule, schedule_status, schedule_to_proto};

use super::explain::Told;
use super::transfers::{kind_from_proto, kind_to_proto};
use super::{MoneyReader, amount_text, outcomes, zero_id};
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_actors::handle::Answers;
use ducat_engine::driven::DrivenEvent;
use ducat_engine::ids::{AccountId, SagaId, ScheduleId};
use ducat_engine::money::{Currencies, CurrencyId, Minor};
use ducat_engine::request::Request;
use ducat_engine::sagas::{SagaChange, SagaEvent};
use ducat_engine::schedules::{Payment, ScheduleChange, ScheduleEvent};

/// Most schedules or sagas on a page that names no number.
pub const PAGE_DEFAULT: usize = 100;

/// The id of a schedule.
///
/// # Errors
/// One violation, reason `SCHEDULE_ID_ZERO`.
pub fn schedule_id(high: u64, low: u64) -> Result<ScheduleId, Violations> {
    ScheduleId::from_halves(high, low)
        .map_err(|_| Violations::one("id", "SCHEDULE_ID_ZERO", zero_id()))
}

/// The id of a saga.
///
/// # Errors
/// One violation, reason `SAGA_ID_ZERO`.
pub fn saga_id(high: u64, low: u64) -> Result<SagaId, Violations> {
    SagaId::from_halves(high, low).map_err(|_| Violations::one("id", "SAGA_ID_ZERO", zero_id()))
}

/// Reads what definitions are made of, and collects what is wrong with them.
struct Reader<'c> {
    money: MoneyReader<'c>,
    violations: Violations,
    place: Place,
}

impl<'c> Reader<'c> {
    fn new(currencies: &'c Currencies) -> Self {
        let money = MoneyReader::new(currencies);
        Self { money, violations: Violations::default(), place: Place::Request }
    }

    fn wrong(&mut self, field: &str, reason: &'static str, what: impl FnOnce() -> String) {
        self.violations.add(self.place, field, reason, what);
    }

    /// Minor units of a text in a currency.
    fn amount(&mut self, text: &str, code: &str, field: &str) -> Option<(u128, CurrencyId)> {
        let (place, violations) = (self.place, &mut self.violations);
        let currency = self.money.currency(code, place, violations)?;
        let minor = amount_text(text, currency, place, &format!("{field}amount"), violations)?;
        Some((minor, currency.id))
    }

    /// A transfer to be made later; `field` is the path in front of its fields.
    fn payment(
        &mut self,
        planned: Option<&proto::PlannedTransfer>,
        field: &str,
    ) -> Option<Payment> {
        let Some(planned) = planned else {
            let name = field.trim_end_matches('.');
            self.wrong(name, "TRANSFER_MISSING", || "say what is to be moved".to_owned());
            return None;
        };
        let mut account = |high, low, name: &str| {
            let id = AccountId::from_halves(high, low).ok();
            if id.is_none() {
                self.wrong(&format!("{field}{name}"), "ACCOUNT_ID_ZERO", zero_id);
            }
            id
        };
        let debit = account(planned.debit_account_high, planned.debit_account, "debit_account");
        let credit = account(planned.credit_account_high, planned.credit_account, "credit_account");
        let kind = kind_from_proto(planned.kind);
        if kind.is_none() {
            self.wrong(&format!("{field}kind"), "KIND_UNKNOWN", || {
                format!("{} is no kind of transfer", planned.kind)
            });
        }
        let (amount, currency) = self.amount(&planned.amount, &planned.currency, field)?;
        let (debit, credit, kind) = (debit?, credit?, kind?);
        Some(Payment { debit, credit, amount, currency: Some(currency), kind })
    }
}

/// What a request that would be asked for would come to. Where its owner is not there yet, nobody knows
/// its id, which follows from the owner's place in the journal.
fn dry_outcome(
    request: Option<&Request>,
    answers: Option<&Answers>,
    is_there: bool,
    currencies: &Currencies,
) -> Option<proto::Outcome> {
    let (request, answers) = (request?, answers?);
    let (hold, refund, terms) = (answers.hold(0), answers.refund(0), answers.terms(0));
    let told = Told { hold, refund, terms, fee: answers.fee(0) };
    let outcome = outcomes::one(answers.outcomes.first()?, told, request, currencies);
    let outcome = proto::Outcome { dry_run: true, ..outcome };
    Some(if is_there { outcome } else { proto::Outcome { id: 0, id_high: 0, ..outcome } })
}

/// Nanoseconds of this many units.
fn nanos(count: u64, unit_ns: u64) -> u64 {
    count.saturating_mul(unit_ns)
}

const SECOND_NS: u64 = 1_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;

/// A transfer to be made later, as a message.
fn payment_to_proto(payment: &Payment, currencies: &Currencies) -> proto::PlannedTransfer {
    let currency = payment.currency.and_then(|id| currencies.by_id(id));
    let digits = currency.as_ref().map_or(0, |currency| currency.digits);
    proto::PlannedTransfer {
        debit_account: payment.debit.low(),
        debit_account_high: payment.debit.high(),
        credit_account: payment.credit.low(),
        credit_account_high: payment.credit.high(),
        amount: amount_to_proto(payment.amount, digits),
        currency: currency.map(|currency| currency.code).unwrap_or_default(),
        kind: kind_to_proto(payment.kind).into(),
    }
}

fn amount_to_proto(minor: u128, digits: u8) -> String {
    let value = i128::try_from(minor).unwrap_or(i128::MAX);
    Minor { value, digits }.to_string()
}

/// An event of the feed.
pub(super) fn event(event: &DrivenEvent) -> proto::DrivenEvent {
    match event {
        DrivenEvent::Schedule(event) => of_schedule(event),
        DrivenEvent::Saga(event) => of_saga(event),
    }
}

fn of_schedule(event: &ScheduleEvent) -> proto::DrivenEvent {
    let message = proto::DrivenEvent {
        id: event.id.low(),
        id_high: event.id.high(),
        what: event.what.name().to_owned(),
        ..proto::DrivenEvent::default()
    };
    match &event.what {
        ScheduleChange::Defined { definition, .. } => {
            proto::DrivenEvent { text: definition.label.clone(), ..message }
        }
        ScheduleChange::Begun { run, attempt, transfer, .. } => proto::DrivenEvent {
            request_id: transfer.low(),
            request_id_high: transfer.high(),
            run: *run,
            attempt: u32::from(*attempt),
            ..message
        },
        ScheduleChange::Paused
        | ScheduleChange::Resumed { .. }
        | ScheduleChange::Cancelled
        | ScheduleChange::Passed { .. }
        | ScheduleChange::IdTaken => message,
    }
}

fn of_saga(event: &SagaEvent) -> proto::DrivenEvent {
    let message = proto::DrivenEvent {
        id: event.id.low(),
        id_high: event.id.high(),
        what: event.what.name().to_owned(),
        ..proto::DrivenEvent::default()
    };
    match &event.what {
        SagaChange::Started { definition } => {
            proto::DrivenEvent { text: definition.label.clone(), ..message }
        }
        SagaChange::Begun { step, undo, attempt, request } => proto::DrivenEvent {
            request_id: request.low(),
            request_id_high: request.high(),
            attempt: u32::from(*attempt),
            step: u32::from(*step),
            undo: *undo,
            ..message
        },
        SagaChange::Waits { step, .. } | SagaChange::TimedOut { step } => {
            proto::DrivenEvent { step: u32::from(*step), ..message }
        }
        SagaChange::Answered { step, answer } => {
            proto::DrivenEvent { step: u32::from(*step), text: answer.note.clone(), ..message }
        }
        SagaChange::Aborted { note } | SagaChange::Resolved { note, .. } => {
            proto::DrivenEvent { text: note.clone(), ..message }
        }
        SagaChange::IdTaken => message,
    }
}
