//! Refunds and reversals: by themselves, in batches, on streams, and looked back at.

use crate::support::{Server, codes, transfer, transfer_id};
use ducat_api::proto::{Code, Outcome, TransferRequest};
use ducat_engine::ids::Lsn;

fn refund(id: u64, of: u64, minor: u64) -> TransferRequest {
    TransferRequest::refund(transfer_id(id), transfer_id(of), minor)
}

fn reverse(id: u64, of: u64) -> TransferRequest {
    TransferRequest::reverse(transfer_id(id), transfer_id(of))
}

fn linked(request: TransferRequest) -> TransferRequest {
    TransferRequest { linked: true, ..request }
}

/// What an outcome tells of its original: given back now, in all, moved, whether it is reversed.
fn told(outcome: &Outcome) -> (u64, u64, u64, bool) {
    let refund = outcome.refund.as_ref().unwrap_or_else(|| panic!("no refund in {outcome:?}"));
    (refund.amount_minor, refund.refunded_minor, refund.moved_minor, refund.reversed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_refunded_in_parts_and_reversed_once() {
    let server = Server::funded(4).await;
    let client = &server.client;
    client.transfer(transfer(10, 2, 3, 300)).await.expect("answered");
    let part = client.refund(transfer_id(11), transfer_id(10), 100).await.expect("answered");
    assert_eq!((part.code(), told(&part)), (Code::Posted, (100, 100, 300, false)));
    let balances = part.debit.as_ref().zip(part.credit.as_ref()).expect("both");
    assert_eq!((balances.0.posted_minor, balances.1.posted_minor), (200, 800));
    let rest = client.reverse(transfer_id(12), transfer_id(10)).await.expect("answered");
    assert_eq!((rest.code(), told(&rest)), (Code::Posted, (200, 300, 300, true)));
    let again = client.reverse(transfer_id(12), transfer_id(10)).await.expect("answered");
    assert_eq!(again, Outcome { repeat: true, ..rest });

    let unknown = |request| TransferRequest { original_lsn: 1, ..request };
    for (request, code, words) in [
        (refund(20, 10, 1), Code::OriginalReversed, "it moved 3.00 GBP, of which 3.00 GBP"),
        (reverse(21, 10), Code::OriginalReversed, "was reversed already"),
        (reverse(22, 11), Code::OriginalIsRefund, "is a refund itself"),
        (reverse(23, 99), Code::OriginalUnknown, "name its LSN"),
        (unknown(reverse(24, 10)), Code::OriginalUnknown, "event 1 did not decide"),
        (reverse(25, 20), Code::OriginalRefused, "nothing to give back"),
    ] {
        let outcome = client.transfer(request).await.expect("answered");
        assert_eq!(outcome.code(), code, "{outcome:?}");
        assert!(outcome.explanation.contains(words), "{}", outcome.explanation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_refund_what_it_moves_and_a_group_is_reversed_or_not() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let outcomes = client
        .create_transfers(vec![
            linked(transfer(10, 2, 3, 300)),
            transfer(11, 3, 4, 300),
            // Its members in order: the first has nothing to pay with.
            linked(reverse(20, 10)),
            reverse(21, 11),
            linked(reverse(22, 11)),
            reverse(23, 10),
            linked(reverse(24, 11)),
            reverse(25, 10),
            refund(26, 1, 1_000),
            refund(27, 1, 1),
        ])
        .await
        .expect("answered");
    assert_eq!(
        codes(&outcomes),
        [
            Code::Posted,
            Code::Posted,
            Code::InsufficientFunds,
            Code::LinkedFailed,
            Code::Posted,
            Code::Posted,
            Code::OriginalReversed,
            Code::LinkedFailed,
            Code::Posted,
            Code::OriginalRefunded,
        ]
    );
    let stored = client.get_transfers(&[transfer_id(10), transfer_id(22)]).await.expect("answered");
    let refunded = stored.transfers[0].refunded.as_ref().expect("it was refunded");
    assert_eq!((refunded.refunded_minor, refunded.reversed), (300, true));
    assert_eq!(stored.transfers[1].outcome.as_ref().map(told), Some((300, 300, 300, true)));
    let asked = stored.transfers[1].transfer.as_ref().expect("there");
    assert_eq!((asked.original_id, asked.operation), (11, reverse(22, 11).operation));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdraft_is_allowed_for_it_or_not() {
    let server = Server::funded(4).await;
    let client = &server.client;
    for request in [transfer(10, 2, 3, 300), transfer(11, 3, 4, 250)] {
        assert!(client.transfer(request).await.expect("answered").is_posted());
    }
    let short = client.transfer(reverse(12, 10)).await.expect("answered");
    assert_eq!(short.code(), Code::InsufficientFunds);
    assert!(short.explanation.contains("0.50 GBP available, 3.00 GBP needed"), "{short:?}");
    let over = TransferRequest { allow_overdraft: true, ..reverse(13, 10) };
    let over = client.transfer(over).await.expect("answered");
    assert_eq!(over.debit.map(|debit| debit.posted_minor), Some(-250));
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_listed_a_page_at_a_time() {
    let server = Server::funded(4).await;
    let client = &server.client;
    client.transfer(transfer(10, 2, 3, 300)).await.expect("answered");
    for id in 20..25 {
        client.transfer(refund(id, 10, 10)).await.expect("answered");
    }
    let of = transfer_id(10);
    let first = client.list_refunds(of, None, 3, "").await.expect("answered");
    let ids: Vec<u64> = first.refunds.iter().map(|refund| refund.id).collect();
    assert_eq!(ids, [24, 23, 22]);
    assert_eq!((first.currency.as_str(), first.digits), ("GBP", 2));
    assert_eq!((first.debit_account, first.credit_account), (2, 3));
    assert_eq!(
        (first.refunds[0].amount.as_str(), first.refunds[0].refunded.as_str()),
        ("0.10", "0.50")
    );
    let state = first.refunded.as_ref().expect("told");
    assert_eq!((state.refunded_minor, state.moved_minor), (50, 300));
    let lsn = Some(Lsn(state.original_lsn));
    let rest = client.list_refunds(of, lsn, 3, &first.next_cursor).await.expect("answered");
    let ids: Vec<u64> = rest.refunds.iter().map(|refund| refund.id).collect();
    assert_eq!((ids, rest.next_cursor.as_str()), (vec![21, 20], ""));
    for (of, cursor, reason) in
        [(99, "", "ORIGINAL_UNKNOWN"), (20, "", "ORIGINAL_UNKNOWN"), (10, "0123", "CURSOR_INVALID")]
    {
        let listed = client.list_refunds(transfer_id(of), None, 3, cursor).await;
        assert_eq!(listed.expect_err("refused").reason(), Some(reason));
    }
}
