//! Making tokens and their keys, for development and for operators: what `ducat token` does. A
//! bank's gateways have their tokens from the bank's own issuer.

use super::keys::kid_of_pem;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde::Serialize;
use std::time::Duration;
use thiserror::Error;

/// Why no token was made.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The key cannot sign tokens.
    #[error("the key is no Ed25519 private key in PEM (PKCS #8)")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The token could not be signed.
    #[error("could not sign the token")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// No key could be drawn.
    #[error("could not draw a key")]
    Draw(#[source] rcgen::Error),
}

/// What a token is to say.
#[derive(Clone, Debug, Serialize)]
pub struct Claims {
    /// For whom it is.
    pub sub: String,
    /// Who issues it.
    pub iss: String,
    /// For which server.
    pub aud: String,
    /// Not before this moment, seconds since the Unix epoch; when it was issued.
    pub iat: u64,
    /// The same.
    pub nbf: u64,
    /// Until this moment.
    pub exp: u64,
    /// Its own id.
    pub jti: String,
    /// Which calls; none takes what the server grants the subject by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Which accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// Whose accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// How the subject is known (RFC 8176): `otp` of one who gave a second factor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When that was made sure of, seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
}

impl Claims {
    /// A token for a subject that grants nothing by itself, valid from `now_s` on for so long.
    #[must_use]
    pub fn new(sub: &str, iss: &str, aud: &str, now_s: u64, lifetime: Duration) -> Self {
        Self {
            sub: sub.to_owned(),
            iss: iss.to_owned(),
            aud: aud.to_owned(),
            iat: now_s,
            nbf: now_s,
            exp: now_s + lifetime.as_secs(),
            jti: uuid::Uuid::now_v7().to_string(),
            roles: None,
            accounts: Vec::new(),
            owners: Vec::new(),
            amr: Vec::new(),
            auth_time: None,
        }
    }

    /// The same, which says that the subject gave a second factor just now.
    #[must_use]
    pub fn with_second_factor(self) -> Self {
        let auth_time = Some(self.iat);
        Self { amr: vec![super::tokens::OTP.to_owned()], auth_time, ..self }
    }
}

/// A new private key and its public one, both in PEM.
///
/// # Errors
/// [`IssueError::Draw`].
pub fn new_key() -> Result<(String, String), IssueError> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(IssueError::Draw)?;
    Ok((pair.serialize_pem(), pair.public_key_pem()))
}

/// The public key of a private one, in PEM.
///
/// # Errors
/// [`IssueError::Key`].
pub fn public_key(private_pem: &str) -> Result<String, IssueError> {
    let pair = KeyPair::from_pem(private_pem).map_err(|error| IssueError::Key(Box::new(error)))?;
    Ok(pair.public_key_pem())
}

/// A token with these claims, signed with this private key, whose `kid` it names.
///
/// # Errors
/// [`IssueError`].
pub fn issue<T: Serialize>(private_pem: &str, claims: &T) -> Result<String, IssueError> {
    let public = public_key(private_pem)?;
    let key = EncodingKey::from_ed_pem(private_pem.as_bytes())
        .map_err(|error| IssueError::Key(Box::new(error)))?;
    let kid = kid_of_pem(&public).map_err(|why| IssueError::Key(why.into()))?;
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, &key).map_err(IssueError::Sign)
}
