//! What the service `Ledger` does about secret fields: seals them in requests, finds repeats of openings that
//! another key sealed, and reveals one, told of first.

use super::{GivenBy, SecretFields};
use crate::audit;
use crate::convert;
use crate::identity::factor::Standing;
use crate::identity::{Caller, checks};
use crate::ledger_service::LedgerService;
use crate::proto;
use crate::status::{self, Refusal};
use ducat_actors::handle::AccountShown;
use ducat_engine::account_event::Opening;
use ducat_engine::ids::AccountId;
use ducat_engine::profile::ProfileChange;
use ducat_engine::transfer::{AccountOutcome, AccountRejection};
use tonic::{Code, Status};
use zeroize::Zeroize as _;

const DIFFERENT: AccountOutcome = AccountOutcome::Refused(AccountRejection::ExistsDifferent);

impl LedgerService {
    /// Seals what is secret in openings, and in the request they were read from: it may be kept as a proposal,
    /// and comes back sealed when that is approved.
    pub(crate) fn seal_openings(
        &self,
        standing: Option<&Standing>,
        asked: &mut [proto::NewAccount],
        openings: &mut [Opening],
    ) -> Result<(), Status> {
        let Some(secrets) = self.secrets() else { return Ok(()) };
        let proposed = standing.is_some_and(Standing::is_approved);
        let by = if proposed { GivenBy::Proposal } else { GivenBy::Caller };
        secrets.seal_openings(openings, by, |index, key, sealed| {
            if let Some(value) = asked.get_mut(index).and_then(|new| new.metadata.get_mut(key)) {
                super::replace(value, sealed.to_owned());
            }
        })?;
        Ok(())
    }

    /// Those of these sealed openings that hold something secret, by their places.
    pub(crate) fn with_secrets(&self, openings: &[Opening]) -> Vec<(usize, Opening)> {
        let Some(secrets) = self.secrets() else { return Vec::new() };
        let holds = |(_, opening): &(usize, &Opening)| secrets.are_in(&opening.profile.metadata);
        openings.iter().enumerate().filter(holds).map(|(at, one)| (at, one.clone())).collect()
    }

    /// Looks once more at openings that seem to differ from what was opened under their ids: as they were sealed
    /// under older keys, and as they were before they were secret.
    pub(crate) async fn recognise_repeats(
        &self,
        sealed: &[(usize, Opening)],
        outcomes: &mut [AccountOutcome],
    ) -> Result<(), Status> {
        let Some(secrets) = self.secrets() else { return Ok(()) };
        for form in secrets.older_forms() {
            let differs = |at: usize| outcomes.get(at) == Some(&DIFFERENT);
            let left = sealed.iter().filter(|(at, _)| differs(*at));
            let tried = left.filter_map(|(at, one)| Some((*at, secrets.in_form(one, &form)?)));
            let (places, tried): (Vec<usize>, Vec<Opening>) = tried.unzip();
            if tried.is_empty() {
                continue;
            }
            let judged = self.try_openings(secrets, tried).await?;
            for (at, outcome) in places.into_iter().zip(judged) {
                if let (AccountOutcome::Exists(_), Some(place)) = (outcome, outcomes.get_mut(at)) {
                    *place = outcome;
                }
            }
        }
        Ok(())
    }

    /// What would become of these, one by one; they are overwritten.
    async fn try_openings(
        &self,
        secrets: &SecretFields,
        mut tried: Vec<Opening>,
    ) -> Result<Vec<AccountOutcome>, Status> {
        let judged = self.handle().dry_run_openings(&tried).await;
        tried.iter_mut().for_each(|opening| secrets.forget(opening));
        Ok(judged.map_err(status::request)?.what)
    }

    /// Seals what is secret in a change. What the account has already stays as it is sealed.
    pub(crate) async fn seal_change(
        &self,
        id: AccountId,
        change: &mut ProfileChange,
    ) -> Result<(), Status> {
        let Some(secrets) = self.secrets() else { return Ok(()) };
        let stored = if secrets.are_in(&change.set) { self.stored(id).await? } else { None };
        let details = stored.as_ref().and_then(|shown| shown.details.as_deref());
        secrets.seal_change(id, change, details.map(|details| &details.profile))?;
        Ok(())
    }

    async fn stored(&self, id: AccountId) -> Result<Option<AccountShown>, Status> {
        let at = self.handle().accounts(vec![id]).await.map_err(status::request)?;
        Ok(at.accounts.into_iter().next().flatten())
    }

    /// A secret value in full. That it is given is in the audit trail, durably, before it leaves.
    pub(crate) async fn reveal(
        &self,
        caller: &Caller,
        audit: Option<audit::Call>,
        asked: &proto::RevealMetadataRequest,
    ) -> Result<proto::RevealMetadataResponse, Status> {
        let id = convert::account_id(asked.id_high, asked.id)?;
        checks::accounts(self.handle(), caller, &[id]).await?;
        let refused = |reason, sentence: &str| {
            Status::from(Refusal::new(Code::FailedPrecondition, reason, sentence))
        };
        let secrets = self.secrets().ok_or_else(|| {
            refused("NO_SECRET_FIELDS", "this server has no keys of secret fields")
        })?;
        let audit = audit.ok_or_else(|| {
            let sentence = "what is secret is given only where the audit trail tells to whom: start the \
                            server with --audit on";
            refused("REVEAL_UNTOLD", sentence)
        })?;
        let shown = self.stored(id).await?;
        let shown = shown.ok_or_else(|| status::account(id, AccountRejection::Unknown))?;
        let none = super::Metadata::new();
        let details = shown.details.as_deref();
        let metadata = details.map_or(&none, |details| &details.profile.metadata);
        let mut text = secrets.reveal(id, &asked.key, metadata)?;
        let what = format!("account {id} field {}", asked.key);
        if let Err(error) = audit.tell_first(self.handle(), what).await {
            text.zeroize();
            return Err(status::request(error));
        }
        Ok(proto::RevealMetadataResponse { value: std::mem::take(&mut *text) })
    }
}
