//! Certificates for development: a CA, and what it signs. What `ducat certs dev` makes. Banks have
//! CAs of their own.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::net::IpAddr;

/// A certificate and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key (PKCS #8).
    pub key: String,
}

/// A CA that signs certificates of servers and clients.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub certificate: String,
}

/// How long certificates are valid, unless something else is said.
pub const DAYS: i64 = 365;

impl Authority {
    /// A new one with this name.
    ///
    /// # Errors
    /// Whatever the library refuses.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = params(name, Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A server's certificate for these host names and addresses.
    ///
    /// # Errors
    /// As [`Self::new`]; also for a name that is no host.
    pub fn server(&self, hosts: &[String]) -> Result<Pair, rcgen::Error> {
        let names = hosts.iter().map(|host| match host.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => Ok(SanType::DnsName(host.as_str().try_into()?)),
        });
        let names = names.collect::<Result<Vec<_>, rcgen::Error>>()?;
        let mut params = params("ducat server", names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A client's certificate with this name: a URI such as `spiffe://bank/gateway`, or a DNS name.
    ///
    /// # Errors
    /// As [`Self::new`]; also for a name that is neither.
    pub fn client(&self, name: &str) -> Result<Pair, rcgen::Error> {
        let names = if name.contains("://") {
            vec![SanType::URI(name.try_into()?)]
        } else {
            vec![SanType::DnsName(name.try_into()?)]
        };
        let mut params = params("ducat client", names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A certificate with everything else as it is said.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn sign(&self, params: &CertificateParams) -> Result<Pair, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// What all certificates have in common.
#[must_use]
pub fn params(name: &str, names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    // A day back, for clocks that are behind.
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |days: i64| {
        let date = today.saturating_add(jiff::Span::new().days(days));
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(-1);
    params.not_after = day(DAYS);
    params
}
