//! How a batching client is bounded, and what it counts.

use crate::client::ClientError;
use ducat_actors::handle::BATCH_MAX;
use std::time::Duration;

/// The longest deadline, well below the 24 hours for which a server remembers an id: a
/// transfer is never sent again when it might no longer be known.
pub const DEADLINE_MAX: Duration = Duration::from_secs(12 * 3600);

/// What a call does when as many transfers wait as may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Waits for room, until its deadline.
    #[default]
    Wait,
    /// Fails at once with [`ClientError::Full`].
    Fail,
}

/// How a batching client is bounded.
#[derive(Clone, Debug)]
pub struct BatchingOptions {
    /// How long a call may take, its waiting and every retry included: above 0, at most 12
    /// hours. Default 10 s.
    pub deadline: Duration,
    /// Most transfers that are sent or wait to be, without an answer. Default 65,536.
    pub waiting_max: usize,
    /// What a call beyond that does. Default [`WhenFull::Wait`].
    pub when_full: WhenFull,
    /// Most transfers in a message: 1 to 10,000. A larger group has a message of its own.
    /// Default 8,192.
    pub message_transfers_max: usize,
    /// Most messages without an answer: 1 to 64. With one, nothing travels while the server
    /// works; more than a few only make messages smaller. Default 3.
    pub messages_in_flight_max: usize,
    /// The first pause before sending or connecting again; it doubles with every failure that
    /// follows, and each is drawn from one to two times that. Default 10 ms.
    pub retry_pause: Duration,
    /// The longest pause. Default 1 s.
    pub retry_pause_max: Duration,
}

impl Default for BatchingOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            waiting_max: 65_536,
            when_full: WhenFull::Wait,
            message_transfers_max: 8192,
            messages_in_flight_max: 3,
            retry_pause: Duration::from_millis(10),
            retry_pause_max: Duration::from_secs(1),
        }
    }
}

impl BatchingOptions {
    /// Refuses what cannot be meant.
    pub(super) fn validate(&self) -> Result<(), ClientError> {
        check_deadline(self.deadline)?;
        for (right, rule) in [
            (self.waiting_max >= 1, "waiting_max must be at least 1"),
            (u32::try_from(self.waiting_max).is_ok(), "waiting_max must be below 2^32"),
            (
                (1..=BATCH_MAX).contains(&self.message_transfers_max),
                "message_transfers_max must be 1 to 10,000",
            ),
            (
                (1..=64).contains(&self.messages_in_flight_max),
                "messages_in_flight_max must be 1 to 64",
            ),
            (!self.retry_pause.is_zero(), "retry_pause must be above 0"),
            (self.retry_pause <= self.retry_pause_max, "retry_pause is above retry_pause_max"),
        ] {
            if !right {
                return Err(ClientError::Options(rule));
            }
        }
        Ok(())
    }
}

/// Refuses a deadline that has passed already or outlives the memory of ids.
pub(super) fn check_deadline(deadline: Duration) -> Result<(), ClientError> {
    if deadline.is_zero() || deadline > DEADLINE_MAX {
        return Err(ClientError::Options("a deadline must be above 0 and at most 12 hours"));
    }
    Ok(())
}

/// What a batching client has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchingStatistics {
    /// Messages sent, those sent again included.
    pub messages: u64,
    /// Transfers in them.
    pub transfers_sent: u64,
    /// Transfers answered with an outcome.
    pub transfers_answered: u64,
    /// Transfers put back to be sent again, after a refusal or a broken stream.
    pub transfers_put_back: u64,
    /// The most transfers in one message.
    pub message_transfers_max: u64,
    /// Streams opened, the first included.
    pub streams: u64,
}
