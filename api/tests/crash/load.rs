//! Clients that send traffic until the server goes away, each in turns one transfer at a time,
//! in batches, and on a stream with several batches in flight. Beside them one changes accounts.

use crate::changes::change_accounts;
use crate::history::History;
use crate::traffic::Traffic;
use ducat_api::client::{Client, ClientError};
use ducat_api::proto::TransferRequest;
use rand::RngExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Clients at a time.
pub const CLIENTS: u64 = 8;

/// Batches in flight on a stream.
const WINDOW: usize = 8;

/// A running load.
pub struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts the clients on the server at `address`.
    pub fn start(address: &str, history: &Arc<History>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let traffic = Traffic::new(seed.wrapping_mul(CLIENTS).wrapping_add(number));
            let (address, history) = (address.to_owned(), Arc::clone(history));
            let stop = Arc::clone(&stop);
            clients.spawn(async move {
                // The server going away is what the tests are about.
                let _gone = client(&address, &history, traffic, &stop).await;
            });
        }
        let (address, history) = (address.to_owned(), Arc::clone(history));
        let is_over = Arc::clone(&stop);
        clients.spawn(async move {
            let _gone = change_accounts(&address, &history, seed, &is_over).await;
        });
        Self { clients, stop }
    }

    /// Waits until every client has noticed that the server is gone.
    pub async fn ended(mut self) {
        let all = async {
            while self.clients.join_next().await.transpose().expect("no panic").is_some() {}
        };
        let in_time = tokio::time::timeout(Duration::from_secs(90), all).await;
        assert!(in_time.is_ok(), "a client waits for ever for an answer");
    }

    /// Lets every client finish what it has begun.
    pub async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.ended().await;
    }
}

async fn client(
    address: &str,
    history: &Arc<History>,
    mut traffic: Traffic,
    stop: &AtomicBool,
) -> Result<(), ClientError> {
    let client = Client::connect(address).await?;
    while !stop.load(Ordering::Relaxed) {
        match traffic.rng().random_range(0..3) {
            0 => {
                for _ in 0..10 {
                    let transfer = traffic.one(history);
                    let call = history.sent(vec![transfer.clone()]);
                    let outcome = client.transfer(transfer).await?;
                    history.answered(call, vec![outcome]);
                }
            }
            1 => {
                let batch = batch(&mut traffic, history, 200);
                let call = history.sent(batch.clone());
                history.answered(call, client.create_transfers(batch).await?);
            }
            _ => stream(&client, history, &mut traffic, stop).await?,
        }
    }
    Ok(())
}

fn batch(traffic: &mut Traffic, history: &History, most: usize) -> Vec<TransferRequest> {
    let count = traffic.rng().random_range(1..=most);
    traffic.batch(count, history)
}

/// Some batches on a stream; a batch refused as a whole stays without an answer.
async fn stream(
    client: &Client,
    history: &Arc<History>,
    traffic: &mut Traffic,
    stop: &AtomicBool,
) -> Result<(), ClientError> {
    let (mut sender, mut answers) = client.stream(WINDOW).await?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let receiving = {
        let history = Arc::clone(history);
        tokio::spawn(async move {
            while let Some(answer) = answers.next().await? {
                let call = told.recv().await.expect("sent before it was answered");
                if let Ok(outcomes) = answer.result {
                    history.answered(call, outcomes);
                }
            }
            Ok::<(), ClientError>(())
        })
    };
    for _ in 0..20 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let batch = batch(traffic, history, 100);
        let call = history.sent(batch.clone());
        // Both fail when the stream was cut, which the receiver tells about.
        if tell.send(call).is_err() || sender.send(batch).await.is_err() {
            break;
        }
    }
    drop(sender);
    receiving.await.expect("no panic")
}
