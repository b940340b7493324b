//! Open holds: which there are, how much of each remains, and which expires next.
//!
//! The coordinator owns them. What it judges about a hold is exact as of the last concluded
//! batch; [`Holds::follow`] takes each decided event in, when running live and when replaying
//! alike.
//!
//! ```text
//! id ─▶ index ─▶ slab: Hold        queue: (expiry, id) in order ─▶ what is due, without a scan
//! ```
//!
//! A closed hold costs nothing here: how it ended is noted beside its id, as long as that is
//! remembered ([`crate::known`]).

mod export;
mod index;

pub(crate) use export::Export;
pub use export::PIECE_HOLDS;

use crate::ids::{Lsn, Slot, TransferId};
use crate::money::CurrencyId;
use crate::rejection::Rejection;
use crate::request::NEVER_NS;
use crate::transfer::TransferKind;
use index::Index;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Holds that are allocated together.
const CHUNK: usize = 4_096;

/// Most bytes that one entry of the queue can take: a node of the standard library's tree is at
/// least five elevenths full, and one in six of them has twelve pointers besides.
const QUEUED_BYTES_MAX: usize = 72;

/// A hold's place in the slab.
pub(crate) type Position = u32;

/// An open hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Its id: that of the request which placed it.
    pub id: TransferId,
    /// Minor units it was placed with.
    pub amount: u128,
    /// Minor units still set aside, 1 to `amount`.
    pub remaining: u128,
    /// By how much captures together may exceed the amount, minor units.
    pub over_capture_max: u128,
    /// When it expires, nanoseconds since the Unix epoch; [`NEVER_NS`].
    pub expires_ns: u64,
    /// The event that placed it.
    pub placed_lsn: Lsn,
    /// The account that pays.
    pub debit: Slot,
    /// The account that receives.
    pub credit: Slot,
    /// What both accounts hold.
    pub currency: CurrencyId,
    /// What it is for, and so each of its captures, where that does not follow from its accounts.
    pub kind: Option<TransferKind>,
}

/// How a hold ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Closed {
    /// Voided.
    Voided,
    /// Its time was over.
    Expired,
    /// Captured to its end, or by a last capture.
    Captured,
}

impl Closed {
    /// The rule that an operation on such a hold breaks.
    #[must_use]
    pub const fn rejection(self) -> Rejection {
        match self {
            Self::Voided => Rejection::HoldVoided,
            Self::Expired => Rejection::HoldExpired,
            Self::Captured => Rejection::HoldCaptured,
        }
    }

    /// The number that stands for it among remembered ids and in snapshots: 1 to 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Voided => 1,
            Self::Expired => 2,
            Self::Captured => 3,
        }
    }

    /// The one with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Voided),
            2 => Some(Self::Expired),
            3 => Some(Self::Captured),
            _ => None,
        }
    }
}

/// How a hold stands after a request that concerns it was decided: told with the outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldAfter {
    /// The hold.
    pub hold: TransferId,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closed>,
    /// Minor units that this decision moved to the credit account.
    pub captured: u128,
    /// Minor units that are on hold no more by this decision.
    pub released: u128,
    /// Minor units still set aside.
    pub remaining: u128,
    /// By how much captures together may exceed the amount, minor units. Told with refusals.
    pub over_capture_max: Option<u128>,
    /// When it expires, nanoseconds since the Unix epoch; [`NEVER_NS`]. Told when it was placed or
    /// extended, and with refusals.
    pub expires_ns: Option<u64>,
}

/// What of an open hold a refused operation is explained with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Minor units still set aside.
    pub remaining: u128,
    /// By how much captures together may exceed the amount, minor units.
    pub over_capture_max: u128,
    /// When it expires, nanoseconds since the Unix epoch; [`NEVER_NS`].
    pub expires_ns: u64,
}

impl Hold {
    /// Whether its time is over at `time_ns`.
    #[must_use]
    pub fn has_expired(&self, time_ns: u64) -> bool {
        self.expires_ns <= time_ns && self.expires_ns != NEVER_NS
    }

    /// What a refused operation is explained with.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Self { remaining, over_capture_max, expires_ns, .. } = *self;
        Standing { remaining, over_capture_max, expires_ns }
    }

    /// The canonical bytes of everything about it, for the state hash.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.get().to_le_bytes());
        for figure in [self.amount, self.remaining, self.over_capture_max] {
            out.extend_from_slice(&figure.to_le_bytes());
        }
        out.extend_from_slice(&self.expires_ns.to_le_bytes());
        out.extend_from_slice(&self.placed_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.debit.0.to_le_bytes());
        out.extend_from_slice(&self.credit.0.to_le_bytes());
        // One whose kind follows from its accounts has the bytes it always had.
        out.extend(self.kind.map(TransferKind::number));
    }
}

/// By expiry and then by id, in halves so that an entry has no padding.
type Due = (u64, u64, u64);

fn due(hold: &Hold) -> Due {
    (hold.expires_ns, hold.id.high(), hold.id.low())
}

/// The open holds of a shard.
#[derive(Clone, Debug)]
pub struct Holds {
    /// A place with nothing remaining is vacant.
    chunks: Vec<Vec<Hold>>,
    /// The vacant places; the last is used next.
    free: Vec<Position>,
    len: usize,
    index: Index,
    /// Those that can expire.
    queue: BTreeSet<Due>,
    /// Whether one was ever placed here whose kind its accounts do not tell.
    kinds: bool,
    /// The snapshot for which holds are being given up, if there is one.
    export: Option<Box<Export>>,
}

impl Holds {
    /// None. The seed scatters ids; choose it so that callers cannot guess it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
            index: Index::new(seed),
            queue: BTreeSet::new(),
            kinds: false,
            export: None,
        }
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory they take, at most: how full the nodes of the queue are is not told.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<Hold>()
            + self.chunks.capacity() * size_of::<Vec<Hold>>()
            + self.free.capacity() * size_of::<Position>()
            + self.index.memory_bytes()
            + self.queue.len() * QUEUED_BYTES_MAX
            + self.export.as_ref().map_or(0, |export| export.memory_bytes())
    }

    /// The open hold with this id.
    #[must_use]
    pub fn get(&self, id: TransferId) -> Option<&Hold> {
        if self.len == 0 {
            return None;
        }
        self.hold_at(self.find(id)?)
    }

    /// What the open hold with this id is for, where its accounts do not tell. Where no hold says
    /// so, nothing is looked up.
    #[must_use]
    #[inline]
    pub fn kind(&self, id: TransferId) -> Option<TransferKind> {
        if self.kinds { self.get(id)?.kind } else { None }
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.chunks.iter().flatten().filter(|hold| hold.remaining > 0)
    }

    /// Those of one debit account that lie from place `from` on, in the order of their places: at
    /// most `max` of them, and no more than `places` are looked at. And the place to go on at;
    /// `None` behind the last. A hold stays at its place as long as it is open.
    #[must_use]
    pub fn of_account(
        &self,
        debit: Slot,
        from: u32,
        places: usize,
        max: usize,
    ) -> (Vec<Hold>, Option<u32>) {
        let end = self.chunks.len().saturating_sub(1) * CHUNK;
        let end = end + self.chunks.last().map_or(0, Vec::len);
        let from = from as usize;
        let stop = from.saturating_add(places).min(end);
        let mut found = Vec::new();
        for at in from..stop {
            if found.len() == max {
                return (found, Some(at as Position));
            }
            let at = at as Position;
            found.extend(self.hold_at(at).filter(|hold| hold.debit == debit).copied());
        }
        (found, (stop < end).then_some(stop as Position))
    }

    /// When the next one expires, nanoseconds since the Unix epoch; `None` while none can.
    #[must_use]
    pub fn next_expiry_ns(&self) -> Option<u64> {
        self.queue.first().map(|due| due.0)
    }

    /// Those that have expired by `time_ns`, in the order in which they do.
    pub(crate) fn due(&self, time_ns: u64) -> impl Iterator<Item = &Hold> {
        self.queue.iter().take_while(move |due| due.0 <= time_ns).map(|(_, high, low)| {
            let id = TransferId::from_halves(*high, *low).expect("no hold's id is zero");
            self.get(id).expect("what is queued is open")
        })
    }

    /// Adds a hold. False when one with its id is open: nothing changed then.
    pub(crate) fn insert(&mut self, hold: Hold) -> bool {
        assert!(hold.remaining > 0, "an open hold sets something aside");
        if self.get(hold.id).is_some() {
            return false;
        }
        self.kinds |= hold.kind.is_some();
        let at = match self.free.pop() {
            Some(vacant) => {
                self.preserve(vacant);
                *self.place_mut(vacant) = hold;
                vacant
            }
            None => self.push(hold),
        };
        let chunks = &self.chunks;
        self.index.insert(hold.id, at, |at| id_in(chunks, at));
        if hold.expires_ns != NEVER_NS {
            self.queue.insert(due(&hold));
        }
        self.len += 1;
        true
    }

    /// Changes how much of an open hold remains. With 0 it is closed, and gone.
    pub(crate) fn set_remaining(&mut self, id: TransferId, remaining: u128) {
        let at = self.find(id).expect("an open hold");
        self.preserve(at);
        let hold = self.place_mut(at);
        hold.remaining = remaining;
        if remaining > 0 {
            return;
        }
        let due = due(hold);
        self.queue.remove(&due);
        self.index.remove(id, at);
        self.free.push(at);
        self.len -= 1;
    }

    /// Changes when an open hold expires.
    pub(crate) fn set_expiry(&mut self, id: TransferId, expires_ns: u64) {
        let at = self.find(id).expect("an open hold");
        self.preserve(at);
        let hold = self.place_mut(at);
        let before = due(hold);
        hold.expires_ns = expires_ns;
        let after = due(hold);
        self.queue.remove(&before);
        if expires_ns != NEVER_NS {
            self.queue.insert(after);
        }
    }

    fn find(&self, id: TransferId) -> Option<Position> {
        self.index.find(id, |at| self.hold_at(at).is_some_and(|hold| hold.id == id))
    }

    fn hold_at(&self, at: Position) -> Option<&Hold> {
        place_in(&self.chunks, at)
    }

    fn place_mut(&mut self, at: Position) -> &mut Hold {
        let at = at as usize;
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }

    /// Adds a place at the end of the slab.
    fn push(&mut self, hold: Hold) -> Position {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("just made");
        chunk.push(hold);
        Position::try_from(before + chunk.len() - 1).expect("memory is used up long before")
    }
}

fn place_in(chunks: &[Vec<Hold>], at: Position) -> Option<&Hold> {
    let hold = &chunks[at as usize / CHUNK][at as usize % CHUNK];
    (hold.remaining > 0).then_some(hold)
}

fn id_in(chunks: &[Vec<Hold>], at: Position) -> TransferId {
    place_in(chunks, at).expect("what is indexed is open").id
}

#[cfg(test)]
#[path = "holds/tests.rs"]
mod tests;
