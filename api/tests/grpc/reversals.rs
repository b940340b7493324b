//! Whole groups given back over the wire: by the Rust client, tried before, refused with reasons.

use crate::support::{Server, codes, transfer, transfer_id};
use ducat_api::client::ClientError;
use ducat_api::proto::{
    Code, MemberRefund, Note, Outcome, ReverseGroupRequest, TransferRequest, TransferStatus,
};
use tonic::Code as Grpc;

fn linked(request: TransferRequest) -> TransferRequest {
    TransferRequest { linked: true, ..request }
}

fn reverse(id: u64, of: u64) -> ReverseGroupRequest {
    ReverseGroupRequest::new(transfer_id(id), transfer_id(of))
}

fn outcomes(refunds: &[MemberRefund]) -> Vec<Outcome> {
    refunds.iter().map(|refund| refund.outcome.clone().expect("one each")).collect()
}

/// A group of three, of which the second is in the middle of the money's way.
async fn server_with_a_group() -> Server {
    let server = Server::funded(5).await;
    let group = vec![
        linked(transfer(10, 2, 3, 300)),
        linked(transfer(11, 3, 4, 200)),
        transfer(12, 4, 5, 50),
        transfer(13, 2, 5, 7),
    ];
    let posted = server.client.create_transfers(group).await.expect("answered");
    assert!(posted.iter().all(Outcome::is_posted), "{posted:?}");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_tried_given_back_whole_and_seen_from_both_sides() {
    let server = server_with_a_group().await;
    let client = &server.client;
    let note = Note { reference: "case 7".into(), ..Note::default() };
    let asked = ReverseGroupRequest { note: Some(note.clone()), ..reverse(20, 11) };
    let tried = ReverseGroupRequest { dry_run: true, ..asked.clone() };
    let tried = client.reverse_group(tried).await.expect("answered");
    assert_eq!(codes(&outcomes(&tried)), [Code::Posted; 3]);
    assert!(outcomes(&tried).iter().all(|outcome| outcome.dry_run && !outcome.repeat));

    let done = client.reverse_group(asked.clone()).await.expect("answered");
    assert_eq!(codes(&outcomes(&done)), [Code::Posted; 3]);
    assert!(outcomes(&done).iter().all(|outcome| !outcome.dry_run && !outcome.repeat));
    let told: Vec<_> = done
        .iter()
        .map(|r| (r.original_id, r.debit_account, r.credit_account, &*r.amount, &*r.currency))
        .collect();
    assert_eq!(
        told,
        [(12, 5, 4, "0.50", "GBP"), (11, 4, 3, "2.00", "GBP"), (10, 3, 2, "3.00", "GBP")]
    );
    for (tried, done) in tried.iter().zip(&done) {
        let (tried, outcome) = (tried.outcome.as_ref(), done.outcome.as_ref());
        let (tried, outcome) = (tried.expect("one each"), outcome.expect("one each"));
        assert_eq!((&tried.debit, &tried.credit), (&outcome.debit, &outcome.credit));
        let refund = outcome.refund.as_ref().expect("a refund");
        assert_eq!(
            (refund.original_id, refund.original_lsn),
            (done.original_id, done.original_lsn)
        );
    }
    assert_eq!((outcomes(&done)[0].id, outcomes(&done)[0].id_high), (20, 0));

    let refund = done[1].outcome.as_ref().expect("one each");
    let refund = ducat_engine::ids::TransferId::from_halves(refund.id_high, refund.id);
    let ids = [transfer_id(11), refund.expect("not zero")];
    let stored = client.get_transfers(&ids).await.expect("answered").transfers;
    assert_eq!(stored[0].status(), TransferStatus::Refunded);
    let asked_for = stored[1].transfer.as_ref().expect("there");
    assert_eq!((asked_for.original_id, asked_for.original_lsn), (11, done[1].original_lsn));
    assert_eq!(asked_for.note.as_deref(), Some(&note));
    let listed = client.list_refunds(transfer_id(11), None, 10, "").await.expect("answered");
    assert_eq!((listed.refunds.len(), listed.refunds[0].id_high, listed.refunds[0].id), {
        let outcome = done[1].outcome.as_ref().expect("one each");
        (1, outcome.id_high, outcome.id)
    });

    let again = client.reverse_group(asked).await.expect("answered");
    assert!(outcomes(&again).iter().all(|outcome| outcome.repeat));
    let lsns = |refunds: &[MemberRefund]| -> Vec<u64> {
        outcomes(refunds).iter().map(|outcome| outcome.lsn).collect()
    };
    assert_eq!(lsns(&again), lsns(&done));
    let other = client.reverse_group(reverse(21, 10)).await.expect("answered");
    let codes = codes(&outcomes(&other));
    assert_eq!(codes, [Code::OriginalRefunded, Code::LinkedFailed, Code::LinkedFailed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_given_back_is_refused_with_a_reason() {
    let server = server_with_a_group().await;
    let client = &server.client;
    let hold = |id| {
        let (debit, credit) = (crate::support::account(2), crate::support::account(3));
        TransferRequest::hold(transfer_id(id), debit, credit, 5, None)
    };
    client.create_transfers(vec![linked(hold(30)), transfer(31, 2, 3, 1)]).await.expect("ok");
    client.create_transfers(vec![transfer(32, 5, 3, 99_999)]).await.expect("answered");
    let gave = TransferRequest::refund(transfer_id(33), transfer_id(13), 1);
    client.transfer(gave).await.expect("answered");
    for (of, code, reason) in [
        (99, Grpc::NotFound, "ORIGINAL_UNKNOWN"),
        (31, Grpc::FailedPrecondition, "GROUP_HAS_HOLDS"),
        (32, Grpc::FailedPrecondition, "ORIGINAL_REFUSED"),
        (33, Grpc::FailedPrecondition, "ORIGINAL_IS_REFUND"),
        (0, Grpc::InvalidArgument, "ORIGINAL_ID_ZERO"),
    ] {
        let asked = ReverseGroupRequest { original_id: of, ..reverse(40, 1) };
        let tried = ReverseGroupRequest { dry_run: true, ..asked.clone() };
        for asked in [tried, asked] {
            let error = client.reverse_group(asked).await.expect_err("refused");
            assert_eq!((error.code(), error.reason()), (Some(code), Some(reason)), "{error}");
        }
    }
    // One transfer is a group of one; a part of it was given back.
    let exceeded = client.reverse_group(reverse(40, 13)).await.expect("answered");
    assert_eq!(codes(&outcomes(&exceeded)), [Code::RefundExceeded]);
    let why = &outcomes(&exceeded)[0].explanation;
    assert!(why.contains("it moved 0.07 GBP, of which 0.01 GBP"), "{why}");
    // The money is not there any more.
    client.transfer(transfer(41, 5, 1, 20)).await.expect("answered");
    let short = client.reverse_group(reverse(42, 10)).await.expect("answered");
    let codes_of = codes(&outcomes(&short));
    assert_eq!(codes_of, [Code::InsufficientFunds, Code::LinkedFailed, Code::LinkedFailed]);
    let over = ReverseGroupRequest { allow_overdraft: true, ..reverse(43, 10) };
    let over = client.reverse_group(over).await.expect("answered");
    assert_eq!(codes(&outcomes(&over)), [Code::Posted; 3]);
    // A transport's error is none of the group's.
    let error = client.reverse_group(ReverseGroupRequest::default()).await.expect_err("refused");
    assert!(matches!(error, ClientError::Refused(_)));
}
