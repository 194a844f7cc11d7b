//! From text to objects.
//!
//! In: one or several documents, each a list of objects or an object. Out: [`Objects`]. Never here: what is read of each
//! kind.

use std::borrow::Cow;

use netflow_core::k8s::Objects;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ReadError, Wrong};
use super::{MAX_BYTES, MAX_DEPTH, kinds};

/// The two keys by which a document is told.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    items: Option<&'a RawValue>,
}

/// Reads the objects of a cluster: a `List` of any kinds, or several documents one after the other. Kinds that say
/// nothing of addresses are left out.
///
/// # Errors
/// Text that is no such JSON, or a value of the wrong type.
pub fn read(text: &str) -> Result<Objects, ReadError> {
    if text.len() > MAX_BYTES {
        return Err(ReadError::TooLong { limit: MAX_BYTES, found: text.len() });
    }
    let mut objects = Objects::default();
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().enumerate().peekable();
    while let Some((place, document)) = documents.next() {
        let document = document.map_err(|error| ReadError::Syntax {
            line: error.line(),
            column: error.column(),
            reason: reason(&error),
        })?;
        // One document alone needs no number.
        let is_alone = place == 0 && documents.peek().is_none();
        let read = any(document.get(), None, 0, &mut objects);
        read.map_err(|wrong| if is_alone { wrong } else { wrong.in_document(place + 1) })?;
        if is_alone {
            return Ok(objects);
        }
    }
    if text.trim_ascii().is_empty() { Err(ReadError::Nothing) } else { Ok(objects) }
}

/// A list of objects, or an object; `kind` is what the list around it says of its elements.
fn any(raw: &str, kind: Option<&str>, depth: usize, objects: &mut Objects) -> Result<(), Wrong> {
    if raw.starts_with('[') {
        return list(raw, kind, depth, objects);
    }
    if !raw.starts_with('{') {
        return Err(Wrong::new("a List or an object with a kind", raw));
    }
    let head: Head<'_> = parse(raw)?;
    let kind = head.kind.as_deref().or(kind).ok_or_else(|| Wrong::missing("a string").under("kind"))?;
    match (kind.strip_suffix("List"), head.items) {
        (Some(of), Some(items)) => {
            let of = Some(of).filter(|of| !of.is_empty());
            list(items.get(), of, depth, objects).map_err(|wrong| wrong.under("items"))
        }
        (Some(""), None) => Err(Wrong::missing("a list").under("items")),
        _ => match kinds::reader(kind) {
            Some(read) => {
                let item: Value = parse(raw)?;
                read(&item, &kinds::name(&item)?, objects)
            }
            None => Ok(()),
        },
    }
}

fn list(raw: &str, kind: Option<&str>, depth: usize, objects: &mut Objects) -> Result<(), Wrong> {
    if depth == MAX_DEPTH {
        return Err(Wrong::new(format_args!("at most {MAX_DEPTH} lists in each other"), "more"));
    }
    if !raw.starts_with('[') {
        return Err(Wrong::new("a list", raw));
    }
    let items: Vec<&RawValue> = parse(raw)?;
    for (place, item) in items.into_iter().enumerate() {
        any(item.get(), kind, depth + 1, objects).map_err(|wrong| wrong.at(place))?;
    }
    Ok(())
}

/// Parses what is known to be JSON: what goes wrong is its types, or how deep it is.
fn parse<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, Wrong> {
    serde_json::from_str(raw).map_err(|error| {
        let reason = reason(&error);
        match reason.strip_prefix("invalid type: ").and_then(|reason| reason.split_once(", expected ")) {
            Some((found, expected)) => Wrong::new(expected, found).under("kind"),
            None => Wrong::new("an object of a cluster, nested less than 128 deep", reason),
        }
    })
}

fn reason(error: &serde_json::Error) -> String {
    let reason = error.to_string();
    reason.split(" at line ").next().unwrap_or(&reason).to_owned()
}
