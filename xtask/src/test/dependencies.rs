//! Licences, bans and sources of every dependency, by the lists of `deny.toml`, from what cargo itself tells: no network and no
//! program to build. What else `deny.toml` says is for cargo-deny, which the public workflow runs
//! (docs/decisions/2026-11-27-dependencies-without-a-network.md).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};
use toml_edit::DocumentMut;

use crate::{process, workspace};

/// The lists of `deny.toml` that are held here.
#[derive(Debug)]
struct Policy {
    targets: Vec<String>,
    licenses: Vec<Licensee>,
    banned: Vec<String>,
    registries: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None: a crate of this checkout.
    source: Option<String>,
}

/// `manifests` are the workspaces, below the project's folder.
pub(crate) fn check(manifests: &[&str]) -> Result<()> {
    let policy = Policy::read(&fs::read_to_string(workspace::root().join("deny.toml")).context("deny.toml cannot be read")?)?;
    for manifest in manifests {
        let packages = packages(&workspace::root().join(manifest), &policy.targets)?;
        let foreign = packages.iter().filter(|package| package.source.is_some()).count();
        // A check that reads nothing finds nothing.
        ensure!(foreign > 10, "{manifest}: cargo tells of only {foreign} dependencies");
        let wrong: Vec<String> = packages.iter().filter_map(|package| policy.objection(package)).collect();
        if !wrong.is_empty() {
            bail!("{manifest}: dependencies that deny.toml does not let in:\n  {}", wrong.join("\n  "));
        }
        println!("dependencies: {foreign} of {manifest}, each with a licence, a name and a source that deny.toml lets in");
    }
    Ok(())
}

fn packages(manifest: &Path, targets: &[String]) -> Result<Vec<Package>> {
    let mut cargo = process::cargo();
    cargo.args(["metadata", "--locked", "--all-features", "--format-version", "1", "--manifest-path"]).arg(manifest);
    cargo.args(targets.iter().flat_map(|target| ["--filter-platform", target]));
    let said = process::output(cargo.current_dir(workspace::root()))?;
    Ok(serde_json::from_str::<Metadata>(&said).context("cargo metadata prints JSON")?.packages)
}

impl Policy {
    fn read(text: &str) -> Result<Self> {
        let file: DocumentMut = text.parse().context("deny.toml is not TOML")?;
        let texts = |section: &str, list: &str| -> Result<Vec<String>> {
            let found = file.get(section).and_then(|section| section.get(list)).and_then(|list| list.as_array());
            let found = found.with_context(|| format!("deny.toml has no list {section}.{list}"))?;
            found.iter().map(|item| item.as_str().map(str::to_owned).context("of texts")).collect()
        };
        let banned =
            file.get("bans").and_then(|bans| bans.get("deny")).and_then(|list| list.as_array()).context("deny.toml has no bans.deny")?;
        let crate_of = |item: &toml_edit::Value| {
            let name = item.as_inline_table().and_then(|entry| entry.get("crate")).and_then(|name| name.as_str());
            name.map(str::to_owned).context("an entry of bans.deny names its crate")
        };
        let licensee = |text: String| Licensee::parse(&text).with_context(|| format!("deny.toml allows {text}, which is no SPDX licence"));
        Ok(Self {
            targets: texts("graph", "targets")?,
            licenses: texts("licenses", "allow")?.into_iter().map(licensee).collect::<Result<_>>()?,
            banned: banned.iter().map(crate_of).collect::<Result<_>>()?,
            registries: texts("sources", "allow-registry")?,
        })
    }

    /// What is wrong with a package, if anything.
    fn objection(&self, package: &Package) -> Option<String> {
        let Package { name, version, license, source } = package;
        let objection = if self.banned.contains(name) {
            "it is banned".to_owned()
        } else if let Some(source) = source {
            match license.as_deref().map(|text| (text, Expression::parse_mode(text, ParseMode::LAX))) {
                _ if !self.registries.iter().any(|registry| source.strip_prefix("registry+") == Some(registry)) => {
                    format!("it comes from {source}")
                }
                None => "it names no licence".to_owned(),
                Some((text, Err(_))) => format!("{text:?} is no SPDX expression"),
                Some((_, Ok(expression))) if expression.evaluate(|asked| self.licenses.iter().any(|ours| ours.satisfies(asked))) => {
                    return None;
                }
                Some((text, Ok(_))) => format!("its licence is {text}"),
            }
        } else {
            return None;
        };
        Some(format!("{name} {version}: {objection}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn policy() -> Policy {
        Policy::read(&fs::read_to_string(workspace::root().join("deny.toml")).unwrap()).unwrap()
    }

    fn objection(name: &str, license: Option<&str>, source: Option<&str>) -> Option<String> {
        let owned = |text: &str| text.to_owned();
        policy().objection(&Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(owned),
            source: source.map(owned),
        })
    }

    #[test]
    fn of_several_licences_an_allowed_one_is_enough_where_they_are_alternatives() {
        for allowed in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "ISC AND (Apache-2.0 OR OpenSSL)", "Apache-2.0 WITH LLVM-exception"]
        {
            assert_eq!(objection("planted", Some(allowed), Some(CRATES_IO)), None, "{allowed}");
        }
        for refused in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "AGPL-3.0-or-later", "MPL-2.0", "GPL-2.0 WITH Classpath-exception-2.0"] {
            let said = objection("planted", Some(refused), Some(CRATES_IO));
            assert_eq!(said.as_deref(), Some(&*format!("planted 1.0.0: its licence is {refused}")));
        }
    }

    #[test]
    fn a_licence_that_cannot_be_read_is_none() {
        assert_eq!(objection("planted", None, Some(CRATES_IO)).as_deref(), Some("planted 1.0.0: it names no licence"));
        assert_eq!(
            objection("planted", Some("do as you like"), Some(CRATES_IO)).as_deref(),
            Some("planted 1.0.0: \"do as you like\" is no SPDX expression")
        );
    }

    #[test]
    fn only_the_one_registry_is_a_source() {
        for source in ["git+https://github.com/planted/planted?rev=1#1", "registry+https://example.org/index"] {
            assert_eq!(objection("planted", Some("MIT"), Some(source)), Some(format!("planted 1.0.0: it comes from {source}")));
        }
        assert_eq!(objection("ours", None, None), None, "a crate of this checkout has no source");
    }

    #[test]
    fn a_banned_crate_is_refused_wherever_it_comes_from() {
        assert_eq!(objection("openssl-sys", Some("MIT"), Some(CRATES_IO)).as_deref(), Some("openssl-sys 1.0.0: it is banned"));
        assert_eq!(objection("openssl-sys", Some("MIT"), None).as_deref(), Some("openssl-sys 1.0.0: it is banned"));
    }

    #[test]
    fn a_policy_without_its_lists_is_refused() {
        assert!(Policy::read("[licenses]\nallow = [\"MIT\"]\n").unwrap_err().to_string().contains("bans.deny"));
    }
}
