//! A scan of one of the store's tables: all of its files and tables side by side, each batch in the columns that are
//! wanted.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    catalog::{Session, TableProvider},
    common::{Result as DataFusionResult, tree_node::TreeNodeRecursion},
    datasource::TableType,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, StreamExt as _};

use super::{
    filter::{Filter, RowFilter},
    reader::{Piece, Reader, Task, external},
    recipe::Wanted,
    table::StoreTable,
};
use crate::{Progress, Result};

/// One of the store's tables, as `DataFusion` sees it.
pub(crate) struct StoreScan {
    parts: Arc<Vec<Arc<Reader>>>,
    schema: SchemaRef,
    filter: Arc<Filter>,
    rows: usize,
    /// Taken by the first scan: a table that several joins read is still one table's worth of progress.
    progress: Mutex<Option<Arc<Progress>>>,
}

impl StoreScan {
    /// A scan of `table` that delivers the columns `wanted`, in that order.
    pub fn new(table: &StoreTable, wanted: &[Wanted], filter: RowFilter, progress: Arc<Progress>) -> Result<Self> {
        let schema = Wanted::schema(wanted);
        let reader = |part| Reader::new(part, wanted, &schema).map(Arc::new);
        let parts = table.parts.iter().map(reader).collect::<Result<Vec<_>>>()?;
        let filter = Filter::new(filter, &schema);
        Ok(Self {
            parts: Arc::new(parts),
            schema,
            filter: Arc::new(filter),
            rows: table.rows(),
            progress: Mutex::new(Some(progress)),
        })
    }
}

impl fmt::Debug for StoreScan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StoreScan")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for StoreScan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut tasks = Vec::new();
        for (index, reader) in self.parts.iter().enumerate() {
            reader.tasks(index, state, &mut tasks).await?;
        }
        let partitions = spread(tasks, state.config().target_partitions());
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(progress) = &progress {
            progress.rows_expected(self.rows);
        }
        Ok(Arc::new(StoreScanExec {
            readers: self.parts.clone(),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema.clone()),
                Partitioning::UnknownPartitioning(partitions.len()),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            partitions,
            projection: projection.cloned(),
            schema,
            filter: self.filter.clone(),
            progress,
        }))
    }
}

/// The scan as a plan.
struct StoreScanExec {
    readers: Arc<Vec<Arc<Reader>>>,
    partitions: Vec<Vec<Task>>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    filter: Arc<Filter>,
    progress: Option<Arc<Progress>>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for StoreScanExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StoreScanExec")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for StoreScanExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "StoreScanExec: parts={}, partitions={}",
            self.readers.len(),
            self.partitions.len()
        )
    }
}

impl ExecutionPlan for StoreScanExec {
    fn name(&self) -> &'static str {
        "StoreScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let tasks = self.partitions.get(partition).cloned().unwrap_or_default();
        let (readers, filter, progress) = (self.readers.clone(), self.filter.clone(), self.progress.clone());
        let projection = self.projection.clone();
        let batches = batches(readers, tasks, context).map(move |batch| {
            let batch = batch?;
            if let Some(progress) = &progress {
                progress.rows_read(batch.num_rows());
            }
            let kept = filter.apply(&batch)?;
            match &projection {
                Some(columns) => Ok(kept.project(columns)?),
                None => Ok(kept),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}

/// The tasks' batches, one task after the other, in the columns that are wanted, with the number of rows read.
fn batches(
    readers: Arc<Vec<Arc<Reader>>>,
    tasks: Vec<Task>,
    context: Arc<TaskContext>,
) -> impl Stream<Item = DataFusionResult<RecordBatch>> + Send + 'static {
    futures::stream::iter(tasks).flat_map(move |task| match readers.get(task.reader) {
        Some(reader) => {
            let conform = reader.clone();
            let raw = reader.open(task.piece, context.clone());
            raw.map(move |batch| conform.conform(&batch?).map_err(external)).boxed()
        }
        None => futures::stream::empty().boxed(),
    })
}

/// Tasks for at most `partitions` readers, about as much for each. Row groups of a file that go to one reader are one
/// task.
fn spread(mut tasks: Vec<Task>, partitions: usize) -> Vec<Vec<Task>> {
    tasks.sort_by_key(|task| std::cmp::Reverse(task.bytes));
    let mut spread: Vec<(u64, Vec<Task>)> = vec![(0, Vec::new()); partitions.clamp(1, tasks.len().max(1))];
    for task in tasks {
        let Some((load, own)) = spread.iter_mut().min_by_key(|(load, _)| *load) else {
            break;
        };
        *load += task.bytes.max(1);
        let same = own.iter_mut().find(|other| other.reader == task.reader);
        match (same.map(|other| &mut other.piece), task.piece) {
            (Some(Piece::RowGroups(all)), Piece::RowGroups(more)) => all.extend(more),
            (_, piece) => own.push(Task { piece, ..task }),
        }
    }
    for task in spread.iter_mut().flat_map(|(_, tasks)| tasks) {
        if let Piece::RowGroups(groups) = &mut task.piece {
            groups.sort_unstable();
        }
    }
    spread.into_iter().map(|(_, tasks)| tasks).collect()
}
