//! Opens the profile store of a plan: everything that can be wrong with it is found here, before any row is read.

mod bucketed;
mod joined;
mod row_filters;
mod shuffled;

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Fields, Schema},
    physical_plan::ExecutionPlan,
};
use exportjob_plan::{ExportPlan, IdentityGraphKind, StorePlan, code};

use self::{bucketed::Bucketed, joined::Joined, shuffled::Shuffled};
use crate::{
    Error, Profiles, Progress, Result, Session,
    evaluate::{Definitions, Evaluation, Hidden, schema},
    explain::Strategy,
    merge::{EventWindow, FragmentRules, ProfileMergeExec, Rules, SEGMENT_MEMBERSHIP, Shape},
    objects::Stores,
    project::{
        columns::{Tables, asks_for, event_columns, shape},
        deliver::{Delivery, parts},
        leaves,
    },
    read::{Kind, StoreTable},
    select::Audience,
    shuffle::graph_fits,
};

/// The part of a bucketed store's profiles that one of several pods exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// All profiles.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// Whether a bucket is this shard's.
    fn takes(self, bucket: usize) -> bool {
        bucket % self.count.max(1) == self.index
    }
}

/// Opens the store and returns its audience: the columns that will be written, and the profiles as streams. No row is
/// read before a stream is polled. The streams share their work: poll them all, at the same time.
///
/// The columns are in a fixed order: `identityMap`, `identities`, `segmentMembership`, `timeSeriesEvents`, then the
/// merged attributes in the order of the store's tables (the first table first, new columns of later files behind).
///
/// # Errors
/// A code for each thing that can be wrong: `UNKNOWN_FIELD`, `MISSING_COLUMN`, `COLUMN_TYPE`, `INVALID_STORE`,
/// `STORE_UNREADABLE`, `CORRUPT_FILE`.
pub async fn open(plan: &ExportPlan, session: &Session, progress: Arc<Progress>) -> Result<Profiles> {
    open_shard(plan, session, progress, Shard::ALL).await
}

/// The same for the profiles of one shard.
///
/// # Errors
/// `NOT_BUCKETED` as well, when there are several shards and the store is not bucketed.
pub async fn open_shard(
    plan: &ExportPlan,
    session: &Session,
    progress: Arc<Progress>,
    shard: Shard,
) -> Result<Profiles> {
    let opened = open_plan(plan, session).await?;
    let strategy = opened.strategy(plan, session, shard)?;
    let Opened {
        tables,
        shape,
        read,
        evaluation,
    } = opened;
    let cores = session.cores();
    let mut rules = rules(plan, evaluation);
    let inputs = match strategy {
        Strategy::Bucketed => {
            // The buckets hold the profiles of the graph; without it each of their identities is a profile.
            rules.by_identity = plan.merge_policy.identity_graph == IdentityGraphKind::None;
            Bucketed::new((plan, &tables, &read), session, &progress, shard)?.inputs()?
        }
        Strategy::Shuffled => {
            let shuffled = Shuffled::new((plan, &tables, &read), session, &progress);
            shuffled.inputs(session).await?
        }
        Strategy::Joined => {
            let joined = Joined {
                plan,
                tables: &tables,
                read: &read,
                partitions: cores,
                progress: &progress,
            };
            joined.inputs(session).await?
        }
    };
    let schema = Arc::new(Schema::new(shape.written.clone()));
    let merge: Arc<dyn ExecutionPlan> = Arc::new(ProfileMergeExec::new(inputs, shape, rules));
    let delivery = Delivery {
        schema: schema.clone(),
        batches: plan.batches.len(),
        progress,
    };
    let parts = parts(&merge, &session.context.task_ctx(), &delivery, cores);
    Ok(Profiles { schema, parts })
}

/// A store that is open for a plan: its tables, and what of them is needed.
pub(crate) struct Opened {
    pub tables: Tables,
    pub shape: Shape,
    pub read: Read,
    evaluation: Option<Evaluation>,
}

impl Opened {
    /// How the rows of a profile come together.
    pub fn strategy(&self, plan: &ExportPlan, session: &Session, shard: Shard) -> Result<Strategy> {
        let buckets = self.tables.fragments.buckets;
        if buckets.is_some() && self.tables.all().all(|table| table.buckets == buckets) {
            return Ok(Strategy::Bucketed);
        }
        if shard.count > 1 {
            return Err(not_bucketed(plan));
        }
        let is_graph = plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
        let rows = self.tables.identities.as_ref().map_or(0, StoreTable::rows);
        if is_graph && !graph_fits(rows, session.pool_bytes) {
            return Ok(Strategy::Joined);
        }
        Ok(Strategy::Shuffled)
    }
}

/// Opens what the plan needs, and finds out what of it is read.
pub(crate) async fn open_plan(plan: &ExportPlan, session: &Session) -> Result<Opened> {
    let definitions = Definitions::read(plan)?;
    let asks_for_events = definitions.as_ref().map(Definitions::ask_for_events).transpose()?;
    let tables = open_tables(plan, session, asks_for_events.unwrap_or_default()).await?;
    let shape = shape(plan, &tables)?;
    let (evaluation, hidden) = definitions
        .map(|definitions| definitions.compile(plan, &tables, &shape))
        .transpose()?
        .unzip();
    let read = Read::of(&shape, hidden.unwrap_or_default());
    Ok(Opened {
        tables,
        shape,
        read,
        evaluation,
    })
}

fn not_bucketed(plan: &ExportPlan) -> Error {
    Error::new(
        code::NOT_BUCKETED,
        format!(
            "ProfileStore {:?} is not bucketed, so its profiles cannot be shared by shards: declare bucketing on all of its tables, write them anew with exportjob-exporter bucket, or set spec.execution.shards to 1",
            plan.store.name
        ),
    )
}

/// What expressions of segments can ask for in a store. No row is read.
///
/// # Errors
/// The tables cannot be opened, as for [`open`].
pub async fn schema_of(store: &StorePlan, session: &Session) -> Result<exportjob_pql::Schema> {
    let stores = &Stores::new(store.credentials.as_ref(), session.credentials.as_ref())?;
    let fragments = StoreTable::open(Kind::Fragments, &store.fragments, session, stores).await?;
    let events = StoreTable::open(Kind::Events, &store.events, session, stores).await?;
    Ok(schema(&fragments.fields(), &event_columns(Some(&events))))
}

/// Opens the tables that the export needs.
///
/// Without empty profiles the fragments alone decide who is exported: an identity that only another table knows is then
/// either in the graph or a profile of its own that is not exported.
async fn open_tables(plan: &ExportPlan, session: &Session, asks_for_events: bool) -> Result<Tables> {
    let empty = plan.selection.empty_profiles;
    let is_graph = plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
    let with_memberships = empty || !plan.selection.segments.is_empty() || asks_for(&plan.fields, SEGMENT_MEMBERSHIP);
    let store = &plan.store;
    let stores = &Stores::new(store.credentials.as_ref(), session.credentials.as_ref())?;
    let open = async |kind, plans: &[_], needed: bool| {
        if needed && !plans.is_empty() {
            StoreTable::open(kind, plans, session, stores).await.map(Some)
        } else {
            Ok(None)
        }
    };
    Ok(Tables {
        fragments: StoreTable::open(Kind::Fragments, &store.fragments, session, stores).await?,
        events: open(
            Kind::Events,
            &store.events,
            empty || asks_for_events || plan.events.is_some(),
        )
        .await?,
        identities: open(Kind::Identities, &store.identities, empty || is_graph).await?,
        memberships: open(Kind::Memberships, &store.memberships, with_memberships).await?,
    })
}

fn rules(plan: &ExportPlan, evaluation: Option<Evaluation>) -> Rules {
    let events = plan.events.as_ref();
    Rules {
        fragments: FragmentRules::new(&plan.merge_policy.attributes, &plan.store.upsert_datasets),
        events: EventWindow {
            after: events.and_then(|events| events.ingested_after),
            before: events.and_then(|events| events.ingested_before),
        },
        audience: Audience::new(&plan.selection, &plan.batches),
        by_identity: false,
        evaluation: evaluation.map(Arc::new),
    }
}

/// The customer's columns that are read of each table: those that are written, then those that are only looked at.
pub(crate) struct Read {
    pub fragments: Vec<Leaf>,
    pub events: Vec<Leaf>,
    pub memberships: Vec<Leaf>,
}

/// Path and type of a column that is no struct.
pub(crate) type Leaf = (Vec<String>, DataType);

impl Read {
    /// Those of a table.
    pub fn leaves(&self, kind: Kind) -> &[Leaf] {
        match kind {
            Kind::Fragments => &self.fragments,
            Kind::Events => &self.events,
            Kind::Identities => &[],
            Kind::Memberships => &self.memberships,
        }
    }

    fn of(shape: &Shape, hidden: Hidden) -> Self {
        let with = |fields: &Fields, hidden: Vec<Leaf>| leaves(fields).into_iter().chain(hidden).collect();
        Self {
            fragments: with(&shape.attributes, hidden.attributes),
            events: with(&shape.events, hidden.events),
            memberships: leaves(&shape.membership),
        }
    }
}

#[cfg(test)]
mod tests;
