//! A scan of one of the store's tables: all of its files and tables side by side, each batch in the columns that are
//! wanted.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StructArray, TimestampMicrosecondArray},
        compute::{and, filter_record_batch, is_not_null},
        datatypes::{DataType, SchemaRef, TimestampMicrosecondType},
    },
    catalog::{Session, TableProvider},
    common::{Result as DataFusionResult, tree_node::TreeNodeRecursion},
    datasource::TableType,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    parquet::arrow::ParquetRecordBatchStreamBuilder,
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};

use super::{
    files::{broken, cannot_read},
    mask::mask,
    recipe::{Getter, Wanted},
    roles::{DATASET, IDENTITY, NAMESPACE, Role, SEGMENT_ID, VALID_UNTIL},
    table::{Input, Part, StoreTable},
};
use crate::{Error, Progress, Result};

/// Rows that take part. Rows without an identity never do: they belong to no profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowFilter {
    /// Only of these datasets.
    pub datasets: Option<HashSet<String>>,
    /// Only those that end at this time or later.
    pub valid_at: Option<i64>,
}

/// One of the store's tables, as DataFusion sees it.
pub(crate) struct StoreScan {
    parts: Arc<Vec<Arc<Reader>>>,
    schema: SchemaRef,
    filter: Arc<Filter>,
    rows: usize,
    /// Taken by the first scan: a table that several joins read is still one table's worth of progress.
    progress: Mutex<Option<Arc<Progress>>>,
}

/// How one part is read.
#[derive(Debug)]
struct Reader {
    part: Arc<Part>,
    getters: Vec<Getter>,
    schema: SchemaRef,
}

/// A filter with the places of its columns.
#[derive(Debug)]
struct Filter {
    not_null: Vec<usize>,
    datasets: Option<(usize, HashSet<String>)>,
    valid_at: Option<(usize, i64)>,
}

impl StoreScan {
    /// A scan of `table` that delivers the columns `wanted`, in that order.
    pub fn new(table: &StoreTable, wanted: &[Wanted], filter: RowFilter, progress: Arc<Progress>) -> Result<Self> {
        let schema = Wanted::schema(wanted);
        let reader = |part: &Arc<Part>| {
            let getters = wanted.iter().map(|column| Getter::new(column, &part.columns)).collect::<Result<_>>()?;
            Ok(Arc::new(Reader { part: part.clone(), getters, schema: schema.clone() }))
        };
        let parts = table.parts.iter().map(reader).collect::<Result<Vec<_>>>()?;
        let place = |role: Role| schema.index_of(role.name).ok();
        let filter = Filter {
            not_null: [NAMESPACE, IDENTITY, SEGMENT_ID].into_iter().filter_map(place).collect(),
            datasets: place(DATASET).zip(filter.datasets),
            valid_at: place(VALID_UNTIL).zip(filter.valid_at),
        };
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
        out.debug_struct("StoreScan").field("schema", &self.schema).finish_non_exhaustive()
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

/// Something to read at once.
#[derive(Clone, Debug)]
struct Task {
    reader: usize,
    piece: Piece,
    bytes: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    /// Row groups of a Parquet file.
    RowGroups(Vec<usize>),
    /// A partition of a plan that scans a Delta table.
    Partition(Arc<dyn ExecutionPlan>, usize),
}

/// Tasks for at most `partitions` readers, about as much for each. Row groups of a file that go to one reader are one
/// task.
fn spread(mut tasks: Vec<Task>, partitions: usize) -> Vec<Vec<Task>> {
    tasks.sort_by_key(|task| std::cmp::Reverse(task.bytes));
    let mut spread: Vec<(u64, Vec<Task>)> = vec![(0, Vec::new()); partitions.clamp(1, tasks.len().max(1))];
    for task in tasks {
        let Some((load, own)) = spread.iter_mut().min_by_key(|(load, _)| *load) else { break };
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

impl Reader {
    /// Columns of the part that are read, with the types that they are read as.
    fn columns(&self) -> Vec<(&[String], &DataType)> {
        let columns = self.getters.iter().filter_map(|getter| match getter {
            Getter::Column { path, target, .. } => Some((path.as_slice(), target)),
            Getter::Constant(_) | Getter::Written => None,
        });
        columns.collect()
    }

    async fn tasks(&self, reader: usize, state: &dyn Session, tasks: &mut Vec<Task>) -> DataFusionResult<()> {
        match &self.part.input {
            Input::Parquet(file) => {
                let groups = file.metadata.metadata().row_groups().iter().enumerate();
                tasks.extend(groups.map(|(index, group)| Task {
                    reader,
                    piece: Piece::RowGroups(vec![index]),
                    bytes: u64::try_from(group.compressed_size()).unwrap_or_default(),
                }));
            }
            Input::Delta(input) => {
                let names: HashSet<&String> = self.columns().iter().filter_map(|(path, _)| path.first()).collect();
                let times = self.getters.iter().any(|getter| matches!(getter, Getter::Written));
                let schema = input.provider.schema();
                let mut columns: Vec<usize> =
                    (0..schema.fields().len()).filter(|index| names.contains(schema.field(*index).name())).collect();
                columns.extend(input.file_column().filter(|_| times));
                let plan = input.provider.scan(state, Some(&columns), &[], None).await?;
                let count = plan.properties().partitioning.partition_count();
                let bytes = u64::try_from(input.rows / count.max(1)).unwrap_or_default() * DELTA_ROW_BYTES;
                tasks.extend((0..count).map(|index| Task {
                    reader,
                    piece: Piece::Partition(plan.clone(), index),
                    bytes,
                }));
            }
        }
        Ok(())
    }

    fn open(&self, piece: Piece, context: Arc<TaskContext>) -> BoxStream<'static, DataFusionResult<RecordBatch>> {
        match (piece, &self.part.input) {
            (Piece::Partition(plan, partition), _) => match plan.execute(partition, context) {
                Ok(stream) => stream.boxed(),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            },
            (Piece::RowGroups(groups), Input::Parquet(file)) => {
                let rows = context.session_config().batch_size();
                let metadata = file.metadata.clone();
                let columns = self.columns();
                let projection =
                    mask(metadata.schema().fields(), &columns, metadata.metadata().file_metadata().schema_descr());
                let path = file.path.clone();
                futures::stream::once(async move {
                    let handle =
                        tokio::fs::File::open(&path).await.map_err(|error| external(cannot_read(&path, error)))?;
                    let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(handle, metadata)
                        .with_projection(projection)
                        .with_row_groups(groups)
                        .with_batch_size(rows)
                        .build()
                        .map_err(|error| external(broken(&path, error)))?;
                    Ok::<_, DataFusionError>(stream.map_err(move |error| external(broken(&path, error))))
                })
                .try_flatten()
                .boxed()
            }
            (Piece::RowGroups(_), Input::Delta(_)) => futures::stream::empty().boxed(),
        }
    }

    /// A batch of the part in the columns that are wanted.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns = StructArray::from(batch.clone());
        let mut conformed = Vec::with_capacity(self.getters.len());
        for getter in &self.getters {
            conformed.push(getter.get(&columns, rows, || self.written(batch)).map_err(|error| self.located(error))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), conformed, &options)
            .map_err(|error| Error::new(exportjob_plan::code::INTERNAL, "cannot make a batch").caused_by(error))
    }

    fn written(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        match &self.part.input {
            Input::Delta(input) => input.written(batch),
            Input::Parquet(file) => {
                Ok(Arc::new(TimestampMicrosecondArray::from_value(file.written, batch.num_rows())))
            }
        }
    }

    fn located(&self, error: Error) -> Error {
        Error::new(error.code(), format!("{}: {error}", self.part.name)).caused_by(error)
    }
}

/// Guess at the bytes of a row on disk, to spread Delta scans beside Parquet files.
const DELTA_ROW_BYTES: u64 = 100;

impl Filter {
    fn apply(&self, batch: &RecordBatch) -> DataFusionResult<RecordBatch> {
        let mut keep = BooleanArray::from(vec![true; batch.num_rows()]);
        for column in &self.not_null {
            let column = batch.column(*column);
            if column.null_count() > 0 {
                keep = and(&keep, &is_not_null(column)?)?;
            }
        }
        if let Some((column, datasets)) = &self.datasets {
            let values = batch.column(*column).as_string::<i32>().iter();
            let listed: BooleanArray =
                values.map(|dataset| Some(dataset.is_some_and(|dataset| datasets.contains(dataset)))).collect();
            keep = and(&keep, &listed)?;
        }
        if let Some((column, time)) = self.valid_at {
            let values = batch.column(column).as_primitive::<TimestampMicrosecondType>().iter();
            let valid: BooleanArray = values.map(|until| Some(until.is_none_or(|until| until >= time))).collect();
            keep = and(&keep, &valid)?;
        }
        if keep.true_count() == batch.num_rows() { Ok(batch.clone()) } else { Ok(filter_record_batch(batch, &keep)?) }
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
        out.debug_struct("StoreScanExec").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl DisplayAs for StoreScanExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StoreScanExec: parts={}, partitions={}", self.readers.len(), self.partitions.len())
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

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
