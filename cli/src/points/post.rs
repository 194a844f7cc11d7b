//! Points to a server, as line protocol in the bodies of HTTP requests.
//!
//! In: reports. Out: requests of at most so many points, one after the other. While the server is away or says that it is
//! busy, the same request is tried again after waits that double up to [`LONGEST_WAIT`]; then it ends with an error that
//! counts what was sent and what was not. What the server refuses is not tried again. Sending twice does no harm: the
//! same point replaces itself.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use netflow_core::report::Report;
use netflow_formats::report::write_line;
use ureq::http::Uri;
use ureq::{Agent, Error};

use crate::outcome::{Undelivered, Usage};
use crate::units;

/// The wait before the second attempt.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long one attempt may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a process that is to end still tries.
const GRACE: Duration = Duration::from_secs(5);
/// As much of a server's answer as an error shows.
const EXCERPT: u64 = 300;

pub(super) struct Post {
    agent: Agent,
    url: String,
    batch: u64,
    retry_for: Duration,
    prompt: bool,
    stop: Arc<AtomicBool>,
    body: Vec<u8>,
    /// Points in the body.
    waiting: u64,
    sent: u64,
}

/// An attempt that did not succeed.
struct Failure {
    why: String,
    /// It may pass.
    passing: bool,
}

impl Post {
    pub(super) fn new(
        url: &str,
        batch: u32,
        retry_for: Duration,
        prompt: bool,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Usage> {
        let wrong = |why: &str| Usage(format!("cannot post to {}: {why}", shown(url)));
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("this is no URL ({error})")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong("https is not supported; use http, to a proxy that speaks https if needed"));
            }
            _ => return Err(wrong("the URL must begin with http://")),
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent(concat!("netflow/", env!("CARGO_PKG_VERSION")))
            .build();
        let (url, batch) = (url.to_owned(), batch.into());
        Ok(Self { agent: config.into(), url, batch, retry_for, prompt, stop, body: Vec::new(), waiting: 0, sent: 0 })
    }

    pub(super) fn push(&mut self, report: &Report) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        write_line(report, &mut lines)?;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.body.extend_from_slice(line);
            self.waiting += 1;
            if self.waiting == self.batch {
                self.send()?;
            }
        }
        if self.prompt { self.send() } else { Ok(()) }
    }

    /// Sends the rest, and says how much it was.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.send()?;
        eprintln!("{} sent to {}", units::count(self.sent, "point"), shown(&self.url));
        Ok(())
    }

    fn send(&mut self) -> anyhow::Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        while let Err(failure) = self.attempt() {
            let left = self.patience().saturating_sub(began.elapsed());
            if !failure.passing || left.is_zero() {
                return Err(self.undelivered(&failure, began.elapsed()).into());
            }
            if wait == FIRST_WAIT {
                let patience = humantime::format_duration(self.patience());
                eprintln!("warning: {}: {}; trying again for {patience}", shown(&self.url), failure.why);
            }
            self.pause(wait.min(left), began);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.sent += self.waiting;
        self.waiting = 0;
        self.body.clear();
        Ok(())
    }

    fn attempt(&self) -> Result<(), Failure> {
        let request = self.agent.post(&self.url).content_type("text/plain; charset=utf-8");
        let mut response = request.send(self.body.as_slice()).map_err(|error| Failure {
            passing: !matches!(error, Error::BadUri(_) | Error::Http(_) | Error::Tls(_) | Error::InvalidProxyUrl),
            why: error.to_string(),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let mut answer = Vec::new();
        // The status says what matters; an answer that breaks off is shown as far as it came.
        let _ = response.body_mut().as_reader().take(EXCERPT).read_to_end(&mut answer);
        let answer: String = String::from_utf8_lossy(&answer).split_whitespace().collect::<Vec<_>>().join(" ");
        let answer: String = answer.chars().filter(|char| !char.is_control()).collect();
        let colon = if answer.is_empty() { "" } else { ": " };
        Err(Failure {
            why: format!("the server answered {status}{colon}{answer}"),
            passing: status.is_server_error() || matches!(status.as_u16(), 408 | 429),
        })
    }

    /// How long a request is tried.
    fn patience(&self) -> Duration {
        if self.stop.load(Ordering::Relaxed) { self.retry_for.min(GRACE) } else { self.retry_for }
    }

    /// Waits; not beyond the patience, which may get less meanwhile.
    fn pause(&self, wait: Duration, began: Instant) {
        let until = Instant::now() + wait;
        while Instant::now() < until && began.elapsed() < self.patience() {
            std::thread::sleep(Duration::from_millis(50).min(until.saturating_duration_since(Instant::now())));
        }
    }

    fn undelivered(&self, failure: &Failure, tried: Duration) -> Undelivered {
        let tried = if failure.passing { format!(" (tried for {:.1} s)", tried.as_secs_f64()) } else { String::new() };
        Undelivered(format!(
            "cannot post to {}: {}{tried}; {} sent, {} not, nor what comes after",
            shown(&self.url),
            failure.why,
            units::count(self.sent, "point"),
            units::count(self.waiting, "point"),
        ))
    }
}

/// The URL without what is secret in it: the password before the host, and those that InfluxDB takes as parameters.
fn shown(url: &str) -> String {
    let (start, query) = url.split_once('?').map_or((url, None), |(start, query)| (start, Some(query)));
    let mut shown = match start.split_once("://").map(|(scheme, rest)| (scheme, rest.split_once('@'))) {
        Some((scheme, Some((user, host)))) => {
            format!("{scheme}://{}:***@{host}", user.split_once(':').map_or(user, |(name, _)| name))
        }
        _ => start.to_owned(),
    };
    for (number, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name @ ("p" | "password" | "token"), _)) => shown.push_str(&format!("{name}=***")),
            _ => shown.push_str(parameter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let table = [
            ("http://h:8086/write?db=net&precision=ns", "http://h:8086/write?db=net&precision=ns"),
            ("http://h/write?u=me&p=secret&db=net", "http://h/write?u=me&p=***&db=net"),
            ("http://me:secret@h/write", "http://me:***@h/write"),
            ("http://h/", "http://h/"),
            ("nonsense", "nonsense"),
        ];
        for (url, expected) in table {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn urls_that_cannot_be() {
        let post = |url| Post::new(url, 1, GRACE, false, Arc::default()).err().map(|usage| usage.0).unwrap_or_default();
        assert!(post("https://h/write").contains("https is not supported"));
        assert!(post("ftp://h/write").contains("must begin with http://"));
        assert!(post("h:8086").contains("must begin with http://"));
        assert!(post("http://h/a b").contains("no URL"));
        assert_eq!(post("http://h/write?db=x"), "");
    }
}
