//! The checker says nothing of runs in which everyone tells the truth: groups of all sorts,
//! repeats in flight, ids used again, calls without answers, ids that were forgotten.

mod support;

use ducat_checker::{History, Options};
use ducat_engine::limits::LimitsChange;
use ducat_engine::record::Record;
use ducat_engine::request::Request;
use ducat_engine::transfer::{AccountStatus, TransferKind};
use support::money::{noted, of_kind, on_terms, refund};
use support::{
    ACCOUNTS, NOBODY, REMEMBER_NS, Rng, Run, capture, extend, hold, linked, plain, transfer, void,
};

/// A request under an id that is new, or was used before, with the same content or another.
fn request(rng: &mut Rng, ids: u128, mix: Mix) -> Request {
    let id = u128::from(rng.below(u64::try_from(ids).expect("small"))) + 1;
    // The content follows from the id, mostly.
    let mut content = Rng(u64::try_from(id).expect("small") * 77);
    let debit = u128::from(content.below(8)) + 1;
    let debit = if debit > ACCOUNTS { NOBODY } else { debit };
    let credit = u128::from(content.below(7)) + 1;
    let amount = u128::from(content.below(60));
    let other = rng.below(12) == 0;
    let timeout_ns = [0, 40, 200, REMEMBER_NS / 30][content.below(4) as usize];
    // Every third id is a hold's, and operations mostly speak of one of them.
    if id % 3 == 0 {
        let amount = amount / 4 + 1 + u128::from(other);
        let held = hold(id, debit, credit, amount, timeout_ns);
        return if mix == Mix::All { of_some_kind(&mut content, held) } else { held };
    }
    let hold_ids = u64::try_from(ids / 3).expect("small") + 1;
    let spoken_of = 3 * u128::from(content.below(hold_ids)) + u128::from(content.below(12) == 0);
    let spoken_of = spoken_of.max(1);
    let few = u128::from(content.below(9)) + 1;
    match content.below(12) {
        0 => return capture(id, spoken_of, None, other),
        1 => return capture(id, spoken_of, Some(amount), other),
        2..4 => return capture(id, spoken_of, Some(few), content.below(3) == 0),
        4 => return void(id, spoken_of + u128::from(other)),
        5 => return extend(id, spoken_of, 4 * timeout_ns + u64::from(other)),
        _ => {}
    }
    if mix == Mix::All && content.below(8) == 0 {
        let of = u128::from(content.below(u64::try_from(ids).expect("small"))) + 1;
        return refund(id, of, (content.below(4) > 0).then_some(few + u128::from(other)));
    }
    let mut request = transfer(id, debit, credit, amount).into();
    if other {
        plain(&mut request).amount += 1;
    }
    if rng.below(6) == 0 {
        plain(&mut request).currency = Some(support::GBP);
    }
    if mix == Mix::Plain {
        return request;
    }
    if content.below(8) == 0 {
        request = of_kind(TransferKind::ALL[content.below(8) as usize], request);
    }
    if content.below(6) == 0 {
        request = on_terms(&mut content, request, 20);
    }
    if content.below(9) == 0 { noted(request, "invoice 7") } else { request }
}

/// Every other hold is for something that its accounts do not tell.
fn of_some_kind(rng: &mut Rng, held: Request) -> Request {
    match rng.below(2) {
        0 => of_kind(TransferKind::ALL[rng.below(8) as usize], held),
        _ => held,
    }
}

/// What the clients send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mix {
    /// Transfers and operations on holds.
    Plain,
    /// Refunds, terms, kinds and notes as well; and fees are attached.
    All,
}

fn limits(rng: &mut Rng) -> LimitsChange {
    let bound =
        |rng: &mut Rng, most| Some((rng.below(2) == 0).then(|| i128::from(rng.below(most))));
    LimitsChange {
        overdraft_limit: Some(u128::from(rng.below(60))),
        floor: bound(rng, 30),
        ceiling: bound(rng, 300),
    }
}

fn submission(rng: &mut Rng, ids: u128, mix: Mix) -> Vec<Request> {
    let mut all = Vec::new();
    for _ in 0..=rng.below(3) {
        let many = if rng.below(3) == 0 { 2 + rng.below(3) } else { 1 };
        all.extend(linked((0..many).map(|_| request(rng, ids, mix)).collect()));
    }
    all
}

/// A hold between accounts that have money, or something asked of one that is open; under a new id.
fn on_holds(rng: &mut Rng, run: &Run, id: u128) -> Request {
    let open: Vec<_> = run.ledger.coordinator.holds().iter().collect();
    let timeout_ns = [0, 40, 400, REMEMBER_NS / 30][rng.below(4) as usize];
    if open.is_empty() || rng.below(3) == 0 {
        let (debit, credit) = (u128::from(rng.below(2)) + 2, u128::from(rng.below(2)) + 4);
        return hold(id, debit, credit, u128::from(rng.below(9)) + 1, timeout_ns);
    }
    let found = open[usize::try_from(rng.below(open.len() as u64)).expect("small")];
    let (of, few) = (found.id.get(), u128::from(rng.below(4)) + 1);
    match rng.below(8) {
        0..3 => capture(id, of, Some(few), rng.below(4) == 0),
        3 => capture(id, of, Some(found.remaining + few), false),
        4 => capture(id, of, None, false),
        5 => void(id, of),
        _ => extend(id, of, 3 * timeout_ns),
    }
}

fn random_run(seed: u64, mix: Mix) -> Run {
    let mut rng = Rng(seed);
    let mut run = Run::new();
    run.submit((2..=6).map(|id| transfer(10_000 + id, support::WORLD, id, 100)).collect());
    if mix == Mix::All && rng.below(2) == 0 {
        (0..6).for_each(|_| run.some_fee(&mut rng));
    }
    let ids = u128::from(10 + rng.below(60));
    // Some runs outlast the memory of ids.
    let long = rng.below(4) == 0;
    for _ in 0..rng.below(if long { 150 } else { 25 }) {
        run.now_ns += if long { REMEMBER_NS / 24 } else { 0 };
        match rng.below(if mix == Mix::All { 19 } else { 14 }) {
            18 => run.some_fee(&mut rng),
            14..18 => {
                let asked = run.some_money(&mut rng, 40_000 + 10 * run.calls.len() as u128);
                run.submit_all(&[asked], &[rng.below(5) == 0]);
            }
            11..14 => {
                let many = 1 + u128::from(rng.below(3));
                let base = 20_000 + 10 * run.calls.len() as u128;
                let mut asked = Vec::new();
                for nth in 0..many {
                    let mut one = on_holds(&mut rng, &run, base + nth);
                    if mix == Mix::All && matches!(one, Request::Hold(_)) {
                        one = of_some_kind(&mut rng, one);
                    }
                    let on_any = mix == Mix::All && rng.below(3) == 0;
                    asked.push(if on_any { on_terms(&mut rng, one, 20) } else { one });
                }
                let asked = if rng.below(3) == 0 { linked(asked) } else { asked };
                run.submit_all(&[asked], &[rng.below(5) == 0]);
            }
            8 => run.pass(rng.below(REMEMBER_NS / 20)),
            9 => drop(run.set_limits(u128::from(rng.below(5)) + 2, limits(&mut rng))),
            10 => {
                let some: Vec<u128> = (0..4).map(|_| u128::from(rng.below(30)) + 1).collect();
                run.read_holds(&some);
            }
            0 => drop(run.read()),
            1 => drop(run.read_totals()),
            2 => {
                let id = u128::from(rng.below(6)) + 1;
                run.read_entries(id, 1 + rng.below(5) as usize);
            }
            3 => {
                // Not closed: that asks for an empty account.
                let some = AccountStatus::ALL.into_iter().filter(|s| *s != AccountStatus::Closed);
                let status = some.cycle().nth(rng.below(4) as usize).expect("one of four");
                run.set_status(u128::from(rng.below(4)) + 2, status);
            }
            4 => run.now_ns += rng.below(3) * REMEMBER_NS / 20,
            _ => {
                let many = 1 + rng.below(3);
                let all: Vec<_> = (0..many).map(|_| submission(&mut rng, ids, mix)).collect();
                let lost: Vec<bool> = all.iter().map(|_| rng.below(5) == 0).collect();
                let first = run.submit_all(&all, &lost);
                if !lost[0] && rng.below(3) == 0 {
                    run.read_stored(first);
                }
            }
        }
    }
    run
}

fn cases() -> u32 {
    std::env::var("DUCAT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// Runs from the first seed on, so that the gate plays the same ones each time.
fn runs() -> impl Iterator<Item = (u64, Run)> {
    let mix = |seed| if seed % 2 == 0 { Mix::All } else { Mix::Plain };
    (0..u64::from(cases())).map(move |seed| (seed, random_run(seed, mix(seed))))
}

#[test]
fn nothing_is_said_of_honest_runs() {
    for (seed, run) in runs() {
        let report = run.check();
        assert!(report.is_clean(), "seed {seed}: {report}");
        assert_eq!(report.events, run.events.len() as u64);
    }
}

#[test]
fn a_history_is_read_as_it_was_written() {
    for (seed, run) in runs() {
        let history = run.history();
        let mut bytes = Vec::new();
        history.write_to(&mut bytes).expect("a vector takes all bytes");
        let read = History::read_from(&bytes[..]).expect("as written");
        assert_eq!(read, history, "seed {seed}");
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        assert!(History::read_from(&bytes[..]).is_err(), "seed {seed}");
    }
}

/// Once the checker found a fault in this honest run.
#[test]
fn a_run_of_which_the_checker_was_wrong() {
    let report = random_run(14_966_033_415_536_996_963, Mix::Plain).check();
    assert!(report.is_clean(), "{report}");
}

/// What the runs never do, they do not prove.
#[test]
fn honest_runs_do_everything_to_holds() {
    let mut counts = [0; 8];
    for seed in 0..400 {
        let run = random_run(seed, Mix::Plain);
        for event in &run.events {
            let nth = match &event.record {
                Record::Held(_) => 0,
                Record::Captured(captured) if captured.remaining > 0 => 1,
                Record::Captured(captured) if captured.amount > captured.released => 2,
                Record::Captured(_) => 3,
                Record::Voided(_) => 4,
                Record::Extended(_) => 5,
                Record::Expired(_) => 6,
                Record::HoldRefused(_) => 7,
                _ => continue,
            };
            counts[nth] += 1;
        }
    }
    assert!(counts.iter().all(|many| *many >= 20), "{counts:?}");
}

/// Nor what they do to money beside transfers.
#[test]
fn honest_runs_do_everything_to_money() {
    use std::collections::BTreeMap;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..600 {
        for event in &random_run(seed, Mix::All).events {
            let plain = event.record.plain();
            let mut see = |what: String| *counts.entry(what).or_default() += 1;
            if let Some(rule) = plain.rejection() {
                see(rule.code().to_owned());
            }
            match plain {
                Record::Refunded(refunded) if refunded.reversal => see("reversal".to_owned()),
                Record::Refunded(refunded) if refunded.by_lsn => see("by LSN".to_owned()),
                Record::Refunded(refunded) if refunded.linked => see("linked".to_owned()),
                Record::Refunded(_) => see("refund".to_owned()),
                Record::FeeLeg(leg) if leg.posted().is_some() => see("fee".to_owned()),
                Record::FeeLeg(_) => see("fee not taken".to_owned()),
                _ => {}
            }
            if let Record::Noted(noted) = &event.record {
                let (has_kind, has_fee) = (noted.kind.is_some(), noted.fee.is_some());
                match plain {
                    Record::Captured(_) if has_kind && has_fee => see("fee of its kind".into()),
                    Record::Captured(_) if has_fee => see("fee of a capture".into()),
                    Record::Captured(_) if has_kind => see("capture of a kind".into()),
                    Record::Refunded(_) if has_fee => see("fee of a refund".into()),
                    Record::HoldRefused(_) if has_fee => see("capture without its fee".into()),
                    _ => {}
                }
            }
            if let Record::Termed(termed) = event.record.unnoted() {
                let (asked, moved) = (termed.asked, termed.record.posting());
                if moved.is_some_and(|moved| moved.amount < asked) {
                    see("balanced".to_owned());
                }
                match &termed.record {
                    Record::Held(_) => see("a hold on terms".to_owned()),
                    Record::Captured(_) => see("a capture on terms".to_owned()),
                    _ => {}
                }
            }
        }
    }
    let expected = [
        "refund",
        "by LSN",
        "linked",
        "reversal",
        "balanced",
        "fee",
        "fee not taken",
        "capture of a kind",
        "fee of its kind",
        "fee of a capture",
        "capture without its fee",
        "fee of a refund",
        "ORIGINAL_UNKNOWN",
        "ORIGINAL_REFUSED",
        "ORIGINAL_MOVED_NOTHING",
        "ORIGINAL_IS_REFUND",
        "ORIGINAL_REVERSED",
        "ORIGINAL_REFUNDED",
        "REFUND_EXCEEDED",
        "DEBIT_ACCOUNT_VERSION",
        "DEBIT_ACCOUNT_CONDITION",
        "CREDIT_ACCOUNT_CONDITION",
        "SOURCES_FALL_SHORT",
        "AMOUNT_BELOW_MINIMUM",
        "FEE_REFUSED",
        "FEE_ON_BALANCED",
        "a hold on terms",
        "a capture on terms",
        "CREDIT_ACCOUNT_OWES_LESS",
    ];
    let rare: Vec<_> =
        expected.iter().filter(|what| counts.get(**what).copied().unwrap_or(0) < 5).collect();
    assert!(rare.is_empty(), "{rare:?} of {counts:?}");
}

#[test]
fn histories_of_several_clients_are_one() {
    let run = random_run(7, Mix::All);
    let (mut even, mut odd) = (History::new(), History::new());
    for (at, (span, call)) in run.calls.iter().enumerate() {
        if at % 2 == 0 { even.note(*span, call) } else { odd.note(*span, call) }
    }
    even.merge(&odd);
    let options = Options { remember_ns: REMEMBER_NS, ..Options::default() };
    let mut checker = ducat_checker::Checker::new(&even, options).expect("a history");
    run.events.iter().for_each(|event| checker.event(event.clone()).expect("a history"));
    let report = checker.finish().expect("a history");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report, run.check());
}
