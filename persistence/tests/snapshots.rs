//! Snapshots on disk: what was written is read back, whatever was changed is refused by name,
//! and the stored snapshot that every future version must read.

use ducat_engine::account_event::Opening;
use ducat_engine::ids::{AccountId, Epoch, Lsn, SagaId, ScheduleId, ShardId, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::{Bounds, LimitsChange};
use ducat_engine::money::CurrencyId;
use ducat_engine::profile::{AccountKind, Profile, ProfileChange};
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::sagas::{Action, BackOff, SagaDefinition, Step, Undo};
use ducat_engine::schedules::calendar::{Calendar, Rule};
use ducat_engine::schedules::{Definition, Missed, Payment, Retry, RunEnd, ScheduleCommand};
use ducat_engine::snapshot::{PIECE_DRIVEN, PIECE_HOLDS, PIECE_IDS, PIECE_PROFILES, PIECE_REFUNDS};
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::snapshot::{
    Encoder, Fault, Reader, SnapshotError, SnapshotHeader, SnapshotStore, Summary,
};
use ducat_persistence::{FrameHash, LedgerId};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const LEDGER: LedgerId = LedgerId::from_bytes([0xd0; 16]);
const REMEMBER_NS: u64 = 24;
const SHARD: ShardId = ShardId(0);

fn account(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

/// A ledger with every sort of thing in it, of so many accounts and transfers.
fn ledger(accounts: u128, transfers: u128) -> Ledger {
    let mut ledger = first_ledger(accounts, transfers);
    let slot = |id: u128| Slot(u32::try_from(id - 1).expect("small"));
    for (id, status) in (2..).zip([AccountStatus::DebitsBlocked, AccountStatus::CreditsBlocked]) {
        ledger.set_status(slot(id), status, "because of \u{20ac}").expect("allowed");
    }
    for id in (4..=accounts).step_by(5) {
        let change = ProfileChange {
            kind: Some(Some(AccountKind::Liability)),
            owner: Some(format!("customer {id}")),
            set: [("branch".to_owned(), "7".to_owned())].into(),
            ..ProfileChange::default()
        };
        ledger.coordinator.change_profile(slot(id), &change).expect("in bounds").expect("new");
    }
    let id = account(0xf00);
    let spec = AccountSpec { id, currency: CurrencyId(978), overdraft_limit: 1, external: false };
    let profile = Profile { label: "opened with it".to_owned(), ..Profile::default() };
    ledger.open_with(&Opening { profile, ..Opening::from(spec) }).expect("new");
    let id = account(0xf01);
    let bounds = Bounds { floor: None, ceiling: Some(1 << 80) };
    let bounded = Opening { bounds, ..Opening::from(AccountSpec { id, ..spec }) };
    ledger.open_with(&bounded).expect("new");
    let limits = LimitsChange {
        overdraft_limit: Some(77),
        floor: Some(Some(-5)),
        ..LimitsChange::default()
    };
    let listing = ledger.coordinator.directory().get(account(0xf00)).expect("listed");
    ledger.change_limits(listing.slot, &limits).expect("allowed").expect("new");
    ledger
}

/// The same with what there was when version 1 was written.
fn first_ledger(accounts: u128, transfers: u128) -> Ledger {
    let mut ledger = Ledger::new(2, 5, REMEMBER_NS).expect("two");
    let (gold, _) = ledger.coordinator.define_asset("GOLD", 3).expect("new");
    for id in 1..=accounts {
        let currency = if id % 7 == 3 { gold.id } else { CurrencyId(826) };
        let (overdraft_limit, external) = (id * id * 1_000, id % 7 < 2);
        let spec = AccountSpec { id: account(id << 70 | id), currency, overdraft_limit, external };
        ledger.open_account(&spec).expect("new");
    }
    for n in 1..=transfers {
        let (debit, credit) = ((n * 7 % accounts) / 7 * 7 + 1, n % accounts + 1);
        let request = TransferRequest {
            id: TransferId::new((n << 64) + n * 977).expect("not zero"),
            debit: account(debit << 70 | debit),
            credit: account(credit << 70 | credit),
            amount: n * n,
            currency: None,
            kind: if credit % 7 < 2 { TransferKind::Withdrawal } else { TransferKind::Deposit },
            linked: false,
        };
        ledger.execute(1_000 + u64::try_from(n).expect("small"), &[&[request]]).expect("possible");
    }
    let listing = ledger.coordinator.directory().get(account(3 << 70 | 3)).expect("listed");
    let frozen = Record::StatusChanged { slot: listing.slot, status: AccountStatus::Frozen };
    let (next, time_ns) = (ledger.coordinator.next_lsn(), ledger.coordinator.last_time_ns());
    ledger.apply(next, time_ns, &frozen).expect("allowed");
    ledger
}

/// The same with holds: open ones of every sort, and some of those that ended.
fn with_holds(mut ledger: Ledger, count: u128) -> Ledger {
    let now_ns = ledger.coordinator.last_time_ns() + 1;
    let id = |n: u128| TransferId::new(n << 80).expect("not zero");
    let (debit, credit) = (account(1 << 70 | 1), account(2 << 70 | 2));
    for n in 1..=count {
        let hold = HoldRequest {
            id: id(n),
            debit,
            credit,
            amount: n * 1_000,
            currency: None,
            kind: TransferKind::Deposit,
            timeout_ns: u64::try_from(n % 3 * n).expect("small"),
            over_capture_max: n % 5,
            linked: false,
        };
        let capture = CaptureRequest {
            id: id(1_000_000 + n),
            hold: id(n),
            amount: (n % 4 > 0).then_some(n),
            currency: None,
            last: false,
            linked: false,
        };
        let void = VoidRequest { id: id(2_000_000 + n), hold: id(n), linked: false };
        let operation = if n % 6 == 4 { void.into() } else { capture.into() };
        let requests: [Request; 2] = [hold.into(), operation];
        let requests = if n % 2 == 0 { &requests[..] } else { &requests[..1] };
        ledger.execute(now_ns, &[requests]).expect("possible");
    }
    ledger.execute::<Request>(now_ns + 8, &[]).expect("possible");
    assert!(ledger.coordinator.holds().len() > 3);
    ledger
}

/// The same with open holds that are for something which their accounts do not tell, partly captured.
fn with_kinds(mut ledger: Ledger) -> Ledger {
    let now_ns = ledger.coordinator.last_time_ns() + 1;
    let id = |n: u128| TransferId::new(n << 82 | 3).expect("not zero");
    let (debit, credit) = (account(1 << 70 | 1), account(2 << 70 | 2));
    let kinds = [TransferKind::Interest, TransferKind::Adjustment, TransferKind::Deposit];
    for (n, kind) in (1..).zip(kinds) {
        let (amount, currency, linked) = (n * 1_000, None, false);
        let (timeout_ns, over_capture_max) = (0, n << 60);
        let hold = HoldRequest {
            id: id(n),
            debit,
            credit,
            amount,
            currency,
            kind,
            timeout_ns,
            over_capture_max,
            linked,
        };
        let (amount, last) = (Some(n), false);
        let (this, hold_id) = (id(1_000_000 + n), id(n));
        let capture = CaptureRequest { id: this, hold: hold_id, amount, currency, last, linked };
        let requests: [Request; 2] = [hold.into(), capture.into()];
        ledger.execute(now_ns, &[&requests[..]]).expect("possible");
    }
    let said = ledger.coordinator.holds().iter().filter(|hold| hold.kind.is_some());
    assert_eq!(said.count(), 2);
    ledger
}

/// The same with refunds: most in part, some to their end.
fn with_refunds(mut ledger: Ledger, count: u128) -> Ledger {
    let now_ns = ledger.coordinator.last_time_ns() + 1;
    let id = |n: u128| TransferId::new(n << 81 | 1).expect("not zero");
    let (debit, credit) = (account(1 << 70 | 1), account(5 << 70 | 5));
    for n in 1..=count {
        let (moves, kind) = (id(n), TransferKind::Deposit);
        let (currency, linked) = (None, false);
        let amount = n * 10;
        let deposit = TransferRequest { id: moves, debit, credit, amount, currency, kind, linked };
        let refund = |id, amount| RefundRequest {
            id,
            of: moves,
            of_lsn: None,
            amount,
            currency,
            allow_overdraft: true,
            linked,
            original: None,
        };
        let requests: [Request; 3] = [
            deposit.into(),
            refund(id(1_000_000 + n), Some(n)).into(),
            refund(id(2_000_000 + n), None).into(),
        ];
        let requests = if n % 3 == 0 { &requests[..] } else { &requests[..2] };
        ledger.execute(now_ns, &[requests]).expect("possible");
    }
    assert_eq!(ledger.coordinator.refunds().len() as u128, count);
    ledger
}

/// The same with schedules and sagas, some of which have begun.
fn with_driven(mut ledger: Ledger, count: u128) -> Ledger {
    let now_ns = ledger.coordinator.last_time_ns() + 1;
    let payment = Payment {
        debit: account(1 << 70 | 1),
        credit: account(2 << 70 | 2),
        amount: 12,
        currency: None,
        kind: TransferKind::Deposit,
    };
    for n in 1..=count {
        let definition = Definition {
            id: ScheduleId::new(n << 82).expect("not zero"),
            label: format!("schedule {n}"),
            payment,
            calendar: Calendar {
                zone: "Europe/Prague".to_owned(),
                holidays: (0..20).collect(),
                ..Calendar::new(Rule::Months { every: 1, day: 31 })
            },
            start_ns: n as u64 % 2 * (1 << 62),
            end_ns: u64::MAX,
            runs_max: 9,
            retry: Retry::default(),
            missed: Missed::RunOnce,
            grace_ns: 1_000_000_000,
        };
        let id = definition.id;
        ledger.coordinator.define_schedule(definition, now_ns).expect("it can be");
        if n % 3 == 0 {
            let run = ScheduleCommand::Run { number: None };
            ledger.coordinator.command_schedule(id, run, now_ns).expect("it can run");
        }
        let step = |name: &str, action| Step { name: name.to_owned(), action, undo: Undo::Reverse };
        let saga = SagaDefinition {
            id: SagaId::new(n << 83).expect("not zero"),
            label: format!("saga {n}"),
            steps: vec![
                step("ask", Action::Wait { timeout_ns: 1 << 60 }),
                step("pay", Action::Transfer(payment)),
            ],
            back_off: BackOff::default(),
        };
        ledger.coordinator.start_saga(saga, now_ns).expect("it can be");
    }
    ledger.coordinator.drive(now_ns, count as usize);
    ledger
}

/// The same with schedules whose run waits to be tried again: for funds, and because of a floor.
fn with_waiting(mut ledger: Ledger) -> Ledger {
    let now_ns = ledger.coordinator.last_time_ns() + 1;
    for (n, floor) in [(1, None), (2, Some(0))] {
        let id = account(0xe00 + n);
        let currency = CurrencyId(826);
        let spec = AccountSpec { id, currency, overdraft_limit: 0, external: false };
        let bounds = Bounds { floor, ceiling: None };
        ledger.open_with(&Opening { bounds, ..Opening::from(spec) }).expect("new");
        let payment = Payment {
            debit: id,
            credit: account(2 << 70 | 2),
            amount: 6,
            currency: None,
            kind: TransferKind::Transfer,
        };
        let definition = Definition {
            id: ScheduleId::new(0xe00 + n).expect("not zero"),
            label: String::new(),
            payment,
            calendar: Calendar::new(Rule::Once),
            start_ns: now_ns,
            end_ns: u64::MAX,
            runs_max: 0,
            retry: Retry { times: 3, every_ns: 1_000_000_000 },
            missed: Missed::RunAll,
            grace_ns: 1_000_000_000,
        };
        let id = definition.id;
        ledger.coordinator.define_schedule(definition, now_ns).expect("it can be");
        let run = ScheduleCommand::Run { number: None };
        let (_, begun) =
            ledger.coordinator.command_schedule(id, run, now_ns).expect("it can run").expect("new");
        let asked = ledger.coordinator.asked_by(&begun).expect("a transfer");
        ledger.execute(now_ns, &[&[asked]]).expect("possible");
    }
    ledger
}

/// What the runs of those schedules wait behind.
fn waiting_behind(ledger: &Ledger) -> Vec<Option<Rejection>> {
    let schedules = [0xe01, 0xe02].map(|id| ScheduleId::new(id).expect("not zero"));
    let running = schedules.map(|id| ledger.coordinator.schedule(id).expect("kept").running);
    running.map(|run| run.and_then(|run| run.stage.retry()).map(|(_, refused)| refused)).to_vec()
}

fn header(ledger: &mut Ledger) -> SnapshotHeader {
    let state = ledger.begin_export();
    SnapshotHeader {
        ledger: LEDGER,
        shard: SHARD,
        epoch: Epoch(3),
        anchor: ChainPoint { lsn: state.lsn, hash: FrameHash([9; 32]) },
        taken_ns: 1_750_000_000_123_456_789,
        state,
    }
}

fn encoded(ledger: &mut Ledger) -> (Vec<u8>, Summary) {
    let mut encoder = Encoder::new(Vec::new(), header(ledger)).expect("sound");
    while let Some(accounts) = ledger.give_accounts() {
        encoder.accounts(&accounts).expect("sound");
    }
    while let Some(holds) = ledger.coordinator.give_holds(PIECE_HOLDS) {
        encoder.holds(&holds).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give_profiles(PIECE_PROFILES) {
        encoder.profiles(&piece).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give_refunds(PIECE_REFUNDS) {
        encoder.refunds(&piece).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give_driven(PIECE_DRIVEN) {
        encoder.driven(&piece).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give(PIECE_IDS) {
        encoder.ids(&piece).expect("sound");
    }
    encoder.finish().expect("whole")
}

fn verify(bytes: &[u8]) -> Result<Summary, SnapshotError> {
    Reader::new(bytes, Path::new("test.snap"))?.verify()
}

fn fault(refused: Result<Summary, SnapshotError>) -> Fault {
    match refused {
        Err(SnapshotError::Damaged { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

fn store_in(dir: &Path) -> SnapshotStore {
    SnapshotStore::at(dir.join("snapshots"), LEDGER, SHARD)
}

fn write(store: &SnapshotStore, ledger: &mut Ledger) -> Summary {
    let mut file = store.create(header(ledger)).expect("creates");
    while let Some(accounts) = ledger.give_accounts() {
        file.accounts(&accounts).expect("writes");
    }
    while let Some(holds) = ledger.coordinator.give_holds(PIECE_HOLDS) {
        file.holds(&holds).expect("writes");
    }
    while let Some(piece) = ledger.coordinator.give_profiles(PIECE_PROFILES) {
        file.profiles(&piece).expect("writes");
    }
    while let Some(piece) = ledger.coordinator.give_refunds(PIECE_REFUNDS) {
        file.refunds(&piece).expect("writes");
    }
    while let Some(piece) = ledger.coordinator.give_driven(PIECE_DRIVEN) {
        file.driven(&piece).expect("writes");
    }
    while let Some(piece) = ledger.coordinator.give(PIECE_IDS) {
        file.ids(&piece).expect("writes");
    }
    file.finish().expect("whole")
}

/// Written by every format version so far and never to be rewritten: when this fails, old snapshots
/// cannot be read any more.
#[test]
fn the_stored_snapshots_are_read() {
    let digest = "b7b506ac82571debf33a0631983122be003307d9653b6eb5d6938d2fef77acd7";
    stored(include_bytes!("fixtures/snapshot-v1.snap"), digest, first_ledger(20, 60));
    let digest = "c29be44bfe08c5d49c6afbfb222e99bc5c57ffce786704eb225e2d04fe9cf476";
    stored(include_bytes!("fixtures/snapshot-v2.snap"), digest, with_holds(ledger(20, 60), 40));
    let digest = "2caaa1d8dcc4c7de175d8758e64deac6dbac4c8b6d1a7c85930418bf8f169244";
    stored(include_bytes!("fixtures/snapshot-v3.snap"), digest, with_holds(ledger(20, 60), 40));
    let digest = "28e9b8799d699faa512cc8bd0f580c2fa36581baa8c0cef66dcac810f4805e2b";
    let expected = with_driven(with_holds(ledger(20, 60), 40), 12);
    stored(include_bytes!("fixtures/snapshot-v4.snap"), digest, expected);
    let digest = "b8c282a3ccf43a3041e428ba79d2ec3f3a7265745b0e812a79d81e28d6d9405b";
    let expected = with_kinds(with_driven(with_holds(ledger(20, 60), 40), 12));
    stored(include_bytes!("fixtures/snapshot-v5.snap"), digest, expected);
    let digest = "740c681cb62dd9f6a06556c4e222dba906464ac3c6269adeb03f300520f8ae48";
    let expected = with_waiting(with_kinds(with_driven(with_holds(ledger(20, 60), 40), 12)));
    stored(include_bytes!("fixtures/snapshot-v6.snap"), digest, expected);
}

/// Why a run of a schedule waits is in it since version 6.
#[test]
fn the_stored_snapshot_tells_why_runs_wait() {
    let stored = include_bytes!("fixtures/snapshot-v6.snap");
    let mut loaded = loaded(stored);
    let expected = [Rejection::InsufficientFunds, Rejection::DebitAccountFloor].map(Some);
    assert_eq!(waiting_behind(&loaded), expected);
    let now_ns = loaded.coordinator.last_time_ns();
    for (n, refused) in (0xe01..).zip(expected) {
        let id = ScheduleId::new(n).expect("not zero");
        let cancel = ScheduleCommand::Cancel;
        loaded.coordinator.command_schedule(id, cancel, now_ns).expect("active");
        let runs = &loaded.coordinator.schedule(id).expect("kept").runs;
        assert_eq!(runs[0].end, RunEnd::Refused(refused.expect("one")));
    }
}

/// The version of an account is in it since version 3, whatever moved it on last.
#[test]
fn the_stored_snapshot_tells_versions() {
    let stored = include_bytes!("fixtures/snapshot-v3.snap");
    let expected = with_holds(ledger(20, 60), 40);
    let loaded = loaded(stored);
    let views = (0..20).map(Slot).map(|slot| (loaded.view(slot), expected.view(slot)));
    let mut beyond = 0;
    for (loaded, expected) in views {
        assert_eq!(loaded, expected);
        let view = loaded.expect("it is there");
        beyond += u32::from(view.version > view.last_lsn.max(view.opened_lsn));
    }
    assert!(beyond > 0, "holds moved some on");
}

fn stored(stored: &[u8], as_written: &str, mut expected: Ledger) {
    let summary = verify(stored).expect("it is read for good");
    let (hash, totals) = expected.summary();
    assert_eq!((summary.end.state_hash, &summary.end.totals), (hash, &totals));
    assert_eq!(summary.header, header(&mut expected));
    let digest = summary.digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(digest, as_written);
    assert_eq!(loaded(stored).summary(), expected.summary());
}

/// What a start makes of a stored snapshot.
fn loaded(stored: &[u8]) -> Ledger {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = store_in(dir.path());
    fs::create_dir(store.dir()).expect("creates");
    let lsn = verify(stored).expect("it is read for good").header.lsn();
    fs::write(store.path_of(lsn), stored).expect("writes");
    store.load(lsn, 4, 1, REMEMBER_NS).expect("is read").0
}

/// How those holds ended that are closed is in it too.
#[test]
fn the_stored_snapshot_tells_how_holds_ended() {
    let stored = include_bytes!("fixtures/snapshot-v2.snap");
    let mut expected = with_holds(ledger(20, 60), 40);
    let mut loaded = loaded(stored);
    assert_eq!(loaded.check_holds(), Ok(()));
    let void = |n: u128| VoidRequest {
        id: TransferId::new(n << 90).expect("not zero"),
        hold: TransferId::new(n << 80).expect("not zero"),
        linked: false,
    };
    let now_ns = expected.coordinator.last_time_ns();
    let requests: Vec<Request> = (1..=40).map(|n| void(n).into()).collect();
    let [one, other] = [&mut loaded, &mut expected].map(|ledger| {
        let done = ledger.execute(now_ns, &[&requests]).expect("possible");
        done.records
    });
    assert_eq!(one, other);
    for rejection in ["HoldVoided", "HoldExpired", "HoldCaptured"] {
        assert!(format!("{one:?}").contains(rejection), "{rejection}");
    }
}

/// Makes the fixture of a new version.
#[test]
#[ignore = "writes a fixture, once for each version"]
fn write_the_fixture() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/snapshot-v6.snap");
    let mut ledger = with_waiting(with_kinds(with_driven(with_holds(ledger(20, 60), 40), 12)));
    let (bytes, summary) = encoded(&mut ledger);
    fs::write(path, bytes).expect("writes");
    println!("{:02x?}", summary.digest);
}

#[test]
fn what_was_written_is_loaded_on_any_number_of_partitions() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = store_in(dir.path());
    let mut original = with_refunds(with_holds(ledger(9_000, 3_000), 9_000), 5_000);
    original = with_driven(original, 200);
    let written = write(&store, &mut original);
    let lsn = written.header.lsn();
    assert_eq!(store.verify(lsn).expect("is whole"), written);
    assert_eq!(written.bytes, fs::metadata(store.path_of(lsn)).expect("is there").len());
    for partitions in [1, 8, 64] {
        let (mut loaded, summary) = store.load(lsn, partitions, 9, REMEMBER_NS).expect("is whole");
        assert_eq!(summary, written);
        assert_eq!(loaded.summary(), original.summary());
        // Holds lie closer together now; all else is as it was.
        let again = encoded(&mut loaded).1;
        assert_eq!((&again.header, &again.end), (&written.header, &written.end));
        assert_eq!(loaded.check_holds(), Ok(()));
    }
    // Without holds the state alone decides the bytes, not the partitions.
    let mut plain = ledger(9_000, 3_000);
    let written_plain = write(&store, &mut plain);
    let (mut loaded, _) =
        store.load(written_plain.header.lsn(), 8, 9, REMEMBER_NS).expect("is whole");
    assert_eq!(encoded(&mut loaded).1, written_plain);
    let error = store.load(lsn, 2, 9, REMEMBER_NS + 1).map(|_| ()).expect_err("other times");
    assert!(error.is_damage(), "{error}");
}

#[test]
fn every_flipped_bit_is_refused_and_every_cut() {
    let (good, _) = encoded(&mut with_refunds(with_holds(ledger(5, 9), 10), 5));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let error = verify(&bad).map(|_| ()).expect_err("a bit is wrong");
        assert!(error.is_damage(), "bit {bit}: {error}");
    }
    for length in 0..good.len() {
        let error = verify(&good[..length]).map(|_| ()).expect_err("it is cut off");
        assert!(error.is_damage(), "{length} bytes: {error}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(matches!(fault(verify(&longer)), Fault::Trailing));
}

/// Where each block begins, and where the last one ends.
fn block_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![16];
    while let Some(at) = starts.last().copied().filter(|at| at + 16 < bytes.len()) {
        let stored = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().expect("four"));
        starts.push(at + 20 + stored as usize);
    }
    starts
}

#[test]
fn blocks_missing_repeated_or_swapped_are_refused_by_place() {
    let (good, summary) = encoded(&mut with_holds(ledger(9_000, 40), 40));
    let starts = block_starts(&good);
    assert_eq!(starts.len(), summary.blocks as usize + 1);
    let block = |n: usize| &good[starts[n]..starts[n + 1]];
    let of = |order: &[usize]| {
        let mut bytes = good[..16].to_vec();
        order.iter().for_each(|n| bytes.extend_from_slice(block(*n)));
        bytes.extend_from_slice(&good[starts[starts.len() - 1]..]);
        bytes
    };
    let all: Vec<usize> = (0..summary.blocks as usize).collect();
    assert_eq!(of(&all), good);
    for at in 0..all.len() {
        let mut missing = all.clone();
        missing.remove(at);
        let mut twice = all.clone();
        twice.insert(at, at);
        for order in [missing, twice] {
            let error = verify(&of(&order)).map(|_| ()).expect_err("blocks are wrong");
            assert!(error.is_damage(), "{order:?}: {error}");
        }
        for other in 0..at {
            let mut swapped = all.clone();
            swapped.swap(at, other);
            let Err(SnapshotError::Damaged { block, .. }) = verify(&of(&swapped)) else {
                panic!("{swapped:?} passed");
            };
            assert_eq!(block as usize, other, "the first that is wrong is named");
        }
    }
}

#[test]
fn blocks_of_another_snapshot_are_found_by_the_digest() {
    let (one, _) = encoded(&mut ledger(5, 9));
    let mut other = ledger(5, 9);
    let mut encoder = Encoder::new(Vec::new(), {
        let mut header = header(&mut other);
        header.taken_ns += 1;
        header
    })
    .expect("sound");
    while let Some(accounts) = other.give_accounts() {
        encoder.accounts(&accounts).expect("sound");
    }
    while let Some(piece) = other.coordinator.give_profiles(PIECE_PROFILES) {
        encoder.profiles(&piece).expect("sound");
    }
    while let Some(piece) = other.coordinator.give(PIECE_IDS) {
        encoder.ids(&piece).expect("sound");
    }
    let (other, _) = encoder.finish().expect("whole");
    let (ends, starts) = (block_starts(&one), block_starts(&other));
    let mut mixed = one[..ends[1]].to_vec();
    mixed.extend_from_slice(&other[starts[1]..]);
    let length = mixed.len();
    // The trailer says where the end begins.
    let end = (ends[1] + starts[starts.len() - 2] - starts[1]) as u64;
    mixed[length - 16..length - 8].copy_from_slice(&end.to_le_bytes());
    assert!(matches!(fault(verify(&mixed)), Fault::Digest));
}

#[test]
fn only_what_is_finished_appears_and_leftovers_go() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = store_in(dir.path());
    assert!(store.list().expect("nothing is there yet").is_empty());
    let mut ledger = ledger(50, 50);
    let mut file = store.create(header(&mut ledger)).expect("creates");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(store.dir()).expect("lists");
        entries.map(|e| e.expect("lists").file_name().into_string().expect("text")).collect()
    };
    assert!(names().iter().all(|name| name.ends_with(".snap.new")));
    file.accounts(&ledger.give_accounts().expect("accounts")).expect("writes");
    // Ids are missing.
    let error = file.finish().map(|_| ()).expect_err("not whole");
    assert!(matches!(error, SnapshotError::Unsound(_)), "{error}");
    assert!(names().is_empty(), "nothing remains");
    let leftover = store.dir().join("00000000000000000007.snap.new");
    fs::write(&leftover, "cut off").expect("writes");
    let notes = store.dir().join("notes.txt");
    fs::write(&notes, "not ours").expect("writes");
    let lsn = write(&store, &mut ledger).header.lsn();
    assert!(!leftover.exists() && notes.exists());
    assert_eq!(store.list().expect("lists").iter().map(|s| s.lsn).collect::<Vec<_>>(), [lsn]);
}

#[test]
fn what_is_in_anothers_place_does_not_pass_for_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = store_in(dir.path());
    let old = write(&store, &mut ledger(30, 10)).header.lsn();
    let new = write(&store, &mut ledger(30, 20)).header.lsn();
    fs::copy(store.path_of(old), store.path_of(new)).expect("copies");
    let listed = store.list().expect("lists");
    assert_eq!(
        listed.iter().map(|s| (s.lsn, s.header.is_ok())).collect::<Vec<_>>(),
        [(new, false), (old, true)]
    );
    for refused in [store.verify(new).map(|_| ()), store.load(new, 1, 1, REMEMBER_NS).map(|_| ())] {
        let text = refused.expect_err("another's").to_string();
        assert!(text.contains(&format!("it is of LSN {old}")), "{text}");
    }
    let stranger = SnapshotStore::at(store.dir().to_owned(), LedgerId::from_bytes([1; 16]), SHARD);
    let text = stranger.verify(old).map(|_| ()).expect_err("another ledger's").to_string();
    assert!(text.contains("it is of ledger d0d0"), "{text}");
    assert!(matches!(store.verify(Lsn(1)), Err(SnapshotError::Missing(_))));
}

#[test]
fn the_newest_stay_and_what_is_damaged_stays_as_evidence() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = store_in(dir.path());
    let lsns: Vec<Lsn> =
        (1..=5).map(|n| write(&store, &mut ledger(30, n * 10)).header.lsn()).collect();
    let path = store.path_of(lsns[4]);
    let bytes = fs::read(&path).expect("reads");
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("cuts off");
    assert_eq!(store.prune(2).expect("prunes"), [lsns[1], lsns[0]]);
    let left = store.list().expect("lists").into_iter().map(|s| s.lsn).collect::<Vec<_>>();
    assert_eq!(left, [lsns[4], lsns[3], lsns[2]]);
    // Damage that only shows when it is read whole: the one before it must stay.
    let path = store.path_of(lsns[3]);
    let mut bytes = fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("writes");
    assert!(store.list().expect("lists")[1].header.is_ok(), "not seen at first sight");
    assert_eq!(store.prune(0).expect("prunes"), [], "the last that can be used always stays");
    let newest = write(&store, &mut ledger(30, 60)).header.lsn();
    assert_eq!(store.prune(0).expect("prunes"), [lsns[3], lsns[2]]);
    store.verify(newest).expect("stays");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verify(&bytes).is_err());
        bytes.splice(0..0, b"DUCATSNP\x02\0\0\0\0\0\0\0".iter().copied());
        prop_assert!(verify(&bytes).is_err());
    }
}
