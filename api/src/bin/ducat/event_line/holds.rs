//! The events of holds as people and scripts read them.

use super::{EventLine, account, currency};
use ducat_engine::ids::{AccountId, Slot};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{CurrencyId, format_minor};
use ducat_engine::record::{HoldRefused, Operation, Party, Record};

/// The debit and the credit account of an event of a hold, where it names them, by their ids.
pub(super) fn accounts(ledger: &Ledger, record: &Record) -> [Option<AccountId>; 2] {
    let of = |slot: Slot| account(ledger, slot).map(|spec| spec.id);
    let party = |party: Option<Party>| match party? {
        Party::Known { slot, .. } => of(slot),
        Party::Unknown(id) => Some(id),
    };
    match record {
        Record::Held(held) => [of(held.debit), of(held.credit)],
        Record::Captured(captured) => [of(captured.debit), of(captured.credit)],
        Record::Voided(voided) => [of(voided.debit), None],
        Record::Extended(extended) => [of(extended.debit), None],
        Record::Expired(expired) => [of(expired.debit), None],
        Record::HoldRefused(refused) => [party(refused.debit), party(refused.credit)],
        _ => [None; 2],
    }
}

impl EventLine {
    /// An event of a hold; the line has its place and time.
    pub(super) fn of_hold(self, ledger: &Ledger, record: &Record) -> Self {
        let [debit, credit] = accounts(ledger, record);
        let debit_currency = match record {
            Record::Held(held) => account(ledger, held.debit),
            Record::Expired(expired) => account(ledger, expired.debit),
            _ => None,
        };
        let line = Self {
            id: record.transfer_id().map(|id| id.to_string()),
            debit: debit.map(|id| id.to_string()),
            credit: credit.map(|id| id.to_string()),
            ..self
        };
        let of_debit = debit_currency.map(|spec| spec.currency);
        match record {
            Record::Held(held) => Self {
                event: "held",
                hold: Some(held.id.to_string()),
                timeout_ns: (held.timeout_ns > 0).then_some(held.timeout_ns),
                ..line.figures(ledger, of_debit, Some(held.amount), Some(held.debit_after.posted))
            },
            Record::Captured(captured) => {
                let posted = Some(captured.debit_side.posted);
                let line =
                    line.figures(ledger, Some(captured.currency), Some(captured.amount), posted);
                let (_, digits) = currency(ledger, captured.currency);
                Self {
                    event: "captured",
                    hold: Some(captured.hold.to_string()),
                    remaining: Some(minor(captured.remaining, digits)),
                    credit_posted: Some(format_minor(captured.credit_side.posted, digits)),
                    ..line
                }
            }
            Record::Voided(voided) => Self {
                event: "voided",
                hold: Some(voided.hold.to_string()),
                ..line.figures(
                    ledger,
                    Some(voided.currency),
                    Some(voided.released),
                    Some(voided.debit_after.posted),
                )
            },
            Record::Extended(extended) => Self {
                event: "extended",
                hold: Some(extended.hold.to_string()),
                timeout_ns: (extended.timeout_ns > 0).then_some(extended.timeout_ns),
                ..line.figures(
                    ledger,
                    Some(extended.currency),
                    Some(extended.remaining),
                    Some(extended.debit_after.posted),
                )
            },
            Record::Expired(expired) => Self {
                event: "expired",
                hold: Some(expired.hold.to_string()),
                ..line.figures(
                    ledger,
                    of_debit,
                    Some(expired.released),
                    Some(expired.debit_after.posted),
                )
            },
            Record::HoldRefused(refused) => line.hold_refused(ledger, refused),
            _ => line,
        }
    }

    fn hold_refused(self, ledger: &Ledger, refused: &HoldRefused) -> Self {
        let (asked, hold, amount, named) = match refused.asked {
            Operation::Hold { amount, currency, .. } => {
                ("hold", refused.id, Some(amount), currency)
            }
            Operation::Capture { hold, amount, currency, .. } => {
                ("capture", hold, amount, currency)
            }
            Operation::Void { hold } => ("void", hold, None, None),
            Operation::Extend { hold, .. } => ("extend", hold, None, None),
        };
        Self {
            event: "hold-refused",
            asked: Some(asked),
            code: Some(refused.rejection.code()),
            hold: Some(hold.to_string()),
            ..self.figures(ledger, named.or(refused.held_in), amount, None)
        }
    }

    fn figures(
        self,
        ledger: &Ledger,
        id: Option<CurrencyId>,
        amount: Option<u128>,
        debit_posted: Option<i128>,
    ) -> Self {
        let known = id.map(|id| currency(ledger, id));
        let digits = known.as_ref().map_or(0, |(_, digits)| *digits);
        Self {
            amount: amount.map(|amount| minor(amount, digits)),
            debit_posted: debit_posted.map(|posted| format_minor(posted, digits)),
            currency: known.map(|(code, _)| code),
            ..self
        }
    }

    /// The event of a hold in one line, without its place and time.
    pub(super) fn hold_text(&self) -> String {
        let get = |text: &Option<String>| text.clone().unwrap_or_default();
        let hold = get(&self.hold);
        let id = self.id.as_ref().filter(|id| **id != hold);
        let by = id.map(|id| format!(" by {id}")).unwrap_or_default();
        let money = match &self.amount {
            Some(amount) => format!("  {amount} {}", get(&self.currency)),
            None => String::new(),
        };
        let parties = match (&self.debit, &self.credit) {
            (Some(debit), Some(credit)) => format!("  {debit} -> {credit}"),
            (Some(debit), None) => format!("  {debit}"),
            _ => String::new(),
        };
        let rest = match (&self.remaining, self.timeout_ns) {
            (Some(remaining), _) => format!(", {remaining} remain"),
            (None, Some(timeout_ns)) => format!(", for {timeout_ns} ns"),
            _ => String::new(),
        };
        match self.event {
            "hold-refused" => format!(
                "refused {} {} of hold {hold}{by}{parties}{money}",
                self.code.unwrap_or_default(),
                self.asked.unwrap_or_default()
            ),
            event => format!("{event} hold {hold}{by}{parties}{money}{rest}"),
        }
    }
}

fn minor(amount: u128, digits: u8) -> String {
    format_minor(i128::try_from(amount).unwrap_or(i128::MAX), digits)
}
