//! gRPC calls straight on HTTP/2, as the codec `lean` makes them: a load generator shares the
//! machine with what it measures, and the layers of a full client (buffer, balancing, a task
//! for each call) would cost it as much as the server. The bytes on the wire are the same.

use crate::address::{Address, WINDOW_BYTES, server_name, tcp};
use crate::codec::{code_name, failure};
use crate::target::Failure;
use anyhow::Context;
use prost::bytes::{BufMut, Bytes, BytesMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tonic::codegen::http;
use tonic::{Code, Status};

/// gRPC's prefix of a message: a flag and its length.
const PREFIX_BYTES: usize = 5;

/// Streams given up whose late answers are still known for such, and not for a fault.
const GIVEN_UP_MAX: usize = 100_000;

/// A connection; clones share it. It is opened anew when it has broken. Lives on the runtime
/// that opened it.
#[derive(Clone)]
pub struct H2Calls {
    connection: Arc<Connection>,
}

struct Connection {
    to: Address,
    uri: http::Uri,
    tls: Option<TlsConnector>,
    bearer: Option<http::HeaderValue>,
    authority: http::uri::Authority,
    send: Mutex<SendRequest>,
    /// One call at a time opens it anew.
    opening: tokio::sync::Mutex<()>,
}

impl Connection {
    fn current(&self) -> SendRequest {
        self.send.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type SendRequest = h2::client::SendRequest<Bytes>;

impl H2Calls {
    /// Opens a connection.
    pub async fn connect(to: &Address) -> anyhow::Result<Self> {
        let (url, uri) = (&to.url, to.uri()?);
        let authority = uri.authority().cloned().with_context(|| format!("`{url}` has no host"))?;
        let (tls, bearer) = (to.tls()?, to.bearer()?);
        let send = open(&uri, tls.as_ref()).await.with_context(|| format!("connect to {url}"))?;
        let connection = Connection {
            to: to.clone(),
            uri,
            tls,
            bearer,
            authority,
            send: Mutex::new(send),
            opening: tokio::sync::Mutex::new(()),
        };
        Ok(Self { connection: Arc::new(connection) })
    }

    /// A place for a call, on a new connection if the old one has broken.
    async fn ready(&self) -> Result<SendRequest, Failure> {
        let ready = |send: SendRequest| send.ready();
        let now = self.connection.current();
        if let Ok(send) = ready(now).await {
            return Ok(send);
        }
        let _alone = self.connection.opening.lock().await;
        // Somebody may have opened it meanwhile.
        let now = self.connection.current();
        if let Ok(send) = ready(now).await {
            return Ok(send);
        }
        let refused = |what: String| Failure {
            class: code_name(Code::Unavailable).into(),
            in_doubt: false,
            message: what,
        };
        let opened = open(&self.connection.uri, self.connection.tls.as_ref()).await;
        let send =
            opened.map_err(|e| refused(format!("connect to {}: {e}", self.connection.to.url)))?;
        *self.connection.send.lock().unwrap_or_else(PoisonError::into_inner) = send.clone();
        ready(send).await.map_err(|e| refused(e.to_string()))
    }

    /// Sends one message, which `encode` appends, and gives the one that answers it.
    pub async fn call(
        &self,
        path: &'static str,
        timeout: Option<Duration>,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Result<Bytes, Failure> {
        let mut message = BytesMut::with_capacity(256);
        message.put_bytes(0, PREFIX_BYTES);
        encode(&mut message);
        let length = u32::try_from(message.len() - PREFIX_BYTES).expect("requests are small");
        message[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        let broken = |e: h2::Error| Failure {
            class: code_name(Code::Unavailable).into(),
            in_doubt: true,
            message: e.to_string(),
        };
        let mut send = self.ready().await?;
        let request = self.request(path, timeout);
        let (response, mut body) = send.send_request(request, false).map_err(broken)?;
        body.send_data(message.freeze(), true).map_err(broken)?;
        let response = response.await.map_err(broken)?;
        if let Some(refused) = Status::from_header_map(response.headers()) {
            // An answer without a message.
            if refused.code() != Code::Ok {
                return Err(failure(&refused));
            }
        }
        read(response.into_body()).await.map_err(broken)?.map_err(|status| failure(&status))
    }

    fn request(&self, path: &'static str, timeout: Option<Duration>) -> http::Request<()> {
        let uri = http::Uri::builder()
            .scheme(match self.connection.tls {
                Some(_) => http::uri::Scheme::HTTPS,
                None => http::uri::Scheme::HTTP,
            })
            .authority(self.connection.authority.clone())
            .path_and_query(http::uri::PathAndQuery::from_static(path))
            .build()
            .expect("all parts are valid");
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        if let Some(bearer) = &self.connection.bearer {
            headers.insert(http::header::AUTHORIZATION, bearer.clone());
        }
        headers.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        let grpc = http::HeaderValue::from_static("application/grpc");
        headers.insert(http::header::CONTENT_TYPE, grpc);
        if let Some(timeout) = timeout {
            let text = format!("{}m", timeout.as_millis().clamp(1, 99_999_999));
            let value = text.parse().expect("digits and a letter");
            headers.insert("grpc-timeout", value);
        }
        request
    }
}

async fn open(uri: &http::Uri, tls: Option<&TlsConnector>) -> anyhow::Result<SendRequest> {
    let stream = tcp(uri).await?;
    let Some(tls) = tls else { return speak(stream).await };
    speak(tls.connect(server_name(uri)?, stream).await?).await
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<SendRequest> {
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(256 * 1024)
        .max_concurrent_reset_streams(GIVEN_UP_MAX)
        .handshake(stream)
        .await?;
    tokio::spawn(connection);
    Ok(send)
}

/// The message of a body and what its trailers say.
async fn read(mut body: h2::RecvStream) -> Result<Result<Bytes, Status>, h2::Error> {
    let mut message = Bytes::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        message = if message.is_empty() { piece } else { [message, piece].concat().into() };
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let status = Status::from_header_map(&trailers);
    Ok(match status {
        Some(status) if status.code() == Code::Ok && message.len() >= PREFIX_BYTES => {
            Ok(message.slice(PREFIX_BYTES..))
        }
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Err(Status::internal("an answer without a status or a message")),
    })
}
