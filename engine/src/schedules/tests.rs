//! Calendars: by example, where people differ, and by what holds of all of them.

use super::calendar::{Calendar, Place, Roll, Rule, Times};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use proptest::prelude::*;

const DAY_S: i64 = 86_400;

fn ns(text: &str) -> u64 {
    let moment: Timestamp = text.parse().expect("a moment");
    u64::try_from(moment.as_nanosecond()).expect("after 1970")
}

fn text(due_ns: u64) -> String {
    Timestamp::from_nanosecond(i128::from(due_ns)).expect("a moment").to_string()
}

fn days(dates: &[Date]) -> Vec<i32> {
    let zero = date(1970, 1, 1);
    dates.iter().map(|day| zero.until(*day).expect("days").get_days()).collect()
}

fn all(times: &Times<'_>, most: usize) -> Vec<Place> {
    std::iter::successors(times.first(), |place| times.after(*place)).take(most).collect()
}

fn due(calendar: &Calendar, start: &str, most: usize) -> Vec<String> {
    let times = calendar.from(ns(start)).expect("a calendar");
    all(&times, most).iter().map(|place| text(place.due_ns)).collect()
}

fn prague(rule: Rule, time_of_day_s: u32) -> Calendar {
    Calendar { zone: "Europe/Prague".to_owned(), time_of_day_s, ..Calendar::new(rule) }
}

#[test]
fn the_last_day_of_every_month_is_as_long_as_the_month() {
    let calendar = Calendar::new(Rule::Months { every: 1, day: 31 });
    let expected = [
        "2024-01-31T00:00:00Z",
        "2024-02-29T00:00:00Z",
        "2024-03-31T00:00:00Z",
        "2024-04-30T00:00:00Z",
    ];
    assert_eq!(due(&calendar, "2024-01-31T00:00:00Z", 4), expected);
    assert_eq!(due(&calendar, "2024-01-31T00:00:00.000000001Z", 3), expected[1..]);
    let quarterly = Calendar::new(Rule::Months { every: 3, day: 30 });
    let expected = ["2024-11-30T00:00:00Z", "2025-02-28T00:00:00Z", "2025-05-30T00:00:00Z"];
    assert_eq!(due(&quarterly, "2024-11-05T00:00:00Z", 3), expected);
    assert_eq!(due(&quarterly, "2024-11-30T00:00:01Z", 1), ["2025-02-28T00:00:00Z"]);
}

#[test]
fn a_time_that_the_clocks_leave_out_is_later_and_one_that_comes_twice_is_the_first() {
    let half_past_two = prague(Rule::Days { every: 1 }, 2 * 3_600 + 1_800);
    let spring = ["2024-03-30T01:30:00Z", "2024-03-31T01:30:00Z", "2024-04-01T00:30:00Z"];
    assert_eq!(due(&half_past_two, "2024-03-30T00:00:00Z", 3), spring);
    let autumn = ["2024-10-26T00:30:00Z", "2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"];
    assert_eq!(due(&half_past_two, "2024-10-26T00:00:00Z", 3), autumn);
}

#[test]
fn weekdays_of_every_other_week_count_from_the_first_week() {
    // Monday and Friday; the first day is a Wednesday.
    let calendar = Calendar::new(Rule::Weeks { every: 2, weekdays: 0b001_0001 });
    let expected = ["2024-01-05", "2024-01-15", "2024-01-19", "2024-01-29"];
    let expected: Vec<String> = expected.map(|day| format!("{day}T00:00:00Z")).to_vec();
    assert_eq!(due(&calendar, "2024-01-03T00:00:00Z", 4), expected);
    let every_tenth = Calendar::new(Rule::Days { every: 10 });
    assert_eq!(
        due(&every_tenth, "2024-02-20T12:00:00Z", 2),
        ["2024-03-01T00:00:00Z", "2024-03-11T00:00:00Z"]
    );
}

#[test]
fn a_day_without_business_is_rolled_as_the_rule_says() {
    // The end of March 2024 is Easter Sunday; Good Friday and Easter Monday are holidays.
    let holidays = days(&[date(2024, 3, 29), date(2024, 4, 1)]);
    let on = |roll, holidays: &[i32]| {
        let rule = Rule::Months { every: 1, day: 31 };
        let calendar = Calendar { roll, holidays: holidays.to_vec(), ..Calendar::new(rule) };
        due(&calendar, "2024-03-01T00:00:00Z", 1)[0][..10].to_owned()
    };
    assert_eq!(on(Roll::Stay, &holidays), "2024-03-31");
    assert_eq!(on(Roll::Following, &holidays), "2024-04-02");
    assert_eq!(on(Roll::Preceding, &holidays), "2024-03-28");
    assert_eq!(on(Roll::ModifiedFollowing, &holidays), "2024-03-28");
    assert_eq!(on(Roll::Skip, &holidays), "2024-04-30");
    assert_eq!(on(Roll::Preceding, &[]), "2024-03-29");
    let friday_saturday = Calendar {
        weekend: 0b011_0000,
        roll: Roll::Following,
        ..Calendar::new(Rule::Months { every: 1, day: 31 })
    };
    assert_eq!(due(&friday_saturday, "2024-03-01T00:00:00Z", 1), ["2024-03-31T00:00:00Z"]);
}

#[test]
fn cron_expressions_are_read_in_the_zone() {
    let calendar = prague(Rule::Cron("30 9 * * MON-FRI".to_owned()), 0);
    let expected = ["2024-03-29T08:30:00Z", "2024-04-01T07:30:00Z"];
    assert_eq!(due(&calendar, "2024-03-29T00:00:00Z", 2), expected);
    let last_friday = Calendar::new(Rule::Cron("0 12 * * FRI#L".to_owned()));
    assert_eq!(due(&last_friday, "2024-05-01T00:00:00Z", 1), ["2024-05-31T12:00:00Z"]);
}

#[test]
fn what_is_no_calendar_is_refused() {
    let refused = |calendar: Calendar| calendar.from(0).err().map(|fault| fault.to_string());
    for expression in ["", "* * * *", "61 * * * *", "* * * * * *", "@never", "0 0 31 2 * 2024"] {
        let fault = refused(Calendar::new(Rule::Cron(expression.to_owned())));
        assert!(fault.is_some(), "{expression}");
    }
    let named = Calendar { zone: "Europe/Atlantis".to_owned(), ..Calendar::new(Rule::Once) };
    assert_eq!(refused(named).as_deref(), Some("no time zone is called `Europe/Atlantis`"));
    for rule in [
        Rule::Days { every: 0 },
        Rule::Weeks { every: 1, weekdays: 0 },
        Rule::Weeks { every: 1, weekdays: 128 },
        Rule::Months { every: 1, day: 32 },
        Rule::Months { every: 0, day: 1 },
    ] {
        assert!(refused(Calendar::new(rule.clone())).is_some(), "{rule:?}");
    }
    let unsorted = Calendar { holidays: vec![2, 1], ..Calendar::new(Rule::Once) };
    assert!(refused(unsorted).is_some());
    for (expression, fits) in [("*/7 9 * * *", false), ("0 9,17 * * *", false), ("0 9 1 * *", true)]
    {
        let rule = Rule::Cron(expression.to_owned());
        for roll in [Roll::Stay, Roll::Skip, Roll::Following, Roll::Preceding] {
            let moves = matches!(roll, Roll::Following | Roll::Preceding);
            let fault = refused(Calendar { roll, ..Calendar::new(rule.clone()) });
            assert_eq!(fault.is_some(), moves && !fits, "{expression} {roll:?}");
        }
    }
    let no_business = Calendar { weekend: 127, ..Calendar::new(Rule::Once) };
    assert!(refused(no_business).is_some());
}

fn rules() -> impl Strategy<Value = Rule> {
    let crons = ["*/7 * * * *", "0 0 29 2 *", "15 10 1-7 * *", "0 2 * * SUN", "0 0 L * *"];
    prop_oneof![
        Just(Rule::Once),
        (1_u16..40).prop_map(|every| Rule::Days { every }),
        (1_u16..5, 1_u8..128).prop_map(|(every, weekdays)| Rule::Weeks { every, weekdays }),
        (1_u16..30, 1_u8..32).prop_map(|(every, day)| Rule::Months { every, day }),
        (0..crons.len()).prop_map(move |at| Rule::Cron(crons[at].to_owned())),
    ]
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let zones = ["UTC", "Europe/Prague", "America/St_Johns", "Australia/Lord_Howe", "Asia/Tehran"];
    let rolls = [Roll::Stay, Roll::Following, Roll::Preceding, Roll::ModifiedFollowing, Roll::Skip];
    let holidays = prop::collection::btree_set(19_000_i32..21_000, 0..40);
    (rules(), 0..zones.len(), 0..rolls.len(), 0_u32..86_400, 0_u8..127, holidays).prop_map(
        move |(rule, zone, roll, time_of_day_s, weekend, holidays)| {
            let times = matches!(&rule, Rule::Cron(expression) if expression.starts_with('*'));
            Calendar {
                rule,
                zone: zones[zone].to_owned(),
                time_of_day_s,
                roll: if times { Roll::Skip } else { rolls[roll] },
                weekend,
                holidays: holidays.into_iter().collect(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::testing::cases(1_000, 100),
        ..ProptestConfig::default()
    })]

    /// Nominal times rise, due times never fall, business days are kept, and going far at once comes
    /// to where step by step leads.
    #[test]
    fn occurrences_follow_one_another(
        calendar in calendars(),
        start_s in 1_640_000_000_u64..1_810_000_000,
        ahead_s in 0_u64..100_000_000,
    ) {
        let start_ns = start_s * 1_000_000_000;
        let times = calendar.from(start_ns).expect("a calendar");
        let places = all(&times, 60);
        prop_assert!(places.is_sorted_by(|a, b| a.nominal_s < b.nominal_s));
        if calendar.rule == Rule::Once {
            prop_assert!(places.len() <= 1);
        }
        // Where the clocks are set back, a later time of day may come before an earlier one.
        let back_ns = 7_200 * 1_000_000_000;
        prop_assert!(places.is_sorted_by(|a, b| a.due_ns < b.due_ns + back_ns));
        for place in &places {
            let day = place.nominal_s.div_euclid(DAY_S);
            if calendar.roll == Roll::Skip {
                prop_assert!(calendar.is_business_day(day));
            }
            if calendar.roll == Roll::Stay {
                prop_assert!(place.due_ns >= start_ns);
            }
        }
        let moment_ns = start_ns + ahead_s * 1_000_000_000;
        if let Some(first) = times.first() {
            let mut behind = places.iter().skip(1).copied();
            let stepped = behind.find(|place| place.due_ns > moment_ns);
            let beyond = times.beyond(first, moment_ns);
            if places.last().is_some_and(|last| last.due_ns > moment_ns) || places.len() < 60 {
                prop_assert_eq!(beyond, stepped);
            } else {
                prop_assert!(beyond.is_none_or(|place| place.due_ns > moment_ns));
            }
        }
    }
}
