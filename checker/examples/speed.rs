//! How fast a history is checked: 10 million transfers between 10,000 accounts, in batches of
//! 8,192 by 8 clients, a tenth of them repeats, some linked, some refused, with reads in
//! between, against a journal of real frames.
//!
//! ```sh
//! cargo run --release -p ducat-checker --example speed [TRANSFERS]
//! ```

use ducat_checker::history::{Call, Seen};
use ducat_checker::{History, Options, Span, Told, check_journal};
use ducat_engine::codec;
use ducat_engine::ids::{AccountId, Lsn, ShardId, Slot, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::CurrencyId;
use ducat_engine::record::Record;
use ducat_engine::repeat::{Content, Named, content, stored_outcome};
use ducat_engine::transfer::{AccountSpec, TransferKind, TransferRequest};
use ducat_persistence::{AppendBuffer, Journal, LedgerId, MemoryJournal, Writer};
use std::error::Error;
use std::time::Instant;

const ACCOUNTS: u64 = 10_000;
const BATCH: usize = 8_192;
const CLIENTS: u64 = 8;

fn account(index: u64) -> AccountId {
    AccountId::from_halves(0, (1 << 41) + index).expect("not zero")
}

/// Numbers that look random and follow from the seed alone (SplitMix64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Executes what comes and keeps the journal.
struct Server {
    ledger: Ledger,
    writer: Box<dyn Writer>,
    buffer: AppendBuffer,
}

impl Server {
    fn append(&mut self, time_ns: u64, records: &[(Lsn, Record)]) -> Result<(), Box<dyn Error>> {
        let Some((first, _)) = records.first() else { return Ok(()) };
        self.buffer.clear();
        self.buffer.begin_batch(time_ns);
        for (lsn, record) in records {
            self.buffer.push(*lsn, |bytes| codec::encode(record, bytes))?;
        }
        self.buffer.end_batch();
        self.writer.append(*first, &mut self.buffer)?;
        Ok(())
    }

    fn execute(
        &mut self,
        now_ns: u64,
        requests: &[TransferRequest],
    ) -> Result<Vec<Told>, Box<dyn Error>> {
        let done = self.ledger.execute(now_ns, &[requests])?;
        self.append(done.time_ns, &done.records)?;
        Ok(done.answers[0].outcomes.iter().map(Told::from).collect())
    }
}

fn open(server: &mut Server) -> Result<(), Box<dyn Error>> {
    let mut records = Vec::new();
    for index in 0..ACCOUNTS {
        let external = index == 0;
        let currency = CurrencyId(826);
        let overdraft_limit = if index % 10 == 9 { 0 } else { 1 << 40 };
        let spec = AccountSpec { id: account(index), currency, overdraft_limit, external };
        records.push(server.ledger.open_account(&spec)?);
    }
    server.append(1, &records)
}

fn request(rng: &mut Rng, id: u64) -> TransferRequest {
    let (debit, credit) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
    TransferRequest {
        id: TransferId::from_halves(77, id).expect("not zero"),
        debit: account(debit),
        credit: account(credit),
        amount: u128::from(rng.below(1_000)) + 1,
        currency: None,
        kind: match (debit, credit) {
            (0, _) => TransferKind::Deposit,
            (_, 0) => TransferKind::Withdrawal,
            _ => TransferKind::Transfer,
        },
        linked: rng.below(20) == 0,
    }
}

/// The first answer again, from the journal.
fn again(
    server: &Server,
    journal: &dyn Journal,
    told: &mut Told,
) -> Result<TransferRequest, Box<dyn Error>> {
    let frame = journal.frame_at(ShardId(0), told.lsn)?.ok_or("a durable frame")?;
    let at = usize::try_from(told.lsn.0 - frame.first_lsn().0)?;
    let record = codec::decode_all(frame.payload()).nth(at).ok_or("a record")??;
    let outcome = stored_outcome(told.lsn, frame.header().time_ns, &record);
    *told = Told::from(&outcome);
    let Content { debit, credit, amount, kind, .. } = content(&record).ok_or("a transfer")?;
    let listed = |slot: Slot| server.ledger.view(slot).map(|view| view.spec);
    let side = |named| match named {
        Named::Slot(slot) => listed(slot),
        Named::Id(_) => None,
    };
    let (debit, credit) = side(debit).zip(side(credit)).ok_or("accounts")?;
    let kind = kind.unwrap_or(match (debit.external, credit.external) {
        (true, _) => TransferKind::Deposit,
        (_, true) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    });
    let linked = record.is_linked();
    Ok(TransferRequest {
        id: told.id,
        debit: debit.id,
        credit: credit.id,
        amount,
        currency: None,
        kind,
        linked,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let transfers: u64 = std::env::args().nth(1).map_or(Ok(10_000_000), |text| text.parse())?;
    let journal = MemoryJournal::new(LedgerId::from_bytes([7; 16]));
    let (writer, _) = journal.open_writer(ShardId(0), "speed")?;
    let ledger = Ledger::new(1, 5, REMEMBER_NS).ok_or("one partition")?;
    let mut server = Server { ledger, writer, buffer: AppendBuffer::new() };
    open(&mut server)?;
    let mut histories: Vec<History> = (0..CLIENTS).map(|_| History::new()).collect();
    let (mut rng, mut id, mut asked, mut clock) = (Rng(1), 0, 0, 0);
    let mut last: Vec<TransferRequest> = Vec::new();
    while asked < transfers {
        let mut requests: Vec<TransferRequest> = Vec::with_capacity(BATCH);
        while requests.len() < BATCH {
            let linked = requests.last().is_some_and(|before| before.linked);
            if rng.below(10) == 0 && !linked && !last.is_empty() {
                let at = usize::try_from(rng.below(last.len() as u64))?;
                requests.push(last[at]);
            } else {
                id += 1;
                requests.push(request(&mut rng, id));
            }
        }
        requests[BATCH - 1].linked = false;
        clock += 10;
        let mut told = server.execute(clock * 1_000, &requests)?;
        for told in told.iter_mut().filter(|told| told.repeat) {
            again(&server, &journal, told)?;
        }
        let span = Span { sent_at: clock, answered_at: clock + 35 };
        let client = usize::try_from(rng.below(CLIENTS))?;
        histories[client].transfers(span, requests.iter().copied().zip(told));
        let lsn = Lsn(server.ledger.coordinator.next_lsn().0 - 1);
        let slots = (0..100).map(|_| Slot(u32::try_from(rng.below(ACCOUNTS)).expect("small")));
        let seen = slots.filter_map(|slot| server.ledger.view(slot)).map(|view| Seen {
            account: view.spec.id,
            posted: view.posted,
            last_lsn: view.last_lsn,
            more: None,
        });
        let read = Call::Accounts { lsn, seen: seen.collect(), unknown: Vec::new() };
        histories[client].note(Span { sent_at: clock + 2, answered_at: clock + 36 }, &read);
        asked += BATCH as u64;
        // Alone, so that asking again gets the same answer.
        last = requests.windows(2).filter(|w| !w[0].linked && !w[1].linked).map(|w| w[1]).collect();
    }
    let mut history = History::new();
    histories.iter().for_each(|other| history.merge(other));
    println!(
        "{asked} transfers in {} calls, {} MB of history, {} bytes a transfer",
        history.calls(),
        history.memory_bytes() >> 20,
        history.memory_bytes() as u64 / asked
    );
    let begun = Instant::now();
    let report = check_journal(&history, &journal, ShardId(0), Options::default())?;
    let took = begun.elapsed().as_secs_f64();
    println!("{report}");
    println!("checked in {took:.2} s: {:.1} million transfers a second", asked as f64 / took / 1e6);
    if report.is_clean() { Ok(()) } else { Err("an honest run has faults".into()) }
}
