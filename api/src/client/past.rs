//! Balances and sums of the past, by booking and by value date, for the client.

use super::{Client, ClientError};
use crate::proto;
use ducat_engine::ids::AccountId;

/// A server of before there were balances by value date answers by booking.
const BY_BOOKING: ClientError =
    ClientError::Protocol("the server knows no balances by value date: it answered by booking");

impl Client {
    /// An account's balance as it was at a moment.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an account that is unknown or was opened later,
    /// `FailedPrecondition` for an LSN that is still to come.
    pub async fn get_balance_at(
        &self,
        account: AccountId,
        at: proto::get_balance_at_request::At,
    ) -> Result<proto::GetBalanceAtResponse, ClientError> {
        let (id, id_high) = (account.low(), account.high());
        let request =
            proto::GetBalanceAtRequest { id, id_high, at: Some(at), ..Default::default() };
        Ok(self.ledger.clone().get_balance_at(request).await?.into_inner())
    }

    /// An account's balance at the end of a day by value date, such as `2026-01-31`, as it was known
    /// at a moment, or is now.
    ///
    /// # Errors
    /// As [`Self::get_balance_at`]; [`ClientError::Protocol`] from a server that knows no value dates
    /// here.
    pub async fn get_balance_by_value(
        &self,
        account: AccountId,
        value_date: &str,
        at: Option<proto::get_balance_at_request::At>,
    ) -> Result<proto::GetBalanceAtResponse, ClientError> {
        let (id, id_high, value_date) = (account.low(), account.high(), value_date.to_owned());
        let request = proto::GetBalanceAtRequest { id, id_high, at, value_date };
        let answer = self.ledger.clone().get_balance_at(request).await?.into_inner();
        if answer.value_date.is_empty() { Err(BY_BOOKING) } else { Ok(answer) }
    }

    /// The sums of all accounts at the end of a day by value date, likewise.
    ///
    /// # Errors
    /// As [`Self::get_balance_by_value`].
    pub async fn get_trial_balance_by_value(
        &self,
        value_date: &str,
        at: Option<proto::get_trial_balance_request::At>,
    ) -> Result<proto::GetTrialBalanceResponse, ClientError> {
        let request = proto::GetTrialBalanceRequest { at, value_date: value_date.to_owned() };
        let answer = self.ledger.clone().get_trial_balance(request).await?.into_inner();
        if answer.value_date.is_empty() { Err(BY_BOOKING) } else { Ok(answer) }
    }

    /// The sums of all accounts at a moment, by currency; of now without one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_trial_balance(
        &self,
        at: Option<proto::get_trial_balance_request::At>,
    ) -> Result<proto::GetTrialBalanceResponse, ClientError> {
        let request = proto::GetTrialBalanceRequest { at, ..Default::default() };
        Ok(self.ledger.clone().get_trial_balance(request).await?.into_inner())
    }
}
