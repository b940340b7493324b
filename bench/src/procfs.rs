//! What the kernel says about a process: CPU time, bytes written to disk, memory. Linux only;
//! elsewhere, or without permission, the figures are absent.

use std::fs;

/// One moment's figures of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds since it started, user and system.
    pub cpu_s: Option<f64>,
    /// Bytes it caused to be written to disk since it started.
    pub written_bytes: Option<u64>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
    /// The most resident memory it ever had, bytes.
    pub resident_bytes_max: Option<u64>,
}

impl Usage {
    /// The figures of process `pid` now.
    pub fn of(pid: u32) -> Self {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        Self {
            cpu_s: cpu_ticks(&read("stat")).map(|ticks| ticks as f64 / ticks_per_second()),
            written_bytes: keyed(&read("io"), "write_bytes:"),
            resident_bytes: keyed(&status, "VmRSS:").map(|kib| kib * 1024),
            resident_bytes_max: keyed(&status, "VmHWM:").map(|kib| kib * 1024),
        }
    }
}

/// Bytes of memory that the machine has left, 0 where it does not tell.
pub fn memory_available() -> u64 {
    let told = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    keyed(&told, "MemAvailable:").unwrap_or(0) * 1024
}

/// CPU seconds of the calling thread since it started, user and system.
pub fn thread_cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/thread-self/stat").ok()?;
    cpu_ticks(&stat).map(|ticks| ticks as f64 / ticks_per_second())
}

fn ticks_per_second() -> f64 {
    // SAFETY: sysconf only reads a constant of the system.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

/// utime + stime of `/proc/PID/stat`. The name before them may hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The number behind a key at the beginning of a line.
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1000 0 0 0 123 45 0 0 20 0 8 0 99 1 2";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks(""), None);
        assert_eq!(cpu_ticks("42 (x) S 1"), None);
    }

    #[test]
    fn keys_are_found_at_the_beginning_of_lines() {
        let io = "rchar: 9\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(keyed(io, "write_bytes:"), Some(4096));
        assert_eq!(keyed("VmRSS:\t  123 kB\n", "VmRSS:"), Some(123));
        assert_eq!(keyed("", "VmRSS:"), None);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_figures() {
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures() {
        let usage = Usage::of(std::process::id());
        assert!(usage.cpu_s.is_some() && usage.resident_bytes.is_some_and(|b| b > 1 << 16));
        assert!(thread_cpu_s().is_some_and(|own| own <= usage.cpu_s.unwrap_or(0.0) + 1.0));
    }
}
