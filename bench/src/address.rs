//! Where a server is, and what is shown to it: nothing, or a certificate and a token, as a gateway
//! in production would. Every connection of the harness is opened here.

use anyhow::Context;
use ducat_api::client::{Connection, Credentials};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, version::TLS13};
use tonic::codegen::http::{HeaderValue, uri::Uri};
use tonic::transport::Endpoint;

/// HTTP/2 windows, bytes: room for several of the largest batches.
pub const WINDOW_BYTES: u32 = 16 << 20;

/// A server's address, and what is shown to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Such as `http://127.0.0.1:7117`, or `https` for one that encrypts.
    pub url: String,
    /// What it is shown.
    pub credentials: Credentials,
}

impl Address {
    /// A server that asks for nothing.
    pub fn plain(url: &str) -> Self {
        Self { url: url.to_owned(), credentials: Credentials::default() }
    }

    /// A connection of tonic's, on the current runtime.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let url = &self.url;
        let endpoint = Endpoint::from_shared(url.clone())
            .with_context(|| format!("`{url}` is no server address like http://127.0.0.1:7117"))?;
        let (endpoint, bearer) = self.credentials.secure(endpoint)?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let channel = endpoint.connect().await.with_context(|| format!("connect to {url}"))?;
        Ok(Connection::new(channel, bearer))
    }

    /// Its parts.
    pub fn uri(&self) -> anyhow::Result<Uri> {
        self.url.parse().with_context(|| format!("`{}` is no address", self.url))
    }

    /// How TLS is spoken with it; `None` for a server that does not encrypt.
    pub fn tls(&self) -> anyhow::Result<Option<TlsConnector>> {
        if self.uri()?.scheme_str() != Some("https") {
            return Ok(None);
        }
        let Credentials { ca, certificate, key, .. } = &self.credentials;
        let mut roots = RootCertStore::empty();
        let ca = ca.as_ref().context("https needs the CA of the server's certificate")?;
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let trusting =
            ClientConfig::builder_with_protocol_versions(&[&TLS13]).with_root_certificates(roots);
        let mut config = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let chain =
                    CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
                trusting.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
            }
            _ => trusting.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }

    /// The header with the token, where there is one. It is not read again: a run is shorter than
    /// a token is valid.
    pub fn bearer(&self) -> anyhow::Result<Option<HeaderValue>> {
        let Some(file) = &self.credentials.token else { return Ok(None) };
        let token = std::fs::read_to_string(file)
            .with_context(|| format!("read the token in {}", file.display()))?;
        Ok(Some(HeaderValue::from_str(&format!("Bearer {}", token.trim()))?))
    }
}

/// Opens a TCP connection to a host of a URL.
pub async fn tcp(uri: &Uri) -> anyhow::Result<TcpStream> {
    let host = uri.host().context("the address has no host")?.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The name that a server's certificate must have.
pub fn server_name(uri: &Uri) -> anyhow::Result<ServerName<'static>> {
    let host = uri.host().context("the address has no host")?.trim_matches(['[', ']']);
    Ok(ServerName::try_from(host.to_owned())?)
}
