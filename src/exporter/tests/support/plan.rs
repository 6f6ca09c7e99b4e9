//! Plans, built from small parts.

use std::{collections::BTreeMap, path::Path};

use exportjob_api::{ColumnSource, DatasetFormat, MembershipStates, SegmentStatus, TableFormat};
use exportjob_plan::{
    AttributeRule, BatchPlan, DestinationPlan, EventPlan, ExportPlan, FieldSelection, IdentityGraphKind, JobIdentity,
    MergePolicyPlan, PLAN_VERSION, SegmentSelection, Selection, StorePlan, TablePlan, UpsertDatasets, batch_id,
};
use url::Url;

/// Start of all jobs: 2024-01-01T00:00:00Z.
pub const STARTED_AT: i64 = 1_704_067_200_000_000;
const UID: &str = "00000000-0000-0000-0000-000000000007";

/// A plan that exports everything of a store without tables.
pub fn plan() -> ExportPlan {
    ExportPlan {
        version: PLAN_VERSION,
        job: JobIdentity {
            namespace: "default".into(),
            name: "all".into(),
            uid: UID.into(),
            id: 7,
        },
        shards: 1,
        started_at: STARTED_AT,
        store: StorePlan {
            credentials: None,
            name: "ups".into(),
            fragments: Vec::new(),
            events: Vec::new(),
            identities: Vec::new(),
            memberships: Vec::new(),
            upsert_datasets: UpsertDatasets::Listed(Vec::new()),
            membership_states: MembershipStates::Three,
        },
        merge_policy: MergePolicyPlan {
            id: "pdg".into(),
            version: 1,
            identity_graph: IdentityGraphKind::Pdg,
            attributes: AttributeRule::TimestampOrdered,
            event_datasets: None,
        },
        selection: Selection {
            segments: Vec::new(),
            qualified_from: None,
            qualified_to: None,
            ingested_after: None,
            empty_profiles: false,
        },
        evaluation: None,
        fields: FieldSelection::All,
        events: None,
        destination: DestinationPlan {
            credentials: None,
            dataset: "out".into(),
            location: url(Path::new("/nonexistent/out")),
            format: DatasetFormat::Delta,
        },
        batches: vec![BatchPlan {
            id: batch_id(UID, None),
            segment: None,
        }],
    }
}

/// One batch for each segment.
pub fn batch_per_segment(selection: &Selection) -> Vec<BatchPlan> {
    let batch = |(index, segment): (usize, &SegmentSelection)| BatchPlan {
        id: batch_id(UID, Some((&segment.namespace, &segment.id))),
        segment: Some(index),
    };
    selection.segments.iter().enumerate().map(batch).collect()
}

pub fn segment(namespace: &str, id: &str, statuses: &[SegmentStatus]) -> SegmentSelection {
    SegmentSelection {
        namespace: namespace.into(),
        id: id.into(),
        statuses: statuses.to_vec(),
    }
}

pub fn fields(text: &str) -> FieldSelection {
    FieldSelection::parse("spec.fields", Some(text)).unwrap()
}

pub fn events() -> EventPlan {
    EventPlan {
        fields: FieldSelection::All,
        ingested_after: None,
        ingested_before: None,
    }
}

/// A table as it is, without any mapping.
pub fn table(format: TableFormat) -> TablePlan {
    TablePlan {
        location: url(Path::new("/nonexistent")),
        format,
        dataset: None,
        columns: BTreeMap::new(),
        only_mapped: false,
        bucketing: None,
    }
}

pub fn column(name: &str) -> ColumnSource {
    ColumnSource {
        column: Some(name.into()),
        value: None,
    }
}

pub fn constant(value: &str) -> ColumnSource {
    ColumnSource {
        column: None,
        value: Some(value.into()),
    }
}

/// URL of a folder.
pub fn url(folder: &Path) -> Url {
    Url::from_directory_path(folder).unwrap()
}
