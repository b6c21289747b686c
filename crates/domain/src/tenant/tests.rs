//! Namespaces between tenants, the run namespace, and the children as they go over the wire.

use std::sync::Arc;

use api::Tenant;
use api::tenant::BoundNamespace;
use jiff::ToSpan;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::plan::{RunNamespacePlan, plan};
use super::*;
use crate::settings::{ProxySettings, Settings};
use crate::testing::{now, observed_tenant, settings, uid};

fn edit(change: impl FnOnce(&mut Observed)) -> Observed {
    let mut observed = observed_tenant();
    change(&mut observed);
    observed
}

fn edit_tenant(change: impl FnOnce(&mut Tenant)) -> Observed {
    edit(|o| change(Arc::make_mut(&mut o.tenant)))
}

fn rival(change: impl FnOnce(&mut Tenant)) -> Arc<Tenant> {
    let mut rival = crate::testing::tenant();
    rival.metadata.name = Some("globex".into());
    rival.metadata.uid = Some("globex-uid".into());
    rival.status = None;
    change(&mut rival);
    Arc::new(rival)
}

#[test]
fn how_a_tenant_stands() {
    type Case = (&'static str, fn(&mut Observed), &'static str);
    let table: [Case; 10] = [
        ("all in order", |_| (), "Bound"),
        ("no such region", |o| o.region = None, "RegionNotFound"),
        ("the region was made anew", |o| Arc::make_mut(o.region.as_mut().unwrap()).metadata.uid = Some("other".into()), "RegionReplaced"),
        ("the region has no UID", |o| Arc::make_mut(o.region.as_mut().unwrap()).metadata.uid = None, "RegionReplaced"),
        ("the namespace is not there", |o| o.namespaces.clear(), "NamespaceNotFound"),
        ("the namespace goes", |o| o.namespaces.get_mut("acme").unwrap().terminating = true, "NamespaceTerminating"),
        ("the namespace was made anew", |o| o.namespaces.get_mut("acme").unwrap().uid = uid("new"), "NamespaceReplaced"),
        (
            "… and was accepted",
            |o| {
                o.namespaces.get_mut("acme").unwrap().uid = uid("new");
                let annotations = [("dataimporter.io/accept-namespace".to_owned(), "new".to_owned())].into();
                Arc::make_mut(&mut o.tenant).metadata.annotations = Some(annotations);
            },
            "Bound",
        ),
        (
            "another UID was accepted",
            |o| {
                o.namespaces.get_mut("acme").unwrap().uid = uid("new");
                let annotations = [("dataimporter.io/accept-namespace".to_owned(), "older".to_owned())].into();
                Arc::make_mut(&mut o.tenant).metadata.annotations = Some(annotations);
            },
            "NamespaceReplaced",
        ),
        (
            "a stranger made the run namespace",
            |o| o.run_namespace = Some(RunNamespace { uid: uid("x"), tenant_uid: None, terminating: false }),
            "RunNamespaceTaken",
        ),
    ];
    for (name, change, reason) in table {
        let finding = decide(&edit(change));
        assert_eq!(finding.reason, reason, "{name}: {}", finding.message);
    }
}

#[test]
fn a_namespace_of_the_cluster_or_of_ours_is_never_bound_and_is_let_go_where_it_was() {
    for name in ["kube-system", "kube-public", "dataimporter-system", "dataimporter-run-acme", "dataimporter-run-globex"] {
        let mut observed = edit_tenant(|t| {
            t.spec.namespaces.push(name.into());
            t.status.as_mut().unwrap().namespaces.push(BoundNamespace { name: name.into(), uid: "u".into() });
        });
        observed.namespaces.insert(name.into(), Living { uid: uid("u"), terminating: false });
        let finding = decide(&observed);
        assert_eq!(finding.reason, "NamespaceReserved", "{name}");
        assert!(finding.message.contains(name) && finding.message.contains("take it out of spec.namespaces"), "{}", finding.message);
        let plan = plan(&observed, &settings());
        assert_eq!(plan.held.iter().map(|h| h.bound.name.as_str()).collect::<Vec<_>>(), ["acme"], "{name}");
        assert_eq!(plan.released.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(), [name]);
        assert!(plan::remembered(&observed).is_empty());
    }
    let others = edit(|o| o.system_namespace = "elsewhere".into());
    assert_eq!(decide(&others).reason, "Bound", "control");
}

#[test]
fn the_first_tenant_to_hold_a_namespace_keeps_it_whichever_other_tenant_lists_it() {
    let holder = rival(|t| t.status = crate::testing::tenant().status);
    let observed = edit(|o| {
        Arc::make_mut(&mut o.tenant).status = None;
        o.others = vec![holder];
    });
    assert_eq!(bindings(&observed)[0].1, Binding::Taken { by: "globex".into() });
    assert_eq!(decide(&observed).reason, "NamespaceTaken");
}

#[test]
fn of_two_that_ask_at_the_same_time_exactly_one_gets_it() {
    let mut ours = crate::testing::tenant();
    ours.status = None;
    let other = rival(|_| ());
    let a = edit(|o| (o.tenant, o.others) = (Arc::new(ours.clone()), vec![other.clone()]));
    let b = edit(|o| (o.tenant, o.others) = (other, vec![Arc::new(ours)]));
    let held = |o: &Observed| matches!(bindings(o)[0].1, Binding::Held(_));
    assert!(held(&a) != held(&b), "{:?} {:?}", bindings(&a), bindings(&b));
}

#[test]
fn an_older_listing_does_not_take_a_namespace_that_is_held() {
    let older = rival(|t| t.metadata.creation_timestamp = Some(Time(now() - 10.hours())));
    let observed = edit(|o| o.others = vec![older]);
    assert!(matches!(bindings(&observed)[0].1, Binding::Held(_)));
}

#[test]
fn a_replaced_namespace_stays_written_down_under_its_old_uid() {
    let observed = edit(|o| o.namespaces.get_mut("acme").unwrap().uid = uid("new"));
    assert!(plan(&observed, &settings()).held.is_empty(), "nothing is made in a stranger's namespace");
    assert_eq!(plan::remembered(&observed)[0].uid, "acme-uid");
}

#[test]
fn the_run_namespace_is_made_when_a_run_needs_it_and_not_before() {
    let run = UnfinishedRun { namespace: "acme".into(), name: "r".into(), cancelled: false };
    let without = |runs: Vec<UnfinishedRun>| {
        edit(|o| {
            o.run_namespace = None;
            Arc::make_mut(&mut o.tenant).status.as_mut().unwrap().run_namespace = None;
            o.unfinished_runs = runs;
        })
    };
    assert_eq!(run_namespace_state(&without(vec![])), RunNamespaceState::NotNeeded);
    assert!(matches!(plan(&without(vec![]), &settings()).run_namespace, RunNamespacePlan::Leave { keep: None }));
    assert!(matches!(plan(&without(vec![run]), &settings()).run_namespace, RunNamespacePlan::Create(_)));
}

#[test]
fn a_run_namespace_whose_uid_was_not_written_down_before_a_crash_is_recognised() {
    let observed = edit(|o| Arc::make_mut(&mut o.tenant).status.as_mut().unwrap().run_namespace = None);
    assert!(matches!(run_namespace_state(&observed), RunNamespaceState::Ours(bound) if bound.uid == "run-ns-uid"));
}

#[test]
fn the_run_namespace_of_a_former_tenant_of_this_name_goes_with_its_workers() {
    let former =
        |terminating| edit(|o| o.run_namespace = Some(RunNamespace { uid: uid("x"), tenant_uid: Some(uid("former")), terminating }));
    assert_eq!(decide(&former(false)).reason, "Bound", "it is in nobody's way");
    assert!(matches!(plan(&former(false), &settings()).run_namespace, RunNamespacePlan::Remove(found) if found == uid("x")));
    assert!(matches!(plan(&former(true), &settings()).run_namespace, RunNamespacePlan::Leave { keep: None }));
}

#[test]
fn a_namespace_taken_off_the_list_is_released() {
    let observed = edit_tenant(|t| t.spec.namespaces = vec!["other".into()]);
    assert_eq!(plan(&observed, &settings()).released[0].name, "acme");
}

#[test]
fn leaving_stops_runs_then_deletes_the_run_namespace_then_lets_go() {
    let run = UnfinishedRun { namespace: "acme".into(), name: "r".into(), cancelled: false };
    let cancelled = UnfinishedRun { cancelled: true, ..run.clone() };
    let deleted = |change: fn(&mut Observed)| {
        let mut observed = edit_tenant(|t| t.metadata.deletion_timestamp = Some(Time(now())));
        change(&mut observed);
        observed
    };
    let mut observed = deleted(|_| ());
    observed.unfinished_runs = vec![run.clone(), cancelled];
    assert_eq!(leaving(&observed, now() + 10.seconds()), Leaving::StopRuns(vec![run]), "only those not asked yet");
    assert_eq!(leaving(&observed, now() + 6.minutes()), Leaving::DeleteRunNamespace { uid: uid("run-ns-uid") }, "patience ends");
    assert_eq!(leaving(&deleted(|_| ()), now()), Leaving::DeleteRunNamespace { uid: uid("run-ns-uid") });
    assert_eq!(leaving(&deleted(|o| o.run_namespace.as_mut().unwrap().terminating = true), now()), Leaving::AwaitRunNamespace);
    assert_eq!(leaving(&deleted(|o| o.run_namespace = None), now()), Leaving::LetGo);
    let stranger = deleted(|o| o.run_namespace = Some(RunNamespace { uid: uid("x"), tenant_uid: None, terminating: false }));
    assert_eq!(leaving(&stranger, now()), Leaving::LetGo, "never deletes what it did not make");
    let spoiled = deleted(|o| (o.region, o.run_namespace) = (None, None));
    assert_eq!(leaving(&spoiled, now()), Leaving::LetGo, "a bad spec does not block a deletion");
}

#[test]
fn children_in_a_held_namespace() {
    let plan = plan(&observed_tenant(), &settings());
    let held = &plan.held[0];
    insta::assert_yaml_snapshot!("held_namespace", (&held.role_bindings, &held.vacant, &held.accounts));
}

#[test]
fn contents_of_the_run_namespace() {
    let mut observed = observed_tenant();
    let facts = ServiceFacts {
        selector: [("app".to_owned(), "postgres".to_owned())].into(),
        target_ports: [(5432, IntOrString::String("pg".into()))].into(),
    };
    observed.services.insert(("demo".into(), "postgres".into()), facts);
    let RunNamespacePlan::Furnish { contents, .. } = plan(&observed, &settings()).run_namespace else { panic!("furnished") };
    let namespace = plan::run_namespace::namespace(&observed.tenant, &observed.uid, observed.region.as_ref().unwrap());
    insta::assert_yaml_snapshot!("run_namespace", (&namespace, &contents.account, &contents.quota));
    insta::assert_yaml_snapshot!("network_policies", contents.policies);
}

#[test]
fn behind_a_proxy_workers_reach_that_in_place_of_what_is_public() {
    let proxy = ProxySettings {
        cidrs: vec!["10.20.0.5/32".into()],
        namespace: "egress".into(),
        selector: [("app".to_owned(), "squid".to_owned())].into(),
        ports: vec![3128],
    };
    let mut behind = settings();
    behind.network.proxy = Some(proxy);
    let policies = |settings: &Settings| {
        let RunNamespacePlan::Furnish { contents, .. } = plan(&observed_tenant(), settings).run_namespace else { panic!("furnished") };
        contents.policies
    };
    let (before, after) = (policies(&settings()), policies(&behind));
    let name = |policy: &NetworkPolicy| policy.metadata.name.clone().unwrap();
    assert_eq!(before.iter().map(name).collect::<Vec<_>>(), after.iter().map(name).collect::<Vec<_>>(), "none is left over");
    let (mut replaced, mut kept) = (0, 0);
    for (before, after) in before.iter().zip(&after) {
        let pods = |policy: &NetworkPolicy| policy.spec.as_ref().unwrap().pod_selector.clone();
        assert_eq!(pods(before), pods(after));
        if !name(after).starts_with("public-") {
            assert_eq!(before, after);
            kept += 1;
            continue;
        }
        let egress = after.spec.as_ref().unwrap().egress.as_ref().unwrap();
        let [rule] = egress.as_slice() else { panic!("{egress:?}") };
        let port = |port: &NetworkPolicyPort| port.port.clone().unwrap();
        assert_eq!(rule.ports.iter().flatten().map(port).collect::<Vec<_>>(), [IntOrString::Int(3128)]);
        let peers = rule.to.as_ref().unwrap();
        assert_eq!(peers.len(), 2, "{peers:?}");
        assert_eq!(peers[0].ip_block.as_ref().unwrap().cidr, "10.20.0.5/32");
        assert!(peers[1].namespace_selector.is_some() && peers[1].pod_selector.is_some(), "{peers:?}");
        replaced += 1;
    }
    assert!(replaced >= 2 && kept >= 3, "{replaced} {kept}");

    behind.network.proxy = Some(ProxySettings { cidrs: Vec::new(), selector: [].into(), ..behind.network.proxy.unwrap() });
    let nowhere = policies(&behind);
    let public = nowhere.iter().find(|policy| name(policy) == "public-https").unwrap();
    let to = public.spec.as_ref().unwrap().egress.as_ref().unwrap()[0].to.as_ref().unwrap();
    assert_eq!(to.len(), 1, "a proxy that is nowhere opens nothing, and not everything: {to:?}");
}

#[test]
fn a_service_that_is_not_there_opens_nothing() {
    let RunNamespacePlan::Furnish { contents, .. } = plan(&observed_tenant(), &settings()).run_namespace else { panic!("furnished") };
    let private = contents.policies.last().unwrap().spec.as_ref().unwrap().egress.as_ref().unwrap();
    assert_eq!(private.len(), 1, "only the address range: {private:?}");
    assert_eq!(private[0].to.as_ref().unwrap()[0].ip_block.as_ref().unwrap().cidr, "10.1.2.3/32");
    assert_eq!(decide(&observed_tenant()).next, Some(std::time::Duration::from_secs(30)), "and it is looked for again");
}
