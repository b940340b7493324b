//! What the journal's numbers stand for: slots are accounts, numbers are currencies. Both are
//! only ever added, so what is known at one LSN holds for every LSN before.

mod fees;
mod holds;
mod refunds;
mod watches;

use holds::kind_said;

use super::statement::{CurrencyText, Event, NoteStated, Side, Statement, TransferEvent};
use super::texts;
use crate::account_event::{AccountEvent, Change, LimitsFrom, Opening};
use crate::driven::DrivenEvent;
use crate::ids::{AccountId, Lsn, ShardId, Slot};
use crate::ledger::Ledger;
use crate::money::{Currencies, CurrencyId};
use crate::record::{Party, Posted, PostedSide, Record, Refused};
use crate::transfer::{BalanceAfter, TransferKind};
use thiserror::Error;

/// A number in a record that stands for nothing known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("event {lsn} names {what}, which no event before it made known")]
pub struct Unnamed {
    /// The event.
    pub lsn: Lsn,
    /// The number.
    pub what: String,
}

/// The facts of an account that statements need; 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Account {
    high: u64,
    low: u64,
    currency: CurrencyId,
    external: bool,
}

/// Accounts by slot, currencies by number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    accounts: Vec<Account>,
    currencies: Currencies,
    /// Those that accounts hold: a lookup in ISO 4217 costs more than a statement.
    held: Vec<(CurrencyId, CurrencyText)>,
}

/// Whose journal statements speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The ledger's id.
    pub ledger: [u8; 16],
    /// The shard.
    pub shard: ShardId,
}

impl Names {
    /// Nothing is known before the first event.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known in this state.
    #[must_use]
    pub fn of(ledger: &Ledger) -> Self {
        let currencies = ledger.coordinator.currencies().clone();
        let mut names = Self { currencies, ..Self::default() };
        for view in (0..).map_while(|slot| ledger.view(Slot(slot))) {
            names.add(view.spec.id, view.spec.currency, view.spec.external);
        }
        names
    }

    /// Takes in what the next event makes known.
    pub fn learn(&mut self, record: &Record) {
        match record {
            Record::AccountOpened(spec) => self.add(spec.id, spec.currency, spec.external),
            Record::Account(event) => {
                if let AccountEvent::Opened(Opening { spec, .. }) = &**event {
                    self.add(spec.id, spec.currency, spec.external);
                }
            }
            Record::AssetDefined { code, digits } => {
                // One that cannot be defined is no event; replay says so.
                drop(self.currencies.define(code, u32::from(*digits)));
            }
            _ => {}
        }
    }

    fn add(&mut self, id: AccountId, currency: CurrencyId, external: bool) {
        if !self.held.iter().any(|(held, _)| *held == currency)
            && let Some(text) = self.look_up(currency)
        {
            self.held.push((currency, text));
        }
        self.accounts.push(Account { high: id.high(), low: id.low(), currency, external });
    }

    fn look_up(&self, id: CurrencyId) -> Option<CurrencyText> {
        let currency = self.currencies.by_id(id)?;
        CurrencyText::new(&currency.code, currency.digits)
    }

    fn currency(&self, lsn: Lsn, id: CurrencyId) -> Result<CurrencyText, Unnamed> {
        let held = self.held.iter().find(|(held, _)| *held == id).map(|(_, text)| *text);
        held.or_else(|| self.look_up(id)).ok_or(Unnamed { lsn, what: format!("currency {}", id.0) })
    }

    fn account(&self, lsn: Lsn, slot: Slot) -> Result<(AccountId, Account), Unnamed> {
        let unnamed = || Unnamed { lsn, what: format!("slot {}", slot.0) };
        let account = *self.accounts.get(slot.index()).ok_or_else(unnamed)?;
        let id = AccountId::from_halves(account.high, account.low).map_err(|_| unnamed())?;
        Ok((id, account))
    }

    /// The statement of an event whose record these names cover.
    ///
    /// # Errors
    /// [`Unnamed`].
    pub fn statement(
        &self,
        whose: Whose,
        lsn: Lsn,
        time_ns: u64,
        record: &Record,
    ) -> Result<Statement, Unnamed> {
        // A statement says what happened, not on which terms it was asked for.
        let event = match record.plain() {
            Record::Termed(_) | Record::Noted(_) => {
                return Err(Unnamed { lsn, what: "terms or notes within their like".to_owned() });
            }
            Record::Posted(posted) | Record::PostedLinked(posted) => {
                let posted = self.posted(lsn, posted, record.is_linked())?;
                let kind = record.noted_kind().unwrap_or(posted.kind);
                Event::Transfer(TransferEvent { kind, ..posted })
            }
            Record::Refused(refused) | Record::RefusedLinked(refused) => {
                Event::Transfer(self.refused(lsn, refused, record.is_linked())?)
            }
            Record::FeeEvent(event) => Self::fees_changed(event),
            Record::FeeLeg(leg) => Event::FeeDecided(self.fee_decided(lsn, leg)?),
            Record::AccountOpened(spec) => Event::AccountOpened {
                account: spec.id,
                currency: self.currency(lsn, spec.currency)?,
                overdraft_limit: spec.overdraft_limit,
                external: spec.external,
            },
            Record::StatusChanged { slot, status } => {
                let (account, _) = self.account(lsn, *slot)?;
                Event::StatusChanged { account, status: *status }
            }
            Record::Account(event) => self.account_event(lsn, event)?,
            Record::Driven(event) => {
                let (saga, id) = match &**event {
                    DrivenEvent::Schedule(event) => (false, event.id.get()),
                    DrivenEvent::Saga(event) => (true, event.id.get()),
                };
                Event::Driven { saga, id, what: texts::of_driven(event) }
            }
            Record::Audit(event) => Event::Audited { access: texts::of_audit(event) },
            Record::AssetDefined { code, digits } => {
                let what = || Unnamed { lsn, what: format!("asset {code}") };
                Event::AssetDefined(CurrencyText::new(code, *digits).ok_or_else(what)?)
            }
            Record::Held(_)
            | Record::Captured(_)
            | Record::Voided(_)
            | Record::Extended(_)
            | Record::Expired(_)
            | Record::HoldRefused(_) => {
                let event = self.hold_event(lsn, record.plain())?;
                kind_said(event, record.noted_kind())
            }
            Record::Refunded(refunded) => Event::Refunded(self.refunded(lsn, refunded)?),
            Record::RefundRefused(refused) => {
                Event::RefundRefused(self.refund_refused(lsn, refused)?)
            }
        };
        Ok(Statement {
            whose,
            lsn,
            time_ns,
            note: record.covered_note().map(NoteStated::of),
            event,
        })
    }

    fn account_event(&self, lsn: Lsn, event: &AccountEvent) -> Result<Event, Unnamed> {
        Ok(match event {
            AccountEvent::Opened(Opening { spec, bounds, profile }) => Event::OpenedInFull {
                account: spec.id,
                currency: self.currency(lsn, spec.currency)?,
                overdraft_limit: spec.overdraft_limit,
                external: spec.external,
                bounds: *bounds,
                profile: texts::of_opening(profile),
            },
            AccountEvent::Changed { slot, back: _, change } => {
                let (account, _) = self.account(lsn, *slot)?;
                match change {
                    Change::Status { status, reason } => {
                        let (status, reason) = (*status, texts::of_reason(reason));
                        Event::StatusSet { account, status, reason }
                    }
                    Change::Profile(change) => {
                        Event::ProfileChanged { account, change: texts::of_change(change) }
                    }
                    Change::Limits(limits) | Change::LimitsFrom(LimitsFrom { limits, .. }) => {
                        Event::LimitsChanged { account, limits: *limits }
                    }
                    Change::Watch(change) => {
                        let change = texts::of_change(&watches::stated(change));
                        Event::ProfileChanged { account, change }
                    }
                }
            }
        })
    }

    fn posted(&self, lsn: Lsn, p: &Posted, linked: bool) -> Result<TransferEvent, Unnamed> {
        let (debit, payer) = self.account(lsn, p.debit)?;
        let (credit, receiver) = self.account(lsn, p.credit)?;
        let kind = kind_of(payer, receiver);
        let side =
            |account, side: &PostedSide| Side { account, after: figures(side.posted, side.room) };
        Ok(TransferEvent {
            id: p.id,
            kind,
            linked,
            rejection: None,
            amount: p.amount,
            currency: Some(self.currency(lsn, payer.currency)?),
            debit: side(debit, &p.debit_side),
            credit: side(credit, &p.credit_side),
        })
    }

    /// A side of what was refused, and what its account holds.
    fn party(&self, lsn: Lsn, party: Party) -> Result<(Side, Option<CurrencyId>), Unnamed> {
        match party {
            Party::Known { slot, posted, room } => {
                let (id, account) = self.account(lsn, slot)?;
                Ok((Side { account: id, after: figures(posted, room) }, Some(account.currency)))
            }
            Party::Unknown(account) => Ok((Side { account, after: None }, None)),
        }
    }

    fn refused(&self, lsn: Lsn, r: &Refused, linked: bool) -> Result<TransferEvent, Unnamed> {
        let (debit, pays_in) = self.party(lsn, r.debit)?;
        let (credit, receives_in) = self.party(lsn, r.credit)?;
        let currency = r.currency.or(pays_in).or(receives_in);
        Ok(TransferEvent {
            id: r.id,
            kind: r.kind,
            linked,
            rejection: Some(r.rejection),
            amount: r.amount,
            currency: currency.map(|id| self.currency(lsn, id)).transpose()?,
            debit,
            credit,
        })
    }
}

fn kind_of(payer: Account, receiver: Account) -> TransferKind {
    match (payer.external, receiver.external) {
        (true, _) => TransferKind::Deposit,
        (_, true) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    }
}

fn figures(posted: i128, room: i128) -> Option<BalanceAfter> {
    Some(BalanceAfter { posted, available: posted.saturating_add(room) })
}
