//! The keys of a data directory: its first one, and those it has unlocked.

use super::DataDirError;
use super::format::Format;
use crate::ledger_id::LedgerId;
use crate::vault::keys::{KEYS, KeysLock};
use crate::vault::{KeyWrapper, KeysFile, Vault, VaultError};
use std::path::Path;
use std::time::SystemTime;

/// The keys of a ledger, which its `FORMAT` says it has.
pub(super) fn unlock(
    root: &Path,
    format: &Format,
    by: Option<&dyn KeyWrapper>,
) -> Result<Option<Vault>, DataDirError> {
    if !format.encrypted {
        return Ok(None);
    }
    let keys = KeysFile::read(root)?.ok_or_else(|| VaultError::Missing(root.join(KEYS)))?;
    let Some(by) = by else {
        let (path, wanted) = (root.to_owned(), keys.masters().join(", "));
        return Err(VaultError::Locked { path, wanted }.into());
    };
    unlock_file(root, &keys, format.ledger, by).map(Some)
}

fn unlock_file(
    root: &Path,
    keys: &KeysFile,
    ledger: LedgerId,
    by: &dyn KeyWrapper,
) -> Result<Vault, DataDirError> {
    let path = root.join(KEYS);
    if keys.ledger != ledger {
        return Err(VaultError::OtherLedger { path, found: keys.ledger }.into());
    }
    Ok(Vault::unlock(keys, &path, by)?)
}

/// Gives a ledger its first key, durably, before anything is written under it. One that an
/// interruption left there is taken.
pub(super) fn begin_keys(
    root: &Path,
    ledger: LedgerId,
    by: &dyn KeyWrapper,
) -> Result<Vault, DataDirError> {
    let _lock = KeysLock::take(root)?;
    let path = root.join(KEYS);
    match KeysFile::read(root)? {
        Some(keys) if keys.ledger == ledger => unlock_file(root, &keys, ledger, by),
        // Of a creation that was interrupted before it had its `FORMAT`: nothing is under it.
        _ => {
            let keys = KeysFile::begin(ledger, now_s(), &path, by)?;
            keys.write(root)?;
            unlock_file(root, &keys, ledger, by)
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
