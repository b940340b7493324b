//! The public keys that tokens are checked with: a JWKS file, or PEM. Asymmetric keys only, and
//! nothing private.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use thiserror::Error;

/// More than any set of keys has, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Algorithms that tokens may be signed with: those whose key can be shown to anyone.
pub const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("EdDSA", Algorithm::EdDSA),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
];

/// The algorithm of this name.
///
/// # Errors
/// A sentence, for one that is unknown or has a shared secret.
pub fn algorithm(name: &str) -> Result<Algorithm, String> {
    let found = ALGORITHMS.iter().find(|(known, _)| *known == name);
    found.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
        let names: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
        format!("`{name}` is no algorithm with a public key; there are {}", names.join(", "))
    })
}

/// Why keys were not taken.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("could not read the keys in {path}")]
    Read {
        /// Where they were looked for.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// They are not what keys of tokens look like.
    #[error("the keys in {path}: {why}")]
    Unusable {
        /// Where they are.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// A key and what may be signed with it.
#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys that are trusted.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    keys: Vec<Key>,
}

impl TokenKeys {
    /// Reads a JWKS or PEM file.
    ///
    /// # Errors
    /// [`KeysError`]; a file with one bad key gives none.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let read = |source| KeysError::Read { path: path.display().to_string(), source };
        if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(unusable(path, "the file is too large".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text).map_err(|why| unusable(path, why))
    }

    /// Of the text of such a file.
    ///
    /// # Errors
    /// A sentence about the first key that cannot be taken.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys = if text.trim_start().starts_with('{') { of_jwks(text)? } else { of_pem(text)? };
        if keys.is_empty() {
            return Err("there are none".to_owned());
        }
        if keys.len() > 1 && keys.iter().any(|key| key.kid.is_none()) {
            return Err("one of several keys has no `kid`, so no token could name it".to_owned());
        }
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|other| other.kid == key.kid) {
                let kid = key.kid.as_deref().unwrap_or_default();
                return Err(format!("two keys have the `kid` {kid:?}"));
            }
        }
        Ok(Self { keys })
    }

    /// The key of this name that this algorithm may be used with. Without a name, the only key
    /// there is.
    #[must_use]
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let key = match (kid, &self.keys[..]) {
            (None, [only]) => only,
            (None, _) => return None,
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid))?,
        };
        key.algorithms.contains(&algorithm).then_some(&key.key)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set of none is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

fn unusable(path: &Path, why: String) -> KeysError {
    KeysError::Unusable { path: path.display().to_string(), why }
}

fn of_jwks(text: &str) -> Result<Vec<Key>, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let keys = value.get("keys").and_then(serde_json::Value::as_array);
    let keys = keys.ok_or("there is no list of `keys`")?;
    // Found out here, since the parser passes over what it does not know.
    if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        return Err("one of them is a private key or a shared secret".to_owned());
    }
    let set: JwkSet = serde_json::from_value(value).map_err(|error| error.to_string())?;
    set.keys.iter().map(of_jwk).collect()
}

fn of_jwk(jwk: &Jwk) -> Result<Key, String> {
    let kid = jwk.common.key_id.clone();
    let named = || kid.clone().unwrap_or_else(|| "without a `kid`".to_owned());
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return Err(format!("the key {} is not for signatures", named()));
    }
    let possible = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => of_family(AlgorithmFamily::Rsa),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => vec![],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => vec![],
    };
    let algorithms = match jwk.common.key_algorithm {
        None => possible,
        Some(said) => possible
            .into_iter()
            .filter(|algorithm| said.to_string() == name_of(*algorithm))
            .collect(),
    };
    if algorithms.is_empty() {
        return Err(format!("the key {} is of no kind that is taken", named()));
    }
    let key =
        DecodingKey::from_jwk(jwk).map_err(|error| format!("the key {}: {error}", named()))?;
    Ok(Key { kid, algorithms, key })
}

fn name_of(algorithm: Algorithm) -> &'static str {
    ALGORITHMS.iter().find(|(_, known)| *known == algorithm).map_or("", |(name, _)| name)
}

fn of_family(family: AlgorithmFamily) -> Vec<Algorithm> {
    let all = ALGORITHMS.iter().map(|(_, algorithm)| *algorithm);
    all.filter(|algorithm| algorithm.family() == family).collect()
}

const BEGIN: &str = "-----BEGIN ";

fn of_pem(text: &str) -> Result<Vec<Key>, String> {
    if text.contains("PRIVATE KEY") {
        return Err("one of them is a private key: give the public one".to_owned());
    }
    let mut keys = Vec::new();
    for part in text.split_inclusive("-----END PUBLIC KEY-----") {
        let Some(begin) = part.find(BEGIN) else { continue };
        keys.push(of_public_pem(&part[begin..])?);
    }
    Ok(keys)
}

fn of_public_pem(pem: &str) -> Result<Key, String> {
    let kid = Some(kid_of_pem(pem)?);
    let bytes = pem.as_bytes();
    if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
        return Ok(Key { kid, algorithms: vec![Algorithm::EdDSA], key });
    }
    if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
        // An uncompressed point: its length tells the curve.
        let algorithm = match key.try_get_as_bytes().map(<[u8]>::len) {
            Ok(65) => Algorithm::ES256,
            Ok(97) => Algorithm::ES384,
            _ => return Err("a key lies on a curve that is not taken".to_owned()),
        };
        return Ok(Key { kid, algorithms: vec![algorithm], key });
    }
    match DecodingKey::from_rsa_pem(bytes) {
        Ok(key) => Ok(Key { kid, algorithms: of_family(AlgorithmFamily::Rsa), key }),
        Err(error) => Err(format!("a key cannot be read: {error}")),
    }
}

/// The `kid` of a public key in PEM, which has no place for one: the beginning of the hash of its
/// DER. `ducat token` puts the same into what it signs.
///
/// # Errors
/// A sentence, when it is no PEM.
pub fn kid_of_pem(pem: &str) -> Result<String, String> {
    let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("--")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body);
    let der = der.map_err(|error| format!("a key is no PEM: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(&Sha256::digest(&der)[..12]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ed25519() -> rcgen::KeyPair {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("random")
    }

    #[test]
    fn several_keys_are_told_apart_by_kid() {
        let (one, two) = (ed25519(), ed25519());
        let keys = TokenKeys::parse(&(one.public_key_pem() + &two.public_key_pem()));
        let keys = keys.expect("well-formed");
        assert_eq!(keys.len(), 2);
        let kid = kid_of_pem(&two.public_key_pem()).expect("PEM");
        assert!(keys.find(Some(&kid), Algorithm::EdDSA).is_some());
        assert!(keys.find(Some(&kid), Algorithm::ES256).is_none());
        assert!(keys.find(Some("other"), Algorithm::EdDSA).is_none());
        assert!(keys.find(None, Algorithm::EdDSA).is_none(), "which one is meant?");
        let only = TokenKeys::parse(&one.public_key_pem()).expect("well-formed");
        assert!(only.find(None, Algorithm::EdDSA).is_some());
    }

    #[test]
    fn what_must_not_be_trusted_is_no_key() {
        let key = ed25519();
        let okp =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        for (text, says) in [
            (String::new(), "none"),
            ("nonsense".to_owned(), "none"),
            (key.serialize_pem(), "private"),
            ("{}".to_owned(), "no list"),
            (r#"{"keys":[]}"#.to_owned(), "none"),
            (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#.to_owned(), "shared secret"),
            (format!(r#"{{"keys":[{okp},"d":"AAAA"}}]}}"#), "private"),
            (format!(r#"{{"keys":[{okp},"use":"enc"}}]}}"#), "not for signatures"),
            (format!(r#"{{"keys":[{okp},"alg":"ES256"}}]}}"#), "no kind"),
            (format!(r#"{{"keys":[{okp},"kid":"a"}},{okp},"kid":"a"}}]}}"#), "two keys"),
            (format!(r#"{{"keys":[{okp},"kid":"a"}},{okp}}}]}}"#), "no `kid`"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_owned(), "cannot"),
        ] {
            let why = TokenKeys::parse(&text).expect_err(&text);
            assert!(why.contains(says), "{text}: {why}");
        }
        assert!(
            TokenKeys::parse(&format!(r#"{{"keys":[{okp},"kid":"a","use":"sig"}}]}}"#)).is_ok()
        );
    }

    #[test]
    fn only_algorithms_with_a_public_key_can_be_named() {
        for name in ["none", "None", "HS256", "HS384", "HS512", "eddsa", ""] {
            assert!(algorithm(name).is_err(), "{name}");
        }
        for (name, _) in ALGORITHMS {
            assert!(algorithm(name).is_ok(), "{name}");
        }
    }
}
