//! One export, from the plan to the commit.

use std::{collections::HashSet, future::Future, sync::Arc};

use deltalake::kernel::{Add, StructType};
use exportjob_plan::{BatchReport, ExportPlan, Outcome, RunReport, Stage, code};
use tokio_util::sync::CancellationToken;

use crate::{
    Credentials, Error, Profiles, Progress, Result, Session, Shard,
    commit::{self, Dataset, Decision, Landed, Proposal, Verdict, epoch_millis},
    open,
    shard::{HandIn, Manifests},
    write::{self, Conform, Destination, Staged, Written},
};

/// Exports the profiles of `plan` from its store to its dataset. `attempt` names the attempt, usually the pod; see
/// [`Export::execute`] for what is promised and what can go wrong.
pub async fn run(plan: &ExportPlan, session: &Session, progress: Arc<Progress>, attempt: &str) -> Result<RunReport> {
    let export = Export::new(plan, Arc::clone(&progress), attempt);
    export.execute(|| open(plan, session, progress)).await
}

/// One attempt at an export.
pub struct Export<'a> {
    /// What to do.
    pub plan: &'a ExportPlan,
    /// Counters, shared with whoever shows them.
    pub progress: Arc<Progress>,
    /// Name of the attempt, part of its files' names: no other attempt may have the same.
    pub attempt: String,
    /// Which part of the export it is; `None`: all of it.
    pub shard: Option<Shard>,
    /// Memory for rows on their way into files, in bytes.
    pub write_bytes: usize,
    /// Stops the export, as long as it does not commit yet.
    pub stop: CancellationToken,
    /// Credentials for the dataset, where they are not in the folder that the plan names.
    pub credentials: Option<Credentials>,
}

impl<'a> Export<'a> {
    /// An attempt whose name starts with `name` and is like no other.
    pub fn new(plan: &'a ExportPlan, progress: Arc<Progress>, name: &str) -> Self {
        Self {
            plan,
            progress,
            attempt: unique(name),
            shard: None,
            write_bytes: crate::Limits::default().write_bytes(),
            stop: CancellationToken::new(),
            credentials: None,
        }
    }

    /// Exports the profiles that `open` gives: all batches are committed when this returns `Ok`, by this attempt or by
    /// an earlier one. `open` is not called if they were committed before.
    ///
    /// Of a shard, `open` must give the profiles of its buckets alone. `Ok` with [`Outcome::Staged`] then means that its
    /// part is written, and that the shard that comes last commits it; `open` is not called if an earlier attempt has
    /// written it.
    ///
    /// # Errors
    /// Nothing of this attempt is left in the dataset then, but for the one case in which the log itself cannot be
    /// asked whether the commit has landed, and for the files of a shard that has handed them in. `BATCH_ABORTED` if the batches are aborted, `INTERRUPTED` after
    /// [`Export::stop`], `SCHEMA_CONFLICT`, `DATASET_UNUSABLE`, `DATASET_UNWRITABLE` and `COLUMN_TYPE` for what is wrong
    /// with the dataset or with what is written to it, and whatever `open` and its streams fail with.
    pub async fn execute<F, O>(&self, open: F) -> Result<RunReport>
    where
        F: FnOnce() -> O,
        O: Future<Output = Result<Profiles>>,
    {
        let dataset = Dataset::open(&self.plan.destination, self.credentials.as_ref(), &self.attempt).await?;
        if let Some(state) = dataset.load().await? {
            match dataset.verdict(&state, &self.plan.batches).await? {
                Verdict::Open => commit::vet(&dataset, &state)?,
                Verdict::Aborted => return Err(aborted()),
                Verdict::Committed => {
                    let landed = commit::landed(&dataset, &state, self.plan).await?;
                    if self.shard.is_some() {
                        // Whoever committed may have died before it could.
                        Manifests::of(&dataset, self.plan).remove().await;
                    }
                    return Ok(self.done(landed));
                }
            }
        }
        let hand_in = self.shard.map(|shard| HandIn {
            export: self,
            shard,
            dataset: &dataset,
            manifests: Manifests::of(&dataset, self.plan),
        });
        if let Some(hand_in) = &hand_in
            && let Some(report) = hand_in.resume().await?
        {
            return Ok(report);
        }
        self.export(&dataset, open, hand_in).await
    }

    async fn export<F, O>(&self, dataset: &Dataset, open: F, hand_in: Option<HandIn<'_>>) -> Result<RunReport>
    where
        F: FnOnce() -> O,
        O: Future<Output = Result<Profiles>>,
    {
        let started = epoch_millis();
        let profiles = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Error::interrupted()),
            opened = open() => opened?,
        };
        let columns = commit::delta_schema(&profiles.schema)?;
        let conform = Arc::new(Conform::new(commit::prepare(dataset, &columns).await?)?);
        self.progress.enter(Stage::Exporting);
        let staged = Arc::new(Staged::new(dataset, &self.attempt));
        let write_started = epoch_millis();
        let destination = Destination {
            staged: Arc::clone(&staged),
            conform: Arc::clone(&conform),
            batches: self.plan.batches.clone(),
            memory: self.write_bytes,
            to_object_store: dataset.is_object(),
            progress: Arc::clone(&self.progress),
        };
        let written = match write::write(profiles.parts, destination, &self.stop).await {
            Ok(written) => written,
            Err(error) => {
                staged.remove(dataset).await;
                return self.overtaken(dataset, error).await;
            }
        };
        let (files, mut report) = self.report(written);
        report.profile_export = Some((started, epoch_millis()));
        report.dataset_write = Some((write_started, epoch_millis()));
        match hand_in {
            Some(hand_in) => hand_in.hand_in(&staged, files, conform.columns(), report).await,
            None => self.commit(dataset, &staged, (files, conform.columns()), report).await,
        }
    }

    fn report(&self, written: Written) -> (Vec<Add>, RunReport) {
        let mut report = RunReport::new(Outcome::Committed);
        report.profiles_written = written.profiles.iter().sum();
        report.profiles_matched = written.matched;
        report.rows_read = self.progress.report().rows_read;
        report.profiles_by_namespace = written.by_namespace;
        report.batches = self
            .plan
            .batches
            .iter()
            .zip(written.profiles)
            .map(|(batch, profiles)| BatchReport {
                id: batch.id.clone(),
                profiles,
            })
            .collect();
        (written.files, report)
    }

    async fn commit(
        &self,
        dataset: &Dataset,
        staged: &Staged,
        (files, columns): (Vec<Add>, &StructType),
        mut report: RunReport,
    ) -> Result<RunReport> {
        self.progress.enter(Stage::Committing);
        let names: HashSet<String> = files.iter().map(|file| file.path.clone()).collect();
        let proposal = Proposal::Commit {
            files,
            columns,
            report: &report,
        };
        match commit::propose(dataset, self.plan, &self.attempt, &proposal).await {
            Ok(Decision::Won(version)) => {
                tracing::info!(version, profiles = report.profiles_written, "committed");
                // Left behind by attempts that were killed. Readers never see them, so this must not fail the export.
                if let Err(error) = write::clear_batches(dataset, &self.plan.batches, &names).await {
                    tracing::warn!(%error, "files of earlier attempts could not be removed");
                }
                report.table_version = i64::try_from(version).ok();
                if let Some((_, end)) = &mut report.dataset_write {
                    *end = epoch_millis();
                }
                self.progress.enter(Stage::Done);
                Ok(report)
            }
            Ok(Decision::Committed(landed)) => {
                // Without its entry in the log nobody knows which files it has: they stay.
                if landed.files.as_ref().is_some_and(|files| files.is_disjoint(&names)) {
                    staged.remove(dataset).await;
                }
                Ok(self.done(*landed))
            }
            Ok(Decision::Aborted) => {
                staged.remove(dataset).await;
                Err(aborted())
            }
            Err(undecided) => {
                if undecided.nothing_landed {
                    staged.remove(dataset).await;
                }
                Err(undecided.error)
            }
        }
    }

    /// After a failure: whoever has brought the batches to an end meanwhile may also have removed the files of this
    /// attempt, and then that end is what counts.
    async fn overtaken(&self, dataset: &Dataset, error: Error) -> Result<RunReport> {
        let Ok(Some(state)) = dataset.load().await else {
            return Err(error);
        };
        match dataset.verdict(&state, &self.plan.batches).await {
            Ok(Verdict::Aborted) => Err(aborted()),
            Ok(Verdict::Committed) => Ok(self.done(commit::landed(dataset, &state, self.plan).await?)),
            Ok(Verdict::Open) | Err(_) => Err(error),
        }
    }

    pub(crate) fn done(&self, landed: Landed) -> RunReport {
        tracing::info!(
            version = landed.version,
            "an earlier attempt has committed the batches: nothing to do"
        );
        self.progress.enter(Stage::Done);
        landed.report()
    }
}

pub(crate) fn aborted() -> Error {
    Error::new(
        code::BATCH_ABORTED,
        "the job was cancelled: its batches are aborted, and nothing was written",
    )
}

/// `name` in the characters of a file name, and a suffix that no other process has.
pub(crate) fn unique(name: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .take(128)
        .collect();
    let mixed = now.as_nanos() ^ (u128::from(std::process::id()) << 64) ^ u128::from(serial());
    let uuid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &mixed.to_le_bytes())
        .simple()
        .to_string();
    format!("{name}-{}", &uuid[..12])
}

fn serial() -> u64 {
    static SERIAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed) << 32
}
