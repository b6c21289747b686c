//! What an HTTPS server means by an answer that has no file, and what to do about it. Of the answer only its status is used.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};

use crate::reasons;

/// An HTTPS server says no.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum HttpsRefusal {
    #[error("it does not take the credential (401): correct it, or the way of https.auth that it is sent in")]
    Unauthorized,
    #[error("the credential may not read this ({status}): have it allowed there")]
    Forbidden { status: u16 },
    #[error("there is no such file")]
    Missing,
    #[error("it is busy or in trouble ({status}): it may answer later")]
    Busy { status: u16 },
    #[error("what was asked for begins behind the end")]
    BehindTheEnd,
    #[error("it sends another part of the file than was asked for")]
    OtherRange,
    #[error("it sends us to another place")]
    Redirect { to: String },
    #[error("it sends us to {host}, which https.redirects does not list: put it there if files may come from it")]
    Elsewhere { host: String },
    #[error("it sends us from one address to the next without end")]
    Redirects,
    #[error("it answered {status} and no file: correct the address")]
    Other { status: u16 },
}

impl HttpsRefusal {
    /// A short CamelCase word for a condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized => reasons::LOGIN_REFUSED,
            Self::Forbidden { .. } => reasons::ACCESS_DENIED,
            Self::Busy { .. } => reasons::UNREACHABLE,
            Self::Redirect { .. } | Self::Elsewhere { .. } | Self::Redirects => reasons::REDIRECT_REFUSED,
            Self::Missing | Self::BehindTheEnd | Self::OtherRange | Self::Other { .. } => reasons::REQUEST_REFUSED,
        }
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Whether the server said no to what was asked for, and not to us. A server says neither to somebody it sends elsewhere, mostly to a
    /// page to log in at.
    pub(super) fn knows_us(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::BehindTheEnd | Self::OtherRange | Self::Other { .. })
    }
}

/// What an answer means that has nothing of a file.
pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> Option<HttpsRefusal> {
    let location = || headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let number = status.as_u16();
    Some(match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => return None,
        StatusCode::UNAUTHORIZED => HttpsRefusal::Unauthorized,
        StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
            HttpsRefusal::Forbidden { status: number }
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => HttpsRefusal::Missing,
        StatusCode::RANGE_NOT_SATISFIABLE => HttpsRefusal::BehindTheEnd,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => HttpsRefusal::Busy { status: number },
        status if status.is_server_error() => HttpsRefusal::Busy { status: number },
        status if status.is_redirection() => match location() {
            Some(to) => HttpsRefusal::Redirect { to },
            None => HttpsRefusal::Other { status: number },
        },
        _ => HttpsRefusal::Other { status: number },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_without_a_file_says_what_to_do() {
        for (status, reason, passing, words) in [
            (401, reasons::LOGIN_REFUSED, false, "https.auth"),
            (403, reasons::ACCESS_DENIED, false, "allowed"),
            (429, reasons::UNREACHABLE, true, "later"),
            (503, reasons::UNREACHABLE, true, "later"),
            (204, reasons::REQUEST_REFUSED, false, "correct the address"),
            (418, reasons::REQUEST_REFUSED, false, "correct the address"),
            (302, reasons::REQUEST_REFUSED, false, "correct the address"),
        ] {
            let refusal = of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()).unwrap();
            assert_eq!((refusal.reason(), refusal.is_passing()), (reason, passing), "{status}");
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
        assert_eq!(of(StatusCode::OK, &HeaderMap::new()), None);
        assert_eq!(of(StatusCode::PARTIAL_CONTENT, &HeaderMap::new()), None);
    }
}
