//! Asks a restarted server for everything the checker compares with.

use crate::history::{Call, History, id_of, join, outcome_id};
use crate::ledger::{account, specs};
use crate::replay::change_of;
use crate::standing::hold_of;
use ducat_api::client::{Client, ClientError, EventFilter};
use ducat_api::proto::{
    Account, Entry, Event, GetStatusResponse, Hold, Outcome, TransferRecord, TransferRequest,
};
use ducat_engine::ids::TransferId;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// What the server says after its restart.
#[derive(Clone, Debug)]
pub struct Observed {
    /// All accounts that the tests opened and the server knows.
    pub accounts: Vec<Account>,
    /// By account: its entries, newest first, down to `entries_above`.
    pub entries: HashMap<u64, Vec<Entry>>,
    /// Entries and events at or below this LSN were not asked for.
    pub above: u64,
    /// The feed of events, from there on.
    pub feed: Vec<Event>,
    /// What happened without a request of the history, from the first event on: accounts that
    /// changed and holds that expired.
    pub own: Vec<Event>,
    /// All open holds, by debit account.
    pub open_holds: Vec<Hold>,
    /// By id: what `GetHolds` returned. `None` for unknown ones.
    pub holds: HashMap<u128, Option<Hold>>,
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

/// Asks about the calls numbered `asked`, all accounts and holds, and entries and events above an
/// LSN; `own` is what happened without a request up to there.
///
/// Holds expire meanwhile: what is asked of one moment is asked again until it is of one.
pub async fn observe(
    client: &Client,
    calls: &[Call],
    asked: &[usize],
    above: u64,
    own: &[Event],
) -> Result<Observed, ClientError> {
    const LONG: Duration = Duration::from_secs(120);
    let stored = stored(client, calls, asked).await?;
    let resent = resend(client, calls, asked).await?;
    let since = Instant::now();
    loop {
        let before = client.get_status(false).await?;
        let ids: Vec<_> = specs().iter().map(|spec| account(spec.id)).collect();
        let accounts = client.get_accounts(&ids).await?.accounts;
        let mut entries = HashMap::new();
        let mut open_holds = Vec::new();
        for found in &accounts {
            entries.insert(found.id, entries_of(client, found.id, above).await?);
            open_holds.extend(open_holds_of(client, found.id).await?);
        }
        let holds = holds(client, calls, asked).await?;
        let feed = feed(client, above, before.last_lsn).await?;
        let status = client.get_status(true).await?;
        assert!(since.elapsed() < LONG, "the ledger does not come to rest: {status:?}");
        if (before.last_lsn, status.last_lsn) != (status.durable_lsn, status.durable_lsn) {
            continue;
        }
        let is_own = |event: &&Event| event.hold_expired.is_some() || change_of(event).is_some();
        let own = own.iter().chain(feed.iter().filter(is_own)).cloned().collect();
        let resent = resent.clone();
        let stored = stored.clone();
        return Ok(Observed {
            accounts,
            entries,
            above,
            feed,
            own,
            open_holds,
            holds,
            stored,
            resent,
            status,
        });
    }
}

/// Waits until no open hold expires within a minute, by the clock of this machine.
pub async fn settled(client: &Client) -> Result<(), ClientError> {
    let since = Instant::now();
    loop {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let soon = now.expect("after 1970").as_nanos() + 60_000_000_000;
        let mut open = false;
        for spec in specs() {
            let holds = open_holds_of(client, spec.id).await?;
            open |= holds.iter().any(|hold| u128::from(hold.expires_ns) < soon);
        }
        if !open {
            return Ok(());
        }
        assert!(since.elapsed() < Duration::from_secs(120), "a hold does not expire");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The feed of events above an LSN, up to another.
async fn feed(client: &Client, above: u64, last: u64) -> Result<Vec<Event>, ClientError> {
    let mut events = Vec::new();
    if above >= last {
        return Ok(events);
    }
    let mut feed = client.subscribe(above + 1, &EventFilter::default()).await?;
    while feed.next_lsn() <= last {
        events.extend(feed.next().await?.events);
    }
    Ok(events)
}

async fn open_holds_of(client: &Client, id: u64) -> Result<Vec<Hold>, ClientError> {
    let mut holds = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.list_holds(account(id), 1_000, &cursor).await?;
        holds.extend(page.holds);
        cursor = page.next_cursor;
        if cursor.is_empty() {
            return Ok(holds);
        }
    }
}

/// The holds that these calls speak of.
async fn holds(
    client: &Client,
    calls: &[Call],
    asked: &[usize],
) -> Result<HashMap<u128, Option<Hold>>, ClientError> {
    let spoken_of = asked.iter().flat_map(|&at| calls[at].transfers.iter().filter_map(hold_of));
    let ids: Vec<u128> = spoken_of.collect::<HashSet<_>>().into_iter().collect();
    let mut holds = HashMap::new();
    for ids in ids.chunks(100) {
        let asked: Vec<_> = ids.iter().map(|&id| TransferId::new(id).expect("not zero")).collect();
        let answer = client.get_holds(&asked).await?;
        for hold in answer.holds {
            holds.insert(join(hold.id_high, hold.id), Some(hold));
        }
        for id in answer.unknown {
            holds.insert(join(id.id_high, id.id), None);
        }
    }
    Ok(holds)
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
