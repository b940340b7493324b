//! The table of results: a row for each attack, written whether it passes or fails. To stderr,
//! and to the file that `DUCAT_TABLE` names, from which `.ci/attacks` makes one table.

use crate::attack::say;
use crate::checker::{Fault, Kind};
use std::io::Write as _;

/// One attack's row. Dropped unfinished, it is written as failed.
#[derive(Debug)]
pub struct Row {
    attack: String,
    /// Times the server was attacked.
    pub runs: usize,
    /// Transfers acknowledged, repeats included.
    pub acknowledged: usize,
    /// Damage that the server neither refused nor survived with everything it had acknowledged.
    pub silent: usize,
    lost: usize,
    changed: usize,
    doubled: usize,
    other: usize,
    notes: Vec<String>,
    finished: bool,
}

impl Row {
    /// An empty row.
    pub fn new(attack: &str) -> Self {
        Self {
            attack: attack.to_owned(),
            runs: 0,
            acknowledged: 0,
            silent: 0,
            lost: 0,
            changed: 0,
            doubled: 0,
            other: 0,
            notes: Vec::new(),
            finished: false,
        }
    }

    /// Adds what the checker found.
    pub fn count(&mut self, faults: &[Fault]) {
        for fault in faults {
            *match fault.kind {
                Kind::LostAcknowledgement => &mut self.lost,
                Kind::ChangedOutcome => &mut self.changed,
                Kind::DoubleEffect => &mut self.doubled,
                _ => &mut self.other,
            } += 1;
        }
    }

    /// Adds a remark.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The attack is over and everything held.
    pub fn finish(&mut self) {
        self.finished = true;
        let bad = self.lost + self.changed + self.doubled + self.other + self.silent;
        assert_eq!(bad, 0, "the row counts faults: {self:?}");
        self.write();
    }

    fn write(&self) {
        let mut notes = self.notes.clone();
        if self.other > 0 {
            notes.push(format!("{} other faults", self.other));
        }
        if !self.finished {
            notes.insert(0, "FAILED".to_owned());
        }
        let numbers =
            [self.runs, self.acknowledged, self.lost, self.changed, self.doubled, self.silent];
        put(&self.attack, &numbers.map(|number| number.to_string()), &notes.join("; "));
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if !self.finished {
            self.write();
        }
    }
}

/// A row for an attack that cannot be made here.
pub fn skipped(attack: &str, reason: &str) {
    put(attack, &[const { String::new() }; 6], &format!("skipped: {}", reason.trim()));
}

fn put(attack: &str, numbers: &[String; 6], notes: &str) {
    let row = format!("| {attack} | {} | {} |", numbers.join(" | "), notes.replace('\n', " "));
    say(&row);
    if let Ok(path) = std::env::var("DUCAT_TABLE") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let put = file.and_then(|mut file| writeln!(file, "{row}"));
        put.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
