//! Whatever bytes come, they are read as the generated code reads them.

use super::*;
use crate::proto;
use proptest::prelude::*;

fn transfer() -> impl Strategy<Value = TransferRequest> {
    let id = || prop_oneof![Just(0), Just(1), any::<u64>()];
    let text = || prop_oneof![4 => Just(String::new()), 1 => "[a-zA-Z0-9.]{1,200}"];
    let number = || prop_oneof![0..5_i32, any::<i32>()];
    let ids = (id(), id(), id(), id(), id(), id());
    let rest = (id(), text(), text(), number(), any::<bool>());
    let of_holds =
        (number(), id(), id(), id(), text(), id(), any::<bool>(), prop::option::of(id()));
    let of_holds = prop_oneof![Just(Default::default()), of_holds];
    (ids, rest, of_holds).prop_map(|(ids, rest, of_holds)| request(ids, rest, of_holds))
}

type Ids = (u64, u64, u64, u64, u64, u64);
type Rest = (u64, String, String, i32, bool);
type OfHolds = (i32, u64, u64, u64, String, u64, bool, Option<u64>);

fn request(ids: Ids, rest: Rest, of_holds: OfHolds) -> TransferRequest {
    let (amount_minor, amount, currency, kind, linked) = rest;
    let (operation, hold_id, hold_id_high, timeout_ms, over_capture_max, minor, last, version) =
        of_holds;
    let debit = version.map(|version| proto::AccountTerms { version, ..Default::default() });
    TransferRequest {
        id: ids.0,
        id_high: ids.1,
        debit_account: ids.2,
        debit_account_high: ids.3,
        credit_account: ids.4,
        credit_account_high: ids.5,
        amount_minor,
        amount,
        currency,
        kind,
        linked,
        operation,
        hold_id,
        hold_id_high,
        timeout_ms,
        over_capture_max,
        over_capture_max_minor: minor,
        last,
        original_id: if operation > 3 { hold_id } else { 0 },
        original_id_high: if operation > 3 { hold_id_high } else { 0 },
        original_lsn: if linked { timeout_ms } else { 0 },
        allow_overdraft: last && linked,
        dry_run: last && !linked && operation == 1,
        terms: debit
            .map(|debit| Box::new(proto::Terms { debit: Some(debit), ..Default::default() })),
        note: (linked && last).then(|| {
            let reference = hold_id.to_string();
            Box::new(proto::Note { reference, ..Default::default() })
        }),
    }
}

fn read(messages: Vec<TransferRequest>) -> Vec<WireRequest> {
    messages.into_iter().map(WireRequest::from).collect()
}

/// The bytes in two pieces, as they may come from a connection.
fn pieces(bytes: &[u8], at: usize) -> impl Buf {
    let (first, second) = bytes.split_at(at % (bytes.len() + 1));
    Buf::chain(first, second)
}

/// Both ways of reading a batch and a stream's batch give the same.
fn same(bytes: &[u8], cut: usize) -> Result<(), TestCaseError> {
    let plain = proto::CreateTransfersRequest::decode(bytes);
    let plain = plain.map(|m| (read(m.transfers), m.dry_run));
    for own in [BatchRequest::decode(bytes), BatchRequest::decode(pieces(bytes, cut))] {
        prop_assert_eq!(own.map(|m| (m.transfers, m.dry_run)).ok(), plain.clone().ok());
    }
    let plain = proto::StreamTransfersRequest::decode(bytes);
    let plain = plain.map(|m| (m.tag, read(m.transfers), m.timeout_ms, m.dry_run)).ok();
    for own in [StreamRequest::decode(bytes), StreamRequest::decode(pieces(bytes, cut))] {
        prop_assert_eq!(
            own.map(|m| (m.tag, m.transfers, m.timeout_ms, m.dry_run)).ok(),
            plain.clone()
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn batches_are_read_as_generated_code_reads_them(
        transfers in prop::collection::vec(transfer(), 0..20),
        tag in any::<u64>(),
        timeout_ms in any::<u32>(),
        cut in any::<usize>(),
    ) {
        let batch = proto::CreateTransfersRequest { transfers: transfers.clone(), dry_run: false };
        let bytes = batch.encode_to_vec();
        same(&bytes, cut)?;
        let own = BatchRequest { transfers: read(transfers.clone()), dry_run: false };
        prop_assert_eq!(own.encode_to_vec(), bytes);
        let stream = proto::StreamTransfersRequest { tag, transfers: transfers.clone(), timeout_ms, dry_run: false };
        let bytes = stream.encode_to_vec();
        same(&bytes, cut)?;
        let own = StreamRequest { tag, transfers: read(transfers), timeout_ms, dry_run: false };
        prop_assert_eq!(own.encode_to_vec(), bytes);
    }

    #[test]
    fn damaged_batches_are_too(
        transfers in prop::collection::vec(transfer(), 1..6),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cut in any::<usize>(),
    ) {
        let mut bytes = proto::CreateTransfersRequest { transfers, dry_run: false }.encode_to_vec();
        for (at, value) in damage {
            let length = bytes.len();
            if let Some(byte) = bytes.get_mut(at % length.max(1)) {
                *byte = value;
            }
        }
        same(&bytes, cut)?;
    }

    #[test]
    fn any_bytes_are_too(bytes in prop::collection::vec(any::<u8>(), 0..120), cut in any::<usize>()) {
        same(&bytes, cut)?;
    }
}

#[test]
fn a_field_given_twice_counts_the_last_time() {
    let twice = [0x0a, 20, 9, 1, 0, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0x38, 5];
    let own = BatchRequest::decode(&twice[..]).expect("well-formed");
    assert_eq!((own.transfers[0].id, own.transfers[0].amount_minor), (2, 5));
}

#[test]
fn a_plain_transfer_takes_no_more_memory_for_what_it_does_not_have() {
    assert_eq!(size_of::<WireRequest>(), 72);
}

#[test]
fn what_is_given_as_unset_is_unset() {
    // operation 0, hold_id 0, last false: with their keys, as a client may send them.
    let given = [0x0a, 18, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0x60, 0, 0x78, 0, 0x90, 1, 0, 0x58, 1];
    let own = BatchRequest::decode(&given[..]).expect("well-formed");
    let plain = proto::CreateTransfersRequest::decode(&given[..]).expect("well-formed");
    assert_eq!(own.transfers, read(plain.transfers));
    assert_eq!(own.transfers[0].more, None);
}
