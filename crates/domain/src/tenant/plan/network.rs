//! What a worker may talk to. Static per run namespace and written with it: nothing, then the keeper, DNS, public addresses
//! on the ports of the systems we know, or the proxy in their place, and private ones exactly as the Region lists them for this tenant. Host names are
//! the dialer's business: a policy knows only addresses.

use std::collections::BTreeMap;

use api::connection::SystemKind;
use api::names::{REGION_LABEL, TENANT_LABEL, run_namespace};
use api::region::PrivatePlace;
use api::{Region, Tenant};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::labels;
use crate::reach::{Opening, endpoints_of, openings};
use crate::settings::{ProxySettings, Settings};
use crate::tenant::ServiceFacts;

/// IPv4 ranges that are not public: this network, private (RFC 1918), CGNAT, loopback, Azure's host, link-local with the clouds'
/// metadata service, IETF, documentation, benchmarking, multicast, reserved. The dialer's list (crates/connect) is the same.
const NOT_PUBLIC_V4: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// IPv6: public is 2000::/3, less documentation, Teredo and 6to4 (which carry IPv4 addresses past the list above).
const PUBLIC_V6: &str = "2000::/3";
const NOT_PUBLIC_V6: [&str; 3] = ["2001::/32", "2001:db8::/32", "2002::/16"];

/// Policies are judged by the port behind the Service: 53, or above 1024 where the server runs without privileges.
const DNS: [i32; 3] = [53, 1053, 5353];

/// Name of the policy that is absent when the Region lists nothing for this tenant.
pub const PRIVATE_POLICY: &str = "private-endpoints";

/// The policies of a Tenant's run namespace. `services`: those that the Region lists as private endpoints, by namespace and name; one that is not
/// there yet opens nothing.
pub fn policies(
    tenant: &Tenant,
    region: &Region,
    services: &BTreeMap<(String, String), ServiceFacts>,
    settings: &Settings,
) -> Vec<NetworkPolicy> {
    let policy = |name: &str, pods: LabelSelector, rules: Vec<NetworkPolicyEgressRule>| named(tenant, name, pods, rules);
    let mut all = vec![
        deny_everything(tenant),
        policy("keeper", LabelSelector::default(), vec![keeper(settings)]),
        policy("dns", LabelSelector::default(), dns(settings)),
    ];
    all.extend(openings().map(|(system, Opening { policy: name, label })| {
        let pods = label.map(|label| selector([(label, "true".to_owned())].into()));
        let rule = settings.network.proxy.as_ref().map_or_else(|| public(settings, system), proxy);
        policy(&name, pods.unwrap_or_default(), vec![rule])
    }));
    let private = private(labels::name(&tenant.metadata), region, services);
    if !private.is_empty() {
        all.push(policy(PRIVATE_POLICY, LabelSelector::default(), private));
    }
    all
}

/// No ingress for anybody, and no egress but what other policies add.
fn deny_everything(tenant: &Tenant) -> NetworkPolicy {
    let mut policy = named(tenant, "default-deny", LabelSelector::default(), Vec::new());
    if let Some(spec) = &mut policy.spec {
        spec.policy_types = Some(vec!["Ingress".into(), "Egress".into()]);
        // Said, not left out: rules that somebody else wrote into it would stay. And not as empty lists, which the API server takes for a
        // change at every apply, so that two operators would answer each other for ever.
        spec.ingress = Some(vec![NetworkPolicyIngressRule { from: Some(vec![nobody()]), ports: None }]);
        spec.egress = Some(vec![NetworkPolicyEgressRule { to: Some(vec![nobody()]), ports: None }]);
    }
    policy
}

/// A pod beside the workers as the operator makes none.
fn nobody() -> NetworkPolicyPeer {
    let labels = [("dataimporter.io/nobody".to_owned(), "true".to_owned())].into();
    NetworkPolicyPeer { pod_selector: Some(selector(labels)), ..Default::default() }
}

fn keeper(settings: &Settings) -> NetworkPolicyEgressRule {
    let to = pods(&settings.system_namespace, settings.keeper.selector.clone());
    NetworkPolicyEgressRule { ports: Some(vec![tcp(i32::from(settings.keeper.port))]), to: Some(vec![to]) }
}

fn dns(settings: &Settings) -> Vec<NetworkPolicyEgressRule> {
    let network = &settings.network;
    let mut to = vec![pods(&network.dns_namespace, network.dns_selector.clone())];
    to.extend(network.dns_cidrs.iter().map(|cidr| block(cidr, Vec::new())));
    let ports = DNS.into_iter().flat_map(|number| [port("UDP", IntOrString::Int(number)), tcp(number)]).collect();
    vec![NetworkPolicyEgressRule { ports: Some(ports), to: Some(to) }]
}

fn public(settings: &Settings, system: SystemKind) -> NetworkPolicyEgressRule {
    let (v6, v4): (Vec<&String>, Vec<&String>) = settings.network.cluster_cidrs.iter().partition(|cidr| cidr.contains(':'));
    let except = |fixed: &[&str], cluster: Vec<&String>| -> Vec<String> {
        let mut all: Vec<String> = fixed.iter().map(|c| (*c).to_owned()).collect();
        all.extend(cluster.into_iter().filter(|c| !fixed.contains(&c.as_str())).cloned());
        all
    };
    // The API server refuses an exception outside its block; private IPv6 ranges lie outside 2000::/3 anyway.
    let global_v6 = v6.into_iter().filter(|c| c.starts_with('2') || c.starts_with('3')).collect();
    let to = vec![block("0.0.0.0/0", except(&NOT_PUBLIC_V4, v4)), block(PUBLIC_V6, except(&NOT_PUBLIC_V6, global_v6))];
    NetworkPolicyEgressRule { ports: Some(vec![tcp(i32::from(system.profile().public_port))]), to: Some(to) }
}

/// In the place of what is public: the proxy dials that.
fn proxy(proxy: &ProxySettings) -> NetworkPolicyEgressRule {
    let mut to: Vec<_> = proxy.cidrs.iter().map(|cidr| block(cidr, Vec::new())).collect();
    if !proxy.selector.is_empty() {
        to.push(pods(&proxy.namespace, proxy.selector.clone()));
    }
    // No peers at all would mean everybody.
    if to.is_empty() {
        to.push(nobody());
    }
    NetworkPolicyEgressRule { ports: Some(proxy.ports.iter().map(|port| tcp(i32::from(*port))).collect()), to: Some(to) }
}

/// One rule per endpoint that the Region lists for this tenant. A policy is judged by pod and port behind a Service, so the
/// Service is resolved to its pods; a Service that is not there (or has no pods of its own) opens nothing.
fn private(tenant: &str, region: &Region, services: &BTreeMap<(String, String), ServiceFacts>) -> Vec<NetworkPolicyEgressRule> {
    endpoints_of(region, tenant)
        .into_iter()
        .filter_map(|endpoint| {
            let (to, ports) = match endpoint.place()? {
                PrivatePlace::Service(service) => {
                    let facts = services.get(&(service.namespace.clone(), service.name.clone()))?;
                    if facts.selector.is_empty() {
                        return None;
                    }
                    let target = |p: &i32| facts.target_ports.get(p).cloned().unwrap_or(IntOrString::Int(*p));
                    let ports = endpoint.ports.iter().map(|p| port("TCP", target(p))).collect();
                    (pods(&service.namespace, facts.selector.clone()), ports)
                }
                PrivatePlace::Cidr(cidr) => (block(cidr, Vec::new()), endpoint.ports.iter().map(|p| tcp(*p)).collect()),
            };
            Some(NetworkPolicyEgressRule { ports: Some(ports), to: Some(vec![to]) })
        })
        .collect()
}

fn named(tenant: &Tenant, name: &str, pods: LabelSelector, egress: Vec<NetworkPolicyEgressRule>) -> NetworkPolicy {
    let tenant_name = labels::name(&tenant.metadata);
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(run_namespace(tenant_name)),
            labels: Some(labels::set(&[(TENANT_LABEL, tenant_name), (REGION_LABEL, &tenant.spec.region)])),
            ..Default::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods),
            policy_types: Some(vec!["Egress".into()]),
            egress: Some(egress),
            ..Default::default()
        }),
    }
}

fn pods(namespace: &str, labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    let namespace = selector([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())].into());
    NetworkPolicyPeer { namespace_selector: Some(namespace), pod_selector: Some(selector(labels)), ip_block: None }
}

fn block(cidr: &str, except: Vec<String>) -> NetworkPolicyPeer {
    let except = (!except.is_empty()).then_some(except);
    NetworkPolicyPeer { ip_block: Some(IPBlock { cidr: cidr.into(), except }), ..Default::default() }
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

fn tcp(number: i32) -> NetworkPolicyPort {
    port("TCP", IntOrString::Int(number))
}

fn port(protocol: &str, port: IntOrString) -> NetworkPolicyPort {
    NetworkPolicyPort { protocol: Some(protocol.into()), port: Some(port), end_port: None }
}
