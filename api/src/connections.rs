//! Connections of the server, bounded: a place is taken before a connection is accepted and
//! given back when it closes. Those beyond the bound wait in the listener's backlog; those of one address
//! beyond its own are closed at once, before anything is read of them. One that says nothing is ended
//! ([`greeting`]), one that sends frames without end that ask for nothing is as well ([`bounded`]), and one that leaves
//! answers unread, or a request half sent, for too long is cut (see [`crate::unread`]).

mod addresses;
pub(crate) mod bounded;
mod frames;
pub(crate) mod greeting;
mod resets;

pub(crate) use addresses::network;

use crate::unread::{Unread, Watch};
use addresses::Addresses;
use bounded::{KEPT, Origin};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pause after a failed accept (out of file descriptors, most often), which would otherwise
/// be tried again at once and without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The accepted connections, one after the other.
pub struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
    addresses: Addresses,
    closed: Closed,
    watch: Watch,
}

/// How many connections were closed that would have gone on, by the reason. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closed {
    /// Their address had as many as it may.
    pub address_full: Arc<AtomicU64>,
    /// They sent too many frames that ask for nothing, or gave up most of their calls at once.
    pub flooded: Arc<AtomicU64>,
}

impl Connections {
    /// Accepts at most `max` connections at a time, and has `watch` look after them.
    #[must_use]
    pub fn new(listener: TcpListener, max: usize, watch: Watch) -> Self {
        let places = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { listener, places, addresses: Addresses::new(max), closed: Closed::default(), watch }
    }

    /// The same, of which each address may have so many.
    #[must_use]
    pub fn of_each_address(self, max: usize) -> Self {
        Self { addresses: Addresses::new(max), ..self }
    }

    /// The same; those that are closed are counted there.
    #[must_use]
    pub(crate) fn counted_in(self, closed: Closed) -> Self {
        Self { closed, ..self }
    }

    /// The next one. Nothing is lost when it is not waited for any more.
    pub async fn next(&self) -> Connection {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(of_address) = self.addresses.take(peer.ip()) else {
                        self.close(&stream, peer);
                        continue;
                    };
                    // Small answers must not wait for more to come; without it they are only late.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "could not turn off Nagle's algorithm");
                    }
                    let unread = self.watch.connection();
                    let flooded = Arc::clone(&self.closed.flooded);
                    let of_address = Arc::new(of_address);
                    let peer = Some(peer);
                    let origin = Origin { peer, place: of_address, kept: KEPT, flooded };
                    return Connection { stream, unread, _place: place, origin };
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Has a connection of an address that has too many end with a reset, which leaves nothing behind
    /// in the kernel.
    fn close(&self, stream: &TcpStream, peer: SocketAddr) {
        self.closed.address_full.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, "a connection is closed: its address has as many as it may");
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "could not have a connection reset");
        }
    }
}

/// An accepted connection and its place among those allowed.
pub struct Connection {
    stream: TcpStream,
    unread: Arc<Unread>,
    _place: OwnedSemaphorePermit,
    origin: Origin,
}

impl Connection {
    /// The other end, when it is known.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.origin.peer
    }

    /// Where it comes from, for who may have to end it.
    #[must_use]
    pub(crate) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// Its unread answers.
    #[must_use]
    pub fn unread(&self) -> Arc<Unread> {
        Arc::clone(&self.unread)
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "answers lay unread for too long")
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_cut() {
            return Poll::Ready(Err(cut()));
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() && !self.unread.wake(context.waker()) {
            return Poll::Ready(Err(cut()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
