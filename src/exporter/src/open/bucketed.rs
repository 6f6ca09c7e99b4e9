//! The inputs of a merge over a bucketed store: bucket by bucket, without a shuffle.

use std::{collections::HashSet, sync::Arc};

use datafusion::{arrow::datatypes::DataType, physical_plan::ExecutionPlan};
use exportjob_plan::{ExportPlan, code};

use super::{Read, Shard, row_filters::Filters};
use crate::{
    Error, Progress, Result, Session,
    fields::types::{TEXT, name_of},
    merge::MergeInputs,
    project::columns::Tables,
    read::{
        BucketScanExec, Buckets, Candidates, Condition, Kind, StoreTable, Wanted,
        roles::{DATASET, Role, VALID_UNTIL},
    },
    stitch::nothing,
};

/// A store whose tables are all bucketed alike.
pub(super) struct Bucketed<'a> {
    plan: &'a ExportPlan,
    tables: &'a Tables,
    read: &'a Read,
    progress: &'a Arc<Progress>,
    buckets: Buckets,
    key: DataType,
}

impl<'a> Bucketed<'a> {
    /// The store, whose tables that are open are all bucketed alike.
    ///
    /// # Errors
    /// `COLUMN_TYPE` when one has numbers for keys and another texts.
    pub fn new(
        (plan, tables, read): (&'a ExportPlan, &'a Tables, &'a Read),
        session: &Session,
        progress: &'a Arc<Progress>,
        shard: Shard,
    ) -> Result<Self> {
        let count = tables.fragments.buckets.unwrap_or(1);
        let numbers = (0..count).filter(|number| shard.takes(*number)).collect();
        let cores = session.context.copied_config().target_partitions();
        Ok(Self {
            plan,
            tables,
            read,
            progress,
            buckets: Buckets {
                numbers,
                core_bytes: session.pool_bytes / cores.max(1),
            },
            key: key_type(tables)?,
        })
    }

    /// One partition for each bucket.
    pub fn inputs(&self) -> Result<MergeInputs> {
        let filters = Filters::of(self.plan);
        let candidates = Arc::new(Candidates::new(self.searches(&filters)?));
        let input = |table: Option<&StoreTable>, kind: Kind, leaves: &[(Vec<String>, DataType)]| {
            self.input(table, kind, leaves, &filters, &candidates)
        };
        Ok(MergeInputs {
            fragments: input(Some(&self.tables.fragments), Kind::Fragments, &self.read.fragments)?,
            events: input(self.tables.events.as_ref(), Kind::Events, &self.read.events)?,
            identities: input(self.tables.identities.as_ref(), Kind::Identities, &[])?,
            memberships: input(
                self.tables.memberships.as_ref(),
                Kind::Memberships,
                &self.read.memberships,
            )?,
        })
    }

    fn input(
        &self,
        table: Option<&StoreTable>,
        kind: Kind,
        leaves: &[(Vec<String>, DataType)],
        filters: &Filters,
        candidates: &Arc<Candidates>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let roles = kind.roles().iter().map(|role: &Role| Wanted::Role(*role));
        let leaves = leaves
            .iter()
            .map(|(path, data_type)| Wanted::Leaf(path.clone(), data_type.clone()));
        let wanted: Vec<Wanted> = std::iter::once(Wanted::Key(self.key.clone()))
            .chain(roles)
            .chain(leaves)
            .collect();
        let Some(table) = table else {
            return Ok(nothing(&Wanted::schema(&wanted), self.buckets.numbers.len()));
        };
        let scan = BucketScanExec::new(
            table,
            &wanted,
            filters.of_kind(kind),
            self.buckets.clone(),
            candidates.clone(),
            Some(self.progress.clone()),
        )?;
        Ok(Arc::new(scan))
    }

    /// What tells early who cannot be in the audience.
    fn searches(&self, filters: &Filters) -> Result<Vec<(Condition, Arc<BucketScanExec>)>> {
        let selection = &self.plan.selection;
        let mut searches = Vec::new();
        if let Some(table) = &self.tables.memberships
            && !selection.segments.is_empty()
            && self.plan.evaluation.is_none()
        {
            searches.push(self.search(Condition::Member(selection.clone()), table, filters)?);
        }
        if let Some(after) = selection.ingested_after
            && !selection.empty_profiles
        {
            searches.push(self.search(Condition::IngestedAfter(after), &self.tables.fragments, filters)?);
        }
        Ok(searches)
    }

    fn search(
        &self,
        condition: Condition,
        table: &StoreTable,
        filters: &Filters,
    ) -> Result<(Condition, Arc<BucketScanExec>)> {
        let filtered = [DATASET, VALID_UNTIL];
        let mut columns: HashSet<&str> = condition.columns().iter().map(|role| role.name).collect();
        columns.extend(filtered.iter().map(|role| role.name));
        let roles = table.kind.roles().iter().filter(|role| columns.contains(role.name));
        let wanted: Vec<Wanted> = std::iter::once(Wanted::Key(self.key.clone()))
            .chain(roles.map(|role| Wanted::Role(*role)))
            .collect();
        let filter = filters.of_kind(table.kind);
        let scan = BucketScanExec::new(table, &wanted, filter, self.buckets.clone(), Arc::default(), None)?;
        Ok((condition, Arc::new(scan)))
    }
}

/// What all tables have for keys.
fn key_type(tables: &Tables) -> Result<DataType> {
    let mut parts = tables.all().flat_map(|table| &table.parts);
    let mut typed = parts
        .by_ref()
        .filter_map(|part| Some((part, &part.bucket.as_ref()?.key)));
    let Some((first, key)) = typed.next() else {
        return Ok(TEXT);
    };
    match typed.find(|(_, other)| *other != key) {
        None => Ok(key.clone()),
        Some((part, other)) => Err(Error::new(
            code::COLUMN_TYPE,
            format!(
                "the keys of profiles are {} in {} and {} in {}: write the column that bucketing.column names in one type",
                name_of(key),
                first.name,
                name_of(other),
                part.name
            ),
        )),
    }
}
