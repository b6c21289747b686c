//! Who we are: the installation's UID, made once and never changed, and what everybody may know of us.

use std::collections::BTreeMap;

use api::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use rand::RngCore;

use crate::keeper::base::error::{Error, Result, kube};

/// The UID of this installation; made at the first start. Two keepers that start at once end with the same one.
pub(crate) async fn uid(client: &Client, namespace: &str) -> Result<String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = names::INSTALLATION_CONFIGMAP;
    let doing = || format!("ConfigMap {namespace}/{name}");
    if let Some(found) = maps.get_opt(name).await.map_err(kube(doing()))? {
        return read(found);
    }
    let made = ConfigMap {
        metadata: ObjectMeta { name: Some(name.into()), labels: Some(labels()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(names::INSTALLATION_UID_KEY.to_owned(), random_uid())])),
        immutable: Some(true),
        ..ConfigMap::default()
    };
    match maps.create(&PostParams::default(), &made).await {
        Ok(made) => read(made),
        Err(kube::Error::Api(status)) if status.code == 409 => read(maps.get(name).await.map_err(kube(doing()))?),
        Err(error) => Err(kube(doing())(error)),
    }
}

fn read(map: ConfigMap) -> Result<String> {
    let name = names::INSTALLATION_CONFIGMAP;
    let uid = map.data.and_then(|mut data| data.remove(names::INSTALLATION_UID_KEY)).filter(|uid| !uid.is_empty());
    uid.ok_or_else(|| Error::Record { name: name.into(), detail: "it has no uid" })
}

/// 128 random bits in the usual writing of a version 4 UUID.
pub(crate) fn random_uid() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Publishes whom clients trust and where the gateway is.
pub(crate) async fn publish(client: &Client, namespace: &str, ca_pem: &str, gateway: Option<&str>, installation: &str) -> Result<()> {
    let mut data = BTreeMap::from([
        (names::PUBLIC_CA_KEY.to_owned(), ca_pem.to_owned()),
        (names::PUBLIC_INSTALLATION_KEY.to_owned(), installation.to_owned()),
    ]);
    data.extend(gateway.map(|address| (names::PUBLIC_GATEWAY_KEY.to_owned(), address.to_owned())));
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(names::PUBLIC_CONFIGMAP.into()), labels: Some(labels()), ..ObjectMeta::default() },
        data: Some(data),
        ..ConfigMap::default()
    };
    Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .patch(names::PUBLIC_CONFIGMAP, &PatchParams::apply(names::KEEPER_MANAGER).force(), &Patch::Apply(&map))
        .await
        .map_err(kube(format!("ConfigMap {namespace}/{}", names::PUBLIC_CONFIGMAP)))?;
    Ok(())
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(names::MANAGED_BY_LABEL.to_owned(), names::KEEPER_MANAGER.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_a_random_version_4_uuid() {
        let (a, b) = (random_uid(), random_uid());
        assert_ne!(a, b);
        assert_eq!((a.len(), &a[14..15], a.split('-').count()), (36, "4", 5));
    }
}
