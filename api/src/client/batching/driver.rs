//! The task behind a batching client: opens a stream, lets a session work on it, and opens
//! another when it has broken, until the client has ended.
//!
//! Before anything is sent again, the ledger behind the new stream is asked who it is. Another
//! one, or one that has forgotten answers it gave, would do a transfer a second time.

use super::pauses::Pauses;
use super::session::{End, Session, Stream, may_pass};
use super::shared::Shared;
use crate::client::{Client, ClientError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::{Code, Status};

/// How long the opening of a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    shared: Arc<Shared>,
    client: Client,
    pauses: Pauses,
    /// The ledger of the first stream.
    ledger_id: Option<String>,
    /// Told at the end.
    _over: Over,
}

/// Ends everything when the driver ends, however that comes about.
struct Over {
    shared: Arc<Shared>,
    over: watch::Sender<bool>,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.shared.with(|queue| queue.end(ClientError::Closed));
        self.shared.room.close();
        self.over.send_replace(true);
    }
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, client: Client, over: watch::Sender<bool>) -> Self {
        let pauses = Pauses::new(&shared.options);
        let over = Over { shared: Arc::clone(&shared), over };
        Self { shared, client, pauses, ledger_id: None, _over: over }
    }

    /// Opens a stream to the ledger of the first one.
    pub(super) async fn open(&mut self) -> Result<Stream, ClientError> {
        tokio::time::timeout(OPEN_TIMEOUT, self.open_unbounded()).await.unwrap_or_else(|_| {
            Err(Status::unavailable("no stream could be opened within 5 s").into())
        })
    }

    async fn open_unbounded(&mut self) -> Result<Stream, ClientError> {
        let places = self.shared.options.messages_in_flight_max;
        let stream = Stream::open(&self.client.channel, places).await?;
        let status = self.client.get_status(false).await?;
        let known = self.ledger_id.get_or_insert_with(|| status.ledger_id.clone());
        if *known != status.ledger_id {
            let found = status.ledger_id;
            return Err(ClientError::OtherLedger { known: known.clone(), found });
        }
        let answered_lsn = self.shared.with(|queue| queue.lsn_seen);
        if status.durable_lsn < answered_lsn {
            let durable_lsn = status.durable_lsn;
            return Err(ClientError::LedgerForgot { answered_lsn, durable_lsn });
        }
        self.shared.with(|queue| queue.statistics.streams += 1);
        Ok(stream)
    }

    /// Works until the client has ended.
    pub(super) async fn run(mut self, first: Stream) {
        let mut stream = Some(first);
        loop {
            let error = match stream.take() {
                Some(stream) => {
                    match Session::new(&self.shared, &mut self.pauses, stream).run().await {
                        End::Over => return,
                        End::Broken(error) => error,
                    }
                }
                None => match self.open_or_over().await {
                    Some(Ok(opened)) => {
                        stream = Some(opened);
                        continue;
                    }
                    Some(Err(error)) => error,
                    None => return,
                },
            };
            self.tell(&error);
            let pause = self.pauses.next();
            tracing::debug!(%error, ?pause, "the stream of a batching client broke");
            let paused = tokio::time::sleep(pause);
            tokio::select! {
                () = paused => {}
                () = self.over() => return,
            }
        }
    }

    async fn open_or_over(&mut self) -> Option<Result<Stream, ClientError>> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            opened = self.open() => Some(opened),
            () = over(&shared) => None,
        }
    }

    async fn over(&self) {
        over(&self.shared).await;
    }

    /// What a broken stream means to the calls that wait.
    fn tell(&self, error: &ClientError) {
        self.shared.with(|queue| match error {
            ClientError::OtherLedger { .. } | ClientError::LedgerForgot { .. } => {
                queue.end(error.clone());
            }
            ClientError::Refused(refused) if may_pass(refused.code) => {
                queue.trouble((**refused).clone());
            }
            ClientError::Refused(refused) if refused.code != Code::Ok => queue.fail_waiting(error),
            _ => {}
        });
    }
}

/// Resolves when the driver is to stop.
async fn over(shared: &Shared) {
    while !shared.with(|queue| queue.is_over()) {
        shared.driver.notified().await;
    }
}
