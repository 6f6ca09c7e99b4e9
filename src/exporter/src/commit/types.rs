//! Arrow types, the types that a Delta table has for them, and back.

use datafusion::arrow::datatypes::{DataType as Arrow, Field, Schema, SchemaRef};
use deltalake::kernel::{
    ArrayType, DataType, DecimalType, MapType, PrimitiveType, StructField, StructType,
    engine::arrow_conversion::TryIntoArrow,
};
use exportjob_plan::code;

use crate::{Error, Result, fields::types::schema_with_views};

/// Column of every dataset that says which batch a row belongs to.
pub(crate) const BATCH_COLUMN: &str = "_batchId";

/// The Delta columns for the columns of an export, all nullable.
///
/// # Errors
/// `COLUMN_TYPE` for types that Delta does not have, `SCHEMA_CONFLICT` for names that a table cannot hold side by side.
pub(crate) fn delta_schema(schema: &Schema) -> Result<StructType> {
    if schema.field_with_name(BATCH_COLUMN).is_ok() {
        return Err(Error::new(
            code::SCHEMA_CONFLICT,
            format!(
                "the profile store has a column {BATCH_COLUMN}, a name that datasets need for themselves: map it to another path or leave it out of spec.fields"
            ),
        ));
    }
    structure("", schema.fields().iter().map(AsRef::as_ref))
}

/// The Arrow columns in which rows of `schema` are written.
pub(crate) fn arrow_schema(schema: &StructType) -> Result<SchemaRef> {
    let schema: Schema = schema.try_into_arrow().map_err(|error| {
        Error::new(code::INTERNAL, format!("the columns cannot be written: {error}")).caused_by(error)
    })?;
    Ok(schema_with_views(&schema))
}

fn structure<'a>(path: &str, fields: impl Iterator<Item = &'a Field>) -> Result<StructType> {
    let mut columns: Vec<StructField> = Vec::new();
    for field in fields {
        let path = join(path, field.name());
        if let Some(other) = columns
            .iter()
            .find(|other| other.name().eq_ignore_ascii_case(field.name()))
        {
            return Err(Error::new(
                code::SCHEMA_CONFLICT,
                format!(
                    "{path} and {} differ in case only, which a dataset cannot hold: map one of them to another path or leave it out of spec.fields",
                    other.name()
                ),
            ));
        }
        columns.push(StructField::nullable(
            field.name().as_str(),
            data_type(&path, field.data_type())?,
        ));
    }
    if columns.is_empty() {
        return Err(Error::new(
            code::COLUMN_TYPE,
            if path.is_empty() {
                "the export has no columns: name at least one that the profile store has in spec.fields".to_owned()
            } else {
                format!("{path} is an object without fields, which a dataset cannot hold: leave it out of spec.fields")
            },
        ));
    }
    StructType::try_new(columns).map_err(|error| {
        Error::new(
            code::COLUMN_TYPE,
            format!("the dataset cannot hold the columns of {path:?}: {error}"),
        )
        .caused_by(error)
    })
}

fn data_type(path: &str, arrow: &Arrow) -> Result<DataType> {
    let primitive = match arrow {
        Arrow::Boolean => PrimitiveType::Boolean,
        Arrow::Int8 => PrimitiveType::Byte,
        Arrow::Int16 | Arrow::UInt8 => PrimitiveType::Short,
        Arrow::Int32 | Arrow::UInt16 => PrimitiveType::Integer,
        Arrow::Int64 | Arrow::UInt32 => PrimitiveType::Long,
        Arrow::UInt64 => PrimitiveType::Decimal(decimal(path, 20, 0)?),
        Arrow::Float16 | Arrow::Float32 => PrimitiveType::Float,
        Arrow::Float64 => PrimitiveType::Double,
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => PrimitiveType::String,
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => PrimitiveType::Binary,
        Arrow::Date32 | Arrow::Date64 => PrimitiveType::Date,
        // Times without a zone are UTC, as everywhere in a profile store.
        Arrow::Timestamp(_, _) => PrimitiveType::Timestamp,
        Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
        | Arrow::Decimal128(precision, scale)
        | Arrow::Decimal256(precision, scale) => PrimitiveType::Decimal(decimal(path, *precision, *scale)?),
        Arrow::Dictionary(_, values) => return data_type(path, values),
        Arrow::RunEndEncoded(_, values) => return data_type(path, values.data_type()),
        Arrow::Struct(fields) => {
            return Ok(structure(path, fields.iter().map(AsRef::as_ref))?.into());
        }
        Arrow::List(item)
        | Arrow::LargeList(item)
        | Arrow::ListView(item)
        | Arrow::LargeListView(item)
        | Arrow::FixedSizeList(item, _) => {
            return Ok(ArrayType::new(data_type(path, item.data_type())?, true).into());
        }
        Arrow::Map(entries, _) => return map(path, entries),
        _ => return Err(unsupported(path, arrow)),
    };
    Ok(DataType::Primitive(primitive))
}

fn map(path: &str, entries: &Field) -> Result<DataType> {
    match entries.data_type() {
        Arrow::Struct(fields) if fields.len() == 2 => {
            let key = data_type(path, fields[0].data_type())?;
            let value = data_type(path, fields[1].data_type())?;
            Ok(MapType::new(key, value, true).into())
        }
        other => Err(unsupported(path, other)),
    }
}

fn decimal(path: &str, precision: u8, scale: i8) -> Result<DecimalType> {
    u8::try_from(scale).ok().and_then(|scale| DecimalType::try_new(precision, scale).ok()).ok_or_else(|| {
        Error::new(
            code::COLUMN_TYPE,
            format!(
                "{path} is a decimal of {precision} digits with scale {scale}; a dataset holds at most 38 digits and no negative scale: leave it out of spec.fields or store it in another type"
            ),
        )
    })
}

fn unsupported(path: &str, arrow: &Arrow) -> Error {
    Error::new(
        code::COLUMN_TYPE,
        format!(
            "{path} has the type {arrow}, which a Delta table does not have: leave it out of spec.fields or store it in another type"
        ),
    )
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    fn one(data_type: Arrow) -> Result<DataType> {
        let schema = Schema::new(vec![Field::new("x", data_type, false)]);
        Ok(delta_schema(&schema)?.field("x").unwrap().data_type().clone())
    }

    #[test]
    fn times_of_any_precision_and_zone_become_microseconds_in_utc() {
        for zone in [
            None,
            Some("UTC".into()),
            Some("+00:00".into()),
            Some("Europe/Berlin".into()),
        ] {
            assert_eq!(
                one(Arrow::Timestamp(TimeUnit::Nanosecond, zone)).unwrap(),
                DataType::TIMESTAMP
            );
        }
    }

    #[test]
    fn unsigned_numbers_keep_their_range() {
        assert_eq!(one(Arrow::UInt32).unwrap(), DataType::LONG);
        assert_eq!(one(Arrow::UInt64).unwrap(), DataType::decimal(20, 0).unwrap());
    }

    #[test]
    fn a_type_that_delta_does_not_have_names_the_path() {
        let nested = Arrow::Struct(vec![Field::new("t", Arrow::Time64(TimeUnit::Microsecond), true)].into());
        let error = one(Arrow::List(Arc::new(Field::new("item", nested, true)))).unwrap_err();
        assert_eq!(error.code(), code::COLUMN_TYPE);
        assert!(error.to_string().starts_with("x.t has the type"), "{error}");
    }

    #[test]
    fn names_that_differ_in_case_only_are_refused() {
        let schema = Schema::new(vec![
            Field::new("Email", Arrow::Utf8, true),
            Field::new("email", Arrow::Utf8, true),
        ]);
        let error = delta_schema(&schema).unwrap_err();
        assert_eq!(error.code(), code::SCHEMA_CONFLICT);
    }

    #[test]
    fn the_column_of_the_batch_cannot_be_written_by_a_job() {
        let schema = Schema::new(vec![Field::new(BATCH_COLUMN, Arrow::Utf8, true)]);
        assert_eq!(delta_schema(&schema).unwrap_err().code(), code::SCHEMA_CONFLICT);
    }
}
