//! Whose a row is, told from its identity and the graph in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray, RecordBatch, StringViewArray},
        error::ArrowError,
    },
    common::Result,
    execution::TaskContext,
    physical_plan::ExecutionPlan,
};
use futures::TryStreamExt as _;

use super::{
    GraphSource,
    graph::Graph,
    hash::{Hasher, Of},
};
use crate::read::{
    ChoosesIdentities, Condition,
    roles::{IDENTITY, NAMESPACE, PROFILE, Role},
};

/// Keys of profiles that can be in the audience; `None`: all can.
pub(super) type Candidates = Option<HashSet<i128, ahash::RandomState>>;

/// More candidates than this are not kept.
const MOST_CANDIDATES: usize = 4 << 20;

/// Tells whose a row is.
#[derive(Debug)]
pub(super) struct Keying {
    hasher: Hasher,
    /// `None`: each identity is a profile.
    graph: Option<Graph>,
}

impl Keying {
    /// Each identity by itself.
    pub fn alone() -> Self {
        Self {
            hasher: Hasher::new(),
            graph: None,
        }
    }

    /// By a graph.
    pub async fn by_graph(source: &GraphSource, context: &Arc<TaskContext>) -> Result<Self> {
        let hasher = Hasher::new();
        // A list that grows would take up to three times as much while it does.
        let mut entries = Vec::with_capacity(source.rows);
        each(&source.scan, context, |batch| {
            let rows = Rows::read(batch)?;
            let clusters = text(batch, PROFILE)?;
            let known = (0..batch.num_rows()).filter(|row| clusters.is_valid(*row) && rows.is_whole(*row));
            entries.extend(known.map(|row| (rows.hash(&hasher, row), hasher.hash(Of::Cluster(clusters.value(row))))));
            Ok(())
        })
        .await?;
        let (mut graph, torn) = Graph::new(entries);
        if !torn.is_empty() {
            let torn: HashSet<u128> = torn.into_iter().collect();
            graph.settle(&first_clusters(&source.again, context, &hasher, &torn).await?);
        }
        Ok(Self {
            hasher,
            graph: Some(graph),
        })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.graph.as_ref().map_or(0, Graph::bytes)
    }

    /// Key of each row of a batch; `None` for rows without an identity and, with `listed`, for identities that the graph
    /// does not have.
    pub fn keys(&self, batch: &RecordBatch, listed: bool) -> Result<Vec<Option<i128>>, ArrowError> {
        Ok(self.keys_of(&Rows::read(batch)?, listed))
    }

    fn keys_of(&self, rows: &Rows, listed: bool) -> Vec<Option<i128>> {
        let count = rows.identities.len();
        let mut last: Option<(usize, Option<i128>)> = None;
        let mut keys = Vec::with_capacity(count);
        for row in 0..count {
            // Rows of one identity come in a row more often than not.
            if let Some((previous, key)) = last
                && rows.is_same(previous, row)
            {
                keys.push(key);
                continue;
            }
            let key = rows
                .is_whole(row)
                .then(|| rows.hash(&self.hasher, row))
                .and_then(|identity| match &self.graph {
                    Some(graph) => graph.cluster(identity).or((!listed).then_some(identity)),
                    None => Some(identity),
                });
            let key = key.map(u128::cast_signed);
            last = Some((row, key));
            keys.push(key);
        }
        keys
    }

    /// The profiles that have a row which fulfils a condition.
    pub async fn candidates(
        &self,
        condition: &Condition,
        scan: &Arc<dyn ExecutionPlan>,
        context: &Arc<TaskContext>,
    ) -> Result<Candidates> {
        let mut found = HashSet::default();
        let mut are_too_many = false;
        each(scan, context, |batch| {
            if are_too_many {
                return Ok(());
            }
            let matching: BooleanArray = condition.rows(batch)?;
            if matching.true_count() > 0 {
                let keys = self.keys(batch, false)?;
                found.extend(matching.values().set_indices().filter_map(|row| keys[row]));
            }
            are_too_many = found.len() > MOST_CANDIDATES;
            Ok(())
        })
        .await?;
        Ok((!are_too_many).then_some(found))
    }
}

/// The identities of candidates.
#[derive(Debug)]
pub(super) struct OfCandidates {
    /// Tells whose a row is.
    pub keying: Arc<Keying>,
    /// The candidates.
    pub candidates: Arc<Candidates>,
}

impl ChoosesIdentities for OfCandidates {
    fn choose(&self, namespaces: &StringViewArray, identities: &StringViewArray) -> BooleanArray {
        let rows = Rows {
            namespaces: namespaces.clone(),
            identities: identities.clone(),
        };
        let keys = self.keying.keys_of(&rows, false).into_iter();
        let is_candidate = |key| match self.candidates.as_ref() {
            Some(candidates) => candidates.contains(&key),
            None => true,
        };
        keys.map(|key| Some(key.is_some_and(is_candidate))).collect()
    }
}

/// An identity that is listed several times belongs to the smallest of its clusters.
async fn first_clusters(
    identities: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    hasher: &Hasher,
    torn: &HashSet<u128>,
) -> Result<HashMap<u128, u128>> {
    let mut first: HashMap<u128, String> = HashMap::new();
    each(identities, context, |batch| {
        let rows = Rows::read(batch)?;
        let clusters = text(batch, PROFILE)?;
        for row in (0..batch.num_rows()).filter(|row| clusters.is_valid(*row) && rows.is_whole(*row)) {
            let identity = rows.hash(hasher, row);
            if !torn.contains(&identity) {
                continue;
            }
            let cluster = clusters.value(row);
            let known = first.entry(identity).or_insert_with(|| cluster.to_owned());
            if cluster < known.as_str() {
                cluster.clone_into(known);
            }
        }
        Ok(())
    })
    .await?;
    Ok(first
        .into_iter()
        .map(|(identity, cluster)| (identity, hasher.hash(Of::Cluster(&cluster))))
        .collect())
}

/// Calls `take` with each batch of all partitions.
async fn each(
    scan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    mut take: impl FnMut(&RecordBatch) -> Result<(), ArrowError>,
) -> Result<()> {
    let partitions = scan.properties().partitioning.partition_count();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(partitions.max(1));
    let mut tasks = tokio::task::JoinSet::new();
    for partition in 0..partitions {
        let (mut rows, sender) = (scan.execute(partition, context.clone())?, sender.clone());
        tasks.spawn(async move {
            while let Some(batch) = rows.try_next().await.transpose() {
                let is_over = batch.is_err();
                if sender.send(batch).await.is_err() || is_over {
                    break;
                }
            }
        });
    }
    drop(sender);
    while let Some(batch) = receiver.recv().await {
        take(&batch?)?;
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
    }
    Ok(())
}

/// The identities of a batch.
struct Rows {
    namespaces: StringViewArray,
    identities: StringViewArray,
}

impl Rows {
    fn read(batch: &RecordBatch) -> Result<Self, ArrowError> {
        Ok(Self {
            namespaces: text(batch, NAMESPACE)?,
            identities: text(batch, IDENTITY)?,
        })
    }

    fn is_whole(&self, row: usize) -> bool {
        self.namespaces.is_valid(row) && self.identities.is_valid(row)
    }

    /// Whether two rows are alike, as far as that can be told without reading them.
    fn is_same(&self, row: usize, other: usize) -> bool {
        self.identities.views()[row] == self.identities.views()[other]
            && self.namespaces.views()[row] == self.namespaces.views()[other]
            && self.is_whole(row)
            && self.is_whole(other)
    }

    fn hash(&self, hasher: &Hasher, row: usize) -> u128 {
        hasher.hash(Of::Identity(self.namespaces.value(row), self.identities.value(row)))
    }
}

fn text(batch: &RecordBatch, role: Role) -> Result<StringViewArray, ArrowError> {
    let column = batch
        .column_by_name(role.name)
        .and_then(|column| column.as_string_view_opt());
    column
        .cloned()
        .ok_or_else(|| ArrowError::SchemaError(format!("there is no column {} to tell whose a row is", role.name)))
}
