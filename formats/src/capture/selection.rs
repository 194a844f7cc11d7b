//! Which fields of events somebody wants to read.

/// What of the events can be read by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// When each event happened.
    At,
    /// The connection that each open, sample and close speaks of.
    Conn,
    /// What is known of connections: ends, owners.
    Identity,
    /// `sent_bytes` of samples and closes.
    SentBytes,
    /// `recv_bytes`, likewise.
    RecvBytes,
    /// `sent_packets`, likewise.
    SentPackets,
    /// `recv_packets`, likewise.
    RecvPackets,
    /// `retransmits`, likewise.
    Retransmits,
    /// `rtt_us`, likewise.
    Rtt,
    /// `rtt_var_us`, likewise.
    RttVar,
    /// `unacked_bytes`, likewise.
    Unacked,
    /// `unread_bytes`, likewise.
    Unread,
    /// Whether each sample and close itself says what is known of its connection.
    Carried,
    /// TCP states and reason of closes.
    Ending,
    /// Whether the snapshot of each tick is complete.
    Complete,
    /// Events that speak of no connection, except ticks.
    Others,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 16] = [
        Self::At,
        Self::Conn,
        Self::Identity,
        Self::SentBytes,
        Self::RecvBytes,
        Self::SentPackets,
        Self::RecvPackets,
        Self::Retransmits,
        Self::Rtt,
        Self::RttVar,
        Self::Unacked,
        Self::Unread,
        Self::Carried,
        Self::Ending,
        Self::Complete,
        Self::Others,
    ];
}

/// A set of fields. What kind each event is, is always read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection(u32);

impl Selection {
    /// Every field.
    pub const ALL: Self = Self::of(&Field::ALL);

    /// What a batch of events needs at least; identities are read where an event says them.
    pub(super) const BATCH: Self = Self::of(&[
        Field::At,
        Field::Conn,
        Field::SentBytes,
        Field::RecvBytes,
        Field::SentPackets,
        Field::RecvPackets,
        Field::Retransmits,
        Field::Unacked,
        Field::Unread,
        Field::Carried,
        Field::Ending,
        Field::Complete,
        Field::Others,
    ]);

    /// These fields.
    #[must_use]
    pub const fn of(fields: &[Field]) -> Self {
        let (mut bits, mut place) = (0, 0);
        while place < fields.len() {
            bits |= 1 << fields[place] as u32;
            place += 1;
        }
        Self(bits)
    }

    /// The fields of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set with one more field.
    #[must_use]
    pub const fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u32)
    }

    /// The set without a field.
    #[must_use]
    pub const fn without(self, field: Field) -> Self {
        Self(self.0 & !(1 << field as u32))
    }

    /// Whether the field is in the set.
    #[must_use]
    pub const fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }
}
