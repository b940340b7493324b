//! Snapshots against full replay: a ledger built from a snapshot and the events after it is
//! the one that all events lead to, whenever the snapshot was begun, however its pieces were
//! taken while transfers went on, and whatever was forgotten meanwhile.
//!
//! `DUCAT_CASES` sets the number of cases, as for `serial_equivalence`.

use ducat_engine::account::Account;
use ducat_engine::holds::{Closed, Hold};
use ducat_engine::ids::{Lsn, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::CurrencyId;
use ducat_engine::profile::{Details, ProfileChange};
use ducat_engine::request::Request;
use ducat_engine::snapshot::{
    Age, End, Head, IdsPiece, PIECE_HOLDS, PIECE_IDS, ProfilesPiece, RefundsPiece, Restore, Tally,
    Unsound, codec, details, interleave,
};
use ducat_engine::testing::book::{self, Event, filled};
use ducat_engine::testing::fees::FeeStep;
use ducat_engine::testing::rng::Rng;
use ducat_engine::testing::workload::{self, Script, Step};
use ducat_engine::testing::{cases, same_outcomes};
use ducat_engine::transfer::Outcome;
use proptest::collection::vec;
use proptest::prelude::*;

/// Pauses between ids count as a 24th of it at most: so after 24 moments ids pass.
const REMEMBER_NS: u64 = 24;

fn config() -> ProptestConfig {
    let cases = cases(10_000, 3);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn scripts(most: usize) -> impl Strategy<Value = Script> {
    let raw = vec((any::<u8>(), vec(any::<u64>(), 1..5)), 1..most);
    raw.prop_map(|raw| Script::in_full(&raw))
}

/// A snapshot on its way: what was given so far, by partition.
struct Taking {
    head: Head,
    accounts: Vec<Vec<Vec<Account>>>,
    holds: Vec<Vec<Hold>>,
    profiles: ProfilesPiece,
    refunds: RefundsPiece,
    ids: Vec<IdsPiece>,
    ids_in_piece: usize,
    whole: bool,
}

impl Taking {
    fn begin(ledger: &mut Ledger, rng: &mut Rng) -> Self {
        let piece = 1 + rng.below(3);
        ledger.partitions.iter_mut().for_each(|partition| partition.begin_export(piece));
        Self {
            head: ledger.coordinator.begin_export(),
            accounts: vec![Vec::new(); ledger.partitions.len()],
            holds: Vec::new(),
            profiles: Vec::new(),
            refunds: Vec::new(),
            ids: Vec::new(),
            ids_in_piece: 1 + rng.below(4),
            whole: false,
        }
    }

    /// Takes a piece from somewhere.
    fn take(&mut self, ledger: &mut Ledger, rng: &mut Rng) {
        let many = ledger.partitions.len();
        let from = rng.below(many + 4);
        match ledger.partitions.get_mut(from) {
            Some(partition) => self.accounts[from].extend(partition.give()),
            None if from == many => {
                self.holds.extend(ledger.coordinator.give_holds(self.ids_in_piece));
            }
            None if from == many + 1 => {
                self.profiles.extend(ledger.coordinator.give_profiles(1).into_iter().flatten());
            }
            None if from == many + 2 => {
                self.refunds.extend(ledger.coordinator.give_refunds(1).into_iter().flatten());
            }
            None => self.ids.extend(ledger.coordinator.give(self.ids_in_piece)),
        }
    }

    fn take_all(&mut self, ledger: &mut Ledger) {
        for (partition, given) in ledger.partitions.iter_mut().zip(&mut self.accounts) {
            given.extend(std::iter::from_fn(|| partition.give()));
        }
        while let Some(piece) = ledger.coordinator.give_profiles(2) {
            self.profiles.extend(piece);
        }
        while let Some(piece) = ledger.coordinator.give_refunds(2) {
            self.refunds.extend(piece);
        }
        let most = self.ids_in_piece;
        self.holds.extend(std::iter::from_fn(|| ledger.coordinator.give_holds(most)));
        self.ids.extend(std::iter::from_fn(|| ledger.coordinator.give(most)));
        self.whole = true;
    }

    /// The pieces in the order of slots, as bytes and back.
    fn pieces(&self) -> Vec<Vec<Account>> {
        let most = self.accounts.iter().map(Vec::len).max().unwrap_or(0);
        let mut next = 0;
        let pieces = (0..most).map(|number| {
            let of = |given: &Vec<Vec<Account>>| given.get(number).cloned().unwrap_or_default();
            let piece = interleave(self.accounts.iter().map(of).collect());
            let mut bytes = Vec::new();
            piece.iter().for_each(|account| codec::put_account(account, &mut bytes));
            let read = codec::take_accounts(&bytes, next).expect("it was encoded");
            assert_eq!(read, piece);
            next += read.len() as u64;
            read
        });
        pieces.collect()
    }

    fn hold_pieces(&self, currency: impl Fn(Slot) -> Option<CurrencyId>) -> Vec<Vec<Hold>> {
        let read = self.holds.iter().map(|piece| {
            let mut bytes = Vec::new();
            piece.iter().for_each(|hold| codec::put_hold(hold, &mut bytes));
            assert!(bytes.len() <= piece.len() * codec::HOLD_BYTES_MAX);
            let read = codec::take_holds(&bytes, &currency).expect("it was encoded");
            assert_eq!(read, *piece);
            read
        });
        read.collect()
    }

    fn profiles(&self) -> ProfilesPiece {
        let mut bytes = Vec::new();
        details::put_profiles(&self.profiles, &mut bytes);
        let read = details::take_profiles(&bytes).expect("it was encoded");
        assert_eq!(read, self.profiles);
        read
    }

    fn refunds(&self) -> RefundsPiece {
        let mut bytes = Vec::new();
        codec::put_refunds(&self.refunds, &mut bytes);
        assert!(bytes.len() <= self.refunds.len() * codec::REFUND_BYTES_MAX);
        let read = codec::take_refunds(&bytes).expect("it was encoded");
        assert_eq!(read, self.refunds);
        read
    }

    fn id_pieces(&self) -> Vec<IdsPiece> {
        let read = self.ids.iter().map(|piece| {
            let mut bytes = Vec::new();
            codec::put_ids(piece, &mut bytes);
            let read = codec::take_ids(&bytes).expect("it was encoded");
            assert_eq!(read, *piece);
            read
        });
        read.collect()
    }

    fn head(&self) -> Head {
        let mut bytes = Vec::new();
        codec::put_head(&self.head, &mut bytes);
        assert_eq!(codec::take_head(&bytes).expect("it was encoded"), self.head);
        self.head.clone()
    }

    /// What all pieces add up to.
    fn end(&self) -> End {
        let mut tally = Tally::new(self.head()).expect("sound");
        self.pieces().iter().for_each(|piece| tally.accounts(piece).expect("sound"));
        self.holds.iter().for_each(|piece| tally.holds(piece).expect("sound"));
        tally.profiles(&self.profiles()).expect("sound");
        tally.refunds(&self.refunds()).expect("sound");
        self.id_pieces().iter().for_each(|piece| tally.ids(piece).expect("sound"));
        let end = tally.finish().expect("whole");
        let mut bytes = Vec::new();
        codec::put_end(&end, &mut bytes);
        assert_eq!(codec::take_end(&bytes).expect("it was encoded"), end);
        end
    }

    fn restore(&self, partitions: usize, remember_ns: u64) -> Result<Ledger, Unsound> {
        assert!(self.whole);
        let mut restore = Restore::new(&self.head(), partitions, 99, remember_ns)?;
        for piece in self.pieces() {
            restore.accounts.put(piece)?;
        }
        for piece in self.hold_pieces(|slot| restore.accounts.currency(slot)) {
            restore.accounts.put_holds(&piece)?;
        }
        restore.accounts.put_profiles(self.profiles())?;
        restore.accounts.put_refunds(&self.refunds())?;
        for piece in self.id_pieces() {
            restore.ids.put(&piece)?;
        }
        restore.finish(&self.end())
    }
}

/// Every id that is remembered, how long it will be, its event, and how its hold ended.
fn remembered(ledger: &mut Ledger) -> Vec<(Age, TransferId, Lsn, Option<Closed>)> {
    ledger.coordinator.begin_export();
    let closed = |p: &IdsPiece, at: usize| {
        let found = p.closed.iter().find(|(place, _)| *place as usize == at);
        found.map(|(_, closed)| *closed)
    };
    std::iter::from_fn(|| ledger.coordinator.give(PIECE_IDS))
        .flat_map(|p| {
            let all = p.pairs().enumerate();
            all.map(|(at, (id, lsn))| (p.age, id, lsn, closed(&p, at))).collect::<Vec<_>>()
        })
        .collect()
}

/// Every open hold, by id.
fn open_holds(ledger: &mut Ledger) -> Vec<Hold> {
    ledger.coordinator.begin_export();
    let pieces = std::iter::from_fn(|| ledger.coordinator.give_holds(PIECE_HOLDS));
    let mut all: Vec<Hold> = pieces.flatten().collect();
    all.sort_unstable_by_key(|hold| hold.id);
    all
}

/// Fails unless two ledgers are the same in everything that anybody can ever notice.
fn same(one: &mut Ledger, other: &mut Ledger) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.summary(), other.summary());
    prop_assert_eq!(remembered(one), remembered(other));
    prop_assert_eq!(open_holds(one), open_holds(other));
    prop_assert!(one.coordinator.refunds().iter().eq(other.coordinator.refunds().iter()));
    prop_assert_eq!((one.check_holds(), other.check_holds()), (Ok(()), Ok(())));
    let next = [&*one, &*other].map(|ledger| ledger.coordinator.holds().next_expiry_ns());
    prop_assert_eq!(next[0], next[1]);
    prop_assert_eq!(one.coordinator.next_lsn(), other.coordinator.next_lsn());
    prop_assert_eq!(one.coordinator.currencies(), other.coordinator.currencies());
    prop_assert_eq!(one.coordinator.begin_export().ids, other.coordinator.begin_export().ids);
    for (slot, account) in one.partitions.iter().flat_map(|partition| partition.accounts()) {
        prop_assert_eq!(Some(account.view()), other.view(slot));
        let details = [&*one, &*other].map(|l| l.coordinator.profiles().get(slot));
        prop_assert_eq!(details[0], details[1]);
        let listings = [&*one, &*other].map(|l| l.coordinator.directory().get(account.id()));
        prop_assert_eq!(listings[0], listings[1]);
    }
    Ok(())
}

fn applied(mut ledger: Ledger, events: &[Event]) -> Ledger {
    for event in events {
        ledger.apply(event.lsn, event.time_ns, &event.record).expect("it happened");
    }
    ledger
}

/// A live ledger and its journal.
struct Live {
    ledger: Ledger,
    events: Vec<Event>,
    now_ns: u64,
}

impl Live {
    fn note(&mut self, lsn: Lsn, record: ducat_engine::record::Record) {
        let time_ns = self.ledger.coordinator.time(self.now_ns);
        self.events.push(Event { lsn, time_ns, record });
    }

    fn submit(&mut self, requests: &[Request]) -> Vec<Outcome> {
        let read = |lsn| book::read(&self.events, lsn);
        let done = self.ledger.execute_reading(self.now_ns, &[requests], read).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter().map(|(lsn, record)| Event { lsn, time_ns, record });
        self.events.extend(events);
        let answer = done.answers.into_iter().next().expect("one submission, one answer");
        filled(answer, &self.events)
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Submit(requests) => drop(self.submit(requests)),
            Step::Wait(ns) => self.now_ns += ns,
            Step::Open(opening) => {
                if let Ok((lsn, record)) = self.ledger.open_with(opening) {
                    self.note(lsn, record);
                }
            }
            Step::ChangeProfile(id, change) => {
                let Some(listing) = self.ledger.coordinator.directory().get(*id) else { return };
                let changed = self.ledger.coordinator.change_profile(listing.slot, change);
                if let Ok(Some((lsn, record))) = changed {
                    self.note(lsn, record);
                }
            }
            Step::Fee(FeeStep::Define(schedule)) => {
                let defined = self.ledger.coordinator.define_fee(schedule.clone());
                if let Ok(Some((lsn, record))) = defined {
                    self.note(lsn, record);
                }
            }
            Step::Fee(FeeStep::Attach(target, name)) => {
                let attached = self.ledger.coordinator.attach_fee(*target, *name);
                if let Ok(Some((lsn, record))) = attached {
                    self.note(lsn, record);
                }
            }
            Step::Define(code, digits) => {
                if let Ok((_, Some((lsn, record)))) =
                    self.ledger.coordinator.define_asset(code, *digits)
                {
                    self.note(lsn, record);
                }
            }
            Step::ChangeLimits(id, change) => {
                let Some(listing) = self.ledger.coordinator.directory().get(*id) else { return };
                if let Ok(Some((lsn, record))) = self.ledger.change_limits(listing.slot, change) {
                    self.note(lsn, record);
                }
            }
            Step::SetStatus(id, status, why) => {
                let Some(listing) = self.ledger.coordinator.directory().get(*id) else { return };
                if let Ok((lsn, record)) = self.ledger.set_status(listing.slot, *status, why) {
                    self.note(lsn, record);
                }
            }
        }
    }
}

/// Plays a script with ids that are soon forgotten, with snapshots on the way.
fn play(script: &[Step], seed: u64, forgotten: &mut usize) -> Result<(), TestCaseError> {
    let mut rng = Rng::new(seed);
    let partitions = 1 << rng.below(4);
    let empty = || Ledger::new(partitions, 7, REMEMBER_NS).expect("a power of two");
    let mut live = Live { ledger: empty(), events: Vec::new(), now_ns: 1_000 };
    for spec in workload::accounts() {
        live.act(&Step::Open(spec.into()));
    }
    let mut taking = None;
    let mut taken = Vec::new();
    for step in script {
        if taking.is_none() && taken.len() < 2 && rng.once_in(4) {
            taking = Some(Taking::begin(&mut live.ledger, &mut rng));
        }
        live.now_ns += rng.below(4) as u64;
        live.act(step);
        if let Some(current) = &mut taking {
            (0..rng.below(4)).for_each(|_| current.take(&mut live.ledger, &mut rng));
            if rng.once_in(20) {
                current.take_all(&mut live.ledger);
                taken.extend(taking.take());
            }
        }
    }
    if let Some(mut last) = taking {
        last.take_all(&mut live.ledger);
        taken.push(last);
    }
    let mut full = applied(empty(), &live.events);
    same(&mut live.ledger, &mut full)?;
    *forgotten += live.events.iter().filter(|event| event.record.transfer_id().is_some()).count()
        - remembered(&mut full).len();
    for mut snapshot in taken {
        // As when the head is written: the time of the event, which the journal knows.
        let before = &live.events[..snapshot.head.lsn.0 as usize];
        snapshot.head.time_ns = before.last().expect("accounts were opened").time_ns;
        let mut then = applied(empty(), before);
        let mut restored = snapshot.restore(1 << rng.below(4), REMEMBER_NS).expect("sound");
        same(&mut then, &mut restored)?;
        prop_assert_eq!(then.coordinator.last_time_ns(), restored.coordinator.last_time_ns());
        let end = snapshot.end();
        prop_assert_eq!((end.state_hash, end.totals), then.summary());
        let mut restored = applied(restored, &live.events[before.len()..]);
        same(&mut full, &mut restored)?;
        asked_again(script, &full, restored, &live)?;
    }
    Ok(())
}

/// All of it again: what was forgotten happens again, what was not is answered again, alike.
fn asked_again(
    script: &[Step],
    full: &Ledger,
    restored: Ledger,
    live: &Live,
) -> Result<(), TestCaseError> {
    let again = |ledger| Live { ledger, events: live.events.clone(), now_ns: live.now_ns };
    let (mut one, mut other) = (again(full.clone()), again(restored));
    for step in script {
        if let Step::Submit(requests) = step {
            let answers = [&mut one, &mut other].map(|live| live.submit(requests));
            prop_assert!(same_outcomes(&answers[0], &answers[1]));
            prop_assert_eq!(&answers[0], &answers[1]);
        }
    }
    prop_assert_eq!(one.events, other.events);
    same(&mut one.ledger, &mut other.ledger)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_snapshot_and_what_follows_is_full_replay(script in scripts(80), seed in any::<u64>()) {
        play(&script.0, seed, &mut 0)?;
    }
}

#[test]
fn the_property_does_forget_ids_between() {
    let mut rng = Rng::new(3);
    let mut forgotten = 0;
    for seed in 0..80 {
        let raw: Vec<(u8, Vec<u64>)> =
            (0..160).map(|_| (rng.next() as u8, vec![rng.next(), rng.next()])).collect();
        play(&Script::in_full(&raw).0, seed, &mut forgotten).expect("as by full replay");
    }
    assert!(forgotten > 100, "{forgotten}");
}

/// A small snapshot, for spoiling.
fn sample() -> Taking {
    let mut live = Live {
        ledger: Ledger::new(2, 7, REMEMBER_NS).expect("two"),
        events: Vec::new(),
        now_ns: 1_000,
    };
    for spec in workload::accounts() {
        live.act(&Step::Open(spec.into()));
    }
    live.act(&Step::Define("GOLD", 3));
    for slot in [1, 4, 8] {
        let set = [("team".to_owned(), slot.to_string())].into();
        let change = ProfileChange { set, ..ProfileChange::default() };
        live.act(&Step::ChangeProfile(workload::account(slot), change));
    }
    let ceiling = LimitsChange { ceiling: Some(Some(1 << 70)), ..LimitsChange::default() };
    live.act(&Step::ChangeLimits(workload::account(2), ceiling));
    let mut rng = Rng::new(1);
    let raw: Vec<_> = (0..300)
        .map(|n| (if n % 4 == 0 { 0 } else { 40 }, vec![rng.next(), rng.next(), rng.next()]))
        .collect();
    for step in Script::in_full(&raw).0 {
        live.now_ns += 1;
        live.act(&step);
    }
    let mut taking = Taking::begin(&mut live.ledger, &mut rng);
    taking.take_all(&mut live.ledger);
    assert!(taking.head.ids.old > 0 && taking.head.ids.young > 0);
    taking
}

#[test]
fn what_does_not_add_up_is_refused_by_name() {
    let sample = sample();
    let refused = |spoil: &dyn Fn(&mut Taking, &mut End)| {
        let mut taking = Taking {
            head: sample.head.clone(),
            accounts: vec![sample.pieces()],
            holds: sample.holds.clone(),
            profiles: sample.profiles.clone(),
            refunds: sample.refunds.clone(),
            ids: sample.ids.clone(),
            ids_in_piece: 1,
            whole: true,
        };
        let mut end = sample.end();
        spoil(&mut taking, &mut end);
        let restored = (|| {
            let mut tally = Tally::new(taking.head.clone())?;
            let mut restore = Restore::new(&taking.head, 4, 5, REMEMBER_NS)?;
            for piece in &taking.accounts[0] {
                tally.accounts(piece)?;
                restore.accounts.put(piece.clone())?;
            }
            for piece in &taking.holds {
                tally.holds(piece)?;
                restore.accounts.put_holds(piece)?;
            }
            tally.profiles(&taking.profiles)?;
            restore.accounts.put_profiles(taking.profiles.clone())?;
            tally.refunds(&taking.refunds)?;
            restore.accounts.put_refunds(&taking.refunds)?;
            for piece in &taking.ids {
                tally.ids(piece)?;
                restore.ids.put(piece)?;
            }
            tally.check(&end)?;
            restore.finish(&end)
        })();
        restored.map(drop).expect_err("it was spoiled").to_string()
    };
    let contains = |text: String, part: &str| assert!(text.contains(part), "{text}");
    contains(refused(&|t, _| t.head.accounts += 1), "accounts are announced");
    let fewer = |t: &mut Taking, _: &mut End| {
        t.accounts[0].pop();
        t.holds.clear();
        t.profiles.clear();
    };
    contains(refused(&fewer), "accounts are announced");
    contains(refused(&|t, _| drop(t.accounts[0].pop())), "no such account");
    contains(refused(&|t, _| drop(t.ids.pop())), "of the younger generation are announced");
    contains(refused(&|t, _| drop(t.ids.remove(0))), "of the older generation are announced");
    contains(refused(&|t, _| t.ids.swap(0, 1)), "in the order of their events");
    contains(refused(&|t, _| t.ids[1].ids[0] = t.ids[0].ids[0]), "it comes twice");
    contains(refused(&|t, _| t.ids[0].runs[0].first = Lsn(9_999)), "comes after the snapshot");
    contains(refused(&|t, _| t.accounts[0].swap(0, 1)), "has less on hold");
    contains(refused(&|t, _| t.head.assets[0].digits = 4), "state hash");
    contains(refused(&|t, _| t.head.assets.push(t.head.assets[0].clone())), "different assets");
    contains(refused(&|t, _| t.head.lsn = Lsn(12)), "remembered ids are announced");
    contains(refused(&|t, _| t.head.ids.remember_ns = 7), "remembered for 7 ns");
    contains(refused(&|t, _| drop(t.profiles.pop())), "state hash");
    contains(refused(&|t, _| t.profiles[1].0 = t.profiles[0].0), "in the order of their slots");
    contains(refused(&|t, _| t.profiles[2].0 = Slot(99)), "it is not there");
    let changed = |t: &mut Taking, change: &dyn Fn(&mut Details)| {
        change(std::sync::Arc::make_mut(&mut t.profiles[0].1));
    };
    let owner = |d: &mut Details| d.profile.owner = "eve".to_owned();
    contains(refused(&|t, _| changed(t, &owner)), "state hash");
    let large = |d: &mut Details| d.profile.label = "x".repeat(257);
    contains(refused(&|t, _| changed(t, &large)), "beyond its bounds");
    let late = |d: &mut Details| d.last_lsn = Lsn(9_999);
    contains(refused(&|t, _| changed(t, &late)), "comes after the snapshot");
    contains(refused(&|_, end| end.state_hash[3] ^= 1), "state hash");
    contains(refused(&|_, end| end.totals.clear()), "sums recorded");
    let twice = |t: &mut Taking, _: &mut End| t.accounts[0][1][0] = t.accounts[0][0][0].clone();
    contains(refused(&twice), "its id comes twice");
    let richer = |t: &mut Taking, _: &mut End| {
        let account = t.accounts[0].iter_mut().flatten().find(|a| !a.is_external());
        let account = account.expect("one that holds money");
        let mut durable = account.durable();
        durable.posted += 1;
        durable.last_lsn = t.head.lsn;
        *account = Account::restore(&durable).expect("in range");
    };
    contains(refused(&richer), "money was made or lost");
    contains(refused(&|t, _| t.head.holds += 1), "open holds are announced");
    contains(refused(&|t, _| t.holds.clear()), "open holds are announced");
    contains(refused(&|t, _| hold(t).amount = 0), "amount is out of range");
    contains(refused(&|t, _| hold(t).remaining = 0), "what remains of it");
    contains(refused(&|t, _| hold(t).remaining += 1), "");
    contains(refused(&|t, _| hold(t).credit = Slot(1_000)), "no such account");
    contains(refused(&|t, _| hold(t).credit = hold(t).debit), "the same or differ");
    contains(refused(&|t, _| hold(t).placed_lsn = Lsn(9_999)), "no event placed it");
    contains(refused(&|t, _| hold(t).expires_ns -= 1), "state hash");
    contains(refused(&|t, _| hold(t).over_capture_max += 1), "state hash");
    let fewer = |t: &mut Taking, _: &mut End| {
        t.holds.iter_mut().for_each(Vec::clear);
        t.head.holds = 0;
    };
    contains(refused(&fewer), "contradict each other");
    let again = |t: &mut Taking, _: &mut End| {
        let first = *hold(t);
        let place = t.holds.iter_mut().flatten().nth(1).expect("a second one");
        place.id = first.id;
    };
    contains(refused(&again), "its id comes twice");
    contains(refused(&|t, _| t.refunds[0].1.refunded = 0), "what was refunded is out of range");
    contains(refused(&|t, _| t.refunds[0].1.moved += 1), "");
    contains(refused(&|t, _| t.refunds[0].1.last_lsn = Lsn(9_999)), "comes after the snapshot");
    contains(refused(&|t, _| t.refunds[0].1.last_lsn = t.refunds[0].0), "does not come after it");
    contains(refused(&|t, _| t.refunds.swap(0, 1)), "in the order of their events");
    contains(refused(&|t, _| t.refunds.truncate(1)), "state hash");
}

/// The first open hold, of some amount.
fn hold(taking: &mut Taking) -> &mut Hold {
    taking.holds.iter_mut().flatten().next().expect("one is open")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes are decoded or refused; what is decoded encodes to the same bytes.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    /// So are bytes that begin as something real.
    #[test]
    fn spoiled_bytes_are_read_or_refused(which in 0_usize..7, at in any::<usize>(), bit in 0_u32..8) {
        let mut bytes = encoded()[which].clone();
        let at = at % bytes.len();
        bytes[at] ^= 1_u8 << bit;
        read_all(&bytes);
        read_all(&bytes[..at]);
    }
}

fn encoded() -> &'static [Vec<u8>; 7] {
    static ENCODED: std::sync::OnceLock<[Vec<u8>; 7]> = std::sync::OnceLock::new();
    ENCODED.get_or_init(|| {
        let sample = sample();
        let mut bytes = [const { Vec::new() }; 7];
        codec::put_head(&sample.head, &mut bytes[0]);
        sample.pieces().iter().flatten().for_each(|a| codec::put_account(a, &mut bytes[1]));
        codec::put_ids(&sample.ids[0], &mut bytes[2]);
        codec::put_end(&sample.end(), &mut bytes[3]);
        sample.holds.iter().flatten().for_each(|hold| codec::put_hold(hold, &mut bytes[4]));
        details::put_profiles(&sample.profiles, &mut bytes[5]);
        codec::put_refunds(&sample.refunds, &mut bytes[6]);
        bytes
    })
}

fn read_all(bytes: &[u8]) {
    let mut out = Vec::new();
    if let Ok(head) = codec::take_head(bytes) {
        drop(Tally::new(head.clone()));
        drop(Restore::new(&head, 2, 3, REMEMBER_NS));
    }
    if let Ok(accounts) = codec::take_accounts(bytes, u64::from(u32::MAX) - 1) {
        accounts.iter().for_each(|account| codec::put_account(account, &mut out));
    }
    if let Ok(ids) = codec::take_ids(bytes) {
        let mut head = sample_head();
        head.ids.old = 100;
        drop(Tally::new(head).expect("sound").ids(&ids));
        assert!(ids.pairs().count() <= bytes.len());
        out.clear();
        codec::put_ids(&ids, &mut out);
        assert_eq!(out, bytes);
    }
    let listed = |slot: Slot| (slot.0 < 10).then_some(CurrencyId(826));
    if let Ok(holds) = codec::take_holds(bytes, listed) {
        out.clear();
        holds.iter().for_each(|hold| codec::put_hold(hold, &mut out));
        assert_eq!(out, bytes);
        drop(Tally::new(sample_head()).expect("sound").holds(&holds));
    }
    if let Ok(profiles) = details::take_profiles(bytes) {
        out.clear();
        details::put_profiles(&profiles, &mut out);
        assert_eq!(out, bytes, "there is one way to write them");
    }
    if let Ok(refunds) = codec::take_refunds(bytes) {
        out.clear();
        codec::put_refunds(&refunds, &mut out);
        assert_eq!(out, bytes);
        drop(Tally::new(sample_head()).expect("sound").refunds(&refunds));
    }
    drop(codec::take_end(bytes));
}

fn sample_head() -> Head {
    codec::take_head(&encoded()[0]).expect("it was encoded")
}
