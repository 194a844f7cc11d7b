//! Where the members of kernel structs stand: a reader of BTF, the kernel's description of its own types.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux`. Out: byte offsets of members named by a path. Never here: trust in the
//! bytes. Every offset and count is checked, every walk has a limit, and nothing panics whatever the bytes are.

/// The description does not say what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The bytes do not begin as BTF does.
    #[error("it does not begin with a BTF header of this machine's byte order")]
    NotBtf,
    /// The bytes end too early, or a count leads past their end.
    #[error("it ends at byte {at}, where more must follow")]
    Truncated {
        /// How far it could be read.
        at: usize,
    },
    /// A kind of type that did not exist when this was written: its length is not known.
    #[error("it has a type of the unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u32,
    },
    /// No struct of that name.
    #[error("no such struct")]
    NoStruct,
    /// The struct has no such member.
    #[error("no member {name:?}")]
    NoMember {
        /// The part of the path that was not found.
        name: String,
    },
    /// The member is not on a whole byte.
    #[error("the member {name:?} is a bit field")]
    BitField {
        /// The part of the path.
        name: String,
    },
    /// Types lead in circles, or nearly so.
    #[error("its types are nested too deeply, or in circles")]
    TooDeep,
}

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
/// How deep anonymous members, typedefs and paths may go together; kernels stay below ten.
const DEPTH: u32 = 32;
/// How many members may be looked at for one path; kernels need some thousands. Few hostile bytes could otherwise ask
/// for more work than a lifetime holds.
const STEPS: u32 = 1 << 20;

/// A parsed description.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; the type with id 1 is the first.
    starts: Vec<u32>,
}

/// What all types have in common.
struct Type {
    at: usize,
    name: u32,
    kind: u32,
    members: usize,
    bit_fields: bool,
    target: u32,
}

impl<'a> Btf<'a> {
    /// Takes the description apart as far as is needed to find any type.
    ///
    /// # Errors
    ///
    /// The bytes are not BTF, end too early, or hold a type of unknown length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        if read_u16(bytes, 0)? != MAGIC {
            return Err(BtfError::NotBtf);
        }
        let body = bytes.get(size(read_u32(bytes, 4)?)..).ok_or(BtfError::Truncated { at: bytes.len() })?;
        let section = |at: usize| -> Result<&'a [u8], BtfError> {
            let start = size(read_u32(bytes, at)?);
            let end = start.saturating_add(size(read_u32(bytes, at + 4)?));
            body.get(start..end).ok_or(BtfError::Truncated { at: bytes.len() })
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut starts = Vec::new();
        let mut at = 0;
        while at < types.len() {
            starts.push(u32::try_from(at).map_err(|_| BtfError::Truncated { at })?);
            let this = read_type(types, at)?;
            at = at.saturating_add(12 + tail_length(&this)?);
        }
        if at > types.len() {
            return Err(BtfError::Truncated { at: types.len() });
        }
        Ok(Self { types, strings, starts })
    }

    /// The byte offset of the member that `path` leads to, from the start of the struct. The parts of the path are
    /// separated by dots; anonymous structs and unions on the way are not named.
    ///
    /// # Errors
    ///
    /// The struct or the member does not exist, or the member does not begin on a byte.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let mut last = BtfError::NoStruct;
        let mut steps = STEPS;
        // A name may be declared more than once; the one that has the member is meant.
        for (index, _) in self.starts.iter().enumerate() {
            let this = self.type_at(index)?;
            if this.kind == KIND_STRUCT && this.members > 0 && self.name_is(this.name, structure) {
                match self.walk(&this, path, DEPTH, &mut steps) {
                    Ok(bits) => return Ok(bits / 8),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    /// The offset in bits of the member that `path` leads to.
    fn walk(&self, structure: &Type, path: &str, depth: u32, steps: &mut u32) -> Result<u32, BtfError> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let missing = || BtfError::NoMember { name: name.to_owned() };
        let (bits, target) = self.find(structure, name, depth, steps)?.ok_or_else(missing)?;
        let Some(rest) = rest else {
            return if bits % 8 == 0 { Ok(bits) } else { Err(BtfError::BitField { name: name.to_owned() }) };
        };
        let inner = self.resolve(target, depth)?.ok_or_else(missing)?;
        let depth = depth.checked_sub(1).ok_or(BtfError::TooDeep)?;
        Ok(bits.saturating_add(self.walk(&inner, rest, depth, steps)?))
    }

    /// Offset in bits and type of a member, looked for in anonymous members too.
    fn find(&self, structure: &Type, name: &str, depth: u32, steps: &mut u32) -> Result<Option<(u32, u32)>, BtfError> {
        let depth = depth.checked_sub(1).ok_or(BtfError::TooDeep)?;
        for index in 0..structure.members {
            *steps = steps.checked_sub(1).ok_or(BtfError::TooDeep)?;
            let at = structure.at + 12 + index * 12;
            let (member, target) = (read_u32(self.types, at)?, read_u32(self.types, at + 4)?);
            let position = read_u32(self.types, at + 8)?;
            // With the flag, the upper byte is the width of a bit field, 0 for an ordinary member.
            let (bits, width) =
                if structure.bit_fields { (position & 0xff_ffff, position >> 24) } else { (position, 0) };
            if member != 0 {
                if self.name_is(member, name) {
                    return if width == 0 {
                        Ok(Some((bits, target)))
                    } else {
                        Err(BtfError::BitField { name: name.to_owned() })
                    };
                }
            } else if let Some(inner) = self.resolve(target, depth)?
                && let Some((more, found)) = self.find(&inner, name, depth, steps)?
            {
                return Ok(Some((bits.saturating_add(more), found)));
            }
        }
        Ok(None)
    }

    /// The struct or union behind typedefs and qualifiers, if it is one.
    fn resolve(&self, mut id: u32, depth: u32) -> Result<Option<Type>, BtfError> {
        for _ in 0..=depth {
            let Some(index) = size(id).checked_sub(1) else { return Ok(None) };
            let this = self.type_at(index)?;
            match this.kind {
                KIND_STRUCT | KIND_UNION => return Ok(Some(this)),
                // typedef, volatile, const, restrict, type tag
                8..=11 | 18 => id = this.target,
                _ => return Ok(None),
            }
        }
        Err(BtfError::TooDeep)
    }

    fn type_at(&self, index: usize) -> Result<Type, BtfError> {
        let start = self.starts.get(index).ok_or(BtfError::Truncated { at: self.types.len() })?;
        read_type(self.types, size(*start))
    }

    fn name_is(&self, offset: u32, name: &str) -> bool {
        self.strings
            .get(size(offset)..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn read_type(types: &[u8], at: usize) -> Result<Type, BtfError> {
    let bits = read_u32(types, at.saturating_add(4))?;
    Ok(Type {
        at,
        name: read_u32(types, at)?,
        kind: bits >> 24 & 0x1f,
        members: size(bits & 0xffff),
        bit_fields: bits >> 31 == 1,
        target: read_u32(types, at.saturating_add(8))?,
    })
}

/// How many bytes follow the part that all types have in common.
fn tail_length(this: &Type) -> Result<usize, BtfError> {
    Ok(match this.kind {
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // integer, variable, declaration tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // struct, union, data section, enumeration of 64 bits
        KIND_STRUCT | KIND_UNION | 15 | 19 => this.members * 12,
        // enumeration, function prototype
        6 | 13 => this.members * 8,
        kind => return Err(BtfError::UnknownKind { kind }),
    })
}

fn read_u16(bytes: &[u8], at: usize) -> Result<u16, BtfError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map(|chunk| u16::from_ne_bytes(*chunk)).ok_or(BtfError::Truncated { at: bytes.len() })
}

fn read_u32(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map(|chunk| u32::from_ne_bytes(*chunk)).ok_or(BtfError::Truncated { at: bytes.len() })
}

/// A length or offset as an index; every machine that runs eBPF has at least 32 bits.
fn size(value: u32) -> usize {
    value as usize
}

#[cfg(test)]
mod tests;
