//! The first walk over a history: what is needed to find, for each event of the journal, the
//! request that asked for it and the replies that speak of it.

use crate::history::{BadHistory, Call, History, Told};
use crate::order::Moment;
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::request::Request;
use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// A request under a known id, alone in its group.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    pub request: Request,
    pub told: Told,
    /// An outcome of another id would be told, or it was read and not asked for again.
    pub read: bool,
}

/// Where a request without an answer lies: its call, and its place in it.
pub(crate) type Open = (usize, usize);

/// What the first walk found.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Calls in which something was told as new: the lowest LSN of that, and where it lies; by
    /// LSN.
    pub fresh: Vec<(Lsn, usize)>,
    /// Repeats that were alone in their group, and transfers that were read; by LSN.
    pub again: Vec<Again>,
    /// Linked groups with known ids in them.
    pub groups: Vec<Vec<(Request, Told)>>,
    /// Reads of accounts and totals: their LSN, and where they lie; by LSN.
    pub reads: Vec<(Lsn, usize)>,
    /// Reads of which only the moment counts: where they lie, and which moment it is.
    pub late: Vec<(usize, usize)>,
    /// Calls without an answer, and their moments.
    pub open: Vec<(Vec<Request>, usize)>,
    /// The ids in them.
    pub open_ids: HashMap<TransferId, Vec<Open>, FixedState>,
    /// The originals of refunds.
    pub originals: HashSet<TransferId, FixedState>,
    /// When each call was sent and answered, and which LSNs it brought.
    pub moments: Vec<Moment>,
    pub transfers: u64,
    pub answered: u64,
    pub repeats: u64,
    pub read: u64,
}

/// The ranges of requests that are decided together: a linked group each, mostly of one.
pub(crate) fn groups<'r, T>(
    requests: &'r [T],
    linked: impl Fn(&T) -> bool + 'r,
) -> impl Iterator<Item = Range<usize>> + 'r {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at;
        while at < requests.len() && linked(&requests[at]) {
            at += 1;
        }
        // A group that is left open ends with its call.
        at = requests.len().min(at + 1);
        (begin < at).then_some(begin..at)
    })
}

impl Index {
    /// Walks over all calls.
    pub fn of(history: &History) -> Result<Self, BadHistory> {
        let mut index = Self::default();
        for call in history.iter() {
            let (offset, span, call) = call?;
            let mut moment = Moment::new(span);
            index.take(offset, call, &mut moment);
            index.moments.push(moment);
        }
        index.fresh.sort_unstable();
        index.again.sort_by_key(|again| again.told.lsn);
        index.reads.sort_unstable();
        Ok(index)
    }

    fn take(&mut self, offset: usize, call: Call, moment: &mut Moment) {
        match call {
            Call::Transfers(items) => self.transfers(offset, &items, moment),
            Call::Unanswered(requests) => {
                self.transfers += requests.len() as u64;
                requests.iter().for_each(|request| self.may_be_refund(request));
                for (at, request) in requests.iter().enumerate() {
                    let open = self.open_ids.entry(request.id()).or_default();
                    open.push((self.open.len(), at));
                }
                self.open.push((requests, self.moments.len()));
            }
            Call::Accounts { lsn, seen, unknown } => {
                self.read += (seen.len() + unknown.len()) as u64;
                moment.reads(lsn);
                self.reads.push((lsn, offset));
            }
            Call::Totals { lsn, .. } => {
                self.read += 1;
                moment.reads(lsn);
                self.reads.push((lsn, offset));
            }
            Call::Stored { found, unknown } => {
                self.read += (found.len() + unknown.len()) as u64;
                for (request, told) in found {
                    moment.tells(told.lsn);
                    self.again.push(Again { request, told, read: true });
                }
                if !unknown.is_empty() {
                    self.late.push((offset, self.moments.len()));
                }
            }
            Call::Entries { entries, .. } => {
                self.read += entries.len() as u64;
                entries.iter().for_each(|entry| moment.tells(entry.lsn));
                self.late.push((offset, self.moments.len()));
            }
            Call::Holds { lsn, seen, unknown } => {
                self.read += (seen.len() + unknown.len()) as u64;
                moment.reads(lsn);
                self.reads.push((lsn, offset));
            }
            Call::Opened { lsn, .. } | Call::Changed { lsn, .. } => {
                moment.tells(lsn);
                self.late.push((offset, self.moments.len()));
            }
        }
    }

    fn may_be_refund(&mut self, request: &Request) {
        self.originals.extend(request.refund().map(|refund| refund.of));
    }

    fn transfers(&mut self, offset: usize, items: &[(Request, Told)], moment: &mut Moment) {
        self.transfers += items.len() as u64;
        self.answered += items.len() as u64;
        let mut first: Option<Lsn> = None;
        let mut repeats = 0;
        for (request, told) in items {
            self.may_be_refund(request);
            moment.tells(told.lsn);
            if told.repeat {
                repeats += 1;
            } else {
                moment.decides(told.lsn);
                first = Some(first.map_or(told.lsn, |first| first.min(told.lsn)));
            }
        }
        self.fresh.extend(first.map(|lsn| (lsn, offset)));
        if repeats == 0 {
            return;
        }
        self.repeats += repeats;
        for group in groups(items, |(request, _)| request.linked()) {
            let group = &items[group];
            match group {
                [(request, told)] if told.repeat => {
                    self.again.push(Again {
                        request: request.clone(),
                        told: told.clone(),
                        read: false,
                    });
                }
                [_] => {}
                group if group.iter().any(|(_, told)| told.repeat) => {
                    self.groups.push(group.to_vec());
                }
                _ => {}
            }
        }
    }
}
