//! Operations on holds through the batching client: single calls gathered with transfers, and
//! each done once, whatever is sent again.

use crate::support::{BANK, Server, account, transfer, transfer_id};
use crate::{batching, patient};
use ducat_api::proto::{Code, HoldState, TransferRequest};
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_holds_live_their_lives_at_once() {
    let server = Server::start().await;
    server.open(3).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let funded = client.transfer(transfer(1, BANK, 2, 1_000_000)).await.expect("answered");
    assert!(funded.is_posted());
    let mut lives = JoinSet::new();
    for n in 0..500_u64 {
        let client = client.clone();
        lives.spawn(async move {
            let first = 1_000 + n * 10;
            let id = |step| transfer_id(first + step);
            let hour = Some(Duration::from_secs(3_600));
            let hold = TransferRequest::hold(id(0), account(2), account(3), 100, hour);
            let placed = client.hold(hold.clone()).await.expect("answered");
            assert_eq!(placed.code(), Code::Posted);
            let part = client.capture(id(1), id(0), NonZeroU64::new(30)).await.expect("answered");
            let told = part.hold.as_ref().expect("told");
            assert_eq!((told.captured_minor, told.remaining_minor), (30, 70));
            let longer = client.extend(id(2), id(0), None).await.expect("answered");
            assert_eq!(longer.hold.expect("told").expires_ns, u64::MAX);
            // Sent again, as after an answer that was lost.
            let again = client.capture(id(1), id(0), NonZeroU64::new(30)).await.expect("answered");
            assert!(again.repeat && again.lsn == part.lsn && again.hold == part.hold);
            let last = match n % 2 {
                0 => client.void(id(3), id(0)).await.expect("answered"),
                _ => client.capture(id(3), id(0), None).await.expect("answered"),
            };
            let state = if n % 2 == 0 { HoldState::Voided } else { HoldState::Captured };
            assert_eq!(last.hold.expect("told").state(), state);
            let late = client.void(id(4), id(0)).await.expect("answered");
            let code = if n % 2 == 0 { Code::HoldVoided } else { Code::HoldCaptured };
            assert_eq!(late.code(), code);
            assert!(client.hold(hold).await.expect("answered").repeat);
        });
    }
    while let Some(life) = lives.join_next().await {
        life.expect("no panic");
    }
    let found = server.client.get_accounts(&[account(2), account(3)]).await.expect("answered");
    let figures: Vec<_> =
        found.accounts.iter().map(|a| (a.posted.as_str(), a.held.as_str())).collect();
    // 500 times 30, and 250 times 70.
    assert_eq!(figures, [("9675.00", "0.00"), ("325.00", "0.00")]);
    let holds: Vec<_> = (0..100).map(|n| transfer_id(1_000 + n * 10)).collect();
    let found = server.client.get_holds(&holds).await.expect("answered");
    assert!(found.holds.iter().all(|hold| hold.state() != HoldState::Open));
    assert_eq!(found.holds.len(), 100);
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_through_the_batching_client_mixes_holds_and_transfers() {
    let server = Server::start().await;
    server.open(3).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let id = transfer_id;
    let group = vec![
        transfer(1, BANK, 2, 500),
        TransferRequest::hold(id(2), account(2), account(3), 500, None),
        TransferRequest::capture(id(3), id(2), None),
    ];
    let outcomes = client.transfer_group(group).await.expect("answered");
    assert!(outcomes.iter().all(|outcome| outcome.is_posted()));
    let wrong = TransferRequest { amount_minor: 5, ..TransferRequest::void(id(4), id(2)) };
    let error = client.transfer(wrong).await.expect_err("malformed");
    assert_eq!(error.reason(), Some("FIELD_NOT_OF_OPERATION"));
    assert_eq!(client.statistics().transfers_sent, 3, "refused before it was sent");
    client.close().await;
    server.stop().await;
}
