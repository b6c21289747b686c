//! Somebody who says who we are: the discovery document and the key of an issuer of identities, as a cluster publishes them, and tokens of its.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ::aws_lc_rs::rand::SystemRandom;
use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::Leaf;

pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    pub(crate) url: String,
}

impl Issuer {
    pub(crate) async fn start(leaf: &Leaf) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.certificate.der().clone()], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key.serialize_der())))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..65]].map(|half| BASE64URL.encode(half));
        let keys = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"one","x":"{x}","y":"{y}"}}]}}"#);
        let discovery = format!(
            r#"{{"issuer":"{url}","jwks_uri":"{url}/keys","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}}"#
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = vec![0; 8192];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let body = if request[..read].starts_with(b"GET /keys ") { &keys } else { &discovery };
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { key, url }
    }

    /// A token of ServiceAccount `acme/loader` that ends in so many seconds.
    pub(crate) fn token(&self, audience: &str, seconds: i64) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let claims = format!(
            r#"{{"iss":"{}","aud":["{audience}"],"sub":"system:serviceaccount:acme:loader","iat":{},"nbf":{},"exp":{}}}"#,
            self.url,
            now - 3600,
            now - 3600,
            now + seconds
        );
        let signed = format!("{}.{}", BASE64URL.encode(r#"{"alg":"ES256","kid":"one","typ":"JWT"}"#), BASE64URL.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL.encode(signature.as_ref()))
    }
}
