//! The disk guard on a small disk: before it is full, new transfers are refused by name and
//! nothing else is; with room again they are taken by themselves; nothing is lost meanwhile.

use crate::attack::{Attack, Depth, is_root, skip};
use crate::ledger::{HOT, WORLD_GBP, account};
use crate::mounts::Mount;
use crate::server::Launch;
use ducat_api::client::{Client, ClientError};
use ducat_api::proto::{DiskHealth, NewAccount, TransferKind, TransferRequest};
use ducat_engine::ids::TransferId;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::Code;

const NAME: &str = "disk guard (128 MB tmpfs)";
const MIB: u64 = 1 << 20;
const RESERVE: u64 = 48 * MIB;
const RESUME: u64 = 64 * MIB;

fn deposit(id: u128) -> TransferRequest {
    let id = TransferId::new(id).expect("not zero");
    let plain = TransferRequest::plain(id, account(WORLD_GBP), account(HOT.start), 100);
    TransferRequest { kind: TransferKind::Deposit as i32, ..plain }
}

/// Waits for what the server says of its disk.
async fn disk(client: &Client, is: impl Fn(&DiskHealth) -> bool) -> DiskHealth {
    let since = Instant::now();
    loop {
        let status = client.get_status(false).await.expect("reads go on");
        let disk = status.disk.expect("it is watched");
        if is(&disk) {
            return disk;
        }
        assert!(since.elapsed() < Duration::from_secs(90), "{disk:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Leaves so many bytes free.
fn leave(disk: &Path, free: u64) {
    let ballast = disk.join("ballast");
    let now = std::fs::metadata(&ballast).map_or(0, |about| about.len());
    let there = ducat_persistence::disk::space(disk).expect("told").free_bytes;
    let wanted = (there + now).checked_sub(free).expect("the ledger left so much");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&ballast);
    let mut file = file.expect("a file");
    if wanted < now {
        file.set_len(wanted).expect("cut");
    } else {
        let zeros = std::io::Read::take(std::io::repeat(0), wanted - now);
        std::io::copy(&mut { zeros }, &mut file).expect("there is room");
    }
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, ClientError>) {
    let error = result.expect_err("the disk is nearly full");
    assert_eq!((error.code(), error.reason()), (Some(Code::ResourceExhausted), Some("DISK_FULL")));
    assert!(error.is_retryable() && !error.is_in_doubt(), "{error:?}");
}

#[test]
fn new_transfers_are_refused_before_the_disk_is_full() {
    if !is_root() {
        return skip(NAME, "only root can mount a disk that is small enough");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let small = match Mount::memory(dir.path(), "128m") {
        Ok(disk) => disk,
        Err(reason) => return skip(NAME, &reason),
    };
    let mut attack = Attack::new(NAME);
    let data = small.path().join("data");
    let launch = Launch::with(&[
        "--disk-reserve-mib",
        "48",
        "--disk-resume-mib",
        "64",
        "--disk-every-ms",
        "10",
    ]);
    let server = attack.start(&launch, &data);
    attack.load_for(&server, Duration::from_millis(50));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(server.address()).await.expect("connects");
        let call = attack.history.sent(vec![deposit(7)]);
        let known = client.transfer(deposit(7)).await.expect("there is room");
        attack.history.answered(call, vec![known.clone()]);
        let healthy = disk(&client, |disk| !disk.refusing).await;
        assert_eq!((healthy.reserve_bytes, healthy.resume_bytes), (RESERVE, RESUME));

        leave(small.path(), RESERVE - 4 * MIB);
        disk(&client, |disk| disk.refusing).await;
        is_refused(client.transfer(deposit(8)).await);
        // A batch with anything new is refused whole; one of known ids is answered.
        is_refused(client.create_transfers(vec![deposit(7), deposit(9)]).await);
        is_refused(client.create_accounts(vec![NewAccount::new(account(500), "GBP", false)]).await);
        let again = client.create_transfers(vec![deposit(7), deposit(7)]).await.expect("known");
        assert!(again.iter().all(|outcome| outcome.repeat && outcome.lsn == known.lsn));
        let ids = [TransferId::new(7).expect("not zero"), TransferId::new(8).expect("not zero")];
        let found = client.get_transfers(&ids).await.expect("reads go on");
        assert_eq!((found.transfers.len(), found.unknown.len()), (1, 1));
        let entries = client.list_entries(account(HOT.start), 10, "").await;
        assert!(!entries.expect("statements go on").entries.is_empty());
        // A stream is told about its batch, and goes on.
        let (mut sender, mut answers) = client.stream(4).await.expect("opens");
        sender.send(vec![deposit(10)]).await.expect("sent");
        sender.send(vec![deposit(7)]).await.expect("sent");
        let refused = answers.next().await.expect("an answer").expect("an answer").result;
        assert_eq!(refused.expect_err("refused").reason, "DISK_FULL");
        let told = answers.next().await.expect("an answer").expect("an answer").result;
        assert!(told.expect("known")[0].repeat);

        // Some room is not enough yet.
        leave(small.path(), RESERVE + 4 * MIB);
        let between = disk(&client, |disk| disk.free_bytes > RESERVE).await;
        assert!(between.refusing, "{between:?}");
        is_refused(client.transfer(deposit(8)).await);
        leave(small.path(), RESUME + 4 * MIB);
        disk(&client, |disk| !disk.refusing).await;
        let call = attack.history.sent(vec![deposit(8)]);
        let outcome = client.transfer(deposit(8)).await.expect("there is room again");
        assert!(!outcome.repeat);
        attack.history.answered(call, vec![outcome]);
        leave(small.path(), RESERVE - 4 * MIB);
        disk(&client, |disk| disk.refusing).await;
    });
    // A start without room refuses from the first transfer on, and has lost nothing.
    server.kill();
    let server = launch.start(&data).unwrap_or_else(|ended| panic!("{ended:?}"));
    runtime.block_on(async {
        let client = Client::connect(server.address()).await.expect("connects");
        is_refused(client.transfer(deposit(11)).await);
        assert!(client.transfer(deposit(8)).await.expect("known").repeat);
        leave(small.path(), RESUME + 4 * MIB);
        disk(&client, |disk| !disk.refusing).await;
    });
    attack.load_for(&server, Duration::from_millis(50));
    attack.check(&server, Depth::New);
    server.kill();
    attack.row.runs = 1;
    attack.finish();
}
