//! An order of rows by their values, for rows that nothing else tells apart.

use std::cmp::Ordering;

use datafusion::arrow::{
    array::{Array, ArrayRef, make_comparator},
    compute::SortOptions,
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Compares two rows by their leaves, first to last: nulls first, then by value where the type has an order and by its
/// text otherwise (lists, maps). The order means nothing; it is the same whatever the order of files.
pub(super) fn compare(a: &[ArrayRef], row_a: usize, b: &[ArrayRef], row_b: usize) -> Result<Ordering, ArrowError> {
    for (a, b) in a.iter().zip(b) {
        let ordering = match (a.is_null(row_a), b.is_null(row_b)) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => compare_values(a, row_a, b, row_b)?,
        };
        if ordering != Ordering::Equal {
            return Ok(ordering);
        }
    }
    Ok(Ordering::Equal)
}

fn compare_values(a: &ArrayRef, row_a: usize, b: &ArrayRef, row_b: usize) -> Result<Ordering, ArrowError> {
    if a.data_type().is_nested() {
        let options = FormatOptions::new().with_null("null");
        let text = |array: &ArrayRef, row: usize| {
            ArrayFormatter::try_new(array.as_ref(), &options).and_then(|formatter| formatter.value(row).try_to_string())
        };
        return Ok(text(a, row_a)?.cmp(&text(b, row_b)?));
    }
    let comparator = make_comparator(a.as_ref(), b.as_ref(), SortOptions::default())?;
    Ok(comparator(row_a, row_b))
}
