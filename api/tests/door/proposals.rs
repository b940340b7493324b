//! Many proposals, as large as one may be: listed in pages that whoever looks can hold.

use crate::second::{Bank, adjustment};
use ducat_api::proto::approvals_client::ApprovalsClient;
use ducat_api::proto::{ListProposalsRequest, ListProposalsResponse, Note, TransferRequest};
use prost::Message as _;
use std::collections::BTreeSet;
use tonic::Status;
use tonic_types::StatusExt as _;

/// Transfers of a proposal, each with as long a description as there may be: near 64 KiB in all.
const TRANSFERS: u64 = 200;

/// Proposals of each of two persons: several times what a client of gRPC takes in one answer.
const EACH: u64 = 50;

/// What clients of gRPC take by default, bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

fn batch(of: u64) -> Vec<TransferRequest> {
    let transfers = (0..TRANSFERS).map(|n| TransferRequest {
        note: Some(Box::new(Note { description: "d".repeat(256), ..Note::default() })),
        ..adjustment(1 + of * TRANSFERS + n, 1_000)
    });
    transfers.collect()
}

async fn page(
    client: &ducat_api::client::Client,
    page_size: u32,
    after: &str,
) -> Result<ListProposalsResponse, Status> {
    // As it is made by default: what it does not take is an error here.
    let mut approvals = ApprovalsClient::new(client.connection());
    let request = ListProposalsRequest { page_size, after: after.to_owned() };
    approvals.list_proposals(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_proposals_are_listed_in_pages_that_a_client_takes() {
    let bank = Bank::with_two_persons().await;
    for (at, name) in ["root", "anna"].into_iter().enumerate() {
        let client = bank.with_session(name, &["admin"]).await;
        for n in 0..EACH {
            let refused = client.create_transfers(batch(at as u64 * EACH + n)).await;
            let refused = refused.expect_err("too much for one");
            assert_eq!(refused.reason(), Some("TWO_PERSONS_NEEDED"));
        }
    }
    let auditor = bank.client("ann", &["auditor"]).await;
    for page_size in [0, 7, 512] {
        let (mut all, mut after, mut bytes) = (Vec::new(), String::new(), 0);
        loop {
            let found = page(&auditor, page_size, &after).await.expect("granted");
            assert!(found.encoded_len() < MESSAGE_BYTES_MAX / 2);
            assert!(page_size == 0 || found.proposals.len() <= page_size as usize);
            bytes += found.encoded_len();
            all.extend(found.proposals.into_iter().map(|proposal| proposal.id));
            after = found.next;
            if after.is_empty() {
                break;
            }
        }
        assert!(bytes > MESSAGE_BYTES_MAX, "no page holds them: {bytes}");
        assert_eq!(all.len() as u64, 2 * EACH);
        assert!(all.is_sorted(), "the oldest first");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each once");
    }
    for (page_size, after, reason) in [(513, "", "PAGE_SIZE"), (0, "none", "PROPOSAL_ID")] {
        let refused = page(&auditor, page_size, after).await.expect_err("malformed");
        let details = refused.get_error_details();
        let told = details.error_info().map_or("", |info| &info.reason);
        let violated = details.bad_request().is_some_and(|bad| !bad.field_violations.is_empty());
        assert!(told == reason || violated, "{refused:?}");
    }
}
