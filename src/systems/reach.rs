//! Where the systems of a Connection may be dialed: the same for the keeper, which verifies, and for the worker, which loads. The network's
//! policies say the same in their own words (`domain::tenant::plan::network`).

use api::connection::SystemKind;
use api::keeper::EgressProxy;
use api::region::{PrivateEndpoint, PrivatePlace};
use connect::{AddressPolicy, Proxy, ProxyLogin, ProxyParams, ProxyUnusable};

/// Public addresses on the system's own port, and what the list names. A range that cannot be read opens nothing.
pub(crate) fn address_policy(system: SystemKind, endpoints: &[PrivateEndpoint]) -> AddressPolicy {
    endpoints.iter().fold(AddressPolicy::public_on(system.profile().public_port), |policy, endpoint| {
        let ports: Vec<u16> = endpoint.ports.iter().filter_map(|port| u16::try_from(*port).ok()).collect();
        // The dialer takes an empty list for every port; a list without a readable one must open nothing.
        if ports.is_empty() {
            return policy;
        }
        match endpoint.place() {
            Some(PrivatePlace::Service(service)) => policy.open_service(&service.namespace, &service.name, &ports),
            Some(PrivatePlace::Cidr(cidr)) => policy.clone().open_network(cidr, &ports).unwrap_or(policy),
            None => policy,
        }
    })
}

/// The proxy as the dialer takes it.
pub(crate) fn proxy(said: &EgressProxy) -> Result<Proxy, ProxyUnusable> {
    let login =
        said.login.as_ref().map(|login| ProxyLogin { user: login.username.clone(), password: login.password.clone().into_secret() });
    Proxy::new(&ProxyParams { url: said.url.clone(), no_proxy: said.no_proxy.clone(), login })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use api::{Region, Tenant};
    use domain::reach::{endpoints_of, opening};
    use domain::settings::{KeeperSettings, NetworkSettings, Settings, WorkerSettings};
    use domain::tenant::plan::network;
    use ipnet::IpNet;
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn region(endpoints: &[PrivateEndpoint]) -> Region {
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "metadata": {"name": "eu"},
            "spec": {
                "location": {"city": "Frankfurt", "country": "DE"}, "isolation": "Cell", "storage": {"volume": {"name": "files"}},
                "rootKey": {"secret": {}}, "nodes": {"all": {}}, "privateEndpoints": endpoints,
            },
        }))
        .unwrap()
    }

    fn tenant() -> Tenant {
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {
                "region": "eu", "namespaces": ["acme"], "plan": "Standard",
                "contact": {"firstName": "Ada", "lastName": "Byron", "email": "ada@acme.example", "country": "DE"},
            },
        }))
        .unwrap()
    }

    fn settings() -> Settings {
        let text = String::new;
        Settings {
            system_namespace: text(),
            installation: text(),
            worker: WorkerSettings {
                image: text(),
                image_pull_policy: text(),
                image_pull_secrets: Vec::new(),
                memory: text(),
                cpu: text(),
                log_level: text(),
            },
            keeper: KeeperSettings { url: text(), port: 8443, selector: BTreeMap::new() },
            network: NetworkSettings::default(),
            plans: Default::default(),
            kinds_known_after: std::time::Duration::ZERO,
        }
    }

    /// Whether the policies of a run namespace let a worker, which reads this database or none, through to an address.
    fn network_lets_through(policies: &[NetworkPolicy], database: Option<SystemKind>, address: IpAddr, port: u16) -> bool {
        let label = database.and_then(|database| opening(database).label);
        let contains = |cidr: &str| cidr.parse::<IpNet>().is_ok_and(|net| net.contains(&address));
        let specs = policies.iter().filter_map(|policy| policy.spec.as_ref());
        let chosen = specs.filter(|spec| {
            let labels = spec.pod_selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
            labels.is_none_or(|labels| labels.keys().all(|wanted| Some(wanted) == label.as_ref()))
        });
        chosen.flat_map(|spec| spec.egress.iter().flatten()).any(|rule| {
            let tcp = |p: &k8s_openapi::api::networking::v1::NetworkPolicyPort| {
                p.protocol.as_deref() == Some("TCP") && p.port == Some(IntOrString::Int(i32::from(port)))
            };
            let block = |peer: &k8s_openapi::api::networking::v1::NetworkPolicyPeer| {
                let Some(block) = &peer.ip_block else { return false };
                contains(&block.cidr) && !block.except.iter().flatten().any(|except| contains(except))
            };
            rule.ports.iter().flatten().any(tcp) && rule.to.iter().flatten().any(block)
        })
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        let near =
            prop::sample::select(vec!["10.1.2.3", "10.1.3.3", "192.168.7.7", "13.108.0.1", "169.254.169.254", "127.0.0.1", "100.64.0.1"]);
        prop_oneof![
            near.prop_map(|text| text.parse().unwrap()),
            any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
            // In and around what is public.
            (0x1ff0_u16..0x4010, any::<u16>(), any::<u64>()).prop_map(|(first, second, rest)| Ipv6Addr::new(
                first,
                second,
                0,
                0,
                (rest >> 48) as u16,
                0,
                0,
                rest as u16
            )
            .into()),
        ]
    }

    fn port() -> impl Strategy<Value = u16> {
        prop::sample::select(vec![22, 443, 1433, 3306, 5432, 6432, 8443, 10250])
    }

    fn endpoint() -> impl Strategy<Value = PrivateEndpoint> {
        let cidr = prop::sample::select(vec!["10.1.2.0/24", "192.168.7.7/32", "13.108.0.0/16", "2a00:1::/32", "169.254.0.0/16"]);
        let tenants = prop::sample::select(vec!["acme", "globex"]);
        (cidr, prop::collection::vec(port(), 1..3), tenants)
            .prop_map(|(cidr, ports, tenant)| serde_json::from_value(json!({"cidr": cidr, "ports": ports, "tenants": [tenant]})).unwrap())
    }

    proptest! {
        /// What the keeper verified, a worker reaches: the dialer and the network draw the same line.
        #[test]
        fn the_dialer_lets_through_what_the_network_does(
            endpoints in prop::collection::vec(endpoint(), 0..4), address in address(), port in port(),
            database in prop::sample::select(vec![
                None, Some(SystemKind::Postgres), Some(SystemKind::MySql), Some(SystemKind::SqlServer), Some(SystemKind::Sftp),
            ]),
        ) {
            let (region, tenant) = (region(&endpoints), tenant());
            let policies = network::policies(&tenant, &region, &BTreeMap::new(), &settings());
            let listed = endpoints_of(&region, "acme");
            let dials = |system| address_policy(system, &listed).check("db.example", address, port).is_ok();
            let dialed = dials(SystemKind::Salesforce) || database.is_some_and(dials);
            prop_assert_eq!(dialed, network_lets_through(&policies, database, address, port), "{}:{}", address, port);
        }
    }

    /// The chart walls the keeper off by the same list.
    #[test]
    fn the_chart_knows_the_same_addresses_as_public() {
        let chart = include_str!("../../charts/dataimporter/templates/_helpers.tpl");
        let policies = network::policies(&tenant(), &region(&[]), &BTreeMap::new(), &settings());
        let specs = policies.iter().filter_map(|policy| policy.spec.as_ref());
        let blocks = specs.flat_map(|spec| spec.egress.iter().flatten()).flat_map(|rule| rule.to.iter().flatten());
        let mut compared = 0;
        for block in blocks.filter_map(|peer| peer.ip_block.as_ref()) {
            for cidr in block.except.iter().flatten().chain([&block.cidr]) {
                assert!(chart.contains(&format!("\"{cidr}\"")), "the chart does not know {cidr}");
                compared += 1;
            }
        }
        assert!(compared >= 20, "{compared}");
    }

    #[test]
    fn a_service_is_dialed_on_its_listed_ports_only() {
        let service = json!({"namespace": "demo", "name": "postgres"});
        let endpoint = serde_json::from_value(json!({"service": service, "ports": [5432], "tenants": ["acme"]})).unwrap();
        let policy = address_policy(SystemKind::Postgres, &[endpoint]);
        let at = |port| policy.check("postgres.demo.svc", "10.96.0.7".parse().unwrap(), port);
        assert!(at(5432).is_ok());
        assert!(at(22).unwrap_err().to_string().contains("with port 22"));
    }
}
