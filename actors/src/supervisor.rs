//! The supervisor: all actors of an engine are linked to it, and when one of them fails the
//! engine stops.
//!
//! An actor that failed has state that nobody may trust any more, and the state of record is
//! the journal: so nothing is restarted in place. The engine takes no further requests, the
//! process ends, and the next start rebuilds every account from the journal.

use crate::admission::Shared;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::sync::Arc;

/// The actor.
pub(crate) struct Supervisor {
    pub shared: Arc<Shared>,
}

impl Actor for Supervisor {
    /// Nobody writes to it; it only hears of its children.
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let why = match event {
            SupervisionEvent::ActorFailed(_, error) => format!("an actor failed: {error}"),
            SupervisionEvent::ActorTerminated(_, _, reason) if !self.shared.is_stopping() => {
                format!("an actor ended: {}", reason.as_deref().unwrap_or("no reason given"))
            }
            _ => return Ok(()),
        };
        tracing::error!(%why, "the engine stops");
        self.shared.room.close();
        self.shared.reads.close();
        self.shared.stop(why);
        Ok(())
    }
}
