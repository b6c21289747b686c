//! A role that is assumed by web identity: a token of somebody whom the provider trusts, for a key that ends soon (STS,
//! `AssumeRoleWithWebIdentity`). The key is made anew before it ends, with another token.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use object_store::aws::AwsCredential;
use reqwest::Url;
use secrecy::ExposeSecret;

use crate::error::Error;
use crate::exchange::Peer;
use crate::identity::IdentityTokens;
use crate::objects::lasting::{Ending, Maker, is_busy, post_form};
use crate::objects::refusal::{code, text};
use crate::reasons;

/// How long a key is asked for: what every role allows unless its owner says otherwise.
const LIFE_SECONDS: &str = "3600";

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

/// Makes keys of a role.
pub(super) struct RoleKeys {
    pub(super) role: S3Role,
    pub(super) service: Url,
    pub(super) peer: Peer,
}

impl fmt::Debug for RoleKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.role.fmt(formatter)
    }
}

#[async_trait]
impl Maker for RoleKeys {
    type Credential = AwsCredential;

    async fn make(&self) -> Result<Ending<AwsCredential>, Error> {
        let token = self.role.tokens.token().await?;
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", self.role.arn.as_str()),
            ("RoleSessionName", SESSION_NAME),
            ("DurationSeconds", LIFE_SECONDS),
            ("WebIdentityToken", token.expose_secret()),
        ];
        let (status, body) = post_form(&self.peer, self.service.clone(), &fields).await?;
        let words = std::str::from_utf8(&body).unwrap_or_default();
        let target = || self.peer.target.to_string();
        if !status.is_success() {
            return Err(Error::S3RoleRefused { target: target(), refusal: RoleRefusal::of(status, words) });
        }
        key(words)
            .ok_or_else(|| Error::S3Protocol { target: target(), reason: "its answer has no key of the role, or none with an end".into() })
    }
}

fn key(answer: &str) -> Option<Ending<AwsCredential>> {
    let (_, credentials) = answer.split_once("<Credentials>")?;
    // Neither a key nor a token nor a time has a character that XML writes otherwise.
    let part = |name| text(credentials, name).filter(|text| !text.is_empty() && !text.contains(['&', '<'])).map(str::to_owned);
    let credential =
        AwsCredential { key_id: part("AccessKeyId")?, secret_key: part("SecretAccessKey")?, token: Some(part("SessionToken")?) };
    Some(Ending { credential: Arc::new(credential), ends: part("Expiration")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

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
