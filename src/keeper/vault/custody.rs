//! Who holds a region's root key, and the key itself when that is us.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::conditions::Conditions;
use api::reasons::region as reasons;
use api::region::RootKeyKind;
use api::{Region, Uid};
use envelope::{FileRoot, Observed, Policy, Request, RootCustody, RootRing, SecretRoot, Step};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use zeroize::Zeroizing;

use super::wrapper::{FILE, Held, KeyWrapper, SECRET};
use crate::keeper::base::earlier::earlier;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::lane::Lanes;
use crate::keeper::base::records::{Kind, RECORD, Records, sealed};

#[derive(Clone)]
pub(crate) struct Custodies {
    records: Records,
    files: PathBuf,
    /// What is mounted may hang as a volume may.
    lanes: Lanes,
}

/// What a look at the life of a root key came to.
pub(crate) struct RootRotated {
    /// Whether tenant rings should be wrapped again.
    pub(crate) rewrap: bool,
    /// What became of the request for a new key.
    pub(crate) request: Request,
    /// Whether something waits until every keeper knows of what was done.
    pub(crate) waits: bool,
}

/// What a condition says about custody that works. One that is not known does not: the error is told instead.
pub(crate) fn set_conditions(region: &Region, conditions: Conditions) -> Conditions {
    let type_ = api::conditions::KEY_CUSTODY;
    match region.spec.root_key.kind() {
        Some(RootKeyKind::Secret) => conditions.with_true(
            type_,
            reasons::IN_CLUSTER,
            "WARNING: the root key lies in a Secret of this cluster, beside what it protects: whoever reads that Secret or a backup of etcd reads everything. For trials only; use rootKey.file for anything real",
        ),
        Some(RootKeyKind::File(_)) => {
            conditions.with_true(type_, reasons::FILE, "the root key is a file mounted into the keeper; it is in no Secret that the keeper wrote")
        }
        None => conditions,
    }
}

/// Who holds the root key. A Region of a newer version may say what this one does not know: no key is made in its place.
pub(super) fn holder(region: &Region) -> Result<RootKeyKind<'_>> {
    region.spec.root_key.kind().ok_or_else(|| Error::NotUnderstood { region: region.name_any(), part: "rootKey" })
}

/// How the name of its Secret begins; the Region's UID follows.
pub(super) const ROOT: &str = "root";

fn secret_name(region_uid: &Uid) -> String {
    format!("{ROOT}-{region_uid}")
}

impl Custodies {
    pub(crate) fn new(records: Records, files: PathBuf) -> Self {
        Self { records, files, lanes: Lanes::default() }
    }

    /// Who wraps for a region, its key made if it is ours to make and not there yet.
    pub(crate) async fn of(&self, region: &Region, now: Timestamp) -> Result<Arc<dyn KeyWrapper>> {
        match holder(region)? {
            RootKeyKind::File(mount) => Ok(Arc::new(Held { provider: FILE, root: self.file(&mount.name, &region.name_any()).await? })),
            RootKeyKind::Secret => Ok(Arc::new(Held { provider: SECRET, root: self.secret(region, now).await?.0 })),
        }
    }

    async fn file(&self, name: &str, region: &str) -> Result<FileRoot> {
        let hung = |source| Error::RootKeyFile { path: self.files.join(name).display().to_string(), source };
        let lane = self.lanes.of(&self.files.join(name)).map_err(hung)?;
        let (dir, name, region) = (self.files.clone(), name.to_owned(), region.to_owned());
        let read = lane.blocking(move || from_file(&dir, &name, &region)).await;
        read.map_err(|error| hung(std::io::Error::new(std::io::ErrorKind::TimedOut, error)))?
    }

    async fn secret(&self, region: &Region, now: Timestamp) -> Result<(SecretRoot, Secret)> {
        let name = secret_name(&Uid::of(region)?);
        loop {
            if let Some(secret) = self.records.get(&name).await? {
                let root = SecretRoot::parse(sealed(&secret)?).map_err(|source| Error::Custody { region: region.name_any(), source })?;
                return Ok((root, secret));
            }
            let root = match self.earlier(region).await? {
                Some(root) => root,
                None => SecretRoot::new(RootRing::begin(&mut rand::rng(), now)),
            };
            let data = BTreeMap::from([(RECORD.to_owned(), ByteString(root.to_json().to_vec()))]);
            let labels = BTreeMap::from([(api::names::REGION_LABEL.to_owned(), region.name_any())]);
            self.records.create(&self.records.draft(&name, Kind::RootKey, labels, BTreeMap::new(), data)).await?;
        }
    }

    /// The root key of the Region of before a restore, in whose place this one stands.
    async fn earlier(&self, region: &Region) -> Result<Option<SecretRoot>> {
        let Some(uid) = earlier(&region.metadata).ok().flatten() else { return Ok(None) };
        let Some(secret) = self.records.get_of_region(&secret_name(&uid), &region.name_any()).await? else { return Ok(None) };
        let root = SecretRoot::parse(sealed(&secret)?).map_err(|source| Error::Custody { region: region.name_any(), source })?;
        tracing::info!(region = region.name_any(), earlier = %uid, "the root key of a Region of before a restore is taken over");
        Ok(Some(root))
    }

    /// Whether keys of a region can be wrapped now.
    pub(crate) async fn health(&self, region: &Region, now: Timestamp) -> Result<()> {
        let health = self.of(region, now).await?.health().await;
        health.map(drop).map_err(|source| Error::Custody { region: region.name_any(), source })
    }

    /// Carries out what is due in the life of a root key that is ours. `wrapped`: how many tenant keys are wrapped under each root key.
    pub(crate) async fn rotate(&self, region: &Region, observed: &Observed, now: Timestamp) -> Result<RootRotated> {
        match holder(region)? {
            RootKeyKind::File(mount) => {
                // The file's first line wraps; whatever is wrapped under another one is wrapped again.
                let file = self.file(&mount.name, &region.name_any()).await?;
                let wrapping = file.wrapping_kid().map_err(|source| Error::Custody { region: region.name_any(), source })?;
                let rewrap = observed.records.keys().any(|kid| *kid != wrapping);
                Ok(RootRotated { rewrap, request: Request::Nothing, waits: false })
            }
            RootKeyKind::Secret => self.rotate_secret(region, observed, now).await,
        }
    }

    async fn rotate_secret(&self, region: &Region, observed: &Observed, now: Timestamp) -> Result<RootRotated> {
        let (mut root, mut secret) = self.secret(region, now).await?;
        let failed = |source| Error::Ring { tenant: format!("(root of {})", region.name_any()), source };
        let mut rewrap = false;
        for step in root.ring().decide(&Policy::ROOT, observed, now) {
            match step {
                Step::Create => {
                    root.ring_mut().create(&mut rand::rng(), now).map_err(failed)?;
                }
                Step::Promote(kid) => root.ring_mut().promote(kid, now).map_err(failed)?,
                Step::Settle(kid) => root.ring_mut().settle(kid, now).map_err(failed)?,
                Step::Destroy(kid) => root.ring_mut().destroy(kid, now).map_err(failed)?,
                Step::Reseal(_) => {
                    rewrap = true;
                    continue;
                }
            }
            tracing::info!(region = region.name_any(), step = ?step, "root key");
            secret.data = Some(BTreeMap::from([(RECORD.to_owned(), ByteString(root.to_json().to_vec()))]));
            secret = self.records.replace(&secret).await?;
        }
        let request = root.ring().request(&Policy::ROOT, observed.requested, now);
        Ok(RootRotated { rewrap, request, waits: root.ring().spreading(&Policy::ROOT, now) })
    }
}

/// `<dir>/<name>`, or `<dir>/<name>/key` as a mounted Secret gives it.
fn from_file(dir: &Path, name: &str, region: &str) -> Result<FileRoot> {
    let mut path = dir.join(name);
    if path.is_dir() {
        path.push("key");
    }
    let unreadable = |source| Error::RootKeyFile { path: path.display().to_string(), source };
    let bytes = Zeroizing::new(std::fs::read(&path).map_err(unreadable)?);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(unreadable(std::io::Error::other("not text: write one line of 64 hexadecimal digits")));
    };
    FileRoot::parse(text).map_err(|source| Error::Custody { region: region.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Else a key would be made in a Secret for a Region that keeps it elsewhere.
    #[test]
    fn a_root_key_of_a_newer_version_has_no_holder() {
        let region = |root_key: serde_json::Value| -> Region {
            let spec = json!({
                "location": {"city": "Frankfurt", "country": "DE"}, "isolation": "Cell", "storage": {"volume": {"name": "files"}},
                "rootKey": root_key, "nodes": {"all": {}},
            });
            Region::new("eu", serde_json::from_value(spec).unwrap())
        };
        assert!(matches!(holder(&region(json!({"secret": {}}))), Ok(RootKeyKind::Secret)));
        for unknown in [json!({}), json!({"kms": {"key": "k"}}), json!({"secret": {}, "file": {"name": "f"}})] {
            assert_eq!(holder(&region(unknown)).err().unwrap().reason(), "NotUnderstood");
        }
    }

    #[test]
    fn a_root_key_is_read_from_a_file_or_from_a_mounted_secret() {
        let dir = tempfile::tempdir().unwrap();
        let line = format!("{}\n", "7a".repeat(32));
        std::fs::write(dir.path().join("plain"), &line).unwrap();
        std::fs::create_dir(dir.path().join("mounted")).unwrap();
        std::fs::write(dir.path().join("mounted/key"), &line).unwrap();
        let kid = |name: &str| from_file(dir.path(), name, "eu").unwrap_or_else(|e| panic!("{}", e.chain())).wrapping_kid().unwrap();
        assert_eq!(kid("plain"), kid("mounted"));
        assert_eq!(from_file(dir.path(), "absent", "eu").err().unwrap().reason(), "RootKeyFileUnreadable");
        std::fs::write(dir.path().join("raw"), [0xff_u8; 32]).unwrap();
        let error = from_file(dir.path(), "raw", "eu").err().unwrap().chain();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
