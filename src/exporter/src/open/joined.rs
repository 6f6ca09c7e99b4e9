//! The inputs of a merge over a store whose identity graph does not fit into memory: rows are keyed by joins and brought
//! together by sorts, all of which spill.

use std::sync::Arc;

use datafusion::{arrow::datatypes::DataType, dataframe::DataFrame, physical_plan::ExecutionPlan};
use exportjob_plan::{ExportPlan, IdentityGraphKind};

use super::{Read, row_filters::Filters};
use crate::{
    Progress, Result, Session,
    merge::MergeInputs,
    project::columns::Tables,
    read::{
        Kind, RowFilter, StoreScan, StoreTable, Wanted,
        roles::{IDENTITY, NAMESPACE},
    },
    session::engine_error,
    stitch::{Stitcher, nothing},
};

/// A store whose rows have to be joined with its graph.
pub(super) struct Joined<'a> {
    /// What is exported.
    pub plan: &'a ExportPlan,
    /// What is read.
    pub tables: &'a Tables,
    /// What of it.
    pub read: &'a Read,
    /// Number of partitions.
    pub partitions: usize,
    /// Counts the rows.
    pub progress: &'a Arc<Progress>,
}

impl Joined<'_> {
    /// The inputs, each in as many partitions.
    pub async fn inputs(&self, session: &Session) -> Result<MergeInputs> {
        let joined = [&self.tables.identities, &self.tables.memberships];
        let rows = joined.into_iter().flatten().map(StoreTable::rows).sum();
        let mut stitcher = Stitcher::new(&session.context, rows, session.pool_bytes);
        let filters = Filters::of(self.plan);
        let is_graph = self.plan.merge_policy.identity_graph == IdentityGraphKind::Pdg;
        let mut identities = None;
        if let Some(table) = &self.tables.identities {
            if is_graph {
                let scan = self.scan(table, &[], RowFilter::default())?;
                stitcher.join_through(scan).map_err(engine_error)?;
                identities = stitcher.graph().map_err(engine_error)?;
            } else {
                let wanted = [Wanted::Role(NAMESPACE), Wanted::Role(IDENTITY)];
                let scan = StoreScan::new(table, &wanted, RowFilter::default(), self.progress.clone())?.compact();
                identities = Some(stitcher.key(scan).map_err(engine_error)?);
            }
        }
        let memberships = self.memberships(&mut stitcher, &filters)?;
        let fragments = &self.tables.fragments;
        let fragments = self.narrowed(&stitcher, fragments, &self.read.fragments, &filters)?;
        let events = match &self.tables.events {
            Some(table) => Some(self.narrowed(&stitcher, table, &self.read.events, &filters)?),
            None => None,
        };
        Ok(MergeInputs {
            fragments: self.gather(&stitcher, Some(fragments), Kind::Fragments).await?,
            events: self.gather(&stitcher, events, Kind::Events).await?,
            identities: self.gather(&stitcher, identities, Kind::Identities).await?,
            memberships: self.gather(&stitcher, memberships, Kind::Memberships).await?,
        })
    }

    /// The rows of profiles that may be in the audience.
    fn narrowed(
        &self,
        stitcher: &Stitcher,
        table: &StoreTable,
        leaves: &[(Vec<String>, DataType)],
        filters: &Filters,
    ) -> Result<DataFrame> {
        let scan = self.scan(table, leaves, filters.of_kind(table.kind))?;
        let keyed = stitcher.key(scan).map_err(engine_error)?;
        stitcher.narrow(keyed).map_err(engine_error)
    }

    /// With segments in the plan, the stitcher narrows the other tables to their members from then on; unless it is not known
    /// yet who these are.
    fn memberships(&self, stitcher: &mut Stitcher, filters: &Filters) -> Result<Option<DataFrame>> {
        let Some(table) = &self.tables.memberships else {
            return Ok(None);
        };
        let scan = self.scan(table, &self.read.memberships, filters.of_kind(Kind::Memberships))?;
        let keyed = stitcher.key(scan).map_err(engine_error)?;
        let segments = &self.plan.selection.segments;
        if !segments.is_empty() && self.plan.evaluation.is_none() {
            let ids: Vec<&str> = segments.iter().map(|segment| segment.id.as_str()).collect();
            stitcher.narrow_to(&keyed, &ids).map_err(engine_error)?;
        }
        Ok(Some(keyed))
    }

    fn scan(&self, table: &StoreTable, leaves: &[(Vec<String>, DataType)], filter: RowFilter) -> Result<StoreScan> {
        Ok(StoreScan::new(table, &Wanted::all(table.kind, leaves), filter, self.progress.clone())?.compact())
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
        Ok(nothing(&Wanted::schema(&Wanted::all(kind, &[])), self.partitions))
    }
}
