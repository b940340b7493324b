//! What is wrong with a malformed request: the fields, each with a stable reason and a
//! sentence. Collected by the conversion, then turned into an `INVALID_ARGUMENT` status
//! (unary calls) or a `BatchError` (streams). A request with violations changes nothing.

use crate::proto;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every `ErrorInfo` that Ducat sends.
pub const ERROR_DOMAIN: &str = "ducat.v1";

/// Most violations listed in one answer; the rest is only counted.
pub const LISTED_MAX: usize = 100;

/// Most bytes of violations in a status. Details travel in a header, doubled by base64 and
/// the message, and several gRPC libraries drop answers with more than 8 KiB of headers.
const STATUS_DETAIL_BYTES_MAX: usize = 3 * 1024;

/// gRPC's own name of a status code, as `google.rpc.Code` writes it.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Where in a request a field is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// The request itself.
    Request,
    /// An item of one of its lists.
    Item {
        /// The list's field name.
        list: &'static str,
        /// The item's index, from 0.
        index: usize,
    },
}

impl Place {
    /// The path of the field `name` at this place, such as `transfers[17].amount`.
    #[must_use]
    pub fn field(self, name: &str) -> String {
        match self {
            Self::Request => name.to_owned(),
            Self::Item { list, index } if name.is_empty() => format!("{list}[{index}]"),
            Self::Item { list, index } => format!("{list}[{index}].{name}"),
        }
    }
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path.
    pub field: String,
    /// A stable reason in capitals.
    pub reason: &'static str,
    /// What is wrong, for people.
    pub description: String,
}

/// All that is wrong with one request. Empty means nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    listed: Vec<Violation>,
    total: usize,
}

impl Violations {
    /// One violation and no more.
    #[must_use]
    pub fn one(field: &str, reason: &'static str, description: String) -> Self {
        let mut all = Self::default();
        all.add(Place::Request, field, reason, || description);
        all
    }

    /// Adds a violation; beyond [`LISTED_MAX`] it is counted and its sentence never built.
    pub fn add(
        &mut self,
        place: Place,
        field: &str,
        reason: &'static str,
        describe: impl FnOnce() -> String,
    ) {
        self.total += 1;
        if self.listed.len() < LISTED_MAX {
            let description = printable(&describe());
            self.listed.push(Violation { field: place.field(field), reason, description });
        }
    }

    /// `value` when nothing is wrong.
    ///
    /// # Errors
    /// The violations, when there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.total == 0 { Ok(value) } else { Err(self) }
    }

    /// The violations listed, in the order of the request.
    #[must_use]
    pub fn listed(&self) -> &[Violation] {
        &self.listed
    }

    /// How many there are, listed or not.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// The first violation's reason: what a program should look at.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.listed.first().map_or("INVALID", |v| v.reason)
    }

    /// A sentence: the first violation in words, and how many more there are.
    #[must_use]
    pub fn message(&self) -> String {
        let Some(first) = self.listed.first() else { return "the request is malformed".into() };
        match self.total - 1 {
            0 => format!("{}: {}", first.field, first.description),
            1 => format!("{}: {} (and 1 more field is wrong)", first.field, first.description),
            more => {
                format!("{}: {} (and {more} more fields are wrong)", first.field, first.description)
            }
        }
    }

    /// The answer of a stream to the batch.
    #[must_use]
    pub fn into_batch_error(self) -> proto::BatchError {
        proto::BatchError {
            grpc_code: Code::InvalidArgument as i32,
            retry_after_ms: 0,
            reason: self.reason().to_owned(),
            message: self.message(),
            violations: self
                .listed
                .into_iter()
                .map(|v| proto::FieldViolation {
                    field: v.field,
                    reason: v.reason.to_owned(),
                    description: v.description,
                })
                .collect(),
        }
    }
}

impl From<Violations> for Status {
    /// `INVALID_ARGUMENT` with an `ErrorInfo` (its metadata says how many violations there
    /// are) and a `BadRequest` that lists as many as fit into a header.
    fn from(all: Violations) -> Self {
        let mut details = ErrorDetails::with_error_info(
            all.reason(),
            ERROR_DOMAIN,
            [("violations".to_owned(), all.total.to_string())],
        );
        let mut fields = Vec::new();
        let mut bytes = 0;
        for violation in &all.listed {
            bytes += violation.field.len() + violation.reason.len() + violation.description.len();
            if bytes > STATUS_DETAIL_BYTES_MAX && !fields.is_empty() {
                break;
            }
            let mut field =
                tonic_types::FieldViolation::new(&violation.field, &violation.description);
            violation.reason.clone_into(&mut field.reason);
            fields.push(field);
        }
        details.set_bad_request(fields);
        Status::with_error_details(Code::InvalidArgument, all.message(), details)
    }
}

/// The text without control characters, so that what a client sent can be printed anywhere.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: usize) -> Violations {
        let mut all = Violations::default();
        for index in 0..count {
            let place = Place::Item { list: "transfers", index };
            all.add(place, "amount", "AMOUNT_MALFORMED", || "`x\n` is no number".into());
        }
        all
    }

    #[test]
    fn nothing_wrong_is_a_result() {
        assert_eq!(Violations::default().into_result(7), Ok(7));
        assert_eq!(many(1).into_result(7).map_err(|v| v.total()), Err(1));
    }

    #[test]
    fn at_most_a_hundred_are_listed_and_all_are_counted() {
        let all = many(250);
        assert_eq!((all.listed().len(), all.total()), (LISTED_MAX, 250));
        assert_eq!(all.listed()[17].field, "transfers[17].amount");
        let error = all.into_batch_error();
        assert_eq!(error.violations.len(), LISTED_MAX);
        assert!(error.message.contains("249 more"), "{}", error.message);
        assert!(!error.message.contains('\n'));
    }

    #[test]
    fn a_status_stays_small_enough_for_every_client() {
        let status = Status::from(many(250));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.details().len() < 5 * 1024, "{}", status.details().len());
        let details = status.get_error_details();
        let info = details.error_info().expect("present");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("AMOUNT_MALFORMED", "ducat.v1"));
        assert_eq!(info.metadata["violations"], "250");
        let fields = &details.bad_request().expect("present").field_violations;
        assert!(fields.len() > 10);
        assert_eq!(fields[0].reason, "AMOUNT_MALFORMED");
    }
}
