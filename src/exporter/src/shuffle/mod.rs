//! Brings the rows of each profile together in a store as it comes: one pass over each table, its rows scattered over
//! buckets on disk by the profile that they belong to. The identity graph is in memory meanwhile, by hashes.

mod exec;
mod graph;
mod hash;
mod keying;
mod scatter;
mod spill;

use std::{collections::HashSet, sync::Arc, time::Duration};

use datafusion::{
    arrow::datatypes::{Field, Schema, SchemaRef},
    common::{DataFusionError, Result},
    execution::{TaskContext, memory_pool::MemoryConsumer},
    physical_plan::ExecutionPlan,
};
use futures::TryStreamExt as _;
use tokio::{sync::OnceCell, task::JoinSet};

use self::{
    keying::{Candidates, Keying, OfCandidates},
    scatter::Scatter,
    spill::{Spilled, Spilling},
};
use crate::{
    fields::types::schema_with_views,
    keys::{HASH, KEY},
    read::{Choice, Condition},
};

/// Whether the graph of so many identities should be held in memory, of which there are `pool_bytes`.
pub(crate) fn graph_fits(rows: usize, pool_bytes: usize) -> bool {
    graph::graph_bytes(rows) < pool_bytes / 2
}

/// Reading of columns for chosen rows only pays where at most one of so many rows is chosen.
const FEW: usize = 8;
/// Most buckets.
const MOST_BUCKETS: usize = 1024;
/// A bucket may take this part of the memory of a core.
const BUCKET_PART: usize = 6;
/// Rows that wait for their buckets may take this part of the memory of a core.
const SCATTER_PART: usize = 6;
/// No more than this of them, however much memory there is.
const MOST_SCATTER_BYTES: usize = 96 << 20;

/// What is read of a table.
pub(crate) struct Source {
    /// Delivers namespace and id of each row, and whatever else is wanted.
    pub scan: Arc<dyn ExecutionPlan>,
    /// Tells the scan which rows it may pass over.
    pub choice: Choice,
    /// Whether rows of identities that are not in the graph are left out.
    pub listed: bool,
    /// Rows of the table, as far as that is known.
    pub rows: usize,
    /// About what it has, in bytes.
    pub bytes: usize,
}

/// What is read of the identity graph: namespace, id and cluster of each identity.
pub(crate) struct GraphSource {
    /// The first pass over it.
    pub scan: Arc<dyn ExecutionPlan>,
    /// Another one, for identities that are in several clusters: a plan is not made to run twice.
    pub again: Arc<dyn ExecutionPlan>,
    /// About how many rows it has.
    pub rows: usize,
}

/// What is shuffled.
pub(crate) struct Sources {
    /// The graph; `None`: each identity is a profile.
    pub graph: Option<GraphSource>,
    /// Conditions that a profile of the audience fulfils, each with a scan of the columns that tell.
    pub conditions: Vec<(Condition, Arc<dyn ExecutionPlan>)>,
    /// The tables.
    pub tables: Vec<Source>,
}

/// A shuffle, done when the first of its rows is asked for.
pub(crate) struct Shuffle {
    sources: Sources,
    buckets: usize,
    /// Bytes of memory for each core.
    core_bytes: usize,
    done: OnceCell<std::result::Result<Vec<Arc<Spilled>>, Arc<DataFusionError>>>,
}

impl Shuffle {
    /// The tables of `sources` as plans, each with a partition for each bucket, sorted by key.
    pub fn plans(sources: Sources, cores: usize, core_bytes: usize) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let bytes: usize = sources.tables.iter().map(|table| table.bytes).sum();
        let buckets = (bytes / (core_bytes / BUCKET_PART).max(1)).clamp(2 * cores, MOST_BUCKETS);
        let schemas: Vec<SchemaRef> = sources.tables.iter().map(|table| keyed(&table.scan.schema())).collect();
        let shuffle = Arc::new(Self {
            sources,
            buckets,
            core_bytes,
            done: OnceCell::new(),
        });
        let plan = |(table, schema)| exec::plan(&shuffle, table, schema, buckets);
        schemas.iter().enumerate().map(plan).collect()
    }

    /// The shuffled tables.
    async fn tables(&self, context: &Arc<TaskContext>) -> Result<&Vec<Arc<Spilled>>> {
        let done = self
            .done
            .get_or_init(|| async { self.run(context).await.map_err(Arc::new) })
            .await;
        done.as_ref().map_err(|error| DataFusionError::Shared(error.clone()))
    }

    async fn run(&self, context: &Arc<TaskContext>) -> Result<Vec<Arc<Spilled>>> {
        let started = std::time::Instant::now();
        let held = MemoryConsumer::new("identity graph").register(context.memory_pool());
        let keying = match &self.sources.graph {
            Some(source) => {
                held.try_grow(graph::graph_bytes(source.rows))?;
                Keying::by_graph(source, context).await?
            }
            None => Keying::alone(),
        };
        held.try_resize(keying.bytes())?;
        let keying = Arc::new(keying);
        let mut candidates: Candidates = None;
        for (condition, scan) in &self.sources.conditions {
            let Some(found) = keying.candidates(condition, scan, context).await? else {
                continue;
            };
            candidates = Some(match candidates {
                Some(known) => known.intersection(&found).copied().collect(),
                None => found,
            });
        }
        let candidates = Arc::new(candidates);
        let mut tables = Vec::with_capacity(self.sources.tables.len());
        for source in &self.sources.tables {
            tables.push(self.scatter(source, &keying, &candidates, context).await?);
        }
        log(started.elapsed(), self.buckets, &tables);
        Ok(tables)
    }

    async fn scatter(
        &self,
        source: &Source,
        keying: &Arc<Keying>,
        candidates: &Arc<Candidates>,
        context: &Arc<TaskContext>,
    ) -> Result<Arc<Spilled>> {
        let schema = keyed(&source.scan.schema());
        let are_few = |candidates: &HashSet<i128, _>| candidates.len().saturating_mul(FEW) < source.rows;
        if candidates.as_ref().as_ref().is_some_and(are_few) {
            // Set already: by a run that was cut off, which has come to the same.
            let _ = source.choice.set(Arc::new(OfCandidates {
                keying: keying.clone(),
                candidates: candidates.clone(),
            }));
        }
        let spilling = Spilling::new(schema.clone(), self.buckets);
        let disk = &context.runtime_env().disk_manager;
        let waiting = (self.core_bytes / SCATTER_PART).min(MOST_SCATTER_BYTES);
        let mut tasks = JoinSet::new();
        for partition in 0..source.scan.properties().partitioning.partition_count() {
            let mut rows = source.scan.execute(partition, context.clone())?;
            let reservation = MemoryConsumer::new("shuffle").register(context.memory_pool());
            let mut scatter = Scatter::new(spilling.writer(disk)?, schema.clone(), self.buckets, waiting);
            let (keying, candidates, listed) = (keying.clone(), candidates.clone(), source.listed);
            tasks.spawn(async move {
                reservation.try_grow(waiting)?;
                while let Some(batch) = rows.try_next().await? {
                    let mut keys = keying.keys(&batch, listed)?;
                    if let Some(candidates) = candidates.as_ref() {
                        for key in &mut keys {
                            *key = key.filter(|key| candidates.contains(key));
                        }
                    }
                    scatter.add(&batch, &keys)?;
                }
                scatter.finish()
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|error| DataFusionError::External(Box::new(error)))??;
        }
        Ok(Arc::new(spilling.finish()))
    }
}

/// The columns of a table with the key before them.
fn keyed(schema: &SchemaRef) -> SchemaRef {
    let key = Arc::new(Field::new(KEY, HASH, false));
    let fields = std::iter::once(key).chain(schema.fields().iter().cloned());
    schema_with_views(&Schema::new(fields.collect::<Vec<_>>()))
}

fn log(elapsed: Duration, buckets: usize, tables: &[Arc<Spilled>]) {
    let bytes: usize = tables
        .iter()
        .map(|table| (0..buckets).map(|bucket| table.bytes(bucket)).sum::<usize>())
        .sum();
    tracing::info!(
        buckets,
        spilled_bytes = bytes,
        seconds = elapsed.as_secs_f64(),
        "rows are brought together"
    );
}
