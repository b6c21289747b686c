//! What can go wrong in the keeper, with one word each for conditions. No variant carries a secret or a row.

use std::sync::Arc;

use api::identity::Unidentified;
use envelope::{CustodyError, OpenError, RingError};
use runtime::write::WriteError;

use super::lane::NotResponding;
use super::reasons;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{doing}")]
    Kube {
        doing: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    #[error("keys of tenant {tenant}")]
    Ring {
        tenant: String,
        #[source]
        source: RingError,
    },
    #[error("root key of region {region}")]
    Custody {
        region: String,
        #[source]
        source: CustodyError,
    },
    #[error("root key file {path}")]
    RootKeyFile {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the file's content does not open")]
    File(#[from] OpenError),
    #[error("storage of region {region}: {doing}")]
    Storage {
        region: String,
        doing: &'static str,
        #[source]
        source: object_store::Error,
    },
    #[error("storage of region {region}: {doing}: {text}")]
    Bucket { region: String, doing: &'static str, reason: &'static str, text: String },
    #[error(
        "storage of region {region}: Secret {secret} {problem}: give it the access key of the bucket, as accessKeyId and secretAccessKey"
    )]
    BucketKey { region: String, secret: String, problem: &'static str },
    #[error(
        "{part} of region {region} has no key that this version of the keeper knows, or more than one: set exactly one that it knows, or upgrade Dataimporter"
    )]
    NotUnderstood { region: String, part: &'static str },
    #[error("storage of region {region}: its volume is not mounted at {path}")]
    NotMounted { region: String, path: String },
    #[error("storage of region {region} does not respond: {doing}")]
    NotResponding {
        region: String,
        doing: &'static str,
        #[source]
        source: NotResponding,
    },
    #[error("storage of region {region}: no threads for its volume")]
    Threads {
        region: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the volume of region {region} has {} MiB left, and files leave {} MiB of it to the audit: try again when files there have had their time", free >> 20, reserve >> 20)]
    Full { region: String, free: u64, reserve: u64 },
    #[error("nothing that needs a line in the audit is done in this region now")]
    Unaudited(#[source] Arc<Error>),
    #[error("audit of region {region}")]
    Audit {
        region: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the clock of this machine is {seconds} s away from the API server's: set it right")]
    Skew { seconds: i64 },
    #[error("the API server has not told the time yet")]
    NoTime,
    #[error("Secret {name} cannot be read: {detail}")]
    Record { name: String, detail: &'static str },
    #[error("certificates")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Salesforce(#[from] salesforce::Error),
    #[error(transparent)]
    Connect(#[from] connect::Error),
    #[error("tenant {0} is not bound to its region yet")]
    Unbound(String),
    #[error("region {0} does not exist")]
    NoRegion(String),
    #[error("the tenant it was stored for is gone")]
    TenantGone,
    #[error("the keeper may not ask for tokens of ServiceAccount {0}, or it is gone")]
    NoTokens(String),
    #[error("tokens for {0} open this cluster itself, and are shown to nobody: correct spec.credentials.serviceAccountRef.audience")]
    OwnAudience(String),
    #[error("Connection {0} is being disconnected: nothing is stored or issued for it any more")]
    Disconnecting(String),
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// One word for a condition or a metric label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Kube { .. } | Self::Write(_) if self.refusal().is_some() => reasons::API_SERVER_REFUSED,
            Self::Kube { .. } | Self::Write(_) | Self::Unidentified(_) => reasons::API_SERVER,
            Self::Ring { source, .. } => source.reason(),
            Self::Custody { source, .. } => source.reason(),
            Self::RootKeyFile { .. } => reasons::ROOT_KEY_FILE_UNREADABLE,
            Self::File(source) => source.reason(),
            Self::Storage { .. } => reasons::STORAGE_FAILED,
            Self::Bucket { reason, .. } => reason,
            Self::BucketKey { .. } => reasons::BUCKET_KEY_MISSING,
            Self::NotUnderstood { .. } => reasons::NOT_UNDERSTOOD,
            Self::NotMounted { .. } => reasons::NOT_MOUNTED,
            Self::NotResponding { .. } => reasons::NOT_RESPONDING,
            Self::Threads { .. } => reasons::STORAGE_FAILED,
            Self::Full { .. } => reasons::FULL,
            Self::Unaudited(source) => source.reason(),
            Self::Audit { .. } => reasons::AUDIT_FAILED,
            Self::Skew { .. } | Self::NoTime => reasons::CLOCK_SKEW,
            Self::Record { .. } => reasons::BAD_RECORD,
            Self::Certificate(_) | Self::Tls(_) => reasons::CERTIFICATE,
            Self::Salesforce(source) => source.reason(),
            Self::Connect(source) => source.reason(),
            Self::Unbound(_) => reasons::TENANT_NOT_READY,
            Self::NoRegion(_) => reasons::REGION_UNKNOWN,
            Self::TenantGone => reasons::TENANT_GONE,
            Self::OwnAudience(_) => api::reasons::connection::AUDIENCE_REFUSED,
            Self::NoTokens(_) => api::reasons::connection::SOURCE_FORBIDDEN,
            Self::Disconnecting(_) => reasons::DISCONNECTING,
        }
    }

    /// What the API server said when it understood and refused: rights, admission, validation, size. Trying again changes nothing.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 422) => Some(&status.message),
                _ => None,
            },
            Self::Write(error) if error.is_refusal() => error.server_message(),
            _ => None,
        }
    }

    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Kube { source, .. } => matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409),
            Self::Write(error) => error.is_conflict(),
            _ => false,
        }
    }

    /// The text with its causes, for people.
    pub(crate) fn chain(&self) -> String {
        runtime::causes::chain(self)
    }
}

/// Turns a client error into ours, saying what was being done.
pub(crate) fn kube(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Kube { doing, source: Box::new(source) }
}
