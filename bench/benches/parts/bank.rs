//! A ledger with funded accounts, the transfers asked of it, and the steps of a batch one by
//! one, as the coordinator actor takes them (`actors/src/coordinator.rs`): the same calls in
//! the same order, without the messages, on one partition as in the product.

use super::rng::Rng;
use super::zipf::Zipf;
use super::{BATCH, Meter, NOW_NS, SEED};
use ducat_engine::batch::{Batch, Vote};
use ducat_engine::codec;
use ducat_engine::coordinator::Answer;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::Currencies;
use ducat_engine::partition::Legs;
use ducat_engine::plan::Plan;
use ducat_engine::request::Request;
use ducat_engine::transfer::{AccountSpec, Outcome, TransferKind, TransferRequest};
use ducat_persistence::AppendBuffer;

/// Minor units each account begins with: no transfer is refused for lack of funds.
const FUNDING: u128 = 1_000_000_000;

/// The external account that the funds come from; the others have the ids behind it.
const WORLD: u128 = 1;

/// The ledger begins anew when it has remembered this many ids more: their number decides how
/// often the processor's caches miss, and must not depend on how long was measured.
const IDS_MAX: usize = 1 << 20;

/// Which accounts pay and are paid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pick {
    /// Both drawn evenly.
    Uniform,
    /// Both by Zipf's law with exponent 0.99.
    Zipf,
    /// One account is payer or payee of every transfer.
    Hot,
}

/// A step of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Order, ids, accounts, rules that need no account.
    Add,
    /// Phase one at the accounts.
    Prepare,
    /// Votes into verdicts.
    Decide,
    /// Phase two at the accounts.
    Commit,
    /// Records into frames, and outcomes.
    Conclude,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Add, Self::Prepare, Self::Decide, Self::Commit, Self::Conclude];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Prepare => "prepare",
            Self::Decide => "decide",
            Self::Commit => "commit",
            Self::Conclude => "conclude",
        }
    }
}

/// The ledger, and what is used again from batch to batch.
pub struct Bank {
    /// The state machines.
    pub ledger: Ledger,
    /// The ledger as it was once all accounts were funded.
    begun: Ledger,
    /// Where `conclude` puts records.
    pub records: AppendBuffer,
    accounts: u64,
    pick: Pick,
    zipf: Zipf,
    rng: Rng,
    ids: u64,
    votes: Vec<Vec<Vote>>,
    legs: Vec<Vec<Legs>>,
}

impl Bank {
    /// A ledger of so many accounts (at least 2), all funded.
    pub fn new(accounts: u64, pick: Pick) -> Self {
        let empty = Ledger::new(1, SEED, REMEMBER_NS).expect("one partition");
        let mut bank = Self {
            ledger: empty.clone(),
            begun: empty,
            records: AppendBuffer::new(),
            accounts,
            pick,
            zipf: Zipf::new(accounts, 0.99),
            rng: Rng::new(SEED, 0),
            ids: 0,
            votes: vec![Vec::new()],
            legs: vec![Vec::new()],
        };
        let currency = Currencies::new().by_code("GBP").expect("ISO 4217").id;
        let open = |id: u128, external| AccountSpec {
            id: AccountId::new(id).expect("not zero"),
            currency,
            overdraft_limit: 0,
            external,
        };
        bank.ledger.open_account(&open(WORLD, true)).expect("new");
        for index in 0..accounts {
            bank.ledger.open_account(&open(account(index).get(), false)).expect("new");
        }
        let indices: Vec<u64> = (0..accounts).collect();
        for some in indices.chunks(BATCH) {
            let deposits: Vec<_> = some.iter().map(|index| bank.deposit(*index)).collect();
            bank.run(&as_requests(deposits));
        }
        bank.begun = bank.ledger.clone();
        bank
    }

    /// Begins anew if it is time to; tells whether it did.
    pub fn restart_if_full(&mut self) -> bool {
        let remembered = |ledger: &Ledger| ledger.coordinator.known().len();
        let full = remembered(&self.ledger) >= remembered(&self.begun) + IDS_MAX;
        if full {
            self.ledger = self.begun.clone();
        }
        full
    }

    fn deposit(&mut self, index: u64) -> TransferRequest {
        TransferRequest {
            id: self.next_id(),
            debit: AccountId::new(WORLD).expect("not zero"),
            credit: account(index),
            amount: FUNDING,
            currency: None,
            kind: TransferKind::Deposit,
            linked: false,
        }
    }

    /// Ids like UUIDv7: a common beginning, a scattered end.
    fn next_id(&mut self) -> TransferId {
        self.ids += 1;
        let low = self.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        TransferId::from_halves(0x0192_f3a4_5b6c_7d8e, low).expect("not zero")
    }

    /// New transfers, none of which will be refused.
    pub fn transfers(&mut self, count: usize) -> Vec<TransferRequest> {
        (0..count).map(|_| self.transfer()).collect()
    }

    fn transfer(&mut self) -> TransferRequest {
        let (debit, credit) = self.pair();
        TransferRequest {
            id: self.next_id(),
            debit: account(debit),
            credit: account(credit),
            amount: u128::from(1 + self.rng.below(100)),
            currency: None,
            kind: TransferKind::Transfer,
            linked: false,
        }
    }

    /// Two accounts that differ.
    fn pair(&mut self) -> (u64, u64) {
        let rng = &mut self.rng;
        loop {
            let (debit, credit) = match self.pick {
                Pick::Uniform => (rng.below(self.accounts), rng.below(self.accounts)),
                Pick::Zipf => (self.zipf.draw(rng), self.zipf.draw(rng)),
                Pick::Hot if rng.chance(0.5) => (0, rng.below(self.accounts)),
                Pick::Hot => (rng.below(self.accounts), 0),
            };
            if debit != credit {
                return (debit, credit);
            }
        }
    }

    /// Everything from order to records and outcomes.
    pub fn run(&mut self, requests: &[Request]) -> Vec<Answer> {
        let mut plan = self.add(requests);
        let batch = plan.take_batch();
        self.prepare(&batch);
        self.decide(&mut plan, &batch);
        self.commit(&plan, &batch);
        self.conclude(&plan, &batch, requests)
    }

    /// The same, with one step measured.
    pub fn run_measured(&mut self, requests: &[Request], step: Step, meter: &mut Meter) {
        let mut plan = when(step == Step::Add, meter, || self.add(requests));
        let batch = plan.take_batch();
        when(step == Step::Prepare, meter, || self.prepare(&batch));
        when(step == Step::Decide, meter, || self.decide(&mut plan, &batch));
        when(step == Step::Commit, meter, || self.commit(&plan, &batch));
        when(step == Step::Conclude, meter, || self.conclude(&plan, &batch, requests));
    }

    // Never inlined, so that profiles name the steps.

    #[inline(never)]
    fn add(&mut self, requests: &[Request]) -> Plan {
        let coordinator = &mut self.ledger.coordinator;
        let mut plan = coordinator.begin(NOW_NS);
        let taken = coordinator.add(&mut plan, requests);
        assert_eq!(taken, requests.len(), "without holds a batch takes all");
        plan
    }

    #[inline(never)]
    fn prepare(&mut self, batch: &Batch) {
        for (partition, votes) in self.ledger.partitions.iter_mut().zip(&mut self.votes) {
            partition.prepare(batch, votes);
        }
    }

    #[inline(never)]
    fn decide(&self, plan: &mut Plan, batch: &Batch) {
        let (_, all) = plan.decide(batch, &self.votes, &[]);
        assert!(all, "one partition decides in one round");
    }

    #[inline(never)]
    fn commit(&mut self, plan: &Plan, batch: &Batch) {
        let mut net = 0;
        for (partition, legs) in self.ledger.partitions.iter_mut().zip(&mut self.legs) {
            net += partition.commit(batch, plan.verdicts(), legs).expect("possible");
        }
        assert_eq!(net, 0, "what is debited is credited");
    }

    #[inline(never)]
    fn conclude(&mut self, plan: &Plan, batch: &Batch, requests: &[Request]) -> Vec<Answer> {
        let records = &mut self.records;
        records.clear();
        records.begin_batch(plan.time_ns());
        let submissions = std::iter::once(requests);
        let emit = |lsn, record: &_| {
            records.push(lsn, |bytes| codec::encode(record, bytes)).expect("records are small");
        };
        let coordinator = &mut self.ledger.coordinator;
        let answers = coordinator.conclude(plan, batch, submissions, &self.legs, emit);
        records.end_batch();
        answers
    }
}

/// In place, as the engine's door does it.
pub fn as_requests(transfers: Vec<TransferRequest>) -> Vec<Request> {
    transfers.into_iter().map(Request::from).collect()
}

fn account(index: u64) -> AccountId {
    AccountId::new(WORLD + 1 + u128::from(index)).expect("not zero")
}

fn when<T>(measured: bool, meter: &mut Meter, work: impl FnOnce() -> T) -> T {
    if measured { meter.measure(work) } else { work() }
}

/// The outcomes of one submission, all of which must have been posted.
pub fn posted(mut answers: Vec<Answer>) -> Vec<Outcome> {
    let outcomes = answers.pop().expect("one submission").outcomes;
    assert!(outcomes.iter().all(|outcome| outcome.rejection.is_none()), "all are posted");
    outcomes
}
