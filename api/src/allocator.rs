//! How long freed memory is kept by the process before it goes back to the system: set once,
//! first thing, by the binaries that use mimalloc.
//!
//! A flood of batches frees and takes the same megabytes again and again. What goes back to the
//! system in between comes back page by page, each to be zeroed by the kernel: a tenth of the
//! throughput (ADR 10). Kept too long, the memory that growing tables leave behind stays: 20 s
//! cost a gigabyte at ten million accounts.
//!
//! Memory that is taken the first time is zeroed by the kernel in the middle of somebody's transfer, and on a
//! virtual machine the host may first have to find it. Who does not want that takes it before anyone is
//! served: [`take_ahead`] ([decision 50](../../docs/adr/0050-memory-taken-ahead.md)).

use libmimalloc_sys::{mi_manage_os_memory_ex, mi_option_get, mi_option_set, mi_option_t};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::io;
use std::ops::Range;
use std::ptr::null_mut;

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

/// Memory is taken ahead in multiples of so many bytes: what the allocator keeps account of at once.
pub const AHEAD_STEP_BYTES: usize = 32 * 1024 * 1024;

/// Where large pages begin.
const LARGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Blocks of one size that fill what was there before: a gigabyte in the largest.
const FILLERS_MAX: usize = 64;

/// Takes so many bytes from the system, every page of them, and gives them to mimalloc to be used before
/// anything else and never to be given back. Rounded up to [`AHEAD_STEP_BYTES`]; 0 does nothing.
///
/// # Errors
/// What the system says when it does not have them. Nothing is taken then.
pub fn take_ahead(bytes: usize) -> io::Result<()> {
    let Some(bytes) = bytes.checked_next_multiple_of(AHEAD_STEP_BYTES) else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    if bytes == 0 {
        return Ok(());
    }
    let mapped = bytes + LARGE_PAGE_BYTES;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping that replaces none and that nothing else knows of. What is taken and advised
    // lies within it. It is unmapped only where nobody was given it; else it stays for ever, zeroed and
    // used by the allocator alone.
    #[allow(unsafe_code)]
    unsafe {
        let start = mmap_anonymous(null_mut(), mapped, access, MapFlags::PRIVATE)?;
        let begin = start.byte_add(start.align_offset(LARGE_PAGE_BYTES));
        // Small pages do as well, only slower.
        let _advised = madvise(begin, bytes, Advice::LinuxHugepage);
        let taken = madvise(begin, bytes, Advice::LinuxPopulateWrite).map_err(io::Error::from);
        let given = taken.and_then(|()| {
            let given =
                mi_manage_os_memory_ex(begin, bytes, true, true, true, -1, false, null_mut());
            given.then_some(()).ok_or_else(|| io::Error::other("the allocator refused it"))
        });
        if given.is_err() {
            let _gone = munmap(start, mapped);
            return given;
        }
        fill_what_was_before(begin.addr()..begin.addr() + bytes);
    }
    Ok(())
}

/// The allocator looks for room in the order in which it came by its memory, and it came by the first
/// gigabyte before `main`: addresses of which hardly one has a page. They are taken for good and never
/// touched, so that what was taken ahead comes first.
fn fill_what_was_before(ahead: Range<usize>) {
    for size in [32 << 20, 4 << 20, 512 << 10, 64 << 10] {
        for _ in 0..FILLERS_MAX {
            let filler: Vec<u8> = Vec::with_capacity(size);
            if ahead.contains(&filler.as_ptr().addr()) {
                break;
            }
            std::mem::forget(filler);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_MS, keep_freed_memory, kept_ms, take_ahead};

    #[test]
    fn more_than_there_is_is_refused() {
        assert!(take_ahead(usize::MAX).is_err());
        assert!(take_ahead(1 << 46).is_err(), "64 TiB");
    }

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
