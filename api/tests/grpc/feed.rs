//! `Subscribe` over a real connection: what travels, what is refused, how it ends.

use crate::support::{BANK, Server, account, deposits, transfer};
use ducat_actors::handle::EngineOptions;
use ducat_api::budget::Budget;
use ducat_api::client::{ClientError, EventFilter, EventStream};
use ducat_api::proto::account_event::Event as Happened;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, AccountStatus, Code, EventKind, SubscribeRequest};
use ducat_api::server::{Drained, ServerOptions};
use ducat_api::stream::StreamOptions;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code as Grpc, Status};
use tonic_types::StatusExt as _;

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(60);

async fn next(events: &mut EventStream) -> proto::SubscribeResponse {
    tokio::time::timeout(HANG, events.next()).await.expect("it hangs").expect("sound")
}

async fn rest(events: &mut EventStream) -> Vec<proto::Event> {
    let mut all = Vec::new();
    loop {
        let answer = next(events).await;
        all.extend(answer.events);
        if answer.caught_up {
            assert_eq!(answer.next_lsn, answer.durable_lsn + 1);
            return all;
        }
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("there is one").reason
}

#[tokio::test(flavor = "multi_thread")]
async fn events_carry_what_was_asked_and_what_became_of_it() {
    let server = Server::start().await;
    server.open(3).await;
    let posted = server.client.transfer(transfer(1, BANK, 2, 1234)).await.expect("answered");
    let refused = server.client.transfer(transfer(2, 2, 99, 5)).await.expect("answered");
    server.client.define_asset("POINTS", 3).await.expect("new");
    server.client.set_account_status(account(3), AccountStatus::Frozen).await.expect("known");
    let mut events = server.client.subscribe(1, &EventFilter::default()).await.expect("a place");
    let all = rest(&mut events).await;
    let kinds: Vec<_> = all.iter().map(proto::Event::kind).collect();
    assert_eq!(kinds[..3], [EventKind::AccountOpened; 3]);
    assert_eq!(
        kinds[3..],
        [EventKind::Posted, EventKind::Refused, EventKind::AssetDefined, EventKind::StatusChanged]
    );
    let transfer_of = |at: usize| all[at].transfer.clone().expect("a transfer");
    assert_eq!((all[3].digits, transfer_of(3).outcome), (2, Some(posted)));
    assert_eq!(transfer_of(3).transfer.expect("asked").currency, "GBP");
    assert_eq!(transfer_of(4).outcome, Some(refused));
    assert_eq!(transfer_of(4).outcome.expect("one").code(), Code::CreditAccountUnknown);
    let event = |at: usize| all[at].account_event.clone().and_then(|event| event.event);
    let Some(Happened::Opened(opened)) = event(0) else { panic!("{:?}", all[0]) };
    assert_eq!((opened.id, opened.external, opened.currency.as_str()), (BANK, true, "GBP"));
    let asset = all[5].asset_defined.clone().expect("defined");
    assert_eq!((asset.code.as_str(), asset.digits, all[5].digits), ("POINTS", 3, 3));
    let Some(Happened::Status(changed)) = event(6) else { panic!("{:?}", all[6]) };
    assert_eq!(changed.status(), AccountStatus::Frozen);
    assert_eq!(events.next_lsn(), 8);
    // And what comes later.
    server.client.transfer(transfer(3, BANK, 2, 1)).await.expect("answered");
    assert_eq!(next(&mut events).await.events[0].lsn, 8);
    let filter = EventFilter { accounts: vec![account(2)], ..EventFilter::default() };
    let mut mine = server.client.subscribe(1, &filter.only_posted()).await.expect("a place");
    let lsns: Vec<_> = rest(&mut mine).await.iter().map(|event| event.lsn).collect();
    assert_eq!(lsns, [4, 8]);
    let transfer_kinds = vec![proto::TransferKind::Deposit];
    let filter = EventFilter { transfer_kinds, ..EventFilter::default() };
    let mut deposits = server.client.subscribe(1, &filter).await.expect("a place");
    for event in rest(&mut deposits).await {
        let transfer = event.transfer.and_then(|record| record.transfer).expect("a transfer");
        assert_eq!(transfer.kind(), proto::TransferKind::Deposit);
    }
    let kinds = vec![proto::TransferKind::Payment];
    let filter = EventFilter { transfer_kinds: kinds, ..EventFilter::default() };
    let mut payments = server.client.subscribe(1, &filter).await.expect("a place");
    assert_eq!(rest(&mut payments).await, [], "there is none, and that is told");
    drop((events, mine, deposits, payments));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_given_is_refused_with_its_reason() {
    let engine = EngineOptions { subscribers_max: 1, ..EngineOptions::default() };
    let server = Server::with(engine, ServerOptions::default()).await;
    server.open(2).await;
    let mut client = LedgerClient::new(server.channel().await);
    let mut ask = async |from_lsn, kinds: Vec<i32>, id| {
        let accounts = vec![proto::Id { id, id_high: 0 }];
        let asked = SubscribeRequest { from_lsn, kinds, accounts, ..SubscribeRequest::default() };
        client.subscribe(asked).await.map(tonic::Response::into_inner)
    };
    for (from, kinds, id, code, why) in [
        (1, vec![0], 2, Grpc::InvalidArgument, "EVENT_KIND_UNKNOWN"),
        (1, vec![77], 2, Grpc::InvalidArgument, "EVENT_KIND_UNKNOWN"),
        (1, vec![1], 0, Grpc::InvalidArgument, "ACCOUNT_ID_ZERO"),
        (4, vec![1], 2, Grpc::FailedPrecondition, "LSN_NOT_REACHED"),
        (u64::MAX, vec![], 2, Grpc::FailedPrecondition, "LSN_NOT_REACHED"),
    ] {
        let refused = ask(from, kinds, id).await.expect_err(why);
        let details = refused.get_details_error_info().map(|info| info.reason);
        assert_eq!((refused.code(), details.as_deref().unwrap_or(why)), (code, why));
    }
    let first = ask(1, vec![], 2).await.expect("a place");
    let full = ask(1, vec![], 2).await.expect_err("one is the most");
    assert_eq!(
        (full.code(), reason(&full).as_str()),
        (Grpc::ResourceExhausted, "SUBSCRIBERS_FULL")
    );
    assert!(full.get_details_retry_info().is_some());
    drop(first);
    let freed = async { while ask(1, vec![], 2).await.is_err() {} };
    tokio::time::timeout(HANG, freed).await.expect("a place came free");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_ends_its_feeds() {
    let server = Server::start().await;
    server.open(2).await;
    let mut client = LedgerClient::new(server.channel().await);
    let asked = SubscribeRequest { from_lsn: 1, ..SubscribeRequest::default() };
    let mut answers = client.subscribe(asked).await.expect("a place").into_inner();
    let waiting = tokio::spawn(async move {
        loop {
            match answers.message().await {
                Ok(answer) => assert!(answer.is_some(), "it ended as if all was well"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(server.stop().await, Drained::Completely);
    let status = tokio::time::timeout(HANG, waiting).await.expect("it ends").expect("no panic");
    assert_eq!((status.code(), reason(&status).as_str()), (Grpc::Unavailable, "DRAINING"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_holds_little_and_is_ended_and_goes_on() {
    let streams =
        StreamOptions { unread_timeout: Duration::from_millis(300), ..StreamOptions::default() };
    let answers = Budget::new(0);
    let options = ServerOptions { streams, answers, ..ServerOptions::default() };
    let budget = options.answers.clone();
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    for batch in 0..10 {
        server.client.create_transfers(deposits(batch * 5000 + 1, 5000)).await.expect("answered");
    }
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("a URI");
    let endpoint = endpoint.initial_stream_window_size(65_535);
    let mut client = LedgerClient::new(endpoint.connect().await.expect("listens"));
    let asked = SubscribeRequest { from_lsn: 1, ..SubscribeRequest::default() };
    let mut unread = client.subscribe(asked.clone()).await.expect("a place").into_inner();
    // Nothing is read until the server has given it up: its memory has come back.
    let given_up = async {
        let mut peak = 0;
        loop {
            let taken = budget.taken();
            peak = peak.max(taken);
            server.client.create_transfers(deposits(1, 1)).await.expect("others go on");
            if server.handle.subscribers() == 0 {
                return peak;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let peak = tokio::time::timeout(HANG, given_up).await.expect("it is given up");
    assert!(peak < 4 * 1024 * 1024, "{peak} bytes for one reader");
    let (mut place, end) = (
        1,
        loop {
            match unread.message().await {
                Ok(Some(answer)) => {
                    let _read = answer;
                }
                Ok(None) => panic!("it ended as if all was well"),
                Err(status) => break status,
            }
        },
    );
    assert_eq!((end.code(), reason(&end).as_str()), (Grpc::ResourceExhausted, "EVENTS_UNREAD"));
    // Ended again and again, a reader that goes on from its place has all of it in the end.
    let mut seen = 0;
    while place < 50_003 {
        let asked = SubscribeRequest { from_lsn: place, ..asked.clone() };
        let mut answers = client.subscribe(asked).await.expect("a place").into_inner();
        for _ in 0..20 {
            let Ok(Some(answer)) = answers.message().await else { break };
            assert!(answer.events.iter().all(|event| event.lsn >= place));
            seen += answer.events.len();
            place = answer.next_lsn;
            if place >= 50_003 {
                break;
            }
        }
    }
    assert_eq!(seen, 50_002);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_ends_with_the_time_given_for_it() {
    let server = Server::start().await;
    server.open(2).await;
    let mut client = LedgerClient::new(server.channel().await);
    let mut request =
        tonic::Request::new(SubscribeRequest { from_lsn: 1, ..SubscribeRequest::default() });
    request.set_timeout(Duration::from_millis(200));
    let ended = async {
        let mut answers = client.subscribe(request).await?.into_inner();
        loop {
            let answer = answers.message().await?;
            answer.ok_or_else(|| Status::internal("it ended as if all was well"))?;
        }
    };
    let ended: Result<(), Status> = tokio::time::timeout(HANG, ended).await.expect("it ends");
    let status = ended.expect_err("its time is over");
    // The client's own clock may be first.
    assert!(matches!(status.code(), Grpc::DeadlineExceeded | Grpc::Cancelled), "{status:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_says_what_is_wrong_with_where_it_begins() {
    let server = Server::start().await;
    server.open(2).await;
    let error = server.client.subscribe(9, &EventFilter::default()).await.expect_err("beyond");
    assert!(matches!(error, ClientError::Refused(_)), "{error:?}");
    assert_eq!(error.reason(), Some("LSN_NOT_REACHED"));
    server.stop().await;
}
