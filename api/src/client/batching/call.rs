//! One call: a future that puts its transfers into the queue when first polled and waits for
//! its slot's answer. Dropped before they were sent, they never are.

use super::shared::Shared;
use super::slots::Answer;
use crate::client::{ClientError, Refused};
use crate::convert::transfers;
use crate::proto::TransferRequest;
use ducat_engine::money::Currencies;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::SemaphorePermit;

/// Longest texts that are sent for the server to judge, bytes: what it takes itself.
const CURRENCY_BYTES_MAX: usize = 12;
const AMOUNT_BYTES_MAX: usize = 64;

/// What only the server can know: the assets it has.
const UNKNOWN_HERE: &str = "CURRENCY_UNKNOWN";

pub(super) struct Call<'a> {
    shared: &'a Shared,
    transfers: &'a [TransferRequest],
    deadline: Instant,
    /// Room for the transfers; given to the queue with them.
    room: Option<SemaphorePermit<'a>>,
    slot: Option<u32>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(
        shared: &'a Shared,
        transfers: &'a [TransferRequest],
        deadline: Instant,
        room: SemaphorePermit<'a>,
    ) -> Self {
        Self { shared, transfers, deadline, room: Some(room), slot: None }
    }
}

impl Future for Call<'_> {
    type Output = Result<Answer, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker();
        if let Some(slot) = self.slot {
            let answer = self.shared.with(|queue| queue.poll(slot, waker));
            if answer.is_ready() {
                self.slot = None;
            }
            return answer;
        }
        let (transfers, deadline) = (self.transfers, self.deadline);
        let submitted = self.shared.with(|queue| queue.submit(transfers, deadline, waker.clone()));
        match submitted {
            Ok(slot) => {
                self.slot = Some(slot);
                // Given back when they wait and travel no more.
                if let Some(room) = self.room.take() {
                    room.forget();
                }
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shared.with(|queue| queue.abandon(slot));
        }
    }
}

/// Refuses what the server would refuse, as far as that can be known here, so that a wrong
/// transfer costs the others of its message nothing.
pub(super) fn validate(items: &[TransferRequest], group: bool) -> Result<(), ClientError> {
    if items.iter().all(is_plain) && (group || items.iter().all(|item| !item.linked)) {
        return Ok(());
    }
    // The server's own check, with the currencies of ISO 4217 alone.
    let currencies = Currencies::new();
    let checked = match items {
        [item] if !group => transfers::single(item, &currencies).map(drop),
        _ => transfers::batch(items, &currencies).map(drop),
    };
    let Err(violations) = checked else { return Ok(()) };
    let certain = violations.listed().iter().any(|v| v.reason != UNKNOWN_HERE);
    let long = |item: &TransferRequest| {
        item.currency.len() > CURRENCY_BYTES_MAX || item.amount.len() > AMOUNT_BYTES_MAX
    };
    if certain || items.iter().any(long) {
        let refused = Refused::from(violations.into_batch_error());
        return Err(ClientError::Refused(Box::new(refused)));
    }
    Ok(())
}

/// Whether nothing of it needs a closer look.
fn is_plain(item: &TransferRequest) -> bool {
    item.id | item.id_high != 0
        && item.debit_account | item.debit_account_high != 0
        && item.credit_account | item.credit_account_high != 0
        && (0..=2).contains(&item.kind)
        && item.amount.is_empty()
        && item.currency.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer() -> TransferRequest {
        TransferRequest {
            id: 1,
            debit_account: 2,
            credit_account: 3,
            amount_minor: 5,
            ..Default::default()
        }
    }

    fn reason(item: TransferRequest) -> Option<String> {
        let error = validate(&[item], false).err()?;
        Some(error.reason().expect("a reason").to_owned())
    }

    #[test]
    fn what_is_wrong_for_any_server_is_refused_here() {
        let text = |amount: &str, currency: &str| TransferRequest {
            amount_minor: 0,
            amount: amount.into(),
            currency: currency.into(),
            ..transfer()
        };
        for (item, expected) in [
            (transfer(), None),
            (text("1.25", "GBP"), None),
            (text("1.25", "POINTS"), None),
            (TransferRequest { id: 0, ..transfer() }, Some("TRANSFER_ID_ZERO")),
            (TransferRequest { debit_account: 0, ..transfer() }, Some("ACCOUNT_ID_ZERO")),
            (TransferRequest { credit_account: 0, ..transfer() }, Some("ACCOUNT_ID_ZERO")),
            (TransferRequest { kind: 3, ..transfer() }, Some("KIND_UNKNOWN")),
            (TransferRequest { linked: true, ..transfer() }, Some("LAST_LINKED")),
            (TransferRequest { amount: "1".into(), ..transfer() }, Some("AMOUNT_TWICE")),
            (text("1.25", ""), Some("CURRENCY_MISSING")),
            (text("1.255", "GBP"), Some("AMOUNT_TOO_MANY_DECIMALS")),
            (text(&"1".repeat(65), "POINTS"), Some("CURRENCY_UNKNOWN")),
            (text("1", &"P".repeat(13)), Some("CURRENCY_UNKNOWN")),
        ] {
            assert_eq!(reason(item.clone()).as_deref(), expected, "{item:?}");
        }
    }

    #[test]
    fn a_group_may_be_linked_and_names_its_wrong_member() {
        let linked = TransferRequest { linked: true, ..transfer() };
        assert!(validate(&[linked.clone(), transfer()], true).is_ok());
        let wrong = [linked, TransferRequest { id: 0, ..transfer() }];
        let Err(ClientError::Refused(refused)) = validate(&wrong, true) else { panic!("refused") };
        assert_eq!(refused.violations[0].field, "transfers[1].id");
    }
}
