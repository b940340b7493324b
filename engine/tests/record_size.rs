//! What a plain transfer costs in the journal: at most 64 bytes of payload, for figures as
//! large as they usually get.

use ducat_engine::codec::encode;
use ducat_engine::ids::{Slot, TransferId};
use ducat_engine::record::{Posted, PostedSide, Record};

const SLOTS: u64 = 1_000_000;
const BACK_MAX: u64 = (1 << 32) - 1;
const BALANCE: i128 = 1 << 50;
const AMOUNT: u128 = 1 << 31;

fn bytes(posted: Posted) -> usize {
    let mut out = Vec::new();
    encode(&Record::Posted(posted), &mut out);
    out.len()
}

fn largest() -> Posted {
    Posted {
        id: TransferId::new(u128::MAX).expect("not zero"),
        debit: Slot(SLOTS as u32 - 1),
        credit: Slot(SLOTS as u32 - 2),
        amount: AMOUNT,
        debit_side: PostedSide { back: BACK_MAX, posted: -BALANCE, room: 0 },
        credit_side: PostedSide { back: BACK_MAX, posted: BALANCE, room: 0 },
    }
}

#[test]
fn a_plain_transfer_takes_at_most_64_bytes() {
    let most = bytes(largest());
    let (mut sum, mut count) = (0, 0);
    // Magnitudes even over their logarithm, all combined.
    for slot_bits in [8, 14, 19] {
        for amount_bits in [4, 10, 16, 24, 31] {
            for balance_bits in [5, 12, 20, 32, 40, 50] {
                for back_bits in [1, 6, 12, 20, 31] {
                    let (posted, back) = (1i128 << balance_bits, 1u64 << back_bits);
                    let size = bytes(Posted {
                        debit: Slot(1 << slot_bits),
                        credit: Slot((1 << slot_bits) + 1),
                        amount: 1 << amount_bits,
                        debit_side: PostedSide { back, posted, room: 0 },
                        credit_side: PostedSide { back, posted: posted - 1, room: 0 },
                        ..largest()
                    });
                    assert!(size <= most, "{size}");
                    sum += size;
                    count += 1;
                }
            }
        }
    }
    let room = 1i128 << 20;
    let overdraft = bytes(Posted {
        debit_side: PostedSide { room, ..largest().debit_side },
        credit_side: PostedSide { room, ..largest().credit_side },
        ..largest()
    });
    println!(
        "journal bytes of a plain transfer: {most} at most, {:.1} on average over magnitudes, \
         {overdraft} at most when both accounts have an overdraft limit of 2^20",
        f64::from(u32::try_from(sum).expect("small")) / f64::from(count)
    );
    assert!(most <= 64, "{most} bytes");
}
