//! All services behind one door. A router takes a call apart, looks its path up in a tree and
//! wraps what it finds twice, which costs as much as the ledger itself; so the ledger's calls
//! go straight to it, and only the others through the router.

use crate::ledger_service::LedgerService;
use crate::servers::ledger_server::{LedgerServer, SERVICE_NAME};
use std::convert::Infallible;
use std::pin::Pin;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::service::Routes;

/// The ledger, and everything else.
#[derive(Clone)]
pub struct Services {
    ledger: LedgerServer<LedgerService>,
    others: Routes,
}

impl Services {
    /// The ledger, and the router to all other services.
    #[must_use]
    pub fn new(ledger: LedgerServer<LedgerService>, others: Routes) -> Self {
        Self { ledger, others: others.prepare() }
    }
}

/// Whether the path is `/ducat.v1.Ledger/…`.
fn is_of_ledger(path: &str) -> bool {
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl Services {
    /// Begins a call; its answer follows. Nothing here has to be waited for before.
    pub fn call(&self, request: http::Request<Body>) -> Answering {
        if is_of_ledger(request.uri().path()) {
            self.ledger.clone().call(request)
        } else {
            Box::pin(self.others.clone().call(request))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ledgers_paths_are_its_own() {
        assert!(is_of_ledger("/ducat.v1.Ledger/Transfer"));
        assert!(is_of_ledger("/ducat.v1.Ledger/NoSuchCall"));
        for path in ["", "/", "/ducat.v1.Ledger", "/ducat.v1.LedgerX/Y", "/ducat.v1.Operator/A"] {
            assert!(!is_of_ledger(path), "{path}");
        }
    }
}
