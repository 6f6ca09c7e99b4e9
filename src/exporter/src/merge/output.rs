//! The merged profiles, collected as places of rows and built column by column.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        Array, ArrayBuilder as _, ArrayRef, BooleanBuilder, RecordBatch, RecordBatchOptions, StringViewArray,
        StringViewBuilder, StructArray, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
};

use super::{
    batches::{Events, Fragments, Memberships},
    cursor::Row,
    lists::{Ends, fields, gather_all, gather_or_null, list, map},
    profile::Windows,
    shape::{EVENTS, IDENTITIES, IDENTITY_MAP, SEGMENT_MEMBERSHIP, Shape},
};
use crate::{
    fields::types::{TEXT, time},
    project::{assemble, leaves},
    read::convert,
    select::Membership,
};

type Result<T, E = ArrowError> = std::result::Result<T, E>;

/// A merged profile, as places of rows.
pub(super) struct Merged<'a> {
    /// Its identities, by namespace and id.
    pub identities: &'a [(&'a str, &'a str)],
    /// Place of the primary one.
    pub primary: usize,
    /// Its records, in the order in which they give their values.
    pub fragments: &'a [Row],
    /// Its events, in order.
    pub events: &'a [Row],
    /// Its memberships, by namespace and id.
    pub members: &'a [Membership<'a>],
    /// For each of them the row that has its other fields; `None`: it has none.
    pub memberships: &'a [Option<Row>],
    /// The batches that take it.
    pub taken: &'a [bool],
}

/// Merged profiles that have not been delivered yet.
pub(super) struct Output {
    shape: Arc<Shape>,
    schema: SchemaRef,
    rows: usize,
    /// For each leaf of the attributes: where its values are; batch 0 is null, the window's batches follow.
    attributes: Vec<Vec<Row>>,
    ids: StringViewBuilder,
    codes: StringViewBuilder,
    primary: BooleanBuilder,
    identities: Ends,
    namespaces: StringViewBuilder,
    namespace_count: usize,
    namespace_ids: Ends,
    profile_namespaces: Ends,
    events: Vec<Row>,
    event_ends: Ends,
    /// Where the other fields of memberships are; batch 0 is null, the window's batches follow.
    memberships: Vec<Row>,
    segment_ids: StringViewBuilder,
    statuses: StringViewBuilder,
    qualified: TimestampMicrosecondBuilder,
    segment_namespaces: StringViewBuilder,
    segment_namespace_count: usize,
    segment_ends: Ends,
    profile_segment_namespaces: Ends,
    selected: Vec<BooleanBuilder>,
}

impl Output {
    /// Nothing, for this many leaves of attributes.
    pub fn new(shape: Arc<Shape>, leaves: usize, batches: usize) -> Self {
        Self {
            schema: shape.schema(batches),
            shape,
            rows: 0,
            attributes: vec![Vec::new(); leaves],
            ids: StringViewBuilder::new(),
            codes: StringViewBuilder::new(),
            primary: BooleanBuilder::new(),
            identities: Ends::new(),
            namespaces: StringViewBuilder::new(),
            namespace_count: 0,
            namespace_ids: Ends::new(),
            profile_namespaces: Ends::new(),
            events: Vec::new(),
            event_ends: Ends::new(),
            memberships: Vec::new(),
            segment_ids: StringViewBuilder::new(),
            statuses: StringViewBuilder::new(),
            qualified: TimestampMicrosecondBuilder::new().with_data_type(time()),
            segment_namespaces: StringViewBuilder::new(),
            segment_namespace_count: 0,
            segment_ends: Ends::new(),
            profile_segment_namespaces: Ends::new(),
            selected: (0..batches).map(|_| BooleanBuilder::new()).collect(),
        }
    }

    /// Profiles that are waiting.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Events and identities that are waiting.
    pub fn elements(&self) -> usize {
        self.events.len() + self.primary.len()
    }

    /// Adds a profile.
    pub fn push(&mut self, windows: &Windows<'_>, profile: &Merged<'_>) {
        self.push_attributes(windows.fragments, profile.fragments);
        self.push_identities(profile);
        self.push_memberships(profile);
        self.events.extend_from_slice(profile.events);
        self.event_ends.push(self.events.len());
        for (selected, taken) in self.selected.iter_mut().zip(profile.taken) {
            selected.append_value(*taken);
        }
        self.rows += 1;
    }

    /// For each leaf: the first record that has a value.
    fn push_attributes(&mut self, window: &[Fragments], rows: &[Row]) {
        for (leaf, places) in self.attributes.iter_mut().enumerate() {
            let winner = rows.iter().find(|row| window[row.0].has_value(leaf, row.1));
            places.push(winner.map_or((0, 0), |row| (row.0 + 1, row.1)));
        }
    }

    fn push_identities(&mut self, profile: &Merged<'_>) {
        let mut last = None;
        for (index, (namespace, id)) in profile.identities.iter().enumerate() {
            if last != Some(*namespace) {
                if last.is_some() {
                    self.namespace_ids.push(self.primary.len());
                }
                last = Some(*namespace);
                self.namespaces.append_value(namespace);
                self.namespace_count += 1;
            }
            self.ids.append_value(id);
            self.codes.append_value(namespace);
            self.primary.append_value(index == profile.primary);
        }
        if last.is_some() {
            self.namespace_ids.push(self.primary.len());
        }
        self.identities.push(self.primary.len());
        self.profile_namespaces.push(self.namespace_count);
    }

    fn push_memberships(&mut self, profile: &Merged<'_>) {
        let mut last = None;
        for (row, member) in profile.memberships.iter().zip(profile.members) {
            if last != Some(member.namespace) {
                if last.is_some() {
                    self.segment_ends.push(self.memberships.len());
                }
                last = Some(member.namespace);
                self.segment_namespaces.append_value(member.namespace);
                self.segment_namespace_count += 1;
            }
            self.memberships.push(row.map_or((0, 0), |row| (row.0 + 1, row.1)));
            self.segment_ids.append_value(member.id);
            self.statuses.append_value(member.word);
            self.qualified.append_option(member.qualified);
        }
        if last.is_some() {
            self.segment_ends.push(self.memberships.len());
        }
        self.profile_segment_namespaces.push(self.segment_namespace_count);
    }

    /// The waiting profiles as a batch; none waits afterwards.
    pub fn finish(&mut self, windows: &Windows<'_>) -> Result<RecordBatch> {
        let fresh = Self::new(self.shape.clone(), self.attributes.len(), self.selected.len());
        std::mem::replace(self, fresh).build(windows)
    }

    fn build(mut self, windows: &Windows<'_>) -> Result<RecordBatch> {
        let identities = Identities {
            ids: Arc::new(self.ids.finish()),
            codes: Arc::new(self.codes.finish()),
            primary: Arc::new(self.primary.finish()),
        };
        let namespaces = self.namespaces.finish();
        let mut attributes = self.attributes(windows.fragments)?.into_iter();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let shape = self.shape.clone();
        for field in &shape.written {
            let whole = match field.name().as_str() {
                IDENTITY_MAP => identities.by_namespace(&namespaces, &self.namespace_ids, &self.profile_namespaces)?,
                IDENTITIES => identities.list(&self.identities)?,
                SEGMENT_MEMBERSHIP => self.segment_membership(windows.memberships)?,
                EVENTS => self.events(windows.events)?,
                name => attributes
                    .next()
                    .ok_or_else(|| ArrowError::InvalidArgumentError(format!("there is no column for {name}")))?,
            };
            columns.push(convert(&whole, field.data_type())?);
        }
        columns.push(list(self.profile_namespaces.finish(), Arc::new(namespaces))?);
        for selected in &mut self.selected {
            columns.push(Arc::new(selected.finish()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(self.schema, columns, &options)
    }

    fn attributes(&self, window: &[Fragments]) -> Result<Vec<ArrayRef>> {
        let types = leaves(&self.shape.attributes);
        let mut merged = Vec::with_capacity(types.len());
        for (leaf, ((_, data_type), places)) in types.into_iter().zip(&self.attributes).enumerate() {
            let arrays = window.iter().map(|batch| batch.leaves[leaf].as_ref());
            merged.push(gather_or_null(arrays, places, &data_type)?);
        }
        assemble(&self.shape.attributes, &mut merged.into_iter())
    }

    fn events(&self, window: &[Events]) -> Result<ArrayRef> {
        let leaves = gather_all(&self.shape.events, &self.events, |leaf| {
            window.iter().map(|batch| batch.leaves[leaf].as_ref()).collect()
        })?;
        let columns = assemble(&self.shape.events, &mut leaves.into_iter())?;
        let events = StructArray::try_new_with_length(self.shape.events.clone(), columns, None, self.events.len())?;
        list(self.event_ends.finish(), Arc::new(events))
    }

    fn segment_membership(&mut self, window: &[Memberships]) -> Result<ArrayRef> {
        let rows = &self.memberships;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.statuses.finish()), Arc::new(self.qualified.finish())];
        if self.shape.has_valid_until {
            let until = window.iter().map(|batch| &batch.valid_until as &dyn Array);
            columns.push(gather_or_null(until, rows, &time())?);
        }
        let mut others = Vec::new();
        for (leaf, (_, data_type)) in leaves(&self.shape.membership).iter().enumerate() {
            let arrays = window.iter().map(|batch| batch.leaves[leaf].as_ref());
            others.push(gather_or_null(arrays, rows, data_type)?);
        }
        columns.extend(assemble(&self.shape.membership, &mut others.into_iter())?);
        let ids: ArrayRef = Arc::new(self.segment_ids.finish());
        let members = StructArray::try_new(self.shape.membership_fields(), columns, None)?;
        let segments = map(self.segment_ends.finish(), ids, Arc::new(members))?;
        map(
            self.profile_segment_namespaces.finish(),
            Arc::new(self.segment_namespaces.finish()),
            segments,
        )
    }
}

/// The identities of all waiting profiles.
struct Identities {
    ids: ArrayRef,
    codes: ArrayRef,
    primary: ArrayRef,
}

impl Identities {
    fn list(&self, ends: &Ends) -> Result<ArrayRef> {
        let namespace = fields([("code", TEXT)]);
        let namespaces = StructArray::try_new(namespace.clone(), vec![self.codes.clone()], None)?;
        let item = fields([
            ("id", TEXT),
            ("namespace", DataType::Struct(namespace)),
            ("primary", DataType::Boolean),
        ]);
        let columns = vec![self.ids.clone(), Arc::new(namespaces), self.primary.clone()];
        list(ends.finish(), Arc::new(StructArray::try_new(item, columns, None)?))
    }

    fn by_namespace(&self, namespaces: &StringViewArray, ids: &Ends, profiles: &Ends) -> Result<ArrayRef> {
        let item = fields([("id", TEXT), ("primary", DataType::Boolean)]);
        let items = StructArray::try_new(item, vec![self.ids.clone(), self.primary.clone()], None)?;
        map(
            profiles.finish(),
            Arc::new(namespaces.clone()),
            list(ids.finish(), Arc::new(items))?,
        )
    }
}
