//! Bytes: requests from the wire, answers to it, records to the journal and back.

use super::bank::{Bank, Pick, as_requests, posted};
use super::{BATCH, Meter, Part};
use ducat_actors::handle::Answers;
use ducat_api::convert::{outcomes, transfers};
use ducat_api::proto;
use ducat_api::wire_requests::BatchRequest;
use ducat_engine::codec;
use ducat_engine::ids::AccountId;
use ducat_engine::money::Currencies;
use ducat_engine::record::Record;
use ducat_engine::request::Request;
use ducat_engine::transfer::{Outcome, TransferRequest};
use prost::Message as _;

/// All parts; of all of them instructions are counted.
pub fn parts() -> Vec<Part> {
    vec![
        part("request decode", "8192", decode_requests),
        part("request convert", "8192", convert_requests),
        part("request free", "8192", free_requests),
        part("answers encode", "8192 posted", || encode_answers(false)),
        part("answers encode", "8192 refused", || encode_answers(true)),
        part("record encode", "posted", || encode_records(false)),
        part("record encode", "refused", || encode_records(true)),
        part("record decode", "posted", || decode_records(false)),
        part("record decode", "refused", || decode_records(true)),
    ]
}

fn part<R: FnMut(&mut Meter) + 'static>(
    name: &'static str,
    condition: &str,
    make: impl Fn() -> R + 'static,
) -> Part {
    Part::new(("codec", name), condition, BATCH, make)
}

/// A batch as a client sends it.
pub fn encoded(requests: &[TransferRequest]) -> Vec<u8> {
    let currencies = Currencies::new();
    let to_proto =
        |request: &TransferRequest| transfers::to_proto(&Request::from(*request), &currencies);
    let transfers = requests.iter().map(to_proto).collect();
    proto::CreateTransfersRequest { transfers, dry_run: false }.encode_to_vec()
}

/// Bytes into the message, as servers read it.
#[inline(never)]
pub fn decode(bytes: &[u8]) -> BatchRequest {
    BatchRequest::decode(bytes).expect("well-formed")
}

/// The message into the engine's requests.
#[inline(never)]
pub fn convert(request: &BatchRequest, currencies: &Currencies) -> Vec<Request> {
    transfers::batch(&request.transfers, currencies).expect("well-formed")
}

fn some_requests() -> Vec<TransferRequest> {
    Bank::new(10_000, Pick::Uniform).transfers(BATCH)
}

fn decode_requests() -> impl FnMut(&mut Meter) {
    let bytes = encoded(&some_requests());
    move |meter| drop(meter.measure(|| decode(&bytes)))
}

fn convert_requests() -> impl FnMut(&mut Meter) {
    let request = decode(&encoded(&some_requests()));
    let currencies = Currencies::new();
    move |meter| drop(meter.measure(|| convert(&request, &currencies)))
}

fn free_requests() -> impl FnMut(&mut Meter) {
    let bytes = encoded(&some_requests());
    move |meter| {
        let request = decode(&bytes);
        meter.measure(|| drop(request));
    }
}

/// A batch, what was decided about it, and the records of that. Those refused name a payer
/// that does not exist.
fn decided(refused: bool) -> (Vec<TransferRequest>, Vec<Outcome>, Vec<Record>) {
    let mut bank = Bank::new(10_000, Pick::Uniform);
    let mut requests = bank.transfers(BATCH);
    if refused {
        let nobody = AccountId::new(u128::MAX).expect("not zero");
        requests.iter_mut().for_each(|request| request.debit = nobody);
    }
    let mut answers = bank.run(&as_requests(requests.clone()));
    let outcomes = if refused { answers.remove(0).outcomes } else { posted(answers) };
    let mut records = bank.records;
    records.seal(super::frame::SHARD, super::frame::EPOCH, super::frame::GENESIS);
    let payloads = records.frames().map(|(_, bytes)| &bytes[super::frame::HEADER_BYTES..]);
    let records = payloads.flat_map(codec::decode_all).collect::<Result<_, _>>();
    (requests, outcomes, records.expect("encoded just now"))
}

fn encode_answers(refused: bool) -> impl FnMut(&mut Meter) {
    let (requests, outcomes, _) = decided(refused);
    let asked = decode(&encoded(&requests)).transfers;
    let currencies = Currencies::new();
    let answers = Answers { outcomes, ..Answers::default() };
    move |meter| drop(meter.measure(|| outcomes::unary_answer(&answers, &asked, &currencies)))
}

fn encode_records(refused: bool) -> impl FnMut(&mut Meter) {
    let (_, _, records) = decided(refused);
    let mut bytes = Vec::with_capacity(BATCH * codec::RECORD_BYTES_MAX);
    move |meter| {
        bytes.clear();
        meter.measure(|| records.iter().for_each(|record| codec::encode(record, &mut bytes)));
    }
}

fn decode_records(refused: bool) -> impl FnMut(&mut Meter) {
    let (_, _, records) = decided(refused);
    let mut bytes = Vec::new();
    records.iter().for_each(|record| codec::encode(record, &mut bytes));
    move |meter| {
        let decoded = meter.measure(|| codec::decode_all(&bytes).filter(Result::is_ok).count());
        assert_eq!(decoded, BATCH, "every record");
    }
}
