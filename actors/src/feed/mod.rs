//! The event feed: decided events in the order of their LSNs, from any place on, for as long as
//! somebody reads.
//!
//! ```text
//! Feed::next ─▶ wait until something is durable ─▶ background thread: frames ▸ decode ▸ filter
//!      ▲                                                                      │ records
//!      └────────────── FeedBatch ◀── ids for slots (kept, else one read) ◀────┘
//! ```
//!
//! It pulls: a reader asks, and only then the next part of the journal is read, the archived part
//! as well. So a feed holds one batch and a place in the journal, however slow its reader is, and
//! nothing is ever dropped for it. What is not durable is not seen. The head is followed by the
//! same signal that lets outcomes go ([decision 19](../../../docs/adr/0019-event-feed.md)).

mod event;
mod filter;
mod taking;
mod transfer_kinds;
mod watching;

pub use event::{FeedEvent, Trigger, What};
pub use filter::FeedFilter;
pub(crate) use taking::Seen;
pub(crate) use transfer_kinds::transfer_kind;
pub use watching::Fired;
pub(crate) use watching::Watched;

use crate::admission::Shared;
use crate::handle::{Handle, RequestError};
use crate::stored::StoredError;
use ducat_engine::ids::Lsn;
use ducat_engine::repeat::Named;
use ducat_persistence::FrameReader;
use filter::Filter;
use std::sync::Arc;
use std::time::Duration;
use taking::{Take, Taken};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use watching::Watching;

/// What of the journal is wanted, and from where on.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The first event wanted: 1 for the first there is, [`Lsn::ZERO`] for those decided from now
    /// on.
    pub from: Lsn,
    /// Which events are wanted.
    pub filter: FeedFilter,
    /// How long a feed without events keeps silent before it tells its place all the same. At
    /// least 1 ms. Default 5 s.
    pub heartbeat: Duration,
}

impl Default for Subscription {
    fn default() -> Self {
        Self { from: Lsn(1), filter: FeedFilter::default(), heartbeat: Duration::from_secs(5) }
    }
}

/// Some events, and the place behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBatch {
    /// In the order of their LSNs; may be empty.
    pub events: Vec<FeedEvent>,
    /// Everything before it was given, or is not wanted. A reader that has dealt with the batch
    /// keeps this, and goes on from here after whatever happens.
    pub next_lsn: Lsn,
    /// The last durable event when the batch was made.
    pub durable_lsn: Lsn,
}

impl FeedBatch {
    /// Whether nothing durable was left when it was made.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.next_lsn > self.durable_lsn
    }
}

/// A reader's place in the journal. Dropping it gives its place among the feeds back.
pub struct Feed {
    handle: Handle,
    shared: Arc<Shared>,
    filter: Arc<Filter>,
    heartbeat: Duration,
    next: Lsn,
    /// Reads on where the last batch ended; none when it must be looked for.
    reader: Option<FrameReader>,
    /// What it keeps for watches.
    watching: Watching,
    /// The reader has been told that it caught up, and was not behind since.
    told: bool,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// As [`Handle::subscribe`].
    pub(crate) async fn open(
        handle: Handle,
        shared: Arc<Shared>,
        subscription: Subscription,
    ) -> Result<Self, RequestError> {
        let limit = shared.options.subscribers_max;
        let place =
            Arc::clone(&shared.feeds).try_acquire_owned().map_err(|refused| match refused {
                tokio::sync::TryAcquireError::NoPermits => RequestError::SubscribersFull { limit },
                tokio::sync::TryAcquireError::Closed => {
                    shared.stopped(&"it takes no more requests")
                }
            })?;
        let durable = *shared.durable.borrow();
        let next = if subscription.from == Lsn::ZERO { durable.next() } else { subscription.from };
        if next > durable.next() {
            return Err(RequestError::NotReached { asked: next, last: durable });
        }
        let filter = Arc::new(Filter::new(&subscription.filter));
        let heartbeat = subscription.heartbeat.max(Duration::from_millis(1));
        let (reader, told, watching) = (None, false, Watching::default());
        let mut feed =
            Self { handle, shared, filter, heartbeat, next, reader, watching, told, _place: place };
        feed.find_awaited().await?;
        Ok(feed)
    }

    /// The next events, as soon as there are some; without any, at most for the subscription's
    /// heartbeat, and at once when it has caught up. Not safe to cancel: a feed whose call was
    /// dropped is to be dropped too, and opened again at the place that was kept.
    ///
    /// # Errors
    /// [`RequestError::Trimmed`] when the journal no longer holds what comes next,
    /// [`RequestError::ReadFailed`], [`RequestError::Stopped`].
    pub async fn next(&mut self) -> Result<FeedBatch, RequestError> {
        let silent_until = Instant::now() + self.heartbeat;
        loop {
            let durable = *self.shared.durable.borrow();
            if self.next > durable {
                if !self.told {
                    return Ok(self.batch(Vec::new(), durable));
                }
                let shared = Arc::clone(&self.shared);
                let waited =
                    tokio::time::timeout_at(silent_until, shared.wait_durable(self.next)).await;
                match waited {
                    Ok(durable) => durable?,
                    Err(_elapsed) => return Ok(self.batch(Vec::new(), durable)),
                }
                continue;
            }
            let events = self.take(durable).await?;
            if !events.is_empty() || Instant::now() >= silent_until {
                return Ok(self.batch(events, durable));
            }
        }
    }

    fn batch(&mut self, events: Vec<FeedEvent>, durable_lsn: Lsn) -> FeedBatch {
        let batch = FeedBatch { events, next_lsn: self.next, durable_lsn };
        self.told = batch.is_caught_up();
        batch
    }

    /// Reads on, up to `upto` or a batch's worth.
    async fn take(&mut self, upto: Lsn) -> Result<Vec<FeedEvent>, RequestError> {
        let take = Take {
            shared: Arc::clone(&self.shared),
            filter: Arc::clone(&self.filter),
            reader: self.reader.take(),
            watching: std::mem::take(&mut self.watching),
            next: self.next,
            upto,
        };
        let taken = self.shared.background.run(move || take.run()).await;
        let taken = taken.map_err(|undone| RequestError::ReadFailed(undone.to_string()))?;
        let Taken { records, next, reader, watching, awaited } =
            taken.map_err(StoredError::into_request)?;
        (self.next, self.reader, self.watching) = (next, reader, watching);
        if awaited {
            self.find_awaited().await?;
        }
        let events = named(&self.handle, &self.shared, &records).await?;
        let kinds = self.filter.transfer_kinds;
        if !kinds.narrows() {
            return Ok(events);
        }
        let known = self.shared.names.known();
        let events = records.iter().zip(events);
        let wanted = events.filter(|(seen, _)| kinds.takes(&seen.record, &known));
        Ok(wanted.map(|(_, event)| event).collect())
    }

    /// Looks up the accounts that are wanted and were not there yet.
    async fn find_awaited(&mut self) -> Result<(), RequestError> {
        let ids = self.filter.awaited();
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.handle.described(ids.clone()).await?;
        let found = ids.iter().zip(found.what);
        let found = found.filter_map(|(id, placed)| Some((*id, placed?.slot)));
        self.filter = Arc::new(self.filter.with(found));
        Ok(())
    }
}

/// The events, with ids in the places of slots.
pub(crate) async fn named(
    handle: &Handle,
    shared: &Shared,
    records: &[Seen],
) -> Result<Vec<FeedEvent>, RequestError> {
    let parties = records.iter().flat_map(|seen| seen.record.parties());
    let slots = parties.flatten().filter_map(|party| match party {
        Named::Slot(slot) => Some(slot),
        Named::Id(_) => None,
    });
    shared.names.learn(handle, slots.collect()).await?;
    let known = shared.names.known();
    let event = |seen: &Seen| {
        let lsn = seen.lsn;
        event::named(seen, &known).ok_or_else(|| {
            RequestError::ReadFailed(format!("event {lsn} names an account that is not there"))
        })
    };
    records.iter().map(event).collect()
}
