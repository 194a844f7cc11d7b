//! One JSON object: its keys are taken out one by one with their types, and what is left over is an error.
//!
//! In: a line. Out: exact numbers, words, addresses; or a problem that names the key. Never here: which keys an event has.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use netflow_core::address::Endpoint;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Problem, nearest};

/// No event has as many keys; what a line of nothing but keys takes is many times its length.
const MAX_KEYS: usize = 64;
/// Elements that a list may have: more than a command can have words.
const MAX_ELEMENTS: usize = 1 << 18;

/// Keys and values as written.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    if fields.len() == MAX_KEYS {
                        return Err(A::Error::custom(format_args!("expected at most {MAX_KEYS} keys")));
                    }
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A list of strings.
struct Strings(Vec<String>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Strings;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strings, A::Error> {
                let mut strings = Vec::new();
                while let Some(string) = list.next_element()? {
                    if strings.len() == MAX_ELEMENTS {
                        return Err(A::Error::custom("too many"));
                    }
                    strings.push(string);
                }
                Ok(Strings(strings))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// The rest of a line's object.
pub(super) struct Object<'a> {
    fields: Vec<(String, &'a RawValue)>,
    kind: &'static str,
    asked: Vec<&'static str>,
}

/// A value as written, cut where it is long.
pub(crate) fn shown(raw: &str) -> String {
    match raw.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", raw.get(..end).unwrap_or(raw)),
        None => raw.to_owned(),
    }
}

impl<'a> Object<'a> {
    /// Reads a line; the keys must differ.
    pub(super) fn parse(line: &'a str) -> Result<Self, Problem> {
        let Fields(fields) = serde_json::from_str(line).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
            Problem::Syntax { column: error.column(), reason }
        })?;
        let mut keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if let Some(key) =
            keys.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())).flatten()
        {
            return Err(Problem::Twice { key: (*key).to_owned() });
        }
        Ok(Self { fields, kind: "event", asked: Vec::new() })
    }

    pub(super) fn set_kind(&mut self, kind: &'static str) {
        self.kind = kind;
    }

    /// Takes a key out.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<&'a str> {
        self.asked.push(key);
        let place = self.fields.iter().position(|(known, _)| known == key)?;
        Some(self.fields.swap_remove(place).1.get())
    }

    fn wrong(key: &'static str, expected: impl fmt::Display, found: &str) -> Problem {
        Problem::Value { key, expected: expected.to_string(), found: shown(found), nearest: None }
    }

    fn integer<T: FromStr>(key: &'static str, raw: &str, range: &str) -> Result<T, Problem> {
        // `FromStr` would take a plus sign, which JSON has not; the parser has seen to that.
        raw.parse().map_err(|_| Self::wrong(key, format_args!("an integer from {range}"), raw))
    }

    fn required<T>(&self, key: &'static str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or(Problem::Missing { key, kind: self.kind })
    }

    /// A value that may be missing, or null; the outer `None` is missing, the inner one null.
    fn nullable<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<Option<Option<T>>, Problem> {
        match self.raw(key) {
            None => Ok(None),
            Some("null") => Ok(Some(None)),
            Some(raw) => read(raw).map(|value| Some(Some(value))),
        }
    }

    pub(super) fn u64(&mut self, key: &'static str) -> Result<Option<u64>, Problem> {
        self.raw(key).map(|raw| Self::integer(key, raw, "0 to 18446744073709551615")).transpose()
    }

    pub(super) fn i64(&mut self, key: &'static str) -> Result<Option<i64>, Problem> {
        self.raw(key).map(|raw| Self::integer(key, raw, "-9223372036854775808 to 9223372036854775807")).transpose()
    }

    pub(super) fn u32(&mut self, key: &'static str) -> Result<Option<u32>, Problem> {
        self.raw(key).map(|raw| Self::integer(key, raw, "0 to 4294967295")).transpose()
    }

    pub(super) fn u16(&mut self, key: &'static str) -> Result<Option<u16>, Problem> {
        self.raw(key).map(|raw| Self::integer(key, raw, "0 to 65535")).transpose()
    }

    pub(super) fn required_u64(&mut self, key: &'static str) -> Result<u64, Problem> {
        let value = self.u64(key)?;
        self.required(key, value)
    }

    pub(super) fn required_i64(&mut self, key: &'static str) -> Result<i64, Problem> {
        let value = self.i64(key)?;
        self.required(key, value)
    }

    pub(super) fn required_u32(&mut self, key: &'static str) -> Result<u32, Problem> {
        let value = self.u32(key)?;
        self.required(key, value)
    }

    pub(super) fn nullable_u32(&mut self, key: &'static str) -> Result<Option<Option<u32>>, Problem> {
        self.nullable(key, |raw| Self::integer(key, raw, "0 to 4294967295"))
    }

    pub(super) fn nullable_u64(&mut self, key: &'static str) -> Result<Option<Option<u64>>, Problem> {
        self.nullable(key, |raw| Self::integer(key, raw, "0 to 18446744073709551615"))
    }

    pub(super) fn bool(&mut self, key: &'static str) -> Result<Option<bool>, Problem> {
        match self.raw(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(raw) => Err(Self::wrong(key, "true or false", raw)),
        }
    }

    fn text(key: &'static str, raw: &str) -> Result<String, Problem> {
        serde_json::from_str(raw).map_err(|_| Self::wrong(key, "a string", raw))
    }

    pub(super) fn string(&mut self, key: &'static str) -> Result<Option<String>, Problem> {
        self.raw(key).map(|raw| Self::text(key, raw)).transpose()
    }

    pub(super) fn required_text(&mut self, key: &'static str) -> Result<Arc<str>, Problem> {
        let value = self.string(key)?;
        self.required(key, value).map(Arc::from)
    }

    pub(super) fn nullable_text(&mut self, key: &'static str) -> Result<Option<Option<Arc<str>>>, Problem> {
        self.nullable(key, |raw| Self::text(key, raw).map(Arc::from))
    }

    pub(super) fn strings(&mut self, key: &'static str) -> Result<Option<Vec<String>>, Problem> {
        let expected = format_args!("a list of at most {MAX_ELEMENTS} strings");
        let read = |raw| serde_json::from_str(raw).map_err(|_| Self::wrong(key, expected, raw));
        Ok(self.raw(key).map(read).transpose()?.map(|Strings(list)| list))
    }

    /// One of a few words.
    pub(super) fn word(key: &'static str, raw: &str, words: &[&'static str]) -> Result<usize, Problem> {
        let text = serde_json::from_str::<String>(raw).ok();
        let place = words.iter().position(|word| Some(*word) == text.as_deref());
        place.ok_or_else(|| Problem::Value {
            key,
            expected: listed(words),
            found: shown(raw),
            nearest: text.and_then(|text| nearest(&text, words)),
        })
    }

    pub(super) fn nullable_word(
        &mut self,
        key: &'static str,
        words: &[&'static str],
    ) -> Result<Option<Option<usize>>, Problem> {
        self.nullable(key, |raw| Self::word(key, raw, words))
    }

    pub(super) fn required_word(&mut self, key: &'static str, words: &[&'static str]) -> Result<usize, Problem> {
        let value = self.raw(key).map(|raw| Self::word(key, raw, words)).transpose()?;
        self.required(key, value)
    }

    pub(super) fn endpoint(&mut self, key: &'static str) -> Result<Option<Endpoint>, Problem> {
        let expected = "an address with a port, like \"10.0.0.1:443\" or \"[2001:db8::1]:443\"";
        let read = |raw: &str| {
            let text = serde_json::from_str::<String>(raw).ok();
            text.and_then(|text| text.parse().ok()).ok_or_else(|| Self::wrong(key, expected, raw))
        };
        self.raw(key).map(read).transpose()
    }

    pub(super) fn required_endpoint(&mut self, key: &'static str) -> Result<Endpoint, Problem> {
        let value = self.endpoint(key)?;
        self.required(key, value)
    }

    pub(super) fn required_ip(&mut self, key: &'static str) -> Result<IpAddr, Problem> {
        let raw = self.raw(key);
        let raw = self.required(key, raw)?;
        let text = serde_json::from_str::<String>(raw).ok();
        let ip = text.and_then(|text| text.parse::<IpAddr>().ok());
        ip.map(|ip| ip.to_canonical()).ok_or_else(|| Self::wrong(key, "an address, like \"10.0.0.1\"", raw))
    }

    /// JSON that is kept as written: an object or a list; or a string, whose content is kept.
    pub(super) fn required_json(&mut self, key: &'static str) -> Result<Arc<str>, Problem> {
        let raw = self.raw(key);
        let raw = self.required(key, raw)?;
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => Ok(Arc::from(raw)),
            Some(b'"') => Self::text(key, raw).map(Arc::from),
            _ => Err(Self::wrong(key, "an object, a list or a string", raw)),
        }
    }

    /// Ends the object: every key was asked for.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let Some((key, _)) = self.fields.into_iter().next() else { return Ok(()) };
        let nearest = nearest(&key, &self.asked);
        let expected = listed(&self.asked);
        Err(Problem::UnknownKey { key, kind: self.kind, expected, nearest })
    }
}

/// `"a", "b" or "c"`.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
