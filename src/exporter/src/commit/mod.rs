//! The only place that writes the log of a Delta table.
//!
//! Each batch has a transaction of its own in the log, by its id: version 1 says committed, version 2 aborted. A
//! proposal first looks for those transactions in a snapshot, then commits on that same snapshot: the log refuses the
//! commit when a newer one carries one of the same transactions. The look and the refusal together are the fence; either
//! alone is not, because the refusal knows of newer commits only.

mod record;
mod schema;
mod table;
mod types;
mod vet;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deltalake::{
    DeltaTableError,
    kernel::{
        Action, Add, MetadataExt, StructType, Transaction,
        transaction::{CommitBuilder, CommitProperties, TableReference, TransactionError},
    },
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
};
use exportjob_plan::{ExportPlan, RunReport, code};

use self::{
    record::Record,
    table::{ABORTED, COMMITTED},
};
pub(crate) use self::{
    record::{Landed, landed},
    table::{Dataset, Verdict},
    types::{BATCH_COLUMN, arrow_schema, delta_schema},
};
use crate::{Error, Result, error::unwritable};

/// Tries of one proposal against other writers. Each waits longer than the one before, up to [`LONGEST_PAUSE`].
const TRIES: u32 = 60;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What shall become of the batches of a plan.
pub(crate) enum Proposal<'a> {
    /// They land, with these files, in a table that has at least these columns.
    Commit {
        /// The files of all batches.
        files: Vec<Add>,
        /// Columns of the files.
        columns: &'a StructType,
        /// What was done.
        report: &'a RunReport,
    },
    /// They never land.
    Abort(&'a RunReport),
}

/// What became of a proposal.
pub(crate) enum Decision {
    /// It holds, since this version of the table.
    Won(u64),
    /// Another writer committed the batches before.
    Committed(Box<Landed>),
    /// The batches are aborted: by this proposal's own kind or by another.
    Aborted,
}

/// Why a proposal came to no decision.
pub(crate) struct Undecided {
    pub(crate) error: Error,
    /// Whether it is certain that the commit is not in the log. If not, its files must stay.
    pub(crate) nothing_landed: bool,
}

impl From<Error> for Undecided {
    fn from(error: Error) -> Self {
        Self {
            error,
            nothing_landed: true,
        }
    }
}

/// Makes the table ready for a job that writes `columns`: created if it is absent, refused if its rules or types do not
/// allow them. Returns the columns as they are written to this table.
pub(crate) async fn prepare(dataset: &Dataset, columns: &StructType) -> Result<StructType> {
    let state = match dataset.load().await? {
        Some(state) => state,
        None => create(dataset, &schema::created(columns)?).await?,
    };
    vet::vet(&dataset.place(), &state)?;
    let table = state.schema();
    match schema::merge(&dataset.name, &table, columns)? {
        Some(merged) => schema::written(&merged, columns),
        None => schema::written(&table, columns),
    }
}

/// The columns of all shards: each brings those of the files that it has read.
///
/// # Errors
/// `SCHEMA_CONFLICT` where two have different types for a path.
pub(crate) fn union<'a>(dataset: &Dataset, shards: impl Iterator<Item = &'a StructType>) -> Result<StructType> {
    let mut all: Option<StructType> = None;
    for columns in shards {
        all = Some(match all {
            None => columns.clone(),
            Some(known) => schema::merge(&dataset.name, &known, columns)?.unwrap_or(known),
        });
    }
    all.map_or_else(schema::created_by_abort, Ok)
}

/// Refuses a table that no job can write to.
pub(crate) fn vet(dataset: &Dataset, state: &DeltaTableState) -> Result<()> {
    vet::vet(&dataset.place(), state)
}

/// Brings `proposal` into the log, unless the batches have come to an end already.
pub(crate) async fn propose(
    dataset: &Dataset,
    plan: &ExportPlan,
    attempt: &str,
    proposal: &Proposal<'_>,
) -> Result<Decision, Undecided> {
    let mut turn = 0;
    loop {
        // What the log refused may be this very proposal, which is in it already and whose success was lost on the way
        // back: until the log has been seen again, its files must stay.
        let unseen = |error| Undecided {
            error,
            nothing_landed: turn == 0,
        };
        let state = match dataset.load().await.map_err(unseen)? {
            Some(state) => state,
            None => create(dataset, &first_columns(proposal)?).await.map_err(unseen)?,
        };
        let decision = decided(dataset, &state, plan, attempt).await.map_err(unseen)?;
        if let Some(decision) = decision {
            return Ok(decision);
        }
        let error = match try_once(dataset, &state, plan, attempt, proposal).await? {
            Ok(version) => return Ok(Decision::Won(version)),
            Err(error) => error,
        };
        turn += 1;
        if is_conflict(&error) && turn < TRIES {
            tracing::info!(%error, turn, "another writer was faster, looking again");
            tokio::time::sleep(pause(turn)).await;
        } else {
            return after_failure(dataset, plan, attempt, failure(dataset, error)).await;
        }
    }
}

fn failure(dataset: &Dataset, error: DeltaTableError) -> Error {
    if is_conflict(&error) {
        let message = format!(
            "the Delta table at {} changed {TRIES} times while this export tried to commit: try again later",
            dataset.place()
        );
        return Error::new(code::DATASET_UNWRITABLE, message).caused_by(error);
    }
    unwritable(
        format!("cannot commit to the Delta table at {}", dataset.place()),
        error,
    )
}

fn first_columns(proposal: &Proposal<'_>) -> Result<StructType> {
    match proposal {
        Proposal::Commit { columns, .. } => schema::created(columns),
        Proposal::Abort(_) => schema::created_by_abort(),
    }
}

async fn create(dataset: &Dataset, columns: &StructType) -> Result<DeltaTableState> {
    dataset.create(columns).await?;
    dataset.load().await?.ok_or_else(|| {
        Error::new(
            code::DATASET_UNWRITABLE,
            format!(
                "the Delta table at {} vanished while it was made: does somebody delete the folder?",
                dataset.place()
            ),
        )
    })
}

/// What `state` says about the batches. A commit of this very attempt, whose success was lost on the way back, is won.
async fn decided(
    dataset: &Dataset,
    state: &DeltaTableState,
    plan: &ExportPlan,
    attempt: &str,
) -> Result<Option<Decision>> {
    Ok(match dataset.verdict(state, &plan.batches).await? {
        Verdict::Open => None,
        Verdict::Aborted => Some(Decision::Aborted),
        Verdict::Committed => {
            let landed = landed(dataset, state, plan).await?;
            if landed.attempt.as_deref() == Some(attempt) {
                Some(Decision::Won(landed.version))
            } else {
                Some(Decision::Committed(Box::new(landed)))
            }
        }
    })
}

/// One commit on `state`. The outer error is ours, the inner one the log's.
async fn try_once(
    dataset: &Dataset,
    state: &DeltaTableState,
    plan: &ExportPlan,
    attempt: &str,
    proposal: &Proposal<'_>,
) -> Result<Result<u64, DeltaTableError>> {
    let (version, report, actions) = match proposal {
        Proposal::Commit { files, columns, report } => {
            (COMMITTED, *report, commit_actions(dataset, state, files, columns)?)
        }
        Proposal::Abort(report) => (ABORTED, *report, Vec::new()),
    };
    let now = epoch_millis();
    let transactions = plan
        .batches
        .iter()
        .map(|batch| Transaction::new_with_last_update(&batch.id, version, Some(now)))
        .collect();
    let blind = !actions.iter().any(|action| matches!(action, Action::Metadata(_)));
    let properties = CommitProperties::default()
        .with_metadata([
            Record::new(plan, attempt, report).metadata()?,
            ("isBlindAppend".to_owned(), blind.into()),
        ])
        .with_application_transactions(transactions);
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(vec![BATCH_COLUMN.to_owned()]),
        predicate: None,
    };
    let table: &dyn TableReference = state;
    let prepared = CommitBuilder::from(properties)
        .with_actions(actions)
        .build(Some(table), dataset.log().clone(), operation)
        .into_prepared_commit_future();
    Ok(match async { prepared.await?.await }.await {
        Err(error) => Err(error),
        Ok(committed) => {
            let version = committed.version;
            // The commit stands whatever becomes of the checkpoint.
            if let Err(error) = committed.await {
                tracing::warn!(%error, version, "the table's checkpoint could not be written; the next one will be");
            }
            Ok(version)
        }
    })
}

fn commit_actions(
    dataset: &Dataset,
    state: &DeltaTableState,
    files: &[Add],
    columns: &StructType,
) -> Result<Vec<Action>> {
    vet::vet(&dataset.place(), state)?;
    let mut actions: Vec<Action> = Vec::with_capacity(files.len() + 1);
    if let Some(merged) = schema::merge(&dataset.name, &state.schema(), columns)? {
        let metadata = state
            .metadata()
            .clone()
            .with_schema(&merged)
            .map_err(|error| dataset.unreadable(error.into()))?;
        actions.push(Action::Metadata(metadata));
    }
    actions.extend(files.iter().cloned().map(Action::Add));
    Ok(actions)
}

/// Conflicts with other writers go away when the table is looked at again.
fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::CommitConflict(_)
                    | TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
            }
    )
}

/// An error may hide a commit that has landed: only the log knows.
async fn after_failure(
    dataset: &Dataset,
    plan: &ExportPlan,
    attempt: &str,
    error: Error,
) -> Result<Decision, Undecided> {
    let looked = async {
        let state = dataset.load().await?;
        match state {
            Some(state) => decided(dataset, &state, plan, attempt).await,
            None => Ok(None),
        }
    };
    match looked.await {
        Ok(Some(decision)) => Ok(decision),
        Ok(None) => Err(error.into()),
        Err(unknown) => {
            tracing::error!(error = %unknown, "cannot tell whether the commit has landed: its files stay");
            Err(Undecided {
                error,
                nothing_landed: false,
            })
        }
    }
}

/// Time to wait before a turn, the first of which is 0: doubled each time, from 20 ms, and different for each writer.
fn pause(turn: u32) -> Duration {
    let ceiling = Duration::from_millis(10)
        .saturating_mul(1 << turn.min(8))
        .min(LONGEST_PAUSE);
    let noise = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos() % 1000);
    ceiling.mul_f64(0.5 + f64::from(noise) / 2000.0)
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn epoch_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
