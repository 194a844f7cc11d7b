//! What of a capture a later version wrote, so that this one could not read it.
//!
//! In: each such part as it is met. Out: how many there are, in numbers and in words. Never here: bytes, and whether that is
//! enough to end with.

use std::fmt;

/// What was passed over because a later version wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassedOver {
    /// Blocks of kinds that this version does not know.
    pub blocks: u64,
    /// Events in these blocks, as their headers say. They are missing: they may be of kinds that this version knows.
    pub block_events: u64,
    /// Events of kinds that this version does not know, in blocks that were read. The others are whole without them.
    pub events: u64,
    /// Blocks of events that have columns which this version does not know. Their events are whole without them.
    pub wider_blocks: u64,
}

impl PassedOver {
    /// All of the input was read.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_add(other.blocks),
            block_events: self.block_events.saturating_add(other.block_events),
            events: self.events.saturating_add(other.events),
            wider_blocks: self.wider_blocks.saturating_add(other.wider_blocks),
        }
    }

    /// What was passed over since this was `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(before.blocks),
            block_events: self.block_events.saturating_sub(before.block_events),
            events: self.events.saturating_sub(before.events),
            wider_blocks: self.wider_blocks.saturating_sub(before.wider_blocks),
        }
    }
}

/// `1 unknown block with 7 events, 2 events of unknown kinds, unknown columns in 3 blocks`, of which only what there is.
impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let mut parts = Vec::new();
        if self.blocks > 0 {
            let (blocks, events) = (self.blocks, self.block_events);
            let held = if events > 0 { format!("{events} event{}", plural(events)) } else { "no event".to_owned() };
            parts.push(format!("{blocks} unknown block{} with {held}", plural(blocks)));
        }
        if self.events > 0 {
            let (events, kinds) = (self.events, if self.events == 1 { "an unknown kind" } else { "unknown kinds" });
            parts.push(format!("{events} event{} of {kinds}", plural(events)));
        }
        if self.wider_blocks > 0 {
            parts.push(format!("unknown columns in {} block{}", self.wider_blocks, plural(self.wider_blocks)));
        }
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_a_sentence_would() {
        let says = |blocks, block_events, events, wider_blocks| {
            PassedOver { blocks, block_events, events, wider_blocks }.to_string()
        };
        assert_eq!(says(0, 0, 0, 0), "nothing");
        assert_eq!(says(1, 0, 0, 0), "1 unknown block with no event");
        assert_eq!(says(2, 1, 1, 0), "2 unknown blocks with 1 event, 1 event of an unknown kind");
        assert_eq!(says(0, 0, 2, 3), "2 events of unknown kinds, unknown columns in 3 blocks");
    }
}
