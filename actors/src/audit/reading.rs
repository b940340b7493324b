//! Reading the audit trail back, a page at a time, from the durable journal and its archive.
//!
//! There is no index: pages are read along the journal from a moment on, on a thread of low priority, and
//! each looks at a bounded number of events. A batch's event lies right behind what the batch did, so which
//! accounts and transfers it was about is known when it comes by.

use crate::admission::Shared;
use crate::handle::{Handle, RequestError};
use crate::history::last_decided_at;
use crate::stored::StoredError;
use ducat_engine::audit::{AuditEvent, AuditKind, AuditOutcome, Severity};
use ducat_engine::codec::decode_all;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::record::Record;
use ducat_engine::repeat::Named;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most events on a page.
pub const AUDIT_PAGE_MAX: usize = 1_000;

/// Events looked at in one go on the shared threads.
const LOOKED_AT_MAX: u64 = 65_536;

/// Events looked at for one page, after which it ends even where it is not full.
const PAGE_LOOKS_MAX: u64 = 4 * 1024 * 1024;

/// Events that touched what is asked for and that no audit event has told of: at most as many as the
/// largest batch may have, and some.
const TOUCHED_MAX: usize = 65_536;

/// What an access was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entity {
    /// An account: every access that made an event of it, or named it.
    Account(AccountId),
    /// The request under this id: a transfer, or an operation on a hold.
    Transfer(TransferId),
    /// Something else, as the event writes it.
    Text(String),
}

impl Entity {
    /// As an event names it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Account(id) => format!("account {id}"),
            Self::Transfer(id) => format!("transfer {id}"),
            Self::Text(text) => text.clone(),
        }
    }

    /// Whether an event that says this of what it is about names it: `account 7`, and of an account a part
    /// of it too, `account 7 field card`.
    fn is_named(&self, said: &str) -> bool {
        let rest = said.strip_prefix(self.text().as_str());
        rest.is_some_and(|rest| {
            rest.is_empty() || (matches!(self, Self::Account(_)) && rest.starts_with(' '))
        })
    }
}

/// Which audit events are wanted. What is empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Decided then or later, nanoseconds since 1970.
    pub from_ns: u64,
    /// Decided before then; always where it is `None`.
    pub until_ns: Option<u64>,
    /// Of this principal.
    pub principal: Option<String>,
    /// From this address.
    pub address: Option<String>,
    /// About this.
    pub entity: Option<Entity>,
    /// Of one of these kinds.
    pub kinds: Vec<AuditKind>,
    /// Of this severity or a higher one.
    pub severity: Option<Severity>,
    /// With this outcome.
    pub outcome: Option<AuditOutcome>,
    /// To this method.
    pub method: Option<String>,
}

/// An audit event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Its place.
    pub lsn: Lsn,
    /// When it was journalled, nanoseconds since 1970.
    pub time_ns: u64,
    /// What it tells.
    pub event: Box<AuditEvent>,
}

/// A page that is asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Which events.
    pub filter: AuditFilter,
    /// From this event on, where the page before has ended; from the filter's time on without.
    pub from: Option<Lsn>,
    /// At most so many, capped at [`AUDIT_PAGE_MAX`].
    pub limit: usize,
}

/// A page, in the order of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The events; fewer than asked for where much had to be looked at.
    pub events: Vec<Audited>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Lsn>,
    /// As of this event.
    pub lsn: Lsn,
}

/// Looks at every event in order, and says which are wanted.
#[derive(Debug, Clone)]
pub struct Matcher {
    filter: AuditFilter,
    slot: Option<Slot>,
    touched: VecDeque<Lsn>,
}

impl Matcher {
    /// With the slot of the account that is asked for, if it is known.
    #[must_use]
    pub fn new(filter: AuditFilter, slot: Option<Slot>) -> Self {
        Self { filter, slot, touched: VecDeque::new() }
    }

    /// The account that is asked for, while its slot is not known.
    #[must_use]
    pub fn awaited(&self) -> Option<AccountId> {
        match self.filter.entity {
            Some(Entity::Account(id)) if self.slot.is_none() => Some(id),
            _ => None,
        }
    }

    /// The slot of the account that is asked for.
    pub fn learn(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// The audit event, if the record is one that is wanted.
    pub fn look<'r>(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        record: &'r Record,
    ) -> Option<&'r AuditEvent> {
        let Record::Audit(event) = record else {
            if self.touches(record) {
                if self.touched.len() == TOUCHED_MAX {
                    self.touched.pop_front();
                }
                // Of a fee its transfer's event is what was made: legs are in no run.
                let made = match record {
                    Record::FeeLeg(leg) => leg.transfer_lsn(lsn).unwrap_or(lsn),
                    _ => lsn,
                };
                self.touched.push_back(made);
            }
            return None;
        };
        (self.takes(time_ns, event) && self.is_about(event)).then_some(event)
    }

    /// Whether what other events did decides which events are wanted.
    const fn follows_events(&self) -> bool {
        matches!(self.filter.entity, Some(Entity::Account(_) | Entity::Transfer(_)))
    }

    fn touches(&self, record: &Record) -> bool {
        match &self.filter.entity {
            None | Some(Entity::Text(_)) => false,
            Some(Entity::Transfer(id)) => record.transfer_id() == Some(*id),
            Some(Entity::Account(id)) => {
                record.parties().into_iter().flatten().any(|party| match party {
                    Named::Slot(slot) => self.slot == Some(slot),
                    Named::Id(named) => named == *id,
                })
            }
        }
    }

    fn takes(&self, time_ns: u64, event: &AuditEvent) -> bool {
        let filter = &self.filter;
        let is =
            |asked: &Option<String>, text: &str| asked.as_ref().is_none_or(|asked| asked == text);
        time_ns >= filter.from_ns
            && filter.until_ns.is_none_or(|until| time_ns < until)
            && is(&filter.principal, &event.principal)
            && is(&filter.address, &event.address)
            && is(&filter.method, &event.method)
            && (filter.kinds.is_empty() || filter.kinds.contains(&event.kind))
            && filter.severity.is_none_or(|least| event.severity >= least)
            && filter.outcome.is_none_or(|outcome| event.outcome == outcome)
    }

    fn is_about(&self, event: &AuditEvent) -> bool {
        let Some(entity) = &self.filter.entity else { return true };
        entity.is_named(&event.entity) || self.touched.iter().any(|lsn| event.made(*lsn))
    }
}

impl Handle {
    /// A page of the audit trail, as far as it is durable.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::Trimmed`] for a place that is in no archive any more.
    pub async fn audit_page(&self, query: AuditQuery) -> Result<AuditPage, RequestError> {
        let slot = match query.filter.entity {
            Some(Entity::Account(id)) => {
                let found = self.described(vec![id]).await?;
                found.what.into_iter().flatten().next().map(|described| described.slot)
            }
            _ => None,
        };
        let upto = *self.shared().durable.borrow();
        let mut reading = Reading {
            shared: Arc::clone(self.shared()),
            next: query.from,
            from: query.from.unwrap_or(Lsn::ZERO),
            begun: false,
            upto,
            limit: query.limit.clamp(1, AUDIT_PAGE_MAX),
            until_ns: query.filter.until_ns,
            from_ns: query.filter.from_ns,
            matcher: Matcher::new(query.filter, slot),
            events: Vec::new(),
            looked_at: 0,
        };
        loop {
            let undone =
                |error: crate::background::Undone| RequestError::ReadFailed(error.to_string());
            let read = self.shared().background.run(move || reading.run());
            let (more, done) = read.await.map_err(undone)?.map_err(StoredError::into_request)?;
            if done {
                let next = more.next.filter(|next| *next <= upto);
                return Ok(AuditPage { events: more.events, next, lsn: upto });
            }
            reading = more;
        }
    }
}

/// A page that is being read.
struct Reading {
    shared: Arc<Shared>,
    next: Option<Lsn>,
    /// The first event that may be on the page.
    from: Lsn,
    /// Whether something was read.
    begun: bool,
    upto: Lsn,
    limit: usize,
    from_ns: u64,
    until_ns: Option<u64>,
    matcher: Matcher,
    events: Vec<Audited>,
    looked_at: u64,
}

impl Reading {
    /// Where to begin: behind the last event decided before the filter's time, or with the first there is.
    fn begin(&self) -> Result<Lsn, StoredError> {
        let (journal, shard) = (&*self.shared.journal, self.shared.shard);
        let base = journal.base(shard).map_err(|source| StoredError::journal(self.upto, source))?;
        if self.from_ns == 0 {
            return Ok(base.lsn.next());
        }
        match last_decided_at(journal, shard, self.from_ns - 1, self.upto) {
            Ok(last) => Ok(last.next()),
            // All that is left is younger.
            Err(error) if error.is_trimmed() => Ok(base.lsn.next()),
            Err(error) => Err(error),
        }
    }

    /// Where to begin so that whatever the events of this page may tell of is looked at: an event stands
    /// behind the batch that it tells of, in the same append.
    fn behind(&self, next: Lsn) -> Result<Lsn, StoredError> {
        if !self.matcher.follows_events() {
            return Ok(next);
        }
        let (journal, shard) = (&*self.shared.journal, self.shared.shard);
        let base = journal.base(shard).map_err(|source| StoredError::journal(self.upto, source))?;
        let earlier = Lsn(next.0.saturating_sub(TOUCHED_MAX as u64));
        Ok(earlier.max(base.lsn.next()).min(next))
    }

    /// Looks at a bounded number of events. `true` when the page is made.
    fn run(mut self) -> Result<(Self, bool), StoredError> {
        let mut next = match self.next {
            Some(next) if !self.begun => self.behind(next)?,
            Some(next) => next,
            None => self.begin()?,
        };
        self.begun = true;
        let began = next;
        let shared = Arc::clone(&self.shared);
        let mut frames = None;
        while next <= self.upto && next.0 - began.0 < LOOKED_AT_MAX {
            let frames = match &mut frames {
                Some(frames) => frames,
                none => none.insert(
                    shared
                        .journal
                        .read(shared.shard, next)
                        .map_err(|e| StoredError::journal(next, e))?,
                ),
            };
            let frame = frames.next().ok_or(StoredError::Missing(next))?;
            let frame = frame.map_err(|source| StoredError::journal(next, source))?;
            let time_ns = frame.header().time_ns;
            if self.until_ns.is_some_and(|until| time_ns >= until) {
                self.next = None;
                return Ok((self, true));
            }
            let mut lsn = frame.first_lsn();
            for record in decode_all(frame.payload()) {
                let record = record.map_err(|source| StoredError::Decode { lsn, source })?;
                // What lies before this page's beginning is looked at too: an event may tell of it.
                let found = self.matcher.look(lsn, time_ns, &record);
                if lsn >= next.max(self.from)
                    && let Some(event) = found
                {
                    let event = Box::new(event.clone());
                    self.events.push(Audited { lsn, time_ns, event });
                    if self.events.len() == self.limit {
                        self.next = Some(lsn.next());
                        return Ok((self, true));
                    }
                }
                lsn = lsn.next();
            }
            next = next.max(lsn);
        }
        self.looked_at += next.0 - began.0;
        self.next = Some(next);
        let done = next > self.upto || self.looked_at >= PAGE_LOOKS_MAX;
        Ok((self, done))
    }
}
