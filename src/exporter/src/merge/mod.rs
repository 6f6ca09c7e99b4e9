//! Merges the rows of each profile into one, from inputs that are sorted by profile.

mod batches;
mod cursor;
mod events;
mod exec;
mod fragments;
mod memberships;
mod output;
mod profile;
mod values;

pub(crate) use events::EventWindow;
pub(crate) use exec::{MergeInputs, ProfileMergeExec};
pub(crate) use fragments::FragmentRules;
pub(crate) use output::{
    EVENTS, IDENTITIES, IDENTITY_MAP, NAMESPACES, SEGMENT_MEMBERSHIP, Shape, identities_type, identity_map_type,
    selected_column,
};
pub(crate) use profile::Rules;
