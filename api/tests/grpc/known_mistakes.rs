//! Mistakes that other ledgers were known for, one test each, over the wire. The engine's own tests of
//! holds, refunds and terms go deeper; these are what a gateway would see.

use crate::support::{BANK, Server, account, codes, transfer, transfer_id};
use ducat_api::payments::Payment;
use ducat_api::proto::{Code, Outcome, TransferKind, TransferRequest};
use ducat_engine::money::Currencies;
use ducat_engine::shares::Share;
use std::num::NonZeroU64;

fn hold(id: u64, debit: u64, credit: u64, minor: u64) -> TransferRequest {
    TransferRequest::hold(transfer_id(id), account(debit), account(credit), minor, None)
}

fn capture(id: u64, of: u64, minor: u64) -> TransferRequest {
    TransferRequest::capture(transfer_id(id), transfer_id(of), NonZeroU64::new(minor))
}

fn refund(id: u64, of: u64, minor: u64) -> TransferRequest {
    TransferRequest::refund(transfer_id(id), transfer_id(of), minor)
}

/// Each by itself, in order: their codes.
async fn ask(server: &Server, requests: Vec<TransferRequest>) -> Vec<Code> {
    let mut all = Vec::new();
    for request in requests {
        all.push(server.client.transfer(request).await.expect("answered").code());
    }
    all
}

/// Posted and available of an account, minor units.
async fn stands(server: &Server, id: u64) -> (i64, i64) {
    let read = server.client.get_accounts(&[account(id)]).await.expect("answered");
    let minor = |text: &str| text.replace('.', "").parse().expect("a number of two digits");
    (minor(&read.accounts[0].posted), minor(&read.accounts[0].available))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_hold_above_its_amount() {
    let server = Server::funded(5).await;
    let asked = vec![hold(10, 2, 3, 600), capture(11, 10, 400), capture(12, 10, 201)];
    assert_eq!(ask(&server, asked).await, [Code::Posted, Code::Posted, Code::HoldExceeded]);
    assert_eq!(stands(&server, 3).await, (400, 400));
    assert_eq!(ask(&server, vec![capture(13, 10, 200)]).await, [Code::Posted]);
    assert_eq!((stands(&server, 2).await, stands(&server, 3).await), ((400, 400), (600, 600)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voided_hold_revived() {
    let server = Server::funded(5).await;
    let void = |id| TransferRequest::void(transfer_id(id), transfer_id(10));
    let extend = TransferRequest::extend(transfer_id(13), transfer_id(10), None);
    let asked = vec![hold(10, 2, 3, 600), void(11), capture(12, 10, 1), extend, void(14)];
    let closed = Code::HoldVoided;
    assert_eq!(ask(&server, asked).await, [Code::Posted, Code::Posted, closed, closed, closed]);
    // Nor by its own request again: that is a repeat, and answers what it did.
    let again = server.client.transfer(hold(10, 2, 3, 600)).await.expect("answered");
    assert!(again.repeat && again.is_posted());
    assert_eq!((stands(&server, 2).await, stands(&server, 3).await), ((1_000, 1_000), (0, 0)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_hold_that_cannot_be_committed() {
    let server = Server::funded(5).await;
    let linked = |at: u64, request| TransferRequest { linked: at + 1 < 100, ..request };
    let held = (0..100).map(|at| linked(at, hold(100 + at, 2, 3 + at % 3, 10))).collect();
    let held = server.client.create_transfers(held).await.expect("answered");
    assert!(held.iter().all(Outcome::is_posted));
    assert_eq!(stands(&server, 2).await, (1_000, 0));
    let captured = (0..100).map(|at| linked(at, capture(200 + at, 100 + at, 10))).collect();
    let captured = server.client.create_transfers(captured).await.expect("answered");
    assert!(captured.iter().all(Outcome::is_posted), "{:?}", codes(&captured));
    assert_eq!((stands(&server, 2).await, stands(&server, 3).await), ((0, 0), (340, 340)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_undoes_another() {
    let server = Server::funded(5).await;
    let first = vec![transfer(10, 2, 3, 300), refund(11, 10, 100)];
    assert_eq!(ask(&server, first).await, [Code::Posted, Code::Posted]);
    // One that is refused, and one that is given back itself, leave the first as it was.
    let asked = vec![refund(12, 10, 201), refund(13, 11, 100), refund(14, 10, 200)];
    let expected = [Code::RefundExceeded, Code::OriginalIsRefund, Code::Posted];
    assert_eq!(ask(&server, asked).await, expected);
    assert_eq!((stands(&server, 2).await, stands(&server, 3).await), ((1_000, 1_000), (0, 0)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_refund_answered_wrongly() {
    let server = Server::funded(5).await;
    server.client.transfer(transfer(10, 2, 3, 300)).await.expect("answered");
    let first = server.client.transfer(refund(11, 10, 100)).await.expect("answered");
    server.client.transfer(refund(12, 10, 200)).await.expect("answered");
    let again = server.client.transfer(refund(11, 10, 100)).await.expect("answered");
    assert!(first.is_posted());
    assert_eq!(again, Outcome { repeat: true, ..first });
    assert_eq!(stands(&server, 2).await, (1_000, 1_000));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_ignored_in_available_funds() {
    let server = Server::funded(5).await;
    let asked = vec![hold(10, 2, 3, 600), transfer(11, 2, 4, 401), hold(12, 2, 4, 401)];
    let lack = Code::InsufficientFunds;
    assert_eq!(ask(&server, asked).await, [Code::Posted, lack, lack]);
    assert_eq!(stands(&server, 2).await, (1_000, 400));
    assert_eq!(ask(&server, vec![transfer(13, 2, 4, 400)]).await, [Code::Posted]);
    assert_eq!(stands(&server, 2).await, (600, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn split_shares_losing_a_cent() {
    let server = Server::funded(5).await;
    let currency = Currencies::new().by_code("GBP").expect("ISO");
    let third = Share::Percent("33.33".parse().expect("a percentage"));
    let shares = [(account(3), third), (account(4), third), (account(5), Share::Rest)];
    let payment =
        Payment { id: transfer_id(10), kind: TransferKind::Transfer, currency: "GBP".to_owned() };
    let legs = payment.in_shares(account(2), 1_000, &currency, &shares).expect("shares");
    let outcomes = server.client.create_transfers(legs).await.expect("answered");
    assert!(outcomes.iter().all(Outcome::is_posted), "{:?}", codes(&outcomes));
    let mut paid = Vec::new();
    for id in 2..=5 {
        paid.push(stands(&server, id).await.0);
    }
    assert_eq!(paid, [0, 333, 333, 334]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transfer_burning_its_id_without_an_explanation() {
    let server = Server::funded(5).await;
    let refused = server.client.transfer(transfer(10, 2, 3, 1_001)).await.expect("answered");
    assert_eq!(refused.code(), Code::InsufficientFunds);
    assert!(!refused.explanation.is_empty());
    server.client.transfer(transfer(11, BANK, 2, 1)).await.expect("answered");
    // The same id again says the same, why included, though it could be paid now.
    let again = server.client.transfer(transfer(10, 2, 3, 1_001)).await.expect("answered");
    assert_eq!(again, Outcome { repeat: true, ..refused.clone() });
    let stored = server.client.get_transfers(&[transfer_id(10)]).await.expect("answered");
    let outcome = stored.transfers[0].outcome.as_ref().expect("told");
    assert_eq!((outcome.code(), &outcome.explanation), (refused.code(), &refused.explanation));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_not_found_just_after_a_success() {
    let server = Server::funded(5).await;
    for id in 10..110 {
        let posted = server.client.transfer(transfer(id, 2, 3, 1)).await.expect("answered");
        let found = server.client.get_transfers(&[transfer_id(id)]).await.expect("answered");
        assert!(found.unknown.is_empty(), "transfer {id} was answered and is not found");
        assert_eq!(found.transfers[0].outcome.as_ref().map(|o| o.lsn), Some(posted.lsn));
        assert_eq!(stands(&server, 3).await.0, i64::try_from(id).expect("small") - 9);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_twice_in_one_batch() {
    let server = Server::funded(5).await;
    let (same, other) = (transfer(10, 2, 3, 100), transfer(10, 2, 3, 101));
    let batch = vec![same.clone(), same, other];
    let outcomes = server.client.create_transfers(batch).await.expect("answered");
    assert_eq!(codes(&outcomes), [Code::Posted, Code::Posted, Code::IdReused]);
    assert_eq!(outcomes.iter().map(|o| o.repeat).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(stands(&server, 3).await, (100, 100));
    server.stop().await;
}
