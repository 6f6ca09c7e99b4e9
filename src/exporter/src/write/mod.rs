//! From profiles to the files of the batches: Parquet, straight to where the table is.

mod conform;
mod file;
mod part;
mod staged;
mod stats;

use std::{collections::BTreeMap, sync::Arc};

use deltalake::kernel::Add;
use exportjob_plan::{BatchPlan, code};
use futures::stream::select_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(crate) use self::{
    conform::Conform,
    staged::{Place, Staged, clear_batches},
};
use self::{file::FileSettings, part::PartWriter};
use crate::{Error, ProfileStream, Progress, Result};

/// How and where the files are written.
pub(crate) struct Destination {
    /// The files of this attempt.
    pub(crate) staged: Arc<Staged>,
    /// The columns that are written.
    pub(crate) conform: Arc<Conform>,
    /// The batches, in the order of the plan.
    pub(crate) batches: Vec<BatchPlan>,
    /// Memory for rows on their way into files, in bytes.
    pub(crate) memory: usize,
    /// Whether files are uploaded in parts.
    pub(crate) to_object_store: bool,
    /// Counters of the run.
    pub(crate) progress: Arc<Progress>,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The files of all batches.
    pub(crate) files: Vec<Add>,
    /// Profiles that were taken by at least one batch.
    pub(crate) matched: i64,
    /// Profiles of each batch, in the order of the plan.
    pub(crate) profiles: Vec<i64>,
    /// Profiles by identity namespace, over all batches.
    pub(crate) by_namespace: BTreeMap<String, i64>,
}

impl Written {
    fn of(batches: usize) -> Self {
        Self {
            profiles: vec![0; batches],
            ..Self::default()
        }
    }

    fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.matched += other.matched;
        for (total, more) in self.profiles.iter_mut().zip(other.profiles) {
            *total += more;
        }
        for (namespace, more) in other.by_namespace {
            *self.by_namespace.entry(namespace).or_default() += more;
        }
    }
}

/// Reads all parts at the same time and writes as many beside each other as memory allows, until they end, one of them fails, or `stop` is cancelled. When this returns, no
/// file is being written any more.
///
/// # Errors
/// Of the part that failed first; `INTERRUPTED` after `stop`.
pub(crate) async fn write(
    parts: Vec<ProfileStream>,
    destination: Destination,
    stop: &CancellationToken,
) -> Result<Written> {
    let batches = destination.batches.len();
    let lanes = FileSettings::lanes(destination.memory, parts.len(), batches);
    let settings = FileSettings::new(
        destination.memory,
        lanes.saturating_mul(batches),
        destination.to_object_store,
    );
    let destination = Arc::new(destination);
    let stop = stop.child_token();
    let mut tasks = JoinSet::new();
    for (index, lane) in spread(parts, lanes).into_iter().enumerate() {
        let writer = PartWriter::new(index, Arc::clone(&destination), &settings);
        let profiles = Box::pin(select_all(lane));
        tasks.spawn(writer.consume(profiles, stop.clone()).in_current_span());
    }
    let mut written = Ok(Written::of(batches));
    while let Some(done) = tasks.join_next().await {
        let done = done.unwrap_or_else(|error| {
            Err(Error::new(
                code::INTERNAL,
                "a part of the export ended unexpectedly; this is a defect, please report it",
            )
            .caused_by(error))
        });
        match (&mut written, done) {
            (Ok(written), Ok(part)) => written.add(part),
            (Ok(_), Err(error)) => {
                // The others are asked, not forced: a file that is being finished must not appear after its removal.
                stop.cancel();
                written = Err(error);
            }
            (Err(_), _) => {}
        }
    }
    let mut written = written?;
    written.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(written)
}

fn spread(parts: Vec<ProfileStream>, lanes: usize) -> Vec<Vec<ProfileStream>> {
    let mut spread: Vec<Vec<ProfileStream>> = (0..lanes).map(|_| Vec::new()).collect();
    for (index, part) in parts.into_iter().enumerate() {
        spread[index % lanes].push(part);
    }
    spread
}
