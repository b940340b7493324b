//! Checking a bearer token: a JWT, signed with one of the keys that are trusted.
//!
//! ```text
//! size ▸ header: known fields only, algorithm that is configured ▸ key by kid ▸ signature
//!   ▸ exp, nbf, iss, aud, sub ▸ not valid for longer than allowed ▸ roles and accounts
//! ```
//!
//! The header decides nothing but which of the trusted keys is meant. One that brings a key, or
//! says where one can be fetched, is refused, and so is whatever is not understood: a token that
//! says more than is read here could say something that matters.

use super::keys::TokenKeys;
use super::rights::{Grant, Rights};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The longest token that is looked at, bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// How far apart the clocks of issuer and server may be.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How tokens are checked.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// The keys that are trusted.
    pub keys: TokenKeys,
    /// The algorithms that are taken, each with a public key.
    pub algorithms: Vec<Algorithm>,
    /// Who must have issued it: `iss`.
    pub issuer: String,
    /// For whom it must be: one of `aud`.
    pub audience: String,
    /// A token that is valid for longer than this from now on is refused.
    pub lifetime_max: Duration,
}

/// Why a token was not taken. The words never hold any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenRefused {
    /// It is no JWT of the compact form, or too large.
    #[error("it is no signed token")]
    Malformed,
    /// Its header says what is not understood, or brings a key.
    #[error("its header says more than `alg`, `typ` and `kid`")]
    Header,
    /// It is signed in a way that is not configured.
    #[error("its algorithm is not taken")]
    Algorithm,
    /// It names no key that is trusted, or one of another kind.
    #[error("its key is not known")]
    Key,
    /// It is not signed by that key.
    #[error("its signature does not hold")]
    Signature,
    /// It was valid once.
    #[error("it has expired")]
    Expired,
    /// It will be valid.
    #[error("it is not valid yet")]
    NotYet,
    /// It comes from somebody else.
    #[error("its issuer is not trusted")]
    Issuer,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// It is valid for longer than allowed.
    #[error("it is valid for too long")]
    Lifetime,
    /// A claim is missing, double, or of the wrong kind.
    #[error("its claims cannot be read")]
    Claims,
    /// It is bound to a certificate that the connection does not have.
    #[error("it is bound to another certificate")]
    Binding,
    /// It grants nothing, and its subject is no principal.
    #[error("nothing is granted to its subject")]
    Unknown,
}

/// What a token that was taken grants.
#[derive(Clone, Debug)]
pub struct Checked {
    /// To whom, and what.
    pub grant: Arc<Grant>,
    /// Until when, seconds since the Unix epoch.
    pub expires_s: u64,
    /// The SHA-256 of the certificate it is bound to.
    pub bound_to: Option<[u8; 32]>,
    /// When its subject gave a second factor to whoever issued it, seconds since the Unix epoch: `auth_time`
    /// of a token whose `amr` has `otp`.
    pub factor_s: Option<u64>,
}

/// A one-time code, as RFC 8176 names it.
pub const OTP: &str = "otp";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderRead {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
}

/// `aud` and the other claims of the standard are checked by the library; here they are read
/// again, so that one of another type is no claim at all.
#[derive(Deserialize)]
struct ClaimsRead {
    /// A list of issuers is none: which of them was it?
    #[serde(rename = "iss")]
    _issuer: String,
    sub: String,
    exp: u64,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    accounts: Vec<String>,
    #[serde(default)]
    owners: Vec<String>,
    #[serde(default)]
    cnf: Option<Confirmation>,
    /// RFC 8176: how whoever issued it knows the subject.
    #[serde(default)]
    amr: Vec<String>,
    /// When they made sure.
    #[serde(default)]
    auth_time: Option<u64>,
}

/// RFC 8705: the token is only good on a connection with this certificate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate: String,
}

impl TokenRules {
    /// What the token grants, at this moment: seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TokenRefused`]; the first thing that is wrong.
    pub fn check(&self, token: &str, rights: &Rights, now_s: u64) -> Result<Checked, TokenRefused> {
        if token.len() > TOKEN_BYTES_MAX || token.bytes().filter(|&byte| byte == b'.').count() != 2
        {
            return Err(TokenRefused::Malformed);
        }
        let header = read_header(token)?;
        let algorithm = super::keys::algorithm(&header.alg).map_err(|_| TokenRefused::Algorithm)?;
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenRefused::Algorithm);
        }
        let key = self.keys.find(header.kid.as_deref(), algorithm).ok_or(TokenRefused::Key)?;
        let claims = jsonwebtoken::decode::<ClaimsRead>(token, key, &self.validation(algorithm));
        let claims = claims.map_err(|error| refused(error.kind()))?.claims;
        self.check_lifetime(claims.exp, now_s)?;
        Ok(Checked {
            expires_s: claims.exp,
            bound_to: claims.cnf.as_ref().map(binding).transpose()?,
            factor_s: claims.auth_time.filter(|_| claims.amr.iter().any(|method| method == OTP)),
            grant: granted(claims, rights)?,
        })
    }

    /// Whether the token names one of these keys; nothing else of it is looked at.
    #[must_use]
    pub fn knows_key_of(&self, token: &str) -> bool {
        let Ok(header) = read_header(token) else { return false };
        let algorithm = super::keys::algorithm(&header.alg);
        algorithm.is_ok_and(|algorithm| self.keys.find(header.kid.as_deref(), algorithm).is_some())
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = CLOCK_SKEW.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    fn check_lifetime(&self, expires_s: u64, now_s: u64) -> Result<(), TokenRefused> {
        let longest = self.lifetime_max + CLOCK_SKEW;
        if expires_s > now_s.saturating_add(longest.as_secs()) {
            return Err(TokenRefused::Lifetime);
        }
        Ok(())
    }
}

fn read_header(token: &str) -> Result<HeaderRead, TokenRefused> {
    let encoded = token.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenRefused::Malformed)?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|_| TokenRefused::Malformed)?;
    if !value.is_object() {
        return Err(TokenRefused::Malformed);
    }
    let header: HeaderRead = serde_json::from_slice(&bytes).map_err(|_| TokenRefused::Header)?;
    match header.typ.as_deref() {
        None => Ok(header),
        Some(typ) if typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt") => {
            Ok(header)
        }
        Some(_) => Err(TokenRefused::Header),
    }
}

fn binding(cnf: &Confirmation) -> Result<[u8; 32], TokenRefused> {
    let bytes = URL_SAFE_NO_PAD.decode(&cnf.certificate).map_err(|_| TokenRefused::Claims)?;
    bytes.try_into().map_err(|_| TokenRefused::Claims)
}

/// What the token itself grants, or else what its subject is granted by name.
fn granted(claims: ClaimsRead, rights: &Rights) -> Result<Arc<Grant>, TokenRefused> {
    let ClaimsRead { sub, roles, accounts, owners, .. } = claims;
    match roles {
        Some(roles) => {
            let grant = Grant::new(&sub, &roles, &accounts, &owners);
            grant.map(Arc::new).map_err(|_| TokenRefused::Claims)
        }
        None if accounts.is_empty() && owners.is_empty() => {
            rights.find(&sub).ok_or(TokenRefused::Unknown)
        }
        // Accounts without roles: less than the subject has, or more? Neither is guessed.
        None => Err(TokenRefused::Claims),
    }
}

const fn refused(kind: &ErrorKind) -> TokenRefused {
    match kind {
        ErrorKind::InvalidSignature => TokenRefused::Signature,
        ErrorKind::ExpiredSignature => TokenRefused::Expired,
        ErrorKind::ImmatureSignature => TokenRefused::NotYet,
        ErrorKind::InvalidIssuer => TokenRefused::Issuer,
        ErrorKind::InvalidAudience => TokenRefused::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => TokenRefused::Algorithm,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) => TokenRefused::Malformed,
        _ => TokenRefused::Claims,
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
