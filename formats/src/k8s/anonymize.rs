//! The state of a cluster under other names and addresses.
//!
//! In: the text of an event. Out: such a text. Never here: what becomes of a name.

use netflow_core::anonymize::Anonymizer;

use super::error::ReadError;
use super::read::read;
use super::write::write;

/// The state as a capture keeps it, with every name and address replaced.
///
/// # Errors
/// When the text is no state that can be read.
pub fn anonymize(state: &str, anonymizer: &mut Anonymizer) -> Result<String, ReadError> {
    Ok(write(&anonymizer.objects(&read(state)?)))
}
