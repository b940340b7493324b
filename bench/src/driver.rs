//! Puts the load on: client threads, each with a runtime, connections and a generator of its
//! own, and on every connection a number of workers that take a moment from the [`Pace`],
//! fill a batch, send it and count the answer. Threads share nothing but a counter.

use crate::address::Address;
use crate::codec::CodecKind;
use crate::csv_data::Replay;
use crate::generator::{AccountIds, Batch, Generator, Shape};
use crate::pace::{Offers, Pace, Schedule, Share, few_of, open_pace};
use crate::readers::reader_thread;
use crate::tally::{Moments, Tally, Window, own_batch};
use crate::target::Port;
use crate::target_client::ClientPort;
use crate::target_grpc::{Manner, StreamPort, UnaryPort};
use crate::target_inprocess::HandlePort;
use crate::target_postgres::{Form, PostgresPort};
use anyhow::{Context, anyhow};
use ducat_actors::handle::Handle;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// How long to wait for answers after the end.
const DRAIN: Duration = Duration::from_secs(60);

/// How long a worker rests after an error, so that a dead server is not hammered.
const ERROR_PAUSE: Duration = Duration::from_millis(2);

/// A run without an end of its own ends here.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where batches go.
#[derive(Clone)]
pub enum Connector {
    /// A server, by one call for each batch.
    Unary {
        /// Where it is.
        to: Address,
        /// How messages are decoded.
        codec: CodecKind,
        /// By the RPC that takes a single transfer.
        single: bool,
        /// How calls are made.
        manner: Manner,
    },
    /// A server, by one stream for each connection.
    Stream {
        /// Where it is.
        to: Address,
        /// How messages are decoded.
        codec: CodecKind,
    },
    /// A server, by one batching client for each connection.
    Client {
        /// Where it is.
        to: Address,
    },
    /// An engine in this process.
    InProcess(Handle),
    /// PostgreSQL, by a SQL function.
    Postgres {
        /// How to connect.
        config: Box<tokio_postgres::Config>,
        /// How transfers are grouped.
        form: Form,
    },
}

impl Connector {
    /// The way for reads beside this load: single calls, where it is made of something else.
    pub fn for_reads(&self) -> Self {
        let reading = |to: &Address, codec| {
            let to = to.clone();
            Self::Unary { to, codec, single: false, manner: Manner::default() }
        };
        match self {
            Self::Stream { to, codec } => reading(to, *codec),
            Self::Client { to } => reading(to, CodecKind::Lean),
            other => other.clone(),
        }
    }

    /// A connection.
    pub async fn port(&self, batch: usize) -> anyhow::Result<Port> {
        Ok(match self {
            Self::Unary { to, codec, single, manner } => {
                let port = UnaryPort::connect(to, *codec, *single, batch, *manner).await?;
                Port::Unary(Box::new(port))
            }
            Self::Stream { to, codec } => {
                Port::Stream(StreamPort::new(to.connect().await?, *codec, batch))
            }
            Self::Client { to } => Port::Client(ClientPort::connect(to).await?),
            Self::InProcess(handle) => Port::InProcess(HandlePort::new(handle.clone())),
            Self::Postgres { config, form } => {
                Port::Postgres(PostgresPort::connect(config, *form).await?)
            }
        })
    }
}

/// How long a run lasts.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// By time.
    Time {
        /// Before anything is counted.
        warmup: Duration,
        /// While everything is counted.
        duration: Duration,
    },
    /// Until this many transfers were sent, all counted. Closed loop only.
    Transfers(u64),
}

/// What decides when requests are sent.
#[derive(Clone, Debug)]
pub enum Load {
    /// The answers before them.
    Closed,
    /// A schedule, whatever the answers do. It covers warm-up and counted time.
    Open {
        /// When what is due.
        schedule: Schedule,
        /// Requests on their way on each connection at most; what is due beyond is shed and
        /// counted. Without it, it waits and its latency grows.
        shed: bool,
        /// How long after the end what was due is still sent.
        patience: Duration,
    },
}

/// What load to put on.
#[derive(Clone)]
pub struct Plan {
    /// Where to.
    pub connector: Connector,
    /// What the transfers are like.
    pub shape: Shape,
    /// The rows to send instead of drawn transfers.
    pub replay: Option<Arc<Replay>>,
    /// Between which accounts.
    pub accounts: AccountIds,
    /// Upper half of every transfer id.
    pub run_id: u64,
    /// Client threads.
    pub threads: usize,
    /// Connections over all threads.
    pub connections: usize,
    /// Requests in flight on each connection at most.
    pub in_flight: usize,
    /// When to send.
    pub load: Load,
    /// How long.
    pub extent: Extent,
    /// Keep what each account gains.
    pub per_account: bool,
    /// Reads a second beside the load, on a connection of their own; 0 for none.
    pub reads_per_s: f64,
}

/// A run on its way.
pub struct Running {
    threads: Vec<JoinHandle<anyhow::Result<Tally>>>,
    /// When what is counted.
    pub window: Window,
    answered: Arc<AtomicU64>,
}

/// When a thread begins and what it shares with the others.
#[derive(Clone)]
pub struct Start {
    /// The moment.
    pub at: Instant,
    /// When what is counted.
    pub window: Window,
    left: Option<Arc<AtomicI64>>,
    answered: Arc<AtomicU64>,
}

impl Running {
    /// Connects every thread, then starts them all at one moment.
    pub async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let threads = plan.threads.min(plan.connections).max(1);
        let (mut joins, mut ready, mut go) = (Vec::new(), Vec::new(), Vec::new());
        let readers = usize::from(plan.reads_per_s > 0.0);
        for thread in 0..threads + readers {
            let (ready_sender, ready_receiver) = oneshot::channel();
            let (go_sender, go_receiver) = oneshot::channel();
            let plan = plan.clone();
            joins.push(std::thread::spawn(move || {
                if thread < threads {
                    client_thread(&plan, thread, threads, ready_sender, go_receiver)
                } else {
                    reader_thread(&plan, plan.reads_per_s, ready_sender, go_receiver)
                }
            }));
            ready.push(ready_receiver);
            go.push(go_sender);
        }
        for ready in ready {
            ready.await.map_err(|_| anyhow!("a client thread ended before it began"))??;
        }
        let start = Start::of(plan);
        for go in go {
            go.send(start.clone()).map_err(|_| anyhow!("a client thread ended too early"))?;
        }
        Ok(Self { threads: joins, window: start.window, answered: start.answered })
    }

    /// Transfers answered up to now, warm-up included.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether every thread has ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the answers still out and puts the threads' results together.
    pub async fn finish(self) -> anyhow::Result<Tally> {
        let joined = tokio::task::spawn_blocking(move || {
            let join =
                |t: JoinHandle<_>| t.join().map_err(|_| anyhow!("a client thread panicked"))?;
            self.threads.into_iter().map(join).collect::<anyhow::Result<Vec<Tally>>>()
        });
        let mut tallies = joined.await.context("join the client threads")??.into_iter();
        let mut sum = tallies.next().context("there were no client threads")?;
        for tally in tallies {
            sum.merge(&tally)?;
        }
        Ok(sum)
    }
}

impl Start {
    fn of(plan: &Plan) -> Self {
        let at = Instant::now() + Duration::from_millis(20);
        let (window, left) = match plan.extent {
            Extent::Time { warmup, duration } => {
                (Window { from: at + warmup, to: at + warmup + duration }, None)
            }
            Extent::Transfers(count) => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                (Window { from: at, to: at + FOREVER }, Some(Arc::new(AtomicI64::new(count))))
            }
        };
        Self { at, window, left, answered: Arc::default() }
    }

    fn pace(&self, plan: &Plan, thread: usize, threads: usize, ports: &[Port]) -> Pace {
        let batch = plan.shape.batch;
        match &plan.load {
            Load::Closed => Pace::Closed { until: self.window.to, left: self.left.clone(), batch },
            Load::Open { schedule, shed, patience } => {
                let give_up = self.window.to + *patience;
                let schedule = schedule.clone();
                let share = Share { schedule, thread, threads, start: self.at, give_up, batch };
                let most = shed.then_some(plan.in_flight * ports.len());
                let limits = ports.iter().filter_map(Port::limit).cloned().collect();
                open_pace(share, Offers::new(self.window.from, most).within(limits))
            }
        }
    }
}

/// What the workers of one thread share.
struct Shared {
    pace: Pace,
    generator: RefCell<Generator>,
    tally: RefCell<Tally>,
    /// The thread's connections.
    ports: Vec<Port>,
    /// The last one that was asked for room in another's place.
    asked: AtomicUsize,
    /// Batches not in use, the last used first.
    batches: RefCell<Vec<Arc<Batch>>>,
    answered: Arc<AtomicU64>,
}

fn client_thread(
    plan: &Plan,
    thread: usize,
    threads: usize,
    ready: oneshot::Sender<anyhow::Result<()>>,
    go: oneshot::Receiver<Start>,
) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mine = (thread..plan.connections).step_by(threads).count();
        let mut ports = Vec::with_capacity(mine);
        for _ in 0..mine {
            match plan.connector.port(plan.shape.batch).await {
                Ok(port) => ports.push(port),
                Err(e) => {
                    // Nobody to tell means the run is over already.
                    let _ = ready.send(Err(e));
                    anyhow::bail!("no connection");
                }
            }
        }
        let generator = Generator::new(
            plan.shape,
            plan.accounts,
            plan.run_id,
            thread as u64,
            plan.replay.clone(),
        );
        if ready.send(Ok(())).is_err() {
            anyhow::bail!("the run was given up");
        }
        let start = go.await.context("the run was given up")?;
        let reads = plan.shape.read_share > 0.0 || plan.reads_per_s > 0.0;
        let tally = Tally::new(start.window, plan.accounts, plan.per_account, reads)?;
        let shared = Rc::new(Shared {
            pace: start.pace(plan, thread, threads, &ports),
            generator: RefCell::new(generator),
            tally: RefCell::new(tally),
            ports,
            asked: AtomicUsize::new(0),
            batches: RefCell::default(),
            answered: start.answered,
        });
        tokio::time::sleep_until(start.at.into()).await;
        let unanswered = run_workers(&shared, plan.in_flight, start.window.to).await?;
        let (offered, unsent) = shared.pace.offered().await;
        let mut tally = shared.tally.borrow().clone();
        tally.whole.unanswered_requests += unanswered;
        tally.whole.unsent_requests += unsent;
        tally.offered = offered;
        Ok(tally)
    })
}

/// Runs `in_flight` workers on each port until the end; says how many never got an answer.
async fn run_workers(shared: &Rc<Shared>, in_flight: usize, end: Instant) -> anyhow::Result<u64> {
    let mut workers = Vec::with_capacity(shared.ports.len() * in_flight);
    // Neighbours share a connection: what is sent at one moment goes out in one write.
    for port in 0..shared.ports.len() {
        for _ in 0..in_flight {
            workers.push(tokio::task::spawn_local(worker(Rc::clone(shared), port)));
        }
    }
    let mut unanswered = 0;
    for worker in workers {
        let abort = worker.abort_handle();
        match tokio::time::timeout_at((end + DRAIN).into(), worker).await {
            Ok(ended) => ended.context("a worker panicked")??,
            Err(_elapsed) => {
                abort.abort();
                unanswered += 1;
            }
        }
    }
    Ok(unanswered)
}

async fn worker(shared: Rc<Shared>, own: usize) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    while let Some((due, count)) = shared.pace.next().await {
        let Some(port) = shared.with_room(own) else {
            shared.pace.held_back(due);
            continue;
        };
        let reads = shared.generator.borrow_mut().draws_read();
        let failed = if reads {
            read(&shared, port, due, &mut ids).await?
        } else {
            match write(&shared, port, due, count).await? {
                Some(failed) => failed,
                None => return Ok(()),
            }
        };
        shared.pace.ended();
        if failed {
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }
    Ok(())
}

/// Sends the next transfers and counts what came of it; says whether it failed. `None` when
/// there is nothing left to send.
async fn write(
    shared: &Shared,
    port: &Port,
    due: Instant,
    count: usize,
) -> anyhow::Result<Option<bool>> {
    let spare = shared.batches.borrow_mut().pop().unwrap_or_default();
    let mut batch = own_batch(spare);
    if let Some(batch) = Arc::get_mut(&mut batch) {
        shared.generator.borrow_mut().fill(batch, count);
    }
    if batch.items.is_empty() {
        return Ok(None);
    }
    let sent = shared.sent(due);
    let end = port.call(&batch).await;
    shared.tally.borrow_mut().record(&batch, &end, shared.moments(due, sent))?;
    shared.batches.borrow_mut().push(batch);
    if let Ok(reply) = &end {
        shared.answered.fetch_add(reply.answers.len() as u64, Ordering::Relaxed);
    }
    Ok(Some(end.is_err()))
}

/// Reads the next accounts and counts what came of it; says whether it failed.
async fn read(
    shared: &Shared,
    port: &Port,
    due: Instant,
    ids: &mut Vec<u64>,
) -> anyhow::Result<bool> {
    shared.generator.borrow_mut().fill_read(ids);
    let sent = shared.sent(due);
    let end = port.read(ids).await;
    let moments = shared.moments(due, sent);
    shared.tally.borrow_mut().record_read(ids.len() as u64, &end, moments)?;
    Ok(end.is_err())
}

impl Shared {
    /// A worker's own connection, or another where that has as much on its way as it may.
    fn with_room(&self, own: usize) -> Option<&Port> {
        if self.ports[own].has_room() {
            return Some(&self.ports[own]);
        }
        few_of(self.ports.len(), &self.asked)
            .map(|next| &self.ports[next])
            .find(|port| port.has_room())
    }

    /// When a request is sent. In a closed loop it was due a moment ago, and asking for the
    /// time again would cost as much as making it.
    fn sent(&self, due: Instant) -> Instant {
        if self.pace.is_open() { Instant::now() } else { due }
    }

    /// The moments of a request that ends now.
    fn moments(&self, due: Instant, sent: Instant) -> Moments {
        let done = Instant::now();
        if self.pace.is_open() {
            Moments { from: due, sent, done, counts_at: due }
        } else {
            Moments { from: sent, sent, done, counts_at: done }
        }
    }
}
