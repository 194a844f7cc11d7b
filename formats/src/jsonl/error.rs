//! What can be wrong with a line of events.

use std::io;

/// A line cannot be imported.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ImportError {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The input failed.
    #[error("cannot read: {0}")]
    Io(io::Error),
    /// There is no header, nor anything else.
    #[error("expected a header, found no line at all")]
    Empty,
    /// The line is longer than any event.
    #[error("expected at most {limit} bytes in a line, found more")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are no text.
    #[error("expected UTF-8, found another byte at column {column}")]
    NotText {
        /// The byte's place in the line, counted from 1.
        column: usize,
    },
    /// The line is no JSON object.
    #[error("expected one JSON object, found something else{}: {reason}", place(*column))]
    Syntax {
        /// The place in the line, counted from 1; 0 is the line as a whole.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key stands twice in an object.
    #[error("key {key:?}: expected once, found again")]
    Twice {
        /// The key.
        key: String,
    },
    /// A key that events of this type do not have.
    #[error("key {key:?}: expected {expected}, found an unknown key of {kind:?}{}", meant(*nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// The type of the event.
        kind: &'static str,
        /// The keys that it may have besides those that it has.
        expected: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A key without which events of this type mean nothing.
    #[error("key {key:?}: expected in every {kind:?}, found none")]
    Missing {
        /// The key.
        key: &'static str,
        /// The type of the event.
        kind: &'static str,
    },
    /// A value of the wrong type or range.
    #[error("key {key:?}: expected {expected}, found {found}{}", meant(*nearest))]
    Value {
        /// The key.
        key: &'static str,
        /// What may stand there.
        expected: String,
        /// What stands there, as written.
        found: String,
        /// The word that may have been meant.
        nearest: Option<&'static str>,
    },
    /// Events before the header.
    #[error("expected the header first, found {found:?}")]
    HeaderFirst {
        /// The type of the event.
        found: String,
    },
    /// Time runs backwards.
    #[error("key \"at\": expected {previous} or more, found {at}; --sort puts events in order")]
    Order {
        /// The event's time in nanoseconds since boot.
        at: u64,
        /// The time of the event before.
        previous: u64,
    },
    /// A sample or close of a connection of which too little is known.
    #[error("connection {conn} was not opened before this {kind:?}: expected its {missing} here, found none")]
    Unintroduced {
        /// The connection's id.
        conn: u64,
        /// The type of the event.
        kind: &'static str,
        /// The keys that are needed.
        missing: String,
    },
}

fn place(column: usize) -> String {
    if column == 0 { String::new() } else { format!(" at column {column}") }
}

fn meant(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}

/// The word of `known` that differs least from `word`, if little enough to be meant.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let (distance, word) = known.iter().map(|candidate| (distance(word, candidate), *candidate)).min()?;
    (distance <= limit).then_some(word)
}

/// Insertions, removals and replacements of characters from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // No word of the events is longer; a key that is need not be compared.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().take(64).enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let up = *cell;
            let cost = usize::from(letter != *other);
            left = (diagonal + cost).min(up + 1).min(left + 1);
            diagonal = up;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_words_are_recognised() {
        let known = ["sent_bytes", "recv_bytes", "pid"];
        assert_eq!(nearest("send_bytes", &known), Some("sent_bytes"));
        assert_eq!(nearest("sentbytes", &known), Some("sent_bytes"));
        assert_eq!(nearest("pdi", &known), None);
        assert_eq!(nearest("pi", &known), Some("pid"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("kitten", "sitting")), (3, 3, 3));
    }
}
