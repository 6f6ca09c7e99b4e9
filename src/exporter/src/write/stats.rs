//! Statistics of a file as a Delta log has them: readers skip files by them.

use datafusion::parquet::{
    basic::{LogicalType, Type as Physical},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        statistics::Statistics,
    },
};
use jiff::civil::Date;
use serde_json::{Map, Value, json};

/// Columns with statistics: as many as Delta tables have by default.
const COLUMNS: usize = 32;

/// The statistics of a file, as JSON: rows, and for the first columns outside of lists and maps the number of nulls and
/// (numbers, texts, dates) the least and the greatest value.
pub(crate) fn of(metadata: &ParquetMetaData) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let schema = metadata.file_metadata().schema_descr();
    let flat = (0..schema.num_columns()).filter(|index| schema.column(*index).max_rep_level() == 0);
    for index in flat.take(COLUMNS) {
        let column = schema.column(index);
        let path = column.path().parts();
        let Some(bounds) = bounds(metadata.row_groups().iter().map(|group| group.column(index))) else {
            continue;
        };
        put(&mut nulls, path, json!(bounds.nulls));
        if let (Some(min), Some(max)) = (bounds.least, bounds.greatest) {
            put(&mut least, path, min.value());
            put(&mut greatest, path, max.value());
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
    })
    .to_string()
}

/// A value that has an order of its own, the same in all readers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Number(i64),
    Text(String),
    Date(i32),
}

impl Bound {
    fn value(self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Date(days) => json!(date(days).map(|date| date.to_string())),
        }
    }
}

fn date(days: i32) -> Option<Date> {
    Date::constant(1970, 1, 1)
        .checked_add(jiff::Span::new().try_days(days).ok()?)
        .ok()
}

#[derive(Default)]
struct Bounds {
    nulls: u64,
    least: Option<Bound>,
    greatest: Option<Bound>,
}

/// Over all row groups; `None` when one of them says nothing.
fn bounds<'a>(chunks: impl Iterator<Item = &'a ColumnChunkMetaData>) -> Option<Bounds> {
    let mut all = Bounds::default();
    let mut complete = true;
    for chunk in chunks {
        let statistics = chunk.statistics()?;
        let nulls = statistics.null_count_opt()?;
        all.nulls += nulls;
        if i64::try_from(nulls).ok() == Some(chunk.num_values()) {
            continue;
        }
        match range(chunk, statistics) {
            Some((min, max)) => {
                all.least = Some(all.least.take().map_or(min.clone(), |least| least.min(min)));
                all.greatest = Some(all.greatest.take().map_or(max.clone(), |greatest| greatest.max(max)));
            }
            None => complete = false,
        }
    }
    if !complete {
        (all.least, all.greatest) = (None, None);
    }
    Some(all)
}

fn range(chunk: &ColumnChunkMetaData, statistics: &Statistics) -> Option<(Bound, Bound)> {
    let column = chunk.column_descr();
    match (column.physical_type(), column.logical_type_ref(), statistics) {
        (Physical::BYTE_ARRAY, Some(LogicalType::String), _) => {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()));
            Some((text(statistics.min_bytes_opt()?)?, text(statistics.max_bytes_opt()?)?))
        }
        (Physical::INT32, Some(LogicalType::Date), Statistics::Int32(values)) => {
            let bound = |days: &i32| date(*days).map(|_| Bound::Date(*days));
            Some((bound(values.min_opt()?)?, bound(values.max_opt()?)?))
        }
        (Physical::INT32, None | Some(LogicalType::Integer(_)), Statistics::Int32(values)) => Some((
            Bound::Number((*values.min_opt()?).into()),
            Bound::Number((*values.max_opt()?).into()),
        )),
        (Physical::INT64, None | Some(LogicalType::Integer(_)), Statistics::Int64(values)) => {
            Some((Bound::Number(*values.min_opt()?), Bound::Number(*values.max_opt()?)))
        }
        _ => None,
    }
}

/// Puts `value` into objects within objects.
fn put(object: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(object.insert(name.clone(), value)),
        [name, rest @ ..] => {
            let inner = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::{
        arrow::{
            array::{
                ArrayRef, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
            },
            datatypes::{DataType, Field, Int32Type},
        },
        parquet::arrow::ArrowWriter,
    };

    use super::*;

    fn stats(groups: &[RecordBatch]) -> Value {
        let mut writer = ArrowWriter::try_new(Vec::new(), groups[0].schema(), None).unwrap();
        for group in groups {
            writer.write(group).unwrap();
            writer.flush().unwrap();
        }
        serde_json::from_str(&of(&writer.finish().unwrap())).unwrap()
    }

    #[test]
    fn bounds_are_over_all_row_groups_and_nested_as_the_columns_are() {
        let rows = |number: Option<i64>, text: &str, days: i32| {
            let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
            let inner = StructArray::from(vec![(Arc::new(Field::new("t", DataType::Utf8, true)), texts)]);
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("n", Arc::new(Int64Array::from(vec![number]))),
                ("o", Arc::new(inner)),
                ("d", Arc::new(Date32Array::from(vec![days]))),
                ("f", Arc::new(Float64Array::from(vec![1.5]))),
                (
                    "l",
                    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([
                        Some(1),
                        Some(2),
                    ])])),
                ),
            ];
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
        };
        let stats = stats(&[rows(Some(5), "b", 1), rows(None, "a", -1), rows(Some(-7), "c", 0)]);
        assert_eq!(
            stats,
            json!({
                "numRecords": 3,
                "minValues": {"n": -7, "o": {"t": "a"}, "d": "1969-12-31"},
                "maxValues": {"n": 5, "o": {"t": "c"}, "d": "1970-01-02"},
                "nullCount": {"n": 1, "o": {"t": 0}, "d": 0, "f": 0},
            })
        );
    }

    #[test]
    fn a_long_text_has_bounds_that_hold_it() {
        let text = "ä".repeat(500);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
        let stats = stats(&[RecordBatch::try_from_iter([("t", texts)]).unwrap()]);
        if let (Some(min), Some(max)) = (stats["minValues"]["t"].as_str(), stats["maxValues"]["t"].as_str()) {
            assert!(min <= text.as_str() && text.as_str() <= max, "{min} {max}");
        }
    }
}
