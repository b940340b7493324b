//! Encryption at rest: the keys under which frames, snapshots, archive and backups lie on the disk.
//!
//! ```text
//! master key (outside: a file, a variable, a command, a key service)
//!   └─ wraps ─▶ ledger keys, in DIR/KEYS; one of them is current
//!        └─ HKDF with a fresh random salt ─▶ data key of one file
//!             └─ AES-256-GCM, numbered ─▶ frames, blocks
//! ```
//!
//! * [`cipher`]: a data key, which seals each number once, and what is bound to each;
//! * [`master`]: the master key and where it comes from;
//! * [`wrapper`]: who wraps ledger keys: the master key itself, or a command in front of a key
//!   service;
//! * [`keys`]: the file of wrapped ledger keys;
//! * [`usage`]: what lies under which key;
//! * [`fields`]: secret fields, sealed one by one at the door, under keys of their own;
//! * [`Vault`]: ledger keys in memory, and the data keys that follow from them.
//!
//! A data key belongs to one file: a snapshot, a file of the archive or of a backup, a segment of
//! the journal *from one opening to the next*. Its salt is drawn when the file is begun and stands
//! in the file, so nothing is kept of it anywhere else, and what a rolled-back or copied directory
//! writes is under other keys ([decision 42](../../../docs/adr/0042-encryption-at-rest.md)).

pub mod cipher;
pub mod fields;
pub mod keys;
pub mod master;
pub mod usage;
pub mod wrapper;

pub use cipher::{Kind, SealKey, Stamp};
pub use fields::{FieldError, FieldKeys};
pub use keys::{KeyEntry, KeysFile, VaultError};
pub use master::MasterKey;
pub use usage::Usage;
pub use wrapper::{KeyService, KeyWrapper, WrapError};

use crate::ledger_id::LedgerId;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use cipher::DataKey;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use zeroize::Zeroizing;

/// A secret of 256 bits, overwritten when it is dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// Data keys kept beside the files they are of; with more they are derived again.
const CACHED_MAX: usize = 1024;

/// 256 bits of the system's randomness.
///
/// # Errors
/// [`VaultError::Random`].
pub fn random_secret() -> Result<Secret, VaultError> {
    let mut secret = Secret::default();
    fill_random(&mut *secret)?;
    Ok(secret)
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), VaultError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| VaultError::Random)
}

/// So many bytes of key material are wanted of HKDF.
#[derive(Clone, Copy)]
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) {
    let okm = prk.expand(info, Bytes(out.len())).expect("a few bytes are asked for");
    okm.fill(out).expect("as many as were announced");
}

/// Another label than any kind of file has.
const FINGERPRINT_LABEL: &[u8] = b"ducat ledger key fingerprint v1";

/// A ledger key, ready to derive data keys.
struct LedgerKey {
    prk: Prk,
    /// Follows from the key and tells nothing of it: another key under the same number has another.
    fingerprint: [u8; 16],
}

impl LedgerKey {
    fn new(prk: Prk) -> Self {
        let mut fingerprint = [0; 16];
        expand(&prk, &[FINGERPRINT_LABEL], &mut fingerprint);
        Self { prk, fingerprint }
    }
}

#[derive(Default)]
struct Ring {
    keys: BTreeMap<u32, LedgerKey>,
    current: u32,
}

impl Ring {
    fn unlock(file: &KeysFile, path: &Path, by: &dyn KeyWrapper) -> Result<Self, VaultError> {
        let mut ring = Self::default();
        let salt = Salt::new(HKDF_SHA256, &file.ledger.to_bytes());
        for entry in &file.entries {
            let secret = file.unwrap(entry, path, by)?;
            ring.keys.insert(entry.number, LedgerKey::new(salt.extract(&*secret)));
            ring.current = entry.number;
        }
        Ok(ring)
    }

    /// The first of these keys that the other ring does not have.
    fn not_in(&self, other: &Self) -> Option<u32> {
        let is_gone = |(number, key): &(&u32, &LedgerKey)| {
            other.keys.get(number).is_none_or(|other| other.fingerprint != key.fingerprint)
        };
        self.keys.iter().find(is_gone).map(|(number, _)| *number)
    }
}

struct Inner {
    ledger: LedgerId,
    ring: RwLock<Ring>,
    opened: Mutex<HashMap<(Kind, Stamp), Arc<DataKey>>>,
}

/// The keys of one ledger, unlocked. Clones share them; nothing of them is ever shown.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("ledger", &self.0.ledger).finish_non_exhaustive()
    }
}

impl Vault {
    /// Unlocks all keys of a file; `path` is for messages.
    ///
    /// # Errors
    /// [`VaultError`]: the wrapper holds another master key, or a key was changed.
    pub fn unlock(file: &KeysFile, path: &Path, by: &dyn KeyWrapper) -> Result<Self, VaultError> {
        let ring = RwLock::new(Ring::unlock(file, path, by)?);
        Ok(Self(Arc::new(Inner { ledger: file.ledger, ring, opened: Mutex::default() })))
    }

    /// Takes over what the file says by now: keys that were added since. What was written under
    /// the others stays readable.
    ///
    /// # Errors
    /// [`VaultError`]; everything stays as it was then.
    pub fn reload(
        &self,
        file: &KeysFile,
        path: &Path,
        by: &dyn KeyWrapper,
    ) -> Result<(), VaultError> {
        if file.ledger != self.0.ledger {
            return Err(VaultError::OtherLedger { path: path.to_owned(), found: file.ledger });
        }
        let ring = Ring::unlock(file, path, by)?;
        let known = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.not_in(&ring) {
            return Err(VaultError::Lost { path: path.to_owned(), number });
        }
        drop(known);
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    /// Whose keys these are.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.0.ledger
    }

    /// The number of the ledger key under which new files are written.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).current
    }

    /// A data key that nothing was ever sealed with, for a file that is begun.
    ///
    /// # Errors
    /// [`VaultError::Random`] when the system has no randomness.
    pub fn fresh(&self, kind: Kind) -> Result<SealKey, VaultError> {
        let mut stamp = Stamp { generation: self.current(), salt: [0; 16] };
        fill_random(&mut stamp.salt)?;
        let key = self.derive(kind, stamp).expect("the current key is one of the ring's");
        Ok(SealKey::new(stamp, key))
    }

    /// The data key of a file that says this of its key; `None` when its ledger key is not known.
    #[must_use]
    pub fn key(&self, kind: Kind, stamp: Stamp) -> Option<Arc<DataKey>> {
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = opened.get(&(kind, stamp)) {
            return Some(Arc::clone(key));
        }
        let key = Arc::new(self.derive(kind, stamp)?);
        if opened.len() >= CACHED_MAX {
            opened.clear();
        }
        opened.insert((kind, stamp), Arc::clone(&key));
        Some(key)
    }

    fn derive(&self, kind: Kind, stamp: Stamp) -> Option<DataKey> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        let LedgerKey { prk, .. } = ring.keys.get(&stamp.generation)?;
        let mut secret = Secret::default();
        expand(prk, &[kind.label(), &stamp.salt], &mut *secret);
        Some(DataKey::new(&secret, kind, self.0.ledger))
    }
}
