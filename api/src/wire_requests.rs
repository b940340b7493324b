//! Batches that are decoded while they are read.
//!
//! Generated code takes a transfer apart field by field through three layers that would work
//! on any buffer; that was the dearest step on a batch's way in. Here a transfer whose bytes
//! lie together and which has only numbers, as clients in a hurry send it, is read in one
//! pass; any other goes the way of the generated code. What comes out is the same, and a test
//! holds it to that.
//!
//! A [`WireRequest`] holds what a plain transfer has; what only others have (texts, and all that
//! concerns holds and refunds) lies apart, so that a batch of plain ones is no larger for it.

use crate::proto::{Note, Operation, Terms, TransferRequest};
use prost::bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType, skip_field};
use prost::{DecodeError, Message};

/// A `CreateTransfersRequest` as the generated servers take it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchRequest {
    /// The transfers, in order.
    pub transfers: Vec<WireRequest>,
    /// Say what would become of them, and do nothing.
    pub dry_run: bool,
}

/// A `StreamTransfersRequest` as the generated servers take it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamRequest {
    /// Comes back with the answer.
    pub tag: u64,
    /// The transfers, in order.
    pub transfers: Vec<WireRequest>,
    /// How long the answer is wanted, milliseconds; 0 without end.
    pub timeout_ms: u32,
    /// Say what would become of them, and do nothing.
    pub dry_run: bool,
}

/// A `TransferRequest` as it is read; its fields are the message's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireRequest {
    /// The request's id: lower 64 bits.
    pub id: u64,
    /// Upper 64 bits of the id.
    pub id_high: u64,
    /// Lower 64 bits of the debit account's id.
    pub debit_account: u64,
    /// Upper 64 bits of the debit account's id.
    pub debit_account_high: u64,
    /// Lower 64 bits of the credit account's id.
    pub credit_account: u64,
    /// Upper 64 bits of the credit account's id.
    pub credit_account_high: u64,
    /// Minor units.
    pub amount_minor: u64,
    /// What it is for.
    pub kind: i32,
    /// Linked with the next request of the batch.
    pub linked: bool,
    /// What a plain transfer does not have; `None` where all of it is unset.
    pub more: Option<Box<More>>,
}

/// What only some requests have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct More {
    /// The amount as a decimal text.
    pub amount: String,
    /// The currency that is named.
    pub currency: String,
    /// What is asked for: a number of [`Operation`].
    pub operation: i32,
    /// Lower 64 bits of the hold's id.
    pub hold_id: u64,
    /// Upper 64 bits of the hold's id.
    pub hold_id_high: u64,
    /// Milliseconds until the hold expires.
    pub timeout_ms: u64,
    /// The tolerance as a decimal text.
    pub over_capture_max: String,
    /// The tolerance in minor units.
    pub over_capture_max_minor: u64,
    /// No capture follows.
    pub last: bool,
    /// Lower 64 bits of the original's id.
    pub original_id: u64,
    /// Upper 64 bits of the original's id.
    pub original_id_high: u64,
    /// The original's event.
    pub original_lsn: u64,
    /// The payer may go below its overdraft limit.
    pub allow_overdraft: bool,
    /// What must be so, and how much it moves.
    pub terms: Option<Box<Terms>>,
    /// What is said about it.
    pub note: Option<Box<Note>>,
    /// Only to be refused: in a batch it has no meaning of its own.
    pub dry_run: bool,
}

impl More {
    /// What is asked for; `None` for a number that stands for nothing.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        Operation::try_from(self.operation).ok()
    }
}

impl From<TransferRequest> for WireRequest {
    fn from(message: TransferRequest) -> Self {
        let more = More {
            amount: message.amount,
            currency: message.currency,
            operation: message.operation,
            hold_id: message.hold_id,
            hold_id_high: message.hold_id_high,
            timeout_ms: message.timeout_ms,
            over_capture_max: message.over_capture_max,
            over_capture_max_minor: message.over_capture_max_minor,
            last: message.last,
            original_id: message.original_id,
            original_id_high: message.original_id_high,
            original_lsn: message.original_lsn,
            allow_overdraft: message.allow_overdraft,
            terms: message.terms,
            note: message.note,
            dry_run: message.dry_run,
        };
        Self {
            id: message.id,
            id_high: message.id_high,
            debit_account: message.debit_account,
            debit_account_high: message.debit_account_high,
            credit_account: message.credit_account,
            credit_account_high: message.credit_account_high,
            amount_minor: message.amount_minor,
            kind: message.kind,
            linked: message.linked,
            more: (more != More::default()).then(|| Box::new(more)),
        }
    }
}

impl From<WireRequest> for TransferRequest {
    fn from(read: WireRequest) -> Self {
        let more = read.more.map(|more| *more).unwrap_or_default();
        Self {
            id: read.id,
            id_high: read.id_high,
            debit_account: read.debit_account,
            debit_account_high: read.debit_account_high,
            credit_account: read.credit_account,
            credit_account_high: read.credit_account_high,
            amount_minor: read.amount_minor,
            amount: more.amount,
            currency: more.currency,
            kind: read.kind,
            linked: read.linked,
            operation: more.operation,
            hold_id: more.hold_id,
            hold_id_high: more.hold_id_high,
            timeout_ms: more.timeout_ms,
            over_capture_max: more.over_capture_max,
            over_capture_max_minor: more.over_capture_max_minor,
            last: more.last,
            original_id: more.original_id,
            original_id_high: more.original_id_high,
            original_lsn: more.original_lsn,
            allow_overdraft: more.allow_overdraft,
            terms: more.terms,
            note: more.note,
            dry_run: more.dry_run,
        }
    }
}

/// Field numbers in the proto; a test compares with prost.
mod field {
    pub const BATCH_TRANSFERS: u32 = 1;
    pub const STREAM_TAG: u32 = 1;
    pub const STREAM_TRANSFERS: u32 = 2;
    pub const STREAM_TIMEOUT_MS: u32 = 3;
    pub const DRY_RUN: u32 = 70;
}

/// Bytes of a transfer, at least; for the size of the list.
const TRANSFER_BYTES_MIN: usize = 32;

/// Most transfers that room is made for before they are seen.
const RESERVE_MAX: usize = 10_000;

fn merge_transfer(
    transfers: &mut Vec<WireRequest>,
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
    let mut message = TransferRequest::default();
    encoding::message::merge(wire_type, &mut message, buffer, context)?;
    transfers.push(message.into());
    Ok(())
}

/// The transfer after its length, and how many bytes both take; `None` for what must go the
/// long way.
#[inline]
fn read_delimited(bytes: &[u8]) -> Option<(WireRequest, usize)> {
    // The numbers of a request take fewer bytes than 128, so its length takes one.
    let (&length, rest) = bytes.split_first().filter(|(length, _)| **length < 0x80)?;
    let transfer = read(rest.get(..length.into())?)?;
    Some((transfer, 1 + usize::from(length)))
}

#[inline]
fn read(mut rest: &[u8]) -> Option<WireRequest> {
    let mut transfer = WireRequest::default();
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
            0x60.. => return read_more(transfer, key, rest),
            _ => return None,
        }
    }
    Some(transfer)
}

/// Reads on behind the fields of a plain transfer, from the one with this key.
fn read_more(mut transfer: WireRequest, mut key: u8, mut rest: &[u8]) -> Option<WireRequest> {
    let mut more = More::default();
    loop {
        match key {
            0x60 => more.operation = take_small(&mut rest)?.into(),
            0x69 => more.hold_id = take_fixed(&mut rest)?,
            0x71 => more.hold_id_high = take_fixed(&mut rest)?,
            0x78 => more.timeout_ms = encoding::decode_varint(&mut rest).ok()?,
            // Keys of two bytes.
            0x88 | 0x90 => {
                let (1, behind) = rest.split_first().map(|(second, behind)| (*second, behind))?
                else {
                    return None;
                };
                rest = behind;
                if key == 0x88 {
                    more.over_capture_max_minor = encoding::decode_varint(&mut rest).ok()?;
                } else {
                    more.last = take_small(&mut rest)? != 0;
                }
            }
            _ => return None,
        }
        let Some((&next, behind)) = rest.split_first() else { break };
        (key, rest) = (next, behind);
    }
    transfer.more = (more != More::default()).then(|| Box::new(more));
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

/// Servers only read these messages; written, they go by way of the generated ones.
fn encode_transfers(tag: u32, transfers: &[WireRequest], buffer: &mut impl BufMut) {
    for transfer in transfers {
        encoding::message::encode(tag, &TransferRequest::from(transfer.clone()), buffer);
    }
}

fn transfers_len(tag: u32, transfers: &[WireRequest]) -> usize {
    let length = |transfer: &WireRequest| {
        encoding::message::encoded_len(tag, &TransferRequest::from(transfer.clone()))
    };
    transfers.iter().map(length).sum()
}

fn encode_dry_run(dry_run: bool, buffer: &mut impl BufMut) {
    if dry_run {
        encoding::bool::encode(field::DRY_RUN, &dry_run, buffer);
    }
}

fn dry_run_len(dry_run: bool) -> usize {
    if dry_run { encoding::bool::encoded_len(field::DRY_RUN, &dry_run) } else { 0 }
}

impl Message for BatchRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        encode_transfers(field::BATCH_TRANSFERS, &self.transfers, buffer);
        encode_dry_run(self.dry_run, buffer);
    }

    fn encoded_len(&self) -> usize {
        transfers_len(field::BATCH_TRANSFERS, &self.transfers) + dry_run_len(self.dry_run)
    }

    fn clear(&mut self) {
        self.transfers.clear();
        self.dry_run = false;
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
            field::DRY_RUN => encoding::bool::merge(wire_type, &mut self.dry_run, buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }
}

impl Message for StreamRequest {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if self.tag != 0 {
            encoding::uint64::encode(field::STREAM_TAG, &self.tag, buffer);
        }
        encode_transfers(field::STREAM_TRANSFERS, &self.transfers, buffer);
        if self.timeout_ms != 0 {
            encoding::uint32::encode(field::STREAM_TIMEOUT_MS, &self.timeout_ms, buffer);
        }
        encode_dry_run(self.dry_run, buffer);
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
        let transfers = transfers_len(field::STREAM_TRANSFERS, &self.transfers);
        tag + transfers + timeout + dry_run_len(self.dry_run)
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
            field::DRY_RUN => encoding::bool::merge(wire_type, &mut self.dry_run, buffer, context),
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }
}

#[cfg(test)]
#[path = "wire_requests_tests.rs"]
mod tests;
