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
    mut rows: Rows,
    size: usize,
    mut convert: impl FnMut(u64, &ByteRecord) -> T + Send + 'static,
) -> Result<mpsc::Receiver<Result<Vec<T>, Failure>>, Failure> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let read = move || {
        let mut record = ByteRecord::new();
        let mut chunk = Vec::with_capacity(size);
        loop {
            match rows.next(&mut record) {
                Ok(Some(number)) => chunk.push(convert(number, &record)),
                Ok(None) => break,
                Err(failure) => {
                    // What was read before the damage is still good.
                    let _ = sender.blocking_send(Ok(chunk));
                    let _ = sender.blocking_send(Err(failure));
                    return;
                }
            }
            if chunk.len() == size {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(size));
                // Nobody listens any more when the import has failed: stop reading.
                if sender.blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        if !chunk.is_empty() {
            let _ = sender.blocking_send(Ok(chunk));
        }
    };
    std::thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(read)
        .map_err(|e| Failure::new(FailureKind::Internal, format!("cannot start a thread: {e}")))?;
    Ok(receiver)
}
