//! What a commit says of itself, written into its `commitInfo` and found there again.

use std::collections::{BTreeMap, HashMap, HashSet};

use deltalake::{
    kernel::{Action, CommitInfo},
    logstore::get_actions,
    table::state::DeltaTableState,
};
use exportjob_plan::{BatchReport, ExportPlan, Outcome, RunReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{table::Dataset, types::BATCH_COLUMN};
use crate::Result;

/// Key of the record in `commitInfo`.
const KEY: &str = "exportJob";

/// What a commit says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Namespace of the ExportJob.
    pub(crate) namespace: String,
    /// Name of the ExportJob.
    pub(crate) name: String,
    /// UID of the ExportJob.
    pub(crate) uid: String,
    /// Number of the ExportJob.
    pub(crate) id: i64,
    /// Which attempt made it.
    pub(crate) attempt: String,
    /// What was done.
    pub(crate) report: RunReport,
}

impl Record {
    pub(crate) fn new(plan: &ExportPlan, attempt: &str, report: &RunReport) -> Self {
        Self {
            namespace: plan.job.namespace.clone(),
            name: plan.job.name.clone(),
            uid: plan.job.uid.clone(),
            id: plan.job.id,
            attempt: attempt.to_owned(),
            report: report.clone(),
        }
    }

    /// As it stands in `commitInfo`.
    pub(crate) fn metadata(&self) -> Result<(String, Value)> {
        let value = serde_json::to_value(self).map_err(|error| {
            crate::Error::new(
                exportjob_plan::code::INTERNAL,
                "the record of the commit cannot be serialised",
            )
            .caused_by(error)
        })?;
        Ok((KEY.to_owned(), value))
    }

    fn of(info: &CommitInfo) -> Option<Self> {
        serde_json::from_value(info.info.get(KEY)?.clone()).ok()
    }
}

/// The commit that brought the batches into the table.
#[derive(Debug, Default)]
pub(crate) struct Landed {
    /// Version of the table that it made; 0 when that is no longer known.
    pub(crate) version: u64,
    /// Which attempt made it, if that is still known.
    pub(crate) attempt: Option<String>,
    /// Files that it added, relative to the table. `None`: no longer known.
    pub(crate) files: Option<HashSet<String>>,
    report: Option<RunReport>,
}

impl Landed {
    /// The result as a later run reports it.
    pub(crate) fn report(self) -> RunReport {
        let mut report = self.report.unwrap_or_else(|| RunReport::new(Outcome::AlreadyCommitted));
        report.outcome = Outcome::AlreadyCommitted;
        report
    }
}

/// Finds the commit of the batches of `plan`, newest commits first. When its entry was cleaned from the log, the counts
/// are those of the files that are in the table.
pub(crate) async fn landed(dataset: &Dataset, state: &DeltaTableState, plan: &ExportPlan) -> Result<Landed> {
    let Some(batch) = plan.batches.first().map(|batch| batch.id.as_str()) else {
        return Ok(Landed::default());
    };
    for version in (0..=state.version()).rev() {
        let entry = dataset
            .log()
            .read_commit_entry(version)
            .await
            .map_err(|error| dataset.unreadable(error))?;
        let Some(entry) = entry else { break };
        if !contains(&entry, batch) {
            continue;
        }
        let actions = get_actions(version, &entry).map_err(|error| dataset.unreadable(error))?;
        if actions
            .iter()
            .any(|action| matches!(action, Action::Txn(txn) if txn.app_id == batch))
        {
            return Ok(found(version, &actions));
        }
    }
    Ok(Landed {
        report: Some(counted(state, plan)),
        ..Landed::default()
    })
}

fn contains(entry: &[u8], text: &str) -> bool {
    std::str::from_utf8(entry).is_ok_and(|entry| entry.contains(text))
}

fn found(version: u64, actions: &[Action]) -> Landed {
    let record = actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => Record::of(info),
        _ => None,
    });
    let files = actions
        .iter()
        .filter_map(|action| match action {
            Action::Add(add) => Some(add.path.clone()),
            _ => None,
        })
        .collect();
    let (attempt, report) = record.map(|record| (record.attempt, record.report)).unzip();
    let report = report.map(|mut report| {
        report.table_version = i64::try_from(version).ok();
        report
    });
    Landed {
        version,
        attempt,
        files: Some(files),
        report,
    }
}

fn counted(state: &DeltaTableState, plan: &ExportPlan) -> RunReport {
    let mut rows: HashMap<String, i64> = HashMap::new();
    for file in state.log_data().iter() {
        if let Some(Some(batch)) = file.partition_values_map().remove(BATCH_COLUMN) {
            *rows.entry(batch).or_default() += i64::try_from(file.num_records().unwrap_or(0)).unwrap_or(i64::MAX);
        }
    }
    let mut report = RunReport::new(Outcome::AlreadyCommitted);
    report.batches = plan
        .batches
        .iter()
        .map(|batch| BatchReport {
            id: batch.id.clone(),
            profiles: rows.get(batch.id.as_str()).copied().unwrap_or(0),
        })
        .collect();
    report.profiles_written = report.batches.iter().map(|batch| batch.profiles).sum();
    report.profiles_by_namespace = BTreeMap::new();
    report
}
