//! Requests and answers of calls as Protobuf's JSON, by their descriptors: for people who look at a call that
//! somebody else made. Numbers of 64 bits are texts, fields that are not set are left out.

use crate::proto;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use std::sync::LazyLock;

/// The messages of all calls.
pub(crate) static MESSAGES: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).expect("made by the build")
});

/// The call of this name, `Ledger/GetAccounts`.
pub(crate) fn method(name: &str) -> Option<MethodDescriptor> {
    let (service, method) = name.split_once('/')?;
    let service = MESSAGES.get_service_by_name(&format!("ducat.v1.{service}"))?;
    service.methods().find(|found| found.name() == method)
}

/// The request of a call; `None` for what is none.
#[must_use]
pub fn request(method_name: &str, bytes: &[u8]) -> Option<Value> {
    to_json(method(method_name)?.input(), bytes)
}

/// The answer of a call; `None` for what is none.
#[must_use]
pub fn answer(method_name: &str, bytes: &[u8]) -> Option<Value> {
    to_json(method(method_name)?.output(), bytes)
}

fn to_json(descriptor: MessageDescriptor, bytes: &[u8]) -> Option<Value> {
    let message = DynamicMessage::decode(descriptor, bytes).ok()?;
    serde_json::to_value(message).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn a_request_is_shown_with_what_it_asks_for() {
        let asked = proto::SetAccountLimitsRequest {
            id: u64::MAX,
            overdraft_limit: Some("500.00".into()),
            ..Default::default()
        };
        let json = request("Ledger/SetAccountLimits", &asked.encode_to_vec()).expect("readable");
        let shown = r#"{"id":"18446744073709551615","overdraftLimit":"500.00"}"#;
        assert_eq!(json.to_string(), shown);
        assert_eq!(request("Ledger/NoSuchCall", &[]), None);
        assert_eq!(request("Ledger/SetAccountLimits", &[0xff]), None);
    }
}
