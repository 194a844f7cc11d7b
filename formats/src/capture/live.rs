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
    pages: FxHashMap<u64, Box<Page<T>>>,
    entries: u64,
}

impl<T> Default for LiveTable<T> {
    fn default() -> Self {
        Self { pages: FxHashMap::default(), entries: 0 }
    }
}

fn place(conn: u64) -> usize {
    usize::try_from(conn % SIZE as u64).unwrap_or(0)
}

impl<T> LiveTable<T> {
    pub(super) fn get_mut(&mut self, conn: u64) -> Option<&mut T> {
        self.pages.get_mut(&(conn >> BITS))?.entries[place(conn)].as_mut()
    }

    pub(super) fn insert(&mut self, conn: u64, entry: T) {
        let page = self.pages.entry(conn >> BITS);
        let page = page.or_insert_with(|| Box::new(Page { entries: std::array::from_fn(|_| None), used: 0 }));
        if page.entries[place(conn)].replace(entry).is_none() {
            page.used += 1;
            self.entries += 1;
        }
    }

    pub(super) fn remove(&mut self, conn: u64) {
        let Some(page) = self.pages.get_mut(&(conn >> BITS)) else { return };
        if page.entries[place(conn)].take().is_some() {
            page.used -= 1;
            self.entries -= 1;
            if page.used == 0 {
                self.pages.remove(&(conn >> BITS));
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
        assert!(table.pages.is_empty());
    }
}
