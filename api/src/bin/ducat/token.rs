//! `ducat token`: bearer tokens for development and for operators.

use crate::Global;
use crate::causes::with_causes;
use crate::exit::{Done, Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use ducat_api::identity::factor::Secrets;
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
  ducat --token-file anna.token status
  ducat token issue --key tokens.key --issuer https://bank.example/ops --subject anna \\
        --role operator --accounts '*' --secrets-file factors.toml --totp - > anna.token")]
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
    /// The file of second factors that --totp is checked against: the token says then that its subject gave
    /// one, and the server asks for none for a while.
    #[arg(long, env = "DUCAT_SECOND_FACTOR_SECRETS", value_name = "FILE")]
    secrets_file: Option<PathBuf>,
}

/// Runs `token`.
pub fn run(global: &Global, command: &TokenCommand) -> Done {
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
    let claims = match global.credentials.code()? {
        Some(code) => {
            check_code(args, &code, now)?;
            claims.with_second_factor()
        }
        None => claims,
    };
    let token = issue(&key, &claims).map_err(|error| Failure::usage(with_causes(&error)))?;
    output::print(&token)?;
    Ok(Exit::Ok)
}

/// Whether the code is the one that the subject has now. Nothing remembers here that it was used: whoever
/// has the key that signs could sign a token without one.
fn check_code(args: &IssueArgs, code: &str, now_s: u64) -> Result<(), Failure> {
    let Some(path) = &args.secrets_file else {
        return Err(Failure::usage("--totp needs --secrets-file, to check the code against"));
    };
    let secrets = Secrets::read(path).map_err(|error| Failure::usage(with_causes(&error)))?;
    let secret = secrets.find(&args.subject).ok_or_else(|| {
        let sentence = format!("{} has no second factor in {}", args.subject, path.display());
        Failure::new(Exit::Refused, sentence)
    })?;
    secret.step_of(code, now_s).map(|_| ()).ok_or_else(|| {
        let sentence = format!("the code is not the one that {} has now", args.subject);
        Failure::new(Exit::Refused, sentence)
    })
}
