//! Salesforce access tokens: one renewal at a time for each Connection, every token written down (sealed) before it is handed out, so
//! that a disconnect can revoke all that may still be alive.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::connection::{AuthFlow, Salesforce};
use api::keeper::SecretText;
use api::{Connection, Region, Uid};
use connect::{AddressPolicy, Dialer, Https, HttpsOptions, Trust};
use envelope::{Purpose, Scope};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use salesforce::auth::{Grant, Issued, Login, LoginHost, Revocation, SigningKey};
use salesforce::{Session, SessionSource};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::credentials::Entries;
use super::opening::{Opening, Ring};
use crate::keeper::audit::{Audit, Event};
use crate::keeper::base::bound::Bound;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::{KEY_ID_LABEL, Kind, RECORD, Records, TENANT_UID_LABEL, sealed};

/// A session of Salesforce lives at most a day; what is older needs no revocation.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24);
/// A token is handed to further runs this long; after that a new one is asked for, so that it does not die in the middle.
const SHARED_FOR: SignedDuration = SignedDuration::from_mins(30);
/// How often the list of tokens is read again because another keeper wrote it in between.
const TRIES: usize = 8;

/// A Connection where it lives, or one that is gone: what its tokens are sealed with, and where they may be sent.
pub(crate) struct Owner<'a> {
    /// What the list of its tokens is bound to.
    pub(crate) bound: Bound,
    /// Where it stands, for `region`, that the list of tokens is opened.
    pub(crate) audit: &'a Arc<Audit>,
    pub(crate) region: &'a Region,
    pub(crate) ring: &'a Ring,
    pub(crate) scope: Scope,
    pub(crate) policy: AddressPolicy,
    pub(crate) allowed_login_hosts: &'a [String],
}

/// One Salesforce org as a Connection describes it, with everything to log in.
pub(crate) struct OrgLogin<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) connection: &'a Connection,
    pub(crate) salesforce: &'a Salesforce,
    pub(crate) entries: &'a Entries,
    pub(crate) version: i64,
}

#[derive(Clone)]
struct Known {
    session: Session,
    issued: Timestamp,
    endpoint_digest: String,
    version: i64,
}

/// A token that may be alive.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alive {
    token: SecretText,
    issued: Timestamp,
    /// Where it was issued and whom we trusted there: the Connection may point elsewhere by the time of its revocation.
    login: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<String>,
}

/// What a Connection's sessions are at: one renewal holds it at a time.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Open(Known),
    /// Its tokens are being revoked, for good or because this tenant goes: none is issued any more.
    Closed {
        tenant_uid: Option<String>,
    },
}

impl Slot {
    fn is_closed_to(&self, tenant: &str) -> bool {
        matches!(self, Self::Closed { tenant_uid } if tenant_uid.as_ref().is_none_or(|uid| uid == tenant))
    }
}

pub(crate) struct Sessions {
    records: Records,
    dialer: Dialer,
    slots: Mutex<HashMap<String, Arc<Mutex<Slot>>>>,
}

fn secret_name(connection_uid: &str) -> String {
    format!("tokens-{connection_uid}")
}

pub(crate) fn token_sha256(token: &SecretString) -> String {
    hex::encode(Sha256::digest(token.expose_secret().as_bytes()))
}

impl Sessions {
    pub(crate) fn new(records: Records, dialer: Dialer) -> Self {
        Self { records, dialer, slots: Mutex::default() }
    }

    /// A session; a new one if there is none, or if the one there is was refused or is of an older credential. `lives` asks whether the
    /// Connection is still to have one: it may have been disconnected while we logged in, its credential withdrawn, its tenant deleted.
    pub(crate) async fn get<F>(
        &self,
        target: &OrgLogin<'_>,
        refused_sha256: Option<&str>,
        now: Timestamp,
        lives: impl FnOnce() -> F,
    ) -> Result<Session>
    where
        F: Future<Output = Result<bool>>,
    {
        let owner = &target.owner;
        let disconnecting = || Error::Disconnecting(owner.bound.name.clone());
        let slot = self.slot(&owner.bound.uid).await;
        let mut slot = slot.lock().await;
        if slot.is_closed_to(&owner.scope.tenant_uid) {
            return Err(disconnecting());
        }
        if let Slot::Open(known) = &*slot
            && known.serves(target, refused_sha256, now)
        {
            return Ok(known.session.clone());
        }
        let issued = self.login(target)?.token(&grant(target)?, now).await?;
        let dead = match refused_sha256 {
            Some(sha256) => self.revoke_refused(owner, sha256).await.then_some(sha256),
            None => None,
        };
        self.write_down(target, &issued, dead, now).await?;
        // Written down first, asked then: either a disconnect reads what we wrote, or we see that there is one.
        match lives().await {
            Ok(true) => {}
            outcome => {
                self.take_back(target, &issued).await?;
                return Err(outcome.err().unwrap_or_else(disconnecting));
            }
        }
        let Issued { session, .. } = issued;
        *slot = Slot::Open(Known {
            session: session.clone(),
            issued: now,
            endpoint_digest: target.connection.spec.endpoint_digest(),
            version: target.version,
        });
        Ok(session)
    }

    /// Asks the org who we are.
    pub(crate) async fn user_info(&self, target: &OrgLogin<'_>, session: Session) -> Result<salesforce::auth::UserInfo> {
        let client = salesforce::Client::new(self.http(&target.owner, ca_bundle(target))?, Arc::new(FixedSession(session)));
        Ok(client.user_info().await?)
    }

    /// The list of a Connection's tokens, sealed; absent when none is written down.
    pub(crate) async fn record(&self, connection_uid: &Uid) -> Result<Option<Secret>> {
        self.records.get(&secret_name(connection_uid.as_str())).await
    }

    /// Revokes every token that may be alive, destroys their record, and issues no further one. Answers how many there were.
    pub(crate) async fn end(&self, owner: &Owner<'_>) -> Result<usize> {
        let slot = self.slot(&owner.bound.uid).await;
        let mut slot = slot.lock().await;
        // A call that waits for this slot was judged before the Connection began to go.
        *slot = Slot::Closed { tenant_uid: Some(owner.scope.tenant_uid.clone()) };
        self.revoke_all(owner).await
    }

    /// Revokes every token that may be alive and destroys their record; a worker that is judged anew gets another one.
    pub(crate) async fn interrupt(&self, owner: &Owner<'_>) -> Result<usize> {
        let slot = self.slot(&owner.bound.uid).await;
        let mut slot = slot.lock().await;
        *slot = Slot::Empty;
        self.revoke_all(owner).await
    }

    /// Whatever fails, all are tried, and the record stays: one token that cannot be revoked keeps no other alive. The record goes only as
    /// it was read: a token that another keeper wrote into it meanwhile is revoked, too.
    async fn revoke_all(&self, owner: &Owner<'_>) -> Result<usize> {
        let (mut revoked, mut conflict) = (0, None);
        for _ in 0..TRIES {
            let Some(read) = self.read(owner, "Revocation").await? else { return Ok(revoked) };
            let mut failure = None;
            for token in &read.alive {
                match self.revoke(owner, token).await {
                    Ok(outcome) => revoked += usize::from(outcome == Revocation::Revoked),
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            match self.records.delete_version(&read.secret).await {
                Err(error) if error.is_conflict() => conflict = Some(error),
                done => return done.map(|()| revoked),
            }
        }
        conflict.map_or(Ok(revoked), Err)
    }

    async fn revoke(&self, owner: &Owner<'_>, token: &Alive) -> Result<Revocation> {
        let login = self.login_at(owner, &token.login, token.ca_bundle.as_deref())?;
        Ok(login.revoke(&SecretString::from(token.token.expose())).await?)
    }

    /// Destroys the record of a Connection's tokens. That none is issued any more is remembered as long as this process lives: a call that
    /// was judged before may still come to ask for one.
    pub(crate) async fn forget(&self, connection: &Connection) -> Result<()> {
        let uid = Uid::of(connection)?;
        *self.slot(uid.as_str()).await.lock().await = Slot::Closed { tenant_uid: None };
        self.records.delete(&secret_name(uid.as_str()), None).await
    }

    fn http(&self, owner: &Owner<'_>, bundle: Option<&str>) -> Result<Https> {
        Ok(self.dialer.with_policy(owner.policy.clone()).https(HttpsOptions { trust: Trust::SystemAnd(bundle) })?)
    }

    fn login(&self, target: &OrgLogin<'_>) -> Result<Login> {
        self.login_at(&target.owner, &target.salesforce.login_base(), ca_bundle(target))
    }

    fn login_at(&self, owner: &Owner<'_>, base: &str, bundle: Option<&str>) -> Result<Login> {
        let host = LoginHost::parse(base, owner.allowed_login_hosts).map_err(salesforce::Error::from)?;
        Ok(Login::new(self.http(owner, bundle)?, host))
    }

    async fn slot(&self, connection_uid: &str) -> Arc<Mutex<Slot>> {
        self.slots.lock().await.entry(connection_uid.to_owned()).or_default().clone()
    }

    /// Before anybody gets the token: should the write fail, the token is revoked and nobody has it.
    async fn write_down(&self, target: &OrgLogin<'_>, issued: &Issued, dead: Option<&str>, now: Timestamp) -> Result<()> {
        let added = Alive {
            token: SecretText::new(issued.session.access_token.expose_secret()),
            issued: now,
            login: target.salesforce.login_base(),
            ca_bundle: ca_bundle(target).map(str::to_owned),
        };
        let written = self
            .change(&target.owner, |mut alive| {
                // What was buried, or has outlived every session, is dead.
                alive.retain(|t| now.duration_since(t.issued) < LONGEST_LIFE && Some(t.sha256().as_str()) != dead);
                alive.push(added.clone());
                alive
            })
            .await;
        if written.is_err()
            && let Ok(login) = self.login(target)
        {
            let _ = login.revoke(&issued.session.access_token).await;
        }
        written
    }

    /// That Salesforce refused a token is what a worker says. It may be wrong, or lie to keep one that a disconnect does not find: so the
    /// token is revoked. False: it cannot be, and stays on the list.
    async fn revoke_refused(&self, owner: &Owner<'_>, sha256: &str) -> bool {
        let Ok(Some(read)) = self.read(owner, "Revocation").await else { return false };
        match read.alive.iter().find(|token| token.sha256() == sha256) {
            Some(token) => self.revoke(owner, token).await.is_ok(),
            None => false,
        }
    }

    /// A token that nobody will get: revoked, and off the list.
    async fn take_back(&self, target: &OrgLogin<'_>, issued: &Issued) -> Result<()> {
        self.login(target)?.revoke(&issued.session.access_token).await?;
        let taken = token_sha256(&issued.session.access_token);
        self.change(&target.owner, |mut alive| {
            alive.retain(|t| t.sha256() != taken);
            alive
        })
        .await
    }

    /// Rewrites the list of tokens; an empty one is no record. Another keeper's write in between means: read again.
    async fn change(&self, owner: &Owner<'_>, edit: impl Fn(Vec<Alive>) -> Vec<Alive>) -> Result<()> {
        let mut conflict = None;
        for _ in 0..TRIES {
            let read = self.read(owner, "Change").await?;
            let (alive, version, previous) = read.map_or((Vec::new(), 0, None), |r| (r.alive, r.version, Some(r.secret)));
            let alive = edit(alive);
            let written = match previous {
                None if alive.is_empty() => return Ok(()),
                None => self.records.create(&self.sealed(owner, &alive, version + 1)?).await.map(|made| made.is_some()),
                Some(previous) if alive.is_empty() => self.records.delete_version(&previous).await.map(|()| true),
                Some(previous) => {
                    let mut secret = self.sealed(owner, &alive, version + 1)?;
                    secret.metadata.resource_version = previous.metadata.resource_version;
                    self.records.replace(&secret).await.map(|_| true)
                }
            };
            match written {
                Ok(true) => return Ok(()),
                // Another keeper made the record at the same moment.
                Ok(false) => {}
                Err(error) if error.is_conflict() => conflict = Some(error),
                Err(error) => return Err(error),
            }
        }
        let name = secret_name(&owner.bound.uid);
        Err(conflict.unwrap_or(Error::Record { name, detail: "others wrote it eight times in a row" }))
    }

    fn sealed(&self, owner: &Owner<'_>, alive: &[Alive], version: u64) -> Result<Secret> {
        let bound = &owner.bound;
        let failed = |source| Error::Ring { tenant: owner.scope.tenant_uid.clone(), source };
        let json = Zeroizing::new(serde_json::to_vec(alive).expect("a list of text is JSON"));
        let context = bound.context(owner.scope.clone());
        let record = owner.ring.seal(Purpose::Credential, version, &context, &json, &mut rand::rng()).map_err(failed)?;
        let key_id = owner.ring.active().map_err(failed)?.kid().to_string();
        let labels = BTreeMap::from([(TENANT_UID_LABEL.to_owned(), owner.scope.tenant_uid.clone()), (KEY_ID_LABEL.to_owned(), key_id)]);
        let data = BTreeMap::from([(RECORD.to_owned(), ByteString(record))]);
        Ok(self.records.draft(&secret_name(&bound.uid), Kind::Tokens, labels, bound.annotations(), data))
    }

    async fn read(&self, owner: &Owner<'_>, why: &'static str) -> Result<Option<Read>> {
        let bound = &owner.bound;
        let Some(secret) = self.records.get(&secret_name(&bound.uid)).await? else { return Ok(None) };
        let event = Event::new("TokensOpened")
            .with("tenant", owner.scope.tenant_uid.as_str())
            .with("connection", bound.uid.as_str())
            .with("for", why);
        let opening = Opening::audited(owner.audit, owner.region, &bound.uid, event).await?;
        let opened = owner
            .ring
            .open(&opening, Purpose::Credential, &bound.context(owner.scope.clone()), sealed(&secret)?)
            .map_err(|source| Error::Ring { tenant: owner.scope.tenant_uid.clone(), source })?;
        let alive = serde_json::from_slice(&opened.plaintext)
            .map_err(|_| Error::Record { name: secret_name(&bound.uid), detail: "its content is not a list of tokens" })?;
        Ok(Some(Read { alive, version: opened.version, secret }))
    }
}

/// The list of tokens as it was read.
struct Read {
    alive: Vec<Alive>,
    version: u64,
    secret: Secret,
}

impl Alive {
    fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.token.expose().as_bytes()))
    }
}

impl Known {
    fn serves(&self, target: &OrgLogin<'_>, refused: Option<&str>, now: Timestamp) -> bool {
        self.endpoint_digest == target.connection.spec.endpoint_digest()
            && self.version == target.version
            && now.duration_since(self.issued) < SHARED_FOR
            && refused != Some(token_sha256(&self.session.access_token).as_str())
    }
}

/// The tokens of a Connection are bound to the object, not to where it points: they must be revocable after it was pointed elsewhere.
pub(crate) fn bound(connection: &Connection) -> Result<Bound> {
    Ok(Bound { fields: ["accessTokens".to_owned()].into(), ..super::credentials::digest_bound(connection)? })
}

fn grant(target: &OrgLogin<'_>) -> Result<Grant> {
    let uid = &target.owner.bound.uid;
    let missing = |detail| Error::Record { name: super::credentials::secret_name(uid), detail };
    match target.salesforce.auth.flow().ok_or_else(|| missing("its Connection names no way to log in that is known"))? {
        AuthFlow::JwtBearer(jwt) => {
            let pem = target.entries.text("privateKey").ok_or_else(|| missing("it holds no privateKey"))?;
            let key = SigningKey::from_pem(&pem).map_err(salesforce::Error::from)?;
            Ok(Grant::JwtBearer { client_id: jwt.client_id.clone(), username: jwt.username.clone(), key })
        }
        AuthFlow::ClientCredentials(client) => {
            let client_secret = target.entries.text("clientSecret").ok_or_else(|| missing("it holds no clientSecret"))?;
            Ok(Grant::ClientCredentials { client_id: client.client_id.clone(), client_secret })
        }
    }
}

fn ca_bundle<'a>(target: &OrgLogin<'a>) -> Option<&'a str> {
    target.salesforce.ca_bundle()
}

/// One session and no way to another.
struct FixedSession(Session);

#[async_trait::async_trait]
impl SessionSource for FixedSession {
    async fn session(&self) -> Result<Session, salesforce::Error> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _: &Session) -> Result<Session, salesforce::Error> {
        Err(salesforce::Error::Session { reason: "a token that was just issued is refused".into(), transient: false })
    }
}
