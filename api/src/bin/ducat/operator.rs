//! `ducat operator`: the second factors of those who run a ledger, in the file that the server reads.

use crate::causes::with_causes;
use crate::exit::{Done, Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use ducat_api::identity::factor::Secrets;
use ducat_api::identity::factor::secrets::Secret;
use std::path::PathBuf;

/// What to do for an operator.
#[derive(Subcommand, Debug)]
pub enum OperatorCommand {
    /// Give somebody a second factor, and print what their authenticator reads.
    Enrol(EnrolArgs),
}

/// Whom to enrol.
#[derive(Args, Debug)]
#[command(after_help = "\
The secret is written into the file, which only its owner can read, and printed once, as an otpauth URI
that an authenticator takes in as it is or as a QR code. The server reads the file at its start and at
SIGHUP.

Examples:
  ducat operator enrol anna --secrets-file factors.toml
  ducat serve --config ducat.toml --second-factor-secrets factors.toml")]
pub struct EnrolArgs {
    /// Their name: the subject of their tokens, or the name in their certificate.
    #[arg(value_name = "NAME")]
    name: String,
    /// The file of secrets; made when it is not there.
    #[arg(long, env = "DUCAT_SECOND_FACTOR_SECRETS", value_name = "FILE")]
    secrets_file: PathBuf,
    /// What the authenticator shows beside the name.
    #[arg(long, default_value = "Ducat", value_name = "TEXT")]
    issuer: String,
    /// Put a new secret in the place of one that is lost; the old one is worth nothing then.
    #[arg(long)]
    replace: bool,
}

/// Runs `operator`.
pub fn run(command: &OperatorCommand) -> Done {
    let OperatorCommand::Enrol(args) = command;
    let secret = Secret::random()
        .map_err(|why| Failure::new(Exit::Internal, format!("could not draw a secret: {why}")))?;
    let enrolled = Secrets::enrol(&args.secrets_file, &args.name, &secret, args.replace);
    enrolled.map_err(|error| Failure::usage(with_causes(&error)))?;
    eprintln!("{} is enrolled in {}; this is shown once:", args.name, args.secrets_file.display());
    output::print(&secret.to_uri(&args.name, &args.issuer))?;
    Ok(Exit::Ok)
}
