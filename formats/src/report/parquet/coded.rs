//! Texts of which there are few different ones.
//!
//! In: the codes of some rows, the text of each code. Out: the texts that occur, in the order in which they do, and for each
//! row which of them is its: what a Parquet file keeps, and what polars would find by comparing texts. Never here: how a file
//! keeps them.

use polars_core::prelude::{ChunkTake as _, CompatLevel, IdxCa, IntoSeries as _, StringChunked};
use polars_core::utils::arrow::array::{Array, DictionaryArray, PrimitiveArray};
use polars_core::utils::arrow::bitmap::Bitmap;

use crate::report::ReportError;

/// So few rows may have different texts each.
const FEW: usize = 128;

/// In place of a place: of a code that was not seen yet, and of one that is no text.
const NEW: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX - 1;

/// Finds the texts that occur.
#[derive(Debug, Default)]
pub(super) struct Coded {
    /// For each code the place of its text among those that occur; between columns [`NEW`].
    places: Vec<u32>,
}

impl Coded {
    /// The rows of a column; `None` where most texts occur once, and are shorter without places.
    ///
    /// # Errors
    /// When polars refuses the texts.
    pub(super) fn array(
        &mut self,
        codes: &[u32],
        texts: &StringChunked,
    ) -> Result<Option<Box<dyn Array>>, ReportError> {
        self.places.resize(self.places.len().max(texts.len()), NEW);
        let places = self.places.get_mut(..texts.len()).unwrap_or_default();
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        let see = |code: &u32| {
            let Some(place) = places.get_mut(*code as usize) else { return UNKNOWN };
            if *place == NEW {
                let is_text = texts.get(*code as usize).is_some();
                *place = if is_text { u32::try_from(found.len()).unwrap_or(UNKNOWN) } else { UNKNOWN };
                if is_text { &mut found } else { &mut unknown }.push(*code);
            }
            *place
        };
        let mut keys: Vec<u32> = codes.iter().map(see).collect();
        for code in found.iter().chain(&unknown) {
            if let Some(place) = places.get_mut(*code as usize) {
                *place = NEW;
            }
        }
        if codes.len() > FEW && found.len() > codes.len() / 4 * 3 {
            return Ok(None);
        }
        let mut are_known = None;
        if keys.contains(&UNKNOWN) {
            are_known = Some(keys.iter().map(|place| *place != UNKNOWN).collect::<Bitmap>());
            keys.iter_mut().filter(|place| **place == UNKNOWN).for_each(|place| *place = 0);
        }
        let keys = PrimitiveArray::from_vec(keys).with_validity(are_known);
        let found = texts.take(&IdxCa::from_vec(texts.name().clone(), found))?;
        let found = found.into_series().to_arrow(0, CompatLevel::newest());
        Ok(Some(DictionaryArray::<u32>::try_from_keys(keys, found, false)?.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use polars_core::prelude::NewChunkedArray as _;
    use polars_core::utils::arrow::array::Utf8ViewArray;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_and_texts_are_those_of_the_codes(
            columns in prop::collection::vec(
                (prop::collection::vec(prop::option::of("[a-c]{0,20}"), 1..200), prop::collection::vec(0..300_u32, 0..300)),
                1..4,
            )
        ) {
            let mut coded = Coded::default();
            for (texts, codes) in columns {
                let expected: Vec<Option<&str>> =
                    codes.iter().map(|code| texts.get(*code as usize).and_then(Option::as_deref)).collect();
                let mut found: Vec<u32> = Vec::new();
                let is_text = |code: &&u32| texts.get(**code as usize).is_some_and(Option::is_some);
                codes.iter().filter(is_text).for_each(|code| if !found.contains(code) { found.push(*code) });
                let chunked = StringChunked::from_iter_options("texts".into(), texts.iter().cloned());
                let array = coded.array(&codes, &chunked).unwrap();
                prop_assert_eq!(array.is_none(), codes.len() > FEW && found.len() > codes.len() / 4 * 3);
                let Some(array) = array else { continue };
                let array: &DictionaryArray<u32> = array.as_any().downcast_ref().unwrap();
                let values: &Utf8ViewArray = array.values().as_any().downcast_ref().unwrap();
                prop_assert_eq!(values.len(), found.len());
                let row = |key: Option<u32>| key.map(|key| values.value(key as usize));
                prop_assert_eq!(array.keys().iter().map(|key| row(key.copied())).collect::<Vec<_>>(), expected);
                let order: Vec<Option<&str>> = found.iter().map(|code| texts[*code as usize].as_deref()).collect();
                prop_assert_eq!(values.iter().collect::<Vec<_>>(), order);
            }
        }
    }
}
