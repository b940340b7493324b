//! A network between client and server that does as it is told: holds answers back, forgets
//! connections without a word, cuts or resets them, also in the middle of a message, leads to
//! another server.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy)]
struct State {
    target: SocketAddr,
    /// Answers are held back.
    held: bool,
    /// Connections of earlier eras are half open: nothing is forwarded, and nobody is told.
    era: u64,
    /// New connections are reset once they have carried so many bytes in one direction.
    reset_after: Option<usize>,
    /// Connections of earlier numbers are cut.
    cuts: u64,
}

/// The network. Ends with the test's runtime.
pub struct Network {
    /// Where clients connect.
    pub address: String,
    state: watch::Sender<State>,
}

impl Network {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (state, seen) =
            watch::channel(State { target, held: false, era: 0, reset_after: None, cuts: 0 });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, seen.clone()));
            }
        });
        Self { address, state }
    }

    /// Holds answers back, or lets them through again.
    pub fn hold(&self, held: bool) {
        self.state.send_modify(|state| state.held = held);
    }

    /// Forgets every connection without a word; new ones work.
    pub fn forget(&self) {
        self.state.send_modify(|state| state.era += 1);
    }

    /// Resets connections made from now on after so many bytes in one direction, or never.
    pub fn reset_after(&self, bytes: Option<usize>) {
        self.state.send_modify(|state| state.reset_after = bytes);
    }

    /// Cuts every connection; what was held back is lost.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts every connection; new ones lead elsewhere.
    pub fn lead_to(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            state.target = target;
            state.cuts += 1;
        });
    }
}

async fn connection(client: TcpStream, mut state: watch::Receiver<State>) {
    let begun = *state.borrow();
    let Ok(server) = TcpStream::connect(begun.target).await else { return };
    if begun.reset_after.is_some() {
        for end in [&client, &server] {
            // Closed, it sends a reset instead of an orderly end.
            end.set_zero_linger().expect("an open socket");
        }
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (there, back) = (state.clone(), state.clone());
    tokio::select! {
        // What was held back when the cut came is lost.
        biased;
        _ = state.wait_for(|now| now.cuts != begun.cuts) => {}
        () = forward(from_client, to_server, there, false) => {}
        () = forward(from_server, to_client, back, true) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    answers: bool,
) {
    let begun = *state.borrow();
    let mut left = begun.reset_after.unwrap_or(usize::MAX);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // The network is gone with the test.
        let open =
            state.wait_for(|now| now.era == begun.era && !(answers && now.held)).await.is_ok();
        let now = count.min(left);
        if !open || to.write_all(&buffer[..now]).await.is_err() {
            return;
        }
        left -= now;
        if left == 0 {
            return;
        }
    }
}
