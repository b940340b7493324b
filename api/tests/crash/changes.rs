//! The client that changes accounts while the others load the server: blocks and frees them, sets
//! limits and takes them off, tries to close what is not empty. One at a time, each unlike all
//! others, so that the event of each can be told.

use crate::history::{Change, History};
use crate::ledger::{COLD, HOT, OVERDRAFT_MINOR, account, specs};
use ducat_api::client::{Client, ClientError};
use ducat_api::proto::{Account, AccountStatus, SetAccountLimitsRequest};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Code;

/// Between two changes, so that the accounts are mostly as they were opened.
const PAUSE: Duration = Duration::from_millis(3);

/// Changes accounts until it is stopped or the server is gone.
pub async fn change_accounts(
    address: &str,
    history: &History,
    seed: u64,
    stop: &AtomicBool,
) -> Result<(), ClientError> {
    let client = Client::connect(address).await?;
    let mut rng = StdRng::seed_from_u64(seed);
    // What the load before left behind.
    let left = history.changes().last().map(|change| change.account);
    let mut id = left.unwrap_or(COLD.start);
    while !stop.load(Ordering::Relaxed) {
        for change in [any(&mut rng), as_opened(&mut rng, id, true), as_opened(&mut rng, id, false)]
        {
            tokio::time::sleep(PAUSE).await;
            ask(&client, history, id, change).await?;
        }
        id = match rng.random_bool(0.3) {
            true => rng.random_range(HOT),
            false => rng.random_range(COLD),
        };
    }
    Ok(())
}

/// One change; a refusal is an answer.
async fn ask(
    client: &Client,
    history: &History,
    id: u64,
    change: Change,
) -> Result<(), ClientError> {
    let call = history.change_sent(id, change.clone());
    match send(client, id, &change).await {
        Ok(account) => history.change_answered(call, Some(account.changed_lsn)),
        Err(error) if error.code() == Some(Code::FailedPrecondition) => {
            history.change_answered(call, None);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn send(client: &Client, id: u64, change: &Change) -> Result<Account, ClientError> {
    match change {
        Change::Status { status, reason } => {
            client.set_account_status_for(account(id), *status, reason).await
        }
        Change::Limits { overdraft, floor, ceiling } => {
            let limit = |minor: &Option<i128>| Some(minor.map_or(String::new(), text));
            let (overdraft_limit, floor, ceiling) =
                (Some(text(*overdraft)), limit(floor), limit(ceiling));
            let limits = SetAccountLimitsRequest {
                id,
                overdraft_limit,
                floor,
                ceiling,
                ..SetAccountLimitsRequest::default()
            };
            client.set_account_limits(limits).await
        }
    }
}

/// Minor units as a decimal text of two decimals.
pub fn text(minor: i128) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

/// Any change.
pub fn any(rng: &mut StdRng) -> Change {
    let status = match rng.random_range(0..12) {
        0..2 => AccountStatus::DebitsBlocked,
        2..4 => AccountStatus::CreditsBlocked,
        4 => AccountStatus::Frozen,
        // Nearly always refused: it is not empty.
        5 => AccountStatus::Closed,
        _ => {
            let overdraft = rng.random_range(0..=2 * OVERDRAFT_MINOR);
            // Mostly below and above what accounts come to.
            let floor = rng.random_range(-overdraft..=20_000);
            return Change::Limits {
                overdraft,
                floor: rng.random_bool(0.5).then_some(floor),
                ceiling: Some(rng.random_range(20_000..5_000_000)),
            };
        }
    };
    Change::Status { status, reason: reason(rng) }
}

fn reason(rng: &mut StdRng) -> String {
    format!("case {:016x}", rng.random::<u64>())
}

/// As it was opened, but for a ceiling that is far up and unlike all others.
pub fn as_opened(rng: &mut StdRng, id: u64, status: bool) -> Change {
    if status {
        return Change::Status { status: AccountStatus::Active, reason: reason(rng) };
    }
    let spec = specs().into_iter().find(|spec| spec.id == id).expect("one of the accounts");
    let ceiling = Some(rng.random_range(1 << 60..1 << 61));
    Change::Limits { overdraft: spec.overdraft, floor: None, ceiling }
}
