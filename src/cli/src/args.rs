//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Work with export jobs. As a kubectl plugin: `kubectl exportjob …`.
#[derive(Debug, Parser)]
#[command(name = "kubectl-exportjob", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an ExportJob here, without a cluster
    Run(RunArguments),
    /// Say what an ExportJob would read and whom it would reach, without writing anything
    Explain(ExplainArguments),
    /// Check the expression of a segment, or try it on a profile
    Pql {
        #[command(subcommand)]
        command: PqlCommand,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PqlCommand {
    /// Say whether an expression is right, and what is wrong with it
    #[command(after_help = "Exit code: 0 it is right; 1 the store cannot be read; 2 it is wrong, or other bad input.")]
    Check(CheckArguments),
    /// Say whether a profile matches an expression, and why
    #[command(after_help = "Exit code: 0 the profile matches; 1 it does not; 2 bad input.")]
    Eval(EvalArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Expression, as pql/text or pql/json; `-` for standard input
    #[arg(value_name = "EXPR")]
    pub(crate) expression: String,
    /// Manifest with a ProfileStore: fields are those that its tables have
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// Folder that stands for what a cluster mounts at a path, such as /store=./data. May be given several times
    #[arg(long = "volume", value_name = "PATH=DIR", value_parser = volume, requires = "store")]
    pub(crate) volumes: Vec<(PathBuf, PathBuf)>,
    /// Accept fields of any name and type
    #[arg(long, conflicts_with = "store")]
    pub(crate) any_type: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
    /// Expression, as pql/text or pql/json; `-` for standard input
    #[arg(value_name = "EXPR")]
    pub(crate) expression: String,
    /// Profile as JSON, its events in xEvent or timeSeriesEvents; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: PathBuf,
    /// Time of the evaluation, such as 2024-06-15T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<jiff::Timestamp>,
}

const RUN_HELP: &str = "\
The manifests are the ones that a cluster takes: an ExportJob, its ProfileStore and its Dataset (and SegmentDefinitions),
as several documents of one file or as several files. They are checked by the same rules. Locations may also be paths,
relative to the manifest that has them. Each run is a job of its own, with batch ids of its own.

Of spec.execution, resources.limits and activeDeadlineSeconds hold here as well. These matter on a cluster only: image,
imagePullPolicy, resources.requests, shards, backoffLimit, ttlSecondsAfterFinished, serviceAccountName, queueName,
podTemplate. A job with suspend or cancel is refused.

Exit code: 0 the batches are in the dataset; 1 the export failed or was interrupted, and nothing is; 2 bad input.";

#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub(crate) struct RunArguments {
    /// Manifest to read; `-` for standard input. May be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Folder that stands for what a cluster mounts at a path, such as /store=./data. May be given several times
    #[arg(long = "volume", value_name = "PATH=DIR", value_parser = volume)]
    pub(crate) volumes: Vec<(PathBuf, PathBuf)>,
    /// How the job is printed when it has ended
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Which ExportJob to run, where the manifests have several
    #[arg(long, value_name = "JOB")]
    pub(crate) name: Option<String>,
    /// Memory that the export may use, such as 2Gi [default: spec.execution.resources.limits.memory, else 2Gi]
    #[arg(long, value_name = "QUANTITY", value_parser = crate::quantity::bytes)]
    pub(crate) memory: Option<usize>,
}

const EXPLAIN_HELP: &str = "\
The manifests are those of `run`. Without --exact no row is read but the memberships' that say who is in a segment; a
segment's size is then at most what is printed: a profile counts once for each of its identities that are listed.
With --exact the audience is counted by merging its profiles, of which only what decides about it is read.

Exit code: 0 it was explained; 1 the store cannot be read; 2 bad input.";

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub(crate) struct ExplainArguments {
    /// Manifest to read; `-` for standard input. May be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Folder that stands for what a cluster mounts at a path, such as /store=./data. May be given several times
    #[arg(long = "volume", value_name = "PATH=DIR", value_parser = volume)]
    pub(crate) volumes: Vec<(PathBuf, PathBuf)>,
    /// How the explanation is printed
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Which ExportJob to explain, where the manifests have several
    #[arg(long, value_name = "JOB")]
    pub(crate) name: Option<String>,
    /// Memory that it may use, such as 2Gi [default: spec.execution.resources.limits.memory, else 2Gi]
    #[arg(long, value_name = "QUANTITY", value_parser = crate::quantity::bytes)]
    pub(crate) memory: Option<usize>,
    /// Count the audience instead of estimating it
    #[arg(long)]
    pub(crate) exact: bool,
}

/// How the job is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A few lines for people
    Table,
    /// The whole ExportJob with its status
    Yaml,
    /// The whole ExportJob with its status
    Json,
}

fn volume(text: &str) -> Result<(PathBuf, PathBuf), String> {
    let (mount, folder) = text.split_once('=').ok_or("expected PATH=DIR, such as /store=./data")?;
    let mount = PathBuf::from(mount);
    if !mount.is_absolute() {
        return Err(format!(
            "{} must be an absolute path: the one at which a cluster mounts the volume",
            mount.display()
        ));
    }
    let folder = std::path::absolute(folder).map_err(|error| format!("{folder:?}: {error}"))?;
    Ok((mount, folder))
}
