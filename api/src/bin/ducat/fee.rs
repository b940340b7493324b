//! `ducat fee`: schedules of fees of a running server.

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use clap::{Args, Subcommand, ValueEnum};
use ducat_api::import::Kind;
use ducat_api::proto;
use ducat_engine::fees::{Rounding, WHOLE_PPM};
use ducat_engine::ids::AccountId;
use serde::Serialize;

/// What can be done with fees.
#[derive(Subcommand, Debug)]
pub enum FeeCommand {
    /// Define a schedule, or change the one of this name from now on.
    #[command(after_help = "\
A fee is a flat part and a percentage of the amount, rounded once; not less than --min, not more than
--max. With several tiers each percentage holds for the part of the amount in its tier.

Examples:
  ducat fee define card --currency GBP --account 900 --flat 0.20 --percent 1.4
  ducat fee define wire --currency GBP --account 900 --percent 0.5 --min 1.00 --max 25.00
  ducat fee define volume --currency GBP --account 900 --tier 0=1 --tier 1000.00=0.5 --rounding down")]
    Define(DefineArgs),
    /// Attach a schedule to an account, or to a kind of transfers in a currency.
    Attach(AttachArgs),
    /// Take away what is attached.
    Detach {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// List all schedules and what they are attached to.
    List,
    /// Show one schedule.
    Show {
        /// Its name.
        name: String,
    },
    /// What a transfer would cost the account that pays it, now.
    Quote(QuoteArgs),
}

/// Options of `fee define`.
#[derive(Args, Debug)]
pub struct DefineArgs {
    /// 1 to 32 of a-z, 0-9 and `-`.
    name: String,
    /// Of what it is a fee.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// The account that gets it.
    #[arg(long, value_name = "ACCOUNT")]
    account: AccountId,
    /// What every transfer costs.
    #[arg(long, value_name = "AMOUNT")]
    flat: Option<String>,
    /// Per cent of the amount, with up to four decimals.
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "tier")]
    percent: Option<u32>,
    /// A tier: where it begins, and per cent of the part of the amount in it. May be given several
    /// times, the first from 0.
    #[arg(long, value_name = "ABOVE=PERCENT", value_parser = tier)]
    tier: Vec<(String, u32)>,
    /// Not less than this.
    #[arg(long, value_name = "AMOUNT")]
    min: Option<String>,
    /// Not more than this.
    #[arg(long, value_name = "AMOUNT")]
    max: Option<String>,
    /// What becomes of parts of a minor unit.
    #[arg(long, value_enum, default_value_t = RoundingArg::HalfUp)]
    rounding: RoundingArg,
    #[command(flatten)]
    dry_run: DryRunArg,
    /// With --dry-run: also say what would be due for this amount.
    #[arg(long, value_name = "AMOUNT", requires = "dry_run")]
    example: Option<String>,
}

/// A rule of rounding.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundingArg {
    /// To the nearest, a half to the larger one.
    HalfUp,
    /// To the nearest, a half to the even one.
    HalfEven,
    /// To the larger one.
    Up,
    /// To the smaller one.
    Down,
}

/// To what a schedule is attached.
#[derive(Args, Debug)]
pub struct TargetArgs {
    /// All transfers that this account pays.
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "kind")]
    account: Option<AccountId>,
    /// All transfers of this kind; needs --currency.
    #[arg(long, value_enum, conflicts_with = "account", requires = "currency")]
    kind: Option<Kind>,
    /// In this currency.
    #[arg(long, value_name = "CODE", requires = "kind")]
    currency: Option<String>,
}

/// Options of `fee attach`.
#[derive(Args, Debug)]
pub struct AttachArgs {
    /// The schedule.
    name: String,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Options of `fee quote`.
#[derive(Args, Debug)]
pub struct QuoteArgs {
    /// The account that pays.
    #[arg(long, value_name = "ACCOUNT")]
    from: AccountId,
    /// How much would be moved.
    #[arg(long)]
    amount: String,
    /// The account's currency.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// What the transfer is for.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
}

/// Per cent as millionths: at most four decimals.
fn percent(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no percentage from 0 to 100 with up to four decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let fits = digits(whole) && decimals.len() <= 4 && (decimals.is_empty() || digits(decimals));
    if !fits || text.ends_with('.') {
        return Err(wrong());
    }
    let padded = format!("{whole}{decimals:0<4}");
    padded.parse().ok().filter(|ppm| *ppm <= WHOLE_PPM).ok_or_else(wrong)
}

fn tier(text: &str) -> Result<(String, u32), String> {
    let (above, rate) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no tier; write it as 1000.00=0.5"))?;
    Ok((above.to_owned(), percent(rate)?))
}

/// Millionths as per cent.
fn percent_text(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A schedule as scripts read it.
#[derive(Serialize)]
struct ScheduleLine<'a> {
    number: u32,
    name: &'a str,
    currency: &'a str,
    account: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    flat: &'a str,
    tiers: Vec<TierLine<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    min: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    max: &'a str,
    rounding: &'static str,
    attached: Vec<String>,
}

#[derive(Serialize)]
struct TierLine<'a> {
    above: &'a str,
    rate_ppm: u32,
}

/// A quote as scripts read it.
#[derive(Serialize)]
struct QuoteLine<'a> {
    schedule: &'a str,
    amount: &'a str,
    currency: &'a str,
}

/// Runs a `fee` command.
pub async fn run(global: &Global, command: FeeCommand) -> Done {
    match command {
        FeeCommand::Define(args) => define(global, args).await,
        FeeCommand::Attach(args) => attach(global, args.name, &args.target, args.dry_run).await,
        FeeCommand::Detach { target, dry_run } => {
            attach(global, String::new(), &target, dry_run).await
        }
        FeeCommand::List => list(global, None).await,
        FeeCommand::Show { name } => list(global, Some(name)).await,
        FeeCommand::Quote(args) => quote(global, args).await,
    }
}

async fn define(global: &Global, args: DefineArgs) -> Done {
    let name = args.name.clone();
    let mut tiers: Vec<_> =
        args.tier.into_iter().map(|(above, rate_ppm)| proto::FeeTier { above, rate_ppm }).collect();
    let whole = args.percent.map(|rate_ppm| proto::FeeTier { above: "0".to_owned(), rate_ppm });
    tiers.extend(whole);
    let rounding = match args.rounding {
        RoundingArg::HalfUp => Rounding::HalfUp,
        RoundingArg::HalfEven => Rounding::HalfEven,
        RoundingArg::Up => Rounding::Up,
        RoundingArg::Down => Rounding::Down,
    };
    let schedule = Some(proto::FeeSchedule {
        name: args.name,
        currency: args.currency,
        account: args.account.low(),
        account_high: args.account.high(),
        flat: args.flat.unwrap_or_default(),
        tiers,
        min: args.min.unwrap_or_default(),
        max: args.max.unwrap_or_default(),
        rounding: i32::from(rounding.number()),
        number: 0,
    });
    let mut client = net::operator_on(net::connect(global).await?);
    let (dry, example_amount) = (args.dry_run, args.example.unwrap_or_default());
    let dry_run = dry.dry_run;
    let request = proto::DefineFeeRequest { schedule, dry_run, example_amount };
    let response = client.define_fee(request.clone()).await;
    let response = response.map_err(|s| net::failed(&s))?.into_inner();
    dry.check(response.dry_run)?;
    if dry_run {
        output::print(&dry_definition(&request, &response, global.json)?)?;
        dry.tell(response.dry_run_lsn);
        return Ok(Exit::Ok);
    }
    print_event(global, response.lsn, &format!("fee {name} defined"))
}

/// What would become of a definition.
fn dry_definition(
    asked: &proto::DefineFeeRequest,
    answer: &proto::DefineFeeResponse,
    json: bool,
) -> Result<String, Failure> {
    let (changed, schedule) = (answer.changed, asked.schedule.clone().unwrap_or_default());
    let replaces = answer.replaces.as_ref().map(|before| line(before, &[]));
    let example = (!answer.example_fee.is_empty()).then_some(answer.example_fee.as_str());
    if json {
        let lsn = answer.dry_run_lsn;
        return output::json(&serde_json::json!({
            "dry_run": true, "dry_run_lsn": lsn, "changed": changed,
            "replaces": replaces, "example_fee": example,
        }));
    }
    let mut facts = vec![("fee", format!("{}: {}", schedule.name, rule(&line(&schedule, &[]))))];
    let text = match (&replaces, changed) {
        (Some(_), false) => "none: it is so already".to_owned(),
        (Some(before), true) => format!("in the place of {}", rule(before)),
        (None, _) => "a new schedule".to_owned(),
    };
    facts.push(("change", text));
    if let Some(fee) = example {
        let (amount, currency) = (&asked.example_amount, &schedule.currency);
        facts.push(("example", format!("{amount} {currency} would cost {fee} {currency}")));
    }
    Ok(output::facts(facts))
}

/// What became of a change, `lsn` being its event.
fn print_event(global: &Global, lsn: u64, what: &str) -> Done {
    let text = match (global.json, lsn) {
        (true, _) => output::json(&serde_json::json!({ "lsn": lsn, "changed": lsn > 0 }))?,
        (false, 0) => "it is so already, nothing changed".to_owned(),
        (false, lsn) => format!("{what} at LSN {lsn}"),
    };
    output::print(&text)?;
    Ok(Exit::Ok)
}

async fn attach(global: &Global, name: String, target: &TargetArgs, dry: DryRunArg) -> Done {
    let what = match name.as_str() {
        "" => "fees detached".to_owned(),
        name => format!("fee {name} attached"),
    };
    let target = Some(proto::FeeTarget {
        account: target.account.map_or(0, AccountId::low),
        account_high: target.account.map_or(0, AccountId::high),
        kind: target.kind.map_or(0, Kind::wire),
        currency: target.currency.clone().unwrap_or_default(),
    });
    let mut client = net::operator_on(net::connect(global).await?);
    let request = proto::AttachFeeRequest { target, name, dry_run: dry.dry_run };
    let response = client.attach_fee(request.clone()).await;
    let response = response.map_err(|s| net::failed(&s))?.into_inner();
    dry.check(response.dry_run)?;
    if dry.dry_run {
        output::print(&dry_attachment(&request.name, &response, global.json)?)?;
        dry.tell(response.dry_run_lsn);
        return Ok(Exit::Ok);
    }
    print_event(global, response.lsn, &what)
}

/// What would become of attaching or detaching.
fn dry_attachment(
    name: &str,
    answer: &proto::AttachFeeResponse,
    json: bool,
) -> Result<String, Failure> {
    let replaces = (!answer.replaces.is_empty()).then_some(answer.replaces.as_str());
    if json {
        let lsn = answer.dry_run_lsn;
        return output::json(&serde_json::json!({
            "dry_run": true, "dry_run_lsn": lsn, "changed": answer.changed, "replaces": replaces,
        }));
    }
    Ok(match (answer.changed, name, replaces) {
        (false, ..) => "it is so already, nothing would change".to_owned(),
        (true, "", before) => format!("fees would be detached: {}", before.unwrap_or_default()),
        (true, name, None) => format!("fee {name} would be attached"),
        (true, name, Some(before)) => {
            format!("fee {name} would be attached, in the place of {before}")
        }
    })
}

async fn list(global: &Global, only: Option<String>) -> Done {
    let mut client = net::operator_on(net::connect(global).await?);
    let mut request = proto::ListFeesRequest { page_size: 1000, cursor: String::new() };
    let mut attached = Vec::new();
    let schedules = loop {
        let response = client.list_fees(request.clone()).await;
        let page = response.map_err(|s| net::failed(&s))?.into_inner();
        attached.extend(page.attached);
        request.cursor = page.next_cursor;
        if request.cursor.is_empty() {
            break page.schedules;
        }
    };
    let shown: Vec<_> = schedules
        .iter()
        .filter(|schedule| only.as_ref().is_none_or(|name| *name == schedule.name))
        .map(|schedule| line(schedule, &attached))
        .collect();
    if let Some(name) = only.filter(|_| shown.is_empty()) {
        return Err(Failure::new(Exit::Refused, format!("no schedule has the name {name}")));
    }
    if global.json {
        let lines: Result<Vec<_>, _> = shown.iter().map(output::json).collect();
        output::print(&lines?.join("\n"))?;
        return Ok(Exit::Ok);
    }
    let header = ["number", "name", "fee", "account", "attached to"];
    let rows = shown.iter().map(row).collect();
    output::print(&output::table(&header, &[0, 3], rows))?;
    Ok(Exit::Ok)
}

fn line<'a>(
    schedule: &'a proto::FeeSchedule,
    attached: &[proto::FeeAttachment],
) -> ScheduleLine<'a> {
    let target = |attached: &proto::FeeAttachment| {
        let target = attached.target.clone().unwrap_or_default();
        match (target.account_high, target.account) {
            (0, 0) => {
                let kind = u8::try_from(target.kind).ok();
                let kind = kind.and_then(ducat_engine::transfer::TransferKind::from_number);
                format!("{} in {}", kind.map_or("unknown", |kind| kind.name()), target.currency)
            }
            (high, low) => format!("account {}", output::account_id(high, low)),
        }
    };
    let own = attached.iter().filter(|attached| attached.name == schedule.name);
    let tier = |tier: &'a proto::FeeTier| TierLine { above: &tier.above, rate_ppm: tier.rate_ppm };
    let rounding = u8::try_from(schedule.rounding).ok().and_then(Rounding::from_number);
    ScheduleLine {
        number: schedule.number,
        name: &schedule.name,
        currency: &schedule.currency,
        account: output::account_id(schedule.account_high, schedule.account),
        flat: &schedule.flat,
        tiers: schedule.tiers.iter().map(tier).collect(),
        min: &schedule.min,
        max: &schedule.max,
        rounding: rounding.map_or("unknown", Rounding::name),
        attached: own.map(target).collect(),
    }
}

fn row(line: &ScheduleLine<'_>) -> Vec<String> {
    let attached = line.attached.join("; ");
    vec![line.number.to_string(), line.name.to_owned(), rule(line), line.account.clone(), attached]
}

/// `0.20 + 1.4%, at least 0.30, at most 5.00, GBP, half-up`.
fn rule(line: &ScheduleLine<'_>) -> String {
    let mut parts = Vec::new();
    if !line.flat.is_empty() {
        parts.push(line.flat.to_owned());
    }
    for (at, tier) in line.tiers.iter().enumerate() {
        let above = if at == 0 { String::new() } else { format!(" above {}", tier.above) };
        parts.push(format!("{}%{above}", percent_text(tier.rate_ppm)));
    }
    let mut fee = if parts.is_empty() { "nothing".to_owned() } else { parts.join(" + ") };
    if !line.min.is_empty() {
        fee.push_str(&format!(", at least {}", line.min));
    }
    if !line.max.is_empty() {
        fee.push_str(&format!(", at most {}", line.max));
    }
    fee.push_str(&format!(", {}, {}", line.currency, line.rounding));
    fee
}

async fn quote(global: &Global, args: QuoteArgs) -> Done {
    let mut client = net::operator_on(net::connect(global).await?);
    let request = proto::QuoteFeeRequest {
        debit_account: args.from.low(),
        debit_account_high: args.from.high(),
        kind: args.kind.wire(),
        amount: args.amount,
        currency: args.currency,
    };
    let response = client.quote_fee(request).await.map_err(|s| net::failed(&s))?.into_inner();
    let proto::QuoteFeeResponse { name, amount, currency } = &response;
    let text = match (global.json, name.as_str()) {
        (true, _) => output::json(&QuoteLine { schedule: name, amount, currency })?,
        (false, "") => "no fee".to_owned(),
        (false, name) => format!("{amount} {currency} by schedule {name}"),
    };
    output::print(&text)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact() {
        for (text, ppm) in
            [("0", 0), ("1", 10_000), ("1.4", 14_000), ("0.0001", 1), ("100", WHOLE_PPM)]
        {
            assert_eq!(percent(text), Ok(ppm), "{text}");
            assert_eq!(percent_text(ppm), text);
        }
        for text in ["", "-1", "1.", ".5", "1.00001", "100.0001", "1,5", "1e1", "101"] {
            assert!(percent(text).is_err(), "{text}");
        }
        assert_eq!(tier("1000.00=0.5"), Ok(("1000.00".to_owned(), 5_000)));
        assert!(tier("1000.00").is_err());
    }
}
