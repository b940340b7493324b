//! Whole linked groups given back by one request: taken apart from the journal, given back all or none and
//! once, over restarts and crashes, when ids are forgotten, and while refunds race.

mod support;

use ducat_actors::handle::{
    Answers, GroupFault, GroupReversal, Handle, ReversalError, ReversalLeg,
};
use ducat_engine::codec::{decode_all, encode};
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeRule, Schedule};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::note::Note;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::terms::{Balancing, DebitCap, Termed, Terms, leg_id};
use ducat_engine::testing::rng::Rng;
use ducat_engine::transfer::{TransferKind, TransferRequest};
use ducat_persistence::{AppendBuffer, Journal, LedgerId, MemoryJournal};
use std::sync::Arc;
use support::{
    BANK, GBP, account, ask, capture, hold, id, journal, open, refund, start, submit, transfer,
    void,
};

fn reversal(number: u128, of: u128) -> GroupReversal {
    let (id, of) = (id(number), id(of));
    GroupReversal { id, of, of_lsn: None, allow_overdraft: false, note: Note::default() }
}

/// Takes the group apart and has it given back.
async fn reverse(handle: &Handle, asked: GroupReversal) -> Result<Answers, ReversalError> {
    let reversal = handle.reversal(&asked).await?;
    assert_eq!(reversal.requests.len(), reversal.legs.len());
    Ok(ask(handle, reversal.requests).await)
}

fn rejections(answers: &Answers) -> Vec<Option<Rejection>> {
    answers.outcomes.iter().map(|outcome| outcome.rejection).collect()
}

/// Links all but the last.
fn group<const N: usize>(requests: [Request; N]) -> Vec<Request> {
    let mut requests = requests.to_vec();
    requests[..N - 1].iter_mut().for_each(|request| request.set_linked(true));
    requests
}

fn transfers<const N: usize>(moves: [(u128, u128, u128, u128); N]) -> Vec<Request> {
    group(moves.map(|(number, debit, credit, amount)| {
        Request::from(transfer(number, debit, credit, amount))
    }))
}

async fn balances(handle: &Handle, accounts: u128) -> Vec<i128> {
    let ids = (1..=accounts).map(account).collect();
    let shown = handle.accounts(ids).await.expect("up").accounts;
    shown.into_iter().map(|shown| shown.expect("open").view.posted).collect()
}

/// Groups without a gap between them: 20 to 22, 30 to 32, and 40 alone.
async fn three_groups(handle: &Handle) {
    open(handle, 5).await;
    submit(handle, vec![transfer(10, BANK, 2, 1_000)]).await;
    let mut batch = transfers([(20, 2, 3, 100), (21, 3, 4, 60), (22, 4, 5, 50)]);
    batch.extend(transfers([(30, 2, 3, 7), (31, 3, 4, 7), (32, 2, 5, 5)]));
    batch.extend(transfers([(40, 2, 5, 3)]));
    let outcomes = handle.submit(batch).expect("room").outcomes().await.expect("up");
    assert!(outcomes.iter().all(|outcome| outcome.rejection.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_leads_to_the_whole_group_and_to_no_other() {
    for partitions in [1, 2] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        three_groups(&handle).await;
        let before = balances(&handle, 5).await;

        let found = handle.reversal(&reversal(50, 31)).await.expect("a group");
        let originals = |legs: &[ReversalLeg]| -> Vec<u128> {
            legs.iter().map(|leg| leg.original.get()).collect()
        };
        assert_eq!(originals(&found.legs), [32, 31, 30]);
        assert_eq!((found.legs[0].debit, found.legs[0].credit), (account(5), account(2)));
        assert_eq!((found.legs[0].amount, found.legs[0].currency), (5, GBP));
        let ids: Vec<_> = found.requests.iter().map(Request::id).collect();
        assert_eq!(ids, [0, 1, 2].map(|at| leg_id(id(50), at)));
        for member in [30, 32] {
            assert_eq!(handle.reversal(&reversal(50, member)).await.as_ref(), Ok(&found));
        }
        let lsn = Some(found.legs[1].original_lsn);
        let named = GroupReversal { of_lsn: lsn, ..reversal(50, 31) };
        assert_eq!(handle.reversal(&named).await.as_ref(), Ok(&found));
        for (of, expected) in [(20, vec![22, 21, 20]), (22, vec![22, 21, 20]), (40, vec![40])] {
            let other = handle.reversal(&reversal(50, of)).await.expect("a group");
            assert_eq!(originals(&other.legs), expected);
        }
        assert_eq!(balances(&handle, 5).await, before, "nothing is done by that");

        let done = reverse(&handle, reversal(50, 31)).await.expect("a group");
        assert_eq!(rejections(&done), [None; 3]);
        assert_eq!(balances(&handle, 5).await, [-1_000, 897, 40, 10, 53]);
        // Both ways: the refunds name the members, the members their refunds.
        for (at, of) in [(0, 32), (1, 31), (2, 30)] {
            let told = done.refund(at).expect("a refund");
            assert_eq!((told.of, told.refunded, told.moved), (id(of), told.amount, told.amount));
            let page = handle.refunds_of(id(of), None, None, 9).await.expect("up").expect("known");
            assert_eq!(page.refunds[0].id, done.outcomes[at].id);
            assert_eq!(page.state.remaining(), 0);
        }
        engine.shutdown().await.expect("in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_given_back_once_whoever_asks_again() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    three_groups(&handle).await;
    let first = reverse(&handle, reversal(50, 20)).await.expect("a group");
    let last = handle.status().last_lsn;
    let again = reverse(&handle, reversal(50, 22)).await.expect("a group");
    assert!(again.outcomes.iter().all(|outcome| outcome.repeat));
    assert_eq!((&again.refunds, handle.status().last_lsn), (&first.refunds, last));
    let other = reverse(&handle, reversal(51, 20)).await.expect("a group");
    let (gone, with_it) = (Some(Rejection::OriginalRefunded), Some(Rejection::LinkedFailed));
    assert_eq!(rejections(&other), [gone, with_it, with_it]);
    // A refusal is remembered like a success.
    let again = reverse(&handle, reversal(51, 21)).await.expect("a group");
    assert_eq!(rejections(&again), rejections(&other));
    assert!(again.outcomes.iter().all(|outcome| outcome.repeat));
    // The same id for something else.
    let reused = reverse(&handle, reversal(50, 30)).await.expect("a group");
    assert_eq!(reused.outcomes[0].rejection, Some(Rejection::IdReused));
    assert!(reused.outcomes.iter().all(|outcome| outcome.rejection.is_some()));
    // What was given back can be given back no more, singly either.
    let single = ask(&handle, vec![refund(60, 21, None).into()]).await;
    assert_eq!(rejections(&single), [gone]);
    let summary = handle.summary().await.expect("up");
    engine.shutdown().await.expect("in order");

    let engine = start(&journal, 4).await;
    let handle = engine.handle();
    assert_eq!(handle.summary().await.expect("up").hash, summary.hash);
    let again = reverse(&handle, reversal(50, 21)).await.expect("a group");
    assert!(again.outcomes.iter().all(|outcome| outcome.repeat && outcome.rejection.is_none()));
    assert_eq!(again.refunds, first.refunds);
    assert_eq!(handle.summary().await.expect("up").hash, summary.hash);
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_none_by_the_rules_of_refunds() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    three_groups(&handle).await;
    let with_it = Some(Rejection::LinkedFailed);
    // A part of one member was given back.
    ask(&handle, vec![refund(50, 31, Some(1)).into()]).await;
    let before = balances(&handle, 5).await;
    let partly = reverse(&handle, reversal(51, 30)).await.expect("a group");
    assert_eq!(rejections(&partly), [with_it, Some(Rejection::RefundExceeded), with_it]);
    assert_eq!(balances(&handle, 5).await, before);
    // A member was reversed.
    ask(&handle, vec![refund(52, 32, None).into()]).await;
    let before = balances(&handle, 5).await;
    let reversed = reverse(&handle, reversal(53, 30)).await.expect("a group");
    assert_eq!(rejections(&reversed), [Some(Rejection::OriginalReversed), with_it, with_it]);
    assert_eq!(balances(&handle, 5).await, before);
    // Who received has not got it any more.
    let spent = balances(&handle, 5).await[4].unsigned_abs();
    submit(&handle, vec![transfer(54, 5, BANK, spent - 49)]).await;
    let before = balances(&handle, 5).await;
    let short = reverse(&handle, reversal(55, 20)).await.expect("a group");
    assert_eq!(rejections(&short), [Some(Rejection::InsufficientFunds), with_it, with_it]);
    assert_eq!(balances(&handle, 5).await, before);
    let over = GroupReversal { allow_overdraft: true, ..reversal(56, 20) };
    let over = reverse(&handle, over).await.expect("a group");
    assert_eq!(rejections(&over), [None; 3]);
    assert_eq!(balances(&handle, 5).await[4], -1);
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_become_of_it() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    three_groups(&handle).await;
    let (last, before) = (handle.status().last_lsn, balances(&handle, 5).await);
    let found = handle.reversal(&reversal(50, 20)).await.expect("a group");
    let dry = handle.dry_run(found.requests).await.expect("up");
    assert_eq!((rejections(&dry.answers), dry.as_of), (vec![None; 3], last));
    assert_eq!((handle.status().last_lsn, balances(&handle, 5).await), (last, before));
    let done = reverse(&handle, reversal(50, 20)).await.expect("a group");
    for (dry, done) in dry.answers.outcomes.iter().zip(&done.outcomes) {
        assert_eq!((dry.id, dry.debit, dry.credit), (done.id, done.debit, done.credit));
    }
    assert_eq!(dry.answers.refunds, done.refunds);
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_group_that_can_be_given_back_is_said_and_takes_no_id() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    three_groups(&handle).await;
    ask(&handle, transfers([(50, 2, 3, 1), (51, 5, 3, 1_000_000)])).await;
    ask(&handle, group([transfer(60, 2, 3, 1).into(), refund(61, 40, Some(1)).into()])).await;
    let setting_aside: Request = hold(70, 2, 3, 9).into();
    ask(&handle, group([transfer(71, 2, 3, 1).into(), setting_aside])).await;
    ask(&handle, group([void(80, 70).into(), transfer(81, 2, 3, 1).into()])).await;
    let nothing = Terms {
        balancing: Some(Balancing {
            min: 0,
            debit: Some(DebitCap::Available),
            credit: None,
            source: None,
        }),
        ..Terms::default()
    };
    let empty = |number| on_terms(transfer(number, 4, 3, 5), nothing);
    // Account 4 has nothing left to give.
    submit(&handle, vec![transfer(88, 4, BANK, 17)]).await;
    assert_eq!(balances(&handle, 5).await[3], 0);
    ask(&handle, group([empty(90), empty(91)])).await;
    ask(&handle, group([empty(93), transfer(94, 2, 3, 2).into()])).await;

    let (last, before) = (handle.status().last_lsn, handle.summary().await.expect("up"));
    for (of, fault) in [
        (99, GroupFault::Unknown(id(99))),
        (50, GroupFault::Refused(id(50))),
        (51, GroupFault::Refused(id(51))),
        (60, GroupFault::Refund(id(61))),
        (61, GroupFault::Refund(id(61))),
        (70, GroupFault::Hold(id(70))),
        (71, GroupFault::Hold(id(70))),
        (81, GroupFault::Hold(id(80))),
        (90, GroupFault::MovedNothing(id(90))),
    ] {
        let refused = reverse(&handle, reversal(1_000, of)).await;
        assert_eq!(refused.map(|_| ()), Err(ReversalError::Group(fault)), "{of}");
    }
    // An event that decided something else, none at all, and one that is to come.
    for lsn in [0, 1, last.0, last.0 + 1, u64::MAX] {
        let asked = GroupReversal { of_lsn: Some(Lsn(lsn)), ..reversal(1_000, 20) };
        let refused = reverse(&handle, asked).await.map(|_| ());
        assert_eq!(refused, Err(ReversalError::Group(GroupFault::Unknown(id(20)))), "{lsn}");
    }
    assert_eq!(handle.status().last_lsn, last, "no id was consumed");
    assert_eq!(handle.summary().await.expect("up").hash, before.hash);
    // A member that moved nothing has nothing to give back; the others have.
    let found = handle.reversal(&reversal(1_000, 93)).await.expect("a group");
    assert_eq!((found.legs.len(), found.legs[0].original), (1, id(94)));
    assert_eq!(rejections(&reverse(&handle, reversal(1_000, 93)).await.expect("ok")), [None]);
    engine.shutdown().await.expect("in order");
}

fn on_terms(transfer: TransferRequest, terms: Terms) -> Request {
    Termed::new(transfer, terms).expect("a transfer").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_are_members_and_fees_stay_where_they_were_paid() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 5).await;
    submit(&handle, vec![transfer(10, BANK, 2, 1_000)]).await;
    let rule = FeeRule { flat: 3, ..FeeRule::default() };
    let card = Schedule { name: "card".into(), currency: GBP, account: account(5), rule };
    handle.define_fee(card).await.expect("up").expect("allowed");
    let kind = FeeTarget::Kind(TransferKind::Transfer, GBP);
    handle.attach_fee(kind, Some("card".into())).await.expect("up").expect("allowed");
    ask(&handle, vec![hold(20, 2, 3, 40).into()]).await;
    let mixed = group([
        transfer(30, 2, 3, 100).into(),
        capture(31, 20, Some(40)).into(),
        transfer(32, 3, 4, 120).into(),
    ]);
    let done = ask(&handle, mixed).await;
    assert_eq!(rejections(&done), [None; 3]);
    assert_eq!(balances(&handle, 5).await, [-1_000, 854, 17, 120, 9]);
    // Right behind the fees' legs: what the fee took from account 3 it needs again.
    let short = reverse(&handle, reversal(49, 30)).await.expect("a group");
    assert_eq!(rejections(&short)[2], Some(Rejection::InsufficientFunds));
    submit(&handle, vec![transfer(40, BANK, 3, 3)]).await;
    let given_back = reverse(&handle, reversal(50, 32)).await.expect("a group");
    assert_eq!(rejections(&given_back), [None; 3]);
    assert_eq!(balances(&handle, 5).await, [-1_003, 994, 0, 0, 9]);
    engine.shutdown().await.expect("in order");
}

/// The same events up to one of them, as if each had been decided so much earlier.
fn copied(from: &MemoryJournal, upto: Lsn, earlier_ns: impl Fn(Lsn) -> u64) -> Arc<MemoryJournal> {
    let shard = ShardId(0);
    let copy = MemoryJournal::new(LedgerId::random().expect("randomness"));
    let mut writer = copy.open_writer(shard, "test").expect("opens").0;
    for frame in from.read(shard, Lsn(1)).expect("reads") {
        let frame = frame.expect("sound");
        if frame.first_lsn() > upto {
            break;
        }
        let mut buffer = AppendBuffer::new();
        buffer.begin_batch(frame.header().time_ns - earlier_ns(frame.first_lsn()));
        for (at, record) in (0..).zip(decode_all(frame.payload())) {
            let (lsn, record) = (frame.first_lsn().plus(at), record.expect("sound"));
            assert!(lsn <= upto, "no batch is cut");
            buffer.push(lsn, |bytes| encode(&record, bytes)).expect("small");
        }
        buffer.end_batch();
        writer.append(frame.first_lsn(), &mut buffer).expect("appends");
    }
    drop(writer);
    Arc::new(copy.reopen())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_crash_it_happened_whole_or_not_and_asking_again_makes_it_once() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    three_groups(&handle).await;
    let done = reverse(&handle, reversal(50, 20)).await.expect("a group");
    let after = balances(&handle, 5).await;
    engine.shutdown().await.expect("in order");
    for (upto, repeat) in [(done.outcomes[0].lsn.0 - 1, false), (done.outcomes[2].lsn.0, true)] {
        let left = copied(&journal, Lsn(upto), |_| 0);
        let engine = start(&left, 4).await;
        let handle = engine.handle();
        let again = reverse(&handle, reversal(50, 21)).await.expect("a group");
        assert!(again.outcomes.iter().all(|outcome| outcome.repeat == repeat));
        assert_eq!(balances(&handle, 5).await, after);
        assert_eq!(again.refunds, done.refunds);
        engine.shutdown().await.expect("in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_ids_are_forgotten_is_named_by_its_event_and_a_repeat_by_its_own_id() {
    const HOUR_NS: u64 = 3_600 * 1_000_000_000;
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    three_groups(&handle).await;
    let stored = handle.requests(vec![id(21)]).await.expect("up");
    let lsn = stored[0].as_ref().expect("remembered").outcome.lsn;
    let groups = handle.status().last_lsn;
    // One an hour, for ten days: what is older than two of them is forgotten.
    for hour in 0..240 {
        submit(&handle, vec![transfer(100 + hour, BANK, 2, 1)]).await;
    }
    let last = handle.status().last_lsn;
    engine.shutdown().await.expect("in order");

    let old = copied(&journal, last, |lsn| HOUR_NS * (240 - lsn.0.saturating_sub(groups.0)));
    let engine = start(&old, 2).await;
    let handle = engine.handle();
    let unknown = Err(ReversalError::Group(GroupFault::Unknown(id(21))));
    assert_eq!(reverse(&handle, reversal(50, 21)).await.map(|_| ()), unknown);
    let named = GroupReversal { of_lsn: Some(lsn), ..reversal(50, 21) };
    let done = reverse(&handle, named.clone()).await.expect("a group");
    assert_eq!(rejections(&done), [None; 3]);
    // The answer itself is remembered, and tells of which group it was.
    for asked in [named, reversal(50, 21), reversal(50, 22)] {
        let again = reverse(&handle, asked).await.expect("a group");
        assert!(again.outcomes.iter().all(|outcome| outcome.repeat), "{again:?}");
        assert_eq!(again.refunds, done.refunds);
    }
    // Of no other group, and under no other id.
    assert_eq!(reverse(&handle, reversal(51, 21)).await.map(|_| ()), unknown);
    let elsewhere = reverse(&handle, reversal(50, 30)).await.map(|_| ());
    assert_eq!(elsewhere, Err(ReversalError::Group(GroupFault::Unknown(id(30)))));
    // Its id used again for something else is no matter to the repeat.
    submit(&handle, vec![transfer(21, BANK, 2, 5)]).await;
    let again = reverse(&handle, reversal(50, 21)).await.expect("a group");
    assert!(again.outcomes.iter().all(|outcome| outcome.repeat));
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_may_be_as_large_as_a_batch() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    let mut batch: Vec<Request> =
        (0..10_000).map(|n| transfer(1_000 + n, BANK, 2, 1).into()).collect();
    batch[..9_999].iter_mut().for_each(|request| request.set_linked(true));
    ask(&handle, batch).await;
    submit(&handle, vec![transfer(10, 2, 3, 1)]).await;
    let short = reverse(&handle, reversal(1, 6_000)).await.expect("a group");
    let refused = rejections(&short);
    assert_eq!(refused.iter().filter(|r| **r == Some(Rejection::LinkedFailed)).count(), 9_999);
    assert_eq!(refused[9_999], Some(Rejection::InsufficientFunds));
    submit(&handle, vec![transfer(11, 3, 2, 1)]).await;
    let done = reverse(&handle, reversal(2, 6_000)).await.expect("a group");
    assert_eq!(done.outcomes.len(), 10_000);
    assert!(done.outcomes.iter().all(|outcome| outcome.rejection.is_none()));
    assert_eq!(balances(&handle, 3).await, [0, 0, 0]);
    engine.shutdown().await.expect("in order");
}

/// Random groups, reversed by several at once, while others refund their members: each reversal is all or
/// none, no member gives back more than it moved, and replay comes to the same.
#[tokio::test(flavor = "multi_thread")]
async fn groups_reversed_while_refunds_race_are_all_or_none() {
    const GROUPS: u128 = 12;
    for seed in 0..20 {
        let journal = journal();
        let engine = start(&journal, [1, 2, 4][seed as usize % 3]).await;
        let handle = engine.handle();
        let mut rng = Rng::new(seed);
        open(&handle, 6).await;
        submit(&handle, (2..=6).map(|to| transfer(to, BANK, to, 200)).collect()).await;
        let mut members: Vec<Vec<u128>> = Vec::new();
        for number in 0..GROUPS {
            let legs = 1 + rng.below(5) as u128;
            let ids: Vec<u128> = (0..legs).map(|leg| 1_000 + number * 10 + leg).collect();
            let one = |rng: &mut Rng, id: u128| -> Request {
                let debit = 2 + rng.below(5) as u128;
                let credit = 2 + (debit - 1 + rng.below(4) as u128) % 5;
                transfer(id, debit, credit, 1 + rng.below(20) as u128).into()
            };
            let mut group: Vec<Request> = ids.iter().map(|id| one(&mut rng, *id)).collect();
            let last = group.len() - 1;
            group[..last].iter_mut().for_each(|request| request.set_linked(true));
            if ask(&handle, group).await.outcomes[0].rejection.is_none() {
                members.push(ids);
            }
        }
        let members = Arc::new(members);
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..4_u128 {
            let (handle, members) = (handle.clone(), Arc::clone(&members));
            let mut rng = Rng::new(seed * 10 + u64::try_from(client).expect("small"));
            tasks.spawn(async move {
                let mut reversed = Vec::new();
                for step in 0..12 {
                    let number = 10_000 + client * 1_000 + step;
                    let at = rng.below(members.len());
                    let of = members[at][rng.below(members[at].len())];
                    if rng.once_in(2) {
                        let amount = (!rng.once_in(3)).then(|| 1 + rng.below(5) as u128);
                        ask(&handle, vec![refund(number, of, amount).into()]).await;
                        continue;
                    }
                    let overdraft = rng.once_in(2);
                    let asked =
                        GroupReversal { allow_overdraft: overdraft, ..reversal(number, of) };
                    let answers = reverse(&handle, asked).await.expect("a posted group");
                    let done = answers.outcomes.iter().filter(|o| o.rejection.is_none()).count();
                    assert!(done == 0 || done == members[at].len(), "{answers:?}");
                    if done > 0 {
                        assert!(answers.refunds.iter().all(|(_, told)| told.amount == told.moved));
                        reversed.push(at);
                    }
                }
                reversed
            });
        }
        let mut reversed: Vec<usize> = tasks.join_all().await.into_iter().flatten().collect();
        reversed.sort_unstable();
        let count = reversed.len();
        reversed.dedup();
        assert_eq!(reversed.len(), count, "none is given back twice");
        for ids in members.iter() {
            for of in ids {
                let page = handle.refunds_of(id(*of), None, None, 100).await.expect("up");
                let state = page.expect("it moved money").state;
                assert!(state.refunded <= state.moved, "{state:?}");
            }
        }
        for at in reversed {
            for of in &members[at] {
                let page = handle.refunds_of(id(*of), None, None, 100).await.expect("up");
                let page = page.expect("it moved money");
                assert_eq!((page.refunds.len(), page.state.remaining()), (1, 0));
            }
        }
        assert_eq!(balances(&handle, 6).await.iter().sum::<i128>(), 0);
        let summary = handle.summary().await.expect("up");
        engine.shutdown().await.expect("in order");
        let engine = start(&journal, 2).await;
        assert_eq!(engine.handle().summary().await.expect("up").hash, summary.hash);
        engine.shutdown().await.expect("in order");
    }
}
