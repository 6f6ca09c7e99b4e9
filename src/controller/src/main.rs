//! `exportjob-controller`: reconciles ExportJobs until it is told to stop.

use std::process::ExitCode;

use clap::Parser as _;
use exportjob_controller::{args::Args, setup};

#[tokio::main]
async fn main() -> ExitCode {
    match setup::run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the controller ends");
            ExitCode::FAILURE
        }
    }
}
