//! Programs that the tests start, and places on this machine.

use std::{
    env,
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Root of the checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is below the root")
        .to_owned()
}

/// The cache folder, as `tests/env.sh` finds it.
pub fn cache() -> PathBuf {
    let own = env::var_os("EXPORTJOB_CACHE").map(PathBuf::from);
    let shared = || match env::var_os("XDG_CACHE_HOME") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache"),
    };
    own.unwrap_or_else(|| shared().join("exportjob-operator"))
}

/// A program of this workspace, built beside the test that asks.
pub fn workspace_binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test knows its own path");
    let profile = test.ancestors().nth(2).expect("tests run in target/PROFILE/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is not there: run 'make build' first", path.display());
    path
}

/// The Python that `make setup` installs.
pub fn python() -> PathBuf {
    let path = cache().join("venv/bin/python");
    assert!(path.exists(), "{} is not there: run 'make setup' first", path.display());
    path
}

/// A program of the cache's `bin`, or of the `PATH`.
pub fn tool(name: &str) -> PathBuf {
    let own = cache().join("bin").join(name);
    if own.exists() { own } else { PathBuf::from(name) }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Both outputs, for messages.
    pub fn everything(&self) -> String {
        format!("{}{}", self.text(), self.stderr)
    }
}

/// Runs a program to its end with `input` on standard input.
pub fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A], input: &[u8]) -> Finished {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let input = input.to_vec();
    // In a thread of its own, or a full pipe in each direction would stop both programs.
    let feeder = std::thread::spawn(move || {
        // A program that does not want its input closes the pipe.
        let _ = stdin.write_all(&input);
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    feeder.join().expect("the feeder ends");
    Finished {
        code: status.code(),
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Runs a program that must succeed, and returns its standard output.
pub fn succeed<A: AsRef<OsStr>>(program: &Path, arguments: &[A], input: &[u8]) -> Vec<u8> {
    let finished = run(program, arguments, input);
    let shown: Vec<_> = arguments
        .iter()
        .map(|argument| argument.as_ref().to_string_lossy())
        .collect();
    assert!(
        finished.code == Some(0),
        "{} {} ended with {:?}:\n{}",
        program.display(),
        shown.join(" "),
        finished.code,
        finished.everything()
    );
    finished.stdout
}
