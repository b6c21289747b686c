//! The committed CRDs are the generated ones.

use std::path::Path;

#[test]
fn committed_crds_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stale: Vec<_> = api::crds::files()
        .into_iter()
        .filter(|(path, text)| std::fs::read_to_string(root.join(path)).is_ok_and(|committed| committed == *text).eq(&false))
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "stale, run `cargo xtask crds`: {}", stale.join(", "));
}
