//! Writes the custom resource definitions to the folder that it is given: `crdgen crds`.

use std::{error::Error, fs, path::PathBuf};

use exportjob_api::crds;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: crdgen FOLDER")?);
    for crd in crds() {
        let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
        fs::write(&path, serde_yaml::to_string(&crd)?)?;
        println!("{}", path.display());
    }
    Ok(())
}
