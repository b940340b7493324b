//! The service `Approvals`: what waits for a second person, and the call that is made when one agrees.
//!
//! ```text
//! service ▸ weigh: more than one person may ▸ Proposals
//! Approve ▸ gate: second factor ▸ begin: another person, same digest ▸ the call, as both ▸ ended
//! ```
//!
//! The proposed call goes straight to its service, as if it had come through the gate: the gate has let `Approve`
//! in, and who makes it is both persons, so that roles and scopes of both are asked, and both names stand in
//! the audit trail. See [decision 45](../../docs/adr/0045-second-factor-and-two-persons.md).

use crate::audit;
use crate::budget::Budget;
use crate::convert;
use crate::deadline::Deadline;
use crate::identity::Caller;
use crate::identity::factor::Standing;
use crate::identity::guard::{self, Guard};
use crate::identity::persons::{PROPOSALS_MAX, Proposal, REQUEST_BYTES_MAX, State};
use crate::ledger_service::answered;
use crate::proto;
use crate::servers::approvals_server::Approvals;
use crate::services::Services;
use crate::status::{self, Refusal};
use crate::unary;
use ducat_actors::handle::Handle;
use prost::bytes::Bytes;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// Where the services are found once all of them are there, this one included.
#[derive(Clone, Default)]
pub struct Door(Arc<OnceLock<Weak<Services>>>);

impl Door {
    /// Calls go to these from now on, for as long as somebody keeps them.
    pub fn ready(&self, services: &Arc<Services>) {
        // A server begins once.
        let _already = self.0.set(Arc::downgrade(services));
    }

    fn services(&self) -> Result<Arc<Services>, Status> {
        self.0.get().and_then(Weak::upgrade).ok_or_else(|| Refusal::draining().into())
    }
}

/// The service of one server.
#[derive(Clone)]
pub struct ApprovalsService {
    guard: Option<Arc<Guard>>,
    handle: Handle,
    door: Door,
    answers: Budget,
    room_timeout: Duration,
}

/// Memory of one proposal of an answer beside its request, roughly.
const ITEM: usize = 1024;

/// Proposals of a page whose size is not asked for.
const PAGE_SIZE: usize = 100;

/// The requests of a page, bytes: far below what clients of gRPC take by default, 4 MiB.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

impl ApprovalsService {
    /// Whose proposals are this guard's, and whose calls are made through this door. The memory of answers is
    /// taken from `answers`, and waited for as long as `room_timeout`.
    #[must_use]
    pub const fn new(
        guard: Option<Arc<Guard>>,
        handle: Handle,
        door: Door,
        answers: Budget,
        room_timeout: Duration,
    ) -> Self {
        Self { guard, handle, door, answers, room_timeout }
    }

    fn guard(&self) -> Result<&Arc<Guard>, Status> {
        self.guard.as_ref().ok_or_else(|| {
            let sentence = "this server asks nobody who they are, so nobody is a second person";
            Refusal::new(Code::FailedPrecondition, "NOBODY_IS_ASKED", sentence).into()
        })
    }
}

/// The name of a call: `Ledger/SetAccountLimits`.
fn method(path: &str) -> &str {
    path.strip_prefix("/ducat.v1.").unwrap_or(path)
}

fn nanos(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000_000)
}

fn to_proto(kept: &Proposal) -> proto::Proposal {
    let (state, approved_by) = match &kept.state {
        State::Open => (proto::ProposalState::Open, String::new()),
        State::Running => (proto::ProposalState::Running, String::new()),
        State::Done(by) => (proto::ProposalState::Done, by.clone()),
    };
    proto::Proposal {
        id: kept.id.to_string(),
        method: method(&kept.proposed.path).to_owned(),
        request: kept.proposed.request.clone(),
        proposed_by: kept.proposed.caller.person().to_owned(),
        proposed_ns: nanos(kept.at_s),
        expires_ns: nanos(kept.expires_s()),
        state: state.into(),
        approved_by,
        digest: kept.proposed.digest().to_vec(),
    }
}

fn read_id(text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text).map_err(|_| {
        let sentence = "a proposal's id is a UUID, as ListProposals gives it";
        Refusal::new(Code::InvalidArgument, "PROPOSAL_ID", sentence)
    })
}

/// The trail's entity of a call about a proposal.
fn tell(audit: Option<&audit::Call>, kept: &Proposal) {
    if let Some(call) = audit {
        let (id, by) = (kept.id, kept.proposed.caller.person());
        call.is_about(|| format!("proposal {id} of {by}: {}", method(&kept.proposed.path)));
    }
}

/// Opens a proposal again unless it was done, whatever becomes of the work in between.
struct Begun {
    guard: Arc<Guard>,
    id: Uuid,
    done_by: Option<String>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.guard.proposals().ended(self.id, self.done_by.as_deref());
    }
}

/// What goes with the proposed call.
struct With {
    both: Caller,
    standing: Option<Standing>,
    deadline: Option<Deadline>,
    audit: Option<audit::Call>,
}

impl ApprovalsService {
    /// Makes the proposed call on behalf of both. Once begun it goes on to its end, so that what its proposal says
    /// is what has happened, whether somebody waits or not.
    async fn run(self, kept: Proposal, with: With, mut begun: Begun) -> Result<Bytes, Status> {
        let mut request = unary::request(&kept.proposed.path, &kept.proposed.request)?;
        let extensions = request.extensions_mut();
        let second = with.both.person().to_owned();
        extensions.insert(with.both);
        if let Some(standing) = with.standing {
            extensions.insert(standing);
        }
        if let Some(deadline) = with.deadline {
            extensions.insert(deadline);
        }
        let done = unary::answer(self.call(request, with.audit).await).await?;
        begun.done_by = Some(second);
        Ok(done)
    }

    /// The service's answer, told of as the gate does.
    async fn call(
        &self,
        mut request: http::Request<Body>,
        audit: Option<audit::Call>,
    ) -> http::Response<Body> {
        let services = match self.door.services() {
            Ok(services) => services,
            Err(status) => return status.into_http(),
        };
        let Some(audit) = audit else {
            let Ok(response) = services.call(request).await;
            return response;
        };
        request.extensions_mut().insert(audit.clone());
        let Ok(response) = audit.scope(services.call(request)).await;
        audit.over(response.headers(), &self.handle).await;
        response
    }
}

#[tonic::async_trait]
impl Approvals for ApprovalsService {
    async fn list_proposals(
        &self,
        request: Request<proto::ListProposalsRequest>,
    ) -> Result<Response<proto::ListProposalsResponse>, Status> {
        let (proposals, now_s) = (self.guard()?.proposals(), guard::now_s());
        let asked = request.get_ref();
        let size = convert::page_size(asked.page_size, PAGE_SIZE, PROPOSALS_MAX)?;
        let after = Some(asked.after.as_str()).filter(|after| !after.is_empty());
        let after = after.map(read_id).transpose()?;
        // The copies, the message, and the buffer that it is encoded into, which doubles as it grows. What comes
        // in between is behind the page's end.
        let bytes =
            4 * proposals.bytes(now_s).clamp(REQUEST_BYTES_MAX, PAGE_BYTES_MAX) + size * ITEM;
        let room = self.answers.read_room(bytes, self.room_timeout).await;
        let room = room.ok_or_else(|| Refusal::no_answer_room(self.room_timeout))?;
        let (page, more) = proposals.page(after, size, PAGE_BYTES_MAX, now_s);
        let next = page.last().filter(|_| more).map(|last| last.id.to_string()).unwrap_or_default();
        let proposals = page.iter().map(to_proto).collect();
        Ok(answered(proto::ListProposalsResponse { proposals, next }, room))
    }

    async fn approve(
        &self,
        request: Request<proto::ApproveRequest>,
    ) -> Result<Response<proto::ApproveResponse>, Status> {
        let guard = self.guard()?;
        let second = Caller::of(&request, true)?;
        let asked = request.get_ref();
        let id = read_id(&asked.id)?;
        let kept = guard.proposals().begin(id, &asked.digest, &second, guard::now_s());
        let kept = kept.inspect_err(|refusal| {
            if refusal.code == Code::PermissionDenied {
                guard.count_denied();
            }
        })?;
        let begun = Begun { guard: Arc::clone(guard), id, done_by: None };
        let extensions = request.extensions();
        let audit = extensions.get::<audit::Call>();
        tell(audit, &kept);
        let (first, path) = (&kept.proposed.caller, &kept.proposed.path);
        if !first.is_unchanged() {
            let sentence = format!(
                "what is granted was read again since {} proposed it; it must be proposed again",
                first.person()
            );
            return Err(Refusal::new(Code::FailedPrecondition, "PROPOSAL_OVER", sentence).into());
        }
        let both = second.with(first);
        guard::may_call(&both, path).inspect_err(|_| guard.count_denied())?;
        let with = With {
            standing: Standing::of(&request).map(|standing| standing.approved(&both, path)),
            deadline: extensions.get::<Deadline>().copied(),
            audit: audit.map(|call| call.on_behalf_of(path, &both)),
            both,
        };
        let running = tokio::spawn(self.clone().run(kept.clone(), with, begun));
        let response =
            running.await.map_err(|_| status::internal("a proposed call panicked"))??;
        let state = State::Done(second.person().to_owned());
        let proposal = Some(to_proto(&Proposal { state, ..kept }));
        Ok(Response::new(proto::ApproveResponse { proposal, response: response.to_vec() }))
    }

    async fn reject(
        &self,
        request: Request<proto::RejectRequest>,
    ) -> Result<Response<proto::RejectResponse>, Status> {
        let id = read_id(&request.get_ref().id)?;
        let kept = self.guard()?.proposals().reject(id, guard::now_s())?;
        tell(request.extensions().get::<audit::Call>(), &kept);
        Ok(Response::new(proto::RejectResponse { proposal: Some(to_proto(&kept)) }))
    }
}
