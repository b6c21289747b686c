//! Hosts that are dialed past the proxy, in the words of `NO_PROXY` as curl reads it, and with a port as Go does.

use std::collections::HashMap;
use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use ipnet::IpNet;

use super::ProxyUnusable;

/// A matcher says which hosts go to a proxy; that there is one is all that this one needs to know of it.
const ANY_PROXY: &str = "http://proxy.invalid";

/// Host names with all below them (`corp.example` and `.corp.example` mean the same, `*.corp.example` too), addresses, networks, `*` for
/// everything; each on every port, or on one (`db.corp.example:5432`).
pub(super) struct Exempt(HashMap<Option<u16>, Matcher>);

impl Exempt {
    pub(super) fn of(entries: &[String]) -> Result<Self, ProxyUnusable> {
        let mut hosts: HashMap<Option<u16>, Vec<String>> = HashMap::new();
        for entry in entries {
            let (host, port) = read(entry.trim()).ok_or_else(|| ProxyUnusable::Exempt { entry: entry.clone() })?;
            hosts.entry(port).or_default().push(host);
        }
        let matcher = |hosts: Vec<String>| Matcher::builder().all(ANY_PROXY).no(hosts.join(",")).build();
        Ok(Self(hosts.into_iter().map(|(port, hosts)| (port, matcher(hosts))).collect()))
    }

    /// `host`: a name, or an address without brackets.
    pub(super) fn contains(&self, host: &str, port: u16) -> bool {
        let host = if host.contains(':') { format!("[{host}]") } else { host.trim_end_matches('.').to_owned() };
        let Ok(target) = format!("https://{host}:{port}").parse() else { return false };
        [None, Some(port)].iter().filter_map(|port| self.0.get(port)).any(|matcher| matcher.intercept(&target).is_none())
    }
}

/// What the matcher is told, and the port that it is for.
fn read(entry: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match entry.rsplit_once(':') {
        _ if entry.parse::<IpAddr>().is_ok() || entry.parse::<IpNet>().is_ok() => (entry, None),
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (entry, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host == "*" {
        return Some((host.to_owned(), port));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some((address.to_string(), port));
    }
    if host.contains('/') {
        return host.parse::<IpNet>().ok().map(|network| (network.to_string(), port));
    }
    let name = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host).trim_end_matches('.');
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_name(name.trim_start_matches('.')).then(|| (name.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempt(entries: &[&str], host: &str, port: u16) -> bool {
        Exempt::of(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap().contains(host, port)
    }

    #[test]
    fn a_name_means_itself_and_what_is_below_it_with_and_without_a_leading_dot() {
        for entry in ["corp.example", ".corp.example", "*.corp.example", "Corp.Example", "corp.example."] {
            for host in ["corp.example", "db.corp.example", "a.b.corp.example", "DB.CORP.EXAMPLE", "db.corp.example."] {
                assert!(exempt(&[entry], host, 443), "{entry} {host}");
            }
            for host in ["notcorp.example", "corp.example.evil.example", "example", "corp.examples"] {
                assert!(!exempt(&[entry], host, 443), "{entry} {host}");
            }
        }
    }

    #[test]
    fn addresses_and_networks_mean_addresses_and_no_names() {
        for (entry, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.0.0.0/8", "10.9.9.9", "11.0.0.1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("2606:4700::1", "2606:4700::1", "2606:4700::2"),
            ("[2606:4700::1]", "2606:4700::1", "2606:4700::2"),
        ] {
            assert!(exempt(&[entry], inside, 443) && !exempt(&[entry], outside, 443), "{entry}");
            assert!(!exempt(&[entry], "db.corp.example", 443), "{entry}");
        }
    }

    #[test]
    fn a_star_means_everything_and_an_empty_list_nothing() {
        for host in ["crm.example", "13.108.0.1", "2606:4700::1"] {
            assert!(!exempt(&[], host, 443), "{host}");
        }
        assert!(exempt(&["*"], "crm.example", 443));
    }

    #[test]
    fn a_port_narrows_an_entry_to_it() {
        for entry in ["db.corp.example:5432", ".corp.example:5432", "*.corp.example:5432"] {
            assert!(exempt(&[entry], "db.corp.example", 5432) && !exempt(&[entry], "db.corp.example", 443), "{entry}");
        }
        assert!(exempt(&["[fd00::1]:5432"], "fd00::1", 5432) && !exempt(&["[fd00::1]:5432"], "fd00::1", 443));
        assert!(exempt(&["10.1.2.3:5432", "10.1.2.3"], "10.1.2.3", 443));
    }

    #[test]
    fn what_would_never_match_is_told_instead_of_taken() {
        for entry in ["", "https://corp.example", "corp.example/8", "10.0.0.0/33", "a b", "db.*.example", "corp.example:x", "a,b", "."] {
            let error = Exempt::of(&[entry.to_owned()]).err().unwrap_or_else(|| panic!("{entry:?}"));
            assert!(error.to_string().contains("egress.proxy.noProxy"), "{error}");
        }
    }
}
