//! `ducat certs`: certificates for development.

use crate::exit::{Done, Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use ducat_api::certs::{Authority, DAYS, Pair};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Commands about certificates.
#[derive(Subcommand, Debug)]
pub enum CertsCommand {
    /// Make a CA, a server's certificate, and one for each client named. For development: in
    /// production they come from a CA that is looked after.
    Dev(DevArgs),
}

/// What to make.
#[derive(Args, Debug)]
#[command(after_help = "\
Files: ca.pem, server.pem, server.key, and for each client its name (what follows the last /) with
.pem and .key. The CA's own key is thrown away: to add a client, make all of them anew.

Examples:
  ducat certs dev --dir certs --client spiffe://bank/gateway --client spiffe://bank/auditor
  ducat serve --tls-server-cert certs/server.pem --tls-server-key certs/server.key \\
        --tls-client-ca certs/ca.pem --config ducat.toml
  ducat --server https://localhost:4600 --tls-ca certs/ca.pem --tls-cert certs/gateway.pem \\
        --tls-key certs/gateway.key status")]
pub struct DevArgs {
    /// Where to put them; a directory that is made, or that holds none of the files yet.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The names and addresses that the server is reached by.
    #[arg(long = "host", value_name = "HOST",
          default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])]
    hosts: Vec<String>,
    /// A client's name: a SPIFFE URI or a DNS name, as [[principals]] of the configuration say it.
    #[arg(long = "client", value_name = "NAME", default_values_t = ["spiffe://dev/gateway".to_owned()])]
    clients: Vec<String>,
}

/// Runs `certs`.
pub fn run(command: &CertsCommand) -> Done {
    let CertsCommand::Dev(args) = command;
    let failed =
        |error: rcgen::Error| Failure::usage(format!("could not make the certificates: {error}"));
    let mut files: Vec<(String, String, bool)> = Vec::new();
    let mut add = |name: &str, pair: Pair| {
        files.push((format!("{name}.pem"), pair.certificate, false));
        files.push((format!("{name}.key"), pair.key, true));
    };
    let ca = Authority::new("ducat development CA").map_err(failed)?;
    add("server", ca.server(&args.hosts).map_err(failed)?);
    for client in &args.clients {
        let short = client.rsplit('/').next().unwrap_or_default();
        if short.is_empty() || matches!(short, "server" | "ca" | "." | "..") {
            return Err(Failure::usage(format!("`{client}` gives no name to a file")));
        }
        add(short, ca.client(client).map_err(failed)?);
    }
    files.push(("ca.pem".to_owned(), ca.certificate, false));
    write_all(&args.dir, &files)?;
    output::print(&format!(
        "wrote {} files to {}, valid for {DAYS} days; keep the .key files to yourself",
        files.len(),
        args.dir.display()
    ))?;
    Ok(Exit::Ok)
}

/// Writes all of them, or none where one is there already.
fn write_all(dir: &Path, files: &[(String, String, bool)]) -> Result<(), Failure> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::new(Exit::CannotCreate, format!("could not write {}: {why}", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for (name, _, _) in files {
        let path = dir.join(name);
        if path.exists() {
            return Err(failed(&path, &"it is there already"));
        }
    }
    for (name, text, secret) in files {
        let path = dir.join(name);
        let mode = if *secret { 0o600 } else { 0o644 };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}
