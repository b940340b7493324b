//! The stream's messages as bytes: requests were encoded call by call, answers are read
//! outcome by outcome, so that neither is ever a list of messages in between.

use crate::proto::{BatchError, Outcome};
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message as _};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The key of `StreamTransfersRequest.tag`: field 1, varint.
const TAG: u8 = 0x08;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Comes back with the answer.
    pub tag: u64,
    /// The encoded transfers.
    pub items: Bytes,
}

/// Sends [`Outgoing`], receives bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Outgoing;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Outgoing, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(item.items.len() + 16);
        to.put_slice(&item.items);
        to.put_u8(TAG);
        prost::encoding::encode_varint(item.tag, to);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl From<DecodeError> for Unreadable {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// An answer without its outcomes.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub tag: u64,
    pub error: Option<BatchError>,
    /// How many outcomes there are.
    pub outcomes: usize,
}

/// Reads all of a `StreamTransfersResponse` but the outcomes, which are counted.
pub(super) fn head(answer: &[u8]) -> Result<Head, Unreadable> {
    let mut head = Head::default();
    let mut rest = answer;
    while let Some((field, wire_type)) = next_key(&mut rest)? {
        match (field, wire_type) {
            (1, WireType::Varint) => head.tag = decode_varint(&mut rest)?,
            (2, WireType::LengthDelimited) => {
                delimited(&mut rest)?;
                head.outcomes += 1;
            }
            (3, WireType::LengthDelimited) => {
                head.error = Some(BatchError::decode(delimited(&mut rest)?)?);
            }
            _ => skip_field(wire_type, field, &mut rest, DecodeContext::default())?,
        }
    }
    Ok(head)
}

/// The outcomes of an answer that [`head`] has read, in their order.
#[derive(Debug)]
pub(super) struct Outcomes<'a> {
    rest: &'a [u8],
}

impl<'a> Outcomes<'a> {
    pub(super) const fn of(answer: &'a [u8]) -> Self {
        Self { rest: answer }
    }

    fn read(&mut self) -> Result<Option<Outcome>, Unreadable> {
        while let Some((field, wire_type)) = next_key(&mut self.rest)? {
            if field == 2 {
                return Ok(Some(Outcome::decode(delimited(&mut self.rest)?)?));
            }
            skip_field(wire_type, field, &mut self.rest, DecodeContext::default())?;
        }
        Ok(None)
    }
}

impl Iterator for Outcomes<'_> {
    type Item = Result<Outcome, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn next_key(rest: &mut &[u8]) -> Result<Option<(u32, WireType)>, Unreadable> {
    if rest.is_empty() { Ok(None) } else { Ok(Some(decode_key(rest)?)) }
}

/// The bytes of a length-delimited field, taken off `rest`.
fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Unreadable> {
    let length = usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX);
    let (field, after) = rest.split_at_checked(length).ok_or(Unreadable)?;
    *rest = after;
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Balance, StreamTransfersResponse};

    fn answer() -> StreamTransfersResponse {
        let outcome = |id| Outcome {
            id,
            code: 14,
            explanation: "account 2 has nothing".into(),
            debit: Some(Balance { posted_minor: -5, ..Default::default() }),
            ..Default::default()
        };
        StreamTransfersResponse { tag: 7, outcomes: (1..=300).map(outcome).collect(), error: None }
    }

    #[test]
    fn an_answer_is_read_as_prost_reads_it() {
        let bytes = answer().encode_to_vec();
        let head = head(&bytes).expect("well-formed");
        assert_eq!((head.tag, head.outcomes, head.error), (7, 300, None));
        let outcomes: Result<Vec<_>, _> = Outcomes::of(&bytes).collect();
        assert_eq!(outcomes.expect("well-formed"), answer().outcomes);
    }

    #[test]
    fn a_refusal_is_read() {
        let error = BatchError { grpc_code: 8, reason: "ENGINE_FULL".into(), ..Default::default() };
        let refused = StreamTransfersResponse { tag: 9, error: Some(error.clone()), ..answer() };
        let head = head(&refused.encode_to_vec()).expect("well-formed");
        assert_eq!((head.tag, head.error), (9, Some(error)));
    }

    #[test]
    fn an_answer_cut_short_is_no_answer() {
        let bytes = answer().encode_to_vec();
        let whole = head(&bytes).expect("well-formed").outcomes;
        for cut in [1, bytes.len() / 2, bytes.len() - 1] {
            assert!(head(&bytes[..cut]).map_or(true, |head| head.outcomes < whole), "{cut}");
        }
        assert!(head(&bytes[..bytes.len() - 1]).is_err());
    }
}
