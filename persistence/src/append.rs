//! The buffer in which records become frames, in place.
//!
//! A record is encoded once, straight into the bytes that will be stored: every
//! frame leaves room for its header, and the writer fills the headers in (seals)
//! when it knows epoch and chain. Batches that wait for the disk are merged with
//! [`AppendBuffer::append_all`] and go out as one append.
//!
//! ```text
//! begin_batch(t) push push … push end_batch   begin_batch(t') …
//! [header│rec rec rec …][header│rec rec][header│rec …]
//!         └ closed at ~3,900 bytes ┘     └ a new batch is a new frame
//! ```
//!
//! A record that is too large for what is left of the open frame begins a new one.

use crate::frame::{self, FRAME_BYTES_MAX, FrameHash, FrameHeader, HEADER_BYTES, LAST_OF_APPEND};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use thiserror::Error;

/// A frame is closed once its payload has reached this many bytes.
pub const FRAME_PAYLOAD_TARGET_BYTES: usize = 3_900;
/// No single record may be larger: a frame holds it alone.
pub const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;

const _: () = assert!(
    ducat_engine::codec::ACCOUNT_EVENT_BYTES_MAX < RECORD_BYTES_MAX,
    "every record fits into a frame"
);

/// A record that no frame may hold. It was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the record at LSN {lsn} has {bytes} bytes, more than {RECORD_BYTES_MAX}")]
pub struct RecordTooLarge {
    /// The record's place.
    pub lsn: Lsn,
    /// Its size.
    pub bytes: usize,
}

/// Where one frame lies in the buffer.
#[derive(Debug, Clone, Copy)]
struct Laid {
    start: usize,
    end: usize,
    first_lsn: Lsn,
    record_count: u32,
    time_ns: u64,
}

/// Records of one or more batches, laid out as unsealed frames. Reuse it:
/// [`clear`](Self::clear) keeps the memory.
#[derive(Debug, Default)]
pub struct AppendBuffer {
    bytes: Vec<u8>,
    frames: Vec<Laid>,
    /// The last of `frames` still takes records.
    frame_open: bool,
    /// Decision time of the open batch.
    batch: Option<u64>,
    record_count: u64,
}

impl AppendBuffer {
    /// An empty buffer that has no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a batch whose records were decided at `time_ns` (nanoseconds since
    /// 1970). Its first record starts a new frame.
    ///
    /// # Panics
    /// When a batch is open.
    pub fn begin_batch(&mut self, time_ns: u64) {
        assert!(self.batch.is_none(), "a batch is open already");
        self.batch = Some(time_ns);
        self.frame_open = false;
    }

    /// Adds the record at `lsn`; `encode` appends its bytes to the vector and
    /// must not touch what is there. A record that is too large is taken back.
    ///
    /// # Errors
    /// [`RecordTooLarge`] above [`RECORD_BYTES_MAX`].
    ///
    /// # Panics
    /// When no batch is open, or `lsn` does not follow the last record's.
    #[inline]
    pub fn push(
        &mut self,
        lsn: Lsn,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), RecordTooLarge> {
        let time_ns = self.batch.expect("push belongs between begin_batch and end_batch");
        if let Some(last) = self.last_lsn() {
            assert!(lsn == last.next(), "LSN {lsn} does not follow {last}");
        } else {
            assert!(lsn > Lsn::ZERO, "LSN 0 names no record");
        }
        if !self.frame_open {
            self.open_frame(lsn, time_ns);
        }
        let before = self.bytes.len();
        encode(&mut self.bytes);
        assert!(self.bytes.len() >= before, "encoding only adds bytes");
        let bytes = self.bytes.len() - before;
        if bytes > RECORD_BYTES_MAX {
            self.take_back(before);
            return Err(RecordTooLarge { lsn, bytes });
        }
        let frame = self.frames.last().expect("a frame is open");
        if self.bytes.len() - frame.start > FRAME_BYTES_MAX {
            self.move_to_new_frame(before, lsn, time_ns);
        }
        self.count_record();
        Ok(())
    }

    fn open_frame(&mut self, first_lsn: Lsn, time_ns: u64) {
        let start = self.bytes.len();
        self.bytes.resize(start + HEADER_BYTES, 0);
        let end = self.bytes.len();
        self.frames.push(Laid { start, end, first_lsn, record_count: 0, time_ns });
        self.frame_open = true;
    }

    /// Begins a frame in front of the record whose bytes begin at `at`, the last there are.
    #[cold]
    fn move_to_new_frame(&mut self, at: usize, first_lsn: Lsn, time_ns: u64) {
        let record = self.bytes.split_off(at);
        self.open_frame(first_lsn, time_ns);
        self.bytes.extend_from_slice(&record);
    }

    fn take_back(&mut self, to: usize) {
        self.bytes.truncate(to);
        let frame = self.frames.last().expect("push opened a frame");
        if frame.record_count == 0 {
            self.bytes.truncate(frame.start);
            self.frames.pop();
            self.frame_open = false;
        }
    }

    fn count_record(&mut self) {
        let frame = self.frames.last_mut().expect("push opened a frame");
        frame.end = self.bytes.len();
        frame.record_count += 1;
        self.record_count += 1;
        if frame.end - frame.start - HEADER_BYTES >= FRAME_PAYLOAD_TARGET_BYTES {
            self.frame_open = false;
        }
    }

    /// Ends the batch; one without records leaves no trace.
    ///
    /// # Panics
    /// When no batch is open.
    pub fn end_batch(&mut self) {
        assert!(self.batch.take().is_some(), "no batch is open");
        self.frame_open = false;
    }

    /// Adds the batches of `other`, whose first record must follow the last one
    /// here. `other` is left as it is.
    ///
    /// # Panics
    /// When either has an open batch, or there is a gap between the two.
    pub fn append_all(&mut self, other: &Self) {
        assert!(self.batch.is_none(), "this buffer's batch is open");
        assert!(other.batch.is_none(), "the other buffer's batch is open");
        if let (Some(last), Some(first)) = (self.last_lsn(), other.first_lsn()) {
            assert!(first == last.next(), "LSN {first} does not follow {last}");
        }
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.frames.extend(other.frames.iter().map(|frame| Laid {
            start: frame.start + shift,
            end: frame.end + shift,
            ..*frame
        }));
        self.record_count += other.record_count;
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// LSN of the first record.
    #[must_use]
    pub fn first_lsn(&self) -> Option<Lsn> {
        self.frames.first().map(|frame| frame.first_lsn)
    }

    /// LSN of the last record.
    #[must_use]
    pub fn last_lsn(&self) -> Option<Lsn> {
        // A frame just opened has no record yet; the first LSN minus one is still right.
        self.frames.last().map(|frame| Lsn(frame.first_lsn.0 + u64::from(frame.record_count) - 1))
    }

    /// Number of records.
    #[must_use]
    pub const fn record_count(&self) -> u64 {
        self.record_count
    }

    /// Number of frames.
    #[must_use]
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Bytes that will be stored: headers and payloads.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets every record and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.frame_open = false;
        self.batch = None;
        self.record_count = 0;
    }

    /// Fills in every header: the frames continue the chain from `prev_hash`, the
    /// last one closes the append. Returns the last frame's hash. Sealing again
    /// overwrites the headers.
    ///
    /// # Panics
    /// When a batch is open.
    pub fn seal(&mut self, shard: ShardId, epoch: Epoch, prev_hash: FrameHash) -> FrameHash {
        assert!(self.batch.is_none(), "an open batch cannot be sealed");
        let last = self.frames.len().saturating_sub(1);
        let mut prev_hash = prev_hash;
        for (index, laid) in self.frames.iter().enumerate() {
            let header = FrameHeader {
                flags: if index == last { LAST_OF_APPEND } else { 0 },
                shard,
                epoch,
                first_lsn: laid.first_lsn,
                record_count: laid.record_count,
                time_ns: laid.time_ns,
                prev_hash,
            };
            prev_hash = frame::seal(&mut self.bytes[laid.start..laid.end], &header);
        }
        prev_hash
    }

    /// The frames in order: first LSN and bytes (sealed only after [`seal`](Self::seal)).
    pub fn frames(&self) -> impl Iterator<Item = (Lsn, &[u8])> {
        self.frames.iter().map(|frame| (frame.first_lsn, &self.bytes[frame.start..frame.end]))
    }

    /// The frames in order, together where they stay small: each block is closed once
    /// it has reached `target_bytes`. First LSN and bytes of each block.
    pub fn blocks(&self, target_bytes: usize) -> impl Iterator<Item = (Lsn, &[u8])> {
        let mut rest = self.frames.as_slice();
        std::iter::from_fn(move || {
            let first = rest.first()?;
            let full = |frame: &Laid| frame.end - first.start >= target_bytes;
            let last = rest.iter().position(full).unwrap_or(rest.len() - 1);
            let end = rest[last].end;
            rest = &rest[last + 1..];
            Some((first.first_lsn, &self.bytes[first.start..end]))
        })
    }

    /// Every frame's bytes, one after the other.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When the last batch was decided, nanoseconds since 1970.
    #[must_use]
    pub fn last_time_ns(&self) -> Option<u64> {
        self.frames.last().map(|frame| frame.time_ns)
    }
}

/// What the caller of an append did wrong, if anything. Every implementation asks
/// this before it writes.
#[must_use]
pub fn misuse(expected: Lsn, durable: Lsn, batch: &AppendBuffer) -> Option<String> {
    let Some(first) = batch.first_lsn() else {
        return Some("the batch is empty".to_owned());
    };
    if batch.batch.is_some() {
        return Some("the batch is still open".to_owned());
    }
    if first != expected {
        return Some(format!("the batch starts at LSN {first}, not at {expected}"));
    }
    if expected != durable.next() {
        return Some(format!("LSN {} comes next, not {expected}", durable.next()));
    }
    None
}
