//! Messages of calls that do harm: random ones, sound ones with bits changed, ones that are too large.
//! Their accounts are none of the ledger's, so that no balance of those who are measured moves.

use ducat_api::proto;
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use rand::RngExt as _;

/// gRPC's prefix of a message: a flag and its length.
const PREFIX_BYTES: usize = 5;

/// The longest random message.
const RANDOM_BYTES_MAX: usize = 2_048;

/// The calls that are fuzzed.
pub const PATHS: [&str; 5] = [
    "/ducat.v1.Ledger/Transfer",
    "/ducat.v1.Ledger/CreateTransfers",
    "/ducat.v1.Ledger/StreamTransfers",
    "/ducat.v1.Ledger/ListRefunds",
    "/ducat.v1.Ledger/QuoteFee",
];

/// With gRPC's prefix before it.
pub fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("messages are below 4 GiB");
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    framed.freeze()
}

/// A message that says it is this long and is the first `sent` bytes of that.
pub fn cut_short(length: u32, sent: usize) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + sent);
    framed.put_u8(0);
    framed.put_u32(length);
    // Fields of a batch: each an empty transfer.
    framed.extend((0..sent).map(|at| if at % 2 == 0 { 0x0a } else { 0 }));
    framed.freeze()
}

/// A transfer between accounts that do not exist, of an id nobody else has.
pub fn transfer() -> proto::TransferRequest {
    let mut random = rand::rng();
    proto::TransferRequest {
        id: random.random(),
        id_high: random.random(),
        debit_account: random.random(),
        debit_account_high: random.random(),
        credit_account: random.random(),
        credit_account_high: random.random(),
        amount_minor: random.random_range(1..1_000),
        ..Default::default()
    }
}

/// The message of a call, sound.
fn sound(path: &str) -> Vec<u8> {
    let transfers = || (0..3).map(|_| transfer()).collect();
    match path {
        "/ducat.v1.Ledger/CreateTransfers" => {
            proto::CreateTransfersRequest { transfers: transfers(), ..Default::default() }
                .encode_to_vec()
        }
        "/ducat.v1.Ledger/StreamTransfers" => {
            proto::StreamTransfersRequest { tag: 1, transfers: transfers(), ..Default::default() }
                .encode_to_vec()
        }
        // The others are told by their field numbers, which are not what they expect.
        _ => transfer().encode_to_vec(),
    }
}

/// A call and what it sends.
pub fn fuzzed() -> (&'static str, Bytes) {
    let mut random = rand::rng();
    let path = PATHS[random.random_range(0..PATHS.len())];
    let mut message = if random.random() {
        let mut bytes = vec![0; random.random_range(0..RANDOM_BYTES_MAX)];
        random.fill(&mut bytes[..]);
        bytes
    } else {
        sound(path)
    };
    for _ in 0..random.random_range(0..4) {
        let Some(last) = message.len().checked_sub(1) else { break };
        message[random.random_range(0..=last)] ^= 1 << random.random_range(0..8);
    }
    let mut framed = BytesMut::from(framed(&message));
    if random.random_ratio(1, 8) {
        // The prefix lies: compressed, or another length.
        framed[random.random_range(0..PREFIX_BYTES)] ^= 1 << random.random_range(0..8);
    }
    (path, framed.freeze())
}

/// A batch that is refused, each transfer with a sentence of its own.
pub fn refused_batch(tag: u64, count: usize) -> Bytes {
    let transfers = (0..count).map(|_| transfer()).collect();
    let batch = proto::StreamTransfersRequest { tag, transfers, ..Default::default() };
    framed(&batch.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_says_how_long_the_message_is() {
        assert_eq!(framed(&[7, 8])[..], [0, 0, 0, 0, 2, 7, 8]);
        let cut = cut_short(1 << 20, 4);
        assert_eq!(cut[..], [0, 0, 0x10, 0, 0, 0x0a, 0, 0x0a, 0]);
    }

    #[test]
    fn sound_messages_are_sound_and_fuzzed_ones_mostly_are_not() {
        for path in &PATHS[..3] {
            assert!(!sound(path).is_empty(), "{path}");
        }
        let batch = proto::CreateTransfersRequest::decode(&sound(PATHS[1])[..]).expect("sound");
        assert_eq!(batch.transfers.len(), 3);
        let unreadable = (0..1_000)
            .map(|_| fuzzed().1)
            .filter(|sent| proto::CreateTransfersRequest::decode(&sent[PREFIX_BYTES..]).is_err())
            .count();
        assert!(unreadable > 200, "{unreadable} of 1000");
    }
}
