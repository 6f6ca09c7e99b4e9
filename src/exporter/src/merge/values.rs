//! An order of rows by their values, for rows that nothing else tells apart.

use std::cmp::Ordering;

use datafusion::arrow::{
    array::{ArrayRef, make_comparator},
    compute::SortOptions,
    error::ArrowError,
};

/// Compares two rows by their leaves, first to last, nulls first; lists and maps by their elements. The order means
/// nothing; it is the same whatever the order of files, and rows that it calls equal are.
pub(super) fn compare(a: &[ArrayRef], row_a: usize, b: &[ArrayRef], row_b: usize) -> Result<Ordering, ArrowError> {
    for (a, b) in a.iter().zip(b) {
        let ordering = make_comparator(a.as_ref(), b.as_ref(), SortOptions::default())?(row_a, row_b);
        if ordering != Ordering::Equal {
            return Ok(ordering);
        }
    }
    Ok(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::{ListBuilder, MapBuilder, StringBuilder};

    use super::*;

    /// Each row is less than the next, and equal to itself alone.
    fn ascending(rows: usize, column: ArrayRef) {
        let leaves = [column];
        for a in 0..rows {
            for b in 0..rows {
                assert_eq!(compare(&leaves, a, &leaves, b).unwrap(), a.cmp(&b), "{a} {b}");
            }
        }
    }

    #[test]
    fn lists_that_read_alike_are_still_told_apart() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_null();
        for row in [
            &[][..],
            &[None],
            &[Some("a"), Some("b")],
            &[Some("a, b")],
            &[Some("null")],
        ] {
            lists.append_value(row.iter().copied());
        }
        ascending(6, Arc::new(lists.finish()));
    }

    #[test]
    fn maps_that_read_alike_are_still_told_apart() {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for row in [
            &[("k", None)][..],
            &[("k", Some("1")), ("l", Some("2"))],
            &[("k", Some("1, l: 2"))],
            &[("k", Some("null"))],
        ] {
            for (key, value) in row {
                maps.keys().append_value(key);
                maps.values().append_option(*value);
            }
            maps.append(true).unwrap();
        }
        ascending(4, Arc::new(maps.finish()));
    }
}
