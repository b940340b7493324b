//! Prints events as a replay comes to them.

use crate::event_line::{EventLine, accounts};
use ducat_actors::replay::{Event, Observer};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::ledger::Ledger;
use ducat_persistence::BoxError;
use std::collections::HashSet;
use std::io::{self, BufWriter, Stdout, Write as _};

/// Prints those events of which it is asked.
pub struct Printer {
    out: BufWriter<Stdout>,
    json: bool,
    /// Those that touch one of these; all when empty.
    accounts: HashSet<AccountId>,
    /// Events before this one are not printed.
    from: Lsn,
    /// The reader has gone away: nothing is printed any more.
    closed: bool,
}

impl Printer {
    /// Prints the events from `from` on that touch one of the accounts, or all.
    pub fn new(json: bool, accounts: &[AccountId], from: Lsn) -> Self {
        let accounts = accounts.iter().copied().collect();
        Self { out: BufWriter::new(io::stdout()), json, accounts, from, closed: false }
    }

    /// Prints an event, if it is asked for.
    pub fn print(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if self.closed || event.lsn < self.from {
            return Ok(());
        }
        let asked = |id: &AccountId| self.accounts.contains(id);
        let touched = || accounts(ledger, event.record).iter().flatten().any(asked);
        if !self.accounts.is_empty() && !touched() {
            return Ok(());
        }
        let line = EventLine::new(ledger, event).print(self.json).map_err(|e| e.message)?;
        self.done(|out| writeln!(out, "{line}"))
    }

    /// Writes what is left.
    pub fn finish(&mut self) -> Result<(), BoxError> {
        self.done(|out| out.flush())
    }

    /// A reader that went away (`| head`) is no error.
    fn done(
        &mut self,
        write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>,
    ) -> Result<(), BoxError> {
        match write(&mut self.out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

impl Observer for Printer {
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        self.print(ledger, event)
    }
}
