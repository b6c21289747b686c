//! When a credential is shown to the system it is for. A system that refuses, or that the keeper does not survive, is asked less and less
//! often: what is counted stands in the Connection's status before each attempt, so it outlives the keeper.

use std::time::Duration;

use api::connection::Verification;
use api::region::PrivateEndpoint;
use api::{ConnectionStatus, conditions};
use backoff::Backoff;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::VERIFY_INTERVAL;

/// 2 s, 8 s, 32 s … fifteen minutes.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(2), 4.0, Duration::from_secs(15 * 60));

/// What is shown and where: whatever of it changes, the system is asked anew.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shown<'a> {
    /// Digest of the Connection's endpoint, as `ConnectionSpec::endpoint_digest` writes it.
    pub endpoint_digest: &'a str,
    /// Version of the stored credential.
    pub version: i64,
    /// Value of the annotation by which a person asks for a look.
    pub asked: Option<&'a str>,
    /// Where the Region lets this tenant go.
    pub endpoints: &'a [PrivateEndpoint],
    /// Hosts besides Salesforce's own at which the Region lets workers log in.
    pub login_hosts: &'a [String],
    /// The proxy of the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ShownThrough<'a>>,
}

/// The proxy that what is shown passes through, as this keeper has it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShownThrough<'a> {
    /// `egress.proxy.url` of the chart.
    pub url: &'a str,
    /// `egress.proxy.noProxy` of the chart.
    pub no_proxy: &'a [String],
    /// A word for this process, which has read the login at its start: no digest of the login may stand in a status.
    #[serde(skip)]
    pub process: &'a str,
}

impl Shown<'_> {
    /// SHA-256 of all of it, in hexadecimal: what a status remembers an attempt by.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// What a status remembers an attempt by that the proxy refused. A keeper that starts later may have another login there, and asks at once.
    fn stopped_by_proxy(&self) -> Option<String> {
        let proxy = self.proxy?;
        Some(hex::encode(Sha256::digest(format!("{} {}", self.digest(), proxy.process))))
    }

    /// The attempt once the proxy has refused it.
    pub fn refused_by_proxy(&self, attempt: Verification) -> Verification {
        Verification { of: self.stopped_by_proxy().unwrap_or_else(|| self.digest()), ..attempt }
    }

    /// What the status has of attempts to show this.
    fn tried<'s>(&self, status: Option<&'s ConnectionStatus>) -> Option<&'s Verification> {
        let tried = status?.verification.as_ref()?;
        (tried.of == self.digest() || Some(&tried.of) == self.stopped_by_proxy().as_ref()).then_some(tried)
    }

    /// Whether this very credential was accepted at this very endpoint, however long ago.
    pub fn was_accepted(&self, status: Option<&ConnectionStatus>) -> bool {
        status.is_some_and(|s| {
            conditions::is_true(&s.conditions, conditions::READY)
                && s.credential_version == Some(self.version)
                && s.endpoint_digest.as_deref() == Some(self.endpoint_digest)
        })
    }

    /// The next attempt, to be written down before it is made.
    pub fn attempt(&self, status: Option<&ConnectionStatus>, now: Timestamp) -> Verification {
        let before = self.tried(status).map_or(0, |tried| tried.attempts);
        Verification { of: self.digest(), attempts: before.saturating_add(1), last_attempt: Time(now) }
    }
}

/// Whether a credential is shown to its system now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// It was accepted a short while ago.
    Fresh,
    /// It was not shown yet as it is now, or the pause after the last attempt is over, or the last success is too old: show it.
    Now,
    /// It was refused, or the attempt came to no end: not before then.
    At(Timestamp),
}

/// When the credential is shown next, by what the Connection's status says of earlier attempts.
pub fn due(shown: &Shown<'_>, status: Option<&ConnectionStatus>, now: Timestamp) -> Due {
    let Some(tried) = shown.tried(status) else { return Due::Now };
    if tried.attempts > 0 {
        let at = again(tried).min(now + pause(tried.attempts));
        return if now < at { Due::At(at) } else { Due::Now };
    }
    let lately = status.and_then(|s| s.last_verified.as_ref()).is_some_and(|at| now.duration_since(at.0) < VERIFY_INTERVAL);
    if lately && shown.was_accepted(status) { Due::Fresh } else { Due::Now }
}

/// When the next attempt may be made after one that failed or came to no end.
pub fn again(tried: &Verification) -> Timestamp {
    tried.last_attempt.0.saturating_add(pause(tried.attempts)).unwrap_or(Timestamp::MAX)
}

fn pause(attempts: i32) -> Duration {
    BACKOFF.after(u32::try_from(attempts).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::conditions::Conditions;

    const SHOWN: Shown<'_> = Shown { endpoint_digest: "e", version: 1, asked: None, endpoints: &[], login_hosts: &[], proxy: None };

    const PROXY: ShownThrough<'_> = ShownThrough { url: "http://proxy.corp:3128", no_proxy: &[], process: "a" };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(attempts: i32, ready: bool, second: i64) -> ConnectionStatus {
        let conditions = Conditions::from(&[], Some(1), at(second));
        let conditions = if ready { conditions.ready("Verified", "") } else { conditions.waiting("Unreachable", "") };
        ConnectionStatus {
            conditions: conditions.build(),
            endpoint_digest: Some("e".into()),
            credential_version: Some(1),
            last_verified: ready.then(|| Time(at(second))),
            verification: Some(Verification { of: SHOWN.digest(), attempts, last_attempt: Time(at(second)) }),
            ..ConnectionStatus::default()
        }
    }

    #[test]
    fn what_was_accepted_is_asked_again_after_an_hour() {
        assert_eq!(due(&SHOWN, None, at(0)), Due::Now);
        let status = after(0, true, 1000);
        assert_eq!(due(&SHOWN, Some(&status), at(1000)), Due::Fresh);
        assert_eq!(due(&SHOWN, Some(&status), at(1000 + 3599)), Due::Fresh);
        assert_eq!(due(&SHOWN, Some(&status), at(1000 + 3600)), Due::Now);
    }

    #[test]
    fn whatever_changes_is_asked_at_once() {
        let refused = after(9, false, 1000);
        assert_eq!(due(&SHOWN, Some(&refused), at(1001)), Due::At(at(1000 + 900)), "control");
        let hosts = ["crm.example".to_owned()];
        for other in [
            Shown { endpoint_digest: "other", ..SHOWN },
            Shown { version: 2, ..SHOWN },
            Shown { asked: Some("now"), ..SHOWN },
            Shown { login_hosts: &hosts, ..SHOWN },
            Shown { proxy: Some(PROXY), ..SHOWN },
        ] {
            assert_eq!(due(&other, Some(&refused), at(1001)), Due::Now, "{other:?}");
            assert_eq!(due(&other, Some(&after(0, true, 1000)), at(1001)), Due::Now, "{other:?}");
            assert_eq!(other.attempt(Some(&refused), at(1001)).attempts, 1, "{other:?}");
        }
    }

    #[test]
    fn what_the_proxy_refused_is_asked_at_once_by_a_keeper_that_started_later() {
        let shown = Shown { proxy: Some(PROXY), ..SHOWN };
        let later = Shown { proxy: Some(ShownThrough { process: "b", ..PROXY }), ..SHOWN };
        let mut status = after(4, false, 1000);
        let begun = Verification { of: shown.digest(), ..status.verification.clone().unwrap() };
        status.verification = Some(begun.clone());
        assert_eq!(
            due(&later, Some(&status), at(1001)),
            Due::At(at(1128)),
            "control: of an attempt that the keeper died of nobody knows why"
        );
        status.verification = Some(shown.refused_by_proxy(begun));
        assert_eq!(due(&shown, Some(&status), at(1001)), Due::At(at(1128)), "the keeper that was refused has the same login still");
        assert_eq!(shown.attempt(Some(&status), at(1128)).attempts, 5);
        assert_eq!(due(&later, Some(&status), at(1001)), Due::Now);
        assert_eq!(later.attempt(Some(&status), at(1001)).attempts, 1);
    }

    /// A keeper that dies of an attempt finds it written down, whatever it looked like before.
    #[test]
    fn an_attempt_that_came_to_no_end_counts_and_pauses_grow() {
        let mut status = after(0, true, 0);
        let (mut now, mut pauses) = (at(10_000), Vec::new());
        for _ in 0..8 {
            assert_eq!(due(&SHOWN, Some(&status), now), Due::Now);
            status.verification = Some(SHOWN.attempt(Some(&status), now));
            let Due::At(next) = due(&SHOWN, Some(&status), now) else { panic!("it would be made again at once") };
            pauses.push(next.duration_since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [2, 8, 32, 128, 512, 900, 900, 900]);
    }
}
