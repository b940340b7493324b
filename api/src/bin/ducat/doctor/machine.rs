//! What a system says of itself, weighed for a ledger: limits, memory, clock, processors. Where it does
//! not tell, which is so in some containers, nothing is wrong.

use super::environment::Check;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Connections, segments and files of a server with the defaults, and some.
const FILES_FEW: u64 = 4_096;

/// Fewer than this, and a server cannot open what it has.
const FILES_TOO_FEW: u64 = 256;

/// Threads of a server with the defaults on a large machine, and some.
const PROCESSES_FEW: u64 = 512;

/// The bounds of memory with the defaults, and some for accounts.
const MEMORY_FEW: u64 = 2 << 30;

/// How long the clocks are watched, and how far they may part.
const WATCH: Duration = Duration::from_millis(100);
const DRIFT_MAX: Duration = Duration::from_millis(5);

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limits = read("/proc/self/limits");
    let meminfo = read("/proc/meminfo");
    vec![
        open_files(limit(&limits, "Max open files")),
        file_size(limit(&limits, "Max file size")),
        processes(limit(&limits, "Max processes")),
        core_dumps(limit(&limits, "Max core file size")),
        memory(kib(&meminfo, "MemTotal:"), cgroup_limit()),
        swap(kib(&meminfo, "SwapTotal:"), kib(&meminfo, "SwapFree:")),
        huge_pages(&read("/sys/kernel/mm/transparent_hugepage/enabled")),
        steadiness(clocks_part()),
        synchronised(clock_is_synchronised()),
        processors(),
    ]
}

/// A soft limit in the words of `/proc/self/limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Unknown,
    Unlimited,
    Most(u64),
}

impl Limit {
    const fn is_below(self, count: u64) -> bool {
        matches!(self, Self::Most(most) if most < count)
    }

    fn text(self, of: &str) -> String {
        match self {
            Self::Unknown => "the system does not tell".to_owned(),
            Self::Unlimited => "unlimited".to_owned(),
            Self::Most(most) => format!("{most} {of} at most"),
        }
    }
}

fn limit(limits: &str, name: &str) -> Limit {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name));
    match rest.and_then(|rest| rest.split_whitespace().next()) {
        None => Limit::Unknown,
        Some("unlimited") => Limit::Unlimited,
        Some(number) => number.parse().map_or(Limit::Unknown, Limit::Most),
    }
}

fn open_files(limit: Limit) -> Check {
    const NAME: &str = "open files";
    let found = limit.text("open files");
    let way_out =
        "raise it: LimitNOFILE= of the unit, ulimit -n, or --ulimit nofile= of the container";
    if limit.is_below(FILES_TOO_FEW) {
        let means = "A server opens its journal, and then refuses connections.";
        return Check::problem(NAME, found, means, way_out);
    }
    if limit.is_below(FILES_FEW) {
        let means = "Each connection takes one, and by default there may be 1,024 of them.";
        return Check::warning(NAME, found, means, way_out);
    }
    Check::ok(NAME, found)
}

fn file_size(limit: Limit) -> Check {
    const NAME: &str = "file size";
    let found = limit.text("bytes of a file");
    if matches!(limit, Limit::Most(_)) {
        return Check::problem(
            NAME,
            found,
            "A segment or a snapshot that grows beyond it ends the server.",
            "lift it: LimitFSIZE=infinity of the unit, or ulimit -f unlimited",
        );
    }
    Check::ok(NAME, found)
}

fn processes(limit: Limit) -> Check {
    const NAME: &str = "processes";
    let found = limit.text("processes and threads");
    if limit.is_below(PROCESSES_FEW) {
        return Check::warning(
            NAME,
            found,
            "Threads count as processes; a server that may not start one ends.",
            "raise it: LimitNPROC= or TasksMax= of the unit, ulimit -u, or --pids-limit of the container",
        );
    }
    Check::ok(NAME, found)
}

fn core_dumps(limit: Limit) -> Check {
    const NAME: &str = "core dumps";
    match limit {
        Limit::Most(0) => Check::ok(NAME, "none are written"),
        Limit::Unknown => Check::ok(NAME, limit.text("bytes")),
        Limit::Unlimited | Limit::Most(_) => Check::warning(
            NAME,
            limit.text("bytes of a core dump"),
            "Should the server crash, its memory is written to a file: balances, owners, keys.",
            "turn them off: LimitCORE=0 of the unit, or ulimit -c 0",
        ),
    }
}

fn memory(total: Option<u64>, cgroup: Option<u64>) -> Check {
    const NAME: &str = "memory";
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let Some(total) = total else { return Check::ok(NAME, "the system does not tell") };
    let most = cgroup.unwrap_or(total).min(total);
    let found = match cgroup.filter(|&limit| limit < total) {
        Some(limit) => format!("{} of {}, by the control group", gib(limit), gib(total)),
        None => gib(total),
    };
    if most < MEMORY_FEW {
        return Check::warning(
            NAME,
            found,
            "With its default bounds a server may take more, and is ended when it does.",
            "give it more, or lower --requests-mib, --answers-mib and --in-flight-max \
             (docs/ARCHITECTURE.md, bounds of memory)",
        );
    }
    Check::ok(NAME, found)
}

fn swap(total: Option<u64>, free: Option<u64>) -> Check {
    const NAME: &str = "swap";
    match total {
        None => Check::ok(NAME, "the system does not tell"),
        Some(0) => Check::ok(NAME, "none"),
        Some(total) => Check::warning(
            NAME,
            format!(
                "{} MiB, {} in use",
                total >> 20,
                total.saturating_sub(free.unwrap_or(total)) >> 20
            ),
            "Balances that were swapped out answer a thousand times slower, and lie on a disk.",
            "turn it off for the server: MemorySwapMax=0 of the unit, or swapoff",
        ),
    }
}

fn huge_pages(enabled: &str) -> Check {
    const NAME: &str = "huge pages";
    let chosen = enabled.split(['[', ']']).nth(1);
    match chosen {
        None => Check::ok(NAME, "the system does not tell"),
        Some("always") => Check::warning(
            NAME,
            "transparent ones, always",
            "The kernel stops threads to put small pages together, which is seen in the longest \
             answers, and memory grows by what is not used of them.",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(chosen) => Check::ok(NAME, format!("transparent ones, {chosen}")),
    }
}

/// How far the wall's clock and the steady one part while they are watched.
fn clocks_part() -> Duration {
    let (steady, wall) = (Instant::now(), SystemTime::now());
    std::thread::sleep(WATCH);
    let (steady, wall) = (steady.elapsed(), wall.elapsed());
    wall.map_or(Duration::MAX, |wall| wall.abs_diff(steady))
}

fn steadiness(part: Duration) -> Check {
    const NAME: &str = "clock";
    if part > DRIFT_MAX {
        return Check::warning(
            NAME,
            format!("set by {} ms within {} ms", part.as_millis(), WATCH.as_millis()),
            "Times of events never go back, so after a jump forward they stay ahead of the clock.",
            "have the clock slewed, not stepped: chrony without makestep, one time service alone",
        );
    }
    Check::ok(NAME, "steady")
}

fn synchronised(told: Option<bool>) -> Check {
    const NAME: &str = "time service";
    match told {
        None => Check::ok(NAME, "the system does not tell"),
        Some(true) => Check::ok(NAME, "the clock is synchronised"),
        Some(false) => Check::warning(
            NAME,
            "the clock is not synchronised",
            "Times of events, expiries of holds and schedules go by it.",
            "run chrony or systemd-timesyncd; in a container or virtual machine, its host must",
        ),
    }
}

/// What the kernel says of its clock: whoever disciplines it tells the kernel.
fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: the structure is plain numbers, for which zeros are values; with no modes set the call
    // changes nothing and fills it.
    #[allow(unsafe_code)]
    let state = unsafe {
        let mut told: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut told)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

fn processors() -> Check {
    const NAME: &str = "processors";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lacking = lacking();
    let found = format!("{cores} for this process");
    if !lacking.is_empty() {
        return Check::warning(
            NAME,
            format!("{found}, without {}", lacking.join(", ")),
            "Encryption and hashes take several times as long.",
            "use a machine that has them, or a virtual one that passes them on",
        );
    }
    if cores < 2 {
        return Check::warning(
            NAME,
            found,
            "Deciding, writing and speaking with clients have threads of their own, which take turns.",
            "give it two or more",
        );
    }
    Check::ok(NAME, format!("{found}, with instructions for AES and SHA"))
}

/// Instructions that encryption and hashes are much slower without.
fn lacking() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("AES", std::arch::is_x86_feature_detected!("aes")),
        ("carry-less multiplication", std::arch::is_x86_feature_detected!("pclmulqdq")),
        // Either will do for hashes.
        (
            "SHA and AVX2",
            std::arch::is_x86_feature_detected!("sha")
                || std::arch::is_x86_feature_detected!("avx2"),
        ),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("AES", std::arch::is_aarch64_feature_detected!("aes")),
        ("SHA", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&'static str, bool); 0] = [];
    known.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

/// The number behind a key of `/proc/meminfo`, in bytes.
fn kib(meminfo: &str, key: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The memory that this process could still take, in bytes, if the system tells: what is free or can be
/// made so, and what its control groups leave it.
pub(crate) fn memory_available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kib(&meminfo, "MemAvailable:").into_iter().chain(cgroup_limit()).min()
}

/// The memory that the control groups of this process leave it: the least of its own and of those above.
fn cgroup_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (dir, file) = cgroup_dir(&groups)?;
    let limits = dir.ancestors().take_while(|dir| *dir != Path::new("/sys/fs"));
    limits
        .filter_map(|dir| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok())
        .min()
}

/// Where the limit of memory is found, in the second version of control groups or in the first.
fn cgroup_dir(groups: &str) -> Option<(PathBuf, &'static str)> {
    let mut lines = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?.trim_start_matches('/')))
    });
    let v1 = lines.clone().find(|(controllers, _)| controllers.split(',').any(|c| c == "memory"));
    if let Some((_, path)) = v1 {
        return Some((Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"));
    }
    let (_, path) = lines.find(|(controllers, _)| controllers.is_empty())?;
    Some((Path::new("/sys/fs/cgroup").join(path), "memory.max"))
}

#[cfg(test)]
mod tests {
    use super::super::environment::Weight;
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max file size             unlimited            unlimited            bytes
Max core file size        0                    unlimited            bytes
Max processes             96365                96365                processes
Max open files            1024                 20000                files";

    #[test]
    fn soft_limits_are_read_by_their_names() {
        assert_eq!(limit(LIMITS, "Max open files"), Limit::Most(1024));
        assert_eq!(limit(LIMITS, "Max file size"), Limit::Unlimited);
        assert_eq!(limit(LIMITS, "Max core file size"), Limit::Most(0));
        assert_eq!(limit(LIMITS, "Max nothing"), Limit::Unknown);
    }

    #[test]
    fn each_limit_is_weighed() {
        use Weight::{Ok, Problem, Warning};
        for (check, weight) in [
            (open_files(Limit::Most(100)), Problem),
            (open_files(Limit::Most(1_024)), Warning),
            (open_files(Limit::Most(65_536)), Ok),
            (open_files(Limit::Unknown), Ok),
            (file_size(Limit::Most(1 << 40)), Problem),
            (file_size(Limit::Unlimited), Ok),
            (processes(Limit::Most(100)), Warning),
            (processes(Limit::Unlimited), Ok),
            (core_dumps(Limit::Most(0)), Ok),
            (core_dumps(Limit::Unlimited), Warning),
            (memory(Some(8 << 30), None), Ok),
            (memory(Some(8 << 30), Some(1 << 30)), Warning),
            (memory(Some(1 << 30), Some(u64::MAX)), Warning),
            (memory(None, None), Ok),
            (swap(Some(0), Some(0)), Ok),
            (swap(Some(1 << 30), Some(1 << 29)), Warning),
            (huge_pages("always [madvise] never\n"), Ok),
            (huge_pages("[always] madvise never\n"), Warning),
            (huge_pages(""), Ok),
            (steadiness(Duration::from_micros(30)), Ok),
            (steadiness(Duration::from_secs(3600)), Warning),
            (synchronised(Some(true)), Ok),
            (synchronised(Some(false)), Warning),
            (synchronised(None), Ok),
        ] {
            assert_eq!(check.weight, weight, "{check:?}");
            assert_eq!(check.weight == Ok, check.way_out.is_empty(), "a way out: {check:?}");
        }
        let told = memory(Some(8 << 30), Some(1 << 30)).found;
        assert_eq!(told, "1.0 GiB of 8.0 GiB, by the control group");
    }

    #[test]
    fn the_control_group_of_memory_is_found_in_both_versions() {
        let v1 = "9:name=systemd:/\n4:memory:/a/b\n0::/\n";
        let found = cgroup_dir(v1).expect("there");
        assert_eq!(found, ("/sys/fs/cgroup/memory/a/b".into(), "memory.limit_in_bytes"));
        let v2 = "0::/system.slice/ducat.service\n";
        let found = cgroup_dir(v2).expect("there");
        assert_eq!(found, ("/sys/fs/cgroup/system.slice/ducat.service".into(), "memory.max"));
        assert_eq!(cgroup_dir(""), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(kib("MemTotal:       16 kB\nSwapTotal: 0 kB\n", "MemTotal:"), Some(16_384));
        assert_eq!(kib("", "MemTotal:"), None);
    }
}
