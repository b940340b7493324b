//! Encoded answers are what prost would have made, and every refusal explains itself.

use super::*;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::TransferKind;
use rand::{RngExt as _, SeedableRng as _};

fn request() -> proto::TransferRequest {
    proto::TransferRequest {
        id: 7,
        debit_account: 17,
        credit_account: 18,
        amount_minor: 1200,
        ..proto::TransferRequest::default()
    }
}

fn refused(rejection: Rejection) -> Outcome {
    Outcome {
        id: TransferId::new(7).expect("not zero"),
        lsn: Lsn(99),
        time_ns: 5,
        rejection: Some(rejection),
        repeat: false,
        currency: Some(Currencies::new().by_code("GBP").expect("ISO").id),
        debit: Some(BalanceAfter { posted: 500, available: 500 }),
        credit: Some(BalanceAfter { posted: 0, available: 0 }),
    }
}

/// The same answer by way of messages.
fn plain(outcomes: &[Outcome], asked: &[proto::TransferRequest]) -> Vec<proto::Outcome> {
    let currencies = Currencies::new();
    let one = |(outcome, item): (&Outcome, &proto::TransferRequest)| {
        let request = super::super::transfers::single(item, &currencies).expect("well-formed");
        super::one(outcome, &request, &currencies)
    };
    outcomes.iter().zip(asked).map(one).collect()
}

fn assert_same(outcomes: &[Outcome], asked: &[proto::TransferRequest]) {
    let wanted = plain(outcomes, asked);
    let currencies = Currencies::new();
    let unary = unary_answer(outcomes, asked, &currencies);
    let unary = proto::CreateTransfersResponse::decode(unary.as_bytes()).expect("decodes");
    assert_eq!(unary.outcomes, wanted);
    for tag in [0, 1, u64::MAX] {
        let answer = stream_answer(tag, outcomes, asked, &currencies);
        let answer = proto::StreamTransfersResponse::decode(answer.as_bytes()).expect("decodes");
        assert_eq!(
            answer,
            proto::StreamTransfersResponse { tag, outcomes: wanted.clone(), error: None }
        );
    }
}

#[test]
fn extreme_figures_encode_as_prost_does() {
    let extremes =
        [0, 1, -1, 63, -64, 64, i128::from(i64::MAX), i128::from(i64::MIN), 1 << 63, -(1 << 120)];
    for posted in extremes {
        for available in extremes {
            let balance = Some(BalanceAfter { posted, available });
            let outcome = Outcome {
                id: TransferId::new(u128::MAX).expect("not zero"),
                lsn: Lsn(u64::MAX),
                time_ns: u64::MAX,
                rejection: None,
                repeat: true,
                currency: None,
                debit: balance,
                credit: balance,
            };
            assert_same(&[outcome, Outcome { debit: None, ..outcome }], &[request(), request()]);
            let refused = Outcome { rejection: Some(Rejection::InsufficientFunds), ..outcome };
            assert_same(&[refused], &[request()]);
        }
    }
}

#[test]
fn random_batches_encode_as_prost_does() {
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let currency = Currencies::new().by_code("KWD").expect("ISO").id;
    for _ in 0..200 {
        let mut outcomes = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..random.random_range(1..40) {
            let mut balance = || {
                let width = random.random_range(1..128);
                let mut figure = || random.random::<i128>() >> width;
                Some(BalanceAfter { posted: figure(), available: figure() })
            };
            let (debit, credit) = (balance(), balance());
            outcomes.push(Outcome {
                id: TransferId::new(random.random::<u128>() | 1).expect("not zero"),
                lsn: Lsn(random.random::<u64>() >> random.random_range(0..64)),
                time_ns: random.random(),
                rejection: Rejection::from_number(random.random_range(0..20)),
                repeat: random.random(),
                currency: random.random::<bool>().then_some(currency),
                debit: debit.filter(|_| random.random_range(0..4) > 0),
                credit: credit.filter(|_| random.random_range(0..4) > 0),
            });
            asked.push(proto::TransferRequest {
                amount_minor: random.random::<u64>() >> random.random_range(0..64),
                kind: random.random_range(0..3),
                ..request()
            });
        }
        assert_same(&outcomes, &asked);
    }
}

#[test]
fn figures_beyond_64_bits_travel_as_texts() {
    let outcome = Outcome {
        debit: Some(BalanceAfter { posted: -(1 << 80), available: 5 }),
        ..refused(Rejection::BalanceOverflow)
    };
    let answer = unary_answer(&[outcome], &[request()], &Currencies::new());
    let answer = proto::CreateTransfersResponse::decode(answer.as_bytes()).expect("decodes");
    let debit = answer.outcomes[0].debit.clone().expect("present");
    assert_eq!((debit.posted_minor, debit.available_minor), (0, 0));
    let wide = debit.wide.expect("present");
    assert_eq!(wide.posted_minor, (-(1i128 << 80)).to_string());
    assert_eq!((wide.available_minor.as_str(), wide.held_minor.as_str()), ("5", "0"));
    assert_eq!(answer.outcomes[0].credit.as_ref().expect("present").wide, None);
}

fn sentence(outcome: &Outcome, item: &proto::TransferRequest) -> String {
    plain(std::slice::from_ref(outcome), std::slice::from_ref(item)).remove(0).explanation
}

#[test]
fn missing_funds_are_explained_with_all_figures() {
    let text = sentence(&refused(Rejection::InsufficientFunds), &request());
    assert_eq!(
        text,
        "account 17 has 5.00 GBP available, 12.00 GBP needed (posted 5.00, held 0.00, overdraft \
         limit 0.00)"
    );
    let overdrawn = Outcome {
        debit: Some(BalanceAfter { posted: -4000, available: 1000 }),
        ..refused(Rejection::InsufficientFunds)
    };
    assert_eq!(
        sentence(&overdrawn, &request()),
        "account 17 has 10.00 GBP available, 12.00 GBP needed (posted -40.00, held 0.00, \
         overdraft limit 50.00)"
    );
}

#[test]
fn every_refusal_has_a_sentence_and_success_has_none() {
    let mut seen = std::collections::HashSet::new();
    for rejection in Rejection::ALL {
        let mut item = request();
        item.currency = "EUR".into();
        let text = sentence(&refused(rejection), &item);
        assert!(text.len() > 20 && !text.ends_with('.'), "{rejection:?}: {text}");
        assert!(seen.insert(text.clone()), "{text}");
        // Also where the currency of the accounts is not known.
        let unknown = Outcome { currency: None, debit: None, credit: None, ..refused(rejection) };
        assert!(sentence(&unknown, &item).len() > 20);
    }
    let posted = Outcome { rejection: None, ..refused(Rejection::AmountZero) };
    assert_eq!(sentence(&posted, &request()), "");
}

#[test]
fn sentences_name_what_was_asked() {
    let mut item = request();
    item.currency = "EUR".into();
    let text = sentence(&refused(Rejection::CurrencyMismatch), &item);
    assert_eq!(text, "the transfer names EUR, accounts 17 and 18 hold GBP");
    for (kind, words) in [
        (TransferKind::Transfer, "plain transfer"),
        (TransferKind::Deposit, "a deposit goes from"),
        (TransferKind::Withdrawal, "a withdrawal goes from"),
    ] {
        item.kind = kind as i32;
        assert!(sentence(&refused(Rejection::KindMismatch), &item).contains(words));
    }
    let reused = sentence(&refused(Rejection::IdReused), &request());
    assert!(reused.contains("id 7 ") && reused.contains("LSN 99"), "{reused}");
    assert!(AccountId::new(17).expect("not zero").to_string() == "17");
}
