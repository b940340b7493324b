//! TLS of the server: version 1.3 alone, client certificates where they are asked for, and files
//! that can be read again while it serves.
//!
//! ```text
//! accept ▸ handshake (bounded in time) ▸ Peer: the names in the client's certificate ▸ gate
//! ```
//!
//! Sessions are not resumed: a certificate is looked at with every connection, so that one that was
//! taken out of trust, or has expired, opens none. A connection that is open stays open; what it may do is asked
//! with every call (see [`crate::identity`]).

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take, before the connection's place is given to another.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Without one no connection comes about.
    Required,
    /// They may; one that is not trusted ends the handshake all the same.
    Optional,
    /// None is asked for.
    Off,
}

/// The files TLS is made of, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its CA.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CAs of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether clients show one.
    pub clients: Clients,
}

/// Why TLS cannot be had from these files.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of what it should.
    #[error("could not read {what} from {}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A file holds none.
    #[error("there is no {what} in {}", path.display())]
    Empty {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Client certificates are asked for, and nobody says whose are trusted.
    #[error("client certificates are asked for, and no CA of theirs is named")]
    NoClientCa,
    /// The files do not fit together.
    #[error("{what} cannot be used")]
    Unfit {
        /// Which of them.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a client's certificate says of it, once it was found to be signed by a trusted CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The SPIFFE URI, then the DNS names.
    pub names: Vec<String>,
    /// The SHA-256 of the certificate.
    pub sha256: [u8; 32],
}

/// The server's side of TLS.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let config = RwLock::new(Arc::new(configure(&files)?));
        Ok(Arc::new(Self { files, config }))
    }

    /// Reads them again: connections from now on go by what they hold.
    ///
    /// # Errors
    /// [`TlsError`]; the files that were read before stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(configure(&self.files)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Whether clients show a certificate.
    #[must_use]
    pub const fn clients(&self) -> Clients {
        self.files.clients
    }

    /// The handshake, within [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    /// Whatever the client did not do as it should, as an IO error.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<(TlsStream<S>, Option<Peer>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_as(self.config(), stream).await
    }

    /// The same for a browser, which is spoken to in HTTP/1.
    ///
    /// # Errors
    /// Whatever the client did not do as it should, as an IO error.
    pub async fn accept_http1<S>(&self, stream: S) -> std::io::Result<(TlsStream<S>, Option<Peer>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = ServerConfig::clone(&self.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        self.accept_as(Arc::new(config), stream).await
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn accept_as<S>(
        &self,
        config: Arc<ServerConfig>,
        stream: S,
    ) -> std::io::Result<(TlsStream<S>, Option<Peer>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(config).accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| {
            std::io::Error::new(std::io::ErrorKind::TimedOut, "the handshake took too long")
        })??;
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = certificates.and_then(|chain| chain.first()).map(peer_of);
        Ok((stream, peer))
    }
}

fn configure(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let certificates = read_certificates("a certificate", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        what: "a private key",
        path: files.key.clone(),
        source,
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unfit = |what| move |error: rustls::Error| TlsError::Unfit { what, source: error.into() };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unfit("TLS 1.3"))?;
    let builder = match client_verifier(files, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(unfit("the certificate and its key"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_verifier(
    files: &TlsFiles,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if files.clients == Clients::Off {
        return Ok(None);
    }
    let path = files.client_ca.as_deref().ok_or(TlsError::NoClientCa)?;
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates("a CA's certificate", path)? {
        roots.add(certificate).map_err(|error| TlsError::Unfit {
            what: "a CA's certificate",
            source: error.into(),
        })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match files.clients {
        Clients::Optional => builder.allow_unauthenticated(),
        Clients::Required | Clients::Off => builder,
    };
    let verifier = builder.build().map_err(|error| TlsError::Unfit {
        what: "the CAs of client certificates",
        source: error.into(),
    })?;
    Ok(Some(verifier))
}

fn read_certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { what, path: path.to_owned(), source };
    let read = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { what, path: path.to_owned() });
    }
    Ok(certificates)
}

/// The names of a certificate that was checked. A second SPIFFE URI makes both void, as its
/// standard asks for.
fn peer_of(certificate: &CertificateDer<'_>) -> Peer {
    let sha256 = Sha256::digest(certificate).into();
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else {
        return Peer { names: Vec::new(), sha256 };
    };
    let mut names: Vec<String> = parsed.valid_uri_names().map(str::to_owned).collect();
    if names.len() > 1 {
        return Peer { names: Vec::new(), sha256 };
    }
    names.extend(parsed.valid_dns_names().map(str::to_owned));
    Peer { names, sha256 }
}
