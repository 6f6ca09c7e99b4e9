//! How the columns that are wanted come out of the columns of one file.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, StructArray},
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    common::ScalarValue,
};
use exportjob_plan::code;

use super::{
    convert::{convert, leaf},
    roles::{KEY_COLUMN, Kind, Need, Role},
};
use crate::{
    Error, Result,
    fields::{
        dotted,
        tree::{Node, Source, Tree},
        types::time,
    },
    keys::KEY,
};

/// A column that a scan delivers.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// A column that the store owns.
    Role(Role),
    /// A leaf of the customer's columns, as this type.
    Leaf(Vec<String>, DataType),
    /// The key of a bucketed table, as this type.
    Key(DataType),
}

impl Wanted {
    /// The columns that the store owns, then these leaves.
    pub fn all(kind: Kind, leaves: &[(Vec<String>, DataType)]) -> Vec<Self> {
        let roles = kind.roles().iter().map(|role| Self::Role(*role));
        let leaves = leaves
            .iter()
            .map(|(path, data_type)| Self::Leaf(path.clone(), data_type.clone()));
        roles.chain(leaves).collect()
    }

    /// The schema of a scan: store-owned columns under their names, the n-th column as `n` if it is a leaf.
    pub fn schema(wanted: &[Self]) -> SchemaRef {
        let fields = wanted.iter().enumerate().map(|(index, column)| match column {
            Self::Role(role) => Field::new(role.name, role.data_type(), true),
            Self::Key(data_type) => Field::new(KEY, data_type.clone(), true),
            Self::Leaf(_, data_type) => Field::new(index.to_string(), data_type.clone(), true),
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Where a column comes from.
#[derive(Clone, Debug)]
pub(super) enum Getter {
    /// The file's column at this path.
    Column {
        path: Vec<String>,
        target: DataType,
        name: String,
    },
    /// The same value in each row.
    Constant(ScalarValue),
    /// The time when the row's part of the table was written.
    Written,
}

impl Getter {
    /// Where `wanted` comes from in a file with these columns.
    pub fn new(wanted: &Wanted, columns: &Tree<Source>) -> Result<Self> {
        match wanted {
            Wanted::Role(role) => match columns.get(role.name) {
                Some(Node::Leaf(Source::Value(text))) => Ok(Self::Constant(constant(role, text)?)),
                Some(Node::Leaf(Source::Column(path, _))) => Ok(Self::Column {
                    path: path.clone(),
                    target: role.data_type(),
                    name: role.name.to_owned(),
                }),
                _ if role.need == Need::Written => Ok(Self::Written),
                _ => null(&role.data_type()),
            },
            Wanted::Key(target) => match columns.get(KEY_COLUMN) {
                Some(Node::Leaf(Source::Column(path, _))) => Ok(Self::Column {
                    path: path.clone(),
                    target: target.clone(),
                    name: dotted(path),
                }),
                _ => null(target),
            },
            Wanted::Leaf(path, target) => match columns.find(path) {
                Some(Node::Leaf(Source::Value(text))) => Ok(Self::Constant(ScalarValue::Utf8View(Some(text.clone())))),
                Some(Node::Leaf(Source::Column(from, _))) => Ok(Self::Column {
                    path: from.clone(),
                    target: target.clone(),
                    name: dotted(path),
                }),
                _ => null(target),
            },
        }
    }

    /// The file's column that it comes from, and the type that it is read as.
    pub fn column(&self) -> Option<(&[String], &DataType)> {
        match self {
            Self::Column { path, target, .. } => Some((path, target)),
            Self::Constant(_) | Self::Written => None,
        }
    }

    /// The column for a batch of the file. `written` makes the times when the rows were written.
    pub fn get(
        &self,
        batch: &StructArray,
        rows: usize,
        written: impl FnOnce() -> Result<ArrayRef>,
    ) -> Result<ArrayRef> {
        match self {
            Self::Column { path, target, name } => {
                let found = leaf(batch, path, target).map_err(|error| {
                    Error::new(
                        code::COLUMN_TYPE,
                        format!("column {name} has a value that cannot be read: {error}"),
                    )
                })?;
                match found {
                    Some(column) => Ok(column),
                    None => Err(Error::new(code::INTERNAL, format!("column {name} was not read"))),
                }
            }
            Self::Constant(value) => value.to_array_of_size(rows).map_err(internal),
            Self::Written => written().and_then(|times| convert(&times, &time()).map_err(internal)),
        }
    }
}

fn null(data_type: &DataType) -> Result<Getter> {
    ScalarValue::try_new_null(data_type)
        .map(Getter::Constant)
        .map_err(internal)
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(code::INTERNAL, "cannot make a column").caused_by(error)
}

/// The constant that a mapping gives to a column of the store.
pub(super) fn constant(role: &Role, text: &str) -> Result<ScalarValue> {
    if !role.is_time {
        return Ok(ScalarValue::Utf8View(Some(text.to_owned())));
    }
    let micros = exportjob_plan::micros(role.name, text)
        .map_err(|error| Error::new(code::COLUMN_TYPE, format!("the constant in columns: {error}")))?;
    Ok(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}
