//! The events of requests with notes, and of transfers whose kind does not follow from their
//! accounts: what happened is a record of the plain kind (or one with its terms); around it stands
//! what the user said.

use super::{Operation, Record};
use crate::fees::FeeNote;
use crate::money::AMOUNT_MAX;
use crate::note::Note;
use crate::rejection::Rejection;
use crate::transfer::TransferKind;
use serde::{Deserialize, Serialize};

/// An event of a request with a note, or of a kind that its accounts do not tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotedRecord {
    /// What a posted transfer, a hold or its capture is for, where that does not follow from its
    /// accounts. A refused one says so itself.
    pub kind: Option<TransferKind>,
    /// What was said; empty where nothing was.
    pub note: Note,
    /// What is told of its fee, where one was due: it was taken, or nothing happened for want of it.
    pub fee: Option<FeeNote>,
    /// The event's leaf in the tree of statements covers the note. Not so of events written by
    /// versions that kept notes out of it, whose leaves stay what they were; nor without a note.
    pub covered: bool,
    /// What happened; never with a note of its own.
    pub record: Record,
}

impl NotedRecord {
    /// Whether it is one that is written: it says something, and nothing that the record inside
    /// says or contradicts.
    pub(crate) fn is_sound(&self) -> bool {
        let posted = matches!(self.record.plain(), Record::Posted(_) | Record::PostedLinked(_));
        let moved =
            posted || matches!(self.record.plain(), Record::Captured(_) | Record::Refunded(_));
        let about = moved
            || matches!(
                self.record.plain(),
                Record::Refused(_)
                    | Record::RefusedLinked(_)
                    | Record::Held(_)
                    | Record::HoldRefused(_)
                    | Record::RefundRefused(_)
            );
        let may = self.record.plain().can_have_kind();
        let kind = self.kind.is_none_or(|kind| may && !kind.follows_from_accounts());
        let says = self.kind.is_some() || !self.note.is_empty() || self.fee.is_some();
        let of_fee = self.record.rejection() == Some(Rejection::FeeRefused);
        let fee = match &self.fee {
            None => !of_fee,
            Some(fee) => {
                (1..=AMOUNT_MAX).contains(&fee.amount)
                    && (moved || of_fee)
                    && fee.refused.is_some() == of_fee
            }
        };
        let covered = !self.covered || !self.note.is_empty();
        about && kind && says && fee && covered && self.note.check().is_ok()
    }
}

/// Never written by itself: the codec writes what stands around a record, then the record.
impl Serialize for NotedRecord {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a noted record is written by the codec"))
    }
}

impl<'de> Deserialize<'de> for NotedRecord {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a noted record is read by the codec"))
    }
}

impl Record {
    /// What happened, apart from what was said about it: with its terms.
    #[must_use]
    pub fn unnoted(&self) -> &Self {
        match self {
            Self::Noted(noted) => &noted.record,
            other => other,
        }
    }

    /// What was said about it; `None` where nothing was.
    #[must_use]
    pub fn note(&self) -> Option<&Note> {
        match self {
            Self::Noted(noted) => Some(&noted.note).filter(|note| !note.is_empty()),
            _ => None,
        }
    }

    /// What was said about it, as far as the event's leaf covers it.
    #[must_use]
    pub fn covered_note(&self) -> Option<&Note> {
        match self {
            Self::Noted(noted) if noted.covered => Some(&noted.note),
            _ => None,
        }
    }

    /// What a posting is for, as statements tell it, where that does not follow from its accounts.
    #[must_use]
    pub fn entry_kind(&self) -> Option<TransferKind> {
        match self.plain() {
            Self::Refunded(_) => Some(TransferKind::Refund),
            Self::FeeLeg(_) => Some(TransferKind::Fee),
            _ => self.noted_kind(),
        }
    }

    /// Whether a kind can stand around it: around what was posted, held or captured, and around a
    /// refused capture, whose hold said it.
    pub(crate) fn can_have_kind(&self) -> bool {
        match self {
            Self::Posted(_) | Self::PostedLinked(_) | Self::Held(_) | Self::Captured(_) => true,
            Self::HoldRefused(refused) => matches!(refused.asked, Operation::Capture { .. }),
            _ => false,
        }
    }

    /// What a posted transfer, a hold or its capture is for, where that does not follow from its
    /// accounts.
    #[must_use]
    pub fn noted_kind(&self) -> Option<TransferKind> {
        match self {
            Self::Noted(noted) => noted.kind,
            _ => None,
        }
    }
}
