//! Small stores written by hand.

use exportjob_api::TableFormat;
use exportjob_plan::ExportPlan;
use serde_json::{Map, Value, json};
use tokio::runtime::Builder;

use super::{
    plan::{self, table},
    run::{self, Answer, Store, canonical},
    table::{Files, Table},
};
use crate::reference::{self, model::Type};

/// A plan and its store.
#[derive(Clone)]
pub struct Scene {
    pub plan: ExportPlan,
    pub store: Store,
}

/// A scene with these fragments.
pub fn fragments(columns: &[(&str, Type)], rows: &[Value]) -> Scene {
    let mut scene = Scene {
        plan: plan::plan(),
        store: Store::default(),
    };
    scene.store.fragments.push(records(columns, rows));
    scene
}

/// A scene that exports profiles without fragments, too, and has none.
pub fn nobody() -> Scene {
    let mut scene = fragments(&[], &[]);
    scene.plan.selection.empty_profiles = true;
    scene
}

/// A table of fragments: `of`, `dataset`, `time` and `ingested` stand for the store's own columns.
pub fn records(columns: &[(&str, Type)], rows: &[Value]) -> (exportjob_plan::TablePlan, Table) {
    let own = [
        ("ups_namespace", Type::Text),
        ("ups_identity", Type::Text),
        ("ups_dataset", Type::Text),
        ("ups_timestamp", Type::Time),
        ("ups_ingested", Type::Time),
    ];
    plain(&[&own, columns].concat(), rows)
}

fn plain(columns: &[(&str, Type)], rows: &[Value]) -> (exportjob_plan::TablePlan, Table) {
    (
        table(TableFormat::Parquet),
        Table::plain(columns, rows.iter().map(row).collect()),
    )
}

/// A row, with its short names spelt out: `of` is namespace and id.
pub fn row(short: &Value) -> Map<String, Value> {
    let mut row = Map::new();
    for (name, value) in short.as_object().unwrap() {
        match name.as_str() {
            "of" => {
                let (namespace, id) = value.as_str().unwrap().split_once(':').unwrap();
                row.insert("ups_namespace".into(), json!(namespace));
                row.insert("ups_identity".into(), json!(id));
            }
            "dataset" => drop(row.insert("ups_dataset".into(), value.clone())),
            "time" => drop(row.insert("ups_timestamp".into(), value.clone())),
            "ingested" => drop(row.insert("ups_ingested".into(), value.clone())),
            "profile" => drop(row.insert("ups_profile".into(), value.clone())),
            "ns" => drop(row.insert("segmentNs".into(), value.clone())),
            "segment" => drop(row.insert("segmentId".into(), value.clone())),
            "at" => drop(row.insert("lastQualificationTime".into(), value.clone())),
            "until" => drop(row.insert("validUntil".into(), value.clone())),
            name => drop(row.insert(name.to_owned(), value.clone())),
        }
    }
    row
}

impl Scene {
    /// With this graph: identity and profile of each row.
    pub fn graph(mut self, rows: &[(&str, &str)]) -> Self {
        let columns = [
            ("ups_namespace", Type::Text),
            ("ups_identity", Type::Text),
            ("ups_profile", Type::Text),
        ];
        let rows: Vec<Value> = rows
            .iter()
            .map(|(of, profile)| json!({"of": of, "profile": profile}))
            .collect();
        self.store.identities.push(plain(&columns, &rows));
        self
    }

    /// With these events.
    pub fn events(mut self, columns: &[(&str, Type)], rows: &[Value]) -> Self {
        let own = [
            ("ups_namespace", Type::Text),
            ("ups_identity", Type::Text),
            ("ups_dataset", Type::Text),
            ("ups_ingested", Type::Time),
            ("_id", Type::Text),
            ("timestamp", Type::Time),
        ];
        self.store.events.push(plain(&[&own, columns].concat(), rows));
        self
    }

    /// With these memberships.
    pub fn memberships(mut self, columns: &[(&str, Type)], rows: &[Value]) -> Self {
        let own = [
            ("ups_namespace", Type::Text),
            ("ups_identity", Type::Text),
            ("segmentNs", Type::Text),
            ("segmentId", Type::Text),
            ("status", Type::Text),
            ("lastQualificationTime", Type::Time),
        ];
        self.store.memberships.push(plain(&[&own, columns].concat(), rows));
        self
    }

    /// With a change to the plan.
    pub fn with(mut self, change: impl FnOnce(&mut ExportPlan)) -> Self {
        change(&mut self.plan);
        self
    }

    /// With these fields.
    pub fn fields(self, text: &str) -> Self {
        self.with(|plan| plan.fields = plan::fields(text))
    }

    /// The only group of files of the first fragments table.
    pub fn files(&mut self) -> &mut Files {
        &mut self.store.fragments[0].1.groups[0]
    }

    /// The exporter's answer.
    pub fn answer(&self) -> Result<Answer, exportjob_exporter::Error> {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = self.plan.clone();
        self.store.write(folder.path(), &mut plan);
        run_in(&plan, folder.path())
    }

    /// Checks that the export has these rows, in any order; and that the reference thinks so, too.
    #[track_caller]
    pub fn exports(&self, expected: &Value) {
        let expected = sorted(expected.as_array().unwrap().iter());
        let mut plan = self.plan.clone();
        let plans =
            |tables: &[(exportjob_plan::TablePlan, Table)]| tables.iter().map(|(plan, _)| plan.clone()).collect();
        plan.store.fragments = plans(&self.store.fragments);
        plan.store.events = plans(&self.store.events);
        plan.store.identities = plans(&self.store.identities);
        plan.store.memberships = plans(&self.store.memberships);
        let reference = reference::export(&plan, &self.store.data()).unwrap();
        assert_eq!(
            sorted(reference.iter().map(|profile| &profile.row)),
            expected,
            "the reference (left) is wrong"
        );
        let answer = self
            .answer()
            .unwrap_or_else(|error| panic!("{error} {:?}", error.reported()));
        assert_eq!(
            sorted(answer.exported.iter().map(|profile| &profile.row)),
            expected,
            "the exporter (left) is wrong"
        );
    }
}

/// Runs a plan whose tables are on disk.
pub fn run_in(plan: &ExportPlan, folder: &std::path::Path) -> Result<Answer, exportjob_exporter::Error> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run::export(plan, folder))
}

/// Rows in an order of their own.
pub fn sorted<'a>(rows: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows.map(canonical).collect();
    rows.sort();
    rows
}
