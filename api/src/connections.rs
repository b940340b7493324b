//! Connections of the server, bounded: a place is taken before a connection is accepted and
//! given back when it closes. Those beyond the bound wait in the listener's backlog. One that
//! leaves answers unread for too long is cut (see [`crate::unread`]).

use crate::unread::{Unread, Watch};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
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
    watch: Watch,
}

impl Connections {
    /// Accepts at most `max` connections at a time, and has `watch` look after them.
    #[must_use]
    pub fn new(listener: TcpListener, max: usize, watch: Watch) -> Self {
        let places = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { listener, places, watch }
    }

    /// The next one. Nothing is lost when it is not waited for any more.
    pub async fn next(&self) -> Connection {
        accept(&self.listener, Arc::clone(&self.places), &self.watch).await
    }
}

async fn accept(listener: &TcpListener, places: Arc<Semaphore>, watch: &Watch) -> Connection {
    let place = places.acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                // Small answers must not wait for more to come; without it they are only late.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "could not turn off Nagle's algorithm");
                }
                return Connection { stream, unread: watch.connection(), _place: place };
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An accepted connection and its place among those allowed.
pub struct Connection {
    stream: TcpStream,
    unread: Arc<Unread>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// The other end, when it is known.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
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
