//! Merges the rows of each profile into one, from inputs that are sorted by profile.

mod batches;
mod cursor;
mod events;
mod exec;
mod fragments;
mod lists;
mod memberships;
mod output;
mod profile;
mod shape;
mod values;

pub(crate) use events::EventWindow;
pub(crate) use exec::{MergeInputs, ProfileMergeExec};
pub(crate) use fragments::FragmentRules;
pub(crate) use profile::Rules;
pub(crate) use shape::{
    EVENTS, IDENTITIES, IDENTITY_MAP, NAMESPACES, SEGMENT_MEMBERSHIP, Shape, identities_type, identity_map_type,
    selected_column,
};
