//! What is known of the connections that are open, by their ids.
//!
//! In and out: one entry for each connection. Never here: what the entries are for.
//!
//! A snapshot goes through connections in the order of their ids, which recorders give one after the other. So sixteen
//! neighbours stand together: one look finds them all, where a plain hash table has each somewhere else in memory.

use rustc_hash::FxHashMap;

const BITS: u32 = 4;
const SIZE: usize = 1 << BITS;

struct Page<T> {
    entries: [Option<T>; SIZE],
    used: usize,
}

/// Entries by the ids of connections.
pub(super) struct LiveTable<T> {
    /// Where each page is.
    places: FxHashMap<u64, usize>,
    pages: Vec<Page<T>>,
    /// Places of pages without entries.
    free: Vec<usize>,
    /// The page that was looked for last, which most often is the next one too, and where it is.
    last: Option<(u64, usize)>,
    entries: u64,
}

impl<T> Default for LiveTable<T> {
    fn default() -> Self {
        Self { places: FxHashMap::default(), pages: Vec::new(), free: Vec::new(), last: None, entries: 0 }
    }
}

fn place(conn: u64) -> usize {
    usize::try_from(conn % SIZE as u64).unwrap_or(0)
}

impl<T> LiveTable<T> {
    fn page(&mut self, number: u64) -> Option<&mut Page<T>> {
        let at = match self.last {
            Some((last, at)) if last == number => at,
            _ => {
                let at = *self.places.get(&number)?;
                self.last = Some((number, at));
                at
            }
        };
        self.pages.get_mut(at)
    }

    pub(super) fn get_mut(&mut self, conn: u64) -> Option<&mut T> {
        self.page(conn >> BITS)?.entries[place(conn)].as_mut()
    }

    pub(super) fn insert(&mut self, conn: u64, entry: T) {
        let number = conn >> BITS;
        if self.page(number).is_none() {
            let at = self.free.pop().unwrap_or(self.pages.len());
            if at == self.pages.len() {
                self.pages.push(Page { entries: std::array::from_fn(|_| None), used: 0 });
            }
            self.places.insert(number, at);
        }
        let Some(page) = self.page(number) else { return };
        if page.entries[place(conn)].replace(entry).is_none() {
            page.used += 1;
            self.entries += 1;
        }
    }

    pub(super) fn remove(&mut self, conn: u64) {
        let number = conn >> BITS;
        let Some(page) = self.page(number) else { return };
        if page.entries[place(conn)].take().is_some() {
            page.used -= 1;
            let is_empty = page.used == 0;
            self.entries -= 1;
            if is_empty {
                self.free.extend(self.places.remove(&number));
                self.last = None;
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut table, mut map) = (LiveTable::default(), HashMap::new());
        let mut conn = 1_u64;
        for step in 0..5_000_u64 {
            conn = conn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            let near = if step % 3 == 0 { conn } else { conn >> 57 };
            if step % 5 < 3 {
                table.insert(near, step);
                map.insert(near, step);
            } else {
                table.remove(near);
                map.remove(&near);
            }
            assert_eq!(table.len(), map.len() as u64);
            assert_eq!(table.get_mut(near), map.get_mut(&near));
        }
        assert!(map.iter().all(|(conn, entry)| table.get_mut(*conn) == Some(&mut entry.clone())));
        for conn in map.keys() {
            table.remove(*conn);
        }
        assert!(table.places.is_empty());
        assert_eq!(table.free.len(), table.pages.len());
    }
}
