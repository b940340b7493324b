//! How a start that fails ends the command: with which code, and in what words.

use crate::causes::{damaged_look_closer, damaged_snapshots, with_causes};
use crate::exit::{Exit, Failure};
use ducat_actors::start::StartError;
use ducat_api::compose::{self, OpenError};
use ducat_persistence::DataDirError;
use std::net::SocketAddr;
use std::path::Path;

/// How a data directory that cannot be opened ends the command.
pub(super) fn open_failure(error: &OpenError, data_dir: &Path) -> Failure {
    let exit = match error {
        error if error.is_in_use() => Exit::Held,
        OpenError::DataDir(DataDirError::Keys(error)) => return crate::vault::failure(error),
        // Its text says what to restore.
        OpenError::DataDir(DataDirError::Format { .. }) => Exit::Damaged,
        error if error.is_damage() => return damaged_look_closer(error, data_dir),
        _ => Exit::CannotCreate,
    };
    Failure::new(exit, with_causes(error))
}

/// How an engine that does not start ends the command.
pub(super) fn start_failure(error: &StartError, data_dir: &Path) -> Failure {
    let exit = match error {
        StartError::Options(_) => Exit::Usage,
        StartError::Replay(replay) if compose::is_replay_damage(replay) => {
            return damaged_look_closer(error, data_dir);
        }
        StartError::Snapshots(rebuild) if compose::is_rebuild_damage(rebuild) => {
            return damaged_snapshots(rebuild, data_dir);
        }
        StartError::Snapshots(_) => Exit::CannotCreate,
        StartError::Checkpoints(contradiction) if contradiction.is_damage() => Exit::Damaged,
        StartError::Checkpoints(_) => Exit::CannotCreate,
        // The disk refused: it cannot be read, or the new epoch cannot be written.
        StartError::Replay(_) => Exit::CannotCreate,
        StartError::Spawn(_) | StartError::Threads(_) | StartError::Interrupted(_) => {
            Exit::Internal
        }
    };
    Failure::new(exit, with_causes(error))
}

/// An address that cannot be had.
pub(super) fn unavailable(verb: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!("could not {verb} {address}: {error}. Choose another address with --listen"),
    )
}

/// What should not happen.
pub(super) fn internal(verb: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Internal, format!("could not {verb}: {}", with_causes(error)))
}
