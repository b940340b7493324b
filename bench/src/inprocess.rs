//! An engine in this process, for the mode `in-process`.

use crate::child::Durability;
use ducat_actors::handle::EngineOptions;
use ducat_actors::start::Engine;
use std::path::Path;

/// Starts an engine: on a journal in `data`, or with durability `none` in memory.
pub async fn start(
    options: EngineOptions,
    data: &Path,
    durability: Durability,
) -> anyhow::Result<Engine> {
    let opened = match durability {
        Durability::None => ducat_api::compose::in_memory()?,
        Durability::PowerLoss => ducat_api::compose::create_or_open(data)?,
    };
    Ok(Engine::start(options, opened.journal, "ducat-bench", Box::new(|_| {})).await?)
}
