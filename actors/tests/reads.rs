//! Reads among transfers: these overtake them in the queue, but never for good.

mod support;

use ducat_actors::handle::EngineOptions;
use ducat_actors::start::Engine;
use ducat_engine::ids::Lsn;
use ducat_engine::transfer::TransferRequest;
use std::sync::Arc;
use std::time::Duration;
use support::valve::{Valve, Valved};
use support::{BANK, account, journal, open, submit, transfer};

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(120);

/// The disk stands still until far more transfers wait than are decided ahead of it, and reads
/// behind them. Whatever the machine does, they are answered as of a moment before the last of
/// these transfers was decided: they were not kept until none was left.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_not_kept_until_no_transfer_is_left() {
    const BATCHES: u128 = 20;
    let valve = Valve::default();
    let journal = Arc::new(Valved::new(journal(), &valve));
    let options = EngineOptions {
        // What waits for the valve is old before it is begun.
        queue_delay_max: Duration::from_secs(3600),
        ..EngineOptions::default()
    };
    let engine =
        Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts");
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
