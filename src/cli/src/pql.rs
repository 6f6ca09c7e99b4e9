//! `pql`: expressions of segments, checked and tried on a profile.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use exportjob_exporter::{Limits, Session, schema_of};
use exportjob_plan::store_plan;
use exportjob_pql::{Clock, Schema, describe, try_on};
use jiff::Timestamp;

use crate::{
    args::{CheckArguments, EvalArguments, PqlCommand},
    error::Error,
    manifests,
};

/// Runs a subcommand; what it says goes to standard output.
pub(crate) fn run(command: &PqlCommand) -> Result<ExitCode, Error> {
    match command {
        PqlCommand::Check(arguments) => check(arguments),
        PqlCommand::Eval(arguments) => eval(arguments),
    }
}

fn check(arguments: &CheckArguments) -> Result<ExitCode, Error> {
    let schema = match &arguments.store {
        Some(manifest) => stored(manifest, &arguments.volumes)?,
        None if arguments.any_type => Schema::any(),
        None => {
            let message = "which fields there are is not known here: add --store with the manifest of a ProfileStore, or --any-type to check everything else";
            return Err(Error::Input(message.to_owned()));
        }
    };
    let text = expression(&arguments.expression)?;
    print!("{}", describe(&text, &schema).map_err(Error::Input)?);
    Ok(ExitCode::SUCCESS)
}

/// The fields that the store of a manifest has.
fn stored(manifest: &Path, volumes: &[(PathBuf, PathBuf)]) -> Result<Schema, Error> {
    let (store, locations) = manifests::store(manifest, volumes)?;
    let mut plan = store_plan(&store, &locations)?;
    // Nothing is mounted here: credentials come from the environment.
    plan.credentials = None;
    let mut limits = Limits::default();
    limits.spill_path = std::env::temp_dir().join(format!("exportjob-{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().map_err(Error::Start)?;
    let opened = Session::new(&limits).and_then(|session| runtime.block_on(schema_of(&plan, &session)));
    // Nothing was spilled; the folder is this process's own.
    let _ = fs::remove_dir_all(&limits.spill_path);
    opened.map_err(Error::Store)
}

fn eval(arguments: &EvalArguments) -> Result<ExitCode, Error> {
    let text = expression(&arguments.expression)?;
    let profile = read(&arguments.profile)?;
    let profile = serde_json::from_str(&profile)
        .map_err(|error| Error::Input(format!("{}: this is not JSON: {error}", arguments.profile.display())))?;
    let now = arguments.now.unwrap_or_else(Timestamp::now);
    let trial = try_on(&text, &profile, &Clock::new(now.as_microsecond())).map_err(Error::Input)?;
    print!("{}", trial.text);
    Ok(if trial.matches == Some(false) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The argument itself, or what standard input has.
fn expression(argument: &str) -> Result<String, Error> {
    if argument == "-" {
        read(Path::new("-"))
    } else {
        Ok(argument.to_owned())
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
