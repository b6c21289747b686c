//! Requests for new keys: an annotation with a time on a Tenant or Region. What is not obeyed is told, with the way out.

use std::collections::BTreeMap;
use std::time::Duration;

use api::conditions::{Conditions, ROTATION_REFUSED};
use api::names::ROTATE_KEYS_ANNOTATION;
use api::reasons::rotation as reasons;
use envelope::Request;
use jiff::Timestamp;

/// Why a request is not obeyed, and when to look again.
#[derive(Debug)]
pub(crate) struct Refusal {
    reason: &'static str,
    message: String,
    pub(crate) not_before: Option<Timestamp>,
}

/// The time that the annotation says.
pub(crate) fn requested(annotations: &BTreeMap<String, String>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = annotations.get(ROTATE_KEYS_ANNOTATION) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        // An account that may annotate chooses its length.
        let shown: String = text.chars().take(64).collect();
        let message = format!("{ROTATE_KEYS_ANNOTATION} is no time: {shown:?}; write the present one, as `date -u +%FT%TZ` prints it");
        Refusal { reason: reasons::UNREADABLE, message, not_before: None }
    })
}

/// What a ring makes of the request, if that is not to obey it.
pub(crate) fn refusal(requested: Option<Timestamp>, request: Request, now: Timestamp) -> Option<Refusal> {
    let requested = requested?;
    let (reason, message, not_before) = match request {
        Request::Nothing | Request::Due | Request::Obeyed => return None,
        Request::InTheFuture => (
            reasons::IN_THE_FUTURE,
            format!("{ROTATE_KEYS_ANNOTATION} is in the future: {requested}, and it is {now} at the API server; write the present time"),
            Some(requested),
        ),
        Request::TooOften { not_before } => (
            reasons::TOO_OFTEN,
            format!("as many keys were made within a day as may be made on request; the next one after {not_before}"),
            Some(not_before),
        ),
        Request::TooMany => (
            reasons::TOO_MANY,
            "so many older keys still open records that none is made: records are being sealed again first".to_owned(),
            None,
        ),
    };
    Some(Refusal { reason, message, not_before })
}

impl Refusal {
    /// A root key that is a file is not ours to make.
    pub(crate) fn of_file() -> Self {
        let message = "the root key is a file: put a new key on its first line, and leave the old one below it".to_owned();
        Self { reason: reasons::KEY_FILE, message, not_before: None }
    }

    pub(crate) fn set_condition(&self, conditions: Conditions) -> Conditions {
        conditions.with_true(ROTATION_REFUSED, self.reason, &self.message)
    }

    /// When the request may be obeyed, at most `longest` from now.
    pub(crate) fn again_after(&self, now: Timestamp, longest: Duration) -> Duration {
        let wait = self.not_before.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
        wait.map_or(longest, |wait| (wait + Duration::from_secs(1)).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn annotated(text: &str) -> BTreeMap<String, String> {
        [(ROTATE_KEYS_ANNOTATION.to_owned(), text.to_owned())].into()
    }

    #[test]
    fn a_request_is_a_time_or_told_to_be_none() {
        assert_eq!(requested(&BTreeMap::new()).unwrap(), None);
        assert_eq!(requested(&annotated("1970-01-01T00:00:05Z")).unwrap(), Some(at(5)));
        for bad in ["", "now", "tomorrow", "2026-11-26", &"9".repeat(100_000)] {
            let refusal = requested(&annotated(bad)).unwrap_err();
            assert!(refusal.reason == "Unreadable" && refusal.message.len() < 300, "{}", refusal.message);
        }
    }

    #[test]
    fn a_refusal_says_when_it_ends() {
        let longest = Duration::from_secs(600);
        let future = refusal(Some(at(65)), Request::InTheFuture, at(60)).unwrap();
        assert_eq!(future.again_after(at(60), longest), Duration::from_secs(6));
        let far = refusal(Some(at(9_000_000)), Request::InTheFuture, at(60)).unwrap();
        assert_eq!(far.again_after(at(60), longest), longest);
        assert!(refusal(Some(at(5)), Request::Obeyed, at(60)).is_none());
        assert!(refusal(None, Request::Nothing, at(60)).is_none());
    }
}
