//! Posts JSON to an HTTPS address, signed after the specification "Standard Webhooks"
//! (<https://github.com/standard-webhooks/standard-webhooks>), so that receivers have libraries for it.
//!
//! One post is one attempt behind a [`Breaker`]; whether to try again is for the caller. Redirects
//! are not followed: the signature is for the address that was configured. What the receiver says
//! but for its status is not read.

use super::address::without_secrets;
use super::breaker::{Breaker, Broken};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tonic::codegen::http::{Request, StatusCode, Uri};

/// The shortest secret, in bytes, and the longest: those of the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where to post, and how.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// `https://…`; `http://` only to this machine.
    pub url: String,
    /// Signs what is posted.
    pub secret: Option<Secret>,
    /// The CAs that sign the receiver's certificate, in PEM; those of the system without it.
    pub ca: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Why a webhook cannot be had of these options.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WebhookError {
    /// The address is none.
    #[error("`{url}` is no address of a webhook: {why}")]
    Url {
        /// What it was.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// A file cannot be read, or holds something else.
    #[error("could not read {what} from {}: {why}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// There is no CA to check a receiver by.
    #[error("the system names no CA: {0}; name a file of them")]
    NoRoots(String),
}

/// Why a post did not arrive, as far as is known.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PostError {
    /// It was not tried.
    #[error("left alone for a while after failures")]
    BreakerOpen,
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The receiver said no.
    #[error("answered with status {0}")]
    Status(u16),
}

/// A key for signatures. Shown to nobody.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Reads `whsec_` and base64 of 24 to 64 bytes, as the specification writes secrets.
    ///
    /// # Errors
    /// [`WebhookError::File`]; the text does not hold what was read.
    pub fn read(path: &Path) -> Result<Self, WebhookError> {
        let failed = |why: String| WebhookError::File {
            what: "the secret of the webhook",
            path: path.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(text.trim()).map_err(|why| failed(why.to_owned()))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(key) = text.strip_prefix("whsec_") else {
            return Err("it does not begin with `whsec_`");
        };
        let key = BASE64_STANDARD.decode(key).map_err(|_| "what follows `whsec_` is no base64")?;
        if !SECRET_BYTES.contains(&key.len()) {
            return Err("the key has not 24 to 64 bytes");
        }
        Ok(Self(key.into()))
    }

    /// The header `webhook-signature` of a post.
    fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// An address to post to.
pub struct Webhook {
    url: Uri,
    secret: Option<Secret>,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    breaker: Arc<Breaker>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of the address is a secret with some receivers.
        f.debug_struct("Webhook").field("host", &self.url.host()).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Ready to post; connects to nobody yet.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn new(options: WebhookOptions, breaker: Arc<Breaker>) -> Result<Self, WebhookError> {
        let url = address(&options.url)?;
        let tls = tls(options.ca.as_deref())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        // A connection that idles longer than the receiver keeps it would fail the next post.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { url, secret: options.secret, timeout: options.timeout, client, breaker })
    }

    /// The breaker it is behind.
    #[must_use]
    pub const fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// The machine it goes to, for people.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// Posts once. The id stays the same when the same is posted again, `seconds` is now, since 1970.
    ///
    /// # Errors
    /// [`PostError`]; it may have arrived all the same.
    pub async fn post(&self, id: &str, seconds: u64, body: Vec<u8>) -> Result<(), PostError> {
        let sent = self.breaker.call(self.attempt(id, seconds, body)).await;
        sent.map_err(|broken| match broken {
            Broken::Open => PostError::BreakerOpen,
            Broken::Failed(error) => error,
        })
    }

    async fn attempt(&self, id: &str, seconds: u64, body: Vec<u8>) -> Result<(), PostError> {
        let mut request = Request::post(self.url.clone())
            .header("content-type", "application/json")
            .header("user-agent", concat!("ducat/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds);
        if let Some(secret) = &self.secret {
            request = request.header("webhook-signature", secret.sign(id, seconds, &body));
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("headers of ASCII");
        match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Err(_elapsed) => Err(PostError::Timeout(self.timeout)),
            Ok(Err(error)) => Err(PostError::Connection(causes(&error))),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(PostError::Status(response.status().as_u16())),
        }
    }
}

/// Whether a status means that the same post may be taken later.
#[must_use]
pub fn may_change(status: u16) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status >= 500 || passing.iter().any(|passing| passing.as_u16() == status)
}

/// An error with its causes, in one line.
fn causes(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn address(text: &str) -> Result<Uri, WebhookError> {
    super::address::address(text)
        .map_err(|why| WebhookError::Url { url: without_secrets(text), why })
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig, WebhookError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.3");
    let Some(path) = ca else {
        let found = builder.with_native_roots();
        let found = found.map_err(|error| WebhookError::NoRoots(error.to_string()))?;
        return Ok(found.with_no_client_auth());
    };
    let failed = |why: String| WebhookError::File {
        what: "the CAs of the webhook",
        path: path.to_owned(),
        why,
    };
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    for certificate in read {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the specification's own libraries.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn secrets_that_are_none_are_refused_without_being_shown() {
        for (text, says) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_"),
            ("whsec_not base64!", "base64"),
            ("whsec_c2hvcnQ=", "24 to 64"),
        ] {
            let why = Secret::parse(text).expect_err(text);
            assert!(why.contains(says) && !why.contains(text), "{why}");
        }
    }

    #[test]
    fn only_encrypted_addresses_leave_the_machine() {
        for url in [
            "https://example.com/hooks",
            "http://127.0.0.1:9/a",
            "http://[::1]:9/",
            "http://localhost/",
        ] {
            assert!(address(url).is_ok(), "{url}");
        }
        for (url, says) in [
            ("http://example.com/secret-part", "must be https"),
            ("http://127.0.0.1.example.com/", "must be https"),
            ("ftp://example.com/", "must be https"),
            ("/relative", "names no host"),
            ("https://user:secret-part@example.com/", "do not belong"),
            ("not a url secret-part", "no URL"),
        ] {
            let why = address(url).expect_err(url).to_string();
            assert!(why.contains(says), "{url}: {why}");
            assert!(url.starts_with("not") || !why.contains("secret-part"), "{why}");
        }
    }

    #[test]
    fn files_of_cas_that_hold_none_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        assert!(tls(Some(&path)).is_err(), "not there");
        std::fs::write(&path, "nothing").expect("written");
        let why = tls(Some(&path)).expect_err("empty").to_string();
        assert!(why.contains("no certificate in it"), "{why}");
    }

    #[test]
    fn statuses_that_pass_are_told_from_those_that_stay() {
        for status in [500, 503, 599, 408, 429] {
            assert!(may_change(status), "{status}");
        }
        for status in [301, 400, 401, 404, 410] {
            assert!(!may_change(status), "{status}");
        }
    }
}
