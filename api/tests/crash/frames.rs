//! Damage that knows the format: frames swapped, repeated, left out, put in another's place or
//! changed inside, written back through sled itself, so that only Ducat's own checks can notice.
//! At four levels, each of which makes one more check hold again:
//!
//! | level | made right again | what still notices |
//! |---|---|---|
//! | `Raw` | nothing | checksum, place, chain |
//! | `Sealed` | places and checksums of the frames | the chain of hashes |
//! | `Chained` | the chain as well, to the journal's end | the mark |
//! | `Forged` | the mark as well | the figures in the records; a witness outside |

use crate::attack::{Attack, Depth, assert_refused, listed, tries};
use crate::damage::{assert_names_the_place, copy_dir, good_directory};
use crate::server::Launch;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::frame::{Frame, FrameHash, FrameHeader, HEADER_BYTES, genesis_hash, seal};
use ducat_persistence::mark::{Mark, MarkFile};
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::path::Path;

/// As the journal makes its databases; sled opens no other.
const SLED_SEGMENT_BYTES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Level {
    Raw,
    Sealed,
    Chained,
    Forged,
}

#[test]
fn frames_in_the_wrong_place_are_refused() {
    let levels = [Level::Raw, Level::Sealed, Level::Chained];
    let tally = harm_many("frames swapped, repeated, lost, changed", &levels);
    assert_eq!(tally.silent, 0);
}

/// Whoever can write all of the directory can forge all of it, as far as the figures agree. What
/// gets through here is what signed checkpoints outside are for; see `docs/RELIABILITY.md`.
#[test]
fn forged_journals_are_mostly_refused_by_their_figures() {
    let tally = harm_many("frames, chain and mark forged", &[Level::Forged]);
    assert!(tally.refused * 2 > tally.tries, "{tally:?}");
}

#[derive(Debug, Default)]
struct Tally {
    tries: usize,
    refused: usize,
    whole: usize,
    silent: usize,
}

fn harm_many(name: &str, levels: &[Level]) -> Tally {
    let dir = tempfile::tempdir().expect("a directory");
    let mut attack = Attack::new(name);
    let good = good_directory(&mut attack, dir.path());
    let mut tally = Tally::default();
    for nth in 0..tries("DUCAT_DAMAGES", 9) {
        let level = levels[nth % levels.len()];
        let copy = dir.path().join(format!("copy-{nth}"));
        copy_dir(&good, &copy);
        let done = harm(&copy, level, &mut attack.dice);
        let done = format!("{level:?}: {done}");
        tally.tries += 1;
        match Launch::default().start(&copy) {
            // The figures of records are checked by the rules, which name the LSN.
            Err(ended) if level == Level::Forged => {
                assert_refused(&ended);
                tally.refused += 1;
            }
            Err(ended) => {
                assert_names_the_place(&ended, &copy, &done);
                tally.refused += 1;
            }
            Ok(server) => {
                let faults = attack.faults(&server, Depth::All);
                if faults.is_empty() {
                    tally.whole += 1;
                } else if level == Level::Forged {
                    tally.silent += 1;
                } else {
                    attack.row.silent += 1;
                    panic!("silent: {done}\n{}", listed(&faults));
                }
            }
        }
        std::fs::remove_dir_all(&copy).expect("ours");
    }
    attack.row.runs = tally.tries;
    let Tally { refused, whole, silent, .. } = tally;
    attack.row.note(match levels {
        [Level::Forged] => {
            format!("{refused} refused by their figures, {silent} only a witness can tell")
        }
        _ => format!("{refused} refused with the place named, {whole} whole"),
    });
    attack.finish();
    tally
}

/// A value of sled's: its key, and the frames in it with the headers they had.
struct Block {
    key: Vec<u8>,
    frames: Vec<(FrameHeader, Vec<u8>)>,
}

/// Harms a stopped server's journal; says how.
fn harm(data: &Path, level: Level, dice: &mut StdRng) -> String {
    let db = open(data);
    let (mut mark_file, mark) = MarkFile::open(&data.join("shard-0/mark")).expect("a whole mark");
    // Without the fences between them, whose keys are longer.
    let entries = db.iter().map(|entry| entry.expect("readable"));
    let mut blocks: Vec<Block> = entries.filter(|(key, _)| key.len() == 8).map(block).collect();
    let (lsn, what) = harm_one(&mut blocks, mark.durable.lsn, dice);
    blocks.retain(|block| !block.frames.is_empty());
    if level != Level::Raw {
        let end = reseal(&mut blocks, level, genesis_hash(mark.ledger, ShardId(0)));
        if level == Level::Forged {
            // Both slots.
            let forged = Mark { durable: end, ..mark };
            mark_file.write(&forged).and_then(|()| mark_file.write(&forged)).expect("writable");
        }
    }
    db.clear().expect("sled forgets");
    for block in blocks {
        let value: Vec<u8> = block.frames.into_iter().flat_map(|(_, bytes)| bytes).collect();
        db.insert(block.key, value).expect("sled takes it");
    }
    db.flush().expect("sled writes");
    format!("the frame of LSN {lsn} {what}")
}

/// Harms one frame below the mark. What lies beyond was never acknowledged; and the last one
/// left out is an older copy of the directory, which is another attack.
fn harm_one(blocks: &mut [Block], mark: Lsn, dice: &mut StdRng) -> (Lsn, &'static str) {
    let mut places = Vec::new();
    for (nth, block) in blocks.iter().enumerate() {
        let below = block.frames.iter().filter(|(header, _)| header.last_lsn() < mark);
        places.extend((0..below.count()).map(|at| (nth, at)));
    }
    assert!(places.len() > 10, "the journal has only {} frames", places.len());
    let (block, at) = places.swap_remove(dice.random_range(0..places.len()));
    let other = places[dice.random_range(0..places.len())];
    let second = blocks[other.0].frames[other.1].clone();
    let frames = &mut blocks[block].frames;
    let lsn = frames[at].0.first_lsn;
    let what = match dice.random_range(0..5) {
        0 => {
            let first = std::mem::replace(&mut frames[at], second);
            blocks[other.0].frames[other.1] = first;
            "swapped with another"
        }
        1 => {
            frames.insert(at, frames[at].clone());
            "repeated"
        }
        2 => {
            frames[at] = second;
            "replaced by another"
        }
        3 => {
            frames.remove(at);
            "left out"
        }
        _ => {
            let bytes = &mut frames[at].1;
            let byte = dice.random_range(HEADER_BYTES..bytes.len());
            bytes[byte] ^= 1 << dice.random_range(0..8);
            "changed inside"
        }
    };
    (lsn, what)
}

/// Gives every frame its place and a right checksum, and from [`Level::Chained`] on the hash of
/// the frame before. Returns where the journal ends then.
fn reseal(blocks: &mut [Block], level: Level, start: FrameHash) -> ChainPoint {
    let mut end = ChainPoint { lsn: Lsn::ZERO, hash: start };
    let mut times = 0;
    for block in blocks {
        block.key = end.lsn.next().0.to_be_bytes().to_vec();
        for (header, bytes) in &mut block.frames {
            header.first_lsn = end.lsn.next();
            if level >= Level::Chained {
                header.prev_hash = end.hash;
            }
            times = header.time_ns.max(times);
            header.time_ns = times;
            end = ChainPoint { lsn: header.last_lsn(), hash: seal(bytes, header) };
        }
    }
    end
}

/// The database of the only segment.
fn open(data: &Path) -> sled::Db {
    let journal = data.join("shard-0/journal");
    let mut segments =
        std::fs::read_dir(journal).expect("listed").map(|entry| entry.expect("listed"));
    let segment = segments.next().expect("a segment").path();
    assert!(segments.next().is_none(), "the load fits in one segment");
    let config = sled::Config::new().path(segment).segment_size(SLED_SEGMENT_BYTES);
    config.flush_every_ms(None).open().expect("sled opens a journal that was closed in order")
}

fn block((key, value): (sled::IVec, sled::IVec)) -> Block {
    let mut frames = Vec::new();
    let mut rest = &value[..];
    while !rest.is_empty() {
        let payload = u32::from_le_bytes(rest[12..16].try_into().expect("four bytes"));
        let (frame, behind) = rest.split_at(HEADER_BYTES + payload as usize);
        let header = *Frame::parse(frame).expect("an intact frame").header();
        frames.push((header, frame.to_vec()));
        rest = behind;
    }
    Block { key: key.to_vec(), frames }
}
