//! `kubectl-exportjob`: a kubectl plugin that runs and explains an ExportJob without a cluster.
#![forbid(unsafe_code)]

mod args;
mod error;
mod explain;
mod locations;
mod manifests;
mod output;
mod pql;
mod progress;
mod quantity;
mod run;
mod secrets;
mod status;

use std::process::ExitCode;

use clap::Parser;

/// Returns memory to the system and does not fragment under many threads; the C library of a static build does neither.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,deltalake_core=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let outcome = match args::Arguments::parse().command {
        args::Command::Run(arguments) => run::run(&arguments),
        args::Command::Explain(arguments) => explain::run(&arguments),
        args::Command::Pql { command } => pql::run(&command),
        args::Command::Version => {
            println!("kubectl-exportjob {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        error.exit_code()
    })
}
