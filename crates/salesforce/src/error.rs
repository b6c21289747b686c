//! What can go wrong in a call, named by what the caller can do about it.
//!
//! Salesforce's own code and message are kept, bounded and without anything that looks like an access token. Addresses are reduced to
//! the host, because a query string holds a customer's field values.

use std::time::Duration;

use crate::reasons;
use crate::wire_error::{ApiError, OAuthError};

/// What the caller does about an error.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// The session is not accepted: one renewal, one repetition. The client has already done both when the caller sees this.
    Auth,
    /// An allowance of the org is used up: park the lane until the window moves, never spin.
    Quota,
    /// The network or the server stumbled: back off and repeat if the call may be repeated.
    Transient,
    /// Another transaction holds the record: the same rows again, sorted by parent, fewer at a time.
    Lock,
    /// Too much at once: the same rows in smaller chunks.
    Rechunk,
    /// The same request fails again: report it.
    Permanent,
    /// Nothing can be written to this org any more: stop the run.
    Stop,
    /// The job is of no use any more: abort it, make a new one, send the same chunk.
    SpoiledJob,
}

/// Whether the server can have seen the request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Delivery {
    /// No connection came about: the server knows nothing of it.
    Unsent,
    /// The connection broke or fell silent after the request may have gone out: it may or may not have been carried out.
    Unknown,
    /// The server answered.
    Answered,
}

/// Why a call failed. `call` says in words what was tried, as in "create a bulk job"; `retry_after` is how long the server asked us to
/// wait.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Error {
    /// Salesforce answered with an error.
    #[error("{call}: salesforce answered {status}{}", first_error(errors))]
    Refused { call: &'static str, status: u16, errors: Vec<ApiError>, retry_after: Option<Duration> },

    /// The token endpoint refused.
    #[error("{call}: the login was refused with {status} {error}")]
    Login { call: &'static str, status: u16, error: OAuthError, retry_after: Option<Duration> },

    /// No complete answer.
    #[error("{call}: no complete answer from {host} ({})", delivery_words(*delivery))]
    Network {
        call: &'static str,
        host: String,
        delivery: Delivery,
        #[source]
        source: NetworkError,
    },

    /// An answer that no Salesforce gives.
    #[error("{call}: the answer cannot be read: {detail}")]
    Unreadable { call: &'static str, detail: String },

    /// A host that is not to be talked to.
    #[error(transparent)]
    Host(#[from] crate::auth::HostError),

    /// A private key that cannot sign.
    #[error(transparent)]
    Key(#[from] crate::auth::KeyError),

    /// The source of sessions has none for us.
    #[error("no salesforce session: {reason}")]
    Session { reason: String, transient: bool },

    /// The caller asked for something that cannot be sent.
    #[error("{call}: {detail}")]
    Request { call: &'static str, detail: String },
}

/// Why no complete answer came.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum NetworkError {
    /// The error itself is not kept: it may know an address whose query holds field values.
    #[error("{}", .0.text)]
    Http(connect::Diagnosis),
    #[error("nothing moved for {} s", .0.as_secs())]
    Stalled(Duration),
}

impl Error {
    /// What the caller does about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { call, status, errors, .. } => {
                match errors.first().map_or_else(|| class_of_status(*status), |error| error.class(*status)) {
                    // There is no job yet that could be spoiled: what is asked for is wrong, e.g. an upsert by a field that is no key.
                    Class::SpoiledJob if *call == crate::bulk::CREATE => Class::Permanent,
                    class => class,
                }
            }
            Self::Login { status, error, .. } if error.is_transient() || is_transient_status(*status) => Class::Transient,
            Self::Network { source: NetworkError::Http(cause), delivery: Delivery::Unsent, .. } if !cause.transient => Class::Permanent,
            Self::Network { .. } | Self::Session { transient: true, .. } => Class::Transient,
            Self::Login { .. } | Self::Unreadable { .. } | Self::Host(_) | Self::Key(_) | Self::Session { .. } | Self::Request { .. } => {
                Class::Permanent
            }
        }
    }

    /// Whether the server can have carried out the request that failed.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Network { delivery, .. } => *delivery,
            Self::Refused { .. } | Self::Login { .. } | Self::Unreadable { .. } => Delivery::Answered,
            Self::Host(_) | Self::Key(_) | Self::Session { .. } | Self::Request { .. } => Delivery::Unsent,
        }
    }

    /// Salesforce's own code, e.g. `INVALID_SESSION_ID` or `invalid_grant`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { errors, .. } => errors.first().map(|error| error.code.as_str()),
            Self::Login { error, .. } => Some(&error.error),
            _ => None,
        }
    }

    /// HTTP status of the answer, if there was one that refused.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Login { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Login { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A short CamelCase word for a condition's reason, one of those in `reasons.rs` or, where nothing was dialed, of [`connect::reasons`].
    pub fn reason(&self) -> &'static str {
        match (self, self.class()) {
            (Self::Login { .. }, Class::Permanent) => reasons::LOGIN_REFUSED,
            (Self::Host(_), _) => reasons::HOST_REFUSED,
            (Self::Key(_), _) => reasons::KEY_UNUSABLE,
            (Self::Network { source: NetworkError::Http(cause), delivery: Delivery::Unsent, .. }, _) => cause.reason,
            (Self::Unreadable { .. }, _) => reasons::ANSWER_UNREADABLE,
            (Self::Session { transient: false, .. }, _) => reasons::NO_SESSION,
            (Self::Request { .. }, _) => reasons::REQUEST_IMPOSSIBLE,
            (_, Class::Auth) => reasons::SESSION_REFUSED,
            (_, Class::Quota) => reasons::QUOTA_EXHAUSTED,
            (_, Class::Transient) => reasons::TEMPORARILY_UNAVAILABLE,
            (_, Class::Lock) => reasons::RECORDS_LOCKED,
            (_, Class::Rechunk) => reasons::TOO_MUCH_AT_ONCE,
            (_, Class::Stop) => reasons::ORG_REFUSES_WRITES,
            (_, Class::SpoiledJob) => reasons::JOB_SPOILED,
            (_, Class::Permanent) => reasons::REFUSED,
        }
    }

    /// Whether the thing asked for does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    pub(crate) fn network(call: &'static str, host: &str, source: reqwest::Error) -> Self {
        let delivery = if source.is_connect() || source.is_builder() { Delivery::Unsent } else { Delivery::Unknown };
        Self::Network { call, host: host.to_owned(), delivery, source: NetworkError::Http(connect::diagnose(&source.without_url())) }
    }

    /// Nothing was dialed: it may not be.
    pub(crate) fn undialed(host: &str, cause: &connect::Error) -> Self {
        let source = NetworkError::Http(connect::diagnose(cause));
        Self::Network { call: "dial", host: host.to_owned(), delivery: Delivery::Unsent, source }
    }

    pub(crate) fn stalled(call: &'static str, host: &str, after: Duration) -> Self {
        Self::Network { call, host: host.to_owned(), delivery: Delivery::Unknown, source: NetworkError::Stalled(after) }
    }

    pub(crate) fn unreadable(call: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Unreadable { call, detail: crate::wire_error::bounded(&detail.to_string()) }
    }
}

pub(crate) fn class_of_status(status: u16) -> Class {
    match status {
        401 => Class::Auth,
        _ if is_transient_status(status) => Class::Transient,
        _ => Class::Permanent,
    }
}

fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 420 | 429 | 500..=599)
}

fn first_error(errors: &[ApiError]) -> String {
    errors.first().map(|error| format!(" {}: {}", error.code, error.message)).unwrap_or_default()
}

fn delivery_words(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Unsent => "the request was not sent",
        Delivery::Unknown => "the request may have been carried out",
        Delivery::Answered => "the answer broke off",
    }
}
