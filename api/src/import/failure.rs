//! Why a file or a mapping cannot be used.

use std::fmt;

/// Why a file or a mapping cannot be used: a sentence, and of what sort it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of what sort.
    pub kind: FailureKind,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// Of what sort a [`Failure`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The mapping, or a file's name or columns, are wrong.
    Usage,
    /// A file is damaged or cut off.
    Damaged,
    /// Something failed that should not.
    Internal,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A wrong mapping or file.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
