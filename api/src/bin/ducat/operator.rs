//! `ducat operator`: the second factors and passwords of those who run a ledger, in the file that the server reads.

use crate::ask;
use crate::causes::with_causes;
use crate::exit::{Done, Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use ducat_api::identity::factor::Secrets;
use ducat_api::identity::factor::secrets::Secret;
use ducat_api::identity::passwords::Passwords;
use std::path::PathBuf;

/// What to do for an operator.
#[derive(Subcommand, Debug)]
pub enum OperatorCommand {
    /// Give somebody a second factor, and print what their authenticator reads.
    Enrol(EnrolArgs),
    /// Give somebody a password, in the place of the one they had.
    Password(PasswordArgs),
}

/// Whose password.
#[derive(Args, Debug)]
#[command(after_help = "\
Asks twice on a terminal, else takes the first line of stdin. At least 12 characters that are not easily
guessed: four words that have nothing to do with each other will do. Only its hash (Argon2id) is kept.

Examples:
  ducat operator password anna --passwords-file passwords.toml
  ducat serve --config ducat.toml --login-passwords passwords.toml --login-key login.key \\
        --second-factor-secrets factors.toml")]
pub struct PasswordArgs {
    /// Their name, as the server's [[principals]] have it.
    #[arg(value_name = "NAME")]
    name: String,
    /// The file of passwords; made when it is not there.
    #[arg(long, env = "DUCAT_LOGIN_PASSWORDS", value_name = "FILE")]
    passwords_file: PathBuf,
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
    match command {
        OperatorCommand::Enrol(args) => enrol(args),
        OperatorCommand::Password(args) => password(args),
    }
}

fn password(args: &PasswordArgs) -> Done {
    let chosen = ask::new_secret("new password: ")?;
    let set = Passwords::set(&args.passwords_file, &args.name, &chosen);
    set.map_err(|error| Failure::usage(with_causes(&error)))?;
    eprintln!("{} has a new password in {}", args.name, args.passwords_file.display());
    Ok(Exit::Ok)
}

fn enrol(args: &EnrolArgs) -> Done {
    let secret = Secret::random()
        .map_err(|why| Failure::new(Exit::Internal, format!("could not draw a secret: {why}")))?;
    let enrolled = Secrets::enrol(&args.secrets_file, &args.name, &secret, args.replace);
    enrolled.map_err(|error| Failure::usage(with_causes(&error)))?;
    eprintln!("{} is enrolled in {}; this is shown once:", args.name, args.secrets_file.display());
    output::print(&secret.to_uri(&args.name, &args.issuer))?;
    Ok(Exit::Ok)
}
