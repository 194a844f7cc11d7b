//! What can be wrong with the objects of a cluster.

use std::fmt;

use crate::jsonl::shown;

/// The text is not what `kubectl get … -o json` prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The text is too long.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// What there is.
        found: usize,
    },
    /// The text is no JSON.
    #[error(
        "line {line}, column {column}: expected JSON as `kubectl get … -o json` prints it, found something else: {reason}"
    )]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// There is no object, not even an empty list.
    #[error("expected a List or an object with a kind, found nothing")]
    Nothing,
    /// A value of the wrong type or range.
    #[error("{path}: expected {expected}, found {found}")]
    Value {
        /// Where: `items[3].spec.ports[0].port`.
        path: String,
        /// What may stand there.
        expected: String,
        /// What stands there, as written.
        found: String,
    },
}

/// A wrong value, while its path is put together from the inside out.
#[derive(Debug)]
pub(super) struct Wrong {
    path: String,
    expected: String,
    found: String,
}

impl Wrong {
    pub(super) fn new(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self { path: String::new(), expected: expected.to_string(), found: shown(&found.to_string()) }
    }

    /// A key that is not there.
    pub(super) fn missing(expected: impl fmt::Display) -> Self {
        Self::new(expected, "none")
    }

    /// The value stands under this key.
    pub(super) fn under(self, key: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{key}{dot}{}", self.path), ..self }
    }

    /// The value stands at this place of a list, counted from 0.
    pub(super) fn at(self, place: usize) -> Self {
        self.under(&format!("[{place}]"))
    }

    /// The value stands in this one of several documents, counted from 1.
    pub(super) fn in_document(self, number: usize) -> Self {
        let whole = if self.path.is_empty() { "the whole" } else { &self.path };
        Self { path: format!("document {number}, {whole}"), ..self }
    }
}

impl From<Wrong> for ReadError {
    fn from(Wrong { path, expected, found }: Wrong) -> Self {
        Self::Value { path: if path.is_empty() { "the whole".to_owned() } else { path }, expected, found }
    }
}
