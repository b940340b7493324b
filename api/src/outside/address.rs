//! Addresses outside the process: encrypted, unless they are on this machine.

use std::net::IpAddr;
use tonic::codegen::http::Uri;

/// Reads one.
///
/// # Errors
/// Why it is none that anything may be sent to.
pub(super) fn address(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "it is no URL")?;
    let Some(host) = url.host() else { return Err("it names no host") };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a name and a password do not belong in it");
    }
    match url.scheme_str() {
        Some("https") => Ok(url),
        Some("http") if is_loopback(host) => Ok(url),
        Some("http") => Err("beyond this machine it must be https"),
        _ => Err("it must be https"),
    }
}

/// The address up to its host: what comes behind may be what lets one in.
pub(super) fn without_secrets(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}
