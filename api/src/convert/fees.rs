//! Schedules of fees between the wire and the engine.

use super::transfers::{kind_from_proto, kind_to_proto};
use super::{MoneyReader, amount_text};
use crate::proto;
use crate::violation::{Place, Violations};
use ducat_actors::feed::FeedEvent;
use ducat_actors::handle::{FeeAttached, FeesPage};
use ducat_engine::coordinator::{DryFee, FeeTarget};
use ducat_engine::fees::{FeeNote, FeeRule, Rounding, Schedule, Target, Tier, assess};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::money::{Currencies, Currency, format_minor};
use ducat_engine::record::{FeeDid, FeeEvent, FeeLeg};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::TransferKind;

/// The schedule that is to be defined.
///
/// # Errors
/// Everything that is wrong with its form; what only the ledger knows, the engine judges.
pub fn schedule(
    asked: Option<&proto::FeeSchedule>,
    currencies: &Currencies,
) -> Result<Schedule, Violations> {
    let missing = || Violations::one("schedule", "SCHEDULE_MISSING", "set `schedule`".to_owned());
    let asked = asked.ok_or_else(missing)?;
    let mut violations = Violations::default();
    let mut money = MoneyReader::new(currencies);
    let currency = money.currency(&asked.currency, Place::Request, &mut violations).cloned();
    let account = AccountId::from_halves(asked.account_high, asked.account).ok();
    if account.is_none() {
        violations.add(Place::Request, "account", "ACCOUNT_ID_ZERO", super::zero_id);
    }
    let mut reader = Reader { currency: currency.as_ref(), violations: &mut violations };
    let flat = reader.amount("flat", &asked.flat).unwrap_or(0);
    let min = reader.amount("min", &asked.min).unwrap_or(0);
    let max = reader.amount("max", &asked.max);
    let tier = |tier: &proto::FeeTier| Tier {
        above: reader.amount("tiers.above", &tier.above).unwrap_or(0),
        rate_ppm: tier.rate_ppm,
    };
    let tiers = asked.tiers.iter().map(tier).collect();
    let rounding = u8::try_from(asked.rounding).ok().and_then(Rounding::from_number);
    if rounding.is_none() {
        violations.add(Place::Request, "rounding", "ROUNDING_UNKNOWN", || {
            format!("{} is no rule of rounding; known are 0 to 3", asked.rounding)
        });
    }
    let rule = FeeRule { flat, tiers, min, max, rounding: rounding.unwrap_or_default() };
    let (Some(currency), Some(account)) = (currency, account) else { return Err(violations) };
    let schedule = Schedule { name: asked.name.clone(), currency: currency.id, account, rule };
    if let Err(fault) = schedule.check() {
        violations.add(Place::Request, "schedule", "SCHEDULE_MALFORMED", || fault.to_string());
    }
    violations.into_result(schedule)
}

struct Reader<'a> {
    currency: Option<&'a Currency>,
    violations: &'a mut Violations,
}

impl Reader<'_> {
    fn amount(&mut self, field: &'static str, text: &str) -> Option<u128> {
        if text.is_empty() {
            return None;
        }
        amount_text(text, self.currency?, Place::Request, field, self.violations)
    }
}

/// To what a schedule is to be attached.
///
/// # Errors
/// What is wrong with it.
pub fn target(
    asked: Option<&proto::FeeTarget>,
    currencies: &Currencies,
) -> Result<FeeTarget, Violations> {
    let missing = || Violations::one("target", "TARGET_MISSING", "set `target`".to_owned());
    let asked = asked.ok_or_else(missing)?;
    let account = AccountId::from_halves(asked.account_high, asked.account).ok();
    match (account, asked.currency.as_str()) {
        (Some(account), "") if asked.kind == 0 => Ok(FeeTarget::Account(account)),
        (Some(_), _) => {
            let sentence = "either an account, or a kind with its currency".to_owned();
            Err(Violations::one("target", "TARGET_TWICE", sentence))
        }
        (None, _) => {
            let mut violations = Violations::default();
            let kind = kind(asked.kind, &mut violations);
            let mut money = MoneyReader::new(currencies);
            let currency = money.currency(&asked.currency, Place::Request, &mut violations);
            match (kind, currency.map(|currency| currency.id)) {
                (Some(kind), Some(currency)) => Ok(FeeTarget::Kind(kind, currency)),
                _ => Err(violations),
            }
        }
    }
}

fn kind(number: i32, violations: &mut Violations) -> Option<TransferKind> {
    let kind = kind_from_proto(number);
    if kind.is_none() {
        violations.add(Place::Request, "kind", "KIND_UNKNOWN", || {
            format!("{number} is no kind of transfer; known are 0 to 7")
        });
    }
    kind
}

/// Of what a quote is asked: kind, account and minor units.
///
/// # Errors
/// Everything that is wrong with it.
pub fn quoted(
    asked: &proto::QuoteFeeRequest,
    currencies: &Currencies,
) -> Result<(TransferKind, AccountId, u128, Currency), Violations> {
    let mut violations = Violations::default();
    let kind = kind(asked.kind, &mut violations);
    let account = AccountId::from_halves(asked.debit_account_high, asked.debit_account).ok();
    if account.is_none() {
        violations.add(Place::Request, "debit_account", "ACCOUNT_ID_ZERO", super::zero_id);
    }
    let mut money = MoneyReader::new(currencies);
    let currency = money.currency(&asked.currency, Place::Request, &mut violations).cloned();
    let amount = currency.as_ref().and_then(|currency| {
        amount_text(&asked.amount, currency, Place::Request, "amount", &mut violations)
    });
    match (kind, account, amount, currency) {
        (Some(kind), Some(account), Some(amount), Some(currency)) => {
            violations.into_result((kind, account, amount, currency))
        }
        _ => Err(violations),
    }
}

/// What would be due by a schedule for an amount, as a text; empty for an empty amount.
///
/// # Errors
/// What is wrong with the amount.
pub fn example(
    amount: &str,
    schedule: &Schedule,
    currencies: &Currencies,
) -> Result<String, Violations> {
    let currency = currencies.by_id(schedule.currency).filter(|_| !amount.is_empty());
    let Some(currency) = currency else { return Ok(String::new()) };
    let mut violations = Violations::default();
    let field = "example_amount";
    let minor = amount_text(amount, &currency, Place::Request, field, &mut violations);
    match minor {
        Some(minor) => violations.into_result(text(assess(&schedule.rule, minor), Some(&currency))),
        None => Err(violations),
    }
}

/// What would become of a definition, judged as of this event, and of the fee of an example.
#[must_use]
pub fn dry_definition(
    dry: &DryFee,
    example_fee: String,
    as_of: Lsn,
    currencies: &Currencies,
) -> proto::DefineFeeResponse {
    let before = dry.before.as_ref();
    proto::DefineFeeResponse {
        lsn: 0,
        dry_run: true,
        dry_run_lsn: as_of.0,
        changed: dry.changed,
        replaces: before.map(|(number, before)| schedule_to_proto(*number, before, currencies)),
        example_fee,
    }
}

/// What would become of attaching or detaching, judged as of this event.
#[must_use]
pub fn dry_attachment(dry: &DryFee, as_of: Lsn) -> proto::AttachFeeResponse {
    let name = dry.before.as_ref().map(|(_, before)| before.name.clone());
    proto::AttachFeeResponse {
        lsn: 0,
        dry_run: true,
        dry_run_lsn: as_of.0,
        changed: dry.changed,
        replaces: name.unwrap_or_default(),
    }
}

fn text(minor: u128, currency: Option<&Currency>) -> String {
    let minor = i128::try_from(minor).unwrap_or(i128::MAX);
    format_minor(minor, currency.map_or(0, |currency| currency.digits))
}

/// A schedule as a message, with its number.
#[must_use]
pub fn schedule_to_proto(
    number: u32,
    schedule: &Schedule,
    currencies: &Currencies,
) -> proto::FeeSchedule {
    let currency = currencies.by_id(schedule.currency);
    let amount = |minor| text(minor, currency.as_ref());
    let some = |minor: u128| if minor == 0 { String::new() } else { amount(minor) };
    let FeeRule { flat, tiers, min, max, rounding } = &schedule.rule;
    let tier = |tier: &Tier| proto::FeeTier { above: amount(tier.above), rate_ppm: tier.rate_ppm };
    proto::FeeSchedule {
        name: schedule.name.clone(),
        account: schedule.account.low(),
        account_high: schedule.account.high(),
        flat: some(*flat),
        tiers: tiers.iter().map(tier).collect(),
        min: some(*min),
        max: max.map(amount).unwrap_or_default(),
        rounding: i32::from(rounding.number()),
        number,
        currency: currency.map(|currency| currency.code).unwrap_or_default(),
    }
}

/// A page of schedules as a message, with the cursor already made.
#[must_use]
pub fn page(
    page: &FeesPage,
    next_cursor: String,
    currencies: &Currencies,
) -> proto::ListFeesResponse {
    let attached = |attached: &FeeAttached| {
        let target = match attached.target {
            FeeTarget::Account(id) => proto::FeeTarget {
                account: id.low(),
                account_high: id.high(),
                ..proto::FeeTarget::default()
            },
            FeeTarget::Kind(kind, currency) => proto::FeeTarget {
                kind: kind_to_proto(kind) as i32,
                currency: currencies.by_id(currency).map(|c| c.code).unwrap_or_default(),
                ..proto::FeeTarget::default()
            },
        };
        let schedule = page.schedules.get(attached.schedule as usize);
        let name = schedule.map(|schedule| schedule.name.clone()).unwrap_or_default();
        proto::FeeAttachment { target: Some(target), name }
    };
    let schedules = (0..).zip(&page.schedules);
    proto::ListFeesResponse {
        schedules: schedules.map(|(n, s)| schedule_to_proto(n, s, currencies)).collect(),
        attached: page.attached.iter().map(attached).collect(),
        next_cursor,
        lsn: page.lsn.0,
    }
}

/// What is told of a transfer's fee, as a message.
#[must_use]
pub fn outcome(fee: &FeeNote) -> proto::FeeOutcome {
    let narrow = u64::try_from(fee.amount).ok();
    proto::FeeOutcome {
        schedule: fee.schedule,
        amount_minor: narrow.unwrap_or(0),
        amount_wide: if narrow.is_none() { fee.amount.to_string() } else { String::new() },
        code: code(fee.refused),
    }
}

fn code(rejection: Option<Rejection>) -> i32 {
    rejection.map_or(0, |rule| i32::from(rule.number()))
}

/// A fee's leg as an event tells it.
#[must_use]
pub fn leg(event: &FeedEvent, leg: &FeeLeg, currency: Option<&Currency>) -> proto::FeeLeg {
    let refused = match leg.did {
        FeeDid::Taken { .. } => None,
        FeeDid::Refused { rejection, .. } => Some(rejection),
    };
    proto::FeeLeg {
        transfer_id: leg.of.low(),
        transfer_id_high: leg.of.high(),
        transfer_lsn: leg.transfer_lsn(event.lsn).map_or(0, |lsn| lsn.0),
        schedule: leg.schedule,
        amount: text(leg.amount, currency),
        code: code(refused),
    }
}

/// A change of schedules, put into its event.
pub fn changed(event: &FeeEvent, currencies: &Currencies, message: &mut proto::Event) {
    match event {
        // Its number is told by ListFees.
        FeeEvent::Defined { schedule, .. } => {
            message.fee_defined = Some(schedule_to_proto(0, schedule, currencies));
        }
        FeeEvent::Attached { target, schedule } => {
            let (kind, currency) = match *target {
                Target::Kind { kind, currency } => (i32::from(kind), currencies.by_id(currency)),
                Target::Account(_) => (0, None),
            };
            let currency = currency.map(|currency| currency.code).unwrap_or_default();
            message.fee_attached = Some(proto::FeeChange { kind, currency, schedule: *schedule });
        }
    }
}
