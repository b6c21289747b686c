//! ServiceAccounts without any rights: their tokens prove who asks, nothing more.

use std::collections::BTreeSet;

use api::names::{FILES_READER_ACCOUNT, FILES_WRITER_ACCOUNT, REGION_LABEL, TENANT_LABEL, WORKER_ACCOUNT, run_namespace};
use api::tenant::Role;
use api::{Tenant, Uid};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::labels::{self, TENANT_UID_LABEL};

/// On a file account: who may have asked it for tokens, as digests.
pub const ASKERS_ANNOTATION: &str = "dataimporter.io/askers";

/// Accounts that members ask short file tokens of; which member may ask for which is the cluster's RBAC.
pub fn files_accounts(tenant: &Tenant, uid: &Uid, namespace: &str) -> Vec<ServiceAccount> {
    let askers = askers(tenant).into_iter().collect::<Vec<_>>().join(",");
    let made = |name| {
        let mut account = account(tenant, namespace, name);
        account.metadata.annotations = Some([(ASKERS_ANNOTATION.to_owned(), askers.clone())].into());
        account.metadata.labels.get_or_insert_default().insert(TENANT_UID_LABEL.to_owned(), uid.to_string());
        account
    };
    [FILES_READER_ACCOUNT, FILES_WRITER_ACCOUNT].map(made).into()
}

/// Whether tokens of this account may be in the hands of somebody who may not ask for one any more, or are another tenant's: the account
/// is then made anew, because a token dies with its account. One that does not say whose tokens it gave is not trusted.
pub fn outlived(existing: &ObjectMeta, wanted: &ServiceAccount) -> bool {
    let askers = |meta: &ObjectMeta| labels::annotation(meta, ASKERS_ANNOTATION).map(split);
    let allowed = askers(&wanted.metadata).unwrap_or_default();
    let same_tenant = labels::label(existing, TENANT_UID_LABEL) == labels::label(&wanted.metadata, TENANT_UID_LABEL);
    !same_tenant || askers(existing).is_none_or(|before| !before.is_subset(&allowed))
}

fn split(list: &str) -> BTreeSet<String> {
    list.split(',').filter(|asker| !asker.is_empty()).map(str::to_owned).collect()
}

/// Members whose role lets them ask for a token.
fn askers(tenant: &Tenant) -> BTreeSet<String> {
    let may_ask = tenant.spec.members.iter().filter(|member| matches!(member.role, Role::Owner | Role::Editor));
    may_ask.map(|member| hex::encode(&Sha256::digest(member.email.as_bytes())[..8])).collect()
}

/// The account of the worker pods.
pub fn worker_account(tenant: &Tenant) -> ServiceAccount {
    account(tenant, &run_namespace(labels::name(&tenant.metadata)), WORKER_ACCOUNT)
}

fn account(tenant: &Tenant, namespace: &str, name: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            labels: Some(labels::set(&[(TENANT_LABEL, labels::name(&tenant.metadata)), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use api::tenant::Member;

    use super::*;
    use crate::testing::uid;

    fn tenant(members: &[(&str, Role)]) -> Tenant {
        let mut tenant = crate::testing::tenant();
        tenant.spec.members = members.iter().map(|(email, role)| Member { email: (*email).to_owned(), role: *role }).collect();
        tenant
    }

    #[test]
    fn an_account_is_made_anew_exactly_when_somebody_who_could_ask_it_for_tokens_may_not_any_more() {
        use Role::{Editor, Owner, Viewer};
        let before = [("ada", Owner), ("eve", Editor), ("alan", Viewer)];
        type Members<'a> = &'a [(&'a str, Role)];
        let table: [(&str, Members<'_>, bool); 8] = [
            ("nothing changed", &before, false),
            ("somebody joined", &[("ada", Owner), ("eve", Editor), ("bob", Editor)], false),
            ("a viewer left", &[("ada", Owner), ("eve", Editor)], false),
            ("a viewer was made an editor", &[("ada", Owner), ("eve", Editor), ("alan", Editor)], false),
            ("the order changed", &[("eve", Owner), ("ada", Editor)], false),
            ("an editor left", &[("ada", Owner), ("alan", Viewer)], true),
            ("an editor was made a viewer", &[("ada", Owner), ("eve", Viewer)], true),
            ("everybody left", &[], true),
        ];
        let existing = files_accounts(&tenant(&before), &uid("tenant-uid"), "acme").remove(0).metadata;
        for (what, members, anew) in table {
            assert_eq!(outlived(&existing, &files_accounts(&tenant(members), &uid("tenant-uid"), "acme")[0]), anew, "{what}");
        }
    }

    #[test]
    fn an_account_of_another_tenant_or_without_a_word_is_made_anew() {
        let wanted = files_accounts(&tenant(&[]), &uid("tenant-uid"), "acme").remove(0);
        let mut other = wanted.metadata.clone();
        other.labels.as_mut().unwrap().insert(TENANT_UID_LABEL.to_owned(), "former".to_owned());
        assert!(outlived(&other, &wanted));
        let silent = ObjectMeta { annotations: None, ..wanted.metadata.clone() };
        assert!(outlived(&silent, &wanted));
        assert!(!outlived(&wanted.metadata, &wanted), "control: one that nobody could ask");
    }
}
