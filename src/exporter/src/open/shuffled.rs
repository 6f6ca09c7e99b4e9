//! The inputs of a merge over a store as it comes: one pass over each table, with the identity graph in memory.

use std::sync::Arc;

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider as _, physical_plan::ExecutionPlan};
use exportjob_plan::{ExportPlan, IdentityGraphKind};

use super::{
    Read,
    row_filters::{Filters, conditions},
};
use crate::{
    Progress, Result, Session,
    merge::MergeInputs,
    project::columns::Tables,
    read::{
        Choice, Condition, Kind, RowFilter, StoreScan, StoreTable, Wanted, batch_rows,
        roles::{IDENTITY, NAMESPACE},
    },
    session::engine_error,
    shuffle::{GraphSource, Shuffle, Source, Sources},
    stitch::nothing,
};

/// About the bytes of a value on disk, between its table and the merge.
const VALUE_BYTES: usize = 24;

/// A store whose rows have to be brought together.
pub(super) struct Shuffled<'a> {
    plan: &'a ExportPlan,
    tables: &'a Tables,
    read: &'a Read,
    progress: &'a Arc<Progress>,
    core_bytes: usize,
}

impl<'a> Shuffled<'a> {
    /// The store, whose graph fits into memory.
    pub fn new(
        (plan, tables, read): (&'a ExportPlan, &'a Tables, &'a Read),
        session: &Session,
        progress: &'a Arc<Progress>,
    ) -> Self {
        Self {
            plan,
            tables,
            read,
            progress,
            core_bytes: session.core_bytes(),
        }
    }

    /// The inputs, each with a partition for each bucket.
    pub async fn inputs(&self, session: &Session) -> Result<MergeInputs> {
        let filters = Filters::of(self.plan);
        let is_graph = self.plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
        let graph = match &self.tables.identities {
            Some(table) if is_graph => {
                let wanted = Wanted::all(table.kind, &[]);
                let scan = async || {
                    self.scan(table, &wanted, RowFilter::default(), (None, None), session)
                        .await
                };
                Some(GraphSource {
                    scan: scan().await?,
                    again: scan().await?,
                    rows: table.rows(),
                })
            }
            _ => None,
        };
        let (tables, places, schemas) = self.sources(&filters, session).await?;
        let sources = Sources {
            graph,
            conditions: self.conditions(&filters, session).await?,
            tables,
        };
        let plans = Shuffle::plans(sources, session.cores(), self.core_bytes).map_err(engine_error)?;
        let buckets = plans
            .first()
            .map_or(1, |plan| plan.properties().partitioning.partition_count());
        let input = |kind: usize| match places[kind].and_then(|place| plans.get(place)) {
            Some(plan) => plan.clone(),
            None => nothing(&schemas[kind], buckets),
        };
        Ok(MergeInputs {
            fragments: input(0),
            events: input(1),
            identities: input(2),
            memberships: input(3),
        })
    }

    /// The tables that are open; for each kind its place among them, and its columns.
    async fn sources(
        &self,
        filters: &Filters,
        session: &Session,
    ) -> Result<(Vec<Source>, Vec<Option<usize>>, Vec<SchemaRef>)> {
        let is_graph = self.plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
        let (mut tables, mut places, mut schemas) = (Vec::new(), Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let wanted = Wanted::all(kind, self.read.leaves(kind));
            schemas.push(Wanted::schema(&wanted));
            let Some(table) = self.tables.of(kind) else {
                places.push(None);
                continue;
            };
            places.push(Some(tables.len()));
            let choice = Choice::default();
            tables.push(Source {
                choice: choice.clone(),
                scan: self
                    .scan(
                        table,
                        &wanted,
                        filters.of_kind(kind),
                        (Some(self.progress.clone()), Some(choice)),
                        session,
                    )
                    .await?,
                listed: is_graph && kind == Kind::Identities,
                rows: table.rows(),
                bytes: table.rows().saturating_mul(wanted.len() * VALUE_BYTES),
            });
        }
        Ok((tables, places, schemas))
    }

    /// What tells early who cannot be in the audience.
    async fn conditions(
        &self,
        filters: &Filters,
        session: &Session,
    ) -> Result<Vec<(Condition, Arc<dyn ExecutionPlan>)>> {
        let mut scans = Vec::new();
        for (condition, table) in conditions(self.plan, self.tables) {
            let wanted = condition.wanted(table.kind, &[NAMESPACE, IDENTITY]);
            let filter = filters.of_kind(table.kind);
            let scan = self.scan(table, &wanted, filter, (None, None), session).await?;
            scans.push((condition, scan));
        }
        Ok(scans)
    }

    async fn scan(
        &self,
        table: &StoreTable,
        wanted: &[Wanted],
        filter: RowFilter,
        (progress, choice): (Option<Arc<Progress>>, Option<Choice>),
        session: &Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = StoreScan::new(table, wanted, filter, progress.unwrap_or_default())?
            .with_batch_rows(batch_rows(wanted.len(), self.core_bytes))
            .with_choice(choice.unwrap_or_default());
        scan.scan(&session.context.state(), None, &[], None)
            .await
            .map_err(engine_error)
    }
}
