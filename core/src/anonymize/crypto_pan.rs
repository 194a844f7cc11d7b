//! Crypto-PAn: a permutation of addresses that preserves prefixes.
//!
//! In: a key and the bits of an address. Out: bits such that two addresses that have their first n bits in common, and no
//! more, still have. Never here: which addresses are special.
//!
//! Each bit is flipped, or not, by what the cipher says of the bits before it; they are filled up to a block with a pad.
//! So IPv6 is the same with more bits. (Fan, Xu, Ammar, Moon: Prefix-preserving IP address anonymization, 2004.)

use aes::cipher::BlockCipherEncrypt as _;
use aes::{Aes128, Block};

use super::key::Key;

/// The mapping of one key.
pub struct CryptoPan {
    cipher: Aes128,
    pad: u128,
}

impl CryptoPan {
    /// The mapping of a key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        let (cipher, pad) = key.parts();
        let mut pad = pad.into();
        cipher.encrypt_block(&mut pad);
        Self { cipher, pad: u128::from_be_bytes(pad.into()) }
    }

    /// Which bits of an IPv4 address are flipped.
    #[must_use]
    pub fn flips_v4(&self, bits: u32) -> u32 {
        let [a, b, c, d, ..] = self.flips::<32>(u128::from(bits) << 96).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Which bits of an IPv6 address are flipped.
    #[must_use]
    pub fn flips_v6(&self, bits: u128) -> u128 {
        self.flips::<128>(bits)
    }

    /// Which of the first `BITS` bits are flipped. All blocks are encrypted at once: the cipher takes several side by side.
    fn flips<const BITS: usize>(&self, bits: u128) -> u128 {
        let mut blocks = [Block::default(); BITS];
        let mut known = 0;
        for block in &mut blocks {
            *block = (bits & known | self.pad & !known).to_be_bytes().into();
            known = known >> 1 | 1 << 127;
        }
        self.cipher.encrypt_blocks(&mut blocks);
        let first = |flips: u128, block: &Block| flips << 1 | u128::from(block[0] >> 7);
        blocks.iter().fold(0, first) << (128 - BITS)
    }
}
