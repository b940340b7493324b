//! Dry runs on the engine's handle: what they say against what happens, at every number of
//! partitions, with refunds whose originals are read first, and while transfers go on.

mod support;

use ducat_actors::handle::{Answers, Handle};
use ducat_engine::ids::Lsn;
use ducat_engine::request::Request;
use ducat_engine::testing::rng::Rng;
use support::{BANK, capture, hold, journal, open, refund, start, submit, transfer};

/// What does not depend on when it was decided, or whether it was.
fn plain(answers: &Answers) -> Answers {
    let mut plain = answers.clone();
    for outcome in &mut plain.outcomes {
        (outcome.lsn, outcome.time_ns) = (Lsn::ZERO, 0);
    }
    for (_, refund) in &mut plain.refunds {
        refund.of_lsn = Lsn::ZERO;
    }
    plain
}

/// A batch drawn from few ids, so that they meet again.
fn batch(rng: &mut Rng) -> Vec<Request> {
    let mut number = || 100 + rng.below(120) as u128;
    let (one, other) = (number(), number());
    let size = 1 + rng.below(6);
    let request = |rng: &mut Rng| -> Request {
        let fresh = 100 + rng.below(120) as u128;
        let amount = 1 + rng.below(60) as u128;
        let (debit, credit) = [(BANK, 2), (2, 3), (3, 4), (4, 2)][rng.below(4)];
        match rng.below(6) {
            0 => hold(fresh, 2, 3, amount).into(),
            1 => capture(fresh, one, None).into(),
            2 => refund(fresh, other, Some(amount)).into(),
            3 => refund(fresh, one, None).into(),
            _ => transfer(fresh, debit, credit, amount).into(),
        }
    };
    (0..size).map(|_| request(rng)).collect()
}

async fn check(handle: &Handle, requests: &[Request]) {
    let lsn = handle.status().last_lsn;
    let dry = handle.dry_run(requests.to_vec()).await.expect("up");
    assert_eq!((dry.as_of, handle.status().last_lsn), (lsn, lsn));
    let done = handle.submit(requests.to_vec()).expect("room").answers().await.expect("up");
    assert_eq!(plain(&dry.answers), plain(&done));
    for outcome in &dry.answers.outcomes {
        assert!(outcome.lsn <= dry.as_of && (outcome.repeat || outcome.lsn == dry.as_of));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_what_happens() {
    for partitions in [1, 2, 4, 8] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        open(&handle, 4).await;
        submit(&handle, vec![transfer(1, BANK, 2, 200)]).await;
        let mut rng = Rng::new(partitions as u64);
        for _ in 0..150 {
            check(&handle, &batch(&mut rng)).await;
        }
        engine.shutdown().await.expect("nothing failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_dry_run_in_the_state_or_the_journal() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let before = handle.summary().await.expect("up");
    let dry = handle.dry_run(vec![transfer(2, 2, 3, 70), transfer(3, 2, 3, 70)]).await;
    let outcomes = dry.expect("up").answers.outcomes;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.rejection.is_some()).count(), 1);
    assert_eq!(handle.summary().await.expect("up"), before);
    assert_eq!(handle.status().remembered_ids, 1);
    engine.shutdown().await.expect("nothing failed");
    let engine = start(&journal, 2).await;
    assert_eq!(engine.handle().summary().await.expect("up").hash, before.hash);
    engine.shutdown().await.expect("nothing failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_in_between_disturb_nobody() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 10_000)]).await;
    let trying = {
        let handle = handle.clone();
        tokio::spawn(async move {
            for n in 0..200_u128 {
                // Never more than is there: what is on its way must not be seen half.
                let asked = vec![transfer(10_000 + n, 2, 3, 10_001), transfer(20_000 + n, 3, 2, 1)];
                let dry = handle.dry_run(asked).await.expect("up");
                assert!(dry.answers.outcomes[0].rejection.is_some());
            }
        })
    };
    for n in 0..200_u128 {
        let there = transfer(100 + 2 * n, 2, 3, 5);
        let back = transfer(101 + 2 * n, 3, 2, 5);
        let outcomes = submit(&handle, vec![there, back]).await;
        assert!(outcomes.iter().all(|outcome| outcome.rejection.is_none()));
    }
    trying.await.expect("no panic");
    assert_eq!(handle.status().last_lsn, Lsn(3 + 1 + 400));
    engine.shutdown().await.expect("nothing failed");
}
