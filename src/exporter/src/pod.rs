//! The process in an export pod: arguments and environment in, exit code and report out.

use std::{ffi::OsString, future::Future, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand};
use exportjob_plan::{ExportPlan, Outcome, RunReport, code, exit, pod};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Error, Export, Limits, Progress, Result, Session, Shard, abort, logging, open_shard,
    rebucket::command::BucketArguments,
    report::{failure, read_plan, write_report},
    serve::serve,
};

/// Executes the plan of an ExportJob.
#[derive(Debug, Parser)]
#[command(name = "exportjob-exporter", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export and commit the batches of a plan.
    Run(Files),
    /// Abort the batches of a plan, unless they are committed.
    Abort(Files),
    /// Write a profile store anew as a bucketed one.
    Bucket(BucketArguments),
}

#[derive(Debug, Args)]
struct Files {
    /// The plan, as JSON.
    #[arg(long, value_name = "FILE", default_value = pod::PLAN_PATH)]
    plan: PathBuf,
    /// Where the report goes, as JSON of at most 4096 bytes.
    #[arg(long, value_name = "FILE", default_value = pod::TERMINATION_LOG)]
    termination_log: PathBuf,
}

/// Runs the process with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    logging::init();
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(message) => {
            let _ = message.print();
            // 2, which clap would choose, is left to others by the failure policy.
            return if message.use_stderr() {
                exit::USER_ERROR
            } else {
                exit::DONE
            }
            .into();
        }
    };
    // Two crates bring two providers, so that none is the default by itself. An error says that one is set already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let files = match &arguments.command {
        Command::Run(files) | Command::Abort(files) => files,
        Command::Bucket(bucket) => return rebucket(bucket),
    };
    let (report, exit_code) = match start(&arguments.command, files) {
        Ok(report) => (report, exit::DONE),
        Err(error) => {
            tracing::error!(code = error.code(), %error, "failed");
            (failure(&error), error.exit_code())
        }
    };
    write_report(&files.termination_log, &report);
    exit_code.into()
}

/// Rewrites a store, and says in words what came of it: no controller reads this.
fn rebucket(arguments: &BucketArguments) -> ExitCode {
    let done = Limits::from_env().and_then(|limits| {
        let runtime = threads(&limits)?;
        runtime.block_on(unless_terminated("the rewriting", arguments.run(&limits)))
    });
    match done {
        Ok(rewritten) => {
            for (table, rows) in rewritten.tables {
                println!("{table}: {rows} rows");
            }
            exit::DONE.into()
        }
        Err(error) => {
            eprintln!("{}: {error}", error.code());
            error.exit_code().into()
        }
    }
}

fn threads(limits: &Limits) -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(limits.cores)
        .enable_all()
        .build()
        .map_err(|error| Error::new(code::INTERNAL, format!("cannot start threads: {error}")).caused_by(error))
}

fn start(command: &Command, files: &Files) -> Result<RunReport> {
    let plan = read_plan(&files.plan)?;
    let limits = Limits::from_env()?;
    let span = tracing::info_span!(
        "export",
        namespace = plan.job.namespace,
        export_job = plan.job.name,
        uid = plan.job.uid,
        id = plan.job.id
    );
    let runtime = threads(&limits)?;
    let done = runtime.block_on(
        async {
            match command {
                Command::Abort(_) => stop_for_ever(&plan).await,
                _ => export(&plan, limits).await,
            }
        }
        .instrument(span),
    );
    // Work of others that cannot be stopped, such as a read that hangs, must not keep the pod.
    runtime.shutdown_background();
    done
}

async fn stop_for_ever(plan: &ExportPlan) -> Result<RunReport> {
    let done = unless_terminated("the abort", abort(plan, None)).await?;
    if done.outcome == Outcome::AlreadyCommitted {
        tracing::info!("the batches were committed before they could be aborted: they stay");
    }
    Ok(done)
}

async fn export(plan: &ExportPlan, limits: Limits) -> Result<RunReport> {
    let progress = Arc::new(Progress::default());
    let server = tokio::spawn(serve(pod::PROGRESS_PORT, Arc::clone(&progress)));
    let name = std::env::var(pod::POD_NAME_ENV).unwrap_or_else(|_| "local".to_owned());
    let mut export = Export::new(plan, Arc::clone(&progress), &name);
    export.write_bytes = limits.write_bytes();
    let shard = Shard::of_pod(std::env::var(pod::SHARD_ENV).ok().as_deref(), plan.shards)?;
    export.shard = shard;
    let stop = export.stop.clone();
    let signals = tokio::spawn(stop_on_signal(stop)?);
    let session = Session::new(&limits)?;
    let done = export
        .execute(|| open_shard(plan, &session, progress, shard.unwrap_or(Shard::ALL)))
        .await;
    signals.abort();
    server.abort();
    done
}

/// Cancels `stop` at the first SIGTERM or SIGINT. Process 1 of a container has no handler but its own.
fn stop_on_signal(stop: CancellationToken) -> Result<impl Future<Output = ()> + Send + use<>> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Error::new(code::INTERNAL, format!("cannot listen to signals: {error}")).caused_by(error))
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        stop.cancel();
    })
}

/// For work that may be repeated: it stops at once.
async fn unless_terminated<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(stop.clone())?);
    let done = tokio::select! {
        done = work => done,
        () = stop.cancelled() => Err(Error::new(code::INTERRUPTED, format!("{what} was stopped before it was done: run it again"))),
    };
    signals.abort();
    done
}
