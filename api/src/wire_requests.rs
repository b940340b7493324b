//! Batches that are decoded while they are read.
//!
//! Generated code takes a transfer apart field by field through three layers that would work
//! on any buffer; that was the dearest step on a batch's way in. Here a transfer whose bytes
//! lie together and which has only numbers, as clients in a hurry send it, is read in one
//! pass; any other goes the way of the generated code. What comes out is the same, and a test
//! holds it to that.

use crate::proto::TransferRequest;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType, skip_field};
use prost::{DecodeError, Message};

/// A `CreateTransfersRequest` as the generated servers take it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchRequest {
    /// The transfers, in order.
    pub transfers: Vec<TransferRequest>,
}

/// A `StreamTransfersRequest` as the generated servers take it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamRequest {
    /// Comes back with the answer.
    pub tag: u64,
    /// The transfers, in order.
    pub transfers: Vec<TransferRequest>,
    /// How long the answer is wanted, milliseconds; 0 without end.
    pub timeout_ms: u32,
}

/// Field numbers in the proto; a test compares with prost.
mod field {
    pub const BATCH_TRANSFERS: u32 = 1;
    pub const STREAM_TAG: u32 = 1;
    pub const STREAM_TRANSFERS: u32 = 2;
    pub const STREAM_TIMEOUT_MS: u32 = 3;
}

/// Bytes of a transfer, at least; for the size of the list.
const TRANSFER_BYTES_MIN: usize = 32;

/// Most transfers that room is made for before they are seen.
const RESERVE_MAX: usize = 10_000;

fn merge_transfer(
    transfers: &mut Vec<TransferRequest>,
    wire_type: WireType,
    buffer: &mut impl Buf,
    context: DecodeContext,
) -> Result<(), DecodeError> {
    if transfers.is_empty() {
        transfers.reserve((buffer.remaining() / TRANSFER_BYTES_MIN).min(RESERVE_MAX));
    }
    if wire_type == WireType::LengthDelimited
        && let Some((transfer, bytes)) = read_delimited(buffer.chunk())
    {
        buffer.advance(bytes);
        transfers.push(transfer);
        return Ok(());
    }
    encoding::message::merge_repeated(wire_type, transfers, buffer, context)
}

/// The transfer after its length, and how many bytes both take; `None` for what must go the
/// long way.
#[inline]
fn read_delimited(bytes: &[u8]) -> Option<(TransferRequest, usize)> {
    // The numbers of a transfer take 84 bytes at most, so its length takes one.
    let (&length, rest) = bytes.split_first().filter(|(length, _)| **length < 0x80)?;
    let transfer = read(rest.get(..length.into())?)?;
    Some((transfer, 1 + usize::from(length)))
}

#[inline]
fn read(mut rest: &[u8]) -> Option<TransferRequest> {
    let mut transfer = TransferRequest::default();
    while let Some((&key, behind)) = rest.split_first() {
        rest = behind;
        match key {
            0x09 => transfer.id = take_fixed(&mut rest)?,
            0x11 => transfer.id_high = take_fixed(&mut rest)?,
            0x19 => transfer.debit_account = take_fixed(&mut rest)?,
            0x21 => transfer.debit_account_high = take_fixed(&mut rest)?,
            0x29 => transfer.credit_account = take_fixed(&mut rest)?,
            0x31 => transfer.credit_account_high = take_fixed(&mut rest)?,
            0x38 => transfer.amount_minor = encoding::decode_varint(&mut rest).ok()?,
            0x50 => transfer.kind = take_small(&mut rest)?.into(),
            0x58 => transfer.linked = take_small(&mut rest)? != 0,
            _ => return None,
        }
    }
    Some(transfer)
}

#[inline]
fn take_fixed(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_le_bytes(*bytes))
}

/// A number of one byte.
#[inline]
fn take_small(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, behind) = rest.split_first().filter(|(byte, _)| **byte < 0x80)?;
    *rest = behind;
    Some(byte)
}

impl Message for BatchRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        encoding::message::encode_repeated(field::BATCH_TRANSFERS, &self.transfers, buffer);
    }

    fn encoded_len(&self) -> usize {
        encoding::message::encoded_len_repeated(field::BATCH_TRANSFERS, &self.transfers)
    }

    fn clear(&mut self) {
        self.transfers.clear();
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            field::BATCH_TRANSFERS => {
                merge_transfer(&mut self.transfers, wire_type, buffer, context)
            }
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }
}

impl Message for StreamRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if self.tag != 0 {
            encoding::uint64::encode(field::STREAM_TAG, &self.tag, buffer);
        }
        encoding::message::encode_repeated(field::STREAM_TRANSFERS, &self.transfers, buffer);
        if self.timeout_ms != 0 {
            encoding::uint32::encode(field::STREAM_TIMEOUT_MS, &self.timeout_ms, buffer);
        }
    }

    fn encoded_len(&self) -> usize {
        let tag = match self.tag {
            0 => 0,
            tag => encoding::uint64::encoded_len(field::STREAM_TAG, &tag),
        };
        let timeout = match self.timeout_ms {
            0 => 0,
            timeout => encoding::uint32::encoded_len(field::STREAM_TIMEOUT_MS, &timeout),
        };
        let transfers =
            encoding::message::encoded_len_repeated(field::STREAM_TRANSFERS, &self.transfers);
        tag + transfers + timeout
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            field::STREAM_TAG => encoding::uint64::merge(wire_type, &mut self.tag, buffer, context),
            field::STREAM_TRANSFERS => {
                merge_transfer(&mut self.transfers, wire_type, buffer, context)
            }
            field::STREAM_TIMEOUT_MS => {
                encoding::uint32::merge(wire_type, &mut self.timeout_ms, buffer, context)
            }
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }
}

#[cfg(test)]
#[path = "wire_requests_tests.rs"]
mod tests;
