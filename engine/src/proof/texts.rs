//! Texts in statements: reasons, owners, labels and metadata may be about people, and a receipt
//! goes to others. So a statement holds a SHA-256 of them, and whoever has the text can show
//! that it is the one.
//!
//! ```text
//! reason:  its bytes in UTF-8
//! change:  kind 1 (0 stays, 1 none, else 1 + its number) │ owner │ label
//!          │ keys set 2 │ each: key, value │ keys removed 2 │ each: key
//!          owner, label: 1 (0: stays, and nothing follows) │ text       text: length 4 │ UTF-8
//! opening: the change that makes the profile out of nothing
//! note:    reference: text │ description: text; an empty one where nothing was said
//! schedules and sagas: their event as it stands in the journal
//! ```

use super::merkle::Hash;
use crate::audit::AuditEvent;
use crate::codec::{audit, driven};
use crate::driven::DrivenEvent;
use crate::note::Note;
use crate::profile::{AccountKind, Profile, ProfileChange};
use sha2::{Digest, Sha256};

/// The digest of a reason.
#[must_use]
pub fn of_reason(reason: &str) -> Hash {
    Sha256::digest(reason.as_bytes()).into()
}

/// The digest of a profile that an account was opened with.
#[must_use]
pub fn of_opening(profile: &Profile) -> Hash {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    of_change(&ProfileChange {
        kind: profile.kind.map(Some),
        owner: some(&profile.owner),
        label: some(&profile.label),
        set: profile.metadata.clone(),
        remove: Default::default(),
    })
}

/// The digest of a change.
#[must_use]
pub fn of_change(change: &ProfileChange) -> Hash {
    let mut hasher = Sha256::new();
    let kind = change.kind.map_or(0, |kind| 1 + kind.map_or(0, AccountKind::number));
    hasher.update([kind]);
    for text in [&change.owner, &change.label] {
        hasher.update([u8::from(text.is_some())]);
        if let Some(text) = text {
            add_text(&mut hasher, text);
        }
    }
    add_count(&mut hasher, change.set.len());
    for (key, value) in &change.set {
        add_text(&mut hasher, key);
        add_text(&mut hasher, value);
    }
    add_count(&mut hasher, change.remove.len());
    for key in &change.remove {
        add_text(&mut hasher, key);
    }
    hasher.finalize().into()
}

/// The digest of a note's reference and description; its value date a statement says itself.
#[must_use]
pub fn of_note(note: &Note) -> Hash {
    let mut hasher = Sha256::new();
    add_text(&mut hasher, &note.reference);
    add_text(&mut hasher, &note.description);
    hasher.finalize().into()
}

/// The digest of an event of a schedule or a saga.
#[must_use]
pub fn of_driven(event: &DrivenEvent) -> Hash {
    let mut bytes = Vec::new();
    driven::put(event, &mut bytes);
    Sha256::digest(&bytes).into()
}

/// The digest of an audit event.
#[must_use]
pub fn of_audit(event: &AuditEvent) -> Hash {
    let mut bytes = Vec::new();
    audit::put(event, &mut bytes);
    Sha256::digest(&bytes).into()
}

fn add_count(hasher: &mut Sha256, count: usize) {
    hasher.update(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn add_text(hasher: &mut Sha256, text: &str) {
    hasher.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_note_are_told_apart() {
        let digest = |reference: &str, description: &str| {
            let (reference, description) = (reference.to_owned(), description.to_owned());
            of_note(&Note { reference, description, value_date: None })
        };
        let all = [digest("ab", "c"), digest("a", "bc"), digest("abc", ""), digest("", "abc")];
        assert!((1..4).all(|at| !all[..at].contains(&all[at])));
    }

    #[test]
    fn every_part_of_a_change_is_told_apart() {
        let text = |text: &str| text.to_owned();
        let base = ProfileChange::default();
        let all = [
            base.clone(),
            ProfileChange { kind: Some(None), ..base.clone() },
            ProfileChange { kind: Some(Some(AccountKind::Asset)), ..base.clone() },
            ProfileChange { owner: Some(text("a")), ..base.clone() },
            ProfileChange { label: Some(text("a")), ..base.clone() },
            ProfileChange { owner: Some(text("")), ..base.clone() },
            ProfileChange { set: [(text("a"), text("b"))].into(), ..base.clone() },
            ProfileChange { set: [(text("ab"), text(""))].into(), ..base.clone() },
            ProfileChange { remove: [text("a")].into(), ..base },
        ];
        let mut digests: Vec<Hash> = all.iter().map(of_change).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), all.len());
    }
}
