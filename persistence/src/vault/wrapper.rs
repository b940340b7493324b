//! Who wraps ledger keys: where a key service fits.
//!
//! [`MasterKey`](super::MasterKey) wraps them itself. [`KeyService`] asks a command, so that a
//! master key that never leaves its service can be used: the command is run with one of three
//! words behind it, reads lines of base64 and writes one.
//!
//! ```text
//! COMMAND id                  ▸ the name of the key that wraps now
//! COMMAND wrap                ◂ key, context     ▸ wrapped
//! COMMAND unwrap NAME         ◂ wrapped, context ▸ key
//! ```
//!
//! The context is no secret; a service that can bind it to the wrapped key should.

use super::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;
use zeroize::Zeroizing;

/// A command that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(30);
/// No command prints more, in bytes.
const PRINTED_BYTES_MAX: u64 = 16 << 10;
/// No name of a key is longer, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Why a key was not wrapped or unwrapped. Never holds a secret, nor what a command printed to
/// stdout.
#[derive(Debug, Error)]
pub enum WrapError {
    /// Another master key wraps it.
    #[error("the master key {given} is not the one that wraps it")]
    Other {
        /// Names the one that was tried.
        given: String,
    },
    /// What is wrapped is not what was wrapped, or belongs elsewhere.
    #[error("the wrapped key is not what was wrapped")]
    Changed,
    /// What was just wrapped is unwrapped to another key.
    #[error("unwrapping what was just wrapped gives another key")]
    Unlike,
    /// The system has no randomness.
    #[error("the system's source of randomness failed")]
    Random,
    /// The command could not be run.
    #[error("the command could not be run")]
    Run(#[source] io::Error),
    /// The command ended with a failure.
    #[error("the command failed ({status}){}", after_colon(.said))]
    Failed {
        /// How it ended.
        status: String,
        /// What it wrote to stderr, cut.
        said: String,
    },
    /// The command did not end.
    #[error("the command did not end in {} seconds and was stopped", PATIENCE.as_secs())]
    Hangs,
    /// The command printed something else than it should.
    #[error("the command did not print {0}")]
    Printed(&'static str),
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Wraps ledger keys under a master key, which it knows or asks for.
pub trait KeyWrapper: Send + Sync + fmt::Debug {
    /// Names the master key that wraps now: no blanks, at most 200 bytes.
    ///
    /// # Errors
    /// [`WrapError`] when that cannot be found out.
    fn id(&self) -> Result<String, WrapError>;

    /// Wraps a key, bound to `context` where that is possible.
    ///
    /// # Errors
    /// [`WrapError`].
    fn wrap(&self, secret: &Secret, context: &[u8]) -> Result<Vec<u8>, WrapError>;

    /// The key that the master key of this name wrapped with the same context.
    ///
    /// # Errors
    /// [`WrapError::Other`] when that master key is not at hand, [`WrapError::Changed`] for what
    /// was not wrapped so.
    fn unwrap(&self, id: &str, wrapped: &[u8], context: &[u8]) -> Result<Secret, WrapError>;
}

/// A key service behind a command.
#[derive(Debug, Clone)]
pub struct KeyService {
    command: String,
}

impl KeyService {
    /// The service that this command speaks to. A shell runs it.
    #[must_use]
    pub fn new(command: &str) -> Self {
        Self { command: command.to_owned() }
    }
}

fn line(text: &[u8], what: &'static str) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    let text = std::str::from_utf8(text).map_err(|_| WrapError::Printed(what))?;
    let decoded = BASE64_STANDARD.decode(text.trim());
    decoded.map(Zeroizing::new).map_err(|_| WrapError::Printed(what))
}

fn lines(first: &[u8], second: &[u8]) -> Zeroizing<Vec<u8>> {
    let encode = |bytes: &[u8]| Zeroizing::new(BASE64_STANDARD.encode(bytes));
    let mut text = Zeroizing::new(Vec::with_capacity(4 * (first.len() + second.len()) + 16));
    for part in [first, second] {
        text.extend_from_slice(encode(part).as_bytes());
        text.push(b'\n');
    }
    text
}

impl KeyWrapper for KeyService {
    fn id(&self) -> Result<String, WrapError> {
        let printed = run(&self.command, &["id"], b"")?;
        let name = std::str::from_utf8(&printed).unwrap_or_default().trim();
        let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        if !fits || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(WrapError::Printed("the name of its key"));
        }
        Ok(name.to_owned())
    }

    fn wrap(&self, secret: &Secret, context: &[u8]) -> Result<Vec<u8>, WrapError> {
        let printed = run(&self.command, &["wrap"], &lines(&**secret, context))?;
        let wrapped = line(&printed, "a wrapped key in base64")?;
        if wrapped.is_empty() {
            return Err(WrapError::Printed("a wrapped key in base64"));
        }
        Ok(wrapped.to_vec())
    }

    fn unwrap(&self, id: &str, wrapped: &[u8], context: &[u8]) -> Result<Secret, WrapError> {
        let printed = run(&self.command, &["unwrap", id], &lines(wrapped, context))?;
        let key = line(&printed, "a key in base64")?;
        let key: &[u8; 32] =
            key.as_slice().try_into().map_err(|_| WrapError::Printed("a key of 32 bytes"))?;
        Ok(Secret::new(*key))
    }
}

/// What a command prints to stdout, given these arguments and this input.
pub(super) fn run(
    command: &str,
    arguments: &[&str],
    input: &[u8],
) -> Result<Zeroizing<Vec<u8>>, WrapError> {
    // `"$@"` hands the arguments over as they are, whatever is in them.
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{command} \"$@\""))
        .arg("sh")
        .args(arguments)
        .env_remove("DUCAT_MASTER_KEY")
        .env_remove("DUCAT_SECRET_FIELDS_KEYS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(WrapError::Run)?;
    // What it does not read it does not need; both fit into a pipe.
    drop(child.stdin.take().map(|mut stdin| stdin.write_all(input)));
    let status = wait(&mut child)?;
    let mut printed = Zeroizing::new(Vec::with_capacity(PRINTED_BYTES_MAX as usize));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(PRINTED_BYTES_MAX).read_to_end(&mut printed).map_err(WrapError::Run)?;
    }
    if status.success() {
        return Ok(printed);
    }
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(400).read_to_end(&mut said).map_err(WrapError::Run)?;
    }
    let said = String::from_utf8_lossy(&said).trim().replace('\n', " ");
    Err(WrapError::Failed { status: status.to_string(), said })
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus, WrapError> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(WrapError::Run)? {
            return Ok(status);
        }
        if started.elapsed() > PATIENCE {
            let _ended = child.kill().and_then(|()| child.wait());
            return Err(WrapError::Hangs);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
