//! How a call stands with its second factor: what it brought, and whether that was taken.

use crate::identity::Caller;
use crate::identity::guard::{Guard, Trust};
use crate::identity::persons::{PROPOSAL_LIFETIME, Proposed, Weight};
use crate::status::Refusal;
use ducat_engine::money::Currencies;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tonic::Code;

/// A call of a server that asks for second factors. Clones are of the same call.
#[derive(Clone)]
pub struct Standing(Arc<Inner>);

struct Inner {
    guard: Arc<Guard>,
    trust: Arc<Trust>,
    caller: Caller,
    path: String,
    code: Option<String>,
    proven: Mutex<bool>,
    /// A second person has seen it and says yes.
    approved: bool,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the code.
        f.debug_struct("Standing").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Standing {
    /// Of a call that brought this code, or none.
    pub(in crate::identity) fn new(
        guard: &Arc<Guard>,
        trust: &Arc<Trust>,
        caller: &Caller,
        path: &str,
        code: Option<String>,
    ) -> Self {
        Self(Arc::new(Inner {
            guard: Arc::clone(guard),
            trust: Arc::clone(trust),
            caller: caller.clone(),
            path: path.to_owned(),
            code,
            proven: Mutex::new(false),
            approved: false,
        }))
    }

    /// Of a call that two persons have agreed on, each with a second factor.
    pub(crate) fn approved(&self, caller: &Caller, path: &str) -> Self {
        Self(Arc::new(Inner {
            guard: Arc::clone(&self.0.guard),
            trust: Arc::clone(&self.0.trust),
            caller: caller.clone(),
            path: path.to_owned(),
            code: None,
            proven: Mutex::new(true),
            approved: true,
        }))
    }

    /// Whether two persons have agreed on the call: what it asks for was kept here since it was proposed.
    pub(crate) fn is_approved(&self) -> bool {
        self.0.approved
    }

    /// Of a call that came through the gate; `None` where no second factor is asked for.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// Refuses the call unless its second factor is there: the code it brought, which is used up then, or
    /// its token's own.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`; see [`super::State::take`], and `SECOND_FACTOR_NEEDED` without a code.
    pub fn prove(&self) -> Result<(), Refusal> {
        let inner = &*self.0;
        let mut proven = inner.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if *proven || self.has_session() {
            return Ok(());
        }
        let taken =
            inner.guard.take_code(&inner.trust, inner.caller.person(), inner.code.as_deref());
        taken.inspect_err(|_| inner.guard.count_denied())?;
        *proven = true;
        Ok(())
    }

    /// Refuses what lasts, such as a stream, unless the token's own second factor still counts: a code is for
    /// one call.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, `SECOND_FACTOR_NEEDED`.
    pub fn prove_by_token(&self) -> Result<(), Refusal> {
        if self.has_session() {
            return Ok(());
        }
        self.0.guard.count_denied();
        let sentence = "a stream takes this from a token with a second factor alone; without one, send \
                        it as a call of its own, with a code";
        Err(Refusal::new(Code::PermissionDenied, "SECOND_FACTOR_NEEDED", sentence))
    }

    /// The turn to judge what limits come to and to change them, one call at a time: two small changes of one
    /// account, each judged by how it was before the other, are not small together.
    pub async fn turn_of_limits(&self) -> OwnedMutexGuard<()> {
        self.0.guard.turn_of_limits().await
    }

    fn has_session(&self) -> bool {
        self.0.guard.has_session(&self.0.trust, &self.0.caller)
    }

    /// Refuses what one person may not do alone, and keeps it for a second one: `request` gives its bytes.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, `TWO_PERSONS_NEEDED`, with the proposal's id in the sentence; what
    /// [`crate::identity::persons::Proposals::keep`] ends with.
    pub fn weigh(
        &self,
        weight: &Weight,
        currencies: &Currencies,
        request: impl FnOnce() -> Vec<u8>,
    ) -> Result<(), Refusal> {
        let inner = &*self.0;
        if !self.is_too_much(weight, currencies) {
            return Ok(());
        }
        inner.guard.count_denied();
        let (caller, path) = (inner.caller.clone(), inner.path.clone());
        let kept = inner.guard.propose(Proposed { caller, path, request: request() })?;
        let (id, minutes) = (kept.id, PROPOSAL_LIFETIME.as_secs() / 60);
        let sentence = format!(
            "this is more than one person may do: it is kept as proposal {id} for {minutes} minutes, \
             and done when somebody else approves it: ducat approve {id}"
        );
        Err(Refusal::new(Code::PermissionDenied, "TWO_PERSONS_NEEDED", sentence))
    }

    /// Refuses what one person may not do alone, and keeps nothing.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, `TWO_PERSONS_NEEDED`.
    pub fn weigh_streamed(&self, weight: &Weight, currencies: &Currencies) -> Result<(), Refusal> {
        if !self.is_too_much(weight, currencies) {
            return Ok(());
        }
        self.0.guard.count_denied();
        let sentence = "this is more than one person may do; a stream keeps no proposals: send it as a \
                        call of its own";
        Err(Refusal::new(Code::PermissionDenied, "TWO_PERSONS_NEEDED", sentence))
    }

    fn is_too_much(&self, weight: &Weight, currencies: &Currencies) -> bool {
        let amounts = self.0.trust.factor.as_ref().and_then(|rules| rules.two_persons.as_ref());
        !self.0.approved && amounts.is_some_and(|amounts| amounts.are_passed(weight, currencies))
    }
}
