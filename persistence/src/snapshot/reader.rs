//! Reads a snapshot, block by block, and believes nothing.
//!
//! [`Reader`] keeps one block in memory and checks all that can be checked with that: every
//! checksum, the order of blocks, the digest of the file, counts, each account's figures, sums,
//! the state hash. What takes more memory, that no id comes twice, is found when a ledger is
//! built.

use super::block::{HEADER_BYTES, Header, Kind, Opener};
use super::format::{self, FILE_HEADER_BYTES, SnapshotHeader, TRAILER_BYTES};
use super::{Fault, SnapshotError, Summary};
use crate::packed::{STAMP_PART_BYTES, take_stamp};
use crate::vault::cipher::DataKey;
use crate::vault::{self, Vault};
use ducat_engine::account::Account;
use ducat_engine::holds::Hold;
use ducat_engine::snapshot::codec::{take_accounts, take_holds, take_ids, take_refunds};
use ducat_engine::snapshot::details::take_profiles;
use ducat_engine::snapshot::driven::{take_sagas, take_schedules};
use ducat_engine::snapshot::{DrivenPiece, End, IdsPiece, ProfilesPiece, RefundsPiece, Tally};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a block lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockPlace {
    pub number: u32,
    pub at: u64,
}

/// A block whose checksum was verified.
pub(super) struct Block {
    pub kind: Kind,
    pub place: BlockPlace,
    pub content: Vec<u8>,
}

pub(super) fn damaged(path: &Path, place: BlockPlace, fault: impl Into<Fault>) -> SnapshotError {
    let source = Box::new(fault.into());
    SnapshotError::Damaged { path: path.to_owned(), block: place.number, at: place.at, source }
}

/// The bytes of a snapshot, one block after the other.
struct Input<R> {
    input: R,
    path: PathBuf,
    opener: Opener,
    hasher: blake3::Hasher,
    /// The block that is being read.
    place: BlockPlace,
    /// Bytes read.
    at: u64,
    stored: Vec<u8>,
}

impl<R: Read> Input<R> {
    fn new(input: R, path: &Path, vault: Option<&Vault>) -> Result<Self, SnapshotError> {
        let opener = |key| Opener::new(key).map_err(SnapshotError::io("prepare to read", path));
        let mut input = Self {
            input,
            path: path.to_owned(),
            opener: opener(None)?,
            hasher: blake3::Hasher::new(),
            place: BlockPlace { number: 0, at: 0 },
            at: 0,
            stored: Vec::new(),
        };
        let mut bytes = [0; FILE_HEADER_BYTES];
        input.read(&mut bytes, "its first bytes")?;
        let checked = format::check_file_header(&bytes);
        input.hasher.update(&bytes);
        if checked.map_err(|fault| input.damaged(fault))? {
            let key = input.key(vault)?;
            input.opener = opener(Some(key))?;
        }
        input.place.at = input.at;
        Ok(input)
    }

    fn damaged(&self, fault: impl Into<Fault>) -> SnapshotError {
        damaged(&self.path, self.place, fault)
    }

    /// The key that the file says it lies under.
    fn key(&mut self, vault: Option<&Vault>) -> Result<Arc<DataKey>, SnapshotError> {
        let mut bytes = [0; STAMP_PART_BYTES];
        self.read(&mut bytes, "what it says of its key")?;
        self.hasher.update(&bytes);
        let stamp = take_stamp(&bytes).ok_or_else(|| self.damaged(Fault::Stamp))?;
        let vault = vault.ok_or_else(|| self.damaged(Fault::Locked))?;
        let key = vault.key(vault::Kind::Snapshot, stamp);
        key.ok_or_else(|| self.damaged(Fault::UnknownKey(stamp.generation)))
    }

    fn read(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), SnapshotError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(Fault::CutOff(what)))
            }
            Err(error) => Err(SnapshotError::io("read", &self.path)(error)),
        }
    }

    /// The next block, which is of one of these kinds.
    fn block(&mut self, expected: &'static [Kind]) -> Result<Block, SnapshotError> {
        let mut bytes = [0; HEADER_BYTES];
        self.read(&mut bytes, "a block's header")?;
        let header = Header::parse(&bytes).map_err(|fault| self.damaged(fault))?;
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(header.stored_bytes as usize, 0);
        self.read(&mut stored, "a block")?;
        let opened = self.opener.open(&header, &bytes, &stored);
        let content = opened.map_err(|fault| self.damaged(fault))?;
        let (place, kind) = (self.place, header.kind);
        if header.number != place.number {
            let (expected, found) = (place.number, header.number);
            return Err(self.damaged(super::BlockFault::Number { expected, found }));
        }
        if !expected.contains(&kind) {
            let expected = expected[0].name();
            return Err(self.damaged(Fault::Order { expected, found: kind.name() }));
        }
        if kind != Kind::End {
            self.hasher.update(&bytes);
            self.hasher.update(&stored);
        }
        self.stored = stored;
        self.place = BlockPlace { number: place.number + 1, at: self.at };
        Ok(Block { kind, place, content })
    }

    /// What follows the last block, which began at `end_at`.
    fn finish(&mut self, end_at: u64) -> Result<(), SnapshotError> {
        let mut bytes = [0; TRAILER_BYTES];
        self.read(&mut bytes, "its last bytes")?;
        if bytes != format::trailer(end_at) {
            return Err(self.damaged(Fault::Trailer));
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged(Fault::Trailing)),
            Err(error) => Err(SnapshotError::io("read", &self.path)(error)),
        }
    }
}

/// Kinds of blocks behind the head, in order; there may be several of a kind, or none.
const ORDER: [Kind; 8] = [
    Kind::Accounts,
    Kind::Holds,
    Kind::Profiles,
    Kind::Refunds,
    Kind::Schedules,
    Kind::Sagas,
    Kind::Ids,
    Kind::End,
];

/// The blocks behind the head, in order.
pub(super) struct Blocks<R> {
    input: Input<R>,
    header: SnapshotHeader,
    /// What may come next.
    expected: &'static [Kind],
    ended: Option<(End, [u8; 32])>,
}

impl<R: Read> Blocks<R> {
    /// Reads the head. `path` is for messages.
    pub(super) fn new(input: R, path: &Path, vault: Option<&Vault>) -> Result<Self, SnapshotError> {
        let mut input = Input::new(input, path, vault)?;
        let head = input.block(&[Kind::Head])?;
        let header = format::take_header(&head.content);
        let header = header.map_err(|fault| damaged(path, head.place, fault))?;
        Ok(Self { input, header, expected: &ORDER, ended: None })
    }

    pub(super) fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Damage in the block read last, or behind it.
    pub(super) fn damaged(&self, fault: impl Into<Fault>) -> SnapshotError {
        self.input.damaged(fault)
    }

    /// The next block of accounts, open holds, what is known of accounts, or ids; `None` once the
    /// end was read and holds the file's
    /// digest.
    pub(super) fn next(&mut self) -> Result<Option<Block>, SnapshotError> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let block = self.input.block(self.expected)?;
        match block.kind {
            Kind::Head => {}
            kind => {
                let at = ORDER.iter().position(|expected| *expected == kind);
                self.expected = &ORDER[at.unwrap_or(0)..];
            }
        }
        if block.kind != Kind::End {
            return Ok(Some(block));
        }
        let fault = |fault| damaged(&self.input.path, block.place, fault);
        let (digest, end) = format::take_end(&block.content).map_err(fault)?;
        if digest != *self.input.hasher.finalize().as_bytes() {
            return Err(fault(Fault::Digest));
        }
        self.input.finish(block.place.at)?;
        self.ended = Some((end, digest));
        Ok(None)
    }

    /// What the end says, once it was read.
    pub(super) fn end(&self) -> Option<&End> {
        self.ended.as_ref().map(|(end, _)| end)
    }

    /// The whole snapshot, once its end was read.
    pub(super) fn summary(self) -> Option<Summary> {
        let (end, digest) = self.ended?;
        let (bytes, blocks) = (self.input.at, self.input.place.number);
        Some(Summary { header: self.header, end, digest, bytes, blocks })
    }
}

/// The schedules or sagas of a block; `None` for one of another kind.
pub(super) fn take_driven(block: &Block) -> Option<Result<DrivenPiece, Fault>> {
    let piece = match block.kind {
        Kind::Schedules => take_schedules(&block.content),
        Kind::Sagas => take_sagas(&block.content),
        _ => return None,
    };
    Some(piece.map_err(Fault::from))
}

/// A verified part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Accounts, in the order of their slots.
    Accounts(Vec<Account>),
    /// Open holds.
    Holds(Vec<Hold>),
    /// What is known of accounts beside their money, in the order of their slots.
    Profiles(ProfilesPiece),
    /// Refunded transfers, in the order of their events.
    Refunds(RefundsPiece),
    /// Schedules or sagas, in the order of their ids.
    Driven(DrivenPiece),
    /// Ids, in the order of their events.
    Ids(IdsPiece),
}

/// A snapshot on its way in.
pub struct Reader<R> {
    blocks: Blocks<R>,
    tally: Tally,
}

impl<R: Read> Reader<R> {
    /// Reads the head. `path` is for messages.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn new(input: R, path: &Path) -> Result<Self, SnapshotError> {
        Self::opening(input, path, None)
    }

    /// The same with the ledger's keys, which an encrypted snapshot wants.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn opening(input: R, path: &Path, vault: Option<&Vault>) -> Result<Self, SnapshotError> {
        let blocks = Blocks::new(input, path, vault)?;
        let head = BlockPlace { number: 0, at: FILE_HEADER_BYTES as u64 };
        let tally = Tally::new(blocks.header().state.clone());
        let tally = tally.map_err(|unsound| damaged(path, head, unsound))?;
        Ok(Self { blocks, tally })
    }

    /// Where the snapshot stands.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        self.blocks.header()
    }

    /// The next part; `None` at the end, when all that was read adds up.
    ///
    /// # Errors
    /// [`SnapshotError`]; reading on makes no sense then.
    pub fn part(&mut self) -> Result<Option<Part>, SnapshotError> {
        let Some(block) = self.blocks.next()? else {
            if let Some(end) = self.blocks.end() {
                let checked = self.tally.check(end);
                checked.map_err(|unsound| self.blocks.damaged(unsound))?;
            }
            return Ok(None);
        };
        self.decode(&block)
            .map(Some)
            .map_err(|fault| damaged(&self.blocks.input.path, block.place, fault))
    }

    fn decode(&mut self, block: &Block) -> Result<Part, Fault> {
        if block.kind == Kind::Accounts {
            let accounts = take_accounts(&block.content, self.tally.next_slot())?;
            self.tally.accounts(&accounts)?;
            return Ok(Part::Accounts(accounts));
        }
        if block.kind == Kind::Holds {
            let holds = take_holds(&block.content, |slot| self.tally.currency(slot))?;
            self.tally.holds(&holds)?;
            return Ok(Part::Holds(holds));
        }
        if block.kind == Kind::Profiles {
            let piece = take_profiles(&block.content)?;
            self.tally.profiles(&piece)?;
            return Ok(Part::Profiles(piece));
        }
        if block.kind == Kind::Refunds {
            let piece = take_refunds(&block.content)?;
            self.tally.refunds(&piece)?;
            return Ok(Part::Refunds(piece));
        }
        if let Some(piece) = take_driven(block) {
            let piece = piece?;
            self.tally.driven(&piece)?;
            return Ok(Part::Driven(piece));
        }
        let piece = take_ids(&block.content)?;
        self.tally.ids(&piece)?;
        Ok(Part::Ids(piece))
    }

    /// Reads to the end, checking everything.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn verify(mut self) -> Result<Summary, SnapshotError> {
        while self.part()?.is_some() {}
        Ok(self.blocks.summary().expect("the last part was followed by the end"))
    }
}
