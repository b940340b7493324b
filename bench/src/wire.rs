//! The wire format of batches by hand: encodes straight from [`Batch`] and reads only what
//! a load harness needs of the outcomes (id, code, repeat). The client shares the cores
//! with the server, so what it does not spend is measured server. [`crate::codec`] offers the
//! generated code beside it, and the tests hold the two against each other.

mod terms;

use crate::generator::{Batch, HOLD_TIMEOUT_MS, Item, Kind, Operation};
use crate::item_terms::ItemTerms;
use crate::target::{Failure, REPEAT, Reply, Told, hash_id};
use prost::bytes::BufMut;

/// Largest encoded transfer without terms, with its key and length, bytes: what room is made for.
const ITEM_BYTES: usize = 64;

/// Largest encoded transfer, likewise; its length is one byte.
const ITEM_BYTES_MAX: usize = 128;

/// Which message surrounds the transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `TransferRequest` / `TransferResponse`: a single one.
    Single,
    /// `CreateTransfersRequest` / `…Response`.
    Batch,
    /// `StreamTransfersRequest` / `…Response`.
    Stream,
}

/// Bytes that `count` transfers without terms need at most. Buffers grow for others.
pub fn encoded_bytes_max(count: usize) -> usize {
    count * ITEM_BYTES + 16
}

/// Appends the request.
pub fn encode(envelope: Envelope, tag: u64, batch: &Batch, out: &mut impl BufMut) {
    let mut scratch = Scratch::new();
    match envelope {
        Envelope::Single => {
            for item in batch.items.iter().take(1) {
                scratch.transfer(batch.id_high, item);
                out.put_slice(scratch.written());
            }
        }
        Envelope::Batch => encode_items(0x0a, batch, &mut scratch, out),
        Envelope::Stream => {
            scratch.byte(0x08);
            scratch.varint(tag);
            out.put_slice(scratch.written());
            encode_items(0x12, batch, &mut scratch, out);
        }
    }
}

fn encode_items(key: u8, batch: &Batch, scratch: &mut Scratch, out: &mut impl BufMut) {
    for item in &batch.items {
        scratch.used = 0;
        // Key and length first; the length is below 128 and filled in afterwards.
        scratch.byte(key);
        scratch.byte(0);
        scratch.transfer(batch.id_high, item);
        scratch.bytes[1] = (scratch.used - 2) as u8;
        out.put_slice(scratch.written());
    }
}

/// One encoded transfer on the stack.
struct Scratch {
    bytes: [u8; ITEM_BYTES_MAX],
    used: usize,
}

impl Scratch {
    const fn new() -> Self {
        Self { bytes: [0; ITEM_BYTES_MAX], used: 0 }
    }

    fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.used] = byte;
        self.used += 1;
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    #[inline]
    fn fixed64(&mut self, key: u8, value: u64) {
        if value == 0 {
            return;
        }
        self.byte(key);
        self.bytes[self.used..self.used + 8].copy_from_slice(&value.to_le_bytes());
        self.used += 8;
    }

    /// The fields of `TransferRequest`.
    #[inline]
    fn transfer(&mut self, id_high: u64, item: &Item) {
        self.fixed64(0x09, item.id);
        self.fixed64(0x11, id_high);
        match item.operation {
            Operation::Transfer | Operation::Hold => {}
            Operation::Capture | Operation::Void => return self.of_hold(id_high, item),
            Operation::Refund => return self.refund(id_high, item),
        }
        self.fixed64(0x19, item.debit);
        self.fixed64(0x29, item.credit);
        self.amount(item);
        if item.kind != Kind::Transfer {
            self.byte(0x50);
            self.byte(item.kind as u8);
        }
        self.linked(item);
        if item.operation == Operation::Hold {
            self.byte(0x60);
            self.byte(item.operation as u8);
            self.byte(0x78);
            self.varint(HOLD_TIMEOUT_MS);
        }
        if item.terms != ItemTerms::None {
            self.terms(item.terms, item.argument);
        }
    }

    #[inline]
    fn amount(&mut self, item: &Item) {
        if item.amount != 0 {
            self.byte(0x38);
            self.varint(item.amount);
        }
    }

    /// The fields behind the id of a refund; those of the original take two bytes for a key.
    fn refund(&mut self, id_high: u64, item: &Item) {
        self.amount(item);
        self.linked(item);
        self.byte(0x60);
        self.byte(item.operation as u8);
        for (key, half) in [(0xc1, item.argument), (0xc9, id_high)] {
            if half != 0 {
                self.byte(key);
                self.fixed64(0x02, half);
            }
        }
    }

    /// The fields behind the id of what is asked of a hold.
    fn of_hold(&mut self, id_high: u64, item: &Item) {
        self.linked(item);
        self.byte(0x60);
        self.byte(item.operation as u8);
        self.fixed64(0x69, item.argument);
        self.fixed64(0x71, id_high);
    }

    #[inline]
    fn linked(&mut self, item: &Item) {
        if item.linked {
            self.byte(0x58);
            self.byte(1);
        }
    }
}

/// Why bytes are not the message expected.
pub type WireError = &'static str;

/// Reads the response. `expected` is how many outcomes to make room for.
pub fn decode(envelope: Envelope, bytes: &[u8]) -> Result<Reply, WireError> {
    let mut reply = Reply::default();
    let mut reader = Reader { rest: bytes };
    if envelope != Envelope::Single {
        // An outcome with both balances takes about 50 bytes.
        reply.answers.reserve(bytes.len() / 48 + 1);
    }
    let outcomes = if envelope == Envelope::Stream { 2 } else { 1 };
    while let Some((field, value)) = reader.next()? {
        match (field, value) {
            (f, Value::Bytes(outcome)) if f == outcomes => read_outcome(outcome, &mut reply)?,
            (1, Value::Number(tag)) if envelope == Envelope::Stream => reply.tag = tag,
            (3, Value::Bytes(error)) if envelope == Envelope::Stream => {
                reply.failure = Some(read_batch_error(error)?);
            }
            _ => {}
        }
    }
    Ok(reply)
}

#[inline]
fn read_outcome(bytes: &[u8], reply: &mut Reply) -> Result<(), WireError> {
    let mut reader = Reader { rest: bytes };
    let (mut id, mut answer) = (0, 0u8);
    let (mut moved, mut fee) = (None, None);
    while let Some((field, value)) = reader.next()? {
        match (field, value) {
            (1, Value::Number(low)) => id = low,
            (5, Value::Number(code)) => {
                answer |= u8::try_from(code).unwrap_or(REPEAT - 1) & (REPEAT - 1);
            }
            (6, Value::Number(1)) => answer |= REPEAT,
            (50, Value::Bytes(terms)) => moved = Some(number_of(terms, 1)?),
            (60, Value::Bytes(due)) => fee = Some(number_of(due, 2)?),
            _ => {}
        }
    }
    if moved.is_some() || fee.is_some() {
        reply.told.push(Told { at: reply.answers.len(), moved, fee });
    }
    reply.answers.push(answer);
    reply.ids_hash = hash_id(reply.ids_hash, id);
    Ok(())
}

/// The number that is this field of the message; 0 when it is not there.
fn number_of(bytes: &[u8], wanted: u64) -> Result<u64, WireError> {
    let (mut reader, mut number) = (Reader { rest: bytes }, 0);
    while let Some((field, value)) = reader.next()? {
        if let Value::Number(found) = value
            && field == wanted
        {
            number = found;
        }
    }
    Ok(number)
}

/// Appends a `GetAccountsRequest`.
pub fn encode_read(ids: &[u64], out: &mut impl BufMut) {
    for id in ids {
        let mut scratch = Scratch::new();
        scratch.byte(0x0a);
        scratch.byte(9);
        // Written out even when 0, so that the length above is right.
        scratch.byte(0x09);
        out.put_slice(scratch.written());
        out.put_slice(&id.to_le_bytes());
    }
}

/// The hash of the ids of the accounts in a `GetAccountsResponse`.
pub fn decode_read(bytes: &[u8]) -> Result<u64, WireError> {
    let (mut reader, mut hash) = (Reader { rest: bytes }, 0);
    while let Some((field, value)) = reader.next()? {
        if let (1, Value::Bytes(account)) = (field, value) {
            let (mut fields, mut id) = (Reader { rest: account }, 0);
            while let Some((field, value)) = fields.next()? {
                if let (1, Value::Number(low)) = (field, value) {
                    id = low;
                }
            }
            hash = hash_id(hash, id);
        }
    }
    Ok(hash)
}

fn read_batch_error(bytes: &[u8]) -> Result<Failure, WireError> {
    let mut reader = Reader { rest: bytes };
    let (mut code, mut reason, mut message) = (0, String::new(), String::new());
    while let Some((field, value)) = reader.next()? {
        match (field, value) {
            (1, Value::Number(number)) => code = number as i32,
            (2, Value::Bytes(text)) => reason = String::from_utf8_lossy(text).into_owned(),
            (3, Value::Bytes(text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    Ok(batch_failure(code, &reason, &message))
}

/// A batch error of a stream as a failure; it changed nothing, so it is never in doubt.
pub fn batch_failure(grpc_code: i32, reason: &str, message: &str) -> Failure {
    let class = crate::codec::code_name(tonic::Code::from_i32(grpc_code));
    Failure { class: class.into(), in_doubt: false, message: format!("{reason}: {message}") }
}

/// A field's value; 32- and 64-bit numbers and varints alike.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Walks over the fields of one message.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Value::Number(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| "length too large")?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Number(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
            }
            _ => return Err("unknown wire type"),
        };
        Ok(Some((key >> 3, value)))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("message is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err("number is cut short")
    }
}
