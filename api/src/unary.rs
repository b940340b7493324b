//! Calls with one message each way that begin within the server: the console's, and those that a second
//! person has approved. As gRPC over HTTP/2 would bring them, without a connection.

use crate::status;
use http_body_util::{BodyExt as _, Full};
use prost::bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::{Code, Status};

/// In front of each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A call of this path with this message.
///
/// # Errors
/// `INTERNAL`, for a path that is none.
pub fn request(path: &str, message: &[u8]) -> Result<http::Request<Body>, Status> {
    let mut request = http::Request::new(Body::new(Full::new(framed(message))));
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = http::Uri::try_from(path).map_err(|_| unsound())?;
    let grpc = http::HeaderValue::from_static("application/grpc");
    request.headers_mut().insert(CONTENT_TYPE, grpc);
    Ok(request)
}

fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    bytes.put_u8(0);
    // What is sent from within is bounded far below.
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

/// The one message of an answer.
///
/// # Errors
/// The status that it ends with; `INTERNAL` for what is no answer.
pub async fn answer(response: http::Response<Body>) -> Result<Bytes, Status> {
    let (head, body) = response.into_parts();
    let refused = |headers: &http::HeaderMap| {
        Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)
    };
    if let Some(status) = refused(&head.headers) {
        return Err(status);
    }
    let whole = body.collect().await?;
    if let Some(status) = whole.trailers().and_then(refused) {
        return Err(status);
    }
    let mut bytes = whole.to_bytes();
    if bytes.len() < PREFIX_BYTES || bytes[0] != 0 {
        return Err(unsound());
    }
    bytes.advance(PREFIX_BYTES);
    Ok(bytes)
}

/// What a service gave cannot be read.
pub fn unsound() -> Status {
    status::internal("an answer of a service could not be read")
}
