//! `ducat login` and `ducat logout`: tokens for a password and a second factor, in files of one's own.

use crate::exit::{Done, Exit, Failure};
use crate::{Global, ask, net};
use clap::Args;
use ducat_api::client::Connection;
use ducat_api::identity::factor::secrets::{check_writable, write_private};
use ducat_api::proto::login_client::LoginClient;
use ducat_api::proto::{LogInRequest, LogInResponse, LogOutRequest, RefreshRequest};
use std::path::{Path, PathBuf};

/// Options of `login`.
#[derive(Args, Debug)]
#[command(after_help = "\
Asks for the password and for the code of your second factor (or takes it from --totp), and writes a token for 15
minutes into the file, and what the next one costs into the file with .refresh behind its name. Both are
readable by you alone. Without a terminal the password is the first line of stdin.

Examples:
  ducat login anna --out anna.token
  ducat --token-file anna.token status
  ducat login --refresh --out anna.token         # for the next 15 minutes, up to 12 hours
  ducat logout --out anna.token")]
pub struct LoginArgs {
    /// Your name, as the server's [[principals]] have it.
    #[arg(value_name = "NAME", required_unless_present = "refresh", conflicts_with = "refresh")]
    name: Option<String>,
    /// Take the next token of a login instead.
    #[arg(long)]
    refresh: bool,
    /// The file of the token.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Options of `logout`.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// The file of the token; it and what lies beside it are removed.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn refresh_file(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".refresh");
    PathBuf::from(name)
}

/// Without a token: this is how one is had.
async fn client(global: &Global) -> Result<LoginClient<Connection>, Failure> {
    let mut global = global.clone();
    (global.credentials.token_file, global.credentials.totp) = (None, None);
    net::refuse_plain(&global)?;
    Ok(LoginClient::new(net::connect(&global).await?))
}

/// What the next token costs, of a file that nobody else may read: what others have read they can have used.
fn kept_refresh(out: &Path) -> Result<String, Failure> {
    let file = refresh_file(out);
    if std::fs::metadata(&file).is_ok_and(|found| ducat_persistence::witness::is_open(&found)) {
        let sentence = format!(
            "others than its owner can read {}, so the login may be somebody else's too; remove it and log in",
            file.display()
        );
        return Err(Failure::usage(sentence));
    }
    let text = std::fs::read_to_string(&file);
    let text = text.map_err(|error| {
        Failure::usage(format!("could not read {}: {error}; log in", file.display()))
    })?;
    Ok(text.trim().to_owned())
}

fn keep(out: &Path, given: &LogInResponse) -> Result<(), Failure> {
    for (file, text) in [(refresh_file(out), &given.refresh_token), (out.to_owned(), &given.token)]
    {
        write_private(&file, text).map_err(|error| not_written(&file, &error))?;
    }
    Ok(())
}

fn not_written(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::CannotCreate, format!("could not write {}: {error}", file.display()))
}

/// Runs `login`.
pub async fn login(global: &Global, args: &LoginArgs) -> Done {
    // A code and a refresh token are used up, whether what they give is kept or not.
    for file in [refresh_file(&args.out), args.out.clone()] {
        check_writable(&file).map_err(|error| not_written(&file, &error))?;
    }
    let mut client = client(global).await?;
    let given = if let Some(name) = args.name.clone() {
        let password = ask::secret("password: ")?;
        let code = match global.credentials.code()? {
            Some(code) => code,
            None => ask::line("code of your second factor: ")?,
        };
        client.log_in(LogInRequest { name, password, code }).await
    } else {
        client.refresh(RefreshRequest { refresh_token: kept_refresh(&args.out)? }).await
    };
    let given = given.map_err(|status| net::failed(&status))?.into_inner();
    keep(&args.out, &given)?;
    eprintln!("wrote {}: a token for 15 minutes", args.out.display());
    Ok(Exit::Ok)
}

/// Runs `logout`.
pub async fn logout(global: &Global, args: &LogoutArgs) -> Done {
    let mut client = client(global).await?;
    let refresh_token = kept_refresh(&args.out)?;
    client.log_out(LogOutRequest { refresh_token }).await.map_err(|status| net::failed(&status))?;
    for file in [args.out.clone(), refresh_file(&args.out)] {
        // One that is not there is removed already.
        let _gone = std::fs::remove_file(file);
    }
    Ok(Exit::Ok)
}
