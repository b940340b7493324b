//! The fees of the workload `fees`: what a business that takes payments charges, by kind, in a
//! currency of the harness's own, so that nobody else's transfers of a shared server are charged.

use crate::check::Check;
use crate::generator::AccountIds;
use crate::ledger::Ledger;
use crate::tally::Whole;
use anyhow::{Context, anyhow};
use ducat_api::proto;
use ducat_api::proto::operator_client::OperatorClient;
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeRule, Rounding, Schedule, Tier};
use ducat_engine::ids::AccountId;
use ducat_engine::transfer::TransferKind;

/// The currency, and its digits.
pub const CURRENCY: (&str, u32) = ("BENCHFEE", 2);

/// What a kind of transfers costs. All have the same parts, minor units of two digits.
struct Charge {
    name: &'static str,
    kind: TransferKind,
    flat: u64,
    /// From where on, and millionths.
    tiers: &'static [(u64, u32)],
    min: u64,
    max: Option<u64>,
    rounding: Rounding,
}

/// A payment costs 20 and 1.4 %, a payout 30, a transfer a rate by tiers, a top-up nothing.
const CHARGES: [Charge; 3] = [
    Charge {
        name: "bench-payment",
        kind: TransferKind::Payment,
        flat: 20,
        tiers: &[(0, 14_000)],
        min: 25,
        max: None,
        rounding: Rounding::HalfEven,
    },
    Charge {
        name: "bench-payout",
        kind: TransferKind::Withdrawal,
        flat: 30,
        tiers: &[],
        min: 0,
        max: None,
        rounding: Rounding::HalfUp,
    },
    Charge {
        name: "bench-transfer",
        kind: TransferKind::Transfer,
        flat: 0,
        tiers: &[(0, 10_000), (200, 5_000), (600, 2_000)],
        min: 1,
        max: Some(500),
        rounding: Rounding::Up,
    },
];

impl Charge {
    fn message(&self, account: u64) -> proto::FeeSchedule {
        let text = |minor: u64| format!("{}.{:02}", minor / 100, minor % 100);
        let tier = |(above, rate_ppm): &(u64, u32)| proto::FeeTier {
            above: text(*above),
            rate_ppm: *rate_ppm,
        };
        proto::FeeSchedule {
            name: self.name.to_owned(),
            currency: CURRENCY.0.to_owned(),
            account,
            flat: text(self.flat),
            tiers: self.tiers.iter().map(tier).collect(),
            min: text(self.min),
            max: self.max.map(text).unwrap_or_default(),
            rounding: i32::from(self.rounding.number()),
            ..Default::default()
        }
    }

    fn rule(&self) -> FeeRule {
        let tier = |(above, rate_ppm): &(u64, u32)| Tier {
            above: u128::from(*above),
            rate_ppm: *rate_ppm,
        };
        FeeRule {
            flat: u128::from(self.flat),
            tiers: self.tiers.iter().map(tier).collect(),
            min: u128::from(self.min),
            max: self.max.map(u128::from),
            rounding: self.rounding,
        }
    }

    async fn attach(&self, ledger: &Ledger, account: u64) -> anyhow::Result<()> {
        match ledger {
            Ledger::Grpc(channel) => {
                let mut client = OperatorClient::new(channel.clone());
                let schedule = Some(self.message(account));
                client
                    .define_fee(proto::DefineFeeRequest { schedule, ..Default::default() })
                    .await?;
                let target = proto::FeeTarget {
                    kind: i32::from(self.kind.number()),
                    currency: CURRENCY.0.to_owned(),
                    ..Default::default()
                };
                let (target, name) = (Some(target), self.name.to_owned());
                client.attach_fee(proto::AttachFeeRequest { target, name, dry_run: false }).await?;
            }
            Ledger::InProcess { handle, .. } => {
                let currency = handle.currencies().by_code(CURRENCY.0)?.id;
                let (account, name) = (AccountId::from_halves(0, account)?, self.name.to_owned());
                let schedule =
                    Schedule { name: name.clone(), currency, account, rule: self.rule() };
                handle.define_fee(schedule).await??;
                let target = FeeTarget::Kind(self.kind, currency);
                handle.attach_fee(target, Some(name)).await??;
            }
        }
        Ok(())
    }
}

/// Defines the schedules and attaches them; `income` gets the fees.
pub async fn attach(ledger: &Ledger, income: u64) -> anyhow::Result<()> {
    for charge in &CHARGES {
        let attached = charge.attach(ledger, income).await;
        attached.with_context(|| format!("attach the fees {}", charge.name))?;
    }
    Ok(())
}

/// The account of the fees must hold the sum of what the answers told.
pub async fn check(ledger: &Ledger, accounts: AccountIds, whole: &Whole) -> anyhow::Result<Check> {
    let name = "the fees told are those taken".to_owned();
    let account = AccountIds { base: accounts.income() - 1, count: 1 };
    let held = ledger.balances(account, 0..1).await?;
    let held = *held.first().ok_or_else(|| anyhow!("the account of the fees is gone"))?;
    let certain = whole.in_doubt == 0 && whole.unanswered_requests == 0;
    let detail = format!("{} told, {held} on the account of the fees, minor units", whole.fees);
    Ok(Check { name, held: certain.then_some(held == i128::from(whole.fees)), detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::fees::assess;

    #[test]
    fn what_a_transfer_costs() {
        let fee = |charge: usize, amount| assess(&CHARGES[charge].rule(), amount);
        assert_eq!([fee(0, 1), fee(0, 1000), fee(0, 100_000)], [25, 34, 1420]);
        assert_eq!([fee(1, 1), fee(1, 1_000_000)], [30, 30]);
        // 2.00 and 2.00 and 0.80 by tiers; the most at last.
        assert_eq!([fee(2, 1), fee(2, 1000), fee(2, 10_000_000)], [1, 5, 500]);
    }

    #[test]
    fn both_ways_say_the_same() {
        for charge in &CHARGES {
            let mut currencies = ducat_engine::money::Currencies::new();
            currencies.define(CURRENCY.0, CURRENCY.1).expect("new");
            let message = charge.message(7);
            let schedule = ducat_api::convert::fees::schedule(Some(&message), &currencies);
            assert_eq!(schedule.expect("well-formed").rule, charge.rule(), "{}", charge.name);
        }
    }
}
