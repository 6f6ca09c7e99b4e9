//! Small stores on disk.

use std::{fs, fs::File, path::Path, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
        compute::concat_batches,
        util::display::{ArrayFormatter, FormatOptions},
    },
    parquet::arrow::ArrowWriter,
};
use exportjob_api::{ColumnSource, DatasetFormat, MembershipStates, TableFormat};
use exportjob_plan::{
    AttributeRule, BatchPlan, DestinationPlan, ExportPlan, FieldSelection, IdentityGraphKind, JobIdentity,
    MergePolicyPlan, PLAN_VERSION, Selection, StorePlan, TablePlan, UpsertDatasets, batch_id,
};
use futures::TryStreamExt as _;
use tempfile::TempDir;
use url::Url;

use crate::{Error, Limits, Profiles, Progress, Result, Session, open};

pub(super) fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn times(values: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC"))
}

pub(super) fn rows(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, column.clone()))).unwrap()
}

/// Records of the `email` identities with these ids, each ingested at its place in the list.
pub(super) fn records(ids: &[&str], columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let all = |value| text(&vec![Some(value); ids.len()]);
    let ingested: Vec<i64> = (1..).take(ids.len()).collect();
    let ids: Vec<Option<&str>> = ids.iter().copied().map(Some).collect();
    let own = [
        ("ups_namespace", all("email")),
        ("ups_identity", text(&ids)),
        ("ups_dataset", all("crm")),
        ("ups_ingested", times(&ingested)),
    ];
    rows(&[own.as_slice(), columns].concat())
}

pub(super) fn without(batch: &RecordBatch, column: &str) -> RecordBatch {
    let mut batch = batch.clone();
    batch.remove_column(batch.schema().index_of(column).unwrap());
    batch
}

pub(super) fn write(path: &Path, batch: &RecordBatch) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub(super) struct Store {
    pub(super) folder: TempDir,
    pub(super) memory_bytes: usize,
    pub(super) plan: ExportPlan,
}

impl Store {
    /// A store whose fragments are these files.
    pub(super) fn new(fragments: &[(&str, RecordBatch)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Self {
            plan: plan(folder.path()),
            folder,
            memory_bytes: 256 << 20,
        };
        store.plan.store.fragments = vec![store.table("fragments", fragments)];
        store
    }

    pub(super) fn table(&self, name: &str, files: &[(&str, RecordBatch)]) -> TablePlan {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        for (file, batch) in files {
            write(&path.join(file), batch);
        }
        table_at(&path)
    }

    pub(super) fn fields(mut self, fields: &str) -> Self {
        self.plan.fields = FieldSelection::parse("spec.fields", Some(fields)).unwrap();
        self
    }

    pub(super) async fn open(&self) -> Result<Profiles> {
        let spill_path = self.folder.path().join("spill");
        let session = Session::new(&Limits {
            memory_bytes: self.memory_bytes,
            cores: 2,
            spill_path,
        })?;
        open(&self.plan, &session, Arc::new(Progress::default())).await
    }

    pub(super) async fn refusal(&self) -> Error {
        self.open()
            .await
            .err()
            .expect("the store is refused before a row is read")
    }

    /// The export's rows as text, in order.
    pub(super) async fn export(&self) -> Result<Vec<String>> {
        let profiles = self.open().await?;
        let mut batches = Vec::new();
        for mut part in profiles.parts {
            while let Some(batch) = part.try_next().await? {
                batches.push(batch.rows);
            }
        }
        let all = concat_batches(&profiles.schema, &batches).unwrap();
        let options = FormatOptions::new().with_null("null");
        let columns: Vec<_> = all
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        let row = |row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
                .join(" | ")
        };
        let mut lines: Vec<String> = (0..all.num_rows()).map(row).collect();
        lines.sort();
        Ok(lines)
    }
}

pub(super) fn table_at(path: &Path) -> TablePlan {
    TablePlan {
        location: Url::from_directory_path(path).unwrap(),
        format: TableFormat::Parquet,
        dataset: None,
        columns: [].into(),
        only_mapped: false,
        bucketing: None,
    }
}

pub(super) fn plan(folder: &Path) -> ExportPlan {
    ExportPlan {
        version: PLAN_VERSION,
        job: JobIdentity {
            namespace: "n".to_owned(),
            name: "j".to_owned(),
            uid: "u".to_owned(),
            id: 1,
        },
        started_at: 0,
        shards: 1,
        store: StorePlan {
            credentials: None,
            name: "ups".to_owned(),
            fragments: Vec::new(),
            events: Vec::new(),
            identities: Vec::new(),
            memberships: Vec::new(),
            upsert_datasets: UpsertDatasets::Listed(Vec::new()),
            membership_states: MembershipStates::Three,
        },
        merge_policy: MergePolicyPlan {
            id: "p".to_owned(),
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
            dataset: "d".to_owned(),
            location: Url::from_directory_path(folder.join("out")).unwrap(),
            format: DatasetFormat::Delta,
        },
        batches: vec![BatchPlan {
            id: batch_id("u", None),
            segment: None,
        }],
    }
}

pub(super) fn column(name: &str) -> ColumnSource {
    ColumnSource {
        column: Some(name.to_owned()),
        value: None,
    }
}

pub(super) fn value(value: &str) -> ColumnSource {
    ColumnSource {
        column: None,
        value: Some(value.to_owned()),
    }
}
