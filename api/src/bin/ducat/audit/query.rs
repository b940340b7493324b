//! What of the trail is asked for, as the command line says it.

use crate::moment;
use clap::{Args, ValueEnum};
use ducat_actors::audit::{AuditFilter, Entity};
use ducat_api::proto::{self, AuditId, audit_filter};
use ducat_engine::audit::{AuditKind, AuditOutcome, Severity};
use ducat_engine::ids::{AccountId, TransferId};
use std::path::PathBuf;

/// A period.
#[derive(Args, Debug, Default, Clone)]
pub struct PeriodArgs {
    /// From this time on (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns)]
    from: Option<u64>,
    /// Until before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns)]
    to: Option<u64>,
}

impl PeriodArgs {
    /// From when on, and until before when; 0 for no end.
    pub fn range(&self) -> (u64, u64) {
        (self.from.unwrap_or(0), self.to.unwrap_or(0))
    }
}

/// What sort of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// Something was written, or was to be.
    Write,
    /// An operator, an auditor or an admin read.
    Read,
    /// Nobody that is known called, or a handshake failed.
    Login,
    /// Somebody known called what they may not.
    Denied,
    /// An operator's command that writes no event.
    Command,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SeverityArg {
    /// As it should be.
    Info,
    /// Worth a look.
    Notice,
    /// Somebody was refused.
    Warning,
    /// The server itself failed.
    Error,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutcomeArg {
    /// Decided, or answered.
    Done,
    /// Refused.
    Refused,
    /// It failed.
    Failed,
}

/// Which events.
#[derive(Args, Debug, Default)]
pub struct FilterArgs {
    #[command(flatten)]
    period: PeriodArgs,
    /// Only of this principal, by its whole name.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only from this address.
    #[arg(long, value_name = "IP")]
    address: Option<String>,
    /// Only of this kind; may be given more than once.
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    kinds: Vec<KindArg>,
    /// Only of this severity or a higher one.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    severity: Option<SeverityArg>,
    /// Only with this outcome.
    #[arg(long, value_enum, value_name = "OUTCOME")]
    outcome: Option<OutcomeArg>,
    /// Only to this method, such as Ledger/Transfer.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Only accesses that touched or named this account.
    #[arg(long, value_name = "ID", group = "entity")]
    account: Option<AccountId>,
    /// Only accesses that decided the request under this id.
    #[arg(long, value_name = "ID", group = "entity")]
    transfer: Option<TransferId>,
    /// Read from this directory instead of a server.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl FilterArgs {
    /// For the files.
    pub fn filter(&self) -> AuditFilter {
        let kind = |kind: &KindArg| match kind {
            KindArg::Write => AuditKind::Write,
            KindArg::Read => AuditKind::Read,
            KindArg::Login => AuditKind::Login,
            KindArg::Denied => AuditKind::Denied,
            KindArg::Command => AuditKind::Command,
        };
        let severity = |severity| match severity {
            SeverityArg::Info => Severity::Info,
            SeverityArg::Notice => Severity::Notice,
            SeverityArg::Warning => Severity::Warning,
            SeverityArg::Error => Severity::Error,
        };
        let outcome = |outcome| match outcome {
            OutcomeArg::Done => AuditOutcome::Done,
            OutcomeArg::Refused => AuditOutcome::Refused,
            OutcomeArg::Failed => AuditOutcome::Failed,
        };
        let (account, transfer) = (self.account.map(Entity::Account), self.transfer);
        AuditFilter {
            from_ns: self.period.from.unwrap_or(0),
            until_ns: self.period.to,
            principal: self.principal.clone(),
            address: self.address.clone(),
            entity: account.or(transfer.map(Entity::Transfer)),
            kinds: self.kinds.iter().map(kind).collect(),
            severity: self.severity.map(severity),
            outcome: self.outcome.map(outcome),
            method: self.method.clone(),
        }
    }

    /// For the server.
    pub fn message(&self) -> proto::AuditFilter {
        let kind = |kind: &KindArg| match kind {
            KindArg::Write => proto::AuditKind::Write,
            KindArg::Read => proto::AuditKind::Read,
            KindArg::Login => proto::AuditKind::Login,
            KindArg::Denied => proto::AuditKind::Denied,
            KindArg::Command => proto::AuditKind::Command,
        };
        let severity = match self.severity {
            None => proto::AuditSeverity::Unspecified,
            Some(SeverityArg::Info) => proto::AuditSeverity::Info,
            Some(SeverityArg::Notice) => proto::AuditSeverity::Notice,
            Some(SeverityArg::Warning) => proto::AuditSeverity::Warning,
            Some(SeverityArg::Error) => proto::AuditSeverity::Error,
        };
        let outcome = match self.outcome {
            None => proto::AuditOutcome::Unspecified,
            Some(OutcomeArg::Done) => proto::AuditOutcome::Done,
            Some(OutcomeArg::Refused) => proto::AuditOutcome::Refused,
            Some(OutcomeArg::Failed) => proto::AuditOutcome::Failed,
        };
        let account = self
            .account
            .map(|id| audit_filter::Entity::Account(AuditId { id: id.low(), id_high: id.high() }));
        let transfer = self
            .transfer
            .map(|id| audit_filter::Entity::Transfer(AuditId { id: id.low(), id_high: id.high() }));
        proto::AuditFilter {
            from_ns: self.period.from.unwrap_or(0),
            until_ns: self.period.to.unwrap_or(0),
            principal: self.principal.clone().unwrap_or_default(),
            address: self.address.clone().unwrap_or_default(),
            kinds: self.kinds.iter().map(|one| kind(one).into()).collect(),
            severity: severity.into(),
            outcome: outcome.into(),
            method: self.method.clone().unwrap_or_default(),
            entity: account.or(transfer),
        }
    }
}
