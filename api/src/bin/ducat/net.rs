//! The way to the server: connecting, and turning gRPC errors into messages that say what to
//! do and exit codes that mean something. Every client command passes through here.

use crate::Global;
use crate::exit::{Exit, Failure};
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::operator_client::OperatorClient;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Largest message taken from the server: 10,000 outcomes with explanations fit many times.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Connects to the server.
pub async fn connect(global: &Global) -> Result<Channel, Failure> {
    let server = &global.server;
    let endpoint = Endpoint::from_shared(server.clone()).map_err(|e| {
        Failure::usage(format!(
            "`{server}` is no server address ({e}); it looks like http://127.0.0.1:4600"
        ))
    })?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
    endpoint.connect().await.map_err(|e| {
        Failure::new(
            Exit::Unavailable,
            format!(
                "cannot reach a server at {server}: {}. Start one with `ducat serve`, or name \
                 another with --server or DUCAT_SERVER",
                root_cause(&e)
            ),
        )
    })
}

/// A client of the service `Ledger`.
pub async fn ledger(global: &Global) -> Result<LedgerClient<Channel>, Failure> {
    Ok(ledger_on(connect(global).await?))
}

/// A client of the service `Ledger` on a connection that exists.
pub fn ledger_on(channel: Channel) -> LedgerClient<Channel> {
    LedgerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// A client of the service `Operator` on a connection that exists.
pub fn operator_on(channel: Channel) -> OperatorClient<Channel> {
    OperatorClient::new(channel)
}

/// The failure that a gRPC status stands for.
pub fn failed(status: &Status) -> Failure {
    let mut message = match status.code() {
        Code::Unavailable => {
            format!("the server went away: {}; repeat the command", status.message())
        }
        Code::ResourceExhausted => {
            format!("the engine is full: {}; repeat the command shortly", status.message())
        }
        Code::Unknown | Code::Internal if status.message().is_empty() => {
            "the connection to the server broke; repeat the command".to_owned()
        }
        _ => status.message().to_owned(),
    };
    if let Some(details) = status.get_details_bad_request() {
        for violation in details.field_violations {
            message.push_str(&format!("\n  {}: {}", violation.field, violation.description));
        }
    }
    Failure::new(exit_of(status.code()), message)
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

    #[test]
    fn codes_mean_something() {
        assert_eq!(exit_of(Code::NotFound), Exit::Refused);
        assert_eq!(exit_of(Code::InvalidArgument), Exit::Usage);
        assert_eq!(exit_of(Code::ResourceExhausted), Exit::Unavailable);
        assert_eq!(exit_of(Code::Internal), Exit::Internal);
    }

    #[tokio::test]
    async fn no_server_says_what_to_do() {
        let global = Global { server: "http://127.0.0.1:1".to_owned(), json: false };
        let failure = connect(&global).await.expect_err("nobody listens there");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("ducat serve"), "{failure}");
    }
}
