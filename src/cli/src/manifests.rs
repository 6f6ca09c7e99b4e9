//! The resources out of the manifests.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use exportjob_api::{Dataset, ExportJob, Manifest, ProfileStore, SecretManifest, SegmentDefinition, parse_manifests};
use kube::ResourceExt;

use crate::{
    error::Error,
    locations::{Locations, resource},
};

/// Namespace of resources that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// One job and the resources of its namespace.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) export_job: ExportJob,
    pub(crate) stores: BTreeMap<String, ProfileStore>,
    pub(crate) datasets: BTreeMap<String, Dataset>,
    pub(crate) definitions: BTreeMap<String, SegmentDefinition>,
    pub(crate) secrets: BTreeMap<String, SecretManifest>,
    pub(crate) locations: Locations,
    /// The files, as absolute paths.
    pub(crate) sources: Vec<PathBuf>,
}

/// A resource and the folder of its manifest.
struct Found {
    manifest: Manifest,
    folder: PathBuf,
    source: PathBuf,
}

/// Reads all files; chooses the only ExportJob, or the one called `name`.
pub(crate) fn load(files: &[PathBuf], name: Option<&str>, volumes: &[(PathBuf, PathBuf)]) -> Result<Resources, Error> {
    let mut found = Vec::new();
    let mut sources = Vec::new();
    for file in files {
        let (source, folder, text) = read(file)?;
        let manifests = parse_manifests(&text).map_err(|error| Error::Manifest {
            path: source.clone(),
            source: Box::new(error),
        })?;
        found.extend(manifests.into_iter().map(|manifest| Found {
            manifest,
            folder: folder.clone(),
            source: source.clone(),
        }));
        sources.push(source);
    }
    refuse_duplicates(&found)?;
    let export_job = choose(&found, name)?;
    let namespace = export_job.namespace();
    let mut resources = Resources {
        export_job,
        stores: BTreeMap::new(),
        datasets: BTreeMap::new(),
        definitions: BTreeMap::new(),
        secrets: BTreeMap::new(),
        locations: Locations {
            folders: BTreeMap::new(),
            volumes: volumes.to_vec(),
        },
        sources,
    };
    for found in found.into_iter().filter(|found| Some(found.namespace()) == namespace) {
        resources.add(found);
    }
    Ok(resources)
}

/// The only ProfileStore of a file, and where its tables are.
pub(crate) fn store(file: &Path, volumes: &[(PathBuf, PathBuf)]) -> Result<(ProfileStore, Locations), Error> {
    let (source, folder, text) = read(file)?;
    let manifests = parse_manifests(&text).map_err(|error| Error::Manifest {
        path: source.clone(),
        source: Box::new(error),
    })?;
    let stores = manifests.into_iter().filter_map(|manifest| match manifest {
        Manifest::ProfileStore(store) => Some(*store),
        _ => None,
    });
    let mut stores: Vec<ProfileStore> = stores.collect();
    let (Some(store), true) = (stores.pop(), stores.is_empty()) else {
        let found = if stores.is_empty() {
            "no ProfileStore"
        } else {
            "several ProfileStores"
        };
        return Err(Error::Input(format!(
            "{}: there is {found}: give a file that has one",
            source.display()
        )));
    };
    let locations = Locations {
        folders: BTreeMap::from([(resource("ProfileStore", &store.name_any()), folder)]),
        volumes: volumes.to_vec(),
    };
    Ok((store, locations))
}

impl Resources {
    fn add(&mut self, found: Found) {
        let (kind, name) = (found.kind(), found.name());
        self.locations.folders.insert(resource(kind, &name), found.folder);
        match found.manifest {
            Manifest::ExportJob(_) => {}
            Manifest::ProfileStore(store) => drop(self.stores.insert(name, *store)),
            Manifest::Dataset(dataset) => drop(self.datasets.insert(name, *dataset)),
            Manifest::SegmentDefinition(definition) => drop(self.definitions.insert(name, *definition)),
            Manifest::Secret(secret) => drop(self.secrets.insert(name, *secret)),
        }
    }
}

impl Found {
    fn kind(&self) -> &'static str {
        match self.manifest {
            Manifest::ExportJob(_) => "ExportJob",
            Manifest::ProfileStore(_) => "ProfileStore",
            Manifest::Dataset(_) => "Dataset",
            Manifest::SegmentDefinition(_) => "SegmentDefinition",
            Manifest::Secret(_) => "Secret",
        }
    }

    fn name(&self) -> String {
        match &self.manifest {
            Manifest::ExportJob(job) => job.name_any(),
            Manifest::ProfileStore(store) => store.name_any(),
            Manifest::Dataset(dataset) => dataset.name_any(),
            Manifest::SegmentDefinition(definition) => definition.name_any(),
            Manifest::Secret(secret) => secret.metadata.name.clone().unwrap_or_default(),
        }
    }

    fn namespace(&self) -> String {
        let namespace = match &self.manifest {
            Manifest::ExportJob(job) => job.namespace(),
            Manifest::ProfileStore(store) => store.namespace(),
            Manifest::Dataset(dataset) => dataset.namespace(),
            Manifest::SegmentDefinition(definition) => definition.namespace(),
            Manifest::Secret(secret) => secret.metadata.namespace.clone(),
        };
        namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
    }
}

/// Path and folder of a file, both absolute, and its text.
fn read(file: &Path) -> Result<(PathBuf, PathBuf, String), Error> {
    let failed = |source| Error::Read {
        path: file.to_owned(),
        source,
    };
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        let folder = std::env::current_dir().map_err(failed)?;
        return Ok((PathBuf::from("standard input"), folder, text));
    }
    let path = file.canonicalize().map_err(failed)?;
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok((path, folder, text))
}

fn refuse_duplicates(found: &[Found]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for found in found {
        let (kind, namespace, name) = (found.kind(), found.namespace(), found.name());
        if name.is_empty() {
            return Err(Error::Input(format!(
                "{}: a {kind} has no metadata.name",
                found.source.display()
            )));
        }
        if !seen.insert((kind, namespace.clone(), name.clone())) {
            return Err(Error::Input(format!(
                "{}: {kind} {name:?} stands in the manifests twice (namespace {namespace:?}): keep one of them",
                found.source.display()
            )));
        }
    }
    Ok(())
}

fn choose(found: &[Found], name: Option<&str>) -> Result<ExportJob, Error> {
    let jobs: Vec<_> = found
        .iter()
        .filter_map(|found| match &found.manifest {
            Manifest::ExportJob(job) => Some((job, found.namespace())),
            _ => None,
        })
        .collect();
    let chosen: Vec<_> = jobs
        .iter()
        .filter(|(job, _)| name.is_none_or(|name| job.name_any() == name))
        .collect();
    match (chosen.as_slice(), name) {
        ([(job, namespace)], _) => {
            let mut job = ExportJob::clone(job);
            job.metadata.namespace = Some(namespace.clone());
            Ok(job)
        }
        ([], None) => Err(Error::Input(
            "the manifests have no ExportJob: give the file that has it with -f, too".to_owned(),
        )),
        ([], Some(name)) => Err(Error::Input(format!(
            "the manifests have no ExportJob {name:?}, but {}",
            names(jobs.iter().map(|(job, _)| job.name_any()))
        ))),
        (several, None) => Err(Error::Input(format!(
            "the manifests have {} ExportJobs: choose one with --name ({})",
            several.len(),
            names(several.iter().map(|(job, _)| job.name_any()))
        ))),
        (_, Some(name)) => Err(Error::Input(format!(
            "several namespaces have an ExportJob {name:?}: give only the manifests of one of them"
        ))),
    }
}

fn names(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        "none at all".to_owned()
    } else {
        names.join(", ")
    }
}
