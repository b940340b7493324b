//! What is written and read by hand is what the generated code writes and reads.

use super::*;
use crate::item_terms::ItemTerms;

fn batch() -> Batch {
    let item = |id, debit, credit, amount, kind, linked| Item {
        id,
        debit,
        credit,
        amount,
        kind,
        linked,
        ..Item::default()
    };
    let most = item(u64::MAX, u64::MAX, u64::MAX - 1, u64::MAX, Kind::Deposit, true);
    let of_hold = |operation| Item { operation, argument: u64::MAX - 7, ..most };
    Batch {
        id_high: u64::MAX - 5,
        items: vec![
            item(1, 2, 3, 4, Kind::Transfer, true),
            item(u64::MAX, u64::MAX, u64::MAX - 1, u64::MAX, Kind::Deposit, true),
            item(7, 0, 1 << 40, 0, Kind::Withdrawal, false),
            item(0, 9, 1 << 40, 127, Kind::Deposit, false),
            of_hold(Operation::Hold),
            of_hold(Operation::Capture),
            Item { linked: false, ..of_hold(Operation::Void) },
            of_hold(Operation::Refund),
            Item { linked: false, amount: 3, argument: 1, ..of_hold(Operation::Refund) },
            Item { kind: Kind::Payment, ..item(8, 9, 10, 11, Kind::Transfer, false) },
        ],
    }
}

#[test]
fn what_is_encoded_by_hand_the_generated_code_reads() {
    let batch = batch();
    let wanted: Vec<_> = batch.items.iter().map(|i| full_transfer(batch.id_high, i)).collect();
    let encode = |envelope| {
        let mut bytes = Vec::new();
        wire::encode(envelope, 300, &batch, &mut bytes);
        assert!(bytes.len() <= wire::encoded_bytes_max(batch.items.len()));
        bytes
    };
    let single = proto::TransferRequest::decode(&encode(Envelope::Single)[..]);
    assert_eq!(single.expect("single"), wanted[0]);
    let many = proto::CreateTransfersRequest::decode(&encode(Envelope::Batch)[..]);
    assert_eq!(many.expect("batch").transfers, wanted);
    let stream = proto::StreamTransfersRequest::decode(&encode(Envelope::Stream)[..]);
    assert_eq!(
        stream.expect("stream"),
        proto::StreamTransfersRequest {
            tag: 300,
            transfers: wanted,
            timeout_ms: 0,
            dry_run: false
        }
    );
}

#[test]
fn terms_are_encoded_by_hand_as_the_generated_code_has_them() {
    let most = Item { linked: true, ..batch().items[1] };
    let all = [
        ItemTerms::Balanced,
        ItemTerms::Source,
        ItemTerms::LastSource,
        ItemTerms::KeepsAtLeast,
        ItemTerms::HasAtMost,
    ];
    let items = all.into_iter().flat_map(|terms| {
        [1, 127, 1 << 40, i64::MAX as u64].map(|argument| Item { terms, argument, ..most })
    });
    let batch = Batch { id_high: u64::MAX, items: items.collect() };
    let wanted: Vec<_> = batch.items.iter().map(|i| full_transfer(batch.id_high, i)).collect();
    let mut bytes = Vec::new();
    wire::encode(Envelope::Batch, 0, &batch, &mut bytes);
    let read = proto::CreateTransfersRequest::decode(&bytes[..]).expect("readable");
    assert_eq!(read.transfers, wanted);
    assert!(wanted.iter().all(|transfer| transfer.terms.is_some()));
}

fn outcomes() -> Vec<proto::Outcome> {
    let balance = proto::Balance {
        posted_minor: -5,
        available_minor: i64::MAX,
        held_minor: 3,
        wide: Some(Box::new(proto::WideBalance { posted_minor: "1".into(), ..Default::default() })),
    };
    let refused = proto::Outcome {
        fee: None,
        id: 77,
        id_high: 5,
        lsn: 1 << 50,
        time_ns: u64::MAX,
        code: 14,
        repeat: true,
        explanation: "the account has too little".into(),
        debit: Some(balance),
        credit: None,
        hold: Some(Box::new(proto::HoldOutcome { id: 9, state: 1, ..Default::default() })),
        refund: None,
        terms: None,
        dry_run: false,
    };
    let terms = proto::TermsOutcome { moved_minor: 250, debit_version: 9, ..Default::default() };
    let fee = proto::FeeOutcome { schedule: 3, amount_minor: 300, ..Default::default() };
    let balanced = proto::Outcome { id: 78, terms: Some(Box::new(terms)), ..Default::default() };
    vec![
        refused,
        balanced,
        Default::default(),
        proto::Outcome { id: 79, fee: Some(Box::new(fee)), ..Default::default() },
    ]
}

#[test]
fn what_is_read_by_hand_is_what_the_generated_code_reads() {
    let outcomes = outcomes();
    let expected = full_reply(0, &outcomes, None);
    assert_eq!(expected.answers, [14 | REPEAT, 0, 0, 0]);
    let told = |at, moved, fee| Told { at, moved, fee };
    assert_eq!(expected.told, [told(1, Some(250), None), told(3, None, Some(300))]);

    let bytes = proto::CreateTransfersResponse { outcomes: outcomes.clone() }.encode_to_vec();
    assert_eq!(wire::decode(Envelope::Batch, &bytes), Ok(expected));

    let error = proto::BatchError {
        grpc_code: 8,
        reason: "ENGINE_FULL".into(),
        message: "try again".into(),
        violations: Vec::new(),
        retry_after_ms: 25,
    };
    let response = proto::StreamTransfersResponse {
        tag: 9,
        outcomes: outcomes.clone(),
        error: Some(error.clone()),
    };
    let reply = wire::decode(Envelope::Stream, &response.encode_to_vec()).expect("readable");
    assert_eq!(reply, full_reply(9, &outcomes, Some(error)));
    assert_eq!(reply.failure.map(|f| f.class), Some("RESOURCE_EXHAUSTED".into()));

    let single = proto::TransferResponse { outcome: Some(outcomes[0].clone()) };
    let reply = wire::decode(Envelope::Single, &single.encode_to_vec());
    assert_eq!(reply, Ok(full_reply(0, &outcomes[..1], None)));
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let bytes = proto::CreateTransfersResponse { outcomes: outcomes() }.encode_to_vec();
    for cut in 1..bytes.len() {
        let _ = wire::decode(Envelope::Batch, &bytes[..cut]);
    }
    assert!(wire::decode(Envelope::Batch, &bytes[..bytes.len() - 1]).is_err());
    assert!(wire::decode(Envelope::Batch, &[0xff; 20]).is_err());
}

#[test]
fn outcome_codes_have_names() {
    assert_eq!(outcome_name(0), "POSTED");
    assert_eq!(outcome_name(14), "INSUFFICIENT_FUNDS");
    assert_eq!(outcome_name(99), "CODE_99");
}

#[test]
fn reads_are_written_and_read_as_the_generated_code_would() {
    let ids = [1, u64::MAX, 7];
    let mut bytes = Vec::new();
    wire::encode_read(&ids, &mut bytes);
    let request = proto::GetAccountsRequest::decode(&bytes[..]).expect("readable");
    let wanted: Vec<_> = ids.iter().map(|id| proto::Id { id: *id, id_high: 0 }).collect();
    assert_eq!(request.ids, wanted);

    let account = |id: &u64| proto::Account {
        id: *id,
        currency: "GBP".into(),
        posted: "1.00".into(),
        opened_lsn: 1 << 40,
        ..Default::default()
    };
    let accounts: Vec<_> = ids.iter().map(account).collect();
    let response = proto::GetAccountsResponse { accounts, lsn: 9, ..Default::default() };
    let hash = ids.iter().fold(0, |hash, id| hash_id(hash, *id));
    assert_eq!(wire::decode_read(&response.encode_to_vec()), Ok(hash));
    let unknown = proto::GetAccountsResponse { unknown: wanted, ..response };
    assert_eq!(wire::decode_read(&unknown.encode_to_vec()), Ok(hash));
}
