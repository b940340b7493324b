//! Kinds, notes, the life-cycle, statements by value date, and fees, on the wire.

use crate::support::{BANK, Server, account, transfer, transfer_id};
use ducat_api::client::ClientError;
use ducat_api::proto::{
    self, Code, Entry, EventKind, FeeSchedule, FeeTarget, FeeTier, ListEntriesRequest, Note,
    TransferKind, TransferRequest, TransferStatus,
};
use std::num::NonZeroU64;

fn note(reference: &str, value_date: &str) -> Note {
    let description = "two chairs".to_owned();
    Note { reference: reference.to_owned(), description, value_date: value_date.to_owned() }
}

fn payment(id: u64, debit: u64, credit: u64, minor: u64) -> TransferRequest {
    let kind = TransferKind::Payment as i32;
    TransferRequest { kind, ..transfer(id, debit, credit, minor) }
}

async fn code(server: &Server, request: TransferRequest) -> Code {
    server.client.transfer(request).await.expect("answered").code()
}

fn reason(error: ClientError) -> String {
    error.reason().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_comes_back_everywhere_and_is_part_of_the_request() {
    let server = Server::funded(4).await;
    let said = note("INV-1", "2026-01-31");
    let asked = payment(10, 2, 3, 100).with_note(said.clone());
    assert_eq!(code(&server, asked.clone()).await, Code::Posted);
    let again = server.client.transfer(asked.clone()).await.expect("answered");
    assert!(again.repeat && again.is_posted());
    for other in [
        payment(10, 2, 3, 100),
        payment(10, 2, 3, 100).with_note(note("INV-2", "2026-01-31")),
        payment(10, 2, 3, 100).with_note(note("INV-1", "2026-02-01")),
        transfer(10, 2, 3, 100).with_note(said.clone()),
    ] {
        assert_eq!(code(&server, other).await, Code::IdReused);
    }
    let found = server.client.get_transfers(&[transfer_id(10)]).await.expect("answered");
    let shown = found.transfers[0].transfer.clone().expect("set");
    assert_eq!((shown.kind(), shown.note.as_deref()), (TransferKind::Payment, Some(&said)));
    let page = server.client.list_entries(account(3), 10, "").await.expect("answered");
    let [entry] = &page.entries[..] else { panic!("one entry") };
    assert_eq!((entry.kind(), entry.note.as_ref()), (TransferKind::Payment, Some(&said)));
    assert_eq!(entry.value_date, "2026-01-31");
    // A refund of it, with a note of its own.
    let refund = TransferRequest::refund(transfer_id(11), transfer_id(10), 40);
    let refund = refund.with_note(note("CRN-1", ""));
    assert_eq!(code(&server, refund).await, Code::Posted);
    let page = server.client.list_entries(account(3), 1, "").await.expect("answered");
    assert_eq!(page.entries[0].kind(), TransferKind::Refund);
    assert_eq!(page.entries[0].note.as_ref().expect("set").reference, "CRN-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_cannot_be_kept_changes_nothing_and_is_named() {
    let server = Server::funded(4).await;
    let plain = || payment(10, 2, 3, 1);
    let void = TransferRequest::void(transfer_id(10), transfer_id(9));
    for (request, expected) in [
        (plain().with_note(Note::default()), "NOTE_EMPTY"),
        (plain().with_note(note(&"r".repeat(65), "")), "REFERENCE_MALFORMED"),
        (plain().with_note(note("a\u{7}", "")), "REFERENCE_MALFORMED"),
        (plain().with_note(note("a", "31.1.2026")), "VALUE_DATE_MALFORMED"),
        (
            plain().with_note(Note { description: "d".repeat(257), ..Note::default() }),
            "DESCRIPTION_MALFORMED",
        ),
        (void.with_note(note("a", "")), "FIELD_NOT_OF_OPERATION"),
        (TransferRequest { kind: 8, ..plain() }, "KIND_UNKNOWN"),
    ] {
        let error = server.client.transfer(request.clone()).await.expect_err("malformed");
        assert_eq!(reason(error), expected, "{request:?}");
    }
    assert_eq!(code(&server, plain()).await, Code::Posted, "the id is new still");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_request_is_told_as_it_stands_now() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let status = async |id: u64| {
        let found = client.get_transfers(&[transfer_id(id)]).await.expect("answered");
        found.transfers[0].status()
    };
    let hold = |id: u64| TransferRequest::hold(transfer_id(id), account(2), account(3), 100, None);
    for id in [20, 21] {
        client.hold(hold(id)).await.expect("answered");
        assert_eq!(status(id).await, TransferStatus::Pending);
    }
    let capture = async |id: u64, of: u64, minor: u64| {
        let minor = NonZeroU64::new(minor);
        client.capture(transfer_id(id), transfer_id(of), minor).await.expect("answered")
    };
    capture(22, 20, 40).await;
    assert_eq!(status(20).await, TransferStatus::Processing);
    assert_eq!(status(22).await, TransferStatus::Completed);
    capture(23, 20, 60).await;
    assert_eq!(status(20).await, TransferStatus::Completed);
    client.void(transfer_id(24), transfer_id(21)).await.expect("answered");
    assert_eq!(status(21).await, TransferStatus::Cancelled);
    assert_eq!(status(24).await, TransferStatus::Completed);
    assert_eq!(code(&server, payment(25, 2, 3, 10_000)).await, Code::InsufficientFunds);
    assert_eq!(status(25).await, TransferStatus::Failed);
    assert_eq!(code(&server, payment(26, 2, 3, 10)).await, Code::Posted);
    assert_eq!(status(26).await, TransferStatus::Completed);
    client.refund(transfer_id(27), transfer_id(26), 4).await.expect("answered");
    assert_eq!(status(26).await, TransferStatus::Completed, "in part");
    client.refund(transfer_id(28), transfer_id(26), 6).await.expect("answered");
    assert_eq!(status(26).await, TransferStatus::Refunded);
    assert_eq!(status(28).await, TransferStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_of_its_holds_kind_wherever_it_is_shown() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let hold = TransferRequest::hold(transfer_id(30), account(2), account(3), 100, None);
    let kind = TransferKind::Payment as i32;
    let hold = TransferRequest { kind, ..hold }.with_note(note("INV-30", ""));
    assert_eq!(client.hold(hold).await.expect("answered").code(), Code::Posted);
    let captured = client.capture(transfer_id(31), transfer_id(30), NonZeroU64::new(40)).await;
    assert_eq!(captured.expect("answered").code(), Code::Posted);
    let found = client.get_transfers(&[transfer_id(30), transfer_id(31)]).await.expect("answered");
    let kinds = found.transfers.iter().map(|found| found.transfer.as_ref().expect("set").kind());
    assert_eq!(kinds.collect::<Vec<_>>(), [TransferKind::Payment; 2]);
    let page = client.list_entries(account(3), 1, "").await.expect("answered");
    assert_eq!(page.entries[0].kind(), TransferKind::Payment);
    let outside = TransferRequest::hold(transfer_id(32), account(1), account(3), 1, None);
    let outside = client.hold(TransferRequest { kind, ..outside }).await.expect("answered");
    assert_eq!(outside.code(), Code::KindMismatch);
    assert!(outside.explanation.contains("a payment touches no external account"));
}

/// Every order and every page of them, against the entries sorted by hand.
#[tokio::test(flavor = "multi_thread")]
async fn statements_by_value_are_the_entries_sorted() {
    let server = Server::funded(4).await;
    let days = ["2026-03-01", "2026-01-31", "", "1999-12-31", "2026-01-31", "2026-02-02", ""];
    for (at, day) in days.into_iter().enumerate() {
        let request = payment(10 + at as u64, 2, 3, 1);
        let request = if day.is_empty() { request } else { request.with_note(note("", day)) };
        assert_eq!(code(&server, request).await, Code::Posted);
    }
    let all = server.client.list_entries(account(3), 100, "").await.expect("answered").entries;
    assert_eq!(all.len(), days.len());
    let list = async |request: ListEntriesRequest| {
        let mut request = ListEntriesRequest { id: 3, by_value: true, page_size: 2, ..request };
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let page = server.client.list_entries_between(request.clone()).await.expect("listed");
            assert!(page.entries.len() <= 2);
            entries.extend(page.entries);
            request.cursor = page.next_cursor;
            if request.cursor.is_empty() {
                return entries;
            }
        }
    };
    let sorted = |from: &str, to: &str| {
        let within = |entry: &&Entry| {
            (from.is_empty() || *entry.value_date >= *from)
                && (to.is_empty() || *entry.value_date <= *to)
        };
        let mut sorted: Vec<Entry> = all.iter().filter(within).cloned().collect();
        sorted.sort_by_key(|entry| (entry.value_date.clone(), entry.lsn));
        sorted
    };
    for (from, to) in
        [("", ""), ("2026-01-31", "2026-02-02"), ("2026-01-31", ""), ("", "1999-12-31")]
    {
        let (from_value_date, to_value_date) = (from.to_owned(), to.to_owned());
        let request = ListEntriesRequest { from_value_date, to_value_date, ..Default::default() };
        let mut expected = sorted(from, to);
        let earliest = ListEntriesRequest { oldest_first: true, ..request.clone() };
        assert_eq!(list(earliest).await, expected, "{from} to {to}");
        expected.reverse();
        assert_eq!(list(request).await, expected, "{from} to {to}");
    }
    // Bounds by booking hold as well.
    let (first, last) = (all[5].lsn, all[2].lsn);
    let bounded = ListEntriesRequest { from_lsn: first, to_lsn: last, ..Default::default() };
    let lsns: Vec<u64> = list(bounded).await.iter().map(|entry| entry.lsn).collect();
    assert_eq!(lsns.len(), 4);
    assert!(lsns.iter().all(|lsn| (first..=last).contains(lsn)));
    for (request, expected) in [
        (
            ListEntriesRequest { from_value_date: "2026-01-01".into(), ..Default::default() },
            "NOT_BY_VALUE",
        ),
        (
            ListEntriesRequest { by_value: true, to_value_date: "x".into(), ..Default::default() },
            "VALUE_DATE_MALFORMED",
        ),
        (
            ListEntriesRequest { by_value: true, cursor: "00".into(), ..Default::default() },
            "CURSOR_INVALID",
        ),
    ] {
        let request = ListEntriesRequest { id: 3, ..request };
        let error = server.client.list_entries_between(request).await.expect_err("malformed");
        assert_eq!(reason(error), expected);
    }
}

/// Against the entries added up by hand.
#[tokio::test(flavor = "multi_thread")]
async fn balances_by_value_are_the_sums_of_the_entries() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let days = ["2026-03-01", "2026-01-31", "1999-12-31", "2026-01-31", "2999-02-02"];
    for (at, day) in (0..).zip(days) {
        let request = payment(10 + at, 2, 3, 1 << at).with_note(note("", day));
        assert_eq!(code(&server, request).await, Code::Posted);
    }
    let entries = client.list_entries(account(3), 100, "").await.expect("answered").entries;
    let newest = entries[0].lsn;
    for (lsn, day) in entries.iter().map(|entry| entry.lsn).flat_map(|lsn| {
        days.iter().chain(["1900-01-01", "9999-12-31"].iter()).map(move |day| (lsn, *day))
    }) {
        let counts = |entry: &&Entry| entry.lsn <= lsn && *entry.value_date <= *day;
        let sum: i64 = entries
            .iter()
            .filter(counts)
            .map(|entry| entry.amount.replace('.', "").parse::<i64>().expect("a number"))
            .sum();
        let at = proto::get_balance_at_request::At::Lsn(lsn);
        let found = client.get_balance_by_value(account(3), day, Some(at)).await.expect("answered");
        assert_eq!(found.posted_minor, sum.to_string(), "{day} at {lsn}");
        assert_eq!((found.lsn, found.value_date.as_str()), (lsn, day));
        let at = proto::get_trial_balance_request::At::Lsn(lsn);
        let made = client.get_trial_balance_by_value(day, Some(at)).await.expect("answered");
        assert_eq!((made.lsn, made.value_date.as_str()), (lsn, day));
        assert_eq!(made.rows[0].debit, made.rows[0].credit);
    }
    let now = client.get_balance_by_value(account(3), "2026-01-31", None).await.expect("answered");
    assert_eq!((now.posted.as_str(), now.lsn), ("0.14", newest));
    // What account 2 paid on days to come is still its own, as the deposit of today is not its yet.
    let made = client.get_trial_balance_by_value("2000-01-01", None).await.expect("answered");
    let sides =
        |row: &proto::TrialBalanceRow| (row.internal_debit.clone(), row.internal_credit.clone());
    assert_eq!(sides(&made.rows[0]), ("0.04".to_owned(), "0.04".to_owned()));
    let error = client.get_balance_by_value(account(3), "tomorrow", None).await;
    assert_eq!(reason(error.expect_err("malformed")), "VALUE_DATE_MALFORMED");
    let error = client.get_trial_balance_by_value("2026-02-30", None).await;
    assert_eq!(reason(error.expect_err("malformed")), "VALUE_DATE_MALFORMED");
    server.stop().await;
}

pub fn schedule(name: &str) -> FeeSchedule {
    FeeSchedule {
        name: name.to_owned(),
        currency: "GBP".to_owned(),
        account: 4,
        flat: "0.20".to_owned(),
        tiers: vec![FeeTier { above: "0".to_owned(), rate_ppm: 14_000 }],
        max: "5.00".to_owned(),
        ..FeeSchedule::default()
    }
}

pub fn payments() -> FeeTarget {
    let kind = TransferKind::Payment as i32;
    FeeTarget { kind, currency: "GBP".to_owned(), ..FeeTarget::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_quoted_taken_told_and_listed() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let defined = client.define_fee(schedule("card")).await.expect("allowed");
    assert!(defined > 0);
    assert_eq!(client.define_fee(schedule("card")).await.expect("allowed"), 0, "so already");
    client.attach_fee(payments(), "card").await.expect("allowed");
    let quote = |minor: &str| proto::QuoteFeeRequest {
        debit_account: 2,
        kind: TransferKind::Payment as i32,
        amount: minor.to_owned(),
        currency: "GBP".to_owned(),
        ..Default::default()
    };
    let quoted = client.quote_fee(quote("5.00")).await.expect("answered");
    assert_eq!((quoted.name.as_str(), quoted.amount.as_str()), ("card", "0.27"));
    let paid = client.transfer(payment(10, 2, 3, 500)).await.expect("answered");
    let fee = paid.fee.as_deref().expect("told");
    assert_eq!((paid.code(), fee.amount_minor, fee.code()), (Code::Posted, 27, Code::Posted));
    let again = client.transfer(payment(10, 2, 3, 500)).await.expect("answered");
    assert_eq!(again, proto::Outcome { repeat: true, ..paid.clone() });
    // 473 are left: 468 would do, but for their fee.
    let refused = client.transfer(payment(11, 2, 3, 468)).await.expect("answered");
    assert_eq!(refused.code(), Code::FeeRefused);
    assert_eq!(refused.fee.as_deref().expect("told").code(), Code::InsufficientFunds);
    assert!(refused.explanation.contains("0.27 GBP more"), "{}", refused.explanation);
    assert!(refused.explanation.contains("4.73 GBP available"), "{}", refused.explanation);
    let found = client.get_transfers(&[transfer_id(10), transfer_id(11)]).await.expect("answered");
    assert_eq!(found.transfers[0].outcome, Some(again));
    assert_eq!(found.transfers[1].status(), TransferStatus::Failed);
    // On the account's statement, under the transfer's id.
    let page = client.list_entries(account(4), 10, "").await.expect("answered");
    let [entry] = &page.entries[..] else { panic!("one fee") };
    assert_eq!((entry.kind(), entry.transfer_id), (TransferKind::Fee, 10));
    assert_eq!(entry.amount, "0.27");
    let listed = client.list_fees(10, "").await.expect("answered");
    assert_eq!(
        listed.schedules,
        [schedule("card")].map(|s| FeeSchedule {
            tiers: vec![FeeTier { above: "0.00".to_owned(), rate_ppm: 14_000 }],
            ..s
        })
    );
    assert_eq!(listed.attached.len(), 1);
    let audit = client.verify_balances().await.expect("answered");
    assert!(audit.sound, "{audit:?}");
    // In the feed, by what they are.
    let filter = ducat_api::client::EventFilter::default();
    let mut events = client.subscribe(defined, &filter).await.expect("subscribed");
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.extend(events.next().await.expect("they come").events);
    }
    let kinds: Vec<EventKind> = seen.iter().map(proto::Event::kind).collect();
    use EventKind::{Fees, Posted, Refused};
    assert_eq!(kinds, [Fees, Fees, Posted, Posted, Refused, Refused]);
    let legs: Vec<_> = seen.iter().filter_map(|event| event.fee.as_ref()).collect();
    assert_eq!(legs.len(), 2);
    assert_eq!((legs[0].transfer_id, legs[0].amount.as_str()), (10, "0.27"));
    assert_eq!((legs[1].transfer_id, legs[1].code()), (11, Code::InsufficientFunds));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_fee_is_told() {
    let server = Server::funded(4).await;
    let client = &server.client;
    for (schedule, expected) in [
        (FeeSchedule { account: 0, ..schedule("a") }, "ACCOUNT_ID_ZERO"),
        (FeeSchedule { currency: "XXY".into(), ..schedule("a") }, "CURRENCY_UNKNOWN"),
        (FeeSchedule { flat: "0.001".into(), ..schedule("a") }, "AMOUNT_TOO_MANY_DECIMALS"),
        (FeeSchedule { rounding: 4, ..schedule("a") }, "ROUNDING_UNKNOWN"),
        (schedule("Not a name"), "SCHEDULE_MALFORMED"),
        (FeeSchedule { account: 99, ..schedule("a") }, "ACCOUNT_UNKNOWN"),
        (FeeSchedule { account: BANK, ..schedule("a") }, "FEE_NOT_ALLOWED"),
    ] {
        let error = client.define_fee(schedule.clone()).await.expect_err("refused");
        assert_eq!(reason(error), expected, "{schedule:?}");
    }
    let own = FeeTarget { account: 2, ..FeeTarget::default() };
    for (target, expected) in [
        (FeeTarget { currency: "GBP".into(), ..own.clone() }, "TARGET_TWICE"),
        (FeeTarget { kind: 9, ..payments() }, "KIND_UNKNOWN"),
        (own.clone(), "SCHEDULE_UNKNOWN"),
    ] {
        let error = client.attach_fee(target.clone(), "card").await.expect_err("refused");
        assert_eq!(reason(error), expected, "{target:?}");
    }
    // A balanced transfer does not get around the fee of its account.
    client.define_fee(schedule("card")).await.expect("allowed");
    client.attach_fee(own, "card").await.expect("allowed");
    let balancing =
        proto::Balancing { debit: proto::DebitCap::Available as i32, ..Default::default() };
    let terms = proto::Terms { balancing: Some(balancing), ..Default::default() };
    let balanced = TransferRequest { terms: Some(Box::new(terms)), ..payment(10, 2, 3, 500) };
    assert_eq!(code(&server, balanced).await, Code::FeeOnBalanced);
}
