//! Asks a restarted server for everything the checker compares with.

use crate::history::{Call, History, id_of, join, outcome_id};
use crate::ledger::{account, specs};
use ducat_api::client::{Client, ClientError};
use ducat_api::proto::{
    Account, Entry, GetStatusResponse, Outcome, TransferRecord, TransferRequest,
};
use ducat_engine::ids::TransferId;
use std::collections::{HashMap, HashSet};

/// What the server says after its restart.
#[derive(Clone, Debug)]
pub struct Observed {
    /// All accounts that the tests opened and the server knows.
    pub accounts: Vec<Account>,
    /// By account: its entries, newest first, down to `entries_above`.
    pub entries: HashMap<u64, Vec<Entry>>,
    /// Entries at or below this LSN were not asked for.
    pub entries_above: u64,
    /// By id: what `GetTransfers` returned. `None` for unknown ones.
    pub stored: HashMap<u128, Option<TransferRecord>>,
    /// By number of the call: the answer to sending it once more.
    pub resent: HashMap<usize, Vec<Outcome>>,
    /// The server's status, with totals.
    pub status: GetStatusResponse,
}

/// Most transfers in one batch of the resending.
const RESEND_BATCH: usize = 2_000;

/// Sends every call without an answer, from `from` on, until it has one; returns how many
/// transfers of them turned out to be durable already and how many happened only now.
pub async fn resend_unanswered(
    client: &Client,
    history: &History,
    from: usize,
) -> Result<(usize, usize), ClientError> {
    let (mut durable, mut lost) = (0, 0);
    let answered = |call: &Call| call.outcomes.iter().map(outcome_id).collect::<Vec<_>>();
    let mut told: HashSet<u128> = history.calls().iter().flat_map(answered).collect();
    for at in history.unanswered(from) {
        let call = history.call(at);
        let outcomes = client.create_transfers(call.transfers).await?;
        for outcome in &outcomes {
            // What another call was told about is no transfer without an answer.
            if told.insert(outcome_id(outcome)) {
                *(if outcome.repeat { &mut durable } else { &mut lost }) += 1;
            }
        }
        history.answered(at, outcomes);
    }
    Ok((durable, lost))
}

/// Asks about the calls numbered `asked`, all accounts, and the entries above an LSN.
pub async fn observe(
    client: &Client,
    calls: &[Call],
    asked: &[usize],
    entries_above: u64,
) -> Result<Observed, ClientError> {
    let stored = stored(client, calls, asked).await?;
    let resent = resend(client, calls, asked).await?;
    let ids: Vec<_> = specs().iter().map(|spec| account(spec.id)).collect();
    let accounts = client.get_accounts(&ids).await?.accounts;
    let mut entries = HashMap::new();
    for found in &accounts {
        entries.insert(found.id, entries_of(client, found.id, entries_above).await?);
    }
    let status = client.get_status(true).await?;
    Ok(Observed { accounts, entries, entries_above, stored, resent, status })
}

async fn stored(
    client: &Client,
    calls: &[Call],
    asked: &[usize],
) -> Result<HashMap<u128, Option<TransferRecord>>, ClientError> {
    let mut seen = HashSet::new();
    let mut ids: Vec<u128> =
        asked.iter().flat_map(|&at| calls[at].transfers.iter().map(id_of)).collect();
    ids.retain(|&id| seen.insert(id));
    let mut stored = HashMap::new();
    for ids in ids.chunks(100) {
        let asked: Vec<_> = ids.iter().map(|&id| TransferId::new(id).expect("not zero")).collect();
        let answer = client.get_transfers(&asked).await?;
        for record in answer.transfers {
            let of = record.outcome.as_ref().expect("a record has its outcome");
            stored.insert(join(of.id_high, of.id), Some(record));
        }
        for id in answer.unknown {
            stored.insert(join(id.id_high, id.id), None);
        }
    }
    Ok(stored)
}

async fn resend(
    client: &Client,
    calls: &[Call],
    asked: &[usize],
) -> Result<HashMap<usize, Vec<Outcome>>, ClientError> {
    let mut resent = HashMap::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut batch: Vec<TransferRequest> = Vec::new();
    for (nth, &at) in asked.iter().enumerate() {
        waiting.push(at);
        batch.extend_from_slice(&calls[at].transfers);
        if batch.len() >= RESEND_BATCH || nth + 1 == asked.len() {
            let mut outcomes = client.create_transfers(std::mem::take(&mut batch)).await?;
            for at in waiting.drain(..) {
                let rest = outcomes.split_off(calls[at].transfers.len());
                resent.insert(at, std::mem::replace(&mut outcomes, rest));
            }
        }
    }
    Ok(resent)
}

async fn entries_of(client: &Client, id: u64, above: u64) -> Result<Vec<Entry>, ClientError> {
    let mut entries = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.list_entries(account(id), 1_000, &cursor).await?;
        let reached = page.entries.last().is_some_and(|entry| entry.lsn <= above);
        entries.extend(page.entries.into_iter().filter(|entry| entry.lsn > above));
        cursor = page.next_cursor;
        if reached || cursor.is_empty() {
            return Ok(entries);
        }
    }
}
