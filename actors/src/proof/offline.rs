//! Checkpoints held against a whole journal, and receipts from one, without a server.

use super::ProofError;
use super::receipt::{Receipt, Source};
use crate::replay::{Event, Observer};
use ducat_engine::ids::{Lsn, ShardId, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::proof::{Names, Tree, Whose};
use ducat_persistence::witness::SignedCheckpoint;
use ducat_persistence::{BoxError, Journal};
use std::collections::VecDeque;

/// Makes the tree of a journal from its first event on, and holds checkpoints against it.
pub struct Statements {
    whose: Whose,
    names: Names,
    tree: Tree,
    scratch: Vec<u8>,
    /// Checkpoints not come to yet, in order.
    ahead: VecDeque<SignedCheckpoint>,
    /// Checkpoints whose root is another.
    differ: Vec<SignedCheckpoint>,
    wanted: Option<TransferId>,
    found: Option<Lsn>,
}

impl Statements {
    /// Nothing was seen yet. The checkpoints must be in order.
    #[must_use]
    pub fn new(whose: Whose, checkpoints: Vec<SignedCheckpoint>) -> Self {
        Self {
            whose,
            names: Names::new(),
            tree: Tree::new(),
            scratch: Vec::new(),
            ahead: checkpoints.into(),
            differ: Vec::new(),
            wanted: None,
            found: None,
        }
    }

    /// Looks for the event of a transfer meanwhile.
    #[must_use]
    pub fn looking_for(self, id: TransferId) -> Self {
        Self { wanted: Some(id), ..self }
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// [`ProofError::Unnamed`].
    pub fn take(&mut self, event: &Event<'_>) -> Result<(), ProofError> {
        self.names.learn(event.record);
        let statement = self.names.statement(self.whose, event.lsn, event.time_ns, event.record)?;
        self.tree.push(statement.leaf(&mut self.scratch));
        if self.wanted.is_some() && event.record.transfer_id() == self.wanted {
            self.found = Some(event.lsn);
        }
        while self.ahead.front().is_some_and(|next| next.checkpoint.lsn <= event.lsn) {
            let Some(signed) = self.ahead.pop_front() else { break };
            let same =
                signed.checkpoint.lsn == event.lsn && signed.checkpoint.root == self.tree.root();
            if !same {
                self.differ.push(signed);
            }
        }
        Ok(())
    }

    /// Checkpoints that cover more events than were seen.
    #[must_use]
    pub fn ahead(&self) -> &VecDeque<SignedCheckpoint> {
        &self.ahead
    }

    /// Checkpoints that were signed over other events.
    #[must_use]
    pub fn differ(&self) -> &[SignedCheckpoint] {
        &self.differ
    }

    /// The event of the transfer that was looked for.
    #[must_use]
    pub const fn found(&self) -> Option<Lsn> {
        self.found
    }

    /// The receipt of an event that this checkpoint covers.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn receipt(
        &self,
        journal: &dyn Journal,
        shard: ShardId,
        lsn: Lsn,
        checkpoint: SignedCheckpoint,
    ) -> Result<Receipt, ProofError> {
        let source = Source { journal, shard, whose: self.whose, names: &self.names };
        source.prove(&self.tree, lsn, checkpoint)
    }
}

impl Observer for Statements {
    fn event(&mut self, _: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        Ok(self.take(event)?)
    }
}
