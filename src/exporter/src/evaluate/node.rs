//! A merged profile and its events as the language sees them, where they lie.

use exportjob_pql::{Step, View};

use super::{
    Place, Profile,
    arrow::Value,
    columns::{Column, Columns},
};

/// A value of a profile.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// The profile itself.
    Profile(&'a Profile<'a>, &'a Columns),
    /// All of its events.
    Events(&'a Profile<'a>, &'a Columns),
    /// One of them.
    Event(&'a Profile<'a>, Place, &'a [Column]),
    /// A struct that is merged out of several rows, or put together out of one row's leaves.
    Merged(&'a Profile<'a>, Source, &'a [Column]),
    /// What rows have as it is.
    Stored(Value<'a>),
    /// All identities, in one list.
    Identities(&'a Profile<'a>),
    /// Lists of identities by their namespaces.
    IdentityMap(&'a Profile<'a>),
    /// Identities from here to there.
    IdentityGroup(&'a Profile<'a>, usize, usize),
    /// One identity.
    Identity(&'a Profile<'a>, usize),
    /// Namespace of an identity.
    Namespace(&'a str),
    /// Memberships by their namespaces.
    Memberships(&'a Profile<'a>),
    /// Memberships from here to there, by their segments.
    MembershipGroup(&'a Profile<'a>, usize, usize),
    /// One membership.
    Membership(&'a Profile<'a>, usize),
    /// A value that is computed.
    Scalar(View<'a>),
}

/// Whose leaves make up a struct.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Fragments,
    Event(Place),
}

impl<'a> Node<'a> {
    /// The profile.
    pub fn profile(profile: &'a Profile<'a>, columns: &'a Columns) -> Self {
        Self::Profile(profile, columns)
    }

    /// Its events.
    pub fn events(profile: &'a Profile<'a>, columns: &'a Columns) -> Self {
        Self::Events(profile, columns)
    }

    /// What a column has.
    fn column(profile: &'a Profile<'a>, source: Source, column: &'a Column) -> Option<Self> {
        match column {
            Column::Leaf(leaf) => value(profile, source, *leaf).map(Self::Stored),
            Column::Struct(columns) => Some(Self::Merged(profile, source, columns)),
        }
    }

    /// Of the profile: what the merge computes comes behind the customer's columns.
    fn attribute(profile: &'a Profile<'a>, columns: &'a Columns, index: usize) -> Option<Self> {
        match index.checked_sub(columns.profile.len()) {
            None => Self::column(profile, Source::Fragments, &columns.profile[index]),
            Some(0) => Some(Self::IdentityMap(profile)),
            Some(1) => Some(Self::Identities(profile)),
            Some(2) => Some(Self::Memberships(profile)),
            Some(_) => None,
        }
    }
}

/// A leaf's value: of a profile that of the first record that has one.
fn value<'a>(profile: &'a Profile<'a>, source: Source, leaf: usize) -> Option<Value<'a>> {
    match source {
        Source::Fragments => profile.fragment_rows.iter().find_map(|(batch, row)| {
            let array = profile.fragments.leaf(*batch, leaf);
            array.is_valid(*row).then_some(Value(array, *row))
        }),
        Source::Event((batch, row)) => {
            let array = profile.events.leaf(batch, leaf);
            array.is_valid(row).then_some(Value(array, row))
        }
    }
}

/// Whether one of the leaves has a value.
fn is_there(profile: &Profile<'_>, source: Source, columns: &[Column]) -> bool {
    columns.iter().any(|column| match column {
        Column::Leaf(leaf) => value(profile, source, *leaf).is_some(),
        Column::Struct(columns) => is_there(profile, source, columns),
    })
}

/// From where to where the entries of the n-th namespace are, in entries that are in order of their namespaces.
fn group<T>(entries: &[T], namespace: impl Fn(&T) -> &str, index: usize) -> Option<(usize, usize)> {
    let mut from = 0;
    let groups = entries.chunk_by(|a, b| namespace(a) == namespace(b));
    for (number, group) in groups.enumerate() {
        if number == index {
            return Some((from, from + group.len()));
        }
        from += group.len();
    }
    None
}

fn groups<T>(entries: &[T], namespace: impl Fn(&T) -> &str) -> usize {
    entries.chunk_by(|a, b| namespace(a) == namespace(b)).count()
}

impl<'a> exportjob_pql::Node<'a> for Node<'a> {
    fn view(self) -> View<'a> {
        match self {
            Self::Profile(..) | Self::Event(..) | Self::Identity(..) | Self::Namespace(_) | Self::Membership(..) => {
                View::Struct
            }
            Self::Merged(profile, source, columns) if is_there(profile, source, columns) => View::Struct,
            Self::Merged(..) => View::Null,
            Self::Events(..) | Self::Identities(_) | Self::IdentityGroup(..) => View::List,
            Self::IdentityMap(_) | Self::Memberships(_) | Self::MembershipGroup(..) => View::Map,
            Self::Stored(value) => value.view(),
            Self::Scalar(view) => view,
        }
    }

    fn field(self, step: &Step) -> Option<Self> {
        match self {
            Self::Profile(profile, columns) => Self::attribute(profile, columns, step.index?),
            Self::Event(profile, place, columns) => {
                Self::column(profile, Source::Event(place), columns.get(step.index?)?)
            }
            Self::Merged(profile, source, columns) => Self::column(profile, source, columns.get(step.index?)?),
            Self::Stored(value) => value.field(step).map(Self::Stored),
            Self::Identity(profile, index) => {
                let (namespace, id) = profile.identities.get(index)?;
                match &*step.name {
                    "id" => Some(Self::Scalar(View::Text(id))),
                    "namespace" => Some(Self::Namespace(namespace)),
                    "primary" => Some(Self::Scalar(View::Bool(index == profile.primary))),
                    _ => None,
                }
            }
            Self::Namespace(code) => (&*step.name == "code").then_some(Self::Scalar(View::Text(code))),
            Self::Membership(profile, index) => {
                let membership = profile.members.get(index)?;
                match &*step.name {
                    "status" => Some(Self::Scalar(View::Text(membership.word))),
                    "lastQualificationTime" => membership.qualified.map(|time| Self::Scalar(View::Time(time))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Events(profile, _) => profile.event_rows.len(),
            Self::Stored(value) => value.len(),
            Self::Identities(profile) => profile.identities.len(),
            Self::IdentityMap(profile) => groups(profile.identities, |identity| identity.0),
            Self::Memberships(profile) => groups(profile.members, |member| member.namespace),
            Self::IdentityGroup(_, from, to) | Self::MembershipGroup(_, from, to) => to - from,
            _ => 0,
        }
    }

    fn item(self, index: usize) -> Option<Self> {
        match self {
            Self::Events(profile, columns) => {
                let place = profile.event_rows.get(index)?;
                Some(Self::Event(profile, *place, &columns.event))
            }
            Self::Stored(value) => value.item(index).map(Self::Stored),
            Self::Identities(profile) => (index < profile.identities.len()).then_some(Self::Identity(profile, index)),
            Self::IdentityMap(profile) => {
                let (from, to) = group(profile.identities, |identity| identity.0, index)?;
                Some(Self::IdentityGroup(profile, from, to))
            }
            Self::IdentityGroup(profile, from, to) => {
                (index < to - from).then_some(Self::Identity(profile, from + index))
            }
            Self::Memberships(profile) => {
                let (from, to) = group(profile.members, |member| member.namespace, index)?;
                Some(Self::MembershipGroup(profile, from, to))
            }
            Self::MembershipGroup(profile, from, to) => {
                (index < to - from).then_some(Self::Membership(profile, from + index))
            }
            _ => None,
        }
    }

    fn key(self, index: usize) -> Option<&'a str> {
        match self {
            Self::Stored(value) => value.key(index),
            Self::IdentityMap(profile) => {
                let (from, _) = group(profile.identities, |identity| identity.0, index)?;
                Some(profile.identities.get(from)?.0)
            }
            Self::Memberships(profile) => {
                let (from, _) = group(profile.members, |member| member.namespace, index)?;
                Some(profile.members.get(from)?.namespace)
            }
            Self::MembershipGroup(profile, from, to) => {
                let member = profile.members.get(from + index)?;
                (index < to - from).then_some(member.id)
            }
            _ => None,
        }
    }
}
