//! Which columns are written: what the plan selects of what the store has.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use exportjob_plan::{EventPlan, ExportPlan, FieldPath, FieldSelection, code};

use crate::{
    Error, Result,
    fields::{
        dotted,
        prune::{has, inner, select},
        types::{TEXT, name_of, time, unsupported},
    },
    merge::{EVENTS, IDENTITIES, IDENTITY_MAP, SEGMENT_MEMBERSHIP, Shape, identities_type, identity_map_type},
    read::{Kind, StoreTable, roles},
};

/// Columns that a customer's column must not be called.
const RESERVED: [&str; 5] = [IDENTITY_MAP, IDENTITIES, SEGMENT_MEMBERSHIP, EVENTS, "_batchId"];
/// Fields of a membership that are written as the store has them.
const MEMBERSHIP_EXTRAS: [&str; 2] = ["version", "payload"];

/// The tables that are open; those that an export does not need are not.
pub(crate) struct Tables {
    /// Profile records.
    pub fragments: StoreTable,
    /// Experience events.
    pub events: Option<StoreTable>,
    /// The identity graph.
    pub identities: Option<StoreTable>,
    /// Segment memberships.
    pub memberships: Option<StoreTable>,
}

impl Tables {
    /// One of them, if it is open.
    pub fn of(&self, kind: Kind) -> Option<&StoreTable> {
        match kind {
            Kind::Fragments => Some(&self.fragments),
            Kind::Events => self.events.as_ref(),
            Kind::Identities => self.identities.as_ref(),
            Kind::Memberships => self.memberships.as_ref(),
        }
    }

    /// All that are open.
    pub fn all(&self) -> impl Iterator<Item = &StoreTable> {
        Kind::ALL.into_iter().filter_map(|kind| self.of(kind))
    }
}

/// Whether the plan asks for anything of this top-level column.
pub(crate) fn asks_for(selection: &FieldSelection, column: &str) -> bool {
    *selection == FieldSelection::All || asked_for(selection, column).is_some()
}

/// A path that asks for something of this top-level column.
fn asked_for<'a>(selection: &'a FieldSelection, column: &str) -> Option<&'a FieldPath> {
    let FieldSelection::Paths(paths) = selection else {
        return None;
    };
    paths
        .iter()
        .find(|path| path.segments().first().is_some_and(|first| first == column))
}

/// The columns that the plan writes.
pub(crate) fn shape(plan: &ExportPlan, tables: &Tables) -> Result<Shape> {
    let attributes = tables.fragments.fields();
    check_reserved(&attributes)?;
    let memberships = tables.memberships.as_ref().map(StoreTable::fields).unwrap_or_default();
    let events = plan.events.as_ref();
    let events = events
        .map(|events| event_fields(&plan.fields, events, tables))
        .transpose()?;
    let all = Shape {
        written: Fields::empty(),
        attributes: attributes.clone(),
        events: events.unwrap_or_default(),
        has_valid_until: memberships.find(roles::VALID_UNTIL.name).is_some(),
        membership: MEMBERSHIP_EXTRAS
            .iter()
            .filter_map(|name| memberships.find(name))
            .map(|(_, f)| f.clone())
            .collect(),
    };
    let written = written(plan, &all)?;
    let shape = narrow(&all, written);
    check(&shape, tables)?;
    Ok(shape)
}

/// The columns of an export, in the order in which they are written.
fn written(plan: &ExportPlan, all: &Shape) -> Result<Fields> {
    let computed = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
    let mut store: Vec<FieldRef> = vec![
        computed(IDENTITY_MAP, identity_map_type()),
        computed(IDENTITIES, identities_type()),
        computed(SEGMENT_MEMBERSHIP, all.segment_membership_type()),
    ];
    if plan.events.is_some() {
        store.push(computed(EVENTS, all.events_type()));
    }
    store.extend(all.attributes.iter().cloned());
    let store = Fields::from(store);
    if plan.events.is_none()
        && let Some(path) = asked_for(&plan.fields, EVENTS)
    {
        return Err(Error::new(
            code::UNKNOWN_FIELD,
            format!(
                "spec.fields: {path} is only there with spec.additionalFields.eventList: add that, or remove the path"
            ),
        ));
    }
    let selected = select(&store, &plan.fields, "spec.fields")?;
    let kept = store.iter().filter_map(|field| match selected.find(field.name()) {
        Some((_, selected)) => Some(selected.clone()),
        // Whoever asks for events gets them, whether or not the fields name them.
        None => (field.name() == EVENTS).then(|| field.clone()),
    });
    Ok(kept.collect())
}

/// What an event has in this export: what the list of event fields takes, of which `fields` may take less.
fn event_fields(fields: &FieldSelection, plan: &EventPlan, tables: &Tables) -> Result<Fields> {
    const LIST: &str = "spec.additionalFields.eventList.fields";
    let all = event_columns(tables.events.as_ref());
    let listed = select(&all, &plan.fields, LIST)?;
    let FieldSelection::Paths(paths) = fields else {
        return Ok(listed);
    };
    let left_out = paths.iter().find(|path| match path.segments() {
        [first, rest @ ..] => first == EVENTS && has(&all, rest) && !has(&listed, rest),
        [] => false,
    });
    match left_out {
        None => Ok(listed),
        Some(path) => Err(Error::new(
            code::UNKNOWN_FIELD,
            format!("spec.fields: {path} is left out by {LIST}: name it there, too, or remove it here"),
        )),
    }
}

/// What events have in the store.
pub(crate) fn event_columns(events: Option<&StoreTable>) -> Fields {
    let stored = events.map(StoreTable::fields).unwrap_or_default();
    // Events of a store without any still have these.
    let own = [(roles::EVENT_ID.name, TEXT), (roles::EVENT_TIME.name, time())];
    let missing = own.into_iter().filter(|(name, _)| stored.find(name).is_none());
    let missing: Vec<FieldRef> = missing
        .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
        .collect();
    missing.into_iter().chain(stored.iter().cloned()).collect()
}

/// What has to be read for these columns.
fn narrow(all: &Shape, written: Fields) -> Shape {
    let fields_in = |name: &str| {
        let column = written.find(name).map(|(_, field)| field.data_type());
        column.and_then(inner).cloned().unwrap_or_default()
    };
    let membership = fields_in(SEGMENT_MEMBERSHIP);
    let computed = |field: &&FieldRef| RESERVED.contains(&field.name().as_str());
    Shape {
        attributes: written.iter().filter(|field| !computed(field)).cloned().collect(),
        events: fields_in(EVENTS),
        has_valid_until: all.has_valid_until && membership.find(roles::VALID_UNTIL.name).is_some(),
        membership: membership
            .iter()
            .filter(|field| MEMBERSHIP_EXTRAS.contains(&field.name().as_str()))
            .cloned()
            .collect(),
        written,
    }
}

/// Refuses what cannot be read as one type, or cannot be written to a Delta table.
fn check(shape: &Shape, tables: &Tables) -> Result<()> {
    tables.fragments.check(&shape.attributes)?;
    if let Some(events) = &tables.events {
        events.check(&shape.events)?;
    }
    if let Some(memberships) = &tables.memberships {
        memberships.check(&shape.membership)?;
    }
    check_writable(&shape.written, &mut Vec::new())
}

fn check_writable(fields: &Fields, path: &mut Vec<String>) -> Result<()> {
    for (index, field) in fields.iter().enumerate() {
        path.push(field.name().clone());
        if let Some(twin) = fields
            .iter()
            .take(index)
            .find(|other| other.name().eq_ignore_ascii_case(field.name()))
        {
            return Err(Error::new(
                code::INVALID_STORE,
                format!(
                    "columns {} and {} differ in case only, which a Delta table cannot tell apart: map one of them to another path with the table's columns",
                    twin.name(),
                    dotted(path)
                ),
            ));
        }
        match field.data_type() {
            DataType::Struct(fields) => check_writable(fields, path)?,
            other => check_type(other, path)?,
        }
        path.pop();
    }
    Ok(())
}

fn check_type(data_type: &DataType, path: &[String]) -> Result<()> {
    let Some((below, found)) = unsupported(data_type) else {
        return Ok(());
    };
    let path = [path, &below].concat();
    Err(Error::new(
        code::COLUMN_TYPE,
        format!(
            "{} is {}, which a Delta table cannot hold: leave it out of spec.fields, or store it as a string, a number or a timestamp",
            dotted(&path),
            name_of(&found)
        ),
    ))
}

fn check_reserved(attributes: &Fields) -> Result<()> {
    let taken = |field: &&FieldRef| RESERVED.iter().any(|name| name.eq_ignore_ascii_case(field.name()));
    match attributes.iter().find(taken) {
        Some(field) => Err(Error::new(
            code::INVALID_STORE,
            format!(
                "the fragments have a column {}, which the export computes itself: map it to another path with the table's columns, or leave it out with onlyMapped",
                field.name()
            ),
        )),
        None => Ok(()),
    }
}
