//! One checkpoint: a signed note as in C2SP's `signed-note` and `tlog-checkpoint`, with
//! extension lines of our own. There is one way to write each, and nothing else is read.
//!
//! ```text
//! ducat/0123456789abcdef0123456789abcdef/0      origin: ledger and shard
//! 1200                                          events: LSN 1 to here
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=  root of the tree over their statements
//! number 7
//! journal 55…                                   hash of the journal's frame that ends here
//! time 1767225600000000000                      of the last event, ns since 1970
//! signed 1767225612345678901                    by the signer's clock
//! previous 6e…                                  SHA-256 of the file before; `none` for the first
//!
//! — ducat/0123456789abcdef0123456789abcdef/0 Az3grlgtzPICa5OS8npVmf1Myq…
//! ```

use super::key::{CheckKey, SignKey};
use crate::frame::FrameHash;
use crate::ledger_id::LedgerId;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::proof::Hash;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use thiserror::Error;

/// No checkpoint is longer, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 1024;

/// C2SP's number for Ed25519.
const ED25519: u8 = 1;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub ledger: LedgerId,
    /// Of which shard.
    pub shard: ShardId,
    /// The last event it covers; also how many it covers.
    pub lsn: Lsn,
    /// The root of the tree over their statements.
    pub root: Hash,
    /// Its place among the checkpoints, from 1.
    pub number: u64,
    /// The hash of the journal's frame that ends with this event.
    pub journal: FrameHash,
    /// When this event was decided, nanoseconds since 1970.
    pub time_ns: u64,
    /// When it was signed, nanoseconds since 1970.
    pub signed_ns: u64,
    /// SHA-256 of the file of the checkpoint before; `None` for the first.
    pub previous: Option<[u8; 32]>,
}

/// A checkpoint and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    key_id: [u8; 4],
    signature: [u8; 64],
}

/// Why bytes are no checkpoint to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// They are no checkpoint as Ducat writes them.
    #[error("it is not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Another key signed it.
    #[error("it is signed by another key")]
    OtherKey,
    /// The signature does not fit what it says.
    #[error("its signature is wrong: what it says was changed")]
    Signature,
}

impl Checkpoint {
    fn origin(&self) -> String {
        format!("ducat/{}/{}", self.ledger, self.shard.0)
    }

    /// The bytes that are signed.
    fn body(&self) -> String {
        let previous = self.previous.map_or_else(|| "none".to_owned(), |hash| hex(&hash));
        format!(
            "{}\n{}\n{}\nnumber {}\njournal {}\ntime {}\nsigned {}\nprevious {previous}\n",
            self.origin(),
            self.lsn,
            BASE64_STANDARD.encode(self.root),
            self.number,
            self.journal,
            self.time_ns,
            self.signed_ns,
        )
    }

    /// Signs it.
    #[must_use]
    pub fn sign(self, key: &SignKey) -> SignedCheckpoint {
        let key_id = key_id(&self.origin(), &key.public());
        let signature = key.sign(self.body().as_bytes());
        SignedCheckpoint { checkpoint: self, key_id, signature }
    }
}

/// Names a key to its readers, as C2SP says.
fn key_id(origin: &str, key: &CheckKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(origin);
    hasher.update([b'\n', ED25519]);
    hasher.update(key.to_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

impl SignedCheckpoint {
    /// The whole text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let signed = [&self.key_id[..], &self.signature].concat();
        let signed = BASE64_STANDARD.encode(signed);
        format!("{}\n— {} {signed}\n", self.checkpoint.body(), self.checkpoint.origin())
    }

    /// What the next checkpoint names.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_text()).into()
    }

    /// The checkpoint that these bytes are, whoever signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::Malformed("it is too long"));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| CheckpointError::Malformed("it is not UTF-8"))?;
        let parsed = Self::read(text)?;
        // One way to write it: no second text has the same content.
        if parsed.to_text() == text {
            return Ok(parsed);
        }
        Err(CheckpointError::Malformed("it is written in another way"))
    }

    fn read(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let mut line = |prefix: &str, what| {
            lines.next().and_then(|line| line.strip_prefix(prefix)).ok_or(what)
        };
        let malformed = CheckpointError::Malformed;
        let (ledger, shard) = line("ducat/", malformed("it names no ledger of Ducat"))?
            .split_once('/')
            .ok_or(malformed("it names no shard"))?;
        let ledger = unhex(ledger).ok_or(malformed("it names no ledger of Ducat"))?;
        let number = |text: &str, what| text.parse::<u64>().map_err(|_| malformed(what));
        let hash = |text: &str, what| unhex::<32>(text).ok_or(malformed(what));
        let shard = shard.parse().map_err(|_| malformed("it names no shard"))?;
        let lsn = number(line("", malformed("it is cut off"))?, "its size is no number")?;
        let root = unbase64(line("", malformed("it is cut off"))?);
        let checkpoint = Checkpoint {
            ledger: LedgerId::from_bytes(ledger),
            shard: ShardId(shard),
            lsn: Lsn(lsn),
            root: root.ok_or(malformed("its root is no hash"))?,
            number: number(line("number ", malformed("its number is missing"))?, "its number")?,
            journal: FrameHash(hash(
                line("journal ", malformed("the journal's hash is missing"))?,
                "the journal's hash is none",
            )?),
            time_ns: number(line("time ", malformed("its time is missing"))?, "its time")?,
            signed_ns: number(line("signed ", malformed("its time is missing"))?, "its time")?,
            previous: match line("previous ", malformed("it names none before it"))? {
                "none" => None,
                text => Some(hash(text, "it names none before it")?),
            },
        };
        if !line("", malformed("it is cut off"))?.is_empty() {
            return Err(malformed("more lines than there are"));
        }
        let (_, signed) = line("— ", malformed("it is not signed"))?
            .split_once(' ')
            .ok_or(malformed("it is not signed"))?;
        let signed: [u8; 68] = unbase64(signed).ok_or(malformed("its signature is none"))?;
        let (key_id, signature) = signed.split_at(4);
        let (Ok(key_id), Ok(signature)) = (key_id.try_into(), signature.try_into()) else {
            return Err(malformed("its signature is none"));
        };
        Ok(Self { checkpoint, key_id, signature })
    }

    /// Whether this key signed it.
    ///
    /// # Errors
    /// [`CheckpointError::OtherKey`] and [`CheckpointError::Signature`].
    pub fn check(&self, key: &CheckKey) -> Result<(), CheckpointError> {
        if self.key_id != key_id(&self.checkpoint.origin(), key) {
            return Err(CheckpointError::OtherKey);
        }
        if !key.checks(self.checkpoint.body().as_bytes(), &self.signature) {
            return Err(CheckpointError::Signature);
        }
        Ok(())
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `2 * N` lower-case hexadecimal digits.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

fn unbase64<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}
