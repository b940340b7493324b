//! What durable appends cost here, and how fast a journal is read back.
//!
//! ```text
//! cargo run --release -p ducat-persistence --example append_cost [DIR [MEGABYTES]]
//! ```
//!
//! For each size of append: throughput, latency, CPU and bytes written for each byte
//! of payload, with and without the sync of the journal and the mark. Then a restart:
//! the time to scan everything that was written, 60-byte records. `DIR` (default: a
//! temporary directory) must be on the disk in question.

use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::contract::{Journal, Writer};
use ducat_persistence::{AppendBuffer, DataDir, MemoryJournal, SledJournal, SledOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SHARD: ShardId = ShardId(0);
const RECORD_BYTES: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let parent = args.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    let megabytes: usize = args.next().map_or(Ok(200), |text| text.parse())?;
    println!("payload      MB/s  appends/s    p50 ms    p99 ms    max ms  CPU ms/MB  written");
    for payload in [200, 4 << 10, 64 << 10, 256 << 10, 512 << 10, 2 << 20] {
        let total = (megabytes << 20).min(payload * 4_000);
        let root = tempfile::tempdir_in(&parent)?;
        let journal = open(root.path())?;
        let (mut writer, _) = journal.open_writer(SHARD, "append_cost")?;
        appends(&mut *writer, payload, total)?;
    }
    restart(&parent, megabytes << 20)?;
    memory_appends(512 << 10, megabytes << 20)
}

fn open(root: &Path) -> Result<SledJournal, Box<dyn std::error::Error>> {
    Ok(SledJournal::open(Arc::new(DataDir::create_or_open(root)?), SledOptions::default())?)
}

/// Fills `buffer` with records until their payload has about `bytes`.
fn fill(buffer: &mut AppendBuffer, first: Lsn, bytes: usize) -> Lsn {
    buffer.clear();
    buffer.begin_batch(1);
    let mut lsn = first;
    let mut random = first.0 | 1;
    for _ in 0..(bytes / RECORD_BYTES).max(1) {
        let mut record = [0; RECORD_BYTES];
        for part in record.chunks_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            part.copy_from_slice(&random.to_le_bytes()[..part.len()]);
        }
        buffer.push(lsn, |out| out.extend_from_slice(&record)).expect("60 bytes fit");
        lsn = lsn.next();
    }
    buffer.end_batch();
    lsn
}

#[allow(clippy::cast_precision_loss)]
fn appends(
    writer: &mut dyn Writer,
    payload: usize,
    total: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut buffer = AppendBuffer::new();
    let mut times = Vec::new();
    let mut next = Lsn(1);
    let (cpu_before, written_before) = (cpu(), written());
    let mut done = 0;
    while done < total {
        let after = fill(&mut buffer, next, payload);
        let started = Instant::now();
        writer.append(next, &mut buffer)?;
        times.push(started.elapsed());
        next = after;
        done += payload;
    }
    let cpu = cpu() - cpu_before;
    times.sort();
    let spent: Duration = times.iter().sum();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{:>7}  {:>8.1} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>10.1} {:>7.1}x",
        payload,
        done as f64 / 1e6 / spent.as_secs_f64(),
        times.len() as f64 / spent.as_secs_f64(),
        ms(times[times.len() / 2]),
        ms(times[times.len() * 99 / 100]),
        ms(times[times.len() - 1]),
        cpu * 1e3 / (done as f64 / 1e6),
        (written() - written_before) as f64 / done as f64,
    );
    Ok(())
}

fn memory_appends(payload: usize, total: usize) -> Result<(), Box<dyn std::error::Error>> {
    println!("in memory:");
    let journal = MemoryJournal::new(ducat_persistence::LedgerId::random()?);
    let (mut writer, _) = journal.open_writer(SHARD, "append_cost")?;
    appends(&mut *writer, payload, total)
}

#[allow(clippy::cast_precision_loss)]
fn restart(parent: &Path, total: usize) -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir_in(parent)?;
    {
        let journal = open(root.path())?;
        let (mut writer, _) = journal.open_writer(SHARD, "append_cost")?;
        println!("filling a journal for the restart:");
        appends(&mut *writer, 512 << 10, total)?;
    }
    let size: u64 = size_of_tree(root.path());
    // Forgets the peak so far; where that is not allowed, the figure is an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    println!("memory before the restart: {} MB", peak_memory_mb());
    let started = Instant::now();
    let journal = open(root.path())?;
    let mut checked = 0_u64;
    let cpu_before = cpu();
    let (_writer, tail) = journal.open_writer_with(SHARD, "append_cost", &mut |frame, _| {
        checked += frame.payload().iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>();
        Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "restart: {} records, {:.0} MB of frames, {:.0} MB of files: {seconds:.2} s, {:.2} s of \
         CPU, {:.1}M records/s ({} in sum), peak memory {} MB",
        tail.records,
        tail.bytes as f64 / 1e6,
        size as f64 / 1e6,
        cpu() - cpu_before,
        tail.records as f64 / 1e6 / seconds,
        checked,
        peak_memory_mb(),
    );
    let started = Instant::now();
    let mut read = 0_u64;
    for lsn in (1..tail.next_lsn.0).step_by((tail.records / 20_000).max(1) as usize) {
        read += u64::from(journal.frame_at(SHARD, Lsn(lsn))?.is_some());
    }
    println!(
        "frame_at: {:.1} us each ({read} in order)",
        started.elapsed().as_secs_f64() * 1e6 / read as f64
    );
    Ok(())
}

fn size_of_tree(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("lists");
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of_tree(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Seconds of CPU this process has used.
#[allow(clippy::cast_precision_loss)]
fn cpu() -> f64 {
    // SAFETY: the structure is plain data that the call fills in.
    #[allow(unsafe_code)]
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn status_number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Bytes this process has had written to disks.
fn written() -> u64 {
    status_number("/proc/self/io", "write_bytes:")
}

fn peak_memory_mb() -> u64 {
    status_number("/proc/self/status", "VmHWM:") / 1024
}
