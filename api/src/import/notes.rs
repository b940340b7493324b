//! What rows say about their transfers: reference, description and value date.

use super::Failure;
use super::common::{Common, Unconvertible, index_of};
use super::mapping::{Text, Transfers};
use crate::{day, proto};
use csv::ByteRecord;
use ducat_engine::note::{Note, NoteFault};
use std::borrow::Cow;

/// Where the parts of a note come from.
pub(super) struct NotePlan {
    reference: Option<TextPlan>,
    description: Option<TextPlan>,
    value_date: Option<TextPlan>,
}

/// A constant, or each row's own.
pub(super) enum TextPlan {
    Fixed(String),
    Column(usize),
}

impl TextPlan {
    pub fn of(text: Option<&Text>, header: Option<&[String]>) -> Result<Option<Self>, Failure> {
        Ok(match text {
            None => None,
            Some(Text::Constant(text)) => Some(Self::Fixed(text.clone())),
            Some(Text::Column(column)) => Some(Self::Column(index_of(column, header)?)),
        })
    }

    pub fn read<'r>(
        &'r self,
        common: &Common,
        record: &'r ByteRecord,
    ) -> Result<Cow<'r, str>, Unconvertible> {
        match self {
            Self::Fixed(text) => Ok(Cow::Borrowed(text)),
            Self::Column(index) => common.field(record, *index),
        }
    }
}

impl NotePlan {
    /// Ties the texts of `[transfers]` to a file's columns.
    pub fn of(transfers: &Transfers, header: Option<&[String]>) -> Result<Self, Failure> {
        Ok(Self {
            reference: TextPlan::of(transfers.reference.as_ref(), header)?,
            description: TextPlan::of(transfers.description.as_ref(), header)?,
            value_date: TextPlan::of(transfers.value_date.as_ref(), header)?,
        })
    }

    /// What the row says; none where it says nothing.
    pub fn read(
        &self,
        common: &Common,
        record: &ByteRecord,
    ) -> Result<Option<Box<proto::Note>>, Unconvertible> {
        let read = |plan: &Option<TextPlan>| match plan {
            None => Ok(String::new()),
            Some(plan) => plan.read(common, record).map(Cow::into_owned),
        };
        let value_date = read(&self.value_date)?;
        if !value_date.is_empty() && day::parse(&value_date).is_none() {
            let text = format!("`{value_date}` is no date; it must be written as 2026-01-31");
            return Err(Unconvertible::new("VALUE_DATE_MALFORMED", text));
        }
        let note = Note {
            reference: read(&self.reference)?,
            description: read(&self.description)?,
            value_date: None,
        };
        note.check().map_err(|fault| {
            let code = match fault {
                NoteFault::Description => "DESCRIPTION_MALFORMED",
                _ => "REFERENCE_MALFORMED",
            };
            Unconvertible::new(code, fault.to_string())
        })?;
        let Note { reference, description, .. } = note;
        let note = proto::Note { reference, description, value_date };
        Ok((note != proto::Note::default()).then(|| Box::new(note)))
    }
}
