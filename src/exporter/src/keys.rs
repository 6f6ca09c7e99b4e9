//! Keys of profiles: how the rows of a table say whose they are.

use std::cmp::Ordering;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, StringViewArray},
    compute::cast,
    datatypes::{DataType, Decimal128Type, Int64Type},
    error::ArrowError,
};

use crate::fields::types::TEXT;

/// Column with the profile of a row, between its table and the merge.
pub(crate) const KEY: &str = "__key";

/// Type of keys that are hashes.
pub(crate) const HASH: DataType = DataType::Decimal128(38, 0);

/// Key of a profile. All inputs of a merge have keys of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A whole number.
    Number(i64),
    /// A hash.
    Hash(i128),
    /// A text.
    Text(String),
}

impl Key {
    /// Takes over the value of `other`, and keeps its memory where it can.
    pub fn assign(&mut self, other: KeyRef<'_>) {
        match (self, other) {
            (Self::Text(text), KeyRef::Text(other)) => {
                text.clear();
                text.push_str(other);
            }
            (own, KeyRef::Text(other)) => *own = Self::Text(other.to_owned()),
            (own, KeyRef::Number(other)) => *own = Self::Number(other),
            (own, KeyRef::Hash(other)) => *own = Self::Hash(other),
        }
    }

    /// The key without its memory.
    pub fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Number(number) => KeyRef::Number(*number),
            Self::Hash(hash) => KeyRef::Hash(*hash),
            Self::Text(text) => KeyRef::Text(text),
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// Key of a row, where it lies. Numbers are ordered by their values, texts by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyRef<'a> {
    /// A whole number.
    Number(i64),
    /// A hash.
    Hash(i128),
    /// A text.
    Text(&'a str),
}

impl KeyRef<'_> {
    /// A copy with memory of its own.
    pub fn owned(self) -> Key {
        match self {
            Self::Number(number) => Key::Number(number),
            Self::Hash(hash) => Key::Hash(hash),
            Self::Text(text) => Key::Text(text.to_owned()),
        }
    }
}

/// The keys of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    /// Whole numbers.
    Numbers(Int64Array),
    /// Hashes.
    Hashes(Decimal128Array),
    /// Texts.
    Texts(StringViewArray),
}

impl Keys {
    /// The keys in a column.
    ///
    /// # Errors
    /// When the column has another type, or rows without a key.
    pub fn read(column: &ArrayRef) -> Result<Self, ArrowError> {
        if column.null_count() > 0 {
            return Err(ArrowError::InvalidArgumentError(
                "a row has no key of its profile".to_owned(),
            ));
        }
        Ok(match column.data_type() {
            DataType::Int64 => Self::Numbers(column.as_primitive::<Int64Type>().clone()),
            DataType::Decimal128(_, _) => Self::Hashes(column.as_primitive::<Decimal128Type>().clone()),
            DataType::Utf8View => Self::Texts(column.as_string_view().clone()),
            _ => Self::Texts(cast(column, &TEXT)?.as_string_view().clone()),
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Hashes(hashes) => hashes.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Key of a row.
    pub fn key(&self, row: usize) -> KeyRef<'_> {
        match self {
            Self::Numbers(numbers) => KeyRef::Number(numbers.value(row)),
            Self::Hashes(hashes) => KeyRef::Hash(hashes.value(row)),
            Self::Texts(texts) => KeyRef::Text(texts.value(row)),
        }
    }

    /// For each run of rows with the same key: where it ends.
    ///
    /// # Errors
    /// When a run has a smaller key than the one before: the input is not sorted.
    pub fn runs(&self) -> Result<Vec<usize>, ArrowError> {
        match self {
            Self::Numbers(numbers) => runs(numbers.values().len(), |a, b| numbers.value(a).cmp(&numbers.value(b))),
            Self::Hashes(hashes) => runs(hashes.values().len(), |a, b| hashes.value(a).cmp(&hashes.value(b))),
            Self::Texts(texts) => {
                let views = texts.views();
                runs(texts.len(), |a, b| {
                    // Equal views are equal texts; this is the case of almost all neighbours that are equal.
                    if views[a] == views[b] {
                        Ordering::Equal
                    } else {
                        texts.value(a).cmp(texts.value(b))
                    }
                })
            }
        }
    }
}

fn runs(rows: usize, compare: impl Fn(usize, usize) -> Ordering) -> Result<Vec<usize>, ArrowError> {
    let mut ends = Vec::new();
    for row in 1..rows {
        match compare(row - 1, row) {
            Ordering::Less => ends.push(row),
            Ordering::Equal => {}
            Ordering::Greater => return Err(unsorted()),
        }
    }
    if rows > 0 {
        ends.push(rows);
    }
    Ok(ends)
}

/// What is said of an input that breaks its promise.
pub(crate) fn unsorted() -> ArrowError {
    ArrowError::InvalidArgumentError("rows are not sorted by the key of their profile".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::array::StringArray;

    use super::*;

    #[test]
    fn runs_end_where_the_key_changes_and_keys_may_not_go_back() {
        let texts = |values: &[&str]| Keys::read(&(Arc::new(StringArray::from(values.to_vec())) as ArrayRef)).unwrap();
        let long = "a text that is longer than a view holds";
        assert_eq!(
            texts(&["a", "a", "b", long, long]).runs().unwrap_err().to_string(),
            unsorted().to_string()
        );
        assert_eq!(texts(&[long, long, "b", "b", "c"]).runs().unwrap(), [2, 4, 5]);
        assert_eq!(texts(&[]).runs().unwrap(), [0_usize; 0]);
        let numbers = |values: Vec<i64>| Keys::read(&(Arc::new(Int64Array::from(values)) as ArrayRef)).unwrap();
        assert_eq!(numbers(vec![-5, -5, 3, 20]).runs().unwrap(), [2, 3, 4]);
        assert!(numbers(vec![20, 3]).runs().is_err());
        assert!(Keys::read(&(Arc::new(Int64Array::from(vec![None::<i64>])) as ArrayRef)).is_err());
    }
}
