//! Asking whoever sits at the terminal. Questions go to stderr, so that stdout stays data.

use crate::exit::Failure;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

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

/// What nobody is to read along: a terminal does not show it. Without one it is a line of stdin.
pub fn secret(question: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(|error| Failure::usage(format!("could not read the answer: {error}")))?;
        return Ok(answer.trim_end_matches(['\r', '\n']).to_owned());
    }
    rpassword::prompt_password(question)
        .map_err(|error| Failure::usage(format!("could not read the answer: {error}")))
}

/// The same of something new, asked for twice on a terminal.
pub fn new_secret(question: &str) -> Result<String, Failure> {
    let first = secret(question)?;
    if std::io::stdin().is_terminal() && secret("once more: ")? != first {
        return Err(Failure::usage("these are two different ones; nothing was changed"));
    }
    Ok(first)
}

/// Whether the answer is yes; whatever else it is, is no.
pub fn yes(question: &str) -> Result<bool, Failure> {
    let answer = line(&format!("{question} [yes/no] "))?;
    Ok(answer.eq_ignore_ascii_case("yes"))
}
