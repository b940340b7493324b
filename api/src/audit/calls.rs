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
const COMMANDS: [&str; 10] = [
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

    #[test]
    fn what_gateways_may_do_is_no_operators_change() {
        assert!(is_operators("/ducat.v1.Ledger/SetAccountLimits"));
        assert!(!is_operators("/ducat.v1.Ledger/Transfer"));
        assert!(!is_operators("/ducat.v1.Schedules/PauseSchedule"));
    }
}
