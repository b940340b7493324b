//! Asking whoever sits at the terminal. Questions go to stderr, so that stdout stays data.

use crate::exit::Failure;
use std::io::{BufRead as _, Write as _};

/// One line of an answer, without blanks around it.
pub fn line(question: &str) -> Result<String, Failure> {
    let mut out = std::io::stderr().lock();
    // A terminal that shows nothing still answers.
    let _shown = out.write_all(question.as_bytes()).and_then(|()| out.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::usage(format!("could not read the answer: {error}")))?;
    Ok(answer.trim().to_owned())
}

/// Whether the answer is yes; whatever else it is, is no.
pub fn yes(question: &str) -> Result<bool, Failure> {
    let answer = line(&format!("{question} [yes/no] "))?;
    Ok(answer.eq_ignore_ascii_case("yes"))
}
