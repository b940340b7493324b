//! The operators' page: where it listens, and where it may.

use crate::exit::Failure;
use ducat_api::console::{Console, listener};
use ducat_api::tls::Tls;
use std::net::SocketAddr;
use std::sync::Arc;

/// Serves the page's files from before the replay on, and its calls once the server is ready, until
/// the process ends. Nothing where no address is named.
pub fn serve(
    address: Option<SocketAddr>,
    tls: Option<&Arc<Tls>>,
) -> Result<Option<(Arc<Console>, SocketAddr)>, Failure> {
    let Some(address) = address else { return Ok(None) };
    let (listener, address) = super::listen_at(address)?;
    let console = Console::new();
    tokio::spawn(listener::serve(listener, Arc::clone(&console), tls.cloned()));
    Ok(Some((console, address)))
}
