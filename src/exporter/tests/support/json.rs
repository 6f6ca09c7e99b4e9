//! From Arrow to rows of JSON, in the terms of [`crate::reference::model`].

use datafusion::arrow::{
    array::{Array, AsArray, RecordBatch, StructArray},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    },
};
use serde_json::{Map, Value, json};

/// Rows of a batch.
pub fn rows(batch: &RecordBatch) -> Vec<Value> {
    let columns = StructArray::from(batch.clone());
    (0..batch.num_rows()).map(|row| value(&columns, row)).collect()
}

/// One value.
pub fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            json!(
                cast(array, &DataType::Int64)
                    .unwrap()
                    .as_primitive::<Int64Type>()
                    .value(row)
            )
        }
        DataType::Float32 => json!(format!("{:?}", array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => json!(format!("{:?}", array.as_primitive::<Float64Type>().value(row))),
        DataType::Date32 => json!(array.as_primitive::<Date32Type>().value(row)),
        DataType::Decimal128(_, _) => json!(array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Binary => json!(array.as_binary::<i32>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            json!(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Utf8View => json!(array.as_string_view().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let object: Map<String, Value> = fields
                .iter()
                .zip(columns.columns())
                .map(|(field, column)| (field.name().clone(), value(column, row)))
                .collect();
            assert_eq!(object.len(), fields.len(), "two fields of one name");
            Value::Object(object)
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            (0..elements.len()).map(|element| value(&elements, element)).collect()
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let object: Map<String, Value> = (0..entries.len())
                .map(|entry| {
                    let key = value(entries.column(0), entry);
                    (
                        key.as_str().expect("a key is a text").to_owned(),
                        value(entries.column(1), entry),
                    )
                })
                .collect();
            assert_eq!(object.len(), entries.len(), "two entries of one key");
            Value::Object(object)
        }
        other => panic!("a type that a Delta table cannot hold: {other}"),
    }
}
