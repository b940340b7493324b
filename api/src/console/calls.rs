//! A call of the page: JSON to a message by its descriptor, through the gate to the service, and the
//! answer back. JSON is that of Protobuf: numbers of 64 bits are texts, so that a browser, whose
//! numbers end at 2^53, loses no digit of an id, an LSN or an amount.

use super::failure::Failure;
use super::{CALLS, Console, LOGINS};
use crate::deadline::Deadline;
use crate::gate::Gated;
use crate::identity::Caller;
use crate::identity::login::Keeper;
use crate::identity::roles::{Call, Reach};
use crate::tls::Peer;
use crate::unary;
use crate::wire_json::method;
use prost::Message as _;
use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::codegen::http;
use tonic::codegen::http::header::{AUTHORIZATION, USER_AGENT};

/// How long a call may take before it is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Who asks, as far as the connection and the headers tell.
pub struct Asked {
    /// The headers of the request.
    pub headers: http::HeaderMap,
    /// From where it comes.
    pub from: IpAddr,
    /// What the client's certificate says.
    pub peer: Option<Arc<Peer>>,
}

/// What whoever asks may do here: `{"calls": ["Ledger/GetAccounts", …], "all": true, "asked": true}`;
/// `all` says that their scope is all accounts, `asked` that the server asks who they are.
pub fn access(console: &Console, asked: &Asked) -> Result<Value, Failure> {
    let door = door(console)?;
    let guard = door.guard();
    let caller = match guard {
        None => Caller::anyone(),
        // Whoever has any role has this call, so that nobody is refused for want of another.
        Some(guard) => {
            let path = "/ducat.v1.Operator/GetStatus";
            let found = guard.let_in(path, &asked.headers, asked.peer.as_deref());
            found.inspect_err(|status| {
                let door = door.clone().of_shared_peer(asked.peer.clone());
                door.from_address(Some(asked.from)).refused_inside(&asked.headers, status);
            })?
        }
    };
    let calls: Vec<&str> = CALLS.iter().copied().filter(|call| may(&caller, call)).collect();
    Ok(json!({ "calls": calls, "all": caller.sees_all(), "asked": guard.is_some() }))
}

/// How whoever is not known signs in: `{"password": true, "token": true}`.
pub fn ways(console: &Console) -> Result<Value, Failure> {
    let (password, token) = door(console)?.guard().map_or((false, false), |guard| guard.ways());
    Ok(json!({ "password": password, "token": token }))
}

/// Whether the guard would let the call in, without counting it as denied.
fn may(caller: &Caller, call: &str) -> bool {
    let Some(call) = Call::find(&format!("/ducat.v1.{call}")) else { return false };
    let allowed = caller.grants().iter().all(|g| g.roles.iter().any(|role| call.allows(*role)));
    allowed && (call.reach != Reach::Whole || caller.sees_all())
}

/// The answer to `name` (one of [`CALLS`] or [`LOGINS`]) with this request, both as JSON.
pub async fn answer(
    console: &Console,
    name: &str,
    body: &[u8],
    asked: Asked,
) -> Result<Vec<u8>, Failure> {
    let is_login = LOGINS.contains(&name);
    let is_known = is_login || CALLS.contains(&name);
    let method = is_known.then(|| method(name)).flatten().ok_or_else(|| {
        Failure::new(Code::NotFound, "CALL_UNKNOWN", "the console makes no such call")
    })?;
    let door = door(console)?;
    let message = read(&method, body).map_err(|failure| match is_login {
        // The reader's own words may repeat a password that stands where it does not belong.
        true => malformed(format!("the request is not that of {}", method.name())),
        false => failure,
    })?;
    let path = format!("/ducat.v1.{name}");
    let mut request = unary::request(&path, &message.encode_to_vec())?;
    // Of what a browser sends the services see who is there and by which program, and nothing else. Of
    // the former all: two are refused.
    if let Some(agent) = asked.headers.get(USER_AGENT) {
        request.headers_mut().insert(USER_AGENT, agent.clone());
    }
    if is_login {
        request.extensions_mut().insert(Keeper::Page);
    } else {
        for value in asked.headers.get_all(AUTHORIZATION) {
            request.headers_mut().append(AUTHORIZATION, value.clone());
        }
    }
    let end = Instant::now() + CALL_TIMEOUT;
    request.extensions_mut().insert(Deadline(end));
    let door = door.clone().of_shared_peer(asked.peer).from_address(Some(asked.from));
    let answering = async { unary::answer(door.call_inside(request).await).await };
    let answered = tokio::time::timeout_at(end.into(), answering).await;
    let answered = answered
        .map_err(|_| Failure::new(Code::DeadlineExceeded, "EXPIRED", "the answer took too long"))?;
    write(&method, answered?)
}

fn door(console: &Console) -> Result<&Gated, Failure> {
    let starting = || Failure::new(Code::Unavailable, "STARTING", "the journal is being replayed");
    console.door.get().ok_or_else(starting)
}

fn read(method: &MethodDescriptor, body: &[u8]) -> Result<DynamicMessage, Failure> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = DynamicMessage::deserialize(method.input(), &mut json)
        .and_then(|message| json.end().map(|()| message));
    read.map_err(|error| {
        malformed(format!("the request is not that of {}: {error}", method.name()))
    })
}

fn malformed(sentence: String) -> Failure {
    Failure::new(Code::InvalidArgument, "REQUEST_MALFORMED", sentence)
}

/// With every field, so that the page tells 0 from what is not there by the field's own meaning.
fn write(method: &MethodDescriptor, bytes: Bytes) -> Result<Vec<u8>, Failure> {
    let message = DynamicMessage::decode(method.output(), bytes).map_err(|_| unsound())?;
    let mut text = serde_json::Serializer::new(Vec::new());
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(&mut text, &options).map_err(|_| unsound())?;
    Ok(text.into_inner())
}

fn unsound() -> Failure {
    unary::unsound().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn every_call_has_a_descriptor() {
        for call in CALLS.iter().chain(LOGINS) {
            assert!(method(call).is_some(), "{call}");
        }
    }

    #[test]
    fn numbers_of_64_bits_travel_as_texts() {
        let method = method("Ledger/GetAccounts").expect("known");
        let id = proto::Id { id: u64::MAX, id_high: 1 << 63 };
        let answer = proto::GetAccountsResponse { unknown: vec![id], ..Default::default() };
        let text = write(&method, answer.encode_to_vec().into()).expect("sound");
        let json: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(json["unknown"][0]["id"], "18446744073709551615");
        assert_eq!(json["unknown"][0]["idHigh"], "9223372036854775808");
        assert_eq!(json["lsn"], "0");
    }

    #[test]
    fn what_is_no_request_of_the_call_is_refused() {
        let method = method("Ledger/GetAccounts").expect("known");
        assert!(read(&method, br#"{"ids":[{"id":"7"}]}"#).is_ok());
        for body in
            ["", "{", "[]", "null", "7", "{\"nobody\":1}", "{\"ids\":7}", "{\"ids\":[{\"id\":-1}]}"]
        {
            let refused = read(&method, body.as_bytes()).expect_err(body);
            assert_eq!(refused.body["error"]["reason"], "REQUEST_MALFORMED", "{body}");
        }
        assert!(read(&method, b"{} {}").is_err(), "one request is one");
    }
}
