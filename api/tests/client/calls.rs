//! Callers get their own outcomes, messages gather by themselves, a wrong transfer is its
//! caller's alone, groups stay together.

use crate::support::{BANK, Server, transfer, transfer_id};
use crate::{batching, patient};
use ducat_api::client::{BatchingClient, BatchingOptions, ClientError};
use ducat_api::proto::{Code, Outcome, TransferRequest};
use tokio::task::JoinSet;
use tonic::Code as Grpc;

/// Calls all at once, and gives the answers back in the order of the transfers.
async fn all_at_once(
    client: &BatchingClient,
    transfers: Vec<TransferRequest>,
) -> Vec<Result<Outcome, ClientError>> {
    let mut calls = JoinSet::new();
    for (index, transfer) in transfers.into_iter().enumerate() {
        let client = client.clone();
        calls.spawn(async move { (index, client.transfer(transfer).await) });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_callers_get_their_own_outcomes_in_few_messages() {
    let server = Server::start().await;
    server.open(1000).await;
    let client = batching(&server.address.to_string(), patient()).await;
    // Every third asks an empty account for its number.
    let asked = |id: u64| {
        let account = 2 + id % 900;
        match id % 3 {
            0 => transfer(id, 902 + id % 90, account, id),
            _ => transfer(id, BANK, account, id),
        }
    };
    let answers = all_at_once(&client, (1..=6000).map(asked).collect()).await;
    for (id, answer) in (1u64..).zip(answers) {
        let outcome = answer.expect("answered");
        assert_eq!((outcome.id, outcome.repeat), (id, false));
        let expected = if id % 3 == 0 { Code::InsufficientFunds } else { Code::Posted };
        assert_eq!(outcome.code(), expected, "{outcome:?}");
        if outcome.code() == Code::InsufficientFunds {
            let needed = format!("{}.{:02} GBP needed", id / 100, id % 100);
            assert!(outcome.explanation.contains(&needed), "{}", outcome.explanation);
        }
    }
    let statistics = client.statistics();
    assert_eq!((statistics.transfers_sent, statistics.transfers_answered), (6000, 6000));
    assert!(statistics.messages < 1500, "{statistics:?}");
    assert_eq!((statistics.streams, statistics.transfers_put_back), (1, 0));
    let status = server.client.get_status(false).await.expect("answered");
    assert_eq!(status.posted + status.refused, 6000);
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_lone_transfer_is_not_held_back() {
    let server = Server::start().await;
    server.open(2).await;
    let client = batching(&server.address.to_string(), patient()).await;
    for id in 1..=20 {
        assert!(client.transfer(transfer(id, BANK, 2, 1)).await.expect("answered").is_posted());
        assert_eq!(client.statistics().messages, id, "a message of its own, at once");
    }
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_transfer_fails_its_own_call_alone() {
    let server = Server::start().await;
    server.open(2).await;
    let client = batching(&server.address.to_string(), patient()).await;
    // Assets are the server's to know: more wrong ones than a refusal lists.
    let asked = |id: u64| match id % 3 {
        0 => TransferRequest { currency: "NOPE".into(), ..transfer(id, BANK, 2, 1) },
        1 => TransferRequest { currency: "GBP".into(), ..transfer(id, BANK, 2, 1) },
        _ => transfer(id, BANK, 2, 1),
    };
    let answers = all_at_once(&client, (1..=1200).map(asked).collect()).await;
    for (id, answer) in (1u64..).zip(answers) {
        if id % 3 != 0 {
            assert!(answer.expect("well-formed").is_posted());
            continue;
        }
        let error = answer.expect_err("no such asset");
        let ClientError::Refused(refused) = &error else { panic!("{error:?}") };
        assert_eq!(refused.code, Grpc::InvalidArgument);
        assert_eq!(refused.reason, "CURRENCY_UNKNOWN");
        assert_eq!(refused.violations.len(), 1, "{refused:?}");
        assert_eq!(refused.violations[0].field, "currency");
        assert!(!error.is_in_doubt() && !error.is_retryable());
    }
    let status = server.client.get_status(false).await.expect("answered");
    assert_eq!((status.posted, status.refused, status.repeats), (800, 0, 0));

    let sent = client.statistics().transfers_sent;
    let wrong = TransferRequest { id: 0, ..transfer(1, BANK, 2, 1) };
    let error = client.transfer(wrong).await.expect_err("no id");
    assert_eq!(error.reason(), Some("TRANSFER_ID_ZERO"));
    assert_eq!(client.statistics().transfers_sent, sent, "refused before it was sent");
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_outcome() {
    let server = Server::start().await;
    server.open(2).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let answers = all_at_once(&client, vec![transfer(7, BANK, 2, 5); 100]).await;
    let outcomes: Vec<_> = answers.into_iter().map(|a| a.expect("answered")).collect();
    assert_eq!(outcomes.iter().filter(|o| !o.repeat).count(), 1);
    assert!(outcomes.iter().all(|o| o.is_posted() && o.lsn == outcomes[0].lsn));
    let other = client.transfer(transfer(7, BANK, 2, 6)).await.expect("answered");
    assert_eq!(other.code(), Code::IdReused);
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_stays_together() {
    let server = Server::start().await;
    server.open(300).await;
    let options = BatchingOptions { message_transfers_max: 10, ..patient() };
    let client = batching(&server.address.to_string(), options).await;
    let mut groups = JoinSet::new();
    for number in 0..200u64 {
        let (client, first, account) = (client.clone(), number * 100 + 1, 2 + number);
        groups.spawn(async move {
            // Money goes from member to member; in every fourth group the last asks too much.
            let mut group = vec![transfer(first, BANK, account, 20)];
            let size = 2 + number % 11;
            let wrong = number % 4 == 0;
            for id in first + 1..first + size {
                let much = u64::from(wrong && id == first + size - 1);
                group.push(transfer(id, account, 299, 1 + 1000 * much));
            }
            let single = transfer(first + 50, BANK, 300, 1);
            let (outcomes, single) =
                tokio::join!(client.transfer_group(group.clone()), client.transfer(single));
            assert!(single.expect("answered").is_posted());
            (group, wrong, outcomes.expect("answered"))
        });
    }
    for (group, wrong, outcomes) in groups.join_all().await {
        assert!(
            outcomes.iter().zip(&group).all(|(o, t)| o.transfer_id() == Some(transfer_id(t.id)))
        );
        assert!(outcomes.iter().all(|o| o.is_posted() != wrong), "{outcomes:?}");
        let follows = |pair: &[Outcome]| pair[1].lsn == pair[0].lsn + 1;
        assert!(outcomes.windows(2).all(follows), "something came between: {outcomes:?}");
    }
    let largest = client.statistics().message_transfers_max;
    assert!((2..=12).contains(&largest), "only a larger group makes a larger message: {largest}");
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_group_names_its_member_and_an_empty_one_is_refused() {
    let server = Server::start().await;
    server.open(2).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let wrong = TransferRequest { currency: "NOPE".into(), ..transfer(2, BANK, 2, 1) };
    let group = vec![transfer(1, BANK, 2, 1), wrong, transfer(3, BANK, 2, 1)];
    let error = client.transfer_group(group).await.expect_err("no such asset");
    let ClientError::Refused(refused) = &error else { panic!("{error:?}") };
    assert_eq!(refused.violations[0].field, "transfers[1].currency");
    let error = client.transfer_group(Vec::new()).await.expect_err("empty");
    assert_eq!(error.reason(), Some("BATCH_SIZE"));
    assert_eq!(server.client.get_status(false).await.expect("answered").posted, 0);
    client.close().await;
    server.stop().await;
}
