//! From a token and an address to a proof: reads everything the rules look at, live, and lets them judge.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use api::identity::is_same;
use api::snapshot::Snapshot;
use api::{ImportRun, Tenant, Uid, names};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::lease::{Admitted, Caller, Class, Observed, Peer, Refusal, admit, is_too_early, peer_of};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{Admission, Call, Rejection};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result, kube};

/// A run, and the attempt that may write to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RunKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) pod_uid: Uid,
    pub(crate) attempt: i32,
    /// Whose audit has the lines about it.
    pub(crate) region: String,
    pub(crate) tenant_uid: Uid,
}

/// UID of the tenant whose worker calls.
pub(crate) fn tenant_uid(admitted: &Admitted) -> &Uid {
    &admitted.snapshot().tenant.uid
}

impl RunKey {
    pub(crate) fn of(admitted: &Admitted) -> Self {
        Self {
            namespace: admitted.namespace().to_owned(),
            name: admitted.run().name_any(),
            uid: admitted.run_uid().clone(),
            pod_uid: admitted.pod_uid().clone(),
            attempt: admitted.attempt(),
            region: admitted.region().name_any(),
            tenant_uid: tenant_uid(admitted).clone(),
        }
    }
}

/// How long a call is held that only came too early, and how often what it waits for is looked for. A kubelet tells the address of a new pod
/// up to a second after its container began.
const EARLY: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(40);

/// Which run a call is about.
#[derive(Clone, Copy)]
pub(crate) enum About<'a> {
    /// The path names the run, the body the attempt.
    Run { uid: &'a str, attempt: i32 },
    /// The call is about a file: the run is the one the pod was made for.
    RunOfPod,
}

impl Admission {
    /// The proof that the caller is the current worker of its run. A refusal is audited before the caller hears of it, unless
    /// it only came too early.
    pub(crate) async fn admit(&self, call: &Call, about: About<'_>, what: &'static str) -> std::result::Result<Admitted, Rejection> {
        // Nothing is handed out while nobody knows what time it is.
        self.cluster.at_latest()?;
        let observed = self.observe_in_time(call, about).await?;
        let (run_uid, region) = (observed.run_uid.clone(), observed.tenant.as_ref().map(|t| t.spec.region.clone()));
        let tenant = observed.tenant.as_ref().and_then(|tenant| tenant.uid());
        let caller = observed.caller.clone().unwrap_or_default();
        let peer = observed.pod.as_ref().map(|pod| peer_of(pod, observed.peer));
        let outcome = admit(observed);
        let event = Event::new(if outcome.is_ok() { "CallAdmitted" } else { "CallRefused" })
            .with("tenant", tenant.as_deref().unwrap_or_default())
            .with("call", what)
            .with("run", run_uid.as_str())
            .with("pod", caller.pod_uid.as_deref().unwrap_or_default())
            .with("credential", caller.credential_id.as_deref().unwrap_or_default());
        match outcome {
            Ok(admitted) => {
                let event = match peer {
                    Some(Peer::Foreign) => event.with("peer", "foreign"),
                    Some(Peer::Unknown) => event.with("peer", "unknown"),
                    Some(Peer::Own) | None => event,
                };
                self.audit.line(admitted.region(), event).await?;
                Ok(admitted)
            }
            Err(refusal) if refusal.is_early() => {
                tracing::debug!(call = what, run = run_uid, refusal = ?refusal, "a worker is earlier than what it is judged by");
                Err(refusal.into())
            }
            Err(refusal) => {
                log(what, &run_uid, refusal);
                let event = event.with("refusal", format!("{refusal:?}"));
                match region.and_then(|name| self.cluster.region(&name).ok()) {
                    Some(region) => self.audit.line(&region, event).await?,
                    // A caller that proves no tenant belongs to no region: every region served here has the line.
                    None => self.audit.refusal(&self.cluster.regions.all(), &format!("{what}/{refusal:?}"), event).await,
                }
                Err(refusal.into())
            }
        }
    }

    /// Whose token the API server does not know is refused before anything is read.
    pub(crate) async fn refuse_stranger(&self, path: &str) {
        let mut parts = path.trim_start_matches("/v1/").split('/');
        let run = if parts.next() == Some("runs") { parts.next() } else { None };
        let event = Event::new("CallRefused")
            .with("call", path.rsplit('/').find(|part| part.bytes().any(|b| b.is_ascii_lowercase())).unwrap_or_default())
            .with("run", run.unwrap_or_default())
            .with("refusal", format!("{:?}", Refusal::Token));
        // A caller that proves no tenant belongs to no region: every region served here has the line.
        self.audit.refusal(&self.cluster.regions.all(), "Token", event).await;
    }

    /// Audits a refusal that came after the admission: about a connection, a file, or an attempt that was replaced in between.
    pub(crate) async fn judged<T>(
        &self,
        run: &RunKey,
        what: &'static str,
        outcome: std::result::Result<T, Rejection>,
    ) -> std::result::Result<T, Rejection> {
        if let Some(refusal) = outcome.as_ref().err().and_then(Rejection::refusal) {
            log(what, &run.uid, refusal);
            let event = Event::new("CallRefused")
                .with("tenant", run.tenant_uid.as_str())
                .with("call", what)
                .with("run", run.uid.as_str())
                .with("pod", run.pod_uid.as_str())
                .with("refusal", format!("{refusal:?}"));
            self.audit.line(self.cluster.region(&run.region)?.as_ref(), event).await?;
        }
        outcome
    }

    /// What a call is judged by. One that came before others wrote that down waits here for a moment, and is then judged by looks that are
    /// all made anew: asking again would cost the API server as much each time.
    async fn observe_in_time(&self, call: &Call, about: About<'_>) -> Result<Observed> {
        let began = Instant::now();
        loop {
            let observed = self.observe(call, about).await?;
            if !is_too_early(&observed) || began.elapsed() >= EARLY {
                return Ok(observed);
            }
            tokio::time::sleep(LOOK).await;
            while began.elapsed() < EARLY && self.has_no_address_yet(&observed).await? {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn has_no_address_yet(&self, observed: &Observed) -> Result<bool> {
        let Some(known) = &observed.pod else { return Ok(false) };
        let pod = self.namespaced::<Pod>(&known.namespace().unwrap_or_default(), &known.name_any()).await?;
        Ok(pod.is_some_and(|pod| is_same(&pod.metadata, &known.metadata) && peer_of(&pod, observed.peer) == Peer::Unknown))
    }

    async fn observe(&self, call: &Call, about: About<'_>) -> Result<Observed> {
        let caller = call.caller.clone();
        let run_namespace = caller.as_ref().and_then(|c| worker_namespace(&c.username)).unwrap_or_default().to_owned();
        let tenant_name = run_namespace.strip_prefix(names::RUN_NAMESPACE_PREFIX).unwrap_or_default();
        let pod_name = caller.as_ref().and_then(|c| c.pod_name.clone()).unwrap_or_default();
        let named_run = match about {
            About::Run { uid, .. } => Some(uid),
            About::RunOfPod => None,
        };
        // Where the path names the run, its anchor is known by name already.
        let anchor_of = async |run_uid: &str| self.namespaced::<ConfigMap>(&run_namespace, &names::snapshot_configmap(run_uid)).await;
        let (tenant, pod, namespace, anchor) = tokio::try_join!(
            self.global::<Tenant>(tenant_name),
            self.namespaced::<Pod>(&run_namespace, &pod_name),
            self.global::<Namespace>(&run_namespace),
            async { if let Some(uid) = named_run { anchor_of(uid).await } else { Ok(None) } },
        )?;
        let (run_uid, attempt) = match about {
            About::Run { uid, attempt } => (uid.to_owned(), Some(attempt)),
            About::RunOfPod => (pod.as_ref().and_then(|p| p.labels().get(names::RUN_UID_LABEL).cloned()).unwrap_or_default(), None),
        };
        let anchor = if named_run.is_some() { anchor } else { anchor_of(&run_uid).await? };
        let snapshot = anchor.and_then(|map| map.data?.remove(names::SNAPSHOT_KEY));
        // Only says where to look; what is found there must fit the digest in the run's status.
        let named: Option<Snapshot> = snapshot.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let home = named.as_ref().and_then(|s| s.run.namespace.clone()).unwrap_or_default();
        let run_name = named.as_ref().map(|s| s.run.name.clone()).unwrap_or_default();
        let node_name = pod.as_ref().and_then(|p| p.spec.as_ref()?.node_name.clone()).unwrap_or_default();
        let (run, tenant_namespace, node, region) = tokio::try_join!(
            self.namespaced::<ImportRun>(&home, &run_name),
            self.global::<Namespace>(&home),
            self.global::<Node>(&node_name),
            self.global::<api::Region>(tenant.as_ref().map_or("", |t| t.spec.region.as_str()))
        )?;
        let pod_uid = caller.as_ref().and_then(|c| c.pod_uid.clone());
        let recorded = run.as_ref().and_then(|r| r.status.as_ref()?.attempts.iter().find(|a| a.pod_uid == pod_uid).map(|a| a.number));
        Ok(Observed {
            run_uid,
            attempt: attempt.or(recorded).unwrap_or_default(),
            installation: self.cluster.installation.clone(),
            token_first_shown_by: caller.as_ref().and_then(|c| self.first_shown_by(c)),
            caller,
            tenant,
            region,
            run,
            run_namespace: namespace,
            tenant_namespace,
            pod,
            node,
            peer: call.peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0),
            peer_check: self.peer_check,
            snapshot,
        })
    }

    /// Asks the API server whose token this is, for the audiences of all our regions. One that lives too long is nobody's.
    pub(crate) async fn review(&self, token: &SecretString, audience: fn(&str, &str) -> String) -> Result<Option<Caller>> {
        let audiences: Vec<String> =
            self.cluster.regions.all().iter().map(|r| audience(&r.name_any(), &self.cluster.installation)).collect();
        if audiences.is_empty() {
            return Ok(None);
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec { audiences: Some(audiences.clone()), token: Some(token.expose_secret().to_owned()) },
            status: None,
        };
        let api: Api<TokenReview> = Api::all(self.cluster.client.clone());
        let reviewed = api.create(&PostParams::default(), &review).await.map_err(kube("review a token"))?;
        let Some(caller) = reviewed.status.and_then(|status| known_caller(status, &audiences)) else { return Ok(None) };
        // Read only now that the API server has vouched for what stands in it.
        match life(token.expose_secret()) {
            Some(seconds) if seconds <= names::TOKEN_SECONDS => Ok(Some(caller)),
            seconds => {
                tracing::warn!(account = caller.username, seconds, "a token that lives longer than ten minutes was refused");
                Ok(None)
            }
        }
    }

    fn first_shown_by(&self, caller: &Caller) -> Option<String> {
        let (id, pod) = (caller.credential_id.clone()?, caller.pod_uid.clone()?);
        let mut memory = self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Some(memory.first_shown_by(id, pod, Instant::now()).to_owned())
    }

    /// The run of a caller that was admitted a moment ago: for progress only.
    pub(crate) async fn admit_progress(&self, call: &Call, uid: &str, attempt: i32) -> std::result::Result<RunKey, Rejection> {
        let key = call.token.as_ref().map(|token| {
            let peer = call.peer.map(|p| p.0.to_string()).unwrap_or_default();
            hex::encode(Sha256::new().chain_update(token.expose_secret()).chain_update(format!("/{uid}/{attempt}/{peer}")).finalize())
        });
        if let Some(known) = key.as_ref().and_then(|key| self.admitted(key)) {
            return Ok(known);
        }
        let run = RunKey::of(&self.admit(call, About::Run { uid, attempt }, "progress").await?);
        if let Some(key) = key {
            let mut memory = self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            memory.remember_admitted(key, run.clone(), Instant::now());
        }
        Ok(run)
    }

    fn admitted(&self, key: &str) -> Option<RunKey> {
        let memory = self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        memory.admitted(key, Instant::now()).cloned()
    }

    async fn global<K>(&self, name: &str) -> Result<Option<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        read(Api::all(self.cluster.client.clone()), name).await
    }

    async fn namespaced<K>(&self, namespace: &str, name: &str) -> Result<Option<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        if namespace.is_empty() {
            return Ok(None);
        }
        read(Api::namespaced(self.cluster.client.clone(), namespace), name).await
    }
}

/// What passes by itself is no warning.
fn log(call: &str, run: &str, refusal: Refusal) {
    match refusal.class() {
        Class::Wait => tracing::info!(call, run, ?refusal, "a worker's call was refused for now"),
        Class::End(_) | Class::Fenced => tracing::warn!(call, run, ?refusal, "a worker's call was refused"),
    }
}

async fn read<K>(api: Api<K>, name: &str) -> Result<Option<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    if name.is_empty() {
        return Ok(None);
    }
    match api.get_opt(name).await {
        Ok(found) => Ok(found),
        // A name that no object can have, or an object that is none of ours to see, is an object that is not there.
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403) => Ok(None),
        Err(error) => Err(Error::Kube { doing: format!("read {} {name}", K::kind(&())), source: Box::new(error) }),
    }
}

/// Only what was asked for and confirmed counts as an audience.
fn known_caller(status: k8s_openapi::api::authentication::v1::TokenReviewStatus, asked: &[String]) -> Option<Caller> {
    if status.authenticated != Some(true) || status.error.as_ref().is_some_and(|e| !e.is_empty()) {
        return None;
    }
    let user = status.user?;
    let extra = user.extra.unwrap_or_default();
    let first = |key: &str| extra.get(&format!("authentication.kubernetes.io/{key}")).and_then(|values| values.first().cloned());
    Some(Caller {
        username: user.username.unwrap_or_default(),
        audiences: status.audiences.unwrap_or_default().into_iter().filter(|a| asked.contains(a)).collect(),
        pod_name: first("pod-name"),
        pod_uid: first("pod-uid"),
        node_name: first("node-name"),
        credential_id: first("credential-id"),
    })
}

/// For how many seconds a token is good, by its own claims.
fn life(token: &str) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: i64,
        iat: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp, iat } = serde_json::from_slice(&claims).ok()?;
    exp.checked_sub(iat)
}

/// `system:serviceaccount:<namespace>:worker`
fn worker_namespace(username: &str) -> Option<&str> {
    username.strip_prefix("system:serviceaccount:")?.strip_suffix(names::WORKER_ACCOUNT)?.strip_suffix(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::TokenReviewStatus;
    use serde_json::json;

    fn status(value: serde_json::Value) -> TokenReviewStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_confirmed_audiences_that_we_asked_for_count() {
        let good = json!({"authenticated": true, "audiences": ["a", "x"], "user": {"username": "u", "extra": {
            "authentication.kubernetes.io/pod-name": ["p"], "authentication.kubernetes.io/pod-uid": ["pu"],
            "authentication.kubernetes.io/node-name": ["n"], "authentication.kubernetes.io/credential-id": ["JTI=1"]}}});
        let caller = known_caller(status(good), &["a".into(), "b".into()]).unwrap();
        assert_eq!(caller.audiences, ["a"]);
        assert_eq!((caller.pod_uid.as_deref(), caller.credential_id.as_deref()), (Some("pu"), Some("JTI=1")));
        let refused = json!({"authenticated": false, "audiences": ["a"], "user": {"username": "u"}});
        assert!(known_caller(status(refused), &["a".into()]).is_none());
        // A server that knows nothing of audiences confirms none.
        let old = json!({"authenticated": true, "user": {"username": "u"}});
        assert!(known_caller(status(old), &["a".into()]).unwrap().audiences.is_empty());
    }

    #[test]
    fn the_life_of_a_token_is_read_from_its_claims() {
        let token = |claims: &str| format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(life(&token(r#"{"iat":1000,"exp":1600,"aud":["a"]}"#)), Some(600));
        for none in
            ["", "a.b.c", &token("{}"), &token(r#"{"exp":1600}"#), &token(r#"{"iat":-9223372036854775808,"exp":9223372036854775807}"#)]
        {
            assert_eq!(life(none), None, "{none}");
        }
    }

    #[test]
    fn the_namespace_is_read_from_worker_accounts_only() {
        assert_eq!(worker_namespace("system:serviceaccount:dataimporter-run-acme:worker"), Some("dataimporter-run-acme"));
        for other in ["system:serviceaccount:acme:default", "admin", "system:serviceaccount:worker", "system:serviceaccount:a:notworker"] {
            assert_eq!(worker_namespace(other), None, "{other}");
        }
    }
}
