//! The service `Audit`: the trail, for auditors.

use super::auditor::Options;
use super::convert;
use super::summary::Summary;
use crate::proto;
use crate::servers::audit_server::Audit;
use crate::status;
use ducat_actors::audit::{AuditFilter, AuditPage, AuditQuery};
use ducat_actors::handle::Handle;
use ducat_engine::ids::Lsn;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::{Request, Response, Status};

/// Events on a page, if nothing else is said.
const PAGE: usize = 100;

/// Events on a page of a summary's own.
const SUMMARY_PAGE: usize = 1_000;

/// The service over one engine. The gate lets in only those who may see all.
#[derive(Clone)]
pub struct AuditService {
    handle: Handle,
    keep: Duration,
}

impl AuditService {
    /// Shows what is not older than `keep`. Without an auditor what others have written is shown.
    #[must_use]
    pub fn new(handle: Handle, keep: Option<Duration>) -> Self {
        Self { handle, keep: keep.unwrap_or(Options::default().keep) }
    }

    /// Before this nothing is shown, nanoseconds since 1970.
    fn kept_from(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.saturating_sub(self.keep).as_nanos()).unwrap_or(u64::MAX)
    }

    async fn page(
        &self,
        filter: AuditFilter,
        from: Option<Lsn>,
        limit: usize,
    ) -> Result<AuditPage, Status> {
        let from_ns = filter.from_ns.max(self.kept_from());
        let query = AuditQuery { filter: AuditFilter { from_ns, ..filter }, from, limit };
        self.handle.audit_page(query).await.map_err(status::request)
    }
}

#[tonic::async_trait]
impl Audit for AuditService {
    async fn list_audit_events(
        &self,
        request: Request<proto::ListAuditEventsRequest>,
    ) -> Result<Response<proto::ListAuditEventsResponse>, Status> {
        let asked = request.into_inner();
        let filter = convert::filter(asked.filter.unwrap_or_default())?;
        let limit = if asked.limit == 0 { PAGE } else { asked.limit as usize };
        let page = self.page(filter, convert::place(asked.from_lsn), limit).await?;
        Ok(Response::new(proto::ListAuditEventsResponse {
            events: page.events.iter().map(convert::message).collect(),
            next_lsn: page.next.map_or(0, |next| next.0),
            lsn: page.lsn.0,
        }))
    }

    async fn get_audit_summary(
        &self,
        request: Request<proto::GetAuditSummaryRequest>,
    ) -> Result<Response<proto::GetAuditSummaryResponse>, Status> {
        let asked = request.into_inner();
        let until_ns = Some(asked.until_ns).filter(|until| *until > 0);
        let filter = AuditFilter { from_ns: asked.from_ns, until_ns, ..AuditFilter::default() };
        let (mut summary, mut from) = (Summary::default(), None);
        loop {
            let page = self.page(filter.clone(), from, SUMMARY_PAGE).await?;
            page.events.iter().for_each(|event| summary.add(event));
            from = page.next;
            if from.is_none() {
                let from_ns = asked.from_ns.max(self.kept_from());
                return Ok(Response::new(summary.finish(from_ns, asked.until_ns, page.lsn.0)));
            }
        }
    }
}
