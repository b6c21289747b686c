//! Which Tenant or Region stands in the place of which one of before a restore, by what the keeper's Secrets say of themselves and what is
//! there now. Where that is not certain, nothing is guessed.

use std::collections::{BTreeMap, BTreeSet};

use api::names::{OBJECT_NAMESPACE_ANNOTATION, REBIND_ANNOTATION, RECORD_LABEL, REGION_LABEL};
use api::{Region, Tenant, Uid};
use domain::labels::{TENANT_UID_LABEL, label};
use kube::ResourceExt as _;
use kube::core::ObjectMeta;
use serde::Serialize;

/// Files end by themselves with the runs and uploads that they belong to.
const FILE: &str = "file";
/// The length of a UID, with which the names of a Region's Secrets end.
const UID_LENGTH: usize = 36;

/// What is to be said to the keeper.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Plan {
    /// Regions first: their keys open the Tenants'.
    pub(super) pairs: Vec<Pair>,
    pub(super) problems: Vec<String>,
}

/// An object and the one of before.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pair {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) uid: Uid,
    /// The UID of the one of before.
    pub(super) earlier: Uid,
    /// Its annotation says so already.
    pub(super) asked: bool,
    /// How many Secrets of each kind the keeper keeps for the one of before.
    pub(super) kept: BTreeMap<String, usize>,
}

/// What is kept for one of before.
#[derive(Default)]
struct Kept {
    count: BTreeMap<String, usize>,
    namespaces: BTreeSet<String>,
    region: Option<String>,
}

/// `secrets`: the keeper's.
pub(super) fn plan(secrets: &[ObjectMeta], regions: &[Region], tenants: &[Tenant]) -> Plan {
    let (mut of_tenants, mut of_regions) = (BTreeMap::<Uid, Kept>::new(), BTreeMap::<Uid, Kept>::new());
    for secret in secrets {
        let Some(kind) = label(secret, RECORD_LABEL).filter(|kind| *kind != FILE) else { continue };
        let kept = match (label(secret, TENANT_UID_LABEL).and_then(Uid::new), region_uid(secret)) {
            (Some(uid), _) => of_tenants.entry(uid).or_default(),
            (None, Some(uid)) => of_regions.entry(uid).or_default(),
            (None, None) => continue,
        };
        *kept.count.entry(kind.to_owned()).or_default() += 1;
        kept.namespaces
            .extend(secret.annotations.iter().flatten().find(|(key, _)| *key == OBJECT_NAMESPACE_ANNOTATION).map(|(_, ns)| ns.clone()));
        kept.region = label(secret, REGION_LABEL).map(str::to_owned);
    }
    let mut plan = Plan::default();
    for (uid, kept) in &of_regions {
        if regions.iter().any(|region| region.uid().as_deref() == Some(uid)) {
            continue;
        }
        let Some(region) = regions.iter().find(|region| Some(region.name_any()) == kept.region) else {
            let name = kept.region.as_deref().unwrap_or_default();
            plan.problems.push(format!("keys of Region {name} with UID {uid} are kept, and there is no Region of that name"));
            continue;
        };
        let has_own = region.uid().and_then(Uid::new).is_some_and(|own| of_regions.contains_key(&own));
        if has_own && !asks_for(&region.metadata, uid) {
            plan.problems.push(format!(
                "Region {} has made keys of its own, so those of before with UID {uid} cannot be taken over: restore once more, and start the keeper last",
                region.name_any()
            ));
            continue;
        }
        plan.add("Region", &region.metadata, uid, kept);
    }
    for (uid, kept) in &of_tenants {
        // Keys that open nothing end by themselves.
        if kept.namespaces.is_empty() || tenants.iter().any(|tenant| tenant.uid().as_deref() == Some(uid)) {
            continue;
        }
        let lists = |tenant: &&Tenant| tenant.spec.namespaces.iter().any(|namespace| kept.namespaces.contains(namespace));
        let found: Vec<&Tenant> = tenants.iter().filter(lists).collect();
        let namespaces = kept.namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match found[..] {
            [tenant] => plan.add("Tenant", &tenant.metadata, uid, kept),
            [] => plan.problems.push(format!(
                "credentials or bookmarks of a Tenant with UID {uid} are kept for {namespaces}, and no Tenant lists a namespace of that name"
            )),
            _ => {
                let names = found.iter().map(|tenant| tenant.name_any()).collect::<Vec<_>>().join(", ");
                plan.problems.push(format!(
                    "what is kept of a Tenant with UID {uid} is for {namespaces}, which are several Tenants' now: {names}; annotate the one that is meant with {REBIND_ANNOTATION}={uid}"
                ));
            }
        }
    }
    plan.only_one_each();
    plan
}

impl Plan {
    fn add(&mut self, kind: &'static str, metadata: &ObjectMeta, earlier: &Uid, kept: &Kept) {
        let (Some(name), Some(uid)) = (metadata.name.clone(), Uid::of_meta(metadata)) else { return };
        let asked = asks_for(metadata, earlier);
        self.pairs.push(Pair { kind, name, uid, earlier: earlier.clone(), asked, kept: kept.count.clone() });
    }

    /// An object that may be one of several of before is none of them until somebody says which.
    fn only_one_each(&mut self) {
        let mut of: BTreeMap<(&'static str, String), Vec<Pair>> = BTreeMap::new();
        for pair in std::mem::take(&mut self.pairs) {
            of.entry((pair.kind, pair.name.clone())).or_default().push(pair);
        }
        for ((kind, name), mut pairs) in of {
            if pairs.len() > 1 && pairs.iter().any(|pair| pair.asked) {
                pairs.retain(|pair| pair.asked);
            }
            if pairs.len() == 1 {
                self.pairs.extend(pairs);
                continue;
            }
            let uids = pairs.iter().map(|pair| pair.earlier.as_str()).collect::<Vec<_>>().join(", ");
            self.problems.push(format!(
                "{kind} {name} may be any of these of before: {uids}; annotate it with {REBIND_ANNOTATION}=UID of the one that is meant"
            ));
        }
    }
}

fn asks_for(metadata: &ObjectMeta, earlier: &Uid) -> bool {
    metadata.annotations.iter().flatten().any(|(key, value)| key == REBIND_ANNOTATION && value == earlier.as_str())
}

fn region_uid(secret: &ObjectMeta) -> Option<Uid> {
    label(secret, REGION_LABEL)?;
    let name = secret.name.as_deref()?;
    Uid::new(name.get(name.len().checked_sub(UID_LENGTH)?..)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const BEFORE: &str = "11111111-1111-4111-8111-111111111111";
    const OTHER: &str = "22222222-2222-4222-8222-222222222222";
    const NOW: &str = "33333333-3333-4333-8333-333333333333";

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn record(kind: &str, tenant: &str, namespace: &str) -> ObjectMeta {
        metadata(json!({
            "name": format!("{kind}-x"), "labels": {"dataimporter.io/record": kind, "dataimporter.io/tenant-uid": tenant},
            "annotations": {"dataimporter.io/object-namespace": namespace},
        }))
    }

    fn ring(tenant: &str) -> ObjectMeta {
        metadata(
            json!({"name": format!("keys-{tenant}"), "labels": {"dataimporter.io/record": "key-ring", "dataimporter.io/tenant-uid": tenant, "dataimporter.io/region": "eu"}}),
        )
    }

    fn of_region(prefix: &str, uid: &str) -> ObjectMeta {
        metadata(
            json!({"name": format!("{prefix}-{uid}"), "labels": {"dataimporter.io/record": "region-keys", "dataimporter.io/region": "eu"}}),
        )
    }

    fn tenant(name: &str, uid: &str, namespaces: &[&str], asks: Option<&str>) -> Tenant {
        let annotations = asks.map(|asks| json!({"dataimporter.io/rebind": asks}));
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": name, "uid": uid, "annotations": annotations},
            "spec": {"region": "eu", "namespaces": namespaces, "plan": "Enterprise",
                "contact": {"firstName": "A", "lastName": "B", "email": "a@b.example", "country": "DE"}},
        }))
        .unwrap()
    }

    fn region(uid: &str, asks: Option<&str>) -> Region {
        let annotations = asks.map(|asks| json!({"dataimporter.io/rebind": asks}));
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "metadata": {"name": "eu", "uid": uid, "annotations": annotations},
            "spec": {"location": {"city": "Frankfurt", "country": "DE"}, "isolation": "Cell", "storage": {"volume": {"name": "files"}},
                "rootKey": {"secret": {}}, "nodes": {"all": {}}},
        }))
        .unwrap()
    }

    fn told(plan: &Plan) -> Vec<(&str, &str, &str, bool)> {
        plan.pairs.iter().map(|pair| (pair.kind, pair.name.as_str(), pair.earlier.as_str(), pair.asked)).collect()
    }

    #[test]
    fn a_tenant_is_found_by_the_namespaces_of_what_is_kept_and_a_region_by_its_name() {
        let secrets = [
            of_region("root", BEFORE),
            of_region("seal-keys", BEFORE),
            ring(OTHER),
            record("credential", OTHER, "acme"),
            record("credential", OTHER, "acme-prod"),
            record("file", OTHER, "acme"),
            record("credential", NOW, "beta"),
        ];
        let tenants = [tenant("acme", BEFORE, &["acme-prod", "acme"], None), tenant("beta", NOW, &["beta"], None)];
        let plan = plan(&secrets, &[region(NOW, None)], &tenants);
        assert_eq!(told(&plan), [("Region", "eu", BEFORE, false), ("Tenant", "acme", OTHER, false)]);
        assert_eq!(plan.pairs[1].kept, [("credential".to_owned(), 2), ("key-ring".to_owned(), 1)].into());
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    }

    #[test]
    fn nothing_is_to_be_done_for_what_is_there_or_opens_nothing() {
        let secrets = [of_region("root", NOW), ring(NOW), record("credential", NOW, "acme"), ring(BEFORE), record("file", BEFORE, "acme")];
        assert_eq!(plan(&secrets, &[region(NOW, None)], &[tenant("acme", NOW, &["acme"], None)]), Plan::default());
    }

    #[test]
    fn what_is_not_certain_is_told_and_not_guessed() {
        let one = [record("credential", BEFORE, "acme")];
        let two = [record("credential", BEFORE, "acme"), record("bookmark", OTHER, "acme")];
        let both = [record("credential", BEFORE, "acme"), record("credential", BEFORE, "beta")];
        let (acme, beta) = (tenant("acme", NOW, &["acme"], None), tenant("beta", "b", &["beta"], None));
        let cases: [(&[ObjectMeta], Vec<Tenant>, &str); 3] = [
            (&one, vec![beta.clone()], "no Tenant lists a namespace of that name"),
            (&two, vec![acme.clone()], "Tenant acme may be any of these of before"),
            (&both, vec![acme, beta], "several Tenants' now: acme, beta"),
        ];
        for (secrets, tenants, says) in cases {
            let plan = plan(secrets, &[], &tenants);
            assert!(plan.pairs.is_empty() && plan.problems.len() == 1 && plan.problems[0].contains(says), "{plan:?}");
        }
        // Somebody has said which.
        let told_so = plan(&two, &[], &[tenant("acme", NOW, &["acme"], Some(OTHER))]);
        assert_eq!(told(&told_so), [("Tenant", "acme", OTHER, true)]);
        assert!(told_so.problems.is_empty());
    }

    #[test]
    fn a_region_with_keys_of_its_own_takes_no_others() {
        let secrets = [of_region("root", BEFORE), of_region("root", NOW)];
        let refused = plan(&secrets, &[region(NOW, None)], &[]);
        assert!(refused.pairs.is_empty() && refused.problems[0].contains("has made keys of its own"), "{refused:?}");
        // The keeper is in the middle of it.
        assert_eq!(told(&plan(&secrets, &[region(NOW, Some(BEFORE))], &[])), [("Region", "eu", BEFORE, true)]);
        let nowhere = plan(&[of_region("root", BEFORE)], &[], &[]);
        assert!(nowhere.problems[0].contains("there is no Region of that name"), "{nowhere:?}");
    }
}
