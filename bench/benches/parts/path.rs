//! The whole way of a batch through everything that is pure: from the bytes of the request to
//! the bytes of the answer and the sealed frames, without actors, sockets and the disk.

use super::bank::{Bank, Pick, posted};
use super::codec::{convert, decode, encoded};
use super::{BATCH, Meter, Part, frame};
use ducat_actors::handle::Answers;
use ducat_api::convert::outcomes::unary_answer;
use ducat_engine::money::Currencies;

/// All parts; of all of them instructions are counted.
pub fn parts() -> Vec<Part> {
    let name = ("path", "bytes to bytes");
    vec![Part::new(name, "8192 of 10k", BATCH, || bytes_to_bytes(10_000))]
}

fn bytes_to_bytes(accounts: u64) -> impl FnMut(&mut Meter) {
    let mut bank = Bank::new(accounts, Pick::Uniform);
    let currencies = Currencies::new();
    move |meter| {
        bank.restart_if_full();
        let request = encoded(&bank.transfers(BATCH));
        let answer = meter.measure(|| {
            let asked = decode(&request);
            let requests = convert(&asked, &currencies);
            let answers = bank.run(&requests);
            bank.records.seal(frame::SHARD, frame::EPOCH, frame::GENESIS);
            let answers = Answers { outcomes: posted(answers), ..Answers::default() };
            unary_answer(&answers, &asked.transfers, &currencies)
        });
        assert!(answer.as_bytes().len() > BATCH, "an outcome each");
    }
}
