//! From merged rows to the profiles that are written.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    arrow::{
        array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
        datatypes::SchemaRef,
    },
    execution::TaskContext,
    physical_plan::ExecutionPlan,
};
use exportjob_plan::code;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::{
    Error, ProfileBatch, ProfileStream, Progress, Result,
    merge::{NAMESPACES, selected_column},
    session::engine_error,
};

/// What a delivery needs to know.
#[derive(Clone)]
pub(crate) struct Delivery {
    /// Columns that are written.
    pub schema: SchemaRef,
    /// Batches of the plan.
    pub batches: usize,
    /// Counts the profiles.
    pub progress: Arc<Progress>,
}

/// The profiles of a merge, in as many streams as there are cores; each takes one partition after another, as long as
/// there are any. Nothing runs before a stream is polled.
pub(crate) fn parts(
    merge: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    delivery: &Delivery,
    cores: usize,
) -> Vec<ProfileStream> {
    let partitions = merge.properties().partitioning.partition_count();
    let next = Arc::new(AtomicUsize::new(0));
    let part = |_| -> ProfileStream {
        let (merge, context, delivery, next) = (merge.clone(), context.clone(), delivery.clone(), next.clone());
        let numbers = std::iter::from_fn(move || {
            let number = next.fetch_add(1, Ordering::Relaxed);
            (number < partitions).then_some(number)
        });
        let started = futures::stream::iter(numbers).map(move |number| merge.execute(number, context.clone()));
        Box::pin(
            started
                .try_flatten()
                .map(move |rows| delivery.deliver(&rows.map_err(engine_error)?)),
        )
    };
    (0..cores.min(partitions).max(1)).map(part).collect()
}

impl Delivery {
    fn deliver(&self, merged: &RecordBatch) -> Result<ProfileBatch> {
        self.progress.profiles_matched(merged.num_rows());
        let columns = merged
            .columns()
            .iter()
            .take(self.schema.fields().len())
            .cloned()
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(merged.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| {
            Error::new(code::INTERNAL, "merged rows have other columns than planned").caused_by(error)
        })?;
        let selected = (0..self.batches)
            .map(|batch| selected(merged, batch))
            .collect::<Result<Vec<_>>>()?;
        let by_namespace = by_namespace(merged, &selected)?;
        Ok(ProfileBatch {
            rows,
            selected,
            by_namespace,
        })
    }
}

fn selected(merged: &RecordBatch, batch: usize) -> Result<BooleanArray> {
    let column = merged
        .column_by_name(&selected_column(batch))
        .and_then(|column| column.as_boolean_opt());
    column
        .cloned()
        .ok_or_else(|| Error::new(code::INTERNAL, "merged rows come without their batches"))
}

/// For each batch: its profiles by namespace.
fn by_namespace(merged: &RecordBatch, selected: &[BooleanArray]) -> Result<Vec<BTreeMap<String, i64>>> {
    let lists = merged
        .column_by_name(NAMESPACES)
        .and_then(|column| column.as_list_opt::<i32>());
    let Some(lists) = lists else {
        return Err(Error::new(code::INTERNAL, "merged rows come without their namespaces"));
    };
    let names = lists.values().as_string_view();
    let count = |selected: &BooleanArray| {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (row, span) in lists.value_offsets().windows(2).enumerate() {
            if !selected.value(row) {
                continue;
            }
            for place in span[0]..span[1] {
                let place = usize::try_from(place).unwrap_or_default();
                *counts.entry(names.value(place)).or_default() += 1;
            }
        }
        counts
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    };
    Ok(selected.iter().map(count).collect())
}
