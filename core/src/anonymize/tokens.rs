//! Names to tokens.
//!
//! In: texts. Out: tokens that are the same for the same text under the same key, on any machine and in any order. Never
//! here: which field has which kind of name.
//!
//! The digits of a token are the first of AES-CMAC (RFC 4493) of the text, under a key made from the given one. They depend
//! on the text alone: a service, a process and a part of a domain that are all called `web` have the same digits behind
//! different words.

use std::sync::Arc;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use cmac::{Cmac, Mac as _};
use rustc_hash::FxHashMap;

use super::key::Key;

/// Tokens of each kind that are remembered; when there are more, all of that kind are forgotten and made anew.
const MOST: usize = 1 << 14;
/// Bytes that a text may have to be remembered with its token.
const LONGEST: usize = 128;
/// Hexadecimal digits of a token: two of a million different names are the same with a chance of one in 560.
const DIGITS: usize = 12;
/// Parts that a domain or a path may have; a text of more is one name.
const MOST_PARTS: usize = 128;

/// What stands before the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Host,
    Process,
    Tool,
    Namespace,
    Node,
    Pod,
    Service,
    Workload,
    Kind,
}

impl Word {
    const COUNT: usize = 9;

    fn text(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Process => "process",
            Self::Tool => "tool",
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Workload => "workload",
            Self::Kind => "kind",
        }
    }
}

/// The tokens of one key.
pub(super) struct Tokens {
    mac: Cmac<Aes128>,
    /// By word, and then those of domains, paths and containers.
    known: [FxHashMap<Arc<str>, Arc<str>>; Word::COUNT + 3],
}

impl Tokens {
    pub(super) fn new(key: &Key) -> Self {
        let (cipher, pad) = key.parts();
        let label = u128::from_be_bytes(pad) ^ u128::from_be_bytes(*b"names to tokens\0");
        let mut own = label.to_be_bytes().into();
        cipher.encrypt_block(&mut own);
        Self { mac: Cmac::new(&own), known: Default::default() }
    }

    /// `process-1f2e3d4c5b6a`. No name stays none.
    pub(super) fn word(&mut self, word: Word, text: &str) -> Arc<str> {
        self.remembered(word as usize, text, |tokens| format!("{}-{}", word.text(), tokens.digits(text)))
    }

    /// A domain, label by label: `n1f2e3d4c5b6a.n6a5b4c3d2e1f`.
    pub(super) fn domain(&mut self, text: &str) -> Arc<str> {
        self.remembered(Word::COUNT, text, |tokens| tokens.parts(text, '.'))
    }

    /// A path, part by part.
    pub(super) fn path(&mut self, text: &str) -> Arc<str> {
        self.remembered(Word::COUNT + 1, text, |tokens| tokens.parts(text, '/'))
    }

    /// A container's id: 64 hexadecimal digits.
    pub(super) fn container(&mut self, text: &str) -> Arc<str> {
        self.remembered(Word::COUNT + 2, text, |tokens| {
            let [first, second] = [0, 1].map(|half| tokens.mac(half, text));
            format!("{first:032x}{second:032x}")
        })
    }

    /// An id in the form of a boot's: `1f2e3d4c-5b6a-7980-8f9e-adbccbdae9f8`.
    pub(super) fn uuid(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let digits = format!("{:032x}", self.mac(0, text));
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }

    /// A number drawn by the key.
    pub(super) fn number(&self, purpose: &str) -> u64 {
        let mut half = [0; 8];
        half.copy_from_slice(&self.mac(2, purpose).to_be_bytes()[..8]);
        u64::from_be_bytes(half)
    }

    fn remembered(&mut self, kind: usize, text: &str, make: impl FnOnce(&Self) -> String) -> Arc<str> {
        if let Some(token) = self.known[kind].get(text) {
            return Arc::clone(token);
        }
        if text.is_empty() {
            return text.into();
        }
        let token: Arc<str> = make(self).into();
        if text.len() <= LONGEST {
            let known = &mut self.known[kind];
            if known.len() == MOST {
                known.clear();
            }
            known.insert(text.into(), Arc::clone(&token));
        }
        token
    }

    fn parts(&self, text: &str, separator: char) -> String {
        let part = |part: &str| if part.is_empty() { String::new() } else { format!("n{}", self.digits(part)) };
        if text.split(separator).nth(MOST_PARTS).is_some() {
            return part(text);
        }
        let parts: Vec<String> = text.split(separator).map(part).collect();
        parts.join(separator.encode_utf8(&mut [0; 4]))
    }

    fn digits(&self, text: &str) -> String {
        let mut digits = format!("{:032x}", self.mac(0, text));
        digits.truncate(DIGITS);
        digits
    }

    /// AES-CMAC of the text behind a byte that tells what for.
    fn mac(&self, purpose: u8, text: &str) -> u128 {
        let mac = self.mac.clone().chain_update([purpose]).chain_update(text);
        u128::from_be_bytes(mac.finalize().into_bytes().into())
    }
}
