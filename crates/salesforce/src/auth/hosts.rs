//! Which hosts may get a credential and which may get a token. A login host is Salesforce's own or one that the Region lists; an
//! instance is a host of the same org.

use url::{Host, Url};

const OWN: &str = "salesforce.com";
const MY_DOMAIN: &str = ".my.salesforce.com";
const PRODUCTION: &str = "login.salesforce.com";
const SANDBOX: &str = "test.salesforce.com";

/// A host that is not to be talked to. Texts name the host and the way out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum HostError {
    #[error("the login address {url:?} is not an https address of a host without path, user or query")]
    LoginShape { url: String },
    #[error("{host} is not a Salesforce login host; the Region may list it in allowedLoginHosts")]
    LoginHost { host: String },
    #[error("{login} answered with the instance {instance:?}, which is not a host of that org; no token is sent there")]
    Instance { login: String, instance: String },
}

/// A login host that has passed the check: the only way to get one is [`LoginHost::parse`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoginHost {
    base: Url,
    kind: Kind,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    /// `login.` or `test.salesforce.com`: every org may answer.
    Shared,
    /// The host of one org, `acme.my.salesforce.com` or `acme--uat.sandbox.my.salesforce.com`.
    MyDomain,
    /// A host that the Region lists.
    Listed,
}

impl LoginHost {
    /// Reads an `https` address without path, user or query. Good are Salesforce's login hosts, My Domains, and the hosts in `allowed`,
    /// which are the Region's `allowedLoginHosts`; only those may have a port.
    ///
    /// # Errors
    ///
    /// [`HostError::LoginShape`]: the address is none of a host alone. [`HostError::LoginHost`]: the host may get no credential.
    pub fn parse(login_url: &str, allowed: &[String]) -> Result<Self, HostError> {
        let base = bare(login_url).ok_or_else(|| HostError::LoginShape { url: shape(login_url) })?;
        let host = base.host_str().unwrap_or_default();
        let kind = if allowed.iter().any(|listed| listed.trim_end_matches('.').eq_ignore_ascii_case(host)) {
            Kind::Listed
        } else if base.port().is_some() {
            // Salesforce serves nothing but 443.
            return Err(HostError::LoginHost { host: authority(&base) });
        } else if host == PRODUCTION || host == SANDBOX {
            Kind::Shared
        } else if host.strip_suffix(MY_DOMAIN).is_some_and(|org| !org.is_empty()) {
            Kind::MyDomain
        } else {
            return Err(HostError::LoginHost { host: authority(&base) });
        };
        Ok(Self { base, kind })
    }

    pub(crate) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Its name, in lower case and without a port.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// What a JWT names as audience.
    pub fn audience(&self) -> String {
        match self.kind {
            Kind::Listed => self.base.as_str().trim_end_matches('/').to_owned(),
            _ if self.host() == SANDBOX || self.host().ends_with(".sandbox.my.salesforce.com") => format!("https://{SANDBOX}"),
            _ => format!("https://{PRODUCTION}"),
        }
    }

    /// The address that a login has answered, if it belongs to the org that was logged in to.
    ///
    /// # Errors
    ///
    /// [`HostError::Instance`]: it does not belong there, and gets no token.
    pub fn instance(&self, instance_url: &str) -> Result<Url, HostError> {
        let refuse = || HostError::Instance { login: self.host().to_owned(), instance: shape(instance_url) };
        let instance = bare(instance_url).ok_or_else(refuse)?;
        let host = instance.host_str().unwrap_or_default();
        let belongs = match self.kind {
            Kind::Listed => host == self.host() && instance.port() == self.base.port(),
            Kind::MyDomain => instance.port().is_none() && host == self.host(),
            Kind::Shared => instance.port().is_none() && host.strip_suffix(OWN).is_some_and(|rest| rest.ends_with('.')),
        };
        belongs.then_some(instance).ok_or_else(refuse)
    }
}

/// `https://host[:port]` with nothing else.
fn bare(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)));
    bare.then_some(url)
}

fn authority(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    }
}

/// An address for an error text: without what may be secret in it.
fn shape(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => format!("{}://{}", url.scheme(), authority(&url)),
        Err(_) => "(not an address)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str) -> Result<LoginHost, HostError> {
        LoginHost::parse(url, &["salesforce-emulator.demo.svc".to_owned()])
    }

    #[test]
    fn salesforces_own_hosts_and_listed_ones_may_get_a_credential() {
        for url in [
            "https://login.salesforce.com",
            "https://test.salesforce.com/",
            "https://acme.my.salesforce.com",
            "https://acme--uat.sandbox.my.salesforce.com",
            "https://salesforce-emulator.demo.svc:8443",
            "https://Salesforce-Emulator.demo.svc",
        ] {
            assert!(login(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn everybody_else_gets_none() {
        for url in [
            "https://evil.example",
            "https://my.salesforce.com.evil.example",
            "https://evilsalesforce.com",
            "https://.my.salesforce.com",
            "https://acme.my.salesforce.com:8443",
            "https://www.salesforce.com",
            "https://127.0.0.1",
            "https://[::1]",
        ] {
            assert!(matches!(login(url), Err(HostError::LoginHost { .. } | HostError::LoginShape { .. })), "{url}");
        }
    }

    #[test]
    fn a_login_address_is_https_and_nothing_but_a_host() {
        for url in [
            "http://login.salesforce.com",
            "https://u:p@login.salesforce.com",
            "https://login.salesforce.com/x",
            "https://login.salesforce.com/?a=b",
            "login.salesforce.com",
        ] {
            let error = login(url).unwrap_err();
            assert!(matches!(error, HostError::LoginShape { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("u:p"));
        }
    }

    #[test]
    fn a_token_goes_only_to_a_host_of_the_org_that_was_logged_in_to() {
        let acme = login("https://acme.my.salesforce.com").unwrap();
        assert!(acme.instance("https://acme.my.salesforce.com").is_ok());
        for other in [
            "https://other.my.salesforce.com",
            "https://evil.example",
            "http://acme.my.salesforce.com",
            "https://acme.my.salesforce.com:444",
            "",
        ] {
            assert!(acme.instance(other).is_err(), "{other}");
        }
        let shared = login("https://login.salesforce.com").unwrap();
        assert!(shared.instance("https://na1.salesforce.com").is_ok());
        assert!(shared.instance("https://acme.my.salesforce.com").is_ok());
        assert!(shared.instance("https://evilsalesforce.com").is_err());
        let emulator = login("https://salesforce-emulator.demo.svc:8443").unwrap();
        assert!(emulator.instance("https://salesforce-emulator.demo.svc:8443").is_ok());
        assert!(emulator.instance("https://salesforce-emulator.demo.svc").is_err());
        assert!(emulator.instance("https://acme.my.salesforce.com").is_err());
    }

    #[test]
    fn the_audience_follows_from_the_host() {
        assert_eq!(login("https://acme.my.salesforce.com").unwrap().audience(), "https://login.salesforce.com");
        assert_eq!(login("https://acme--uat.sandbox.my.salesforce.com").unwrap().audience(), "https://test.salesforce.com");
        assert_eq!(login("https://salesforce-emulator.demo.svc:8443").unwrap().audience(), "https://salesforce-emulator.demo.svc:8443");
    }
}
