//! Our own certificate authority and the certificate we serve with. The keys of authorities lie in a Secret of the system namespace, each
//! for less than thirty days; the served key lies only in memory.

mod certificate;
mod succession;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{Kind, Records};
use certificate::Signer;
use succession::{Step, Succession};

const SECRET: &str = "dataimporter-keeper-ca";
/// Keys of certificate and private key in the Secret: of the authority that signs, and of the one that will.
const CURRENT: [&str; 2] = ["ca.crt", "ca.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
/// A new leaf is made when less than this is left.
const LEAF_RENEWAL: SignedDuration = SignedDuration::from_hours(24 * 2);

/// Hands out the newest leaf to every handshake.
pub(crate) struct Authority {
    records: Records,
    names: Vec<String>,
    held: RwLock<Held>,
}

struct Held {
    bundle: String,
    served: Arc<CertifiedKey>,
    /// When it ends, and whose it is.
    until: Timestamp,
    signer: String,
}

impl Held {
    fn new(succession: &Succession, names: &[String], now: Timestamp) -> Result<Self> {
        let signer = succession.signer(now);
        let leaf = signer.leaf(names, now)?;
        let (served, signer) = (Arc::new(leaf.key), signer.certificate.clone());
        Ok(Self { bundle: succession.bundle(), served, until: leaf.until, signer })
    }
}

impl Authority {
    /// The stored authority, as it should be by now; made at the first start.
    pub(crate) async fn load(records: &Records, names: Vec<String>, now: Timestamp) -> Result<Self> {
        let succession = arrange(records, now).await?;
        let held = RwLock::new(Held::new(&succession, &names, now)?);
        Ok(Self { records: records.clone(), names, held })
    }

    /// What clients trust.
    pub(crate) fn bundle(&self) -> String {
        self.held.read().unwrap_or_else(PoisonError::into_inner).bundle.clone()
    }

    /// Does what is due, whichever replica did a part of it already, and serves what should be served by now.
    pub(crate) async fn tend(&self, now: Timestamp) -> Result<()> {
        let succession = arrange(&self.records, now).await?;
        let stale = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            held.signer != succession.signer(now).certificate || held.until.duration_since(now) < LEAF_RENEWAL
        };
        if stale {
            let next = Held::new(&succession, &self.names, now)?;
            *self.held.write().unwrap_or_else(PoisonError::into_inner) = next;
            tracing::info!("a new certificate is served");
        }
        self.held.write().unwrap_or_else(PoisonError::into_inner).bundle = succession.bundle();
        Ok(())
    }
}

/// What the Secret holds, once everything is done in it that is due. Of two keepers that do it at once, one does.
async fn arrange(records: &Records, now: Timestamp) -> Result<Succession> {
    loop {
        let Some(mut secret) = records.get(SECRET).await? else {
            let made = Succession::of(Signer::make(now)?);
            records.create(&records.draft(SECRET, Kind::Authority, BTreeMap::new(), BTreeMap::new(), data(&made))).await?;
            continue;
        };
        let mut succession = read(&secret)?;
        match (succession.due(now), succession.next.take()) {
            (None, next) => return Ok(Succession { next, ..succession }),
            (Some(Step::Retire), Some(next)) => succession = Succession::of(next),
            (Some(_), _) => succession.next = Some(Signer::make(now)?),
        }
        secret.data = Some(data(&succession));
        match records.replace(&secret).await {
            Ok(_) => tracing::info!(trusted = 1 + u32::from(succession.next.is_some()), "the keeper's authority was renewed"),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
}

fn data(succession: &Succession) -> BTreeMap<String, ByteString> {
    let both = [(CURRENT, Some(&succession.current)), (NEXT, succession.next.as_ref())];
    let entries = both.into_iter().filter_map(|(names, signer)| Some((names, signer?)));
    let entries = entries.flat_map(|([certificate, key], signer)| {
        [(certificate, signer.certificate.as_bytes().to_vec()), (key, signer.key.as_bytes().to_vec())]
    });
    entries.map(|(name, bytes)| (name.to_owned(), ByteString(bytes))).collect()
}

fn read(secret: &Secret) -> Result<Succession> {
    let text = |name: &str| String::from_utf8(secret.data.as_ref()?.get(name)?.0.clone()).ok();
    let signer = |[certificate, key]: [&str; 2]| Some(Signer::read(text(certificate)?, Zeroizing::new(text(key)?)));
    let Some(current) = signer(CURRENT) else {
        return Err(Error::Record { name: SECRET.into(), detail: "it lacks ca.crt or ca.key" });
    };
    Ok(Succession { current: current?, next: signer(NEXT).transpose()? })
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.held.read().unwrap_or_else(PoisonError::into_inner).served.clone())
    }
}
