//! `docs/LEDGER.md` held against the binary: its commands are run, in order, on a server of their
//! own, and must print what the document says they print.
//!
//! In a block marked `console`, a line that begins with `$ ` is a command, and what follows up to the
//! next one is its output: what goes to the standard output, then what goes to the standard error.
//! `…` stands for any text within a line (times, ids that are drawn). A command that ends with
//! another code than 0 has the code behind it: `$ ducat … # ends with 1`.

use crate::support::{Server, code, path_text, run, stderr, stdout};
use std::path::Path;

/// A command of the document and what it prints.
#[derive(Debug, Default)]
struct Example {
    line: usize,
    words: Vec<String>,
    code: i32,
    printed: Vec<String>,
}

/// The examples of a document in blocks of this kind, in order.
fn examples(document: &str, of: &str) -> Vec<Example> {
    let (mut found, mut inside) = (Vec::<Example>::new(), false);
    for (nth, line) in document.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(kind) => inside = kind == of,
            None if !inside => {}
            None => match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push(example(nth + 1, command)),
                (None, Some(example)) => example.printed.push(line.trim_end().to_owned()),
                (None, None) => panic!("line {}: output of no command", nth + 1),
            },
        }
    }
    found
}

fn example(line: usize, command: &str) -> Example {
    let (command, ends) = command.split_once(" # ends with ").unwrap_or((command, "0"));
    let mut words = split(command).into_iter();
    assert_eq!(words.next().as_deref(), Some("ducat"), "line {line}: only ducat is run");
    // Files are named as from the project's root.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut words = words.map(|word| match word.starts_with("docs/") {
        true => format!("{root}/{word}"),
        false => word,
    });
    let code = ends.trim().parse().expect("an exit code");
    Example { line, words: words.by_ref().collect(), code, printed: Vec::new() }
}

/// Words as a shell makes them of plain text and double quotes.
fn split(command: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for letter in command.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("one at least").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a line is what the document says, where `…` is any text.
fn is_like(printed: &str, pattern: &str) -> bool {
    let Some((begin, mut rest)) = pattern.split_once('…') else { return printed == pattern };
    let Some(mut left) = printed.strip_prefix(begin) else { return false };
    while let Some((part, behind)) = rest.split_once('…') {
        let Some(at) = left.find(part) else { return false };
        (left, rest) = (&left[at + part.len()..], behind);
    }
    left.ends_with(rest)
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/LEDGER.md");
    std::fs::read_to_string(path).expect("the document")
}

#[test]
fn the_examples_of_the_ledger_are_true() {
    let examples = examples(&document(), "console");
    assert!(examples.len() > 10, "{} examples", examples.len());
    let dir = tempfile::tempdir().expect("a directory");
    are_true(&Server::start(dir.path(), 1), &examples);
}

/// Those in blocks marked `console secret-fields`, on a server that has some, as the section says.
#[test]
fn the_examples_of_secret_fields_are_true() {
    let examples = examples(&document(), "console secret-fields");
    assert!(examples.len() >= 5, "{} examples", examples.len());
    let dir = tempfile::tempdir().expect("a directory");
    let key = path_text(&dir.path().join("fields.key"));
    assert_eq!(code(&run(&["keys", "generate", &key])), 0);
    let flags = ["--secret-fields", "card=card,passport", "--secret-fields-key-file", &key];
    are_true(
        &Server::start_with(dir.path(), 1, &[&flags[..], &["--audit", "on"]].concat()),
        &examples,
    );
}

/// Runs them, in order, and holds what they print against what the document says.
fn are_true(server: &Server, examples: &[Example]) {
    for Example { line, words, code: ends, printed } in examples {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = server.run(&words);
        let text = stdout(&output) + &stderr(&output);
        let said: Vec<&str> = text.lines().map(str::trim_end).collect();
        let same = said.len() == printed.len()
            && said.iter().zip(printed).all(|(said, pattern)| is_like(said, pattern));
        assert!(
            same,
            "LEDGER.md, line {line}: {words:?} prints\n{text}\nnot\n{}",
            printed.join("\n")
        );
        assert_eq!(code(&output), *ends, "LEDGER.md, line {line}: {words:?}");
    }
}

#[test]
fn patterns_are_strict_about_all_else() {
    assert!(is_like("at 12:00 by LSN 7", "at … by LSN 7"));
    assert!(is_like("a b c", "… b …"));
    assert!(is_like("same", "same"));
    assert!(!is_like("at 12:00 by LSN 8", "at … by LSN 7"));
    assert!(!is_like("and at 12:00", "at …"));
    assert!(!is_like("same ", "same"));
    assert_eq!(split("ducat a --b \"c d\"  e"), ["ducat", "a", "--b", "c d", "e"]);
}
