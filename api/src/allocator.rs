//! How long freed memory is kept by the process before it goes back to the system: set once,
//! first thing, by the binaries that use mimalloc.
//!
//! A flood of batches frees and takes the same megabytes again and again. What goes back to the
//! system in between comes back page by page, each to be zeroed by the kernel: a tenth of the
//! throughput (ADR 10). Kept too long, the memory that growing tables leave behind stays: 20 s
//! cost a gigabyte at ten million accounts.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

/// How long freed memory is kept, in milliseconds.
pub const KEPT_MS: i64 = 3_000;

/// mimalloc's `mi_option_purge_delay`, which the binding does not name. The test below holds
/// it against the default that the library documents.
const PURGE_DELAY: mi_option_t = 15;

/// Makes mimalloc keep freed memory for [`KEPT_MS`]. Not if the environment says otherwise
/// (`MIMALLOC_PURGE_DELAY`).
pub fn keep_freed_memory() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: an option is a number that may be set at any time.
        #[allow(unsafe_code)]
        unsafe {
            mi_option_set(PURGE_DELAY, KEPT_MS);
        }
    }
}

/// How long freed memory is kept now, in milliseconds.
#[must_use]
pub fn kept_ms() -> i64 {
    // SAFETY: reading an option changes nothing.
    #[allow(unsafe_code)]
    unsafe {
        mi_option_get(PURGE_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_MS, keep_freed_memory, kept_ms};

    #[test]
    fn freed_memory_is_kept() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            println!("skipped: MIMALLOC_PURGE_DELAY is set");
            return;
        }
        // The default of mimalloc 3; another number means that the option has moved.
        assert_eq!(kept_ms(), 1_000);
        keep_freed_memory();
        assert_eq!(kept_ms(), KEPT_MS);
    }
}
