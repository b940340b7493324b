//! Dry runs: of requests by themselves, in batches and on streams, of accounts; and requests
//! explained.

use crate::support::{BANK, Server, account, codes, transfer, transfer_id};
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, Code, NewAccount, Outcome, TransferRequest};
use ducat_engine::ids::Lsn;
use std::num::NonZeroU64;

fn linked(request: TransferRequest) -> TransferRequest {
    TransferRequest { linked: true, ..request }
}

/// Everything that can be asked under an id, some of it to be refused.
fn mixed() -> Vec<TransferRequest> {
    let id = transfer_id;
    let hold = TransferRequest::hold(id(12), account(2), account(3), 200, None);
    vec![
        transfer(10, 2, 3, 300),
        transfer(11, 3, 4, 500),
        hold,
        TransferRequest::capture(id(13), id(12), None),
        TransferRequest::refund(id(14), id(1), 100),
        TransferRequest::refund(id(15), id(10), 250),
        TransferRequest::reverse(id(16), id(10)),
        linked(transfer(17, 2, 4, 50)),
        transfer(18, 4, 3, 60),
        transfer(1, BANK, 2, 1_000),
        transfer(1, BANK, 2, 999),
        TransferRequest::void(id(19), id(99)),
    ]
}

/// What does not depend on whether it was meant.
fn told(outcome: &Outcome) -> Outcome {
    let mut told = Outcome { lsn: 0, time_ns: 0, dry_run: false, ..outcome.clone() };
    if let Some(refund) = &mut told.refund {
        refund.original_lsn = 0;
    }
    if let Some(terms) = &mut told.terms {
        (terms.debit_version, terms.credit_version) = (0, 0);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_told_what_would_become_of_it_and_then_becomes_that() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let before = client.get_status(true).await.expect("answered");
    let dry = client.dry_run(mixed()).await.expect("well-formed");
    let again = client.dry_run(mixed()).await.expect("well-formed");
    let after = client.get_status(true).await.expect("answered");
    assert_eq!((&before.state_hash, before.last_lsn), (&after.state_hash, after.last_lsn));
    assert_eq!(before.remembered_ids, after.remembered_ids);
    for (one, other) in dry.iter().zip(&again) {
        assert_eq!(told(one), told(other));
        assert!(one.dry_run && one.lsn <= before.last_lsn, "{one:?}");
    }
    assert!(dry[9].repeat && dry[9].lsn < before.last_lsn.max(6) + 1);
    let real = client.create_transfers(mixed()).await.expect("well-formed");
    assert_eq!(dry.iter().map(told).collect::<Vec<_>>(), real.iter().map(told).collect::<Vec<_>>());
    assert!(real.iter().all(|outcome| !outcome.dry_run));
    let refused = codes(&real).into_iter().filter(|code| *code != Code::Posted).count();
    assert!(refused >= 4, "{real:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_request_and_a_batch_on_a_stream_are_tried_as_well() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let request = TransferRequest { dry_run: true, ..transfer(10, 2, 3, 400) };
    let dry = client.transfer(request.clone()).await.expect("answered");
    assert!(dry.dry_run && dry.is_posted());
    assert_eq!(dry.credit.as_ref().map(|balance| balance.posted_minor), Some(400));
    let mut raw = LedgerClient::new(server.channel().await);
    let batch = |tag, transfers, dry_run| proto::StreamTransfersRequest {
        tag,
        transfers,
        timeout_ms: 0,
        dry_run,
    };
    let batches = vec![
        batch(1, vec![transfer(11, 2, 3, 700)], false),
        batch(2, vec![transfer(12, 2, 3, 700)], true),
        batch(3, vec![transfer(13, 2, 3, 300)], false),
    ];
    let answers = raw.stream_transfers(tokio_stream::iter(batches)).await.expect("a stream");
    let mut answers = answers.into_inner();
    for (tag, dry_run) in [(1, false), (2, true), (3, false)] {
        let answer = answers.message().await.expect("answered").expect("one more");
        assert_eq!((answer.tag, answer.outcomes[0].dry_run), (tag, dry_run));
        let refused = answer.outcomes[0].code() == Code::InsufficientFunds;
        assert_eq!(refused, dry_run, "{answer:?}");
    }
    // In a batch a request has no dry run of its own.
    let refused = client.create_transfers(vec![transfer(20, 2, 3, 1), request]).await;
    let refused = refused.expect_err("malformed");
    assert_eq!(refused.reason(), Some("DRY_RUN_IN_BATCH"), "{refused:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_tried_and_left_as_they_are() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let before = client.get_status(true).await.expect("answered");
    let (new, other) = (NewAccount::new(account(9), "GBP", false), "EUR");
    let openings = vec![
        new.clone(),
        new,
        NewAccount::new(account(9), other, false),
        NewAccount::new(account(2), "GBP", false),
    ];
    let results = client.dry_run_accounts(openings).await.expect("well-formed");
    use proto::account_result::Code::{Exists, ExistsDifferent, Opened};
    let codes: Vec<_> = results.iter().map(proto::AccountResult::code).collect();
    assert_eq!(codes, [Opened, Exists, ExistsDifferent, Exists]);
    assert_eq!((results[0].lsn, results[3].lsn), (0, 2));

    let mut raw = LedgerClient::new(server.channel().await);
    let limits = |floor: &str| proto::SetAccountLimitsRequest {
        id: 2,
        floor: Some(floor.to_owned()),
        dry_run: true,
        ..Default::default()
    };
    let answer = raw.set_account_limits(limits("5.00")).await.expect("answered").into_inner();
    assert_eq!(answer.account.as_ref().map(|account| &account.floor[..]), Some("5.00"));
    assert_eq!(answer.dry_run_lsn, before.last_lsn);
    let status = raw.set_account_limits(limits("10.01")).await.expect_err("outside");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let close = proto::SetAccountStatusRequest {
        id: 2,
        status: proto::AccountStatus::Closed as i32,
        dry_run: true,
        ..Default::default()
    };
    let status = raw.set_account_status(close.clone()).await.expect_err("not empty");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let close = proto::SetAccountStatusRequest { id: 3, ..close };
    let answer = raw.set_account_status(close).await.expect("answered").into_inner();
    assert_eq!(answer.account.map(|a| a.status()), Some(proto::AccountStatus::Closed));
    let label = proto::UpdateAccountRequest {
        id: 3,
        label: Some("savings".to_owned()),
        dry_run: true,
        ..Default::default()
    };
    let answer = raw.update_account(label).await.expect("answered").into_inner();
    assert_eq!(answer.account.map(|account| account.label).as_deref(), Some("savings"));
    let asset = proto::DefineAssetRequest { code: "POINTS".to_owned(), digits: 0, dry_run: true };
    let answer = raw.define_asset(asset).await.expect("answered").into_inner();
    assert!(answer.created && answer.dry_run);

    let after = client.get_status(true).await.expect("answered");
    assert_eq!((before.state_hash, before.last_lsn), (after.state_hash, after.last_lsn));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_with_the_figures_of_its_moment() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let hold = TransferRequest::hold(transfer_id(10), account(2), account(3), 400, None);
    client.transfer(hold).await.expect("answered");
    let refused = client.transfer(transfer(11, 2, 3, 700)).await.expect("answered");
    assert_eq!(refused.code(), Code::InsufficientFunds);
    // What happens later has no say in it.
    let mut raw = LedgerClient::new(server.channel().await);
    let limits = proto::SetAccountLimitsRequest {
        id: 2,
        overdraft_limit: Some("50.00".to_owned()),
        ..Default::default()
    };
    raw.set_account_limits(limits).await.expect("answered");
    client.void(transfer_id(12), transfer_id(10)).await.expect("answered");
    for request in [
        proto::ExplainRequest { id: 11, ..Default::default() },
        proto::ExplainRequest { lsn: refused.lsn, ..Default::default() },
    ] {
        let answer = raw.explain(request).await.expect("known").into_inner();
        let record = answer.record.as_ref().expect("a record");
        let outcome = record.outcome.clone().expect("an outcome");
        assert_eq!(told(&outcome), told(&refused));
        let debit = answer.debit.expect("told");
        assert_eq!((&debit.posted[..], &debit.held[..]), ("10.00", "4.00"));
        assert_eq!((&debit.available[..], &debit.overdraft_limit[..]), ("6.00", "0.00"));
        assert_eq!(debit.status(), proto::AccountStatus::Active);
    }
    let later = client.transfer(transfer(13, 2, 3, 9_000)).await.expect("answered");
    let request = proto::ExplainRequest { lsn: later.lsn, ..Default::default() };
    let debit = raw.explain(request).await.expect("known").into_inner().debit.expect("told");
    assert_eq!((&debit.held[..], &debit.overdraft_limit[..]), ("0.00", "50.00"));
    for request in [
        proto::ExplainRequest { id: 99, ..Default::default() },
        proto::ExplainRequest { id: 11, lsn: later.lsn, ..Default::default() },
        proto::ExplainRequest { lsn: 1, ..Default::default() },
        proto::ExplainRequest { lsn: later.lsn + 1, ..Default::default() },
    ] {
        let status = raw.explain(request).await.expect_err("unknown");
        assert_eq!(status.code(), tonic::Code::NotFound);
    }
    let status = raw.explain(proto::ExplainRequest::default()).await.expect_err("nothing named");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    server.stop().await;
}

/// Posted or refused, by id or by place, of a capture what its hold is for; a void is for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_what_a_transfer_was_for() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let note = |reference: &str, value_date: &str| {
        let (reference, value_date) = (reference.to_owned(), value_date.to_owned());
        let description = "two chairs".to_owned();
        Some(Box::new(proto::Note { reference, description, value_date }))
    };
    let kind = |kind: proto::TransferKind| kind as i32;
    let payment = kind(proto::TransferKind::Payment);
    let posted = TransferRequest {
        kind: payment,
        note: note("INV-1", "2026-01-31"),
        ..transfer(11, 2, 3, 100)
    };
    let refused = TransferRequest { note: note("INV-2", ""), ..transfer(12, 2, 3, 900_000) };
    let hold = TransferRequest::hold(transfer_id(13), account(2), account(1), 400, None);
    let hold = TransferRequest { kind: kind(proto::TransferKind::Withdrawal), ..hold };
    let capture = TransferRequest::capture(transfer_id(14), transfer_id(13), NonZeroU64::new(100));
    let capture = TransferRequest { note: note("CAP", "2026-02-01"), ..capture };
    let refund = TransferRequest::refund(transfer_id(15), transfer_id(11), 50);
    let void = TransferRequest::void(transfer_id(16), transfer_id(13));
    let mut lsns = Vec::new();
    for request in [posted, refused, hold, capture, refund, void] {
        lsns.push(client.transfer(request).await.expect("answered").lsn);
    }
    for ((id, lsn), (expected, reference, value_date)) in (11..).zip(lsns).zip([
        (Some(payment), "INV-1", Some("2026-01-31")),
        (Some(kind(proto::TransferKind::Transfer)), "INV-2", None),
        (Some(kind(proto::TransferKind::Withdrawal)), "", None),
        (Some(kind(proto::TransferKind::Withdrawal)), "CAP", Some("2026-02-01")),
        (Some(kind(proto::TransferKind::Refund)), "", None),
        (None, "", Some("")),
    ]) {
        for (id_asked, lsn) in [(Some(transfer_id(id)), None), (None, Some(Lsn(lsn)))] {
            let answer = client.explain(id_asked, lsn).await.expect("known");
            assert_eq!(answer.kind, expected, "{id}");
            let record = answer.record.expect("a record");
            let said = record.transfer.expect("a request").note.unwrap_or_default();
            assert_eq!(said.reference, reference, "{id}");
            assert_eq!(said.description, if reference.is_empty() { "" } else { "two chairs" });
            let decided = ducat_engine::note::Day::of_time(record.outcome.expect("told").time_ns);
            let today = ducat_api::day::text(decided);
            assert_eq!(answer.value_date, value_date.unwrap_or(&today), "{id}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balanced_transfer_tells_what_was_needed_and_not_its_minimum() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let balanced = |id, amount, balancing| TransferRequest {
        terms: Some(Box::new(proto::Terms { balancing: Some(balancing), ..Default::default() })),
        ..transfer(id, 2, 3, amount)
    };
    // Capped by what the credit account takes: the debit account must have all of it.
    let room = proto::Balancing { credit: proto::CreditCap::Room as i32, ..Default::default() };
    let outcome = client.transfer(balanced(10, 5_000, room)).await.expect("answered");
    assert_eq!(outcome.code(), Code::InsufficientFunds);
    assert!(outcome.explanation.contains("up to 50.00 GBP needed"), "{}", outcome.explanation);
    // Capped by what the debit account has: it was refused for the least.
    let least = proto::Balancing {
        debit: proto::DebitCap::Available as i32,
        min_minor: Some(2_000),
        ..Default::default()
    };
    let outcome = client.transfer(balanced(11, 5_000, least)).await.expect("answered");
    assert_eq!(outcome.code(), Code::InsufficientFunds);
    assert!(outcome.explanation.contains("available, 20.00 GBP needed"), "{}", outcome.explanation);
    server.stop().await;
}
