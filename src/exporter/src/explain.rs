//! What an export would read and whom it would reach, without writing anything.

use std::sync::Arc;

use datafusion::{arrow::datatypes::DataType, catalog::TableProvider as _};
use exportjob_api::TableFormat;
use exportjob_plan::{BatchPlan, ExportPlan, FieldSelection, batch_id};
use futures::{StreamExt as _, TryStreamExt as _, stream::select_all};
use serde::Serialize;

use crate::{
    Progress, Result, Session, Shard,
    fields::dotted,
    objects::Stores,
    open::{Opened, open, open_plan},
    read::{Condition, Kind, StoreScan, StoreTable, Wanted, roles},
    session::engine_error,
};

/// What an export would read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// How the rows of a profile come together.
    pub strategy: Strategy,
    /// The tables that are read.
    pub tables: Vec<TableExplanation>,
    /// Columns that are written.
    pub columns: Vec<String>,
}

/// How the rows of a profile come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// Bucket by bucket, as the store has them.
    Bucketed,
    /// One pass over each table that scatters its rows over buckets on disk, the identity graph in memory.
    Shuffled,
    /// Joins and sorts that spill, where the identity graph does not fit into memory.
    Joined,
}

/// What would be read of one of the store's four kinds of tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableExplanation {
    /// `fragments`, `events`, `identities` or `memberships`.
    pub kind: &'static str,
    /// Formats of its tables.
    pub formats: Vec<TableFormat>,
    /// Parquet files, Delta tables counted as one.
    pub files: usize,
    /// Rows, as far as footers and logs say.
    pub rows: usize,
    /// Bytes of all columns, compressed; Delta tables left out.
    pub bytes: u64,
    /// Bytes of the columns that are read, at most: row groups and pages without a candidate are passed over.
    pub bytes_read: u64,
    /// Columns that are read, by their names in the store.
    pub columns: Vec<String>,
}

/// How many profiles a batch or a segment would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudienceSize {
    /// Namespace and id of the segment; `None`: all that is exported, each profile once.
    pub segment: Option<(String, String)>,
    /// Profiles.
    pub profiles: u64,
}

/// Says what the export would read. Opens the tables, and reads no row.
///
/// # Errors
/// As for [`open`].
pub async fn explain(plan: &ExportPlan, session: &Session) -> Result<Explanation> {
    let opened = open_plan(plan, session).await?;
    let strategy = opened.strategy(plan, session, Shard::ALL)?;
    let Opened {
        tables, shape, read, ..
    } = &opened;
    let table = |table: &StoreTable| {
        let formats = match table.kind {
            Kind::Fragments => &plan.store.fragments,
            Kind::Events => &plan.store.events,
            Kind::Identities => &plan.store.identities,
            Kind::Memberships => &plan.store.memberships,
        };
        let mut formats: Vec<TableFormat> = formats.iter().map(|table| table.format).collect();
        formats.dedup();
        explain_table(table, formats, read.leaves(table.kind), strategy)
    };
    Ok(Explanation {
        strategy,
        tables: tables.all().map(table).collect::<Result<_>>()?,
        columns: shape.written.iter().map(|field| field.name().clone()).collect(),
    })
}

fn explain_table(
    table: &StoreTable,
    formats: Vec<TableFormat>,
    leaves: &[(Vec<String>, DataType)],
    strategy: Strategy,
) -> Result<TableExplanation> {
    let mut wanted = Wanted::all(table.kind, leaves);
    if strategy == Strategy::Bucketed
        && let Some(bucket) = table.parts.first().and_then(|part| part.bucket.as_ref())
    {
        wanted.push(Wanted::Key(bucket.key.clone()));
    }
    let (bytes, bytes_read) = StoreScan::bytes(table, &wanted)?;
    let own = table.kind.roles().iter().map(|role| role.name.to_owned());
    Ok(TableExplanation {
        kind: table.kind.name(),
        formats,
        files: table.parts.len(),
        rows: table.rows(),
        bytes,
        bytes_read,
        columns: own.chain(leaves.iter().map(|(path, _)| dotted(path))).collect(),
    })
}

/// For each segment of the plan the rows of memberships that fit: at least as many as there are members, and more where
/// several identities of a profile are listed. Empty without segments, and where memberships are computed.
///
/// # Errors
/// As for [`open`], and of reading.
pub async fn estimate_audience(plan: &ExportPlan, session: &Session) -> Result<Vec<AudienceSize>> {
    let segments = &plan.selection.segments;
    if segments.is_empty() || plan.evaluation.is_some() {
        return Ok(Vec::new());
    }
    let mut sizes: Vec<AudienceSize> = segments
        .iter()
        .map(|segment| AudienceSize {
            segment: Some((segment.namespace.clone(), segment.id.clone())),
            profiles: 0,
        })
        .collect();
    let stores = Stores::new(plan.store.credentials.as_ref(), session.credentials.as_ref())?;
    let table = StoreTable::open(Kind::Memberships, &plan.store.memberships, session, &stores).await?;
    let identity = [roles::NAMESPACE, roles::IDENTITY];
    let wanted = Condition::Member(plan.selection.clone()).wanted(Kind::Memberships, &identity);
    let filter = crate::read::RowFilter {
        valid_at: Some(plan.started_at),
        ..crate::read::RowFilter::default()
    };
    let scan = StoreScan::new(&table, &wanted, filter, Arc::new(Progress::default()))?;
    let scan = scan
        .scan(&session.context.state(), None, &[], None)
        .await
        .map_err(engine_error)?;
    let conditions: Vec<Condition> = segments
        .iter()
        .map(|segment| {
            let mut selection = plan.selection.clone();
            selection.segments = vec![segment.clone()];
            Condition::Member(selection)
        })
        .collect();
    for partition in 0..scan.properties().partitioning.partition_count() {
        let mut rows = scan
            .execute(partition, session.context.task_ctx())
            .map_err(engine_error)?;
        while let Some(batch) = rows.try_next().await.map_err(engine_error)? {
            for (size, condition) in sizes.iter_mut().zip(&conditions) {
                let fitting = condition.rows(&batch).map_err(|error| engine_error(error.into()))?;
                size.profiles += u64::try_from(fitting.true_count()).unwrap_or_default();
            }
        }
    }
    Ok(sizes)
}

/// The profiles of each segment, and of all of them together, counted by merging them: of columns, only what decides about
/// the audience is read.
///
/// # Errors
/// As for [`open`], and of reading.
pub async fn count_audience(plan: &ExportPlan, session: &Session) -> Result<Vec<AudienceSize>> {
    let mut plan = plan.clone();
    plan.fields = FieldSelection::parse("spec.fields", Some("identities.primary"))
        .map_err(|error| crate::Error::new(error.code(), error.to_string()))?;
    plan.events = None;
    let segment = |(index, segment): (usize, &exportjob_plan::SegmentSelection)| BatchPlan {
        id: batch_id(&plan.job.uid, Some((&segment.namespace, &segment.id))),
        segment: Some(index),
    };
    plan.batches = plan.selection.segments.iter().enumerate().map(segment).collect();
    plan.batches.push(BatchPlan {
        id: batch_id(&plan.job.uid, None),
        segment: None,
    });
    let profiles = open(&plan, session, Arc::new(Progress::default())).await?;
    let mut counts = vec![0_u64; plan.batches.len()];
    let mut parts = select_all(profiles.parts);
    while let Some(batch) = parts.next().await {
        for (count, selected) in counts.iter_mut().zip(&batch?.selected) {
            *count += u64::try_from(selected.true_count()).unwrap_or_default();
        }
    }
    let sizes = plan.batches.iter().zip(counts).map(|(batch, profiles)| AudienceSize {
        segment: batch
            .segment
            .and_then(|index| plan.selection.segments.get(index))
            .map(|segment| (segment.namespace.clone(), segment.id.clone())),
        profiles,
    });
    Ok(sizes.collect())
}
