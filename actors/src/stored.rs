//! Reading events back from the journal: for repeats, for transfers by id, for statements.

use crate::handle::RequestError;
use ducat_engine::codec::{DecodeError, decode_all};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::record::Record;
use ducat_persistence::{Frame, Journal, JournalError, with_causes};
use thiserror::Error;

/// An event and when it was decided.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub time_ns: u64,
    pub record: Record,
}

/// Why an event cannot be read back.
#[derive(Debug, Error)]
pub enum StoredError {
    /// The journal refused.
    #[error("could not read event {lsn} back")]
    Journal {
        /// The event.
        lsn: Lsn,
        /// What the journal said.
        source: Box<JournalError>,
    },
    /// The journal does not hold it.
    #[error("event {0} is not in the journal")]
    Missing(Lsn),
    /// Its frame holds something else.
    #[error("the frame that holds event {lsn} cannot be decoded")]
    Decode {
        /// The event.
        lsn: Lsn,
        /// What the decoder met.
        source: DecodeError,
    },
}

impl StoredError {
    /// The journal refused while this event was read.
    pub(crate) fn journal(lsn: Lsn, source: JournalError) -> Self {
        Self::Journal { lsn, source: Box::new(source) }
    }

    /// Whether the event is gone: trimmed, and in no archive.
    pub(crate) fn is_trimmed(&self) -> bool {
        matches!(self, Self::Journal { source, .. } if matches!(**source, JournalError::Trimmed { .. }))
    }

    /// As those who asked are told. What should be there and cannot be read is logged.
    pub(crate) fn into_request(self) -> RequestError {
        if let Self::Journal { source, .. } = &self
            && let JournalError::Trimmed { wanted, first, .. } = **source
        {
            return RequestError::Trimmed { wanted, first };
        }
        tracing::error!(error = with_causes(&self), "the journal could not be read back");
        RequestError::ReadFailed(with_causes(&self))
    }
}

/// Reads events; neighbours come from the frame read last.
pub(crate) struct StoredReader<'j> {
    journal: &'j dyn Journal,
    shard: ShardId,
    frame: Option<(Frame, Vec<Record>)>,
}

impl<'j> StoredReader<'j> {
    pub fn new(journal: &'j dyn Journal, shard: ShardId) -> Self {
        Self { journal, shard, frame: None }
    }

    /// The event at `lsn`, which must be durable.
    pub fn event(&mut self, lsn: Lsn) -> Result<StoredEvent, StoredError> {
        let holds = |frame: &Frame| frame.first_lsn() <= lsn && lsn <= frame.last_lsn();
        if !self.frame.as_ref().is_some_and(|(frame, _)| holds(frame)) {
            self.frame = Some(self.load(lsn)?);
        }
        let (frame, records) = self.frame.as_ref().ok_or(StoredError::Missing(lsn))?;
        let at = usize::try_from(lsn.0 - frame.first_lsn().0).unwrap_or(usize::MAX);
        let record = records.get(at).ok_or(StoredError::Missing(lsn))?.clone();
        Ok(StoredEvent { time_ns: frame.header().time_ns, record })
    }

    fn load(&self, lsn: Lsn) -> Result<(Frame, Vec<Record>), StoredError> {
        let frame = self
            .journal
            .frame_at(self.shard, lsn)
            .map_err(|source| StoredError::journal(lsn, source))?
            .ok_or_else(|| self.absent(lsn))?;
        let records = decode_all(frame.payload())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| StoredError::Decode { lsn, source })?;
        Ok((frame, records))
    }

    /// Why an event is not there: it was trimmed, or it should be.
    pub fn absent(&self, lsn: Lsn) -> StoredError {
        match self.journal.base(self.shard) {
            Ok(base) if lsn <= base.lsn => {
                let (shard, first) = (self.shard, base.lsn.next());
                StoredError::journal(lsn, JournalError::Trimmed { shard, wanted: lsn, first })
            }
            _ => StoredError::Missing(lsn),
        }
    }
}
