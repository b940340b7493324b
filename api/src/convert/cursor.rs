//! Cursors of paged lists: opaque to clients, checked on their return. A cursor is a place
//! and four bytes of a hash over it, the list and (for entries) the account, so one that was
//! cut, altered or taken from another list is refused instead of giving a wrong page.

use crate::violation::Violations;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::note::Day;
use ducat_engine::profile::Filter;

/// The cursor of a page of the accounts that this filter asks for, which begins at this slot.
#[must_use]
pub fn accounts(filter: &Filter, next: Slot) -> String {
    write("accounts", filter_mark(filter), u64::from(next.0))
}

/// The slot a page of accounts begins at; the first for an empty cursor.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_accounts(filter: &Filter, cursor: &str) -> Result<Slot, Violations> {
    if cursor.is_empty() {
        return Ok(Slot(0));
    }
    let place =
        read("accounts", filter_mark(filter), cursor).and_then(|place| u32::try_from(place).ok());
    place.map(Slot).ok_or_else(invalid)
}

/// The cursor of a page of this account's entries that begins at this LSN.
#[must_use]
pub fn entries(account: AccountId, oldest_first: bool, next: Lsn) -> String {
    write(entries_list(oldest_first), account.get(), next.0)
}

/// The LSN a page of this account's entries begins at; `None` (the first page) for an empty one.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_entries(
    account: AccountId,
    oldest_first: bool,
    cursor: &str,
) -> Result<Option<Lsn>, Violations> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let place = read(entries_list(oldest_first), account.get(), cursor);
    place.map(|place| Some(Lsn(place))).ok_or_else(invalid)
}

/// The cursor of a page of this account's entries in the order of value dates that begins at the
/// entry of this day and LSN. The day is checked with the rest: it is bound into the list's name.
#[must_use]
pub fn entries_by_value(account: AccountId, oldest_first: bool, (day, lsn): (Day, Lsn)) -> String {
    let list = entries_by_value_list(oldest_first, day);
    format!("{}{:08x}", write(&list, account.get(), lsn.0), day.days().cast_unsigned())
}

/// The entry at which such a page begins; `None` (the first page) for an empty cursor.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_entries_by_value(
    account: AccountId,
    oldest_first: bool,
    cursor: &str,
) -> Result<Option<(Day, Lsn)>, Violations> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let place = || {
        let (place, days) = cursor.split_at_checked(24)?;
        let hex = days.len() == 8 && days.bytes().all(|b| b.is_ascii_hexdigit());
        let days = u32::from_str_radix(days, 16).ok().filter(|_| hex)?;
        let day = Day::new(days.cast_signed())?;
        let lsn = read(&entries_by_value_list(oldest_first, day), account.get(), place)?;
        Some((day, Lsn(lsn)))
    };
    place().map(Some).ok_or_else(invalid)
}

fn entries_by_value_list(oldest_first: bool, day: Day) -> String {
    let order = if oldest_first { "earliest" } else { "latest" };
    format!("entries by value, {order} first, {}", day.days())
}

const fn entries_list(oldest_first: bool) -> &'static str {
    if oldest_first { "entries, oldest first" } else { "entries" }
}

/// The cursor of a page of what fees are attached to that begins at this place.
#[must_use]
pub fn fees(next: usize) -> String {
    write("fees", 0, next as u64)
}

/// The place such a page begins at; the first for an empty cursor.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_fees(cursor: &str) -> Result<usize, Violations> {
    if cursor.is_empty() {
        return Ok(0);
    }
    let place = read("fees", 0, cursor).and_then(|place| usize::try_from(place).ok());
    place.ok_or_else(invalid)
}

/// The cursor of a page of this account's history that begins at this LSN.
#[must_use]
pub fn history(account: AccountId, next: Lsn) -> String {
    write("history", account.get(), next.0)
}

/// The LSN a page of this account's history begins at; `None` (the newest) for an empty one.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_history(account: AccountId, cursor: &str) -> Result<Option<Lsn>, Violations> {
    if cursor.is_empty() {
        return Ok(None);
    }
    read("history", account.get(), cursor).map(|place| Some(Lsn(place))).ok_or_else(invalid)
}

/// Tells filters apart; 0 for the one that all accounts fit.
fn filter_mark(filter: &Filter) -> u128 {
    if filter.is_empty() {
        return 0;
    }
    let Filter { owner, kind, label_prefix, metadata, currency, status, external } = filter;
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    text(owner.as_deref().map_or("-", |_| "+"));
    text(owner.as_deref().unwrap_or_default());
    text(label_prefix);
    for (key, value) in metadata {
        text(key);
        text(value);
    }
    let number = |number: Option<u32>| number.map_or(0, |number| u64::from(number) + 1);
    let kind = kind.map(|kind| kind.map_or(0, |kind| u32::from(kind.number())));
    let status = status.map(|status| u32::from(status.number()));
    for known in [kind, currency.map(|id| id.0.into()), status, external.map(u32::from)] {
        hasher.update(&number(known).to_le_bytes());
    }
    u128::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().expect("32 bytes"))
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

/// The cursor of a page of this transfer's refunds that begins at this LSN.
#[must_use]
pub fn refunds(of: TransferId, next: Lsn) -> String {
    write("refunds", of.get(), next.0)
}

/// The LSN a page of this transfer's refunds begins at; `None` (the newest) for an empty one.
///
/// # Errors
/// One violation, reason `CURSOR_INVALID`.
pub fn read_refunds(of: TransferId, cursor: &str) -> Result<Option<Lsn>, Violations> {
    if cursor.is_empty() {
        return Ok(None);
    }
    read("refunds", of.get(), cursor).map(|place| Some(Lsn(place))).ok_or_else(invalid)
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
        let all = Filter::default();
        assert_eq!(read_accounts(&all, ""), Ok(Slot(0)));
        assert_eq!(read_accounts(&all, &accounts(&all, Slot(77))), Ok(Slot(77)));
        assert_eq!(read_history(account(5), &history(account(5), Lsn(7))), Ok(Some(Lsn(7))));
        assert_eq!(read_entries(account(5), false, ""), Ok(None));
        let cursor = entries(account(5), false, Lsn(u64::MAX));
        assert_eq!(read_entries(account(5), false, &cursor), Ok(Some(Lsn(u64::MAX))));
        let place = (Day::MIN, Lsn(8));
        let by_value = entries_by_value(account(5), true, place);
        assert_eq!(read_entries_by_value(account(5), true, &by_value), Ok(Some(place)));
        assert_eq!(read_entries_by_value(account(5), true, ""), Ok(None));
        assert!(read_entries_by_value(account(5), false, &by_value).is_err());
        assert!(read_entries_by_value(account(6), true, &by_value).is_err());
        assert!(read_entries(account(5), true, &by_value).is_err());
        for at in 0..by_value.len() {
            let mut altered = by_value.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(read_entries_by_value(account(5), true, &altered).is_err(), "{altered}");
        }
        assert_eq!(read_holds(account(5), ""), Ok(0));
        assert_eq!(read_holds(account(5), &holds(account(5), u32::MAX)), Ok(u32::MAX));
    }

    #[test]
    fn foreign_and_altered_cursors_are_refused() {
        let cursor = entries(account(5), false, Lsn(9));
        assert!(read_entries(account(6), false, &cursor).is_err());
        assert!(read_entries(account(5), true, &cursor).is_err(), "of the other direction");
        assert!(read_history(account(5), &cursor).is_err());
        assert!(read_holds(account(5), &cursor).is_err());
        assert!(read_holds(account(6), &holds(account(5), 9)).is_err());
        let all = Filter::default();
        assert!(read_accounts(&all, &cursor).is_err());
        assert!(read_accounts(&all, &cursor[..23]).is_err());
        assert!(read_accounts(&all, "é23456789012345678901234").is_err());
        let filters = [
            all,
            Filter { owner: Some(String::new()), ..Filter::default() },
            Filter { owner: Some("a".to_owned()), ..Filter::default() },
            Filter { label_prefix: "a".to_owned(), ..Filter::default() },
            Filter { kind: Some(None), ..Filter::default() },
            Filter { external: Some(false), ..Filter::default() },
            Filter { metadata: [("a".to_owned(), String::new())].into(), ..Filter::default() },
        ];
        for (at, filter) in filters.iter().enumerate() {
            let cursor = accounts(filter, Slot(3));
            for (other, reader) in filters.iter().enumerate() {
                assert_eq!(read_accounts(reader, &cursor).is_ok(), at == other);
            }
        }
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            let altered = String::from_utf8(altered).expect("ASCII");
            assert!(read_entries(account(5), false, &altered).is_err(), "{altered}");
        }
    }
}
