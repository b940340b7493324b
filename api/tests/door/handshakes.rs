//! Certificates and handshakes that somebody else made: none of them is let in.

use crate::world::{Secrets, Server, rights};
use ducat_api::certs::{Authority, Pair, params};
use ducat_api::identity::guard::Trust;
use ducat_api::tls::Clients;
use prost::bytes::Bytes;
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Request;

const GATEWAY: &str = "spiffe://bank/gateway";

/// Shows a certificate whatever the server asks for, with any key.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate chain and a key that may or may not belong to it.
fn shown(chain: &[&str], key: &str) -> Arc<CertifiedKey> {
    let chain =
        chain.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM"));
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    Arc::new(CertifiedKey::new(chain.collect(), key))
}

fn config(secrets: &Secrets, certificate: Option<Arc<CertifiedKey>>, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(secrets.ca.certificate.as_bytes()).expect("PEM");
    roots.add(ca).expect("a CA");
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("known")
        .with_root_certificates(roots);
    let mut config = match certificate {
        Some(certificate) => builder.with_client_cert_resolver(Arc::new(Always(certificate))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// Whether a call is answered over this connection.
async fn answered<S>(io: S) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok((mut client, connection)) = h2::client::handshake(io).await else { return false };
    tokio::spawn(connection);
    let request = Request::post("https://localhost/ducat.v1.Operator/GetStatus")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("well-formed");
    let Ok((response, mut body)) = client.send_request(request, false) else { return false };
    if body.send_data(Bytes::from_static(&[0; 5]), true).is_err() {
        return false;
    }
    let Ok(response) = response.await else { return false };
    response.status() == 200 && response.headers().get("grpc-status").is_none_or(|code| code == "0")
}

async fn over_tls(address: SocketAddr, config: ClientConfig) -> bool {
    let stream = TcpStream::connect(address).await.expect("listens");
    let name = ServerName::try_from("localhost").expect("a name");
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => answered(stream).await,
        Err(_) => false,
    }
}

/// A server to which one principal's certificate opens the door.
async fn guarded(secrets: &Secrets) -> Server {
    let principals = format!(
        "[[principals]]\nname = \"{GATEWAY}\"\nroles = [\"gateway\"]\n\
         [[principals]]\nname = \"gateway.bank.example\"\nroles = [\"reader\"]"
    );
    let trust = Trust { rights: rights(&principals), ..Trust::default() };
    Server::start(Some(secrets.tls(Clients::Required)), Some(trust)).await
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

fn client_params(names: Vec<SanType>) -> rcgen::CertificateParams {
    let mut params = params("client", names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Certificates that look right and are not.
fn hostile_certificates(secrets: &Secrets) -> Vec<(&'static str, Arc<CertifiedKey>)> {
    let ca = &secrets.ca;
    let good = ca.client(GATEWAY).expect("made");
    let stranger = Authority::new("test CA").expect("made");
    let of_stranger = stranger.client(GATEWAY).expect("made");
    let sign = |params: rcgen::CertificateParams| ca.sign(&params).expect("made");
    let named = |names: Vec<SanType>| sign(client_params(names));
    let own = |pair: &Pair| shown(&[&pair.certificate], &pair.key);
    let self_signed = || {
        let key = rcgen::KeyPair::generate().expect("random");
        let certificate = client_params(vec![uri(GATEWAY)]).self_signed(&key).expect("made");
        shown(&[&certificate.pem()], &key.serialize_pem())
    };
    let dated = |from: i32, to: i32| {
        let mut params = client_params(vec![uri(GATEWAY)]);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        own(&sign(params))
    };
    let used_for = |usages: Vec<ExtendedKeyUsagePurpose>| {
        let mut params = client_params(vec![uri(GATEWAY)]);
        params.extended_key_usages = usages;
        own(&sign(params))
    };
    let by_common_name = {
        let mut params = client_params(vec![]);
        params.distinguished_name.push(DnType::CommonName, GATEWAY);
        own(&sign(params))
    };
    // Signed by a client, who is no CA, and shown with the whole chain.
    let by_a_client = {
        let key = rcgen::KeyPair::from_pem(&good.key).expect("a key");
        let issuer = rcgen::Issuer::new(client_params(vec![uri(GATEWAY)]), key);
        let leaf = rcgen::KeyPair::generate().expect("random");
        let certificate =
            client_params(vec![uri(GATEWAY)]).signed_by(&leaf, &issuer).expect("made");
        shown(&[&certificate.pem(), &good.certificate], &leaf.serialize_pem())
    };
    let mut tampered =
        CertificateDer::from_pem_slice(good.certificate.as_bytes()).expect("PEM").to_vec();
    *tampered.last_mut().expect("bytes") ^= 1;
    let key = PrivateKeyDer::from_pem_slice(good.key.as_bytes()).expect("PEM");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    let tampered = Arc::new(CertifiedKey::new(vec![tampered.into()], Arc::clone(&key)));
    let garbage = Arc::new(CertifiedKey::new(vec![vec![0x30, 0x03, 1, 2, 3].into()], key));
    vec![
        ("of another CA of the same name", own(&of_stranger)),
        (
            "of another CA, with its chain",
            shown(&[&of_stranger.certificate, &stranger.certificate], &of_stranger.key),
        ),
        ("signed by itself", self_signed()),
        ("expired", dated(2000, 2001)),
        ("not valid yet", dated(3000, 3001)),
        ("for servers", used_for(vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("for signing code", used_for(vec![ExtendedKeyUsagePurpose::CodeSigning])),
        ("the CA's own, with a client's key", shown(&[&ca.certificate], &good.key)),
        ("signed by a client", by_a_client),
        ("a principal's, with another's key", shown(&[&good.certificate], &of_stranger.key)),
        ("a principal's, changed", tampered),
        ("no certificate at all", garbage),
        ("without a name", own(&named(vec![]))),
        ("with the name as common name", by_common_name),
        ("of somebody else", own(&named(vec![uri("spiffe://bank/other")]))),
        ("with a name that goes on", own(&named(vec![uri("spiffe://bank/gateway/x")]))),
        ("with a name that stops before", own(&named(vec![uri("spiffe://bank/gatewa")]))),
        ("with a slash more", own(&named(vec![uri("spiffe://bank/gateway/")]))),
        ("in other letters", own(&named(vec![uri("spiffe://bank/GATEWAY")]))),
        ("with two URIs", own(&named(vec![uri(GATEWAY), uri("spiffe://bank/other")]))),
        (
            "with the names of two principals",
            own(&named(vec![uri(GATEWAY), dns("gateway.bank.example")])),
        ),
        ("with a wildcard", own(&named(vec![dns("*.bank.example")]))),
        (
            "with the name as an e-mail address",
            own(&named(vec![SanType::Rfc822Name(GATEWAY.try_into().expect("ASCII"))])),
        ),
        ("with the name as a host", own(&named(vec![dns("spiffe.bank.gateway")]))),
    ]
}

/// What is sent instead of a handshake.
fn hostile_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // A ClientHello that offers TLS 1.2 and nothing newer: version 3.3, a random, no session, one
    // suite (ECDHE-RSA-AES128-GCM), no compression, supported groups, points and signatures.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7_u8; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let extensions: &[u8] =
        &[0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 8, 4, 4, 1];
    hello.extend([0, u8::try_from(extensions.len()).expect("short")]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).expect("short");
    let record = |version: u8| {
        let mut bytes = vec![22, 3, version, 0, length + 4, 1, 0, 0, length];
        bytes.extend(&hello);
        bytes
    };
    let tls_1_2 = record(3);
    let mut cut = tls_1_2.clone();
    cut.truncate(30);
    vec![
        ("HTTP/2 in plain text", preface),
        ("HTTP/1.1 in plain text", b"POST /ducat.v1.Operator/GetStatus HTTP/1.1\r\n\r\n".to_vec()),
        ("a TLS 1.2 hello", tls_1_2),
        ("a TLS 1.0 hello", record(1)),
        ("half a hello", cut),
        ("an SSL 2 hello", vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80]),
        ("a record that is too long", vec![22, 3, 3, 0xff, 0xff, 1, 2, 3]),
        ("application data first", vec![23, 3, 3, 0, 5, 0, 0, 0, 0, 0]),
        ("an alert", vec![21, 3, 3, 0, 2, 2, 40]),
        ("nothing", vec![]),
        ("zeros", vec![0; 4096]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principals_certificate_opens_the_door() {
    let secrets = Secrets::new();
    let server = guarded(&secrets).await;
    for names in [vec![uri(GATEWAY)], vec![dns("gateway.bank.example")]] {
        let pair = secrets.ca.sign(&client_params(names)).expect("made");
        let certificate = shown(&[&pair.certificate], &pair.key);
        assert!(over_tls(server.address, config(&secrets, Some(certificate), b"h2")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hostile_certificate_or_handshake_is_let_in() {
    let secrets = Secrets::new();
    let server = guarded(&secrets).await;
    let certificates = hostile_certificates(&secrets);
    let bytes = hostile_bytes();
    assert!(certificates.len() + bytes.len() >= 35);
    for (what, certificate) in certificates {
        let config = config(&secrets, Some(certificate), b"h2");
        assert!(!over_tls(server.address, config).await, "{what}");
    }
    assert!(!over_tls(server.address, config(&secrets, None, b"h2")).await, "no certificate");
    let good = secrets.ca.client(GATEWAY).expect("made");
    let certificate = shown(&[&good.certificate], &good.key);
    let old = config(&secrets, Some(Arc::clone(&certificate)), b"http/1.1");
    assert!(!over_tls(server.address, old).await, "another protocol");
    for (what, bytes) in bytes {
        let mut stream = TcpStream::connect(server.address).await.expect("listens");
        stream.write_all(&bytes).await.expect("sent");
        stream.shutdown().await.expect("no more is sent");
        let mut answer = Vec::new();
        // Closed or reset, after an alert at most.
        let _ended = stream.read_to_end(&mut answer).await;
        let is_alert = |answer: &[u8]| answer.first().is_none_or(|&kind| kind == 21);
        assert!(is_alert(&answer), "{what}: {answer:?}");
    }
    // And those who may come in still do.
    assert!(over_tls(server.address, config(&secrets, Some(certificate), b"h2")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ca_is_trusted_once_its_file_was_read_again() {
    let secrets = Secrets::new();
    let tls = secrets.tls(Clients::Required);
    let principals = format!("[[principals]]\nname = \"{GATEWAY}\"\nroles = [\"gateway\"]");
    let trust = Trust { rights: rights(&principals), ..Trust::default() };
    let server = Server::start(Some(Arc::clone(&tls)), Some(trust)).await;
    let other = Authority::new("the next CA").expect("made");
    let (old, new) =
        (secrets.ca.client(GATEWAY).expect("made"), other.client(GATEWAY).expect("made"));
    let may = async |pair: &Pair| {
        let certificate = shown(&[&pair.certificate], &pair.key);
        over_tls(server.address, config(&secrets, Some(certificate), b"h2")).await
    };
    assert!(may(&old).await && !may(&new).await);
    secrets.write("ca.pem", "nonsense");
    assert!(tls.reload().is_err(), "a broken file is told of");
    assert!(may(&old).await && !may(&new).await, "and changes nothing");
    secrets.write("ca.pem", &other.certificate);
    tls.reload().expect("sound");
    assert!(!may(&old).await && may(&new).await);
}

#[test]
fn files_that_do_not_fit_are_told_of() {
    use ducat_api::tls::{Tls, TlsFiles};
    let secrets = Secrets::new();
    let other = secrets.ca.server(&["localhost".to_owned()]).expect("made");
    secrets.write_pair("other", &other);
    secrets.write("empty.pem", "");
    let files = |certificate: &str, key: &str, ca: Option<&str>| TlsFiles {
        certificate: secrets.path(certificate),
        key: secrets.path(key),
        client_ca: ca.map(|name| secrets.path(name)),
        clients: Clients::Required,
    };
    assert!(Tls::load(files("server.pem", "server.key", Some("ca.pem"))).is_ok());
    for wrong in [
        files("missing.pem", "server.key", Some("ca.pem")),
        files("empty.pem", "server.key", Some("ca.pem")),
        files("server.pem", "other.key", Some("ca.pem")),
        files("server.pem", "server.pem", Some("ca.pem")),
        files("server.pem", "server.key", Some("empty.pem")),
        files("server.pem", "server.key", None),
    ] {
        let text = format!("{wrong:?}");
        assert!(Tls::load(wrong).is_err(), "{text}");
    }
}
