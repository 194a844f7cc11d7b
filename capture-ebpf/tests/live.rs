//! stub
#![allow(missing_docs, clippy::unwrap_used)]
use netflow_capture::{Capture, Options};
fn main() {
    let mut c = match Capture::start(&Options::default()) { Ok(c) => c, Err(e) => { println!("{e}"); std::process::exit(1) } };
    let mut ev = Vec::new();
    c.poll(&mut ev).unwrap();
    println!("start: {} events", ev.len());
    for e in &ev { println!("{e:?}"); }
    ev.clear();
    use std::io::{Read, Write};
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let a = l.local_addr().unwrap();
    let t = std::thread::spawn(move || { let (mut s, _) = l.accept().unwrap(); let mut v = vec![]; s.read_to_end(&mut v).unwrap(); s.write_all(b"hello").unwrap(); });
    let mut s = std::net::TcpStream::connect(a).unwrap();
    s.write_all(&[1; 1000]).unwrap(); s.shutdown(std::net::Shutdown::Write).unwrap();
    let mut v = vec![]; s.read_to_end(&mut v).unwrap(); drop(s); t.join().unwrap();
    let u = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let w = std::net::UdpSocket::bind("[::1]:0").unwrap();
    u.send_to(&[0; 33], u.local_addr().unwrap()).unwrap();
    w.send_to(&[0; 44], w.local_addr().unwrap()).unwrap();
    c.snapshot(&mut ev).unwrap();
    drop(w);
    let s = c.stop(&mut ev).unwrap();
    for e in &ev { println!("{e:?}"); }
    println!("{s:#?} {} {}", s.tcp.holds(), s.udp.holds());
}
