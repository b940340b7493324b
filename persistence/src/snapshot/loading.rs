//! A ledger from a snapshot, on three threads, since decompressing, hashing accounts and
//! finding a place for each id cost about as much:
//!
//! ```text
//! caller: read ▸ checksum ▸ decompress ─┬─▶ accounts, open holds, what is known of accounts:
//!                                       │     decode ▸ check, hash ▸ host
//!                                       └─▶ ids: decode ▸ check ▸ remember
//! ```

use super::block::Kind;
use super::reader::{Block, BlockPlace, Blocks, damaged, take_driven};
use super::{Fault, SnapshotError, Summary};
use crate::vault::Vault;
use ducat_engine::ledger::Ledger;
use ducat_engine::snapshot::codec::{take_accounts, take_holds, take_ids, take_refunds};
use ducat_engine::snapshot::details::take_profiles;
use ducat_engine::snapshot::{Restore, RestoreAccounts, RestoreIds};
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Blocks of accounts that wait at most, and of ids: 20 MiB and 8 MiB where accounts are as
/// large as they can be. So many that the ids' thread has work while accounts are hosted.
const WAITING_MAX: [usize; 2] = [64, 16];

type Fell = (BlockPlace, Fault);

/// Builds the ledger. `partitions`, `seed` and `remember_ns` are as for
/// [`ducat_engine::ledger::Ledger::new`].
pub(super) fn load(
    input: impl Read,
    path: &Path,
    vault: Option<&Vault>,
    (partitions, seed, remember_ns): (usize, u64, u64),
) -> Result<(Ledger, Summary), SnapshotError> {
    let mut blocks = Blocks::new(input, path, vault)?;
    let head = BlockPlace { number: 0, at: 0 };
    let restore = Restore::new(&blocks.header().state, partitions, seed, remember_ns);
    let Restore { accounts, ids } = restore.map_err(|unsound| damaged(path, head, unsound))?;
    let (to_accounts, from_accounts) = sync_channel(WAITING_MAX[0]);
    let (to_ids, from_ids) = sync_channel(WAITING_MAX[1]);
    let restored = std::thread::scope(|scope| {
        let accounts = scope.spawn(move || build_accounts(accounts, &from_accounts));
        let ids = scope.spawn(move || build_ids(ids, &from_ids));
        let read = distribute(&mut blocks, &to_accounts, &to_ids);
        drop((to_accounts, to_ids));
        let (accounts, ids) = (accounts.join(), ids.join());
        // A builder that stopped is why nobody listened; what it met says more.
        let place = |(place, fault): Fell| damaged(path, place, fault);
        let accounts = accounts.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let ids = ids.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let restored = Restore { accounts: accounts.map_err(place)?, ids: ids.map_err(place)? };
        read.map(|()| restored)
    })?;
    let end = blocks.end().expect("all blocks were read");
    let ledger = restored.finish(end).map_err(|unsound| blocks.damaged(unsound))?;
    Ok((ledger, blocks.summary().expect("all blocks were read")))
}

fn distribute<R: Read>(
    blocks: &mut Blocks<R>,
    to_accounts: &SyncSender<Block>,
    to_ids: &SyncSender<Block>,
) -> Result<(), SnapshotError> {
    while let Some(block) = blocks.next()? {
        let to = if block.kind == Kind::Ids { to_ids } else { to_accounts };
        if to.send(block).is_err() {
            break;
        }
    }
    Ok(())
}

fn build_accounts(
    mut accounts: RestoreAccounts,
    from: &Receiver<Block>,
) -> Result<RestoreAccounts, Fell> {
    for block in from {
        let built = match block.kind {
            Kind::Holds => put_holds(&mut accounts, &block.content),
            Kind::Profiles => put_profiles(&mut accounts, &block.content),
            Kind::Refunds => put_refunds(&mut accounts, &block.content),
            Kind::Schedules | Kind::Sagas => put_driven(&mut accounts, &block),
            _ => put_accounts(&mut accounts, &block.content),
        };
        built.map_err(|fault| (block.place, fault))?;
    }
    Ok(accounts)
}

fn put_accounts(accounts: &mut RestoreAccounts, content: &[u8]) -> Result<(), Fault> {
    let decoded = take_accounts(content, accounts.next_slot())?;
    Ok(accounts.put(decoded)?)
}

fn put_holds(accounts: &mut RestoreAccounts, content: &[u8]) -> Result<(), Fault> {
    let decoded = take_holds(content, |slot| accounts.currency(slot))?;
    Ok(accounts.put_holds(&decoded)?)
}

fn put_profiles(accounts: &mut RestoreAccounts, content: &[u8]) -> Result<(), Fault> {
    Ok(accounts.put_profiles(take_profiles(content)?)?)
}

fn put_refunds(accounts: &mut RestoreAccounts, content: &[u8]) -> Result<(), Fault> {
    Ok(accounts.put_refunds(&take_refunds(content)?)?)
}

fn put_driven(accounts: &mut RestoreAccounts, block: &Block) -> Result<(), Fault> {
    let Some(piece) = take_driven(block) else { return Ok(()) };
    Ok(accounts.put_driven(piece?)?)
}

fn build_ids(mut ids: RestoreIds, from: &Receiver<Block>) -> Result<RestoreIds, Fell> {
    for block in from {
        let decoded = take_ids(&block.content).map_err(Fault::from);
        let remembered = decoded.and_then(|piece| Ok(ids.put(&piece)?));
        remembered.map_err(|fault| (block.place, fault))?;
    }
    Ok(ids)
}
