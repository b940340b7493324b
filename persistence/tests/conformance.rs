//! The conformance suite over every journal there is.

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{self, Harm, SHARD, Subject, append, check_content};
use support::{ArchivedSubject, MemorySubject, SledSubject};

/// What holds whether or not what is trimmed can still be read.
macro_rules! conformance {
    ($name:ident, $subject:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn behind_places() {
                conformance::behind_places(&mut $subject);
            }

            #[test]
            fn empty_journal() {
                conformance::empty_journal(&mut $subject);
            }
            #[test]
            fn round_trip() {
                conformance::round_trip(&mut $subject);
            }
            #[test]
            fn reopening() {
                conformance::reopening(&mut $subject);
            }
            #[test]
            fn visitor_refuses() {
                conformance::visitor_refuses(&mut $subject);
            }
            #[test]
            fn zombie_writer() {
                conformance::zombie_writer(&mut $subject);
            }
            #[test]
            fn misuse() {
                conformance::misuse(&mut $subject);
            }
            #[test]
            fn failed_append() {
                conformance::failed_append(&mut $subject);
            }
            #[test]
            fn readers_while_writing() {
                conformance::readers_while_writing(&mut $subject);
            }
            #[test]
            fn damage_behind_a_place_is_loud() {
                // The frame that ends at the place, those after it, the very last.
                for lsn in [2_000, 2_001, 2_700, 3_000, 3_005].map(Lsn) {
                    for how in [Harm::Flip, Harm::Lose] {
                        conformance::damage_behind_a_place_is_loud(&mut $subject, lsn, how);
                    }
                }
            }
            #[test]
            fn damage_is_loud() {
                // Early, in the middle, just before the end, the very last.
                for lsn in [1, 1_000, 2_000, 2_005].map(Lsn) {
                    for how in [Harm::Flip, Harm::Lose] {
                        conformance::damage_is_loud(&mut $subject, lsn, how);
                    }
                }
            }
        }
    };
}

/// What is trimmed is gone.
macro_rules! trimming {
    ($name:ident, $subject:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn trim() {
                conformance::trim(&mut $subject);
            }
            #[test]
            fn behind_a_place() {
                conformance::behind_a_place(&mut $subject);
            }
        }
    };
}

trimming!(sled_trimmed, SledSubject::new());
trimming!(memory_trimmed, MemorySubject::new(0));

conformance!(sled, SledSubject::new());
conformance!(archived, ArchivedSubject::new());
conformance!(sealed, SledSubject::sealed());
conformance!(sealed_archived, ArchivedSubject::sealed());
conformance!(memory_loses_the_failed_append, MemorySubject::new(0));
conformance!(memory_tears_the_failed_append, MemorySubject::new(3));
conformance!(memory_keeps_the_failed_append, MemorySubject::new(usize::MAX));

#[test]
fn an_archived_journal_drops_nothing_that_is_not_archived() {
    let mut subject = ArchivedSubject::new();
    let journal = subject.journal();
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    let mut last = Lsn(0);
    for _ in 0..20 {
        last = append(&mut *writer, last.next(), 500).expect("appends");
    }
    assert!(journal.pieces(SHARD).expect("lists").len() > 2);
    assert_eq!(journal.trim(SHARD, last).expect("trims").segments, 0);
    drop(writer);
    subject.trim();
    assert!(subject.journal().trimmed_to(SHARD).expect("known").lsn > Lsn(1_000));
    check_content(subject.journal(), Lsn(1), last);
    subject.restart();
    check_content(subject.journal(), Lsn(1), last);
}
