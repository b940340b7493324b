//! Frames of HTTP/2 that ask for nothing, and how many of them a connection may send: PING, SETTINGS, PRIORITY, WINDOW_UPDATE,
//! RST_STREAM, CONTINUATION, DATA without data, and whatever nobody knows. Each costs the server a moment and its sender
//! next to nothing, so that one connection that sends them without end would keep all others waiting.
//!
//! ```text
//! bytes read ─▶ [9 bytes of a frame's head │ payload, skipped] … ─▶ costs and earnings ─▶ balance, never below 0
//! bytes sent ─▶ earnings ─────────────────────────────────────────────────┘
//! ```
//!
//! What honest clients send of these goes with what they ask for: a window update or two and a ping for an answer, a
//! reset for a call that was given up. So requests, and what is sent to the client, earn more than these cost, and a client that works is
//! never bounded, however much it does. What is not earned is little: [`PER_S`] and [`AT_FIRST`]. Calls that are given up at
//! once have a balance of their own ([`super::resets`]).

use super::resets::Resets;
use std::time::{Duration, Instant};

/// What every connection begins with, before the first frame.
const PREFACE_BYTES: usize = 24;

/// A frame's head: length of its payload (3), type, flags, stream (4).
const HEAD_BYTES: usize = 9;

/// What a frame costs that asks for nothing.
const FRAME: i64 = 8;

/// The same for WINDOW_UPDATE, of which honest clients send many, and which is answered by nothing.
const WINDOW: i64 = 1;

/// What a request earns: the frames that end it, and those with which its answer is read.
const REQUEST: i64 = 32;

/// What DATA earns at most. It earns a byte each, so that data in crumbs cost as much as none.
const DATA_MOST: i64 = 40;

/// So many bytes sent to the client earn one. The answer to a PING has 17, so that pings do not pay for themselves.
const SENT_BYTES: usize = 8;

/// What a connection has when it begins: 500 frames, or 4,000 of WINDOW_UPDATE.
const AT_FIRST: i64 = 4_000;

/// What it is given each second, up to [`AT_FIRST`]: 100 frames.
const PER_S: u32 = 800;

/// More than this is not kept, whatever was earned: 12,500 calls given up at the same time.
const MOST: i64 = 100_000;

/// How long it takes until all of [`AT_FIRST`] was given.
const FULL_AFTER: Duration = Duration::from_secs(AT_FIRST as u64 / PER_S as u64);

/// Types and flags of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const PADDED: u8 = 8;

/// The padding that a frame may have, with its length.
const PADDING_MOST: usize = 256;

/// The client has sent more frames that ask for nothing than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// What one connection may still send, and where in which frame its bytes are.
#[derive(Debug)]
pub(super) struct Frames {
    balance: i64,
    given: Instant,
    /// Bytes up to the next head: of the preface or of a payload.
    skip: usize,
    head: [u8; HEAD_BYTES],
    of_head: usize,
    /// Bytes sent that have not earned anything yet.
    sent: usize,
    resets: Resets,
}

impl Frames {
    /// Of a connection that begins.
    pub fn new(now: Instant) -> Self {
        let (head, of_head, sent, resets) = ([0; HEAD_BYTES], 0, 0, Resets::new(now));
        Self { balance: AT_FIRST, given: now, skip: PREFACE_BYTES, head, of_head, sent, resets }
    }

    /// Looks at the next bytes that the client has sent. `now` is asked for only when all is used up, or a call
    /// given up.
    ///
    /// # Errors
    /// [`Flood`]: the connection is to end.
    pub fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Flood> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let took = bytes.len().min(HEAD_BYTES - self.of_head);
            self.head[self.of_head..self.of_head + took].copy_from_slice(&bytes[..took]);
            self.of_head += took;
            bytes = &bytes[took..];
            if self.of_head < HEAD_BYTES {
                return Ok(());
            }
            self.of_head = 0;
            let [high, middle, low, kind, flags, stream @ ..] = self.head;
            self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
            self.add(worth(kind, flags, self.skip), &now)?;
            // The highest bit says nothing.
            let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
            match kind {
                HEADERS => self.resets.headers(stream),
                RESET => self.resets.reset(stream, &now)?,
                _ => {}
            }
        }
    }

    /// So many bytes were sent to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        let earned = i64::try_from(self.sent / SENT_BYTES).unwrap_or(MOST);
        self.sent %= SENT_BYTES;
        self.balance = self.balance.saturating_add(earned).min(MOST);
    }

    fn add(&mut self, worth: i64, now: &impl Fn() -> Instant) -> Result<(), Flood> {
        let mut balance = (self.balance + worth).min(MOST);
        if balance < 0 {
            let now = now();
            let passed = now.saturating_duration_since(self.given).min(FULL_AFTER);
            self.given = now;
            balance += (passed * PER_S).as_secs().cast_signed();
        }
        self.balance = balance;
        if balance < 0 { Err(Flood) } else { Ok(()) }
    }
}

/// What a frame with this head earns; below zero, what it costs.
fn worth(kind: u8, flags: u8, length: usize) -> i64 {
    match kind {
        HEADERS => REQUEST,
        // All of it may be padding, which is nothing.
        DATA if flags & PADDED != 0 && length <= PADDING_MOST => -FRAME,
        DATA => i64::try_from(length).unwrap_or(DATA_MOST).min(DATA_MOST) - FRAME,
        WINDOW_UPDATE => -WINDOW,
        _ => -FRAME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: u8 = 6;
    const END_STREAM: u8 = 1;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).expect("short").to_be_bytes();
        let mut frame = [&size[1..], &[kind, flags, 0, 0, 0, 1]].concat();
        // What would be heads of PING, if it were not payload.
        frame.extend([0, 0, 0, PING, 0, 0, 0, 0, 0].iter().cycle().take(length));
        frame
    }

    /// The same, the first of them on this stream.
    fn on(stream: u32, mut frames: Vec<u8>) -> Vec<u8> {
        frames[5..9].copy_from_slice(&stream.to_be_bytes());
        frames
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames
            .read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", || now)
            .expect("the preface costs nothing");
        frames
    }

    /// How many of these are taken, one after the other, at one moment; `most` where there is no end.
    fn taken(frames: &mut Frames, now: Instant, each: &[u8], most: usize) -> usize {
        (0..most).find(|_| frames.read(each, || now).is_err()).unwrap_or(most)
    }

    #[test]
    fn frames_that_ask_for_nothing_come_to_an_end() {
        let now = Instant::now();
        let costly = [
            frame(PING, 0, 8),
            frame(RESET, 0, 4),
            frame(2, 0, 5),
            frame(4, 0, 6),
            frame(4, 0, 0),
            frame(9, 0, 100),
            frame(77, 0, 100),
            frame(DATA, 0, 0),
            frame(DATA, END_STREAM, 0),
            frame(DATA, PADDED, 200),
        ];
        for frame in costly {
            assert_eq!(taken(&mut begun(now), now, &frame, 10_000), 500, "{:?}", &frame[..9]);
        }
        assert_eq!(taken(&mut begun(now), now, &frame(WINDOW_UPDATE, 0, 4), 10_000), 4_000);
        assert!(taken(&mut begun(now), now, &frame(DATA, 0, 1), 10_000) < 1_000, "crumbs");
    }

    #[test]
    fn who_works_may_send_as_many_as_that_takes() {
        let now = Instant::now();
        let mut unary = begun(now);
        let call = [
            frame(HEADERS, 4, 30),
            frame(DATA, 0, 5),
            frame(DATA, END_STREAM, 0),
            frame(WINDOW_UPDATE, 0, 4),
            frame(WINDOW_UPDATE, 0, 4),
            frame(PING, 0, 8),
        ];
        assert_eq!(taken(&mut unary, now, &call.concat(), 100_000), 100_000);
        let asked = [frame(HEADERS, 4, 30), frame(DATA, END_STREAM, 60)].concat();
        for nth in 0..100_000_u32 {
            let given_up = on(4 * nth + 1, frame(RESET, 0, 4));
            let two = [on(4 * nth + 1, asked.clone()), on(4 * nth + 3, asked.clone()), given_up];
            unary.read(&two.concat(), || now).expect("one of two is left to end");
        }
        let mut told = begun(now);
        let read = [frame(WINDOW_UPDATE, 0, 4), frame(PING, 0, 8)].concat();
        for _ in 0..100_000 {
            // One event of a feed, answered by nothing but these.
            told.sent(75);
            told.read(&read, || now).expect("earned");
        }
        assert!(begun(now).read(&frame(DATA, 0, 1 << 20), || now).is_ok());
    }

    #[test]
    fn who_gives_up_all_calls_at_once_is_ended_whatever_they_earn() {
        let now = Instant::now();
        let mut frames = begun(now);
        let ended = (0..10_000).find(|nth| {
            let asked = [frame(HEADERS, 4, 30), frame(DATA, END_STREAM, 60)].concat();
            let given_up = on(2 * nth + 1, frame(RESET, 0, 4));
            frames.read(&[on(2 * nth + 1, asked), given_up].concat(), || now).is_err()
        });
        assert_eq!(ended, Some(100));
    }

    #[test]
    fn answers_to_pings_do_not_pay_for_them() {
        let now = Instant::now();
        let mut frames = begun(now);
        let ping = frame(PING, 0, 8);
        let answered = (0..10_000).find(|_| {
            frames.sent(ping.len());
            frames.read(&ping, || now).is_err()
        });
        assert!(answered.is_some_and(|pings| pings < 1_000), "{answered:?}");
    }

    #[test]
    fn time_gives_a_little_and_keeps_no_more_than_at_first() {
        let now = Instant::now();
        let mut frames = begun(now);
        let ping = frame(PING, 0, 8);
        for second in 0..100 {
            let now = now + Duration::from_secs(second);
            assert_eq!(taken(&mut frames, now, &ping, 90), 90, "in second {second}");
        }
        let later = now + Duration::from_secs(1 << 20);
        let after_long = taken(&mut frames, later, &ping, 10_000);
        assert!((500..=1_500).contains(&after_long), "{after_long}");
        let mut spent = begun(now);
        assert_eq!(taken(&mut spent, now, &ping, 500), 500);
        assert_eq!(taken(&mut spent, now + Duration::from_millis(500), &ping, 10_000), 50);
    }

    proptest! {
        /// However the bytes are cut, the same frames are seen: what is left is the same, and so is the end.
        #[test]
        fn where_reads_end_makes_no_difference(
            kinds in prop::collection::vec((0_u8..12, any::<u8>(), 0_usize..300), 0..800),
            cuts in prop::collection::vec(1_usize..700, 1..50),
        ) {
            let now = Instant::now();
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            let mut balance = AT_FIRST;
            let (mut resets, mut flooded) = (Resets::new(now), false);
            for &(kind, flags, length) in &kinds {
                bytes.extend(frame(kind, flags, length));
                if !flooded {
                    balance = (balance + worth(kind, flags, length)).min(MOST);
                    flooded = balance < 0;
                    if !flooded && kind == HEADERS {
                        resets.headers(1);
                    }
                    if !flooded && kind == RESET {
                        flooded = resets.reset(1, || now).is_err();
                    }
                }
            }
            let mut whole = Frames::new(now);
            let at_once = whole.read(&bytes, || now);
            prop_assert_eq!(at_once.is_err(), flooded);
            prop_assert_eq!(whole.balance, balance);
            let mut parts = Frames::new(now);
            let mut rest = &bytes[..];
            let mut in_parts = Ok(());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || in_parts.is_err() {
                    break;
                }
                let (part, after) = rest.split_at(rest.len().min(*cut));
                in_parts = parts.read(part, || now);
                rest = after;
            }
            prop_assert_eq!(in_parts, at_once);
            prop_assert_eq!(parts.balance, balance);
        }
    }
}
