//! One call: a future that puts its transfers into the queue when first polled and waits for
//! its slot's answer. Dropped before they were sent, they never are.

use super::shared::Shared;
use super::slots::Answer;
use crate::client::{ClientError, Refused};
use crate::convert::{TIMEOUT_MS_MAX, transfers};
use crate::proto::{Operation, TransferRequest};
use crate::wire_requests::WireRequest;
use ducat_engine::money::Currencies;
use prost::Message as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::SemaphorePermit;

/// Longest texts that are sent for the server to judge, bytes: what it takes itself.
const CURRENCY_BYTES_MAX: usize = 12;
const AMOUNT_BYTES_MAX: usize = 64;
const TERMS_BYTES_MAX: usize = 1_024;

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
    let read: Vec<WireRequest> = items.iter().cloned().map(WireRequest::from).collect();
    let checked = match &read[..] {
        [item] if !group => transfers::single(item, &currencies).map(drop),
        items => transfers::batch(items, &currencies).map(drop),
    };
    let Err(violations) = checked else { return Ok(()) };
    let certain = violations.listed().iter().any(|v| v.reason != UNKNOWN_HERE);
    let long = |item: &TransferRequest| {
        item.currency.len() > CURRENCY_BYTES_MAX
            || item.amount.len() > AMOUNT_BYTES_MAX
            || item.over_capture_max.len() > AMOUNT_BYTES_MAX
            || item.terms.as_ref().is_some_and(|terms| terms.encoded_len() > TERMS_BYTES_MAX)
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
        && item.terms.is_none()
        && !item.dry_run
        && item.note.is_none()
        && item.amount.is_empty()
        && item.currency.is_empty()
        && item.over_capture_max.is_empty()
        && if item.operation == 0 { is_plain_transfer(item) } else { is_plain_operation(item) }
}

const fn moves(item: &TransferRequest) -> bool {
    item.debit_account | item.debit_account_high != 0
        && item.credit_account | item.credit_account_high != 0
        && 0 <= item.kind
        && item.kind <= 7
        && item.hold_id | item.hold_id_high == 0
        && !item.last
        && !names_original(item)
}

const fn names_original(item: &TransferRequest) -> bool {
    item.original_id | item.original_id_high | item.original_lsn != 0 || item.allow_overdraft
}

const fn is_plain_transfer(item: &TransferRequest) -> bool {
    moves(item) && item.timeout_ms | item.over_capture_max_minor == 0
}

fn is_plain_operation(item: &TransferRequest) -> bool {
    let of_hold = item.hold_id | item.hold_id_high != 0
        && item.debit_account | item.debit_account_high == 0
        && item.credit_account | item.credit_account_high == 0
        && item.over_capture_max_minor == 0
        && item.kind == 0
        && !names_original(item);
    let timeout = item.timeout_ms <= TIMEOUT_MS_MAX;
    let amount = item.amount_minor != 0;
    match Operation::try_from(item.operation) {
        Ok(Operation::Hold) => moves(item) && timeout,
        Ok(Operation::Capture) => of_hold && item.timeout_ms == 0,
        Ok(Operation::Void) => of_hold && item.timeout_ms == 0 && !amount && !item.last,
        Ok(Operation::Extend) => of_hold && timeout && !amount && !item.last,
        Ok(Operation::Refund) => is_plain_refund(item),
        Ok(Operation::Reverse) => is_plain_refund(item) && !amount,
        Ok(Operation::Transfer) | Err(_) => false,
    }
}

const fn is_plain_refund(item: &TransferRequest) -> bool {
    let accounts = item.debit_account
        | item.debit_account_high
        | item.credit_account
        | item.credit_account_high;
    let of_holds = item.hold_id | item.hold_id_high | item.timeout_ms | item.over_capture_max_minor;
    item.original_id | item.original_id_high != 0
        && accounts | of_holds == 0
        && item.kind == 0
        && !item.last
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::ids::{AccountId, TransferId};

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
            (TransferRequest { kind: 7, ..transfer() }, None),
            (TransferRequest { kind: 8, ..transfer() }, Some("KIND_UNKNOWN")),
            (TransferRequest { linked: true, ..transfer() }, Some("LAST_LINKED")),
            (TransferRequest { dry_run: true, ..transfer() }, Some("DRY_RUN_IN_BATCH")),
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
    fn operations_on_holds_are_judged_as_the_server_judges_them() {
        let id = |n| TransferId::new(n).expect("not zero");
        let account = |n| AccountId::new(n).expect("not zero");
        let hold = TransferRequest::hold(id(1), account(2), account(3), 5, None);
        let capture = TransferRequest::capture(id(4), id(1), None);
        let void = TransferRequest::void(id(4), id(1));
        let extend = TransferRequest::extend(id(4), id(1), None);
        let refund = TransferRequest::refund(id(4), id(1), 5);
        let reverse = TransferRequest::reverse(id(4), id(1));
        type Spoil = (&'static str, fn(&mut TransferRequest));
        let spoils: [Spoil; 16] = [
            ("nothing", |_| {}),
            ("id", |t| t.id = 0),
            ("debit", |t| t.debit_account ^= 2),
            ("credit", |t| t.credit_account_high = 7),
            ("kind", |t| t.kind = 8),
            ("amount", |t| t.amount_minor = 9),
            ("text", |t| t.amount = "1".into()),
            ("currency", |t| t.currency = "GBP".into()),
            ("hold", |t| t.hold_id ^= 1),
            ("timeout", |t| t.timeout_ms = 9),
            ("long timeout", |t| t.timeout_ms = TIMEOUT_MS_MAX + 1),
            ("tolerance", |t| t.over_capture_max_minor = 9),
            ("last", |t| t.last = true),
            ("original", |t| t.original_id ^= 1),
            ("its event", |t| t.original_lsn = 3),
            ("overdraft", |t| t.allow_overdraft = true),
        ];
        let mut refused = 0;
        for sound in [transfer(), hold, capture, void, extend, refund, reverse] {
            for (what, spoil) in spoils {
                let mut item = sound.clone();
                spoil(&mut item);
                let read = WireRequest::from(item.clone());
                let server = transfers::single(&read, &Currencies::new());
                let quick = is_plain(&item);
                assert!(!quick || server.is_ok(), "{what}: {item:?}");
                refused += usize::from(server.is_err());
                let texts = !item.amount.is_empty() || !item.currency.is_empty();
                assert_eq!(quick, server.is_ok() && !texts, "{what}: {item:?}");
            }
            assert!(is_plain(&sound), "{sound:?}");
        }
        assert!(refused > 25, "{refused}");
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
