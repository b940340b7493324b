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
fn plain(answers: &Answers, asked: &[proto::TransferRequest]) -> Vec<proto::Outcome> {
    let currencies = Currencies::new();
    let one = |(at, (outcome, item)): (usize, (&Outcome, &proto::TransferRequest))| {
        let item = WireRequest::from(item.clone());
        let request = super::super::transfers::single(&item, &currencies).expect("well-formed");
        let (hold, refund, terms) = (answers.hold(at), answers.refund(at), answers.terms(at));
        let told = super::Told { hold, refund, terms, fee: answers.fee(at) };
        super::one(outcome, told, &request, &currencies)
    };
    answers.outcomes.iter().zip(asked).enumerate().map(one).collect()
}

fn assert_same(outcomes: &[Outcome], asked: &[proto::TransferRequest]) {
    let answers = Answers { outcomes: outcomes.to_vec(), ..Answers::default() };
    assert_answers_same(&answers, asked);
}

fn read(asked: &[proto::TransferRequest]) -> Vec<WireRequest> {
    asked.iter().cloned().map(WireRequest::from).collect()
}

fn assert_answers_same(answers: &Answers, asked: &[proto::TransferRequest]) {
    let wanted = plain(answers, asked);
    let currencies = Currencies::new();
    let asked = &read(asked);
    let unary = unary_answer(answers, asked, &currencies);
    let unary = proto::CreateTransfersResponse::decode(unary.as_bytes()).expect("decodes");
    assert_eq!(unary.outcomes, wanted);
    for tag in [0, 1, u64::MAX] {
        let answer = stream_answer(tag, answers, asked, &currencies);
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

fn random_hold(random: &mut rand::rngs::StdRng) -> HoldAfter {
    let width = random.random_range(1..128);
    let mut figure = || random.random::<u128>() >> width;
    HoldAfter {
        captured: figure(),
        released: figure(),
        remaining: figure(),
        over_capture_max: None,
        hold: TransferId::new(random.random::<u128>() | 1).expect("not zero"),
        closed: Closed::from_number(random.random_range(0..4)),
        expires_ns: random.random::<bool>().then(|| random.random()),
    }
}

fn random_refund(random: &mut rand::rngs::StdRng) -> RefundAfter {
    let moved = random.random::<u128>() >> random.random_range(32..127) | 1;
    let refunded = random.random_range(0..=moved);
    RefundAfter {
        of: TransferId::new(random.random::<u128>() | 1).expect("not zero"),
        of_lsn: Lsn(random.random()),
        amount: random.random_range(0..=refunded),
        moved,
        refunded,
        reversed: random.random(),
    }
}

#[test]
fn random_batches_encode_as_prost_does() {
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let currency = Currencies::new().by_code("KWD").expect("ISO").id;
    for _ in 0..200 {
        let (mut outcomes, mut holds, mut refunds) = (Vec::new(), Vec::new(), Vec::new());
        let mut asked = Vec::new();
        for at in 0..random.random_range(1..40) {
            if random.random_range(0..3) == 0 {
                holds.push((at, random_hold(&mut random)));
            }
            if random.random_range(0..5) == 0 {
                refunds.push((at, random_refund(&mut random)));
            }
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
                rejection: Rejection::from_number(random.random_range(0..50)),
                repeat: random.random(),
                currency: random.random::<bool>().then_some(currency),
                debit: debit.filter(|_| random.random_range(0..4) > 0),
                credit: credit.filter(|_| random.random_range(0..4) > 0),
            });
            let of_hold = random.random_range(0..3) == 0;
            asked.push(if of_hold {
                let id = TransferId::new(7).expect("not zero");
                proto::TransferRequest::capture(id, id, None)
            } else {
                proto::TransferRequest {
                    amount_minor: random.random::<u64>() >> random.random_range(0..64),
                    kind: random.random_range(0..3),
                    ..request()
                }
            });
        }
        let answers = Answers { outcomes, holds, refunds, ..Answers::default() };
        assert_answers_same(&answers, &asked);
    }
}

#[test]
fn figures_beyond_64_bits_travel_as_texts() {
    let outcome = Outcome {
        debit: Some(BalanceAfter { posted: -(1 << 80), available: 5 }),
        ..refused(Rejection::BalanceOverflow)
    };
    let answers = Answers { outcomes: vec![outcome], ..Answers::default() };
    let answer = unary_answer(&answers, &read(&[request()]), &Currencies::new());
    let answer = proto::CreateTransfersResponse::decode(answer.as_bytes()).expect("decodes");
    let debit = answer.outcomes[0].debit.clone().expect("present");
    assert_eq!((debit.posted_minor, debit.available_minor), (0, 0));
    let wide = debit.wide.expect("present");
    assert_eq!(wide.posted_minor, (-(1i128 << 80)).to_string());
    assert_eq!((wide.available_minor.as_str(), wide.held_minor.as_str()), ("5", "0"));
    assert_eq!(answer.outcomes[0].credit.as_ref().expect("present").wide, None);
}

fn sentence(outcome: &Outcome, item: &proto::TransferRequest) -> String {
    let answers = Answers { outcomes: vec![*outcome], ..Answers::default() };
    plain(&answers, std::slice::from_ref(item)).remove(0).explanation
}

#[test]
fn missing_funds_are_explained_with_all_figures() {
    let text = sentence(&refused(Rejection::InsufficientFunds), &request());
    assert_eq!(
        text,
        "account 17 has 5.00 GBP available, 12.00 GBP needed (posted 5.00, overdraft limit less \
         what is on hold 0.00)"
    );
    let overdrawn = Outcome {
        debit: Some(BalanceAfter { posted: -4000, available: 1000 }),
        ..refused(Rejection::InsufficientFunds)
    };
    assert_eq!(
        sentence(&overdrawn, &request()),
        "account 17 has 10.00 GBP available, 12.00 GBP needed (posted -40.00, overdraft limit \
         less what is on hold 50.00)"
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

#[test]
fn every_refusal_of_an_operation_says_how_the_hold_stands() {
    let id = |n| TransferId::new(n).expect("not zero");
    let open = HoldAfter {
        hold: id(5),
        closed: None,
        captured: 0,
        released: 0,
        remaining: 800,
        over_capture_max: Some(50),
        expires_ns: Some(1_767_225_600_000_000_000),
    };
    let capture = proto::TransferRequest::capture(id(7), id(5), std::num::NonZeroU64::new(1200));
    let minute = std::time::Duration::from_secs(60);
    let extend = proto::TransferRequest::extend(id(7), id(5), Some(minute));
    let sentence = |item: &proto::TransferRequest, rejection, hold: Option<HoldAfter>| {
        let time_ns = 1_767_225_000_000_000_000;
        let outcomes = vec![Outcome { time_ns, ..refused(rejection) }];
        let holds = hold.map(|hold| (0, hold)).into_iter().collect();
        let answers = Answers { outcomes, holds, ..Answers::default() };
        assert_answers_same(&answers, std::slice::from_ref(item));
        plain(&answers, std::slice::from_ref(item)).remove(0).explanation
    };
    for (item, rejection, hold, expected) in [
        (
            &capture,
            Rejection::HoldUnknown,
            None,
            "no hold has the id 5, or it was closed so long ago that it is not remembered",
        ),
        (&capture, Rejection::HoldVoided, None, "hold 5 was voided; nothing of it remains"),
        (&extend, Rejection::HoldExpired, None, "hold 5 has expired; nothing of it remains"),
        (
            &extend,
            Rejection::HoldCaptured,
            None,
            "hold 5 was captured to its end; nothing of it remains",
        ),
        (
            &capture,
            Rejection::HoldExceeded,
            Some(open),
            "12.00 GBP is more than what may be captured of hold 5: at most 8.50 GBP, of which 8.00 \
             GBP remain and 0.50 GBP are its tolerance",
        ),
        (
            &extend,
            Rejection::HoldExtensionTooShort,
            Some(open),
            "hold 5 expires at 2026-01-01T00:00:00Z anyway, and would expire at \
             2025-12-31T23:51:00Z",
        ),
        (
            &capture,
            Rejection::InsufficientFunds,
            Some(open),
            "capturing 12.00 GBP of hold 5 takes more than what is on hold: the debit account has \
             5.00 GBP available beside it (8.00 GBP of it remain, it expires at \
             2026-01-01T00:00:00Z)",
        ),
    ] {
        assert_eq!(sentence(item, rejection, hold), expected);
    }
    for rejection in Rejection::ALL {
        for item in [&capture, &extend] {
            for hold in [None, Some(open)] {
                let text = sentence(item, rejection, hold);
                assert!(text.len() > 20 && !text.ends_with('.'), "{rejection:?}: {text}");
            }
        }
    }
}

#[test]
fn a_hold_beyond_64_bits_travels_as_texts() {
    let outcome = Outcome { rejection: None, ..refused(Rejection::AmountZero) };
    let mut hold = random_hold(&mut rand::rngs::StdRng::seed_from_u64(1));
    (hold.captured, hold.released, hold.remaining) = (5, 1 << 64, 0);
    let answers = Answers { outcomes: vec![outcome], holds: vec![(0, hold)], ..Answers::default() };
    let answer = unary_answer(&answers, &read(&[request()]), &Currencies::new());
    let answer = proto::CreateTransfersResponse::decode(answer.as_bytes()).expect("decodes");
    let told = answer.outcomes[0].hold.clone().expect("present");
    assert_eq!((told.captured_minor, told.released_minor, told.id), (0, 0, hold.hold.low()));
    let wide = told.wide.expect("present");
    let texts = [&wide.captured_minor, &wide.released_minor, &wide.remaining_minor];
    assert_eq!(texts, ["5", "18446744073709551616", "0"]);
}
