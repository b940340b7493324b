//! Reading and converting on a thread of its own: rows leave it in chunks through a short
//! queue, so that parsing, the network and the server work at the same time and memory stays
//! bounded by a few chunks.

use super::source::Rows;
use super::{Failure, FailureKind};
use csv::ByteRecord;
use tokio::sync::mpsc;

/// Chunks that may wait to be taken.
const WAITING_MAX: usize = 4;

/// Converts every row with `convert` and gives the results out in chunks of `size`, in order.
/// A failure is the last thing given.
pub fn chunks<T: Send + 'static>(
    rows: Rows,
    size: usize,
    convert: impl FnMut(u64, &ByteRecord) -> T + Send + 'static,
) -> Result<mpsc::Receiver<Result<Vec<T>, Failure>>, Failure> {
    grouped(rows, size, convert, |_, _| false, |_, _| {})
}

/// The same, with rows that are `together` with the one before them in one chunk; each such group,
/// most of them of one row, is shown to `close` when it is over, with whether it may be cut off: the
/// file turned out damaged behind it. A chunk is larger than `size` where one group is.
pub fn grouped<T: Send + 'static>(
    mut rows: Rows,
    size: usize,
    mut convert: impl FnMut(u64, &ByteRecord) -> T + Send + 'static,
    together: impl Fn(&T, &T) -> bool + Send + 'static,
    mut close: impl FnMut(&mut [T], bool) + Send + 'static,
) -> Result<mpsc::Receiver<Result<Vec<T>, Failure>>, Failure> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let read = move || {
        let mut record = ByteRecord::new();
        let (mut chunk, mut group) = (Vec::with_capacity(size), Vec::<T>::new());
        loop {
            let (next, failure) = match rows.next(&mut record) {
                Ok(Some(number)) => (Some(convert(number, &record)), None),
                Ok(None) => (None, None),
                Err(failure) => (None, Some(failure)),
            };
            let goes_on = match (&next, group.last()) {
                (Some(next), Some(last)) => together(last, next),
                _ => false,
            };
            if !goes_on && !group.is_empty() {
                close(&mut group, failure.is_some());
                // Nobody listens any more when the import has failed: stop reading.
                if !add(&mut chunk, &mut group, size, &sender) {
                    return;
                }
            }
            match next {
                Some(next) => group.push(next),
                None => {
                    // What was read before a damage is still good.
                    if !chunk.is_empty() {
                        let _ = sender.blocking_send(Ok(chunk));
                    }
                    if let Some(failure) = failure {
                        let _ = sender.blocking_send(Err(failure));
                    }
                    return;
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(read)
        .map_err(|e| Failure::new(FailureKind::Internal, format!("cannot start a thread: {e}")))?;
    Ok(receiver)
}

/// Puts a group behind the chunk, and gives out what is full. Whether anybody listens.
fn add<T>(
    chunk: &mut Vec<T>,
    group: &mut Vec<T>,
    size: usize,
    sender: &mpsc::Sender<Result<Vec<T>, Failure>>,
) -> bool {
    let give = |chunk: &mut Vec<T>| {
        let full = std::mem::replace(chunk, Vec::with_capacity(size));
        sender.blocking_send(Ok(full)).is_ok()
    };
    if !chunk.is_empty() && chunk.len() + group.len() > size && !give(chunk) {
        return false;
    }
    chunk.append(group);
    chunk.len() < size || give(chunk)
}

#[cfg(test)]
mod tests {
    use super::super::mapping::Source;
    use super::*;
    use std::io::Write as _;
    use std::sync::Arc;

    type Given = (Vec<Vec<String>>, Vec<(usize, bool)>, bool);

    /// The first columns by chunk, how long each group was and whether it may be cut off, and whether
    /// the file was damaged. Rows are together where their second columns are the same and not empty.
    fn given(bytes: &[u8], size: usize) -> Given {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        let rows = Rows::open(file.path(), &Source::default(), Arc::default()).expect("opens");
        let closed = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sees = Arc::clone(&closed);
        let text =
            |field: Option<&[u8]>| String::from_utf8_lossy(field.unwrap_or_default()).into_owned();
        let convert = move |_: u64, record: &ByteRecord| (text(record.get(0)), text(record.get(1)));
        let together =
            |one: &(String, String), next: &(String, String)| !one.1.is_empty() && one.1 == next.1;
        let close = move |group: &mut [(String, String)], cut_off: bool| {
            sees.lock().expect("sound").push((group.len(), cut_off));
        };
        let mut chunks = grouped(rows, size, convert, together, close).expect("starts");
        let (mut all, mut damaged) = (Vec::new(), false);
        while let Some(chunk) = chunks.blocking_recv() {
            match chunk {
                Ok(chunk) => all.push(chunk.into_iter().map(|(name, _)| name).collect()),
                Err(_) => damaged = true,
            }
        }
        let closed = closed.lock().expect("sound").clone();
        (all, closed, damaged)
    }

    #[test]
    fn groups_are_never_divided_among_chunks() {
        let (chunks, groups, damaged) = given(b"n,g\na,\nb,1\nc,1\nd,\ne,2\nf,2\ng,2\nh,\n", 2);
        assert_eq!(chunks, [vec!["a"], vec!["b", "c"], vec!["d"], vec!["e", "f", "g"], vec!["h"]]);
        assert_eq!(groups.iter().map(|(len, _)| *len).collect::<Vec<_>>(), [1, 2, 1, 3, 1]);
        assert!(!damaged && groups.iter().all(|(_, cut_off)| !cut_off));
        let (chunks, _, _) = given(b"n,g\na,\nb,\nc,\n", 2);
        assert_eq!(chunks, [vec!["a", "b"], vec!["c"]], "rows alone fill chunks");
        assert_eq!(given(b"n,g\n", 2).0, Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_group_at_a_damage_is_said_to_be_cut_off() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(b"n,g\na,\nb,1\nc,1\n").expect("written");
        let mut bytes = encoder.finish().expect("finished");
        bytes.truncate(bytes.len() - 8);
        let (chunks, groups, damaged) = given(&bytes, 10);
        assert!(damaged, "{chunks:?}");
        assert_eq!(
            (chunks.concat(), groups.last()),
            (vec!["a".into(), "b".into(), "c".into()], Some(&(2, true)))
        );
    }
}
