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
    let alone = Grouping {
        together: |_, _| false,
        bytes: |_| 0,
        rows_max: 1,
        bytes_max: 0,
        close: Box::new(|_, _| {}),
    };
    grouped(rows, size, convert, alone)
}

/// How a group has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it is there.
    Whole,
    /// The file turned out damaged behind it, and the rest of it may lie there.
    CutOff,
    /// It has more than a group may have; this is a part of it, and so are those that follow until the next group.
    TooLarge,
}

/// Sees a group, or a part of one, before it is given out.
pub type Close<T> = Box<dyn FnMut(&mut [T], End) + Send>;

/// Which rows are groups, and how much of one is held in memory.
pub struct Grouping<T> {
    /// Whether the second row, which follows the first one, is of its group.
    pub together: fn(&T, &T) -> bool,
    /// What a row counts against `bytes_max`.
    pub bytes: fn(&T) -> usize,
    /// Most rows of a group.
    pub rows_max: usize,
    /// Most bytes of a group of several rows.
    pub bytes_max: usize,
    /// Sees each group, most of them of one row, when it is over: whole, or a part of one that is too large.
    pub close: Close<T>,
}

/// A group as far as it was read.
struct Open<T> {
    grouping: Grouping<T>,
    rows: Vec<T>,
    bytes: usize,
    /// Parts of it were given out already, as too large.
    too_large: bool,
}

impl<T> Open<T> {
    const fn new(grouping: Grouping<T>) -> Self {
        Self { grouping, rows: Vec::new(), bytes: 0, too_large: false }
    }

    fn goes_on_with(&self, next: &T) -> bool {
        self.rows.last().is_some_and(|last| (self.grouping.together)(last, next))
    }

    /// Whether it is more than a group may be with this row.
    fn is_full_for(&self, next: &T) -> bool {
        let bytes = self.bytes + (self.grouping.bytes)(next);
        self.rows.len() >= self.grouping.rows_max || bytes > self.grouping.bytes_max
    }

    fn push(&mut self, row: T) {
        self.bytes += (self.grouping.bytes)(&row);
        self.rows.push(row);
    }

    /// Shows what was read of it, which is to be taken out then.
    fn close(&mut self, end: End) -> &mut Vec<T> {
        let end = if self.too_large { End::TooLarge } else { end };
        (self.grouping.close)(&mut self.rows, end);
        self.bytes = 0;
        self.too_large = false;
        &mut self.rows
    }

    /// Shows a part of it; what follows is another part.
    fn close_part(&mut self) -> &mut Vec<T> {
        self.close(End::TooLarge);
        self.too_large = true;
        &mut self.rows
    }
}

/// The same, with the rows of a group in one chunk, which is larger than `size` where the group is. What is
/// read of a group that is too large is given out in parts, so that no file takes more memory than the largest
/// group and a few chunks.
pub fn grouped<T: Send + 'static>(
    mut rows: Rows,
    size: usize,
    mut convert: impl FnMut(u64, &ByteRecord) -> T + Send + 'static,
    grouping: Grouping<T>,
) -> Result<mpsc::Receiver<Result<Vec<T>, Failure>>, Failure> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let read = move || {
        let mut record = ByteRecord::new();
        let (mut chunk, mut group) = (Vec::with_capacity(size), Open::new(grouping));
        loop {
            let (next, failure) = match rows.next(&mut record) {
                Ok(Some(number)) => (Some(convert(number, &record)), None),
                Ok(None) => (None, None),
                Err(failure) => (None, Some(failure)),
            };
            let goes_on = next.as_ref().is_some_and(|next| group.goes_on_with(next));
            let closed = match &next {
                Some(next) if goes_on => group.is_full_for(next).then(|| group.close_part()),
                _ if group.rows.is_empty() => None,
                _ => Some(group.close(if failure.is_some() { End::CutOff } else { End::Whole })),
            };
            // Nobody listens any more when the import has failed: stop reading.
            if closed.is_some_and(|rows| !add(&mut chunk, rows, size, &sender)) {
                return;
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

    type Given = (Vec<Vec<String>>, Vec<(usize, End)>, bool);

    /// Most rows and bytes of a group here; a row counts the bytes of its first column.
    const MOST: (usize, usize) = (4, 20);

    /// The first columns by chunk, how long each group or part was and how it ended, and whether
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
        let grouping = Grouping {
            together: |one: &(String, String), next| !one.1.is_empty() && one.1 == next.1,
            bytes: |row| row.0.len(),
            rows_max: MOST.0,
            bytes_max: MOST.1,
            close: Box::new(move |group, end| {
                sees.lock().expect("sound").push((group.len(), end));
            }),
        };
        let mut chunks = grouped(rows, size, convert, grouping).expect("starts");
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
        assert!(!damaged && groups.iter().all(|(_, end)| *end == End::Whole));
        let (chunks, _, _) = given(b"n,g\na,\nb,\nc,\n", 2);
        assert_eq!(chunks, [vec!["a", "b"], vec!["c"]], "rows alone fill chunks");
        assert_eq!(given(b"n,g\n", 2).0, Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_group_that_is_too_large_is_given_out_in_parts_and_the_next_one_is_whole() {
        let line = |n: usize| format!("r{n:02},1\n");
        let of = |count: usize| -> String { (0..count).map(line).collect() };
        let read = |text: &str| given(format!("n,g\n{text}").as_bytes(), 2);
        let (_, groups, _) = read(&of(4));
        assert_eq!(groups, [(4, End::Whole)], "as large as one may be");
        let (chunks, groups, _) = read(&format!("{}a,2\nb,2\nc,\n", of(10)));
        let parts = [(4, End::TooLarge), (4, End::TooLarge), (2, End::TooLarge)];
        assert_eq!(groups, [&parts[..], &[(2, End::Whole), (1, End::Whole)]].concat());
        assert_eq!(chunks.concat().len(), 13, "no row is lost");
        assert!(chunks.iter().all(|chunk| chunk.len() <= MOST.0 + 2), "{chunks:?}");
        // By bytes: the third row has no room, whatever becomes of it.
        let (_, groups, _) = read("eightee8,1\neightee8,1\neightee8,1\na,\n");
        assert_eq!(groups, [(2, End::TooLarge), (1, End::TooLarge), (1, End::Whole)]);
        // A row alone is whole however long it is.
        let long = "x".repeat(MOST.1 + 1);
        assert_eq!(read(&format!("{long},1\n")).1, [(1, End::Whole)]);
    }

    /// All of a long file is one group: never more of it is read than the largest group and what may wait.
    #[test]
    fn a_file_that_is_one_group_takes_no_more_memory_than_the_largest_group() {
        let rows_in_file = 5_000;
        let text: String = (0..rows_in_file).map(|_| "r,1\n").collect();
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(format!("n,g\n{text}").as_bytes()).expect("written");
        let rows = Rows::open(file.path(), &Source::default(), Arc::default()).expect("opens");
        let read = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counts = Arc::clone(&read);
        let convert = move |_: u64, _: &ByteRecord| {
            counts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        };
        let grouping = Grouping {
            together: |_: &(), _: &()| true,
            bytes: |_| 0,
            rows_max: MOST.0,
            bytes_max: MOST.1,
            close: Box::new(|_, _| {}),
        };
        let mut chunks = grouped(rows, 2, convert, grouping).expect("starts");
        let mut taken = 0;
        while let Some(chunk) = chunks.blocking_recv() {
            let held = read.load(std::sync::atomic::Ordering::SeqCst) - taken;
            // This chunk, those in the queue, the one that takes its place there meanwhile, and what is with their
            // reader: a chunk and a group.
            let most = (WAITING_MAX + 3) * (MOST.0 + 2) + MOST.0 + 1;
            assert!(held <= most, "{held} rows were held, at most {most}");
            taken += chunk.expect("sound").len();
        }
        assert_eq!(taken, rows_in_file);
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
            (vec!["a".into(), "b".into(), "c".into()], Some(&(2, End::CutOff)))
        );
    }
}
