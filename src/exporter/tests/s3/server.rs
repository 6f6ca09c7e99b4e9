//! The server: a process of its own, on a socket in its own folder, gone with the test.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use exportjob_exporter::Credentials;
use tempfile::TempDir;
use url::Url;

use super::proxy::Proxy;

pub const ACCESS_KEY: &str = "AKIDEXPORTJOBTEST";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const REGION: &str = "eu-test-1";
pub const BUCKET: &str = "lake";
/// Certificate of the authority.
pub const AUTHORITY: &str = include_str!("tls/ca.pem");

/// A server with one bucket. Objects are files below [`Server::bucket`].
pub struct Server {
    folder: TempDir,
    child: Child,
    /// The server ends when this end of its pipe is closed, also if the test is killed.
    leash: Option<ChildStdin>,
}

impl Server {
    /// Starts one.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one that speaks TLS, with a certificate for 127.0.0.1 that [`AUTHORITY`] has signed.
    pub fn with_tls() -> Self {
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporter/tests/s3/tls");
        let file = |name: &str| tls.join(name).display().to_string();
        Self::with(&["--cert", &file("server.pem"), "--key", &file("server.key")])
    }

    fn with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root").join(BUCKET)).unwrap();
        let socket = folder.path().join("s3.sock");
        let script = "\"$0\" \"$@\" <&- & server=$!; read -r _; kill $server; wait $server";
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(script)
            .arg(program())
            .args([
                "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION, "--quiet",
            ])
            .args(options)
            .arg("--port")
            .arg(&socket)
            .args(["posix", "--default-etag", "d41d8cd98f00b204e9800998ecf8427e"])
            .arg(folder.path().join("root"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let leash = child.stdin.take().unwrap();
        // It listens or has ended: there is nothing else to wait for.
        while UnixStream::connect(&socket).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the S3 server did not start");
            std::thread::yield_now();
        }
        Self {
            folder,
            child,
            leash: Some(leash),
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s3.sock")
    }

    /// Folder with the objects of the bucket.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("root").join(BUCKET)
    }

    /// Parts of uploads that are neither completed nor aborted.
    pub fn parts(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.bucket().join(".sgwtmp"), &mut found);
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A shell that was killed could not end the server any more.
        drop(self.leash.take());
        let _ = self.child.wait();
    }
}

/// What a Secret for the server behind `proxy` holds, and `more`.
pub fn keys(proxy: &Proxy, more: &[(&str, &str)]) -> Credentials {
    let endpoint = proxy.endpoint();
    let mut keys = BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ]);
    keys.extend(more.iter().copied());
    let keys = keys
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    Credentials::new("lake-keys", keys).unwrap()
}

/// All files below `folder`.
pub fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// URL of a prefix of the bucket.
pub fn url(prefix: &str) -> Url {
    Url::parse(&format!("s3://{BUCKET}/{prefix}/")).unwrap()
}

fn program() -> PathBuf {
    let shared = || match std::env::var_os("XDG_CACHE_HOME") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
    };
    let cache = std::env::var_os("EXPORTJOB_CACHE").map_or_else(|| shared().join("exportjob-operator"), PathBuf::from);
    let path = cache.join("bin/versitygw");
    assert!(path.exists(), "{} is not there: run 'make setup' first", path.display());
    path
}
