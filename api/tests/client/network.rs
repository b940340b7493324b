//! A network between client and server that does as it is told: holds answers back, cuts
//! connections, leads to another server.

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
        let (state, seen) = watch::channel(State { target, held: false, cuts: 0 });
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
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let held = state.clone();
    tokio::select! {
        // What was held back when the cut came is lost.
        biased;
        _ = state.wait_for(|now| now.cuts != begun.cuts) => {}
        () = forward(from_client, to_server, None) => {}
        () = forward(from_server, to_client, Some(held)) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut held: Option<watch::Receiver<State>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some(held) = &mut held {
            // The network is gone with the test.
            let Ok(_open) = held.wait_for(|now| !now.held).await else { return };
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
