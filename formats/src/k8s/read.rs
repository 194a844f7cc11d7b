//! From text to objects.
//!
//! In: one or several documents, each a list of objects or an object. Out: [`Objects`]. Never here: what is read of each
//! kind.

use std::borrow::Cow;
use std::fmt;

use netflow_core::k8s::Objects;
use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ReadError, Wrong};
use super::kinds::Gathered;
use super::{MAX_BYTES, MAX_DEPTH, MAX_OBJECT_BYTES, kinds};

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
    let mut gathered = Gathered::default();
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().enumerate().peekable();
    while let Some((place, document)) = documents.next() {
        let document = document.map_err(|error| ReadError::Syntax {
            line: error.line(),
            column: error.column(),
            reason: reason(&error),
        })?;
        // One document alone needs no number.
        let is_alone = place == 0 && documents.peek().is_none();
        let read = any(document.get(), None, 0, &mut gathered);
        read.map_err(|wrong| if is_alone { wrong } else { wrong.in_document(place + 1) })?;
        if is_alone {
            return Ok(gathered.objects);
        }
    }
    if text.trim_ascii().is_empty() { Err(ReadError::Nothing) } else { Ok(gathered.objects) }
}

/// A list of objects, or an object; `kind` is what the list around it says of its elements.
fn any(raw: &str, kind: Option<&str>, depth: usize, gathered: &mut Gathered) -> Result<(), Wrong> {
    if raw.starts_with('[') {
        return list(raw, kind, depth, gathered);
    }
    if !raw.starts_with('{') {
        return Err(Wrong::new("a List or an object with a kind", raw));
    }
    let head: Head<'_> = parse(raw)?;
    let kind = head.kind.as_deref().or(kind).ok_or_else(|| Wrong::missing("a string").under("kind"))?;
    match (kind.strip_suffix("List"), head.items) {
        (Some(of), Some(items)) => {
            let of = Some(of).filter(|of| !of.is_empty());
            list(items.get(), of, depth, gathered).map_err(|wrong| wrong.under("items"))
        }
        (Some(""), None) => Err(Wrong::missing("a list").under("items")),
        _ => match kinds::reader(kind) {
            Some(read) => {
                if raw.len() > MAX_OBJECT_BYTES {
                    return Err(Wrong::new(format_args!("an object of at most {MAX_OBJECT_BYTES} bytes"), raw.len()));
                }
                let item: Value = parse(raw)?;
                read(&item, &kinds::name(&item)?, gathered)
            }
            None => Ok(()),
        },
    }
}

fn list(raw: &str, kind: Option<&str>, depth: usize, gathered: &mut Gathered) -> Result<(), Wrong> {
    if depth == MAX_DEPTH {
        return Err(Wrong::new(format_args!("at most {MAX_DEPTH} lists in each other"), "more"));
    }
    if !raw.starts_with('[') {
        return Err(Wrong::new("a list", raw));
    }
    let mut items = Items { kind, depth: depth + 1, gathered, wrong: None };
    let read = serde_json::Deserializer::from_str(raw).deserialize_seq(&mut items);
    match (items.wrong, read) {
        (Some(wrong), _) => Err(wrong),
        (None, Err(error)) => Err(Wrong::new("a list", reason(&error))),
        (None, Ok(())) => Ok(()),
    }
}

/// Reads the elements of a list one by one: a list of nothing would take eight times its text.
struct Items<'k, 'g> {
    kind: Option<&'k str>,
    depth: usize,
    gathered: &'g mut Gathered,
    wrong: Option<Wrong>,
}

impl<'de> Visitor<'de> for &mut Items<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(item) = items.next_element::<&RawValue>()? {
            if let Err(wrong) = any(item.get(), self.kind, self.depth, self.gathered) {
                self.wrong = Some(wrong.at(place));
                return Err(A::Error::custom("an element"));
            }
            place += 1;
        }
        Ok(())
    }
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
