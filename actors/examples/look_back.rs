//! How long it takes to look back at an account with a million entries, on a disk.
//!
//! `cargo run -p ducat-actors --example look_back -- [DIR] [ENTRIES]`: makes a ledger below DIR (a
//! temporary directory by default) in which account 2 has ENTRIES entries, in a third of all
//! transfers, with a pause in the middle in which only others move, and asks for its balance at
//! moments all over, one call at a time, on an idle engine. Times are of whole calls; the
//! processor's time of the whole process beside them tells how busy the machine was with others.

use ducat_actors::handle::{EngineOptions, Handle};
use ducat_actors::history::{Moment, StatementQuery};
use ducat_actors::start::Engine;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::transfer::{AccountSpec, TransferKind, TransferRequest};
use ducat_persistence::{DataDir, SledJournal, SledOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Transfers to a batch.
const BATCH: u64 = 8_192;

/// Accounts that move.
const ACCOUNTS: u64 = 10_000;

fn account(id: u64) -> AccountId {
    AccountId::new(id.into()).expect("not zero")
}

fn transfer(id: u64, credit: u64) -> TransferRequest {
    TransferRequest {
        id: TransferId::new(id.into()).expect("not zero"),
        debit: account(1),
        credit: account(credit),
        amount: 1,
        currency: None,
        kind: TransferKind::Deposit,
        linked: false,
    }
}

async fn fill(handle: &Handle, entries: u64) {
    let spec = |id| AccountSpec {
        id: account(id),
        currency: CurrencyId(826),
        overdraft_limit: 0,
        external: id == 1,
    };
    handle.create_accounts((1..=ACCOUNTS).map(spec).collect()).await.expect("up");
    let mut id = 0;
    // A third of the transfers, then none of as many, then a third again.
    for (part, mine) in [(entries * 3 / 2, true), (entries, false), (entries * 3 / 2, true)] {
        let end = id + part;
        while id < end {
            let ids = id + 1..=(id + BATCH).min(end);
            id = *ids.end();
            let credit =
                |id: u64| if mine && id.is_multiple_of(3) { 2 } else { 3 + id % (ACCOUNTS - 2) };
            let batch = ids.map(|id| transfer(id, credit(id))).collect();
            let pending = handle.submit_when_room(batch).await.expect("up");
            pending.outcomes().await.expect("up");
        }
    }
}

/// Calls measured one by one, and the processor's time of all of them.
struct Calls {
    times: Vec<Duration>,
    ticks: u64,
}

impl Calls {
    fn begin() -> Self {
        Self { times: Vec::new(), ticks: ticks() }
    }

    fn tell(mut self, what: &str) {
        self.times.sort_unstable();
        let count = self.times.len() as u64;
        let at = |part: usize| self.times[(self.times.len() - 1) * part / 100];
        let cpu_us = (ticks() - self.ticks) * 10_000 / count;
        println!(
            "{what}: p50 {:?}, p99 {:?}, most {:?}; {cpu_us} us of CPU each",
            at(50),
            at(99),
            at(100)
        );
    }
}

/// The process's own time on processors, in ticks of 10 ms; 0 where `/proc` does not tell.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let field = |at| behind.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok());
    field(11).unwrap_or(0) + field(12).unwrap_or(0)
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let own = tempfile::tempdir().expect("a directory");
    let dir = args.next().map_or_else(|| own.path().to_owned(), PathBuf::from);
    let entries = args.next().map_or(1_000_000, |text| text.parse().expect("a number"));
    let data_dir = Arc::new(DataDir::create_or_open(&dir.join("ledger")).expect("opens"));
    let journal = Arc::new(SledJournal::open(data_dir, SledOptions::default()).expect("opens"));
    let engine = Engine::start(EngineOptions::default(), journal, "look_back", Box::new(|_| {}));
    let engine = engine.await.expect("it starts");
    let handle = engine.handle();
    let began = Instant::now();
    if handle.status().durable_lsn == Lsn::ZERO {
        fill(&handle, entries).await;
    }
    let last = handle.status().durable_lsn;
    println!("{last} events, {entries} entries of account 2; made in {:?}", began.elapsed());
    for id in [1, 2, 3] {
        let mut calls = Calls::begin();
        for at in 0..300_u64 {
            let lsn = Lsn(ACCOUNTS + 1 + (last.0 - ACCOUNTS - 1) * (at * 7919 % 300) / 300);
            let asked = Instant::now();
            let found = handle.balance_at(account(id), Moment::Lsn(lsn)).await.expect("up");
            calls.times.push(asked.elapsed());
            assert!(found.is_some());
        }
        calls.tell(&format!("balance of account {id} at an LSN"));
    }
    for oldest_first in [false, true] {
        let mut calls = Calls::begin();
        for at in 0..50_u64 {
            let from = Some(Moment::Lsn(Lsn(last.0 * (at * 29 % 50) / 50)));
            let to = from.filter(|_| !oldest_first);
            let from = from.filter(|_| oldest_first);
            let query = StatementQuery { from, to, oldest_first, limit: 100, cursor: None };
            let asked = Instant::now();
            handle.statement(account(2), query).await.expect("up");
            calls.times.push(asked.elapsed());
        }
        calls.tell(&format!("page of 100 entries, oldest first: {oldest_first}"));
    }
    let asked = Instant::now();
    let made = handle.trial_balance(Some(Moment::Lsn(Lsn(last.0 / 2)))).await.expect("up");
    println!("trial balance after {} events: {:?}", made.lsn, asked.elapsed());
    let asked = Instant::now();
    let found = handle.verify_balances().await.expect("up");
    println!("audit: {:?}, {} differences", asked.elapsed(), found.difference_count);
    engine.shutdown().await.expect("drains");
}
