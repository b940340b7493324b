//! The second walk over a history, in step with the journal: which request was told that it is
//! the event at an LSN.

use crate::history::{BadHistory, Call, History, Told};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::request::Request;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;
use std::rc::Rc;

/// A call's transfers with their answers.
pub(crate) type Items = Rc<Vec<(Request, Told)>>;

/// Calls whose new transfers the journal has not come to the end of.
pub(crate) struct Calls<'h> {
    history: &'h History,
    /// By the lowest LSN in it; those to come.
    todo: std::vec::IntoIter<(Lsn, usize)>,
    next: Option<(Lsn, usize)>,
    busy: Vec<Busy>,
    free: Vec<usize>,
    /// The next LSN of each busy call.
    heap: BinaryHeap<Reverse<(Lsn, usize)>>,
}

#[derive(Default)]
struct Busy {
    items: Items,
    /// Those told as new, by LSN.
    fresh: Vec<(Lsn, u32)>,
    at: usize,
}

/// What the calls say of an event.
#[derive(Default)]
pub(crate) struct Claims {
    /// The one that it belongs to: the call, and its place in it.
    pub creator: Option<(Items, usize)>,
    /// Others that were told to be new with this very event.
    pub doubles: u64,
    /// Those that were told so of this event or of one before, wrongly.
    pub orphans: Vec<(Request, Told)>,
}

impl<'h> Calls<'h> {
    pub fn new(history: &'h History, fresh: Vec<(Lsn, usize)>) -> Self {
        let mut todo = fresh.into_iter();
        let next = todo.next();
        let (busy, free, heap) = (Vec::new(), Vec::new(), BinaryHeap::new());
        Self { history, todo, next, busy, free, heap }
    }

    /// Who was told to be the event at `lsn`, which decided `id`, if it is a transfer.
    pub fn claims(&mut self, lsn: Lsn, id: Option<TransferId>) -> Result<Claims, BadHistory> {
        while let Some((_, offset)) = self.next.filter(|(first, _)| *first <= lsn) {
            self.load(offset)?;
            self.next = self.todo.next();
        }
        let mut claims = Claims::default();
        while let Some(top) = self.heap.peek_mut() {
            let Reverse((told_lsn, at)) = *top;
            if told_lsn > lsn {
                break;
            }
            let busy = &mut self.busy[at];
            let item = busy.fresh[busy.at].1 as usize;
            let items = Rc::clone(&busy.items);
            busy.at += 1;
            if let Some((next, _)) = busy.fresh.get(busy.at) {
                let mut top = top;
                top.0.0 = *next;
            } else {
                PeekMut::pop(top);
                *busy = Busy::default();
                self.free.push(at);
            }
            let (request, told) = &items[item];
            match claims.creator {
                None if told_lsn == lsn && Some(told.id) == id && request.id() == told.id => {
                    claims.creator = Some((items, item));
                }
                Some(_) if told_lsn == lsn && Some(told.id) == id => claims.doubles += 1,
                _ => claims.orphans.push((request.clone(), told.clone())),
            }
        }
        Ok(claims)
    }

    fn load(&mut self, offset: usize) -> Result<(), BadHistory> {
        let (_, Call::Transfers(items)) = self.history.at(offset)? else {
            return Err(BadHistory::Call(offset));
        };
        let places = (0u32..).zip(&items);
        let mut fresh: Vec<(Lsn, u32)> = places
            .filter(|(_, (_, told))| !told.repeat)
            .map(|(at, (_, told))| (told.lsn, at))
            .collect();
        fresh.sort_unstable();
        let at = self.free.pop().unwrap_or_else(|| {
            self.busy.push(Busy::default());
            self.busy.len() - 1
        });
        self.heap.push(Reverse((fresh[0].0, at)));
        self.busy[at] = Busy { items: Rc::new(items), fresh, at: 0 };
        Ok(())
    }

    /// What was told of events beyond the journal's end.
    pub fn rest(&mut self) -> Result<Vec<(Request, Told)>, BadHistory> {
        Ok(self.claims(Lsn(u64::MAX), None)?.orphans)
    }
}

/// The linked group around one member of a call.
pub(crate) fn group_of<T>(items: &[T], member: usize, linked: impl Fn(&T) -> bool) -> Range<usize> {
    let mut begin = member;
    while begin > 0 && linked(&items[begin - 1]) {
        begin -= 1;
    }
    let mut end = member;
    while end + 1 < items.len() && linked(&items[end]) {
        end += 1;
    }
    begin..end + 1
}
