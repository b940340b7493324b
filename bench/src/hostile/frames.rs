//! Frames of HTTP/2 by hand: those that no library would send.

/// What a connection begins with, and settings that ask for nothing.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

/// Flags of a header block that is whole, and of a request that is.
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("payloads are short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Frames that break the rules, each in its own way.
pub fn malformed() -> Vec<Vec<u8>> {
    let longer_than_it_may_be = [0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1].to_vec();
    vec![
        frame(DATA, 0, 0, b"on no stream"),
        frame(DATA, END_STREAM, 7, b"on a stream nobody opened"),
        // Padding longer than the frame.
        frame(DATA, 8, 1, &[200, 1, 2, 3]),
        frame(HEADERS, END_HEADERS, 0, &[0x82]),
        frame(HEADERS, END_HEADERS, 2, &[0x82]),
        // An index that the table of headers does not have, and a table larger than was allowed.
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xff, 0xff, 0xff, 0x07]),
        // A Huffman code that is none.
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01]),
        // A request of no method and no path.
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[]),
        frame(PRIORITY, 0, 1, &[0, 0]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 3, 1]),
        frame(RESET, 0, 9, &[0, 0, 0, 8]),
        frame(RESET, 0, 0, &[0, 0, 0, 8]),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff]),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(SETTINGS, 0, 5, &[]),
        frame(SETTINGS, 1, 0, &[0; 6]),
        frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
        frame(PING, 0, 0, &[1; 7]),
        frame(PING, 0, 1, &[1; 8]),
        frame(WINDOW, 0, 0, &[0; 4]),
        frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
        longer_than_it_may_be,
    ]
}

/// Frames that are well-formed and ask for nothing but an answer or a moment's work.
pub fn control() -> Vec<u8> {
    let mut all = Vec::new();
    for nth in 0_u8..32 {
        all.extend(frame(PING, 0, 0, &[nth; 8]));
        all.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, nth, 0xff]));
        all.extend(frame(PRIORITY, 0, 1 + 2 * u32::from(nth), &[0, 0, 0, 0, nth]));
        all.extend(frame(WINDOW, 0, 0, &[0, 0, 0, 1]));
    }
    all
}

/// Frames in what [`control`] makes.
pub const CONTROL_FRAMES: u64 = 4 * 32;

/// The beginning of a header block on stream 1 that [`continuation`] goes on with.
pub fn endless_headers() -> Vec<u8> {
    frame(HEADERS, 0, 1, &[0x82])
}

/// 16 KB more of it: a field that is never indexed, whose name is one letter.
pub fn continuation() -> Vec<u8> {
    let mut field = vec![0x10, 1, b'x', 0x7f, 0x81, 0x7d];
    field.resize(16_000, b'x');
    frame(CONTINUATION, 0, 1, &field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_how_long_they_are() {
        assert_eq!(frame(PING, 1, 3, &[7; 8])[..9], [0, 0, 8, PING, 1, 0, 0, 0, 3]);
        assert_eq!(continuation().len(), 16_009);
        assert_eq!(PREFACE.len(), 24 + 9);
        let mut frames = 0;
        let mut rest = &control()[..];
        while let [_, high, low, ..] = rest {
            rest = &rest[9 + usize::from(*high) * 256 + usize::from(*low)..];
            frames += 1;
        }
        assert_eq!(frames, CONTROL_FRAMES);
    }
}
