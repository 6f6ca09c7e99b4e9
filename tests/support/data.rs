//! The sample data: stores made of the CDNOW purchases, and the check of what was exported from them.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use exportjob_api::ExportJob;

use crate::programs::{Finished, cache, python, repository, run, succeed, workspace_binary};

/// The raw file with the purchases, downloaded when it is not in the cache.
pub fn raw_file() -> PathBuf {
    let output = succeed(&repository().join("tests/cdnow/store"), &["raw"], b"");
    PathBuf::from(String::from_utf8(output).expect("a path in UTF-8").trim())
}

/// A profile store in which every customer stands `copies` times. It is kept in the cache.
pub fn store(copies: u32) -> PathBuf {
    // Tests are threads of one program, and the store is made once.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = cache().join(format!("cdnow/store-{copies}"));
    let arguments = ["make", folder.to_str().expect("a path in UTF-8"), &copies.to_string()];
    succeed(&repository().join("tests/cdnow/store"), &arguments, b"");
    folder
}

/// The same store written anew with so many buckets, with its manifest in `store.yaml`. It is kept in the cache.
pub fn bucketed_store(copies: u32, buckets: u32) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let plain = store(copies);
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = cache().join(format!("cdnow/store-{copies}-buckets-{buckets}"));
    // The manifest is written last.
    if folder.join("store.yaml").exists() {
        return folder;
    }
    let _ = std::fs::remove_dir_all(&folder);
    let mut volume = OsString::from("/store=");
    volume.push(&plain);
    let buckets = buckets.to_string();
    let manifest = example("profilestore.yaml");
    let arguments: [&OsStr; 9] = [
        "bucket".as_ref(),
        "--store".as_ref(),
        manifest.as_ref(),
        "--buckets".as_ref(),
        buckets.as_ref(),
        "--out".as_ref(),
        folder.as_ref(),
        "--volume".as_ref(),
        &volume,
    ];
    succeed(&workspace_binary("exportjob-exporter"), &arguments, b"");
    folder
}

/// Manifests of `examples/cdnow`, by file name.
pub fn example(name: &str) -> PathBuf {
    repository().join("examples/cdnow").join(name)
}

/// Checks an export row by row and counter by counter against the raw file; `datasets` is the folder with the Delta
/// tables, `copies` how often the store has each customer. Not the exporter but Python's `deltalake` reads the tables.
pub fn verify(export_job: &ExportJob, datasets: &Path, copies: u32) -> Finished {
    let script = repository().join("tests/verify/verify.py");
    let (raw, copies) = (raw_file(), copies.to_string());
    let arguments: [&Path; 7] = [
        &script,
        Path::new("--raw"),
        &raw,
        Path::new("--datasets"),
        datasets,
        Path::new("--copies"),
        Path::new(&copies),
    ];
    run(
        &python(),
        &arguments,
        &serde_json::to_vec(export_job).expect("an ExportJob is JSON"),
    )
}

/// [`verify`] for a store with one copy of each customer; nothing may differ.
pub fn assert_verified(export_job: &ExportJob, datasets: &Path) {
    assert_verified_copies(export_job, datasets, 1);
}

/// [`verify`]; nothing may differ.
pub fn assert_verified_copies(export_job: &ExportJob, datasets: &Path, copies: u32) {
    let finished = verify(export_job, datasets, copies);
    assert!(
        finished.code == Some(0),
        "the export differs from the raw file:\n{}",
        finished.everything()
    );
}
