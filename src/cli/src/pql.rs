//! `pql`: expressions of segments, checked and tried on a profile.

use std::{fs, io::Read as _, path::Path, process::ExitCode};

use exportjob_pql::{Clock, Schema, describe, try_on};
use jiff::Timestamp;

use crate::{
    args::{CheckArguments, EvalArguments, PqlCommand},
    error::Error,
};

/// Runs a subcommand; what it says goes to standard output.
pub(crate) fn run(command: &PqlCommand) -> Result<ExitCode, Error> {
    match command {
        PqlCommand::Check(arguments) => check(arguments),
        PqlCommand::Eval(arguments) => eval(arguments),
    }
}

fn check(arguments: &CheckArguments) -> Result<ExitCode, Error> {
    if !arguments.any_type {
        let message = "which fields there are is not known here: add --any-type to check everything else";
        return Err(Error::Input(message.to_owned()));
    }
    let text = expression(&arguments.expression)?;
    print!("{}", describe(&text, &Schema::any()).map_err(Error::Input)?);
    Ok(ExitCode::SUCCESS)
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
