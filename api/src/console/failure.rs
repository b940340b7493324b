//! Errors as the page gets them: what a gRPC status says, in JSON, under the HTTP status that fits.
//!
//! ```json
//! {"error": {"code": "NOT_FOUND", "reason": "ACCOUNT_UNKNOWN", "message": "no account has the id 7"}}
//! ```

use crate::status::Refusal;
use crate::violation::code_name;
use serde_json::{Value, json};
use tonic::codegen::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a call of the page was not answered.
#[derive(Debug)]
pub struct Failure {
    /// For machines between.
    pub http: StatusCode,
    /// For the page: `error` with `code`, `reason` and `message`, and where there are some,
    /// `violations` and `retryAfterMs`.
    pub body: Value,
}

impl Failure {
    /// Of a request that no service has seen.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Status::from(Refusal::new(code, reason, message)).into()
    }

    /// The same under another HTTP status than the one its code has.
    pub fn with_http(self, http: StatusCode) -> Self {
        Self { http, ..self }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let mut error = json!({ "code": code_name(status.code()), "message": status.message() });
        if let Some(info) = details.error_info() {
            error["reason"] = json!(info.reason);
        }
        let violations = details.bad_request().map(|bad| &bad.field_violations);
        if let Some(violations) = violations.filter(|violations| !violations.is_empty()) {
            let listed = violations.iter().map(
                |violation| json!({ "field": violation.field, "message": violation.description }),
            );
            error["violations"] = listed.collect();
        }
        if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
            error["retryAfterMs"] = json!(delay.as_millis().to_string());
        }
        Self { http: http_status(status.code()), body: json!({ "error": error }) }
    }
}

/// The mapping of google.rpc.Code.
const fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::violation::Violations;

    #[test]
    fn what_a_status_says_is_kept() {
        let failure = Failure::from(Status::from(Violations::one("id", "ZERO", "no 0".to_owned())));
        assert_eq!(failure.http, StatusCode::BAD_REQUEST);
        let error = &failure.body["error"];
        assert_eq!(error["code"], "INVALID_ARGUMENT");
        assert_eq!(error["violations"][0]["field"], "id");
        let denied = Failure::new(Code::PermissionDenied, "ROLE_MISSING", "not you");
        assert_eq!(denied.http, StatusCode::FORBIDDEN);
        assert_eq!(denied.body["error"]["reason"], "ROLE_MISSING");
    }
}
