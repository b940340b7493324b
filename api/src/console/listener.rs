//! The page's listener: HTTP/1, over TLS where the server has a certificate. Every answer carries the
//! headers that keep a browser from doing more with it than the page needs.

use super::calls::{self, Asked};
use super::failure::Failure;
use super::{Console, files};
use crate::tls::{Peer, Tls};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::bytes::Bytes;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::Code;
use tonic::codegen::http::header::{
    ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use tonic::codegen::http::{Method, Request, Response, StatusCode};

/// Most connections at a time; more wait. A browser opens six.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take for its headers, and for its body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// After so long a connection takes no further request; the browser opens another.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);

/// Largest request of the page.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Only what the page brings itself is loaded, nothing runs inline, nobody frames it, and texts never
/// become markup.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// What goes with every answer.
const HEADERS: [(&str, &str); 8] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("cache-control", "no-store"),
];

type Answer = Response<Full<Bytes>>;

/// Answers until it is dropped; over TLS, where there is one.
pub async fn serve(listener: TcpListener, console: Arc<Console>, tls: Option<Arc<Tls>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let local = listener.local_addr().map(|address| address.ip()).ok();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection for the console");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _late = stream.set_nodelay(true);
        let (console, tls) = (Arc::clone(&console), tls.clone());
        tokio::spawn(async move {
            let site = Site { console, local, from, peer: None };
            match tls {
                None => site.serve(stream).await,
                Some(tls) => match tls.accept_http1(stream).await {
                    Ok((stream, peer)) => {
                        Site { peer: peer.map(Arc::new), ..site }.serve(stream).await
                    }
                    Err(error) => tracing::debug!(%error, "a handshake of the console has failed"),
                },
            }
            drop(place);
        });
    }
}

/// The page as one connection sees it.
struct Site {
    console: Arc<Console>,
    /// Where it listens.
    local: Option<IpAddr>,
    /// Whose connection it is.
    from: IpAddr,
    peer: Option<Arc<Peer>>,
}

impl Site {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let answering = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(with_headers(self.answer(request).await))
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
        let mut serving = pin!(http.serve_connection(TokioIo::new(stream), answering));
        if tokio::time::timeout(CONNECTION_LIFE, serving.as_mut()).await.is_err() {
            serving.as_mut().graceful_shutdown();
            let _cut = tokio::time::timeout(READ_TIMEOUT, serving).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.try_answer(request).await {
            Ok(answer) => answer,
            Err(failure) => {
                let mut answer = content("application/json", failure.body.to_string().into());
                *answer.status_mut() = failure.http;
                answer
            }
        }
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        self.check_host(request.headers())?;
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let Some(name) = path.strip_prefix("/api/") else {
            let file = files::find(path).ok_or_else(|| {
                Failure::new(Code::NotFound, "PAGE_UNKNOWN", "there is nothing under this path")
            })?;
            if head.method != Method::GET && head.method != Method::HEAD {
                return Ok(only("GET, HEAD"));
            }
            return Ok(content(file.content_type, Bytes::from_static(file.text.as_bytes())));
        };
        check_origin(&head.headers)?;
        let asked = Asked { headers: head.headers, from: self.from, peer: self.peer.clone() };
        if name == "access" || name == "sign-in" {
            if head.method != Method::GET {
                return Ok(only("GET"));
            }
            let told = match name {
                "access" => calls::access(&self.console, &asked)?,
                _ => calls::ways(&self.console)?,
            };
            return Ok(content("application/json", told.to_string().into()));
        }
        if head.method != Method::POST {
            return Ok(only("POST"));
        }
        check_is_json(&asked.headers)?;
        let body = whole(body).await?;
        let answer = calls::answer(&self.console, name, &body, asked).await?;
        Ok(content("application/json", answer.into()))
    }

    /// On loopback the page answers to loopback's names alone: a site whose name was made to mean
    /// 127.0.0.1 reads nothing through its visitor's browser.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if !self.local.is_some_and(|local| local.is_loopback()) {
            return Ok(());
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if is_loopback_name(host) {
            return Ok(());
        }
        let sentence = "this console listens on loopback and answers to its names alone";
        Err(Failure::new(Code::PermissionDenied, "HOST_FOREIGN", sentence)
            .with_http(StatusCode::MISDIRECTED_REQUEST))
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _port)| address),
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Browsers say from which site a call comes; only the page's own are answered. Older ones say their origin
/// alone, which then is the host that was asked.
fn check_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let is_own = match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers.get(ORIGIN).is_none_or(|origin| is_of_host(origin, headers.get(HOST))),
    };
    if is_own {
        return Ok(());
    }
    let sentence = "calls come from the console's own page";
    Err(Failure::new(Code::PermissionDenied, "ORIGIN_FOREIGN", sentence))
}

fn is_of_host(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let name = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = host.and_then(|host| host.to_str().ok());
    name.zip(host).is_some_and(|((_scheme, name), host)| name.eq_ignore_ascii_case(host))
}

/// What a form of another site can send is none of these.
fn check_is_json(headers: &HeaderMap) -> Result<(), Failure> {
    let said = headers.get(CONTENT_TYPE).and_then(|said| said.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let sentence = "a request is application/json";
    Err(Failure::new(Code::InvalidArgument, "CONTENT_TYPE", sentence)
        .with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    let reading = Limited::new(body, REQUEST_BYTES_MAX).collect();
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_too_large_or_broken)) => {
            let sentence = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
            Err(Failure::new(Code::InvalidArgument, "REQUEST_SIZE", sentence)
                .with_http(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_elapsed) => Err(Failure::new(
            Code::DeadlineExceeded,
            "EXPIRED",
            "the request did not come to its end in time",
        )),
    }
}

fn content(content_type: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn only(methods: &'static str) -> Answer {
    let failure = Failure::new(Code::Unimplemented, "METHOD", format!("only {methods}"));
    let mut answer = content("application/json", failure.body.to_string().into());
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn with_headers(mut answer: Answer) -> Answer {
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_its_own_names() {
        for host in
            ["localhost", "LOCALHOST:4680", "127.0.0.1:1", "127.8.8.8", "[::1]:4680", "[::1]"]
        {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in
            ["", ":", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]:1"]
        {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    #[test]
    fn calls_come_from_the_page() {
        let from = |site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            check_origin(&headers).is_ok()
        };
        assert!(check_origin(&HeaderMap::new()).is_ok(), "no browser");
        assert!(from("same-origin"));
        assert!(!from("cross-site") && !from("same-site") && !from("none"));
        let older = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            headers.insert(HOST, HeaderValue::from_static("localhost:4680"));
            check_origin(&headers).is_ok()
        };
        assert!(older("http://localhost:4680") && older("https://LOCALHOST:4680"));
        for other in ["null", "http://localhost", "http://localhost:4681", "https://evil.example"] {
            assert!(!older(other), "{other}");
        }
    }
}
