//! Streaming batches of transfers with many in flight, in the order of the file.
//!
//! ```text
//!            chunk read            answered: counted, next chunk may go
//!   Sending ───────────▶ in flight ───────────▶ done
//!      ▲                     │ refused as a whole: the engine is full
//!      │ waited              ▼
//!      └──────────────── Draining: nothing new is sent; when all that was in flight has been
//!                        answered, the refused batches go again, oldest first, and that one
//!                        alone until it is taken
//! ```
//!
//! Order matters: a transfer may need the money of the one before it. So nothing overtakes a
//! batch that was refused, unless it was already on its way; such a case is counted and told.
//!
//! A memory for ids that is full is not waited for: it empties within days, not seconds.

use super::rejects::Rejects;
use super::tally::{Row, Tally};
use crate::exit::{Exit, Failure};
use crate::net;
use ducat_api::client::Connection;
use ducat_api::proto;
use ducat_api::proto::ledger_client::LedgerClient;
use indicatif::ProgressBar;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// How long a full engine is waited for before the import gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first and the longest wait for a full engine.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Rows read ahead, in order.
pub type Chunks = mpsc::Receiver<Result<Vec<Row>, ducat_api::import::Failure>>;

/// One import's stream of transfers.
pub struct Pipeline<'a> {
    /// The server.
    pub client: LedgerClient<Connection>,
    /// The most batches in flight.
    pub in_flight_max: usize,
    /// What became of the rows.
    pub tally: Tally,
    /// Where refused rows go.
    pub rejects: Option<&'a mut Rejects>,
    /// Shows how far it has come.
    pub bar: ProgressBar,
    /// Batches that were decided before one that stands ahead of them in the file, because
    /// the engine refused that one when it was full.
    pub overtakers: u64,
}

/// Batches on their way.
#[derive(Default)]
struct Flight {
    tag: u64,
    sent: VecDeque<(u64, Vec<Row>)>,
    again: VecDeque<Vec<Row>>,
    draining: bool,
    probing: bool,
    full_since: Option<Instant>,
    wait: Duration,
}

impl Flight {
    /// Keeps a refused batch to be sent again, in its place: batches that never left since the
    /// last refusal stand behind it.
    fn keep(&mut self, batch: Vec<Row>) {
        let number = |batch: &Vec<Row>| batch.first().map_or(0, |row| row.number);
        let place = self.again.partition_point(|waiting| number(waiting) < number(&batch));
        self.again.insert(place, batch);
    }
}

impl Pipeline<'_> {
    /// Sends every chunk and waits for every answer.
    pub async fn run(&mut self, mut chunks: Chunks) -> Result<(), Failure> {
        let (requests, outgoing) = mpsc::channel(self.in_flight_max + 1);
        let mut client = self.client.clone();
        let responses = client.stream_transfers(ReceiverStream::new(outgoing)).await;
        let mut responses = responses.map_err(|s| self.lost(&s))?.into_inner();
        let mut flight = Flight { wait: WAIT.0, ..Flight::default() };
        let mut damage = None;
        let mut at_end = false;
        loop {
            self.calm_down(&mut flight).await?;
            let window = if flight.probing { 1 } else { self.in_flight_max };
            let room = !flight.draining && flight.sent.len() < window;
            if room && let Some(batch) = flight.again.pop_front() {
                self.send(&requests, &mut flight, batch).await?;
                continue;
            }
            if at_end && flight.sent.is_empty() {
                break;
            }
            tokio::select! {
                chunk = chunks.recv(), if room && !at_end => match chunk {
                    Some(Ok(batch)) => self.send(&requests, &mut flight, batch).await?,
                    Some(Err(failure)) => damage = Some(failure.into()),
                    None => at_end = true,
                },
                response = responses.message(), if !flight.sent.is_empty() => {
                    let response = response.map_err(|s| self.lost(&s))?;
                    let response = response.ok_or_else(|| self.ended())?;
                    self.answered(&mut flight, response)?;
                }
            }
        }
        self.bar.finish_and_clear();
        damage.map_or(Ok(()), Err)
    }

    /// Sends a batch, or counts it when none of its rows could be converted.
    async fn send(
        &mut self,
        requests: &mpsc::Sender<proto::StreamTransfersRequest>,
        flight: &mut Flight,
        batch: Vec<Row>,
    ) -> Result<(), Failure> {
        let transfers: Vec<_> =
            batch.iter().filter_map(|row| row.result.as_ref().ok().cloned()).collect();
        if transfers.is_empty() {
            return self.count(&batch, &[]);
        }
        flight.tag += 1;
        let request = proto::StreamTransfersRequest { tag: flight.tag, transfers, timeout_ms: 0 };
        flight.sent.push_back((flight.tag, batch));
        requests.send(request).await.map_err(|_| self.ended())
    }

    /// Takes the answer to the oldest batch in flight.
    fn answered(
        &mut self,
        flight: &mut Flight,
        response: proto::StreamTransfersResponse,
    ) -> Result<(), Failure> {
        let oldest = flight.sent.pop_front().filter(|(tag, _)| *tag == response.tag);
        let Some((_, batch)) = oldest else {
            let text = format!("the server answered batch {} out of turn", response.tag);
            return Err(Failure::new(Exit::Internal, text));
        };
        match response.error {
            None => {
                self.overtakers += u64::from(flight.draining);
                flight.probing = false;
                flight.full_since = None;
                flight.wait = WAIT.0;
                self.count(&batch, &response.outcomes)
            }
            Some(error) if net::is_ids_full_reason(&error.reason) => {
                let text = format!(
                    "the import stopped after {} answered rows: {}. Run the same command again \
                     then: rows already decided are known by their ids and nothing is doubled",
                    self.tally.rows,
                    net::ids_full(&error.message)
                );
                Err(Failure::new(Exit::Unavailable, text))
            }
            Some(error) if error.grpc_code == Code::ResourceExhausted as i32 => {
                flight.draining = true;
                let since = *flight.full_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    let status = Status::resource_exhausted(error.message);
                    return Err(self.lost(&status));
                }
                flight.keep(batch);
                Ok(())
            }
            Some(error) => Err(refused_as_a_whole(&batch, &error)),
        }
    }

    /// When everything in flight has been answered after the engine was full, waits a little
    /// and lets sending go on.
    async fn calm_down(&mut self, flight: &mut Flight) -> Result<(), Failure> {
        if flight.draining && flight.sent.is_empty() {
            self.bar.set_message("the engine is full, waiting");
            tokio::time::sleep(flight.wait).await;
            self.bar.set_message("");
            flight.wait = (flight.wait * 2).min(WAIT.1);
            flight.draining = false;
            flight.probing = true;
        }
        Ok(())
    }

    /// Counts a batch's rows against its outcomes.
    fn count(&mut self, batch: &[Row], outcomes: &[proto::Outcome]) -> Result<(), Failure> {
        let sent = batch.iter().filter(|row| row.result.is_ok()).count();
        if sent != outcomes.len() {
            let text = format!("the server gave {} outcomes to {sent} transfers", outcomes.len());
            return Err(Failure::new(Exit::Internal, text));
        }
        let mut outcomes = outcomes.iter();
        for row in batch {
            let at = (row.number, row.record.as_ref());
            let rejects = self.rejects.as_deref_mut();
            match (&row.result, row.result.is_ok().then(|| outcomes.next()).flatten()) {
                (Ok(_), Some(outcome)) => {
                    self.tally.answered("transfers", at, outcome, rejects)?;
                }
                (Err(why), _) => self.tally.unconvertible("transfers", at, why, rejects)?,
                (Ok(_), None) => {}
            }
        }
        Ok(())
    }

    /// The failure of a lost connection or a stopped server.
    fn lost(&self, status: &Status) -> Failure {
        let failure = net::failed(status);
        if failure.exit != Exit::Unavailable && status.code() != Code::Unknown {
            return failure;
        }
        let text = format!(
            "the import was interrupted after {} answered rows: {}. Run the same command again \
             when the server is back: rows already decided are known by their ids and nothing \
             is doubled",
            self.tally.rows,
            status.message()
        );
        Failure::new(Exit::Unavailable, text)
    }

    fn ended(&self) -> Failure {
        self.lost(&Status::unavailable("the server closed the stream"))
    }
}

/// The failure of a batch that the server found malformed, with the rows that are to blame.
fn refused_as_a_whole(batch: &[Row], error: &proto::BatchError) -> Failure {
    let first = batch.first().map_or(0, |row| row.number);
    let last = batch.last().map_or(0, |row| row.number);
    let mut text = format!(
        "the server refused rows {first} to {last} as a whole and the import stopped there: {} \
         ({})",
        error.message, error.reason
    );
    let violations = error.violations.iter().take(5);
    let violations = violations.map(|v| (v.field.as_str(), v.description.as_str()));
    text.push_str(&net::violation_lines(violations.collect()));
    Failure::new(Exit::Refused, text)
}
