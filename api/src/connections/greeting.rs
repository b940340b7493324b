//! The first bytes of a connection, which must come in time: one that never says anything would hold
//! its place for ever, since HTTP/2 asks for a sign of life only where it is spoken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long they may take.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// How many there are: the preface of HTTP/2 and the head of the frame behind it.
const GREETING_BYTES: usize = 24 + 9;

/// A connection whose first bytes must come in time; afterwards it is what it was.
pub(crate) struct Greeting<S> {
    inner: S,
    awaited: Option<Awaited>,
}

struct Awaited {
    bytes: usize,
    end: Pin<Box<Sleep>>,
}

impl<S> Greeting<S> {
    /// Waits for the greeting from now on.
    pub fn new(inner: S) -> Self {
        Self::within(inner, GREETING_TIMEOUT)
    }

    fn within(inner: S, time: Duration) -> Self {
        let end = Box::pin(sleep(time));
        Self { inner, awaited: Some(Awaited { bytes: GREETING_BYTES, end }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        let Some(awaited) = &mut this.awaited else { return read };
        let came = buffer.filled().len() - before;
        if came >= awaited.bytes {
            this.awaited = None;
            return read;
        }
        awaited.bytes -= came;
        if read.is_pending() && awaited.end.as_mut().poll(context).is_ready() {
            let late = "the first bytes did not come in time";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, late)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
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
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn who_says_nothing_or_too_little_is_ended() {
        for said in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let (mut client, server) = duplex(64);
            client.write_all(said).await.expect("taken");
            let mut server = Greeting::within(server, SHORT);
            let mut all = Vec::new();
            let error = server.read_to_end(&mut all).await.expect_err("ended");
            assert_eq!((error.kind(), &all[..]), (io::ErrorKind::TimedOut, said));
        }
    }

    #[tokio::test]
    async fn who_has_greeted_may_be_silent() {
        let (mut client, server) = duplex(64);
        let mut server = Greeting::within(server, SHORT);
        let greeting = [7; GREETING_BYTES];
        client.write_all(&greeting).await.expect("taken");
        let mut read = [0; GREETING_BYTES];
        server.read_exact(&mut read).await.expect("it came");
        tokio::time::sleep(2 * SHORT).await;
        let silent = tokio::time::timeout(2 * SHORT, server.read_u8()).await;
        assert!(silent.is_err(), "it waits: {silent:?}");
        client.write_all(&[1]).await.expect("taken");
        assert_eq!((server.read_u8().await.expect("it goes on"), read), (1, greeting));
    }
}
