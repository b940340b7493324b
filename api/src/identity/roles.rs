//! Which role may make which call: the one table, [`CALLS`]. What is not in it is denied, and a
//! test fails for every call of the interface that is not in it.
//!
//! To add a call: a line with its path, the roles that may make it, and its [`Reach`]. With
//! [`Reach::Accounts`] the service itself must ask [`super::checks`]; when in doubt take
//! [`Reach::Whole`]. A call that changes something says besides how dangerous it is ([`Danger`]).

use std::fmt;
use std::str::FromStr;

/// What somebody is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Moves money, and reads what it needs for that.
    Gateway,
    /// Reads accounts, transfers and events.
    Reader,
    /// Opens and changes accounts, takes snapshots and backups. Moves no money.
    Operator,
    /// Reads everything, and has it checked. Changes nothing.
    Auditor,
    /// Everything.
    Admin,
}

/// Every role.
pub const ROLES: [Role; 5] =
    [Role::Gateway, Role::Reader, Role::Operator, Role::Auditor, Role::Admin];

impl Role {
    /// As configurations and tokens write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ROLES.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            let names: Vec<&str> = ROLES.iter().map(|role| role.name()).collect();
            format!("`{text}` is no role; roles are {}", names.join(", "))
        })
    }
}

/// What a call is about, for those whose scope is not all accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No account: the role alone decides.
    Nothing,
    /// Accounts that it names or that it answers with: the service decides.
    Accounts,
    /// The ledger as a whole: only with a scope of all accounts.
    Whole,
}

/// Whether a call needs a second factor, where the server asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// It reads.
    Reads,
    /// It changes something, as happens every day.
    Everyday,
    /// What it asks for decides: the service must ask [`super::danger`].
    ByContent,
    /// Whatever it asks for. The gate sees to it.
    Always,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may make it, beside [`Role::Admin`], who may make all that are listed.
    pub roles: &'static [Role],
    /// What it is about.
    pub reach: Reach,
    /// Whether it needs a second factor.
    pub danger: Danger,
}

impl Call {
    /// The line of this path.
    #[must_use]
    pub fn find(path: &str) -> Option<&'static Self> {
        CALLS.iter().find(|call| call.path == path)
    }

    /// Whether this role may make it.
    #[must_use]
    pub fn allows(&self, role: Role) -> bool {
        role == Role::Admin || self.roles.contains(&role)
    }
}

use Danger::{Always, ByContent, Everyday};
use Reach::{Accounts, Nothing, Whole};
use Role::{Auditor, Gateway, Operator, Reader};

const ANYONE: &[Role] = &[Gateway, Reader, Operator, Auditor];
const MOVES: &[Role] = &[Gateway];
const READS_MONEY: &[Role] = &[Gateway, Reader, Auditor];
const RUNS: &[Role] = &[Operator];
/// What moves no money, or keeps it from moving.
const STOPS: &[Role] = &[Gateway, Operator];
const WATCHES: &[Role] = &[Gateway, Operator];
const LOOKS_AFTER: &[Role] = &[Operator, Auditor];
const CHECKS: &[Role] = &[Auditor];

/// One that changes nothing.
const fn call(path: &'static str, roles: &'static [Role], reach: Reach) -> Call {
    Call { path, roles, reach, danger: Danger::Reads }
}

/// One that changes something.
const fn acts(path: &'static str, roles: &'static [Role], reach: Reach, danger: Danger) -> Call {
    Call { path, roles, reach, danger }
}

/// Who may do what.
pub const CALLS: &[Call] = &[
    acts("/ducat.v1.Ledger/Transfer", MOVES, Accounts, ByContent),
    acts("/ducat.v1.Ledger/CreateTransfers", MOVES, Accounts, ByContent),
    acts("/ducat.v1.Ledger/StreamTransfers", MOVES, Accounts, ByContent),
    acts("/ducat.v1.Ledger/ReverseGroup", MOVES, Accounts, ByContent),
    call("/ducat.v1.Ledger/GetAccounts", ANYONE, Accounts),
    call("/ducat.v1.Ledger/ListAccounts", &[Reader, Operator, Auditor], Accounts),
    call("/ducat.v1.Ledger/GetTransfers", READS_MONEY, Accounts),
    // What it answers with is signed as it is, both accounts' figures included.
    call("/ducat.v1.Ledger/GetReceipt", READS_MONEY, Whole),
    call("/ducat.v1.Ledger/ListEntries", READS_MONEY, Accounts),
    call("/ducat.v1.Ledger/ListAccountHistory", &[Reader, Operator, Auditor], Accounts),
    call("/ducat.v1.Ledger/GetBalanceAt", READS_MONEY, Accounts),
    call("/ducat.v1.Ledger/GetHolds", READS_MONEY, Accounts),
    call("/ducat.v1.Ledger/ListHolds", READS_MONEY, Accounts),
    call("/ducat.v1.Ledger/ListRefunds", READS_MONEY, Accounts),
    call("/ducat.v1.Ledger/Subscribe", READS_MONEY, Whole),
    call("/ducat.v1.Ledger/GetTrialBalance", CHECKS, Whole),
    acts("/ducat.v1.Ledger/DefineAsset", RUNS, Whole, Everyday),
    acts("/ducat.v1.Ledger/CreateAccounts", RUNS, Accounts, ByContent),
    acts("/ducat.v1.Ledger/SetAccountStatus", RUNS, Accounts, Always),
    acts("/ducat.v1.Ledger/UpdateAccount", RUNS, Accounts, ByContent),
    acts("/ducat.v1.Ledger/SetAccountLimits", RUNS, Accounts, Always),
    // It changes nothing, but what it gives cannot be taken back.
    acts("/ducat.v1.Ledger/RevealMetadata", RUNS, Accounts, Always),
    // What it answers with are both accounts' figures.
    call("/ducat.v1.Ledger/Explain", READS_MONEY, Whole),
    acts("/ducat.v1.Ledger/AddWatch", WATCHES, Accounts, Everyday),
    acts("/ducat.v1.Ledger/RemoveWatch", WATCHES, Accounts, Everyday),
    call("/ducat.v1.Ledger/ListWatches", ANYONE, Accounts),
    // What the engine does by itself pays out of whatever account it was told to, so far.
    acts("/ducat.v1.Schedules/CreateSchedule", MOVES, Whole, ByContent),
    call("/ducat.v1.Schedules/GetSchedule", ANYONE, Whole),
    call("/ducat.v1.Schedules/ListSchedules", ANYONE, Whole),
    acts("/ducat.v1.Schedules/PauseSchedule", STOPS, Whole, Everyday),
    acts("/ducat.v1.Schedules/ResumeSchedule", MOVES, Whole, ByContent),
    acts("/ducat.v1.Schedules/CancelSchedule", STOPS, Whole, Everyday),
    acts("/ducat.v1.Schedules/RunSchedule", MOVES, Whole, ByContent),
    acts("/ducat.v1.Sagas/StartSaga", MOVES, Whole, ByContent),
    acts("/ducat.v1.Sagas/AnswerSaga", MOVES, Whole, Everyday),
    acts("/ducat.v1.Sagas/AbortSaga", STOPS, Whole, Everyday),
    acts("/ducat.v1.Sagas/ResolveSaga", RUNS, Whole, Always),
    call("/ducat.v1.Sagas/GetSaga", ANYONE, Whole),
    call("/ducat.v1.Sagas/ListSagas", ANYONE, Whole),
    acts("/ducat.v1.Operator/DefineFee", RUNS, Whole, Always),
    acts("/ducat.v1.Operator/AttachFee", RUNS, Whole, Always),
    call("/ducat.v1.Operator/ListFees", ANYONE, Whole),
    call("/ducat.v1.Operator/QuoteFee", ANYONE, Whole),
    call("/ducat.v1.Operator/GetStatus", ANYONE, Accounts),
    acts("/ducat.v1.Operator/CreateSnapshot", RUNS, Whole, Everyday),
    call("/ducat.v1.Operator/ListSnapshots", LOOKS_AFTER, Whole),
    acts("/ducat.v1.Operator/VerifySnapshot", LOOKS_AFTER, Whole, Everyday),
    acts("/ducat.v1.Operator/PruneSnapshots", RUNS, Whole, Always),
    acts("/ducat.v1.Operator/CreateBackup", RUNS, Whole, Everyday),
    acts("/ducat.v1.Operator/VerifyBalances", CHECKS, Whole, Everyday),
    call("/ducat.v1.Audit/ListAuditEvents", CHECKS, Whole),
    call("/ducat.v1.Audit/GetAuditSummary", CHECKS, Whole),
    // What waits for a second person; which of it somebody may approve follows from what it is.
    call("/ducat.v1.Approvals/ListProposals", &[Gateway, Operator, Auditor], Whole),
    acts("/ducat.v1.Approvals/Approve", STOPS, Whole, Always),
    acts("/ducat.v1.Approvals/Reject", STOPS, Whole, Everyday),
    // Where people log in, the gate lets these in without an identity.
    acts("/ducat.v1.Login/LogIn", ANYONE, Nothing, Everyday),
    acts("/ducat.v1.Login/Refresh", ANYONE, Nothing, Everyday),
    acts("/ducat.v1.Login/LogOut", ANYONE, Nothing, Everyday),
    call("/grpc.health.v1.Health/Check", ANYONE, Nothing),
    call("/grpc.health.v1.Health/Watch", ANYONE, Nothing),
    call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ANYONE, Nothing),
    call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ANYONE, Nothing),
];

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use std::collections::BTreeSet;

    fn paths(set: &[u8]) -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(set).expect("made by the build");
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    paths.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn every_call_of_the_interface_is_in_the_table_and_no_other() {
        let mut served = paths(crate::proto::FILE_DESCRIPTOR_SET);
        served.extend(paths(tonic_health::pb::FILE_DESCRIPTOR_SET));
        for version in ["v1", "v1alpha"] {
            let service = format!("/grpc.reflection.{version}.ServerReflection");
            served.insert(format!("{service}/ServerReflectionInfo"));
        }
        let listed: BTreeSet<String> = CALLS.iter().map(|call| call.path.to_owned()).collect();
        assert_eq!(listed, served, "put a new call into `CALLS`");
        assert_eq!(listed.len(), CALLS.len(), "a call is listed once");
    }

    #[test]
    fn what_is_not_listed_is_nobodys() {
        for path in ["", "/", "/ducat.v1.Ledger/NoSuchCall", "/ducat.v1.Ledger/transfer"] {
            assert!(Call::find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn who_moves_money_changes_no_account_and_who_checks_changes_nothing() {
        let may = |role, path: &str| Call::find(path).expect(path).allows(role);
        for path in ["/ducat.v1.Ledger/Transfer", "/ducat.v1.Ledger/StreamTransfers"] {
            let who: Vec<Role> = ROLES.into_iter().filter(|role| may(*role, path)).collect();
            assert_eq!(who, [Role::Gateway, Role::Admin], "{path}");
        }
        for path in ["/ducat.v1.Ledger/SetAccountLimits", "/ducat.v1.Operator/PruneSnapshots"] {
            let who: Vec<Role> = ROLES.into_iter().filter(|role| may(*role, path)).collect();
            assert_eq!(who, [Role::Operator, Role::Admin], "{path}");
        }
    }

    /// Whoever adds a call that changes something has to say here how dangerous it is.
    #[test]
    fn every_call_that_changes_something_says_how_dangerous_it_is() {
        use crate::audit::calls::{Class, class};
        for call in CALLS {
            let (method, class) = class(call.path);
            let acts = matches!(class, Class::Write | Class::Command);
            assert_eq!(acts, call.danger != Danger::Reads, "{method}: use `acts` for what changes");
        }
        let always = CALLS.iter().filter(|call| call.danger == Danger::Always);
        assert!(always.clone().count() >= 7, "the gate asks for second factors of few calls");
        // A gateway's daily calls are made by machines, which have no second factor.
        for call in always.filter(|call| !call.path.contains("Approvals")) {
            assert!(!call.allows(Role::Gateway), "{} would stop every gateway", call.path);
        }
    }

    #[test]
    fn names_are_read_back() {
        for role in ROLES {
            assert_eq!(role.to_string().parse::<Role>(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
