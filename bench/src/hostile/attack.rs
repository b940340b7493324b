//! The attacks, and the threads that make them: of the lowest priority, so that the server has the
//! cores whenever it wants them, and what others wait for is the server and not the machine.

use super::door::Door;
use super::{raw, streams};
use crate::procfs;
use anyhow::{Context, anyhow, ensure};
use clap::ValueEnum;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The lowest priority there is.
const NICE: i32 = 19;

/// How long an attacker rests when it was turned away before it could do anything.
const REST: Duration = Duration::from_millis(5);

/// Connections that are held at most, whatever the limit of open files: beyond the server's own bound.
const HELD_MAX: usize = 4_000;

/// What is done to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Attack {
    /// Connections that send random bytes.
    Garbage,
    /// Half of a handshake, then the end.
    HalfHandshakes,
    /// Whole handshakes, of TLS without a certificate, or of HTTP/2 where nothing is encrypted.
    Handshakes,
    /// Frames that break HTTP/2's rules, one a connection.
    MalformedFrames,
    /// Well-formed frames without end that ask for nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE.
    ControlFrames,
    /// One header block without end (CONTINUATION).
    EndlessHeaders,
    /// Streams opened and reset at once.
    RapidReset,
    /// Calls whose messages are random bytes, or sound ones with bits changed.
    FuzzedMessages,
    /// Messages larger than any may be.
    Oversize,
    /// Most of a large message, and never the rest.
    HalfMessages,
    /// Connections on which nothing is ever sent.
    IdleConnections,
    /// Ten thousand open streams on which nothing is ever sent.
    IdleStreams,
    /// Large answers asked for and never read.
    SlowReaders,
    /// Calls sent one byte at a time.
    SlowWriters,
    /// Calls that are refused as fast as they are made: over a limit where there is one.
    Refused,
}

impl Attack {
    /// The name as typed.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How many make it at a time, on one thread or several.
    fn attackers(self) -> usize {
        match self {
            Self::IdleConnections => held_max(),
            Self::IdleStreams => streams::IDLE_CONNECTIONS,
            Self::HalfHandshakes | Self::SlowWriters => 64,
            Self::HalfMessages | Self::SlowReaders => 32,
            Self::EndlessHeaders | Self::ControlFrames | Self::Oversize => 8,
            _ => 16,
        }
    }

    /// One connection of it, from its beginning to its end.
    async fn once(self, ground: &Ground) -> anyhow::Result<()> {
        match self {
            Self::Garbage => raw::garbage(ground).await,
            Self::HalfHandshakes => raw::half_handshake(ground).await,
            Self::Handshakes => raw::handshake(ground).await,
            Self::MalformedFrames => raw::malformed_frame(ground).await,
            Self::ControlFrames => raw::control_frames(ground).await,
            Self::EndlessHeaders => raw::endless_headers(ground).await,
            Self::IdleConnections => raw::idle_connection(ground).await,
            Self::RapidReset => streams::rapid_reset(ground).await,
            Self::FuzzedMessages => streams::fuzzed_messages(ground).await,
            Self::Oversize => streams::oversize(ground).await,
            Self::HalfMessages => streams::half_messages(ground).await,
            Self::IdleStreams => streams::idle_streams(ground).await,
            Self::SlowReaders => streams::slow_reader(ground).await,
            Self::SlowWriters => streams::slow_writer(ground).await,
            Self::Refused => streams::refused(ground).await,
        }
    }
}

/// Half of what this process may open: the clients that are measured need some as well.
fn held_max() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = files.and_then(|files| usize::try_from(files / 2).ok());
    half.unwrap_or(HELD_MAX).min(HELD_MAX)
}

/// What all who make one attack share.
pub struct Ground {
    /// The port.
    pub door: Door,
    tried: AtomicU64,
    turned_away: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Time from one attempt to the next at least.
    each: Option<Duration>,
    next: Mutex<Instant>,
}

impl Ground {
    fn new(door: Door, tries_per_s: Option<u32>) -> Self {
        Self {
            door,
            tried: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            trouble: Mutex::default(),
            each: tries_per_s.map(|rate| Duration::from_secs(1) / rate.max(1)),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until one more attempt may be made, lets others go on, and counts it.
    pub async fn attempt(&self) {
        self.attempts(1).await;
    }

    /// The same for several that are made in one go.
    pub async fn attempts(&self, count: u64) {
        self.tried.fetch_add(count, Ordering::Relaxed);
        let Some(each) = self.each else { return tokio::task::yield_now().await };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + each * u32::try_from(count).unwrap_or(u32::MAX);
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }

    /// Notes that the server would have nothing of it.
    fn turned_away(&self, why: &anyhow::Error) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert_with(|| format!("{why:#}"));
    }
}

/// What an attack came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Attempts: connections, frames, streams or calls, whatever it is made of.
    pub tried: u64,
    /// Connections that ended in an error before they were through.
    pub turned_away: u64,
    /// CPU seconds of the attacking threads; absent where the system does not tell.
    pub cpu_s: Option<f64>,
    /// How long it lasted.
    pub seconds: f64,
}

impl Spent {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            tried: self.tried + other.tried,
            turned_away: self.turned_away + other.turned_away,
            cpu_s: self.cpu_s.zip(other.cpu_s).map(|(one, two)| one + two),
            seconds: self.seconds + other.seconds,
        }
    }
}

/// Those who attack, until they are stopped or dropped.
pub struct Attackers {
    attack: Attack,
    ground: Arc<Ground>,
    begun: Instant,
    end: watch::Sender<bool>,
    threads: Vec<JoinHandle<anyhow::Result<Option<f64>>>>,
}

impl Attackers {
    /// Begins. `tries_per_s` bounds how often they try, all together.
    pub fn start(
        door: &Door,
        attack: Attack,
        threads: usize,
        tries_per_s: Option<u32>,
    ) -> anyhow::Result<Self> {
        let ground = Arc::new(Ground::new(door.elsewhere(), tries_per_s));
        let (end, _) = watch::channel(false);
        let mut all = Self {
            attack,
            ground,
            begun: Instant::now(),
            end,
            threads: Vec::with_capacity(threads),
        };
        for nth in 0..threads.max(1) {
            let count = attack.attackers();
            let share = count / threads.max(1) + usize::from(nth < count % threads.max(1));
            let (ground, end) = (Arc::clone(&all.ground), all.end.subscribe());
            let thread = std::thread::Builder::new().name("ducat-attack".to_owned());
            let thread = thread.spawn(move || attack_thread(attack, share, ground, end));
            all.threads.push(thread.context("start a thread of attackers")?);
        }
        Ok(all)
    }

    /// Ends it; every connection is reset.
    ///
    /// # Errors
    /// Where nothing was ever tried: the attack does not work, and says nothing of the server.
    pub async fn stop(mut self) -> anyhow::Result<Spent> {
        self.end.send_replace(true);
        let seconds = self.begun.elapsed().as_secs_f64();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            let join = |t: JoinHandle<_>| t.join().map_err(|_| anyhow!("an attacker panicked"))?;
            threads.into_iter().map(join).collect::<anyhow::Result<Vec<Option<f64>>>>()
        });
        let cpu = joined.await.context("join the attackers")??;
        let spent = Spent {
            tried: self.ground.tried.load(Ordering::Relaxed),
            turned_away: self.ground.turned_away.load(Ordering::Relaxed),
            cpu_s: cpu.into_iter().sum(),
            seconds,
        };
        let trouble = self.ground.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            spent.tried > 0,
            "the attack {} did not come about: {}",
            self.attack.name(),
            trouble.as_deref().unwrap_or("nothing went wrong")
        );
        Ok(spent)
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.end.send_replace(true);
    }
}

/// The body of a thread; gives the CPU seconds it took.
fn attack_thread(
    attack: Attack,
    attackers: usize,
    ground: Arc<Ground>,
    mut end: watch::Receiver<bool>,
) -> anyhow::Result<Option<f64>> {
    // On Linux each thread has a priority of its own. Where it may not be lowered, the attack has
    // as much of the machine as those it is held against.
    let _usual = rustix::process::setpriority_process(None, NICE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for _ in 0..attackers {
            let ground = Arc::clone(&ground);
            tokio::spawn(async move {
                loop {
                    if let Err(why) = attack.once(&ground).await {
                        ground.turned_away(&why);
                        tokio::time::sleep(REST).await;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        // The sender gone means the same.
        let _ended = end.wait_for(|ended| *ended).await;
    });
    // Every connection with it.
    drop(runtime);
    Ok(procfs::thread_cpu_s())
}
