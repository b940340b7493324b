//! The two codecs a run may use for gRPC: `lean` (by hand, [`crate::wire`]) and `full` (the
//! generated code, every field of every outcome decoded, as a gateway would). Both plug into
//! tonic's client and turn a [`Batch`] into a [`Reply`].

use crate::generator::{Batch, HOLD_TIMEOUT_MS, Item, Kind, Operation};
use crate::target::{Failure, REPEAT, Reply, Told, hash_id};
use crate::wire::{self, Envelope};
use clap::ValueEnum;
use ducat_api::proto;
pub use ducat_api::violation::code_name;
use prost::Message;
use prost::bytes::Buf;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// How much of gRPC's messages the client decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CodecKind {
    /// Encode by hand; read id, code and repeat of each outcome.
    Lean,
    /// Generated code; decode every field.
    Full,
}

/// A request on its way.
#[derive(Clone)]
pub struct Outgoing {
    /// The tag, on a stream.
    pub tag: u64,
    /// The transfers.
    pub batch: Arc<Batch>,
}

/// Turns [`Outgoing`] into bytes and bytes into [`Reply`].
#[derive(Clone, Copy)]
pub struct BatchCodec {
    /// How.
    pub kind: CodecKind,
    /// Within which message.
    pub envelope: Envelope,
    /// How many transfers a request holds, so that buffers are made once.
    pub batch: usize,
}

impl Codec for BatchCodec {
    type Encode = Outgoing;
    type Decode = Reply;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BatchCodec {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Outgoing, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match self.kind {
            CodecKind::Lean => {
                out.reserve(wire::encoded_bytes_max(item.batch.items.len()));
                wire::encode(self.envelope, item.tag, &item.batch, out);
                Ok(())
            }
            CodecKind::Full => encode_full(self.envelope, &item, out),
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        let bytes = wire::encoded_bytes_max(self.batch).max(8 * 1024);
        BufferSettings::new(bytes, bytes)
    }
}

impl Decoder for BatchCodec {
    type Item = Reply;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Reply>, Status> {
        if self.kind == CodecKind::Full {
            return decode_full(self.envelope, source).map(Some);
        }
        let length = source.remaining();
        let reply = if source.chunk().len() == length {
            let reply = wire::decode(self.envelope, source.chunk());
            source.advance(length);
            reply
        } else {
            wire::decode(self.envelope, &source.copy_to_bytes(length))
        };
        reply.map(Some).map_err(|e| Status::internal(format!("unreadable response: {e}")))
    }
}

/// A request as the generated code's message.
pub fn full_transfer(id_high: u64, item: &Item) -> proto::TransferRequest {
    let operation = item.operation as i32;
    if matches!(item.operation, Operation::Capture | Operation::Void) {
        return proto::TransferRequest {
            id: item.id,
            id_high,
            operation,
            hold_id: item.argument,
            hold_id_high: id_high,
            linked: item.linked,
            ..Default::default()
        };
    }
    if item.operation == Operation::Refund {
        return proto::TransferRequest {
            id: item.id,
            id_high,
            operation,
            amount_minor: item.amount,
            original_id: item.argument,
            original_id_high: id_high,
            linked: item.linked,
            ..Default::default()
        };
    }
    let timeout_ms = if item.operation == Operation::Hold { HOLD_TIMEOUT_MS } else { 0 };
    proto::TransferRequest {
        id: item.id,
        id_high,
        operation,
        timeout_ms,
        debit_account: item.debit,
        credit_account: item.credit,
        amount_minor: item.amount,
        kind: match item.kind {
            Kind::Transfer => proto::TransferKind::Transfer,
            Kind::Deposit => proto::TransferKind::Deposit,
            Kind::Withdrawal => proto::TransferKind::Withdrawal,
            Kind::Payment => proto::TransferKind::Payment,
        }
        .into(),
        linked: item.linked,
        terms: item.terms.message(item.argument).map(Box::new),
        ..Default::default()
    }
}

fn encode_full(envelope: Envelope, item: &Outgoing, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
    let batch = &item.batch;
    let transfers = || batch.items.iter().map(|i| full_transfer(batch.id_high, i)).collect();
    let encoded = match envelope {
        Envelope::Single => match batch.items.first() {
            Some(first) => full_transfer(batch.id_high, first).encode(out),
            None => Ok(()),
        },
        Envelope::Batch => {
            proto::CreateTransfersRequest { transfers: transfers(), dry_run: false }.encode(out)
        }
        Envelope::Stream => proto::StreamTransfersRequest {
            tag: item.tag,
            transfers: transfers(),
            timeout_ms: 0,
            dry_run: false,
        }
        .encode(out),
    };
    encoded.map_err(|e| Status::internal(e.to_string()))
}

fn decode_full(envelope: Envelope, source: &mut DecodeBuf<'_>) -> Result<Reply, Status> {
    let unreadable = |e: prost::DecodeError| Status::internal(format!("unreadable response: {e}"));
    Ok(match envelope {
        Envelope::Single => {
            let response = proto::TransferResponse::decode(source).map_err(unreadable)?;
            full_reply(0, response.outcome.as_slice(), None)
        }
        Envelope::Batch => {
            let response = proto::CreateTransfersResponse::decode(source).map_err(unreadable)?;
            full_reply(0, &response.outcomes, None)
        }
        Envelope::Stream => {
            let response = proto::StreamTransfersResponse::decode(source).map_err(unreadable)?;
            full_reply(response.tag, &response.outcomes, response.error)
        }
    })
}

fn full_reply(tag: u64, outcomes: &[proto::Outcome], error: Option<proto::BatchError>) -> Reply {
    let answer = |o: &proto::Outcome| {
        let code = u8::try_from(o.code).unwrap_or(REPEAT - 1) & (REPEAT - 1);
        if o.repeat { code | REPEAT } else { code }
    };
    Reply {
        tag,
        answers: outcomes.iter().map(answer).collect(),
        ids_hash: outcomes.iter().fold(0, |hash, o| hash_id(hash, o.id)),
        told: outcomes.iter().enumerate().filter_map(|(at, o)| told(at, o)).collect(),
        failure: error.map(|e| wire::batch_failure(e.grpc_code, &e.reason, &e.message)),
    }
}

/// What the outcome at this place tells besides.
pub fn told(at: usize, outcome: &proto::Outcome) -> Option<Told> {
    let moved = outcome.terms.as_ref().map(|terms| terms.moved_minor);
    let fee = outcome.fee.as_ref().map(|fee| fee.amount_minor);
    (moved.is_some() || fee.is_some()).then_some(Told { at, moved, fee })
}

/// Reads accounts: the ids asked for go out, the hash of those found comes back.
#[derive(Clone, Copy)]
pub struct ReadCodec {
    /// How.
    pub kind: CodecKind,
}

impl Codec for ReadCodec {
    type Encode = Vec<u64>;
    type Decode = u64;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for ReadCodec {
    type Item = Vec<u64>;
    type Error = Status;

    fn encode(&mut self, ids: Vec<u64>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        if self.kind == CodecKind::Lean {
            wire::encode_read(&ids, out);
            return Ok(());
        }
        let ids = ids.iter().map(|id| proto::Id { id: *id, id_high: 0 }).collect();
        let request = proto::GetAccountsRequest { ids };
        request.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

impl Decoder for ReadCodec {
    type Item = u64;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<u64>, Status> {
        let unreadable =
            |e: &dyn std::fmt::Display| Status::internal(format!("unreadable response: {e}"));
        if self.kind == CodecKind::Full {
            let found = proto::GetAccountsResponse::decode(source).map_err(|e| unreadable(&e))?;
            return Ok(Some(found.accounts.iter().fold(0, |hash, a| hash_id(hash, a.id))));
        }
        let bytes = source.copy_to_bytes(source.remaining());
        wire::decode_read(&bytes).map(Some).map_err(|e| unreadable(&e))
    }
}

/// A failed call as it is counted. Only statuses that promise "nothing changed" leave no doubt.
pub fn failure(status: &Status) -> Failure {
    use tonic::Code::{
        InvalidArgument, OutOfRange, ResourceExhausted, Unauthenticated, Unimplemented,
    };
    let certain = matches!(
        status.code(),
        InvalidArgument | OutOfRange | ResourceExhausted | Unauthenticated | Unimplemented
    );
    Failure {
        class: code_name(status.code()).into(),
        in_doubt: !certain,
        message: status.message().to_owned(),
    }
}

/// The name of an outcome's code, without its prefix: `INSUFFICIENT_FUNDS`.
pub fn outcome_name(code: u8) -> String {
    match proto::Code::try_from(i32::from(code)) {
        Ok(known) => known.as_str_name().trim_start_matches("CODE_").to_owned(),
        Err(_) => format!("CODE_{code}"),
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
