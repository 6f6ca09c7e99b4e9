//! Which bucket a file of a bucketed table is of, and where its key is.

use datafusion::arrow::datatypes::DataType;
use exportjob_plan::{BucketingPlan, code, nearest};

use super::table::{Bucket, Input};
use crate::{
    Error, Result,
    fields::{
        tree::{Node, Source, Tree},
        types::{TEXT, name_of, plain},
    },
};

/// The bucket of a file below `place` with these columns.
pub(super) fn find(
    bucketing: &BucketingPlan,
    input: &Input,
    place: &str,
    columns: &Tree<Source>,
    file: &str,
) -> Result<Bucket> {
    if matches!(input, Input::Delta(_)) {
        return Err(invalid(file, "bucketing goes with format parquet only"));
    }
    let below = file.strip_prefix(place).unwrap_or(file);
    let number = number(below).filter(|number| *number < u64::from(bucketing.count));
    let Some(number) = number.and_then(|number| usize::try_from(number).ok()) else {
        return Err(invalid(
            file,
            &format!(
                "its path below the table's folder has no number from 0 to {}, which would say which bucket it is of: write it to a folder such as bucket=0, or leave out bucketing",
                bucketing.count - 1
            ),
        ));
    };
    let column: Vec<String> = bucketing.column.split('.').map(|name| name.trim().to_owned()).collect();
    Ok(Bucket {
        number,
        is_sorted: bucketing.sorted,
        key: key_type(bucketing, &column, columns, file)?,
        column,
    })
}

/// The first number in a path.
fn number(path: &str) -> Option<u64> {
    let start = path.find(|c: char| c.is_ascii_digit())?;
    let digits = path[start..].split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn key_type(bucketing: &BucketingPlan, column: &[String], columns: &Tree<Source>, file: &str) -> Result<DataType> {
    let stored = match columns.find(column) {
        Some(Node::Leaf(Source::Column(_, stored))) => stored.clone(),
        Some(_) => {
            return Err(wrong_type(bucketing, "a struct", file));
        }
        None => {
            let hint = nearest(&bucketing.column, columns.0.iter().map(|(name, _)| name.as_str()));
            let hint = hint.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
            return Err(Error::new(
                code::MISSING_COLUMN,
                format!(
                    "{file} has no column {}{hint}, which bucketing.column names: correct it, or leave out bucketing",
                    bucketing.column
                ),
            ));
        }
    };
    match plain(&stored) {
        TEXT => Ok(TEXT),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(DataType::Int64),
        _ => Err(wrong_type(bucketing, &name_of(&stored), file)),
    }
}

fn wrong_type(bucketing: &BucketingPlan, found: &str, file: &str) -> Error {
    Error::new(
        code::COLUMN_TYPE,
        format!(
            "{file}: column {}, which bucketing.column names, is {found} and must be a string or a whole number: name another, or leave out bucketing",
            bucketing.column
        ),
    )
}

fn invalid(file: &str, message: &str) -> Error {
    Error::new(code::INVALID_STORE, format!("{file}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_below_the_folder_is_the_bucket() {
        assert_eq!(number("bucket=00003/part-7.parquet"), Some(3));
        assert_eq!(number("part-12-ab3.parquet"), Some(12));
        assert_eq!(number("0.parquet"), Some(0));
        assert_eq!(number("part.parquet"), None);
        assert_eq!(number("99999999999999999999999.parquet"), None);
    }
}
