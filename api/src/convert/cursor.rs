//! Cursors of paged lists: opaque to clients, checked on their return. A cursor is a place
//! and four bytes of a hash over it, the list and (for entries) the account, so one that was
//! cut, altered or taken from another list is refused instead of giving a wrong page.

use crate::violation::Violations;
use ducat_engine::ids::{AccountId, Lsn, Slot};

/// The cursor of a page of all accounts that begins at this slot.
#[must_use]
pub fn accounts(next: Slot) -> String {
    write("accounts", 0, u64::from(next.0))
}

/// The slot a page of all accounts begins at; the first for an empty cursor.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_accounts(cursor: &str) -> Result<Slot, Violations> {
    if cursor.is_empty() {
        return Ok(Slot(0));
    }
    let place = read("accounts", 0, cursor).and_then(|place| u32::try_from(place).ok());
    place.map(Slot).ok_or_else(invalid)
}

/// The cursor of a page of this account's entries that begins at this LSN.
#[must_use]
pub fn entries(account: AccountId, next: Lsn) -> String {
    write("entries", account.get(), next.0)
}

/// The LSN a page of this account's entries begins at; `None` (the newest) for an empty one.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_entries(account: AccountId, cursor: &str) -> Result<Option<Lsn>, Violations> {
    if cursor.is_empty() {
        return Ok(None);
    }
    read("entries", account.get(), cursor).map(|place| Some(Lsn(place))).ok_or_else(invalid)
}

/// The cursor of a page of this account's open holds that begins at this place.
#[must_use]
pub fn holds(account: AccountId, next: u32) -> String {
    write("holds", account.get(), next.into())
}

/// The place a page of this account's open holds begins at; the first for an empty cursor.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_holds(account: AccountId, cursor: &str) -> Result<u32, Violations> {
    if cursor.is_empty() {
        return Ok(0);
    }
    let place = read("holds", account.get(), cursor).and_then(|place| u32::try_from(place).ok());
    place.ok_or_else(invalid)
}

fn write(list: &str, owner: u128, place: u64) -> String {
    format!("{place:016x}{:08x}", check(list, owner, place))
}

fn read(list: &str, owner: u128, cursor: &str) -> Option<u64> {
    if cursor.len() != 24 || !cursor.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (place, sum) = cursor.split_at(16);
    let place = u64::from_str_radix(place, 16).ok()?;
    (u32::from_str_radix(sum, 16).ok()? == check(list, owner, place)).then_some(place)
}

fn check(list: &str, owner: u128, place: u64) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(list.as_bytes()).update(&owner.to_le_bytes()).update(&place.to_le_bytes());
    let hash = hasher.finalize();
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn invalid() -> Violations {
    let sentence = "the cursor was not made by this list; pass `next_cursor` back unchanged";
    Violations::one("cursor", "CURSOR_INVALID", sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(value: u128) -> AccountId {
        AccountId::new(value).expect("not zero")
    }

    #[test]
    fn cursors_read_back() {
        assert_eq!(read_accounts(""), Ok(Slot(0)));
        assert_eq!(read_accounts(&accounts(Slot(77))), Ok(Slot(77)));
        assert_eq!(read_entries(account(5), ""), Ok(None));
        let cursor = entries(account(5), Lsn(u64::MAX));
        assert_eq!(read_entries(account(5), &cursor), Ok(Some(Lsn(u64::MAX))));
        assert_eq!(read_holds(account(5), ""), Ok(0));
        assert_eq!(read_holds(account(5), &holds(account(5), u32::MAX)), Ok(u32::MAX));
    }

    #[test]
    fn foreign_and_altered_cursors_are_refused() {
        let cursor = entries(account(5), Lsn(9));
        assert!(read_entries(account(6), &cursor).is_err());
        assert!(read_accounts(&cursor).is_err());
        assert!(read_holds(account(5), &cursor).is_err());
        assert!(read_holds(account(6), &holds(account(5), 9)).is_err());
        assert!(read_accounts(&cursor[..23]).is_err());
        assert!(read_accounts("é23456789012345678901234").is_err());
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(read_entries(account(5), &altered).is_err(), "{altered}");
        }
    }
}
