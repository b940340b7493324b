//! Memory taken before the ledger is opened (`--memory-ahead-mib`): refused where the machine does not have
//! it, since what is promised and not there ends the process in the middle of its work.

use crate::doctor::memory_available;
use crate::exit::{Exit, Failure};
use ducat_api::allocator;
use std::time::Instant;

/// Of what the machine has left, so much stays: one part in so many.
const LEFT: u64 = 10;

/// Takes so many MiB and says how long that took.
pub(super) fn take_ahead(mebibytes: u32) -> Result<(), Failure> {
    if mebibytes == 0 {
        return Ok(());
    }
    let bytes = u64::from(mebibytes) * 1024 * 1024;
    if let Some(left) = memory_available().map(|left| left - left / LEFT)
        && bytes > left
    {
        let left = left / (1024 * 1024);
        let why = format!(
            "--memory-ahead-mib {mebibytes} is more than this machine has left ({left} MiB)"
        );
        return Err(Failure::new(Exit::Unavailable, why));
    }
    let begun = Instant::now();
    allocator::take_ahead(bytes as usize).map_err(|error| {
        let why = format!("the system does not give --memory-ahead-mib {mebibytes}: {error}");
        Failure::new(Exit::Unavailable, why)
    })?;
    tracing::info!(mebibytes, seconds = begun.elapsed().as_secs_f64(), "memory taken ahead");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::take_ahead;
    use crate::exit::Exit;

    /// Pages that this thread has had to ask the kernel for so far.
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
        let mut fields = stat.rsplit(')').next().expect("a name").split_whitespace();
        fields.nth(7).and_then(|count| count.parse().ok()).expect("minflt")
    }

    #[test]
    fn memory_taken_ahead_is_used_and_there_at_once() {
        take_ahead(0).expect("nothing to do");
        take_ahead(128).expect("there is as much");
        let before = faults();
        let blocks = (0..4).map(|_| vec![1_u8; 16 << 20]).collect::<Vec<_>>();
        let asked = faults() - before;
        drop(std::hint::black_box(blocks));
        // It would be 16,384 pages of 4 KiB, or 32 large ones.
        assert!(asked < 24, "{asked} faults");
    }

    #[test]
    fn more_than_the_machine_has_is_refused() {
        let failure = take_ahead(u32::MAX).expect_err("4 PiB");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("more than this machine has left"), "{failure}");
    }
}
