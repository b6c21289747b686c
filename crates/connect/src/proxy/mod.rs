//! The HTTP proxy through which an installation reaches the internet, by CONNECT: it sees a host and a port, TLS goes through it to the
//! target. No variable of the environment says anything about it.

mod exempt;
mod http;
mod refusal;
mod tunnel;
mod way;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use self::exempt::Exempt;
pub use self::refusal::ProxyRefusal;
pub(crate) use self::tunnel::Tunnel;
pub(crate) use self::way::Way;

/// Where the proxy is, and what is dialed past it.
#[derive(Clone, Debug)]
pub struct ProxyParams {
    /// `http://host:port`.
    pub url: String,
    /// Hosts that are dialed past it, in the words of `NO_PROXY`.
    pub no_proxy: Vec<String>,
    /// Who we are there, if it asks.
    pub login: Option<ProxyLogin>,
}

/// Who we are at the proxy: HTTP Basic (RFC 7617).
#[derive(Clone, Debug)]
pub struct ProxyLogin {
    /// May have no colon.
    pub user: String,
    /// Sent to the proxy in clear, as Basic is.
    pub password: SecretString,
}

/// A proxy as it is said cannot be used. The messages quote no login.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum ProxyUnusable {
    #[error("egress.proxy.url: write it as http://host:port, with nothing behind it")]
    Url,
    #[error(
        "egress.proxy.url: a proxy that is spoken to over TLS (https://) is not supported; write http://host:port. What goes through it is \
         encrypted to its target all the same"
    )]
    Tls,
    #[error("egress.proxy.url: a login has no place in an address; put it into a Secret and name that in egress.proxy.secretName")]
    LoginInUrl,
    #[error("egress.proxy.noProxy: {entry:?} is no host name, address, network or *; a port may follow behind a colon")]
    Exempt { entry: String },
    #[error("the Secret of egress.proxy.secretName: username is one line without a colon, password one line")]
    Login,
}

/// A proxy. Clones are the same one.
#[derive(Clone)]
pub struct Proxy(Arc<Said>);

struct Said {
    host: String,
    port: u16,
    exempt: Exempt,
    /// The value of `Proxy-Authorization`.
    login: Option<SecretString>,
}

impl Proxy {
    /// Nothing is dialed yet.
    ///
    /// # Errors
    ///
    /// What is said cannot be meant; the message names the chart's value.
    pub fn new(params: &ProxyParams) -> Result<Self, ProxyUnusable> {
        let url = Url::parse(&params.url).map_err(|_| ProxyUnusable::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ProxyUnusable::LoginInUrl);
        }
        if url.scheme() == "https" {
            return Err(ProxyUnusable::Tls);
        }
        let plain = url.scheme() == "http" && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let host = url.host().filter(|_| plain).ok_or(ProxyUnusable::Url)?;
        let host = match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        // No port is the one of http.
        let port = url.port_or_known_default().ok_or(ProxyUnusable::Url)?;
        let login = params.login.as_ref().map(basic).transpose()?;
        Ok(Self(Arc::new(Said { host, port, exempt: Exempt::of(&params.no_proxy)?, login })))
    }
}

/// Whom errors name: `host:port`.
impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&authority(&self.0.host, self.0.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({self})")
    }
}

/// A host, which may be an address without brackets, and a port, as CONNECT names them.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn basic(login: &ProxyLogin) -> Result<SecretString, ProxyUnusable> {
    let ProxyLogin { user, password } = login;
    let is_line = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    if user.contains(':') || !is_line(user) || !is_line(password.expose_secret()) {
        return Err(ProxyUnusable::Login);
    }
    let pair = SecretString::from(format!("{user}:{}", password.expose_secret()));
    Ok(SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str) -> Result<Proxy, ProxyUnusable> {
        Proxy::new(&ProxyParams { url: url.to_owned(), no_proxy: Vec::new(), login: None })
    }

    #[test]
    fn an_address_is_http_and_nothing_else() {
        for (url, named) in [
            ("http://proxy.corp:3128", "proxy.corp:3128"),
            ("http://Proxy.Corp:3128/", "proxy.corp:3128"),
            ("http://10.0.0.5:3128", "10.0.0.5:3128"),
            ("http://[fd00::5]:3128", "[fd00::5]:3128"),
            ("http://proxy.corp", "proxy.corp:80"),
        ] {
            assert_eq!(proxy(url).unwrap().to_string(), named);
        }
        for url in [
            "",
            "proxy.corp:3128",
            "http://",
            "http://proxy.corp:3128/path",
            "http://proxy.corp/?a",
            "socks5://proxy.corp:1080",
            "http://a b:1",
        ] {
            assert_eq!(proxy(url).unwrap_err(), ProxyUnusable::Url, "{url}");
        }
        assert_eq!(proxy("https://proxy.corp:3129").unwrap_err(), ProxyUnusable::Tls);
    }

    #[test]
    fn a_login_in_the_address_is_refused_and_not_repeated() {
        for url in ["http://me:hush@proxy.corp:3128", "http://hush@proxy.corp:3128", "https://me:hush@proxy.corp"] {
            let error = proxy(url).unwrap_err();
            assert_eq!(error, ProxyUnusable::LoginInUrl);
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_login_that_would_not_be_one_header_is_refused() {
        let with = |user: &str, password: &str| {
            let login = ProxyLogin { user: user.into(), password: password.into() };
            Proxy::new(&ProxyParams { url: "http://proxy.corp:3128".into(), no_proxy: Vec::new(), login: Some(login) })
        };
        assert_eq!(with("Aladdin", "open sesame").unwrap().0.login.as_ref().unwrap().expose_secret(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for (user, password) in [("a:b", "hush"), ("", "hush"), ("a", ""), ("a\nX: y", "hush"), ("a", "hush\r\nX: y")] {
            let error = with(user, password).unwrap_err();
            assert!(error == ProxyUnusable::Login && !error.to_string().contains("hush"), "{error}");
        }
        assert!(!format!("{:?}", with("Aladdin", "open sesame").unwrap()).contains("QWxh"));
    }
}
