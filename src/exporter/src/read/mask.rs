//! Which leaf columns of a Parquet file have to be read.

use datafusion::{
    arrow::datatypes::{DataType, Fields},
    parquet::{arrow::ProjectionMask, schema::types::SchemaDescriptor},
};

use crate::fields::types::map_parts;

/// The leaf columns for `wanted`: paths of columns and the types that they are converted to. Of structs inside lists and
/// maps only the fields that the type has are read.
///
/// Leaves are counted in the order of the Arrow schema, which is that of the Parquet schema that it was made of.
pub(super) fn mask(
    fields: &Fields,
    wanted: &[(&[String], &DataType)],
    descriptor: &SchemaDescriptor,
) -> ProjectionMask {
    ProjectionMask::leaves(descriptor, leaves_of(fields, wanted))
}

/// The numbers of the same leaf columns.
pub(super) fn leaves_of(fields: &Fields, wanted: &[(&[String], &DataType)]) -> Vec<usize> {
    let mut leaves = Leaves::default();
    leaves.visit_fields(fields, wanted);
    leaves.read
}

#[derive(Default)]
struct Leaves {
    next: usize,
    read: Vec<usize>,
}

impl Leaves {
    fn visit_fields(&mut self, fields: &Fields, wanted: &[(&[String], &DataType)]) {
        for field in fields {
            let below: Vec<(&[String], &DataType)> = wanted
                .iter()
                .filter_map(|(path, target)| {
                    let (first, rest) = path.split_first()?;
                    (first == field.name()).then_some((rest, *target))
                })
                .collect();
            match (below.iter().find(|(rest, _)| rest.is_empty()), field.data_type()) {
                (Some((_, target)), stored) => self.visit_wanted(stored, target),
                (None, DataType::Struct(fields)) => self.visit_fields(fields, &below),
                (None, stored) => self.next += width(stored),
            }
        }
    }

    /// What a value of type `stored` needs to become a `target`.
    fn visit_wanted(&mut self, stored: &DataType, target: &DataType) {
        use DataType as T;
        match (stored, target) {
            (T::Struct(stored), T::Struct(target)) => self.visit_struct(stored, target),
            (T::List(stored) | T::LargeList(stored) | T::FixedSizeList(stored, _), T::List(target)) => {
                self.visit_wanted(stored.data_type(), target.data_type());
            }
            (T::Map(stored, _), T::Map(target, _)) => match (map_parts(stored), map_parts(target)) {
                (Some((key, value)), Some((_, target))) => {
                    self.take(width(key.data_type()));
                    self.visit_wanted(value.data_type(), target.data_type());
                }
                _ => self.take(width(&T::Map(stored.clone(), false))),
            },
            _ => self.take(width(stored)),
        }
    }

    fn visit_struct(&mut self, stored: &Fields, target: &Fields) {
        let before = self.read.len();
        let first = self.next;
        for field in stored {
            match target.find(field.name()) {
                Some((_, target)) => self.visit_wanted(field.data_type(), target.data_type()),
                None => self.next += width(field.data_type()),
            }
        }
        if self.read.len() == before && self.next > first {
            // None of the fields is in this file; whether there is a struct at all still has to be known.
            self.read.push(first);
        }
    }

    fn take(&mut self, leaves: usize) {
        self.read.extend(self.next..self.next + leaves);
        self.next += leaves;
    }
}

/// Leaf columns of a type.
fn width(data_type: &DataType) -> usize {
    use DataType as T;
    match data_type {
        T::Struct(fields) => fields.iter().map(|field| width(field.data_type())).sum(),
        T::List(item)
        | T::LargeList(item)
        | T::ListView(item)
        | T::LargeListView(item)
        | T::FixedSizeList(item, _)
        | T::Map(item, _) => width(item.data_type()),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::types::{TEXT, list_of, map_of, struct_of};

    fn read(wanted: &[(&[&str], DataType)]) -> Vec<usize> {
        let DataType::Struct(fields) = struct_of([
            ("id", TEXT),
            (
                "person",
                struct_of([
                    ("name", struct_of([("first", TEXT), ("last", TEXT)])),
                    ("age", DataType::Int32),
                ]),
            ),
            ("phones", list_of(struct_of([("kind", TEXT), ("number", TEXT)]))),
            ("tags", map_of(TEXT, struct_of([("a", TEXT), ("b", TEXT)]))),
            ("last", TEXT),
        ]) else {
            return Vec::new();
        };
        let paths: Vec<(Vec<String>, DataType)> = wanted
            .iter()
            .map(|(path, target)| (path.iter().map(ToString::to_string).collect(), target.clone()))
            .collect();
        let wanted: Vec<(&[String], &DataType)> =
            paths.iter().map(|(path, target)| (path.as_slice(), target)).collect();
        let mut leaves = Leaves::default();
        leaves.visit_fields(&fields, &wanted);
        leaves.read
    }

    #[test]
    fn only_the_leaves_that_are_asked_for_are_read() {
        assert_eq!(read(&[(&["id"], TEXT), (&["person", "name", "last"], TEXT)]), [0, 2]);
        assert_eq!(
            read(&[(&["phones"], list_of(struct_of([("number", TEXT)]))), (&["last"], TEXT)]),
            [5, 9]
        );
        assert_eq!(read(&[(&["tags"], map_of(TEXT, struct_of([("b", TEXT)])))]), [6, 8]);
    }

    #[test]
    fn a_struct_of_other_fields_is_still_known_to_be_there() {
        assert_eq!(read(&[(&["phones"], list_of(struct_of([("country", TEXT)])))]), [4]);
    }
}
