//! From the arrays of a file to the types of the store, without loss.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StructArray,
        TimestampMicrosecondArray, new_null_array,
    },
    buffer::NullBuffer,
    compute::{CastOptions, cast_with_options, nullif},
    datatypes::{
        ArrowTimestampType, DataType, Date64Type, Field, Fields, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    },
    error::ArrowError,
};

use crate::fields::types::{list_of, map_parts, time};

type Result<T, E = ArrowError> = std::result::Result<T, E>;

const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: datafusion::arrow::util::display::FormatOptions::new(),
};
const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// The array as `target`: fields of structs by name (missing ones are null, others are dropped), numbers widened, text
/// and times in their one form. An error names the value that does not fit.
pub(crate) fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(array.clone());
    }
    match (array.data_type(), target) {
        (DataType::Null, _) => Ok(new_null_array(target, array.len())),
        (DataType::Dictionary(_, value), _) => convert(&cast_with_options(array, value, &STRICT)?, target),
        (DataType::RunEndEncoded(_, value), _) => {
            convert(&cast_with_options(array, value.data_type(), &STRICT)?, target)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => convert_struct(array.as_struct(), fields),
        (DataType::List(_), DataType::List(item)) => convert_list(array.as_list(), item),
        (
            DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _),
            DataType::List(_),
        ) => {
            let list = list_of(item.data_type().clone());
            convert(&cast_with_options(array, &list, &STRICT)?, target)
        }
        (DataType::Map(_, _), DataType::Map(entries, _)) => convert_map(array.as_map(), entries),
        (DataType::Timestamp(unit, _), DataType::Timestamp(TimeUnit::Microsecond, _)) => convert_time(array, *unit),
        (DataType::Date64, DataType::Date32) => convert_date(array, target),
        _ => cast_with_options(array, target, &STRICT),
    }
}

fn convert_struct(array: &StructArray, fields: &Fields) -> Result<ArrayRef> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(match array.column_by_name(field.name()) {
            Some(column) => convert(column, field.data_type())?,
            None => new_null_array(field.data_type(), array.len()),
        });
    }
    let converted = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())?;
    Ok(Arc::new(converted))
}

fn convert_list(array: &ListArray, item: &Arc<Field>) -> Result<ArrayRef> {
    let values = convert(array.values(), item.data_type())?;
    Ok(Arc::new(ListArray::try_new(
        item.clone(),
        array.offsets().clone(),
        values,
        array.nulls().cloned(),
    )?))
}

fn convert_map(array: &MapArray, entries: &Arc<Field>) -> Result<ArrayRef> {
    let (Some((key, value)), DataType::Struct(fields)) = (map_parts(entries), entries.data_type()) else {
        return Err(ArrowError::CastError(format!(
            "{} is not the type of a map's entries",
            entries.data_type()
        )));
    };
    let columns = vec![
        convert(array.keys(), key.data_type())?,
        convert(array.values(), value.data_type())?,
    ];
    let converted = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(MapArray::try_new(
        entries.clone(),
        array.offsets().clone(),
        converted,
        array.nulls().cloned(),
        false,
    )?))
}

/// Times of any unit and zone as microseconds: what a zone changes is how a time reads, not which one it is. A time
/// without a zone is UTC; what is finer than a microsecond is cut.
fn convert_time(array: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef> {
    let micros = match unit {
        TimeUnit::Second => coarser::<TimestampSecondType>(array, 1_000_000)?,
        TimeUnit::Millisecond => coarser::<TimestampMillisecondType>(array, 1000)?,
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().clone(),
        TimeUnit::Nanosecond => array
            .as_primitive::<TimestampNanosecondType>()
            .unary(|nanos| nanos.div_euclid(1000)),
    };
    Ok(Arc::new(micros.with_data_type(time())))
}

fn coarser<T: ArrowTimestampType>(array: &ArrayRef, factor: i64) -> Result<TimestampMicrosecondArray> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    values.try_unary(|value| {
        value.checked_mul(factor).ok_or_else(|| {
            ArrowError::CastError(format!(
                "the time {value} ({:?}s since 1970) is outside of the years that microseconds can hold",
                T::UNIT
            ))
        })
    })
}

fn convert_date(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let odd = array
        .as_primitive::<Date64Type>()
        .iter()
        .flatten()
        .find(|millis| millis % MILLIS_PER_DAY != 0);
    match odd {
        Some(millis) => Err(ArrowError::CastError(format!(
            "the date {millis} (milliseconds since 1970) has a time of day: write the column as a timestamp"
        ))),
        None => cast_with_options(array, target, &STRICT),
    }
}

/// The column at `path` as `target`: null where it or a struct around it is null; `None`: there is no such column.
pub(crate) fn leaf(columns: &StructArray, path: &[String], target: &DataType) -> Result<Option<ArrayRef>> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(None);
    };
    let Some(mut column) = columns.column_by_name(first) else {
        return Ok(None);
    };
    let mut parents: Option<NullBuffer> = None;
    for name in rest {
        let Some(parent) = column.as_any().downcast_ref::<StructArray>() else {
            return Ok(None);
        };
        parents = NullBuffer::union(parents.as_ref(), parent.nulls());
        let Some(child) = parent.column_by_name(name) else {
            return Ok(None);
        };
        column = child;
    }
    let values = convert(column, target)?;
    Ok(Some(match parents.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nullif(&values, &BooleanArray::new(!nulls.inner(), None))?,
        None => values,
    }))
}
