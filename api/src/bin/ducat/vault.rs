//! The master key of this process: where the command line says it comes from, and what follows when
//! it is missing or another's.
//!
//! It is read when a directory is opened that wants it, not before, and never kept as text. Commands
//! that only read open an encrypted directory with it and take no notice of it for one that is not;
//! `serve` encrypts from then on whatever it is started on.

use crate::causes::with_causes;
use crate::exit::{Exit, Failure};
use clap::Args;
use ducat_api::compose::is_keys_damage;
use ducat_persistence::vault::{KeyService, KeyWrapper, KeysFile, MasterKey};
use ducat_persistence::{DataDir, VaultError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// The variable that may hold the master key itself.
pub const VARIABLE: &str = "DUCAT_MASTER_KEY";

/// Whoever wraps ledger keys, for as long as the process needs it.
pub type Wrapper = Arc<dyn KeyWrapper>;

/// Where the master key comes from; else from the variable DUCAT_MASTER_KEY, if that is there.
#[derive(Args, Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterKeyArgs {
    /// The file of the master key that an encrypted data directory or backup wants.
    #[arg(long, global = true, env = "DUCAT_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// A command that prints the master key instead. A shell runs it.
    #[arg(
        long,
        global = true,
        env = "DUCAT_MASTER_KEY_COMMAND",
        value_name = "COMMAND",
        conflicts_with = "master_key_file"
    )]
    pub master_key_command: Option<String>,
    /// A command in front of a key service, whose master key never leaves it: run with `id`, `wrap`
    /// or `unwrap NAME` behind it. A shell runs it.
    #[arg(long, global = true, env = "DUCAT_KEY_SERVICE", value_name = "COMMAND",
          conflicts_with_all = ["master_key_file", "master_key_command"])]
    pub key_service: Option<String>,
}

impl MasterKeyArgs {
    /// Reads the master key; `None` when nothing says where it is.
    pub fn read(&self) -> Result<Option<Wrapper>, VaultError> {
        if let Some(command) = &self.key_service {
            return Ok(Some(Arc::new(KeyService::new(command))));
        }
        let key = match (&self.master_key_file, &self.master_key_command) {
            (Some(path), _) => MasterKey::read(path)?,
            (None, Some(command)) => MasterKey::from_command(command)?,
            (None, None) => match std::env::var(VARIABLE) {
                Ok(text) => MasterKey::parse(&Zeroizing::new(text), VARIABLE)?,
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(Arc::new(key)))
    }

    /// Whether anything says where the master key is.
    pub fn is_given(&self) -> bool {
        *self != Self::default() || std::env::var_os(VARIABLE).is_some()
    }
}

/// What this process's command line says, and the master key once it was read: a command is asked
/// once.
static CHOSEN: Mutex<(Option<MasterKeyArgs>, Option<Wrapper>)> = Mutex::new((None, None));

/// Keeps what the command line says, for whichever module opens a directory.
pub fn choose(args: &MasterKeyArgs) {
    *CHOSEN.lock().unwrap_or_else(PoisonError::into_inner) = (Some(args.clone()), None);
}

/// The master key that was given, if any.
pub fn given() -> Result<Option<Wrapper>, Failure> {
    let mut chosen = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner);
    if chosen.1.is_none() {
        let args = chosen.0.clone().unwrap_or_default();
        chosen.1 = args.read().map_err(|error| failure(&error))?;
    }
    Ok(chosen.1.clone())
}

/// The master key for a data directory; `None` for one that is not encrypted, or is none.
pub fn of(data_dir: &Path) -> Result<Option<Wrapper>, Failure> {
    match DataDir::is_encrypted(data_dir) {
        Ok(true) => given(),
        // What is wrong with it is told by whoever opens it.
        Ok(false) | Err(_) => Ok(None),
    }
}

/// The master key for a backup; `None` for one that is not encrypted, or is none.
pub fn of_backup(dir: &Path) -> Result<Option<Wrapper>, Failure> {
    match KeysFile::read(dir) {
        Ok(Some(_)) => given(),
        Ok(None) | Err(_) => Ok(None),
    }
}

/// How keys that are of no use end the command.
pub fn failure(error: &VaultError) -> Failure {
    let exit = match error {
        error if is_keys_damage(error) => Exit::Damaged,
        VaultError::InUse(_) => Exit::Held,
        VaultError::Random => Exit::Internal,
        VaultError::Io { verb: "create" | "write" | "sync" | "rename", .. } => Exit::CannotCreate,
        _ => Exit::Usage,
    };
    Failure::new(exit, with_causes(error))
}
