//! Terms over the wire: what was moved is told, refusals say what was expected and found, repeats
//! and reads tell the same, and a thousand legs are one group.

use crate::support::{BANK, Server, account, codes, transfer, transfer_id};
use ducat_api::payments::{Amount, Payment, Source};
use ducat_api::proto::{
    self, AccountTerms, Balancing, Code, CreditCap, DebitCap, Range, Terms, TransferKind,
    TransferRequest,
};
use std::num::NonZeroU64;

fn with(request: TransferRequest, terms: Terms) -> TransferRequest {
    TransferRequest { terms: Some(Box::new(terms)), ..request }
}

fn up_to(request: TransferRequest, debit: DebitCap, credit: CreditCap) -> TransferRequest {
    let balancing =
        Balancing { debit: debit.into(), credit: credit.into(), ..Balancing::default() };
    with(request, Terms { balancing: Some(balancing), ..Terms::default() })
}

fn debit(request: TransferRequest, debit: AccountTerms) -> TransferRequest {
    with(request, Terms { debit: Some(debit), ..Terms::default() })
}

fn told(outcome: &proto::Outcome) -> &proto::TermsOutcome {
    outcome.terms.as_ref().unwrap_or_else(|| panic!("nothing of terms in {outcome:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_balanced_transfer_moved_is_told_each_time() {
    let server = Server::funded(5).await;
    let all = up_to(transfer(2, 2, 3, 5_000), DebitCap::Available, CreditCap::None);
    let first = server.client.transfer(all.clone()).await.expect("answered");
    assert_eq!((first.code(), told(&first).moved_minor), (Code::Posted, 1_000));
    assert_eq!(told(&first).debit_version, first.lsn);
    let again = server.client.transfer(all).await.expect("answered");
    assert!(again.repeat);
    assert_eq!(again.terms, first.terms);
    // Read back: what was asked, and what was moved.
    let found = server.client.get_transfers(&[transfer_id(2)]).await.expect("answered");
    let record = &found.transfers[0];
    let asked = record.transfer.as_ref().expect("there");
    assert_eq!(asked.amount_minor, 5_000);
    let balancing = asked.terms.as_ref().and_then(|terms| terms.balancing.as_ref());
    assert_eq!(balancing.expect("there").debit(), DebitCap::Available);
    assert_eq!(record.outcome.as_ref().expect("there").terms, first.terms);
    let poor = up_to(transfer(3, 2, 3, 5_000), DebitCap::Balance, CreditCap::Room);
    let poor = server.client.transfer(poor).await.expect("answered");
    assert_eq!(poor.code(), Code::InsufficientFunds);
    assert_eq!(
        poor.explanation,
        "account 2 has 0.00 GBP available, 0.01 GBP needed (posted 0.00, overdraft limit less \
         what is on hold 0.00)"
    );
    assert_eq!(told(&poor).moved_minor, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_was_expected_and_what_was_found() {
    let server = Server::funded(5).await;
    let found = server.client.get_accounts(&[account(2)]).await.expect("answered");
    let version = found.accounts[0].version;
    assert_eq!(version, found.accounts[0].last_lsn);
    let locked =
        |id| debit(transfer(id, 2, 3, 100), AccountTerms { version, ..Default::default() });
    let won = server.client.transfer(locked(2)).await.expect("answered");
    assert!(won.is_posted());
    let late = server.client.transfer(locked(3)).await.expect("answered");
    assert_eq!(late.code(), Code::DebitAccountVersion);
    let now = won.lsn;
    let expected = format!("account 2 is at version {now}, expected was {version}");
    assert_eq!((&late.explanation, told(&late).debit_version), (&expected, now));
    let again = server.client.transfer(locked(3)).await.expect("answered");
    assert_eq!((again.repeat, &again.explanation), (true, &expected));
    let keep = Range { at_least: "8.50".into(), ..Range::default() };
    let keep = AccountTerms { available: Some(keep), ..AccountTerms::default() };
    let request = TransferRequest { currency: "GBP".into(), ..transfer(4, 2, 3, 51) };
    let refused = server.client.transfer(debit(request, keep)).await.expect("answered");
    assert_eq!(refused.code(), Code::DebitAccountCondition);
    assert_eq!(
        refused.explanation,
        "account 2 would not have at least 8.50 GBP available after it: it has 9.00 GBP posted, \
         9.00 GBP available"
    );
    let owes = up_to(transfer(5, 2, 3, 51), DebitCap::None, CreditCap::Debt);
    let refused = server.client.transfer(owes).await.expect("answered");
    assert_eq!(refused.code(), Code::CreditAccountOwesLess);
    assert_eq!(refused.explanation, "account 3, which holds 1.00 GBP, owes less than 0.01 GBP");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_pay_in_order_or_not_at_all() {
    let server = Server::funded(5).await;
    let funds = server.client.transfer(transfer(2, BANK, 3, 300)).await.expect("answered");
    assert!(funds.is_posted());
    let source = |id, most: Option<u64>| Source {
        account: account(id),
        most: most.map(Amount::Minor),
        cap: DebitCap::Available,
    };
    let pay = |id: u64, total| {
        let kind = TransferKind::Transfer;
        let payment = Payment { id: transfer_id(id), currency: String::new(), kind };
        let sources = [source(3, None), source(4, None), source(2, Some(500))];
        payment.from_sources(account(5), &Amount::Minor(total), &sources).expect("three legs")
    };
    let outcomes = server.client.create_transfers(pay(10, 700)).await.expect("answered");
    let moved: Vec<u64> = outcomes.iter().map(|outcome| told(outcome).moved_minor).collect();
    assert_eq!((codes(&outcomes), moved), (vec![Code::Posted; 3], vec![300, 0, 400]));
    let outcomes = server.client.create_transfers(pay(20, 501)).await.expect("answered");
    let expected = [Code::LinkedFailed, Code::LinkedFailed, Code::SourcesFallShort];
    assert_eq!(codes(&outcomes), expected);
    assert_eq!(
        outcomes[2].explanation,
        "the sources up to account 2 together give less than 5.01 GBP"
    );
    let again = server.client.create_transfers(pay(10, 700)).await.expect("answered");
    assert!(again.iter().all(|outcome| outcome.repeat && outcome.is_posted()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_legs_of_all_kinds_are_one_group() {
    let server = Server::funded(5).await;
    let leg = |first: u64, at: u64| {
        let id = first + at;
        let request = match at % 4 {
            0 => TransferRequest::hold(transfer_id(id), account(2), account(3), 2, None),
            1 => TransferRequest::capture(transfer_id(id), transfer_id(id - 1), NonZeroU64::new(1)),
            2 => TransferRequest::void(transfer_id(id), transfer_id(id - 2)),
            _ => up_to(transfer(id, 3, 4, 9), DebitCap::Available, CreditCap::None),
        };
        TransferRequest { linked: at < 999, ..request }
    };
    let group: Vec<_> = (0..1_000).map(|at| leg(10_000, at)).collect();
    let outcomes = server.client.create_transfers(group).await.expect("answered");
    assert_eq!(codes(&outcomes), vec![Code::Posted; 1_000]);
    let mut group: Vec<_> = (0..1_000).map(|at| leg(20_000, at)).collect();
    group[999] = transfer(20_999, 3, 4, 1_000_000);
    let outcomes = server.client.create_transfers(group).await.expect("answered");
    assert_eq!(outcomes[999].code(), Code::InsufficientFunds);
    assert_eq!(codes(&outcomes[..999]), vec![Code::LinkedFailed; 999]);
    let found = server.client.get_accounts(&[account(2), account(4)]).await.expect("answered");
    let figures: Vec<_> = found.accounts.iter().map(|a| (&*a.posted, &*a.held)).collect();
    assert_eq!(figures, [("7.50", "0.00"), ("2.50", "0.00")]);
    server.stop().await;
}
