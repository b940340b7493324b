//! What a caller says of its trace: the headers `traceparent` and `tracestate` of W3C's Trace Context
//! (<https://www.w3.org/TR/trace-context/>); the first for spans, for the audit trail and for the log, the second
//! for spans alone: it is what tracing systems on the way have to say to one another.

use tonic::codegen::http::HeaderMap;

/// The header's name.
const TRACEPARENT: &str = "traceparent";

/// The name of the header beside it, which may come in several lines.
const TRACESTATE: &str = "tracestate";

/// Most members of a `tracestate`; of more W3C has all ignored.
const MEMBERS_MAX: usize = 32;

/// What is sent on of a `tracestate`, bytes: what W3C has everybody send on at least.
const STATE_BYTES_MAX: usize = 512;

/// Members that are longer are the first that find no room.
const MEMBER_BYTES: usize = 128;

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

/// The caller's `tracestate`, to be sent on: its members in their order, as many as find room. Empty where there
/// is none, or one that is malformed, which is ignored as a whole.
#[must_use]
pub fn state(headers: &HeaderMap) -> String {
    let lines = headers.get_all(TRACESTATE).iter().map(|line| line.to_str().ok());
    let Some(lines) = lines.collect::<Option<Vec<&str>>>() else { return String::new() };
    let members = lines.iter().flat_map(|line| line.split(','));
    let members = members.map(|member| member.trim_matches([' ', '\t']));
    // Empty ones are allowed, and say nothing.
    let members: Vec<&str> =
        members.filter(|member| !member.is_empty()).take(MEMBERS_MAX + 1).collect();
    let keys: Option<Vec<&str>> = members.iter().map(|member| key(member)).collect();
    let Some(keys) = keys.filter(|keys| keys.len() <= MEMBERS_MAX) else { return String::new() };
    let is_repeated = keys.iter().enumerate().any(|(at, key)| keys[..at].contains(key));
    if is_repeated { String::new() } else { shortened(members) }
}

/// Long members go first, then those at the end, which were there the longest.
fn shortened(mut members: Vec<&str>) -> String {
    let length = |members: &[&str]| members.iter().map(|m| m.len() + 1).sum::<usize>();
    if length(&members) > STATE_BYTES_MAX + 1 {
        members.retain(|member| member.len() <= MEMBER_BYTES);
    }
    while length(&members) > STATE_BYTES_MAX + 1 {
        members.pop();
    }
    members.join(",")
}

/// The key of a member, `vendor=value` or `tenant@vendor=value`, if it is one.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    let is_value = (1..=256).contains(&value.len()) && value.bytes().all(is_printable);
    let is_key = match key.split_once('@') {
        None => is_name(key, 256) && key.starts_with(|first: char| first.is_ascii_lowercase()),
        Some((tenant, system)) => {
            is_name(tenant, 241)
                && is_name(system, 14)
                && system.starts_with(|first: char| first.is_ascii_lowercase())
        }
    };
    (is_key && is_value).then_some(key)
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    begins && text.len() <= bytes_max && text.bytes().all(is_allowed)
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

    fn state_of(lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACESTATE, line.parse().expect("a header"));
        }
        state(&headers)
    }

    #[test]
    fn a_state_goes_on_as_it_came_or_not_at_all() {
        let sound = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
        assert_eq!(state_of(&[sound]), sound);
        assert_eq!(state_of(&["rojo=1", "congo=2"]), "rojo=1,congo=2", "several lines are one");
        assert_eq!(state_of(&["rojo=1 ,\t, congo=a b!~"]), "rojo=1,congo=a b!~");
        assert_eq!(state_of(&["a-b_c*d/e=1,7tenant@vendor=2"]), "a-b_c*d/e=1,7tenant@vendor=2");
        let longest = format!("{}=1", "k".repeat(256));
        assert_eq!(state_of(&[&longest]), longest);
        let many = |n: usize| (0..n).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(state_of(&[&many(32)]), many(32));
        for wrong in [
            "",
            "rojo",
            "=1",
            "rojo=",
            "Rojo=1",
            "7rojo=1",
            "rojo=1=2",
            "rojo=1,rojo=2",
            "tenant@7vendor=1",
            "tenant@=1",
            "a@b@c=1",
            "tenant@fifteenletters1=1",
            &format!("{}=1", "k".repeat(257)),
            &format!("k={}", "v".repeat(257)),
            &many(33),
        ] {
            assert_eq!(state_of(&[wrong]), "", "{wrong}");
        }
        assert_eq!(state_of(&["rojo=1", "\u{e9}=2"]), "", "what is no ASCII");
    }

    #[test]
    fn a_state_that_is_too_long_loses_whole_members() {
        let member = |key: char, length: usize| format!("{key}={}", "v".repeat(length - 2));
        // 3 × 128 with their commas, then one of which only the long one is left out.
        let short: Vec<String> = "abc".chars().map(|key| member(key, 128)).collect();
        let long = member('x', 129);
        let all = [&short[..1], &[long], &short[1..]].concat().join(",");
        assert_eq!(state_of(&[&all]), short.join(","));
        let five: Vec<String> = "abcde".chars().map(|key| member(key, 128)).collect();
        assert_eq!(state_of(&[&five.join(",")]), five[..3].join(","), "from the end");
        let fits = [member('a', 255), member('b', 256)].join(",");
        assert_eq!((fits.len(), state_of(&[&fits])), (512, fits));
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

        #[test]
        fn a_state_is_bounded_and_is_read_as_it_was_sent_on(text in "[a-c0-9=,@ *~A]{0,700}") {
            let once = state_of(&[&text]);
            prop_assert!(once.len() <= STATE_BYTES_MAX);
            prop_assert_eq!(state_of(&[&once]), once);
        }
    }
}
