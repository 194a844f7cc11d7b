//! When to clear a table out.
//!
//! In: how many entries a table has. Out: whether it is time to drop those that no longer hold. Never here: which.
//!
//! A table is cleared when it has doubled since the last time, so clearing costs little however long the capture is, and a
//! table is never larger than twice what holds, nor larger than [`MOST`].

/// No table of attributes has more entries; beyond it, the older half goes. A host with so many of one kind alive at a time
/// is not to be expected, a damaged or made-up capture is.
pub(crate) const MOST: usize = 1 << 18;

/// Below this, nothing is cleared.
const FEW: usize = 1024;

/// Says when to clear.
#[derive(Debug)]
pub(crate) struct Sweep {
    next: usize,
    most: usize,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { next: FEW, most: MOST }
    }
}

impl Sweep {
    /// It is time.
    pub(crate) fn is_due(&self, entries: usize) -> bool {
        entries >= self.next
    }

    /// There are still so many that the older half has to go.
    pub(crate) fn is_over(&self, entries: usize) -> bool {
        entries >= self.most
    }

    /// That many are left.
    pub(crate) fn done(&mut self, entries: usize) {
        self.next = entries.saturating_mul(2).clamp(FEW, self.most);
    }
}

/// The number in the middle: what is below is the older half.
pub(crate) fn middle(mut numbers: Vec<u64>) -> u64 {
    let at = numbers.len() / 2;
    if numbers.is_empty() { 0 } else { *numbers.select_nth_unstable(at).1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_doubles_before_it_is_cleared_and_never_passes_the_bound() {
        let mut sweep = Sweep::default();
        assert!(!sweep.is_due(FEW - 1));
        assert!(sweep.is_due(FEW));
        sweep.done(10);
        assert!(!sweep.is_due(FEW - 1));
        sweep.done(2000);
        assert!(!sweep.is_due(3999));
        assert!(sweep.is_due(4000));
        sweep.done(MOST - 1);
        assert!(sweep.is_due(MOST));
        assert!(sweep.is_over(MOST));
        assert!(!sweep.is_over(MOST - 1));
    }

    #[test]
    fn the_middle_splits_in_halves() {
        assert_eq!(middle(vec![]), 0);
        assert_eq!(middle(vec![3, 1, 2, 4]), 3);
    }
}
