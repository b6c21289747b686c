//! Why the proxy did not open a way, and what to do about it. Of its answer only the status is used: the rest is its own words.

use std::time::Duration;

use crate::reasons;

/// No way through the proxy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum ProxyRefusal {
    #[error(
        "it cannot be reached ({why}): check egress.proxy.url of the chart, and that egress.proxy.cidrs or podLabels name its addresses"
    )]
    Unreachable { why: String },
    #[error("it did not open the way within {} s: it may answer later", after.as_secs())]
    TimedOut { after: Duration },
    #[error("it asks for a login ({status}): put one into a Secret and name that in egress.proxy.secretName of the chart")]
    LoginWanted { status: u16 },
    #[error(
        "it does not take the login ({status}): correct username and password in the Secret that egress.proxy.secretName of the chart names, and restart the keeper"
    )]
    LoginRefused { status: u16 },
    #[error(
        "it does not let this through ({status}): have it allow CONNECT to that host and port; or, if the host is your own, list it in \
         egress.proxy.noProxy of the chart and its address in the Region's privateEndpoints"
    )]
    Forbidden { status: u16 },
    #[error("it does not reach the host ({status}): check the host's name; it is tried again")]
    HostUnreachable { status: u16 },
    #[error("it answered CONNECT with {status}: check that egress.proxy.url of the chart is a proxy that takes CONNECT")]
    Other { status: u16 },
    #[error("it closed the connection before it had answered: it may succeed later")]
    Closed,
    #[error("its answer is none of an HTTP proxy ({what}): check egress.proxy.url of the chart")]
    NoProxy { what: &'static str },
}

impl ProxyRefusal {
    /// What the status of an answer means that opens no way. `login`: whether one was shown.
    pub(super) fn of(status: u16, login: bool) -> Self {
        match status {
            // tinyproxy says 401 of a login that is wrong.
            401 | 407 if login => Self::LoginRefused { status },
            401 | 407 => Self::LoginWanted { status },
            403 | 451 => Self::Forbidden { status },
            408 | 429 | 500 | 502..=504 => Self::HostUnreachable { status },
            _ => Self::Other { status },
        }
    }

    /// A short CamelCase word for a condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        if self.is_passing() { reasons::UNREACHABLE } else { reasons::PROXY_REFUSED }
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. } | Self::HostUnreachable { .. } | Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_somebody_has_to_change_is_not() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(ProxyRefusal::of(status, false).reason(), reasons::UNREACHABLE, "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 407, 451, 501, 505] {
            assert_eq!(ProxyRefusal::of(status, false).reason(), reasons::PROXY_REFUSED, "{status}");
        }
    }

    #[test]
    fn a_login_that_is_missing_is_told_from_a_wrong_one() {
        for status in [401, 407] {
            assert_eq!(ProxyRefusal::of(status, false), ProxyRefusal::LoginWanted { status });
            assert_eq!(ProxyRefusal::of(status, true), ProxyRefusal::LoginRefused { status });
        }
    }
}
