//! The feed of events between the wire and the engine.

use super::{accounts, transfers};
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_actors::feed::{FeedBatch, FeedEvent, FeedFilter, Subscription, What};
use ducat_engine::effects::EventKind;
use ducat_engine::ids::Lsn;
use ducat_engine::money::{Currencies, CurrencyId};

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
        match kind_from_proto(*kind) {
            Some(kind) => filter.kinds.push(kind),
            None => violations.add(
                Place::Item { list: "kinds", index },
                "kind",
                "EVENT_KIND_UNKNOWN",
                || format!("{kind} is no kind of event; known are 1 to 5"),
            ),
        }
    }
    let filter = violations.into_result(filter)?;
    Ok(Subscription { from: Lsn(asked.from_lsn), filter, ..Subscription::default() })
}

fn kind_from_proto(kind: i32) -> Option<EventKind> {
    match proto::EventKind::try_from(kind).ok()? {
        proto::EventKind::Unspecified => None,
        proto::EventKind::Posted => Some(EventKind::Posted),
        proto::EventKind::Refused => Some(EventKind::Refused),
        proto::EventKind::AccountOpened => Some(EventKind::AccountOpened),
        proto::EventKind::StatusChanged => Some(EventKind::StatusChanged),
        proto::EventKind::AssetDefined => Some(EventKind::AssetDefined),
    }
}

/// A batch as a message.
#[must_use]
pub fn answer(batch: &FeedBatch, currencies: &Currencies) -> proto::SubscribeResponse {
    let mut writer = Writer { currencies, last: None };
    proto::SubscribeResponse {
        events: batch.events.iter().map(|event| writer.event(event)).collect(),
        next_lsn: batch.next_lsn.0,
        durable_lsn: batch.durable_lsn.0,
        caught_up: batch.is_caught_up(),
    }
}

/// Makes messages, looking up each currency once where it comes again.
struct Writer<'c> {
    currencies: &'c Currencies,
    last: Option<(CurrencyId, u32)>,
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

    fn event(&mut self, event: &FeedEvent) -> proto::Event {
        let message =
            proto::Event { lsn: event.lsn.0, time_ns: event.time_ns, ..proto::Event::default() };
        match &event.what {
            What::Transfer(stored) => {
                let posted = stored.outcome.rejection.is_none();
                let kind =
                    if posted { proto::EventKind::Posted } else { proto::EventKind::Refused };
                proto::Event {
                    kind: kind as i32,
                    digits: self.digits(stored.request.currency),
                    transfer: Some(transfers::record_to_proto(stored, self.currencies)),
                    ..message
                }
            }
            What::AccountOpened(spec) => proto::Event {
                kind: proto::EventKind::AccountOpened as i32,
                digits: self.digits(Some(spec.currency)),
                account_opened: Some(accounts::Writer::new(self.currencies).opened(spec)),
                ..message
            },
            What::StatusChanged { account, status } => proto::Event {
                kind: proto::EventKind::StatusChanged as i32,
                status_changed: Some(proto::SetAccountStatusRequest {
                    id: account.low(),
                    id_high: account.high(),
                    status: accounts::status_to_proto(*status) as i32,
                }),
                ..message
            },
            What::AssetDefined { code, digits } => proto::Event {
                kind: proto::EventKind::AssetDefined as i32,
                digits: u32::from(*digits),
                asset_defined: Some(proto::DefineAssetRequest {
                    code: code.clone(),
                    digits: u32::from(*digits),
                }),
                ..message
            },
        }
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
        };
        let violations = subscription(&asked).expect_err("malformed");
        let error = violations.into_batch_error();
        let fields: Vec<_> = error.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["accounts[1].id", "kinds[1].kind", "kinds[2].kind"]);
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
        let known: Vec<_> = (0..10).filter_map(kind_from_proto).collect();
        assert_eq!(known.len(), 5);
        let plain = proto::SubscribeRequest { kinds: vec![2], ..Default::default() };
        let wanted = subscription(&plain).expect("well-formed");
        assert_eq!((wanted.from, wanted.filter.kinds), (Lsn::ZERO, vec![EventKind::Refused]));
    }
}
