//! Field paths and types of the store: what it has, what of it is asked for, and how types are unified.

pub(crate) mod prune;
pub(crate) mod tree;
pub(crate) mod types;

/// The dotted form of a path.
pub(crate) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    path.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".")
}
