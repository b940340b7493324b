//! `ducat pay` and `ducat split`: payments of several legs, all of them or none.

use crate::exit::{Done, Exit, Failure};
use crate::terms::moved_minor;
use crate::transfer::{Units, json_line, new_id, units};
use crate::{Global, net, output};
use clap::Args;
use ducat_api::client::Connection;
use ducat_api::import::Kind;
use ducat_api::payments::{Amount, Payment, PaymentFault, Source};
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, DebitCap};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::{Currency, CurrencyId, format_minor, parse_amount};
use ducat_engine::shares::{Percent, Share};
use std::str::FromStr;

/// Options of `pay`.
#[derive(Args, Debug)]
#[command(after_help = "\
Takes what the first source has, then what is still wanted from the next, and so on. If all of them
together do not have it, nothing moves. The id is that of the first leg; the others' follow from it.

Examples:
  ducat pay --to 9 --amount 60.00 --currency GBP --source 4:10.00 --source 2
  ducat pay --to 1 --amount 60.00 --currency GBP --kind withdrawal --source 2 --source 3 --own")]
pub struct PayArgs {
    /// The account that receives.
    #[arg(long, value_name = "ACCOUNT")]
    to: AccountId,
    /// How much in all, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency of all accounts.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// An account that pays, and at most how much of it; in the order in which they are used.
    #[arg(long = "source", required = true, value_name = "ACCOUNT[:AMOUNT]")]
    sources: Vec<SourceArg>,
    /// Take what sources have of their own, not their overdrafts.
    #[arg(long)]
    own: bool,
    /// A deposit comes from external accounts, a withdrawal goes to one.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
    /// The payment's id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
}

/// Options of `split`.
#[derive(Args, Debug)]
#[command(after_help = "\
Shares are exact to the minor unit and come to the amount: percentages are of all of it and rounded
down, and --rest gets what is left over, the odd minor unit included.

Example:
  ducat split --from 2 --amount 100.00 --currency GBP --share 5:2.50 --share 6:12.5% --rest 7")]
pub struct SplitArgs {
    /// The account that pays.
    #[arg(long, value_name = "ACCOUNT")]
    from: AccountId,
    /// How much in all, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency of all accounts.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// An account that receives, and its share: a decimal number or a percentage.
    #[arg(long = "share", value_name = "ACCOUNT:SHARE")]
    shares: Vec<ShareArg>,
    /// The account that receives what the shares leave over.
    #[arg(long, value_name = "ACCOUNT")]
    rest: AccountId,
    /// A deposit comes from an external account, a withdrawal goes to external ones.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
    /// The payment's id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
}

/// `ACCOUNT[:AMOUNT]`.
#[derive(Clone, Debug)]
struct SourceArg {
    account: AccountId,
    most: Option<String>,
}

/// `ACCOUNT:AMOUNT` or `ACCOUNT:PERCENT%`.
#[derive(Clone, Debug)]
struct ShareArg {
    account: AccountId,
    share: ShareText,
}

#[derive(Clone, Debug)]
enum ShareText {
    Fixed(String),
    Percent(Percent),
}

impl FromStr for SourceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (account, most) = match text.split_once(':') {
            None => (text, None),
            Some((account, most)) => (account, Some(most.to_owned())),
        };
        Ok(Self { account: account.parse().map_err(|e| format!("{e}"))?, most })
    }
}

impl FromStr for ShareArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (account, share) = text.split_once(':').ok_or("a share is ACCOUNT:SHARE")?;
        let account = account.parse().map_err(|e| format!("{e}"))?;
        let share = match share.strip_suffix('%') {
            None => ShareText::Fixed(share.to_owned()),
            Some(percent) => {
                ShareText::Percent(percent.parse().map_err(|fault| format!("{fault}"))?)
            }
        };
        Ok(Self { account, share })
    }
}

/// Runs `pay`.
pub async fn pay(global: &Global, args: PayArgs) -> Done {
    let payment = payment(args.id, &args.currency, args.kind)?;
    let cap = if args.own { DebitCap::Balance } else { DebitCap::Available };
    let source = |source: &SourceArg| Source {
        account: source.account,
        most: source.most.clone().map(Amount::Text),
        cap,
    };
    let sources: Vec<Source> = args.sources.iter().map(source).collect();
    let total = Amount::Text(args.amount);
    let legs = payment.from_sources(args.to, &total, &sources).map_err(wrong)?;
    let mut client = net::ledger(global).await?;
    send(global, &mut client, legs).await
}

/// Runs `split`.
pub async fn split(global: &Global, args: SplitArgs) -> Done {
    let payment = payment(args.id, &args.currency, args.kind)?;
    let mut client = net::ledger(global).await?;
    let currency = currency(&mut client, args.from, &args.currency).await?;
    let amount = |text: &str| {
        parse_amount(text, &currency).map_err(|e| Failure::new(Exit::Usage, e.to_string()))
    };
    let mut shares = Vec::with_capacity(args.shares.len() + 1);
    for ShareArg { account, share } in &args.shares {
        let share = match share {
            ShareText::Fixed(text) => Share::Fixed(amount(text)?),
            ShareText::Percent(percent) => Share::Percent(*percent),
        };
        shares.push((*account, share));
    }
    shares.push((args.rest, Share::Rest));
    let total = amount(&args.amount)?;
    let legs = payment.in_shares(args.from, total, &currency, &shares).map_err(wrong)?;
    send(global, &mut client, legs).await
}

fn wrong(fault: PaymentFault) -> Failure {
    Failure::new(Exit::Usage, fault.to_string())
}

fn payment(id: Option<TransferId>, currency: &str, kind: Kind) -> Result<Payment, Failure> {
    let id = match id {
        Some(id) => id,
        None => {
            let id = new_id()?;
            eprintln!("ducat: payment {id} (to repeat it safely: --id {id})");
            id
        }
    };
    let kind = proto::TransferKind::try_from(kind.wire()).unwrap_or_default();
    Ok(Payment { id, currency: currency.to_owned(), kind })
}

/// The digits that amounts in the account's currency have.
async fn currency(
    client: &mut LedgerClient<Connection>,
    account: AccountId,
    code: &str,
) -> Result<Currency, Failure> {
    let ids = vec![proto::Id { id: account.low(), id_high: account.high() }];
    let found = client.get_accounts(proto::GetAccountsRequest { ids }).await;
    let accounts = found.map_err(|s| net::failed(&s))?.into_inner().accounts;
    let Some(found) = accounts.first() else {
        let text = format!("no account has the id {account}, so its shares cannot be told");
        return Err(Failure::new(Exit::Refused, text));
    };
    if found.currency != code {
        let text = format!("account {account} holds {}, not {code}", found.currency);
        return Err(Failure::new(Exit::Refused, text));
    }
    // Its number on the server has no say in this.
    let (id, digits) = (CurrencyId(0), u8::try_from(found.digits).unwrap_or(u8::MAX));
    Ok(Currency { id, code: code.to_owned(), digits })
}

/// Sends the legs as one group and prints what became of each.
async fn send(
    global: &Global,
    client: &mut LedgerClient<Connection>,
    legs: Vec<proto::TransferRequest>,
) -> Done {
    let request = proto::CreateTransfersRequest { transfers: legs.clone() };
    let response = client.create_transfers(request).await.map_err(|s| net::failed(&s))?;
    let outcomes = response.into_inner().outcomes;
    if outcomes.len() != legs.len() {
        let text = "the server answered without an outcome for each leg; see its log";
        return Err(Failure::new(Exit::Internal, text));
    }
    let mut all = Vec::with_capacity(legs.len());
    for (leg, outcome) in legs.iter().zip(&outcomes) {
        let of = |high, low| AccountId::from_halves(high, low).ok();
        let debit = of(leg.debit_account_high, leg.debit_account);
        let credit = of(leg.credit_account_high, leg.credit_account);
        let units = match (debit, credit) {
            (Some(debit), Some(credit)) => units(client, outcome, debit, credit).await,
            _ => Units::default(),
        };
        all.push(units);
    }
    output::print(&text(&legs, &outcomes, &all, global.json)?)?;
    let posted = outcomes.iter().all(proto::Outcome::is_posted);
    Ok(if posted { Exit::Ok } else { Exit::Refused })
}

/// A line for each leg: as a table, and why it was refused; or as JSON lines.
fn text(
    legs: &[proto::TransferRequest],
    outcomes: &[proto::Outcome],
    units: &[Units],
    json: bool,
) -> Result<String, Failure> {
    if json {
        let lines = outcomes.iter().zip(units).map(|(outcome, units)| json_line(outcome, units));
        return Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"));
    }
    let row = |((leg, outcome), units): ((&proto::TransferRequest, &proto::Outcome), &Units)| {
        let minor = match (&outcome.terms, outcome.is_posted()) {
            (Some(told), _) => moved_minor(told),
            (None, true) => leg.amount_minor.to_string(),
            (None, false) => "0".to_owned(),
        };
        let unit = units.debit.as_ref();
        let moved =
            minor.parse().ok().zip(unit).map(|(minor, unit)| {
                format!("{} {}", format_minor(minor, unit.digits), unit.currency)
            });
        vec![
            output::transfer_id(outcome.id_high, outcome.id),
            output::account_id(leg.debit_account_high, leg.debit_account),
            output::account_id(leg.credit_account_high, leg.credit_account),
            moved.unwrap_or_else(|| format!("{minor} minor units")),
            output::code_name(outcome.code).to_owned(),
        ]
    };
    let rows = legs.iter().zip(outcomes).zip(units).map(row).collect();
    let mut text = output::table(&["transfer", "from", "to", "moved", "outcome"], &[3], rows);
    let failed = proto::Code::LinkedFailed as i32;
    let why = outcomes.iter().find(|o| !o.explanation.is_empty() && o.code != failed);
    if let Some(outcome) = why {
        text.push_str(&format!("\nbecause {}", outcome.explanation));
    }
    Ok(text)
}
