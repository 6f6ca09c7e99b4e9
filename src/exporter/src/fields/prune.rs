//! Which of the store's fields are taken.

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use exportjob_plan::{FieldPath, FieldSelection, code, nearest};

use super::types::{list_of, map_of, map_parts};
use crate::{Error, Result};

/// The fields that are selected, in the order of `fields`; structs, lists and maps keep only what is selected in them.
///
/// # Errors
/// `UNKNOWN_FIELD` for a path that is not there; `what` (`spec.fields`, …) names the list it stands in.
pub(crate) fn select(fields: &Fields, selection: &FieldSelection, what: &str) -> Result<Fields> {
    let FieldSelection::Paths(paths) = selection else {
        return Ok(fields.clone());
    };
    if let Some(path) = paths.iter().find(|path| !has(fields, path.segments())) {
        return Err(unknown(fields, path, what));
    }
    let paths: Vec<&[String]> = paths.iter().map(FieldPath::segments).collect();
    Ok(prune(fields, &paths))
}

fn unknown(fields: &Fields, path: &FieldPath, what: &str) -> Error {
    let mut known = Vec::new();
    for field in fields {
        paths_of(field.data_type(), field.name().clone(), &mut known);
    }
    let hint = match nearest(&path.to_string(), known.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "correct it, or remove it".to_owned(),
    };
    Error::new(
        code::UNKNOWN_FIELD,
        format!("{what}: the profile store has no field {path}: {hint}"),
    )
}

/// The fields inside a type: those of a struct, or of what a list or map holds.
pub(crate) fn inner(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        DataType::List(item) => inner(item.data_type()),
        DataType::Map(entries, _) => inner(map_parts(entries)?.1.data_type()),
        _ => None,
    }
}

/// Whether there is a field at this path; at the empty one there always is.
pub(crate) fn has(fields: &Fields, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let Some((_, field)) = fields.find(first) else {
        return false;
    };
    rest.is_empty() || inner(field.data_type()).is_some_and(|fields| has(fields, rest))
}

fn paths_of(data_type: &DataType, path: String, all: &mut Vec<String>) {
    for field in inner(data_type).into_iter().flatten() {
        paths_of(field.data_type(), format!("{path}.{}", field.name()), all);
    }
    all.push(path);
}

/// Keeps what the paths name; an empty path takes everything.
pub(crate) fn prune(fields: &Fields, paths: &[&[String]]) -> Fields {
    if paths.iter().any(|path| path.is_empty()) {
        return fields.clone();
    }
    let kept = fields.iter().filter_map(|field| {
        let below: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| {
                path.split_first()
                    .filter(|(first, _)| *first == field.name())
                    .map(|(_, rest)| rest)
            })
            .collect();
        (!below.is_empty()).then(|| Field::new(field.name(), prune_type(field.data_type(), &below), true))
    });
    kept.collect()
}

fn prune_type(data_type: &DataType, paths: &[&[String]]) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(prune(fields, paths)),
        DataType::List(item) => list_of(prune_type(item.data_type(), paths)),
        DataType::Map(entries, _) => match map_parts(entries) {
            Some((key, value)) => map_of(key.data_type().clone(), prune_type(value.data_type(), paths)),
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fields::types::{TEXT, struct_of};

    fn store() -> Fields {
        let DataType::Struct(fields) = struct_of([
            (
                "identities",
                list_of(struct_of([("id", TEXT), ("primary", DataType::Boolean)])),
            ),
            (
                "segmentMembership",
                map_of(TEXT, map_of(TEXT, struct_of([("status", TEXT), ("version", TEXT)]))),
            ),
            ("personalEmail", struct_of([("address", TEXT), ("label", TEXT)])),
        ]) else {
            return Fields::empty();
        };
        fields
    }

    fn selected(text: &str) -> Result<Fields> {
        select(
            &store(),
            &FieldSelection::parse("spec.fields", Some(text)).unwrap(),
            "spec.fields",
        )
    }

    #[test]
    fn a_path_through_a_list_or_map_prunes_its_elements() {
        let fields = selected("segmentMembership.status, identities.id").unwrap();
        let expected = struct_of([
            ("identities", list_of(struct_of([("id", TEXT)]))),
            (
                "segmentMembership",
                map_of(TEXT, map_of(TEXT, struct_of([("status", TEXT)]))),
            ),
        ]);
        assert_eq!(DataType::Struct(fields), expected);
    }

    #[test]
    fn a_path_to_a_struct_takes_all_of_it() {
        assert_eq!(
            selected("personalEmail.*,personalEmail.label").unwrap(),
            selected("personalEmail").unwrap()
        );
    }

    #[test]
    fn an_unknown_path_is_named_with_the_nearest() {
        let error = selected("personalEmail.adress").unwrap_err();
        assert_eq!(error.code(), code::UNKNOWN_FIELD);
        assert_eq!(
            error.to_string(),
            "spec.fields: the profile store has no field personalEmail.adress: did you mean personalEmail.address?"
        );
    }
}
