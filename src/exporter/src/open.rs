//! Opens the profile store of a plan: everything that can be wrong with it is found here, before any row is read.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    dataframe::DataFrame,
    physical_plan::ExecutionPlan,
};
use exportjob_plan::{AttributeRule, ExportPlan, IdentityGraphKind};

use crate::{
    Profiles, Progress, Result, Session,
    merge::{EventWindow, FragmentRules, MergeInputs, ProfileMergeExec, Rules, SEGMENT_MEMBERSHIP, Shape},
    objects::Stores,
    project::{
        columns::{Tables, asks_for, shape},
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
    let tables = open_tables(plan, session).await?;
    let shape = shape(plan, &tables)?;
    let schema = Arc::new(Schema::new(shape.written.clone()));
    let partitions = session.context.copied_config().target_partitions();
    let gathering = Gathering {
        plan,
        tables: &tables,
        shape: &shape,
        partitions,
        progress: &progress,
    };
    let inputs = gathering.inputs(session).await?;
    let rules = rules(plan);
    let merge: Arc<dyn ExecutionPlan> = Arc::new(ProfileMergeExec::new(inputs, shape, rules));
    let delivery = Delivery {
        schema: schema.clone(),
        batches: plan.batches.len(),
        progress,
    };
    let parts = parts(&merge, &session.context.task_ctx(), &delivery);
    Ok(Profiles { schema, parts })
}

/// Opens the tables that the export needs.
///
/// Without empty profiles the fragments alone decide who is exported: an identity that only another table knows is then
/// either in the graph or a profile of its own that is not exported.
async fn open_tables(plan: &ExportPlan, session: &Session) -> Result<Tables> {
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
        events: open(Kind::Events, &store.events, empty || plan.events.is_some()).await?,
        identities: open(Kind::Identities, &store.identities, empty || is_graph).await?,
        memberships: open(Kind::Memberships, &store.memberships, with_memberships).await?,
    })
}

fn rules(plan: &ExportPlan) -> Rules {
    let events = plan.events.as_ref();
    Rules {
        fragments: FragmentRules::new(&plan.merge_policy.attributes, &plan.store.upsert_datasets),
        events: EventWindow {
            after: events.and_then(|events| events.ingested_after),
            before: events.and_then(|events| events.ingested_before),
        },
        audience: Audience::new(&plan.selection, &plan.batches),
    }
}

/// Brings the rows of each profile together.
struct Gathering<'a> {
    plan: &'a ExportPlan,
    tables: &'a Tables,
    shape: &'a Shape,
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
        let scan = self.scan(&self.tables.fragments, &leaves(&self.shape.attributes), filter)?;
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
        let scan = self.scan(table, &leaves(&self.shape.events), filter)?;
        let keyed = stitcher.key(scan).map_err(engine_error)?;
        stitcher.narrow(keyed).map(Some).map_err(engine_error)
    }

    /// With segments in the plan, the stitcher narrows the other tables to their members from then on.
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
        if !segments.is_empty() {
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

#[cfg(test)]
mod tests;
