//! Where a ledger comes from when it was not begun empty: the ledger it was made from, the
//! event up to which it holds that one's events, and why. Kept in `FORMAT`, one line each,
//! the oldest first, so that a restored or forked ledger is never taken for the original.

use crate::ledger_id::LedgerId;
use ducat_engine::ids::Lsn;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// No note is longer, in bytes.
pub const NOTE_BYTES_MAX: usize = 200;
/// A ledger made from one made from … so many times at most.
pub const ORIGINS_MAX: usize = 8;

/// Why a ledger was made from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginKind {
    /// To go on from an earlier moment.
    Restore,
    /// To try something beside the original.
    Fork,
    /// Because acknowledged events of the original were lost, by an operator's decision.
    AcceptedLoss,
}

impl OriginKind {
    const ALL: [Self; 3] = [Self::Restore, Self::Fork, Self::AcceptedLoss];

    /// Its name in files and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Fork => "fork",
            Self::AcceptedLoss => "accepted-loss",
        }
    }
}

/// One step of a ledger's descent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Why it was made.
    pub kind: OriginKind,
    /// The ledger it was made from.
    pub parent: LedgerId,
    /// The last event taken over; what follows is this ledger's own.
    pub lsn: Lsn,
    /// The last event that the parent had acknowledged then, as far as that was known: those
    /// after `lsn` are not part of this ledger.
    pub parent_lsn: Lsn,
    /// When it was made, nanoseconds since 1970.
    pub made_ns: u64,
    /// Hash of the state at `lsn`, the same in both ledgers.
    pub state_hash: [u8; 32],
    /// A fork's name, or the reason that an operator gave.
    pub note: String,
}

/// A note that no file may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name or reason has 1 to {NOTE_BYTES_MAX} bytes, on one line, without control characters"
)]
pub struct BadNote;

/// Checks a name or reason, without blanks around it.
///
/// # Errors
/// [`BadNote`].
pub fn check_note(text: &str) -> Result<String, BadNote> {
    let text = text.trim();
    let fits = (1..=NOTE_BYTES_MAX).contains(&text.len());
    if fits && !text.chars().any(char::is_control) { Ok(text.to_owned()) } else { Err(BadNote) }
}

impl Origin {
    /// How many acknowledged events of the parent are not part of this ledger.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.parent_lsn.0.saturating_sub(self.lsn.0)
    }
}

/// The line in `FORMAT`, without the field's name.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, parent, lsn, parent_lsn, made_ns, state_hash, note } = self;
        write!(f, "{} {parent} {lsn} {parent_lsn} {made_ns} ", kind.name())?;
        state_hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_char(' ')?;
        f.write_str(note)
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut words = line.splitn(7, ' ');
        let mut word = || words.next().ok_or(());
        let name = word()?;
        let kind = OriginKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or(())?;
        let parent = u128::from_str_radix(word()?, 16).map_err(drop)?;
        let number = |text: &str| text.parse::<u64>().map_err(drop);
        let (lsn, parent_lsn) = (Lsn(number(word()?)?), Lsn(number(word()?)?));
        let made_ns = number(word()?)?;
        let hex = word()?;
        let mut state_hash = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(());
        }
        for (at, byte) in state_hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(drop)?;
        }
        let note = check_note(word()?).map_err(drop)?;
        let parent = LedgerId::from_bytes(parent.to_be_bytes());
        Ok(Self { kind, parent, lsn, parent_lsn, made_ns, state_hash, note })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_was_written() {
        let origin = Origin {
            kind: OriginKind::AcceptedLoss,
            parent: LedgerId::from_bytes([7; 16]),
            lsn: Lsn(41),
            parent_lsn: Lsn(50),
            made_ns: 12,
            state_hash: [0xab; 32],
            note: "disk of rack 7 burnt, see ticket 12".to_owned(),
        };
        assert_eq!(origin.to_string().parse(), Ok(origin.clone()));
        assert_eq!(origin.left_out(), 9);
        for cut in 0..60 {
            let text = origin.to_string();
            assert_eq!(text[..cut].parse::<Origin>(), Err(()), "{cut}");
        }
    }

    #[test]
    fn notes_fit_on_a_line() {
        assert_eq!(check_note(" a b ").as_deref(), Ok("a b"));
        for bad in ["", " ", "a\nb", &"x".repeat(201)] {
            assert_eq!(check_note(bad), Err(BadNote));
        }
    }
}
