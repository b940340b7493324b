//! Master keys from commands, and a key service behind one. A binary of its own: a process that is
//! being started holds what is locked in this one for a moment.

use ducat_persistence::vault::{KeyService, KeyWrapper, MasterKey, Secret, WrapError};
use ducat_persistence::with_causes;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A key service whose master key is "reverse the line".
const SERVICE: &str = "f() { case $1 in id) echo reverse;; wrap) head -n1 | rev | base64 -w0;; \
                       unwrap) test \"$2\" = reverse || exit 4; head -n1 | base64 -d | rev;; \
                       esac; }; f";

#[test]
fn a_key_comes_from_a_command() {
    let key = MasterKey::from_command(&format!("echo {KEY}")).expect("a key");
    assert_eq!(key.name(), MasterKey::parse(KEY, "x").expect("a key").name());
    let error = MasterKey::from_command("echo lost >&2; exit 3").expect_err("it failed");
    let said = with_causes(&error);
    assert!(said.contains("lost") && said.contains("exit status: 3"), "{said}");
    let error = MasterKey::from_command("echo open-sesame").expect_err("no key");
    assert!(!with_causes(&error).contains("sesame"), "what was printed is not repeated");
}

#[test]
fn a_key_service_wraps_and_unwraps() {
    let service = KeyService::new(SERVICE);
    assert_eq!(service.id().expect("a name"), "reverse");
    let secret = Secret::new([9; 32]);
    let wrapped = service.wrap(&secret, b"context").expect("wraps");
    assert_eq!(*service.unwrap("reverse", &wrapped, b"context").expect("unwraps"), *secret);
    let refused = service.unwrap("other name", &wrapped, b"context").expect_err("not its key");
    assert!(refused.to_string().contains("exit status: 4"), "{refused}");
}

#[test]
fn a_command_that_prints_something_else_is_refused() {
    let garbage = KeyService::new("echo 'not base64!' #");
    assert!(matches!(garbage.wrap(&Secret::default(), b""), Err(WrapError::Printed(_))));
    assert!(matches!(garbage.id(), Err(WrapError::Printed(_))));
    let short = KeyService::new("echo QUJD #");
    let error = short.unwrap("x", b"y", b"").expect_err("three bytes are no key");
    assert!(!error.to_string().contains("QUJD"), "{error}");
}
