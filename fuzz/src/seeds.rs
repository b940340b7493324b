//! Inputs to begin with: small, valid, and of every kind there is. `examples/seeds.rs` writes
//! them to `corpus/`, where what fuzzing finds is added by hand.

use ducat_api::convert::cursor;
use ducat_api::proto;
use ducat_engine::account_event::Opening;
use ducat_engine::codec::encode;
use ducat_engine::ids::{AccountId, Epoch, Lsn, ShardId, Slot, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::CurrencyId;
use ducat_engine::profile::{AccountKind, Filter, ProfileChange};
use ducat_engine::record::Record;
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use ducat_persistence::archive::format::Head;
use ducat_persistence::archive::{ArchiveStore, FileWriter};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::frame::{
    Frame, FrameHash, FrameHeader, HEADER_BYTES, LAST_OF_APPEND, genesis_hash, seal,
};
use ducat_persistence::mark::{Mark, MarkFile};
use ducat_persistence::{DataDir, LedgerId, Origin, OriginKind, backup};
use prost::Message;

fn account(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

/// The events of a small ledger: an asset, accounts, postings, refusals, a linked group.
fn events() -> Vec<Record> {
    let gbp = CurrencyId(826);
    let mut events = Vec::new();
    let mut ledger = Ledger::new(2, 0, REMEMBER_NS).expect("a power of two");
    for (id, external) in [(1, true), (2, false), (3, false), (u128::MAX, false)] {
        let overdraft_limit = if id == 3 { 500 } else { 0 };
        let spec = AccountSpec { id: account(id), currency: gbp, overdraft_limit, external };
        events.push(ledger.open_account(&spec).expect("new").1);
    }
    let ask = |id, debit, credit, amount, linked| TransferRequest {
        id: TransferId::new(id).expect("not zero"),
        debit: account(debit),
        credit: account(credit),
        amount,
        currency: None,
        kind: if debit == 1 { TransferKind::Deposit } else { TransferKind::Transfer },
        linked,
    };
    let batches = [
        vec![ask(1, 1, 2, 10_000, false), ask(2, 1, 3, 1 << 70, false)],
        vec![ask(3, 2, 3, 70, true), ask(u128::MAX, 3, u128::MAX, 50, false)],
        vec![ask(5, 2, 3, 1 << 80, false), ask(6, 2, 99, 1, false), ask(7, 2, 2, 0, false)],
        vec![ask(8, 2, 3, 1, true), ask(9, 99, 3, 1, false)],
    ];
    for (batch, time_ns) in batches.iter().zip(1..) {
        let done = ledger.execute(time_ns, &[batch]).expect("possible");
        events.extend(done.records.into_iter().map(|(_, record)| record));
    }
    events
}

fn payload(events: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        encode(event, &mut bytes);
    }
    bytes
}

/// Payloads: each event alone, all of them, and an asset.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let events = events();
    let asset = Record::AssetDefined { code: "POINTS".to_owned(), digits: 18 };
    let mut seeds: Vec<_> =
        events.iter().map(|event| payload(std::slice::from_ref(event))).collect();
    seeds.push(payload(&events));
    seeds.push(payload(&[asset]));
    seeds.extend(account_events().iter().map(|event| payload(std::slice::from_ref(event))));
    seeds.push(payload(&account_events()));
    seeds
}

/// What happens to accounts beside transfers.
fn account_events() -> Vec<Record> {
    let mut ledger = Ledger::new(2, 0, REMEMBER_NS).expect("a power of two");
    let mut opening = Opening::from(AccountSpec {
        id: account(5),
        currency: CurrencyId(826),
        overdraft_limit: 7,
        external: false,
    });
    opening.profile.kind = Some(AccountKind::Liability);
    opening.profile.owner = "anna".to_owned();
    opening.profile.metadata.insert("branch".to_owned(), "7".to_owned());
    let change = ProfileChange {
        label: Some("savings \u{20ac}".to_owned()),
        set: [("tier".to_owned(), String::new())].into(),
        remove: ["branch".to_owned()].into(),
        ..ProfileChange::default()
    };
    let opened = ledger.open_with(&opening).expect("new").1;
    let blocked = ledger.set_status(Slot(0), AccountStatus::DebitsBlocked, "asked for");
    let blocked = blocked.expect("allowed").1;
    let changed = ledger.coordinator.change_profile(Slot(0), &change).expect("in bounds");
    let limits = LimitsChange { floor: Some(Some(-5)), ..LimitsChange::default() };
    let limited = ledger.change_limits(Slot(0), &limits).expect("allowed");
    vec![opened, blocked, changed.expect("new").1, limited.expect("new").1]
}

/// Sealed frames.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let events = events();
    let header = FrameHeader {
        flags: LAST_OF_APPEND,
        shard: ShardId(0),
        epoch: Epoch(3),
        first_lsn: Lsn(1),
        record_count: u32::try_from(events.len()).expect("few"),
        time_ns: 1_700_000_000_000_000_000,
        prev_hash: FrameHash([7; 32]),
    };
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend(payload(&events));
    seal(&mut frame, &header);
    let mut least = vec![0; HEADER_BYTES];
    seal(
        &mut least,
        &FrameHeader { flags: 0, record_count: 1, first_lsn: Lsn(u64::MAX - 1), ..header },
    );
    vec![frame, least]
}

/// Frames that continue one another, from the beginning of a ledger.
fn chain(ledger: LedgerId, frames: u64) -> Vec<Frame> {
    let events = events();
    let mut prev_hash = genesis_hash(ledger, ShardId(0));
    let mut first_lsn = Lsn(1);
    let mut chain = Vec::new();
    for number in 0..frames {
        let header = FrameHeader {
            flags: LAST_OF_APPEND,
            shard: ShardId(0),
            epoch: Epoch(1),
            first_lsn,
            record_count: u32::try_from(events.len()).expect("few"),
            time_ns: 1_700_000_000_000_000_000 + number,
            prev_hash,
        };
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend(payload(&events));
        prev_hash = seal(&mut frame, &header);
        first_lsn = header.last_lsn().next();
        chain.push(Frame::parse(&frame).expect("it was sealed"));
    }
    chain
}

/// Archive files: of one frame, and of more than one block.
pub(crate) fn archives() -> Vec<Vec<u8>> {
    let ledger = LedgerId::from_bytes([5; 16]);
    let before = ChainPoint { lsn: Lsn(0), hash: genesis_hash(ledger, ShardId(0)) };
    let file = |frames: &[Frame]| {
        let head = Head { ledger, shard: ShardId(0), before };
        let mut writer = FileWriter::new(Vec::new(), head).expect("in memory");
        frames.iter().for_each(|frame| writer.frame(frame).expect("continues"));
        writer.finish().expect("in memory").0
    };
    vec![file(&chain(ledger, 1)), file(&chain(ledger, 200))]
}

/// Manifests: without files, and with two.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let ledger = LedgerId::from_bytes([5; 16]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = ArchiveStore::open(dir.path().join("archive"), ledger, ShardId(0)).expect("empty");
    let empty = store.manifest().encode();
    for frame in chain(ledger, 2) {
        store.append([Ok(frame)]).expect("archived");
    }
    vec![empty, store.manifest().encode()]
}

/// Manifests of backups: with nothing, and with files, a snapshot and a descent.
pub(crate) fn backups() -> Vec<Vec<u8>> {
    let ledger = LedgerId::from_bytes([5; 16]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = ArchiveStore::open(dir.path().join("archive"), ledger, ShardId(0)).expect("empty");
    for frame in chain(ledger, 2) {
        store.append([Ok(frame)]).expect("archived");
    }
    let empty = backup::Manifest::empty(ledger, ShardId(0), Vec::new());
    let origin = Origin {
        kind: OriginKind::Restore,
        parent: LedgerId::from_bytes([6; 16]),
        lsn: Lsn(4),
        parent_lsn: Lsn(5),
        made_ns: 77,
        state_hash: [9; 32],
        note: "after the fire".to_owned(),
    };
    let anchor = store.end();
    let snapshot = backup::SnapshotEntry { lsn: anchor.lsn, anchor, bytes: 1_234, digest: [5; 32] };
    let full = backup::Manifest {
        sequence: 2,
        time_ns: 1_700_000_000_000_000_000,
        origins: vec![origin],
        snapshots: vec![snapshot],
        files: store.list(),
        ..empty.clone()
    };
    vec![empty.encode(), full.encode()]
}

/// Marks: of a new ledger, and of one with a past.
pub(crate) fn marks() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("mark");
    let start = ChainPoint { lsn: Lsn(0), hash: FrameHash([1; 32]) };
    let new = Mark {
        ledger: LedgerId::from_bytes([5; 16]),
        epoch: Epoch(0),
        durable: start,
        base: start,
    };
    let mut file = MarkFile::create(&path, &new).expect("created");
    let first = std::fs::read(&path).expect("readable");
    let base = ChainPoint { lsn: Lsn(1_000), hash: FrameHash([2; 32]) };
    let durable = ChainPoint { lsn: Lsn(u64::MAX), hash: FrameHash([3; 32]) };
    file.write(&Mark { epoch: Epoch(9), durable, base, ..new }).expect("written");
    vec![first, std::fs::read(&path).expect("readable")]
}

/// The `FORMAT` of a new directory.
pub(crate) fn formats() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    drop(DataDir::create_or_open(dir.path()).expect("created"));
    vec![std::fs::read(dir.path().join("FORMAT")).expect("readable")]
}

/// The mapping files of the product with rows like those of their data sets, and a small one
/// that has everything.
pub(crate) fn mappings() -> Vec<Vec<u8>> {
    let with = |mapping: &str, rows: &str| [mapping.as_bytes(), b"\0", rows.as_bytes()].concat();
    vec![
        with(
            include_str!("../../api/mappings/amlsim.toml"),
            "sourceNodeId,targetNodeId,value,time\n0,7,475.38,1\n3,3,-1,2\n",
        ),
        with(
            include_str!("../../api/mappings/amlsim.toml"),
            "nodeid,isFraud,init_balance,fraudStep\n0,false,100.50,0\nx,true,,1\n",
        ),
        with(
            include_str!("../../api/mappings/berka.toml"),
            "\"trans_id\";\"account_id\";\"date\";\"type\";\"operation\";\"amount\";\"balance\";\
             \"k_symbol\";\"bank\";\"account\"\n695247;2378;930101;\"PRIJEM\";\"VKLAD\";700;700;\
             \"\";\"\";\n695248;2378;930102;\"VYDAJ\";\"VYBER\";12.50;687.5;\"\";\"AB\";41\n",
        ),
        with(
            include_str!("../../api/mappings/uk-payments.toml"),
            "payer,payee,date,amount_gbp\nCouncil,1,2020-01-01,100.25\nCouncil,2,,-3.10\n",
        ),
        with(include_str!("small.toml"), "id;who;what;how\n1;2;1.234,50;cash\n2;x;-7;card\n"),
    ]
}

fn wide(id: u64) -> proto::TransferRequest {
    proto::TransferRequest {
        id,
        id_high: u64::MAX,
        debit_account: 1,
        credit_account: 2,
        credit_account_high: 3,
        amount: "12345678901234567890.12".to_owned(),
        currency: "GBP".to_owned(),
        kind: 1,
        ..Default::default()
    }
}

fn plain(id: u64) -> proto::TransferRequest {
    proto::TransferRequest {
        id,
        debit_account: 2,
        credit_account: 3,
        amount_minor: 100,
        ..Default::default()
    }
}

/// Batches of transfers.
pub(crate) fn transfers() -> Vec<Vec<u8>> {
    let linked = proto::TransferRequest { linked: true, ..plain(3) };
    let points = proto::TransferRequest {
        amount: "0.000000000000000001".to_owned(),
        currency: "POINTS".to_owned(),
        amount_minor: 0,
        ..plain(4)
    };
    let batch =
        |transfers| proto::CreateTransfersRequest { transfers, dry_run: false }.encode_to_vec();
    vec![
        batch(vec![plain(1)]),
        batch(vec![wide(2), linked, points, plain(0)]),
        batch(Vec::new()),
        plain(5).encode_to_vec(),
        batch(operations()),
    ]
}

/// Every operation on a hold, and one with fields that it does not have.
fn operations() -> Vec<proto::TransferRequest> {
    use ducat_api::proto::TransferRequest;
    let id = |n| ducat_engine::ids::TransferId::new(n).expect("not zero");
    let minute = Some(std::time::Duration::from_secs(60));
    let hold = TransferRequest {
        currency: "GBP".to_owned(),
        over_capture_max: "0.50".to_owned(),
        ..TransferRequest::hold(id(6), account(2), account(3), 100, minute)
    };
    let capture = TransferRequest::capture(id(7), id(6), std::num::NonZeroU64::new(50));
    let last = TransferRequest { last: true, ..TransferRequest::capture(id(1 << 70), id(6), None) };
    let (extend, void) =
        (TransferRequest::extend(id(8), id(6), None), TransferRequest::void(id(9), id(6)));
    vec![hold, capture, extend, void, last]
}

/// Accounts to open.
pub(crate) fn accounts() -> Vec<Vec<u8>> {
    let new = |id, currency: &str, limit: &str, external| proto::NewAccount {
        id,
        id_high: id,
        currency: currency.to_owned(),
        overdraft_limit: limit.to_owned(),
        external,
        ..Default::default()
    };
    let known = proto::NewAccount {
        kind: 2,
        owner: "anna".to_owned(),
        label: "savings".to_owned(),
        metadata: [("branch".to_owned(), "7".to_owned())].into(),
        ..new(4, "GBP", "", false)
    };
    let list = |accounts| proto::CreateAccountsRequest { accounts, dry_run: false }.encode_to_vec();
    vec![
        list(vec![new(1, "GBP", "", true), new(2, "JPY", "1000", false)]),
        list(vec![new(3, "POINTS", "0.5", false), new(0, "XYZ", "-1", true)]),
        list(vec![known]),
    ]
}

/// The other requests, behind the byte that says which.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let ids = vec![proto::Id { id: 1, id_high: 0 }, proto::Id { id: 0, id_high: 7 }];
    let of = |which: u8, message: Vec<u8>| [vec![which], message].concat();
    let transfers = vec![wide(1), plain(2)];
    vec![
        of(0, proto::GetTransfersRequest { ids: ids.clone() }.encode_to_vec()),
        of(1, proto::GetAccountsRequest { ids }.encode_to_vec()),
        of(
            2,
            proto::ListAccountsRequest {
                page_size: 5,
                cursor: cursor::accounts(&Filter::default(), Slot(77)),
                filter: None,
            }
            .encode_to_vec(),
        ),
        of(
            3,
            proto::ListEntriesRequest {
                id: 5,
                cursor: cursor::entries(account(5), false, Lsn(9)),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        of(
            4,
            proto::SetAccountStatusRequest { id: 5, status: 2, ..Default::default() }
                .encode_to_vec(),
        ),
        of(
            5,
            proto::DefineAssetRequest { code: "MILES".to_owned(), digits: 3, dry_run: false }
                .encode_to_vec(),
        ),
        of(
            6,
            proto::StreamTransfersRequest { tag: 1, transfers, timeout_ms: 1_000, dry_run: false }
                .encode_to_vec(),
        ),
        of(
            3,
            proto::ListEntriesRequest {
                id: 5,
                from_lsn: 7,
                to_time_ns: 1_000_000_007,
                oldest_first: true,
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        of(
            7,
            proto::SubscribeRequest {
                from_lsn: 9,
                accounts: vec![proto::Id { id: 1, id_high: 0 }],
                kinds: vec![1, 5],
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        of(
            8,
            proto::GetBalanceAtRequest {
                id: 5,
                id_high: 1,
                at: Some(proto::get_balance_at_request::At::Lsn(77)),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
    ]
}
