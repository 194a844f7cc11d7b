//! A small stream of events, written by hand: two connections over two ticks and a failed connect.

use std::path::Path;

use crate::run::netflow_with_input;

/// Times are in ns since boot; the boot was at 2026-01-31T12:00:00Z.
pub(crate) const EVENTS: &str = r#"{"type":"header","boot_time_ns":1769860800000000000,"interval_ms":1000,"host":"db1","ephemeral_port_min":32768}
{"type":"open","at":1000000000,"conn":1,"transport":"tcp","local":"10.0.0.1:40001","remote":"10.0.0.2:5432","direction":"outgoing","pid":7,"process":"psql","netns":4026531840}
{"type":"open","at":1000000000,"conn":2,"transport":"udp","local":"10.0.0.1:40002","remote":"[::ffff:10.0.0.53]:53","direction":"outgoing","pid":8,"process":"dig","netns":4026531840}
{"type":"sample","at":2000000000,"conn":1,"sent_bytes":100,"recv_bytes":2000,"sent_packets":5,"recv_packets":6,"rtt_us":150}
{"type":"sample","at":2000000000,"conn":2,"sent_bytes":40,"recv_bytes":90,"sent_packets":1,"recv_packets":1}
{"type":"tick","at":2000000000}
{"type":"close","at":2500000000,"conn":1,"sent_bytes":110,"recv_bytes":2500,"sent_packets":8,"recv_packets":9,"retransmits":1,"rtt_us":250,"tcp_states":["syn_sent","established","fin_wait1","close"],"reason":"fin"}
{"type":"close","at":2600000000,"conn":3,"transport":"tcp","local":"10.0.0.1:40003","remote":"10.0.0.2:81","direction":"outgoing","pid":9,"process":"curl","netns":4026531840,"tcp_states":["syn_sent","close"],"reason":"rst"}
{"type":"sample","at":3000000000,"conn":2,"sent_bytes":40,"recv_bytes":90,"sent_packets":1,"recv_packets":1}
{"type":"tick","at":3000000000}
"#;

/// Makes `events.nfcap` in the folder.
pub(crate) fn capture(folder: &Path) {
    netflow_with_input(folder, &["import", "-", "-o", "events.nfcap"], EVENTS.as_bytes()).ok();
}
