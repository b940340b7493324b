//! How much room a filesystem has.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The room of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Free for those who are not root.
    pub free_bytes: u64,
    /// In all.
    pub total_bytes: u64,
}

/// The room of the filesystem that holds `path`.
///
/// # Errors
/// When the system does not tell.
pub fn space(path: &Path) -> io::Result<Space> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut told = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the name ends with a zero, and the system fills the structure when it returns 0.
    #[allow(unsafe_code)]
    let told = unsafe {
        if libc::statvfs(name.as_ptr(), told.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        told.assume_init()
    };
    let bytes = |blocks: libc::fsblkcnt_t| blocks.saturating_mul(told.f_frsize);
    Ok(Space { free_bytes: bytes(told.f_bavail), total_bytes: bytes(told.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_has_room_and_a_missing_path_has_none() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let space = space(dir.path()).expect("told");
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0, "{space:?}");
        super::space(&dir.path().join("missing")).expect_err("nothing is there");
    }
}
