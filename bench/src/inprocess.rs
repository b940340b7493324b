//! An engine in this process, for the mode `in-process`.

use crate::child::Durability;
use ducat_actors::handle::{Engine, EngineOptions};
use std::path::Path;

/// Starts an engine: on a journal in `data`, or with durability `none` in memory.
pub async fn start(
    options: EngineOptions,
    data: &Path,
    durability: Durability,
) -> anyhow::Result<Engine> {
    let _ = (options, data);
    anyhow::bail!(
        "in-process mode with durability {} needs an engine that opens its own journal, which \
         this build does not have; use --mode batch, stream or unary",
        durability.name()
    )
}
