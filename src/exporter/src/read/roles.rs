//! The columns that the store itself owns, table by table.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use crate::fields::types::{TEXT, plain, time};

/// One of the four tables of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Profile records.
    Fragments,
    /// Experience events.
    Events,
    /// The identity graph.
    Identities,
    /// Segment memberships.
    Memberships,
}

/// A column that the store gives a meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// Its name in the store.
    pub name: &'static str,
    /// Whether it holds times; else text.
    pub is_time: bool,
    /// Where it has to be.
    pub need: Need,
}

/// Where a column has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// In each file: a row without it belongs to nobody.
    EachFile,
    /// In at least one file of the table; null where a file lacks it.
    Table,
    /// Nowhere.
    Optional,
    /// Nowhere: a file without it has one value for all of its rows, the time when it was written.
    Written,
}

const fn text(name: &'static str, need: Need) -> Role {
    Role {
        name,
        is_time: false,
        need,
    }
}

const fn instant(name: &'static str, need: Need) -> Role {
    Role {
        name,
        is_time: true,
        need,
    }
}

/// Name under which the key of a bucketed table is kept, wherever it comes from.
pub(crate) const KEY_COLUMN: &str = "ups__key";

/// Namespace of an identity.
pub(crate) const NAMESPACE: Role = text("ups_namespace", Need::EachFile);
/// An identity in its namespace.
pub(crate) const IDENTITY: Role = text("ups_identity", Need::EachFile);
/// Cluster of an identity.
pub(crate) const PROFILE: Role = text("ups_profile", Need::EachFile);
/// Source of a row.
pub(crate) const DATASET: Role = text("ups_dataset", Need::EachFile);
/// When the source wrote a row.
pub(crate) const SOURCE_TIME: Role = instant("ups_timestamp", Need::Optional);
/// When the store took a row in.
pub(crate) const INGESTED: Role = instant("ups_ingested", Need::Written);
/// Id of an event.
pub(crate) const EVENT_ID: Role = text("_id", Need::Table);
/// When an event happened.
pub(crate) const EVENT_TIME: Role = instant("timestamp", Need::Table);
/// Namespace of a segment.
pub(crate) const SEGMENT_NAMESPACE: Role = text("segmentNs", Need::Table);
/// Id of a segment.
pub(crate) const SEGMENT_ID: Role = text("segmentId", Need::EachFile);
/// State of a membership.
pub(crate) const STATUS: Role = text("status", Need::Table);
/// When the membership took on its state.
pub(crate) const QUALIFIED: Role = instant("lastQualificationTime", Need::Table);
/// When a membership ends.
pub(crate) const VALID_UNTIL: Role = instant("validUntil", Need::Optional);

impl Kind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Fragments, Self::Events, Self::Identities, Self::Memberships];

    /// As it stands in a `ProfileStore`'s `spec.tables`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fragments => "fragments",
            Self::Events => "events",
            Self::Identities => "identities",
            Self::Memberships => "memberships",
        }
    }

    /// The columns that the store owns.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Fragments => &[NAMESPACE, IDENTITY, DATASET, SOURCE_TIME, INGESTED],
            Self::Events => &[NAMESPACE, IDENTITY, DATASET, INGESTED, EVENT_ID, EVENT_TIME],
            Self::Identities => &[NAMESPACE, IDENTITY, PROFILE],
            Self::Memberships => &[
                NAMESPACE,
                IDENTITY,
                SEGMENT_NAMESPACE,
                SEGMENT_ID,
                STATUS,
                QUALIFIED,
                VALID_UNTIL,
            ],
        }
    }
}

impl Role {
    /// Type that the exporter reads it as.
    pub fn data_type(&self) -> DataType {
        if self.is_time { time() } else { TEXT }
    }

    /// Whether a stored type can be read as it without loss. Keys may be whole numbers, times may be dates.
    pub fn accepts(&self, stored: &DataType) -> bool {
        use DataType as T;
        if *stored == T::Null {
            return true;
        }
        let read = plain(stored);
        if self.is_time {
            matches!(read, T::Timestamp(TimeUnit::Microsecond, _) | T::Date32)
        } else {
            // Decimals of this kind are what unsigned numbers are read as.
            matches!(
                read,
                TEXT | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Decimal128(20, 0)
            )
        }
    }

    /// What may be stored, for people.
    pub fn expected(&self) -> &'static str {
        if self.is_time { "a timestamp" } else { "a string" }
    }
}
