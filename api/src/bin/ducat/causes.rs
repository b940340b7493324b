//! Errors of data directories in words: the whole chain of causes in one line, and after it, on
//! a line of its own, what to do when data is damaged.

use crate::exit::{Exit, Failure};
use ducat_actors::snapshots::rebuild::RebuildError;
use std::error::Error;
use std::path::Path;

/// What the store adds to its errors and what helps nobody.
const NOISE: [&str; 2] = [" at file offset None", " backtrace ()"];

/// The error and everything that led to it, in one line.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let text = ducat_persistence::with_causes(error);
    NOISE.iter().fold(text, |text, noise| text.replace(noise, ""))
}

/// Damaged data, told to somebody who has not looked closer yet.
pub fn damaged_look_closer(error: &(dyn Error + 'static), data_dir: &Path) -> Failure {
    let dir = data_dir.display();
    let text = format!(
        "{}\nChange nothing in {dir}, keep a copy of it and run `ducat verify --data-dir {dir}`",
        with_causes(error)
    );
    Failure::new(Exit::Damaged, text)
}

/// Damaged data, told to somebody who has just looked closer.
pub fn damaged_restore(error: &(dyn Error + 'static), data_dir: &Path) -> Failure {
    let text = format!(
        "{}\nChange nothing in {}, keep a copy of it and restore it from a copy that `ducat \
         verify` finds sound",
        with_causes(error),
        data_dir.display()
    );
    Failure::new(Exit::Damaged, text)
}

/// No snapshot reaches back to where the journal begins: which were tried, and what to do.
pub fn damaged_snapshots(error: &RebuildError, data_dir: &Path) -> Failure {
    if let RebuildError::Replay(_) = error {
        return damaged_look_closer(error, data_dir);
    }
    let dir = data_dir.display();
    let mut text = with_causes(error);
    if let RebuildError::NotReached { rejected, .. } = error {
        for snapshot in rejected {
            text.push_str(&format!("\n{}: {}", snapshot.path.display(), snapshot.why));
        }
    }
    text.push_str(&format!(
        "\nChange nothing in {dir}, keep a copy of it and run `ducat snapshot verify --data-dir \
         {dir}`; a sound snapshot from a copy of the directory, put into {dir}/shard-0/snapshots, \
         makes it start again"
    ));
    Failure::new(Exit::Damaged, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error)]
    #[error("Read corrupted data at file offset None backtrace ()")]
    struct Store;

    #[derive(Debug, Error)]
    #[error("the journal is damaged")]
    struct Journal(#[source] Store);

    #[test]
    fn the_advice_comes_after_every_cause() {
        let dir = Path::new("./ledger");
        assert_eq!(
            damaged_look_closer(&Journal(Store), dir).message,
            "the journal is damaged: Read corrupted data\n\
             Change nothing in ./ledger, keep a copy of it and run `ducat verify --data-dir \
             ./ledger`"
        );
        let restore = damaged_restore(&Journal(Store), dir);
        assert_eq!(restore.exit, Exit::Damaged);
        assert!(restore.message.ends_with("finds sound"), "{restore}");
    }
}
