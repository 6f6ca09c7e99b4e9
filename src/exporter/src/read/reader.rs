//! Reads a file or table, batch by batch, in the columns that are wanted.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray, TimestampMicrosecondArray},
        datatypes::{DataType, SchemaRef},
    },
    catalog::Session,
    common::Result as DataFusionResult,
    error::DataFusionError,
    execution::TaskContext,
    parquet::arrow::ParquetRecordBatchStreamBuilder,
    physical_plan::ExecutionPlan,
};
use exportjob_plan::code;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};

use super::{
    candidates::KeySet,
    choice::{ChoosesIdentities, row_filter},
    chosen::Chosen,
    delta::scan_failed,
    mask::{leaves_of, mask},
    recipe::{Getter, Wanted},
    table::{Input, Part},
};
use crate::{Error, Result};

/// How one part is read.
#[derive(Debug)]
pub(super) struct Reader {
    part: Arc<Part>,
    getters: Vec<Getter>,
    schema: SchemaRef,
}

/// Something to read at once.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Which reader reads it.
    pub reader: usize,
    /// What of the reader's part.
    pub piece: Piece,
    /// About its size.
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Row groups of a Parquet file.
    RowGroups(Vec<usize>),
    /// A partition of a plan that scans a Delta table.
    Partition(Arc<dyn ExecutionPlan>, usize),
}

impl Reader {
    /// Reads `part` in the columns `wanted`, which make up `schema`.
    pub fn new(part: &Arc<Part>, wanted: &[Wanted], schema: &SchemaRef) -> Result<Self> {
        let getters = wanted
            .iter()
            .map(|column| Getter::new(column, &part.columns))
            .collect::<Result<_>>()?;
        Ok(Self {
            part: part.clone(),
            getters,
            schema: schema.clone(),
        })
    }

    /// What is read.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Rows of a piece, as far as that is known.
    pub fn rows(&self, piece: &Piece) -> usize {
        match (piece, &self.part.input) {
            (Piece::RowGroups(groups), Input::Parquet(file)) => {
                let groups = groups
                    .iter()
                    .filter_map(|group| file.metadata.metadata().row_groups().get(*group));
                groups
                    .map(|group| usize::try_from(group.num_rows()).unwrap_or_default())
                    .sum()
            }
            _ => 0,
        }
    }

    /// Compressed bytes of a Parquet file: of all columns, and of those that are read.
    pub fn bytes(&self) -> (u64, u64) {
        let Input::Parquet(file) = &self.part.input else {
            return (0, 0);
        };
        let leaves = leaves_of(file.metadata.schema().fields(), &self.columns());
        let (mut all, mut own) = (0, 0);
        for group in file.metadata.metadata().row_groups() {
            for (leaf, column) in group.columns().iter().enumerate() {
                let bytes = u64::try_from(column.compressed_size()).unwrap_or_default();
                all += bytes;
                own += if leaves.contains(&leaf) { bytes } else { 0 };
            }
        }
        (all, own)
    }

    /// Columns of the part that are read, with the types that they are read as.
    fn columns(&self) -> Vec<(&[String], &DataType)> {
        self.getters.iter().filter_map(Getter::column).collect()
    }

    /// What there is to read, for the reader with this index.
    pub async fn tasks(&self, reader: usize, state: &dyn Session, tasks: &mut Vec<Task>) -> DataFusionResult<()> {
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
                let mut columns: Vec<usize> = (0..schema.fields().len())
                    .filter(|index| names.contains(schema.field(*index).name()))
                    .collect();
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

    /// The batches of a piece, as they are stored, with at most `rows` rows; of a bucketed table only the
    /// candidates'; of others those that are chosen, whose first two columns are namespace and identity.
    pub fn open(
        &self,
        piece: Piece,
        context: Arc<TaskContext>,
        rows: usize,
        candidates: Option<Arc<KeySet>>,
        choice: Option<Arc<dyn ChoosesIdentities>>,
    ) -> BoxStream<'static, DataFusionResult<RecordBatch>> {
        match (piece, &self.part.input) {
            (Piece::Partition(plan, partition), _) => match plan.execute(partition, context) {
                Ok(stream) => {
                    let table = self.part.name.clone();
                    stream.map_err(move |error| scan_failed(&table, error)).boxed()
                }
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            },
            (Piece::RowGroups(groups), Input::Parquet(file)) => {
                let metadata = file.metadata.clone();
                let columns = self.columns();
                let projection = mask(
                    metadata.schema().fields(),
                    &columns,
                    metadata.metadata().file_metadata().schema_descr(),
                );
                let source = file.source.clone();
                let chosen = self.part.bucket.as_ref().zip(candidates);
                let chosen = chosen.map(|(bucket, candidates)| Chosen::new(&metadata, bucket, candidates));
                let groups = match &chosen {
                    Some(chosen) => chosen.row_groups(groups),
                    None => groups,
                };
                // The store's own columns begin with the identity.
                let filter = match (chosen, choice, self.getters.as_slice()) {
                    (Some(chosen), ..) => Some(chosen.row_filter()),
                    (None, Some(choice), [namespace, identity, ..]) => {
                        row_filter(&metadata, (namespace, identity), choice)
                    }
                    _ => None,
                };
                futures::stream::once(async move {
                    let handle = source.open().await.map_err(external)?;
                    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(handle, metadata)
                        .with_projection(projection)
                        .with_row_groups(groups)
                        .with_batch_size(rows);
                    if let Some(filter) = filter {
                        builder = builder
                            .with_max_predicate_cache_size(PREDICATE_CACHE_BYTES)
                            .with_row_filter(filter);
                    }
                    let stream = builder.build().map_err(|error| external(source.broken(error)))?;
                    Ok::<_, DataFusionError>(stream.map_err(move |error| external(source.broken(error))))
                })
                .try_flatten()
                .boxed()
            }
            (Piece::RowGroups(_), Input::Delta(_)) => futures::stream::empty().boxed(),
        }
    }

    /// A batch of the part in the columns that are wanted.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns = StructArray::from(batch.clone());
        let mut conformed = Vec::with_capacity(self.getters.len());
        for getter in &self.getters {
            conformed.push(
                getter
                    .get(&columns, rows, || self.written(batch))
                    .map_err(|error| self.located(error))?,
            );
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), conformed, &options)
            .map_err(|error| Error::new(code::INTERNAL, "cannot make a batch").caused_by(error))
    }

    fn written(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        match &self.part.input {
            Input::Delta(input) => input.written(batch),
            Input::Parquet(file) => Ok(Arc::new(TimestampMicrosecondArray::from_value(
                file.written,
                batch.num_rows(),
            ))),
        }
    }

    fn located(&self, error: Error) -> Error {
        Error::new(error.code(), format!("{}: {error}", self.part.name)).caused_by(error)
    }
}

/// Guess at the bytes of a row on disk, to spread Delta scans beside Parquet files.
const DELTA_ROW_BYTES: u64 = 100;

/// Keys that were read to choose rows, and are kept to be delivered.
const PREDICATE_CACHE_BYTES: usize = 4 << 20;

/// An error of ours on its way through the engine.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
