//! Nasty workloads of transfers, holds, refunds and terms out of plain words, so that proptest and a
//! seeded generator make them
//! alike, cheaply, and shrinking a word towards 0 makes its transfer simpler.
//!
//! The world is small so that everything collides: one hot account, four ordinary ones, a
//! second currency, an account one step from the largest balance and its counterpart, one
//! with a huge overdraft, one that is opened late, one that never exists.

use super::fees::{self, FeeStep};
use super::{notes, terms};
use crate::account_event::Opening;
use crate::ids::{AccountId, Lsn, TransferId};
use crate::limits::{Bounds, LimitsChange};
use crate::money::{AMOUNT_MAX, BALANCE_MAX, CurrencyId};
use crate::profile::{
    AccountKind, KEYS_MAX, LABEL_BYTES_MAX, METADATA_BYTES_MAX, Profile, ProfileChange,
    REASON_BYTES_MAX,
};
use crate::request::{
    CaptureRequest, ExtendRequest, HoldRequest, RefundRequest, Request, VoidRequest,
};
use crate::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use std::fmt;

/// The world's first currency.
pub const GBP: CurrencyId = CurrencyId(826);
/// Its second.
pub const USD: CurrencyId = CurrencyId(840);

const OUTSIDE: u8 = 0;
const OUTSIDE_USD: u8 = 5;
const EDGE_OUTSIDE: u8 = 7;
const EDGE: u8 = 8;
const LATE: u8 = 10;
const NEVER: u8 = 11;

/// How far the edge accounts are from the ends of the range, minor units.
const EDGE_GAP: i128 = 20;

/// One line of a script: what a client or an operator does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A client asks.
    Submit(Vec<Request>),
    /// So many nanoseconds pass: holds may expire.
    Wait(u64),
    /// An operator changes a status, for a reason.
    SetStatus(AccountId, AccountStatus, &'static str),
    /// An operator changes what is known of an account.
    ChangeProfile(AccountId, ProfileChange),
    /// An operator changes an account's limits.
    ChangeLimits(AccountId, LimitsChange),
    /// An operator opens an account.
    Open(Opening),
    /// An operator defines an asset.
    Define(&'static str, u32),
    /// An operator does something with fees.
    Fee(FeeStep),
}

/// A step before it is decoded: what kind it is, and a word for each transfer.
pub type RawStep = (u8, Vec<u64>);

/// The id of the world's account number `index`.
pub fn account(index: u8) -> AccountId {
    AccountId::new(1_000 + u128::from(index)).expect("not zero")
}

/// The world's accounts that exist from the start, in the order of their slots.
pub fn accounts() -> Vec<AccountSpec> {
    (0..LATE).map(spec).collect()
}

fn spec(index: u8) -> AccountSpec {
    let currency = if matches!(index, OUTSIDE_USD | 6) { USD } else { GBP };
    let overdraft_limit = match index {
        3 => 10,
        9 => AMOUNT_MAX,
        // Means nothing for an account that stands for the outside.
        OUTSIDE_USD => 5,
        _ => 0,
    };
    let external = matches!(index, OUTSIDE | OUTSIDE_USD | EDGE_OUTSIDE);
    AccountSpec { id: account(index), currency, overdraft_limit, external }
}

fn spec_of(id: AccountId) -> AccountSpec {
    spec((id.get() - 1_000) as u8)
}

/// The movement that puts the edge accounts where they are: debit, credit, amount.
pub fn edge() -> (AccountId, AccountId, u128) {
    (account(EDGE_OUTSIDE), account(EDGE), (BALANCE_MAX - EDGE_GAP).unsigned_abs())
}

/// No reason is so long.
const TOO_LONG: &str = match str::from_utf8(&[b'x'; REASON_BYTES_MAX + 1]) {
    Ok(text) => text,
    Err(_) => panic!("ASCII is UTF-8"),
};

/// What operators do with profiles: few values, so that they meet again, and now and then what
/// goes beyond a bound.
fn profile_change(bits: &mut Bits) -> ProfileChange {
    let mut change = ProfileChange {
        kind: (bits.take(2) == 3).then_some(None),
        owner: [None, Some(""), Some("anna"), Some("ben")][bits.take(2) as usize]
            .map(str::to_owned),
        label: [None, Some(""), Some("main"), Some("main 2")][bits.take(2) as usize]
            .map(str::to_owned),
        ..ProfileChange::default()
    };
    if bits.take(1) == 1 {
        change.kind = Some(Some(AccountKind::ALL[bits.take(2) as usize]));
    }
    for key in ["a", "b", "c"] {
        match bits.take(2) {
            0 => {}
            3 => {
                change.remove.insert(key.to_owned());
            }
            value => {
                change.set.insert(key.to_owned(), value.to_string());
            }
        }
    }
    match bits.take(4) {
        11 => {
            change.set.insert("big".to_owned(), "x".repeat(METADATA_BYTES_MAX - 5));
        }
        12 => {
            change.set.insert("not a key".to_owned(), String::new());
        }
        13 => change.label = Some("x".repeat(LABEL_BYTES_MAX + 1)),
        14 => change.owner = Some("a\nb".to_owned()),
        15 => change.set.extend((0..KEYS_MAX).map(|n| (format!("n/{n}"), String::new()))),
        _ => {}
    }
    change
}

/// Limits near the balances that there are, so that they are met; mostly allowed, at times not.
fn limits_change(bits: &mut Bits) -> LimitsChange {
    let overdraft_limit = match bits.take(4) {
        0..=7 => None,
        8 => Some(AMOUNT_MAX),
        9 => Some(AMOUNT_MAX + 1),
        low => Some(u128::from(low) - 10),
    };
    let mut bound = || match bits.take(4) {
        0..=1 => None,
        2..=3 => Some(None),
        4 => Some(Some(BALANCE_MAX + 1)),
        5 => Some(Some(BALANCE_MAX - EDGE_GAP / 2)),
        low => Some(Some(i128::from(low) * 2 - 13)),
    };
    LimitsChange { overdraft_limit, floor: bound(), ceiling: bound() }
}

/// Who pays whom: mostly among the ordinary accounts, the first one hot, and mostly in one
/// currency.
fn parties(debit: u64, credit: u64) -> (u8, u8) {
    let debit = match debit {
        0..=7 => [0, 1, 2, 3, 4, 1, 2, 0][debit as usize],
        8..=23 => [1, 2, 3, 4][debit as usize % 4],
        24..=26 => OUTSIDE_USD,
        27 => 6,
        28 => EDGE_OUTSIDE,
        29 => EDGE,
        30 => 9,
        _ => [LATE, NEVER][credit as usize % 2],
    };
    let same_currency = matches!(debit, OUTSIDE_USD | 6) && credit < 24;
    let credit = match credit {
        _ if same_currency => [6, OUTSIDE_USD][credit as usize / 20],
        0..=15 => match [1, 2, 3, 4][credit as usize % 4] {
            // Transfers to oneself, but not too many.
            same if same == debit && credit > 3 => same % 4 + 1,
            other => other,
        },
        16..=23 => {
            if debit == 1 {
                2
            } else {
                1
            }
        }
        24..=25 => OUTSIDE,
        26 => 6,
        27 => EDGE_OUTSIDE,
        28 => EDGE,
        29 => 9,
        30 => LATE,
        _ => NEVER,
    };
    (debit, credit)
}

/// Takes so many bits off a word.
struct Bits(u64);

impl Bits {
    fn take(&mut self, bits: u32) -> u64 {
        let value = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        value
    }
}

/// Decodes steps one after the other; later ones may repeat what earlier ones asked.
#[derive(Default)]
struct Decoder {
    asked: Vec<Request>,
    submitted: Vec<Vec<Request>>,
    /// Whether there are holds and terms at all, and the ids under which holds were asked for.
    with_holds: bool,
    holds: Vec<TransferId>,
    /// Whether a schedule of fees was defined.
    with_fees: bool,
    /// Whether there are refunds; the ids under which something was to be moved, those that only
    /// a blocked account keeps from it, and those of refunds.
    with_refunds: bool,
    moves: Vec<TransferId>,
    deposits: Vec<TransferId>,
    refunds: Vec<TransferId>,
    /// About how many events there are behind the world's beginning.
    events: u64,
}

/// What clients and operators do, in order.
#[derive(Clone)]
pub struct Script(pub Vec<Step>);

impl Script {
    /// The script these words stand for.
    #[must_use]
    pub fn new(raw: &[RawStep]) -> Self {
        Self::decode(raw, Decoder { with_holds: true, ..Decoder::default() })
    }

    /// The same with refunds among it.
    #[must_use]
    pub fn in_full(raw: &[RawStep]) -> Self {
        let (with_holds, with_refunds) = (true, true);
        Self::decode(raw, Decoder { with_holds, with_refunds, ..Decoder::default() })
    }

    /// The same without holds and terms, and without time that passes.
    #[must_use]
    pub fn of_transfers(raw: &[RawStep]) -> Self {
        Self::decode(raw, Decoder::default())
    }

    fn decode(raw: &[RawStep], mut decoder: Decoder) -> Self {
        Self(raw.iter().map(|(kind, words)| decoder.step(*kind, words)).collect())
    }
}

/// One line for each transfer, since this is what a failing test prints.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Step::Submit(requests) => {
                    write!(f, "\n  Submit")?;
                    requests.iter().try_for_each(|request| write!(f, "\n    {request:?}"))?;
                }
                other => write!(f, "\n  {other:?}")?,
            }
        }
        Ok(())
    }
}

impl Decoder {
    fn step(&mut self, kind: u8, words: &[u64]) -> Step {
        let mut bits = Bits(words.first().copied().unwrap_or(0));
        match kind {
            200..=223 => {
                // Mostly back to active, else the world soon stands still.
                let status = match bits.take(4) {
                    0..=7 => AccountStatus::Active,
                    8..=9 => AccountStatus::Frozen,
                    10..=11 => AccountStatus::DebitsBlocked,
                    12..=13 => AccountStatus::CreditsBlocked,
                    _ => AccountStatus::Closed,
                };
                let on = account((bits.take(8) % 12) as u8);
                let reason = match bits.take(4) {
                    0..=4 => "",
                    5..=9 => "asked for",
                    10..=14 => "suspected fraud: \u{df}",
                    _ => TOO_LONG,
                };
                self.events += 1;
                Step::SetStatus(on, status, reason)
            }
            252..=255 => {
                let on = account((bits.take(8) % 12) as u8);
                Step::ChangeProfile(on, profile_change(&mut bits))
            }
            240..=241 => {
                // Mostly those between which money moves, so that limits are met.
                let on = [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 0, EDGE, LATE, NEVER];
                let on = account(on[bits.take(4) as usize]);
                Step::ChangeLimits(on, limits_change(&mut bits))
            }
            224..=231 => {
                let late = AccountSpec { id: account(LATE), ..spec(1) };
                let spec = match bits.take(3) {
                    0..=2 => late,
                    3 => AccountSpec { currency: USD, ..late },
                    4 => AccountSpec { currency: CurrencyId(1000), ..late },
                    5 => AccountSpec { overdraft_limit: AMOUNT_MAX + 1, ..late },
                    6 => spec(1),
                    _ => AccountSpec { overdraft_limit: 3, ..spec(1) },
                };
                let profile = match bits.take(1) {
                    0 => Profile::default(),
                    _ => Profile::default().changed(&profile_change(&mut bits)),
                };
                let bounds = match bits.take(2) {
                    0 => Bounds { floor: Some(-1), ceiling: Some(20) },
                    1 => Bounds { floor: None, ceiling: Some(9) },
                    _ => Bounds::default(),
                };
                Step::Open(Opening { spec, bounds, profile })
            }
            232..=239 => {
                let (code, digits) =
                    [("POINTS", 0), ("POINTS", 2), ("ETHER", 18), ("GBP", 2), ("x", 1)]
                        [bits.take(8) as usize % 5];
                Step::Define(code, digits)
            }
            242..=251 if self.with_holds => self.fee(words.first().copied().unwrap_or(0)),
            0..=39 if self.with_refunds => self.returns(words),
            160..=175 if self.with_holds => {
                // Often as long as holds last, or to where several in a row end.
                Step::Wait(
                    [0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 9, 12, 30][bits.take(4) as usize],
                )
            }
            184..=199 if !self.asked.is_empty() => self.woven(bits, &words[1.min(words.len())..]),
            160..=183 | 242..=251 if !self.submitted.is_empty() => {
                // A submission again, whole or from its middle on.
                let back = bits.take(16) as usize % self.submitted.len();
                let again = &self.submitted[self.submitted.len() - 1 - back];
                let from = if bits.take(2) == 3 { again.len() / 2 } else { 0 };
                Step::Submit(again[from..].to_vec())
            }
            _ => self.submission(kind % 8 == 7, words),
        }
    }

    fn fee(&mut self, word: u64) -> Step {
        let step = fees::step(word, self.with_fees);
        self.with_fees = true;
        self.events += 1;
        Step::Fee(step)
    }

    fn submission(&mut self, all_linked: bool, words: &[u64]) -> Step {
        let words = if words.is_empty() { &[0] } else { words };
        let mut requests: Vec<Request> = Vec::with_capacity(words.len());
        for word in words {
            let mut request = self.request(*word);
            request.set_linked(request.linked() || all_linked);
            requests.push(request.clone());
            self.asked.push(request);
        }
        if all_linked && self.with_holds && words[0] >> 57 & 1 == 1 {
            terms::as_sources(words[0], &mut requests);
            let first = self.asked.len() - requests.len();
            self.asked[first..].clone_from_slice(&requests);
        }
        self.submit(requests)
    }

    /// A deposit, and refunds behind it, mostly of it and of those before.
    fn returns(&mut self, words: &[u64]) -> Step {
        let mut bits = Bits(words.first().copied().unwrap_or(0));
        let deposit = TransferRequest {
            id: self.next_id(),
            debit: account(OUTSIDE),
            credit: account(1 + bits.take(2) as u8),
            amount: u128::from(bits.take(4)) + 1,
            currency: None,
            kind: TransferKind::Deposit,
            linked: false,
        };
        self.deposits.push(deposit.id);
        self.asked.push(deposit.into());
        let mut requests = vec![deposit.into()];
        for word in &words[1.min(words.len())..] {
            let mut request = self.refund(Bits(word >> 30), self.transfer(*word));
            if word >> 60 == 15 {
                request = notes::noted(*word, request);
            }
            request.set_linked(word % 4 == 3);
            self.refunds.push(request.id());
            requests.push(request.clone());
            self.asked.push(request);
        }
        self.submit(requests)
    }

    /// A run of what was asked before, in order, whatever its groups were: pieces of groups,
    /// groups joined, members left out, named twice, or replaced by new ones.
    fn woven(&mut self, mut bits: Bits, words: &[u64]) -> Step {
        let many = 1 + bits.take(3) as usize;
        let (all_linked, back) = (bits.take(1) == 1, bits.take(5) as usize);
        let first = self.asked.len() - 1 - back % self.asked.len();
        let mut run: Vec<_> = self.asked[first..].iter().take(many).cloned().collect();
        if bits.take(1) == 1 && run.len() > 2 {
            // What stood apart, side by side.
            run.drain(1..run.len() - 1);
        }
        let mut requests = Vec::with_capacity(run.len() + 1);
        for (at, mut member) in run.into_iter().enumerate() {
            member.set_linked(member.linked() || all_linked);
            match bits.take(4) {
                12 => {}
                13 => {
                    requests.extend([member.clone(), member.clone()]);
                    self.asked.push(member.clone());
                    self.asked.push(member);
                }
                14 | 15 => {
                    let mut fresh = self.request(words.get(at).copied().unwrap_or(0));
                    fresh.set_linked(true);
                    requests.push(fresh.clone());
                    self.asked.push(fresh);
                }
                _ => {
                    requests.push(member.clone());
                    self.asked.push(member);
                }
            }
        }
        if requests.is_empty() {
            return self.submission(false, words);
        }
        self.submit(requests)
    }

    /// The last of them is linked with nothing. All of them were noted as asked.
    fn submit(&mut self, mut requests: Vec<Request>) -> Step {
        if let (Some(last), Some(asked)) = (requests.last_mut(), self.asked.last_mut()) {
            last.set_linked(false);
            asked.set_linked(false);
        }
        self.submitted.push(requests.clone());
        Step::Submit(requests)
    }

    /// What a word asks for: by its upper bits an operation on a hold, else a transfer.
    fn request(&mut self, word: u64) -> Request {
        let transfer = self.transfer(word);
        let id = transfer.id;
        let what = if self.with_holds { word >> 61 } else { 0 };
        let mut fresh = match what {
            2 if self.with_refunds => self.refund(Bits(word >> 41 & 0xf_ffff), transfer),
            0..=2 => transfer.into(),
            _ => self.operation(what, Bits(word >> 41 & 0xf_ffff), transfer),
        };
        if self.with_holds && word >> 59 & 3 == 3 {
            let last = accounts().len() as u64 + 1 + self.events;
            fresh = terms::termed(word, last, fresh);
        }
        if self.with_holds && word >> 44 & 7 == 7 {
            fresh = notes::noted(word, fresh);
        }
        if matches!(fresh.plain(), Request::Hold(_)) {
            self.holds.push(fresh.id());
        }
        if matches!(fresh.unnoted(), Request::Transfer(_) | Request::Capture(_)) {
            self.moves.push(fresh.id());
        }
        match fresh.unnoted() {
            Request::Transfer(t) if spec_of(t.debit).external && (1..99).contains(&t.amount) => {
                self.deposits.push(t.id);
            }
            Request::Refund(refund) => self.refunds.push(refund.id),
            _ => {}
        }
        let mut bits = Bits(word >> 26);
        let reuse = bits.take(6);
        let back = bits.take(6) as usize;
        let linked = bits.take(3) == 7;
        let mut request = self.reuse(reuse, back, fresh);
        if !matches!(reuse, 56 | 57 | 63) {
            request.set_linked(linked);
        }
        self.events += u64::from(request.id() == id);
        request
    }

    fn next_id(&self) -> TransferId {
        TransferId::new(self.asked.len() as u128 + 1).expect("not zero")
    }

    fn transfer(&self, word: u64) -> TransferRequest {
        let mut bits = Bits(word);
        let (debit, credit) = parties(bits.take(5), bits.take(5));
        let amount = match bits.take(6) {
            low @ 0..=49 => u128::from(low) % 12 + 1,
            50 => 0,
            51 => AMOUNT_MAX,
            52 => AMOUNT_MAX + 1,
            53 => u128::MAX,
            54 => AMOUNT_MAX / 2 + 1,
            low => u128::from(low) * 7,
        };
        let currency = match bits.take(5) {
            0..=23 => None,
            24..=28 => Some(spec(debit).currency),
            29 => Some(spec(credit).currency),
            30 => Some(USD),
            _ => Some(CurrencyId(1000)),
        };
        let kind = match bits.take(5) {
            24 if self.with_holds => TransferKind::Payment,
            25 if self.with_holds => TransferKind::Refund,
            26 if self.with_holds => TransferKind::Fee,
            27 if self.with_holds => TransferKind::Adjustment,
            28 if self.with_holds => TransferKind::Interest,
            29 => TransferKind::Transfer,
            30 => TransferKind::Deposit,
            31 => TransferKind::Withdrawal,
            _ if spec(debit).external => TransferKind::Deposit,
            _ if spec(credit).external => TransferKind::Withdrawal,
            _ => TransferKind::Transfer,
        };
        TransferRequest {
            id: self.next_id(),
            debit: account(debit),
            credit: account(credit),
            amount,
            currency,
            kind,
            linked: false,
        }
    }

    /// An operation: places what the transfer would move, or asks something of a hold, mostly
    /// one of the last.
    fn operation(&self, what: u64, mut bits: Bits, transfer: TransferRequest) -> Request {
        let timeout_ns = [0, 1, 1, 2, 3, 5, 9, 30][bits.take(3) as usize];
        let TransferRequest { id, debit, credit, amount, currency, kind, linked } = transfer;
        if what <= 4 || self.holds.is_empty() {
            let over_capture_max = match bits.take(4) {
                0..=8 => 0,
                9..=11 => 1,
                12..=13 => 6,
                14 => AMOUNT_MAX,
                _ => AMOUNT_MAX + 1,
            };
            return HoldRequest {
                id,
                debit,
                credit,
                amount,
                currency,
                kind,
                timeout_ns,
                over_capture_max,
                linked,
            }
            .into();
        }
        let hold = match bits.take(5) {
            // Perhaps no hold at all.
            31 => TransferId::new(id.get() / 2 + 1).expect("not zero"),
            back => self.holds[self.holds.len() - 1 - back as usize % 8 % self.holds.len()],
        };
        match what {
            5 | 6 => {
                let amount = (bits.take(2) != 0).then_some(amount);
                let last = bits.take(2) == 0;
                // Mostly that of the hold, or none.
                let currency = currency.filter(|_| bits.take(1) == 0);
                CaptureRequest { id, hold, amount, currency, last, linked }.into()
            }
            _ if bits.take(1) == 0 => VoidRequest { id, hold, linked }.into(),
            _ => ExtendRequest { id, hold, timeout_ns, linked }.into(),
        }
    }

    /// Gives back what was moved, mostly by one of the last; at times what is no movement, or by an
    /// event that may be another's.
    fn refund(&self, mut bits: Bits, transfer: TransferRequest) -> Request {
        let TransferRequest { id, amount, currency, linked, .. } = transfer;
        let back = bits.take(5) as usize;
        let asked = || self.asked.get(self.asked.len().checked_sub(back - 28)?).map(Request::id);
        let of_last = |ids: &[TransferId], back| ids.len().checked_sub(1 + back).map(|at| ids[at]);
        let of = match back {
            // Often the same one.
            0..=11 => of_last(&self.deposits, back % 2),
            12..=17 => of_last(&self.deposits, back % 6),
            18..=25 => of_last(&self.moves, back % 4),
            26 => Some(id),
            27..=28 => of_last(&self.refunds, back % 2),
            _ => asked(),
        };
        let of = of.unwrap_or(id);
        // Where its event lies if all before it were events; and the last ones of the beginning.
        let named = match bits.take(4) {
            13 => Some(Lsn(accounts().len() as u64 + 1 + of.low())),
            14 => Some(Lsn(accounts().len() as u64 + bits.take(2))),
            15 => Some(Lsn(of.low() % 40)),
            _ => None,
        };
        let reversal = bits.take(3) < 2;
        RefundRequest {
            id,
            of,
            of_lsn: named,
            amount: (!reversal).then_some(if bits.take(2) == 0 { amount } else { amount % 4 + 1 }),
            currency: currency.filter(|_| bits.take(1) == 0),
            allow_overdraft: bits.take(2) == 0,
            linked,
            original: None,
        }
        .into()
    }

    /// Mostly a new request, else one that has to do with an earlier one.
    fn reuse(&self, how: u64, back: usize, fresh: Request) -> Request {
        let Some(last) = self.asked.len().checked_sub(1) else { return fresh };
        let earlier = self.asked[last - back % self.asked.len()].clone();
        match how {
            55 | 60 | 62 => changed(how, back, earlier),
            56..=58 => earlier,
            59 => with_id(fresh, earlier.id()),
            61 => with_id(fresh, self.asked[last].id()),
            63 => self.asked[last].clone(),
            _ => fresh,
        }
    }
}

fn with_id(mut request: Request, id: TransferId) -> Request {
    request.set_id(id);
    request
}

/// The request with one thing of its content changed.
fn changed(how: u64, back: usize, mut request: Request) -> Request {
    let other_kind = |kind| match kind {
        TransferKind::Transfer => TransferKind::Deposit,
        TransferKind::Deposit => TransferKind::Withdrawal,
        TransferKind::Payment => TransferKind::Adjustment,
        _ => TransferKind::Transfer,
    };
    let other_currency = |currency: Option<CurrencyId>| match currency {
        Some(_) => None,
        None if back.is_multiple_of(2) => Some(GBP),
        None => Some(USD),
    };
    match (&mut request, how) {
        (Request::Transfer(transfer), 55) => transfer.kind = other_kind(transfer.kind),
        (Request::Transfer(transfer), 60) => {
            transfer.currency = other_currency(transfer.currency);
        }
        (Request::Transfer(transfer), _) => transfer.amount = transfer.amount.wrapping_add(1),
        (Request::Hold(hold), 55) if back.is_multiple_of(2) => hold.timeout_ns += 1,
        (Request::Hold(hold), 55) => hold.kind = other_kind(hold.kind),
        (Request::Hold(hold), 60) => hold.currency = other_currency(hold.currency),
        (Request::Hold(hold), _) if back.is_multiple_of(2) => hold.over_capture_max ^= 1,
        (Request::Hold(hold), _) => hold.amount = hold.amount.wrapping_add(1),
        (Request::Capture(capture), 55) => capture.last = !capture.last,
        (Request::Capture(capture), 60) if back.is_multiple_of(3) => {
            capture.currency = other_currency(capture.currency);
        }
        (Request::Capture(capture), 60) => {
            capture.amount = if capture.amount.is_some() { None } else { Some(5) };
        }
        (Request::Capture(capture), _) => capture.hold = capture.id,
        (Request::Refund(refund), 55) => refund.allow_overdraft = !refund.allow_overdraft,
        (Request::Refund(refund), 60) if back.is_multiple_of(3) => {
            refund.of_lsn = if refund.of_lsn.is_some() { None } else { Some(Lsn(12)) };
        }
        (Request::Refund(refund), 60) => refund.currency = other_currency(refund.currency),
        (Request::Refund(refund), _) if back.is_multiple_of(4) => refund.of = refund.id,
        (Request::Refund(refund), _) => {
            refund.amount = refund.amount.map_or(Some(1), |amount| amount.checked_sub(1));
        }
        (Request::Void(void), _) => void.hold = void.id,
        (Request::Extend(extend), 55) => extend.hold = extend.id,
        (Request::Extend(extend), _) => extend.timeout_ns += 1,
        (Request::Noted(noted), 55 | 60) => notes::changed(noted.note_mut()),
        (Request::Noted(noted), _) => {
            let other = changed(how, back, noted.request().clone());
            *noted.request_mut() = other;
        }
        (Request::Termed(termed), 55) => terms::changed(termed),
        (Request::Termed(termed), _) => {
            let other = changed(how, back, termed.request().clone());
            *termed.request_mut() = other;
        }
    }
    request
}
