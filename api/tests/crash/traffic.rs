//! The requests that the clients send: mostly small transfers between few accounts and operations
//! on holds that all clients share, mixed with everything that is refused, linked groups, repeats,
//! and ids used again for something else. Too tidy a workload finds nothing.

use crate::history::{Call, History, Placed, groups, join};
use crate::ledger::{CLOSED, COLD, EUR, FROZEN, HOT, UNKNOWN, WORLD_EUR, WORLD_GBP};
use ducat_api::proto::{Code, Operation, TransferKind, TransferRequest};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Ten hours: nothing of a test lasts so long.
const LONG_MS: u64 = 36_000_000;

/// Makes one client's requests.
pub struct Traffic {
    rng: StdRng,
}

impl Traffic {
    /// The traffic of this seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }

    /// The generator, for decisions that belong to the driver.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// A batch of at least `count` requests. Repeats are drawn from the newest calls of
    /// `history`, its own or another client's, answered or not; so are the holds spoken of.
    pub fn batch(&mut self, count: usize, history: &History) -> Vec<TransferRequest> {
        let mut batch = Vec::with_capacity(count + 4);
        while batch.len() < count {
            let dice = self.rng.random_range(0..100);
            match dice {
                0..8 => self.group(history, &mut batch),
                8..16 => match self.past(history) {
                    Some(call) => self.repeat(&call, &mut batch),
                    None => batch.push(self.one(history)),
                },
                16..19 => match self.past(history) {
                    Some(call) => batch.extend(self.reuse(&call)),
                    None => batch.push(self.one(history)),
                },
                _ => batch.push(self.one(history)),
            }
        }
        batch
    }

    fn past(&mut self, history: &History) -> Option<Call> {
        let (calls, back) = (history.len(), self.rng.random_range(1..=64));
        (back <= calls).then(|| history.call(calls - back))
    }

    /// A single request under a new id.
    pub fn one(&mut self, history: &History) -> TransferRequest {
        match self.rng.random_range(0..100) {
            0..14 => self.hold(),
            14..34 => match history.hold(self.rng.random()) {
                Some(placed) => self.operation(&placed),
                None => self.hold(),
            },
            _ => self.transfer(),
        }
    }

    /// A hold to be placed: what a transfer asks for, kept back.
    fn hold(&mut self) -> TransferRequest {
        let over_capture_max_minor = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(1..2_000),
            _ => 0,
        };
        TransferRequest {
            operation: Operation::Hold as i32,
            timeout_ms: self.timeout_ms(),
            over_capture_max_minor,
            ..self.transfer()
        }
    }

    /// Soon, under the load; not while the tests last; or never.
    fn timeout_ms(&mut self) -> u64 {
        match self.rng.random_range(0..10) {
            0..4 => self.rng.random_range(1..400),
            4..7 => self.rng.random_range(LONG_MS..10 * LONG_MS),
            _ => 0,
        }
    }

    /// What is asked of a hold that somebody asked for, open or not.
    fn operation(&mut self, placed: &Placed) -> TransferRequest {
        let amount = placed.amount;
        let part = self.rng.random_range(1..=amount / 2 + 1);
        let of = |operation: Operation| TransferRequest {
            operation: operation as i32,
            hold_id: placed.id as u64,
            hold_id_high: (placed.id >> 64) as u64,
            ..TransferRequest::default()
        };
        let capture = |amount_minor| TransferRequest { amount_minor, ..of(Operation::Capture) };
        let currency = "GBP".to_owned();
        let asked = match self.rng.random_range(0..100) {
            0..34 => capture(part),
            34..44 => capture(0),
            44..52 => TransferRequest { last: true, ..capture(part) },
            // All of it and more, within the tolerance or beyond it.
            52..62 => capture(amount.saturating_add(placed.over)),
            62..66 => capture(amount.saturating_add(placed.over).saturating_add(1)),
            66..68 => TransferRequest { amount: "0.00".to_owned(), currency, ..capture(0) },
            68..70 => TransferRequest { currency: "EUR".to_owned(), ..capture(part) },
            70..72 => TransferRequest { currency, ..capture(part) },
            72..86 => of(Operation::Void),
            86..97 => {
                // Mostly beyond what was asked for when it was placed.
                let timeout_ms = match self.rng.random_bool(0.7) {
                    true => self.rng.random_range(10 * LONG_MS..20 * LONG_MS),
                    false => self.timeout_ms(),
                };
                TransferRequest { timeout_ms, ..of(Operation::Extend) }
            }
            // Of a hold that nobody placed.
            _ => TransferRequest { hold_id: self.rng.random(), ..of(Operation::Void) },
        };
        TransferRequest { id: self.rng.random(), id_high: self.new_high(), ..asked }
    }

    fn new_high(&mut self) -> u64 {
        self.rng.random_range(1..=u64::MAX)
    }

    /// A single transfer under a new id.
    fn transfer(&mut self) -> TransferRequest {
        let dice = self.rng.random_range(0..100);
        let (a, b) = (self.account(), self.account());
        let amount = self.amount();
        match dice {
            0..62 => self.plain(a, b, amount),
            62..72 => self.kind(TransferKind::Deposit, WORLD_GBP, a, amount * 2),
            72..78 => self.kind(TransferKind::Withdrawal, a, WORLD_GBP, amount),
            78..80 => {
                let to = self.rng.random_range(EUR);
                self.kind(TransferKind::Deposit, WORLD_EUR, to, amount)
            }
            80..82 => self.plain(a, b, 0),
            82..84 => self.plain(a, a, amount),
            84..86 => self.plain(a, UNKNOWN, amount),
            86..88 => self.plain(UNKNOWN, b, amount),
            88..90 => {
                let to = self.rng.random_range(EUR);
                self.plain(a, to, amount)
            }
            90..92 => TransferRequest { currency: "EUR".into(), ..self.plain(a, b, amount) },
            92..94 => self.kind(TransferKind::Withdrawal, a, b, amount),
            94..96 => self.plain(a, CLOSED, amount),
            96..98 => self.plain(FROZEN, b, amount),
            98 => TransferRequest {
                amount_minor: 0,
                // More than 64 bits of minor units.
                amount: "300000000000000000.07".into(),
                currency: "GBP".into(),
                ..self.plain(a, b, 0)
            },
            _ => TransferRequest { currency: "GBP".into(), ..self.plain(a, b, amount) },
        }
    }

    /// A linked group of 2 to 4; some hold a member that cannot happen, some speak of a hold that
    /// is placed within them.
    fn group(&mut self, history: &History, batch: &mut Vec<TransferRequest>) {
        let size = self.rng.random_range(2..=4);
        let poisoned = self.rng.random_bool(0.3).then(|| self.rng.random_range(0..size));
        let mut within: Option<Placed> = None;
        for at in 0..size {
            let (a, b, amount) = (self.account(), self.account(), self.amount());
            let placed = within.or_else(|| history.hold(self.rng.random()));
            let mut member = match (poisoned == Some(at), self.rng.random_range(0..10)) {
                (true, _) => self.plain(a, UNKNOWN, amount),
                (_, 0..3) => {
                    let hold = TransferRequest {
                        operation: Operation::Hold as i32,
                        timeout_ms: self.timeout_ms(),
                        ..self.plain(a, b, amount)
                    };
                    let id = join(hold.id_high, hold.id);
                    within = Some(Placed { id, amount, over: 0 });
                    hold
                }
                (_, 3..7) if placed.is_some() => self.operation(&placed.expect("there is one")),
                _ => self.plain(a, b, amount),
            };
            member.linked = at + 1 < size;
            batch.push(member);
        }
    }

    /// A group of `call` once more, to the letter.
    fn repeat(&mut self, call: &Call, batch: &mut Vec<TransferRequest>) {
        let groups = groups(&call.transfers);
        let group = groups[self.rng.random_range(0..groups.len())].clone();
        batch.extend_from_slice(&call.transfers[group]);
    }

    /// The id of an acknowledged request of `call` for another amount, hold or time. An id that is
    /// still open would be a race for which content comes first.
    fn reuse(&mut self, call: &Call) -> Option<TransferRequest> {
        if call.outcomes.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..call.outcomes.len());
        if call.outcomes[at].code == Code::IdReused as i32 {
            return None;
        }
        let first = TransferRequest { linked: false, ..call.transfers[at].clone() };
        let other_amount = first.amount_minor.wrapping_add(1).max(1);
        Some(match Operation::try_from(first.operation).expect("known") {
            Operation::Transfer | Operation::Hold | Operation::Capture => {
                TransferRequest { amount_minor: other_amount, amount: String::new(), ..first }
            }
            Operation::Void => TransferRequest { hold_id: first.hold_id ^ 1, ..first },
            Operation::Extend => TransferRequest { timeout_ms: first.timeout_ms + 1, ..first },
            Operation::Refund | Operation::Reverse => unreachable!("it gives nothing back"),
        })
    }

    fn account(&mut self) -> u64 {
        match self.rng.random_bool(0.6) {
            true => self.rng.random_range(HOT),
            false => self.rng.random_range(COLD),
        }
    }

    fn amount(&mut self) -> u64 {
        match self.rng.random_range(0..20) {
            0 => self.rng.random_range(1..1_000_000),
            1 => 1,
            _ => self.rng.random_range(1..5_000),
        }
    }

    fn plain(&mut self, debit: u64, credit: u64, amount_minor: u64) -> TransferRequest {
        TransferRequest {
            id: self.rng.random(),
            id_high: self.new_high(),
            debit_account: debit,
            credit_account: credit,
            amount_minor,
            ..TransferRequest::default()
        }
    }

    fn kind(
        &mut self,
        kind: TransferKind,
        debit: u64,
        credit: u64,
        amount: u64,
    ) -> TransferRequest {
        TransferRequest { kind: kind as i32, ..self.plain(debit, credit, amount) }
    }
}
