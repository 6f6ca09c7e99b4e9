//! Values in Arrow arrays as the language sees them. Texts, lists and times may be in any of the forms that a reader leaves
//! them in.

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, OffsetSizeTrait},
    datatypes::{
        ArrowNativeType as _, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimeUnit, TimestampMicrosecondType,
    },
};
use exportjob_pql::{Step, View};

/// A value: its array, its place in there.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(pub &'a dyn Array, pub usize);

impl<'a> Value<'a> {
    /// What it is.
    pub fn view(self) -> View<'a> {
        use DataType as T;
        let Self(array, row) = self;
        if array.is_null(row) {
            return View::Null;
        }
        match array.data_type() {
            T::Boolean => View::Bool(array.as_boolean().value(row)),
            T::Int8 => View::Int(array.as_primitive::<Int8Type>().value(row).into()),
            T::Int16 => View::Int(array.as_primitive::<Int16Type>().value(row).into()),
            T::Int32 => View::Int(array.as_primitive::<Int32Type>().value(row).into()),
            T::Int64 => View::Int(array.as_primitive::<Int64Type>().value(row)),
            T::Float32 => number(array.as_primitive::<Float32Type>().value(row).into()),
            T::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
            T::Decimal128(_, scale) => decimal(array.as_primitive::<Decimal128Type>().value(row), *scale),
            T::Utf8 => View::Text(array.as_string::<i32>().value(row)),
            T::LargeUtf8 => View::Text(array.as_string::<i64>().value(row)),
            T::Utf8View => View::Text(array.as_string_view().value(row)),
            T::Date32 => View::Date(array.as_primitive::<Date32Type>().value(row)),
            T::Timestamp(TimeUnit::Microsecond, _) => {
                View::Time(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            T::List(_) | T::LargeList(_) => View::List,
            T::Map(..) if self.as_map().is_some() => View::Map,
            // Structs, and what the language has no type for.
            _ => View::Struct,
        }
    }

    /// A field of a struct.
    pub fn field(self, step: &Step) -> Option<Self> {
        let array = self.0.as_struct_opt()?;
        let column = match step.index {
            Some(index) => array.columns().get(index)?,
            None => array.column_by_name(&step.name)?,
        };
        Some(Self(column.as_ref(), self.1))
    }

    /// Items of a list, entries of a map.
    pub fn len(self) -> usize {
        self.span().map_or(0, |(_, from, to)| to - from)
    }

    /// An item of a list, the value of an entry of a map.
    pub fn item(self, index: usize) -> Option<Self> {
        let (values, from, to) = self.span()?;
        (index < to - from).then(|| Self(values.as_ref(), from + index))
    }

    /// The key of an entry of a map.
    pub fn key(self, index: usize) -> Option<&'a str> {
        let map = self.as_map()?;
        let (_, from, to) = self.span()?;
        match Self(map.keys().as_ref(), from + index).view() {
            View::Text(key) if index < to - from => Some(key),
            _ => None,
        }
    }

    fn as_map(self) -> Option<&'a MapArray> {
        let map = self.0.as_map_opt()?;
        let is_text = matches!(map.keys().data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        is_text.then_some(map)
    }

    /// The values of a list or map, and from where to where they are in there.
    fn span(self) -> Option<(&'a ArrayRef, usize, usize)> {
        let Self(array, row) = self;
        if array.is_null(row) {
            return None;
        }
        match array.data_type() {
            DataType::List(_) => span::<i32>(array, row),
            DataType::LargeList(_) => span::<i64>(array, row),
            DataType::Map(..) => {
                let map = self.as_map()?;
                let offsets = map.value_offsets();
                Some((map.values(), offsets[row].as_usize(), offsets[row + 1].as_usize()))
            }
            _ => None,
        }
    }
}

fn span<O: OffsetSizeTrait>(array: &dyn Array, row: usize) -> Option<(&ArrayRef, usize, usize)> {
    let list = array.as_list_opt::<O>()?;
    let offsets = list.value_offsets();
    Some((list.values(), offsets[row].as_usize(), offsets[row + 1].as_usize()))
}

/// What is no number, or none that can be counted with, is null, as it is for all functions of the language.
fn number<'a>(value: f64) -> View<'a> {
    if value.is_finite() {
        View::Double(value)
    } else {
        View::Null
    }
}

/// Whole decimals are whole numbers as far as those reach.
fn decimal<'a>(value: i128, scale: i8) -> View<'a> {
    if scale == 0
        && let Ok(whole) = i64::try_from(value)
    {
        return View::Int(whole);
    }
    #[expect(clippy::cast_precision_loss, reason = "the language has no exact fractions")]
    let digits = value as f64;
    number(digits / 10_f64.powi(scale.into()))
}
