//! How the binary ends: exit codes that mean something, and the error that carries one.
//!
//! Every command returns [`Done`]; `main` prints the failure's message to stderr and turns the
//! code into the process's own.

use std::fmt;
use std::process::ExitCode;

/// What the exit code of the process says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, and the answer is yes.
    Ok = 0,
    /// The answer is no: a refused transfer, an unknown account, an LSN that is not there.
    Refused = 1,
    /// The command line, a mapping or a request is wrong.
    Usage = 2,
    /// Data is damaged: a data directory or an input file.
    Damaged = 65,
    /// The server cannot be reached, is full, went away, or cannot listen.
    Unavailable = 69,
    /// Something failed that should not.
    Internal = 70,
    /// A file or directory cannot be created or written.
    CannotCreate = 73,
    /// The data directory is held by a running server.
    Held = 75,
    /// The server was stopped, and cut connections to come to an end in time.
    Cut = 76,
    /// The user pressed Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: the code to end with, and what to tell the user.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub exit: Exit,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Failure {
    /// A failure with this code and message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Wrong command line, mapping or request.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl From<ducat_api::import::Failure> for Failure {
    fn from(failure: ducat_api::import::Failure) -> Self {
        use ducat_api::import::FailureKind;
        let exit = match failure.kind {
            FailureKind::Usage => Exit::Usage,
            FailureKind::Damaged => Exit::Damaged,
            FailureKind::Internal => Exit::Internal,
        };
        Self::new(exit, failure.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How a command ends.
pub type Done = Result<Exit, Failure>;
