//! Values in Arrow arrays as the language sees them. Texts, lists and times may be in any of the forms that a reader leaves
//! them in.

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, OffsetSizeTrait},
    datatypes::{
        ArrowNativeType as _, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
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
        if index >= to - from {
            return None;
        }
        match Self(map.keys().as_ref(), from + index).view() {
            View::Text(key) => Some(key),
            _ => None,
        }
    }

    fn as_map(self) -> Option<&'a MapArray> {
        let map = self.0.as_map_opt()?;
        let is_text = matches!(
            map.keys().data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::{
        array::{
            BinaryArray, Date32Array, Decimal128Array, Float32Array, LargeListBuilder, LargeStringArray, StringArray,
            StringBuilder, StringViewArray,
        },
        compute::cast,
    };

    use super::*;
    use crate::fields::types::{TEXT, map_of};

    #[test]
    fn texts_are_read_in_each_of_their_forms() {
        let forms: [ArrayRef; 3] = [
            Arc::new(StringArray::from(vec![None, Some("a text of some length")])),
            Arc::new(LargeStringArray::from(vec![None, Some("a text of some length")])),
            Arc::new(StringViewArray::from(vec![None, Some("a text of some length")])),
        ];
        for form in &forms {
            assert_eq!(Value(form.as_ref(), 0).view(), View::Null);
            assert_eq!(Value(form.as_ref(), 1).view(), View::Text("a text of some length"));
        }
    }

    #[test]
    fn numbers_are_whole_where_they_can_be_and_what_is_no_number_is_null() {
        let decimals = |scale| {
            let array = Decimal128Array::from(vec![Some(1210), Some(i128::from(u64::MAX))]);
            array.with_precision_and_scale(20, scale).unwrap()
        };
        assert_eq!(Value(&decimals(0), 0).view(), View::Int(1210));
        assert_eq!(
            Value(&decimals(0), 1).view(),
            View::Double(18_446_744_073_709_551_615.0)
        );
        assert_eq!(Value(&decimals(2), 0).view(), View::Double(12.1));
        let floats = Float32Array::from(vec![0.5, f32::NAN, f32::INFINITY]);
        let views: Vec<View<'_>> = (0..3).map(|row| Value(&floats, row).view()).collect();
        assert_eq!(views, [View::Double(0.5), View::Null, View::Null]);
        assert_eq!(Value(&Date32Array::from(vec![-1]), 0).view(), View::Date(-1));
    }

    #[test]
    fn lists_and_maps_have_items_from_their_own_row_only() {
        let mut lists = LargeListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a")]);
        lists.append_null();
        lists.append_value([Some("b"), None]);
        let lists = lists.finish();
        let lists = lists.slice(1, 2);
        assert_eq!((Value(&lists, 0).view(), Value(&lists, 0).len()), (View::Null, 0));
        let last = Value(&lists, 1);
        assert_eq!((last.view(), last.len()), (View::List, 2));
        assert_eq!(last.item(0).unwrap().view(), View::Text("b"));
        assert_eq!(last.item(1).unwrap().view(), View::Null);
        assert!(last.item(2).is_none());
    }

    #[test]
    fn keys_of_maps_are_texts_in_any_form_and_no_others() {
        let mut maps = datafusion::arrow::array::MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for key in ["k", "l"] {
            maps.keys().append_value(key);
            maps.values().append_value("v");
            maps.append(true).unwrap();
        }
        let maps: ArrayRef = Arc::new(maps.finish());
        for key in [TEXT, DataType::Utf8View] {
            let maps = cast(&maps, &map_of(key, TEXT)).unwrap();
            let map = Value(maps.as_ref(), 1);
            assert_eq!(
                (map.view(), map.len(), map.key(0), map.key(1)),
                (View::Map, 1, Some("l"), None)
            );
            assert_eq!(map.item(0).unwrap().view(), View::Text("v"));
        }
    }

    #[test]
    fn what_the_language_has_no_type_for_is_there_or_not() {
        let bytes = BinaryArray::from(vec![Some(&b"x"[..]), None]);
        assert_eq!(
            (Value(&bytes, 0).view(), Value(&bytes, 1).view()),
            (View::Struct, View::Null)
        );
    }
}
