//! `exportjob-controller`: reconciles ExportJobs until it is told to stop.

use std::process::ExitCode;

use exportjob_controller::{
    args::{ReadyArgs, Task},
    ready, setup,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Task::try_parse_from(std::env::args_os()) {
        Ok(Task::Reconcile(args)) => args,
        Ok(Task::Ready(args)) => return ask(args).await,
        Err(message) => message.exit(),
    };
    match setup::run(*args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the controller ends");
            ExitCode::FAILURE
        }
    }
}

async fn ask(args: ReadyArgs) -> ExitCode {
    match ready::ask(&args.url).await {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
