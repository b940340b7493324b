//! What is told of which call.

use crate::identity::roles::CALLS;

/// What a call does, for the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It writes to the journal.
    Write,
    /// It reads: told of where its caller has power over the ledger.
    Read,
    /// It does something else than to write to the journal.
    Command,
    /// Nothing that anybody would ask for: health, reflection.
    Free,
}

/// Calls that write.
const WRITES: [&str; 21] = [
    "Ledger/Transfer",
    "Ledger/CreateTransfers",
    "Ledger/StreamTransfers",
    "Ledger/ReverseGroup",
    "Ledger/DefineAsset",
    "Ledger/CreateAccounts",
    "Ledger/SetAccountStatus",
    "Ledger/UpdateAccount",
    "Ledger/SetAccountLimits",
    "Ledger/AddWatch",
    "Ledger/RemoveWatch",
    "Schedules/CreateSchedule",
    "Schedules/PauseSchedule",
    "Schedules/ResumeSchedule",
    "Schedules/CancelSchedule",
    "Schedules/RunSchedule",
    "Sagas/StartSaga",
    "Sagas/AnswerSaga",
    "Sagas/AbortSaga",
    "Operator/DefineFee",
    "Operator/AttachFee",
];

/// A decision of an operator's, and a write.
const RESOLVE: &str = "Sagas/ResolveSaga";

/// Calls that do something beside the journal.
const COMMANDS: [&str; 11] = [
    "Ledger/RevealMetadata",
    "Login/LogIn",
    "Login/Refresh",
    "Login/LogOut",
    "Approvals/Approve",
    "Approvals/Reject",
    "Operator/CreateSnapshot",
    "Operator/VerifySnapshot",
    "Operator/PruneSnapshots",
    "Operator/CreateBackup",
    "Operator/VerifyBalances",
];

/// Stands for a call that there is not: what was asked for is the caller's text.
pub const UNKNOWN: &str = "unknown";

/// The name of the call with this path, `Service/Method`, and what it does.
#[must_use]
pub fn class(path: &str) -> (&'static str, Class) {
    let Some(call) = CALLS.iter().find(|call| call.path == path) else {
        return (UNKNOWN, Class::Read);
    };
    let Some(method) = call.path.strip_prefix("/ducat.v1.") else {
        return (call.path.trim_start_matches('/'), Class::Free);
    };
    let class = if method == RESOLVE || WRITES.contains(&method) {
        Class::Write
    } else if COMMANDS.contains(&method) {
        Class::Command
    } else {
        Class::Read
    };
    (method, class)
}

/// Whether the call is an operator's change: told of with more weight than a transfer.
#[must_use]
pub fn is_operators(path: &str) -> bool {
    let call = CALLS.iter().find(|call| call.path == path);
    call.is_some_and(|call| !call.roles.contains(&crate::identity::Role::Gateway))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::{DescriptorProto, FileDescriptorSet};

    /// Calls that do something and have no dry run, each with why.
    const WITHOUT_DRY_RUN: [(&str, &str); 11] = [
        ("Ledger/RevealMetadata", "it reads"),
        ("Operator/CreateSnapshot", "it writes a file beside the ledger, and no event"),
        ("Operator/VerifySnapshot", "it reads"),
        ("Operator/PruneSnapshots", "it removes files; the list of snapshots tells which"),
        ("Approvals/Approve", "the call that it does has a dry run of its own, where it writes"),
        ("Approvals/Reject", "it drops a proposal, and writes no event"),
        ("Login/LogIn", "it begins a login, and writes no event"),
        ("Login/LogOut", "it ends a login, and writes no event"),
        ("Login/Refresh", "it goes on with a login, and writes no event"),
        ("Operator/CreateBackup", "it writes files beside the ledger, and no event"),
        ("Operator/VerifyBalances", "it reads"),
    ];

    /// The request and the answer of each call of the interface, by `Service/Method`.
    fn messages() -> Vec<(String, DescriptorProto, DescriptorProto)> {
        let set = FileDescriptorSet::decode(crate::proto::FILE_DESCRIPTOR_SET);
        let set = set.expect("made by the build");
        let all: Vec<&DescriptorProto> = set.file.iter().flat_map(|f| &f.message_type).collect();
        let find = |path: &str| {
            let name = path.trim_start_matches(".ducat.v1.");
            let found = all.iter().find(|message| message.name() == name);
            DescriptorProto::clone(found.expect("a message of the interface"))
        };
        let services = set.file.iter().flat_map(|file| &file.service);
        let method = |service: &prost_types::ServiceDescriptorProto| {
            let of = |m: &prost_types::MethodDescriptorProto| {
                let name = format!("{}/{}", service.name(), m.name());
                (name, find(m.input_type()), find(m.output_type()))
            };
            service.method.iter().map(of).collect::<Vec<_>>()
        };
        services.flat_map(method).collect()
    }

    fn has(message: &DescriptorProto, wanted: &[&str]) -> bool {
        message.field.iter().any(|field| wanted.contains(&field.name()))
    }

    /// `dry_run` on every write, and an answer that says that it was heeded: by itself, or in each of
    /// its outcomes.
    #[test]
    fn every_write_has_a_dry_run() {
        let mut without = Vec::new();
        for (name, request, answer) in messages() {
            let (_, class) = class(&format!("/ducat.v1.{name}"));
            let tried = has(&request, &["dry_run"]);
            match class {
                Class::Write => assert!(tried, "{name} writes: give its request a `dry_run`"),
                Class::Command if !tried => without.push(name.clone()),
                _ => {}
            }
            let says = ["dry_run", "dry_run_lsn", "outcome", "outcomes", "refunds"];
            assert!(!tried || has(&answer, &says), "{name} does not say that it was a dry run");
        }
        without.sort_unstable();
        let mut listed = WITHOUT_DRY_RUN.map(|(name, _)| name);
        listed.sort_unstable();
        assert_eq!(without, listed, "a command has a dry run, or is listed with why it has none");
    }

    /// A new call is told of as a read unless it is named here, so its name must say that it is one.
    #[test]
    fn whatever_is_no_read_by_its_name_is_listed() {
        let reads = ["Get", "List", "Subscribe", "Explain", "Quote"];
        let mut listed = 0;
        for call in CALLS {
            let (method, class) = class(call.path);
            let name = method.rsplit('/').next().expect("a name");
            let reads = reads.iter().any(|prefix| name.starts_with(prefix));
            match class {
                Class::Free => assert!(!call.path.starts_with("/ducat.v1."), "{method}"),
                Class::Read => assert!(reads, "{method} is no read: put it into a list"),
                Class::Write | Class::Command => {
                    assert!(!reads, "{method}");
                    listed += 1;
                }
            }
        }
        assert_eq!(listed, WRITES.len() + 1 + COMMANDS.len(), "what is listed is a call");
        assert_eq!(class("/ducat.v1.Ledger/NoSuchCall"), (UNKNOWN, Class::Read));
    }

    /// The table of dry runs in `docs/LEDGER.md` names every write, and nothing else.
    #[test]
    fn the_document_tells_of_every_dry_run() {
        let document = include_str!("../../../docs/LEDGER.md");
        let (_, table) = document.split_once("takes `dry_run`").expect("the section");
        let (table, _) = table.split_once("What would be refused").expect("its end");
        let first = |row: &'static str| row.trim_start_matches("| ").split('|').next();
        let rows = table.lines().filter(|line| line.starts_with("| `")).filter_map(first);
        let mut told: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
        told.sort_unstable();
        let name = |method: &&'static str| method.rsplit('/').next();
        let mut writes: Vec<&str> = WRITES.iter().chain([&RESOLVE]).filter_map(name).collect();
        writes.sort_unstable();
        assert_eq!(told, writes);
    }

    #[test]
    fn what_gateways_may_do_is_no_operators_change() {
        assert!(is_operators("/ducat.v1.Ledger/SetAccountLimits"));
        assert!(!is_operators("/ducat.v1.Ledger/Transfer"));
        assert!(!is_operators("/ducat.v1.Schedules/PauseSchedule"));
    }
}
