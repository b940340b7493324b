//! Schedules and sagas in snapshots: each as the state machine that it is, one after the other, in the
//! order of their ids.

use super::codec::Malformed;
use super::{RestoreAccounts, Tally, Unsound};
use crate::codec::driven::{put, take};
use crate::driven::{DrivenPart, DrivenPiece, Drives};
use crate::ids::Lsn;
use crate::sagas::Saga;
use crate::schedules::Schedule;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What was seen of schedules and sagas.
#[derive(Clone, Debug, Default)]
pub(super) struct DrivenTally {
    pub part: DrivenPart,
    last: (Option<crate::ids::ScheduleId>, Option<crate::ids::SagaId>),
}

/// Appends a piece.
pub fn put_driven(piece: &DrivenPiece, out: &mut Vec<u8>) {
    fn all<V: Serialize>(values: &[Arc<V>], out: &mut Vec<u8>) {
        values.iter().for_each(|value| put(&**value, out));
    }
    match piece {
        DrivenPiece::Schedules(schedules) => all(schedules, out),
        DrivenPiece::Sagas(sagas) => all(sagas, out),
    }
}

fn take_all<V: DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
) -> Result<Vec<Arc<V>>, Malformed> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let value = take(&mut rest).ok_or(Malformed::Field { what, at })?;
        values.push(Arc::new(value));
    }
    Ok(values)
}

/// Reads schedules to the last byte.
///
/// # Errors
/// [`Malformed`].
pub fn take_schedules(bytes: &[u8]) -> Result<DrivenPiece, Malformed> {
    take_all::<Schedule>(bytes, "a schedule").map(DrivenPiece::Schedules)
}

/// Reads sagas to the last byte.
///
/// # Errors
/// [`Malformed`].
pub fn take_sagas(bytes: &[u8]) -> Result<DrivenPiece, Malformed> {
    take_all::<Saga>(bytes, "a saga").map(DrivenPiece::Sagas)
}

impl DrivenTally {
    /// Checks the next piece of a snapshot at `lsn`.
    fn add(&mut self, piece: &DrivenPiece, lsn: Lsn) -> Result<(), Unsound> {
        let wrong = |what| Err(Unsound::Driven { what });
        match piece {
            DrivenPiece::Schedules(schedules) => {
                for schedule in schedules {
                    if self.last.1.is_some() || self.last.0 >= Some(schedule.id()) {
                        return wrong("schedules come in the order of their ids, before sagas");
                    }
                    self.last.0 = Some(schedule.id());
                    schedule.check().map_err(|what| Unsound::Driven { what })?;
                    if schedule.changed_lsn > lsn {
                        return wrong("a schedule's event comes after the snapshot");
                    }
                }
            }
            DrivenPiece::Sagas(sagas) => {
                for saga in sagas {
                    if self.last.1 >= Some(saga.id()) {
                        return wrong("sagas come in the order of their ids");
                    }
                    self.last.1 = Some(saga.id());
                    saga.check().map_err(|what| Unsound::Driven { what })?;
                    if saga.changed_lsn > lsn {
                        return wrong("a saga's event comes after the snapshot");
                    }
                }
            }
        }
        self.part.add(piece);
        Ok(())
    }
}

impl Tally {
    /// The next schedules or sagas, behind all refunded transfers.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn driven(&mut self, piece: &DrivenPiece) -> Result<(), Unsound> {
        let lsn = self.head().lsn;
        self.driven_tally().add(piece, lsn)
    }
}

impl RestoreAccounts {
    /// The next schedules or sagas, behind all refunded transfers.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn put_driven(&mut self, piece: DrivenPiece) -> Result<(), Unsound> {
        self.tally_mut().driven(&piece)?;
        self.coordinator_mut().driven.restore(piece);
        Ok(())
    }
}
