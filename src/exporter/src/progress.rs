//! Counters that all parts of a run share.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use exportjob_plan::{ProgressReport, Stage};

/// How far a run is. Cheap to add to from any thread.
#[derive(Debug, Default)]
pub struct Progress {
    stage: Mutex<Stage>,
    rows_read: AtomicI64,
    rows_total: AtomicI64,
    profiles_matched: AtomicI64,
    profiles_written: AtomicI64,
}

impl Progress {
    /// The run is now at `stage`.
    pub fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Rows were read from the store.
    pub fn rows_read(&self, rows: usize) {
        add(&self.rows_read, rows);
    }

    /// More rows of the store will be read.
    pub fn rows_expected(&self, rows: usize) {
        add(&self.rows_total, rows);
    }

    /// Profiles were found to be in the audience.
    pub fn profiles_matched(&self, profiles: usize) {
        add(&self.profiles_matched, profiles);
    }

    /// Profiles were written.
    pub fn profiles_written(&self, profiles: usize) {
        add(&self.profiles_written, profiles);
    }

    /// The counters as they stand.
    pub fn report(&self) -> ProgressReport {
        let total = self.rows_total.load(Ordering::Relaxed);
        ProgressReport {
            stage: *self.stage.lock().unwrap_or_else(PoisonError::into_inner),
            rows_read: self.rows_read.load(Ordering::Relaxed),
            rows_total: (total > 0).then_some(total),
            profiles_matched: self.profiles_matched.load(Ordering::Relaxed),
            profiles_written: self.profiles_written.load(Ordering::Relaxed),
        }
    }
}

fn add(counter: &AtomicI64, amount: usize) {
    counter.fetch_add(i64::try_from(amount).unwrap_or(i64::MAX), Ordering::Relaxed);
}
