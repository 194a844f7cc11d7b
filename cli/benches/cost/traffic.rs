//! The traffic: one thread that is both ends of every connection, or two that wait for each other.
//!
//! In: how many operations. Out: processor time and wall time of each. With one thread, both ends, the loopback interface
//! and its softirqs run in it, so its processor time is all that the traffic takes, whoever else uses the machine; and
//! because nothing is waited for and nothing is switched to, there is no cheaper traffic to be slowed down. Two threads are
//! what applications on one host are like.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::sys::{self, Processors};

/// What is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// A connection is made, accepted and closed at both ends, without a byte.
    Connect,
    /// 64 bytes there and 64 back on one connection.
    Request,
    /// 64 KiB on one connection.
    Bulk,
    /// A datagram of 64 bytes between two connected sockets.
    Datagram,
    /// As `Request`, the ends in two threads.
    RequestAcross,
    /// As `Bulk`, the ends in two threads.
    BulkAcross,
}

/// What operations took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    count: u32,
    cpu: Duration,
    wall: Duration,
}

impl Taken {
    /// Nanoseconds of processor time for one.
    pub(crate) fn cpu(self) -> f64 {
        self.cpu.as_nanos() as f64 / f64::from(self.count)
    }

    /// Nanoseconds for one.
    pub(crate) fn wall(self) -> f64 {
        self.wall.as_nanos() as f64 / f64::from(self.count)
    }
}

const SMALL: [u8; 64] = [7; 64];
const CHUNK: usize = 64 << 10;

impl Traffic {
    /// What one thread does.
    pub(crate) const ALONE: [Self; 4] = [Self::Connect, Self::Request, Self::Bulk, Self::Datagram];
    pub(crate) const ALL: [Self; 6] =
        [Self::Connect, Self::Request, Self::Bulk, Self::Datagram, Self::RequestAcross, Self::BulkAcross];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "TCP connect-close",
            Self::Request => "TCP request-response",
            Self::Bulk => "TCP bulk, 64 KiB",
            Self::Datagram => "UDP datagram",
            Self::RequestAcross => "TCP request-response between two threads",
            Self::BulkAcross => "TCP bulk between two threads, 64 KiB",
        }
    }

    /// A word for files.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Connect => "connect_close",
            Self::Request => "request_response",
            Self::Bulk => "bulk",
            Self::Datagram => "datagram",
            Self::RequestAcross => "request_response_across",
            Self::BulkAcross => "bulk_across",
        }
    }

    /// Does it so many times, with sockets of its own.
    pub(crate) fn run(self, count: u32) -> io::Result<Taken> {
        // Threads and processes that are started inherit the processors: only this loop is to be kept on one.
        let allowed = Processors::allowed()?;
        allowed.last().take()?;
        let result = match self {
            Self::Connect => Ends::listen().and_then(|ends| timed(count, || ends.connect().map(drop))),
            Self::Request => Ends::listen().and_then(|ends| {
                let pair = ends.connect()?;
                timed(count, || request(&pair))
            }),
            Self::Bulk => Ends::listen().and_then(|ends| {
                let pair = ends.connect()?;
                pair.0.set_nonblocking(true)?;
                pair.1.set_nonblocking(true)?;
                let mut buffer = vec![7; CHUNK];
                timed(count, || bulk(&pair, &mut buffer))
            }),
            Self::Datagram => datagrams().and_then(|(from, to)| {
                let mut buffer = SMALL;
                timed(count, || from.send(&SMALL).and_then(|_| to.recv(&mut buffer)).map(drop))
            }),
            Self::RequestAcross => Ends::listen().and_then(|ends| {
                let (client, server) = ends.connect()?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                across(&allowed, count, || call(&client), || answer(&server))
            }),
            Self::BulkAcross => Ends::listen().and_then(|ends| {
                let (client, server) = ends.connect()?;
                let (sent, mut received) = (vec![7; CHUNK], vec![0; CHUNK]);
                across(&allowed, count, || (&client).write_all(&sent), || (&server).read_exact(&mut received))
            }),
        };
        allowed.take()?;
        result
    }

    /// How many operations take so long here.
    pub(crate) fn count_for(self, time: Duration) -> io::Result<u32> {
        let mut count = 64_u32;
        loop {
            let taken = self.run(count)?.cpu.max(Duration::from_nanos(1));
            if taken * 4 >= time || count >= 1 << 24 {
                let fitting = u128::from(count) * time.as_nanos() / taken.as_nanos();
                return Ok(u32::try_from(fitting).unwrap_or(u32::MAX).max(1));
            }
            count *= 2;
        }
    }
}

fn timed(count: u32, mut once: impl FnMut() -> io::Result<()>) -> io::Result<Taken> {
    let (cpu, wall) = (sys::thread_time(), Instant::now());
    for _ in 0..count {
        once()?;
    }
    Ok(Taken { count, cpu: sys::thread_time().saturating_sub(cpu), wall: wall.elapsed() })
}

/// The other end is another thread, on the first processor; the processor time is that of both.
fn across(
    allowed: &Processors,
    count: u32,
    once: impl FnMut() -> io::Result<()>,
    other: impl FnMut() -> io::Result<()> + Send,
) -> io::Result<Taken> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            allowed.first().take()?;
            timed(count, other)
        });
        let one = timed(count, once);
        let other = other.join().map_err(|_| io::Error::other("the other end panicked"))?;
        let (one, other) = (one?, other?);
        Ok(Taken { cpu: one.cpu + other.cpu, ..one })
    })
}

/// Where connections are made.
pub(crate) struct Ends {
    listener: TcpListener,
    address: SocketAddr,
}

impl Ends {
    pub(crate) fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Both ends of a new connection. The first is closed first.
    pub(crate) fn connect(&self) -> io::Result<(TcpStream, TcpStream)> {
        let client = TcpStream::connect(self.address)?;
        let (server, _) = self.listener.accept()?;
        Ok((client, server))
    }
}

fn request((client, server): &(TcpStream, TcpStream)) -> io::Result<()> {
    let mut buffer = SMALL;
    (&*client).write_all(&SMALL)?;
    answer(server)?;
    (&*client).read_exact(&mut buffer)
}

fn call(mut client: &TcpStream) -> io::Result<()> {
    client.write_all(&SMALL)?;
    client.read_exact(&mut { SMALL })
}

fn answer(mut server: &TcpStream) -> io::Result<()> {
    server.read_exact(&mut { SMALL })?;
    server.write_all(&SMALL)
}

fn bulk((client, server): &(TcpStream, TcpStream), buffer: &mut [u8]) -> io::Result<()> {
    let (mut written, mut read) = (0, 0);
    while read < CHUNK {
        if written < CHUNK {
            written += none_if_blocked((&*client).write(&buffer[written..]))?;
        }
        read += none_if_blocked((&*server).read(buffer))?;
    }
    Ok(())
}

fn none_if_blocked(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

fn datagrams() -> io::Result<(UdpSocket, UdpSocket)> {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    from.connect(to.local_addr()?)?;
    to.connect(from.local_addr()?)?;
    Ok((from, to))
}
