//! CSV files as accounts and transfers: what a mapping file makes of a row. Shared by
//! `ducat import`, which sends them to a ledger, and the load harness, which replays them.
//!
//! ```text
//! mapping.toml ─▶ mapping ─▶ common, plan   (what a row means; pure)
//!         file ─▶ source ─▶ reader thread ─▶ chunks of rows
//! ```

pub mod common;
mod failure;
pub mod ids;
pub mod mapping;
mod notes;
mod operations;
pub mod plan;
pub mod reader;
pub mod source;

pub use failure::{Failure, FailureKind};

use crate::proto;
use clap::ValueEnum;

/// What a transfer is for, on the command line and in mapping files.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Between two accounts of the ledger.
    #[default]
    Transfer,
    /// From an external account.
    Deposit,
    /// To an external account.
    Withdrawal,
    /// For goods or services, between two accounts of the ledger.
    Payment,
    /// Given back, without naming what moved it.
    Refund,
    /// The price of a service.
    Fee,
    /// A correction.
    Adjustment,
    /// Interest, paid or charged.
    Interest,
}

impl Kind {
    /// Its number on the wire.
    #[must_use]
    pub fn wire(self) -> i32 {
        let kind = match self {
            Self::Transfer => proto::TransferKind::Transfer,
            Self::Deposit => proto::TransferKind::Deposit,
            Self::Withdrawal => proto::TransferKind::Withdrawal,
            Self::Payment => proto::TransferKind::Payment,
            Self::Refund => proto::TransferKind::Refund,
            Self::Fee => proto::TransferKind::Fee,
            Self::Adjustment => proto::TransferKind::Adjustment,
            Self::Interest => proto::TransferKind::Interest,
        };
        kind as i32
    }

    /// What the same movement is when money flows the other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Deposit => Self::Withdrawal,
            Self::Withdrawal => Self::Deposit,
            other => other,
        }
    }
}
