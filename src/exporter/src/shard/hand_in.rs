//! The last steps of a shard: hand in, look for the others, and commit if they are all there.

use std::collections::HashSet;

use deltalake::kernel::{Add, StructType};
use exportjob_plan::{Outcome, RunReport, Stage};

use super::manifests::{Manifest, Manifests};
use crate::{
    Export, Result, Shard,
    commit::{self, Dataset, Decision, Landed, Proposal, Verdict, epoch_millis},
    run::aborted,
    write::{self, Staged},
};

/// A shard that has written its files, or whose files an earlier attempt has written.
pub(crate) struct HandIn<'a> {
    pub(crate) export: &'a Export<'a>,
    pub(crate) shard: Shard,
    pub(crate) dataset: &'a Dataset,
    pub(crate) manifests: Manifests,
}

impl HandIn<'_> {
    /// An earlier attempt has handed in: nothing is written any more. `None`: there was none.
    pub(crate) async fn resume(&self) -> Result<Option<RunReport>> {
        let Some(manifest) = self.manifests.read(self.shard.index).await? else {
            return Ok(None);
        };
        tracing::info!(
            shard = self.shard.index,
            attempt = manifest.attempt,
            "an earlier attempt has written this shard"
        );
        self.look(manifest.report, None).await.map(Some)
    }

    /// Hands the files in that were written. From here on they stay, unless they are in no manifest or the batches have
    /// come to an end without them.
    pub(crate) async fn hand_in(
        &self,
        staged: &Staged,
        files: Vec<Add>,
        columns: &StructType,
        report: RunReport,
    ) -> Result<RunReport> {
        let own = Own {
            staged,
            files: files.iter().map(|file| file.path.clone()).collect(),
        };
        let manifest = Manifest {
            index: self.shard.index,
            count: self.shard.count,
            attempt: self.export.attempt.clone(),
            columns: columns.clone(),
            report,
            files,
        };
        let put = self.manifests.put(&manifest).await;
        if !matches!(put, Ok(true)) {
            match (self.manifests.read(self.shard.index).await?, put) {
                // The answer was lost.
                (Some(found), _) if found.attempt == self.export.attempt => {}
                (Some(found), _) => {
                    tracing::info!(attempt = found.attempt, "another attempt has written this shard");
                    staged.remove(self.dataset).await;
                    return self.look(found.report, None).await;
                }
                // It may come later: only an end of the batches makes its files superfluous.
                (None, Err(error)) => {
                    return match self.ended(Some(&own)).await {
                        Ok(Some(report)) => Ok(report),
                        Ok(None) => Err(error),
                        Err(ended) => Err(ended),
                    };
                }
                // It was there, and is gone with the end of the batches.
                (None, Ok(_)) => {}
            }
        }
        self.look(manifest.report, Some(&own)).await
    }

    /// Looks for the manifests of all shards, and commits if they are there.
    async fn look(&self, report: RunReport, own: Option<&Own<'_>>) -> Result<RunReport> {
        self.export.progress.enter(Stage::Committing);
        if let Some(all) = self.manifests.all(self.shard.count).await? {
            return self.commit(all, own).await;
        }
        if let Some(ended) = self.ended(own).await? {
            return Ok(ended);
        }
        tracing::info!(
            shard = self.shard.index,
            "written: another shard commits it with those of all"
        );
        self.export.progress.enter(Stage::Done);
        Ok(RunReport {
            outcome: Outcome::Staged,
            ..report
        })
    }

    async fn commit(&self, all: Vec<Manifest>, own: Option<&Own<'_>>) -> Result<RunReport> {
        let plan = self.export.plan;
        let mut report = RunReport::new(Outcome::Committed);
        let mut files = Vec::new();
        let columns = commit::union(self.dataset, all.iter().map(|manifest| &manifest.columns))?;
        for manifest in all {
            report.add(&manifest.report);
            files.extend(manifest.files);
        }
        let names: HashSet<String> = files.iter().map(|file| file.path.clone()).collect();
        let proposal = Proposal::Commit {
            files,
            columns: &columns,
            report: &report,
        };
        match commit::propose(self.dataset, plan, &self.export.attempt, &proposal).await {
            Ok(Decision::Won(version)) => {
                tracing::info!(version, profiles = report.profiles_written, "committed all shards");
                // Readers never see what is left behind, so this must not fail the export.
                if let Err(error) = write::clear_batches(self.dataset, &plan.batches, &names).await {
                    tracing::warn!(%error, "files of earlier attempts could not be removed");
                }
                self.manifests.remove().await;
                report.table_version = i64::try_from(version).ok();
                if let Some((_, end)) = &mut report.dataset_write {
                    *end = epoch_millis();
                }
                self.export.progress.enter(Stage::Done);
                Ok(report)
            }
            Ok(Decision::Committed(landed)) => Ok(self.landed(*landed, own).await),
            Ok(Decision::Aborted) => self.aborted(own).await,
            // The files are in manifests: another try has them.
            Err(undecided) => Err(undecided.error),
        }
    }

    /// The end that the batches have come to, if they have.
    async fn ended(&self, own: Option<&Own<'_>>) -> Result<Option<RunReport>> {
        let Some(state) = self.dataset.load().await? else {
            return Ok(None);
        };
        match self.dataset.verdict(&state, &self.export.plan.batches).await? {
            Verdict::Open => Ok(None),
            Verdict::Committed => {
                let landed = commit::landed(self.dataset, &state, self.export.plan).await?;
                Ok(Some(self.landed(landed, own).await))
            }
            Verdict::Aborted => self.aborted(own).await,
        }
    }

    async fn landed(&self, landed: Landed, own: Option<&Own<'_>>) -> RunReport {
        if let Some(own) = own {
            // Without its entry in the log nobody knows which files it has: they stay.
            if landed.files.as_ref().is_some_and(|files| files.is_disjoint(&own.files)) {
                own.staged.remove(self.dataset).await;
            }
        }
        self.manifests.remove().await;
        self.export.done(landed)
    }

    async fn aborted<T>(&self, own: Option<&Own<'_>>) -> Result<T> {
        if let Some(own) = own {
            own.staged.remove(self.dataset).await;
        }
        self.manifests.remove().await;
        Err(aborted())
    }
}

/// The files of this very attempt.
struct Own<'a> {
    staged: &'a Staged,
    files: HashSet<String>,
}
