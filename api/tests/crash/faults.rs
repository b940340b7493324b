//! Faults at exactly the Nth sync or write of the real binary, and clocks that jump: the driver
//! of `faults.c`, a library that the server is made to load before all others.

use crate::server::Launch;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Numbers on the board that the server and the test share; as in `faults.c`.
const BOARD: usize = 8;
const FIRED: usize = 3;
const LATER: usize = 4;
const CLOCK: usize = 7;

/// Which calls on files of the data directory are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `fsync`, `fdatasync`, `sync_file_range`.
    Sync,
    /// `write`, `pwrite` and their kin; the mark's are synced by themselves.
    Write,
    /// What makes, renames or cuts a file or a directory.
    Name,
}

impl Class {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Write => "write",
            Self::Name => "name",
        }
    }
}

/// What happens at the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL before it is done.
    Kill,
    /// It fails with an input/output error and does nothing.
    Eio,
    /// It fails because no space is left.
    Enospc,
    /// The same, but only after a while, in which others begin to wait for it.
    Late,
    /// Half of it is written, then it fails.
    Torn,
    /// The filesystem is shut down before it is done; the server runs on.
    Cut,
    /// It does not come back before [`Faults::release`].
    Hang,
}

impl Action {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Eio => "EIO",
            Self::Enospc => "ENOSPC",
            Self::Late => "LATE",
            Self::Torn => "TORN",
            Self::Cut => "CUT",
            Self::Hang => "HANG",
        }
    }
}

/// The library, built once; or why there is none.
fn library() -> Result<&'static Path, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref().map_err(Clone::clone)
}

fn build() -> Result<PathBuf, String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/faults.c");
    let ready = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
    // Under a name of its own first: several test processes may do this at a time.
    let new = ready.with_extension(std::process::id().to_string());
    let done = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&new)
        .arg(source)
        .output()
        .map_err(|error| format!("there is no C compiler: {error}"))?;
    if !done.status.success() {
        panic!("{source} does not compile:\n{}", String::from_utf8_lossy(&done.stderr));
    }
    std::fs::rename(&new, &ready).expect("the target directory is writable");
    Ok(ready)
}

/// What a server's system calls meet, and what became of it.
pub struct Faults {
    variables: Vec<(String, String)>,
    board: tempfile::NamedTempFile,
}

impl Faults {
    /// No fault, but a clock that the test can set; or why that cannot be.
    pub fn none() -> Result<Self, String> {
        let board = tempfile::NamedTempFile::new().expect("a temporary file");
        board.as_file().set_len(8 * BOARD as u64).expect("a temporary file can grow");
        let variables = vec![
            ("LD_PRELOAD".to_owned(), text(library()?)),
            ("DUCAT_FAULT_BOARD".to_owned(), text(board.path())),
        ];
        Ok(Self { variables, board })
    }

    /// `action` at the `nth` call of `class` on a file below `dir`.
    pub fn at(class: Class, nth: u32, action: Action, dir: &Path) -> Result<Self, String> {
        let mut faults = Self::none()?;
        let (class, action) = (class.name(), action.name());
        faults.variables.push(("DUCAT_FAULT".to_owned(), format!("{class}:{nth}:{action}")));
        faults.variables.push(("DUCAT_FAULT_DIR".to_owned(), text(dir)));
        Ok(faults)
    }

    /// The filesystem that [`Action::Cut`] shuts down.
    pub fn cutting(mut self, mount: &Path) -> Self {
        self.variables.push(("DUCAT_FAULT_MOUNT".to_owned(), text(mount)));
        self
    }

    /// A launch that meets them.
    pub fn launch(&self) -> Launch {
        Launch { variables: self.variables.clone(), ..Launch::default() }
    }

    fn read(&self, at: usize) -> i64 {
        let bytes = std::fs::read(self.board.path()).expect("the board is readable");
        i64::from_ne_bytes(bytes[8 * at..8 * at + 8].try_into().expect("eight bytes"))
    }

    /// Whether the fault has happened.
    pub fn fired(&self) -> bool {
        self.read(FIRED) != 0
    }

    /// Lets a call that hangs go on.
    pub fn release(&self) {
        use std::os::unix::fs::FileExt as _;
        let board = self.board.as_file();
        board.write_all_at(&2_i64.to_ne_bytes(), 8 * FIRED as u64).expect("writable");
    }

    /// Syncs and writes on the data directory after the one that failed.
    pub fn later_calls(&self) -> i64 {
        self.read(LATER) + self.read(LATER + 1)
    }

    /// Sets the server's clock so many seconds before or after the true time, at once.
    pub fn set_clock(&self, seconds: i64) {
        use std::os::unix::fs::FileExt as _;
        let board = self.board.as_file();
        board.write_all_at(&seconds.to_ne_bytes(), 8 * CLOCK as u64).expect("writable");
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are plain").to_owned()
}
