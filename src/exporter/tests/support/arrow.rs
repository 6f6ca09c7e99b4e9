//! From rows of JSON to Arrow, in one of the ways in which other systems write the same type.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, LargeListArray, ListArray, MapArray,
        RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::cast,
    datatypes::{DataType, Field, Fields, Schema, TimeUnit},
};
use serde_json::{Map, Value};

use crate::reference::model::Type;

/// How a file stores its types.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    pub text: DataType,
    pub time: DataType,
    pub long: DataType,
    pub float: DataType,
    pub large_lists: bool,
}

impl Default for Encoding {
    fn default() -> Self {
        Self {
            text: DataType::Utf8,
            time: DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            long: DataType::Int64,
            float: DataType::Float64,
            large_lists: false,
        }
    }
}

impl Encoding {
    pub fn data_type(&self, kind: &Type) -> DataType {
        match kind {
            Type::Bool => DataType::Boolean,
            Type::Long => self.long.clone(),
            Type::Float => self.float.clone(),
            Type::Text => self.text.clone(),
            Type::Time => self.time.clone(),
            Type::Date => DataType::Date32,
            Type::Struct(fields) => DataType::Struct(self.fields(fields)),
            Type::List(element) => {
                let field = Arc::new(Field::new("element", self.data_type(element), true));
                if self.large_lists {
                    DataType::LargeList(field)
                } else {
                    DataType::List(field)
                }
            }
            Type::Map(value) => {
                let entry = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", self.data_type(value), true),
                ]);
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
            }
        }
    }

    pub fn fields(&self, fields: &[(String, Type)]) -> Fields {
        fields
            .iter()
            .map(|(name, kind)| Field::new(name, self.data_type(kind), true))
            .collect()
    }

    pub fn batch(&self, columns: &[(String, Type)], rows: &[Map<String, Value>]) -> RecordBatch {
        let fields = self.fields(columns);
        let arrays = columns.iter().zip(&fields).map(|((name, _), field)| {
            let values: Vec<&Value> = rows.iter().map(|row| row.get(name).unwrap_or(&Value::Null)).collect();
            array(field.data_type(), &values)
        });
        let arrays: Vec<ArrayRef> = arrays.collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

fn array(kind: &DataType, values: &[&Value]) -> ArrayRef {
    match kind {
        DataType::Boolean => Arc::new(values.iter().map(|v| v.as_bool()).collect::<BooleanArray>()),
        DataType::Date32 => {
            let days = values
                .iter()
                .map(|v| v.as_i64().map(|days| i32::try_from(days).unwrap()));
            Arc::new(days.collect::<Date32Array>())
        }
        DataType::Int64 | DataType::Int32 | DataType::Duration(_) => {
            cast(&values.iter().map(|v| v.as_i64()).collect::<Int64Array>(), kind).unwrap()
        }
        DataType::Timestamp(_, _) => {
            // UTC first: a cast takes what has no zone for a time on the wall of the other zone.
            let times: TimestampMicrosecondArray = values.iter().map(|v| v.as_i64()).collect();
            cast(&times.with_timezone("UTC"), kind).unwrap()
        }
        DataType::Float64 | DataType::Float32 => {
            let floats = values
                .iter()
                .map(|v| v.as_str().map(|text| text.parse::<f64>().unwrap()));
            cast(&floats.collect::<Float64Array>(), kind).unwrap()
        }
        DataType::Struct(fields) => Arc::new(struct_array(fields, values)),
        DataType::List(element) => {
            let (offsets, below) = elements(values);
            let inner = array(element.data_type(), &below);
            let offsets = OffsetBuffer::from_lengths(offsets);
            Arc::new(ListArray::new(element.clone(), offsets, inner, nulls(values)))
        }
        DataType::LargeList(element) => {
            let (offsets, below) = elements(values);
            let inner = array(element.data_type(), &below);
            let offsets = OffsetBuffer::from_lengths(offsets);
            Arc::new(LargeListArray::new(element.clone(), offsets, inner, nulls(values)))
        }
        DataType::Map(entry, _) => Arc::new(map_array(entry, values)),
        text => cast(&values.iter().map(|v| v.as_str()).collect::<StringArray>(), text).unwrap(),
    }
}

fn nulls(values: &[&Value]) -> Option<NullBuffer> {
    Some(values.iter().map(|value| !value.is_null()).collect())
}

fn elements<'a>(values: &[&'a Value]) -> (Vec<usize>, Vec<&'a Value>) {
    let lists = || {
        values
            .iter()
            .map(|value| value.as_array().map_or(&[][..], Vec::as_slice))
    };
    (lists().map(<[Value]>::len).collect(), lists().flatten().collect())
}

fn struct_array(fields: &Fields, values: &[&Value]) -> StructArray {
    let columns = fields.iter().map(|field| {
        let below: Vec<&Value> = values
            .iter()
            .map(|v| v.get(field.name()).unwrap_or(&Value::Null))
            .collect();
        array(field.data_type(), &below)
    });
    StructArray::new(fields.clone(), columns.collect(), nulls(values))
}

fn map_array(entry: &Arc<Field>, values: &[&Value]) -> MapArray {
    let DataType::Struct(fields) = entry.data_type() else {
        panic!("a map has entries")
    };
    let empty = Map::new();
    let maps: Vec<_> = values.iter().map(|value| value.as_object().unwrap_or(&empty)).collect();
    let keys: StringArray = maps.iter().flat_map(|map| map.keys().map(Some)).collect();
    let below: Vec<&Value> = maps.iter().flat_map(|map| map.values()).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), array(fields[1].data_type(), &below)];
    let entries = StructArray::new(fields.clone(), columns, None);
    let offsets = OffsetBuffer::from_lengths(maps.iter().map(|map| map.len()));
    MapArray::new(entry.clone(), offsets, entries, nulls(values), false)
}
