//! SIGHUP: what can be read again while serving is read again. All of it is read before any of it
//! is used, so that a mistake leaves everything as it was.

use super::audit::AuditArgs;
use super::encryption::Rotation;
use super::secret_fields::SecretFieldArgs;
use super::security::SecurityArgs;
use crate::causes::with_causes;
use crate::config::{self, File};
use crate::exit::Failure;
use ducat_api::audit::Auditor;
use ducat_api::identity::Guard;
use ducat_api::rates::Limits;
use ducat_api::secret_fields::SecretFields;
use ducat_api::tls::Tls;
use ducat_api::traces::{Sampling, Traces};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is read again, and where it goes.
pub struct Reloader {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// What it held when the server was started.
    pub at_start: Option<File>,
    /// Where keys and certificates lie.
    pub security: SecurityArgs,
    /// Certificates, if connections are encrypted.
    pub tls: Option<Arc<Tls>>,
    /// Principals and keys of tokens, if anybody is asked.
    pub guard: Option<Arc<Guard>>,
    /// How much each caller may ask for.
    pub limits: Arc<Limits>,
    /// Where the key of masked values lies.
    pub audit: AuditArgs,
    /// Who masks, if there is an audit trail.
    pub auditor: Option<Arc<Auditor>>,
    /// How many calls are sampled, if any are.
    pub traces: Option<Arc<Traces>>,
    /// The ledger's keys, if it is encrypted.
    pub rotation: Option<Rotation>,
    /// Where the keys of secret fields lie.
    pub secret_fields: SecretFieldArgs,
    /// Secret fields, if there are keys for any.
    pub secrets: Option<Arc<SecretFields>>,
}

impl Reloader {
    /// Reads everything again at every SIGHUP from now on, without end.
    pub fn listen(self) {
        let hangup = signal(SignalKind::hangup()).expect("SIGHUP can always be handled");
        tokio::spawn(self.run(hangup));
    }

    async fn run(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            match self.reload() {
                Ok(need_restart) if need_restart.is_empty() => {
                    tracing::info!(
                        "principals, rates, masks, keys and certificates were read again"
                    );
                }
                Ok(need_restart) => {
                    let settings = need_restart.join(", ");
                    tracing::warn!(settings, "read again; these settings need a restart");
                }
                Err(failure) => {
                    tracing::error!(%failure, "could not read again; everything stays as it was");
                }
            }
        }
    }

    /// The settings that have changed and that only a start takes over.
    fn reload(&self) -> Result<Vec<String>, Failure> {
        let file = self.config.as_deref().map(config::read_again).transpose()?;
        let trust = self.security.trust(file.as_ref())?;
        let grants_something = self.security.asks_who(file.as_ref());
        if self.guard.is_some() && !grants_something {
            return Err(Failure::usage("nothing would be granted to anybody any more"));
        }
        let sampling = self.sampling(file.as_ref())?;
        let masks = self.audit.masks(file.as_ref())?;
        let secrets = self.secrets.as_deref();
        let field_keys = secrets.map(|secrets| self.secret_fields.keys_again(secrets));
        let field_keys = field_keys.transpose()?.flatten();
        if let Some(rotation) = &self.rotation {
            rotation.reload()?;
        }
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| Failure::usage(with_causes(&error)))?;
        }
        let mut need_restart = match (&self.at_start, &file) {
            (Some(before), Some(now)) => config::need_restart(before, now),
            _ => Vec::new(),
        };
        self.limits.replace(&file.map(|file| file.rates).unwrap_or_default());
        if let Some(auditor) = &self.auditor {
            auditor.remask(masks);
        }
        if let Some((secrets, keys)) = secrets.zip(field_keys) {
            secrets.replace(keys);
        }
        if let Some((traces, sampling)) = self.traces.as_ref().zip(sampling) {
            traces.resample(sampling);
        }
        match &self.guard {
            Some(guard) => guard.replace(trust),
            None if grants_something => need_restart.push("principals".to_owned()),
            None => {}
        }
        Ok(need_restart)
    }

    /// How much would be sampled after a start, if anything is.
    fn sampling(&self, file: Option<&File>) -> Result<Option<Sampling>, Failure> {
        let (Some(file), Some(_)) = (file, &self.traces) else { return Ok(None) };
        Ok(Some(config::serve_again(file)?.traces.sampling()))
    }
}
