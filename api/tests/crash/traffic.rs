//! The requests that the clients send: mostly small transfers between few accounts, mixed with
//! everything that is refused, linked groups, repeats, and ids used again for something else.
//! Too tidy a workload finds nothing.

use crate::history::{Call, groups};
use crate::ledger::{CLOSED, COLD, EUR, FROZEN, HOT, UNKNOWN, WORLD_EUR, WORLD_GBP};
use ducat_api::proto::{Code, TransferKind, TransferRequest};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

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

    /// A batch of at least `count` transfers. `past` gives a call made before (its own or
    /// another client's, answered or not), from which repeats are drawn.
    pub fn batch(
        &mut self,
        count: usize,
        past: impl Fn(u64) -> Option<Call>,
    ) -> Vec<TransferRequest> {
        let mut batch = Vec::with_capacity(count + 4);
        while batch.len() < count {
            let dice = self.rng.random_range(0..100);
            match dice {
                0..8 => self.group(&mut batch),
                8..16 => match past(self.rng.random()) {
                    Some(call) => self.repeat(&call, &mut batch),
                    None => batch.push(self.one()),
                },
                16..19 => match past(self.rng.random()) {
                    Some(call) => batch.extend(self.reuse(&call)),
                    None => batch.push(self.one()),
                },
                _ => batch.push(self.one()),
            }
        }
        batch
    }

    /// A single transfer under a new id.
    pub fn one(&mut self) -> TransferRequest {
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

    /// A linked group of 2 to 4; some hold a member that cannot happen.
    fn group(&mut self, batch: &mut Vec<TransferRequest>) {
        let size = self.rng.random_range(2..=4);
        let poisoned = self.rng.random_bool(0.3).then(|| self.rng.random_range(0..size));
        for at in 0..size {
            let (a, b, amount) = (self.account(), self.account(), self.amount());
            let mut member = match poisoned == Some(at) {
                true => self.plain(a, UNKNOWN, amount),
                false => self.plain(a, b, amount),
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

    /// The id of an acknowledged transfer of `call` for another amount. An id that is still
    /// open would be a race for which content comes first.
    fn reuse(&mut self, call: &Call) -> Option<TransferRequest> {
        if call.outcomes.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..call.outcomes.len());
        if call.outcomes[at].code == Code::IdReused as i32 {
            return None;
        }
        let first = &call.transfers[at];
        Some(TransferRequest {
            amount_minor: first.amount_minor.wrapping_add(1).max(1),
            amount: String::new(),
            linked: false,
            ..first.clone()
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
            id_high: self.rng.random_range(1..=u64::MAX),
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
