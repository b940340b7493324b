//! The trail from a data directory: the journal is replayed, archive included, and checked.

use super::Taker;
use crate::exit::Failure;
use crate::offline;
use ducat_actors::audit::{AuditFilter, Audited, Matcher};
use ducat_actors::replay::{Event, Observer, Until};
use ducat_api::audit::{Line, Summary, convert};
use ducat_api::proto::GetAuditSummaryResponse;
use ducat_engine::ledger::Ledger;
use ducat_persistence::BoxError;
use std::path::Path;

/// Gives what is asked for to `take`.
struct Reader<F> {
    matcher: Matcher,
    take: F,
}

impl<F: FnMut(Audited) -> Result<(), BoxError> + Send> Observer for Reader<F> {
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if let Some(id) = self.matcher.awaited()
            && let Some(listing) = ledger.coordinator.directory().get(id)
        {
            self.matcher.learn(listing.slot);
        }
        let (lsn, time_ns) = (event.lsn, event.time_ns);
        match self.matcher.look(lsn, time_ns, event.record) {
            None => Ok(()),
            Some(found) => (self.take)(Audited { lsn, time_ns, event: Box::new(found.clone()) }),
        }
    }
}

fn read(
    data_dir: &Path,
    filter: AuditFilter,
    take: impl FnMut(Audited) -> Result<(), BoxError> + Send,
) -> Result<u64, Failure> {
    let journal = offline::open(data_dir)?;
    let mut reader = Reader { matcher: Matcher::new(filter, None), take };
    let (ledger, _) = offline::replay(&journal, data_dir, Until::default(), &mut reader)?;
    Ok(crate::moment::last_lsn(&ledger).0)
}

fn line(audited: &Audited) -> Result<Line, BoxError> {
    Ok(Line::of_message(convert::message(audited))?)
}

/// Gives the events that are asked for, at most `limit`, 0 for all. Whether more follow.
pub fn each(
    data_dir: &Path,
    filter: &AuditFilter,
    limit: u64,
    take: &mut Taker<'_>,
) -> Result<bool, Failure> {
    let (mut given, mut more, mut wanted) = (0, false, true);
    read(data_dir, filter.clone(), |audited| {
        if limit > 0 && given == limit {
            more = true;
        } else if wanted {
            given += 1;
            wanted = take(line(&audited)?).map_err(|failure| failure.message)?;
        }
        Ok(())
    })?;
    Ok(more)
}

/// The event at this place, if it is one of the trail.
pub fn find(data_dir: &Path, lsn: u64) -> Result<Option<Line>, Failure> {
    let mut found = None;
    read(data_dir, AuditFilter::default(), |audited| {
        if audited.lsn.0 == lsn {
            found = Some(line(&audited)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// A period in figures.
pub fn summary(
    data_dir: &Path,
    from_ns: u64,
    until_ns: u64,
) -> Result<GetAuditSummaryResponse, Failure> {
    let until = Some(until_ns).filter(|until| *until > 0);
    let filter = AuditFilter { from_ns, until_ns: until, ..AuditFilter::default() };
    let mut summary = Summary::default();
    let lsn = read(data_dir, filter, |audited| {
        summary.add(&audited);
        Ok(())
    })?;
    Ok(summary.finish(from_ns, until_ns, lsn))
}
