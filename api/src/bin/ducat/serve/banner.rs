//! What a server says on stdout once clients can connect. The first line is for programs:
//! `listening on ADDRESS`; the rest is for whoever started it.

use ducat_actors::handle::Status;
use ducat_api::server::{Durability, ServerInfo};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// The address that the other commands ask by default.
const DEFAULT_PORT: u16 = 4600;

/// How one comes in.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Connections are TLS.
    pub encrypted: bool,
    /// Everyone is asked who they are.
    pub guarded: bool,
    /// The ledger key under which what is written lies on the disk, if it is encrypted.
    pub ledger_key: Option<u32>,
    /// Where figures and probes are, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where the operators' page is, if anywhere.
    pub console: Option<SocketAddr>,
}

/// Prints it and flushes. A closed stdout is no reason not to serve.
pub fn print(address: SocketAddr, data_dir: &Path, info: &ServerInfo, status: &Status, door: Door) {
    let mut out = std::io::stdout().lock();
    let _unread = out
        .write_all(text(address, data_dir, info, status, &program(), door).as_bytes())
        .and_then(|()| out.flush());
}

/// How this program was started, so that the commands can be copied as they are.
fn program() -> String {
    if std::env::var_os("CARGO").is_some() {
        return "cargo run --release --".to_owned();
    }
    std::env::args().next().unwrap_or_else(|| "ducat".to_owned())
}

fn text(
    address: SocketAddr,
    data_dir: &Path,
    info: &ServerInfo,
    status: &Status,
    program: &str,
    door: Door,
) -> String {
    let (place, survives) = match info.durability {
        Durability::PowerLoss => (
            data_dir.display().to_string(),
            "power-loss: every answer survives pulling the plug".to_owned(),
        ),
        Durability::None => (
            "none, the journal is in memory".to_owned(),
            "NONE: EVERYTHING IS LOST WHEN THIS PROCESS ENDS. For development only".to_owned(),
        ),
    };
    let (scheme, connections) = match (door.encrypted, door.guarded) {
        (true, true) => ("https", "TLS 1.3; everyone is asked who they are"),
        (true, false) => ("https", "TLS 1.3; everyone may do everything"),
        (false, true) => ("http", "plain text; everyone is asked who they are"),
        (false, false) => ("http", "plain text; everyone may do everything"),
    };
    let default = address.port() == DEFAULT_PORT && address.ip().is_loopback();
    let server = if default && !door.encrypted {
        String::new()
    } else {
        format!(" --server {scheme}://{address}")
    };
    let ledger = &info.ledger_id;
    let (accounts, lsn) = (status.accounts, status.durable_lsn);
    let mut text = format!(
        "listening on {address}\n\
         data directory: {place}\n\
         durability:     {survives}\n\
         connections:    {connections}\n\
         ledger:         {ledger}, {accounts} accounts, journal at LSN {lsn}\n"
    );
    if let Some(number) = door.ledger_key {
        writeln!(text, "on the disk:    AES-256-GCM, under ledger key {number}")
            .expect("writing to a String never fails");
    }
    if let Some(metrics) = door.metrics {
        writeln!(text, "metrics:        http://{metrics}/metrics, /livez, /readyz")
            .expect("writing to a String never fails");
    }
    if let Some(console) = door.console {
        writeln!(text, "console:        {scheme}://{console}/")
            .expect("writing to a String never fails");
    }
    for origin in &info.origins {
        writeln!(text, "made from:      {origin}").expect("writing to a String never fails");
    }
    text.push_str("\nOpen two accounts and send a first transfer from another shell:\n");
    for command in [
        "account create 1 --currency GBP --external",
        "account create 2 --currency GBP",
        "transfer --from 1 --to 2 --amount 100.00 --currency GBP --kind deposit",
    ] {
        writeln!(text, "  {program}{server} {command}").expect("writing to a String never fails");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner(address: &str, durability: Durability) -> String {
        let info = ServerInfo {
            version: "0".into(),
            ledger_id: "ab".into(),
            origins: vec![],
            durability,
            started: std::time::Instant::now(),
        };
        let address = address.parse().expect("an address");
        let door = Door {
            encrypted: false,
            guarded: false,
            ledger_key: None,
            metrics: None,
            console: None,
        };
        text(address, Path::new("./ducat-data"), &info, &Status::default(), "ducat", door)
    }

    #[test]
    fn the_first_line_is_for_programs() {
        let text = banner("127.0.0.1:4600", Durability::PowerLoss);
        assert_eq!(text.lines().next(), Some("listening on 127.0.0.1:4600"));
        assert!(text.contains("./ducat-data"));
        assert!(text.contains("  ducat account create 1 --currency GBP --external\n"));
    }

    #[test]
    fn another_port_is_named_in_the_commands() {
        let text = banner("127.0.0.1:39111", Durability::None);
        assert!(text.contains("  ducat --server http://127.0.0.1:39111 transfer --from 1"));
        assert!(text.contains("LOST"));
        assert!(!text.contains("ducat-data"));
    }
}
