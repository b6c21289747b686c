//! Reasons that the errors of this crate give: words for conditions, with what each means and what to do about it.

/// The credential was accepted and may not do this: let its policy allow what the message names.
pub const ACCESS_DENIED: &str = "AccessDenied";
/// The host is at an address that is not public: let the Region's `privateEndpoints` list it with its port.
pub const ADDRESS_REFUSED: &str = "AddressRefused";
/// There is no such bucket: correct the bucket, or the endpoint that it is at.
pub const BUCKET_NOT_FOUND: &str = "BucketNotFound";
/// The HTTP client cannot be built, or the address is no https address of a host.
pub const CLIENT_UNUSABLE: &str = "ClientUnusable";
/// The server's clock and ours are more than 15 minutes apart: correct the one that is wrong.
pub const CLOCKS_DIFFER: &str = "ClocksDiffer";
/// The server shows an SSH host key that the Connection does not list, or not any more: have its owner confirm it, then put it there.
pub const HOST_KEY_REFUSED: &str = "HostKeyRefused";
/// The name of the host has no address: correct it, or the DNS.
pub const HOST_NOT_FOUND: &str = "HostNotFound";
/// The server asks for the password in a way that would give it away, and gets none: let it use a safe way, which the message names.
pub const INSECURE_PASSWORD_REFUSED: &str = "InsecurePasswordRefused";
/// The system does not take the credential: correct it, or the user it is of.
pub const LOGIN_REFUSED: &str = "LoginRefused";
/// The server is no store of objects of the kind that the Connection says: correct the endpoint.
pub const NOT_A_STORE: &str = "NotAStore";
/// The server does not behave like MySQL: correct host and port.
pub const NOT_MYSQL: &str = "NotMySql";
/// The server does not behave like PostgreSQL: correct host and port.
pub const NOT_POSTGRES: &str = "NotPostgres";
/// The server does not behave like S3: correct the endpoint.
pub const NOT_S3: &str = "NotS3";
/// The server does not behave like SFTP: correct host and port.
pub const NOT_SFTP: &str = "NotSftp";
/// The server does not behave like SQL Server: correct host and port.
pub const NOT_SQL_SERVER: &str = "NotSqlServer";
/// The object is in an archive, or encrypted under a key of its owner's own: restore or copy it as the message says.
pub const OBJECT_UNREADABLE: &str = "ObjectUnreadable";
/// The bucket is in another region of its provider: correct the region.
pub const OTHER_REGION: &str = "OtherRegion";
/// Public addresses are dialed on one port only, and this is another one: serve it there, or let the Region's `privateEndpoints` list it.
pub const PORT_REFUSED: &str = "PortRefused";
/// The HTTP proxy through which the installation reaches the internet refuses the host, asks for a login, or is none: the message says what to
/// change in the chart's `egress.proxy`, or at the proxy.
pub const PROXY_REFUSED: &str = "ProxyRefused";
/// The server sends us to another one that the Connection does not list: put it into `https.redirects` if files may come
/// from it. SQL Server is followed once: a server that it names and that names another is misconfigured.
pub const REDIRECT_REFUSED: &str = "RedirectRefused";
/// The server refused the request; the message has its code.
pub const REQUEST_REFUSED: &str = "RequestRefused";
/// The connection is not safe, because of the certificate or because the server refuses TLS; the message says what to change.
pub const TLS_REFUSED: &str = "TlsRefused";
/// The CA bundle cannot be used, no certificate authority is trusted, or the host's name can be in no certificate.
pub const TRUST_UNUSABLE: &str = "TrustUnusable";
/// The system cannot be reached, does not answer in time or is busy; it is tried again.
pub const UNREACHABLE: &str = "Unreachable";
