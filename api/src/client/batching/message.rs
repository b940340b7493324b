//! What goes to the server in one piece: transfers of many calls, encoded as the calls came,
//! and whose they are.

use crate::proto::TransferRequest;
use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes, BytesMut};

/// The key of `StreamTransfersRequest.transfers`: field 2, length-delimited.
const TRANSFERS: u8 = 0x12;

/// One call's part of a message: a transfer, or a group that stays together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The call's slot.
    pub slot: u32,
    /// Transfers.
    pub count: u32,
    /// Encoded bytes.
    pub bytes: u32,
}

/// Transfers that are sent, answered and, when it must be, sent again together.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    /// The encoded `transfers` of the request.
    pub items: Bytes,
    /// Whose they are, in their order.
    pub entries: Vec<Entry>,
    /// How many.
    pub transfers: usize,
}

/// Appends a call's transfers and returns their bytes.
pub(super) fn encode(transfers: &[TransferRequest], to: &mut BytesMut) -> u32 {
    let before = to.len();
    for transfer in transfers {
        let length = transfer.encoded_len();
        to.reserve(length + 6);
        to.put_u8(TRANSFERS);
        prost::encoding::encode_varint(length as u64, to);
        transfer.encode_raw(to);
    }
    // A call's transfers are checked to be short (see `validate`): 10,000 take 2 MB.
    u32::try_from(to.len() - before).unwrap_or(u32::MAX)
}

impl Message {
    /// The message with only the entries that `keep` keeps; `left` is told of the others.
    pub(super) fn retain(
        self,
        mut keep: impl FnMut(&Entry) -> bool,
        mut left: impl FnMut(&Entry),
    ) -> Self {
        let mut items = BytesMut::with_capacity(self.items.len());
        let (mut entries, mut transfers, mut at) = (Vec::new(), 0, 0);
        for entry in self.entries {
            let end = at + entry.bytes as usize;
            if keep(&entry) {
                items.extend_from_slice(&self.items[at..end]);
                transfers += entry.count as usize;
                entries.push(entry);
            } else {
                left(&entry);
            }
            at = end;
        }
        Self { items: items.freeze(), entries, transfers }
    }

    /// The entry that holds transfer number `index` of the message, and the transfer's number
    /// within it.
    pub(super) fn locate(&self, index: usize) -> Option<(usize, usize)> {
        let mut first = 0;
        for (number, entry) in self.entries.iter().enumerate() {
            let count = entry.count as usize;
            if index < first + count {
                return Some((number, index - first));
            }
            first += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::StreamTransfersRequest;

    fn transfer(id: u64) -> TransferRequest {
        TransferRequest { id, amount: "1.00".into(), linked: id == 2, ..Default::default() }
    }

    fn message(calls: &[&[u64]]) -> Message {
        let (mut items, mut entries, mut transfers) = (BytesMut::new(), Vec::new(), 0);
        for (slot, ids) in (0..).zip(calls) {
            let group: Vec<_> = ids.iter().map(|&id| transfer(id)).collect();
            let bytes = encode(&group, &mut items);
            let count = u32::try_from(group.len()).expect("few");
            entries.push(Entry { slot, count, bytes });
            transfers += group.len();
        }
        Message { items: items.freeze(), entries, transfers }
    }

    fn ids(message: &Message) -> Vec<u64> {
        let request = StreamTransfersRequest::decode(&message.items[..]).expect("well-formed");
        assert!(request.transfers.iter().all(|t| *t == transfer(t.id)));
        request.transfers.iter().map(|t| t.id).collect()
    }

    #[test]
    fn it_decodes_to_the_transfers_of_its_calls() {
        assert_eq!(ids(&message(&[&[1], &[2, 3], &[4]])), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_left_out_is_told_and_the_rest_stays_whole() {
        let mut out = Vec::new();
        let kept = message(&[&[1], &[2, 3], &[4]]).retain(|e| e.slot != 1, |e| out.push(e.slot));
        assert_eq!((ids(&kept), kept.transfers, out), (vec![1, 4], 2, vec![1]));
        assert!(message(&[&[1]]).retain(|_| false, |_| {}).items.is_empty());
    }

    #[test]
    fn a_transfer_is_found_in_its_call() {
        let message = message(&[&[1], &[2, 3], &[4]]);
        let found: Vec<_> = (0..5).map(|index| message.locate(index)).collect();
        assert_eq!(found, [Some((0, 0)), Some((1, 0)), Some((1, 1)), Some((2, 0)), None]);
    }
}
