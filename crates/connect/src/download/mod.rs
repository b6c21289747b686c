//! Files below an address of an HTTPS server, each read with GET and nothing else. A file is known by its length and its ETag, or by its
//! time of modification where there is no ETag; a server may tell neither.

mod answer;
mod refusal;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName, HeaderValue, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use http_body::Body;
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};

use self::answer::Told;
pub use self::refusal::HttpsRefusal;
use crate::dial::Dialer;
use crate::error::Error;
use crate::exchange::{ANSWER, Peer, Pieces};
use crate::files::{Entries, FileBytes, FileError, FileState, RemoteFiles, Span};
use crate::https::{Bodies, HttpsOptions};
use crate::trust::Trust;

/// A chain of redirects that is longer leads nowhere.
const MOST_REDIRECTS: usize = 5;

/// Where files are, and where the server may send us for them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpsFilesParams {
    /// `https://host[:port]` with the start of a path or without; a file's path follows behind a slash.
    pub url: String,
    /// Other servers, as `https://host[:port]`, that a redirect may lead to. No credential goes there.
    pub redirects: Vec<String>,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
}

/// Who we are there.
#[derive(Clone, Debug)]
pub enum HttpsLogin {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// May have no colon.
        user: String,
        /// Sent with every request.
        password: SecretString,
    },
    /// A bearer token (RFC 6750).
    Bearer(SecretString),
    /// A header of the server's own, such as `X-Api-Key`.
    Header {
        /// Its name.
        name: String,
        /// Its value, as it is sent.
        value: SecretString,
    },
}

/// Files below one address.
pub struct HttpsFiles {
    peer: Peer,
    base: Url,
    redirects: Vec<String>,
    login: (HeaderName, HeaderValue),
}

impl Dialer {
    /// Nothing is dialed yet.
    ///
    /// # Errors
    ///
    /// The address is no `https` one, the CA bundle cannot be used, or the credential has characters that no header can carry.
    pub fn https_files(&self, params: &HttpsFilesParams, login: &HttpsLogin) -> Result<HttpsFiles, Error> {
        let https = self.https_with(HttpsOptions { trust: Trust::SystemAnd(params.ca_bundle.as_deref()) }, Bodies::AsTheyAre)?;
        let base = base(&params.url)?;
        let target = origin(&base);
        let login = header(login).ok_or_else(|| Error::Login { target: target.clone(), reason: NO_HEADER.to_owned() })?;
        let redirects = params.redirects.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Ok(HttpsFiles { peer: Peer { https, target: target.into() }, base, redirects, login })
    }
}

const NO_HEADER: &str = "the credential has characters that a header cannot carry: it is one line of text, and a user has no colon";

/// The address with one slash at its end, so that names are joined below it.
fn base(url: &str) -> Result<Url, Error> {
    let refused = || Error::NotHttps { url: "the address".to_owned() };
    let mut url = Url::parse(url).map_err(|_| refused())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if url.scheme() != "https" || url.host_str().is_none() || !plain {
        return Err(refused());
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn origin(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

fn header(login: &HttpsLogin) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = match login {
        HttpsLogin::Basic { user, .. } if user.contains(':') => return None,
        HttpsLogin::Basic { user, password } => {
            use base64::Engine as _;
            let pair = SecretString::from(format!("{user}:{}", password.expose_secret()));
            (AUTHORIZATION, format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.expose_secret())))
        }
        HttpsLogin::Bearer(token) => (AUTHORIZATION, format!("Bearer {}", token.expose_secret())),
        HttpsLogin::Header { name, value } => (name.parse().ok()?, value.expose_secret().to_owned()),
    };
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// The first byte, with which the rest is told.
    First,
    /// Everything.
    All,
    /// A part, if the file is still the one of this validator.
    Part(Span, &'a str),
}

impl HttpsFiles {
    /// Whether the server knows us: it is asked for what is at the address itself. That there need not be anything.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or does not take the credential.
    pub async fn verify(&self) -> Result<(), Error> {
        match self.get(&self.base, Wanted::First).await {
            Ok(_) | Err(FileError::NotFound(_) | FileError::Changed { .. } | FileError::NoParts(_) | FileError::Path(_)) => Ok(()),
            // Who is forbidden something was known, and so was who may not list a folder or is sent elsewhere.
            Err(FileError::Failed(Error::HttpsRefused { refusal, .. })) if refusal.knows_us() => Ok(()),
            Err(FileError::Failed(error)) => Err(error),
        }
    }

    /// The address of a file: what follows the base as one would write it in a browser, where `?` begins a query.
    fn address(&self, path: &str) -> Result<Url, FileError> {
        let refused = |reason: &str| FileError::Path(format!("{path:?} cannot be the path of a file: {reason}"));
        if path.contains('#') {
            return Err(refused("behind a # nothing is sent to a server; write %23 for one that is part of a name"));
        }
        let url = self.base.join(&format!("./{path}")).map_err(|_| refused("it makes no address"))?;
        // Parts that are dots in other clothes (`%2e%2e`) lead out of it.
        if origin(&url) != origin(&self.base) || !url.path().starts_with(self.base.path()) {
            return Err(refused("it leads out of the Connection's address"));
        }
        Ok(url)
    }

    /// The answer to a GET that has something of the file.
    async fn get(&self, url: &Url, wanted: Wanted<'_>) -> Result<Response, FileError> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.ask(&url, wanted).await?;
            match refusal::of(answer.status(), answer.headers()) {
                None => return Ok(answer),
                Some(HttpsRefusal::Redirect { to }) => url = self.redirected(&url, &to)?,
                Some(HttpsRefusal::Missing) => {
                    return Err(FileError::NotFound(format!("{} has no file {:?}", self.peer.target, url.path())));
                }
                Some(refusal) => return Err(self.refused(refusal).into()),
            }
        }
        Err(self.refused(HttpsRefusal::Redirects).into())
    }

    async fn ask(&self, url: &Url, wanted: Wanted<'_>) -> Result<Response, Error> {
        // Lengths and ranges are those of the file, not of a packed copy made on the way.
        let mut request = self.peer.https.request(Method::GET, url.clone())?.header(ACCEPT_ENCODING, "identity");
        if origin(url) == origin(&self.base) {
            request = request.header(self.login.0.clone(), self.login.1.clone());
        }
        request = match wanted {
            Wanted::First => request.header(RANGE, "bytes=0-0"),
            Wanted::All => request,
            Wanted::Part(Span { from, until }, validator) => {
                let last = until.map(|until| (until - 1).to_string()).unwrap_or_default();
                request.header(RANGE, format!("bytes={from}-{last}")).header(IF_RANGE, validator)
            }
        };
        self.peer.send(request, ANSWER).await
    }

    fn redirected(&self, from: &Url, to: &str) -> Result<Url, Error> {
        let host = |url: &Url| format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        let nowhere = || self.refused(HttpsRefusal::Elsewhere { host: "an address that is none".to_owned() });
        let to = from.join(to).map_err(|_| nowhere())?;
        let port = to.port().map(|port| format!(":{port}")).unwrap_or_default();
        let server = format!("{}{port}", host(&to));
        let allowed = to.scheme() == "https" && (origin(&to) == origin(&self.base) || self.redirects.contains(&server));
        if allowed { Ok(to) } else { Err(self.refused(HttpsRefusal::Elsewhere { host: server })) }
    }

    fn refused(&self, refusal: HttpsRefusal) -> Error {
        Error::HttpsRefused { target: self.peer.target.to_string(), refusal }
    }

    fn bytes(&self, answer: Response) -> BoxStream<'static, Result<bytes::Bytes, FileError>> {
        let answer: http::Response<reqwest::Body> = answer.into();
        let body = Box::pin(Pieces::new(answer.into_body(), self.peer.clone(), FileError::Failed));
        stream::try_unfold(body, |mut body| async move {
            loop {
                let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await.transpose()?;
                match frame.map(http_body::Frame::into_data) {
                    None => return Ok(None),
                    Some(Ok(piece)) => return Ok(Some((piece, body))),
                    // Trailers.
                    Some(Err(_)) => {}
                }
            }
        })
        .boxed()
    }
}

#[async_trait]
impl RemoteFiles for HttpsFiles {
    /// Told with the first byte; a server that knows no ranges answers with all of it, of which nothing is read.
    async fn look(&self, path: &str) -> Result<FileState, FileError> {
        let url = self.address(path)?;
        let answer = match self.get(&url, Wanted::First).await {
            // There is no first byte.
            Err(FileError::Failed(Error::HttpsRefused { refusal: HttpsRefusal::BehindTheEnd, .. })) => self.get(&url, Wanted::All).await,
            answer => answer,
        }?;
        Ok(Told::of(&answer).state)
    }

    async fn list<'a>(&'a self, _: &'a str, _: &'a str) -> Result<Entries<'a>, FileError> {
        let target = &self.peer.target;
        Err(FileError::Path(format!("{target} is an HTTPS server, which has no list of its files: name one file exactly, without *")))
    }

    async fn open(&self, path: &str, span: Span, state: &FileState) -> Result<FileBytes, FileError> {
        let changed = || FileError::Changed { path: path.to_owned() };
        let url = self.address(path)?;
        let Span { from, until } = span;
        if state.length.is_some_and(|length| from >= length) || until.is_some_and(|until| from >= until) {
            return Ok(stream::empty().boxed());
        }
        let wanted = match &state.version {
            _ if span == Span::ALL => Wanted::All,
            Some(version) => Wanted::Part(span, version),
            // Whether the bytes are the same ones nobody can tell.
            None => return Err(changed()),
        };
        let answer = self.get(&url, wanted).await?;
        let told = Told::of(&answer);
        if is_another(&told.state, state) {
            return Err(changed());
        }
        // A server that knows no ranges begins at the start.
        let left = match (answer.status(), told.starts_at) {
            (StatusCode::PARTIAL_CONTENT, Some(at)) if at == from => 0,
            (StatusCode::PARTIAL_CONTENT, _) => return Err(self.refused(HttpsRefusal::OtherRange).into()),
            // To skip what was not wanted takes long; who asks for one part asks for others.
            _ if until.is_some() => return Err(FileError::NoParts(self.peer.target.to_string())),
            _ => from,
        };
        Ok(without_first(self.bytes(answer), left))
    }
}

/// An answer may leave out the length, which is then counted.
fn is_another(now: &FileState, then: &FileState) -> bool {
    now.version != then.version || now.length.zip(then.length).is_some_and(|(now, then)| now != then)
}

/// The bytes behind so many.
fn without_first(bytes: FileBytes, count: u64) -> FileBytes {
    if count == 0 {
        return bytes;
    }
    let mut left = count;
    bytes
        .map_ok(move |mut piece| {
            let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            left -= skipped as u64;
            piece.split_off(skipped)
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::AddressPolicy;

    fn files(url: &str, redirects: &[&str]) -> Result<HttpsFiles, Error> {
        let params =
            HttpsFilesParams { url: url.to_owned(), redirects: redirects.iter().map(|text| (*text).to_owned()).collect(), ca_bundle: None };
        Dialer::new(AddressPolicy::unrestricted()).https_files(&params, &HttpsLogin::Bearer("hush".into()))
    }

    #[test]
    fn a_file_lies_below_the_address_or_nowhere() {
        let files = files("https://data.example/export", &[]).unwrap();
        for (path, address) in [
            ("a.csv", "/export/a.csv"),
            ("in/a b.csv", "/export/in/a%20b.csv"),
            ("in/Zoë.csv", "/export/in/Zo%C3%AB.csv"),
            ("rows?format=csv&from=2026-01-01", "/export/rows?format=csv&from=2026-01-01"),
            ("a%2Fb", "/export/a%2Fb"),
            ("https://evil.example/a", "/export/https://evil.example/a"),
        ] {
            let url = files.address(path).unwrap();
            assert_eq!(url.as_str(), format!("https://data.example{address}"));
        }
        for path in ["../a", "%2e%2e/a", "a/%2E%2e/..%2f/../../x", "a#b", "\\..\\..\\a"] {
            assert!(matches!(files.address(path), Err(FileError::Path(_))), "{path}");
        }
    }

    #[test]
    fn a_redirect_leads_to_listed_servers_only_and_never_out_of_tls() {
        let files = files("https://data.example/", &["https://cdn.example", "https://store.example:8443/"]).unwrap();
        let from = Url::parse("https://data.example/a.csv").unwrap();
        for to in ["/b", "https://data.example/b", "https://cdn.example/b?sig=1", "https://CDN.example/b", "https://store.example:8443/b"] {
            assert!(files.redirected(&from, to).is_ok(), "{to}");
        }
        for to in [
            "http://data.example/b",
            "https://data.example:8443/b",
            "https://evil.example/b",
            "https://cdn.example:8443/b",
            "https://cdn.example.evil.example/b",
            "//evil.example/b",
            "file:///etc/passwd",
        ] {
            let error = files.redirected(&from, to).unwrap_err();
            assert!(error.to_string().contains("https.redirects"), "{error}");
        }
    }

    #[test]
    fn an_address_has_no_secret_and_no_query() {
        assert_eq!(base("https://data.example").unwrap().as_str(), "https://data.example/");
        assert_eq!(base("https://data.example/a/b//").unwrap().as_str(), "https://data.example/a/b/");
        for wrong in ["http://data.example", "https://u:p@data.example", "https://data.example/?a", "https://data.example/#a", "data"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_credential_that_no_header_carries_is_told_without_its_value() {
        let dialer = Dialer::new(AddressPolicy::unrestricted());
        let params = HttpsFilesParams { url: "https://data.example".into(), redirects: Vec::new(), ca_bundle: None };
        for login in [
            HttpsLogin::Bearer("two\nlines".into()),
            HttpsLogin::Basic { user: "a:b".into(), password: "two".into() },
            HttpsLogin::Header { name: "X Key".into(), value: "two".into() },
        ] {
            let error = dialer.https_files(&params, &login).err().unwrap();
            assert_eq!(error.reason(), crate::reasons::LOGIN_REFUSED);
            assert!(!error.to_string().contains("two"), "{error}");
        }
    }
}
