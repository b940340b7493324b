//! The empty server: tonic as it comes, on tokio's runtime as it comes, a handler that answers each
//! call with the id it names.

use ducat_api::proto::{Code, Outcome, TransferRequest, TransferResponse};
use std::convert::Infallible;
use std::future::Ready;
use std::io::Write as _;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Serves on a free port of loopback, prints its address on a line, and ends with the standard input.
pub async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?)?;
    out.flush()?;
    let served = tokio::spawn(serve_on(listener));
    let ends = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ends).await??;
    served.abort();
    Ok(())
}

/// Serves until it is aborted.
pub async fn serve_on(listener: TcpListener) -> Result<(), tonic::transport::Error> {
    // Without it small answers wait for acknowledgements, and what is measured is that.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(Empty).serve_with_incoming(incoming).await
}

/// Answers whatever is called.
#[derive(Clone, Copy)]
struct Empty;

impl NamedService for Empty {
    const NAME: &'static str = "ducat.v1.Ledger";
}

impl Service<http::Request<Body>> for Empty {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(Echo, request).await) })
    }
}

/// The handler.
struct Echo;

impl UnaryService<TransferRequest> for Echo {
    type Response = TransferResponse;
    type Future = Ready<Result<Response<TransferResponse>, Status>>;

    fn call(&mut self, request: Request<TransferRequest>) -> Self::Future {
        let TransferRequest { id, id_high, .. } = *request.get_ref();
        let outcome = Outcome { id, id_high, code: Code::Posted.into(), ..Outcome::default() };
        std::future::ready(Ok(Response::new(TransferResponse { outcome: Some(outcome) })))
    }
}
