//! The flags of the audit trail.

use super::security::Profile;
use crate::config::File;
use crate::exit::Failure;
use clap::{Args, ValueEnum};
use ducat_api::audit::masking::Masks;
use ducat_api::audit::{Auditor, Options};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Fewest bytes of a key.
const KEY_BYTES_MIN: usize = 16;

/// Whether a trail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TrailArg {
    /// In production, and not in development.
    Auto,
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Options of the audit trail.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// Keep an audit trail: who did what, in the journal, beside what they did. By default in the profile
    /// production.
    #[arg(long, env = "DUCAT_AUDIT", value_enum, default_value = "auto")]
    audit: TrailArg,
    /// For how many days the trail is shown: seven years. It is kept as long as the journal and its archive.
    #[arg(long, env = "DUCAT_AUDIT_KEEP_DAYS", default_value_t = 2_557, value_name = "DAYS",
          value_parser = clap::value_parser!(u64).range(1..=36_600))]
    audit_keep_days: u64,
    /// A file with a key, 16 bytes or more: masked values in the trail are followed by their keyed hash, so
    /// that equal ones can be told.
    #[arg(long, env = "DUCAT_AUDIT_HASH_KEY", value_name = "FILE")]
    pub audit_hash_key: Option<PathBuf>,
}

impl AuditArgs {
    /// Whether a trail is kept under this profile.
    pub fn is_on(&self, profile: Profile) -> bool {
        match self.audit {
            TrailArg::Auto => profile == Profile::Production,
            TrailArg::On => true,
            TrailArg::Off => false,
        }
    }

    /// Who keeps the trail; reads the key.
    pub fn auditor(
        &self,
        profile: Profile,
        file: Option<&File>,
    ) -> Result<Option<Arc<Auditor>>, Failure> {
        let masks = self.masks(file)?;
        if !self.is_on(profile) {
            return Ok(None);
        }
        let keep = Duration::from_secs(self.audit_keep_days * 24 * 3_600);
        Ok(Some(Auditor::new(Options { keep, masks })))
    }

    /// What is masked, by the file's rules and the key as it is now.
    pub fn masks(&self, file: Option<&File>) -> Result<Masks, Failure> {
        let key = self.audit_hash_key.as_deref().map(read_key).transpose()?;
        let rules = file.map(|file| file.masks.clone()).unwrap_or_default();
        Ok(Masks::new(&rules, key))
    }
}

/// The key that a file's bytes come to.
fn read_key(path: &Path) -> Result<[u8; 32], Failure> {
    let failed = |why: String| {
        Failure::usage(format!("could not read the key of hashes {}: {why}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.trim_ascii();
    if bytes.len() < KEY_BYTES_MIN {
        return Err(failed(format!("it has {} bytes, {KEY_BYTES_MIN} are needed", bytes.len())));
    }
    Ok(blake3::derive_key("ducat 2026 audit trail, hashes of masked values", bytes))
}
