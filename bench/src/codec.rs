//! The two codecs a run may use for gRPC: `lean` (by hand, [`crate::wire`]) and `full` (the
//! generated code, every field of every outcome decoded, as a gateway would). Both plug into
//! tonic's client and turn a [`Batch`] into a [`Reply`].

use crate::generator::{Batch, Item, Kind};
use crate::target::{Failure, REPEAT, Reply, hash_id};
use crate::wire::{self, Envelope};
use clap::ValueEnum;
use ducat_api::proto;
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

fn full_transfer(id_high: u64, item: &Item) -> proto::TransferRequest {
    proto::TransferRequest {
        id: item.id,
        id_high,
        debit_account: item.debit,
        credit_account: item.credit,
        amount_minor: item.amount,
        kind: match item.kind {
            Kind::Transfer => proto::TransferKind::Transfer,
            Kind::Deposit => proto::TransferKind::Deposit,
        }
        .into(),
        linked: item.linked,
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
        Envelope::Batch => proto::CreateTransfersRequest { transfers: transfers() }.encode(out),
        Envelope::Stream => {
            proto::StreamTransfersRequest { tag: item.tag, transfers: transfers(), timeout_ms: 0 }
                .encode(out)
        }
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
        failure: error.map(|e| wire::batch_failure(e.grpc_code, &e.reason, &e.message)),
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

/// gRPC's own name of a status code.
pub fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
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
mod tests {
    use super::*;

    fn batch() -> Batch {
        let item = |id, debit, credit, amount, kind, linked| Item {
            id,
            debit,
            credit,
            amount,
            kind,
            linked,
        };
        Batch {
            id_high: u64::MAX - 5,
            items: vec![
                item(1, 2, 3, 4, Kind::Transfer, true),
                item(u64::MAX, u64::MAX, u64::MAX - 1, u64::MAX, Kind::Deposit, true),
                item(7, 0, 1 << 40, 0, Kind::Transfer, false),
                item(0, 9, 1 << 40, 127, Kind::Deposit, false),
            ],
        }
    }

    #[test]
    fn what_is_encoded_by_hand_the_generated_code_reads() {
        let batch = batch();
        let wanted: Vec<_> = batch.items.iter().map(|i| full_transfer(batch.id_high, i)).collect();
        let encode = |envelope| {
            let mut bytes = Vec::new();
            wire::encode(envelope, 300, &batch, &mut bytes);
            assert!(bytes.len() <= wire::encoded_bytes_max(batch.items.len()));
            bytes
        };
        let single = proto::TransferRequest::decode(&encode(Envelope::Single)[..]);
        assert_eq!(single.expect("single"), wanted[0]);
        let many = proto::CreateTransfersRequest::decode(&encode(Envelope::Batch)[..]);
        assert_eq!(many.expect("batch").transfers, wanted);
        let stream = proto::StreamTransfersRequest::decode(&encode(Envelope::Stream)[..]);
        assert_eq!(
            stream.expect("stream"),
            proto::StreamTransfersRequest { tag: 300, transfers: wanted, timeout_ms: 0 }
        );
    }

    fn outcomes() -> Vec<proto::Outcome> {
        let balance = proto::Balance {
            posted_minor: -5,
            available_minor: i64::MAX,
            held_minor: 3,
            wide: Some(Box::new(proto::WideBalance {
                posted_minor: "1".into(),
                ..Default::default()
            })),
        };
        let refused = proto::Outcome {
            id: 77,
            id_high: 5,
            lsn: 1 << 50,
            time_ns: u64::MAX,
            code: 14,
            repeat: true,
            explanation: "the account has too little".into(),
            debit: Some(balance),
            credit: None,
        };
        vec![refused, proto::Outcome { id: 78, ..Default::default() }, Default::default()]
    }

    #[test]
    fn what_is_read_by_hand_is_what_the_generated_code_reads() {
        let outcomes = outcomes();
        let expected = full_reply(0, &outcomes, None);
        assert_eq!(expected.answers, [14 | REPEAT, 0, 0]);

        let bytes = proto::CreateTransfersResponse { outcomes: outcomes.clone() }.encode_to_vec();
        assert_eq!(wire::decode(Envelope::Batch, &bytes), Ok(expected));

        let error = proto::BatchError {
            grpc_code: 8,
            reason: "ENGINE_FULL".into(),
            message: "try again".into(),
            violations: Vec::new(),
        };
        let response = proto::StreamTransfersResponse {
            tag: 9,
            outcomes: outcomes.clone(),
            error: Some(error.clone()),
        };
        let reply = wire::decode(Envelope::Stream, &response.encode_to_vec()).expect("readable");
        assert_eq!(reply, full_reply(9, &outcomes, Some(error)));
        assert_eq!(reply.failure.map(|f| f.class), Some("RESOURCE_EXHAUSTED".into()));

        let single = proto::TransferResponse { outcome: Some(outcomes[0].clone()) };
        let reply = wire::decode(Envelope::Single, &single.encode_to_vec());
        assert_eq!(reply, Ok(full_reply(0, &outcomes[..1], None)));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let bytes = proto::CreateTransfersResponse { outcomes: outcomes() }.encode_to_vec();
        for cut in 1..bytes.len() {
            let _ = wire::decode(Envelope::Batch, &bytes[..cut]);
        }
        assert!(wire::decode(Envelope::Batch, &bytes[..bytes.len() - 1]).is_err());
        assert!(wire::decode(Envelope::Batch, &[0xff; 20]).is_err());
    }

    #[test]
    fn outcome_codes_have_names() {
        assert_eq!(outcome_name(0), "POSTED");
        assert_eq!(outcome_name(14), "INSUFFICIENT_FUNDS");
        assert_eq!(outcome_name(99), "CODE_99");
    }
}
