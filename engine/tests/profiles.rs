//! What is known of accounts against the plain serial model: who is found by which filter, on
//! pages of any size, now and after replay; and the bound on how much one page looks at.

use ducat_engine::account_event::{Change, Opening};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::model::SerialLedger;
use ducat_engine::money::CurrencyId;
use ducat_engine::profile::{AccountKind, Details, Filter, NormalSide, ProfileChange};
use ducat_engine::testing::book::{Book, replay};
use ducat_engine::testing::cases;
use ducat_engine::testing::workload::{self, Script, Step};
use ducat_engine::transfer::{AccountRejection, AccountSpec, AccountStatus};
use proptest::collection::vec;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    let cases = cases(10_000, 5);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Scripts in which operators do most.
fn scripts() -> impl Strategy<Value = Script> {
    let operators = prop_oneof![200_u8..=231, 240_u8..=241, 252_u8..=255, any::<u8>()];
    let raw = vec((operators, vec(any::<u64>(), 1..3)), 1..40);
    raw.prop_map(|raw| Script::new(&raw))
}

fn filters() -> impl Strategy<Value = Filter> {
    let text = |some: &'static [&'static str]| prop::option::of(prop::sample::select(some));
    let kinds = prop_oneof![
        Just(None),
        Just(Some(AccountKind::Asset)),
        Just(Some(AccountKind::Liability)),
        Just(Some(AccountKind::Income)),
    ];
    let statuses = prop::sample::select(&AccountStatus::ALL[..]);
    (
        text(&["", "anna", "ben"]),
        prop::option::of(kinds),
        text(&["m", "main 2"]),
        prop::collection::btree_map(
            prop::sample::select(&["a", "b"][..]).prop_map(str::to_owned),
            prop::sample::select(&["1", "2"][..]).prop_map(str::to_owned),
            0..2,
        ),
        prop::option::of(prop::sample::select(&[826_u16, 840][..])),
        prop::option::of(statuses),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(owner, kind, label, metadata, currency, status, external)| Filter {
            owner: owner.map(str::to_owned),
            kind,
            label_prefix: label.unwrap_or_default().to_owned(),
            metadata,
            currency: currency.map(CurrencyId),
            status,
            external,
        })
}

/// All accounts a filter asks for, page by page, none of which looks at more than `looks`.
fn find(ledger: &Ledger, filter: &Filter, most: usize, looks: usize) -> Vec<AccountId> {
    let profiles = ledger.coordinator.profiles();
    let end = Slot(ledger.coordinator.directory().len() as u32);
    let mut found = Vec::new();
    let mut next = Some(Slot(0));
    while let Some(from) = next {
        let (slots, then) = profiles.candidates(filter, (from, end), most, looks);
        assert!(slots.len() <= most, "a page is bounded");
        assert!(then.is_none_or(|then| then > from), "pages go on");
        found.extend(slots.into_iter().filter_map(|slot| {
            let view = ledger.view(slot).expect("hosted");
            let details = profiles.get(slot).map(|details| &**details);
            filter.fits(&view, details).then_some(view.spec.id)
        }));
        next = then;
    }
    found
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pages_hold_what_the_model_finds(
        script in scripts(),
        filters in vec(filters(), 1..6),
        most in 1_usize..5,
        looks in 1_usize..5,
    ) {
        let mut book = Book::new(2, u64::MAX);
        let mut model = SerialLedger::new();
        for spec in workload::accounts() {
            model.open_account(&spec);
        }
        let (edge_outside, edge, _) = workload::edge();
        model.set_status(edge, AccountStatus::Active, "").expect("it exists");
        for step in &script.0 {
            match step {
                Step::SetStatus(id, status, why) => {
                    let got = book.set_status(0, *id, *status, why);
                    // The edge accounts hold money that the model was not told of.
                    if [edge, edge_outside].contains(id) && got == Err(AccountRejection::NotEmpty) {
                        continue;
                    }
                    prop_assert_eq!(got, model.set_status(*id, *status, why));
                }
                Step::ChangeProfile(id, change) => {
                    let got = book.change_profile(0, *id, change);
                    prop_assert_eq!(got, model.change_profile(*id, change));
                }
                Step::ChangeLimits(id, change) if ![edge, edge_outside].contains(id) => {
                    let got = book.change_limits(0, *id, change);
                    prop_assert_eq!(got, model.change_limits(*id, change));
                }
                Step::Open(opening) => {
                    prop_assert_eq!(book.open_with(0, opening), model.open_with(opening));
                }
                Step::Submit(_)
                | Step::Wait(_)
                | Step::Define(..)
                | Step::Fee(_)
                | Step::ChangeLimits(..) => {}
            }
        }
        let again = replay(4, u64::MAX, &book.events).expect("what ran live replays");
        prop_assert_eq!(again.summary(), book.ledger.summary());
        for filter in &filters {
            let expected = model.find(filter);
            prop_assert_eq!(&find(&book.ledger, filter, most, looks), &expected, "{:?}", filter);
            prop_assert_eq!(&find(&again, filter, most, looks), &expected, "{:?}", filter);
        }
    }
}

fn id(value: u128) -> AccountId {
    AccountId::new(value).expect("not zero")
}

fn spec(value: u128) -> AccountSpec {
    AccountSpec { id: id(value), currency: CurrencyId(826), overdraft_limit: 0, external: false }
}

#[test]
fn an_opening_is_the_same_whatever_became_of_the_account() {
    let mut ledger = Ledger::new(1, 7, u64::MAX).expect("one");
    let mut opening = Opening::from(spec(1));
    opening.profile.owner = "anna".to_owned();
    let plain = Opening::from(spec(2));
    ledger.open_with(&opening).expect("new");
    ledger.open_with(&plain).expect("new");
    for slot in [Slot(0), Slot(1)] {
        let change = ProfileChange { owner: Some("ben".to_owned()), ..ProfileChange::default() };
        ledger.coordinator.change_profile(slot, &change).expect("in bounds").expect("new");
        ledger.set_status(slot, AccountStatus::Frozen, "why").expect("allowed");
        let limits = LimitsChange {
            overdraft_limit: Some(9),
            ceiling: Some(Some(8)),
            ..LimitsChange::default()
        };
        ledger.change_limits(slot, &limits).expect("allowed").expect("new");
    }
    let same = |slot: u32, opening: &Opening| {
        let view = ledger.view(Slot(slot)).expect("hosted");
        ledger.coordinator.was_opened_so(Slot(slot), &view.spec, opening)
    };
    assert!(same(0, &opening));
    assert!(same(1, &plain));
    assert!(!same(0, &Opening::from(spec(1))), "it had an owner");
    let mut now = opening.clone();
    now.profile.owner = "ben".to_owned();
    assert!(!same(0, &now), "it had another owner");
    assert!(!same(1, &Opening { profile: now.profile, ..plain }), "it had none");
    let overdraft = AccountSpec { overdraft_limit: 9, ..spec(2) };
    assert!(!same(1, &Opening::from(overdraft)), "it had another limit");
}

#[test]
fn an_event_that_does_not_follow_the_one_before_is_impossible() {
    use ducat_engine::account_event::AccountEvent;
    use ducat_engine::record::Record;
    let mut ledger = Ledger::new(1, 7, u64::MAX).expect("one");
    ledger.open_account(&spec(1)).expect("new");
    ledger.set_status(Slot(0), AccountStatus::Frozen, "").expect("allowed");
    let status = |slot, back, reason: &str| {
        let change = Change::Status { status: AccountStatus::Active, reason: reason.to_owned() };
        Record::Account(Box::new(AccountEvent::Changed { slot: Slot(slot), back, change }))
    };
    let apply = |record: &Record| ledger.clone().apply(Lsn(3), 0, record);
    assert_eq!(apply(&status(0, 1, "")), Ok(()));
    assert!(apply(&status(0, 0, "")).is_err(), "it was changed before");
    assert!(apply(&status(0, 2, "")).is_err(), "it was opened there");
    assert!(apply(&status(1, 0, "")).is_err(), "no such account");
    assert!(apply(&status(0, 1, &"x".repeat(513))).is_err(), "too long");
    let keys = (0..33).map(|n| (n.to_string(), String::new())).collect();
    let change = Change::Profile(ProfileChange { set: keys, ..ProfileChange::default() });
    let many = AccountEvent::Changed { slot: Slot(0), back: 1, change };
    assert!(apply(&Record::Account(Box::new(many))).is_err(), "too many keys");
    let plain = AccountEvent::Opened(Opening::from(spec(9)));
    assert!(apply(&Record::Account(Box::new(plain))).is_err(), "a plain opening in long form");
}

#[test]
fn kinds_have_their_normal_sides() {
    let sides = AccountKind::ALL.map(AccountKind::normal_side);
    use NormalSide::{Credit, Debit};
    assert_eq!(sides, [Debit, Credit, Credit, Credit, Debit]);
}

#[test]
fn the_state_hash_sees_what_is_known_and_only_that() {
    let mut ledger = Ledger::new(1, 7, u64::MAX).expect("one");
    ledger.open_account(&spec(1)).expect("new");
    let mut hashes = vec![ledger.summary().0];
    let mut with = |change: &dyn Fn(&mut Ledger)| {
        let mut other = ledger.clone();
        change(&mut other);
        hashes.push(other.summary().0);
    };
    let owner = |ledger: &mut Ledger, owner: &str| {
        let change = ProfileChange { owner: Some(owner.to_owned()), ..ProfileChange::default() };
        ledger.coordinator.change_profile(Slot(0), &change).expect("in bounds");
    };
    with(&|ledger| owner(ledger, "anna"));
    with(&|ledger| owner(ledger, "ben"));
    with(&|ledger| drop(ledger.set_status(Slot(0), AccountStatus::Active, "a")));
    with(&|ledger| drop(ledger.set_status(Slot(0), AccountStatus::Active, "b")));
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 5);
    assert_eq!(Details::default().text_bytes(), 0);
}
