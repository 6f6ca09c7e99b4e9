//! The inputs of a merge over a bucketed store: bucket by bucket, without a shuffle.

use std::sync::Arc;

use datafusion::{arrow::datatypes::DataType, physical_plan::ExecutionPlan};
use exportjob_plan::{ExportPlan, code};

use super::{
    Read, Shard,
    row_filters::{Filters, conditions},
};
use crate::{
    Error, Progress, Result, Session,
    fields::types::{TEXT, name_of},
    merge::MergeInputs,
    project::columns::Tables,
    read::{BucketScanExec, Buckets, Candidates, Condition, Kind, StoreTable, Wanted},
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
        Ok(Self {
            plan,
            tables,
            read,
            progress,
            buckets: Buckets {
                numbers,
                core_bytes: session.core_bytes(),
            },
            key: key_type(tables)?,
        })
    }

    /// One partition for each bucket.
    pub fn inputs(&self) -> Result<MergeInputs> {
        let filters = Filters::of(self.plan);
        let candidates = Arc::new(Candidates::new(self.searches(&filters)?));
        let input = |kind| self.input(kind, &filters, &candidates);
        Ok(MergeInputs {
            fragments: input(Kind::Fragments)?,
            events: input(Kind::Events)?,
            identities: input(Kind::Identities)?,
            memberships: input(Kind::Memberships)?,
        })
    }

    fn input(&self, kind: Kind, filters: &Filters, candidates: &Arc<Candidates>) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = self.keyed(Wanted::all(kind, self.read.leaves(kind)));
        let Some(table) = self.tables.of(kind) else {
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
        let search = |(condition, table): (Condition, &StoreTable)| {
            let wanted = self.keyed(condition.wanted(table.kind, &[]));
            let filter = filters.of_kind(table.kind);
            let scan = BucketScanExec::new(table, &wanted, filter, self.buckets.clone(), Arc::default(), None)?;
            Ok((condition, Arc::new(scan)))
        };
        conditions(self.plan, self.tables).into_iter().map(search).collect()
    }

    /// The key, then these columns.
    fn keyed(&self, wanted: Vec<Wanted>) -> Vec<Wanted> {
        let key = Wanted::Key(self.key.clone());
        std::iter::once(key).chain(wanted).collect()
    }
}

/// What all tables have for keys.
fn key_type(tables: &Tables) -> Result<DataType> {
    let parts = tables.all().flat_map(|table| &table.parts);
    let mut typed = parts.filter_map(|part| Some((part, &part.bucket.as_ref()?.key)));
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
