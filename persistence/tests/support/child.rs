//! Processes for the tests: one that appends until it dies, one that opens what is
//! left and judges it. A test binary that uses them has a test named `child` which
//! calls [`run_child`]; the processes are that test, started with other variables.
#![allow(dead_code)]

use super::{open_journal, small_options};
use ducat_engine::ids::Lsn;
use ducat_persistence::SledOptions;
use ducat_persistence::conformance::{SHARD, append, check_frame};
use ducat_persistence::contract::Journal;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
const CHILD_MEMORY_BYTES: u64 = 2 << 30;

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// SplitMix64: every attack can be repeated from its seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

// ---- what runs in the child process ----

/// The body of the processes that the tests start; does nothing otherwise.
pub fn run_child() {
    let Ok(role) = std::env::var("DUCAT_CHILD") else {
        return;
    };
    let root = PathBuf::from(std::env::var("DUCAT_CHILD_DIR").expect("a directory"));
    match role.as_str() {
        "write" => write_until_killed(&root, setting("DUCAT_CHILD_STOP", u64::MAX)),
        "open" => judge(&root, Lsn(setting("DUCAT_CHILD_ACKED", 0))),
        other => panic!("unknown role {other}"),
    }
}

/// Appends and says what was acknowledged, until killed, or aborted at `stop`.
fn write_until_killed(root: &Path, stop: u64) {
    let most = setting("DUCAT_CHILD_MOST", 400);
    // Large appends go with large segments, in which sled reuses space.
    let options = SledOptions { segment_bytes_max: most * 2_000, ..small_options() };
    let options = if most > 400 { options } else { small_options() };
    let journal = open_journal(root, options);
    let (mut writer, tail) = journal.open_writer(SHARD, "child").expect("opens");
    let mut last = Lsn(tail.next_lsn.0 - 1);
    let mut random = Random(last.0);
    while last.0 < stop {
        let count = 1 + random.below(most);
        last = append(&mut *writer, last.next(), count).expect("appends");
        println!("ACKED {last}");
        std::io::stdout().flush().expect("flushes");
    }
    std::process::abort();
}

fn limit_memory() {
    let limit = libc::rlimit { rlim_cur: CHILD_MEMORY_BYTES, rlim_max: CHILD_MEMORY_BYTES };
    // SAFETY: a plain system call on this process.
    #[allow(unsafe_code)]
    let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(result, 0, "the limit is set");
}

/// Opens and says whether the journal is whole, or what is wrong.
fn judge(root: &Path, acked: Lsn) {
    limit_memory();
    match open_all(root, acked) {
        Ok(tail) => println!("VERDICT whole up to {tail}"),
        Err(error) => {
            let causes = std::iter::successors(Some(&*error), |error| error.source());
            let said: Vec<_> = causes.map(ToString::to_string).collect();
            println!("VERDICT refused: {}", said.join(": "));
        }
    }
}

fn open_all(root: &Path, acked: Lsn) -> Result<Lsn, Box<dyn std::error::Error>> {
    let dir = ducat_persistence::DataDir::open_existing(root)?;
    let journal = ducat_persistence::SledJournal::open(dir.into(), small_options())?;
    let mut seen = Lsn::ZERO;
    let opened = journal.open_writer_with(SHARD, "child", &mut |frame, _| {
        assert_eq!(frame.first_lsn(), seen.next(), "in order");
        check_frame(frame);
        seen = frame.last_lsn();
        Ok(())
    });
    let (mut writer, tail) = opened?;
    assert_eq!(tail.next_lsn, seen.next());
    assert!(seen >= acked, "silent loss: LSN {acked} was acknowledged, {seen} is the last");
    for lsn in (1..=seen.0).step_by(97).map(Lsn) {
        check_frame(&journal.frame_at(SHARD, lsn)?.ok_or("frame_at knows no such record")?);
    }
    append(&mut *writer, seen.next(), 100)?;
    Ok(seen)
}

// ---- the parent's side ----

pub fn start(role: &str, root: &Path, number: (&str, u64)) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("DUCAT_CHILD", role)
        .env("DUCAT_CHILD_DIR", root)
        .env(number.0, number.1.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

pub fn acked_by(mut child: Child) -> Lsn {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let acked = lines.filter_map(acked_in).last().unwrap_or(Lsn::ZERO);
    child.wait().expect("ends");
    acked
}

pub fn acked_in(line: std::io::Result<String>) -> Option<Lsn> {
    let line = line.expect("reads");
    let lsn = line.strip_prefix("ACKED ")?;
    Some(Lsn(lsn.parse().expect("a number")))
}

/// Kills the writer some time after it started, or after its first acknowledgement,
/// and returns the last one.
pub fn kill_writer(child: Child, working: bool, after: Duration) -> Lsn {
    watch_writer(child, working, after, &mut || ())
}

/// The same, with something that happens just before the kill.
pub fn watch_writer(
    mut child: Child,
    working: bool,
    after: Duration,
    before_kill: &mut dyn FnMut(),
) -> Lsn {
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = if working { lines.find_map(acked_in) } else { None };
    std::thread::sleep(after);
    before_kill();
    // It may have died of what happened.
    let _ = child.kill();
    let last = lines.filter_map(acked_in).last();
    child.wait().expect("ends");
    last.or(first).unwrap_or(Lsn::ZERO)
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    Refused(String),
    /// Silence, a panic, a hang, a crash: with what was said.
    Wrong(String),
}

pub fn open_in_child(root: &Path, acked: Lsn) -> Verdict {
    let mut child = start("open", root, ("DUCAT_CHILD_ACKED", acked.0));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        if started.elapsed() > OPEN_TIMEOUT {
            child.kill().expect("kills");
            child.wait().expect("ends");
            return Verdict::Wrong("it hangs".to_owned());
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    let verdict = said.lines().find_map(|line| line.split_once("VERDICT ").map(|(_, v)| v));
    match verdict {
        Some(verdict) if verdict.starts_with("whole") => Verdict::Whole,
        Some(verdict) => Verdict::Refused(verdict.to_owned()),
        None => {
            child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
            Verdict::Wrong(format!("status {status}, signal {:?}: {said}", status.signal()))
        }
    }
}
