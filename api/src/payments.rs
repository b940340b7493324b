//! Payments of several legs, expanded into one linked group of requests: ordered sources of one
//! total, and shares of one. Send the group whole, in one batch; its id is that of its first leg,
//! and the ids of the others follow from it, so that the same payment again is the same requests.
//!
//! ```text
//! sources:  A up to 10 ─▶ ┐                    shares:  ┌─▶ 20.00
//!           B up to 50 ─▶ ├─ total to one account   total ├─▶ 12.5 %
//!           C the rest ─▶ ┘                             └─▶ the rest, odd minor units included
//! ```

use crate::proto::{self, DebitCap, TransferKind, TransferRequest};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::{Currency, format_minor};
use ducat_engine::shares::{Share, ShareFault, split};
use ducat_engine::terms::leg_id;
use thiserror::Error;

/// Most legs of one payment.
pub const LEGS_MAX: usize = 1_000;

/// An amount as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Minor units.
    Minor(u64),
    /// A decimal text; the payment names its currency.
    Text(String),
}

/// What all legs of a payment have.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The id of the first leg, from which the others' follow.
    pub id: TransferId,
    /// The currency of all accounts; empty for whatever they hold.
    pub currency: String,
    /// What all legs are for.
    pub kind: TransferKind,
}

/// An account that pays a part of a total.
#[derive(Clone, Debug)]
pub struct Source {
    /// The account.
    pub account: AccountId,
    /// The most that it gives; `None` for all that is still wanted.
    pub most: Option<Amount>,
    /// What of it may be taken.
    pub cap: DebitCap,
}

/// Why there is no such payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PaymentFault {
    /// None, or too many.
    #[error("a payment has 1 to {LEGS_MAX} legs, not {0}")]
    Legs(usize),
    /// The shares are none of the total.
    #[error(transparent)]
    Shares(#[from] ShareFault),
}

impl Amount {
    fn write(&self, minor: &mut u64, text: &mut String) {
        match self {
            Self::Minor(amount) => *minor = *amount,
            Self::Text(amount) => text.clone_from(amount),
        }
    }
}

impl Payment {
    /// Pays `total` to one account out of the sources, in their order: each gives what it has, up
    /// to its own most and to what those before it left over. All of it or nothing.
    ///
    /// # Errors
    /// [`PaymentFault`].
    pub fn from_sources(
        &self,
        to: AccountId,
        total: &Amount,
        sources: &[Source],
    ) -> Result<Vec<TransferRequest>, PaymentFault> {
        check_legs(sources.len())?;
        let leg = |(at, source): (usize, &Source)| {
            let last = at + 1 == sources.len();
            let mut of = proto::Source { last, ..Default::default() };
            total.write(&mut of.total_minor, &mut of.total);
            let balancing = proto::Balancing {
                debit: source.cap.into(),
                source: Some(of),
                ..Default::default()
            };
            let terms = proto::Terms { balancing: Some(balancing), ..Default::default() };
            let mut leg = self.leg(at, source.account, to, last);
            source.most.as_ref().unwrap_or(total).write(&mut leg.amount_minor, &mut leg.amount);
            TransferRequest { terms: Some(Box::new(terms)), ..leg }
        };
        Ok(sources.iter().enumerate().map(leg).collect())
    }

    /// Pays `total` minor units of one account to several, in shares that come to the total. A
    /// share of nothing has no leg.
    ///
    /// # Errors
    /// [`PaymentFault`].
    pub fn in_shares(
        &self,
        from: AccountId,
        total: u128,
        currency: &Currency,
        shares: &[(AccountId, Share)],
    ) -> Result<Vec<TransferRequest>, PaymentFault> {
        check_legs(shares.len())?;
        let what: Vec<Share> = shares.iter().map(|(_, share)| *share).collect();
        let amounts = split(total, &what)?;
        let legs: Vec<_> = shares.iter().zip(amounts).filter(|(_, amount)| *amount > 0).collect();
        let count = legs.len();
        let leg = |(at, ((to, _), amount)): (usize, (&(AccountId, Share), u128))| {
            let leg = self.leg(at, from, *to, at + 1 == count);
            match u64::try_from(amount) {
                Ok(amount_minor) => TransferRequest { amount_minor, ..leg },
                Err(_) => {
                    let amount = i128::try_from(amount).unwrap_or(i128::MAX);
                    TransferRequest { amount: format_minor(amount, currency.digits), ..leg }
                }
            }
        };
        Ok(legs.into_iter().enumerate().map(leg).collect())
    }

    fn leg(&self, at: usize, from: AccountId, to: AccountId, last: bool) -> TransferRequest {
        let id = leg_id(self.id, u32::try_from(at).unwrap_or(u32::MAX));
        TransferRequest {
            currency: self.currency.clone(),
            kind: self.kind.into(),
            linked: !last,
            ..TransferRequest::plain(id, from, to, 0)
        }
    }
}

fn check_legs(count: usize) -> Result<(), PaymentFault> {
    if (1..=LEGS_MAX).contains(&count) { Ok(()) } else { Err(PaymentFault::Legs(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::money::Currencies;

    fn account(id: u128) -> AccountId {
        AccountId::new(id).expect("not zero")
    }

    fn payment() -> Payment {
        let id = TransferId::new(7).expect("not zero");
        Payment { id, currency: "GBP".into(), kind: TransferKind::Transfer }
    }

    #[test]
    fn sources_are_a_group_whose_ids_follow_from_the_first() {
        let total = Amount::Text("60.00".into());
        let source = |id, most| Source { account: account(id), most, cap: DebitCap::Available };
        let sources = [source(2, Some(Amount::Minor(1_000))), source(3, None)];
        let legs = payment().from_sources(account(9), &total, &sources).expect("two legs");
        assert_eq!((legs[0].id, legs[0].linked, legs[1].linked), (7, true, false));
        assert_eq!((legs[0].amount_minor, &*legs[1].amount), (1_000, "60.00"));
        let again = payment().from_sources(account(9), &total, &sources).expect("two legs");
        assert_eq!(legs, again, "the same payment again");
        assert_ne!((legs[1].id, legs[1].id_high), (7, 0));
        let none = payment().from_sources(account(9), &total, &[]);
        assert_eq!(none, Err(PaymentFault::Legs(0)));
    }

    #[test]
    fn shares_come_to_the_total_and_what_is_nothing_has_no_leg() {
        let gbp = Currencies::new().by_code("GBP").expect("ISO");
        let half = Share::Percent("50".parse().expect("a percentage"));
        let shares = [(account(3), half), (account(4), Share::Fixed(0)), (account(5), Share::Rest)];
        let legs = payment().in_shares(account(2), 101, &gbp, &shares).expect("shares");
        let paid: Vec<_> = legs.iter().map(|leg| (leg.credit_account, leg.amount_minor)).collect();
        assert_eq!(paid, [(3, 50), (5, 51)]);
        assert_eq!((legs[0].linked, legs[1].linked), (true, false));
        let huge = 1 << 70;
        let legs = payment().in_shares(account(2), huge, &gbp, &shares).expect("shares");
        assert_eq!(legs[0].amount, "5902958103587056517.12");
    }
}
