//! A place in an input that is sorted by profile, with the batches that are still needed before it.

use datafusion::{arrow::array::RecordBatch, error::DataFusionError, execution::SendableRecordBatchStream};
use futures::StreamExt as _;

use super::batches::Keyed;

/// A row: its batch in the window, its place in there.
pub(super) type Row = (usize, usize);

/// A place in a sorted input.
pub(super) struct Cursor<B> {
    stream: SendableRecordBatchStream,
    window: Vec<B>,
    /// Place in the last batch of the window.
    next: usize,
    /// Bytes of the window.
    bytes: usize,
    ended: bool,
}

impl<B: Keyed> Cursor<B> {
    /// The start of an input.
    pub fn new(stream: SendableRecordBatchStream) -> Self {
        Self {
            stream,
            window: Vec::new(),
            next: 0,
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
    pub fn key(&self) -> Option<&str> {
        let batch = self.window.last().filter(|_| self.has_next())?;
        Some(batch.owners().key(self.next))
    }

    /// Takes the rows of this profile.
    pub async fn take(&mut self, key: &str, rows: &mut Vec<Row>) -> Result<(), DataFusionError> {
        rows.clear();
        while self.fill().await? {
            let Some(batch) = self.window.last() else { break };
            let (owners, index) = (batch.owners(), self.window.len() - 1);
            while self.next < owners.rows() && owners.key(self.next) == key {
                rows.push((index, self.next));
                self.next += 1;
            }
            if self.next < owners.rows() {
                break;
            }
        }
        Ok(())
    }

    /// Lets go of the batches before the next row. Rows that were taken before are no longer in the window.
    pub fn release(&mut self) {
        let unread = if self.has_next() { self.window.pop() } else { None };
        self.window.clear();
        match unread {
            Some(batch) => self.window.push(batch),
            None => self.next = 0,
        }
        self.bytes = 0;
    }

    fn has_next(&self) -> bool {
        self.window
            .last()
            .is_some_and(|batch| self.next < batch.owners().rows())
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), DataFusionError> {
        self.bytes += batch.get_array_memory_size();
        self.window.push(B::read(batch)?);
        self.next = 0;
        Ok(())
    }
}
