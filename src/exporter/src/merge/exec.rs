//! The merge as a plan: one row for each profile of the audience, out of four inputs that are sorted by profile. How they
//! came to be sorted is not its business.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::array::RecordBatch,
    common::{DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryLimit},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};

use super::{
    batches::{Events, Fragments, Identities, Memberships},
    cursor::Cursor,
    output::Output,
    profile::{self, ProfileRows, Rules, Windows},
    shape::Shape,
};
use crate::keys::Key;

/// Most profiles of a batch.
const BATCH_PROFILES: usize = 4096;
/// Most events and identities of a batch, give or take a profile.
const BATCH_ELEMENTS: usize = 64 * 1024;
/// Most bytes of input that are held for a batch, give or take a profile.
const WINDOW_BYTES: usize = 32 << 20;
/// Least bytes of that, however little memory there is.
const LEAST_WINDOW_BYTES: usize = 1 << 20;
/// What all partitions hold is at most this part of the engine's memory, beside which it is.
const WINDOW_PART: usize = 16;

/// The four inputs: each with the same partitions, its rows sorted by key, rows of a key in the same partition.
pub(crate) struct MergeInputs {
    /// Profile records.
    pub fragments: Arc<dyn ExecutionPlan>,
    /// Experience events.
    pub events: Arc<dyn ExecutionPlan>,
    /// Identities of the graph.
    pub identities: Arc<dyn ExecutionPlan>,
    /// Segment memberships.
    pub memberships: Arc<dyn ExecutionPlan>,
}

/// Merges the rows of each profile into one.
pub(crate) struct ProfileMergeExec {
    children: [Arc<dyn ExecutionPlan>; 4],
    shape: Arc<Shape>,
    rules: Arc<Rules>,
    properties: Arc<PlanProperties>,
}

impl ProfileMergeExec {
    /// The merge of these inputs.
    pub fn new(inputs: MergeInputs, shape: Shape, rules: Rules) -> Self {
        let children = [inputs.fragments, inputs.events, inputs.identities, inputs.memberships];
        Self::with(children, Arc::new(shape), Arc::new(rules))
    }

    fn with(children: [Arc<dyn ExecutionPlan>; 4], shape: Arc<Shape>, rules: Arc<Rules>) -> Self {
        let partitions = children[0].properties().partitioning.partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(shape.schema(rules.audience.batches())),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            children,
            shape,
            rules,
            properties: Arc::new(properties),
        }
    }
}

impl fmt::Debug for ProfileMergeExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ProfileMergeExec")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for ProfileMergeExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ProfileMergeExec: columns={}", self.shape.written.len())
    }
}

impl ExecutionPlan for ProfileMergeExec {
    fn name(&self) -> &'static str {
        "ProfileMergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let children = children
            .try_into()
            .map_err(|_| DataFusionError::Internal("a profile merge has four inputs".to_owned()))?;
        Ok(Arc::new(Self::with(children, self.shape.clone(), self.rules.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let [fragments, events, identities, memberships] = &self.children;
        let leaves = crate::project::leaves(&self.shape.attributes).len();
        let batches = self.rules.audience.batches();
        let merge = Merge {
            rules: self.rules.clone(),
            window_bytes: window_bytes(&context),
            fragments: Cursor::new("fragments", fragments.execute(partition, context.clone())?),
            events: Cursor::new("events", events.execute(partition, context.clone())?),
            identities: Cursor::new("identities", identities.execute(partition, context.clone())?),
            memberships: Cursor::new("memberships", memberships.execute(partition, context)?),
            rows: ProfileRows::default(),
            output: Output::new(self.shape.clone(), leaves, batches),
            key: Key::default(),
        };
        let schema = self.shape.schema(batches);
        let stream = futures::stream::try_unfold(merge, |mut merge| async move {
            Ok(merge.next_batch().await?.map(|batch| (batch, merge)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

/// Bytes of input that each of the partitions that are merged at the same time may hold.
fn window_bytes(context: &TaskContext) -> usize {
    let partitions = context.session_config().target_partitions();
    match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(bytes) => (bytes / WINDOW_PART / partitions.max(1)).clamp(LEAST_WINDOW_BYTES, WINDOW_BYTES),
        MemoryLimit::Infinite | MemoryLimit::Unknown => WINDOW_BYTES,
    }
}

/// A merge under way.
struct Merge {
    rules: Arc<Rules>,
    window_bytes: usize,
    fragments: Cursor<Fragments>,
    events: Cursor<Events>,
    identities: Cursor<Identities>,
    memberships: Cursor<Memberships>,
    rows: ProfileRows,
    output: Output,
    key: Key,
}

impl Merge {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.next_key().await? {
            let key = self.key.as_ref();
            self.fragments.take(key, &mut self.rows.fragments).await?;
            self.events.take(key, &mut self.rows.events).await?;
            self.identities.take(key, &mut self.rows.identities).await?;
            self.memberships.take(key, &mut self.rows.memberships).await?;
            let windows = windows(&self.fragments, &self.events, &self.identities, &self.memberships);
            profile::merge_all(&self.rules, &windows, &mut self.rows, &mut self.output)?;
            if self.is_full() {
                if self.output.rows() > 0 {
                    return self.deliver().map(Some);
                }
                self.release();
            }
        }
        if self.output.rows() > 0 {
            self.deliver().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Finds the profile that comes next; false at the end of all inputs.
    async fn next_key(&mut self) -> Result<bool> {
        self.fragments.fill().await?;
        self.events.fill().await?;
        self.identities.fill().await?;
        self.memberships.fill().await?;
        let keys = [
            self.fragments.key(),
            self.events.key(),
            self.identities.key(),
            self.memberships.key(),
        ];
        let Some(key) = keys.into_iter().flatten().min() else {
            return Ok(false);
        };
        self.key.assign(key);
        Ok(true)
    }

    fn is_full(&self) -> bool {
        let held = self.fragments.bytes() + self.events.bytes() + self.identities.bytes() + self.memberships.bytes();
        self.output.rows() >= BATCH_PROFILES || self.output.elements() >= BATCH_ELEMENTS || held >= self.window_bytes
    }

    fn deliver(&mut self) -> Result<RecordBatch> {
        let windows = windows(&self.fragments, &self.events, &self.identities, &self.memberships);
        let batch = self.output.finish(&windows)?;
        self.release();
        Ok(batch)
    }

    fn release(&mut self) {
        self.fragments.release();
        self.events.release();
        self.identities.release();
        self.memberships.release();
    }
}

fn windows<'a>(
    fragments: &'a Cursor<Fragments>,
    events: &'a Cursor<Events>,
    identities: &'a Cursor<Identities>,
    memberships: &'a Cursor<Memberships>,
) -> Windows<'a> {
    Windows {
        fragments: fragments.window(),
        events: events.window(),
        identities: identities.window(),
        memberships: memberships.window(),
    }
}

#[cfg(test)]
mod tests;
