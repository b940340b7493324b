//! The progress bar of a replay, on stderr, once it has taken longer than a second.

use ducat_actors::replay::Progress;
use ducat_persistence::ScanProgress;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// A replay shorter than this is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the engine tells how far it has come.
pub fn progress() -> Progress {
    let started = Instant::now();
    let mut bar = Bar(None);
    Box::new(move |scan: &ScanProgress| {
        let before = scan.first_lsn.0.saturating_sub(1);
        let done = scan.lsn.0.saturating_sub(before);
        let expected = scan.goal_lsn.0.saturating_sub(before).max(done);
        if bar.0.is_none() && started.elapsed() >= PATIENCE {
            bar.0 = Some(new_bar(expected));
        }
        if let Some(bar) = &bar.0 {
            bar.set_length(expected);
            bar.set_position(done);
        }
    })
}

/// Clears its line when the replay is over, which drops it.
struct Bar(Option<ProgressBar>);

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(expected: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "replaying the journal {bar:40} {human_pos} of {human_len} events, {per_sec}, {eta} left",
    );
    let bar = ProgressBar::new(expected);
    // A malformed template would be a fault of this file; the plain bar then serves as well.
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
