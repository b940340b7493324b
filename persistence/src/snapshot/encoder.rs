//! Writes a snapshot, piece by piece, to anything that takes bytes.

use super::Summary;
use super::block::{CONTENT_BYTES_MAX, Kind, Sealer};
use super::format::{self, SnapshotHeader};
use crate::packed::put_stamp;
use crate::vault::SealKey;
use ducat_engine::account::Account;
use ducat_engine::codec::DRIVEN_BYTES_MAX;
use ducat_engine::holds::Hold;
use ducat_engine::profile::DETAILS_BYTES_MAX;
use ducat_engine::snapshot::codec::{
    ACCOUNT_BYTES_MAX, HOLD_BYTES_MAX, REFUND_BYTES_MAX, put_account, put_hold, put_ids,
    put_refunds,
};
use ducat_engine::snapshot::details::put_profiles;
use ducat_engine::snapshot::driven::put_driven;
use ducat_engine::snapshot::{
    DrivenPiece, IdsPiece, PIECE_ACCOUNTS, PIECE_DRIVEN, PIECE_HOLDS, PIECE_IDS, PIECE_PROFILES,
    PIECE_REFUNDS, ProfilesPiece, RefundsPiece, Tally, Unsound,
};
use std::io::{self, Write};
use thiserror::Error;

const _: () = assert!(PIECE_ACCOUNTS * ACCOUNT_BYTES_MAX <= CONTENT_BYTES_MAX);
const _: () = assert!(PIECE_HOLDS * HOLD_BYTES_MAX <= CONTENT_BYTES_MAX);
const _: () = assert!(PIECE_DRIVEN * DRIVEN_BYTES_MAX <= CONTENT_BYTES_MAX);
const _: () = assert!(PIECE_REFUNDS * REFUND_BYTES_MAX <= CONTENT_BYTES_MAX);
// The details, and a slot.
const _: () = assert!(PIECE_PROFILES * (DETAILS_BYTES_MAX + 5) <= CONTENT_BYTES_MAX);
// An id, and at worst a run of its own and a hold that was closed.
const _: () = assert!(PIECE_IDS * (16 + 10 + 5 + 3 + 1) + 12 <= CONTENT_BYTES_MAX);

/// Why a snapshot was not written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The bytes could not be written.
    #[error("could not write")]
    Write(#[from] io::Error),
    /// The state itself is wrong: the ledger must not be trusted any more.
    #[error("the state cannot be")]
    Unsound(#[from] Unsound),
}

/// A snapshot on its way out.
pub struct Encoder<W> {
    out: W,
    header: SnapshotHeader,
    tally: Tally,
    sealer: Sealer,
    hasher: blake3::Hasher,
    bytes: u64,
    content: Vec<u8>,
}

impl<W: Write> Encoder<W> {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn new(out: W, header: SnapshotHeader) -> Result<Self, EncodeError> {
        Self::sealing(out, header, None)
    }

    /// The same, encrypted under a key of its own, if there is one.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn sealing(
        out: W,
        header: SnapshotHeader,
        key: Option<SealKey>,
    ) -> Result<Self, EncodeError> {
        let stamp = key.as_ref().map(SealKey::stamp);
        let tally = Tally::new(header.state.clone())?;
        let mut encoder = Self {
            out,
            tally,
            sealer: Sealer::new(key)?,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            content: Vec::new(),
            header,
        };
        encoder.write(&format::file_header(stamp.is_some()))?;
        if let Some(stamp) = stamp {
            encoder.write(&put_stamp(stamp))?;
        }
        format::put_header(&encoder.header, &mut encoder.content);
        encoder.block(Kind::Head)?;
        Ok(encoder)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes what lies in `content`.
    fn block(&mut self, kind: Kind) -> io::Result<()> {
        let content = std::mem::take(&mut self.content);
        let sealed = self.sealer.seal(kind, &content)?;
        self.hasher.update(sealed);
        self.bytes += sealed.len() as u64;
        self.out.write_all(sealed)?;
        self.content = content;
        self.content.clear();
        Ok(())
    }

    /// The next accounts, in the order of their slots.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn accounts(&mut self, accounts: &[Account]) -> Result<(), EncodeError> {
        self.tally.accounts(accounts)?;
        for accounts in accounts.chunks(PIECE_ACCOUNTS) {
            for account in accounts {
                put_account(account, &mut self.content);
            }
            self.block(Kind::Accounts)?;
        }
        Ok(())
    }

    /// The next open holds, after all accounts.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn holds(&mut self, holds: &[Hold]) -> Result<(), EncodeError> {
        self.tally.holds(holds)?;
        for holds in holds.chunks(PIECE_HOLDS) {
            for hold in holds {
                put_hold(hold, &mut self.content);
            }
            self.block(Kind::Holds)?;
        }
        Ok(())
    }

    /// What is known of the next accounts, after all open holds: [`PIECE_PROFILES`] at most.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn profiles(&mut self, piece: &ProfilesPiece) -> Result<(), EncodeError> {
        self.tally.profiles(piece)?;
        put_profiles(piece, &mut self.content);
        Ok(self.block(Kind::Profiles)?)
    }

    /// The next refunded transfers, after all that is known of accounts: [`PIECE_REFUNDS`] at most.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn refunds(&mut self, piece: &RefundsPiece) -> Result<(), EncodeError> {
        self.tally.refunds(piece)?;
        put_refunds(piece, &mut self.content);
        Ok(self.block(Kind::Refunds)?)
    }

    /// The next schedules or sagas, after all refunded transfers: [`PIECE_DRIVEN`] at most.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn driven(&mut self, piece: &DrivenPiece) -> Result<(), EncodeError> {
        self.tally.driven(piece)?;
        put_driven(piece, &mut self.content);
        Ok(self.block(match piece {
            DrivenPiece::Schedules(_) => Kind::Schedules,
            DrivenPiece::Sagas(_) => Kind::Sagas,
        })?)
    }

    /// The next ids, after everything else.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn ids(&mut self, piece: &IdsPiece) -> Result<(), EncodeError> {
        self.tally.ids(piece)?;
        put_ids(piece, &mut self.content);
        Ok(self.block(Kind::Ids)?)
    }

    /// Ends the snapshot, which must be whole.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn finish(mut self) -> Result<(W, Summary), EncodeError> {
        let end = self.tally.finish()?;
        let (digest, end_at) = (*self.hasher.finalize().as_bytes(), self.bytes);
        format::put_end(&digest, &end, &mut self.content);
        self.block(Kind::End)?;
        self.write(&format::trailer(end_at))?;
        self.out.flush()?;
        let (bytes, blocks) = (self.bytes, self.sealer.count());
        let summary = Summary { header: self.header, end, digest, bytes, blocks };
        Ok((self.out, summary))
    }
}
