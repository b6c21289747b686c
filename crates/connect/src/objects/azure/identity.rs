//! A workload identity: a token of somebody whom an application of Microsoft Entra trusts, for an access token of that application (OAuth 2.0
//! client credentials with a JWT assertion, RFC 7523).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use object_store::azure::AzureCredential;
use reqwest::Url;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::error::Error;
use crate::exchange::Peer;
use crate::identity::IdentityTokens;
use crate::objects::lasting::{Ending, Maker, is_busy, post_form};
use crate::reasons;

/// An application, and what proves that we are it.
#[derive(Clone)]
pub struct AzureIdentity {
    /// `https://login.microsoftonline.com`, or that of another cloud.
    pub authority: String,
    /// Id of the directory of the application.
    pub tenant_id: String,
    /// Id of the application, or of a managed identity.
    pub client_id: String,
    /// Asked for a token each time an access token is made.
    pub tokens: Arc<dyn IdentityTokens>,
}

impl fmt::Debug for AzureIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AzureIdentity({})", self.client_id)
    }
}

/// Microsoft Entra says no. Of its answer only the number is kept: its words may hold what it was sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum AuthorityRefusal {
    #[error(
        "it does not take the token of the ServiceAccount for the application ({code}): correct tenantId and clientId, and give the \
         application a federated credential for this cluster's issuer, the subject system:serviceaccount:NAMESPACE:NAME of the \
         ServiceAccount and the audience of the token"
    )]
    Refused { code: String },
    #[error("it is busy or in trouble ({code}): it may answer later")]
    Busy { code: String },
    #[error("it answered {status} as no such service does: correct authorityHost")]
    NotOne { status: u16 },
}

impl AuthorityRefusal {
    fn of(status: StatusCode, body: &[u8]) -> Self {
        let number = status.as_u16();
        match serde_json::from_slice::<Refusal>(body) {
            _ if is_busy(status) => Self::Busy { code: number.to_string() },
            Ok(refusal) if refusal.error == "temporarily_unavailable" => Self::Busy { code: number.to_string() },
            Ok(refusal) => {
                Self::Refused { code: refusal.error_codes.first().map_or_else(|| number.to_string(), |code| format!("AADSTS{code}")) }
            }
            Err(_) => Self::NotOne { status: number },
        }
    }

    /// A short CamelCase word for a condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => reasons::LOGIN_REFUSED,
            Self::Busy { .. } => reasons::UNREACHABLE,
            Self::NotOne { .. } => reasons::NOT_A_STORE,
        }
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

#[derive(Deserialize)]
struct Access {
    access_token: String,
    expires_in: i64,
}

/// Makes access tokens of an application.
pub(super) struct AccessTokens {
    pub(super) identity: AzureIdentity,
    pub(super) service: Url,
    pub(super) peer: Peer,
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(formatter)
    }
}

#[async_trait]
impl Maker for AccessTokens {
    type Credential = AzureCredential;

    async fn make(&self) -> Result<Ending<AzureCredential>, Error> {
        let token = self.identity.tokens.token().await?;
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", self.identity.client_id.as_str()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", token.expose_secret()),
            ("scope", "https://storage.azure.com/.default"),
        ];
        let asked = Timestamp::now();
        let (status, body) = post_form(&self.peer, self.service.clone(), &fields).await?;
        let target = || self.peer.target.to_string();
        if !status.is_success() {
            return Err(Error::AuthorityRefused { target: target(), refusal: AuthorityRefusal::of(status, &body) });
        }
        access(&body, asked).ok_or_else(|| Error::ObjectsProtocol {
            target: target(),
            system: "Microsoft Entra",
            reason: "its answer has no access token, or none with an end".into(),
        })
    }
}

fn access(body: &[u8], asked: Timestamp) -> Option<Ending<AzureCredential>> {
    let Access { access_token, expires_in } = serde_json::from_slice(body).ok()?;
    let is_token = !access_token.is_empty() && access_token.bytes().all(|byte| byte.is_ascii_graphic());
    let ends = asked.checked_add(SignedDuration::from_secs(expires_in)).ok()?;
    is_token.then(|| Ending { credential: Arc::new(AzureCredential::BearerToken(access_token)), ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_token_with_its_end() {
        let asked: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let made = access(br#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0.a.b"}"#, asked).unwrap();
        assert_eq!(made.ends.to_string(), "2026-11-29T12:59:59Z");
        assert!(matches!(&*made.credential, AzureCredential::BearerToken(token) if token == "eyJ0.a.b"));
        for none in
            ["", "{}", r#"{"access_token":"x"}"#, r#"{"access_token":"a\r\nb","expires_in":1}"#, r#"{"access_token":"","expires_in":1}"#]
        {
            assert!(access(none.as_bytes(), asked).is_none(), "{none}");
        }
    }

    #[test]
    fn every_refusal_says_what_to_correct_and_nothing_of_the_services_words() {
        for (status, body, reason, words) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"AADSTS700213: eyJhb","error_codes":[700213]}"#,
                "LoginRefused",
                "AADSTS700213",
            ),
            (400, r#"{"error":"unauthorized_client","error_codes":[700016]}"#, "LoginRefused", "federated credential"),
            (400, r#"{"error":"temporarily_unavailable"}"#, "Unreachable", "later"),
            (503, "<html>eyJhb", "Unreachable", "later"),
            (404, "<html>eyJhb", "NotAStore", "authorityHost"),
        ] {
            let refusal = AuthorityRefusal::of(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            let told = refusal.to_string();
            assert!(refusal.reason() == reason && told.contains(words) && !told.contains("eyJhb"), "{body}: {told}");
            assert_eq!(refusal.is_passing(), reason == "Unreachable", "{body}");
        }
    }
}
