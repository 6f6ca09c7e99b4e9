//! The end of a job that must not land: its batches are fenced off for ever, and their files go.

use std::collections::HashSet;

use exportjob_plan::{ExportPlan, Outcome, RunReport};

use crate::{
    Credentials, Result,
    commit::{self, Dataset, Decision, Proposal},
    run::unique,
    shard::Manifests,
    write,
};

/// Aborts the batches of `plan`, unless they are committed: then nothing is touched and the outcome is
/// [`Outcome::AlreadyCommitted`]. A table that does not exist yet is made, so that no pod that comes late can land the
/// batches after all. To abort twice is the same as once. `credentials` for the dataset, where they are not in the folder
/// that the plan names.
///
/// # Errors
/// `DATASET_UNUSABLE` and `DATASET_UNWRITABLE`.
pub async fn abort(plan: &ExportPlan, credentials: Option<&Credentials>) -> Result<RunReport> {
    let dataset = Dataset::open(&plan.destination, credentials, &unique("abort")).await?;
    let mut report = RunReport::new(Outcome::Aborted);
    let proposal = Proposal::Abort(&report);
    match commit::propose(&dataset, plan, "abort", &proposal)
        .await
        .map_err(|undecided| undecided.error)?
    {
        Decision::Committed(landed) => Ok(landed.report()),
        Decision::Won(version) => {
            tracing::info!(version, "aborted");
            report.table_version = i64::try_from(version).ok();
            clear(&dataset, plan, report).await
        }
        Decision::Aborted => clear(&dataset, plan, report).await,
    }
}

/// The manifests go after the files: where the files cannot be removed they still say which there are.
async fn clear(dataset: &Dataset, plan: &ExportPlan, mut report: RunReport) -> Result<RunReport> {
    report.files_removed = write::clear_batches(dataset, &plan.batches, &HashSet::new()).await?;
    Manifests::of(dataset, plan).remove().await;
    Ok(report)
}
