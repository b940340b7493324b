//! Answers that are encoded while they are made.
//!
//! A batch's outcomes would otherwise be written three times (engine's outcome, message,
//! bytes) and measured by prost at every level of nesting; this was the dearest step on a
//! transfer's way through this room. Here each outcome goes from the engine's figures to its
//! final bytes in one step, without an allocation, refusals and their sentences included.
//! What comes out is what prost would have made of the messages, and a test holds it to that.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, skip_field};
use prost::{DecodeError, Message};

/// A message in its final bytes. The generated servers send it where the proto says
/// `CreateTransfersResponse` or `StreamTransfersResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// The message whose encoding these bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The message, encoded now.
    #[must_use]
    pub fn of(message: &impl Message) -> Self {
        Self(message.encode_to_vec())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    /// Servers only send it; read, it is skipped field by field.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buffer, context)
    }
}

/// Bytes of a message that is known to be small, on the stack.
pub(crate) struct Small {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Small {
    /// More than any outcome takes without its sentence and without wide figures: two ids and
    /// a time of 9 bytes, an LSN of 11, code and repeat of 2, two balances of 24 make 99; a hold
    /// adds two of its id's 9, a state of 2, three amounts of 11, a time of 9 and its own 2: 163.
    /// A power of two.
    pub(crate) const CAPACITY: usize = 256;

    pub(crate) const fn new() -> Self {
        Self { bytes: [0; Self::CAPACITY], len: 0 }
    }

    /// Empties it for the next message, which spares clearing its memory.
    pub(crate) const fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn byte(&mut self, byte: u8) {
        debug_assert!(self.len < Self::CAPACITY, "an outcome is smaller");
        // The mask spares a branch for each byte.
        self.bytes[self.len & (Self::CAPACITY - 1)] = byte;
        self.len += 1;
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// A `uint64` or `enum` field; 0 is left out, as proto3 has it.
    pub(crate) fn uint(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.byte(field << 3);
            self.varint(value);
        }
    }

    /// A `sint64` field.
    pub(crate) fn sint(&mut self, field: u8, value: i64) {
        self.uint(field, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A `fixed64` field.
    pub(crate) fn fixed(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.byte(field << 3 | 1);
            self.bytes[self.len..self.len + 8].copy_from_slice(&value.to_le_bytes());
            self.len += 8;
        }
    }

    /// A message field of less than 128 bytes, written by `fill`; present even when empty.
    pub(crate) fn message(&mut self, field: u8, fill: impl FnOnce(&mut Self)) {
        self.byte(field << 3 | 2);
        let at = self.len;
        self.byte(0);
        fill(self);
        let len = self.len - at - 1;
        debug_assert!(len < 128, "its length takes one byte");
        self.bytes[at] = len as u8;
    }
}

/// Appends a length-delimited field (a text or a message) of any size.
pub(crate) fn delimited(out: &mut Vec<u8>, field: u8, parts: &[&[u8]]) {
    out.push(field << 3 | 2);
    varint(out, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The size of a length-delimited field of `len` bytes.
fn varint(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}
