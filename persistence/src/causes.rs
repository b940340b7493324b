//! Errors in words, for the text that outlives them.

use std::error::Error;
use std::iter::successors;

/// An error and what caused it, in one line.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
