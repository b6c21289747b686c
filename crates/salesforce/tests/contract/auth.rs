use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connect::{AddressPolicy, Dialer, HttpsOptions, Trust};
use jiff::{SignedDuration, Timestamp};
use salesforce::auth::{Grant, Login, LoginHost, Revocation, SigningKey};
use salesforce::{Class, Delivery, Error};
use salesforce_emulator::{Action, Client as App, Emulator, Fault};
use secrecy::ExposeSecret;

use crate::org::{Org, client_credentials, http, login, retry};

fn refused<T>(answer: Result<T, Error>) -> Error {
    match answer {
        Ok(_) => panic!("this must be refused"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn client_credentials_open_a_session_that_knows_its_user() {
    let org = Org::start().await;
    let issued = login(&org.running).token(&client_credentials(&org.running), Timestamp::now()).await.unwrap_or_else(|e| panic!("{e}"));
    let user = org.client.user_info().await.unwrap();
    assert_eq!(user.username, org.running.username);
    assert_eq!(issued.org_id.as_deref(), Some(user.organization_id.as_str()));
    assert_eq!(issued.user_id.as_deref(), Some(user.user_id.as_str()));
    assert_eq!(issued.session.instance_url.as_str().trim_end_matches('/'), org.running.url);
}

#[tokio::test]
async fn a_wrong_client_secret_is_refused_for_good_and_not_repeated() {
    let org = Org::start().await;
    let grant = Grant::ClientCredentials { client_id: org.running.client_id.clone(), client_secret: "no such secret".into() };
    let error = refused(login(&org.running).token(&grant, Timestamp::now()).await);
    assert_eq!((error.class(), error.reason()), (Class::Permanent, "LoginRefused"));
    assert!(error.code().is_some_and(|code| code.starts_with("invalid_client")), "{error}");
    assert!(!error.to_string().contains("no such secret"));
    assert_eq!(org.running.requests().iter().filter(|entry| entry.path.ends_with("/token")).count(), 1);
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn a_signed_assertion_opens_a_session_and_a_stale_or_foreign_one_does_not() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let app = App { public_key: Some(pem("PUBLIC KEY", public.as_ref())), ..App::random() };
    let org = Org::of(Emulator::builder().client(app)).await;
    let grant = |private_pem: String| Grant::JwtBearer {
        client_id: org.running.client_id.clone(),
        username: org.running.username.clone(),
        key: SigningKey::from_pem(&private_pem.into()).unwrap_or_else(|e| panic!("{e}")),
    };
    let own = grant(pem("PRIVATE KEY", private.as_ref()));
    let login = login(&org.running);
    assert!(login.token(&own, Timestamp::now()).await.is_ok());
    for wrong_clock in [SignedDuration::from_mins(-10), SignedDuration::from_mins(10)] {
        assert_eq!(refused(login.token(&own, Timestamp::now() + wrong_clock).await).code(), Some("invalid_grant"));
    }
    let foreign: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    let foreign = grant(pem("PRIVATE KEY", foreign.as_ref()));
    assert_eq!(refused(login.token(&foreign, Timestamp::now()).await).code(), Some("invalid_grant"));
}

#[tokio::test]
async fn a_revoked_token_is_dead_and_revoking_it_again_is_no_error() {
    let org = Org::start().await;
    let login = login(&org.running);
    let token =
        login.token(&client_credentials(&org.running), Timestamp::now()).await.unwrap_or_else(|e| panic!("{e}")).session.access_token;
    let secret = org.running.client_secret.clone().into();
    let alive = login.introspect(&token, &org.running.client_id, &secret).await.unwrap();
    assert!(alive.active && alive.username.is_some_and(|name| name == org.running.username));
    assert_eq!(login.revoke(&token).await.unwrap(), Revocation::Revoked);
    assert!(!login.introspect(&token, &org.running.client_id, &secret).await.unwrap().active);
    assert_eq!(login.revoke(&token).await.unwrap(), Revocation::AlreadyDead);
    let known = org.running.tokens();
    assert!(known.iter().any(|known| known.token == token.expose_secret() && !known.active));
}

#[tokio::test]
async fn a_login_is_repeated_after_a_stumble_and_a_lost_answer() {
    let org = Org::start().await;
    let busy = Action::Status { status: 503, code: None, message: None };
    org.running.inject(Fault::new(busy).on("POST", "*/token"));
    org.running.inject(Fault::new(Action::DropAfter).on("POST", "*/token"));
    assert!(login(&org.running).token(&client_credentials(&org.running), Timestamp::now()).await.is_ok());
    assert!(org.running.pending_faults().is_empty());
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_is_renewed_without_anybody_noticing() {
    let org = Org::start().await;
    org.client.limits().await.unwrap();
    org.running.expire_sessions();
    org.client.limits().await.unwrap();
    org.running.expire_sessions();
    assert_eq!(org.client.user_info().await.unwrap().username, org.running.username);
}

#[tokio::test]
async fn an_answer_that_names_somebody_elses_instance_gives_no_session() {
    let running = Emulator::builder().config(|c| c.public_url = Some("https://evil.example".into())).start().await.unwrap();
    let error = refused(login(&running).token(&client_credentials(&running), Timestamp::now()).await);
    assert!(error.to_string().contains("evil.example"), "{error}");
    assert_eq!(error.reason(), "HostRefused");
}

#[tokio::test]
async fn a_server_we_do_not_trust_is_refused_at_once_with_the_remedy() {
    let running = Emulator::builder().start().await.unwrap();
    let other = Emulator::builder().start().await.unwrap();
    let host = LoginHost::parse(&running.url, &["127.0.0.1".to_owned()]).unwrap();
    let error = refused(Login::with(http(&other), host.clone(), retry()).token(&client_credentials(&running), Timestamp::now()).await);
    assert_eq!((error.class(), error.delivery(), error.reason()), (Class::Permanent, Delivery::Unsent, "TlsRefused"));

    let trust = Trust::SystemAnd(running.ca_pem.as_deref());
    let closed = Dialer::new(AddressPolicy::public_on(443)).https(HttpsOptions { trust }).unwrap();
    let error = refused(Login::with(closed, host, retry()).token(&client_credentials(&running), Timestamp::now()).await);
    assert_eq!((error.class(), error.delivery()), (Class::Permanent, Delivery::Unsent));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("a loopback address"), "{error}");
    assert!(running.requests().is_empty());
}
