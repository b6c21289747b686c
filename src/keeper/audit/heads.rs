//! How long each chain is and how it ends, in the Region's status: where an account that may write the volume cannot. Written some seconds after
//! a line at the latest, and before the process ends; what a crash can lose is what was written since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use api::region::AuditChain;
use api::{Region, Uid};
use kube::ResourceExt;

use super::chain::Link;
use super::objects::number;

/// What is known of a chain apart from the volume.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) link: Link,
    /// Why it is not gone on with.
    pub(crate) broken: Option<String>,
}

/// Heads of this replica's chains, by UID of their Region.
#[derive(Default)]
pub(crate) struct Heads(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    known: BTreeMap<Uid, BTreeMap<String, Head>>,
    /// UIDs of Regions whose status does not say it yet.
    unsaid: BTreeSet<Uid>,
}

impl Heads {
    pub(crate) fn of(&self, region_uid: &Uid) -> Option<BTreeMap<String, Head>> {
        self.lock().known.get(region_uid).cloned()
    }

    /// What the status says, taken over at the start.
    pub(crate) fn take_over(&self, region_uid: &Uid, said: BTreeMap<String, Head>) {
        self.lock().known.entry(region_uid.clone()).or_insert(said);
    }

    pub(crate) fn grew(&self, region_uid: &Uid, chain: &str, link: Link) {
        let mut inner = self.lock();
        inner.known.entry(region_uid.clone()).or_default().entry(chain.to_owned()).or_default().link = link;
        inner.unsaid.insert(region_uid.clone());
    }

    pub(crate) fn broke(&self, region_uid: &Uid, chain: &str, why: String) {
        let mut inner = self.lock();
        inner.known.entry(region_uid.clone()).or_default().entry(chain.to_owned()).or_default().broken = Some(why);
        inner.unsaid.insert(region_uid.clone());
    }

    /// Regions whose heads have to be written. They count as written from here on.
    pub(crate) fn take_unsaid(&self) -> BTreeSet<Uid> {
        std::mem::take(&mut self.lock().unsaid)
    }

    pub(crate) fn unsaid_again(&self, region_uid: &Uid) {
        self.lock().unsaid.insert(region_uid.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a Region's status says of the chains of one replica, or of all.
pub(crate) fn said(region: &Region, replica: Option<&str>) -> BTreeMap<String, Head> {
    let chains = region.status.iter().flat_map(|status| &status.audit);
    let ours = chains.filter(|chain| replica.is_none_or(|replica| number(replica, &chain.name).is_some()));
    let head = |chain: &AuditChain| Head {
        link: Link { seq: u64::try_from(chain.lines).unwrap_or_default(), hash: chain.hash.clone() },
        broken: chain.broken.clone(),
    };
    ours.map(|chain| (chain.name.clone(), head(chain))).collect()
}

/// The part of the status.
pub(crate) fn status(heads: &BTreeMap<String, Head>) -> Vec<AuditChain> {
    // Broken ones stay; of those only the oldest could outnumber the limit, and they say the same.
    let newest = heads.iter().rev().take(api::region::MAX_CHAINS / 2);
    let chain = |(name, head): (&String, &Head)| AuditChain {
        name: name.clone(),
        lines: i64::try_from(head.link.seq).unwrap_or(i64::MAX),
        hash: head.link.hash.clone(),
        broken: head.broken.clone(),
    };
    newest.map(chain).collect()
}

/// What is broken, for a condition.
pub(crate) fn broken(region: &Region) -> Option<String> {
    let chains = region.status.iter().flat_map(|status| &status.audit);
    let told: Vec<String> = chains.filter_map(|chain| Some(format!("{}: {}", chain.name, chain.broken.as_ref()?))).collect();
    (!told.is_empty()).then(|| format!("chains of the audit of region {} are not whole: {}", region.name_any(), told.join("; ")))
}
