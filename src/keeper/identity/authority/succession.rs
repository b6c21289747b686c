//! Who signs and who is trusted, as time passes. An authority lives thirty days. After twenty the next one is made and published beside it,
//! and signs nothing for eight days: longer than any worker lives, so that every client there is knows it by then. From that moment it
//! signs, and an hour later the key of the one before is destroyed and its certificate is no longer published.

use jiff::{SignedDuration, Timestamp};

use super::certificate::Signer;

/// When the next one is made.
const NEXT_AFTER: SignedDuration = SignedDuration::from_hours(24 * 20);
/// How long it is trusted before it signs: a run, and a pod with it, ends after seven days at the latest.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24 * 8);
/// How long the one before is trusted when it has signed its last: two keepers may be at work, and neither is told by the other.
const FAREWELL: SignedDuration = SignedDuration::from_hours(1);

#[derive(Clone)]
pub(super) struct Succession {
    pub(super) current: Signer,
    pub(super) next: Option<Signer>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Make the next one and publish it.
    MakeNext,
    /// The next one is the current one; the one before is forgotten.
    Retire,
}

impl Succession {
    pub(super) fn of(current: Signer) -> Self {
        Self { current, next: None }
    }

    /// When the next one begins to sign. A keeper that was down for long may find too little left of the current one.
    fn handover(&self) -> Option<Timestamp> {
        self.next.as_ref().map(|next| self.current.until.min(next.made + OVERLAP))
    }

    /// Whose certificates are served.
    pub(super) fn signer(&self, now: Timestamp) -> &Signer {
        match (&self.next, self.handover()) {
            (Some(next), Some(handover)) if now >= handover => next,
            _ => &self.current,
        }
    }

    /// All that clients trust, in PEM.
    pub(super) fn bundle(&self) -> String {
        [Some(&self.current), self.next.as_ref()].into_iter().flatten().map(|signer| signer.certificate.as_str()).collect()
    }

    pub(super) fn due(&self, now: Timestamp) -> Option<Step> {
        match self.handover() {
            None => (now >= self.current.made + NEXT_AFTER).then_some(Step::MakeNext),
            Some(handover) => (now >= handover + FAREWELL).then_some(Step::Retire),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;
    use crate::keeper::identity::authority::certificate::Leaf;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn now() -> Timestamp {
        "2026-11-26T10:00:00Z".parse().unwrap()
    }

    fn days(count: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * count)
    }

    /// Whether a client that trusts this bundle takes this certificate at this time.
    fn accepts(bundle: &str, leaf: &Leaf, now: Timestamp) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let time = UnixTime::since_unix_epoch(now.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs());
        let name = ServerName::try_from("keeper").unwrap();
        verifier.verify_server_cert(&leaf.key.cert[0], &[], &name, &[], time).is_ok()
    }

    fn take(succession: &mut Succession, step: Step, now: Timestamp) {
        match step {
            Step::MakeNext => succession.next = Some(Signer::make(now).unwrap()),
            Step::Retire => *succession = Succession::of(succession.next.take().unwrap()),
        }
    }

    /// A year, hour by hour, with a client of every age that a worker may have.
    #[test]
    fn for_a_year_every_client_that_may_live_is_served_and_no_key_is_older_than_its_time() {
        let (mut succession, mut at) = (Succession::of(Signer::make(now()).unwrap()), now());
        let mut published: Vec<(Timestamp, String)> = Vec::new();
        let (mut retired, mut leaf): (u32, Option<(Leaf, Timestamp)>) = (0, None);
        while at < now() + days(366) {
            while let Some(step) = succession.due(at) {
                retired += u32::from(step == Step::Retire);
                take(&mut succession, step, at);
            }
            assert!(at < succession.current.made + days(29), "the key of {} at {at}", succession.current.made);
            let bundle = succession.bundle();
            if published.last().is_none_or(|(_, last)| *last != bundle) {
                published.push((at, bundle));
            }
            let signer = succession.signer(at);
            let stale = leaf.as_ref().is_none_or(|(leaf, of)| *of != signer.made || leaf.until.duration_since(at) < days(2));
            if stale {
                leaf = Some((signer.leaf(&["keeper".into()], at).unwrap(), signer.made));
            }
            let (served, _) = leaf.as_ref().unwrap();
            // What anybody read in the last seven days, which is what was published then or changed since.
            for (index, (_, bundle)) in published.iter().enumerate() {
                let replaced = published.get(index + 1).map_or(at, |(since, _)| *since);
                if at.duration_since(replaced) < days(7) {
                    assert!(accepts(bundle, served, at), "a client of a bundle that was replaced at {replaced} is not served at {at}");
                }
            }
            at += HOUR;
        }
        assert!((16..=18).contains(&retired), "one in twenty days: {retired} in a year");
    }

    #[test]
    fn who_knows_only_the_old_one_is_served_until_the_next_one_signs_and_not_after() {
        let mut succession = Succession::of(Signer::make(now()).unwrap());
        let old = succession.bundle();
        let made = now() + NEXT_AFTER;
        assert_eq!((succession.due(made - HOUR), succession.due(made)), (None, Some(Step::MakeNext)));
        take(&mut succession, Step::MakeNext, made);
        let served = |succession: &Succession, at| succession.signer(at).leaf(&["keeper".into()], at).unwrap();
        let (before, after) = (made + OVERLAP - HOUR, made + OVERLAP);
        assert!(accepts(&old, &served(&succession, before), before));
        assert!(!accepts(&old, &served(&succession, after), after));
        assert!(accepts(&succession.bundle(), &served(&succession, after), after));
        assert_eq!((succession.due(after), succession.due(after + FAREWELL)), (None, Some(Step::Retire)));
        take(&mut succession, Step::Retire, after + FAREWELL);
        assert!(!succession.bundle().contains(&old));
        assert_eq!(succession.due(after + FAREWELL), None);
    }

    #[test]
    fn after_a_long_time_down_the_next_one_signs_when_the_current_one_is_over() {
        let mut succession = Succession::of(Signer::make(now()).unwrap());
        let late = now() + days(29);
        assert_eq!(succession.due(late), Some(Step::MakeNext));
        take(&mut succession, Step::MakeNext, late);
        assert_eq!(succession.signer(late).made, now());
        assert_eq!(succession.signer(now() + days(30)).made, late);
        // Down for longer than its life: nobody trusts what is over, and nothing is waited for.
        let mut succession = Succession::of(Signer::make(now()).unwrap());
        let later = now() + days(60);
        assert_eq!(succession.due(later), Some(Step::MakeNext));
        take(&mut succession, Step::MakeNext, later);
        assert_eq!(succession.signer(later).made, later);
        assert_eq!(succession.due(later), Some(Step::Retire));
    }
}
