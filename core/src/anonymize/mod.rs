#![doc = include_str!("README.md")]

mod addresses;
mod cluster;
mod crypto_pan;
mod events;
mod key;
mod tokens;

pub use addresses::{Addresses, Ranges};
pub use crypto_pan::CryptoPan;
pub use events::{Anonymizer, Options, Shift};
pub use key::{Key, KeyError};
