//! How long an answer is wanted: the header `grpc-timeout`, as a moment.
//!
//! The clock starts when the server sees the call's headers; the time on the way is not known.

use std::time::{Duration, Instant};
use tonic::Request;
use tonic::codegen::http::HeaderMap;

/// Where a client says how long it waits.
const HEADER: &str = "grpc-timeout";

/// When nobody wants the answer to a call any more. Travels in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// From the headers of a call that has come `now`. A header that does not keep to the
    /// form sets no deadline, as in tonic.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let timeout = parse(headers.get(HEADER)?.to_str().ok()?)?;
        now.checked_add(timeout).map(Self)
    }

    /// Of a call that came through the gate.
    #[must_use]
    pub fn of<T>(request: &Request<T>) -> Option<Instant> {
        request.extensions().get::<Self>().map(|deadline| deadline.0)
    }
}

/// At most 8 digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_says() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("m", None),
            ("5", None),
            ("-5m", None),
            ("5 m", None),
            ("5x", None),
            ("123456789m", None),
            ("5ü", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_deadline_counts_from_the_headers() {
        let (mut headers, now) = (HeaderMap::new(), Instant::now());
        assert_eq!(Deadline::from_headers(&headers, now), None);
        headers.insert(HEADER, "30m".parse().expect("a header"));
        let deadline = Deadline(now + Duration::from_millis(30));
        assert_eq!(Deadline::from_headers(&headers, now), Some(deadline));
    }
}
