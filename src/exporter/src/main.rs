//! The process in an export pod.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Returns memory to the system and does not fragment under many threads; the C library of a static build does neither.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exportjob_exporter::pod::run(std::env::args_os())
}
