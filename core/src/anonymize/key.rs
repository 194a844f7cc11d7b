//! The key of a mapping.
//!
//! In: the bytes of a key file, or a number. Out: 32 bytes, and what is derived from them. Never here: files, chance.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};

/// Two halves of 16 bytes: the key of the cipher, and what the pad of Crypto-PAn is made from. Whoever has it can tell
/// which name or address a token stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; Self::BYTES]);

/// The bytes are no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither of the two lengths.
    #[error("expected {digits} hexadecimal digits or {bytes} bytes, found {found} bytes", digits = 2 * Key::BYTES, bytes = Key::BYTES)]
    Length {
        /// How many bytes there are, without white space around them.
        found: usize,
    },
    /// As many bytes as there are digits, but one is none.
    #[error("expected {digits} hexadecimal digits, found {found:?} as number {place}", digits = 2 * Key::BYTES)]
    Digit {
        /// Which one, counted from 1.
        place: usize,
        /// What stands there.
        found: char,
    },
}

impl Key {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A key from a file's content: 32 bytes just as they are, or 64 hexadecimal digits with white space around them.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(content: &[u8]) -> Result<Self, KeyError> {
        if let Ok(bytes) = content.try_into() {
            return Ok(Self(bytes));
        }
        let digits = content.trim_ascii();
        if digits.len() != 2 * Self::BYTES {
            return Err(KeyError::Length { found: digits.len() });
        }
        let mut bytes = [0; Self::BYTES];
        for (place, digit) in digits.iter().enumerate() {
            let found = char::from(*digit);
            let value = found.to_digit(16).and_then(|value| u8::try_from(value).ok());
            let value = value.ok_or(KeyError::Digit { place: place + 1, found })?;
            bytes[place / 2] = bytes[place / 2] << 4 | value;
        }
        Ok(Self(bytes))
    }

    /// A key from a number, the same everywhere. Anybody can try all numbers: it is for tests and hides nothing.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let cipher = Aes128::new(&key.into());
        let mut halves = [[0; 16].into(), [1; 16].into()];
        cipher.encrypt_blocks(&mut halves);
        let mut bytes = [0; Self::BYTES];
        for (half, block) in bytes.chunks_exact_mut(16).zip(halves) {
            half.copy_from_slice(&block);
        }
        Self(bytes)
    }

    /// The key as a key file has it.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// The cipher of the first half, and the second.
    pub(super) fn parts(&self) -> (Aes128, [u8; 16]) {
        let (mut first, mut second) = ([0; 16], [0; 16]);
        first.copy_from_slice(&self.0[..16]);
        second.copy_from_slice(&self.0[16..]);
        (Aes128::new(&first.into()), second)
    }
}

/// A key is not for logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_files() {
        let bytes: Vec<u8> = (0x20..0x40).collect();
        let key = Key::parse(&bytes).unwrap();
        assert_eq!(key.hex(), "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
        assert_eq!(Key::parse(format!(" {}\r\n", key.hex().to_uppercase()).as_bytes()).unwrap(), key);
        assert_eq!(Key::parse(b"").unwrap_err(), KeyError::Length { found: 0 });
        assert_eq!(
            Key::parse(&[b'a'; 65]).unwrap_err().to_string(),
            "expected 64 hexadecimal digits or 32 bytes, found 65 bytes"
        );
        let wrong = key.hex().replacen('2', "x", 1);
        assert_eq!(
            Key::parse(wrong.as_bytes()).unwrap_err().to_string(),
            "expected 64 hexadecimal digits, found 'x' as number 1"
        );
        // All white space, but 32 bytes.
        assert!(Key::parse(&[b' '; 32]).is_ok());
    }

    #[test]
    fn keys_of_numbers() {
        assert_ne!(Key::from_seed(0), Key::from_seed(1));
        // AES-128 of a block of zeros under a key of zeros: FIPS 197 implementations agree on it.
        assert!(Key::from_seed(0).hex().starts_with("66e94bd4ef8a2c3b884cfa59ca342b2e"));
        assert_eq!(format!("{:?}", Key::from_seed(0)), "Key(…)");
    }
}
