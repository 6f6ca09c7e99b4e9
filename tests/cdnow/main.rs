//! The examples, without a cluster: they are valid, plans can be made of them, and a local run over the sample store
//! gives what the raw file says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use exportjob_api::{ExportJob, Manifest, parse_manifests};
use exportjob_plan::{Inputs, MountedLocations, build};
use exportjob_tests::{
    data,
    programs::{Finished, repository, run, workspace_binary},
};

const SETTINGS: [&str; 3] = ["profilestore.yaml", "datasets.yaml", "segmentdefinitions.yaml"];
const JOBS: [&str; 4] = [
    "exportjob.yaml",
    "exportjob-per-segment.yaml",
    "exportjob-events.yaml",
    "exportjob-incremental.yaml",
];

fn manifests(path: &Path) -> Vec<Manifest> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse_manifests(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_example_is_listed_here_and_valid() {
    let mut found: Vec<String> = fs::read_dir(repository().join("examples/cdnow"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let mut known: Vec<&str> = SETTINGS.into_iter().chain(JOBS).collect();
    known.sort_unstable();
    assert_eq!(found, known);
    for name in known {
        assert!(!manifests(&data::example(name)).is_empty());
    }
}

#[test]
fn a_plan_can_be_made_of_every_example() {
    let (mut stores, mut datasets, mut definitions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for manifest in SETTINGS.into_iter().flat_map(|name| manifests(&data::example(name))) {
        match manifest {
            Manifest::ProfileStore(store) => drop(stores.insert(store.metadata.name.clone().unwrap(), *store)),
            Manifest::Dataset(dataset) => drop(datasets.insert(dataset.metadata.name.clone().unwrap(), *dataset)),
            Manifest::Secret(_) => panic!("the sample needs no Secret"),
            Manifest::SegmentDefinition(found) => {
                drop(definitions.insert(found.metadata.name.clone().unwrap(), *found));
            }
            Manifest::ExportJob(job) => panic!("{:?} is no setting", job.metadata.name),
        }
    }
    for name in JOBS {
        let Some(Manifest::ExportJob(export_job)) = manifests(&data::example(name)).pop() else {
            panic!("{name}")
        };
        let inputs = Inputs {
            export_job: &export_job,
            id: 1,
            created_at_ms: 0,
            stores: &stores,
            datasets: &datasets,
            definitions: &definitions,
            locate: &MountedLocations,
        };
        build(&inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_body_of_the_api_page_is_an_example_and_valid() {
    let Some(Manifest::ExportJob(job)) = manifests(&repository().join("examples/api-body.yaml")).pop() else {
        panic!()
    };
    assert_eq!(job.spec.evaluation_info.unwrap().segmentation, Some(true));
}

/// Runs one example without a cluster, its datasets below `folder`.
fn run_locally(name: &str, folder: &Path) -> Finished {
    let mut arguments: Vec<OsString> = vec!["run".into(), "-o".into(), "json".into()];
    for file in SETTINGS.into_iter().chain([name]) {
        arguments.extend(["-f".into(), data::example(file).into()]);
    }
    for (mount, folder) in [("/store", data::store(1)), ("/datasets", folder.to_owned())] {
        let mut mapped = OsString::from(format!("{mount}="));
        mapped.push(folder);
        arguments.extend(["--volume".into(), mapped]);
    }
    run(&workspace_binary("kubectl-exportjob"), &arguments, b"")
}

fn finished_job(name: &str, finished: &Finished) -> ExportJob {
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.everything());
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|error| panic!("{name}: {error}: {}", finished.text()))
}

#[test]
fn a_local_run_of_each_example_gives_what_the_raw_file_says() {
    let folder = tempfile::tempdir().unwrap();
    // One after the other into the same datasets: later jobs add columns to what earlier ones wrote.
    let jobs: Vec<ExportJob> = JOBS
        .iter()
        .map(|name| finished_job(name, &run_locally(name, folder.path())))
        .collect();
    for job in &jobs {
        data::assert_verified(job, folder.path());
    }
}
