//! A scan of one of the store's tables: all of its files and tables side by side, each batch in the columns that are
//! wanted.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions},
        datatypes::SchemaRef,
    },
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
use futures::{Stream, StreamExt as _, stream::BoxStream};

use super::{
    candidates::KeySet,
    choice::{Choice, ChoosesIdentities},
    convert::convert,
    filter::{Filter, RowFilter},
    reader::{Piece, Reader, Task, external},
    recipe::Wanted,
    table::StoreTable,
};
use crate::{Progress, Result, fields::types::schema_with_texts};

/// One of the store's tables, as `DataFusion` sees it.
pub(crate) struct StoreScan {
    parts: Arc<Vec<Arc<Reader>>>,
    schema: SchemaRef,
    filter: Arc<Filter>,
    rows: usize,
    batch_rows: Option<usize>,
    is_compact: bool,
    choice: Option<Choice>,
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
            batch_rows: None,
            is_compact: false,
            choice: None,
            progress: Mutex::new(Some(progress)),
        })
    }
}

impl StoreScan {
    /// Bytes of the Parquet files of `table`, compressed: of all columns, and of those that are wanted.
    pub fn bytes(table: &StoreTable, wanted: &[Wanted]) -> Result<(u64, u64)> {
        let schema = Wanted::schema(wanted);
        let (mut all, mut own) = (0, 0);
        for part in &table.parts {
            let bytes = Reader::new(part, wanted, &schema)?.bytes();
            all += bytes.0;
            own += bytes.1;
        }
        Ok((all, own))
    }

    /// The same, which passes over rows that are not chosen, where it can. The first columns are namespace and identity.
    pub fn with_choice(mut self, choice: Choice) -> Self {
        self.choice = Some(choice);
        self
    }

    /// The same with text that lies in one piece: a sort that spills would write, for each view, all of the text that it
    /// is a part of.
    pub fn compact(mut self) -> Self {
        self.is_compact = true;
        self.schema = schema_with_texts(&self.schema);
        self
    }

    /// The same with batches of at most so many rows, whatever the engine's are.
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = Some(rows);
        self
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
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(progress) = &progress {
            progress.rows_expected(self.rows);
        }
        let mut scan = StoreScanExec::new(
            self.parts.clone(),
            partitions,
            self.schema.clone(),
            self.filter.clone(),
            progress,
        );
        scan.batch_rows = self.batch_rows;
        scan.is_compact = self.is_compact;
        scan.choice.clone_from(&self.choice);
        Ok(Arc::new(scan.project(projection)?))
    }
}

/// The scan as a plan.
pub(super) struct StoreScanExec {
    readers: Arc<Vec<Arc<Reader>>>,
    partitions: Vec<Vec<Task>>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    /// All columns, before the projection.
    read_schema: SchemaRef,
    filter: Arc<Filter>,
    progress: Option<Arc<Progress>>,
    candidates: Option<Arc<KeySet>>,
    batch_rows: Option<usize>,
    is_compact: bool,
    choice: Option<Choice>,
    properties: Arc<PlanProperties>,
}

impl StoreScanExec {
    /// A scan with a partition for each list of tasks.
    pub(super) fn new(
        readers: Arc<Vec<Arc<Reader>>>,
        partitions: Vec<Vec<Task>>,
        schema: SchemaRef,
        filter: Arc<Filter>,
        progress: Option<Arc<Progress>>,
    ) -> Self {
        Self {
            readers,
            properties: properties(&schema, partitions.len()),
            partitions,
            projection: None,
            read_schema: schema.clone(),
            schema,
            filter,
            progress,
            candidates: None,
            batch_rows: None,
            is_compact: false,
            choice: None,
        }
    }

    fn project(mut self, columns: Option<&Vec<usize>>) -> DataFusionResult<Self> {
        if let Some(columns) = columns {
            self.schema = Arc::new(self.schema.project(columns)?);
            self.properties = properties(&self.schema, self.partitions.len());
            self.projection = Some(columns.clone());
        }
        Ok(self)
    }

    /// The same for these profiles only, with batches of so many rows.
    pub(super) fn of_candidates(mut self, candidates: Option<Arc<KeySet>>, batch_rows: usize) -> Self {
        self.candidates = candidates;
        self.batch_rows = Some(batch_rows);
        self
    }
}

/// The rows in the types of a schema with the same columns.
pub(crate) fn in_schema(rows: &RecordBatch, schema: &SchemaRef) -> DataFusionResult<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| convert(column, field.data_type()));
    let columns: Vec<ArrayRef> = columns.collect::<std::result::Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Of a plan that reads: its partitions in no order that anybody may rely on.
pub(crate) fn properties(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema.clone()),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
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
        let filter = self.filter.clone();
        let projection = self.projection.clone();
        let compact = self.is_compact.then(|| self.read_schema.clone());
        let reading = Reading {
            readers: self.readers.clone(),
            candidates: self.candidates.clone(),
            choice: self.choice.as_ref().and_then(|choice| choice.get().cloned()),
            batch_rows: self.batch_rows.unwrap_or(context.session_config().batch_size()),
            progress: self.progress.clone(),
            context,
        };
        let batches = reading.batches(tasks).map(move |batch| {
            let mut kept = filter.apply(&batch?)?;
            if let Some(schema) = &compact {
                kept = in_schema(&kept, schema)?;
            }
            match &projection {
                Some(columns) => Ok(kept.project(columns)?),
                None => Ok(kept),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}

/// What the tasks of a partition are read with.
struct Reading {
    readers: Arc<Vec<Arc<Reader>>>,
    candidates: Option<Arc<KeySet>>,
    choice: Option<Arc<dyn ChoosesIdentities>>,
    batch_rows: usize,
    progress: Option<Arc<Progress>>,
    context: Arc<TaskContext>,
}

impl Reading {
    /// The tasks' batches, one task after the other, in the columns that are wanted.
    fn batches(self, tasks: Vec<Task>) -> impl Stream<Item = DataFusionResult<RecordBatch>> + Send + 'static {
        futures::stream::iter(tasks).flat_map(move |task| match self.readers.get(task.reader) {
            Some(reader) => self.task(reader, task.piece),
            None => futures::stream::empty().boxed(),
        })
    }

    fn task(&self, reader: &Arc<Reader>, piece: Piece) -> BoxStream<'static, DataFusionResult<RecordBatch>> {
        let conform = reader.clone();
        let (progress, at_end) = (self.progress.clone(), self.progress.clone());
        let count = move |progress: &Option<Arc<Progress>>, rows: usize| {
            if let Some(progress) = progress {
                progress.rows_read(rows);
            }
        };
        // Rows that are passed over are done with, too: the counter ends where it was said to end.
        let left = Arc::new(AtomicUsize::new(reader.rows(&piece)));
        let rest = left.clone();
        let raw = reader.open(
            piece,
            self.context.clone(),
            self.batch_rows,
            self.candidates.clone(),
            self.choice.clone(),
        );
        let rows = raw.map(move |batch| {
            let batch = batch?;
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(batch.num_rows()))
            });
            count(&progress, batch.num_rows());
            conform.conform(&batch).map_err(external)
        });
        let passed = futures::stream::once(async move { count(&at_end, rest.load(Ordering::Relaxed)) });
        rows.chain(passed.filter_map(|()| futures::future::ready(None))).boxed()
    }
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
