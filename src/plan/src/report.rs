//! What comes back from an export: progress while it runs, a report when it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::BatchId;

/// Most that a termination message may hold.
pub const TERMINATION_MESSAGE_BYTES: usize = 4096;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// This run committed the batches.
    Committed,
    /// This shard has written its share; another one commits it with those of all.
    Staged,
    /// The batches were committed before; the counts are those of that commit.
    AlreadyCommitted,
    /// The batches are aborted, by this run or before.
    Aborted,
    /// Nothing was committed by this run.
    Failed,
}

/// What a run has to say at its end: JSON in the pod's termination message, and (for a commit) in the commit itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ReportedError>,
    /// Profiles written, over all batches.
    #[serde(default)]
    pub profiles_written: i64,
    /// Profiles in the audience, each counted once.
    #[serde(default)]
    pub profiles_matched: i64,
    /// Rows read from the store.
    #[serde(default)]
    pub rows_read: i64,
    /// Files removed by an abort.
    #[serde(default)]
    pub files_removed: i64,
    /// Start and end of reading and merging, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_export: Option<(i64, i64)>,
    /// Start and end of writing, commit included, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_write: Option<(i64, i64)>,
    /// Version of the table that the commit made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_version: Option<i64>,
    /// Profiles written by identity namespace, over all batches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles_by_namespace: BTreeMap<String, i64>,
    /// Profiles of each batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<BatchReport>,
    /// Whether lists above were cut to fit into a termination message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// What was written to one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchReport {
    /// Id of the batch.
    pub id: BatchId,
    /// Profiles in it.
    pub profiles: i64,
}

/// One reason of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedError {
    /// One of [`code`](crate::code).
    pub code: String,
    /// What happened and what to do about it, for people.
    pub msg: String,
    /// The chain of causes, innermost last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_stack: Option<String>,
}

impl RunReport {
    /// Adds what another shard has done: counts add up, times span both.
    pub fn add(&mut self, other: &Self) {
        self.profiles_written += other.profiles_written;
        self.profiles_matched += other.profiles_matched;
        self.rows_read += other.rows_read;
        self.files_removed += other.files_removed;
        self.profile_export = both(self.profile_export, other.profile_export);
        self.dataset_write = both(self.dataset_write, other.dataset_write);
        for (namespace, profiles) in &other.profiles_by_namespace {
            *self.profiles_by_namespace.entry(namespace.clone()).or_default() += profiles;
        }
        for batch in &other.batches {
            match self.batches.iter_mut().find(|known| known.id == batch.id) {
                Some(known) => known.profiles += batch.profiles,
                None => self.batches.push(batch.clone()),
            }
        }
    }

    /// An empty report.
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            errors: Vec::new(),
            profiles_written: 0,
            profiles_matched: 0,
            rows_read: 0,
            files_removed: 0,
            profile_export: None,
            dataset_write: None,
            table_version: None,
            profiles_by_namespace: BTreeMap::new(),
            batches: Vec::new(),
            truncated: false,
        }
    }

    /// The report as JSON of at most [`TERMINATION_MESSAGE_BYTES`]: totals stay, lists and long texts are cut first.
    pub fn to_termination_message(&self) -> String {
        let mut report = self.clone();
        let mut text = json(&report);
        while text.len() > TERMINATION_MESSAGE_BYTES && report.cut() {
            report.truncated = true;
            text = json(&report);
        }
        text
    }

    /// Cuts what matters least; false when there is nothing left to cut.
    fn cut(&mut self) -> bool {
        /// Bytes of a message that are always kept.
        const SHORT: usize = 64;
        if !self.batches.is_empty() {
            self.batches.clear();
            return true;
        }
        if let Some(error) = self.errors.iter_mut().find(|error| error.call_stack.is_some()) {
            error.call_stack = None;
            return true;
        }
        if self.profiles_by_namespace.len() > 1 {
            // The smallest namespaces go first.
            let keep = self.profiles_by_namespace.len() / 2;
            let mut counts: Vec<_> = std::mem::take(&mut self.profiles_by_namespace).into_iter().collect();
            counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            counts.truncate(keep);
            self.profiles_by_namespace = counts.into_iter().collect();
            return true;
        }
        if self.errors.len() > 1 {
            self.errors.truncate(1);
            return true;
        }
        // Halved, not cut to a length: how long a text is in JSON depends on what is in it.
        if let Some(error) = self.errors.iter_mut().find(|error| error.msg.len() > SHORT) {
            error.msg.truncate(error.msg.floor_char_boundary(error.msg.len() / 2));
            error.msg.push('…');
            return true;
        }
        if self.profiles_by_namespace.is_empty() {
            return false;
        }
        self.profiles_by_namespace.clear();
        true
    }
}

/// The span from the earlier start to the later end.
fn both(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some((start, end)), Some((other_start, other_end))) => Some((start.min(other_start), end.max(other_end))),
        (one, other) => one.or(other),
    }
}

fn json(report: &RunReport) -> String {
    // A report has string keys and numbers only: it always serialises.
    serde_json::to_string(report).unwrap_or_default()
}

/// What an export is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Opening tables.
    #[default]
    Starting,
    /// Reading, merging and writing profiles.
    Exporting,
    /// Committing the batches.
    Committing,
    /// Nothing more to do.
    Done,
}

/// How far an export is: the answer of `GET /progress`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressReport {
    /// What it is doing.
    pub stage: Stage,
    /// Rows read from the store so far.
    pub rows_read: i64,
    /// Rows that will be read, as far as is known.
    pub rows_total: Option<i64>,
    /// Profiles in the audience so far.
    pub profiles_matched: i64,
    /// Profiles written so far, over all batches.
    pub profiles_written: i64,
}

impl ProgressReport {
    /// How far an export is of whose `shards` these are known. The rows of those that have not said anything yet are
    /// estimated: buckets are alike.
    pub fn of_shards(known: &[Self], shards: usize) -> Option<Self> {
        let mut all = known.iter().copied().reduce(|mut sum, one| {
            sum.stage = sum.stage.min(one.stage);
            sum.rows_read += one.rows_read;
            sum.rows_total = sum.rows_total.zip(one.rows_total).map(|(sum, one)| sum + one);
            sum.profiles_matched += one.profiles_matched;
            sum.profiles_written += one.profiles_written;
            sum
        })?;
        if known.len() < shards {
            let wide = |count: usize| i128::try_from(count).unwrap_or(i128::MAX);
            all.rows_total = all.rows_total.map(|total| {
                let total = i128::from(total).saturating_mul(wide(shards)) / wide(known.len());
                i64::try_from(total).unwrap_or(i64::MAX)
            });
        }
        Some(all)
    }

    /// Share of the rows that have been read, 0 to 100; `None` while the total is not known.
    pub fn percent(&self) -> Option<u8> {
        let total = self.rows_total.filter(|total| *total > 0)?;
        u8::try_from(i128::from(self.rows_read.clamp(0, total)) * 100 / i128::from(total)).ok()
    }
}
