//! The flags of encryption at rest, and what they do to the process.

use super::security::Profile;
use crate::exit::Failure;
use crate::vault::{self, MasterKeyArgs};
use clap::{Args, ValueEnum};
use ducat_persistence::vault::KeysFile;
use ducat_persistence::witness::key::lies_in;
use ducat_persistence::{Vault, VaultError};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Who encrypts what lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// The server, if a master key is given; else nobody.
    Auto,
    /// The disk or the filesystem below, which nothing here can check: this says that it does.
    Disk,
}

/// Options of encryption at rest.
#[derive(Args, Clone, Debug)]
pub struct EncryptionArgs {
    /// Who encrypts what lies on the disk. In production somebody must.
    #[arg(long, env = "DUCAT_ENCRYPTION", value_enum, default_value = "auto")]
    pub encryption: ModeArg,
    /// Encrypt the data directory under the master key in this file, which nobody else can read. A
    /// directory that is not encrypted is from now on.
    #[arg(long, env = "DUCAT_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Encrypt it under the master key that this command prints. A shell runs it. The variable
    /// DUCAT_MASTER_KEY may hold the key itself instead.
    #[arg(
        long,
        env = "DUCAT_MASTER_KEY_COMMAND",
        value_name = "COMMAND",
        conflicts_with = "master_key_file"
    )]
    pub master_key_command: Option<String>,
    /// Encrypt it under the master key of a key service, behind this command: run with `id`, `wrap`
    /// or `unwrap NAME` behind it. A shell runs it.
    #[arg(long, env = "DUCAT_KEY_SERVICE", value_name = "COMMAND",
          conflicts_with_all = ["master_key_file", "master_key_command"])]
    pub key_service: Option<String>,
}

impl EncryptionArgs {
    fn source(&self) -> MasterKeyArgs {
        MasterKeyArgs {
            master_key_file: self.master_key_file.clone(),
            master_key_command: self.master_key_command.clone(),
            key_service: self.key_service.clone(),
        }
    }

    /// What a profile and a data directory have to say about them.
    pub fn check(&self, data_dir: &Path) -> Result<(), Failure> {
        match &self.master_key_file {
            Some(file) if lies_in(file, data_dir) => Err(Failure::usage(format!(
                "the master key {} lies in the data directory {}: whoever gets the directory gets \
                 the key",
                file.display(),
                data_dir.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Whether nobody encrypts, where somebody must.
    pub fn falls_short(&self, profile: Profile) -> bool {
        profile == Profile::Production && self.encryption == ModeArg::Auto && !self.is_given()
    }

    fn is_given(&self) -> bool {
        self.source().is_given()
    }

    /// Whether the master key can be read, if one is given.
    pub fn check_key(&self) -> Result<(), Failure> {
        self.source().read().map(drop).map_err(|error| vault::failure(&error))
    }

    /// Makes it the master key of this process, wherever a directory is opened; it leaves no copies of
    /// its memory behind then.
    pub fn choose(&self) {
        if self.is_given() {
            leave_no_cores();
        }
        vault::choose(&self.source());
    }
}

/// No core dump of this process is written, and no other process of the same user reads its memory:
/// keys are in it, and the ledger.
pub(super) fn leave_no_cores() {
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let done = limited.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = done {
        tracing::warn!(%error, "core dumps could not be ruled out; they would hold keys");
    }
}

/// Takes over keys that were rotated.
pub struct Rotation {
    data_dir: PathBuf,
    vault: Vault,
    source: MasterKeyArgs,
    /// The keys as they were taken over last. None at first: they may have been rotated between the
    /// unlocking of the directory and the end of its replay.
    seen: Mutex<Option<KeysFile>>,
}

impl Rotation {
    /// For the ledger in this directory.
    pub fn new(args: &EncryptionArgs, data_dir: &Path, vault: Vault) -> Self {
        let data_dir = data_dir.to_owned();
        Self { data_dir, vault, source: args.source(), seen: Mutex::new(None) }
    }

    /// Reads keys and master key again, if the keys have changed since.
    pub fn reload(&self) -> Result<(), Failure> {
        let failed = |error: VaultError| vault::failure(&error);
        let path = self.data_dir.join(ducat_persistence::vault::keys::KEYS);
        let keys = KeysFile::read(&self.data_dir).map_err(failed)?;
        let keys = keys.ok_or_else(|| failed(VaultError::Missing(path.clone())))?;
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.as_ref() == Some(&keys) {
            return Ok(());
        }
        let by = self.source.read().map_err(failed)?.ok_or_else(|| {
            let wanted = keys.masters().join(", ");
            failed(VaultError::Locked { path: self.data_dir.clone(), wanted })
        })?;
        self.vault.reload(&keys, &path, &*by).map_err(failed)?;
        *seen = Some(keys);
        tracing::info!(ledger_key = self.vault.current(), "the ledger's keys were read again");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_persistence::LedgerId;
    use ducat_persistence::vault::{MasterKey, keys::KEYS};

    /// The directory was unlocked, and while it was replayed its keys were rotated.
    #[test]
    fn a_rotation_during_the_replay_is_taken_over() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (path, key_file) = (dir.path().join(KEYS), dir.path().join("master.key"));
        let by = MasterKey::random().expect("random");
        by.write_new(&key_file).expect("writes");
        let mut keys = KeysFile::begin(LedgerId::from_bytes([5; 16]), 7, &path, &by).expect("made");
        let vault = Vault::unlock(&keys, &path, &by).expect("opens");
        keys.add(8, &path, &by).expect("adds");
        keys.write(dir.path()).expect("writes");
        let args = EncryptionArgs {
            encryption: ModeArg::Auto,
            master_key_file: Some(key_file),
            master_key_command: None,
            key_service: None,
        };
        let rotation = Rotation::new(&args, dir.path(), vault.clone());
        assert!(rotation.reload().is_ok());
        assert_eq!(vault.current(), 2);
    }
}
