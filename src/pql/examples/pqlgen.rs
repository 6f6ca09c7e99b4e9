//! Writes the reference of the language: `cargo run -p exportjob-pql --example pqlgen`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    dead_code
)]

#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    let path = support::page_path();
    std::fs::write(&path, support::page(&support::table()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("{}", path.display());
}
