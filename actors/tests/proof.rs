//! Checkpoints and receipts of an engine on its handle: every kind of event proved, starts
//! refused against another history, a witness that goes away and comes back.

mod support;

use ducat_actors::handle::{EngineOptions, Handle, RequestError};
use ducat_actors::proof::offline::Statements;
use ducat_actors::proof::{CheckpointOptions, Contradiction, Receipt};
use ducat_actors::replay::{Until, replay_offline};
use ducat_actors::start::{Engine, StartError};
use ducat_engine::account_event::Opening;
use ducat_engine::audit::{AuditEvent, AuditKind};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::CurrencyId;
use ducat_engine::note::{Day, Note, Noted};
use ducat_engine::profile::{Profile, ProfileChange};
use ducat_engine::proof::merkle::{leaf, root_from_path};
use ducat_engine::proof::statement::{Event, NoteStated};
use ducat_engine::proof::texts;
use ducat_engine::proof::{Statement, Whose};
use ducat_engine::request::{CaptureRequest, ExtendRequest, HoldRequest, Request};
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use ducat_persistence::witness::{CheckpointStore, SignKey, SignedCheckpoint, WitnessError};
use ducat_persistence::{Journal, LedgerId, MemoryJournal};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{BANK, account, capture, id, open, submit, transfer, void};

const LEDGER: LedgerId = LedgerId::from_bytes([5; 16]);

struct Witness {
    dir: tempfile::TempDir,
}

impl Witness {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("witness")).expect("made");
        Self { dir }
    }

    fn store(&self) -> CheckpointStore {
        CheckpointStore::new(&self.dir.path().join("witness"))
    }

    fn tree(&self) -> std::path::PathBuf {
        self.dir.path().join("tree")
    }

    fn options(&self) -> CheckpointOptions {
        CheckpointOptions {
            store: self.store(),
            key: key(),
            every: Duration::from_millis(100),
            ledger: LEDGER,
            tree_file: Some(self.tree()),
        }
    }

    fn all(&self) -> Vec<SignedCheckpoint> {
        let series = self.store().check_all(&key().public(), LEDGER).expect("lists");
        assert!(series.faults.is_empty(), "{:?}", series.faults);
        series.sound
    }
}

fn key() -> SignKey {
    SignKey::from_secret([9; 32])
}

fn journal() -> Arc<MemoryJournal> {
    Arc::new(MemoryJournal::new(LEDGER))
}

async fn try_start(
    journal: &Arc<MemoryJournal>,
    checkpoints: CheckpointOptions,
) -> Result<Engine, StartError> {
    let options = EngineOptions { checkpoints: Some(checkpoints), ..EngineOptions::default() };
    let journal: Arc<dyn Journal> = Arc::clone(journal) as _;
    Engine::start(options, journal, "test", Box::new(|_| {})).await
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(120), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn signed(handle: &Handle) -> Lsn {
    let durable = || handle.status().durable_lsn;
    let newest = || handle.checkpoint_status().expect("signs").lsn;
    until("nothing is signed", || newest() == durable()).await;
    newest()
}

/// Holds a receipt against nothing but itself; what it says.
fn proved(receipt: &Receipt) -> Statement {
    let checkpoint = &receipt.checkpoint.checkpoint;
    receipt.checkpoint.check(&key().public()).expect("signed");
    let (index, size) = (receipt.lsn.0 - 1, checkpoint.lsn.0);
    let root = root_from_path(leaf(&receipt.statement), index, size, &receipt.path);
    assert_eq!(root, Some(checkpoint.root), "LSN {}", receipt.lsn);
    let statement = Statement::decode(&receipt.statement).expect("a statement");
    assert_eq!((statement.lsn, statement.whose.ledger), (receipt.lsn, LEDGER.to_bytes()));
    statement
}

/// Events of every kind, and enough for some tiles.
async fn live(handle: &Handle, batches: u128) {
    handle.define_asset("POINTS".to_owned(), 3).await.expect("up").expect("new");
    open(handle, 4).await;
    let spec = |id, currency, overdraft_limit| AccountSpec {
        id: account(id),
        currency: CurrencyId(currency),
        overdraft_limit,
        external: false,
    };
    handle.create_accounts(vec![spec(10, 1000, 0), spec(11, 392, 700)]).await.expect("up");
    submit(handle, vec![transfer(1, BANK, 2, 1_000_000)]).await;
    let linked = |id, to| TransferRequest { linked: true, ..transfer(id, 2, to, 5) };
    submit(handle, vec![linked(2, 3), transfer(3, 3, 4, 5)]).await;
    submit(handle, vec![linked(4, 3), transfer(5, 3, 4, 9_999_999)]).await;
    let named = TransferRequest { currency: Some(CurrencyId(392)), ..transfer(6, 2, 3, 1) };
    let withdrawal = transfer(7, 2, BANK, 70);
    let strange = TransferRequest { kind: TransferKind::Deposit, ..transfer(8, 2, 3, 1) };
    submit(handle, vec![named, withdrawal, strange, transfer(9, 77, 78, 1)]).await;
    submit(handle, vec![transfer(10, 2, 78, 1), transfer(11, 78, 2, 1), transfer(12, 2, 3, 0)])
        .await;
    holds(handle).await;
    for status in [AccountStatus::Frozen, AccountStatus::Active, AccountStatus::Closed] {
        let why = format!("why {status:?}");
        handle.set_status(account(10), status, why).await.expect("up").expect("allowed");
    }
    let owner = |owner: &str| ProfileChange { owner: Some(owner.to_owned()), ..Default::default() };
    handle.change_profile(account(10), owner("anna")).await.expect("up").expect("allowed");
    let profile = Profile::default().changed(&owner("ben"));
    let opening = Opening { profile, ..Opening::from(spec(12, 826, 0)) };
    handle.open_accounts(vec![opening]).await.expect("up");
    let limits = LimitsChange { floor: Some(Some(0)), ..LimitsChange::default() };
    handle.change_limits(account(10), limits).await.expect("up").expect("allowed");
    let payment = TransferRequest { kind: TransferKind::Payment, ..transfer(30, 2, 3, 1) };
    let said = Request::from(Noted::new(payment, said()).expect("it can be kept"));
    handle.submit(vec![said]).expect("room").answers().await.expect("up");
    handle.audit(vec![access()]).await.expect("up");
    for batch in 0..batches {
        let ids = (0..500).map(|n| 1000 + batch * 500 + n);
        submit(handle, ids.map(|id| transfer(id, 2, 3, 1)).collect()).await;
    }
}

/// What is said of a payment.
fn said() -> Note {
    let (reference, description) = ("INV-1".to_owned(), "two chairs".to_owned());
    Note { reference, description, value_date: Day::new(20_000) }
}

fn access() -> AuditEvent {
    AuditEvent { principal: "anna".to_owned(), ..AuditEvent::new(AuditKind::Read, "a") }
}

/// Holds that end in every way.
async fn holds(handle: &Handle) {
    let ask = async |requests: Vec<Request>| {
        handle.submit(requests).expect("room").answers().await.expect("up")
    };
    let hold = |number, timeout_ns| HoldRequest { timeout_ns, ..support::hold(number, 2, 3, 10) };
    ask(vec![
        hold(20, 0).into(),
        CaptureRequest { linked: true, ..capture(21, 20, Some(4)) }.into(),
        void(22, 20).into(),
        capture(23, 20, None).into(),
    ])
    .await;
    let extend =
        |number| ExtendRequest { id: id(number), hold: id(20), timeout_ns: 5, linked: false };
    ask(vec![hold(24, 1).into(), HoldRequest { credit: account(99), ..hold(25, 0) }.into()]).await;
    let longer = ExtendRequest { hold: id(26), timeout_ns: 0, ..extend(27) };
    ask(vec![hold(26, 60_000_000_000).into(), longer.into(), extend(28).into()]).await;
    until("one expires", || handle.status().open_holds == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_event_is_proved_and_a_restart_goes_on() {
    let (witness, journal) = (Witness::new(), journal());
    let engine = try_start(&journal, witness.options()).await.expect("starts");
    let handle = engine.handle();
    live(&handle, 5).await;
    let last = signed(&handle).await;
    let mut kinds = BTreeSet::new();
    for lsn in (1..55).chain(1023..1026).chain(last.0 - 1..=last.0).map(Lsn) {
        let receipt = handle.receipt(lsn).await.expect("up").expect("there");
        let statement = proved(&receipt);
        assert_eq!(statement.note, receipt.note.as_ref().map(NoteStated::of), "LSN {lsn}");
        kinds.insert(match statement.event {
            Event::Transfer(payment) if statement.note.is_some() => {
                assert_eq!((receipt.note, payment.id), (Some(said()), id(30)));
                "noted".to_owned()
            }
            Event::Transfer(t) => format!("{:?} {:?} {}", t.kind, t.rejection, t.linked),
            Event::AccountOpened { currency, external, .. } => format!("{currency:?} {external}"),
            Event::StatusChanged { .. } => unreachable!("a status is set with its reason"),
            Event::StatusSet { status, reason, .. } => {
                assert_eq!(reason, texts::of_reason(&format!("why {status:?}")));
                format!("{status:?}")
            }
            Event::ProfileChanged { .. } => "changed".to_owned(),
            Event::OpenedInFull { .. } => "opened in full".to_owned(),
            Event::LimitsChanged { limits, .. } => format!("{:?}", limits.bounds.floor),
            Event::AssetDefined(currency) => format!("{currency:?}"),
            Event::HoldPlaced(placed) => format!("placed {:?}", placed.kind),
            Event::HoldCaptured(captured) => format!("captured {}", captured.linked),
            Event::HoldVoided(_) => "voided".to_owned(),
            Event::HoldExtended(_) => "extended".to_owned(),
            Event::HoldExpired(_) => "expired".to_owned(),
            Event::Audited { access: told } => {
                assert_eq!(told, texts::of_audit(&access()));
                "audited".to_owned()
            }
            Event::Refunded(_) | Event::RefundRefused(_) => "refunds".to_owned(),
            Event::Driven { saga, .. } => format!("driven {saga}"),
            Event::FeeDecided(_) | Event::FeesChanged { .. } => "fees".to_owned(),
            Event::HoldRefused(refused) => {
                format!("{:?} {}", refused.rejection, refused.debit.is_some())
            }
        });
    }
    for kind in [
        "POINTS/3",
        "GBP/2 true",
        "GBP/2 false",
        "POINTS/3 false",
        "JPY/0 false",
        "Frozen",
        "Active",
        "Closed",
        "changed",
        "opened in full",
        "audited",
        "Some(0)",
        "noted",
        "Deposit None false",
        "Transfer None true",
        "Withdrawal None false",
        "Transfer Some(LinkedFailed) true",
        "Transfer Some(InsufficientFunds) false",
        "Transfer Some(CurrencyMismatch) false",
        "Deposit Some(KindMismatch) false",
        "Transfer Some(DebitAccountUnknown) false",
        "Transfer Some(CreditAccountUnknown) false",
        "Transfer Some(AmountZero) false",
        "placed Transfer",
        "captured true",
        "voided",
        "extended",
        "expired",
        "HoldVoided false",
        "CreditAccountUnknown true",
    ] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    assert_eq!(handle.receipt(last.next()).await.expect("up"), None);
    assert_eq!(handle.receipt(Lsn::ZERO).await.expect("up"), None);
    engine.shutdown().await.expect("drains");

    // The tree's hashes as they were, none, of another content, and of nothing.
    let number = witness.all().len() as u64;
    let bytes = std::fs::read(witness.tree()).expect("kept");
    assert!(bytes.len() >= 36 + 2 * 32, "two tiles are kept");
    let mut other = bytes.clone();
    other[40] ^= 1;
    for (round, tree) in
        [Some(bytes.clone()), None, Some(other), Some(vec![1; 90])].iter().enumerate()
    {
        match tree {
            Some(tree) => std::fs::write(witness.tree(), tree).expect("written"),
            None => std::fs::remove_file(witness.tree()).expect("there"),
        }
        let journal = Arc::new(journal.reopen());
        let engine = try_start(&journal, witness.options()).await.expect("starts");
        let handle = engine.handle();
        until("it goes on", || handle.checkpoint_status().expect("signs").number >= number).await;
        let receipt = handle.receipt(Lsn(3)).await.expect("up").expect("there");
        assert_eq!(receipt.checkpoint, witness.all()[number as usize - 1], "round {round}");
        proved(&receipt);
        drop(engine);
    }
}

/// What the tree over the whole journal says of these checkpoints: how many differ, how many
/// are ahead.
fn hold(journal: &MemoryJournal, checkpoints: Vec<SignedCheckpoint>) -> (usize, usize) {
    let whose = Whose { ledger: LEDGER.to_bytes(), shard: ShardId(0) };
    let mut statements = Statements::new(whose, checkpoints);
    let mut ledger = Ledger::new(1, 0, REMEMBER_NS).expect("a power of two");
    let none = Box::new(|_: &_| {});
    let whole = Until::default();
    replay_offline(journal, ShardId(0), &mut ledger, whole, &mut statements, none).expect("sound");
    (statements.differ().len(), statements.ahead().len())
}

async fn refused(journal: &Arc<MemoryJournal>, witness: &Witness) -> Contradiction {
    match try_start(journal, witness.options()).await.err().expect("refused") {
        StartError::Checkpoints(contradiction) => contradiction,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_is_neither_started_nor_found_sound() {
    let (witness, journal) = (Witness::new(), journal());
    let run = |journal: Arc<MemoryJournal>, amount: u128, count: u128| async move {
        let options = EngineOptions::default();
        let as_journal: Arc<dyn Journal> = Arc::clone(&journal) as _;
        let engine =
            Engine::start(options, as_journal, "test", Box::new(|_| {})).await.expect("up");
        let handle = engine.handle();
        open(&handle, 3).await;
        for id in 1..=count {
            submit(&handle, vec![transfer(id, BANK, 2, amount)]).await;
        }
        engine.shutdown().await.expect("drains");
        Arc::new(journal.reopen())
    };
    let engine = try_start(&journal, witness.options()).await.expect("starts");
    let handle = engine.handle();
    open(&handle, 3).await;
    for id in 1..=4 {
        submit(&handle, vec![transfer(id, BANK, 2, 100)]).await;
    }
    engine.shutdown().await.expect("drains");
    let all = witness.all();
    assert_eq!(all.last().expect("signed").checkpoint.lsn, Lsn(7), "an orderly stop signs");
    assert_eq!(hold(&journal.reopen(), all.clone()), (0, 0));

    // As many events, one cent more in each; everything else about the journal is in order.
    let newest = vec![all.last().expect("signed").clone()];
    let rewritten = run(self::journal(), 101, 4).await;
    assert_eq!(hold(&rewritten, newest.clone()), (1, 0));
    assert!(matches!(refused(&rewritten, &witness).await, Contradiction::Rewritten { .. }));
    // An honest ledger of the past.
    let older = run(self::journal(), 100, 2).await;
    assert_eq!(hold(&older, newest.clone()), (0, 1));
    assert!(matches!(refused(&older, &witness).await, Contradiction::OlderCopy { .. }));
    // Another ledger.
    let foreign = CheckpointOptions { ledger: LedgerId::from_bytes([6; 16]), ..witness.options() };
    let error = try_start(&Arc::new(journal.reopen()), foreign).await.err().expect("refused");
    let other_ledger = matches!(
        error,
        StartError::Checkpoints(Contradiction::Witness(WitnessError::OtherLedger { .. }))
    );
    assert!(other_ledger, "{error:?}");

    // Signed with the true key over the journal's true hash, but another root: nothing is
    // signed after it, and no receipt is made.
    let mut forged = newest[0].checkpoint.clone();
    forged.root = [1; 32];
    let forged = forged.sign(&key());
    std::fs::write(witness.store().path_of(forged.checkpoint.number), forged.to_text())
        .expect("written");
    assert_eq!(hold(&journal.reopen(), vec![forged]), (1, 0));
    let engine = try_start(&Arc::new(journal.reopen()), witness.options()).await.expect("starts");
    let handle = engine.handle();
    let failure = || handle.checkpoint_status().expect("signs").failure;
    until("it fails", || failure().is_some()).await;
    assert!(failure().expect("failed").contains("another root"), "{:?}", failure());
    let error = handle.receipt(Lsn(1)).await.expect_err("none");
    assert!(matches!(error, RequestError::NotSigned(_)), "{error:?}");
    drop(engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_goes_away_stops_nobody_and_is_caught_up_with() {
    let (witness, journal) = (Witness::new(), journal());
    let engine = try_start(&journal, witness.options()).await.expect("starts");
    let handle = engine.handle();
    open(&handle, 3).await;
    signed(&handle).await;
    let (dir, away) = (witness.dir.path().join("witness"), witness.dir.path().join("away"));
    std::fs::rename(&dir, &away).expect("moved");
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let failure = || handle.checkpoint_status().expect("signs").failure;
    until("it fails", || failure().is_some()).await;
    let outcomes = submit(&handle, vec![transfer(2, 2, 3, 10)]).await;
    assert_eq!(outcomes[0].rejection, None, "transfers go on");
    // An empty directory in its place, as of a mount that is away, is no new beginning.
    std::fs::create_dir(&dir).expect("made");
    until("it sees", || failure().is_some_and(|text| text.contains("not mounted"))).await;
    std::fs::remove_dir(&dir).expect("still empty");
    std::fs::rename(&away, &dir).expect("moved back");
    assert_eq!(signed(&handle).await, Lsn(5));
    assert_eq!(failure(), None);
    proved(&handle.receipt(Lsn(4)).await.expect("up").expect("there"));
    engine.shutdown().await.expect("drains");
    witness.all();
}

/// Which fault is told depends on the bit; that one is told does not.
#[test]
fn every_bit_of_a_checkpoint_counts() {
    let witness = Witness::new();
    let checkpoint = ducat_persistence::witness::Checkpoint {
        ledger: LEDGER,
        shard: ShardId(0),
        lsn: Lsn(1200),
        root: [1; 32],
        number: 1,
        journal: ducat_persistence::FrameHash([2; 32]),
        time_ns: 17,
        signed_ns: 18,
        previous: None,
    };
    witness.store().write(&checkpoint.sign(&key())).expect("written");
    assert_eq!(witness.all().len(), 1);
    let path = witness.store().path_of(1);
    let text = std::fs::read(&path).expect("reads");
    let sound = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).expect("written");
        let series = witness.store().check_all(&key().public(), LEDGER).expect("lists");
        assert_eq!(series.faults.is_empty(), !series.sound.is_empty());
        series.faults.is_empty()
    };
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone();
            bytes[at] ^= 1 << bit;
            assert!(!sound(&path, &bytes), "byte {at}, bit {bit}");
        }
        assert!(!sound(&path, &text[..at]), "cut at {at}");
        let doubled = [&text[..at], &text[at..=at], &text[at..]].concat();
        assert!(!sound(&path, &doubled), "byte {at} twice");
    }
    assert!(sound(&path, &text));
}
