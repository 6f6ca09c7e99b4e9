//! Data into the volumes of a test and out of them, through a pod with a shell.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde::Deserialize as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    data, operator,
    programs::{self, Finished, succeed, tool},
    space::Space,
    wait,
};

/// The pod that mounts both volumes.
const TOOLBOX: &str = "toolbox";

impl Space {
    /// Makes the claims of the examples and a pod that mounts both.
    pub async fn make_volumes(&self) {
        for object in documents(&data::example("cluster/volumes.yaml")) {
            self.create_object::<PersistentVolumeClaim>(object).await;
        }
        for mut object in documents(&data::example("cluster/toolbox.yaml")) {
            object["spec"]["containers"][0]["image"] = operator::toolbox_image().into();
            self.create_object::<Pod>(object).await;
        }
        wait::until_it(self.api::<Pod>(), TOOLBOX, "running", |pod| {
            pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        })
        .await;
    }

    /// Makes the volumes, with a store in which every customer stands `copies` times, and applies the store, the
    /// datasets and the segments of the examples.
    pub async fn furnish(&self, copies: u32) {
        self.make_volumes().await;
        self.carry_in(&data::store(copies), "/store");
        self.apply_settings();
    }

    /// Copies the content of a folder of this machine into a folder of the volumes.
    pub fn carry_in(&self, from: &Path, to: &str) {
        let archive = succeed(Path::new("tar"), &["-C", operator::path(from), "-c", "."], b"");
        self.shell(&format!("mkdir -p {to} && tar -x -C {to}"), &archive);
    }

    /// Copies all datasets to this machine.
    pub fn carry_out(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let archive = self.shell("tar -c -C /datasets .", b"");
        succeed(Path::new("tar"), &["-C", operator::path(folder.path()), "-x"], &archive);
        folder
    }

    /// Runs a line of shell where the volumes are, which must succeed, and returns what it printed.
    pub fn shell(&self, line: &str, input: &[u8]) -> Vec<u8> {
        let Finished { code, stdout, stderr } = programs::run(&tool("kubectl"), &self.exec(line), input);
        assert_eq!(code, Some(0), "{line}: {stderr}");
        stdout
    }

    fn exec(&self, line: &str) -> [String; 9] {
        [
            "--namespace",
            &self.name,
            "exec",
            "--stdin",
            TOOLBOX,
            "--",
            "sh",
            "-c",
            line,
        ]
        .map(str::to_owned)
    }

    /// Data files of a batch that lie in the datasets' volume, committed or not.
    pub fn files_of(&self, batch: &str) -> Vec<String> {
        let found = self.shell(&format!("find /datasets -path '*_batchId={batch}*' -type f"), b"");
        String::from_utf8_lossy(&found).lines().map(str::to_owned).collect()
    }

    /// Number of commits in the Delta logs of the volume that speak of the batch's transaction with that version: 1 is a
    /// commit of the batch, 2 an abort.
    pub fn transactions_of(&self, batch: &str, version: i64) -> usize {
        let logs = self.shell(
            // The files of a log need not end with a line break.
            "find /datasets -path '*/_delta_log/*.json' -exec sh -c 'cat \"$1\"; echo' sh {} \\;",
            b"",
        );
        let lines = String::from_utf8_lossy(&logs);
        let actions = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        actions
            .filter(|action| action["txn"]["appId"] == batch && action["txn"]["version"] == version)
            .count()
    }
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .collect()
}
