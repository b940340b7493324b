//! A collector of OpenTelemetry, spoken to in OTLP over gRPC
//! (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! One export is one attempt behind a [`Breaker`]; whether to try again is for the caller. Headers that
//! let one in come from a file, and are shown to nobody.

use super::address::{address, without_secrets};
use super::breaker::{Breaker, Broken};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

/// More than anybody needs to be let in.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Where traces go, and how.
#[derive(Clone, Debug)]
pub struct CollectorOptions {
    /// `https://host:4317`; `http://` only to this machine.
    pub url: String,
    /// The CAs that sign the collector's certificate, in PEM; those of the system without it.
    pub ca: Option<PathBuf>,
    /// A file of headers that are sent along, one `name: value` to a line.
    pub headers: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Why a collector cannot be had of these options.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CollectorError {
    /// The address is none.
    #[error("`{url}` is no address of a collector: {why}")]
    Url {
        /// What it was.
        url: String,
        /// Why not.
        why: String,
    },
    /// A file cannot be read, or holds something else.
    #[error("could not read {what} from {}: {why}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not; tells nothing of what is in it.
        why: String,
    },
    /// The CAs cannot be used.
    #[error("could not prepare TLS to the collector: {0}")]
    Tls(String),
}

/// Why an export did not arrive, as far as is known.
#[derive(Debug, Error)]
pub enum ExportError {
    /// It was not tried.
    #[error("left alone for a while after failures")]
    BreakerOpen,
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// No connection, or the collector said no.
    #[error("{0}")]
    Refused(Box<Status>),
}

impl ExportError {
    /// Whether the same may be taken later. A connection that fails is told as `UNKNOWN` as well.
    #[must_use]
    pub fn may_change(&self) -> bool {
        let Self::Refused(status) = self else { return true };
        matches!(
            status.code(),
            Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
        )
    }
}

/// A collector. Connects when something is exported.
#[derive(Clone)]
pub struct Collector {
    endpoint: Endpoint,
    headers: MetadataMap,
    timeout: Duration,
    breaker: Arc<Breaker>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("host", &self.host()).finish_non_exhaustive()
    }
}

/// The way to a collector.
#[derive(Debug)]
pub struct Connected {
    client: TraceServiceClient<Channel>,
    collector: Collector,
}

impl Collector {
    /// Ready to connect; connects to nobody yet.
    ///
    /// # Errors
    /// [`CollectorError`].
    pub fn new(options: &CollectorOptions, breaker: Arc<Breaker>) -> Result<Self, CollectorError> {
        let url = &options.url;
        let refused = |why: String| CollectorError::Url { url: without_secrets(url), why };
        let uri = address(url).map_err(|why| refused(why.to_owned()))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refused("OTLP over gRPC has no path behind the host".to_owned()));
        }
        let encrypted = uri.scheme_str() == Some("https");
        if !encrypted && options.ca.is_some() {
            return Err(refused("CAs are for https".to_owned()));
        }
        let mut endpoint = Endpoint::from(uri).connect_timeout(options.timeout);
        if encrypted {
            let tls = tls(options.ca.as_deref())?;
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| CollectorError::Tls(with_source(&error)))?;
        }
        let headers = options.headers.as_deref().map(headers).transpose()?.unwrap_or_default();
        Ok(Self { endpoint, headers, timeout: options.timeout, breaker })
    }

    /// The breaker it is behind.
    #[must_use]
    pub const fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// The machine it is on, for people.
    #[must_use]
    pub fn host(&self) -> &str {
        self.endpoint.uri().host().unwrap_or_default()
    }

    /// A way to it, that is opened when it is first used. Within a runtime.
    #[must_use]
    pub fn connect(self) -> Connected {
        let client = TraceServiceClient::new(self.endpoint.connect_lazy());
        Connected { client, collector: self }
    }
}

impl Connected {
    /// Exports once. How many spans the collector has taken and thrown away.
    ///
    /// # Errors
    /// [`ExportError`]; it may have arrived all the same.
    pub async fn export(&self, spans: ExportTraceServiceRequest) -> Result<u64, ExportError> {
        let Collector { headers, timeout, breaker, .. } = &self.collector;
        let mut request = Request::new(spans);
        *request.metadata_mut() = headers.clone();
        let mut client = self.client.clone();
        let exporting = async {
            match tokio::time::timeout(*timeout, client.export(request)).await {
                Err(_elapsed) => Err(ExportError::Timeout(*timeout)),
                Ok(Err(status)) => Err(ExportError::Refused(Box::new(status))),
                Ok(Ok(response)) => {
                    let refused = response.into_inner().partial_success;
                    Ok(refused.map_or(0, |part| part.rejected_spans.max(0).unsigned_abs()))
                }
            }
        };
        breaker.call(exporting).await.map_err(|broken| match broken {
            Broken::Open => ExportError::BreakerOpen,
            Broken::Failed(error) => error,
        })
    }

    /// The collector.
    #[must_use]
    pub const fn collector(&self) -> &Collector {
        &self.collector
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn tls(ca: Option<&Path>) -> Result<ClientTlsConfig, CollectorError> {
    let tls = ClientTlsConfig::new();
    let Some(path) = ca else { return Ok(tls.with_native_roots()) };
    let failed = |why: String| CollectorError::File {
        what: "the CAs of the collector",
        path: path.to_owned(),
        why,
    };
    let pem = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(tls.ca_certificate(Certificate::from_pem(pem)))
}

/// The headers in this file: one `name: value` to a line; empty lines and those that begin with `#` count
/// for nothing.
fn headers(path: &Path) -> Result<MetadataMap, CollectorError> {
    let failed = |why: String| CollectorError::File {
        what: "the headers for the collector",
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    if text.len() > HEADERS_BYTES_MAX {
        return Err(failed(format!("it has more than {HEADERS_BYTES_MAX} bytes")));
    }
    let mut headers = HeaderMap::new();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| failed(format!("line {}: {why}", at + 1));
        let (name, value) =
            line.split_once(':').ok_or_else(|| wrong("a header is `name: value`"))?;
        let name = HeaderName::from_bytes(name.trim().to_ascii_lowercase().as_bytes())
            .map_err(|_| wrong("the name is none of a header"))?;
        if is_ours(&name) {
            return Err(wrong("this header belongs to the protocol"));
        }
        let mut value = HeaderValue::from_str(value.trim())
            .map_err(|_| wrong("the value is none of a header"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    if headers.is_empty() {
        return Err(failed("there is no header in it".to_owned()));
    }
    Ok(MetadataMap::from_headers(headers))
}

/// Headers that gRPC sets itself.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("grpc-") || matches!(name, "te" | "content-type" | "user-agent" | "host")
}

#[cfg(test)]
mod tests {
    use super::super::breaker::BreakerRules;
    use super::*;

    fn breaker() -> Arc<Breaker> {
        let second = Duration::from_secs(1);
        let rules = BreakerRules { failures_max: 1, open_min: second, open_max: second };
        Breaker::new("traces", rules)
    }

    fn options(url: &str) -> CollectorOptions {
        let timeout = Duration::from_secs(1);
        CollectorOptions { url: url.to_owned(), ca: None, headers: None, timeout }
    }

    #[test]
    fn addresses_are_those_of_otlp_over_grpc() {
        for url in ["http://127.0.0.1:4317", "https://collector.example:4317/", "http://[::1]:1"] {
            assert!(Collector::new(&options(url), breaker()).is_ok(), "{url}");
        }
        for (url, says) in [
            ("http://collector.example:4317", "must be https"),
            ("https://collector.example:4317/v1/traces", "has no path"),
            ("https://collector.example:4317/?key=secret-part", "has no path"),
            ("https://user:secret-part@collector.example", "do not belong"),
            ("collector.example:4317", "must be https"),
            ("", "no URL"),
        ] {
            let why = Collector::new(&options(url), breaker()).expect_err(url).to_string();
            assert!(why.contains(says) && !why.contains("secret-part"), "{url}: {why}");
        }
        let with_ca = CollectorOptions { ca: Some("ca".into()), ..options("http://127.0.0.1:1") };
        let why = Collector::new(&with_ca, breaker()).expect_err("for https").to_string();
        assert!(why.contains("CAs are for https"), "{why}");
    }

    #[test]
    fn headers_are_read_from_a_file_and_shown_to_nobody() {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("headers");
        std::fs::write(&path, "# who we are\nX-Tenant: bank\nauthorization: Bearer secret-part\n")
            .expect("writes");
        let read = headers(&path).expect("sound");
        assert_eq!(read.get("x-tenant").expect("there").as_bytes(), b"bank");
        assert_eq!(read.get("authorization").expect("there").as_bytes(), b"Bearer secret-part");
        let with = CollectorOptions { headers: Some(path.clone()), ..options("http://[::1]:1") };
        let collector = Collector::new(&with, breaker()).expect("sound");
        assert!(!format!("{collector:?} {read:?}").contains("secret-part"));
        for (text, says) in [
            ("", "no header in it"),
            ("secret-part", "line 1: a header is"),
            ("a: b\n\nno good: secret-part", "line 3: the name"),
            ("a: secret-part\u{1}", "line 1: the value"),
            ("grpc-timeout: 1S", "belongs to the protocol"),
        ] {
            std::fs::write(&path, text).expect("writes");
            let why = headers(&path).expect_err(text).to_string();
            assert!(why.contains(says) && !why.contains("secret-part"), "{text}: {why}");
        }
        assert!(headers(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn failures_that_pass_are_told_from_those_that_stay() {
        let refused = |code| ExportError::Refused(Box::new(Status::new(code, "no")));
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Unknown] {
            assert!(refused(code).may_change(), "{code}");
        }
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::Unimplemented] {
            assert!(!refused(code).may_change(), "{code}");
        }
        assert!(ExportError::BreakerOpen.may_change());
        assert!(ExportError::Timeout(Duration::ZERO).may_change());
    }
}
