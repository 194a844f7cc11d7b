//! From the counters of `tcp_sock` to what the application sent and received, to the byte.
//!
//! In: a record of raw counters. Out: totals, states and the reason of the end. Never here: anything but arithmetic.
//!
//! The kernel counts sequence numbers, and SYN and FIN take one each:
//!
//! * `bytes_acked` has the SYN of the end that connected (an accepting end starts after its SYN), and our FIN once the
//!   peer has acknowledged it.
//! * `bytes_received` has the peer's FIN once it was taken in, and never the peer's SYN.
//! * `write_seq - snd_una` is what is not acknowledged yet, with a SYN or FIN of ours that is still on its way.

use netflow_capture_abi::{OUTGOING, TcpCounters, TcpRecord};
use netflow_core::event::{Reason, TcpStates, Totals};

const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;

/// What `sk_err` says at the end of a connection.
mod errno {
    /// An error number as the kernel's counters carry it.
    macro_rules! numbers {
        ($($name:ident)*) => { $(pub(super) const $name: u32 = libc::$name.unsigned_abs();)* };
    }
    numbers! {
        ECONNREFUSED ECONNRESET ECONNABORTED EPIPE ETIMEDOUT
        EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN ENONET EACCES ENOPROTOOPT EOPNOTSUPP EPROTO
    }
}

/// What the application sent and received, and what the kernel measured.
#[must_use]
pub fn totals(record: &TcpRecord) -> Totals {
    let counters = &record.counters;
    let connected = u64::from(record.identity.direction == OUTGOING);
    let syn_acked = if counters.bytes_acked > 0 { connected } else { 0 };
    let in_flight = u64::from(counters.write_seq.wrapping_sub(counters.snd_una));
    let written =
        (counters.bytes_acked + in_flight).saturating_sub(connected).saturating_sub(u64::from(fin_sent(counters)));
    let acked = counters.bytes_acked.saturating_sub(syn_acked).saturating_sub(u64::from(fin_acked(counters)));
    let fin_received = u64::from(counters.fin_received);
    let received = counters.bytes_received.saturating_sub(fin_received);
    let unread = u64::from(counters.rcv_nxt.wrapping_sub(counters.copied_seq)).saturating_sub(fin_received);
    Totals {
        sent_bytes: written,
        recv_bytes: received,
        sent_packets: counters.segs_out.into(),
        recv_packets: counters.segs_in.into(),
        retransmits: counters.total_retrans.into(),
        rtt_us: counters.srtt_us >> 3,
        // Before the first measurement the kernel holds its initial timeout here.
        rtt_var_us: if counters.srtt_us >> 3 == 0 { 0 } else { counters.mdev_us >> 2 },
        unacked_bytes: written.saturating_sub(acked),
        // A socket that was never read has `copied_seq` where it began, which is no more than what came.
        unread_bytes: unread.min(received),
    }
}

fn has(counters: &TcpCounters, state: u8) -> bool {
    counters.states >> state & 1 == 1
}

/// Our FIN is part of `write_seq`. A connection that was found in FIN_WAIT2 had been in FIN_WAIT1 before.
fn fin_sent(counters: &TcpCounters) -> bool {
    [FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING].into_iter().any(|state| has(counters, state))
}

/// Our FIN is part of `bytes_acked`.
fn fin_acked(counters: &TcpCounters) -> bool {
    has(counters, FIN_WAIT2)
        || (matches!(counters.previous_state, FIN_WAIT1 | LAST_ACK | CLOSING)
            && has(counters, CLOSE)
            && counters.write_seq == counters.snd_una)
}

/// The states that the connection passed through.
#[must_use]
pub fn states(record: &TcpRecord) -> TcpStates {
    TcpStates::from_bits(record.counters.states).unwrap_or_default()
}

/// Why a connection that is over ended.
///
/// The kernel leaves an error in the socket where one ended it; where none did, the states tell.
///
/// | error | never established | established |
/// |---|---|---|
/// | `ECONNREFUSED` | refused: a reset, or ICMP's "port unreachable", answered the SYN | unreachable: ICMP said so, and then the peer was silent for too long |
/// | `ETIMEDOUT` | timeout | timeout |
/// | `EHOSTUNREACH`, `ENETUNREACH`, … (whatever else ICMP can say) | unreachable | unreachable, after silence for too long |
/// | `ECONNRESET`, `EPIPE`, `ECONNABORTED` | rst | rst |
/// | none | unknown: the application gave up waiting, or this host could not send | fin or rst, by the states |
#[must_use]
pub fn reason(record: &TcpRecord) -> Reason {
    use errno::{
        EACCES, ECONNABORTED, ECONNREFUSED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENONET,
        ENOPROTOOPT, EOPNOTSUPP, EPIPE, EPROTO, ETIMEDOUT,
    };
    let counters = &record.counters;
    match counters.error {
        0 => {}
        ETIMEDOUT => return Reason::Timeout,
        ECONNREFUSED if !has(counters, ESTABLISHED) => return Reason::Refused,
        ECONNREFUSED | EHOSTUNREACH | ENETUNREACH | EHOSTDOWN | ENETDOWN | ENONET | EACCES | ENOPROTOOPT
        | EOPNOTSUPP | EPROTO => return Reason::Unreachable,
        ECONNRESET | EPIPE | ECONNABORTED => return Reason::Rst,
        _ => return Reason::Unknown,
    }
    match counters.previous_state {
        // Both ends were done: the peer's FIN came and ours was acknowledged, or a timer watches over the rest.
        FIN_WAIT2 | CLOSING => Reason::Fin,
        FIN_WAIT1 | LAST_ACK if counters.write_seq == counters.snd_una => Reason::Fin,
        // No FIN of ours, no error from the peer: this end broke it off.
        ESTABLISHED | CLOSE_WAIT => Reason::Rst,
        // SYN_SENT among them: the application gave up waiting.
        _ => Reason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_capture_abi::{Head, INCOMING, Identity};

    const SYN_SENT: u8 = 2;

    fn record(direction: u8, states: &[u8], counters: TcpCounters) -> TcpRecord {
        let identity = Identity { direction, ..Identity::default() };
        let bits = states.iter().fold(0, |bits, state| bits | 1 << state);
        let previous = states.len().checked_sub(2).map_or(0, |at| states[at]);
        let counters = TcpCounters { states: bits, previous_state: previous, ..counters };
        TcpRecord { head: Head::default(), identity, counters }
    }

    /// 100 bytes out, 50 in, both FINs exchanged, the connecting end first.
    #[test]
    fn syn_and_fin_are_no_payload() {
        let client = record(
            OUTGOING,
            &[SYN_SENT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE],
            TcpCounters {
                bytes_acked: 102,
                bytes_received: 51,
                write_seq: 1000,
                snd_una: 1000,
                rcv_nxt: 500,
                copied_seq: 500,
                fin_received: 1,
                ..TcpCounters::default()
            },
        );
        let totals = totals(&client);
        assert_eq!((totals.sent_bytes, totals.unacked_bytes), (100, 0));
        assert_eq!((totals.recv_bytes, totals.unread_bytes), (50, 0));
        assert_eq!(reason(&client), Reason::Fin);
        assert!(states(&client).has_established());

        let server = record(
            INCOMING,
            &[3, ESTABLISHED, CLOSE_WAIT, LAST_ACK, CLOSE],
            TcpCounters {
                bytes_acked: 51,
                bytes_received: 101,
                write_seq: 7,
                snd_una: 7,
                rcv_nxt: 100,
                copied_seq: 99,
                fin_received: 1,
                ..TcpCounters::default()
            },
        );
        let totals = super::totals(&server);
        assert_eq!((totals.sent_bytes, totals.unacked_bytes), (50, 0));
        assert_eq!((totals.recv_bytes, totals.unread_bytes), (100, 0));
        assert_eq!(reason(&server), Reason::Fin);
    }

    #[test]
    fn a_refused_connect_sent_nothing() {
        let refused = record(
            OUTGOING,
            &[SYN_SENT, CLOSE],
            TcpCounters { write_seq: 11, snd_una: 10, error: 111, segs_out: 1, ..TcpCounters::default() },
        );
        assert_eq!(totals(&refused), Totals { sent_packets: 1, ..Totals::default() });
        assert_eq!(reason(&refused), Reason::Refused);
        assert!(!states(&refused).has_established());
    }

    /// The numbers are those of the kernel's headers, written out: what the kernel says, not what we call it.
    #[test]
    fn errors_say_why_a_connection_ended() {
        let table = [
            (111, Reason::Refused, Reason::Unreachable),
            (110, Reason::Timeout, Reason::Timeout),
            (113, Reason::Unreachable, Reason::Unreachable),
            (101, Reason::Unreachable, Reason::Unreachable),
            (112, Reason::Unreachable, Reason::Unreachable),
            (64, Reason::Unreachable, Reason::Unreachable),
            (13, Reason::Unreachable, Reason::Unreachable),
            (92, Reason::Unreachable, Reason::Unreachable),
            (95, Reason::Unreachable, Reason::Unreachable),
            (71, Reason::Unreachable, Reason::Unreachable),
            (104, Reason::Rst, Reason::Rst),
            (32, Reason::Rst, Reason::Rst),
            (103, Reason::Rst, Reason::Rst),
            (12, Reason::Unknown, Reason::Unknown),
            (u32::MAX, Reason::Unknown, Reason::Unknown),
            (0, Reason::Unknown, Reason::Rst),
        ];
        for (error, connecting, established) in table {
            let counters = TcpCounters { error, ..TcpCounters::default() };
            assert_eq!(reason(&record(OUTGOING, &[SYN_SENT, CLOSE], counters)), connecting, "{error}");
            assert_eq!(reason(&record(OUTGOING, &[SYN_SENT, ESTABLISHED, CLOSE], counters)), established, "{error}");
        }
    }

    #[test]
    fn an_abort_leaves_bytes_unacknowledged_and_unread() {
        // 3000 written, 1000 of them and the SYN acknowledged when the reset came; sequence numbers wrap.
        let aborted = record(
            OUTGOING,
            &[SYN_SENT, ESTABLISHED, CLOSE],
            TcpCounters {
                bytes_acked: 1001,
                bytes_received: 30,
                write_seq: 1500,
                snd_una: 1500_u32.wrapping_sub(2000),
                rcv_nxt: 5,
                copied_seq: 5_u32.wrapping_sub(20),
                error: 104,
                srtt_us: 800,
                mdev_us: 40,
                ..TcpCounters::default()
            },
        );
        let totals = totals(&aborted);
        assert_eq!((totals.sent_bytes, totals.unacked_bytes), (3000, 2000));
        assert_eq!((totals.recv_bytes, totals.unread_bytes), (30, 20));
        assert_eq!((totals.rtt_us, totals.rtt_var_us), (100, 10));
        assert_eq!(reason(&aborted), Reason::Rst);
    }

    #[test]
    fn a_sample_counts_the_fin_in_flight() {
        let lingering = record(
            INCOMING,
            &[ESTABLISHED, FIN_WAIT1],
            TcpCounters { bytes_acked: 10, write_seq: 26, snd_una: 20, ..TcpCounters::default() },
        );
        let totals = totals(&lingering);
        assert_eq!((totals.sent_bytes, totals.unacked_bytes), (15, 5));
    }
}
