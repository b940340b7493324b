//! The open holds against a plain map, through every operation; what a million of them cost.

use super::*;
use crate::testing::rng::Rng;
use std::collections::HashMap;

fn id(n: u64) -> TransferId {
    TransferId::new(u128::from(n) << 40 | 7).expect("not zero")
}

fn hold(n: u64, expires_ns: u64) -> Hold {
    Hold {
        id: id(n),
        amount: 100,
        remaining: 100,
        over_capture_max: 0,
        expires_ns,
        placed_lsn: Lsn(n + 1),
        debit: Slot(1),
        credit: Slot(2),
        currency: CurrencyId(826),
        kind: None,
    }
}

fn ids(holds: impl Iterator<Item = TransferId>) -> Vec<TransferId> {
    let mut ids: Vec<_> = holds.collect();
    ids.sort_unstable();
    ids
}

#[test]
fn they_are_what_a_map_is_whatever_comes() {
    let (mut holds, mut map) = (Holds::new(3), HashMap::new());
    let mut rng = Rng::new(5);
    for _ in 0..60_000 {
        let n = rng.next() % 9_000;
        match rng.next() % 5 {
            0..=1 => {
                let expires_ns = if n.is_multiple_of(3) { NEVER_NS } else { n % 50 };
                let new = holds.insert(hold(n, expires_ns));
                assert_eq!(new, !map.contains_key(&id(n)));
                map.entry(id(n)).or_insert(hold(n, expires_ns));
            }
            2 if map.contains_key(&id(n)) => {
                let remaining = rng.next() % 3;
                holds.set_remaining(id(n), u128::from(remaining));
                match remaining {
                    0 => drop(map.remove(&id(n))),
                    _ => map.get_mut(&id(n)).expect("open").remaining = u128::from(remaining),
                }
            }
            3 if map.contains_key(&id(n)) => {
                let expires_ns = if rng.once_in(3) { NEVER_NS } else { 100 + n % 7 };
                holds.set_expiry(id(n), expires_ns);
                map.get_mut(&id(n)).expect("open").expires_ns = expires_ns;
            }
            _ => assert_eq!(holds.get(id(n)), map.get(&id(n))),
        }
        assert_eq!(holds.len(), map.len());
    }
    assert!(holds.iter().all(|hold| map[&hold.id] == *hold));
    for time_ns in [0, 30, 103, NEVER_NS - 1] {
        let mut expected: Vec<_> = map.values().filter(|h| h.expires_ns <= time_ns).collect();
        expected.sort_unstable_by_key(|hold| (hold.expires_ns, hold.id));
        assert!(holds.due(time_ns).eq(expected), "due by {time_ns}");
    }
    assert_eq!(holds.next_expiry_ns(), map.values().map(|h| h.expires_ns).min());
}

#[test]
fn a_million_open_holds_cost_at_most_200_bytes_each() {
    let mut holds = Holds::new(3);
    let mut rng = Rng::new(5);
    assert_eq!(holds.memory_bytes(), 0);
    for n in 0..1_000_000 {
        // In order, as they mostly come, and in none.
        let expires_ns = if n % 2 == 0 { n } else { rng.next() >> 1 };
        assert!(holds.insert(hold(n, expires_ns)));
        if n >= 500_000 && n % 10_000 == 0 {
            let each = holds.memory_bytes() as u64 / (n + 1);
            assert!(each <= 200, "{n} holds: {each} bytes each");
        }
    }
    assert_eq!(size_of::<Hold>(), 96);
    // Closed ones leave their place to others.
    let before = holds.memory_bytes();
    for n in 0..400_000 {
        holds.set_remaining(id(n), 0);
    }
    for n in 0..400_000 {
        assert!(holds.insert(hold(1_000_000 + n, n)));
    }
    assert!(holds.memory_bytes() <= before + before / 10);
}

#[test]
fn holds_are_given_as_they_were_whatever_happens_meanwhile() {
    for pieces_before in 0..4 {
        let mut holds = Holds::new(3);
        (0..3_000).for_each(|n| assert!(holds.insert(hold(n, n))));
        (100..200).for_each(|n| holds.set_remaining(id(n), 0));
        let before = ids(holds.iter().map(|hold| hold.id));
        assert_eq!(holds.begin_export(), 2_900);
        let mut given = Vec::new();
        (0..pieces_before).for_each(|_| given.extend(holds.give(1_000).into_iter().flatten()));
        for n in (0..3_000).step_by(7).filter(|n| !(100..200).contains(n)) {
            holds.set_remaining(id(n), u128::from(n % 3));
        }
        (5_000..5_200).for_each(|n| assert!(holds.insert(hold(n, n))));
        while let Some(piece) = holds.give(1_000) {
            given.extend(piece);
        }
        assert!(given.iter().all(|hold| hold.remaining == 100));
        assert_eq!(ids(given.iter().map(|hold| hold.id)), before);
        assert!(holds.export.is_none());
    }
}

/// A page never holds more than asked, looks at no more places than asked, and all of them
/// together are the account's open holds, each once.
#[test]
fn one_accounts_holds_are_found_page_by_page() {
    let mut holds = Holds::new(3);
    let many = CHUNK as u64 + 900;
    for n in 0..many {
        let debit = Slot(u32::try_from(n % 3).expect("small"));
        assert!(holds.insert(Hold { debit, ..hold(n, NEVER_NS) }));
    }
    for n in (0..many).step_by(7) {
        holds.set_remaining(id(n), 0);
    }
    let of_one = |n: &u64| n % 3 == 1 && !n.is_multiple_of(7);
    let expected = ids((0..many).filter(of_one).map(id));
    for (places, max) in [(usize::MAX, usize::MAX), (1_000, usize::MAX), (4_096, 10), (1, 1)] {
        let (mut found, mut next, mut looked_at) = (Vec::new(), Some(0), 0);
        while let Some(from) = next {
            let (page, go_on) = holds.of_account(Slot(1), from, places, max);
            assert!(page.len() <= max, "{places} {max}");
            assert!(page.iter().all(|hold| hold.debit == Slot(1) && hold.remaining == 100));
            let to = go_on.unwrap_or(u32::try_from(many).expect("small"));
            assert!(to > from && (to - from) as usize <= places, "{from} to {to}");
            looked_at += to - from;
            found.extend(page.into_iter().map(|hold| hold.id));
            next = go_on;
        }
        assert_eq!(u64::from(looked_at), many, "no place twice, none left out");
        assert_eq!(found.len(), expected.len());
        assert_eq!(ids(found.into_iter()), expected, "{places} {max}");
    }
    assert_eq!(holds.of_account(Slot(1), u32::MAX, 10, 10), (vec![], None), "beyond the last");
}
