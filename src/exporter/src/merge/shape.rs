//! The columns of merged profiles.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::fields::types::{TEXT, list_of, map_of, struct_of, time};

/// Columns that a merge computes, in their order; the customer's columns follow.
pub(crate) const IDENTITY_MAP: &str = "identityMap";
/// See [`IDENTITY_MAP`].
pub(crate) const IDENTITIES: &str = "identities";
/// See [`IDENTITY_MAP`].
pub(crate) const SEGMENT_MEMBERSHIP: &str = "segmentMembership";
/// See [`IDENTITY_MAP`].
pub(crate) const EVENTS: &str = "timeSeriesEvents";

/// Column behind those that are written: the namespaces in which a profile has an identity.
pub(crate) const NAMESPACES: &str = "__namespaces";

/// Name of the column that says which profiles the batch with this index takes.
pub(crate) fn selected_column(batch: usize) -> String {
    format!("__selected_{batch}")
}

/// The columns of merged profiles.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Columns that are written: any of the computed ones, then the customer's.
    pub written: Fields,
    /// The customer's columns among them.
    pub attributes: Fields,
    /// Fields of an event.
    pub events: Fields,
    /// Whether the store has an end of memberships.
    pub has_valid_until: bool,
    /// Other fields of a membership that the store has.
    pub membership: Fields,
}

/// `identityMap`: namespace to list of identities.
pub(crate) fn identity_map_type() -> DataType {
    map_of(TEXT, list_of(struct_of([("id", TEXT), ("primary", DataType::Boolean)])))
}

/// `identities`: list of identities with their namespaces.
pub(crate) fn identities_type() -> DataType {
    let namespace = struct_of([("code", TEXT)]);
    list_of(struct_of([
        ("id", TEXT),
        ("namespace", namespace),
        ("primary", DataType::Boolean),
    ]))
}

impl Shape {
    /// Fields of a membership.
    pub(super) fn membership_fields(&self) -> Fields {
        let fixed = [("status", TEXT), ("lastQualificationTime", time())].into_iter();
        let until = self.has_valid_until.then(|| ("validUntil", time()));
        let fixed = fixed
            .chain(until)
            .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)));
        fixed.chain(self.membership.iter().cloned()).collect()
    }

    /// `segmentMembership`: namespace to segment to membership.
    pub fn segment_membership_type(&self) -> DataType {
        map_of(TEXT, map_of(TEXT, DataType::Struct(self.membership_fields())))
    }

    /// `timeSeriesEvents`: list of events.
    pub fn events_type(&self) -> DataType {
        list_of(DataType::Struct(self.events.clone()))
    }

    /// What a merge delivers for this many batches.
    pub fn schema(&self, batches: usize) -> SchemaRef {
        let namespaces = Arc::new(Field::new(NAMESPACES, list_of(TEXT), false));
        let selected = (0..batches).map(|batch| Arc::new(Field::new(selected_column(batch), DataType::Boolean, false)));
        let fields: Fields = self
            .written
            .iter()
            .cloned()
            .chain([namespaces])
            .chain(selected)
            .collect();
        Arc::new(Schema::new(fields))
    }
}
