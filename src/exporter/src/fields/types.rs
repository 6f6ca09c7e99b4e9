//! The types that an export reads and writes: what each stored type becomes, and which type holds two.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

/// Most digits of a decimal that a Delta table holds.
const MAX_PRECISION: u8 = 38;

/// Text in the form that all of it has between its file and its batch: rows are moved without copying what they say.
pub(crate) const TEXT: DataType = DataType::Utf8View;

/// A type as people know it.
pub(crate) fn name_of(data_type: &DataType) -> String {
    data_type.to_string().replace("Utf8View", "Utf8")
}

/// The type with [`TEXT`] for all text in it.
pub(crate) fn with_views(data_type: &DataType) -> DataType {
    with_text(data_type, &TEXT)
}

/// The schema with [`TEXT`] for all text in it.
pub(crate) fn schema_with_views(schema: &Schema) -> SchemaRef {
    schema_with_text(schema, &TEXT)
}

/// The schema with text that lies in one piece.
pub(crate) fn schema_with_texts(schema: &Schema) -> SchemaRef {
    schema_with_text(schema, &DataType::Utf8)
}

fn schema_with_text(schema: &Schema, text: &DataType) -> SchemaRef {
    Arc::new(Schema::new(fields_with_text(schema.fields(), text)))
}

fn fields_with_text(fields: &Fields, text: &DataType) -> Fields {
    fields.iter().map(|field| field_with_text(field, text)).collect()
}

fn field_with_text(field: &FieldRef, text: &DataType) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(with_text(field.data_type(), text)))
}

fn with_text(data_type: &DataType, text: &DataType) -> DataType {
    use DataType as T;
    let field = |field: &FieldRef| field_with_text(field, text);
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => text.clone(),
        T::Struct(fields) => T::Struct(fields_with_text(fields, text)),
        T::List(item) => T::List(field(item)),
        T::LargeList(item) => T::LargeList(field(item)),
        T::FixedSizeList(item, size) => T::FixedSizeList(field(item), *size),
        T::Map(entries, sorted) => T::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

/// A time as it is written: microseconds, UTC.
pub(crate) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A list of `item`, with the names that Delta gives to its parts.
pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

/// A map from text to `value`, with the names that Delta gives to its parts.
pub(crate) fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(entries), false)),
        false,
    )
}

/// A struct of nullable fields.
pub(crate) fn struct_of<N: Into<String>>(fields: impl IntoIterator<Item = (N, DataType)>) -> DataType {
    DataType::Struct(
        fields
            .into_iter()
            .map(|(name, data_type)| Field::new(name, data_type, true))
            .collect(),
    )
}

/// Key and value of a map's entries.
pub(crate) fn map_parts(entries: &FieldRef) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Some((&fields[0], &fields[1])),
        _ => None,
    }
}

/// The type that a stored type is written as, without loss for any value. Types that a Delta table cannot hold stay
/// as they are: [`unsupported`] finds them.
pub(crate) fn plain(stored: &DataType) -> DataType {
    use DataType as T;
    match stored {
        T::Utf8 | T::LargeUtf8 | T::Null => TEXT,
        T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 => T::Int64,
        T::UInt64 => T::Decimal128(20, 0),
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        T::Timestamp(_, _) => time(),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) => {
            decimal(*p, *s).unwrap_or_else(|| stored.clone())
        }
        T::Dictionary(_, value) => plain(value),
        T::RunEndEncoded(_, value) => plain(value.data_type()),
        T::List(item) | T::LargeList(item) | T::ListView(item) | T::LargeListView(item) | T::FixedSizeList(item, _) => {
            list_of(plain(item.data_type()))
        }
        T::Map(entries, _) => match map_parts(entries) {
            Some((key, value)) => map_of(plain(key.data_type()), plain(value.data_type())),
            None => stored.clone(),
        },
        T::Struct(fields) => struct_of(fields.iter().map(|field| (field.name(), plain(field.data_type())))),
        other => other.clone(),
    }
}

/// A decimal that a Delta table holds, with all digits of this one.
fn decimal(precision: u8, scale: i8) -> Option<DataType> {
    let (precision, scale) = match u8::try_from(scale) {
        Ok(_) => (precision, scale),
        // A negative scale means zeros before the point.
        Err(_) => (precision.checked_add(scale.unsigned_abs())?, 0),
    };
    (precision <= MAX_PRECISION).then_some(DataType::Decimal128(precision, scale))
}

/// A type inside `data_type` that a Delta table cannot hold: where it is (below `data_type`) and what it is.
pub(crate) fn unsupported(data_type: &DataType) -> Option<(Vec<String>, DataType)> {
    use DataType as T;
    match data_type {
        T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::Float32
        | T::Float64
        | T::Date32
        | T::Utf8View
        | T::Binary
        | T::Decimal128(_, _) => None,
        T::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => None,
        T::List(item) => unsupported(item.data_type()),
        T::Map(entries, _) => match map_parts(entries) {
            Some((key, value)) => unsupported(key.data_type()).or_else(|| unsupported(value.data_type())),
            None => Some((Vec::new(), data_type.clone())),
        },
        T::Struct(fields) => fields.iter().find_map(|field| {
            let (mut path, found) = unsupported(field.data_type())?;
            path.insert(0, field.name().clone());
            Some((path, found))
        }),
        other => Some((Vec::new(), other.clone())),
    }
}

/// The smallest plain type that holds all values of two plain types; `None`: there is none.
pub(crate) fn widest(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (T::Struct(a), T::Struct(b)) => widest_fields(a, b).map(T::Struct),
        (T::List(a), T::List(b)) => Some(list_of(widest(a.data_type(), b.data_type())?)),
        (T::Map(a, _), T::Map(b, _)) => {
            let ((key_a, value_a), (key_b, value_b)) = (map_parts(a)?, map_parts(b)?);
            Some(map_of(
                widest(key_a.data_type(), key_b.data_type())?,
                widest(value_a.data_type(), value_b.data_type())?,
            ))
        }
        (T::Float32, T::Float64) | (T::Float64, T::Float32) => Some(T::Float64),
        _ => widest_number(a, b).or_else(|| widest_number(b, a)),
    }
}

fn widest_fields(a: &Fields, b: &Fields) -> Option<Fields> {
    let mut fields = Vec::with_capacity(a.len());
    for field in a {
        let data_type = match b.find(field.name()) {
            Some((_, other)) => widest(field.data_type(), other.data_type())?,
            None => field.data_type().clone(),
        };
        fields.push(Field::new(field.name(), data_type, true));
    }
    let added = b.iter().filter(|field| a.find(field.name()).is_none());
    fields.extend(added.map(|field| Field::new(field.name(), field.data_type().clone(), true)));
    Some(fields.into())
}

/// Numbers: `a` is the narrower kind.
fn widest_number(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    if let (Some((_, width_a)), Some((_, width_b))) = (integer(a), integer(b)) {
        return (width_a < width_b).then(|| b.clone());
    }
    match (a, b) {
        (T::Int8 | T::Int16, T::Float32) => Some(T::Float32),
        // All 32-bit integers are exact in 64-bit floats; 64-bit ones are not.
        (T::Int8 | T::Int16 | T::Int32, T::Float64) | (T::Int32, T::Float32) => Some(T::Float64),
        (T::Decimal128(digits, scale), T::Decimal128(more, other)) => {
            widest_decimal((*digits, *scale), (*more, *other))
        }
        (whole, T::Decimal128(digits, scale)) => widest_decimal((integer(whole)?.0, 0), (*digits, *scale)),
        _ => None,
    }
}

/// Most decimal digits and the width in bytes of a signed integer.
fn integer(data_type: &DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Int8 => Some((3, 1)),
        DataType::Int16 => Some((5, 2)),
        DataType::Int32 => Some((10, 4)),
        DataType::Int64 => Some((19, 8)),
        _ => None,
    }
}

/// Of decimals with these digits and scales.
fn widest_decimal(a: (u8, i8), b: (u8, i8)) -> Option<DataType> {
    let scale = a.1.max(b.1);
    let whole = (i16::from(a.0) - i16::from(a.1)).max(i16::from(b.0) - i16::from(b.1));
    let precision = u8::try_from(whole + i16::from(scale)).ok()?;
    (precision <= MAX_PRECISION).then_some(DataType::Decimal128(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_numbers_hold_narrower_ones_and_nothing_is_lost() {
        use DataType as T;
        assert_eq!(widest(&T::Int32, &T::Int64), Some(T::Int64));
        assert_eq!(widest(&T::Int64, &T::Int8), Some(T::Int64));
        assert_eq!(widest(&T::Float64, &T::Int32), Some(T::Float64));
        assert_eq!(widest(&T::Int64, &T::Float64), None);
        assert_eq!(widest(&T::Int64, &TEXT), None);
        assert_eq!(
            widest(&T::Decimal128(10, 2), &T::Decimal128(12, 0)),
            Some(T::Decimal128(14, 2))
        );
        assert_eq!(widest(&T::Decimal128(10, 2), &T::Int64), Some(T::Decimal128(21, 2)));
        assert_eq!(widest(&T::Decimal128(38, 0), &T::Decimal128(38, 2)), None);
    }

    #[test]
    fn fields_that_only_one_list_element_has_are_added() {
        let a = list_of(struct_of([("a", DataType::Int32)]));
        let b = list_of(struct_of([("b", TEXT), ("a", DataType::Int64)]));
        assert_eq!(
            widest(&a, &b),
            Some(list_of(struct_of([("a", DataType::Int64), ("b", TEXT)])))
        );
    }

    #[test]
    fn types_that_delta_cannot_hold_are_found_where_they_are() {
        let stored = struct_of([
            ("ok", DataType::UInt64),
            ("at", DataType::Time64(TimeUnit::Microsecond)),
        ]);
        let found = unsupported(&plain(&list_of(stored)));
        assert_eq!(
            found,
            Some((vec!["at".to_owned()], DataType::Time64(TimeUnit::Microsecond)))
        );
        assert_eq!(unsupported(&plain(&DataType::UInt64)), None);
        assert_eq!(plain(&DataType::Decimal256(40, 2)), DataType::Decimal256(40, 2));
        assert_eq!(plain(&DataType::Decimal128(5, -3)), DataType::Decimal128(8, 0));
    }
}
