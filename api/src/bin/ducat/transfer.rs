//! `ducat transfer`: one transfer through a running server, answered when it is durable.

use crate::exit::{Done, Exit, Failure};
use crate::{Global, net, output};
use clap::{Args, ValueEnum};
use ducat_api::proto;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::{Currencies, format_minor};
use serde::Serialize;

/// Options of `transfer`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --id a new id is made and printed first. Should the answer get lost, run the command
again with that --id: an id moves money once, however often it is sent.

Examples:
  ducat transfer --from 1 --to 2 --amount 100.00 --currency GBP --kind deposit
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP
  ducat transfer --from 2 --to 3 --amount 12.34 --currency GBP --json \\
        --id 0192f3a4-5b6c-7d8e-9f01-23456789abcd")]
pub struct TransferArgs {
    /// The account that pays.
    #[arg(long, value_name = "ACCOUNT")]
    from: AccountId,
    /// The account that receives.
    #[arg(long, value_name = "ACCOUNT")]
    to: AccountId,
    /// How much, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency of both accounts.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// A deposit comes from an external account, a withdrawal goes to one.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
    /// The transfer's id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
}

/// What a transfer is for, on the command line and in mapping files.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Between two accounts of the ledger.
    #[default]
    Transfer,
    /// From an external account.
    Deposit,
    /// To an external account.
    Withdrawal,
}

impl Kind {
    /// Its number on the wire.
    pub fn wire(self) -> i32 {
        let kind = match self {
            Self::Transfer => proto::TransferKind::Transfer,
            Self::Deposit => proto::TransferKind::Deposit,
            Self::Withdrawal => proto::TransferKind::Withdrawal,
        };
        kind as i32
    }

    /// What the same movement is when money flows the other way.
    pub fn reversed(self) -> Self {
        match self {
            Self::Transfer => Self::Transfer,
            Self::Deposit => Self::Withdrawal,
            Self::Withdrawal => Self::Deposit,
        }
    }
}

/// An outcome as scripts read it.
#[derive(Serialize)]
struct OutcomeLine {
    id: String,
    posted: bool,
    code: &'static str,
    explanation: String,
    repeat: bool,
    lsn: u64,
    time: String,
    time_ns: u64,
    debit: Option<BalanceLine>,
    credit: Option<BalanceLine>,
}

/// A balance as scripts read it: minor units, and decimals where the digits are known.
#[derive(Serialize)]
struct BalanceLine {
    posted_minor: String,
    available_minor: String,
    posted: Option<String>,
    available: Option<String>,
}

/// Runs `transfer`.
pub async fn run(global: &Global, args: TransferArgs) -> Done {
    let id = match args.id {
        Some(id) => id,
        None => {
            let id = new_id()?;
            eprintln!("ducat: transfer {id} (to repeat it safely: --id {id})");
            id
        }
    };
    let request = request(id, &args);
    let mut client = net::ledger(global).await?;
    let response = client.transfer(request).await.map_err(|s| net::failed(&s))?;
    let outcome = response.into_inner().outcome.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an outcome; see its log")
    })?;
    output::print(&text(&outcome, &args.currency, global.json)?)?;
    let posted = outcome.code == proto::Code::Posted as i32;
    Ok(if posted { Exit::Ok } else { Exit::Refused })
}

/// A new UUIDv7.
fn new_id() -> Result<TransferId, Failure> {
    TransferId::new(uuid::Uuid::now_v7().as_u128())
        .map_err(|e| Failure::new(Exit::Internal, format!("cannot make an id: {e}")))
}

/// The request that the command line stands for.
fn request(id: TransferId, args: &TransferArgs) -> proto::TransferRequest {
    proto::TransferRequest {
        id: id.low(),
        id_high: id.high(),
        debit_account: args.from.low(),
        debit_account_high: args.from.high(),
        credit_account: args.to.low(),
        credit_account_high: args.to.high(),
        amount: args.amount.clone(),
        currency: args.currency.clone(),
        kind: args.kind.wire(),
        ..Default::default()
    }
}

/// What is printed about an outcome.
fn text(outcome: &proto::Outcome, currency: &str, json: bool) -> Result<String, Failure> {
    let digits = Currencies::new().by_code(currency).ok().map(|c| c.digits);
    let line = OutcomeLine {
        id: output::transfer_id(outcome.id_high, outcome.id),
        posted: outcome.code == proto::Code::Posted as i32,
        code: output::code_name(outcome.code),
        explanation: outcome.explanation.clone(),
        repeat: outcome.repeat,
        lsn: outcome.lsn,
        time: output::time(outcome.time_ns),
        time_ns: outcome.time_ns,
        debit: outcome.debit.as_ref().map(|b| balance_line(b, digits)),
        credit: outcome.credit.as_ref().map(|b| balance_line(b, digits)),
    };
    if json {
        return output::json(&line);
    }
    let mut facts = vec![("transfer", line.id), ("outcome", line.code.to_owned())];
    if !line.explanation.is_empty() {
        facts.push(("because", line.explanation));
    }
    if line.repeat {
        facts.push(("repeat", "yes: this id was decided before, nothing happened anew".into()));
    }
    facts.push(("decided", format!("{} at LSN {}", line.time, line.lsn)));
    for (name, balance) in [("debit account", line.debit), ("credit account", line.credit)] {
        if let Some(balance) = balance {
            facts.push((name, balance_text(&balance, currency)));
        }
    }
    Ok(output::facts(facts))
}

/// `87.66 GBP posted, 587.66 available`.
fn balance_text(balance: &BalanceLine, currency: &str) -> String {
    match (&balance.posted, &balance.available) {
        (Some(posted), Some(available)) => {
            format!("{posted} {currency} posted, {available} available")
        }
        _ => format!(
            "{} minor units of {currency} posted, {} available",
            balance.posted_minor, balance.available_minor
        ),
    }
}

fn balance_line(balance: &proto::Balance, digits: Option<u8>) -> BalanceLine {
    let (posted, available) = match &balance.wide {
        Some(wide) => (wide.posted_minor.clone(), wide.available_minor.clone()),
        None => (balance.posted_minor.to_string(), balance.available_minor.to_string()),
    };
    let decimal = |minor: &str| Some(format_minor(minor.parse().ok()?, digits?));
    BalanceLine {
        posted: decimal(&posted),
        available: decimal(&available),
        posted_minor: posted,
        available_minor: available,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> proto::Outcome {
        proto::Outcome {
            id: 5,
            lsn: 12,
            time_ns: 1_735_689_600_000_000_000,
            code: proto::Code::InsufficientFunds as i32,
            explanation: "available 1.00, needed 12.34".into(),
            debit: Some(proto::Balance {
                posted_minor: 100,
                available_minor: 100,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_refusal_prints_its_code_and_explanation() {
        assert_eq!(
            text(&refused(), "GBP", false).expect("text"),
            "transfer       5\n\
             outcome        INSUFFICIENT_FUNDS\n\
             because        available 1.00, needed 12.34\n\
             decided        2025-01-01T00:00:00.000000000Z at LSN 12\n\
             debit account  1.00 GBP posted, 1.00 available"
        );
        assert_eq!(
            text(&refused(), "GBP", true).expect("text"),
            concat!(
                r#"{"id":"5","posted":false,"code":"INSUFFICIENT_FUNDS","#,
                r#""explanation":"available 1.00, needed 12.34","repeat":false,"lsn":12,"#,
                r#""time":"2025-01-01T00:00:00.000000000Z","time_ns":1735689600000000000,"#,
                r#""debit":{"posted_minor":"100","available_minor":"100","posted":"1.00","#,
                r#""available":"1.00"},"credit":null}"#
            )
        );
    }

    #[test]
    fn assets_of_your_own_print_minor_units() {
        let text = text(&refused(), "POINTS", false).expect("text");
        assert!(text.contains("100 minor units of POINTS posted, 100 available"), "{text}");
    }

    #[test]
    fn new_ids_are_uuids_of_version_7_and_read_back() {
        let id = new_id().expect("id");
        assert_eq!((id.get() >> 76) & 0xf, 7);
        assert_eq!(id.to_string().parse::<TransferId>(), Ok(id));
    }
}
