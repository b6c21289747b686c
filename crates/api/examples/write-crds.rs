//! Writes every generated CRD file below the folder given: what `cargo xtask crds` runs.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = std::env::args().nth(1).expect("usage: write-crds PROJECT_FOLDER");
    for (path, text) in api::crds::files() {
        let path = Path::new(&root).join(path);
        std::fs::create_dir_all(path.parent().expect("generated files lie in folders"))?;
        std::fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
