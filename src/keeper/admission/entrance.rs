//! Who is let in, before anything is read or kept for a call: whose token it is, asked of the API server for a few at a time and of each
//! address fewer; a token that was refused a moment ago is refused without asking; and each tenant has so many calls at a time.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use domain::lease::Caller;
use runtime::listen::{Busy, Seat};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Admission, Call};
use crate::keeper::base::error::Result;

/// Tokens that the API server is asked about at the same time.
const REVIEWS: usize = 32;
/// … of which so many come from one address.
const REVIEWS_OF_ONE: usize = 4;
/// A refusal is remembered for so long, and so many are.
const REMEMBERED: Duration = Duration::from_secs(5);
const REMEMBERED_AT_MOST: usize = 8192;

/// The entrance of one listener.
pub(crate) struct Entrance {
    admission: Arc<Admission>,
    /// Name of the listener in metrics.
    listener: &'static str,
    audience: fn(&str, &str) -> String,
    refused: Mutex<Refusals>,
    reviews: Semaphore,
    of_one: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// What is known of a caller.
pub(crate) enum Known {
    Caller(Caller),
    /// The API server does not know the token, or it lives too long.
    Stranger,
    /// It was refused a moment ago, and the audit has the line.
    StrangerAgain,
}

/// What is held for a call that was let in.
pub(crate) type Held = (OwnedSemaphorePermit, Option<Busy>);

impl Entrance {
    pub(crate) fn new(admission: Arc<Admission>, listener: &'static str, audience: fn(&str, &str) -> String) -> Self {
        let (refused, of_one) = (Mutex::default(), Mutex::default());
        Self { admission, listener, audience, refused, reviews: Semaphore::new(REVIEWS), of_one }
    }

    pub(crate) async fn known(&self, call: &Call) -> Result<Known> {
        let Some(token) = &call.token else { return Ok(self.stranger("noToken", Known::Stranger)) };
        let digest: [u8; 32] = Sha256::digest(token.expose_secret()).into();
        if self.was_refused(&digest) {
            return Ok(self.stranger("refusedBefore", Known::StrangerAgain));
        }
        let address = call.peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        let reviewed = self.in_turn(address, token, &digest).await?;
        Ok(match reviewed {
            Some(caller) => Known::Caller(caller),
            None => {
                self.refusals(|refusals| refusals.remember(digest, Instant::now()));
                self.stranger("token", Known::Stranger)
            }
        })
    }

    /// First the turn of the address, then that of all: who asks a lot waits behind their own.
    async fn in_turn(&self, address: IpAddr, token: &SecretString, digest: &[u8; 32]) -> Result<Option<Caller>> {
        let own = self.turns_of(address);
        let _own = own.acquire().await;
        let _turn = self.reviews.acquire().await;
        if self.was_refused(digest) {
            return Ok(None);
        }
        self.admission.review(token, self.audience).await
    }

    fn turns_of(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut turns = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() > REVIEWS * 2 {
            // Nobody waits or is asked about there.
            turns.retain(|_, known| Arc::strong_count(known) > 1);
        }
        turns.entry(address).or_insert_with(|| Arc::new(Semaphore::new(REVIEWS_OF_ONE))).clone()
    }

    fn was_refused(&self, digest: &[u8; 32]) -> bool {
        self.refusals(|refusals| refusals.has(digest, Instant::now()))
    }

    fn refusals<T>(&self, f: impl FnOnce(&mut Refusals) -> T) -> T {
        f(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stranger(&self, reason: &'static str, known: Known) -> Known {
        self.admission.cluster.metrics.call_refused(self.listener, reason);
        known
    }

    /// What is held while the call is under way. Absent: the caller's tenant has all the calls that it may have.
    pub(crate) fn admission(&self, shares: &Shares, caller: &Caller, request: &Request) -> Option<Held> {
        let Some(share) = shares.take(self.tenant(caller)) else {
            self.admission.cluster.metrics.call_refused(self.listener, "tenantBusy");
            return None;
        };
        Some((share, request.extensions().get::<Arc<Seat>>().map(|seat| seat.busy())))
    }

    /// Whose calls these are: all namespaces of a tenant together, or a namespace that no tenant holds.
    fn tenant(&self, caller: &Caller) -> String {
        let namespace = caller.username.split(':').nth(2).unwrap_or_default();
        let held = self.admission.cluster.tenants.by(namespace).first().and_then(|tenant| tenant.metadata.uid.clone());
        held.unwrap_or_else(|| namespace.to_owned())
    }
}

/// How many calls of a kind each tenant may have under way.
pub(crate) struct Shares {
    each: usize,
    tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Shares {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, tenants: Mutex::default() }
    }

    fn take(&self, tenant: String) -> Option<OwnedSemaphorePermit> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, share| share.available_permits() < self.each);
        tenants.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone().try_acquire_owned().ok()
    }
}

/// Digests of tokens that were refused a moment ago, the oldest first. The tokens themselves are not kept.
#[derive(Default)]
struct Refusals {
    known: HashMap<[u8; 32], Instant>,
    order: VecDeque<([u8; 32], Instant)>,
}

impl Refusals {
    fn remember(&mut self, digest: [u8; 32], now: Instant) {
        self.forget_old(now);
        while self.order.len() >= REMEMBERED_AT_MOST {
            self.forget_first();
        }
        self.known.insert(digest, now);
        self.order.push_back((digest, now));
    }

    fn has(&mut self, digest: &[u8; 32], now: Instant) -> bool {
        self.forget_old(now);
        self.known.contains_key(digest)
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, at)| now.saturating_duration_since(*at) >= REMEMBERED) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((digest, at)) = self.order.pop_front()
            && self.known.get(&digest) == Some(&at)
        {
            self.known.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> [u8; 32] {
        Sha256::digest(number.to_string()).into()
    }

    #[test]
    fn refused_tokens_are_remembered_for_a_moment_and_not_without_bound() {
        let (start, mut refusals) = (Instant::now(), Refusals::default());
        refusals.remember(digest(0), start);
        assert!(refusals.has(&digest(0), start + Duration::from_secs(4)));
        assert!(!refusals.has(&digest(1), start));
        assert!(!refusals.has(&digest(0), start + REMEMBERED));
        for number in 0..3 * REMEMBERED_AT_MOST {
            refusals.remember(digest(number), start);
        }
        assert_eq!((refusals.known.len(), refusals.order.len()), (REMEMBERED_AT_MOST, REMEMBERED_AT_MOST));
        assert!(refusals.has(&digest(3 * REMEMBERED_AT_MOST - 1), start));
        assert!(!refusals.has(&digest(0), start + REMEMBERED) && refusals.known.is_empty());
    }

    #[test]
    fn each_tenant_has_its_own_share() {
        let shares = Shares::new(2);
        let held = [shares.take("a".into()).unwrap(), shares.take("a".into()).unwrap()];
        assert!(shares.take("a".into()).is_none());
        assert!(shares.take("b".into()).is_some());
        drop(held);
        assert!(shares.take("a".into()).is_some());
        assert_eq!(shares.tenants.lock().unwrap().len(), 1, "whoever has no call is forgotten");
    }
}
