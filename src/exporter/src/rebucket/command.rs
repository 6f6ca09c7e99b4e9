//! `exportjob-exporter bucket`: a manifest and a folder in; bucketed tables and their manifest out.

use std::{fs, io, path::PathBuf, sync::Arc};

use clap::Args;
use exportjob_api::{Bucketing, Manifest, ProfileStore, Table, TableFormat, parse_manifests};
use exportjob_plan::{LocalLocations, code};

use super::{KEY_COLUMN, Rebucket, Rewritten};
use crate::{Error, Limits, Progress, Result, Session, error::unwritable};

/// Name of the new store's manifest, which is written last: where it is, the tables are whole.
const MANIFEST: &str = "store.yaml";

/// Writes a profile store anew as a bucketed one.
#[derive(Debug, Args)]
#[command(
    after_help = "Each table is read once per kind and sorted on disk where memory does not suffice (EXPORTJOB_MEMORY_LIMIT bytes,\nEXPORTJOB_CPU_LIMIT cores). OUT must be empty or absent. When OUT/store.yaml is there, the tables are whole."
)]
pub(crate) struct BucketArguments {
    /// Manifest with the ProfileStore.
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// Which ProfileStore, where the manifest has several.
    #[arg(long)]
    name: Option<String>,
    /// Number of buckets: at least as many as shards will ever share an export.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    buckets: u32,
    /// Folder for the new tables.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder that stands for what a cluster mounts at a path, such as /store=./data.
    #[arg(long, value_name = "PATH=DIR", value_parser = volume)]
    volume: Vec<(PathBuf, PathBuf)>,
}

fn volume(text: &str) -> Result<(PathBuf, PathBuf), String> {
    match text.split_once('=') {
        Some((mount, folder)) if !mount.is_empty() && !folder.is_empty() => Ok((mount.into(), folder.into())),
        _ => Err("write it as PATH=DIR, such as /store=./data".to_owned()),
    }
}

impl BucketArguments {
    /// Rewrites the store.
    pub async fn run(&self, limits: &Limits) -> Result<Rewritten> {
        let store = self.read()?;
        let base = self.store.parent().map(PathBuf::from).unwrap_or_default();
        let locations = LocalLocations {
            base: absolute(&base)?,
            volumes: self.volume.clone(),
        };
        let mut plan = exportjob_plan::store_plan(&store, &locations)
            .map_err(|error| Error::new(error.code(), error.to_string()).caused_by(error))?;
        // A Secret that is not mounted leaves the environment.
        plan.credentials.take_if(|credentials| !credentials.folder.is_dir());
        self.prepare()?;
        let rebucket = Rebucket {
            buckets: self.buckets,
            folder: self.out.clone(),
        };
        let session = Session::new(limits)?;
        let rewritten = rebucket.run(&plan, &session, &Arc::new(Progress::default())).await?;
        self.write_manifest(&store, &rewritten)?;
        Ok(rewritten)
    }

    fn read(&self) -> Result<ProfileStore> {
        let invalid = |message: String| Error::new(code::INVALID_STORE, format!("{}: {message}", self.store.display()));
        let text = fs::read_to_string(&self.store).map_err(|error| invalid(format!("cannot be read: {error}")))?;
        let manifests = parse_manifests(&text).map_err(|error| invalid(error.to_string()))?;
        let stores = manifests.into_iter().filter_map(|manifest| match manifest {
            Manifest::ProfileStore(store) => Some(*store),
            _ => None,
        });
        let mut stores: Vec<ProfileStore> = stores
            .filter(|store| self.name.is_none() || store.metadata.name == self.name)
            .collect();
        match (stores.pop(), stores.is_empty()) {
            (Some(store), true) => Ok(store),
            (Some(_), false) => Err(invalid("has several ProfileStores: say which with --name".to_owned())),
            (None, _) => Err(invalid("has no such ProfileStore".to_owned())),
        }
    }

    /// Old files beside new ones would be read as one table.
    fn prepare(&self) -> Result<()> {
        let failed = |error: io::Error| unwritable(format!("cannot use the folder {}", self.out.display()), error);
        fs::create_dir_all(&self.out).map_err(failed)?;
        if fs::read_dir(&self.out).map_err(failed)?.next().is_some() {
            return Err(Error::new(
                code::DATASET_UNUSABLE,
                format!(
                    "the folder {} is not empty: name another, or empty it",
                    self.out.display()
                ),
            ));
        }
        Ok(())
    }

    fn write_manifest(&self, store: &ProfileStore, rewritten: &Rewritten) -> Result<()> {
        let mut store = store.clone();
        let mount = store.spec.mount_path().trim_end_matches('/').to_owned();
        let table = |kind: &str| {
            rewritten.tables.iter().find(|(name, _)| *name == kind).map(|_| Table {
                location: format!("file://{mount}/{kind}"),
                format: TableFormat::Parquet,
                bucketing: Some(Bucketing {
                    column: KEY_COLUMN.to_owned(),
                    count: i32::try_from(self.buckets).unwrap_or(i32::MAX),
                    sorted: Some(true),
                }),
                ..Table::default()
            })
        };
        let tables = &mut store.spec.tables;
        tables.fragments = table("fragments").into_iter().collect();
        tables.events = table("events").into_iter().collect();
        tables.identities = table("identities").into_iter().collect();
        tables.memberships = table("memberships").into_iter().collect();
        let path = self.out.join(MANIFEST);
        let failed = |error: io::Error| unwritable(format!("cannot write {}", path.display()), error);
        let text = serde_yaml::to_string(&store).map_err(|error| failed(io::Error::other(error)))?;
        fs::write(&path, text).map_err(failed)
    }
}

fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    let path = if path.as_os_str().is_empty() {
        std::path::Path::new(".")
    } else {
        path
    };
    std::path::absolute(path).map_err(|error| {
        Error::new(
            code::INVALID_STORE,
            format!("the folder {} has no path: {error}", path.display()),
        )
    })
}
