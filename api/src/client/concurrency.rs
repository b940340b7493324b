//! How many transfers' calls a client has on their way: as many as it likes until the server says that it
//! is overloaded, and then about as many as it answers. Stands in front of a [`super::Connection`].
//!
//! A refused call costs both ends nearly what an answered one does. A client that goes on asking far beyond what
//! the server can do therefore takes from itself and from all others; one that holds back gets as many answers and has its
//! refusals at once. The rule is that of TCP's congestion window and of the limits that proxies put before
//! services (additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the increase and decrease
//! algorithms for congestion avoidance in computer networks", 1989): each answer lets the limit grow by
//! one in a round trip, and a refusal for want of room cuts it to three quarters, once in a round trip.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What is left of the limit after a refusal. Half, as in TCP, would leave a server idle whose queue is
/// short; here the queue between two cuts goes from three quarters of its bound to the whole.
const CUT: f64 = 0.75;

/// The reason of a call that was held back by its own client.
pub const HELD_BACK: &str = "HELD_BACK";

/// When a call that was held back may be tried again: some round trips of a busy server.
const RETRY: Duration = Duration::from_millis(100);

/// The server's reasons that say "too much at a time".
const OVERLOADED: [&str; 6] = [
    "OVERLOADED",
    "ENGINE_FULL",
    "CALLS_FULL",
    "REQUESTS_FULL",
    "PRINCIPAL_CALLS_FULL",
    "ADDRESS_CALLS_FULL",
];

/// What came of a call, as far as it says how much the server can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was served, whatever the answer.
    Served,
    /// It was refused for want of room, or came too late.
    Overloaded,
    /// Nobody knows: the connection broke, the caller gave up.
    Unknown,
}

impl Verdict {
    /// What the head of an answer says.
    #[must_use]
    pub fn of(head: &HeaderMap) -> Self {
        // The status is here only where nothing follows; most answers end without a second look.
        match head.get("grpc-status") {
            None => Self::Served,
            Some(_) => Status::from_header_map(head).map_or(Self::Unknown, |s| Self::of_status(&s)),
        }
    }

    /// What it says that no answer came.
    #[must_use]
    pub fn of_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = std::iter::successors(Some(error), |error| error.source());
        let late = chain.any(<dyn std::error::Error>::is::<tonic::TimeoutExpired>);
        if late { Self::Overloaded } else { Self::Unknown }
    }

    /// What a status says.
    #[must_use]
    pub fn of_status(status: &Status) -> Self {
        match status.code() {
            Code::DeadlineExceeded => Self::Overloaded,
            Code::ResourceExhausted => {
                let details = status.get_error_details();
                let reason = details.error_info().map(|info| info.reason.as_str());
                let full = reason.is_some_and(|reason| OVERLOADED.contains(&reason));
                if full { Self::Overloaded } else { Self::Served }
            }
            Code::Unavailable | Code::Cancelled | Code::Unknown => Self::Unknown,
            _ => Self::Served,
        }
    }
}

/// A limit of the calls on their way, shared by all who use one connection.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// Infinite until the server first says that it is overloaded.
    limit: f64,
    /// The number of the next call.
    next: u64,
    /// Calls before this one were begun before the last cut: what they say is known.
    cut_before: u64,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        let state = State { in_flight: 0, limit: f64::INFINITY, next: 0, cut_before: 0 };
        Self { state: Mutex::new(state) }
    }
}

impl ConcurrencyLimit {
    /// A place for a call, or `None` where as many are on their way as the server can take.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        if !state.has_room() {
            return None;
        }
        state.in_flight += 1;
        let number = state.next;
        state.next += 1;
        Some(Place { limit: Arc::clone(self), number, ended: false })
    }

    /// Whether [`Self::begin`] would give a place now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// The most calls on their way; `None` while the server has never said that it is overloaded.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        let limit = self.lock().limit;
        limit.is_finite().then_some(limit as usize)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers are as good after a panic as before it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        (self.in_flight as f64) < self.limit.floor()
    }

    fn end(&mut self, number: u64, verdict: Verdict) {
        let on_their_way = self.in_flight as f64;
        self.in_flight -= 1;
        match verdict {
            // A limit that is not used says nothing about what could be.
            Verdict::Served if on_their_way * 2.0 >= self.limit => self.limit += 1.0 / self.limit,
            Verdict::Overloaded if number >= self.cut_before => {
                self.limit = (self.limit.min(on_their_way) * CUT).max(1.0);
                self.cut_before = self.next;
            }
            Verdict::Served | Verdict::Overloaded | Verdict::Unknown => {}
        }
    }
}

/// A call on its way. One that is dropped says nothing about the server.
#[derive(Debug)]
pub struct Place {
    limit: Arc<ConcurrencyLimit>,
    number: u64,
    ended: bool,
}

impl Place {
    /// Gives the place back.
    pub fn end(mut self, verdict: Verdict) {
        self.ended = true;
        self.limit.lock().end(self.number, verdict);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.ended {
            self.limit.lock().end(self.number, Verdict::Unknown);
        }
    }
}

/// What a call gets that is held back: as from a server that is overloaded, with a reason of its own.
#[must_use]
pub fn held_back() -> Status {
    let mut details = ErrorDetails::with_error_info(HELD_BACK, crate::violation::ERROR_DOMAIN, []);
    details.set_retry_info(Some(RETRY));
    let message =
        "not sent: the server is overloaded, and as many calls are on their way as it answers";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit() -> Arc<ConcurrencyLimit> {
        Arc::default()
    }

    fn begin(limit: &Arc<ConcurrencyLimit>, count: usize) -> Vec<Place> {
        (0..count).map(|_| limit.begin().expect("room")).collect()
    }

    fn status(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "ducat.v1", []);
        Status::with_error_details(code, "", details)
    }

    #[test]
    fn nothing_is_held_back_before_the_server_says_so() {
        let limit = limit();
        let places = begin(&limit, 10_000);
        for place in places {
            place.end(Verdict::Served);
        }
        assert_eq!(limit.limit(), None);
    }

    #[test]
    fn refusals_of_one_round_trip_are_one_cut() {
        let limit = limit();
        for place in begin(&limit, 100) {
            place.end(Verdict::Overloaded);
        }
        assert_eq!(limit.limit(), Some(75));
        let mut places = begin(&limit, 75);
        assert!(limit.begin().is_none() && !limit.has_room());
        places.pop().expect("there").end(Verdict::Overloaded);
        assert_eq!(limit.limit(), Some(56));
        drop(places);
        assert_eq!(limit.limit(), Some(56), "calls given up say nothing");
        assert_eq!(begin(&limit, 56).len(), 56, "and give their places back");
    }

    #[test]
    fn answers_let_it_grow_by_one_in_a_round_trip_where_it_is_used() {
        let limit = limit();
        begin(&limit, 40).pop().expect("there").end(Verdict::Overloaded);
        assert_eq!(limit.limit(), Some(30));
        for place in begin(&limit, 10) {
            place.end(Verdict::Served);
        }
        assert_eq!(limit.limit(), Some(30), "ten of thirty say nothing of what could be");
        let mut places = begin(&limit, 30);
        for _ in 0..31 {
            places.pop().expect("there").end(Verdict::Served);
            places.extend(limit.begin());
        }
        assert_eq!(limit.limit(), Some(31));
    }

    #[test]
    fn one_call_may_always_be_made() {
        let limit = limit();
        for _ in 0..50 {
            limit.begin().expect("room").end(Verdict::Overloaded);
        }
        assert_eq!(limit.limit(), Some(1));
    }

    #[test]
    fn it_finds_what_a_server_takes_and_stays_near_it() {
        let (limit, takes) = (limit(), 32);
        let mut places = std::collections::VecDeque::new();
        let (mut served, mut refused) = (0, 0);
        for round in 0..200_000 {
            while let Some(place) = (places.len() < 500).then(|| limit.begin()).flatten() {
                places.push_back((place, places.len() < takes));
            }
            let Some((place, taken)) = places.pop_front() else { continue };
            place.end(if taken { Verdict::Served } else { Verdict::Overloaded });
            if round > 10_000 {
                if taken { served += 1 } else { refused += 1 }
            }
        }
        assert!(served > 5 * refused, "{served} served, {refused} refused");
        let found = limit.limit().expect("was overloaded");
        assert!((takes / 2..=takes + 2).contains(&found), "{found}");
    }

    #[test]
    fn only_want_of_room_says_that_it_is_too_much() {
        let verdict = |code, reason: &str| Verdict::of_status(&status(code, reason));
        for reason in OVERLOADED {
            assert_eq!(verdict(Code::ResourceExhausted, reason), Verdict::Overloaded, "{reason}");
        }
        for reason in ["RATE_LIMITED", "IDS_FULL", "DISK_FULL", ""] {
            assert_eq!(verdict(Code::ResourceExhausted, reason), Verdict::Served, "{reason}");
        }
        assert_eq!(verdict(Code::DeadlineExceeded, ""), Verdict::Overloaded);
        assert_eq!(verdict(Code::Unavailable, ""), Verdict::Unknown);
        assert_eq!(verdict(Code::InvalidArgument, ""), Verdict::Served);
        assert_eq!(Verdict::of(&HeaderMap::new()), Verdict::Served);
        let head = status(Code::ResourceExhausted, "OVERLOADED").into_http::<()>();
        assert_eq!(Verdict::of(head.headers()), Verdict::Overloaded);
    }

    #[test]
    fn who_is_held_back_is_told_so_and_may_ask_again() {
        let error = super::super::ClientError::from(held_back());
        assert_eq!(error.reason(), Some(HELD_BACK));
        assert!(error.is_retryable() && !error.is_in_doubt());
    }
}
