//! `explain`: what an ExportJob would read and whom it would reach, without writing anything.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use exportjob_api::{ExportJob, TableFormat};
use exportjob_exporter::{
    AudienceSize, Explanation, Session, Strategy, TableExplanation, count_audience, estimate_audience, explain,
};
use exportjob_plan::{AttributeRule, ExportPlan, IdentityGraphKind};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    args::{ExplainArguments, Format},
    error::Error,
    manifests,
    output::columns,
    run::{limits, plan},
    secrets,
};

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    merge_policy: Policy<'a>,
    #[serde(flatten)]
    explanation: Explanation,
    /// Whether the audience is counted; else estimated.
    exact: bool,
    audience: Vec<AudienceSize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy<'a> {
    id: &'a str,
    version: i64,
    identity_graph: IdentityGraphKind,
    attribute_merge: &'a AttributeRule,
    /// Why this one.
    because: &'static str,
}

/// Explains the job of the manifests.
pub(crate) fn run(arguments: &ExplainArguments) -> Result<ExitCode, Error> {
    let mut resources = manifests::load(&arguments.files, arguments.name.as_deref(), &arguments.volumes)?;
    let limits = limits(&resources.export_job, arguments.memory)?;
    let mut plan = plan(&mut resources, Timestamp::now())?;
    let secrets = secrets::find(&resources, &mut plan)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(limits.cores)
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let answer = Session::new(&limits).and_then(|mut session| {
        session.credentials = secrets.store;
        runtime.block_on(async {
            let explanation = explain(&plan, &session).await?;
            let audience = if arguments.exact {
                count_audience(&plan, &session).await?
            } else {
                estimate_audience(&plan, &session).await?
            };
            Ok((explanation, audience))
        })
    });
    // The folder of spill files is this process's own.
    let _ = std::fs::remove_dir_all(&limits.spill_path);
    let (explanation, audience) = answer.map_err(Error::Store)?;
    let report = Report {
        merge_policy: Policy {
            id: &plan.merge_policy.id,
            version: plan.merge_policy.version,
            identity_graph: plan.merge_policy.identity_graph,
            attribute_merge: &plan.merge_policy.attributes,
            because: because(&resources.export_job, &resources, &plan),
        },
        explanation,
        exact: arguments.exact,
        audience,
    };
    let failed = |error: String| Error::Print(error);
    let text = match arguments.output {
        Format::Yaml => serde_yaml::to_string(&report).map_err(|error| failed(error.to_string()))?,
        Format::Json => serde_json::to_string_pretty(&report).map_err(|error| failed(error.to_string()))? + "\n",
        Format::Table => table(&report),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Why the job has the merge policy that it has.
fn because(export_job: &ExportJob, resources: &manifests::Resources, plan: &ExportPlan) -> &'static str {
    if export_job.spec.merge_policy.is_some() {
        return "spec.mergePolicy names it";
    }
    let named = plan.selection.segments.iter().any(|segment| {
        let definition = resources.definitions.get(&segment.id);
        definition.is_some_and(|definition| definition.spec.merge_policy.is_some())
    });
    if named {
        return "the SegmentDefinitions of the listed segments name it";
    }
    let store = resources.stores.get(&plan.store.name);
    let has_default = store.is_some_and(|store| {
        let policies = store.spec.merge_policies.iter();
        policies.into_iter().any(|policy| policy.default == Some(true))
    });
    if has_default {
        "it is the default of the ProfileStore"
    } else {
        "the ProfileStore declares no default"
    }
}

fn table(report: &Report<'_>) -> String {
    let mut text = String::new();
    let policy = &report.merge_policy;
    let _ = writeln!(
        text,
        "merge policy   {} version {}: {}",
        policy.id, policy.version, policy.because
    );
    let _ = writeln!(
        text,
        "               identities {}, attributes {}",
        match policy.identity_graph {
            IdentityGraphKind::None => "each by itself",
            IdentityGraphKind::Pdg => "joined by the graph",
        },
        match policy.attribute_merge {
            AttributeRule::TimestampOrdered => "newest first".to_owned(),
            AttributeRule::DataSetPrecedence(order) => format!("by dataset: {}", order.join(", ")),
        }
    );
    let _ = writeln!(text, "read           {}", strategy(report.explanation.strategy));
    let _ = writeln!(text, "written        {}\n", report.explanation.columns.join(", "));
    let head = ["TABLE", "FORMAT", "FILES", "ROWS", "BYTES", "BYTES READ", "COLUMNS"].map(str::to_owned);
    let rows: Vec<[String; 7]> = report.explanation.tables.iter().map(row).collect();
    text.push_str(&columns(&[vec![head], rows].concat()));
    text.push_str(&audience(report));
    text
}

fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Bucketed => "bucket by bucket, without a shuffle",
        Strategy::Shuffled => {
            "each table once; rows are scattered over buckets on disk, the identity graph is in memory"
        }
        Strategy::Joined => "joined with the identity graph and sorted on disk: the graph does not fit into memory",
    }
}

fn row(table: &TableExplanation) -> [String; 7] {
    let formats: Vec<&str> = table
        .formats
        .iter()
        .map(|format| match format {
            TableFormat::Parquet => "parquet",
            TableFormat::Delta => "delta",
        })
        .collect();
    let is_known = table.formats.contains(&TableFormat::Parquet);
    let bytes = |bytes: u64| if is_known { bytes.to_string() } else { "-".to_owned() };
    [
        table.kind.to_owned(),
        formats.join("+"),
        table.files.to_string(),
        table.rows.to_string(),
        bytes(table.bytes),
        bytes(table.bytes_read),
        table.columns.len().to_string(),
    ]
}

fn audience(report: &Report<'_>) -> String {
    if report.audience.is_empty() {
        return "\nHow many profiles there are is not known without a count: add --exact.\n".to_owned();
    }
    let size = if report.exact { "PROFILES" } else { "PROFILES (AT MOST)" };
    let mut rows = vec![["SEGMENT".to_owned(), size.to_owned()]];
    rows.extend(report.audience.iter().map(|audience| {
        let segment = match &audience.segment {
            Some((namespace, id)) => format!("{namespace}/{id}"),
            None => "all, each profile once".to_owned(),
        };
        [segment, audience.profiles.to_string()]
    }));
    format!("\n{}", columns(&rows))
}
