//! The feed of events between the wire and the engine.

use super::{accounts, driven, fees, transfers, watches};
use crate::proto;
use crate::secret_fields::SecretFields;
use crate::violation::{Place, Violations};
use ducat_actors::feed::{FeedBatch, FeedEvent, FeedFilter, Subscription, Trigger, What};
use ducat_actors::handle::{HistoryEntry, HistoryEvent};
use ducat_engine::effects::EventKind;
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::money::{Currencies, CurrencyId, format_minor};
use ducat_engine::request::Request;
use ducat_engine::transfer::TransferKind;

/// Most accounts that one subscription names.
pub const ACCOUNTS_MAX: usize = 1000;

/// Most kinds that one names.
const KINDS_MAX: usize = 100;

/// What is asked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn subscription(asked: &proto::SubscribeRequest) -> Result<Subscription, Violations> {
    let mut filter = FeedFilter::default();
    if !asked.accounts.is_empty() {
        super::check_count("accounts", asked.accounts.len(), ACCOUNTS_MAX)?;
    }
    if !asked.kinds.is_empty() {
        super::check_count("kinds", asked.kinds.len(), KINDS_MAX)?;
    }
    if !asked.transfer_kinds.is_empty() {
        super::check_count("transfer_kinds", asked.transfer_kinds.len(), KINDS_MAX)?;
    }
    let mut violations = Violations::default();
    for (index, id) in asked.accounts.iter().enumerate() {
        match ducat_engine::ids::AccountId::from_halves(id.id_high, id.id) {
            Ok(id) => filter.accounts.push(id),
            Err(_) => {
                let place = Place::Item { list: "accounts", index };
                violations.add(place, "id", "ACCOUNT_ID_ZERO", super::zero_id);
            }
        }
    }
    for (index, kind) in asked.kinds.iter().enumerate() {
        if *kind == proto::EventKind::WatchTriggered as i32 {
            filter.fired = true;
            continue;
        }
        match kind_from_proto(*kind) {
            Some(kind) => filter.kinds.push(kind),
            None => violations.add(
                Place::Item { list: "kinds", index },
                "kind",
                "EVENT_KIND_UNKNOWN",
                || format!("{kind} is no kind of event; known are 1 to 7, 60, 70, 80 and 81"),
            ),
        }
    }
    for (index, number) in asked.transfer_kinds.iter().enumerate() {
        match u8::try_from(*number).ok().and_then(TransferKind::from_number) {
            Some(kind) => filter.transfer_kinds.push(kind),
            None => {
                let place = Place::Item { list: "transfer_kinds", index };
                violations.add(place, "kind", "KIND_UNKNOWN", || {
                    format!("{number} is no kind of transfer; known are 0 to 7")
                });
            }
        }
    }
    let filter = violations.into_result(filter)?;
    Ok(Subscription { from: Lsn(asked.from_lsn), filter, ..Subscription::default() })
}

fn kind_from_proto(kind: i32) -> Option<EventKind> {
    match proto::EventKind::try_from(kind).ok()? {
        proto::EventKind::Unspecified | proto::EventKind::WatchTriggered => None,
        proto::EventKind::Posted => Some(EventKind::Posted),
        proto::EventKind::Refused => Some(EventKind::Refused),
        proto::EventKind::AccountOpened => Some(EventKind::AccountOpened),
        proto::EventKind::StatusChanged => Some(EventKind::StatusChanged),
        proto::EventKind::AssetDefined => Some(EventKind::AssetDefined),
        proto::EventKind::Hold => Some(EventKind::Hold),
        proto::EventKind::AccountChanged => Some(EventKind::AccountChanged),
        proto::EventKind::Schedule => Some(EventKind::Schedule),
        proto::EventKind::Saga => Some(EventKind::Saga),
        proto::EventKind::Fees => Some(EventKind::Fees),
    }
}

const fn kind_to_proto(kind: EventKind) -> proto::EventKind {
    match kind {
        EventKind::Posted => proto::EventKind::Posted,
        EventKind::Refused => proto::EventKind::Refused,
        EventKind::AccountOpened => proto::EventKind::AccountOpened,
        EventKind::StatusChanged => proto::EventKind::StatusChanged,
        EventKind::AssetDefined => proto::EventKind::AssetDefined,
        EventKind::Hold => proto::EventKind::Hold,
        EventKind::AccountChanged => proto::EventKind::AccountChanged,
        EventKind::Schedule => proto::EventKind::Schedule,
        EventKind::Saga => proto::EventKind::Saga,
        EventKind::Fees => proto::EventKind::Fees,
        // Of no feed.
        EventKind::Audit => proto::EventKind::Unspecified,
    }
}

/// A batch as a message, with what is secret masked.
#[must_use]
pub fn answer(
    batch: &FeedBatch,
    currencies: &Currencies,
    secrets: Option<&SecretFields>,
) -> proto::SubscribeResponse {
    let mut writer = Writer { currencies, last: None, secrets };
    proto::SubscribeResponse {
        events: batch.events.iter().map(|event| writer.event(event)).collect(),
        next_lsn: batch.next_lsn.0,
        durable_lsn: batch.durable_lsn.0,
        caught_up: batch.is_caught_up(),
    }
}

/// The currency that a request names.
fn named(request: &Request) -> Option<CurrencyId> {
    match request.plain() {
        Request::Transfer(transfer) => transfer.currency,
        Request::Hold(hold) => hold.currency,
        Request::Capture(capture) => capture.currency,
        Request::Refund(refund) => refund.currency,
        Request::Void(_) | Request::Extend(_) | Request::Termed(_) | Request::Noted(_) => None,
    }
}

/// Makes messages, looking up each currency once where it comes again.
struct Writer<'c> {
    currencies: &'c Currencies,
    last: Option<(CurrencyId, u32)>,
    secrets: Option<&'c SecretFields>,
}

impl Writer<'_> {
    fn digits(&mut self, id: Option<CurrencyId>) -> u32 {
        let Some(id) = id else { return 0 };
        if let Some((last, digits)) = self.last
            && last == id
        {
            return digits;
        }
        let digits = self.currencies.by_id(id).map_or(0, |currency| u32::from(currency.digits));
        self.last = Some((id, digits));
        digits
    }

    fn trigger(&self, trigger: &Trigger) -> Option<proto::WatchTrigger> {
        let currency = self.currencies.by_id(trigger.currency)?;
        Some(watches::trigger(trigger.account, &trigger.fired, &currency))
    }

    fn code(&self, id: CurrencyId) -> String {
        self.currencies.by_id(id).map(|currency| currency.code.clone()).unwrap_or_default()
    }

    fn event(&mut self, event: &FeedEvent) -> proto::Event {
        let id = |id: AccountId| proto::Id { id: id.low(), id_high: id.high() };
        let message = proto::Event {
            lsn: event.lsn.0,
            time_ns: event.time_ns,
            kind: kind_to_proto(event.kind) as i32,
            accounts: event.accounts.into_iter().flatten().map(id).collect(),
            triggered: event.fired.iter().filter_map(|fired| self.trigger(fired)).collect(),
            ..proto::Event::default()
        };
        match &event.what {
            What::Decided(stored) => proto::Event {
                digits: self.digits(stored.outcome.currency.or(named(&stored.request))),
                currency: stored.outcome.currency.map(|id| self.code(id)).unwrap_or_default(),
                transfer: Some(transfers::record_to_proto(stored, self.currencies)),
                ..message
            },
            What::HoldExpired { hold, currency, released } => {
                let found = self.currencies.by_id(*currency);
                let released = i128::try_from(*released).unwrap_or(i128::MAX);
                let digits = found.as_ref().map_or(0, |currency| currency.digits);
                proto::Event {
                    digits: u32::from(digits),
                    hold_expired: Some(proto::HoldExpiry {
                        hold_id: hold.low(),
                        hold_id_high: hold.high(),
                        currency: found.map(|currency| currency.code.clone()).unwrap_or_default(),
                        released: format_minor(released, digits),
                    }),
                    ..message
                }
            }
            What::Fee { leg, currency } => {
                let found = self.currencies.by_id(*currency);
                proto::Event {
                    digits: self.digits(Some(*currency)),
                    currency: self.code(*currency),
                    fee: Some(fees::leg(event, leg, found.as_ref())),
                    ..message
                }
            }
            What::FeesChanged(change) => {
                let mut message = message;
                fees::changed(change, self.currencies, &mut message);
                message
            }
            What::AccountOpened(opening) => proto::Event {
                digits: self.digits(Some(opening.spec.currency)),
                account_event: self.account(
                    event,
                    opening.spec.currency,
                    HistoryEvent::Opened((**opening).clone()),
                ),
                ..message
            },
            What::AccountChanged { currency, change } => proto::Event {
                digits: self.digits(Some(*currency)),
                account_event: self.account(
                    event,
                    *currency,
                    HistoryEvent::Changed(change.clone()),
                ),
                ..message
            },
            What::Driven(driven) => proto::Event { driven: Some(driven::event(driven)), ..message },
            What::AssetDefined { code, digits } => proto::Event {
                digits: u32::from(*digits),
                asset_defined: Some(proto::DefineAssetRequest {
                    code: code.clone(),
                    digits: u32::from(*digits),
                    dry_run: false,
                }),
                ..message
            },
        }
    }

    fn account(
        &self,
        at: &FeedEvent,
        currency: CurrencyId,
        event: HistoryEvent,
    ) -> Option<proto::AccountEvent> {
        // An account's event names its account.
        let id = at.accounts[0]?;
        let entry = HistoryEntry { lsn: at.lsn, time_ns: at.time_ns, event };
        let mut writer = accounts::Writer::new(self.currencies).masking(self.secrets);
        Some(writer.history_event(id, currency, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_subscription_is_named() {
        let asked = proto::SubscribeRequest {
            from_lsn: 7,
            accounts: vec![proto::Id { id: 1, id_high: 0 }, proto::Id::default()],
            kinds: vec![1, 0, 99],
            transfer_kinds: vec![0, 8, 7, -1],
        };
        let violations = subscription(&asked).expect_err("malformed");
        let error = violations.into_batch_error();
        let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "accounts[1].id",
                "kinds[1].kind",
                "kinds[2].kind",
                "transfer_kinds[1].kind",
                "transfer_kinds[3].kind"
            ]
        );
        let many = proto::SubscribeRequest {
            accounts: vec![proto::Id { id: 1, id_high: 0 }; ACCOUNTS_MAX + 1],
            ..proto::SubscribeRequest::default()
        };
        assert_eq!(
            subscription(&many).expect_err("too many").into_batch_error().reason,
            "BATCH_SIZE"
        );
    }

    #[test]
    fn every_kind_of_the_wire_but_none_is_one_of_the_engine() {
        let known: Vec<_> = (0..100).filter_map(kind_from_proto).collect();
        assert_eq!(known.len(), 10);
        assert!(
            known.iter().all(|kind| kind_from_proto(kind_to_proto(*kind) as i32) == Some(*kind))
        );
        let plain = proto::SubscribeRequest { kinds: vec![2], ..Default::default() };
        let wanted = subscription(&plain).expect("well-formed");
        assert_eq!((wanted.from, wanted.filter.kinds), (Lsn::ZERO, vec![EventKind::Refused]));
    }
}
