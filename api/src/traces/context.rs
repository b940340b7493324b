//! What a caller says of its trace: the header `traceparent` of W3C's Trace Context
//! (<https://www.w3.org/TR/trace-context/>), for spans, for the audit trail and for the log.

use tonic::codegen::http::HeaderMap;

/// The header's name.
const TRACEPARENT: &str = "traceparent";

/// The length of version 00, in bytes: `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// The span of a caller that a call is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace's id; never all zeros.
    pub trace: [u8; 16],
    /// The id of the caller's span; never all zeros.
    pub span: [u8; 8],
    /// Whether the caller has its span recorded.
    pub sampled: bool,
}

/// Reads it; `None` where there is none, or one that is malformed, which W3C has ignored as a whole.
#[must_use]
pub fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    parse(value.as_bytes())
}

fn parse(text: &[u8]) -> Option<Parent> {
    let (head, rest) = text.split_at_checked(LENGTH)?;
    let [version] = digits(head.get(..2)?)?;
    // Later versions may say more behind another dash; version ff is none.
    if version == 0xff || !(rest.is_empty() || (version > 0 && rest[0] == b'-')) {
        return None;
    }
    if [2, 35, 52].into_iter().any(|at| head[at] != b'-') {
        return None;
    }
    let (trace, span) = (digits(&head[3..35])?, digits(&head[36..52])?);
    let [flags] = digits(&head[53..])?;
    let is_one = trace != [0; 16] && span != [0; 8];
    is_one.then_some(Parent { trace, span, sampled: flags & 1 == 1 })
}

/// Bytes of lower-case hexadecimal digits.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(text: &str) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, text.parse().expect("a header"));
        parent(&headers)
    }

    #[test]
    fn a_parent_is_w3cs_or_none() {
        let found = of(&format!("00-{TRACE}-{SPAN}-01")).expect("well-formed");
        assert_eq!((found.trace[0], found.trace[15]), (0x4b, 0x36));
        assert_eq!((found.span[0], found.span[7]), (0x00, 0xb7));
        assert!(found.sampled);
        assert!(!of(&format!("00-{TRACE}-{SPAN}-00")).expect("well-formed").sampled);
        // Bits that are not known yet count for nothing, nor what a later version says besides.
        assert!(!of(&format!("00-{TRACE}-{SPAN}-fe")).expect("well-formed").sampled);
        assert!(of(&format!("cc-{TRACE}-{SPAN}-01")).expect("later").sampled);
        assert!(of(&format!("cc-{TRACE}-{SPAN}-01-what")).expect("later").sampled);
        for wrong in [
            "",
            "00",
            "00-xyz-1-01",
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01-what"),
            &format!("cc-{TRACE}-{SPAN}-01.what"),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}-{SPAN}-0"),
            &format!("00-{}é-{SPAN}-01", "0".repeat(30)),
            &format!("00_{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        for span in ["00f067aa0ba902b7", "00f067aa0ba902b8"] {
            let text = format!("00-{TRACE}-{span}-01");
            headers.append(TRACEPARENT, text.parse().expect("a header"));
        }
        assert_eq!(parent(&headers), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            trace in prop::array::uniform16(any::<u8>()),
            span in prop::array::uniform8(any::<u8>()),
            flags in any::<u8>(),
        ) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let text = format!("00-{}-{}-{flags:02x}", hex(&trace), hex(&span));
            prop_assert_eq!(of(&text), Some(Parent { trace, span, sampled: flags % 2 == 1 }));
        }

        #[test]
        fn no_bytes_are_too_strange(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let _any = parse(&text);
        }
    }
}
