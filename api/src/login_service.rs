//! The service `Login`: the one door that is open to whoever has no identity yet. It converts and tells the audit
//! trail; what is right is for [`crate::identity::login`].

use crate::audit;
use crate::identity::Guard;
use crate::identity::login::{Given, Keeper};
use crate::proto;
use crate::servers::login_server::Login;
use crate::status::Refusal;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// The service of one server.
#[derive(Clone)]
pub struct LoginService {
    guard: Option<Arc<Guard>>,
}

impl LoginService {
    /// Whose logins are this guard's.
    #[must_use]
    pub const fn new(guard: Option<Arc<Guard>>) -> Self {
        Self { guard }
    }

    fn guard(&self) -> Result<&Arc<Guard>, Status> {
        self.guard.as_ref().ok_or_else(|| {
            let sentence = "this server asks nobody who they are, so nobody logs in";
            Refusal::new(Code::FailedPrecondition, "LOGIN_OFF", sentence).into()
        })
    }
}

fn answer(given: Given) -> Response<proto::LogInResponse> {
    let Given { token, expires_s, refresh } = given;
    let expires_ns = expires_s.saturating_mul(1_000_000_000);
    Response::new(proto::LogInResponse { token, expires_ns, refresh_token: refresh })
}

#[tonic::async_trait]
impl Login for LoginService {
    async fn log_in(
        &self,
        request: Request<proto::LogInRequest>,
    ) -> Result<Response<proto::LogInResponse>, Status> {
        let guard = self.guard()?;
        let audit = request.extensions().get::<audit::Call>().cloned();
        // Nothing from outside says so but the page's own listener.
        let keeper = request.extensions().get::<Keeper>().copied().unwrap_or(Keeper::Program);
        let proto::LogInRequest { name, password, code } = request.into_inner();
        if let Some(audit) = audit {
            audit.is_about_name("login of", &name);
        }
        guard.log_in(&name, password, &code, keeper).await.map(answer)
    }

    async fn refresh(
        &self,
        request: Request<proto::RefreshRequest>,
    ) -> Result<Response<proto::LogInResponse>, Status> {
        let guard = self.guard()?;
        guard.refresh(&request.get_ref().refresh_token).map(answer)
    }

    async fn log_out(
        &self,
        request: Request<proto::LogOutRequest>,
    ) -> Result<Response<proto::LogOutResponse>, Status> {
        self.guard()?.log_out(&request.get_ref().refresh_token);
        Ok(Response::new(proto::LogOutResponse {}))
    }
}
