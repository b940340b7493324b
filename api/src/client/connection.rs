//! A client's connection: TLS with a certificate of its own where there is one, and a token with
//! every call.
//!
//! Calls with transfers are held back here while the server is overloaded ([`ConcurrencyLimit`]).
//!
//! The token's file is looked at again once a second at most, so that a token that another program renews
//! there is used without a restart; broken connections come back by themselves with the same
//! credentials.

use super::ClientError;
use super::concurrency::{ConcurrencyLimit, Place, Verdict, held_back};
use crate::gate::TRANSFERS;
use crate::identity::factor::HEADER;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::uri::Uri;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

/// How long a token is used before its file is looked at again.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(1);

/// What a client shows, and whom it trusts; all of it in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The CA of the server's certificate, in PEM; needed for `https`.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, in PEM.
    pub certificate: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    pub key: Option<PathBuf>,
    /// A bearer token, sent with every call.
    pub token: Option<PathBuf>,
}

impl Credentials {
    /// Puts them to an endpoint, which must be `https` for any of them, but for a token on
    /// loopback.
    ///
    /// # Errors
    /// [`ClientError::Credentials`] for files that cannot be read, or that do not go together.
    pub fn secure(&self, endpoint: Endpoint) -> Result<(Endpoint, Option<Bearer>), ClientError> {
        let encrypted = endpoint.uri().scheme_str() == Some("https");
        if !encrypted {
            self.check_plain(endpoint.uri())?;
        }
        let bearer = self.token.as_deref().map(Bearer::read).transpose()?;
        if !encrypted {
            return Ok((endpoint, bearer));
        }
        let Some(ca) = &self.ca else {
            return Err(failed("https needs the CA of the server's certificate"));
        };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            (None, None) => {}
            _ => return Err(failed("a certificate needs its key, and a key its certificate")),
        }
        let endpoint = endpoint.tls_config(tls);
        Ok((endpoint.map_err(|error| failed(&with_source(&error)))?, bearer))
    }

    fn check_plain(&self, uri: &Uri) -> Result<(), ClientError> {
        if self.ca.is_some() || self.certificate.is_some() || self.key.is_some() {
            return Err(failed("certificates are for https, and the address begins with http"));
        }
        if self.token.is_some() && !is_loopback(uri) {
            return Err(failed("a token is not sent in plain text to another machine: use https"));
        }
        Ok(())
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn failed(why: &str) -> ClientError {
    ClientError::Credentials(why.to_owned())
}

fn read(path: &Path) -> Result<String, ClientError> {
    std::fs::read_to_string(path)
        .map_err(|error| failed(&format!("could not read {}: {error}", path.display())))
}

/// A token that is read again when its file has changed.
#[derive(Debug)]
pub struct Bearer {
    path: PathBuf,
    held: Mutex<(Instant, HeaderValue)>,
}

impl Bearer {
    /// The token in this file.
    ///
    /// # Errors
    /// [`ClientError::Credentials`] when there is none that a header can hold.
    pub fn read(path: &Path) -> Result<Self, ClientError> {
        let held = Mutex::new((Instant::now(), header(path)?));
        Ok(Self { path: path.to_owned(), held })
    }

    /// The header to send now. One that cannot be read any more stays what it was: the server
    /// says when it has expired.
    fn header(&self) -> HeaderValue {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0.elapsed() >= TOKEN_AGE_MAX {
            held.0 = Instant::now();
            if let Ok(header) = header(&self.path) {
                held.1 = header;
            }
        }
        held.1.clone()
    }
}

fn header(path: &Path) -> Result<HeaderValue, ClientError> {
    let token = read(path)?;
    let token = token.trim();
    let none = || failed(&format!("there is no token in {}", path.display()));
    if token.is_empty() {
        return Err(none());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| none())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A channel that sends a token with every call, if there is one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    bearer: Option<Arc<Bearer>>,
    /// The code of a second factor.
    code: Option<HeaderValue>,
    /// Of the calls with transfers; shared by clones. `None` for who never holds back.
    limit: Option<Arc<ConcurrencyLimit>>,
}

impl Connection {
    /// Over this channel, with this token.
    #[must_use]
    pub fn new(channel: Channel, bearer: Option<Bearer>) -> Self {
        Self { channel, bearer: bearer.map(Arc::new), code: None, limit: Some(Arc::default()) }
    }

    /// How many calls with transfers may be on their way at a time, for those who would rather know than be refused;
    /// `None` for a connection that never holds back.
    #[must_use]
    pub fn concurrency_limit(&self) -> Option<&Arc<ConcurrencyLimit>> {
        self.limit.as_ref()
    }

    /// The same, which sends every call however many the server refuses: for those who keep a limit of their own.
    #[must_use]
    pub fn insistent(self) -> Self {
        Self { limit: None, ..self }
    }

    /// Whether this address is this machine's alone, where plain text is read by nobody else.
    #[must_use]
    pub fn is_loopback(uri: &Uri) -> bool {
        is_loopback(uri)
    }

    /// The same, which sends this code of a second factor with every call. The server takes it once: with
    /// the first call that needs one.
    ///
    /// # Errors
    /// [`ClientError::Credentials`] for a code that no header can hold, and for one that would be sent in
    /// plain text to another machine, which the caller must know: `uri` is the server's address.
    pub fn with_code(self, code: &str, uri: &Uri) -> Result<Self, ClientError> {
        if uri.scheme_str() != Some("https") && !is_loopback(uri) {
            return Err(failed("a code is not sent in plain text to another machine: use https"));
        }
        let mut value = HeaderValue::from_str(code).map_err(|_| failed("the code is no code"))?;
        value.set_sensitive(true);
        Ok(Self { code: Some(value), ..self })
    }
}

impl From<Channel> for Connection {
    fn from(channel: Channel) -> Self {
        Self::new(channel, None)
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Call;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut place = None;
        if let Some(limit) = self.limit.as_ref().filter(|_| decides(request.uri())) {
            place = limit.begin();
            if place.is_none() {
                return Call { place, answer: Answer::HeldBack };
            }
        }
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.header());
        }
        if let Some(code) = &self.code {
            request.headers_mut().insert(HEADER, code.clone());
        }
        Call { place, answer: Answer::Coming(self.channel.call(request)) }
    }
}

/// Whether it is one of the calls that an overloaded server refuses.
fn decides(uri: &Uri) -> bool {
    TRANSFERS.contains(&uri.path())
}

/// The answer to a call, and its place until then.
#[derive(Debug)]
pub struct Call {
    place: Option<Place>,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Coming(<Channel as Service<Request<Body>>>::Future),
    HeldBack,
}

impl Future for Call {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Answer::Coming(answer) = &mut self.answer else {
            return Poll::Ready(Ok(held_back().into_http()));
        };
        let answer = ready!(Pin::new(answer).poll(context));
        if let Some(place) = self.place.take() {
            place.end(match &answer {
                Ok(head) => Verdict::of(head.headers()),
                Err(error) => Verdict::of_error(error),
            });
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_would_be_shown_to_all_are_refused() {
        let some = |path: &str| Some(PathBuf::from(path));
        let dir = tempfile::tempdir().expect("a place for tests");
        let file = dir.path().join("token");
        std::fs::write(&file, "a.b.c\n").expect("writes");
        let token = Credentials { token: Some(file), ..Credentials::default() };
        for (uri, credentials, says) in [
            ("http://ledger:1", token.clone(), "plain text"),
            ("http://10.0.0.1:1", token.clone(), "plain text"),
            (
                "http://127.0.0.1:1",
                Credentials { ca: some("ca"), ..Credentials::default() },
                "https",
            ),
            ("https://127.0.0.1:1", token.clone(), "needs the CA"),
            (
                "https://127.0.0.1:1",
                Credentials { ca: some("/nowhere/ca"), ..Credentials::default() },
                "could not read",
            ),
        ] {
            let endpoint = Endpoint::from_static(uri);
            let why = credentials.secure(endpoint).expect_err(uri).to_string();
            assert!(why.contains(says), "{uri}: {why}");
        }
        for uri in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            let (_, bearer) = token.secure(Endpoint::from_static(uri)).expect("goes");
            let header = bearer.expect("there").header();
            assert_eq!(header.as_bytes(), b"Bearer a.b.c");
            assert!(!format!("{header:?}").contains("a.b.c"), "it is never logged");
        }
    }

    #[test]
    fn a_file_without_a_token_is_told_of() {
        let dir = tempfile::tempdir().expect("a place for tests");
        for (name, text) in [("empty", ""), ("blank", " \n"), ("lines", "a\nb")] {
            let file = dir.path().join(name);
            std::fs::write(&file, text).expect("writes");
            assert!(Bearer::read(&file).is_err(), "{name}");
        }
        assert!(Bearer::read(&dir.path().join("missing")).is_err());
    }
}
