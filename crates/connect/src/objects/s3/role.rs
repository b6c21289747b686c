//! A role that is assumed by web identity: a token of somebody whom the provider trusts, for a key that ends soon (STS,
//! `AssumeRoleWithWebIdentity`). The key is made anew before it ends, with another token.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::exchange::{ANSWER, Peer};
use crate::identity::IdentityTokens;
use crate::objects::refusal::{code, text};
use crate::objects::transport::{Failure, beginning};
use crate::reasons;

/// How long a key is asked for: what every role allows unless its owner says otherwise.
const LIFE_SECONDS: &str = "3600";

/// A key that ends sooner is not used for one more request, which may take as long.
const LEAST_LEFT: SignedDuration = SignedDuration::from_mins(5);

/// Who the provider's log says it was.
const SESSION_NAME: &str = "dataimporter";

/// A role, and what proves that we may have it.
#[derive(Clone)]
pub struct S3Role {
    /// `arn:aws:iam::ACCOUNT:role/NAME`.
    pub arn: String,
    /// Asked for a token each time a key is made.
    pub tokens: Arc<dyn IdentityTokens>,
}

impl fmt::Debug for S3Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "S3Role({})", self.arn)
    }
}

/// The service that gives keys for tokens says no. Of its answer only the code is kept: its words may hold what it was sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum RoleRefusal {
    #[error(
        "it does not take the token of the ServiceAccount for the role ({code}): correct roleArn and audience, and let the account of the role \
         have a provider of identities for this cluster's issuer with that audience"
    )]
    Token { code: String },
    #[error(
        "the token was not enough for the role: correct its roleArn, or let its trust policy allow sts:AssumeRoleWithWebIdentity to the \
         subject system:serviceaccount:NAMESPACE:NAME of the ServiceAccount"
    )]
    Denied,
    #[error("it is busy or in trouble ({code}): it may answer later")]
    Busy { code: String },
    #[error("it refused the request: {code}")]
    Other { code: String },
    #[error("it answered {status} as no such service does: correct the endpoint")]
    NotOne { status: u16 },
}

impl RoleRefusal {
    fn of(status: StatusCode, body: &str) -> Self {
        let number = status.as_u16();
        match code(body) {
            // The last is what MinIO says of all of them.
            Some(
                code @ ("InvalidIdentityToken"
                | "ExpiredTokenException"
                | "ExpiredToken"
                | "IDPRejectedClaim"
                | "ValidationError"
                | "InvalidParameterValue"),
            ) => Self::Token { code: code.to_owned() },
            Some("AccessDenied") => Self::Denied,
            Some(code) if code == "IDPCommunicationError" || code.starts_with("Throttl") || is_busy(status) => {
                Self::Busy { code: code.to_owned() }
            }
            Some(code) => Self::Other { code: code.to_owned() },
            None if is_busy(status) => Self::Busy { code: number.to_string() },
            None => Self::NotOne { status: number },
        }
    }

    /// A short CamelCase word for a condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Token { .. } => reasons::LOGIN_REFUSED,
            Self::Denied => reasons::ACCESS_DENIED,
            Self::Busy { .. } => reasons::UNREACHABLE,
            Self::Other { .. } => reasons::REQUEST_REFUSED,
            Self::NotOne { .. } => reasons::NOT_S3,
        }
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Keys of a role, each as long as it lasts.
pub(super) struct RoleKeys {
    role: S3Role,
    service: Url,
    peer: Peer,
    current: Mutex<Option<Key>>,
}

struct Key {
    credential: Arc<AwsCredential>,
    ends: Timestamp,
}

impl fmt::Debug for RoleKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RoleKeys({})", self.role.arn)
    }
}

#[async_trait]
impl CredentialProvider for RoleKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().await;
        if let Some(key) = current.as_ref().filter(|key| key.serves(Timestamp::now())) {
            return Ok(Arc::clone(&key.credential));
        }
        let key =
            self.assume().await.map_err(|error| object_store::Error::Generic { store: "S3", source: Failure(Arc::new(error)).into() })?;
        Ok(Arc::clone(&current.insert(key).credential))
    }
}

impl Key {
    fn serves(&self, now: Timestamp) -> bool {
        self.ends.duration_since(now) > LEAST_LEFT
    }
}

impl RoleKeys {
    pub(super) fn new(role: S3Role, service: Url, peer: Peer) -> Self {
        Self { role, service, peer, current: Mutex::default() }
    }

    async fn assume(&self) -> Result<Key, Error> {
        let token = self.role.tokens.token().await?;
        let request = self.peer.https.request(Method::POST, self.service.clone())?;
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&self.role.arn, &token));
        let answer = self.peer.send(request, ANSWER).await?;
        let status = answer.status();
        let body = tokio::time::timeout(ANSWER, beginning(answer)).await.map_err(|_| self.peer.timed_out(ANSWER))?;
        let body = Zeroizing::new(body);
        let words = std::str::from_utf8(&body).unwrap_or_default();
        let target = || self.peer.target.to_string();
        if !status.is_success() {
            return Err(Error::S3RoleRefused { target: target(), refusal: RoleRefusal::of(status, words) });
        }
        key(words)
            .ok_or_else(|| Error::S3Protocol { target: target(), reason: "its answer has no key of the role, or none with an end".into() })
    }
}

fn form(arn: &str, token: &SecretString) -> String {
    Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", arn)
        .append_pair("RoleSessionName", SESSION_NAME)
        .append_pair("DurationSeconds", LIFE_SECONDS)
        .append_pair("WebIdentityToken", token.expose_secret())
        .finish()
}

fn key(answer: &str) -> Option<Key> {
    let (_, credentials) = answer.split_once("<Credentials>")?;
    // Neither a key nor a token nor a time has a character that XML writes otherwise.
    let part = |name| text(credentials, name).filter(|text| !text.is_empty() && !text.contains(['&', '<'])).map(str::to_owned);
    let credential =
        AwsCredential { key_id: part("AccessKeyId")?, secret_key: part("SecretAccessKey")?, token: Some(part("SessionToken")?) };
    Some(Key { credential: Arc::new(credential), ends: part("Expiration")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_key_with_its_end() {
        let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><SessionToken>FwoG/+=x\
            </SessionToken><SecretAccessKey>wJalr/XUtn+F</SecretAccessKey><Expiration>2026-11-29T12:00:00Z</Expiration>\
            <AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        let key = key(answer).unwrap();
        assert_eq!((key.credential.key_id.as_str(), key.credential.secret_key.as_str()), ("ASIAEXAMPLE", "wJalr/XUtn+F"));
        assert_eq!(key.credential.token.as_deref(), Some("FwoG/+=x"));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(key.serves(at("2026-11-29T11:54:00Z")) && !key.serves(at("2026-11-29T11:55:00Z")));
        for without in ["SessionToken", "SecretAccessKey", "AccessKeyId", "Expiration"] {
            assert!(super::key(&answer.replace(without, "Other")).is_none(), "{without}");
        }
    }

    #[test]
    fn every_refusal_says_what_to_correct_and_nothing_of_the_services_words() {
        for (status, code, reason, words) in [
            (400, "InvalidIdentityToken", "LoginRefused", "audience"),
            (400, "ExpiredTokenException", "LoginRefused", "ExpiredTokenException"),
            (403, "AccessDenied", "AccessDenied", "trust policy"),
            (400, "IDPCommunicationError", "Unreachable", "later"),
            (400, "RegionDisabledException", "RequestRefused", "RegionDisabledException"),
            (400, "InvalidParameterValue", "LoginRefused", "roleArn"),
            (503, "ServiceUnavailable", "Unreachable", "later"),
        ] {
            let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>eyJhb of mallory</Message></Error></ErrorResponse>");
            let refusal = RoleRefusal::of(StatusCode::from_u16(status).unwrap(), &body);
            let told = refusal.to_string();
            assert!(refusal.reason() == reason && told.contains(words) && !told.contains("eyJhb"), "{code}: {told}");
            assert_eq!(refusal.is_passing(), reason == "Unreachable", "{code}");
        }
        assert_eq!(RoleRefusal::of(StatusCode::NOT_FOUND, "<html>"), RoleRefusal::NotOne { status: 404 });
    }
}
