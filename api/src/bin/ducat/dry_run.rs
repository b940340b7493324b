//! `--dry-run`: what every command that changes something understands.

use crate::exit::{Exit, Failure};
use crate::transfer::new_id;
use clap::Args;
use ducat_engine::ids::TransferId;

/// The option.
#[derive(Args, Debug, Clone, Copy)]
pub struct DryRunArg {
    /// Say what would become of it as things stand, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl DryRunArg {
    /// The id that was given, or a new one. One that will be consumed is printed, so that the request
    /// can be repeated.
    pub fn id(self, given: Option<TransferId>, what: &str) -> Result<TransferId, Failure> {
        if let Some(id) = given {
            return Ok(id);
        }
        let id = new_id()?;
        if !self.dry_run {
            eprintln!("ducat: {what} {id} (to repeat it safely: --id {id})");
        }
        Ok(id)
    }

    /// Fails when a dry run was asked for and the answer is of none: a server of before there were
    /// any does what it is asked.
    pub fn check(self, answered: bool) -> Result<(), Failure> {
        if self.dry_run && !answered {
            let text = "this server knows no dry runs: it has done what was asked";
            return Err(Failure::new(Exit::Internal, text));
        }
        Ok(())
    }

    /// Says on stderr of what an answer was judged.
    pub fn tell(self, lsn: u64) {
        if self.dry_run {
            eprintln!("ducat: dry run: nothing was done; judged as of LSN {lsn}");
        }
    }
}
