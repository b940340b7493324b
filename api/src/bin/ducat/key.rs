//! `ducat key`: the keys that sign and check checkpoints and receipts.

use crate::exit::{Done, Exit, Failure};
use crate::output;
use crate::witness::key_failure;
use clap::{Args, Subcommand};
use ducat_persistence::witness::SignKey;
use std::path::PathBuf;

/// What to do with a key.
#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Make a private key that signs checkpoints, in a new file that only you can read, and
    /// print its public key.
    Generate(KeyArgs),
    /// Print the public key of a private one, which may be given to anybody.
    Public(KeyArgs),
}

/// Which key.
#[derive(Args, Debug)]
#[command(after_help = "\
Ed25519: the private key as PKCS#8, the public one as SPKI, both in PEM, as openssl reads them.

Keep the private key outside the data directory and apart from the checkpoints. Whoever has it
can sign another history.

Examples:
  ducat key generate --key ~/ducat.key > ducat.pub
  ducat key public --key ~/ducat.key > ducat.pub")]
pub struct KeyArgs {
    /// The file of the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Runs `key`.
pub fn run(command: &KeyCommand) -> Done {
    let key = match command {
        KeyCommand::Generate(args) => {
            let key = SignKey::random().map_err(|error| {
                Failure::new(Exit::Internal, format!("could not draw a key: {error}"))
            })?;
            key.write_new(&args.key).map_err(|error| key_failure(&error))?;
            eprintln!(
                "wrote {}: keep it outside the data directory and apart from the checkpoints",
                args.key.display()
            );
            key
        }
        KeyCommand::Public(args) => {
            SignKey::read(&args.key).map_err(|error| key_failure(&error))?
        }
    };
    let pem = key.public().to_pem().map_err(|error| {
        Failure::new(Exit::Internal, format!("could not write the public key: {error}"))
    })?;
    output::print(pem.trim_end())?;
    Ok(Exit::Ok)
}
