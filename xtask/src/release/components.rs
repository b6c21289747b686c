//! What a program is made of: the packages that cargo compiles into it for one platform, with their licences, and the two documents that say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::platform::Platform;
use super::version::Version;
use crate::{process, workspace};

/// A package by name and version.
type Id = (String, String);

pub(super) struct Components {
    /// The program's own package.
    root: Id,
    packages: BTreeMap<Id, Package>,
    uses: BTreeMap<Id, BTreeSet<Id>>,
}

#[derive(Clone, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    license_file: Option<PathBuf>,
    /// Absent for our own.
    source: Option<String>,
    manifest_path: PathBuf,
    #[serde(skip)]
    sha256: Option<String>,
}

impl Components {
    /// Of package `dataimporter` for a platform. Macros run in the compiler and are in no program.
    pub(super) fn of(platform: &Platform) -> Result<Self> {
        let mut tree = process::cargo();
        tree.args(["tree", "--locked", "--package", "dataimporter", "--edges", "normal,no-proc-macro", "--target", platform.triple]);
        let tree = process::output(tree.args(["--prefix", "depth", "--format", "{p}"]).current_dir(workspace::root()))?;
        let mut metadata = process::cargo();
        metadata.args(["metadata", "--locked", "--format-version", "1"]).current_dir(workspace::root());
        let metadata: Value = serde_json::from_str(&process::output(&mut metadata)?).context("cargo metadata prints JSON")?;
        let known: Vec<Package> = serde_json::from_value(metadata["packages"].clone()).context("cargo metadata lists packages")?;
        let lock = fs::read_to_string(workspace::root().join("Cargo.lock")).context("Cargo.lock cannot be read")?;
        Self::from(&tree, known, &checksums(&lock)?)
    }

    fn from(tree: &str, known: Vec<Package>, checksums: &BTreeMap<Id, String>) -> Result<Self> {
        let uses = edges(tree)?;
        let root = tree.lines().next().and_then(node).context("cargo tree prints no package")?.1;
        let mut packages = BTreeMap::new();
        for mut package in known {
            let id = (package.name.clone(), package.version.clone());
            if uses.contains_key(&id) {
                package.sha256 = checksums.get(&id).cloned();
                packages.insert(id, package);
            }
        }
        for id in uses.keys() {
            ensure!(packages.contains_key(id), "cargo tree has {} {}, and cargo metadata does not", id.0, id.1);
        }
        Ok(Self { root, packages, uses })
    }

    /// CycloneDX 1.5, in JSON. `program`: its name, and its bytes.
    pub(super) fn bill(&self, version: &Version, program: &str, content: &[u8]) -> Value {
        let others = || self.packages.iter().filter(|(id, _)| **id != self.root);
        let components: Vec<Value> = others().map(|(id, package)| package.component(id)).collect();
        let dependencies: Vec<Value> = self
            .uses
            .iter()
            .map(|(id, uses)| json!({"ref": self.reference(id), "dependsOn": uses.iter().map(|id| self.reference(id)).collect::<Vec<_>>()}))
            .collect();
        let serial = Sha256::digest(json!([program, hex::encode(Sha256::digest(content)), components]).to_string());
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": format!("urn:uuid:{}", uuid(&serial)),
            "version": 1,
            "metadata": {
                "timestamp": version.committed,
                "component": {
                    "type": "application", "bom-ref": self.reference(&self.root), "name": program, "version": version.number,
                    "licenses": [{"expression": "Apache-2.0"}],
                    "hashes": [{"alg": "SHA-256", "content": hex::encode(Sha256::digest(content))}],
                },
            },
            "components": components,
            "dependencies": dependencies,
        })
    }

    fn reference(&self, id: &Id) -> String {
        self.packages[id].reference(id)
    }

    /// The texts of everybody's licences, each once, under the names of those who have it.
    pub(super) fn licences(&self) -> Result<String> {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut without = Vec::new();
        for ((name, version), package) in self.packages.iter().filter(|(_, package)| package.source.is_some()) {
            let stated = package.license.clone().unwrap_or_else(|| "a licence of its own".to_owned());
            let said = format!("{name} {version} ({stated})");
            let found = package.texts()?;
            if found.is_empty() {
                without.push(said.clone());
            }
            for text in found {
                texts.entry(text).or_default().push(said.clone());
            }
        }
        let mut all = "What this program is made of, beside its own code, and under which licences.\n".to_owned();
        let mut sorted: Vec<_> = texts.into_iter().collect();
        sorted.sort_by(|(_, one), (_, two)| one.cmp(two));
        for (text, packages) in sorted {
            all.push_str(&format!("\n{}\n\n{}\n\n{}\n", "=".repeat(80), packages.join("\n"), text.trim()));
        }
        if !without.is_empty() {
            all.push_str(&format!(
                "\n{}\n\nThese state their licence and bring no text of it:\n\n{}\n",
                "=".repeat(80),
                without.join("\n")
            ));
        }
        Ok(all)
    }
}

impl Package {
    fn reference(&self, (name, version): &Id) -> String {
        match self.source {
            Some(_) => format!("pkg:cargo/{name}@{version}"),
            // Packages of this name on crates.io are other people's.
            None => format!("dataimporter/{name}@{version}"),
        }
    }

    fn component(&self, id: &Id) -> Value {
        let mut component = json!({"type": "library", "bom-ref": self.reference(id), "name": id.0, "version": id.1});
        if self.source.is_some() {
            component["purl"] = json!(self.reference(id));
        }
        if let Some(licence) = &self.license {
            // Before SPDX had expressions, a slash was an "or".
            component["licenses"] = json!([{"expression": licence.replace('/', " OR ").replace("  ", " ")}]);
        }
        if let Some(sha256) = &self.sha256 {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
        }
        component
    }

    /// Files of its folder that are called as licences are, and the one that it names.
    fn texts(&self) -> Result<BTreeSet<String>> {
        let folder = self.manifest_path.parent().context("a manifest lies in a folder")?;
        let mut files: Vec<PathBuf> = self.license_file.iter().map(|file| folder.join(file)).collect();
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_file() && is_called_as_licences_are(&path) {
                files.push(path);
            }
        }
        let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        files.iter().map(|path| Ok(String::from_utf8_lossy(&read(path)?).replace("\r\n", "\n"))).collect()
    }
}

fn is_called_as_licences_are(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"].iter().any(|word| name.starts_with(word))
}

/// `2serde v1.0.0 (/where)`: how deep, and which package.
fn node(line: &str) -> Option<(usize, Id)> {
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    let mut words = line[digits..].split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    Some((line[..digits].parse().ok()?, (name.to_owned(), version.to_owned())))
}

/// Which package uses which. What a package uses is printed below its first line only.
fn edges(tree: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let (mut uses, mut above): (BTreeMap<Id, BTreeSet<Id>>, Vec<Id>) = Default::default();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, id) = node(line).with_context(|| format!("cargo tree prints {line:?}"))?;
        above.truncate(depth);
        if let Some(by) = above.last() {
            uses.entry(by.clone()).or_default().insert(id.clone());
        }
        uses.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(uses)
}

fn checksums(lock: &str) -> Result<BTreeMap<Id, String>> {
    let lock: toml_edit::DocumentMut = lock.parse().context("Cargo.lock is no TOML")?;
    let packages = lock["package"].as_array_of_tables().context("Cargo.lock lists packages")?;
    let text = |package: &toml_edit::Table, name: &str| package.get(name).and_then(|item| item.as_str()).map(str::to_owned);
    let one = |package| Some(((text(package, "name")?, text(package, "version")?), text(package, "checksum")?));
    Ok(packages.iter().filter_map(one).collect())
}

/// One of those that are made of a name: version 8, whose content is ours to choose.
fn uuid(hash: &[u8]) -> String {
    let mut bytes: Vec<u8> = hash[..16].to_vec();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0dataimporter v0.1.0 (/project)\n1api v0.1.0 (/project/crates/api)\n2serde v1.0.9\n1serde v1.0.9 (*)\n";

    fn components() -> Components {
        let package = |name: &str, version: &str, source: Option<&str>| Package {
            name: name.into(),
            version: version.into(),
            license: Some("MIT/Apache-2.0".into()),
            license_file: None,
            source: source.map(str::to_owned),
            manifest_path: "/nowhere/Cargo.toml".into(),
            sha256: None,
        };
        let known = vec![
            package("dataimporter", "0.1.0", None),
            package("api", "0.1.0", None),
            package("serde", "1.0.9", Some("registry")),
            package("insta", "1.0.0", Some("registry")),
        ];
        let lock =
            "[[package]]\nname = \"serde\"\nversion = \"1.0.9\"\nchecksum = \"ab\"\n[[package]]\nname = \"api\"\nversion = \"0.1.0\"\n";
        Components::from(TREE, known, &checksums(lock).unwrap()).unwrap()
    }

    #[test]
    fn a_bill_has_what_the_program_uses_and_nothing_else() {
        let version = Version { number: "0.1.0".into(), commit: "c".into(), committed: "2026-01-02T03:04:05Z".into() };
        let bill = components().bill(&version, "dataimporter", b"program");
        let names: Vec<&str> = bill["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["api", "serde"], "insta is for tests");
        let serde = &bill["components"][1];
        assert_eq!(serde["purl"], "pkg:cargo/serde@1.0.9");
        assert_eq!(serde["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(serde["hashes"][0]["content"], "ab");
        assert!(bill["components"][0].get("purl").is_none(), "crates.io has another api");
        let root = bill["dependencies"].as_array().unwrap().iter().find(|d| d["ref"] == "dataimporter/dataimporter@0.1.0").unwrap();
        assert_eq!(root["dependsOn"], json!(["dataimporter/api@0.1.0", "pkg:cargo/serde@1.0.9"]));
        assert_eq!(bill, components().bill(&version, "dataimporter", b"program"));
        assert_ne!(bill["serialNumber"], components().bill(&version, "dataimporter", b"another")["serialNumber"]);
    }

    #[test]
    fn what_cargo_prints_otherwise_is_refused() {
        assert!(edges("dataimporter 0.1.0").is_err());
        let unknown = Components::from("0a v1.0.0\n", Vec::new(), &BTreeMap::new());
        assert!(unknown.is_err_and(|error| error.to_string().contains("a 1.0.0")));
    }
}
