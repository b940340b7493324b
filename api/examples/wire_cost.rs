//! What the wire costs: nanoseconds per transfer for decoding and converting a batch of
//! requests, and for converting and encoding the batch of outcomes, on one core.
//!
//! `cargo run --release -p ducat-api --example wire_cost`

use ducat_actors::handle::Answers;
use ducat_api::convert::{outcomes, transfers};
use ducat_api::proto;
use ducat_api::wire_requests::{BatchRequest, WireRequest};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::money::Currencies;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{BalanceAfter, Outcome};
use prost::Message as _;
use std::hint::black_box;
use std::time::Instant;

// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 8192;
const ROUNDS: usize = 300;

fn requests(with_currency: bool, as_text: bool) -> Vec<proto::TransferRequest> {
    (0..BATCH as u64)
        .map(|n| proto::TransferRequest {
            id: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            id_high: 0x0192_f3a4_5b6c_7d8e,
            debit_account: n % 10_000 + 1,
            credit_account: n * 7 % 10_000 + 1,
            amount_minor: if as_text { 0 } else { n % 100_000 + 1 },
            amount: if as_text { format!("{}.{:02}", n % 1000, n % 100) } else { String::new() },
            currency: if with_currency { "GBP".to_owned() } else { String::new() },
            ..proto::TransferRequest::default()
        })
        .collect()
}

fn answers(asked: &[proto::TransferRequest], refused_each: usize) -> Vec<Outcome> {
    let currency = Currencies::new().by_code("GBP").expect("ISO").id;
    asked
        .iter()
        .enumerate()
        .map(|(at, item)| Outcome {
            id: TransferId::from_halves(item.id_high, item.id).expect("not zero"),
            lsn: Lsn(1_000_000 + at as u64),
            time_ns: 1_760_000_000_000_000_000,
            rejection: (refused_each > 0 && at % refused_each == 0)
                .then_some(Rejection::InsufficientFunds),
            repeat: false,
            currency: Some(currency),
            debit: Some(BalanceAfter { posted: 1_234_567, available: 1_234_567 }),
            credit: Some(BalanceAfter { posted: 7_654_321, available: 7_654_321 }),
        })
        .collect()
}

/// The best and the median of the rounds, in nanoseconds per transfer.
fn measure(name: &str, bytes: usize, mut round: impl FnMut()) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e9 / BATCH as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let each = bytes / BATCH;
    println!("{name:<58} {:>6.1} {:>6.1} ns  {each:>4} B", times[0], times[ROUNDS / 2]);
}

fn main() {
    let currencies = Currencies::new();
    println!("{:<58} {:>6} {:>6}", format!("batches of {BATCH}, per transfer"), "best", "median");
    for (name, with_currency, as_text) in [
        ("minor units", false, false),
        ("minor units and currency", true, false),
        ("decimal text and currency", true, true),
    ] {
        let message = proto::CreateTransfersRequest {
            transfers: requests(with_currency, as_text),
            dry_run: false,
        };
        let wire = message.encode_to_vec();
        measure(&format!("request, {name}: decode"), wire.len(), || {
            let batch = BatchRequest::decode(wire.as_slice()).expect("ours");
            black_box(batch);
        });
        measure(&format!("request, {name}: decode + convert"), wire.len(), || {
            let batch = BatchRequest::decode(wire.as_slice()).expect("ours");
            black_box(transfers::batch(&batch.transfers, &currencies).expect("well-formed"));
            black_box(batch);
        });
    }
    let asked = requests(false, false);
    let read: Vec<WireRequest> = asked.iter().cloned().map(WireRequest::from).collect();
    for (name, refused_each) in [("all posted", 0), ("1 of 10 refused", 10), ("all refused", 1)] {
        let outcomes = Answers {
            outcomes: answers(&asked, refused_each),
            holds: Vec::new(),
            refunds: Vec::new(),
            terms: Vec::new(),
            fees: Vec::new(),
        };
        let encoded = outcomes::unary_answer(&outcomes, &read, &currencies);
        let wire = encoded.as_bytes();
        measure(&format!("response, {name}: encode"), wire.len(), || {
            black_box(outcomes::unary_answer(&outcomes, &read, &currencies));
        });
        let message = proto::CreateTransfersResponse::decode(wire).expect("ours");
        measure(&format!("response, {name}: encode the message by prost"), wire.len(), || {
            black_box(message.encode_to_vec());
        });
        measure(&format!("response, {name}: decode (client)"), wire.len(), || {
            black_box(proto::CreateTransfersResponse::decode(wire).expect("ours"));
        });
    }
}
