//! One profile: whether it is in the audience, and which of its rows make it up.

use std::sync::Arc;

use datafusion::arrow::{array::Array, error::ArrowError};

use super::{
    batches::{Events, Fragments, Identities, Keyed, Memberships},
    cursor::Row,
    events::{self, EventWindow},
    fragments::{self, FragmentRules},
    memberships,
    output::{Merged, Output},
};
use crate::{
    evaluate::{Evaluation, Leaves, Profile},
    select::{Audience, Membership},
};

/// How profiles are merged and chosen.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Order of records.
    pub fragments: FragmentRules,
    /// Which events are written.
    pub events: EventWindow,
    /// Which profiles are taken.
    pub audience: Audience,
    /// Whether each identity among the rows that come together is a profile of its own.
    pub by_identity: bool,
    /// Which memberships are computed.
    pub evaluation: Option<Arc<Evaluation>>,
}

/// The batches that rows are in.
pub(super) struct Windows<'a> {
    pub fragments: &'a [Fragments],
    pub events: &'a [Events],
    pub identities: &'a [Identities],
    pub memberships: &'a [Memberships],
}

/// The rows of one profile, and what is decided about it; kept from profile to profile to save allocations.
#[derive(Default)]
pub(super) struct ProfileRows {
    pub fragments: Vec<Row>,
    pub events: Vec<Row>,
    pub identities: Vec<Row>,
    pub memberships: Vec<Row>,
    /// For each membership of the profile the row that has its other fields.
    places: Vec<Option<Row>>,
    /// Which of the segments that are computed it matches.
    matches: Vec<bool>,
    taken: Vec<bool>,
}

impl Leaves for &[Fragments] {
    fn leaf(&self, batch: usize, leaf: usize) -> &dyn Array {
        self[batch].leaves[leaf].as_ref()
    }
}

impl Leaves for &[Events] {
    fn leaf(&self, batch: usize, leaf: usize) -> &dyn Array {
        self[batch].leaves[leaf].as_ref()
    }
}

/// The rows that came together as one profile or, if the rules say so, as one for each identity.
pub(super) fn merge_all(
    rules: &Rules,
    windows: &Windows<'_>,
    rows: &mut ProfileRows,
    output: &mut Output,
) -> Result<(), ArrowError> {
    if !rules.by_identity {
        return merge(rules, windows, rows, output);
    }
    let mut own = ProfileRows::default();
    for identity in identities(windows, rows) {
        pick(windows.fragments, &rows.fragments, identity, &mut own.fragments);
        pick(windows.events, &rows.events, identity, &mut own.events);
        pick(windows.identities, &rows.identities, identity, &mut own.identities);
        pick(windows.memberships, &rows.memberships, identity, &mut own.memberships);
        merge(rules, windows, &mut own, output)?;
    }
    Ok(())
}

/// The rows of an identity.
fn pick<B: Keyed>(window: &[B], rows: &[Row], identity: (&str, &str), own: &mut Vec<Row>) {
    own.clear();
    let is_own = |row: &&Row| window[row.0].owners().identity(row.1) == identity;
    own.extend(rows.iter().filter(is_own));
}

/// Merges the rows into one and adds it to the output, if the profile is in the audience.
fn merge(rules: &Rules, windows: &Windows<'_>, rows: &mut ProfileRows, output: &mut Output) -> Result<(), ArrowError> {
    memberships::current(windows.memberships, &mut rows.memberships)?;
    let mut members: Vec<Membership<'_>> = rows
        .memberships
        .iter()
        .map(|row| memberships::membership(windows.memberships, *row))
        .collect();
    let is_stored = rules.evaluation.is_none();
    if is_stored && !rules.audience.take(&members, &mut rows.taken) {
        return Ok(());
    }
    let is_empty = rows.fragments.is_empty();
    if is_empty && !rules.audience.empty_profiles() {
        return Ok(());
    }
    rules.fragments.newest_first(windows.fragments, &mut rows.fragments)?;
    let identities = identities(windows, rows);
    events::distinct(windows.events, &mut rows.events)?;
    let newest = if is_empty {
        events::newest_ingest(windows.events, &rows.events)
    } else {
        fragments::newest_ingest(windows.fragments, &rows.fragments)
    };
    if !rules.audience.is_new(newest) {
        return Ok(());
    }
    let primary = primary(windows, rows)
        .and_then(|identity| identities.binary_search(&identity).ok())
        .unwrap_or(0);
    rules.fragments.by_precedence(windows.fragments, &mut rows.fragments);
    rows.places.clear();
    rows.places.extend(rows.memberships.iter().copied().map(Some));
    if let Some(evaluation) = &rules.evaluation {
        evaluate(evaluation, windows, rows, (&identities, primary), &mut members)?;
        if !rules.audience.take(&members, &mut rows.taken) {
            return Ok(());
        }
    }
    events::in_order(windows.events, rules.events, &mut rows.events)?;
    output.push(
        windows,
        &Merged {
            identities: &identities,
            primary,
            fragments: &rows.fragments,
            events: &rows.events,
            members: &members,
            memberships: &rows.places,
            taken: &rows.taken,
        },
    );
    Ok(())
}

/// Computes the memberships of the profile.
fn evaluate<'a>(
    evaluation: &'a Evaluation,
    windows: &Windows<'a>,
    rows: &mut ProfileRows,
    (identities, primary): (&[(&str, &str)], usize),
    members: &mut Vec<Membership<'a>>,
) -> Result<(), ArrowError> {
    if evaluation.asks_for_events() {
        events::by_time(windows.events, &mut rows.events)?;
    }
    let profile = Profile {
        fragments: &windows.fragments,
        fragment_rows: &rows.fragments,
        events: &windows.events,
        event_rows: &rows.events,
        identities,
        primary,
        members,
    };
    evaluation.evaluate(&profile, &mut rows.matches);
    evaluation.rewrite(&rows.matches, members, &mut rows.places);
    Ok(())
}

/// The identities of the profile, by namespace and id.
fn identities<'a>(windows: &Windows<'a>, rows: &ProfileRows) -> Vec<(&'a str, &'a str)> {
    let mut identities = Vec::with_capacity(rows.identities.len() + 1);
    add(&mut identities, windows.identities, &rows.identities);
    add(&mut identities, windows.fragments, &rows.fragments);
    add(&mut identities, windows.events, &rows.events);
    add(&mut identities, windows.memberships, &rows.memberships);
    identities.sort_unstable();
    identities.dedup();
    identities
}

fn add<'a, B: Keyed>(identities: &mut Vec<(&'a str, &'a str)>, window: &'a [B], rows: &[Row]) {
    let mut last: Option<Row> = None;
    for row in rows {
        let owners = window[row.0].owners();
        // Rows of one identity come in a row more often than not.
        let is_same = last.is_some_and(|last| last.0 == row.0 && owners.is_same_identity(last.1, row.1));
        last = Some(*row);
        if !is_same {
            identities.push(owners.identity(row.1));
        }
    }
}

/// The identity of the newest record, else of the newest event.
fn primary<'a>(windows: &Windows<'a>, rows: &ProfileRows) -> Option<(&'a str, &'a str)> {
    if let Some(row) = rows.fragments.first() {
        return Some(windows.fragments[row.0].owners.identity(row.1));
    }
    let row = events::newest(windows.events, &rows.events)?;
    Some(windows.events[row.0].owners.identity(row.1))
}
