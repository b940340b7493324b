//! What clients send: protobuf messages, and what conversion makes of them.

use ducat_api::convert;
use ducat_api::proto;
use ducat_api::wire_requests::WireRequest;
use ducat_engine::ids::AccountId;
use ducat_engine::money::Currencies;
use prost::Message;

/// ISO 4217 and an asset of a ledger's own.
fn currencies() -> Currencies {
    let mut currencies = Currencies::new();
    currencies.define("POINTS", 18).expect("a new asset");
    currencies
}

/// Decodes a message, which then encodes to what decodes to the same.
fn decode<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let again = M::decode(&*message.encode_to_vec()).expect("what was encoded");
    assert!(again == message, "{message:?} became {again:?}");
    Some(message)
}

/// A batch of requests. What converts is asked again by the message that the engine's request
/// becomes, but for the name of a currency that nobody wrote down.
pub(crate) fn transfers(bytes: &[u8]) {
    let currencies = currencies();
    if let Some(batch) = decode::<proto::CreateTransfersRequest>(bytes)
        && let Ok(requests) = convert::transfers::batch(&read(&batch.transfers), &currencies)
    {
        assert_eq!(requests.len(), batch.transfers.len());
        for request in &requests {
            let message = convert::transfers::to_proto(request, &currencies);
            let texts = [&message.amount, &message.over_capture_max];
            if texts.iter().all(|text| text.is_empty()) || !message.currency.is_empty() {
                let alone = proto::TransferRequest { linked: false, ..message };
                let again = convert::transfers::single(&alone.into(), &currencies);
                let again = again.unwrap_or_else(|why| panic!("{request:?}: {why:?}"));
                let mut same = request.clone();
                same.set_linked(false);
                assert_eq!(again, same);
            }
        }
    }
    if let Some(one) = decode::<proto::TransferRequest>(bytes) {
        drop(convert::transfers::single(&one.into(), &currencies));
    }
}

fn read(transfers: &[proto::TransferRequest]) -> Vec<WireRequest> {
    transfers.iter().cloned().map(WireRequest::from).collect()
}

/// A list of accounts to open.
pub(crate) fn accounts(bytes: &[u8]) {
    let currencies = currencies();
    if let Some(list) = decode::<proto::CreateAccountsRequest>(bytes)
        && let Ok(specs) = convert::accounts::openings(&list.accounts, &currencies)
    {
        assert_eq!(specs.len(), list.accounts.len());
        assert!(
            specs
                .iter()
                .all(|opening| { !opening.spec.external || opening.spec.overdraft_limit == 0 })
        );
    }
}

/// All other requests: the first byte says which.
pub(crate) fn requests(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 9 {
        0 => {
            if let Some(asked) = decode::<proto::GetTransfersRequest>(bytes) {
                drop(convert::transfer_ids(&asked.ids, 10_000));
            }
        }
        1 => {
            if let Some(asked) = decode::<proto::GetAccountsRequest>(bytes) {
                drop(convert::account_ids(&asked.ids, 10_000));
            }
        }
        2 => {
            if let Some(asked) = decode::<proto::ListAccountsRequest>(bytes) {
                drop(convert::page_size(asked.page_size, 100, 10_000));
                let filter = convert::profiles::filter(asked.filter, &currencies());
                let filter = filter.unwrap_or_default();
                if let Ok(slot) = convert::cursor::read_accounts(&filter, &asked.cursor) {
                    let again = convert::cursor::accounts(&filter, slot);
                    assert!(asked.cursor.is_empty() || again.eq_ignore_ascii_case(&asked.cursor));
                }
            }
        }
        3 => {
            if let Some(asked) = decode::<proto::ListEntriesRequest>(bytes)
                && let Ok(account) = AccountId::from_halves(asked.id_high, asked.id)
                && let Ok(query) = convert::past::statement(account, &asked)
                && let Some(lsn) = query.cursor
            {
                let again = convert::cursor::entries(account, query.oldest_first, lsn);
                assert!(again.eq_ignore_ascii_case(&asked.cursor));
            }
        }
        4 => {
            if let Some(asked) = decode::<proto::SetAccountStatusRequest>(bytes) {
                drop(convert::accounts::status_from_proto(asked.status));
                drop(convert::profiles::reason(asked.reason));
            }
            if let Some(asked) = decode::<proto::UpdateAccountRequest>(bytes) {
                drop(convert::profiles::change(asked));
            }
        }
        5 => {
            if let Some(asked) = decode::<proto::DefineAssetRequest>(bytes) {
                drop(currencies().define(&asked.code, asked.digits));
            }
        }
        6 => {
            if let Some(batch) = decode::<proto::StreamTransfersRequest>(bytes) {
                drop(convert::transfers::batch(&read(&batch.transfers), &currencies()));
            }
        }
        7 => {
            if let Some(asked) = decode::<proto::SubscribeRequest>(bytes)
                && let Ok(wanted) = convert::events::subscription(&asked)
            {
                assert_eq!(wanted.from.0, asked.from_lsn);
                assert_eq!(wanted.filter.accounts.len(), asked.accounts.len());
                // Watches are asked for beside the kinds of records.
                let watches = proto::EventKind::WatchTriggered as i32;
                let records = asked.kinds.iter().filter(|kind| **kind != watches).count();
                assert_eq!(wanted.filter.kinds.len(), records);
                assert_eq!(wanted.filter.fired, records < asked.kinds.len());
            }
        }
        _ => {
            if let Some(asked) = decode::<proto::GetBalanceAtRequest>(bytes) {
                let day = asked.value_date.as_str();
                let is_named = asked.at.is_some() || !day.is_empty();
                let is_sound = day.is_empty() || ducat_api::day::parse(day).is_some();
                let when = convert::past::balance_when(&asked);
                assert_eq!(when.is_ok(), is_named && is_sound);
            }
        }
    }
}
