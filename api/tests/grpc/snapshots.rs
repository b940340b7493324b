//! Snapshots over gRPC: typed refusals, and an end that waits for no snapshot.

use crate::support::{Server, deposits};
use ducat_actors::handle::EngineOptions;
use ducat_actors::snapshots::{AfterSnapshot, SnapshotOptions, SnapshotSchedule};
use ducat_api::proto::operator_client::OperatorClient;
use ducat_api::proto::{
    CreateSnapshotRequest, ListSnapshotsRequest, PruneSnapshotsRequest, VerifySnapshotRequest,
};
use ducat_api::server::{Drained, ServerOptions};
use ducat_engine::ids::ShardId;
use ducat_persistence::LedgerId;
use ducat_persistence::snapshot::SnapshotStore;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

fn options(dir: &Path, after: Option<AfterSnapshot>) -> EngineOptions {
    let store = SnapshotStore::at(dir.join("snapshots"), LedgerId::from_bytes([7; 16]), ShardId(0));
    let schedule = SnapshotSchedule::off();
    let snapshots = Some(SnapshotOptions { schedule, after, ..SnapshotOptions::new(store) });
    EngineOptions { snapshots, ..EngineOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_kind() {
    let server = Server::start().await;
    let mut client = OperatorClient::new(server.channel().await);
    let not_kept = (Code::FailedPrecondition, "SNAPSHOTS_NOT_KEPT".to_owned());
    let error = client.create_snapshot(CreateSnapshotRequest {}).await.expect_err("none");
    assert_eq!(reason(&error), not_kept);
    let error = client.list_snapshots(ListSnapshotsRequest {}).await.expect_err("none");
    assert_eq!(reason(&error), not_kept);
    assert_eq!(server.client.get_status(false).await.expect("answered").snapshots, None);
    server.stop().await;

    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::with(options(dir.path(), None), ServerOptions::default()).await;
    let mut client = OperatorClient::new(server.channel().await);
    let error = client.create_snapshot(CreateSnapshotRequest {}).await.expect_err("empty");
    assert_eq!(reason(&error), (Code::FailedPrecondition, "NOTHING_TO_SNAPSHOT".to_owned()));
    for lsn in [0, 9] {
        let error = client.verify_snapshot(VerifySnapshotRequest { lsn }).await;
        let unknown = (Code::NotFound, "SNAPSHOT_UNKNOWN".to_owned());
        assert_eq!(reason(&error.expect_err("there is none")), unknown, "{lsn}");
    }
    let error = client.prune_snapshots(PruneSnapshotsRequest { keep: 0 }).await;
    assert_eq!(error.expect_err("one stays").code(), Code::InvalidArgument);
    server.open(2).await;
    let made = client.create_snapshot(CreateSnapshotRequest {}).await.expect("taken").into_inner();
    assert!(made.created && made.took_ns > 0);
    let status = server.client.get_status(true).await.expect("answered");
    let shown = made.snapshot.expect("there");
    assert_eq!((&shown.state_hash, &shown.totals), (&status.state_hash, &status.totals));
    assert_eq!(status.snapshots.expect("kept").last_lsn, shown.lsn);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_no_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let (entered, in_hook) = mpsc::channel();
    let (let_go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let after = AfterSnapshot::new(move |_| {
        entered.send(()).expect("the test is there");
        // The sender is dropped in the end.
        let _gone = wait.lock().expect("one at a time").recv();
    });
    let options = options(dir.path(), Some(after));
    let server = Server::with(options, ServerOptions::default()).await;
    server.open(2).await;
    server.client.create_transfers(deposits(1, 10)).await.expect("well");
    let mut client = OperatorClient::new(server.channel().await);
    let asked = tokio::spawn(async move { client.create_snapshot(CreateSnapshotRequest {}).await });
    let entered = tokio::task::spawn_blocking(move || {
        in_hook.recv_timeout(Duration::from_secs(90)).expect("it comes to the hook");
    });
    entered.await.expect("no panic");
    let answered = async {
        let error = asked.await.expect("no panic").expect_err("the server ends");
        assert_eq!(reason(&error), (Code::Unavailable, "DRAINING".to_owned()));
        drop(let_go);
    };
    let ((), drained) = tokio::join!(answered, server.stop());
    assert_eq!(drained, Drained::Completely);
}
