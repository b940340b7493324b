//! The flags of secret fields: which they are, and where their keys come from.

use crate::exit::Failure;
use crate::vault;
use clap::Args;
use ducat_api::secret_fields::{SecretField, SecretFields};
use ducat_persistence::VaultError;
use ducat_persistence::vault::FieldKeys;
use ducat_persistence::witness::key::lies_in;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The variable that may hold the keys themselves.
pub const VARIABLE: &str = "DUCAT_SECRET_FIELDS_KEYS";

/// Options of secret fields.
#[derive(Args, Clone, Debug)]
pub struct SecretFieldArgs {
    /// Keys of accounts' metadata whose values are secret: sealed before they are kept, and shown masked. Each
    /// with its mask, card=card: card, email, id, iban or phone; without one nothing of it is shown.
    #[arg(long, env = "DUCAT_SECRET_FIELDS", value_delimiter = ',', value_name = "FIELDS")]
    pub secret_fields: Vec<SecretField>,
    /// The file of the keys they are sealed under, one a line, the newest last; nobody else can read it. Added
    /// ones are taken over at SIGHUP.
    #[arg(long, env = "DUCAT_SECRET_FIELDS_KEY_FILE", value_name = "FILE")]
    pub secret_fields_key_file: Option<PathBuf>,
    /// A command that prints those keys instead. A shell runs it. The variable DUCAT_SECRET_FIELDS_KEYS may hold
    /// the keys themselves instead.
    #[arg(
        long,
        env = "DUCAT_SECRET_FIELDS_KEY_COMMAND",
        value_name = "COMMAND",
        conflicts_with = "secret_fields_key_file"
    )]
    pub secret_fields_key_command: Option<String>,
}

impl SecretFieldArgs {
    /// Refuses what cannot be meant.
    pub fn check(&self, data_dir: &Path) -> Result<(), Failure> {
        if !self.secret_fields.is_empty() && !self.has_keys() {
            let names: Vec<&str> =
                self.secret_fields.iter().map(|field| field.name.as_str()).collect();
            return Err(Failure::usage(format!(
                "the fields {} are secret, and there is no key to seal them under: add \
                 --secret-fields-key-file, --secret-fields-key-command or {VARIABLE}",
                names.join(", ")
            )));
        }
        match &self.secret_fields_key_file {
            Some(file) if lies_in(file, data_dir) => Err(Failure::usage(format!(
                "the keys of secret fields {} lie in the data directory {}: whoever gets the directory \
                 gets the keys",
                file.display(),
                data_dir.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Whether anything says where keys are.
    pub fn has_keys(&self) -> bool {
        self.secret_fields_key_file.is_some()
            || self.secret_fields_key_command.is_some()
            || std::env::var_os(VARIABLE).is_some()
    }

    /// The keys as they are now; `None` where nothing says where they are.
    pub fn keys(&self) -> Result<Option<FieldKeys>, Failure> {
        let keys = match (&self.secret_fields_key_file, &self.secret_fields_key_command) {
            (Some(path), _) => FieldKeys::read(path),
            (None, Some(command)) => FieldKeys::from_command(command),
            (None, None) => match std::env::var(VARIABLE) {
                Ok(text) => FieldKeys::parse(&Zeroizing::new(text), VARIABLE),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(_) => Err(VaultError::NoFieldKeys { from: VARIABLE.to_owned() }),
            },
        };
        keys.map(Some).map_err(|error| vault::failure(&error))
    }

    /// What is secret, with the keys as they are now. With keys alone no field is secret, and what was sealed
    /// before is masked and can be revealed.
    pub fn secrets(&self) -> Result<Option<Arc<SecretFields>>, Failure> {
        let Some(keys) = self.keys()? else { return Ok(None) };
        let secrets = SecretFields::new(&self.secret_fields, keys);
        secrets.map(Some).map_err(Failure::usage)
    }

    /// The keys as they are now, for what goes on under them.
    pub fn keys_again(&self, secrets: &SecretFields) -> Result<Option<FieldKeys>, Failure> {
        let Some(keys) = self.keys()? else { return Ok(None) };
        match secrets.lost_with(&keys) {
            None => Ok(Some(keys)),
            Some(name) => Err(Failure::usage(format!(
                "the key {name} of secret fields is not there any more: what is sealed under it could not \
                 be opened. Keys are added behind the others, and none is taken away"
            ))),
        }
    }
}
