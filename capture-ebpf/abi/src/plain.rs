//! Reading a struct from bytes, field by field.
//!
//! In: bytes from a ring buffer, an iterator or a map. Out: the struct, or `None` when the bytes are too few. Never
//! here: a cast of memory.

/// A value that is made of its bytes alone: every pattern of bytes is a value.
pub trait Plain: Sized {
    /// The value that stands at the start of `bytes`; `None` when they are too few.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! plain_integers {
    ($($name:ty),*) => {$(
        impl Plain for $name {
            #[inline]
            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|chunk| Self::from_ne_bytes(*chunk))
            }
        }
    )*};
}
plain_integers!(u8, u16, u32, u64);

impl<const N: usize> Plain for [u8; N] {
    #[inline]
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied()
    }
}

/// Declares a `repr(C)` struct of [`Plain`] fields with its reader and a compile-time check that it has exactly the
/// given size, which leaves no room for hidden padding.
macro_rules! plain {
    ($(#[$meta:meta])* $name:ident, $size:literal { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        impl $crate::plain::Plain for $name {
            #[inline]
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(Self { $($field: <$kind>::read(bytes.get(core::mem::offset_of!($name, $field)..)?)?,)* })
            }
        }

        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!($size == 0 $(+ size_of::<$kind>())*);
    };
}
pub(crate) use plain;
