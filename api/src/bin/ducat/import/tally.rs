//! Counting what became of rows, and writing the refused ones to their file.

use super::common::Unconvertible;
use super::reader::{End, Grouping};
use super::rejects::Rejects;
use crate::exit::Failure;
use crate::output;
use csv::ByteRecord;
use ducat_actors::handle::BATCH_MAX;
use ducat_api::proto;
use ducat_api::server::REQUEST_BYTES_MAX;
use prost::Message as _;
use serde::Serialize;
use std::collections::BTreeMap;

/// A group is sent whole, in one message; what is around it needs a little.
const GROUP_BYTES_MAX: usize = REQUEST_BYTES_MAX - 4 * 1024;

/// What one request takes in a message beside itself, at most.
const AROUND_ONE: usize = 8;

fn sent_bytes(group: &[Row]) -> usize {
    group.iter().map(Row::sent_bytes).sum()
}

/// A row on its way: converted, or refused on the spot.
pub struct Row {
    /// Its number in the file, from 1 on.
    pub number: u64,
    /// Its columns, kept only when refused rows are written to a file.
    pub record: Option<ByteRecord>,
    /// The transfer, or why there is none.
    pub result: Result<proto::TransferRequest, Unconvertible>,
    /// Which linked group it is of.
    pub group: Group,
}

/// Which linked group a row is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// None: it stands alone.
    Alone,
    /// The one of this name.
    Of(String),
    /// Nobody can tell: it spoils those that it stands between.
    Unreadable,
}

impl Row {
    /// Whether the two rows, which follow each other, are of one group.
    pub fn is_together(&self, next: &Self) -> bool {
        match (&self.group, &next.group) {
            (Group::Alone, _) | (_, Group::Alone) => false,
            (Group::Of(one), Group::Of(other)) => one == other,
            (Group::Unreadable, _) | (_, Group::Unreadable) => true,
        }
    }

    /// What it takes to send it; one that is not sent takes nothing.
    fn sent_bytes(&self) -> usize {
        self.result.as_ref().map_or(0, |request| request.encoded_len() + AROUND_ONE)
    }

    /// The groups of a file: as large as one message holds, and no larger ones are kept.
    pub fn grouping() -> Grouping<Self> {
        Grouping {
            together: Self::is_together,
            bytes: Self::sent_bytes,
            rows_max: BATCH_MAX,
            bytes_max: GROUP_BYTES_MAX,
            close: Box::new(Self::link),
        }
    }

    /// Links the rows of a group. All of them are sent or none; none of one that may be cut off, or is too large.
    fn link(group: &mut [Self], end: End) {
        let count = group.len();
        if group[0].group == Group::Alone {
            return;
        }
        let fault = if end == End::CutOff {
            let text = "the file is damaged behind it, and the rest of the group may lie there";
            Some(Unconvertible::new("GROUP_CUT_OFF", text))
        } else if end == End::TooLarge || sent_bytes(group) > GROUP_BYTES_MAX {
            let text = format!(
                "a group has at most {BATCH_MAX} rows and takes at most {GROUP_BYTES_MAX} bytes to send, \
                 and this one has more; divide it, or give its rows less text"
            );
            Some(Unconvertible::new("GROUP_TOO_LARGE", text))
        } else {
            let broken = group.iter().find(|row| row.result.is_err());
            broken.map(|row| {
                let text = format!("row {} of the same group cannot be converted", row.number);
                Unconvertible::new("GROUP_UNCONVERTIBLE", text)
            })
        };
        for (at, row) in group.iter_mut().enumerate() {
            match (&mut row.result, &fault) {
                (Ok(_), Some(fault)) => row.result = Err(fault.clone()),
                (Ok(request), None) => request.linked = at + 1 < count,
                (Err(_), _) => {}
            }
        }
    }
}

/// What became of the rows so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Rows read.
    pub rows: u64,
    /// Posted by this run.
    pub posted: u64,
    /// Refused by the ledger in this run.
    pub refused: u64,
    /// Decided in an earlier run and answered from memory.
    pub repeats: u64,
    /// Of the repeats, those that had been posted.
    pub repeats_posted: u64,
    /// Of the repeats, those that had been refused.
    pub repeats_refused: u64,
    /// Rows that could not be converted and were not sent.
    pub unconvertible: u64,
    /// This run's refusals by code.
    pub refused_by_code: BTreeMap<String, u64>,
    /// The refusals among the repeats by code.
    pub repeats_refused_by_code: BTreeMap<String, u64>,
    /// Unconvertible rows by code.
    pub unconvertible_by_code: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a row that was not sent.
    pub fn unconvertible(
        &mut self,
        file: &str,
        row: (u64, Option<&ByteRecord>),
        why: &Unconvertible,
        rejects: Option<&mut Rejects>,
    ) -> Result<(), Failure> {
        self.rows += 1;
        self.unconvertible += 1;
        *self.unconvertible_by_code.entry(why.code.to_owned()).or_default() += 1;
        match rejects {
            Some(rejects) => rejects.write(file, row.0, why.code, &why.explanation, row.1),
            None => Ok(()),
        }
    }

    /// Counts a row that was answered.
    pub fn answered(
        &mut self,
        file: &str,
        row: (u64, Option<&ByteRecord>),
        outcome: &proto::Outcome,
        rejects: Option<&mut Rejects>,
    ) -> Result<(), Failure> {
        self.rows += 1;
        let posted = outcome.code == proto::Code::Posted as i32;
        match (outcome.repeat, posted) {
            (false, true) => self.posted += 1,
            (true, true) => self.repeats_posted += 1,
            (true, false) => self.repeats_refused += 1,
            (false, false) => self.refused += 1,
        }
        if !posted {
            let by_code = match outcome.repeat {
                true => &mut self.repeats_refused_by_code,
                false => &mut self.refused_by_code,
            };
            *by_code.entry(output::code_name(outcome.code).to_owned()).or_default() += 1;
        }
        self.repeats += u64::from(outcome.repeat);
        match rejects {
            // A file of an interrupted run is begun anew: repeats belong into it too.
            Some(rejects) if !posted => {
                let code = output::code_name(outcome.code);
                rejects.write(file, row.0, code, &outcome.explanation, row.1)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64, text_bytes: usize) -> Vec<Row> {
        let row = |number| Row {
            number,
            record: None,
            result: Ok(proto::TransferRequest {
                amount: "1".repeat(text_bytes),
                ..proto::TransferRequest::default()
            }),
            group: Group::Of("g".to_owned()),
        };
        (1..=count).map(row).collect()
    }

    #[test]
    fn a_group_that_no_message_holds_is_refused_whole() {
        let mut small = rows(100, 100);
        Row::link(&mut small, End::Whole);
        assert!(small.iter().all(|row| row.result.is_ok()));
        let mut large = rows(100, REQUEST_BYTES_MAX / 100);
        Row::link(&mut large, End::Whole);
        // A part of one that is too large is refused however small the part is.
        let mut part = rows(2, 1);
        Row::link(&mut part, End::TooLarge);
        for row in large.iter().chain(&part) {
            assert_eq!(row.result.as_ref().map_err(|why| why.code).err(), Some("GROUP_TOO_LARGE"));
        }
    }
}
