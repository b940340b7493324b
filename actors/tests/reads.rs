//! Reads among transfers: these overtake them in the queue, but never for good. Reads of accounts
//! show what is durable, whatever is on its way to the disk.

mod support;

use ducat_actors::handle::{AccountsAt, EngineOptions, Handle};
use ducat_actors::start::Engine;
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::testing::rng::Rng;
use ducat_engine::transfer::{AccountStatus, TransferRequest};
use std::sync::Arc;
use std::time::Duration;
use support::valve::{Valve, Valved};
use support::{BANK, account, journal, open, start, submit, transfer};

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(120);

/// An engine whose disk stands still while the valve is closed.
async fn valved(valve: &Valve, partitions: usize) -> Engine {
    let journal = Arc::new(Valved::new(journal(), valve));
    let options = EngineOptions {
        partitions,
        // What waits for the valve is old before it is begun.
        queue_delay_max: Duration::from_secs(3600),
        ..EngineOptions::default()
    };
    Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts")
}

/// Waits until so much is decided, which the disk need not have seen.
async fn decided(handle: &Handle, last: Lsn) {
    let reached = async {
        while handle.status().last_lsn < last {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(HANG, reached).await.expect("it is decided");
}

async fn read(handle: &Handle, ids: &[AccountId]) -> AccountsAt {
    let read = handle.accounts(ids.to_vec());
    tokio::time::timeout(HANG, read).await.expect("it hangs").expect("up")
}

/// Random transfers between these accounts, many of which are refused for want of money.
fn at_random(rng: &mut Rng, first: u128, count: u128, accounts: u128) -> Vec<TransferRequest> {
    let mut one = || rng.below(usize::try_from(accounts).expect("small")) as u128 + 1;
    let pair = (first..first + count).map(|id| (id, one(), one(), one() * 7));
    pair.filter(|(_, debit, credit, _)| debit != credit)
        .map(|(id, debit, credit, amount)| transfer(id, debit, credit, amount))
        .collect()
}

/// Whatever is decided while the disk stands still, accounts are read at once and stand as they did.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_read_while_the_disk_stands_still() {
    const ACCOUNTS: u128 = 12;
    for partitions in [1, 4] {
        let valve = Valve::default();
        let engine = valved(&valve, partitions).await;
        let handle = engine.handle();
        open(&handle, ACCOUNTS).await;
        // One's limits changed behind its last entry, so that its version is no entry's.
        submit(&handle, (1..ACCOUNTS).map(|to| transfer(to, BANK, to + 1, 100)).collect()).await;
        let status = handle.set_status(account(3), AccountStatus::Active, "seen".to_owned());
        status.await.expect("up").expect("it may be active");
        // Some twice, one that there is not.
        let ids: Vec<AccountId> = (1..=ACCOUNTS).chain([5, 99, 3]).map(account).collect();
        let mut rng = Rng::new(7);
        let mut stood = read(&handle, &ids).await;
        for round in 1..=8_u128 {
            valve.close();
            let mut last = handle.status().last_lsn;
            let mut pending = Vec::new();
            for batch in 0..1 + round % 3 {
                let requests =
                    at_random(&mut rng, round * 1_000_000 + batch * 1_000, 200, ACCOUNTS);
                last = last.plus(requests.len() as u64);
                pending.push(handle.submit(requests).expect("room"));
                decided(&handle, last).await;
                assert_eq!(read(&handle, &ids).await, stood, "round {round}, batch {batch}");
            }
            valve.open();
            for answers in pending {
                answers.outcomes().await.expect("up");
            }
            let now = read(&handle, &ids).await;
            assert_eq!(now.lsn, last, "what was answered is seen");
            assert_ne!(now.accounts, stood.accounts, "something was posted");
            stood = now;
        }
        engine.shutdown().await.expect("drains");
    }
}

/// What cannot be taken off is waited for, and no more than that: the account's change is shown, what
/// came after it is not yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_change_on_its_way_is_waited_for() {
    let valve = Valve::default();
    let engine = valved(&valve, 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 10)]).await;
    let durable = handle.status().durable_lsn;
    valve.close();
    let first = handle.submit(vec![transfer(2, BANK, 2, 1)]).expect("room");
    decided(&handle, durable.plus(1)).await;
    let changing = tokio::spawn({
        let handle = handle.clone();
        async move { handle.set_status(account(2), AccountStatus::Frozen, "why".to_owned()).await }
    });
    decided(&handle, durable.plus(2)).await;
    let refused = handle.submit(vec![transfer(3, BANK, 2, 1)]).expect("room");
    decided(&handle, durable.plus(3)).await;
    let mut reading = Box::pin(handle.accounts(vec![account(2)]));
    let early = tokio::time::timeout(Duration::from_millis(50), reading.as_mut()).await;
    assert!(early.is_err(), "shown before it is durable: {early:?}");
    valve.open();
    let at = tokio::time::timeout(HANG, reading).await.expect("it hangs").expect("up");
    let shown = at.accounts[0].as_ref().expect("it is open");
    assert!(at.lsn >= durable.plus(2), "as of {}", at.lsn);
    assert_eq!((shown.view.posted, shown.view.status), (11, AccountStatus::Frozen));
    changing.await.expect("no panic").expect("up").expect("it may be frozen");
    for answers in [first, refused] {
        answers.outcomes().await.expect("up");
    }
    engine.shutdown().await.expect("drains");
}

/// Writers, and readers who know what was answered: what they read is never older than that, never
/// newer than the disk, and of one moment for all accounts.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_of_one_moment_no_older_than_what_was_answered() {
    const WRITERS: u128 = 3;
    for partitions in [1, 2] {
        let engine = start(&journal(), partitions).await;
        let handle = engine.handle();
        open(&handle, 1 + WRITERS).await;
        let ids: Vec<AccountId> = (1..=1 + WRITERS).map(account).collect();
        let writing = (0..WRITERS).map(|writer| {
            let handle = handle.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    let first = 1_000_000 * (writer + 1) + round * 1_000;
                    let count = 1 + round * 7 % 50;
                    let batch = |id| transfer(id, BANK, 2 + writer, 1);
                    let told = submit(&handle, (first..first + count).map(batch).collect()).await;
                    let answered = told.last().expect("some").lsn;
                    let at = handle.accounts(vec![account(2 + writer)]).await.expect("up");
                    assert!(at.lsn >= answered, "{} is older than {answered}", at.lsn);
                    let view = at.accounts[0].as_ref().expect("open").view;
                    let credited = told.last().expect("some").credit.expect("posted");
                    assert_eq!(view.posted, credited.posted, "its own account is only its");
                }
            })
        });
        let writing: Vec<_> = writing.collect();
        let opened = 1 + u64::try_from(WRITERS).expect("small");
        while !writing.iter().all(tokio::task::JoinHandle::is_finished) {
            let at = read(&handle, &ids).await;
            assert!(at.lsn <= handle.status().durable_lsn, "newer than the disk");
            let views: Vec<_> = at.accounts.iter().flatten().map(|shown| shown.view).collect();
            assert_eq!(views.iter().map(|view| view.posted).sum::<i128>(), 0, "of one moment");
            // Each event since the openings has brought one.
            assert_eq!(-views[0].posted, i128::from(at.lsn.0 - opened), "of the moment it says");
            assert!(views.iter().all(|view| view.version <= at.lsn && view.last_lsn <= at.lsn));
        }
        for writer in writing {
            writer.await.expect("no panic");
        }
        engine.shutdown().await.expect("drains");
    }
}

/// The disk stands still until far more transfers wait than are decided ahead of it, and reads
/// behind them. Whatever the machine does, they are answered as of a moment before the last of
/// these transfers was decided: they were not kept until none was left.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_not_kept_until_no_transfer_is_left() {
    const BATCHES: u128 = 20;
    let valve = Valve::default();
    let engine = valved(&valve, 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 1)]).await;
    valve.close();
    let batch = |number: u128| -> Vec<TransferRequest> {
        let first = 1_000_000 + number * 10_000;
        (first..first + 10_000).map(|id| transfer(id, BANK, 2, 1)).collect()
    };
    let pending: Vec<_> =
        (0..BATCHES).map(|number| handle.submit(batch(number)).expect("room")).collect();
    // Polled once, each waits behind the transfers; one that came before them is answered.
    let (mut reads, mut told) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let mut read = Box::pin(handle.accounts(vec![account(2), account(77)]));
        match tokio::time::timeout(Duration::ZERO, read.as_mut()).await {
            Ok(answer) => told.push(answer.expect("up")),
            Err(_waits) => reads.push(read),
        }
    }
    let last = Lsn(4 + u64::try_from(BATCHES).expect("small") * 10_000);
    valve.open();
    let answered = async {
        for read in reads {
            told.push(read.await.expect("up"));
        }
        for at in told {
            assert!(at.accounts[0].is_some() && at.accounts[1].is_none());
            assert!(at.lsn < last, "answered as of {}, behind all transfers", at.lsn);
        }
        for batch in pending {
            batch.outcomes().await.expect("up");
        }
    };
    tokio::time::timeout(HANG, answered).await.expect("it hangs");
    assert_eq!(handle.status().durable_lsn, last);
    engine.shutdown().await.expect("drains");
}
