//! `ducat token`: bearer tokens for development and for operators.

use crate::causes::with_causes;
use crate::exit::{Done, Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use ducat_api::identity::issue::{Claims, issue};
use ducat_api::identity::rights::Grant;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Commands about tokens.
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Sign a token and print it.
    Issue(IssueArgs),
}

/// What the token says.
#[derive(Args, Debug)]
#[command(after_help = "\
The key is an Ed25519 one, as `ducat key generate` makes it; the server is told its public half.
Tokens are short-lived: have a new one written over the file that the client reads, which looks at it
again by itself.

Examples:
  ducat key generate --key tokens.key > tokens.pub
  ducat serve --token-keys tokens.pub --token-issuer https://bank.example/ops
  ducat token issue --key tokens.key --issuer https://bank.example/ops --subject anna \\
        --role operator --accounts '*' --lifetime-s 900 > anna.token
  ducat --token-file anna.token status")]
pub struct IssueArgs {
    /// The private key to sign with.
    #[arg(long, env = "DUCAT_TOKEN_SIGN_KEY", value_name = "FILE")]
    key: PathBuf,
    /// Who issues it, as the server's --token-issuer says.
    #[arg(long, value_name = "TEXT")]
    issuer: String,
    /// For which server, as its --token-audience says.
    #[arg(long, default_value = "ducat", value_name = "TEXT")]
    audience: String,
    /// For whom it is.
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// What they may do: gateway, reader, operator, auditor, admin. Without one the server's
    /// [[principals]] say it, by the subject.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Which accounts: ids, ranges such as 1000..1999, or *.
    #[arg(long, value_name = "IDS", value_delimiter = ',', requires = "roles")]
    accounts: Vec<String>,
    /// Whose accounts.
    #[arg(long = "owner", value_name = "OWNER", requires = "roles")]
    owners: Vec<String>,
    /// How long it is valid, seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lifetime_s: u64,
}

/// Runs `token`.
pub fn run(command: &TokenCommand) -> Done {
    let TokenCommand::Issue(args) = command;
    // As the server will read it.
    Grant::new(&args.subject, &args.roles, &args.accounts, &args.owners).map_err(Failure::usage)?;
    let key = std::fs::read_to_string(&args.key).map_err(|error| {
        Failure::usage(format!("could not read the key {}: {error}", args.key.display()))
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let lifetime = Duration::from_secs(args.lifetime_s);
    let claims = Claims {
        roles: (!args.roles.is_empty()).then(|| args.roles.clone()),
        accounts: args.accounts.clone(),
        owners: args.owners.clone(),
        ..Claims::new(&args.subject, &args.issuer, &args.audience, now, lifetime)
    };
    let token = issue(&key, &claims).map_err(|error| Failure::usage(with_causes(&error)))?;
    output::print(&token)?;
    Ok(Exit::Ok)
}
