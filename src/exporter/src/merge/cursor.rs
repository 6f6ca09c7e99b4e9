//! A place in an input that is sorted by profile, with the batches that are still needed before it.

use datafusion::{
    arrow::{array::RecordBatch, error::ArrowError},
    error::DataFusionError,
    execution::SendableRecordBatchStream,
};
use exportjob_plan::code;
use futures::StreamExt as _;

use super::batches::Keyed;
use crate::{
    Error,
    keys::{Key, KeyRef, unsorted},
};

/// A row: its batch in the window, its place in there.
pub(super) type Row = (usize, usize);

/// A place in a sorted input.
pub(super) struct Cursor<B> {
    stream: SendableRecordBatchStream,
    /// What the rows are, for people.
    what: &'static str,
    window: Vec<B>,
    /// Place in the last batch of the window.
    next: usize,
    /// Run of the last batch that this place is the start of.
    run: usize,
    /// Last key of the batch before.
    last: Option<Key>,
    /// Bytes of the window.
    bytes: usize,
    ended: bool,
}

impl<B: Keyed> Cursor<B> {
    /// The start of an input.
    pub fn new(what: &'static str, stream: SendableRecordBatchStream) -> Self {
        Self {
            stream,
            what,
            window: Vec::new(),
            next: 0,
            run: 0,
            last: None,
            bytes: 0,
            ended: false,
        }
    }

    /// The batches that rows which were taken are in.
    pub fn window(&self) -> &[B] {
        &self.window
    }

    /// Bytes that the window holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes sure that there is a next row, unless the input is at its end: then it says false.
    pub async fn fill(&mut self) -> Result<bool, DataFusionError> {
        while !self.has_next() {
            if self.ended {
                return Ok(false);
            }
            let Some(batch) = self.stream.next().await else {
                self.ended = true;
                return Ok(false);
            };
            self.push(&batch?)?;
        }
        Ok(true)
    }

    /// Key of the next row, after [`Self::fill`].
    pub fn key(&self) -> Option<KeyRef<'_>> {
        let batch = self.window.last().filter(|_| self.has_next())?;
        Some(batch.owners().key(self.next))
    }

    /// Takes the rows of this profile.
    pub async fn take(&mut self, key: KeyRef<'_>, rows: &mut Vec<Row>) -> Result<(), DataFusionError> {
        rows.clear();
        while self.fill().await? {
            let Some(batch) = self.window.last() else { break };
            let (owners, index) = (batch.owners(), self.window.len() - 1);
            if owners.key(self.next) != key {
                break;
            }
            let end = owners.run_end(self.run).unwrap_or(owners.rows());
            rows.extend((self.next..end).map(|row| (index, row)));
            self.next = end;
            self.run += 1;
            if end < owners.rows() {
                break;
            }
        }
        Ok(())
    }

    /// Lets go of the batches before the next row. Rows that were taken before are no longer in the window.
    pub fn release(&mut self) {
        let unread = if self.has_next() { self.window.pop() } else { None };
        self.window.clear();
        if let Some(batch) = unread {
            self.window.push(batch);
        } else {
            (self.next, self.run) = (0, 0);
        }
        self.bytes = 0;
    }

    fn has_next(&self) -> bool {
        self.window
            .last()
            .is_some_and(|batch| self.next < batch.owners().rows())
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let read = B::read(batch).map_err(|error| misplaced(self.what, error))?;
        let owners = read.owners();
        if let Some(last) = &mut self.last {
            if owners.key(0) < last.as_ref() {
                return Err(misplaced(self.what, unsorted()));
            }
            last.assign(owners.key(owners.rows() - 1));
        } else {
            let mut last = Key::default();
            last.assign(owners.key(owners.rows() - 1));
            self.last = Some(last);
        }
        self.bytes += batch.get_array_memory_size();
        self.window.push(read);
        (self.next, self.run) = (0, 0);
        Ok(())
    }
}

/// Rows whose keys cannot be what the store says: a bucketed table is not as it was declared.
fn misplaced(what: &str, error: ArrowError) -> DataFusionError {
    match error {
        ArrowError::InvalidArgumentError(message) => DataFusionError::External(Box::new(Error::new(
            code::INVALID_STORE,
            format!(
                "the {what} are not bucketed as their table declares: {message}; write the table anew with exportjob-exporter bucket, or correct bucketing"
            ),
        ))),
        other => other.into(),
    }
}
