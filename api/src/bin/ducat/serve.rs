//! `ducat serve`: stands here only until the server's own module takes its place.

use crate::exit::{Done, Exit, Failure};
use clap::Args;

/// Options of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {}

/// Says that this build has no server.
pub fn run(_args: ServeArgs) -> Done {
    Err(Failure::new(Exit::Internal, "this build has no server in it"))
}
