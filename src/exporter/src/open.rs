//! Opens the profile store of a plan: everything that can be wrong with it is found here, before any row is read.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Fields, Schema},
    dataframe::DataFrame,
    physical_plan::ExecutionPlan,
};
use exportjob_plan::{AttributeRule, ExportPlan, IdentityGraphKind, StorePlan};

use crate::{
    Profiles, Progress, Result, Session,
    evaluate::{Definitions, Evaluation, Hidden, schema},
    merge::{EventWindow, FragmentRules, MergeInputs, ProfileMergeExec, Rules, SEGMENT_MEMBERSHIP, Shape},
    project::{
        columns::{Tables, asks_for, event_columns, shape},
        deliver::{Delivery, parts},
        leaves,
    },
    read::{
        Kind, RowFilter, StoreScan, StoreTable, Wanted,
        roles::{IDENTITY, NAMESPACE, Role},
    },
    select::Audience,
    session::engine_error,
    stitch::{Stitcher, nothing},
};

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
    let definitions = Definitions::read(plan)?;
    let asks_for_events = definitions.as_ref().map(Definitions::ask_for_events).transpose()?;
    let tables = open_tables(plan, session, asks_for_events.unwrap_or_default()).await?;
    let shape = shape(plan, &tables)?;
    let (evaluation, hidden) = definitions
        .map(|definitions| definitions.compile(plan, &tables, &shape))
        .transpose()?
        .unzip();
    let schema = Arc::new(Schema::new(shape.written.clone()));
    let partitions = session.context.copied_config().target_partitions();
    let gathering = Gathering {
        plan,
        tables: &tables,
        shape: &shape,
        hidden: hidden.unwrap_or_default(),
        partitions,
        progress: &progress,
    };
    let inputs = gathering.inputs(session).await?;
    let rules = rules(plan, evaluation);
    let merge: Arc<dyn ExecutionPlan> = Arc::new(ProfileMergeExec::new(inputs, shape, rules));
    let delivery = Delivery {
        schema: schema.clone(),
        batches: plan.batches.len(),
        progress,
    };
    let parts = parts(&merge, &session.context.task_ctx(), &delivery);
    Ok(Profiles { schema, parts })
}

/// What expressions of segments can ask for in a store. No row is read.
///
/// # Errors
/// The tables cannot be opened, as for [`open`].
pub async fn schema_of(store: &StorePlan, session: &Session) -> Result<exportjob_pql::Schema> {
    let fragments = StoreTable::open(Kind::Fragments, &store.fragments, session).await?;
    let events = StoreTable::open(Kind::Events, &store.events, session).await?;
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
    let open = async |kind, plans: &[_], needed: bool| {
        if needed && !plans.is_empty() {
            StoreTable::open(kind, plans, session).await.map(Some)
        } else {
            Ok(None)
        }
    };
    Ok(Tables {
        fragments: StoreTable::open(Kind::Fragments, &store.fragments, session).await?,
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
        evaluation: evaluation.map(Arc::new),
    }
}

/// Brings the rows of each profile together.
struct Gathering<'a> {
    plan: &'a ExportPlan,
    tables: &'a Tables,
    shape: &'a Shape,
    hidden: Hidden,
    partitions: usize,
    progress: &'a Arc<Progress>,
}

impl Gathering<'_> {
    async fn inputs(&self, session: &Session) -> Result<MergeInputs> {
        let joined = [&self.tables.identities, &self.tables.memberships];
        let rows = joined.into_iter().flatten().map(StoreTable::rows).sum();
        let mut stitcher = Stitcher::new(&session.context, rows, session.pool_bytes);
        let is_graph = self.plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
        let mut identities = None;
        if let Some(table) = &self.tables.identities {
            if is_graph {
                let scan = self.scan(table, &[], RowFilter::default())?;
                stitcher.join_through(scan).map_err(engine_error)?;
                identities = stitcher.graph().map_err(engine_error)?;
            } else {
                let wanted = [Wanted::Role(NAMESPACE), Wanted::Role(IDENTITY)];
                let scan = StoreScan::new(table, &wanted, RowFilter::default(), self.progress.clone())?;
                identities = Some(stitcher.key(scan).map_err(engine_error)?);
            }
        }
        let memberships = self.memberships(&mut stitcher)?;
        let fragments = self.fragments(&stitcher)?;
        let events = self.events(&stitcher)?;
        Ok(MergeInputs {
            fragments: self.gather(&stitcher, Some(fragments), Kind::Fragments).await?,
            events: self.gather(&stitcher, events, Kind::Events).await?,
            identities: self.gather(&stitcher, identities, Kind::Identities).await?,
            memberships: self.gather(&stitcher, memberships, Kind::Memberships).await?,
        })
    }

    fn fragments(&self, stitcher: &Stitcher) -> Result<DataFrame> {
        let datasets = match &self.plan.merge_policy.attributes {
            AttributeRule::TimestampOrdered => None,
            AttributeRule::DataSetPrecedence(order) => Some(order.iter().cloned().collect::<HashSet<_>>()),
        };
        let filter = RowFilter {
            datasets,
            ..RowFilter::default()
        };
        let scan = self.scan(
            &self.tables.fragments,
            &with(&self.shape.attributes, &self.hidden.attributes),
            filter,
        )?;
        let keyed = stitcher.key(scan).map_err(engine_error)?;
        stitcher.narrow(keyed).map_err(engine_error)
    }

    fn events(&self, stitcher: &Stitcher) -> Result<Option<DataFrame>> {
        let Some(table) = &self.tables.events else {
            return Ok(None);
        };
        let datasets = self.plan.merge_policy.event_datasets.as_ref();
        let datasets = datasets.map(|datasets| datasets.iter().cloned().collect());
        let filter = RowFilter {
            datasets,
            ..RowFilter::default()
        };
        let scan = self.scan(table, &with(&self.shape.events, &self.hidden.events), filter)?;
        let keyed = stitcher.key(scan).map_err(engine_error)?;
        stitcher.narrow(keyed).map(Some).map_err(engine_error)
    }

    /// With segments in the plan, the stitcher narrows the other tables to their members from then on; unless it is not known
    /// yet who these are.
    fn memberships(&self, stitcher: &mut Stitcher) -> Result<Option<DataFrame>> {
        let Some(table) = &self.tables.memberships else {
            return Ok(None);
        };
        let filter = RowFilter {
            valid_at: Some(self.plan.started_at),
            ..RowFilter::default()
        };
        let scan = self.scan(table, &leaves(&self.shape.membership), filter)?;
        let keyed = stitcher.key(scan).map_err(engine_error)?;
        let segments = &self.plan.selection.segments;
        if !segments.is_empty() && self.plan.evaluation.is_none() {
            let ids: Vec<&str> = segments.iter().map(|segment| segment.id.as_str()).collect();
            stitcher.narrow_to(&keyed, &ids).map_err(engine_error)?;
        }
        Ok(Some(keyed))
    }

    fn scan(&self, table: &StoreTable, leaves: &[(Vec<String>, DataType)], filter: RowFilter) -> Result<StoreScan> {
        let roles = table.kind.roles().iter().map(|role: &Role| Wanted::Role(*role));
        let leaves = leaves
            .iter()
            .map(|(path, data_type)| Wanted::Leaf(path.clone(), data_type.clone()));
        let wanted: Vec<Wanted> = roles.chain(leaves).collect();
        StoreScan::new(table, &wanted, filter, self.progress.clone())
    }

    async fn gather(
        &self,
        stitcher: &Stitcher,
        keyed: Option<DataFrame>,
        kind: Kind,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(keyed) = keyed {
            return stitcher.gather(keyed, self.partitions).await.map_err(engine_error);
        }
        let roles: Vec<Wanted> = kind.roles().iter().map(|role| Wanted::Role(*role)).collect();
        Ok(nothing(&Wanted::schema(&roles), self.partitions))
    }
}

/// The leaves of the fields that are written, then those that are only looked at.
fn with(written: &Fields, hidden: &[(Vec<String>, DataType)]) -> Vec<(Vec<String>, DataType)> {
    leaves(written).into_iter().chain(hidden.iter().cloned()).collect()
}

#[cfg(test)]
mod tests;
