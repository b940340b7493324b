//! All that is known of one account beside its money. Its bytes, which snapshots hold and the
//! state's hash covers, are [`crate::snapshot::details`]'s.

use super::{Profile, check_reason};
use crate::account_event::{Change, OpeningMark};
use crate::ids::Lsn;
use crate::watch::{REMOVED_MAX, WATCHES_MAX, Watch};

/// Most bytes that the details of one account take.
pub const DETAILS_BYTES_MAX: usize = 10
    + 1
    + 16
    + (10 + 2 + super::REASON_BYTES_MAX)
    + (2 + super::OWNER_BYTES_MAX)
    + (2 + super::LABEL_BYTES_MAX)
    + 1
    + (1 + 4 * super::KEYS_MAX + super::METADATA_BYTES_MAX)
    + (1 + WATCH_BYTES_MAX * (WATCHES_MAX + REMOVED_MAX));

/// Most bytes of one watch: its name, its condition, two events.
const WATCH_BYTES_MAX: usize = (1 + super::KEY_BYTES_MAX) + (2 + 19 + 10) + 2 * 10;

/// Why an account has its status, and since when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusNote {
    /// The event that gave it the status.
    pub lsn: Lsn,
    /// As it was given; may be empty.
    pub reason: String,
}

/// What is known of an account beside its money.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// Kind, owner, label, metadata.
    pub profile: Profile,
    /// Why it has its status; `None` while it has the one it was opened with.
    pub note: Option<StatusNote>,
    /// The last event that changed anything here or the account's limits: the newest of its
    /// history. [`Lsn::ZERO`] while there is none behind its opening.
    pub last_lsn: Lsn,
    /// How it was opened, where that cannot be told from how it stands.
    pub opening: Option<OpeningMark>,
    /// Its watches, and those that were removed lately, in the order in which they were defined.
    pub watches: Vec<Watch>,
}

impl Details {
    /// What the event at `lsn` makes of it.
    pub(super) fn apply(&mut self, lsn: Lsn, change: &Change) {
        self.last_lsn = lsn;
        match change {
            Change::Status { reason, .. } => {
                self.note = Some(StatusNote { lsn, reason: reason.clone() });
            }
            Change::Profile(change) => self.profile = self.profile.changed(change),
            // The account has them.
            Change::Limits(_) | Change::LimitsFrom(_) => {}
            Change::Watch(change) => change.apply(lsn, &mut self.watches),
        }
    }

    /// Whether anything is watched.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watches.iter().any(|watch| watch.removed.is_none())
    }

    /// What no sequence of events leads to.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.profile.check().is_err() {
            return Err("its profile goes beyond its bounds");
        }
        if self.note.as_ref().is_some_and(|note| check_reason(&note.reason).is_err()) {
            return Err("the reason of its status goes beyond its bounds");
        }
        if self.note.as_ref().is_some_and(|note| note.lsn > self.last_lsn) {
            return Err("its status was changed after its last event");
        }
        if self.last_lsn == Lsn::ZERO && self.opening.is_none() {
            return Err("nothing is known of it");
        }
        crate::watch::check(&self.watches, self.last_lsn)
    }

    /// Bytes of memory its texts take, roughly.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let Profile { kind: _, owner, label, metadata: _ } = &self.profile;
        let reason = self.note.as_ref().map_or(0, |note| note.reason.len());
        let watches = self.watches.iter().map(|watch| size_of::<Watch>() + watch.name.len());
        owner.len() + label.len() + reason + self.profile.metadata_bytes() + watches.sum::<usize>()
    }
}
