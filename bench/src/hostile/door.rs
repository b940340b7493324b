//! The port as who attacks it finds it: bare TCP, TLS with or without a certificate, HTTP/2 over
//! either. Every connection comes from an address of its own, so that the server can tell who
//! attacks from who does not, as it can anywhere but on one machine.

use crate::address::{Address, server_name};
use anyhow::{Context, bail};
use ducat_api::client::Credentials;
use h2::client::{Builder, SendRequest};
use prost::bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConnection;
use tonic::codegen::http::{HeaderValue, Request, header, uri::Uri};

/// A connection is given up after this time: the backlog is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where attacks come from, each from an address after this one. All of 127.0.0.0/8 is this machine, on Linux.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 0);

/// Addresses used so far.
static SOURCES: AtomicU32 = AtomicU32::new(0);

/// A connection, whatever it is made of.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// How the port is reached; cheap to clone.
#[derive(Clone)]
pub struct Door {
    at: SocketAddr,
    from: Ipv4Addr,
    uri: Uri,
    tls: Option<TlsConnector>,
    /// TLS of somebody without a certificate.
    stranger: Option<TlsConnector>,
    bearer: Option<HeaderValue>,
}

impl Door {
    /// The server at `to`, where its address is one of numbers.
    pub fn new(to: &Address) -> anyhow::Result<Self> {
        let uri = to.uri()?;
        let authority = uri.authority().context("the address has no host")?;
        let at = authority.as_str().replace("localhost", "127.0.0.1");
        let at = at.parse().with_context(|| format!("`{at}` is no address and port in numbers"))?;
        let Credentials { ca, .. } = &to.credentials;
        let without = Credentials { ca: ca.clone(), ..Credentials::default() };
        let stranger = Address { url: to.url.clone(), credentials: without }.tls()?;
        Ok(Self { at, from: SOURCE, tls: to.tls()?, stranger, bearer: to.bearer()?, uri })
    }

    /// The same for another attack, from an address of its own: what the server holds against the last one is not
    /// held against it.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        let nth = 1 + SOURCES.fetch_add(1, Ordering::Relaxed) % 60_000;
        Self { from: Ipv4Addr::from_bits(SOURCE.to_bits() + nth), ..self.clone() }
    }

    /// Whether the server encrypts.
    pub fn encrypts(&self) -> bool {
        self.tls.is_some()
    }

    /// A bare connection. It is reset when it is dropped, so that no port of ours is kept waiting.
    pub async fn tcp(&self) -> anyhow::Result<TcpStream> {
        let socket = match self.at {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if cfg!(target_os = "linux") && self.at.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            socket.set_reuseaddr(true)?;
            socket.bind((self.from, 0).into())?;
        }
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(self.at)).await??;
        stream.set_nodelay(true)?;
        stream.set_zero_linger()?;
        Ok(stream)
    }

    /// A connection on which HTTP/2 may be spoken.
    pub async fn io(&self) -> anyhow::Result<Box<dyn Io>> {
        let stream = self.tcp().await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        Ok(Box::new(tls.connect(server_name(&self.uri)?, stream).await?))
    }

    /// A whole handshake without a certificate; the server learns of that when it has done its part.
    pub async fn strange_handshake(&self) -> anyhow::Result<()> {
        let Some(tls) = &self.stranger else { bail!("the server does not encrypt") };
        let _refused = tls.connect(server_name(&self.uri)?, self.tcp().await?).await?;
        Ok(())
    }

    /// The first message of a handshake.
    pub fn hello(&self) -> anyhow::Result<Vec<u8>> {
        let Some(tls) = &self.stranger else {
            return Ok(super::frames::PREFACE.to_vec());
        };
        let name = server_name(&self.uri)?;
        let mut client = ClientConnection::new(Arc::clone(tls.config()), name)?;
        let mut hello = Vec::new();
        client.write_tls(&mut hello)?;
        Ok(hello)
    }

    /// HTTP/2 with these settings. The connection lives until the last sender and stream are gone.
    pub async fn http2(&self, settings: &Builder) -> anyhow::Result<SendRequest<Bytes>> {
        let (send, connection) = settings.handshake(self.io().await?).await?;
        tokio::spawn(connection);
        Ok(send)
    }

    /// The headers of a call.
    pub fn call(&self, path: &str) -> Request<()> {
        let scheme = if self.encrypts() { "https" } else { "http" };
        let authority = self.uri.authority().map_or("ducat", |authority| authority.as_str());
        let mut request = Request::post(format!("{scheme}://{authority}{path}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(())
            .expect("all parts are valid");
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
        }
        request
    }
}
