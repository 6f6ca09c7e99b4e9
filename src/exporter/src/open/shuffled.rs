//! The inputs of a merge over a store as it comes: one pass over each table, with the identity graph in memory.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    catalog::TableProvider as _,
    physical_plan::ExecutionPlan,
};
use exportjob_plan::{ExportPlan, IdentityGraphKind};

use super::{Read, row_filters::Filters};
use crate::{
    Progress, Result, Session,
    merge::MergeInputs,
    project::columns::Tables,
    read::{
        Choice, Condition, Kind, RowFilter, StoreScan, StoreTable, Wanted, batch_rows,
        roles::{DATASET, IDENTITY, NAMESPACE, Role, VALID_UNTIL},
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
        let cores = session.context.copied_config().target_partitions();
        Self {
            plan,
            tables,
            read,
            progress,
            core_bytes: session.pool_bytes / cores.max(1),
        }
    }

    /// The inputs, each with a partition for each bucket.
    pub async fn inputs(&self, session: &Session) -> Result<MergeInputs> {
        let filters = Filters::of(self.plan);
        let is_graph = self.plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
        let graph = match &self.tables.identities {
            Some(table) if is_graph => {
                let wanted: Vec<Wanted> = table.kind.roles().iter().map(|role| Wanted::Role(*role)).collect();
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
        let cores = session.context.copied_config().target_partitions();
        let plans = Shuffle::plans(sources, cores, session.pool_bytes);
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
        let kinds = [
            (
                Kind::Fragments,
                Some(&self.tables.fragments),
                self.read.fragments.clone(),
            ),
            (Kind::Events, self.tables.events.as_ref(), self.read.events.clone()),
            (Kind::Identities, self.tables.identities.as_ref(), Vec::new()),
            (
                Kind::Memberships,
                self.tables.memberships.as_ref(),
                self.read.memberships.clone(),
            ),
        ];
        let (mut tables, mut places, mut schemas) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, table, leaves) in kinds {
            let wanted = wanted(kind, leaves);
            schemas.push(Wanted::schema(&wanted));
            let Some(table) = table else {
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
        let selection = &self.plan.selection;
        let mut conditions = Vec::new();
        if let Some(table) = &self.tables.memberships
            && !selection.segments.is_empty()
            && self.plan.evaluation.is_none()
        {
            conditions.push((Condition::Member(selection.clone()), table));
        }
        if let Some(after) = selection.ingested_after
            && !selection.empty_profiles
        {
            conditions.push((Condition::IngestedAfter(after), &self.tables.fragments));
        }
        let mut scans = Vec::with_capacity(conditions.len());
        for (condition, table) in conditions {
            let filtered = [NAMESPACE, IDENTITY, DATASET, VALID_UNTIL];
            let columns: HashSet<&str> = condition
                .columns()
                .iter()
                .chain(&filtered)
                .map(|role| role.name)
                .collect();
            let roles = table.kind.roles().iter().filter(|role| columns.contains(role.name));
            let wanted: Vec<Wanted> = roles.map(|role| Wanted::Role(*role)).collect();
            let filter = filters.of_kind(table.kind);
            scans.push((
                condition,
                self.scan(table, &wanted, filter, (None, None), session).await?,
            ));
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

fn wanted(kind: Kind, leaves: Vec<(Vec<String>, DataType)>) -> Vec<Wanted> {
    let roles = kind.roles().iter().map(|role: &Role| Wanted::Role(*role));
    let leaves = leaves
        .into_iter()
        .map(|(path, data_type)| Wanted::Leaf(path, data_type));
    roles.chain(leaves).collect()
}
