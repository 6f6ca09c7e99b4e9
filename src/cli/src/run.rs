//! `run`: an ExportJob in this process.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use exportjob_api::{ExportJob, Phase};
use exportjob_exporter::{Export, Limits, Progress, Session, abort, open};
use exportjob_plan::{ExportPlan, Inputs, Outcome, ReportedError, RunReport, build, code};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::{
    args::RunArguments,
    error::Error,
    manifests::{self, Resources},
    output, progress, quantity,
    secrets::{self, Secrets},
    status,
};

/// Name space of the UIDs of local jobs.
const LOCAL_JOBS: Uuid = Uuid::from_u128(0x3f0c_5a4e_9d0b_4c61_8a52_6de1_74c0_11b3);

/// What ended a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Signal,
    Deadline(i64),
}

/// Runs the job of the manifests and prints it.
pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode, Error> {
    let mut resources = manifests::load(&arguments.files, arguments.name.as_deref(), &arguments.volumes)?;
    refuse_waiting(&resources.export_job)?;
    let limits = limits(&resources.export_job, arguments.memory)?;
    let now = Timestamp::now();
    let mut plan = plan(&mut resources, now)?;
    let secrets = secrets::find(&resources, &mut plan)?;
    let mut export_job = resources.export_job;
    status::accepted(&mut export_job, &plan, now.as_millisecond());
    for batch in &plan.batches {
        eprintln!("batch {}", batch.id);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(limits.cores)
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let (report, errors) = runtime.block_on(export(&export_job, &plan, &limits, secrets))?;
    runtime.shutdown_background();
    status::ended(&mut export_job, &report, errors, Timestamp::now().as_millisecond());
    output::print(&export_job, arguments.output)?;
    let succeeded = export_job.status.and_then(|status| status.phase) == Some(Phase::Succeeded);
    Ok(if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn refuse_waiting(export_job: &ExportJob) -> Result<(), Error> {
    let Some(execution) = &export_job.spec.execution else {
        return Ok(());
    };
    if execution.suspend == Some(true) {
        return Err(Error::Input(format!(
            "ExportJob {:?} is suspended (spec.execution.suspend: true): set it to false to run it",
            export_job.name_any()
        )));
    }
    if execution.cancel == Some(true) {
        return Err(Error::Input(format!(
            "ExportJob {:?} is cancelled (spec.execution.cancel: true): leave that out to run it",
            export_job.name_any()
        )));
    }
    Ok(())
}

pub(crate) fn limits(export_job: &ExportJob, memory: Option<usize>) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    let declared = export_job
        .spec
        .execution
        .as_ref()
        .and_then(|execution| execution.resources.as_ref());
    let limit = |name: &str| {
        declared
            .and_then(|resources| resources.limits.get(name))
            .map(|limit| match limit {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => text.clone(),
            })
    };
    let refused =
        |name: &str, message: String| Error::Input(format!("spec.execution.resources.limits.{name}: {message}"));
    if let Some(text) = limit("cpu") {
        limits.cores = quantity::cores(&text).map_err(|message| refused("cpu", message))?;
    }
    match (memory, limit("memory")) {
        (Some(bytes), _) => limits.memory_bytes = bytes,
        (None, Some(text)) => {
            limits.memory_bytes = quantity::bytes(&text).map_err(|message| refused("memory", message))?;
        }
        (None, None) => {}
    }
    limits.spill_path = std::env::temp_dir().join(format!("exportjob-{}", std::process::id()));
    Ok(limits)
}

/// The plan of a new job: the time makes its UID, and so its batches, its own.
pub(crate) fn plan(resources: &mut Resources, now: Timestamp) -> Result<ExportPlan, Error> {
    let export_job = &mut resources.export_job;
    let sources: Vec<String> = resources
        .sources
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let seed = format!(
        "{}\0{}\0{}\0{}\0{}",
        sources.join("\0"),
        export_job.namespace().unwrap_or_default(),
        export_job.name_any(),
        now.as_nanosecond(),
        std::process::id()
    );
    export_job.metadata.uid = Some(Uuid::new_v5(&LOCAL_JOBS, seed.as_bytes()).to_string());
    Ok(build(&Inputs {
        export_job,
        id: now.as_microsecond(),
        created_at_ms: now.as_millisecond(),
        stores: &resources.stores,
        datasets: &resources.datasets,
        definitions: &resources.definitions,
        locate: &resources.locations,
    })?)
}

async fn export(
    export_job: &ExportJob,
    plan: &ExportPlan,
    limits: &Limits,
    secrets: Secrets,
) -> Result<(RunReport, Vec<ReportedError>), Error> {
    let progress = Arc::new(Progress::default());
    let shown = tokio::spawn(progress::show(Arc::clone(&progress)));
    let mut export = Export::new(plan, Arc::clone(&progress), "local");
    export.write_bytes = limits.write_bytes();
    export.credentials.clone_from(&secrets.dataset);
    let stop = export.stop.clone();
    let deadline = export_job
        .spec
        .execution
        .as_ref()
        .and_then(|execution| execution.active_deadline_seconds);
    let stopper = stopper(deadline)?;
    let stopper = tokio::spawn(async move {
        let why = stopper.await;
        stop.cancel();
        why
    });
    let done = match Session::new(limits) {
        Ok(mut session) => {
            session.credentials = secrets.store;
            export.execute(|| open(plan, &session, progress)).await
        }
        Err(error) => Err(error),
    };
    // The folder of spill files is this process's own.
    let _ = tokio::fs::remove_dir_all(&limits.spill_path).await;
    shown.abort();
    let _ = shown.await;
    match done {
        Ok(report) => {
            stopper.abort();
            Ok((report, Vec::new()))
        }
        Err(error) if error.code() == code::INTERRUPTED => {
            let why = stopper.await.unwrap_or(Stopped::Signal);
            Ok(aborted(abort(plan, secrets.dataset.as_ref()).await, why))
        }
        Err(error) => {
            stopper.abort();
            Ok((RunReport::new(Outcome::Failed), vec![error.reported()]))
        }
    }
}

/// The end of an interrupted job: a commit that was faster than the abort stands.
fn aborted(report: exportjob_exporter::Result<RunReport>, why: Stopped) -> (RunReport, Vec<ReportedError>) {
    let reason = match why {
        Stopped::Signal => ReportedError {
            code: code::CANCELLED.to_owned(),
            msg: "the export was interrupted; its batches are aborted and nothing of them is in the dataset".to_owned(),
            call_stack: None,
        },
        Stopped::Deadline(seconds) => ReportedError {
            code: code::DEADLINE_EXCEEDED.to_owned(),
            msg: format!(
                "the export did not end within spec.execution.activeDeadlineSeconds ({seconds} s); its batches are aborted and nothing of them is in the dataset"
            ),
            call_stack: None,
        },
    };
    match report {
        Ok(report) if report.outcome == Outcome::AlreadyCommitted => (report, Vec::new()),
        Ok(report) => (report, vec![reason]),
        Err(error) => (RunReport::new(Outcome::Failed), vec![reason, error.reported()]),
    }
}

/// Ends when somebody asks the process to stop or when the deadline is over.
fn stopper(deadline: Option<i64>) -> Result<impl Future<Output = Stopped> + Send + use<>, Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Start)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Start)?;
    let seconds = deadline.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(async move {
        let over = async {
            match seconds {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => Stopped::Signal,
            _ = terminate.recv() => Stopped::Signal,
            () = over => Stopped::Deadline(deadline.unwrap_or_default()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_job_is_cancelled_unless_it_was_faster() {
        let (_, errors) = aborted(Ok(RunReport::new(Outcome::Aborted)), Stopped::Signal);
        assert_eq!(errors[0].code, code::CANCELLED);
        let (report, errors) = aborted(Ok(RunReport::new(Outcome::AlreadyCommitted)), Stopped::Signal);
        assert_eq!((report.outcome, errors), (Outcome::AlreadyCommitted, Vec::new()));
    }

    #[test]
    fn a_deadline_names_its_field_and_an_abort_that_failed_is_told_too() {
        let failed = exportjob_exporter::Error::new(code::DATASET_UNWRITABLE, "disk full");
        let (report, errors) = aborted(Err(failed), Stopped::Deadline(7));
        assert_eq!(report.outcome, Outcome::Failed);
        assert_eq!(errors[0].code, code::DEADLINE_EXCEEDED);
        assert!(
            errors[0].msg.contains("activeDeadlineSeconds (7 s)"),
            "{}",
            errors[0].msg
        );
        assert_eq!(errors[1].code, code::DATASET_UNWRITABLE);
    }

    #[test]
    fn memory_and_cores_come_from_the_job_unless_the_command_line_says_otherwise() -> Result<(), Error> {
        let mut job = ExportJob::default();
        let resources = exportjob_api::Resources {
            limits: [
                ("memory".to_owned(), IntOrString::String("1Gi".to_owned())),
                ("cpu".to_owned(), IntOrString::Int(3)),
            ]
            .into(),
            ..exportjob_api::Resources::default()
        };
        job.spec.execution = Some(exportjob_api::Execution {
            resources: Some(resources),
            ..exportjob_api::Execution::default()
        });
        let declared = limits(&job, None)?;
        assert_eq!((declared.memory_bytes, declared.cores), (1 << 30, 3));
        assert_eq!(limits(&job, Some(1 << 27))?.memory_bytes, 1 << 27);
        Ok(())
    }
}
