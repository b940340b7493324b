//! Receipts of every kind of event, held by a stored fixture, and every edit of one refused.

use super::*;
use ducat_engine::ids::{AccountId, Lsn, ShardId, TransferId};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::note::{Day, Note};
use ducat_engine::profile::{AccountKind, Profile, ProfileChange};
use ducat_engine::proof::statement::{
    HoldPlaced, NoteStated, RefundDone, RefundFound, RefundRefused,
};
use ducat_engine::proof::texts;
use ducat_engine::proof::{Hash, Tree, Whose};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::AccountStatus;
use ducat_engine::transfer::BalanceAfter;
use ducat_persistence::FrameHash;
use ducat_persistence::witness::SignKey;

/// Receipts of [`statements`], signed by [`key`], and the public key: what a verifier of
/// another make must take.
const FIXTURE: &str = include_str!("../tests/fixtures/receipts-v1.json");
/// Receipts of [`account_statements`].
const ACCOUNTS_FIXTURE: &str = include_str!("../tests/fixtures/receipts-v1-accounts.json");
/// Receipts of [`noted_statements`], with what was said.
const NOTES_FIXTURE: &str = include_str!("../tests/fixtures/receipts-v1-notes.json");
const PUBLIC_KEY: &str = include_str!("../tests/fixtures/receipts-v1.pub");

fn key() -> SignKey {
    SignKey::from_secret([7; 32])
}

fn statements() -> Vec<Statement> {
    let whose = Whose { ledger: [0xab; 16], shard: ShardId(0) };
    let account = |id| AccountId::new(id).expect("not zero");
    let gbp = CurrencyText::new("GBP", 2).expect("a code");
    let points = CurrencyText::new("POINTS", 18).expect("a code");
    let side = |id, posted, available| Side {
        account: account(id),
        after: Some(BalanceAfter { posted, available }),
    };
    let posted = TransferEvent {
        id: TransferId::new(71).expect("not zero"),
        kind: TransferKind::Deposit,
        linked: false,
        rejection: None,
        amount: 10_005,
        currency: Some(gbp),
        debit: side(1, -10_005, -10_005),
        credit: side(u128::MAX, 10_005, 60_005),
    };
    let unknown = Side { account: account(99), after: None };
    let refused = TransferEvent {
        id: TransferId::new(u128::MAX).expect("not zero"),
        kind: TransferKind::Withdrawal,
        linked: true,
        rejection: Some(Rejection::CreditAccountUnknown),
        amount: u128::MAX,
        currency: Some(points),
        credit: unknown,
        ..posted
    };
    let nobody = TransferEvent {
        kind: TransferKind::Transfer,
        rejection: Some(Rejection::DebitAccountUnknown),
        currency: None,
        debit: unknown,
        ..refused
    };
    let opened = |id, currency, overdraft_limit, external| Event::AccountOpened {
        account: account(id),
        currency,
        overdraft_limit,
        external,
    };
    let status = |status| Event::StatusChanged { account: account(1 << 64), status };
    let events = [
        Event::AssetDefined(points),
        opened(1, gbp, 0, true),
        opened(u128::MAX, gbp, 50_000, false),
        Event::Transfer(posted),
        Event::Transfer(refused),
        Event::Transfer(nobody),
        status(AccountStatus::Frozen),
        status(AccountStatus::Active),
        status(AccountStatus::Closed),
    ];
    numbered(whose, events)
}

fn numbered(whose: Whose, events: impl IntoIterator<Item = Event>) -> Vec<Statement> {
    let statement = |(event, lsn): (Event, u64)| Statement {
        whose,
        lsn: Lsn(lsn),
        time_ns: 1_735_689_600_000_000_000 + lsn,
        note: None,
        event,
    };
    events.into_iter().zip(1..).map(statement).collect()
}

/// What happens to accounts beside transfers.
fn account_statements() -> Vec<Statement> {
    let account = AccountId::new(1 << 64).expect("not zero");
    let profile = Profile {
        kind: Some(AccountKind::Liability),
        owner: "anna".to_owned(),
        ..Profile::default()
    };
    let change = ProfileChange {
        label: Some("\u{20ac}".to_owned()),
        set: [("tier".to_owned(), "gold".to_owned())].into(),
        remove: ["branch".to_owned()].into(),
        ..ProfileChange::default()
    };
    let opened = Event::OpenedInFull {
        account,
        currency: CurrencyText::new("GBP", 2).expect("a code"),
        overdraft_limit: 50_000,
        external: false,
        bounds: Bounds { floor: Some(-40_000), ceiling: None },
        profile: texts::of_opening(&profile),
    };
    let status = |status: AccountStatus| Event::StatusSet {
        account,
        status,
        reason: texts::of_reason("suspected fraud, case 812"),
    };
    let changed = Event::ProfileChanged { account, change: texts::of_change(&change) };
    let limits = |overdraft_limit, bounds| Event::LimitsChanged {
        account,
        limits: Limits { overdraft_limit, bounds },
    };
    let limits = [
        limits(0, Bounds::default()),
        limits(7, Bounds { floor: Some(-7), ceiling: Some(1 << 90) }),
    ];
    let whose = Whose { ledger: [0xab; 16], shard: ShardId(0) };
    let events = [opened].into_iter().chain(AccountStatus::ALL.map(status)).chain([changed]);
    numbered(whose, events.chain(limits))
}

/// Events with notes, and what was said: of a payment, with a value date; of a hold; of a transfer
/// that was refused; of refunds, done and refused. Then events of fees, and of a saga, without.
fn noted_statements() -> (Vec<Statement>, Vec<Option<Note>>) {
    let note = |reference: &str, description: &str, days| Note {
        reference: reference.to_owned(),
        description: description.to_owned(),
        value_date: days,
    };
    let notes = [
        note("INV-1", "two chairs, \u{20ac}", Day::new(-1)),
        note("H-7", "", None),
        note("", "too dear", Some(Day::MAX)),
        note("R-1", "one chair back", None),
        note("R-2", "and the other", None),
    ];
    let plain = statements();
    let Event::Transfer(posted) = plain[3].event else { panic!("a transfer") };
    let Event::Transfer(refused) = plain[4].event else { panic!("a transfer") };
    let placed = HoldPlaced {
        id: TransferId::new(72).expect("not zero"),
        kind: TransferKind::Transfer,
        linked: false,
        amount: 500,
        currency: CurrencyText::new("GBP", 2).expect("a code"),
        timeout_ns: 0,
        over_capture_max: 0,
        debit: posted.credit,
        credit: posted.debit.account,
    };
    let payment = TransferEvent { kind: TransferKind::Payment, ..posted };
    let (done, not_done) = refunds(&posted);
    let events = [
        Event::Transfer(payment),
        Event::HoldPlaced(placed),
        Event::Transfer(refused),
        Event::Refunded(done),
        Event::RefundRefused(not_done),
        Event::RefundRefused(RefundRefused {
            amount: None,
            currency: None,
            found: None,
            ..not_done
        }),
        Event::FeeDecided(FeeDecided {
            of: posted.id,
            rejection: Some(Rejection::LinkedFailed),
            schedule: 3,
            amount: 34,
            currency: placed.currency,
            debit: posted.credit,
            credit: posted.debit,
        }),
        Event::FeesChanged { change: [6; 32] },
        Event::Driven { saga: true, id: 77, what: [7; 32] },
    ];
    let mut statements = numbered(plain[0].whose, events);
    let mut notes = notes.map(Some).to_vec();
    notes.resize(statements.len(), None);
    for (statement, note) in statements.iter_mut().zip(&notes) {
        statement.note = note.as_ref().map(NoteStated::of);
    }
    (statements, notes)
}

/// A refund of a transfer, and one that asks for more than remains.
fn refunds(posted: &TransferEvent) -> (RefundDone, RefundRefused) {
    let done = RefundDone {
        id: TransferId::new(73).expect("not zero"),
        linked: false,
        of: posted.id,
        of_lsn: Lsn(4),
        reversal: false,
        overdraft: true,
        amount: 5_000,
        moved: posted.amount,
        refunded: 5_000,
        currency: CurrencyText::new("GBP", 2).expect("a code"),
        debit: posted.credit,
        credit: posted.debit,
    };
    let found = RefundFound {
        of_lsn: Lsn(4),
        moved: posted.amount,
        refunded: 5_000,
        reversed: false,
        debit: posted.credit,
        credit: posted.debit,
    };
    let refused = RefundRefused {
        id: TransferId::new(74).expect("not zero"),
        linked: true,
        rejection: Rejection::RefundExceeded,
        of: posted.id,
        of_lsn: Some(Lsn(4)),
        amount: Some(9_000),
        overdraft: false,
        currency: Some(done.currency),
        found: Some(found),
    };
    (done, refused)
}

/// Their receipts, which show what was said.
fn noted_texts() -> Vec<String> {
    let (statements, notes) = noted_statements();
    let receipts = receipts_of(&statements).into_iter().zip(notes);
    let noted = receipts.map(|(receipt, note)| Receipt { note, ..receipt });
    noted.map(|receipt| to_text(&receipt).expect("a text")).collect()
}

#[test]
fn what_was_said_is_proved_and_may_be_left_out_but_not_changed() {
    let (texts, key) = (noted_texts(), key().public());
    assert_eq!(format!("[\n{}]\n", texts.join(",\n")), NOTES_FIXTURE);
    for (text, note) in texts.iter().zip(noted_statements().1) {
        let proved = verify(text.as_bytes(), &key).expect("valid");
        let Some(note) = note else {
            assert_eq!((proved.note, proved.words.note_sha256), (None, None));
            continue;
        };
        let shown = proved.note.expect("shown");
        assert_eq!((shown.reference, shown.description), (note.reference, note.description));
        assert_eq!(proved.words.value_date, note.value_date.map(crate::day::text));
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let changed = |change: fn(&mut serde_json::Value)| {
            let mut other = value.clone();
            change(&mut other);
            verify(other.to_string().as_bytes(), &key)
        };
        let hidden = changed(|file| drop(file.as_object_mut().map(|file| file.remove("note"))));
        assert_eq!(hidden.expect("valid").note, None);
        for change in [
            (|file| file["note"]["reference"] = "INV-2".into()) as fn(&mut serde_json::Value),
            |file| file["note"]["description"] = "one chair".into(),
            |file| file["note"]["value_date"] = "2026-01-01".into(),
            |file| file["event"]["value_date"] = "2026-01-01".into(),
            |file| file["event"]["note_sha256"] = "00".into(),
            |file| file["event"]["event"] = "fee".into(),
        ] {
            let refused = changed(change);
            assert!(refused.is_err(), "{:?}", refused.map(|proved| proved.words));
        }
    }
    // Nor is anything said of what was signed without.
    let mut plain: serde_json::Value = serde_json::from_str(&fixture()[3]).expect("JSON");
    plain["note"] = serde_json::json!({ "reference": "", "description": "" });
    let error = verify(plain.to_string().as_bytes(), &key).expect_err("refused");
    assert!(matches!(error, ReceiptError::Differs("note")), "{error}");
}

/// A statement has one form: a note stands before an event of a request, once.
#[test]
fn a_note_stands_where_it_can() {
    let (noted, _) = noted_statements();
    let bytes = noted[0].to_bytes();
    assert_eq!(Statement::decode(&bytes), Ok(noted[0]));
    // The event's number follows 52 bytes of head; the note has 1 + 4 + 32 behind its own.
    assert_eq!((bytes[52], bytes[53], bytes[90]), (110, 1, 1));
    let twice = [&bytes[..90], &bytes[52..]].concat();
    assert_eq!(Statement::decode(&twice), Err(StatementError::Field("event")));
    let no_day = [&bytes[..54], &[0x7f; 4], &bytes[58..]].concat();
    assert_eq!(Statement::decode(&no_day), Err(StatementError::Field("value date")));
    let asset = Statement { note: noted[0].note, ..statements()[0] };
    let refused = Statement::decode(&asset.to_bytes());
    assert_eq!(refused, Err(StatementError::Field("event with a note")));
    assert!(bytes.len() < ducat_engine::proof::statement::STATEMENT_BYTES_MAX);
}

fn receipts() -> Vec<Receipt> {
    receipts_of(&statements())
}

fn receipts_of(statements: &[Statement]) -> Vec<Receipt> {
    let mut scratch = Vec::new();
    let leaves: Vec<Hash> = statements.iter().map(|s| s.leaf(&mut scratch)).collect();
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    let size = leaves.len() as u64;
    let checkpoint = Checkpoint {
        ledger: LedgerId::from_bytes([0xab; 16]),
        shard: ShardId(0),
        lsn: Lsn(size),
        root: tree.root(),
        number: 2,
        journal: FrameHash([3; 32]),
        time_ns: 1_735_689_600_000_000_009,
        signed_ns: 1_735_689_660_000_000_000,
        previous: Some([4; 32]),
    };
    let signed = checkpoint.sign(&key());
    let receipt = |statement: &Statement| Receipt {
        lsn: statement.lsn,
        statement: statement.to_bytes(),
        note: None,
        path: tree.path(statement.lsn.0 - 1, size, &leaves, &leaves).expect("there"),
        checkpoint: signed.clone(),
    };
    statements.iter().map(receipt).collect()
}

fn fixture() -> Vec<String> {
    texts_of(&statements())
}

fn texts_of(statements: &[Statement]) -> Vec<String> {
    receipts_of(statements).iter().map(|receipt| to_text(receipt).expect("a text")).collect()
}

#[test]
fn receipts_are_written_as_they_were_stored_and_prove_what_they_say() {
    assert_eq!(key().public().to_pem().expect("PEM"), PUBLIC_KEY);
    let all = [(statements(), FIXTURE), (account_statements(), ACCOUNTS_FIXTURE)];
    for (statements, stored) in all {
        let texts = texts_of(&statements);
        assert_eq!(format!("[\n{}]\n", texts.join(",\n")), stored);
        for (text, statement) in texts.iter().zip(statements) {
            let proved = verify(text.as_bytes(), &key().public()).expect("valid");
            assert_eq!(proved.statement, statement);
        }
    }
}

/// A reason is proved by whoever has it: with SHA-256 and nothing else.
#[test]
fn a_reason_that_is_shown_is_the_one() {
    let reason = sha2_of(b"suspected fraud, case 812");
    let text = &texts_of(&account_statements())[1];
    assert!(text.contains(&format!("\"reason_sha256\": \"{reason}\"")), "{text}");
    assert!(!text.contains("fraud"));
}

fn sha2_of(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hash: [u8; 32] = sha2::Sha256::digest(bytes).into();
    hex(&hash)
}

#[test]
#[ignore = "writes the fixture anew; only for a new version of the format"]
fn write_the_fixture() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    std::fs::create_dir_all(dir).expect("made");
    let text = format!("[\n{}]\n", fixture().join(",\n"));
    std::fs::write(format!("{dir}/receipts-v1.json"), text).expect("written");
    let text = format!("[\n{}]\n", texts_of(&account_statements()).join(",\n"));
    std::fs::write(format!("{dir}/receipts-v1-accounts.json"), text).expect("written");
    let text = format!("[\n{}]\n", noted_texts().join(",\n"));
    std::fs::write(format!("{dir}/receipts-v1-notes.json"), text).expect("written");
    let pem = key().public().to_pem().expect("PEM");
    std::fs::write(format!("{dir}/receipts-v1.pub"), pem).expect("written");
}

/// Which fault is told depends on the bit; that one is told does not.
#[test]
fn every_bit_counts() {
    let (text, key) = (to_text(&receipts()[3]).expect("a text"), key().public());
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            assert!(verify(&bytes, &key).is_err(), "byte {at}, bit {bit}");
        }
    }
    for cut in (0..text.len() - 1).step_by(7) {
        assert!(verify(&text.as_bytes()[..cut], &key).is_err(), "cut at {cut}");
    }
}

#[test]
fn parts_of_other_receipts_do_not_fit() {
    let all: Vec<serde_json::Value> =
        fixture().iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
    let key = key().public();
    let refused = |value: &serde_json::Value| {
        verify(value.to_string().as_bytes(), &key).expect_err("refused")
    };
    for (field, value) in all[3].as_object().expect("an object") {
        let mut less = all[3].clone();
        less.as_object_mut().expect("an object").remove(field);
        refused(&less);
        for other in &all {
            if &other[field] != value {
                let mut mixed = all[3].clone();
                mixed[field] = other[field].clone();
                refused(&mixed);
            }
        }
    }
    let mut more = all[3].clone();
    more["note"] = "x".into();
    refused(&more);
    more = all[3].clone();
    more["event"]["status"] = serde_json::Value::Null;
    refused(&more);
    // Order and blanks mean nothing.
    assert!(verify(all[3].to_string().as_bytes(), &key).is_ok());
    let other = SignKey::from_secret([8; 32]).public();
    let error = verify(all[3].to_string().as_bytes(), &other).expect_err("refused");
    assert!(matches!(error, ReceiptError::Checkpoint(CheckpointError::OtherKey)), "{error}");
}
