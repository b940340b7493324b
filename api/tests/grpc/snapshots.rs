//! Snapshots over gRPC: typed refusals, and an end that waits for no snapshot.

use crate::support::{Server, deposits};
use ducat_actors::handle::EngineOptions;
use ducat_actors::snapshots::{AfterSnapshot, SnapshotOptions, SnapshotSchedule};
use ducat_api::proto::operator_client::OperatorClient;
use ducat_api::proto::{
    CreateSnapshotRequest, ListSnapshotsRequest, PruneSnapshotsRequest, VerifySnapshotRequest,
};
use ducat_api::server::{Drained, ServerOptions};
use ducat_engine::ids::{Lsn, ShardId};
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
async fn snapshots_are_taken_listed_read_and_removed_by_the_client() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::with(options(dir.path(), None), ServerOptions::default()).await;
    let client = &server.client;
    assert_eq!(client.list_snapshots().await.expect("kept"), []);
    let mut taken = Vec::new();
    for round in 0..3 {
        if round == 0 {
            server.open(2).await;
        } else {
            client.create_transfers(deposits(1 + 10 * round, 10)).await.expect("well");
        }
        taken.push(client.create_snapshot().await.expect("taken").snapshot.expect("told"));
    }
    let lsns = |snapshots: &[ducat_api::proto::Snapshot]| -> Vec<u64> {
        snapshots.iter().map(|snapshot| snapshot.lsn).collect()
    };
    let listed = client.list_snapshots().await.expect("kept");
    assert_eq!(lsns(&listed), [taken[2].lsn, taken[1].lsn, taken[0].lsn]);
    let newest = client.verify_snapshot(None).await.expect("there");
    assert!(newest.sound && newest.snapshot.expect("told").state_hash == taken[2].state_hash);
    let shown = client.show_snapshot(Some(Lsn(taken[1].lsn))).await.expect("there");
    assert_eq!(shown.expect("sound").state_hash, taken[1].state_hash);
    let status = client.snapshot_status().await.expect("answered").expect("kept");
    assert_eq!((status.taken, status.last_lsn), (3, taken[2].lsn));
    let removed = client.prune_snapshots(1).await.expect("one stays");
    assert_eq!(removed, [Lsn(taken[1].lsn), Lsn(taken[0].lsn)]);
    let error = client.show_snapshot(Some(Lsn(taken[0].lsn))).await.expect_err("gone");
    assert_eq!(error.reason(), Some("SNAPSHOT_UNKNOWN"));
    assert_eq!(lsns(&client.list_snapshots().await.expect("kept")), [taken[2].lsn]);
    // This one makes no backups, and knows nobody by name.
    assert_eq!(client.backup_status().await.expect("answered"), None);
    let error = client.create_backup().await.expect_err("none");
    assert_eq!(error.reason(), Some("BACKUPS_NOT_KEPT"));
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
