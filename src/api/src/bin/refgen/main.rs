//! Writes the reference of every custom resource to the folder that it is given: `refgen docs/reference`.

mod render;

use std::{error::Error, fs, path::PathBuf};

use exportjob_api::crds;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: refgen FOLDER")?);
    for crd in crds() {
        let path = folder.join(format!(
            "{}.md",
            crd.spec.names.singular.as_deref().unwrap_or(&crd.spec.names.plural)
        ));
        fs::write(&path, render::page(&serde_json::to_value(&crd)?))?;
        println!("{}", path.display());
    }
    Ok(())
}
