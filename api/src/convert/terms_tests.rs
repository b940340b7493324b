//! Terms over the wire: each way of writing them, each thing that is wrong, and back.

use super::super::transfers::{single, to_proto as request_to_proto};
use crate::proto::{self, Operation, TransferRequest};
use crate::wire_requests::WireRequest;
use ducat_engine::ids::Lsn;
use ducat_engine::money::Currencies;
use ducat_engine::request::Request;
use ducat_engine::terms::{CreditCap, DebitCap, Range, Source};

fn transfer(terms: proto::Terms) -> TransferRequest {
    TransferRequest {
        id: 1,
        debit_account: 2,
        credit_account: 3,
        amount_minor: 500,
        currency: "GBP".into(),
        terms: Some(Box::new(terms)),
        ..Default::default()
    }
}

fn balanced(balancing: proto::Balancing) -> TransferRequest {
    transfer(proto::Terms { balancing: Some(balancing), ..Default::default() })
}

fn available() -> proto::Balancing {
    proto::Balancing { debit: proto::DebitCap::Available.into(), ..Default::default() }
}

fn debit(debit: proto::AccountTerms) -> TransferRequest {
    transfer(proto::Terms { debit: Some(debit), ..Default::default() })
}

fn posted(posted: proto::Range) -> TransferRequest {
    debit(proto::AccountTerms { posted: Some(posted), ..Default::default() })
}

fn read(request: &TransferRequest) -> Result<Request, (String, &'static str)> {
    let read = WireRequest::from(request.clone());
    single(&read, &Currencies::new()).map_err(|violations| {
        let first = &violations.listed()[0];
        (first.field.clone(), violations.reason())
    })
}

fn terms(request: &TransferRequest) -> ducat_engine::terms::Terms {
    match read(request).expect("sound") {
        Request::Termed(termed) => *termed.terms(),
        other => panic!("{other:?} has no terms"),
    }
}

#[test]
fn every_way_of_writing_terms_is_read() {
    let balancing = terms(&balanced(available())).balancing.expect("balanced");
    assert_eq!((balancing.min, balancing.debit), (1, Some(DebitCap::Available)));
    let none = proto::Balancing { min_minor: Some(0), ..available() };
    assert_eq!(terms(&balanced(none)).balancing.expect("balanced").min, 0);
    let text = proto::Balancing { min: "1.25".into(), ..available() };
    assert_eq!(terms(&balanced(text)).balancing.expect("balanced").min, 125);
    let debt = proto::Balancing { credit: proto::CreditCap::Debt.into(), ..Default::default() };
    assert_eq!(terms(&balanced(debt)).balancing.expect("balanced").credit, Some(CreditCap::Debt));
    let source = proto::Source { total: "60.00".into(), total_minor: 0, last: true };
    let source = proto::Balancing { source: Some(source), ..available() };
    let balancing = terms(&balanced(source)).balancing.expect("balanced");
    assert_eq!((balancing.min, balancing.source), (0, Some(Source { total: 6_000, last: true })));
    let locked = debit(proto::AccountTerms { version: 7, ..Default::default() });
    assert_eq!(terms(&locked).debit.version, Some(Lsn(7)));
    let range =
        proto::Range { at_least_minor: Some(-5), at_most: "-1.5".into(), ..{ Default::default() } };
    let expected = Range { at_least: Some(-5), at_most: Some(-150) };
    assert_eq!(terms(&posted(range)).debit.posted, expected);
}

#[test]
fn what_was_read_is_written_as_it_was_meant() {
    let mut full = balanced(proto::Balancing {
        min_minor: Some(3),
        credit: proto::CreditCap::Room.into(),
        ..available()
    });
    let side = proto::AccountTerms {
        version: 9,
        posted: Some(proto::Range { at_least_minor: Some(i64::MIN), ..Default::default() }),
        available: Some(proto::Range { at_most_minor: Some(0), ..Default::default() }),
    };
    let set = full.terms.as_mut().expect("set");
    (set.debit, set.credit) = (Some(side.clone()), Some(side));
    let source = proto::Source { total_minor: 60, ..Default::default() };
    let source = balanced(proto::Balancing { source: Some(source), ..available() });
    // Beyond 64 bits figures are texts.
    let wide = proto::Range { at_most: "100000000000000000000000.00".into(), ..Default::default() };
    for request in [full, source, posted(wide)] {
        let currencies = Currencies::new();
        assert_eq!(request_to_proto(&read(&request).expect("sound"), &currencies), request);
    }
}

#[test]
fn what_is_wrong_with_terms_is_told() {
    let with = |change: fn(&mut proto::Balancing)| {
        let mut balancing = available();
        change(&mut balancing);
        balanced(balancing)
    };
    let source = |total_minor, total: &str| {
        let source = proto::Source { total_minor, total: total.into(), last: false };
        balanced(proto::Balancing { source: Some(source), ..available() })
    };
    let range = |at_least: &str, minor| {
        let at_least = at_least.to_owned();
        posted(proto::Range { at_least, at_least_minor: minor, ..Default::default() })
    };
    let of_hold = |request: TransferRequest, operation: Operation| TransferRequest {
        operation: operation.into(),
        ..request
    };
    let void = TransferRequest {
        operation: Operation::Void.into(),
        hold_id: 4,
        debit_account: 0,
        credit_account: 0,
        amount_minor: 0,
        currency: String::new(),
        ..debit(proto::AccountTerms { version: 1, ..Default::default() })
    };
    let no_currency = TransferRequest { currency: String::new(), ..range("1.00", None) };
    let uncapped = proto::Balancing::default();
    for (request, field, reason) in [
        (transfer(proto::Terms::default()), "terms", "TERMS_EMPTY"),
        (debit(proto::AccountTerms::default()), "terms", "TERMS_EMPTY"),
        (balanced(uncapped), "terms.balancing", "BALANCING_WITHOUT_CAP"),
        (with(|b| b.debit = 3), "terms.balancing.debit", "CAP_UNKNOWN"),
        (with(|b| b.credit = -1), "terms.balancing.credit", "CAP_UNKNOWN"),
        (with(|b| b.min = "1.001".into()), "terms.balancing.min", "AMOUNT_TOO_MANY_DECIMALS"),
        (
            with(|b| (b.min, b.min_minor) = ("1".into(), Some(1))),
            "terms.balancing.min",
            "AMOUNT_TWICE",
        ),
        (
            with(|b| {
                b.source = Some(proto::Source { total_minor: 5, ..Default::default() });
                b.min_minor = Some(0);
            }),
            "terms.balancing.min",
            "SOURCE_WITH_MIN",
        ),
        (source(0, ""), "terms.balancing.source.total", "SOURCE_TOTAL_ZERO"),
        (source(1, "1"), "terms.balancing.source.total", "AMOUNT_TWICE"),
        (range("much", None), "terms.debit.posted.at_least", "AMOUNT_MALFORMED"),
        (range("1.00", Some(1)), "terms.debit.posted.at_least", "AMOUNT_TWICE"),
        (no_currency, "currency", "CURRENCY_MISSING"),
        (void, "terms", "TERMS_NOT_OF_OPERATION"),
        (
            of_hold(balanced(available()), Operation::Hold),
            "terms.balancing",
            "TERMS_NOT_OF_OPERATION",
        ),
    ] {
        assert_eq!(read(&request), Err((field.to_owned(), reason)), "{request:?}");
    }
}
