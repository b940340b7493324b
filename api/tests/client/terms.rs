//! Terms through the batching client: single calls gathered into batches, each judged at its
//! place.

use crate::support::{BANK, Server, account, transfer};
use crate::{batching, patient};
use ducat_api::proto::{AccountTerms, Balancing, Code, DebitCap, Terms, TransferRequest};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn many_who_take_what_is_there_get_no_more_than_there_is() {
    let server = Server::start().await;
    server.open(4).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let funded = client.transfer(transfer(1, BANK, 2, 1_000)).await.expect("answered");
    let version = funded.lsn;
    let balancing = Balancing { debit: DebitCap::Available.into(), ..Balancing::default() };
    let all = Terms { balancing: Some(balancing), ..Terms::default() };
    let locked = AccountTerms { version, ..AccountTerms::default() };
    let locked = Terms { debit: Some(locked), ..Terms::default() };
    let mut calls = JoinSet::new();
    for n in 0..400_u64 {
        // A few who want it as they saw it; the first of all calls decides whether one gets it.
        let (terms, minor) = if n % 8 == 7 { (&locked, 1) } else { (&all, 3) };
        let terms = Some(Box::new(terms.clone()));
        let request = TransferRequest { terms, ..transfer(100 + n, 2, 3 + n % 2, minor) };
        let client = client.clone();
        calls.spawn(async move {
            let outcome = client.transfer(request.clone()).await.expect("answered");
            let again = client.transfer(request).await.expect("answered");
            assert!(again.repeat && again.terms == outcome.terms);
            outcome
        });
    }
    let outcomes = calls.join_all().await;
    let moved: u64 = outcomes.iter().map(|o| o.terms.as_ref().expect("told").moved_minor).sum();
    assert_eq!(moved, 1_000);
    let versions = outcomes.iter().filter(|o| o.code() == Code::DebitAccountVersion).count();
    assert!(versions >= 49, "{versions}");
    let found = server.client.get_accounts(&[account(2)]).await.expect("answered");
    assert_eq!(found.accounts[0].posted, "0.00");
    // What is wrong for any server is told without asking one.
    let empty = TransferRequest { terms: Some(Box::default()), ..transfer(900, 2, 3, 1) };
    let error = client.transfer(empty).await.expect_err("refused");
    assert_eq!(error.reason(), Some("TERMS_EMPTY"));
    client.close().await;
    server.stop().await;
}
