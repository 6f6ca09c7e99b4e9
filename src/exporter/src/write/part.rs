//! One part of the profiles, each row into the batches that take it.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::filter_record_batch,
};
use exportjob_plan::code;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    Destination, Written,
    file::{BatchFiles, FileSettings},
};
use crate::{Error, ProfileBatch, ProfileStream, Result};

/// Writes one part of the profiles.
pub(crate) struct PartWriter {
    destination: Arc<Destination>,
    batches: Vec<BatchFiles>,
    written: Written,
}

impl PartWriter {
    pub(crate) fn new(part: usize, destination: Arc<Destination>, settings: &FileSettings) -> Self {
        let batches = destination
            .batches
            .iter()
            .map(|batch| {
                let schema = destination.conform.schema();
                BatchFiles::new(
                    Arc::clone(&destination.staged),
                    settings.clone(),
                    schema,
                    batch.id.clone(),
                    part,
                )
            })
            .collect::<Vec<_>>();
        let written = Written::of(batches.len());
        Self {
            destination,
            batches,
            written,
        }
    }

    /// Writes all of `profiles`, unless it is stopped while it waits for them.
    pub(crate) async fn consume(mut self, mut profiles: ProfileStream, stop: CancellationToken) -> Result<Written> {
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Error::interrupted()),
                next = profiles.next() => next,
            };
            match next {
                Some(batch) => self.write(&batch?).await?,
                None => break,
            }
        }
        for files in self.batches {
            self.written.files.extend(files.close().await?);
        }
        Ok(self.written)
    }

    async fn write(&mut self, profiles: &ProfileBatch) -> Result<()> {
        if profiles.selected.len() != self.batches.len() || profiles.by_namespace.len() != self.batches.len() {
            return Err(Error::new(
                code::INTERNAL,
                format!(
                    "profiles come for {} batches, and the job has {}",
                    profiles.selected.len(),
                    self.batches.len()
                ),
            ));
        }
        let rows = self.destination.conform.rows(&profiles.rows)?;
        self.written.matched += count(rows.num_rows());
        for (index, selected) in profiles.selected.iter().enumerate() {
            let taken = take(&rows, selected)?;
            if taken.num_rows() == 0 {
                continue;
            }
            self.batches[index].write(&taken).await?;
            self.written.profiles[index] += count(taken.num_rows());
            self.destination.progress.profiles_written(taken.num_rows());
        }
        for (namespace, more) in profiles.by_namespace.iter().flatten() {
            *self.written.by_namespace.entry(namespace.clone()).or_default() += more;
        }
        Ok(())
    }
}

fn take(rows: &RecordBatch, selected: &BooleanArray) -> Result<RecordBatch> {
    if selected.null_count() == 0 && selected.true_count() == rows.num_rows() {
        return Ok(rows.clone());
    }
    filter_record_batch(rows, selected).map_err(|error| {
        Error::new(
            code::INTERNAL,
            format!("the profiles of a batch cannot be told apart: {error}"),
        )
        .caused_by(error)
    })
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
