//! Values of a JSON object with their types.
//!
//! In: parsed JSON. Out: texts, addresses, ports; or what is wrong, with its path. A key that is missing and one that is
//! null are the same, as in the cluster's own interface. Never here: which keys an object has.

use std::net::IpAddr;
use std::sync::Arc;

use netflow_core::event::Transport;
use serde_json::Value;

use super::error::Wrong;

type Read<T> = Result<T, Wrong>;

/// The value under a key, if it is there.
pub(super) fn optional<T>(object: &Value, key: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<Option<T>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).map_err(|wrong| wrong.under(key)),
    }
}

/// The value under a key that must be there.
pub(super) fn required<T>(object: &Value, key: &str, expected: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<T> {
    optional(object, key, read)?.ok_or_else(|| Wrong::missing(expected).under(key))
}

/// The value under a key, or what an empty one gives.
pub(super) fn or_default<T: Default>(object: &Value, key: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<T> {
    Ok(optional(object, key, read)?.unwrap_or_default())
}

/// An object, read by its keys.
pub(super) fn object<T>(value: &Value, read: impl FnOnce(&Value) -> Read<T>) -> Read<T> {
    if value.is_object() { read(value) } else { Err(Wrong::new("an object", value)) }
}

/// The object under a key; none is an empty one.
pub(super) fn within<T: Default>(of: &Value, key: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<T> {
    or_default(of, key, |value| object(value, read))
}

/// Each element of the list under a key; no list is an empty one.
pub(super) fn each(of: &Value, key: &str, mut read: impl FnMut(&Value) -> Read<()>) -> Read<()> {
    or_default(of, key, |value| {
        let list = value.as_array().ok_or_else(|| Wrong::new("a list", value))?;
        for (place, element) in list.iter().enumerate() {
            read(element).map_err(|wrong| wrong.at(place))?;
        }
        Ok(())
    })
}

/// What the elements of the list under a key give.
pub(super) fn gather<T>(
    into: &mut impl Extend<T>,
    of: &Value,
    key: &str,
    read: impl Fn(&Value) -> Read<Option<T>>,
) -> Read<()> {
    each(of, key, |element| {
        into.extend(read(element)?);
        Ok(())
    })
}

/// Likewise, where the elements are objects.
pub(super) fn each_object(of: &Value, key: &str, mut read: impl FnMut(&Value) -> Read<()>) -> Read<()> {
    each(of, key, |element| object(element, &mut read))
}

pub(super) fn text(value: &Value) -> Read<Arc<str>> {
    value.as_str().map(Arc::from).ok_or_else(|| Wrong::new("a string", value))
}

pub(super) fn truth(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| Wrong::new("true or false", value))
}

pub(super) fn address(value: &Value) -> Read<IpAddr> {
    let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    address.map(|ip| ip.to_canonical()).ok_or_else(|| Wrong::new("an address, like \"10.0.0.1\"", value))
}

/// An address where other words may stand (`None`, a name), which are left out.
pub(super) fn address_if_any(value: &Value) -> Read<Option<IpAddr>> {
    Ok(text(value)?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()))
}

pub(super) fn port(value: &Value) -> Read<u16> {
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| Wrong::new("a port from 1 to 65535", value))
}

/// A port, 0 being none.
pub(super) fn port_if_any(value: &Value) -> Read<Option<u16>> {
    if value.as_u64() == Some(0) { Ok(None) } else { port(value).map(Some) }
}

/// The layer above IP of a port; `None` for one that is not recorded.
pub(super) fn transport(of: &Value) -> Read<Option<Transport>> {
    let protocol = optional(of, "protocol", text)?;
    Ok(match protocol.as_deref() {
        None | Some("TCP") => Some(Transport::Tcp),
        Some("UDP") => Some(Transport::Udp),
        Some(_) => None,
    })
}
