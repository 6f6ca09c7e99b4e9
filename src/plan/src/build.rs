//! From resources to a plan.

use std::collections::BTreeMap;

use exportjob_api::{
    Bucketing, Credentials, DEFAULT_PROFILE_INSTANCE, DEFAULT_SEGMENT_NAMESPACE, Dataset, DatasetFormat, ExportJob,
    ExportJobSpec, PROFILE_SCHEMA, ProfileStore, SegmentDefinition, SegmentFilter, SegmentStatus, Table, Tables,
};

use url::Url;

use crate::{
    BatchPlan, BucketingPlan, CredentialsPlan, DestinationPlan, EventPlan, ExportPlan, FieldSelection, JobIdentity,
    Locate, PLAN_VERSION, PlanError, Reference, SegmentSelection, Selection, Side, StorePlan, TablePlan,
    UpsertDatasets, batch_id, evaluation::evaluation, fields::nearest, micros, policy::resolve_policy,
};

/// What a plan is made of. All resources are of the ExportJob's namespace.
pub struct Inputs<'a> {
    /// The job.
    pub export_job: &'a ExportJob,
    /// Number of the job.
    pub id: i64,
    /// Creation of the job in epoch milliseconds.
    pub created_at_ms: i64,
    /// The stores, by name.
    pub stores: &'a BTreeMap<String, ProfileStore>,
    /// The datasets, by name.
    pub datasets: &'a BTreeMap<String, Dataset>,
    /// The definitions, by name.
    pub definitions: &'a BTreeMap<String, SegmentDefinition>,
    /// Where locations are.
    pub locate: &'a dyn Locate,
}

/// Makes the plan, or says why there is none.
pub fn build(inputs: &Inputs<'_>) -> Result<ExportPlan, PlanError> {
    let spec = &inputs.export_job.spec;
    let selection = selection(spec)?;
    let fields = FieldSelection::parse("spec.fields", spec.fields.as_deref())?;
    let events = events(spec, selection.ingested_after)?;
    let store = store(inputs)?;
    let dataset = dataset(inputs)?;
    check_schema(spec, store)?;
    check_mounts(store, dataset)?;
    let merge_policy = resolve_policy(
        spec.merge_policy.as_ref(),
        &selection.segments,
        store,
        |namespace, id| {
            inputs
                .definitions
                .get(id)
                .filter(|found| found.spec.namespace().eq_ignore_ascii_case(namespace))
        },
    )?;
    let started_at = inputs.created_at_ms.saturating_mul(1000);
    let asks = spec.evaluation_info.as_ref().and_then(|info| info.segmentation) == Some(true);
    // Without segments there is none to compute.
    let evaluation = (asks && !selection.segments.is_empty())
        .then(|| evaluation(&selection.segments, inputs.definitions, started_at))
        .transpose()?;
    let store = store_plan(store, inputs.locate)?;
    let shards = shards(spec, &store)?;
    let metadata = &inputs.export_job.metadata;
    let uid = metadata.uid.clone().unwrap_or_default();
    Ok(ExportPlan {
        version: PLAN_VERSION,
        job: JobIdentity {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: uid.clone(),
            id: inputs.id,
        },
        started_at,
        shards,
        store,
        merge_policy,
        batches: batches(spec, &uid),
        selection,
        evaluation,
        fields,
        events,
        destination: destination(dataset, inputs.locate)?,
    })
}

/// How many pods share the export.
fn shards(spec: &ExportJobSpec, store: &StorePlan) -> Result<u32, PlanError> {
    let asked = spec.execution.as_ref().and_then(|execution| execution.shards);
    let shards = asked.and_then(|shards| u32::try_from(shards).ok()).unwrap_or(1).max(1);
    let buckets = store.buckets();
    if shards == 1 || buckets.is_some_and(|buckets| shards <= buckets) {
        return Ok(shards);
    }
    Err(PlanError::NotBucketed {
        store: store.name.clone(),
        shards,
        buckets,
    })
}

/// The batches of a job: known from its UID and spec alone, before anything else is.
pub fn batches(spec: &ExportJobSpec, uid: &str) -> Vec<BatchPlan> {
    if spec.destination.segment_per_batch != Some(true) {
        return vec![BatchPlan {
            id: batch_id(uid, None),
            segment: None,
        }];
    }
    segments(spec)
        .iter()
        .enumerate()
        .map(|(index, segment)| BatchPlan {
            id: batch_id(uid, Some((&segment.namespace, &segment.id))),
            segment: Some(index),
        })
        .collect()
}

/// The listed segments with their defaults.
pub(crate) fn segments(spec: &ExportJobSpec) -> Vec<SegmentSelection> {
    let listed = spec
        .filter
        .as_ref()
        .and_then(|filter| filter.segments.as_deref())
        .unwrap_or_default();
    listed.iter().map(SegmentSelection::from).collect()
}

impl From<&SegmentFilter> for SegmentSelection {
    /// The entry with its defaults.
    fn from(filter: &SegmentFilter) -> Self {
        let mut statuses = filter
            .status
            .clone()
            .unwrap_or_else(|| vec![SegmentStatus::Realized, SegmentStatus::Existing]);
        statuses.sort_unstable();
        statuses.dedup();
        Self {
            namespace: filter
                .segment_ns
                .clone()
                .unwrap_or_else(|| DEFAULT_SEGMENT_NAMESPACE.to_owned()),
            id: filter.segment_id.clone(),
            statuses,
        }
    }
}

fn selection(spec: &ExportJobSpec) -> Result<Selection, PlanError> {
    let filter = spec.filter.as_ref();
    let qualification = filter.and_then(|filter| filter.segment_qualification_time.as_ref());
    let time = |field: &str, text: Option<&String>| text.map(|text| micros(field, text)).transpose();
    Ok(Selection {
        segments: segments(spec),
        qualified_from: time(
            "spec.filter.segmentQualificationTime.startTime",
            qualification.and_then(|span| span.start_time.as_ref()),
        )?,
        qualified_to: time(
            "spec.filter.segmentQualificationTime.endTime",
            qualification.and_then(|span| span.end_time.as_ref()),
        )?,
        ingested_after: time(
            "spec.filter.fromIngestTimestamp",
            filter.and_then(|filter| filter.from_ingest_timestamp.as_ref()),
        )?,
        empty_profiles: filter.and_then(|filter| filter.empty_profiles).unwrap_or(false),
    })
}

fn events(spec: &ExportJobSpec, ingested_after: Option<i64>) -> Result<Option<EventPlan>, PlanError> {
    let Some(list) = spec
        .additional_fields
        .as_ref()
        .and_then(|fields| fields.event_list.as_ref())
    else {
        return Ok(None);
    };
    let field = "spec.additionalFields.eventList";
    let filter = list.filter.as_ref();
    let time = |name: &str, text: Option<&String>| {
        text.map(|text| micros(&format!("{field}.filter.{name}"), text))
            .transpose()
    };
    Ok(Some(EventPlan {
        fields: FieldSelection::parse(&format!("{field}.fields"), list.fields.as_deref())?,
        ingested_after: time(
            "fromIngestTimestamp",
            filter.and_then(|f| f.from_ingest_timestamp.as_ref()),
        )?
        .or(ingested_after),
        ingested_before: time("toIngestTimestamp", filter.and_then(|f| f.to_ingest_timestamp.as_ref()))?,
    }))
}

fn store<'a>(inputs: &Inputs<'a>) -> Result<&'a ProfileStore, PlanError> {
    let name = inputs
        .export_job
        .spec
        .profile_instance_id
        .as_deref()
        .unwrap_or(DEFAULT_PROFILE_INSTANCE);
    inputs.stores.get(name).ok_or_else(|| PlanError::NotFound {
        reference: Reference::ProfileStore(name.to_owned()),
        nearest: nearest(name, inputs.stores.keys().map(String::as_str)).map(str::to_owned),
    })
}

fn dataset<'a>(inputs: &Inputs<'a>) -> Result<&'a Dataset, PlanError> {
    let name = inputs.export_job.spec.destination.dataset_id.as_str();
    inputs.datasets.get(name).ok_or_else(|| PlanError::NotFound {
        reference: Reference::Dataset(name.to_owned()),
        nearest: nearest(name, inputs.datasets.keys().map(String::as_str)).map(str::to_owned),
    })
}

fn destination(dataset: &Dataset, locate: &dyn Locate) -> Result<DestinationPlan, PlanError> {
    let spec = &dataset.spec;
    let name = dataset.metadata.name.clone().unwrap_or_default();
    let resource = format!("Dataset {name:?}");
    if spec.format != DatasetFormat::Delta {
        return Err(PlanError::InvalidResource {
            resource,
            message: "spec.format must be delta: this version writes no other".to_owned(),
        });
    }
    let mount = spec.volume.as_ref().map(|_| spec.mount_path());
    let location = locate.locate(&resource, &spec.location, mount)?;
    Ok(DestinationPlan {
        credentials: credentials(&resource, spec.credentials.as_ref(), [&location], Side::Dataset, locate)?,
        dataset: name,
        location,
        format: spec.format,
    })
}

/// A Secret that nothing would be opened with is a mistake of whoever wrote the manifest.
fn credentials<'a>(
    resource: &str,
    declared: Option<&Credentials>,
    locations: impl IntoIterator<Item = &'a Url>,
    side: Side,
    locate: &dyn Locate,
) -> Result<Option<CredentialsPlan>, PlanError> {
    let Some(declared) = declared else {
        return Ok(None);
    };
    let secret = declared.secret_ref.name.clone();
    if locations.into_iter().all(|location| location.scheme() == "file") {
        return Err(PlanError::InvalidResource {
            resource: resource.to_owned(),
            message: format!(
                "spec.credentials names Secret {secret:?}, but no location is in an object store: leave it out, or correct the location"
            ),
        });
    }
    Ok(Some(CredentialsPlan {
        secret,
        folder: locate.credentials(side),
    }))
}

fn check_schema(spec: &ExportJobSpec, store: &ProfileStore) -> Result<(), PlanError> {
    let name = spec.schema.name.as_str();
    if name == PROFILE_SCHEMA || store.spec.schemas.iter().any(|declared| declared == name) {
        return Ok(());
    }
    let declared = store.spec.schemas.iter().map(String::as_str).chain([PROFILE_SCHEMA]);
    Err(PlanError::NotFound {
        reference: Reference::Schema {
            store: store.metadata.name.clone().unwrap_or_default(),
            name: name.to_owned(),
        },
        nearest: nearest(name, declared).map(str::to_owned),
    })
}

/// Two volumes cannot be mounted at one path, unless they are the same volume.
fn check_mounts(store: &ProfileStore, dataset: &Dataset) -> Result<(), PlanError> {
    let (Some(read), Some(written)) = (&store.spec.volume, &dataset.spec.volume) else {
        return Ok(());
    };
    let path = dataset.spec.mount_path().trim_end_matches('/');
    if store.spec.mount_path().trim_end_matches('/') == path && read != written {
        return Err(PlanError::InvalidResource {
            resource: format!("Dataset {:?}", dataset.metadata.name.clone().unwrap_or_default()),
            message: format!(
                "its volume is mounted at {path}, where that of the profile store is, too: give one of them another spec.volumeMountPath"
            ),
        });
    }
    Ok(())
}

/// The tables of a store, and how they are read.
///
/// # Errors
/// A location cannot be used.
pub fn store_plan(store: &ProfileStore, locate: &dyn Locate) -> Result<StorePlan, PlanError> {
    let spec = &store.spec;
    let name = store.metadata.name.clone().unwrap_or_default();
    let resource = format!("ProfileStore {name:?}");
    let mount = spec.volume.as_ref().map(|_| spec.mount_path());
    check_bucketing(&resource, &spec.tables)?;
    let tables = |tables: &[Table]| -> Result<Vec<TablePlan>, PlanError> {
        tables
            .iter()
            .map(|table| {
                Ok(TablePlan {
                    location: locate.locate(&resource, &table.location, mount)?,
                    format: table.format,
                    dataset: table.dataset.clone(),
                    columns: table.columns.clone().unwrap_or_default(),
                    only_mapped: table.only_mapped.unwrap_or(false),
                    bucketing: table.bucketing.as_ref().map(bucketing_plan),
                })
            })
            .collect()
    };
    let (fragments, events) = (tables(&spec.tables.fragments)?, tables(&spec.tables.events)?);
    let (identities, memberships) = (tables(&spec.tables.identities)?, tables(&spec.tables.memberships)?);
    let all = [&fragments, &events, &identities, &memberships];
    let locations = all.into_iter().flatten().map(|table| &table.location);
    Ok(StorePlan {
        credentials: credentials(&resource, spec.credentials.as_ref(), locations, Side::Store, locate)?,
        fragments,
        events,
        identities,
        memberships,
        upsert_datasets: if spec.upsert_datasets.iter().any(|dataset| dataset == "*") {
            UpsertDatasets::All
        } else {
            UpsertDatasets::Listed(spec.upsert_datasets.clone())
        },
        membership_states: spec.membership_states.unwrap_or_default(),
        name,
    })
}

fn bucketing_plan(bucketing: &Bucketing) -> BucketingPlan {
    BucketingPlan {
        column: bucketing.column.clone(),
        count: u32::try_from(bucketing.count).unwrap_or(1),
        sorted: bucketing.sorted.unwrap_or(false),
    }
}

/// Rows of a profile can only have the same bucket in all tables if there are equally many.
fn check_bucketing(resource: &str, tables: &Tables) -> Result<(), PlanError> {
    let all = [
        &tables.fragments,
        &tables.events,
        &tables.identities,
        &tables.memberships,
    ];
    let mut counts = all.into_iter().flatten().filter_map(|table| {
        let count = table.bucketing.as_ref()?.count;
        Some((&table.location, count))
    });
    let Some((first, count)) = counts.next() else {
        return Ok(());
    };
    match counts.find(|(_, other)| *other != count) {
        None => Ok(()),
        Some((location, other)) => Err(PlanError::InvalidResource {
            resource: resource.to_owned(),
            message: format!(
                "{first:?} has {count} buckets and {location:?} has {other}: all bucketed tables of a store must have the same bucketing.count"
            ),
        }),
    }
}
