//! Connections of the server, bounded: a place is taken before a connection is accepted and
//! given back when it closes. Those beyond the bound wait in the listener's backlog. One that
//! leaves answers unread for too long is cut (see [`crate::unread`]).

use crate::unread::{Unread, Watch};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// Pause after a failed accept (out of file descriptors, most often), which would otherwise
/// be tried again at once and without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Accepting = Pin<Box<dyn Future<Output = Connection> + Send>>;

/// The stream of accepted connections.
pub struct Connections {
    listener: Arc<TcpListener>,
    places: Arc<Semaphore>,
    watch: Watch,
    accepting: Option<Accepting>,
}

impl Connections {
    /// Accepts at most `max` connections at a time, and has `watch` look after them.
    #[must_use]
    pub fn new(listener: TcpListener, max: usize, watch: Watch) -> Self {
        let places = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { listener: Arc::new(listener), places, watch, accepting: None }
    }
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (listener, places) = (self.listener.clone(), self.places.clone());
        let watch = self.watch.clone();
        let accepting =
            self.accepting.get_or_insert_with(|| Box::pin(accept(listener, places, watch)));
        let connection = ready!(accepting.as_mut().poll(context));
        self.accepting = None;
        Poll::Ready(Some(Ok(connection)))
    }
}

async fn accept(listener: Arc<TcpListener>, places: Arc<Semaphore>, watch: Watch) -> Connection {
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
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        ConnectionInfo(self.unread.clone())
    }
}

/// What a call knows of its connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo(Arc<Unread>);

impl ConnectionInfo {
    /// The connection's unread answers.
    #[must_use]
    pub fn unread(&self) -> Arc<Unread> {
        self.0.clone()
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
