//! The listener for machines that watch: `/metrics`, `/livez`, `/readyz`. Plain HTTP, reads only,
//! and nothing of an account in it.

use super::{Metrics, Stage, figures};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prost::bytes::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::codegen::http::header::{ALLOW, CONTENT_TYPE};
use tonic::codegen::http::{Method, Request, Response, StatusCode};

/// Most connections at a time; more wait.
const CONNECTIONS_MAX: usize = 32;

/// How long a client may take for its headers, and a connection for everything.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What OpenMetrics calls itself.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let answering = service_fn(|request: Request<Incoming>| {
                let metrics = Arc::clone(&metrics);
                async move { Ok::<_, Infallible>(answer(&request, &metrics).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(CONNECTION_TIMEOUT);
            let serving = http.serve_connection(TokioIo::new(stream), answering);
            let _ended = tokio::time::timeout(CONNECTION_TIMEOUT, serving).await;
            drop(place);
        });
    }
}

async fn answer(request: &Request<Incoming>, metrics: &Arc<Metrics>) -> Response<Text> {
    if request.method() != Method::GET {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, "GET".parse().expect("a header"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => match figures::text(metrics).await {
            Ok(figures) => {
                let mut response = text(StatusCode::OK, figures);
                let content_type = OPEN_METRICS.parse().expect("a header");
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the figures could not be written\n"),
        },
        "/livez" => text(StatusCode::OK, "alive\n"),
        "/readyz" => match metrics.stage() {
            Stage::Ready => text(StatusCode::OK, "ready\n"),
            Stage::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting: replaying\n"),
            Stage::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n"),
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Text> {
    let mut response = Response::new(Text(Some(Bytes::from(text.into()))));
    *response.status_mut() = status;
    let plain = "text/plain; charset=utf-8".parse().expect("a header");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// A body of one piece.
struct Text(Option<Bytes>);

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
