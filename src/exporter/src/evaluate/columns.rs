//! The store's columns as the language sees them, and where a merge has those that programs look at.

use datafusion::arrow::datatypes::{DataType, FieldRef, Fields};
use exportjob_pql::{Field, Schema, Type};

use crate::{
    fields::{prune::prune, types::map_parts},
    merge::{IDENTITIES, IDENTITY_MAP, SEGMENT_MEMBERSHIP, identities_type, identity_map_type},
    project::leaves,
};

/// Path and type of a leaf.
pub(super) type Leaf = (Vec<String>, DataType);

/// Where a field's values are.
#[derive(Clone, Debug)]
pub(super) enum Column {
    /// In this leaf of the rows.
    Leaf(usize),
    /// In the fields of a struct.
    Struct(Vec<Column>),
}

/// Where the fields are that programs look at, in the order of their schema.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// Those of a profile; what the merge itself computes follows.
    pub profile: Vec<Column>,
    /// Those of an event.
    pub event: Vec<Column>,
}

/// Leaves that programs look at and that are not written: they are read behind those that are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    /// Leaves of profile records.
    pub attributes: Vec<Leaf>,
    /// Leaves of events.
    pub events: Vec<Leaf>,
}

/// What expressions can ask for in a store whose profiles and events have these fields.
pub(crate) fn schema(attributes: &Fields, events: &Fields) -> Schema {
    let computed = [
        (IDENTITY_MAP, type_of(&identity_map_type())),
        (IDENTITIES, type_of(&identities_type())),
        (SEGMENT_MEMBERSHIP, membership_type()),
    ];
    let computed = computed.map(|(name, type_)| Field::new(name, type_));
    Schema::new(
        fields_of(attributes).into_iter().chain(computed).collect(),
        fields_of(events),
    )
}

fn membership_type() -> Type {
    Type::map(Type::map(Type::structure(vec![
        Field::new("status", Type::String),
        Field::new("lastQualificationTime", Type::Timestamp),
    ])))
}

fn fields_of(fields: &Fields) -> Vec<Field> {
    fields
        .iter()
        .map(|field| Field::new(field.name(), type_of(field.data_type())))
        .collect()
}

/// The language's type of a column. What it has no type for can only be asked whether it is there: a struct without fields.
fn type_of(data_type: &DataType) -> Type {
    use DataType as T;
    match data_type {
        T::Boolean => Type::Bool,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Decimal128(_, 0) => Type::Int,
        T::Float32 | T::Float64 | T::Decimal128(..) => Type::Double,
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Type::String,
        T::Date32 => Type::Date,
        T::Timestamp(..) => Type::Timestamp,
        T::List(item) | T::LargeList(item) => Type::list(type_of(item.data_type())),
        T::Map(entries, _) => match map_parts(entries) {
            Some((key, value)) if type_of(key.data_type()) == Type::String => Type::map(type_of(value.data_type())),
            _ => Type::structure(Vec::new()),
        },
        T::Struct(fields) => Type::structure(fields_of(fields)),
        _ => Type::structure(Vec::new()),
    }
}

/// Fields, and where their values are.
pub(super) struct Placed {
    pub fields: Fields,
    pub columns: Vec<Column>,
    /// Leaves that have to be read behind those that are read anyway.
    pub hidden: Vec<Leaf>,
}

/// The fields at these paths, where the leaves of `written` are read anyway.
pub(super) fn place(all: &Fields, paths: &[Vec<String>], written: &Fields) -> Placed {
    let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
    let needed = prune(all, &paths);
    let mut placing = Placing {
        written: leaves(written),
        hidden: Vec::new(),
    };
    let (fields, columns) = placing.fields(&needed, &mut Vec::new());
    Placed {
        fields,
        columns,
        hidden: placing.hidden,
    }
}

struct Placing {
    written: Vec<Leaf>,
    hidden: Vec<Leaf>,
}

impl Placing {
    fn fields(&mut self, needed: &Fields, path: &mut Vec<String>) -> (Fields, Vec<Column>) {
        let mut columns = Vec::with_capacity(needed.len());
        let mut fields: Vec<FieldRef> = Vec::with_capacity(needed.len());
        for field in needed {
            path.push(field.name().clone());
            let (data_type, column) = match field.data_type() {
                DataType::Struct(below) => {
                    let (below, columns) = self.fields(below, path);
                    (DataType::Struct(below), Column::Struct(columns))
                }
                leaf => self.leaf(path, leaf),
            };
            fields.push(FieldRef::new(field.as_ref().clone().with_data_type(data_type)));
            columns.push(column);
            path.pop();
        }
        (fields.into(), columns)
    }

    /// A leaf that is written serves where it has all that is needed.
    fn leaf(&mut self, path: &[String], needed: &DataType) -> (DataType, Column) {
        let written = self.written.iter().enumerate();
        let mut fitting = written.filter(|(_, (known, data_type))| known == path && covers(data_type, needed));
        if let Some((index, (_, data_type))) = fitting.next() {
            return (data_type.clone(), Column::Leaf(index));
        }
        self.hidden.push((path.to_vec(), needed.clone()));
        (needed.clone(), Column::Leaf(self.written.len() + self.hidden.len() - 1))
    }
}

/// Whether a type has all fields of another one, which is the same but for fields that are left out.
fn covers(data_type: &DataType, needed: &DataType) -> bool {
    match (data_type, needed) {
        (DataType::Struct(fields), DataType::Struct(needed)) => needed.iter().all(|needed| {
            let found = fields.find(needed.name());
            found.is_some_and(|(_, field)| covers(field.data_type(), needed.data_type()))
        }),
        (DataType::List(item), DataType::List(needed)) => covers(item.data_type(), needed.data_type()),
        (DataType::Map(entries, _), DataType::Map(needed, _)) => match (map_parts(entries), map_parts(needed)) {
            (Some((_, value)), Some((_, needed))) => covers(value.data_type(), needed.data_type()),
            // A map of another form is never pruned.
            _ => entries == needed,
        },
        (data_type, needed) => data_type == needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::types::{TEXT, list_of, struct_of};

    fn fields(fields: &[(&str, DataType)]) -> Fields {
        match struct_of(fields.iter().cloned()) {
            DataType::Struct(fields) => fields,
            _ => Fields::empty(),
        }
    }

    fn orders(of: &[&str]) -> DataType {
        list_of(struct_of(of.iter().map(|name| (*name, TEXT))))
    }

    fn paths(paths: &[&str]) -> Vec<Vec<String>> {
        paths
            .iter()
            .map(|path| path.split('.').map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn only_what_is_looked_at_is_read_and_nothing_twice() {
        let home = struct_of([("city", TEXT), ("zip", TEXT)]);
        let all = fields(&[("tier", TEXT), ("home", home), ("orders", orders(&["sku", "price"]))]);
        let looked_at = paths(&["home.zip", "orders.sku", "tier"]);
        let none = place(&all, &looked_at, &Fields::empty());
        let hidden: Vec<String> = none.hidden.iter().map(|(path, _)| path.join(".")).collect();
        assert_eq!(hidden, ["tier", "home.zip", "orders"]);
        assert_eq!(none.hidden[2].1, orders(&["sku"]));
        assert_eq!(none.fields[2].data_type(), &orders(&["sku"]));
        // What is written has it all.
        let whole = place(&all, &looked_at, &all);
        assert!(whole.hidden.is_empty());
        assert_eq!(
            whole.fields[2].data_type(),
            &orders(&["sku", "price"]),
            "positions are those of what is read"
        );
        assert!(matches!(whole.columns[2], Column::Leaf(3)));
        // What is written lacks a field of the items.
        let written = fields(&[("orders", orders(&["price"]))]);
        let more = place(&all, &looked_at, &written);
        assert_eq!(more.hidden.len(), 3);
        assert!(matches!(more.columns[2], Column::Leaf(3)));
    }
}
