//! Operations on holds: each one, each refusal with its code, repeats, groups, and reads.

use crate::support::{BANK, Server, account, codes, transfer, transfer_id};
use ducat_api::client::ClientError;
use ducat_api::proto::{self, Code, HoldState, Outcome, TransferRequest};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};
use tonic::Code as Grpc;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn hold(
    id: u64,
    debit: u64,
    credit: u64,
    minor: u64,
    timeout: Option<Duration>,
) -> TransferRequest {
    let ids = (transfer_id(id), account(debit), account(credit));
    let hold = TransferRequest::hold(ids.0, ids.1, ids.2, minor, timeout);
    TransferRequest { kind: transfer(id, debit, credit, minor).kind, ..hold }
}

fn capture(id: u64, hold: u64, minor: u64) -> TransferRequest {
    TransferRequest::capture(transfer_id(id), transfer_id(hold), NonZeroU64::new(minor))
}

fn void(id: u64, hold: u64) -> TransferRequest {
    TransferRequest::void(transfer_id(id), transfer_id(hold))
}

fn extend(id: u64, hold: u64, timeout: Option<Duration>) -> TransferRequest {
    TransferRequest::extend(transfer_id(id), transfer_id(hold), timeout)
}

fn linked(request: TransferRequest) -> TransferRequest {
    TransferRequest { linked: true, ..request }
}

/// What an outcome tells of its hold: state, captured, released, remaining.
fn told(outcome: &Outcome) -> (HoldState, u64, u64, u64) {
    let hold = outcome.hold.as_ref().unwrap_or_else(|| panic!("no hold in {outcome:?}"));
    (hold.state(), hold.captured_minor, hold.released_minor, hold.remaining_minor)
}

/// Asks for one thing that must be refused with this code; its sentence.
async fn refused(server: &Server, request: TransferRequest, code: Code) -> String {
    let outcome = server.client.transfer(request).await.expect("answered");
    assert_eq!(outcome.code(), code, "{outcome:?}");
    assert!(!outcome.explanation.is_empty());
    outcome.explanation
}

async fn figures(server: &Server, id: u64) -> (String, String, String) {
    let found = server.client.get_accounts(&[account(id)]).await.expect("answered");
    let found = &found.accounts[0];
    (found.posted.clone(), found.held.clone(), found.available.clone())
}

fn texts(posted: &str, held: &str, available: &str) -> (String, String, String) {
    (posted.to_owned(), held.to_owned(), available.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_placed_captured_in_parts_and_closed_by_the_last() {
    let server = Server::funded(5).await;
    let client = &server.client;
    let placed = client.hold(hold(10, 2, 3, 600, HOUR)).await.expect("answered");
    assert_eq!((placed.code(), told(&placed)), (Code::Posted, (HoldState::Open, 0, 0, 600)));
    let open = placed.hold.as_ref().expect("told");
    assert_eq!((open.id, open.expires_ns), (10, placed.time_ns + 3_600_000_000_000));
    let debit = placed.debit.as_ref().expect("told");
    assert_eq!((debit.posted_minor, debit.available_minor), (1_000, 400));
    assert_eq!(placed.credit, None);
    assert_eq!(figures(&server, 2).await, texts("10.00", "6.00", "4.00"));

    let (ten, amount) = (transfer_id(10), NonZeroU64::new(200));
    let part = client.capture(transfer_id(11), ten, amount).await.expect("answered");
    assert_eq!(told(&part), (HoldState::Open, 200, 200, 400));
    assert_eq!(part.credit.as_ref().expect("told").posted_minor, 200);
    let longer = client.extend(transfer_id(12), ten, None).await.expect("answered");
    assert_eq!(longer.hold.as_ref().expect("told").expires_ns, u64::MAX);
    let last = TransferRequest { last: true, ..capture(13, 10, 150) };
    let last = client.transfer(last).await.expect("answered");
    assert_eq!(told(&last), (HoldState::Captured, 150, 400, 0));
    assert_eq!(figures(&server, 2).await, texts("6.50", "0.00", "6.50"));
    assert_eq!(figures(&server, 3).await, texts("3.50", "0.00", "3.50"));

    client.hold(hold(20, 2, 4, 650, None)).await.expect("answered");
    let voided = client.void(transfer_id(21), transfer_id(20)).await.expect("answered");
    assert_eq!(told(&voided), (HoldState::Voided, 0, 650, 0));
    assert_eq!(figures(&server, 2).await, texts("6.50", "0.00", "6.50"));
    let status = client.get_status(true).await.expect("answered");
    assert_eq!(status.open_holds, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_code_and_says_how_the_hold_stands() {
    let server = Server::funded(5).await;
    let client = &server.client;
    refused(&server, hold(9, 2, 3, 1_001, None), Code::InsufficientFunds).await;
    refused(&server, hold(8, 2, 2, 1, None), Code::SameAccount).await;
    refused(&server, capture(7, 99, 1), Code::HoldUnknown).await;
    let placed = TransferRequest { over_capture_max_minor: 50, ..hold(10, 2, 3, 600, HOUR) };
    assert!(client.hold(placed).await.expect("answered").is_posted());
    // Not every figure is what the account has: 400 are left to spend.
    let text = refused(&server, transfer(11, 2, 4, 401), Code::InsufficientFunds).await;
    assert!(text.contains("has 4.00 GBP available"), "{text}");
    let text = refused(&server, capture(12, 10, 651), Code::HoldExceeded).await;
    assert!(text.contains("at most 6.50 GBP, of which 6.00 GBP remain"), "{text}");
    let text =
        refused(&server, extend(13, 10, Some(Duration::from_secs(1))), Code::HoldExtensionTooShort)
            .await;
    assert!(text.contains("anyway"), "{text}");
    let named = TransferRequest { currency: "EUR".into(), ..capture(14, 10, 1) };
    let text = refused(&server, named, Code::CurrencyMismatch).await;
    assert_eq!(text, "the capture names EUR, hold 10 is in GBP");
    let nothing =
        TransferRequest { amount: "0.00".into(), currency: "GBP".into(), ..capture(15, 10, 0) };
    refused(&server, nothing, Code::AmountZero).await;
    // The tolerance must be there to be taken.
    client.transfer(transfer(16, 2, 4, 380)).await.expect("answered");
    let text = refused(&server, capture(17, 10, 640), Code::InsufficientFunds).await;
    assert!(text.contains("0.20 GBP available beside it (6.00 GBP of it remain"), "{text}");
    let over = client.transfer(capture(18, 10, 620)).await.expect("answered");
    assert_eq!(told(&over), (HoldState::Captured, 620, 600, 0));
    let text = refused(&server, capture(19, 10, 1), Code::HoldCaptured).await;
    assert_eq!(text, "hold 10 was captured to its end; nothing of it remains");
    refused(&server, void(20, 10), Code::HoldCaptured).await;

    client.transfer(transfer(30, BANK, 2, 100)).await.expect("answered");
    client.hold(hold(31, 2, 3, 100, None)).await.expect("answered");
    refused(&server, extend(32, 31, HOUR), Code::HoldExtensionTooShort).await;
    client.void(transfer_id(33), transfer_id(31)).await.expect("answered");
    for request in [capture(34, 31, 0), void(35, 31), extend(36, 31, None)] {
        refused(&server, request, Code::HoldVoided).await;
    }
    refused(&server, hold(31, 2, 3, 99, None), Code::IdReused).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_hold_is_refused_as_such_and_needs_no_traffic_to_expire() {
    let server = Server::funded(5).await;
    let client = &server.client;
    let short = Some(Duration::from_millis(1));
    client.hold(hold(10, 2, 3, 600, short)).await.expect("answered");
    let end = Instant::now() + Duration::from_secs(60);
    while figures(&server, 2).await != texts("10.00", "0.00", "10.00") {
        assert!(Instant::now() < end, "the hold does not expire");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for request in [capture(11, 10, 0), void(12, 10), extend(13, 10, None)] {
        let text = refused(&server, request, Code::HoldExpired).await;
        assert_eq!(text, "hold 10 has expired; nothing of it remains");
    }
    let found = client.get_holds(&[transfer_id(10)]).await.expect("answered");
    assert_eq!(found.holds[0].state(), HoldState::Expired);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_get_the_first_answer_whole_and_are_found_by_id() {
    let server = Server::funded(5).await;
    let client = &server.client;
    let batch = vec![
        hold(10, 2, 3, 600, HOUR),
        capture(11, 10, 200),
        extend(12, 10, None),
        capture(13, 10, 9_999),
        capture(14, 10, 0),
        void(15, 10),
        void(16, 77),
        hold(17, 2, 99, 5, HOUR),
    ];
    let first = client.create_transfers(batch.clone()).await.expect("well-formed");
    assert_eq!(
        codes(&first),
        [
            Code::Posted,
            Code::Posted,
            Code::Posted,
            Code::HoldExceeded,
            Code::Posted,
            Code::HoldCaptured,
            Code::HoldUnknown,
            Code::CreditAccountUnknown
        ]
    );
    let repeat = |outcome: &Outcome| Outcome { repeat: true, ..outcome.clone() };
    let repeats: Vec<_> = first.iter().map(repeat).collect();
    assert_eq!(client.create_transfers(batch.clone()).await.expect("well-formed"), repeats);
    for (request, outcome) in batch.iter().zip(&repeats) {
        assert_eq!(client.transfer(request.clone()).await.expect("answered"), *outcome);
    }
    let other = client.transfer(capture(11, 10, 201)).await.expect("answered");
    assert_eq!((other.code(), other.hold), (Code::IdReused, None));

    let ids: Vec<_> = batch.iter().map(|request| transfer_id(request.id)).collect();
    let found = client.get_transfers(&ids).await.expect("answered").transfers;
    let outcomes: Vec<_> = found.iter().filter_map(|record| record.outcome.clone()).collect();
    assert_eq!(outcomes, repeats);
    for (record, asked) in found.iter().zip(&batch) {
        let stored = record.transfer.clone().expect("present");
        // The currency is that of the accounts, where there were any.
        assert_eq!(TransferRequest { currency: String::new(), ..stored }, *asked);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_mix_transfers_and_operations_all_or_none() {
    let server = Server::funded(5).await;
    let client = &server.client;
    // Placed, captured and passed on within one group.
    let all = vec![
        linked(hold(10, 2, 3, 600, HOUR)),
        linked(capture(11, 10, 600)),
        linked(transfer(12, 3, 4, 600)),
        hold(13, 2, 4, 400, None),
    ];
    let done = client.create_transfers(all).await.expect("well-formed");
    assert_eq!(codes(&done), [Code::Posted; 4]);
    assert_eq!(told(&done[1]), (HoldState::Captured, 600, 600, 0));
    let none = vec![
        linked(capture(20, 13, 100)),
        linked(void(21, 13)),
        linked(capture(22, 13, 100)),
        transfer(23, 4, 3, 1),
    ];
    let refused = client.create_transfers(none).await.expect("well-formed");
    assert_eq!(
        codes(&refused),
        [Code::LinkedFailed, Code::LinkedFailed, Code::HoldVoided, Code::LinkedFailed]
    );
    assert_eq!(figures(&server, 2).await, texts("4.00", "4.00", "0.00"));
    assert_eq!(figures(&server, 4).await, texts("6.00", "0.00", "6.00"));
    let (mut sender, mut answers) = client.stream(2).await.expect("opens");
    sender.send(vec![capture(30, 13, 100), capture(31, 13, 300)]).await.expect("open");
    drop(sender);
    let outcomes = answers.next().await.expect("up").expect("one").result.expect("answered");
    assert_eq!(told(&outcomes[1]), (HoldState::Captured, 300, 300, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_other_operations_are_refused_by_name_and_change_nothing() {
    let server = Server::funded(5).await;
    let before = server.client.get_status(true).await.expect("answered");
    let mut batch = vec![hold(10, 2, 3, 1, None), void(11, 10), capture(12, 10, 1)];
    batch[1].amount_minor = 5;
    batch[2].hold_id = 0;
    batch[2].debit_account = 2;
    let error = server.client.create_transfers(batch).await.expect_err("malformed");
    assert_eq!(error.code(), Some(Grpc::InvalidArgument));
    let ClientError::Refused(refused) = error else { panic!("{error:?}") };
    let wrong: Vec<_> =
        refused.violations.iter().map(|v| (v.field.as_str(), v.reason.as_str())).collect();
    assert_eq!(
        wrong,
        [
            ("transfers[1].amount_minor", "FIELD_NOT_OF_OPERATION"),
            ("transfers[2].debit_account", "FIELD_NOT_OF_OPERATION"),
            ("transfers[2].hold_id", "HOLD_ID_ZERO")
        ]
    );
    let after = server.client.get_status(true).await.expect("answered");
    assert_eq!((before.last_lsn, before.state_hash), (after.last_lsn, after.state_hash));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_read_by_id_and_listed_by_account() {
    let server = Server::funded(5).await;
    let client = &server.client;
    let places = (0..250).map(|n| hold(1_000 + n, 2, 3 + n % 2, 1 + n % 3, HOUR));
    let placed = client.create_transfers(places.collect()).await.expect("well-formed");
    assert!(placed.iter().all(Outcome::is_posted));
    client.void(transfer_id(2_000), transfer_id(1_004)).await.expect("answered");
    client.transfer(capture(2_001, 1_005, 0)).await.expect("answered");
    client.transfer(capture(2_002, 1_008, 1)).await.expect("answered");

    let ids = [1_008, 1_004, 77, 1_005, 1].map(transfer_id);
    let found = client.get_holds(&ids).await.expect("answered");
    let unknown: Vec<_> = found.unknown.iter().map(|id| id.id).collect();
    assert_eq!(unknown, [77, 1], "no hold, though the second is a transfer");
    let states: Vec<_> = found.holds.iter().map(|hold| (hold.id, hold.state())).collect();
    let (open, voided, captured) = (HoldState::Open, HoldState::Voided, HoldState::Captured);
    assert_eq!(states, [(1_008, open), (1_004, voided), (1_005, captured)]);
    let first = &found.holds[0];
    assert_eq!(
        (first.amount.as_str(), first.remaining.as_str(), first.currency.as_str()),
        ("0.03", "0.02", "GBP")
    );
    assert_eq!((first.debit_account, first.credit_account), (2, 3));
    assert_eq!((first.placed_lsn, first.expires_ns > placed[8].time_ns), (placed[8].lsn, true));
    let second = &found.holds[1];
    assert_eq!((second.amount.as_str(), second.remaining.as_str()), ("0.02", "0.00"));
    assert_eq!((second.debit_account, second.placed_lsn), (2, placed[4].lsn));

    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = client.list_holds(account(2), 60, &cursor).await.expect("answered");
        assert!(page.holds.len() <= 60);
        seen.extend(page.holds.iter().map(|hold| hold.id));
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    seen.sort_unstable();
    let expected: Vec<u64> = (1_000..1_250).filter(|id| ![1_004, 1_005].contains(id)).collect();
    assert_eq!((seen, pages >= 5), (expected, true));
    let none = client.list_holds(account(3), 10, "").await.expect("answered");
    assert_eq!((none.holds.len(), none.next_cursor.as_str()), (0, ""));
    let error = client.list_holds(account(99), 10, "").await.expect_err("unknown");
    assert_eq!((error.code(), error.reason()), (Some(Grpc::NotFound), Some("ACCOUNT_UNKNOWN")));
    let error = client.list_holds(account(2), 10, "x").await.expect_err("no cursor");
    assert_eq!(error.reason(), Some("CURSOR_INVALID"));
    let error = client.list_holds(account(2), 1_001, "").await.expect_err("too many");
    assert_eq!(error.reason(), Some("PAGE_SIZE"));
    let error = client.get_holds(&[]).await.expect_err("none");
    assert_eq!(error.reason(), Some("BATCH_SIZE"));
    let status = client.get_status(false).await.expect("answered");
    assert_eq!(status.open_holds, 248);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_beyond_64_bits_are_held_and_captured() {
    let server = Server::start().await;
    server.client.define_asset("ETHER", 18).await.expect("new");
    let accounts = (1..=3).map(|id| proto::NewAccount::new(account(id), "ETHER", id == BANK));
    server.client.create_accounts(accounts.collect()).await.expect("well-formed");
    let in_ether = |request: TransferRequest, amount: &str| TransferRequest {
        amount_minor: 0,
        amount: amount.into(),
        currency: "ETHER".into(),
        ..request
    };
    let outcomes = server
        .client
        .create_transfers(vec![
            in_ether(transfer(1, BANK, 2, 0), "100"),
            TransferRequest {
                over_capture_max: "20".into(),
                ..in_ether(hold(2, 2, 3, 0, None), "60")
            },
            in_ether(capture(3, 2, 0), "40.5"),
            in_ether(capture(4, 2, 0), "39.6"),
            in_ether(capture(5, 2, 0), "39.500000000000000001"),
            in_ether(capture(6, 2, 0), "39.5"),
        ])
        .await
        .expect("well-formed");
    let (posted, exceeded) = (Code::Posted, Code::HoldExceeded);
    assert_eq!(codes(&outcomes), [posted, posted, posted, exceeded, exceeded, posted]);
    let part = outcomes[2].hold.as_ref().expect("told").wide.as_ref().expect("wide");
    assert_eq!(part.captured_minor, "40500000000000000000");
    assert_eq!(part.remaining_minor, "19500000000000000000");
    let last = outcomes[5].hold.as_ref().expect("told");
    assert_eq!(last.state(), HoldState::Captured);
    assert_eq!(figures(&server, 3).await.0, "80.000000000000000000");
    server.stop().await;
}
