//! A connection whose client may not send frames without end that ask for nothing (see [`super::frames`]): one
//! that does is ended, and its address has some connections less for a while, so that it is not at once
//! back on others.

use super::addresses::AddressPlace;
use super::frames::{Flood, Frames};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long the place of an ended connection, and what is lost with it, is kept from its address.
pub(super) const KEPT: Duration = Duration::from_secs(60);

/// What is known of a connection that may be ended.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) peer: Option<SocketAddr>,
    pub(super) place: Arc<AddressPlace>,
    pub(super) kept: Duration,
    pub(super) flooded: Arc<AtomicU64>,
}

impl Origin {
    /// Counts the end, tells of it, and keeps the place and some more.
    fn end(&self) -> io::Error {
        self.flooded.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(peer = ?self.peer, "a connection is ended: too many frames of HTTP/2 that ask for nothing");
        let (place, kept) = ((self.place.lost(), Arc::clone(&self.place)), self.kept);
        tokio::spawn(async move {
            tokio::time::sleep(kept).await;
            drop(place);
        });
        io::Error::new(io::ErrorKind::ConnectionAborted, "too many frames that ask for nothing")
    }
}

/// The decrypted bytes of a connection, looked at as they are read.
pub(crate) struct Bounded<S> {
    inner: S,
    frames: Result<Frames, Flood>,
    origin: Origin,
}

impl<S> Bounded<S> {
    /// Of a connection from there, before anything is read.
    pub fn new(inner: S, origin: Origin) -> Self {
        Self { inner, frames: Ok(Frames::new(Instant::now())), origin }
    }

    /// Looks at what has come. Told once: from then on nothing is read any more.
    fn look_at(&mut self, bytes: &[u8]) -> Result<(), io::Error> {
        let Ok(frames) = &mut self.frames else {
            return Err(io::ErrorKind::ConnectionAborted.into());
        };
        if let Err(flood) = frames.read(bytes, Instant::now) {
            self.frames = Err(flood);
            return Err(self.origin.end());
        }
        Ok(())
    }

    fn sent(&mut self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Ok(frames)) = (&wrote, &mut self.frames) {
            frames.sent(*bytes);
        }
        wrote
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read
            && let Err(flooded) = self.look_at(&buffer.filled()[before..])
        {
            buffer.set_filled(before);
            return Poll::Ready(Err(flooded));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.sent(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.sent(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::addresses::Addresses;
    use super::*;
    use std::net::IpAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[tokio::test]
    async fn a_flood_is_ended_once_and_its_place_is_kept_for_a_while() {
        let addresses = Addresses::new(128);
        let address: IpAddr = "10.0.0.1".parse().expect("an address");
        let others: Vec<_> = (0..126).map(|_| addresses.take(address).expect("a place")).collect();
        let place = Arc::new(addresses.take(address).expect("a place"));
        let flooded = Arc::<AtomicU64>::default();
        let kept = Duration::from_secs(3);
        let origin = Origin { peer: None, place, kept, flooded: Arc::clone(&flooded) };
        let (mut client, server) = duplex(1 << 20);
        let mut server = Bounded::new(server, origin);
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("taken");
        client.write_all(&PING.repeat(400)).await.expect("taken");
        let mut read = vec![0; 24 + 400 * PING.len()];
        server.read_exact(&mut read).await.expect("so many may be sent");
        assert!(read.ends_with(&PING));
        client.write_all(&PING.repeat(1_000)).await.expect("taken");
        for _ in 0..3 {
            let error = server.read(&mut read).await.expect_err("ended");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
        assert_eq!(flooded.load(Ordering::Relaxed), 1);
        drop(server);
        assert!(addresses.take(address).is_none(), "kept, and another one lost");
        let given_back = async {
            while addresses.take(address).is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(KEPT, given_back).await.expect("and given back");
        drop(others);
    }
}
