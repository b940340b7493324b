//! The standing orders of a real bank (`berka/order.asc.gz`) as schedules over a simulated year.
//!
//! The file says who pays how much to whom, not when. Here household payments are due on the 15th,
//! loans at the end of the month, insurance on the 5th, leasing on the 1st, all else by a cron
//! expression, each at nine in Prague and on business days. Every account is paid what its orders
//! come to on the 10th, but every tenth only half of it.
//!
//! Skips with a printed reason where the data is absent (`../shared/data` or `$DUCAT_DATA`).

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the test reads its data")]

use ducat_engine::ids::ScheduleId;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{NEVER_NS, Request};
use ducat_engine::schedules::calendar::{Calendar, Roll, Rule};
use ducat_engine::schedules::{Definition, Missed, Retry, RunEnd, Status};
use ducat_engine::testing::driven::{CURRENCY, DAY_NS, Driver, HOUR_NS, OUTSIDE, account, payment};
use ducat_engine::transfer::AccountSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;

/// 1998-01-01T00:00:00Z.
const YEAR_NS: u64 = 883_612_800_000_000_000;

/// Days of January to December, and of January again.
const DAYS: [u64; 13] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31];

/// Czech holidays of 1998, as days since 1970.
const HOLIDAYS: [i32; 10] = [10227, 10329, 10347, 10354, 10412, 10413, 10527, 10584, 10585, 10586];

struct Order {
    id: u128,
    account: u128,
    amount: u128,
    symbol: String,
}

fn orders() -> Option<Vec<Order>> {
    let data = std::env::var_os("DUCAT_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let file = std::fs::File::open(data.join("berka/order.asc.gz")).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("it is gzip");
    let order = |line: &str| {
        let fields: Vec<&str> = line.split(';').map(|field| field.trim_matches('"')).collect();
        let (whole, cents) = fields[4].split_once('.').expect("a decimal");
        let cents = format!("{cents:0<2}");
        Order {
            id: fields[0].parse().expect("a number"),
            account: 1_000_000 + fields[1].parse::<u128>().expect("a number"),
            amount: whole.parse::<u128>().expect("a number") * 100
                + cents.parse::<u128>().expect("a number"),
            symbol: fields[5].trim().to_owned(),
        }
    };
    Some(text.lines().skip(1).map(order).collect())
}

fn schedule(order: &Order) -> Definition {
    let monthly = |day| Rule::Months { every: 1, day };
    let rule = match &*order.symbol {
        "SIPO" => monthly(15),
        "UVER" => monthly(31),
        "POJISTNE" => monthly(5),
        "LEASING" => monthly(1),
        _ => Rule::Cron("0 9 20 * *".to_owned()),
    };
    let calendar = Calendar {
        zone: "Europe/Prague".to_owned(),
        time_of_day_s: 9 * 3_600,
        roll: Roll::ModifiedFollowing,
        holidays: HOLIDAYS.to_vec(),
        ..Calendar::new(rule)
    };
    Definition {
        id: ScheduleId::new(order.id).expect("not zero"),
        label: order.symbol.clone(),
        payment: payment(order.account, OUTSIDE, order.amount),
        calendar,
        start_ns: YEAR_NS,
        end_ns: NEVER_NS,
        runs_max: 12,
        retry: Retry { times: 1, every_ns: 12 * HOUR_NS },
        missed: Missed::RunAll,
        grace_ns: DAY_NS,
    }
}

/// Runs every `part`th order through a year; with a stop in July, from the journal alone.
fn year(part: usize) {
    let Some(orders) = orders() else {
        eprintln!("skipped: berka/order.asc.gz is not there (see DUCAT_DATA)");
        return;
    };
    assert_eq!(orders.len(), 6_471);
    let orders: Vec<Order> = orders.into_iter().step_by(part).collect();
    let mut driver = Driver::new(1, YEAR_NS, DAY_NS);
    let mut wages: BTreeMap<u128, u128> = BTreeMap::new();
    for order in &orders {
        *wages.entry(order.account).or_default() += order.amount;
    }
    for number in wages.keys() {
        let (id, external) = (account(*number), false);
        driver.open(&AccountSpec { id, currency: CURRENCY, overdraft_limit: 0, external });
    }
    for order in &orders {
        driver.define(schedule(order)).expect("it can be");
    }
    let short: BTreeSet<u128> = wages.keys().copied().step_by(10).collect();
    let (mut month_ns, mut ids) = (YEAR_NS, 1 << 80);
    for (month, days) in DAYS[..12].iter().enumerate() {
        // Last year's wages pay what is due before the 10th.
        if month == 0 {
            pay(&mut driver, &wages, &short, &mut ids);
        }
        driver.pass_until(month_ns + 9 * DAY_NS);
        pay(&mut driver, &wages, &short, &mut ids);
        if month == 6 {
            driver = driver.restarted(driver.events.len(), driver.now_ns + 3 * DAY_NS);
        }
        driver.pass_until(month_ns + days * DAY_NS);
        month_ns += days * DAY_NS;
    }
    driver.pass_until(month_ns + 5 * DAY_NS);
    figures(&driver, &orders, &short);
    driver.check();
}

fn pay(driver: &mut Driver, wages: &BTreeMap<u128, u128>, short: &BTreeSet<u128>, ids: &mut u128) {
    let wage = |(account, wage): (&u128, &u128)| {
        *ids += 1;
        let amount = if short.contains(account) { wage / 2 } else { *wage };
        let id = ducat_engine::ids::TransferId::new(*ids).expect("not zero");
        Request::from(payment(OUTSIDE, *account, amount.max(1)).transfer(id))
    };
    let requests: Vec<Request> = wages.iter().map(wage).collect();
    for requests in requests.chunks(1_000) {
        let outcomes = driver.submit(requests);
        assert!(outcomes.iter().all(|outcome| outcome.rejection.is_none()));
    }
}

/// Every order ran twelve times, each once; whoever is paid in full paid all.
fn figures(driver: &Driver, orders: &[Order], short: &BTreeSet<u128>) {
    let (mut posted, mut refused, mut moved) = (0_u64, 0_u64, 0_u128);
    for order in orders {
        let schedule = driver.schedule(ScheduleId::new(order.id).expect("not zero"));
        assert_eq!((schedule.status, schedule.last_run), (Status::Ended, 12));
        let runs: Vec<u64> = schedule.runs.iter().map(|run| run.run).collect();
        assert_eq!(runs, (1..=12).collect::<Vec<u64>>());
        for run in &schedule.runs {
            match run.end {
                RunEnd::Posted => (posted, moved) = (posted + 1, moved + order.amount),
                RunEnd::Refused(Rejection::InsufficientFunds) => {
                    assert!(short.contains(&order.account), "who is paid in full pays in full");
                    assert_eq!(run.attempts, 2);
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let postings = driver.events.iter().filter_map(|event| event.record.posting());
    let outside = driver.ledger.coordinator.directory().get(account(OUTSIDE)).expect("listed").slot;
    let paid: Vec<u128> = postings
        .filter(|posting| posting.credit == outside)
        .map(|posting| posting.amount)
        .collect();
    assert_eq!((paid.len() as u64, paid.iter().sum::<u128>()), (posted, moved));
    assert_eq!(posted + refused, 12 * orders.len() as u64);
    eprintln!(
        "{} orders, {} runs: {posted} posted, {refused} refused for lack of funds after two \
         attempts, {}.{:02} moved, {} events",
        orders.len(),
        posted + refused,
        moved / 100,
        moved % 100,
        driver.events.len()
    );
}

#[test]
fn standing_orders_of_a_real_bank_run_for_a_year() {
    year(40);
}

/// All of them: `cargo test -p ducat-engine --test standing_orders -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute"]
fn all_standing_orders_of_a_real_bank_run_for_a_year() {
    year(1);
}
