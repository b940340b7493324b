//! The way to the server: connecting, and turning gRPC errors into messages that say what to
//! do and exit codes that mean something. Every client command passes through here.

use crate::Global;
use crate::exit::{Exit, Failure};
use clap::Args;
use ducat_api::client::{ClientError, Connection, Credentials};
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::operator_client::OperatorClient;
use std::path::PathBuf;
use std::time::Duration;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::InvalidUri;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Largest message taken from the server: 10,000 outcomes with explanations fit many times.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The reason a server gives when its memory for transfer ids is full.
const IDS_FULL: &str = "IDS_FULL";

/// The reason of a refusal because the disk is nearly full.
const DISK_FULL: &str = "DISK_FULL";

/// Whom the commands trust, and what they show.
#[derive(Args, Clone, Debug, Default)]
pub struct CredentialArgs {
    /// The CA of the server's certificate, in PEM; needed for https.
    #[arg(long, global = true, env = "DUCAT_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// The certificate to show to the server, in PEM.
    #[arg(long, global = true, env = "DUCAT_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, global = true, env = "DUCAT_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A bearer token to send with every call, as `ducat token issue` prints it.
    #[arg(long, global = true, env = "DUCAT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The code of your second factor, for commands that need one; `-` asks for it on the terminal. It is
    /// taken once.
    #[arg(long, global = true, env = "DUCAT_TOTP", value_name = "CODE", hide_env_values = true)]
    pub totp: Option<String>,
}

impl From<&CredentialArgs> for Credentials {
    fn from(args: &CredentialArgs) -> Self {
        let CredentialArgs { tls_ca, tls_cert, tls_key, token_file, .. } = args.clone();
        Self { ca: tls_ca, certificate: tls_cert, key: tls_key, token: token_file }
    }
}

/// Connects to the server.
pub async fn connect(global: &Global) -> Result<Connection, Failure> {
    let server = &global.server;
    let uri = address(server).map_err(Failure::usage)?;
    let code = global.credentials.code()?;
    let endpoint = Endpoint::from(uri.clone());
    let credentials = Credentials::from(&global.credentials);
    let (endpoint, bearer) = credentials.secure(endpoint).map_err(|error| unusable(&error))?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(|e| {
        Failure::new(
            Exit::Unavailable,
            format!(
                "cannot reach a server at {server}: {}. Start one with `ducat serve`, or name \
                 another with --server or DUCAT_SERVER",
                root_cause(&e)
            ),
        )
    })?;
    let connection = Connection::new(channel, bearer);
    match code {
        None => Ok(connection),
        Some(code) => connection
            .with_code(&code, &uri)
            .map_err(|error| Failure::usage(format!("{error} (--totp)"))),
    }
}

/// Refuses to send what is secret in plain text to another machine.
pub fn refuse_plain(global: &Global) -> Result<(), Failure> {
    let uri = address(&global.server).map_err(Failure::usage)?;
    if uri.scheme_str() == Some("https") || Connection::is_loopback(&uri) {
        return Ok(());
    }
    Err(Failure::usage("a password is not sent in plain text to another machine: use https"))
}

impl CredentialArgs {
    /// The code of a second factor; asked for where it is `-`.
    pub fn code(&self) -> Result<Option<String>, Failure> {
        match self.totp.as_deref() {
            Some("-") => crate::ask::line("code of your second factor: ").map(Some),
            code => Ok(code.map(str::to_owned)),
        }
    }
}

/// Credentials that cannot be used, with the flags that name them.
fn unusable(error: &ClientError) -> Failure {
    Failure::usage(format!("{error} (--tls-ca, --tls-cert, --tls-key, --token-file)"))
}

/// The address in `--server`, or why it is none. Nothing in it may be passed over in silence:
/// whoever writes `https` expects encryption.
fn address(server: &str) -> Result<Uri, String> {
    let none = |why: &str| {
        format!("`{server}` is no server address ({why}); it looks like http://127.0.0.1:4600")
    };
    let uri: Uri = server.parse().map_err(|e: InvalidUri| none(&e.to_string()))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(scheme) => return Err(none(&format!("the scheme is http or https, not {scheme}"))),
        None => return Err(none("http:// is missing")),
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || server.contains('#') {
        return Err(none("nothing may follow the host and the port"));
    }
    let Some(authority) = uri.authority() else { return Err(none("the host is missing")) };
    if authority.as_str().contains('@') {
        return Err(none("there are no users and passwords"));
    }
    if authority.host().is_empty() {
        return Err(none("the host is missing"));
    }
    let port_missing = authority.as_str().len() == authority.host().len();
    if !port_missing && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(none("the port is a number from 1 to 65535"));
    }
    Ok(uri)
}

/// A client of the service `Ledger`.
pub async fn ledger(global: &Global) -> Result<LedgerClient<Connection>, Failure> {
    Ok(ledger_on(connect(global).await?))
}

/// A client of the service `Ledger` on a connection that exists.
pub fn ledger_on(channel: Connection) -> LedgerClient<Connection> {
    LedgerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// A client of the service `Operator` on a connection that exists.
pub fn operator_on(channel: Connection) -> OperatorClient<Connection> {
    OperatorClient::new(channel)
}

/// The failure that a gRPC status stands for.
pub fn failed(status: &Status) -> Failure {
    let mut message = match status.code() {
        Code::Unavailable => {
            format!("the server went away: {}; repeat the command", status.message())
        }
        Code::ResourceExhausted if is_ids_full(status) => ids_full(status.message()),
        Code::ResourceExhausted if reason_is(status, DISK_FULL) => {
            format!("{}. It goes on by itself once there is room", status.message())
        }
        // It says when there is room again: shortly would be wrong.
        Code::ResourceExhausted if reason_is(status, "RATE_LIMITED") => status.message().to_owned(),
        Code::ResourceExhausted => {
            format!("the engine is full: {}; repeat the command shortly", status.message())
        }
        Code::Unknown | Code::Internal if status.message().is_empty() => {
            "the connection to the server broke; repeat the command".to_owned()
        }
        _ => status.message().to_owned(),
    };
    let violations =
        status.get_details_bad_request().map(|b| b.field_violations).unwrap_or_default();
    let violations = violations.iter().map(|v| (v.field.as_str(), v.description.as_str()));
    message.push_str(&violation_lines(violations.collect()));
    Failure::new(exit_of(status.code()), message)
}

/// A line for each violation. A single one is in the message already.
pub fn violation_lines(violations: Vec<(&str, &str)>) -> String {
    if violations.len() < 2 {
        return String::new();
    }
    violations.iter().map(|(field, description)| format!("\n  {field}: {description}")).collect()
}

/// Whether the server's memory for transfer ids is full. Unlike a full engine, this does not
/// pass within seconds, so nothing waits for it.
pub fn is_ids_full(status: &Status) -> bool {
    reason_is(status, IDS_FULL)
}

fn reason_is(status: &Status, reason: &str) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == reason)
}

/// As [`is_ids_full`], of a reason in the answer to a batch.
pub fn is_ids_full_reason(reason: &str) -> bool {
    reason == IDS_FULL
}

/// What to do when the server's memory for transfer ids is full.
pub fn ids_full(message: &str) -> String {
    format!(
        "the server takes no new transfers: {message}. Ids leave by themselves 24 to 48 hours \
         after their transfer was decided; to go on sooner, start the server again with a \
         larger `serve --remembered-ids-max`. Nothing of this request was done"
    )
}

/// The exit code that a gRPC code stands for.
pub fn exit_of(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Ok,
        Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::PermissionDenied
        | Code::Unauthenticated => Exit::Refused,
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted => Exit::Unavailable,
        Code::DataLoss => Exit::Damaged,
        Code::Unknown | Code::Internal | Code::Unimplemented => Exit::Internal,
    }
}

/// The innermost cause, which says what happened ("connection refused").
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, FieldViolation};

    #[test]
    fn codes_mean_something() {
        assert_eq!(exit_of(Code::NotFound), Exit::Refused);
        assert_eq!(exit_of(Code::InvalidArgument), Exit::Usage);
        assert_eq!(exit_of(Code::ResourceExhausted), Exit::Unavailable);
        assert_eq!(exit_of(Code::Internal), Exit::Internal);
    }

    #[test]
    fn addresses_say_what_the_connection_does() {
        for server in [
            "http://127.0.0.1:4600",
            "https://ledger:4600",
            "http://ledger:4600/",
            "http://[::1]:1",
            "http://a",
        ] {
            assert!(address(server).is_ok(), "{server}");
        }
        for (server, why) in [
            ("ftp://127.0.0.1:4600", "not ftp"),
            ("127.0.0.1:4600", "no server address"),
            ("localhost:4600", "http:// is missing"),
            ("nonsense", "http:// is missing"),
            ("", "no server address"),
            ("/", "http:// is missing"),
            ("http://", "no server address"),
            ("http://:4600", "no server address"),
            ("http://a:4600/ledger", "nothing may follow"),
            ("http://a:4600?x", "nothing may follow"),
            ("http://a:4600#x", "nothing may follow"),
            ("http://me@a:4600", "no users"),
            ("http://a:99999", "no server address"),
            ("http://a:0", "the port"),
            ("http://a:", "the port"),
            ("http://a b", "no server address"),
        ] {
            let text = address(server).expect_err(server);
            assert!(text.contains(why), "{server}: {text}");
        }
    }

    #[test]
    fn full_memory_for_ids_has_a_text_of_its_own() {
        let full = |reason: &str| {
            let details =
                ErrorDetails::with_error_info(reason, "ducat", std::collections::HashMap::new());
            failed(&Status::with_error_details(Code::ResourceExhausted, "full (9 ids)", details))
        };
        let ids = full("IDS_FULL");
        assert_eq!(ids.exit, Exit::Unavailable);
        assert!(ids.message.contains("--remembered-ids-max"), "{ids}");
        assert!(ids.message.contains("24 to 48 hours"), "{ids}");
        assert!(!ids.message.contains("shortly"), "{ids}");
        assert!(full("ENGINE_FULL").message.contains("shortly"));
        assert!(full("DISK_FULL").message.ends_with("once there is room"));
    }

    #[test]
    fn a_single_violation_is_told_once_and_more_are_listed() {
        let wrong = |fields: &[&str]| {
            let violation = |f: &&str| FieldViolation::new(*f, "is wrong");
            let violations: Vec<_> = fields.iter().map(violation).collect();
            let details = ErrorDetails::with_bad_request(violations);
            failed(&Status::with_error_details(Code::InvalidArgument, "a: is wrong", details))
        };
        assert_eq!(wrong(&["a"]).message, "a: is wrong");
        assert_eq!(wrong(&["a", "b"]).message, "a: is wrong\n  a: is wrong\n  b: is wrong");
    }

    #[tokio::test]
    async fn no_server_says_what_to_do() {
        let server = "http://127.0.0.1:1".to_owned();
        let (credentials, master_key) = Default::default();
        let global = Global { server, json: false, credentials, master_key };
        let failure = connect(&global).await.expect_err("nobody listens there");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("ducat serve"), "{failure}");
    }
}
